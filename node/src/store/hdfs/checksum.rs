//! The checksum that datanodes compute of a file, and the same computed here.
//!
//! Hadoop keeps a CRC of every 512 bytes or so of a file. Of these it makes the MD5 of each block, and the MD5 of
//! the blocks' MD5s. That one is taken of the whole buffer that they were collected in, a power of two of 32
//! bytes at least with zeros at its end, and so it has to be here. Clusters that are set so answer with a plain CRC
//! instead. What is unknown here proves nothing, and the bytes are read back.

use bytes::Bytes;
use crc_fast::{CrcAlgorithm, Digest as CrcDigest};
use data_encoding::HEXLOWER_PERMISSIVE;
use md5::{Digest, Md5};
use serde::Deserialize;

/// Least bytes of the buffer in which the MD5s of blocks are collected.
const BUFFER_BYTES_MIN: usize = 32;

/// Bytes of an MD5.
const MD5_BYTES: usize = 16;

/// What the file system says of a file.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub(super) struct FileChecksum {
    algorithm: String,
    bytes: String,
}

/// A checksum that can be computed here.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// MD5 of MD5s of CRCs.
    Md5s {
        crc: CrcAlgorithm,
        /// Bytes that one CRC is of.
        step: usize,
        /// Bytes that one block is of; `None` when there is one block.
        block: Option<usize>,
    },
    /// One CRC of all.
    Whole(CrcAlgorithm),
}

impl FileChecksum {
    /// Whether it is that of `pieces`, one after the other; `None` when it is of a kind that is not known here.
    pub(super) fn is_of(&self, pieces: &[Bytes]) -> Option<bool> {
        let said = HEXLOWER_PERMISSIVE.decode(self.bytes.as_bytes()).ok()?;
        match self.kind()? {
            Kind::Whole(crc) => {
                let mut digest = CrcDigest::new(crc);
                pieces.iter().for_each(|piece| digest.update(piece));
                let value = u32::try_from(digest.finalize()).ok()?;
                Some(said == value.to_be_bytes())
            }
            Kind::Md5s { crc, step, block } => {
                // The numbers of the algorithm, then the MD5, then padding.
                let said = said.get(12..12 + MD5_BYTES)?;
                let crcs = crcs(crc, step, pieces)?;
                Some(said == md5_of_blocks(&crcs, block.map(|block| block / step)))
            }
        }
    }

    fn kind(&self) -> Option<Kind> {
        let crc = |name: &str| match name {
            "CRC32C" => Some(CrcAlgorithm::Crc32Iscsi),
            "CRC32" => Some(CrcAlgorithm::Crc32IsoHdlc),
            _ => None,
        };
        if let Some(name) = self.algorithm.strip_prefix("COMPOSITE-") {
            return crc(name).map(Kind::Whole);
        }
        let rest = self.algorithm.strip_prefix("MD5-of-")?;
        let (per_block, rest) = rest.split_once("MD5-of-")?;
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (step, name) = rest.split_at(digits);
        let (per_block, step) = (per_block.parse::<usize>().ok()?, step.parse::<usize>().ok()?);
        let block = match per_block {
            0 => None,
            count => Some(count.checked_mul(step)?),
        };
        Some(Kind::Md5s { crc: crc(name)?, step: (step > 0).then_some(step)?, block })
    }
}

/// CRCs of each `step` bytes of `pieces`; `None` when a piece but the last does not end with one.
fn crcs(crc: CrcAlgorithm, step: usize, pieces: &[Bytes]) -> Option<Vec<u8>> {
    let mut crcs = Vec::new();
    for (index, piece) in pieces.iter().enumerate() {
        if piece.len() % step != 0 && index + 1 < pieces.len() {
            return None;
        }
        for bytes in piece.chunks(step) {
            let value = u32::try_from(crc_fast::checksum(crc, bytes)).ok()?;
            crcs.extend_from_slice(&value.to_be_bytes());
        }
    }
    Some(crcs)
}

