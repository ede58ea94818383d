//! The types that a chunk passes through, in order.
//!
//! ```text
//! Payload ─hash→ HashedChunk ─compress→ CompressedChunk ─link→ CompressedChunk
//!         ─decompress→ ReceivedChunk ─verify→ VerifiedChunk ─write→ store
//! ```

use airlift_protocol::chunk::{Root, SpanValue};
use bytes::Bytes;

/// Plaintext bytes, with runs of zeros kept as a number so that holes cost nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// Bytes as they are.
    Bytes(Bytes),
    /// So many zeros.
    Zero(u64),
}

impl Payload {
    /// Number of plaintext bytes.
    pub fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Zero(length) => *length,
        }
    }

    /// Whether there is no byte.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A chunk of an object with the value that the source computed for it.
#[derive(Clone, Debug)]
pub struct HashedChunk {
    /// Bytes of the whole object.
    pub object_size: u64,
    /// Place of the chunk in the object.
    pub offset: u64,
    /// Its value, computed from the plaintext at the source.
    pub value: SpanValue,
    /// The plaintext.
    pub payload: Payload,
}

/// A chunk as it came out of the link: not to be trusted yet.
#[derive(Clone, Debug)]
pub struct ReceivedChunk {
    /// Bytes of the whole object.
    pub object_size: u64,
    /// Place of the chunk in the object.
    pub offset: u64,
    /// The value it should have.
    pub value: SpanValue,
    /// What arrived as its plaintext.
    pub payload: Payload,
    /// Whether that is the very memory which was hashed, in this process.
    pub(super) is_kept: bool,
}

impl ReceivedChunk {
    /// One that came from elsewhere.
    pub fn new(object_size: u64, offset: u64, value: SpanValue, payload: Payload) -> Self {
        Self { object_size, offset, value, payload, is_kept: false }
    }
}

/// A chunk whose bytes were hashed at the target and have the source's value, or never left the memory
/// in which the source hashed them.
///
/// Only [`verify`](super::verify) makes one.
#[derive(Clone, Debug)]
pub struct VerifiedChunk {
    pub(super) offset: u64,
    pub(super) value: SpanValue,
    pub(super) payload: Payload,
}

impl VerifiedChunk {
    /// Place of the chunk in the object.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Its value.
    pub fn value(&self) -> SpanValue {
        self.value
    }

    /// Its bytes.
    pub fn payload(&self) -> &Payload {
        &self.payload
    }
}

/// A whole small object whose bytes were hashed at the target and have the source's root, or never left
/// the memory in which the source hashed them.
///
/// Only [`verify`](super::verify) makes one.
#[derive(Clone, Debug)]
pub struct VerifiedObject {
    pub(super) root: Root,
    pub(super) payload: Payload,
}

impl VerifiedObject {
    /// Its hash.
    pub fn root(&self) -> Root {
        self.root
    }

    /// Its bytes.
    pub fn payload(&self) -> &Payload {
        &self.payload
    }
}
