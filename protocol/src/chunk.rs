//! Chunks and their BLAKE3 values.
//!
//! A chunk is a 1 MiB-aligned piece of an object, and so a whole subtree of the object's BLAKE3
//! tree. Its chaining value can be computed on its own, by any node; values merge pairwise to the
//! value of a shard and to the root, which equals what `b3sum` prints for the whole object.

use std::fmt;

use blake3::Hasher;
use blake3::hazmat::{
    HasherExt, Mode, left_subtree_len, merge_subtrees_non_root, merge_subtrees_root,
};
use serde::{Deserialize, Serialize};

use crate::limits::CHUNK_BYTES;
use crate::units::ByteRange;

/// The value of a span of an object: its root hash when the span is the whole object, else the
/// chaining value of its subtree.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SpanValue(pub [u8; 32]);

/// The BLAKE3 hash of a whole object.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Root(pub [u8; 32]);

impl Root {
    /// The hash of an object held in memory.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Debug for SpanValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Root(self.0))
    }
}

/// The value of the chunk `bytes` at `offset` of an object of `object_size` bytes.
///
/// # Panics
/// When `offset` is not a multiple of the chunk size, or the chunk is empty or too long while the
/// object is not: programming errors.
pub fn value(object_size: u64, offset: u64, bytes: &[u8]) -> SpanValue {
    let length = bytes.len() as u64;
    assert!(offset.is_multiple_of(CHUNK_BYTES), "a chunk begins at a multiple of its size");
    assert!(length <= CHUNK_BYTES, "a chunk has at most {CHUNK_BYTES} bytes");
    if length == object_size {
        return SpanValue(*blake3::hash(bytes).as_bytes());
    }
    assert!(length > 0, "a chunk of a larger object is not empty");
    SpanValue(Hasher::new().set_input_offset(offset).update(bytes).finalize_non_root())
}

/// Merges the values of consecutive pieces into the value of `span`.
///
/// `span` is the whole object, or begins at a multiple of its own (power-of-two) size, as shards
/// do. Every piece has `piece_bytes` bytes (a power of two, at least a chunk) but the last, which
/// ends where the span ends.
///
/// # Panics
/// When the number of values does not fit the span: a programming error.
pub fn merge(
    object_size: u64,
    span: ByteRange,
    piece_bytes: u64,
    values: &[SpanValue],
) -> SpanValue {
    let pieces = span.len().div_ceil(piece_bytes).max(1);
    assert_eq!(pieces, values.len() as u64, "one value for each piece of {span:?}");
    let is_root = span.len() == object_size;
    merge_span(span.len(), piece_bytes, values, is_root)
}

fn merge_span(bytes: u64, piece_bytes: u64, values: &[SpanValue], is_root: bool) -> SpanValue {
    if let [single] = values {
        return *single;
    }
    let left_bytes = left_subtree_len(bytes);
    let left_pieces =
        usize::try_from(left_bytes / piece_bytes).expect("invariant: pieces fit memory");
    let (left, right) = values.split_at(left_pieces);
    let left = merge_span(left_bytes, piece_bytes, left, false);
    let right = merge_span(bytes - left_bytes, piece_bytes, right, false);
    if is_root {
        SpanValue(*merge_subtrees_root(&left.0, &right.0, Mode::Hash).as_bytes())
    } else {
        SpanValue(merge_subtrees_non_root(&left.0, &right.0, Mode::Hash))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::limits::SHARD_BYTES;
    use crate::shard;

    fn bytes(size: u64) -> Vec<u8> {
        (0..size).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
    }

    fn root_by_parts(data: &[u8], shard_bytes: u64) -> SpanValue {
        let size = data.len() as u64;
        let spans: Vec<ByteRange> = (0..size.max(1))
            .step_by(shard_bytes as usize)
            .map(|start| ByteRange::new(start, size.min(start + shard_bytes)))
            .collect();
        let shard_values: Vec<SpanValue> = spans
            .iter()
            .map(|&span| {
                let values: Vec<SpanValue> = if span.is_empty() {
                    vec![value(size, 0, &[])]
                } else {
                    shard::chunks(span)
                        .map(|c| value(size, c.start, &data[c.start as usize..c.end as usize]))
                        .collect()
                };
                merge(size, span, CHUNK_BYTES, &values)
            })
            .collect();
        merge(size, ByteRange::new(0, size), shard_bytes, &shard_values)
    }

    #[test]
    fn values_merge_to_the_hash_of_the_whole() {
        for size in [
            0,
            1,
            CHUNK_BYTES - 1,
            CHUNK_BYTES,
            CHUNK_BYTES + 1,
            2 * CHUNK_BYTES,
            3 * CHUNK_BYTES + 17,
            8 * CHUNK_BYTES,
            9 * CHUNK_BYTES + 1023,
        ] {
            let data = bytes(size);
            let whole = Root::of(&data);
            for shard_bytes in [CHUNK_BYTES, 2 * CHUNK_BYTES, 4 * CHUNK_BYTES, SHARD_BYTES] {
                assert_eq!(root_by_parts(&data, shard_bytes).0, whole.0, "{size} by {shard_bytes}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn one_flipped_bit_changes_the_value(at in 0usize..(CHUNK_BYTES as usize), bit in 0u8..8) {
            let mut data = bytes(CHUNK_BYTES);
            let before = value(3 * CHUNK_BYTES, CHUNK_BYTES, &data);
            data[at] ^= 1 << bit;
            prop_assert_ne!(before, value(3 * CHUNK_BYTES, CHUNK_BYTES, &data));
        }
    }
}