/// The MD5 of the MD5s of each `per_block` of `crcs`, with the zeros that Hadoop adds.
fn md5_of_blocks(crcs: &[u8], per_block: Option<usize>) -> [u8; MD5_BYTES] {
    let block_bytes = per_block.map_or(crcs.len(), |count| count * 4).max(4);
    let mut buffer = Vec::new();
    for block in crcs.chunks(block_bytes) {
        buffer.extend_from_slice(&Md5::digest(block));
    }
    let capacity = buffer.len().next_power_of_two().max(BUFFER_BYTES_MIN);
    buffer.resize(capacity, 0);
    Md5::digest(&buffer).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(algorithm: &str, bytes: &str) -> FileChecksum {
        FileChecksum { algorithm: algorithm.to_owned(), bytes: bytes.to_owned() }
    }

    /// What Hadoop 2.7.4 answered for these five bytes.
    #[test]
    fn the_checksum_of_one_block_is_hadoops() {
        let checksum = said(
            "MD5-of-0MD5-of-512CRC32C",
            "0000020000000000000000002ebac5fafc444475c9720587791d741200000000",
        );
        assert_eq!(checksum.is_of(&[Bytes::from_static(b"hello")]), Some(true));
        assert_eq!(checksum.is_of(&[Bytes::from_static(b"hellp")]), Some(false));
        assert_eq!(checksum.is_of(&[]), Some(false));
    }

    /// What Hadoop 2.7.4 answered for 5 MiB and a bit in blocks of 1 MiB: six MD5s in a buffer for eight.
    #[test]
    fn the_checksum_of_blocks_is_hadoops() {
        let bytes: Vec<u8> = (0..(5u32 << 20) + 77).map(|at| (at % 251) as u8).collect();
        let bytes = Bytes::from(bytes);
        let checksum = said("MD5-of-2048MD5-of-512CRC32C", FIVE_MEBIBYTES);
        assert_eq!(checksum.is_of(&[bytes.clone()]), Some(true));
        let pieces = [bytes.slice(..1 << 20), bytes.slice(1 << 20..)];
        assert_eq!(checksum.is_of(&pieces), Some(true));
        let mut other = bytes.to_vec();
        other[3 << 20] ^= 1;
        assert_eq!(checksum.is_of(&[Bytes::from(other)]), Some(false));
    }

    const FIVE_MEBIBYTES: &str = "00000200000000000000080078022c65f7d8fbd7c44435428eb30c5400000000";

    #[test]
    fn a_plain_crc_is_one_of_all_bytes() {
        let digits = Bytes::from_static(b"123456789");
        assert_eq!(said("COMPOSITE-CRC32C", "e3069283").is_of(&[digits.clone()]), Some(true));
        assert_eq!(said("COMPOSITE-CRC32", "cbf43926").is_of(&[digits.clone()]), Some(true));
        assert_eq!(said("COMPOSITE-CRC32C", "e3069284").is_of(&[digits]), Some(false));
    }

    #[test]
    fn what_is_not_known_proves_nothing() {
        let bytes = [Bytes::from_static(b"abc"), Bytes::from_static(b"d")];
        for algorithm in [
            "",
            "MD5-of-0MD5-of-0CRC32C",
            "MD5-of-0MD5-of-512CRC64",
            "MD5-of-xMD5-of-512CRC32C",
            "COMPOSITE-MD5",
            "SHA",
            "MD5-of-99999999999999999999MD5-of-512CRC32C",
        ] {
            assert_eq!(said(algorithm, "00").is_of(&bytes), None, "{algorithm}");
        }
        let good = "0000020000000000000000002ebac5fafc444475c9720587791d741200000000";
        assert_eq!(
            said("MD5-of-0MD5-of-512CRC32C", good).is_of(&bytes),
            None,
            "pieces of odd lengths"
        );
        assert_eq!(said("MD5-of-0MD5-of-512CRC32C", "zz").is_of(&bytes[..1]), None);
        assert_eq!(said("MD5-of-0MD5-of-512CRC32C", "00").is_of(&bytes[..1]), None);
    }
}
