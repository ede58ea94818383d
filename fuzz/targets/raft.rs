//! A group of voters of which each may forge what it says.

#![no_main]

#[path = "../../coordinator/tests/corpus/raft.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| airlift_fuzz::bounded(
    (64 << 20) + 1024 * data.len(),
    || bodies::group(data)
));
