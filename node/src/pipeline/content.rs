//! What a store holds, read and hashed: for verify, for `--checksum` and for reading back.

use std::pin::pin;
use std::sync::Arc;

use airlift_protocol::assignment::{End, Object};
use airlift_protocol::chunk::Root;
use airlift_protocol::error::{ErrorCode, Failure};
use airlift_protocol::figures::Stage;
use airlift_protocol::job::LinkPolicy;
use airlift_protocol::limits::CHUNK_BYTES;
use airlift_protocol::manifest::{Entry, Kind};
use airlift_protocol::report::{Completion, SkipReason, Verdict};
use airlift_protocol::shard;
use airlift_protocol::units::{ByteCount, ByteRange};
use futures::stream::{self, StreamExt};
use tokio::sync::mpsc;

use super::bounds::Bounds;
use super::meter::Meter;
use super::{Transfer, blocking, hash};
use crate::store::{ReadResult, Store, StoreError, contiguous};

/// Large objects that are read at the same time by one order.
const LARGE_AT_ONCE: usize = 2;

/// Objects on the way from a reader to the hasher.
const READ_AHEAD: usize = 64;

/// Reads both ends and says which objects differ.
pub async fn verify(transfer: &Transfer, objects: Vec<Object>) -> Completion {
    let keys = objects.iter().map(|object| transfer.spec.target_key(&object.entry.key).clone());
    let found = transfer.at_target(transfer.target.lookup(keys.collect())).await;
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
    let source_roots = transfer.source.roots(sources);
    let target_roots = roots_of(&transfer.bounds, End::Target, &transfer.target, targets);
    let (source_roots, target_roots) = both(&transfer.meter, source_roots, target_roots).await;
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
        (Kind::Object, Kind::Object) if source.size == target.size => {
            if !source.is_archived && !target.is_archived {
                return Judged::Read(target);
            }
            Verdict::Skipped(SkipReason::Archived { bytes: source.size })
        }
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

/// What comes of both ends; where only the source is still read, the target waits for it.
async fn both<S, T>(
    meter: &Meter,
    source: impl Future<Output = S>,
    target: impl Future<Output = T>,
) -> (S, T) {
    let (mut source, mut target) = (pin!(source), pin!(target));
    tokio::select! {
        source = &mut source => (source, target.await),
        target = &mut target => {
            let _wait = meter.wait(Stage::Target);
            (source.await, target)
        }
    }
}

/// Reading one end: the time of what is read goes to the stages of that end.
struct Reading<'a> {
    bounds: &'a Bounds,
    end: End,
}

impl Reading<'_> {
    /// Waits for a bound.
    async fn bounded<T>(&self, bound: impl Future<Output = T>) -> T {
        let _idle = (self.end == End::Target).then(|| self.bounds.meter.wait(Stage::Target));
        bound.await
    }

    /// Waits for the store.
    async fn read<T>(&self, work: impl Future<Output = T>) -> T {
        let meter = &self.bounds.meter;
        let _spans = match self.end {
            End::Source => (meter.busy(Stage::Source), None),
            End::Target => (meter.busy(Stage::Target), Some(meter.wait(Stage::Decode))),
        };
        work.await
    }

    /// Waits for the CPU, which hashes `bytes`.
    async fn hash<T>(&self, bytes: u64, work: impl Future<Output = T>) -> T {
        let meter = &self.bounds.meter;
        let stage = match self.end {
            End::Source => {
                meter.add_bytes(Stage::Source, bytes);
                Stage::Encode
            }
            End::Target => Stage::Decode,
        };
        meter.add_bytes(stage, bytes);
        let _busy = meter.busy(stage);
        work.await
    }
}

/// Hashes of many objects of the store at one end, in order.
pub(super) async fn roots_of(
    bounds: &Bounds,
    end: End,
    store: &Arc<dyn Store>,
    entries: Vec<Entry>,
) -> Vec<Result<Root, StoreError>> {
    let mut roots: Vec<Option<Result<Root, StoreError>>> = entries.iter().map(|_| None).collect();
    let (large, small): (Vec<usize>, Vec<usize>) =
        (0..entries.len()).partition(|&place| shard::is_ranged(entries[place].size));
    let wanted: Vec<Entry> = small.iter().map(|&place| entries[place].clone()).collect();
    let bytes: u64 = wanted.iter().map(|entry| entry.size).sum();
    let reading = Reading { bounds, end };
    let permit = reading.bounded(bounds.wait_for_memory(bytes)).await;
    let (found, mut arrived) = mpsc::channel::<ReadResult>(READ_AHEAD);
    let hash_small = async {
        while let Some((index, outcome)) = reading.read(arrived.recv()).await {
            let root = match outcome {
                Ok((payload, _)) => {
                    let bytes = payload.len();
                    Ok(reading.hash(bytes, blocking(move || hash::root(&payload))).await)
                }
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
            async move { (place, root_of(bounds, end, store, entry).await) }
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

/// The hash of one object of the store at one end, read once from its beginning to its end.
///
/// # Errors
/// When it changed since `entry` was listed, or cannot be read.
pub async fn root_of(
    bounds: &Bounds,
    end: End,
    store: &Arc<dyn Store>,
    entry: &Entry,
) -> Result<Root, StoreError> {
    let reading = Reading { bounds, end };
    let whole = ByteRange::new(0, entry.size);
    let mut reader = reading.read(store.read_range(entry, whole)).await?;
    let mut hasher = Box::new(blake3::Hasher::new());
    loop {
        let _permit = reading.bounded(bounds.wait_for_memory(CHUNK_BYTES)).await;
        let Some(payload) = reading.read(reader.next()).await? else { break };
        let bytes = payload.len();
        reading.bounded(bounds.wait_for_bandwidth(bytes)).await;
        let update = blocking(move || {
            hasher.update(&contiguous(&payload));
            hasher
        });
        hasher = reading.hash(bytes, update).await;
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
    let source = transfer.source.roots(vec![source.clone()]);
    let target = root_of(&transfer.bounds, End::Target, &transfer.target, target);
    let (mut source, target) = both(&transfer.meter, source, target).await;
    let lost = || StoreError::new(ErrorCode::Bug, "no result for an object");
    Ok(source.pop().ok_or_else(lost)?? == target?)
}
