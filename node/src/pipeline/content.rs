//! What a store holds, read and hashed, and whether both ends hold the same: for verify, for
//! `--checksum` and for reading back.

use std::pin::pin;
use std::sync::Arc;

use airlift_protocol::assignment::{End, Object};
use airlift_protocol::chunk::Root;
use airlift_protocol::error::{ErrorCode, Failure};
use airlift_protocol::figures::Stage;
use airlift_protocol::frame::{Digest, ToDigest};
use airlift_protocol::job::LinkPolicy;
use airlift_protocol::limits::CHUNK_BYTES;
use airlift_protocol::manifest::{Entry, Kind};
use airlift_protocol::report::{Completion, SkipReason, Verdict};
use airlift_protocol::shard;
use airlift_protocol::units::{ByteCount, ByteRange};
use futures::stream::{self, StreamExt};
use tokio::sync::mpsc;

use super::bounds::Bounds;
use super::digest::Digester;
use super::equal::{self, Equality, Means, Pair};
use super::meter::Meter;
use super::{Transfer, blocking};
use crate::store::{ReadResult, Store, StoreError};

/// Large objects that are read at the same time by one order.
const LARGE_AT_ONCE: usize = 2;

/// Objects on the way from a reader to the hasher.
const READ_AHEAD: usize = 64;

/// Says which objects differ, by the sums that the stores keep or by reading.
pub async fn verify(transfer: &Transfer, objects: Vec<Object>) -> Completion {
    let keys = objects.iter().map(|object| transfer.spec.target_key(&object.entry.key).clone());
    let found = transfer.at_target(transfer.target.lookup(keys.collect())).await;
    let mut verdicts: Vec<Option<Verdict>> = vec![None; objects.len()];
    let (mut places, mut pairs): (Vec<usize>, Vec<Pair>) = (Vec::new(), Vec::new());
    for (place, (object, found)) in objects.into_iter().zip(found).enumerate() {
        match judge(transfer, &object.entry, found) {
            Judged::Verdict(verdict) => verdicts[place] = Some(verdict),
            Judged::Compare(target) => {
                let is_sampled = transfer.spec.policy.verify.is_sampled(object.position);
                let means = Means::of(is_sampled);
                places.push(place);
                pairs.push(Pair { source: object.entry, target, means });
            }
        }
    }
    let found = equal::compare(transfer, &pairs).await;
    for ((place, pair), found) in places.into_iter().zip(&pairs).zip(found) {
        verdicts[place] = Some(verdict(pair, found));
    }
    let verdicts = verdicts.into_iter();
    Completion::Verified(verdicts.map(|verdict| verdict.unwrap_or(Verdict::Missing)).collect())
}

/// What came of comparing the content of a pair.
fn verdict(pair: &Pair, found: Result<Equality, StoreError>) -> Verdict {
    let bytes = pair.source.size;
    match found {
        Ok(Equality::ByReading(root)) => Verdict::Equal { root, bytes },
        Ok(Equality::BySum(kind, root)) => Verdict::EqualBySum { kind, root, bytes },
        Ok(Equality::Differs(how)) => Verdict::Differs(how),
        Err(error) => Verdict::Failed(error.into()),
    }
}

enum Judged {
    Verdict(Verdict),
    Compare(Entry),
}

/// What can be said without a look at the content.
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
                return Judged::Compare(target);
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
pub(super) async fn both<S, T>(
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
            End::Target => {
                meter.add_read_back(bytes);
                Stage::Decode
            }
        };
        meter.add_bytes(stage, bytes);
        let _busy = meter.busy(stage);
        work.await
    }
}

