//! Shards: how the bytes of an object are divided among assignments.

use crate::limits::{CHUNK_BYTES, PACKED_OBJECT_BYTES_MAX, SHARD_BYTES, SHARDS_MAX};
use crate::units::ByteRange;

/// Whether an object of `size` bytes is split into range shards, or travels whole in a pack.
pub fn is_ranged(size: u64) -> bool {
    size > PACKED_OBJECT_BYTES_MAX
}

/// Bytes of each shard but the last of an object of `size` bytes: a power of two, and doubled for
/// objects that would have too many.
pub fn bytes(size: u64) -> u64 {
    SHARD_BYTES.max(size.div_ceil(SHARDS_MAX).next_power_of_two())
}

/// Range shards of an object of `size` bytes.
pub fn count(size: u64) -> u32 {
    u32::try_from(size.div_ceil(bytes(size))).expect("invariant: SHARDS_MAX shards at most")
}

/// The bytes of shard `index` of an object of `size` bytes; none for an index that no shard has.
pub fn range(size: u64, index: u32) -> ByteRange {
    let start = u64::from(index).saturating_mul(bytes(size)).min(size);
    ByteRange::new(start, size.min(start.saturating_add(bytes(size))))
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
    use crate::limits::OBJECT_BYTES_MAX;

    #[test]
    fn shards_grow_with_the_object_and_are_never_too_many() {
        let large = SHARDS_MAX * SHARD_BYTES;
        for (size, shard, shards) in [
            (0, SHARD_BYTES, 0),
            (SHARD_BYTES + 1, SHARD_BYTES, 2),
            (large, SHARD_BYTES, 10_000),
            (large + 1, 2 * SHARD_BYTES, 5_001),
            (2 * large, 2 * SHARD_BYTES, 10_000),
            (OBJECT_BYTES_MAX, 8 << 30, 8_192),
            (u64::MAX, 1 << 51, 8_192),
        ] {
            assert_eq!((bytes(size), count(size)), (shard, shards), "{size}");
            assert!(range(size, shards).is_empty() && range(size, u32::MAX).is_empty());
        }
        assert_eq!(range(large + 1, 5_000), ByteRange::new(large, large + 1));
    }

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
