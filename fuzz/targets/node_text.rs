//! Keys as paths of a file system, and join tokens.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    airlift_fuzz::bounded((1 << 20) + 64 * data.len(), || airlift_node::fuzz::text(data));
});
