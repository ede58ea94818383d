//! The verify stage of the target: bytes that do not have the source's hash go no further.

use airlift_protocol::chunk::{self, Root, SpanValue};
use airlift_protocol::limits::CHUNK_BYTES;
use airlift_protocol::units::ByteRange;
use thiserror::Error;

use super::chunk::{Payload, ReceivedChunk, VerifiedChunk, VerifiedObject};
use super::hash;

/// The bytes are not those that the source hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("bytes changed between read and write: their hash is not the one computed at the source")]
pub struct CorruptBytes;

/// Hashes a received chunk and lets it pass if it has the value it should have. What is still the memory
/// that was hashed passes as it is: nothing can have altered it but what could alter it after a second
/// hash, too.
///
/// # Errors
/// When it has another.
pub fn verify(chunk: ReceivedChunk) -> Result<VerifiedChunk, CorruptBytes> {
    let ReceivedChunk { object_size, offset, value, payload, is_kept } = chunk;
    if !is_kept && hash::value(object_size, offset, &payload) != value {
        return Err(CorruptBytes);
    }
    Ok(VerifiedChunk { offset, value, payload })
}

/// A whole object of `payload`, which `chunks` make up, if their values merge to `root`.
///
/// # Errors
/// When it should have another root.
pub fn verify_merged(
    root: Root,
    chunks: &[VerifiedChunk],
    payload: Payload,
) -> Result<VerifiedObject, CorruptBytes> {
    let whole = ByteRange::new(0, payload.len());
    let values: Vec<SpanValue> = chunks.iter().map(VerifiedChunk::value).collect();
    let count = whole.len().div_ceil(CHUNK_BYTES).max(1);
    if values.len() as u64 != count
        || chunk::merge(whole.len(), whole, CHUNK_BYTES, &values).0 != root.0
    {
        return Err(CorruptBytes);
    }
    Ok(VerifiedObject { root, payload })
}

/// Hashes a whole object that was received and lets it pass if it has the root it should have.
///
/// # Errors
/// When it has another.
pub fn verify_object(root: Root, payload: Payload) -> Result<VerifiedObject, CorruptBytes> {
    if hash::root(&payload) != root {
        return Err(CorruptBytes);
    }
    Ok(VerifiedObject { root, payload })
}
