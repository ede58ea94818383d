//! Shards: how the bytes of an object are divided among assignments.

use crate::limits::{CHUNK_BYTES, PACKED_OBJECT_BYTES_MAX, SHARD_BYTES};
use crate::units::ByteRange;

/// Whether an object of `size` bytes is split into range shards, or travels whole in a pack.
pub fn is_ranged(size: u64) -> bool {
    size > PACKED_OBJECT_BYTES_MAX
}

/// Range shards of an object of `size` bytes.
pub fn count(size: u64) -> u32 {
    u32::try_from(size.div_ceil(SHARD_BYTES)).expect("invariant: 2^64 / 64 MiB shards at most")
}

/// The bytes of shard `index` of an object of `size` bytes.
pub fn range(size: u64, index: u32) -> ByteRange {
    let start = u64::from(index) * SHARD_BYTES;
    ByteRange::new(start, size.min(start + SHARD_BYTES))
}

/// The chunks of `range`, in order. `range` begins at a multiple of the chunk size.
pub fn chunks(range: ByteRange) -> impl Iterator<Item = ByteRange> {
    (range.start..range.end)
        .step_by(CHUNK_BYTES as usize)
        .map(move |start| ByteRange::new(start, range.end.min(start + CHUNK_BYTES)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn shards_and_chunks_cover_an_object_once(size in 1u64..(5 * SHARD_BYTES)) {
            let mut end = 0;
            for index in 0..count(size) {
                let shard = range(size, index);
                prop_assert_eq!(shard.start, end);
                for chunk in chunks(shard) {
                    prop_assert_eq!(chunk.start, end);
                    prop_assert!(!chunk.is_empty() && chunk.len() <= CHUNK_BYTES);
                    end = chunk.end;
                }
            }
            prop_assert_eq!(end, size);
        }
    }
}
