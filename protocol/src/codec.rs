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

const fn configuration() -> Configuration<LittleEndian, Varint, Limit<LOG_ENTRY_BYTES_MAX>> {
    bincode::config::standard().with_limit::<LOG_ENTRY_BYTES_MAX>()
}

/// Encodes `value`: variable-length integers, little endian.
///
/// # Panics
/// When `value` has a sequence of unknown length, which no type of this crate has.
pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    bincode::serde::encode_to_vec(value, configuration())
        .expect("invariant: types of the protocol have sized sequences")
}

/// Decodes exactly one `T` that fills `bytes`, allocating no more than the limit allows.
///
/// # Errors
/// When there are more than `bytes_max` bytes, when they are no `T`, or when some are left over.
pub fn decode<T: DeserializeOwned>(bytes: &[u8], bytes_max: usize) -> Result<T, DecodeError> {
    if bytes.len() > bytes_max {
        return Err(DecodeError::TooLong { bytes: bytes.len(), bytes_max });
    }
    let (value, read) = bincode::serde::decode_from_slice(bytes, configuration())?;
    match bytes.len() - read {
        0 => Ok(value),
        left => Err(DecodeError::Trailing(left)),
    }
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
            version: Version::ETag("x".to_owned()),
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
        ];
        assert_eq!(encode(&page), golden);
        assert_eq!(decode::<Page>(&golden, 64).unwrap(), page);
    }

    #[test]
    fn too_many_bytes_are_refused_unread() {
        assert!(matches!(decode::<u32>(&[0; 65], 64), Err(DecodeError::TooLong { .. })));
    }
}
