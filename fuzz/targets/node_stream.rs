//! Bodies on a stream of the control plane.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    airlift_fuzz::bounded((1 << 20) + 64 * data.len(), || airlift_node::fuzz::stream(data));
});
