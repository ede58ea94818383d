//! What fuzzing found worth keeping, as ordinary tests (docs/testing.md).

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

#[path = "corpus/bodies.rs"]
mod bodies;
#[path = "../../fuzz/replay.rs"]
mod replay;

#[test]
fn messages_of_the_corpus_are_read_or_refused() {
    replay::corpus("wire", bodies::wire);
}

#[test]
fn streams_of_the_corpus_are_read_or_refused() {
    replay::corpus("frames", bodies::frames);
}

#[test]
fn texts_of_the_corpus_are_read_or_refused() {
    replay::corpus("text", bodies::text);
}
