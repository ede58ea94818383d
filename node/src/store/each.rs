//! Many requests at once, and never more than a service should have to bear from one node; and many
//! chunks as the one body of a request.

use airlift_protocol::sum::{Sum, SumKind};
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, stream};

use super::sum::Summer;
use super::{contiguous, sum};
use crate::pipeline::chunk::VerifiedChunk;
use crate::runtime::blocking::blocking;

/// Requests for small objects that run at the same time at a store that has no gate of its own.
pub(super) const REQUESTS_MAX: usize = 32;

/// Runs `request` for every item, up to `at_once` at a time; results in order.
pub(super) async fn for_each<T, R, F>(
    at_once: usize,
    items: Vec<T>,
    request: impl Fn(T) -> F,
) -> Vec<R>
where
    F: Future<Output = R>,
{
    let mut results: Vec<(usize, R)> = stream::iter(items.into_iter().enumerate())
        .map(|(index, item)| {
            let result = request(item);
            async move { (index, result.await) }
        })
        .buffer_unordered(at_once)
        .collect()
        .await;
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

/// The bytes of consecutive chunks, with the sums of `kinds` of them, computed while they are copied.
/// Runs off the reactor.
pub(super) async fn joined_summed(
    mut chunks: Vec<VerifiedChunk>,
    kinds: Vec<SumKind>,
) -> (Bytes, Vec<Sum>) {
    blocking(move || {
        let mut summers: Vec<Summer> = kinds.into_iter().map(Summer::new).collect();
        let finish = |summers: Vec<Summer>| summers.into_iter().map(Summer::finish).collect();
        if chunks.len() == 1
            && let Some(chunk) = chunks.pop()
        {
            let bytes = contiguous(chunk.payload());
            sum::update_all(&mut summers, &bytes);
            return (bytes, finish(summers));
        }
        let length: u64 = chunks.iter().map(|chunk| chunk.payload().len()).sum();
        let mut bytes = BytesMut::with_capacity(length as usize);
        for chunk in chunks {
            let piece = contiguous(chunk.payload());
            sum::update_all(&mut summers, &piece);
            bytes.extend_from_slice(&piece);
        }
        (bytes.freeze(), finish(summers))
    })
    .await
}

/// The bytes of consecutive chunks. Each chunk is let go as soon as it is copied.
pub(super) fn joined(mut chunks: Vec<VerifiedChunk>) -> Bytes {
    if chunks.len() == 1 {
        return chunks.pop().map_or_else(Bytes::new, |chunk| contiguous(chunk.payload()));
    }
    let length: u64 = chunks.iter().map(|chunk| chunk.payload().len()).sum();
    let mut bytes = BytesMut::with_capacity(length as usize);
    for chunk in chunks {
        bytes.extend_from_slice(&contiguous(chunk.payload()));
    }
    bytes.freeze()
}
