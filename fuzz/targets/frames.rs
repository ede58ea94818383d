//! Requests and answers of the data plane, as they lie on a stream.

#![no_main]

#[path = "../../protocol/tests/corpus/bodies.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| airlift_fuzz::bounded(
    (4 << 20) + 256 * data.len(),
    || bodies::frames(data)
));
