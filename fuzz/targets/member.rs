//! A member with a valid identity that says to the leader what it likes.

#![no_main]

#[path = "../../coordinator/tests/corpus/member.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| airlift_fuzz::bounded(
    (64 << 20) + 1024 * data.len(),
    || bodies::member(data)
));
