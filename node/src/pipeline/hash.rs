//! The hash stage of the source: a chunk gets the value by which the target will know it.

use airlift_protocol::chunk::{self, Root, SpanValue};
use airlift_protocol::limits::CHUNK_BYTES;

use super::chunk::{HashedChunk, Payload};

pub(super) static ZEROS: [u8; CHUNK_BYTES as usize] = [0; CHUNK_BYTES as usize];

/// Computes the value of the chunk `payload` at `offset`.
pub fn hash(object_size: u64, offset: u64, payload: Payload) -> HashedChunk {
    let value = value(object_size, offset, &payload);
    HashedChunk { object_size, offset, value, payload }
}

/// The value of a payload at its place in an object.
pub(super) fn value(object_size: u64, offset: u64, payload: &Payload) -> SpanValue {
    chunk::value(object_size, offset, plaintext(payload))
}

/// The hash of a whole object held in memory.
pub fn root(payload: &Payload) -> Root {
    match payload {
        Payload::Bytes(bytes) => Root::of(bytes),
        Payload::Zero(length) if *length <= CHUNK_BYTES => Root::of(plaintext(payload)),
        Payload::Zero(length) => {
            let mut hasher = blake3::Hasher::new();
            let mut left = *length;
            while left > 0 {
                let step = left.min(CHUNK_BYTES);
                hasher.update(&ZEROS[..step as usize]);
                left -= step;
            }
            Root(*hasher.finalize().as_bytes())
        }
    }
}

fn plaintext(payload: &Payload) -> &[u8] {
    match payload {
        Payload::Bytes(bytes) => bytes,
        Payload::Zero(length) => &ZEROS[..usize::try_from(*length).expect("a chunk fits memory")],
    }
}