/// What many objects of the store at one end come to, in order.
pub(super) async fn digests_of(
    bounds: &Bounds,
    end: End,
    store: &Arc<dyn Store>,
    objects: Vec<ToDigest>,
) -> Vec<Result<Digest, StoreError>> {
    match &objects[..] {
        [] => return Vec::new(),
        // One object alone is read chunk by chunk, however small: many may be asked for at once.
        [single] => return vec![digest_of(bounds, end, store, single).await],
        _ => {}
    }
    let mut digests: Vec<Option<Result<Digest, StoreError>>> =
        objects.iter().map(|_| None).collect();
    let (large, small): (Vec<usize>, Vec<usize>) =
        (0..objects.len()).partition(|&place| shard::is_ranged(objects[place].entry.size));
    let wanted: Vec<Entry> = small.iter().map(|&place| objects[place].entry.clone()).collect();
    let bytes: u64 = wanted.iter().map(|entry| entry.size).sum();
    let reading = Reading { bounds, end };
    let permit = reading.bounded(bounds.wait_for_memory(bytes)).await;
    let (found, mut arrived) = mpsc::channel::<ReadResult>(READ_AHEAD);
    let digest_small = async {
        while let Some((index, outcome)) = reading.read(arrived.recv()).await {
            let place = small[index];
            let sum = objects[place].sum;
            let digest = match outcome {
                Ok((payload, _)) => {
                    let bytes = payload.len();
                    let work = move || {
                        let mut digester = Digester::new(sum);
                        digester.update(&payload);
                        digester.finish()
                    };
                    Ok(reading.hash(bytes, blocking(work)).await)
                }
                Err(error) => Err(error),
            };
            digests[place] = Some(digest);
        }
    };
    tokio::join!(store.read_small(wanted, found), digest_small);
    drop(permit);
    let large_digests: Vec<(usize, Result<Digest, StoreError>)> = stream::iter(large)
        .map(|place| {
            let object = &objects[place];
            async move { (place, digest_of(bounds, end, store, object).await) }
        })
        .buffer_unordered(LARGE_AT_ONCE)
        .collect()
        .await;
    for (place, digest) in large_digests {
        digests[place] = Some(digest);
    }
    let lost = || StoreError::new(ErrorCode::Bug, "no result for an object");
    digests.into_iter().map(|digest| digest.unwrap_or_else(|| Err(lost()))).collect()
}

/// What one object of the store at one end comes to, read once from its beginning to its end.
///
/// # Errors
/// When it changed since it was listed, or cannot be read.
async fn digest_of(
    bounds: &Bounds,
    end: End,
    store: &Arc<dyn Store>,
    object: &ToDigest,
) -> Result<Digest, StoreError> {
    let reading = Reading { bounds, end };
    let ToDigest { entry, sum } = object;
    let whole = ByteRange::new(0, entry.size);
    let mut reader = reading.read(store.read_range(entry, whole)).await?;
    let mut digester = Box::new(Digester::new(*sum));
    loop {
        let _permit = reading.bounded(bounds.wait_for_memory(CHUNK_BYTES)).await;
        let Some(payload) = reading.read(reader.next()).await? else { break };
        let bytes = payload.len();
        reading.bounded(bounds.wait_for_bandwidth(bytes)).await;
        let update = blocking(move || {
            digester.update(&payload);
            digester
        });
        digester = reading.hash(bytes, update).await;
    }
    Ok(digester.finish())
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
    let object = ToDigest { entry: entry.clone(), sum: None };
    Ok(digest_of(bounds, end, store, &object).await?.root)
}

/// Whether both ends have the same bytes, shown by `means`.
///
/// # Errors
/// When one of them cannot be read.
pub(super) async fn is_equal(
    transfer: &Transfer,
    source: &Entry,
    target: &Entry,
    means: Means,
) -> Result<bool, Failure> {
    let pair = Pair { source: source.clone(), target: target.clone(), means };
    let found = equal::compare(transfer, &[pair]).await.pop();
    let lost = || StoreError::new(ErrorCode::Bug, "no result for an object");
    match found.ok_or_else(lost)?? {
        Equality::ByReading(_) | Equality::BySum(..) => Ok(true),
        Equality::Differs(_) => Ok(false),
    }
}
