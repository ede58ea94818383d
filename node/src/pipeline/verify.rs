//! The verify stage of the target: bytes that do not have the source's hash go no further.

use airlift_protocol::chunk::Root;
use thiserror::Error;

use super::chunk::{Payload, ReceivedChunk, VerifiedChunk, VerifiedObject};
use super::hash;

/// The bytes are not those that the source hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("bytes changed between read and write: their hash is not the one computed at the source")]
pub struct CorruptBytes;

/// Hashes a received chunk and lets it pass if it has the value it should have.
///
/// # Errors
/// When it has another.
pub fn verify(chunk: ReceivedChunk) -> Result<VerifiedChunk, CorruptBytes> {
    let ReceivedChunk { object_size, offset, value, payload } = chunk;
    if hash::value(object_size, offset, &payload) != value {
        return Err(CorruptBytes);
    }
    Ok(VerifiedChunk { offset, value, payload })
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
