//! Commands, as the log has them, applied to a state; and states.

#![no_main]

#[path = "../../coordinator/tests/corpus/log.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| airlift_fuzz::bounded(
    (16 << 20) + 1024 * data.len(),
    || bodies::apply(data)
));
