//! The parts of an upload, and the names of the temporary objects that hold them.

use airlift_protocol::assignment::UploadToken;
use airlift_protocol::sum::{Sum, SumKind};
use airlift_protocol::units::ByteRange;
use data_encoding::HEXLOWER;

use crate::store::chance::NONCE_BYTES;
use crate::store::sum;

/// Parts that an object is put together from at most.
const PARTS_MAX: u64 = 10_000;
/// Size of a part is `1 << shift`; small objects have parts of 16 MiB.
const PART_SHIFT_MIN: u32 = 24;
/// A part is in memory as a whole: 1 GiB at most, which is enough for what the service holds.
const PART_SHIFT_MAX: u32 = 30;
/// Bounds what a token may say.
const PART_SHIFT_FLOOR: u32 = 20;

/// Largest object that the service holds.
pub(super) const OBJECT_BYTES_MAX: u64 = 5 << 40;

/// Exponent of the part size for an object of `size` bytes; `None` when it is too large.
pub(super) fn part_shift(size: u64) -> Option<u32> {
    let fits = |&shift: &u32| size <= PARTS_MAX << shift;
    (size <= OBJECT_BYTES_MAX).then(|| (PART_SHIFT_MIN..=PART_SHIFT_MAX).find(fits))?
}

/// One upload of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UploadId {
    pub(super) part_shift: u32,
    pub(super) nonce: [u8; NONCE_BYTES],
}

impl UploadId {
    pub(super) fn to_token(&self) -> UploadToken {
        UploadToken(format!("{}:{}", self.part_shift, HEXLOWER.encode(&self.nonce)))
    }

    pub(super) fn parse(token: &UploadToken) -> Option<Self> {
        let (shift, nonce) = token.0.split_once(':')?;
        let part_shift = shift.parse().ok()?;
        let nonce = HEXLOWER.decode(nonce.as_bytes()).ok()?.try_into().ok()?;
        let is_legal = (PART_SHIFT_FLOOR..=PART_SHIFT_MAX).contains(&part_shift);
        is_legal.then_some(Self { part_shift, nonce })
    }

    /// Bytes of every part but the last.
    pub(super) fn part_bytes(&self) -> u64 {
        1 << self.part_shift
    }

    /// Number of parts of an object of `size` bytes.
    pub(super) fn part_count(&self, size: u64) -> u64 {
        size.div_ceil(self.part_bytes()).max(1)
    }

    /// The bytes of part `index` in an object of `size` bytes, if there is such a part.
    pub(super) fn part_range(&self, index: u64, size: u64) -> Option<ByteRange> {
        let start = index.checked_mul(self.part_bytes())?;
        (index < self.part_count(size))
            .then(|| ByteRange::new(start, size.min(start + self.part_bytes())))
    }

    /// The folder of its temporary objects in that of its key.
    pub(super) fn folder(&self, of_key: &str) -> String {
        format!("{of_key}{}/", HEXLOWER.encode(&self.nonce))
    }
}

/// The object in an upload's folder that stands for the upload while it is open.
pub(super) fn mark(folder: &str) -> String {
    format!("{folder}open")
}

/// The object with part `index`.
pub(super) fn part(folder: &str, index: u64) -> String {
    format!("{folder}part-{index:05}")
}

/// The object that is put together from others, on the way to the whole.
pub(super) fn composed(folder: &str, level: u32, index: usize) -> String {
    format!("{folder}whole-{level}-{index:05}")
}

/// The index of the part that an object in `folder` holds.
pub(super) fn index_of(folder: &str, name: &str) -> Option<u64> {
    name.strip_prefix(folder)?.strip_prefix("part-")?.parse().ok()
}

/// The CRC32C of an object, from those of its parts with their lengths; `None` when one is none.
pub(super) fn composed_crc32c<'a>(parts: impl Iterator<Item = (&'a str, u64)>) -> Option<String> {
    let parts: Option<Vec<(Sum, u64)>> = parts
        .map(|(text, length)| Some((sum::from_base64(SumKind::Crc32c, text)?, length)))
        .collect();
    sum::composed(parts?.into_iter()).map(sum::to_base64)
}

#[cfg(test)]
mod tests {
    use airlift_protocol::shard;
    use proptest::prelude::*;

    use super::*;
    use crate::store::digest::crc32c;

    fn upload(part_shift: u32) -> UploadId {
        UploadId { part_shift, nonce: [1, 2, 3, 4, 5, 6, 7, 255] }
    }

    #[test]
    fn parts_grow_with_the_object_until_it_is_too_large() {
        for (size, shift) in [
            (0, Some(24)),
            (10_000 << 24, Some(24)),
            ((10_000 << 24) + 1, Some(25)),
            (OBJECT_BYTES_MAX, Some(30)),
            (OBJECT_BYTES_MAX + 1, None),
        ] {
            assert_eq!(part_shift(size), shift, "{size}");
        }
    }

    #[test]
    fn a_shard_is_a_number_of_whole_parts() {
        let sizes =
            (24..=PART_SHIFT_MAX).flat_map(|shift| [10_000 << shift, (10_000 << shift) + 1]);
        for size in sizes {
            let Some(shift) = part_shift(size) else { continue };
            for index in [0, 1, shard::count(size) - 1] {
                let shard = shard::range(size, index);
                let part = upload(shift).part_range(shard.start >> shift, size).unwrap();
                assert_eq!((part.start, part.end <= shard.end), (shard.start, true), "{size}");
            }
        }
    }

    #[test]
    fn tokens_come_back_and_foreign_ones_are_refused() {
        assert_eq!(UploadId::parse(&upload(25).to_token()), Some(upload(25)));
        for token in ["", "24", "24:", "24c:0102030405060708", "24:01", "99:0102030405060708"] {
            assert_eq!(UploadId::parse(&UploadToken(token.to_owned())), None, "{token}");
        }
    }

    #[test]
    fn objects_of_an_upload_are_known_by_their_names() {
        let folder = upload(24).folder("a/");
        assert_eq!(folder, "a/01020304050607ff/");
        assert_eq!(index_of(&folder, &part(&folder, 9_999)), Some(9_999));
        for other in [mark(&folder), composed(&folder, 1, 2), "a/part-00001".to_owned()] {
            assert_eq!(index_of(&folder, &other), None, "{other}");
        }
        let size = (2 << 20) + 5;
        assert_eq!(upload(20).part_range(2, size), Some(ByteRange::new(2 << 20, size)));
        assert_eq!(upload(20).part_range(3, size), None);
    }

    proptest! {
        #[test]
        fn the_sum_of_the_whole_follows_from_those_of_the_parts(
            bytes in prop::collection::vec(any::<u8>(), 1..300),
            length in 1usize..70,
        ) {
            let sums: Vec<(String, u64)> =
                bytes.chunks(length).map(|part| (crc32c(part), part.len() as u64)).collect();
            let parts = sums.iter().map(|(sum, length)| (sum.as_str(), *length));
            prop_assert_eq!(composed_crc32c(parts), Some(crc32c(&bytes)));
        }
    }

    #[test]
    fn without_every_sum_there_is_none_of_the_whole() {
        assert_eq!(composed_crc32c([("AAAAAA==", 1), ("x", 1)].into_iter()), None);
        assert_eq!(composed_crc32c([].into_iter()), None);
    }
}
