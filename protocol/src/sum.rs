//! Sums of whole objects beside their BLAKE3 hash: those that stores compute and keep.
//!
//! What they are computed by is not here. A value never stands for less than the whole object: the
//! checksum of checksums that some stores give to objects in parts is none of these.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How a sum is computed. Append only: the place of each is on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum SumKind {
    /// CRC-32/ISO-HDLC, the one of zip.
    Crc32,
    /// CRC-32/ISCSI, after Castagnoli.
    Crc32c,
    /// CRC-64/NVME.
    Crc64Nvme,
    /// CRC-64/XZ, which some services call that of ECMA-182.
    Crc64Xz,
    /// MD5.
    Md5,
    /// SHA-256.
    Sha256,
}

impl SumKind {
    /// Every kind.
    pub const ALL: [Self; 6] =
        [Self::Crc32, Self::Crc32c, Self::Crc64Nvme, Self::Crc64Xz, Self::Md5, Self::Sha256];

    /// The name that reports use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Crc32 => "crc32",
            Self::Crc32c => "crc32c",
            Self::Crc64Nvme => "crc64nvme",
            Self::Crc64Xz => "crc64xz",
            Self::Md5 => "md5",
            Self::Sha256 => "sha256",
        }
    }
}

impl fmt::Display for SumKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64-NVME",
            Self::Crc64Xz => "CRC64-XZ",
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
        })
    }
}

/// A sum of all bytes of an object. The kinds are those of [`SumKind`], in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Sum {
    /// CRC-32/ISO-HDLC.
    Crc32(u32),
    /// CRC-32/ISCSI.
    Crc32c(u32),
    /// CRC-64/NVME.
    Crc64Nvme(u64),
    /// CRC-64/XZ.
    Crc64Xz(u64),
    /// MD5.
    Md5([u8; 16]),
    /// SHA-256.
    Sha256([u8; 32]),
}

impl Sum {
    /// How it is computed.
    pub fn kind(&self) -> SumKind {
        match self {
            Self::Crc32(_) => SumKind::Crc32,
            Self::Crc32c(_) => SumKind::Crc32c,
            Self::Crc64Nvme(_) => SumKind::Crc64Nvme,
            Self::Crc64Xz(_) => SumKind::Crc64Xz,
            Self::Md5(_) => SumKind::Md5,
            Self::Sha256(_) => SumKind::Sha256,
        }
    }
}

/// How a store came to a sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SumOrigin {
    /// It computed, or checked, the sum itself, of the bytes that it holds.
    Computed,
    /// It may be something else: a value that a client set, or an entity tag that has the form of a
    /// sum. One that agrees says what any does; one that disagrees says nothing.
    Claimed,
}

/// A sum that a store keeps of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StoredSum {
    /// Its value.
    pub sum: Sum,
    /// How the store came to it.
    pub origin: SumOrigin,
}

impl StoredSum {
    /// One that the store computed itself.
    pub fn computed(sum: Sum) -> Self {
        Self { sum, origin: SumOrigin::Computed }
    }

    /// One that may be something else.
    pub fn claimed(sum: Sum) -> Self {
        Self { sum, origin: SumOrigin::Claimed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec;

    #[test]
    fn sums_have_the_bytes_they_always_had() {
        let sums = [
            (Sum::Crc32(1), vec![0, 1]),
            (Sum::Crc32c(250), vec![1, 250]),
            (Sum::Crc64Nvme(2), vec![2, 2]),
            (Sum::Crc64Xz(3), vec![3, 3]),
            (Sum::Md5([7; 16]), [vec![4], vec![7; 16]].concat()),
            (Sum::Sha256([9; 32]), [vec![5], vec![9; 32]].concat()),
        ];
        for ((place, kind), (sum, golden)) in SumKind::ALL.iter().enumerate().zip(sums) {
            assert_eq!(codec::encode(&sum), golden);
            assert_eq!(codec::encode(kind), [place as u8]);
            assert_eq!(sum.kind(), *kind);
            let stored = StoredSum::claimed(sum);
            assert_eq!(codec::encode(&stored), [golden, vec![1]].concat());
        }
    }
}
