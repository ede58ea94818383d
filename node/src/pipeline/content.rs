//! What a store holds, read and hashed: for verify, for `--checksum` and for reading back.

use std::sync::Arc;

use airlift_protocol::assignment::Object;
use airlift_protocol::chunk::Root;
use airlift_protocol::error::{ErrorCode, Failure};
use airlift_protocol::job::LinkPolicy;
use airlift_protocol::limits::CHUNK_BYTES;
use airlift_protocol::manifest::{Entry, Kind};
use airlift_protocol::report::{Completion, SkipReason, Verdict};
use airlift_protocol::shard;
use airlift_protocol::units::{ByteCount, ByteRange};
use futures::stream::{self, StreamExt};
use tokio::sync::mpsc;

use super::bounds::Bounds;
use super::{Transfer, blocking, hash};
use crate::store::{Store, StoreError, contiguous};

/// Large objects that are read at the same time by one order.
const LARGE_AT_ONCE: usize = 2;

/// Objects on the way from a reader to the hasher.
const READ_AHEAD: usize = 64;

/// Reads both ends and says which objects differ.
pub async fn verify(transfer: &Transfer, objects: Vec<Object>) -> Completion {
    let keys = objects.iter().map(|object| transfer.spec.target_key(&object.entry.key).clone());
    let found = transfer.target.lookup(keys.collect()).await;
    let mut verdicts: Vec<Option<Verdict>> = vec![None; objects.len()];
    let mut pairs: Vec<(usize, Entry, Entry)> = Vec::new();
    for (place, (object, found)) in objects.into_iter().zip(found).enumerate() {
        match judge(transfer, &object.entry, found) {
            Judged::Verdict(verdict) => verdicts[place] = Some(verdict),
            Judged::Read(target) => pairs.push((place, object.entry, target)),
        }
    }
    let sources: Vec<Entry> = pairs.iter().map(|(_, source, _)| source.clone()).collect();
    let targets: Vec<Entry> = pairs.iter().map(|(.., target)| target.clone()).collect();
    let (source_roots, target_roots) = tokio::join!(
        transfer.source.roots(sources),
        roots_of(&transfer.bounds, &transfer.target, targets),
    );
    for ((place, entry, _), roots) in pairs.iter().zip(source_roots.into_iter().zip(target_roots)) {
        verdicts[*place] = Some(match roots {
            (Ok(source), Ok(target)) if source == target => {
                Verdict::Equal { root: source, bytes: entry.size }
            }
            (Ok(_), Ok(_)) => Verdict::Differs("same size, other content".to_owned()),
            (Err(error), _) | (_, Err(error)) => Verdict::Failed(error.into()),
        });
    }
    let verdicts = verdicts.into_iter();
    Completion::Verified(verdicts.map(|verdict| verdict.unwrap_or(Verdict::Missing)).collect())
}

enum Judged {
    Verdict(Verdict),
    Read(Entry),
}

/// What can be said without reading.
fn judge(transfer: &Transfer, source: &Entry, found: Result<Option<Entry>, StoreError>) -> Judged {
    let is_link = matches!(source.kind, Kind::Symlink(_));
    if is_link && transfer.spec.policy.links == LinkPolicy::Skip {
        return Judged::Verdict(Verdict::Skipped(SkipReason::Symlink));
    }
    if source.kind == Kind::Special {
        return Judged::Verdict(Verdict::Skipped(SkipReason::Special));
    }
    let target = match found {
        Err(error) => return Judged::Verdict(Verdict::Failed(error.into())),
        Ok(None) => return Judged::Verdict(Verdict::Missing),
        Ok(Some(target)) => target,
    };
    let equal = || Verdict::Equal { root: Root::of(b""), bytes: 0 };
    let verdict = match (&source.kind, &target.kind) {
        (Kind::Object, Kind::Object) if source.size == target.size => return Judged::Read(target),
        (Kind::Object, Kind::Object) => Verdict::Differs(format!(
            "{} at the source, {} at the target",
            ByteCount(source.size),
            ByteCount(target.size)
        )),
        (Kind::Directory, Kind::Directory) => equal(),
        (Kind::Symlink(here), Kind::Symlink(there)) if here == there => equal(),
        (Kind::Symlink(_), Kind::Symlink(_)) => {
            Verdict::Differs("the links point to different places".to_owned())
        }
        _ => {
            Verdict::Differs("file, directory or link at one end, another at the other".to_owned())
        }
    };
    Judged::Verdict(verdict)
}

/// Hashes of many objects of one store, in order.
pub(super) async fn roots_of(
    bounds: &Bounds,
    store: &Arc<dyn Store>,
    entries: Vec<Entry>,
) -> Vec<Result<Root, StoreError>> {
    let mut roots: Vec<Option<Result<Root, StoreError>>> = entries.iter().map(|_| None).collect();
    let (large, small): (Vec<usize>, Vec<usize>) =
        (0..entries.len()).partition(|&place| shard::is_ranged(entries[place].size));
    let wanted: Vec<Entry> = small.iter().map(|&place| entries[place].clone()).collect();
    let bytes: u64 = wanted.iter().map(|entry| entry.size).sum();
    // Both ends read at the same time, so each takes half of what a bundle may have.
    let permit = bounds.budget.take(bytes / 2).await;
    let (found, mut arrived) = mpsc::channel(READ_AHEAD);
    let hash_small = async {
        while let Some((index, outcome)) = arrived.recv().await {
            let root = match outcome {
                Ok((payload, _)) => Ok(blocking(move || hash::root(&payload)).await),
                Err(error) => Err(error),
            };
            roots[small[index]] = Some(root);
        }
    };
    tokio::join!(store.read_small(wanted, found), hash_small);
    drop(permit);
    let large_roots: Vec<(usize, Result<Root, StoreError>)> = stream::iter(large)
        .map(|place| {
            let entry = &entries[place];
            async move { (place, root_of(bounds, store, entry).await) }
        })
        .buffer_unordered(LARGE_AT_ONCE)
        .collect()
        .await;
    for (place, root) in large_roots {
        roots[place] = Some(root);
    }
    let lost = || StoreError::new(ErrorCode::Bug, "no result for an object");
    roots.into_iter().map(|root| root.unwrap_or_else(|| Err(lost()))).collect()
}

/// The hash of one object of a store, read once from end to end.
///
/// # Errors
/// When it changed since `entry` was listed, or cannot be read.
pub async fn root_of(
    bounds: &Bounds,
    store: &Arc<dyn Store>,
    entry: &Entry,
) -> Result<Root, StoreError> {
    let mut reader = store.read_range(entry, ByteRange::new(0, entry.size)).await?;
    let mut hasher = Box::new(blake3::Hasher::new());
    loop {
        let _permit = bounds.budget.take(CHUNK_BYTES).await;
        let Some(payload) = reader.next().await? else { break };
        bounds.wait_for_bandwidth(payload.len()).await;
        hasher = blocking(move || {
            hasher.update(&contiguous(&payload));
            hasher
        })
        .await;
    }
    Ok(Root(*hasher.finalize().as_bytes()))
}

/// Whether both ends have the same bytes.
///
/// # Errors
/// When one of them cannot be read.
pub async fn is_equal(
    transfer: &Transfer,
    source: &Entry,
    target: &Entry,
) -> Result<bool, Failure> {
    let (mut source, target) = tokio::join!(
        transfer.source.roots(vec![source.clone()]),
        root_of(&transfer.bounds, &transfer.target, target),
    );
    let lost = || StoreError::new(ErrorCode::Bug, "no result for an object");
    Ok(source.pop().ok_or_else(lost)?? == target?)
}
