//! The names of blocks, and what they say of an upload.
//!
//! The service has no name for an upload: blocks that were staged and not committed belong to the
//! blob's name, whoever staged them. So the names of ours say whose they are: the job, the upload
//! (some bytes of chance), and the part. All have one length, which the service asks for.
//!
//! One more block, the mark, stands for the upload itself. While the upload is open the mark has
//! [`OPEN_BYTES`]; what is dropped has a mark of [`CLOSED_BYTES`], since blocks can be replaced but
//! not deleted.

use airlift_protocol::assignment::UploadToken;
use airlift_protocol::id::JobId;
use airlift_protocol::units::ByteRange;
use data_encoding::{BASE64, HEXLOWER};

use crate::store::chance::NONCE_BYTES;

/// Blocks that a blob may have.
const BLOCKS_MAX: u64 = 50_000;
/// Size of a part is `1 << shift`; small objects have parts of 16 MiB.
const PART_SHIFT_MIN: u32 = 24;
/// A part is in memory as a whole: 1 GiB at most, which is enough for 53.6 TB.
const PART_SHIFT_MAX: u32 = 30;
/// Bounds what a token may say.
const PART_SHIFT_FLOOR: u32 = 20;

/// Largest object that can be uploaded.
pub(super) const OBJECT_BYTES_MAX: u64 = BLOCKS_MAX << PART_SHIFT_MAX;

/// Bytes of the mark of an upload that is open.
pub(super) const OPEN_BYTES: u64 = 2;
/// Bytes of every block of an upload that was dropped.
pub(super) const CLOSED_BYTES: u64 = 1;

/// What the names of our blocks begin with.
const OWN: &[u8; 4] = b"airl";
/// The number that the mark has in place of a part's.
const MARK: u32 = u32::MAX;

/// Exponent of the part size for an object of `size` bytes; `None` when it is too large.
pub(super) fn part_shift(size: u64) -> Option<u32> {
    (PART_SHIFT_MIN..=PART_SHIFT_MAX).find(|&shift| size <= BLOCKS_MAX << shift)
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
    pub(super) fn part_range(&self, index: u32, size: u64) -> Option<ByteRange> {
        let start = u64::from(index).checked_mul(self.part_bytes())?;
        (u64::from(index) < self.part_count(size))
            .then(|| ByteRange::new(start, size.min(start + self.part_bytes())))
    }

    /// The name of the block with part `index`.
    pub(super) fn part_block(&self, job: JobId, index: u32) -> String {
        block(job, self.nonce, index)
    }

    /// The name of the block that stands for the upload.
    pub(super) fn mark(&self, job: JobId) -> String {
        block(job, self.nonce, MARK)
    }

    /// The blocks of an object of `size` bytes, in order, with their sizes.
    pub(super) fn blocks(&self, job: JobId, size: u64) -> Vec<Block> {
        (0..)
            .map_while(|index| {
                let range = self.part_range(index, size)?;
                Some(Block { name: self.part_block(job, index), size: range.len() })
            })
            .collect()
    }
}

fn block(job: JobId, nonce: [u8; NONCE_BYTES], number: u32) -> String {
    BASE64.encode(&[&OWN[..], &job.0, &nonce, &number.to_be_bytes()].concat())
}

/// A block that the service holds, by the name that it goes by in documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) name: String,
    pub(super) size: u64,
}

impl Block {
    /// The upload of `job` that it belongs to, if it does.
    pub(super) fn nonce(&self, job: JobId) -> Option<[u8; NONCE_BYTES]> {
        let raw = BASE64.decode(self.name.as_bytes()).ok()?;
        let rest = raw.strip_prefix(OWN.as_slice())?.strip_prefix(job.0.as_slice())?;
        (rest.len() == NONCE_BYTES + 4).then(|| rest[..NONCE_BYTES].try_into().ok())?
    }
}

#[cfg(test)]
mod tests {
    use airlift_protocol::shard;

    use super::*;

    const JOB: JobId = JobId([7; 16]);

    fn upload(part_shift: u32) -> UploadId {
        UploadId { part_shift, nonce: [1, 2, 3, 4, 5, 6, 7, 255] }
    }

    #[test]
    fn parts_grow_with_the_object_until_it_is_too_large() {
        for (size, shift) in [
            (0, Some(24)),
            (50_000 << 24, Some(24)),
            ((50_000 << 24) + 1, Some(25)),
            (OBJECT_BYTES_MAX, Some(30)),
            (OBJECT_BYTES_MAX + 1, None),
        ] {
            assert_eq!(part_shift(size), shift, "{size}");
        }
    }

    #[test]
    fn a_shard_is_a_number_of_whole_parts() {
        for size in
            (24..=PART_SHIFT_MAX).flat_map(|shift| [BLOCKS_MAX << shift, (BLOCKS_MAX << shift) + 1])
        {
            let Some(shift) = part_shift(size) else { continue };
            for index in [0, 1, shard::count(size) - 1] {
                let shard = shard::range(size, index);
                let number = u32::try_from(shard.start >> shift).unwrap();
                let part = upload(shift).part_range(number, size).unwrap();
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
    fn names_of_blocks_have_one_length_and_say_whose_they_are() {
        let upload = upload(20);
        let names = [upload.mark(JOB), upload.part_block(JOB, 0), upload.part_block(JOB, 49_999)];
        for name in names {
            assert_eq!(name.len(), 44);
            let block = Block { name, size: 1 };
            assert_eq!(block.nonce(JOB), Some(upload.nonce));
            assert_eq!(block.nonce(JobId([8; 16])), None);
        }
        let foreign = Block { name: BASE64.encode(b"000001"), size: 1 };
        assert_eq!(foreign.nonce(JOB), None);
    }

    #[test]
    fn every_part_has_its_range() {
        let size = (2 << 20) + 5;
        let sizes: Vec<u64> = upload(20).blocks(JOB, size).iter().map(|block| block.size).collect();
        assert_eq!(sizes, [1 << 20, 1 << 20, 5]);
        assert_eq!(upload(20).part_range(2, size), Some(ByteRange::new(2 << 20, size)));
        assert_eq!(upload(20).part_range(3, size), None);
        assert_eq!(upload(20).part_range(0, 0), Some(ByteRange::new(0, 0)));
    }
}
