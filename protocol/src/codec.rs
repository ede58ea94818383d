//! Bytes and back, with hard limits.
//!
//! This is the only module that names the encoding crate; leaving `bincode` stays a change of this
//! file. Enums are append-only, and golden bytes in the tests hold the encoding still.

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::limits::LOG_ENTRY_BYTES_MAX;

/// Why bytes could not be read.
#[derive(Debug, Error)]
pub enum DecodeError {
    /// More bytes than this kind of value may have.
    #[error("{bytes} bytes where at most {bytes_max} are allowed")]
    TooLong {
        /// Bytes given.
        bytes: usize,
        /// Bytes allowed.
        bytes_max: usize,
    },
    /// The bytes are not a value of the expected type.
    #[error("malformed: {0}")]
    Malformed(#[from] bincode::error::DecodeError),
    /// A value was read, and bytes remain.
    #[error("{0} bytes left over")]
    Trailing(usize),
}

/// Bytes that the decoder counts for one that it reads, at most: an integer of eight may take one
/// on the wire. With a limit of so many times its length, whatever was encoded can be read.
const COUNTED_PER_BYTE: usize = 8;

/// Bytes up to which an input is short, and up to which it is of middle length: what is set aside
/// for a length that it declares is in proportion to its own.
const SHORT_BYTES: usize = 16 << 10;
const MIDDLE_BYTES: usize = 1 << 20;

const fn configuration<const N: usize>() -> Configuration<LittleEndian, Varint, Limit<N>> {
    bincode::config::standard().with_limit::<N>()
}

fn read<T: DeserializeOwned, const N: usize>(
    bytes: &[u8],
) -> Result<(T, usize), bincode::error::DecodeError> {
    bincode::serde::decode_from_slice(bytes, configuration::<N>())
}

/// Encodes `value`: variable-length integers, little endian.
///
/// # Panics
/// When `value` has a sequence of unknown length, which no type of this crate has.
pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    bincode::serde::encode_to_vec(value, bincode::config::standard())
        .expect("invariant: types of the protocol have sized sequences")
}

/// Decodes exactly one `T` that fills `bytes`. What is set aside for a declared length is bounded by
/// the length of `bytes`, how often a list may grow by the list's own limit
/// (module `bounded`).
///
/// # Errors
/// When there are more than `bytes_max` bytes, when they are no `T`, or when some are left over.
pub fn decode<T: DeserializeOwned>(bytes: &[u8], bytes_max: usize) -> Result<T, DecodeError> {
    if bytes.len() > bytes_max {
        return Err(DecodeError::TooLong { bytes: bytes.len(), bytes_max });
    }
    let (value, length) = match bytes.len() {
        length if length <= SHORT_BYTES => read::<T, { COUNTED_PER_BYTE * SHORT_BYTES }>(bytes)?,
        length if length <= MIDDLE_BYTES => read::<T, { COUNTED_PER_BYTE * MIDDLE_BYTES }>(bytes)?,
        _ => read::<T, { COUNTED_PER_BYTE * LOG_ENTRY_BYTES_MAX }>(bytes)?,
    };
    match bytes.len() - length {
        0 => Ok(value),
        left => Err(DecodeError::Trailing(left)),
    }
}

/// Decodes the `T` that `bytes` begin with, whatever follows.
pub fn decode_first<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let head = &bytes[..bytes.len().min(SHORT_BYTES)];
    read::<T, { COUNTED_PER_BYTE * SHORT_BYTES }>(head).ok().map(|(value, _)| value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::PageId;
    use crate::key::Key;
    use crate::manifest::{Entry, Kind, Page, Version};

    #[test]
    fn a_declared_length_beyond_the_input_is_refused_before_allocation() {
        // A byte string that claims 2^60 bytes: marker 253 (u64), then the length.
        let mut bytes = vec![253];
        bytes.extend_from_slice(&(1u64 << 60).to_le_bytes());
        assert!(decode::<Vec<u8>>(&bytes, 64).is_err());
    }

    #[test]
    fn whatever_is_written_within_the_limit_is_read() {
        // Each number takes one byte, and the decoder counts eight for it.
        for count in [SHORT_BYTES - 8, MIDDLE_BYTES - 8, LOG_ENTRY_BYTES_MAX - 8] {
            let numbers = vec![1u64; count];
            let bytes = encode(&numbers);
            assert!(decode::<Vec<u64>>(&bytes, LOG_ENTRY_BYTES_MAX).unwrap() == numbers, "{count}");
        }
    }

    #[test]
    fn a_short_input_sets_little_aside() {
        let declares = |bytes: u32| [vec![252], bytes.to_le_bytes().to_vec()].concat();
        let error = decode::<String>(&declares(1 << 20), 64).unwrap_err();
        let is_limit = |error: &DecodeError| {
            matches!(error, DecodeError::Malformed(bincode::error::DecodeError::LimitExceeded))
        };
        assert!(is_limit(&error), "{error}");
        let error = decode::<String>(&declares(1 << 16), 64).unwrap_err();
        assert!(!is_limit(&error), "the bytes are missing: {error}");
    }

    #[test]
    fn left_over_bytes_are_refused() {
        let mut bytes = encode(&7u32);
        bytes.push(0);
        assert!(matches!(decode::<u32>(&bytes, 64), Err(DecodeError::Trailing(1))));
    }

    #[test]
    fn a_page_has_the_bytes_it_always_had() {
        let entry = Entry {
            key: Key::from("a"),
            kind: Kind::Object,
            size: 300,
            mtime_ns: Some(-1),
            version: Version::ETag("x".into()),
            is_archived: true,
        };
        let page = Page { id: PageId(3), entries: vec![entry] };
        let golden = [
            3, // page id
            1, // entries
            1, b'a', // key
            0,    // kind: object
            251, 44, 1, // size 300: marker of a u16, little endian
            1, 1, // time: some, -1 in zigzag
            1, 1, b'x', // version: ETag, its length and text
            1,    // archived
        ];
        assert_eq!(encode(&page), golden);
        assert_eq!(decode::<Page>(&golden, 64).unwrap(), page);
    }

    #[test]
    fn too_many_bytes_are_refused_unread() {
        assert!(matches!(decode::<u32>(&[0; 65], 64), Err(DecodeError::TooLong { .. })));
    }
}
