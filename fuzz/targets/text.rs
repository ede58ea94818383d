//! Locations, sizes, rates and names, as people write them.

#![no_main]

#[path = "../../protocol/tests/corpus/bodies.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| airlift_fuzz::bounded(
    (1 << 20) + 64 * data.len(),
    || bodies::text(data)
));
