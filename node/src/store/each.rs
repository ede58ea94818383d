//! Many requests at once, and never more than a service should have to bear from one node; and many
//! chunks as the one body of a request.

use std::collections::VecDeque;

use airlift_protocol::manifest::Entry;
use airlift_protocol::sum::{Sum, SumKind};
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, stream};
use tokio::sync::mpsc;

use super::sum::Summer;
use super::{Attributes, ReadResult, StoreError, contiguous, sum};
use crate::pipeline::chunk::{Payload, VerifiedChunk};
use crate::runtime::blocking::blocking;

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

/// Reads each of `objects`, up to `at_once` at a time, into `found`, until nobody wants more.
pub(super) async fn read_each<F>(
    at_once: usize,
    objects: Vec<Entry>,
    found: mpsc::Sender<ReadResult>,
    read: impl Fn(Entry) -> F,
) where
    F: Future<Output = Result<(Payload, Attributes), StoreError>>,
{
    let reads = objects.into_iter().enumerate().map(|(index, entry)| {
        let result = read(entry);
        async move { (index, result.await) }
    });
    let mut results = stream::iter(reads).buffer_unordered(at_once);
    // Whoever takes the results may be slow. Requests are not left alone on their way meanwhile: what is
    // read waits here, and the caller has memory for all of it.
    let mut ready = VecDeque::new();
    let mut is_at_end = false;
    while !(is_at_end && ready.is_empty()) {
        tokio::select! {
            result = results.next(), if !is_at_end => match result {
                Some(result) => ready.push_back(result),
                None => is_at_end = true,
            },
            place = found.reserve(), if !ready.is_empty() => match (place, ready.pop_front()) {
                (Ok(place), Some(result)) => place.send(result),
                _ => return,
            },
        }
    }
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use airlift_protocol::manifest::{Kind, Version};

    use super::*;

    #[tokio::test]
    async fn reading_goes_on_while_nobody_takes_what_was_read() {
        let entry = |name: &str| Entry {
            key: name.into(),
            kind: Kind::Object,
            size: 0,
            mtime_ns: None,
            version: Version::None,
            is_archived: false,
        };
        let (sender, mut found) = mpsc::channel::<ReadResult>(1);
        let done = AtomicUsize::new(0);
        let read = |_| async {
            done.fetch_add(1, Ordering::SeqCst);
            Ok((Payload::Bytes(Bytes::new()), Attributes::default()))
        };
        let take = async {
            while done.load(Ordering::SeqCst) < 5 {
                tokio::task::yield_now().await;
            }
            let mut indices = Vec::new();
            while let Some((index, result)) = found.recv().await {
                result.unwrap();
                indices.push(index);
            }
            indices
        };
        let objects = ["a", "b", "c", "d", "e"].map(entry).to_vec();
        let ((), mut indices) = tokio::join!(read_each(2, objects, sender, read), take);
        indices.sort_unstable();
        assert_eq!(indices, [0, 1, 2, 3, 4]);
    }
}
