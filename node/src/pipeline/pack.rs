//! Small objects, whole: read together, verified one by one, written together, each with its own
//! verdict.

use std::collections::BTreeSet;

use airlift_protocol::assignment::Object;
use airlift_protocol::chunk::Root;
use airlift_protocol::error::{ErrorCode, Failure};
use airlift_protocol::figures::Stage;
use airlift_protocol::id::Position;
use airlift_protocol::key::Key;
use airlift_protocol::manifest::{Entry, Kind, Version};
use airlift_protocol::report::{Completion, ObjectResult};
use bytes::Bytes;
use tokio::sync::mpsc;

use super::chunk::{Payload, VerifiedObject};
use super::compress::{CompressedChunk, decompress};
use super::proof::doubt_about;
use super::source::{CompressedObject, PackResult};
use super::verify::{verify, verify_merged, verify_object};
use super::{HASH_INLINE_BYTES, Transfer, Trouble, blocking, corrupt, server};
use crate::store::{AttributeSet, Attributes, NewObject, StoreError, contiguous};

/// Objects on the link.
const READ_AHEAD: usize = 64;

/// Moves small objects, links and directory markers.
pub async fn move_pack(transfer: &Transfer, objects: Vec<Object>) -> Completion {
    let (positions, entries): (Vec<Position>, Vec<Entry>) =
        objects.into_iter().map(|object| (object.position, object.entry)).unzip();
    let mut results = server::copy_small(transfer, &entries).await;
    let rest = (0..entries.len()).filter(|&place| results[place].is_none()).collect();
    move_rest(transfer, (&positions, &entries), rest, &mut results).await;
    let missing = || Failure::new(ErrorCode::Bug, "the store gave no result for an object");
    let results = results.into_iter();
    Completion::PackMoved(
        results.map(|result| result.unwrap_or_else(|| ObjectResult::Failed(missing()))).collect(),
    )
}

/// Moves those of `entries` that stand at the places of `rest`.
async fn move_rest(
    transfer: &Transfer,
    (positions, entries): (&[Position], &[Entry]),
    rest: Vec<usize>,
    results: &mut [Option<ObjectResult>],
) {
    let bytes: u64 = rest.iter().map(|&place| entries[place].size).sum();
    let _permit = {
        let _idle = transfer.meter.wait(Stage::Target);
        transfer.bounds.wait_for_memory(bytes).await
    };
    let mut ready: Vec<Ready> = Vec::with_capacity(rest.len());
    for (place, outcome) in read(transfer, entries, rest).await {
        match outcome {
            Ok((attributes, verified)) => {
                let (object, dropped) = transfer.adapt(&entries[place], attributes);
                ready.push(Ready { place, object, content: verified, dropped });
            }
            Err(error) => results[place] = Some(failed(transfer, &entries[place], error).await),
        }
    }
    write(transfer, (positions, entries), ready, results).await;
}

async fn failed(transfer: &Transfer, entry: &Entry, error: StoreError) -> ObjectResult {
    match transfer.trouble(entry, error).await {
        Trouble::Changed(changed) => ObjectResult::Changed(changed),
        Trouble::Failed(failure) => ObjectResult::Failed(failure),
    }
}

/// An object that is to be written.
struct Ready {
    place: usize,
    object: NewObject,
    content: VerifiedObject,
    /// What of its attributes the target cannot hold.
    dropped: AttributeSet,
}

type Prepared = (usize, Result<(Attributes, VerifiedObject), StoreError>);

/// Reads the objects of `entries` at these places, and takes links and directories as they are.
async fn read(transfer: &Transfer, entries: &[Entry], places: Vec<usize>) -> Vec<Prepared> {
    let (bodies, bare): (Vec<usize>, Vec<usize>) =
        places.into_iter().partition(|&place| is_read(&entries[place]));
    let mut prepared: Vec<Prepared> =
        bare.into_iter().map(|place| (place, Ok(without_body(&entries[place])))).collect();
    if bodies.is_empty() {
        return prepared;
    }
    let wanted: Vec<Entry> = bodies.iter().map(|&place| entries[place].clone()).collect();
    let (found, mut arrived) = mpsc::channel(READ_AHEAD);
    let check = async {
        let mut batch = Vec::with_capacity(READ_AHEAD);
        let mut arrive = async |batch: &mut Vec<PackResult>| {
            let _idle = transfer.meter.wait(Stage::Target);
            arrived.recv_many(batch, READ_AHEAD).await > 0
        };
        while arrive(&mut batch).await {
            let _busy = transfer.meter.busy(Stage::Decode);
            for (index, outcome) in batch.drain(..) {
                let entry = &entries[bodies[index]];
                let checked = match outcome {
                    Ok(object) => check(transfer, entry, object).await,
                    Err(error) => Err(error),
                };
                prepared.push((bodies[index], checked));
            }
        }
    };
    tokio::join!(transfer.source.read_pack(wanted, found), check);
    prepared
}

/// The stages between link and write for one object that fits a few chunks.
async fn check(
    transfer: &Transfer,
    entry: &Entry,
    object: CompressedObject,
) -> Result<(Attributes, VerifiedObject), StoreError> {
    let bytes: u64 = object.chunks.iter().map(|chunk| chunk.plain_bytes).sum();
    let CompressedObject { root, attributes, chunks, cut_from } = object;
    transfer.meter.add_bytes(Stage::Decode, bytes);
    let stages = move || receive(root, chunks, cut_from);
    let verified = if bytes <= HASH_INLINE_BYTES { stages() } else { blocking(stages).await };
    let verified = verified.map_err(|why| corrupt(entry, why))?;
    Ok((attributes, verified))
}

/// Decompress and verify as one piece of work for the CPU.
fn receive(
    root: Root,
    chunks: Vec<CompressedChunk>,
    cut_from: Option<Payload>,
) -> Result<VerifiedObject, String> {
    let mut arrived = Vec::with_capacity(chunks.len());
    for chunk in chunks {
        let received = decompress(chunk).map_err(|error| error.to_string())?;
        arrived.push(verify(received).map_err(|error| error.to_string())?);
    }
    let pieces = arrived.iter().map(|chunk| chunk.payload().clone()).collect();
    verify_merged(root, &arrived, join(pieces, cut_from)).map_err(|error| error.to_string())
}

/// What arrived, in one piece; `cut_from` is given back when the pieces are still its own.
fn join(arrived: Vec<Payload>, cut_from: Option<Payload>) -> Payload {
    if let [single] = &arrived[..] {
        return single.clone();
    }
    match cut_from {
        Some(whole) if are_pieces(&arrived, &whole) => whole,
        _ if arrived.iter().all(|piece| matches!(piece, Payload::Zero(_))) => {
            Payload::Zero(arrived.iter().map(Payload::len).sum())
        }
        _ => {
            let bytes = arrived.iter().map(|piece| piece.len() as usize).sum();
            let mut joined = Vec::with_capacity(bytes);
            arrived.iter().for_each(|piece| joined.extend_from_slice(&contiguous(piece)));
            Payload::Bytes(joined.into())
        }
    }
}

/// Whether `pieces` are, in order and together, the memory of `whole`.
fn are_pieces(pieces: &[Payload], whole: &Payload) -> bool {
    let Payload::Bytes(bytes) = whole else { return false };
    let mut at = 0;
    let are_slices = pieces.iter().all(|piece| {
        let is_slice = matches!(piece, Payload::Bytes(slice)
            if at <= bytes.len() && slice.as_ptr() == bytes[at..].as_ptr());
        at += piece.len() as usize;
        is_slice
    });
    are_slices && at == bytes.len()
}

/// Whether there is something to read. The marker of a directory in a bucket is an object like others: it may
/// carry attributes, and may have got bytes since it was listed. It is told by its state from a directory of a
/// file system, which is listed without any, since its time changes with whatever is put into it.
fn is_read(entry: &Entry) -> bool {
    match entry.kind {
        Kind::Object => true,
        Kind::Directory => entry.version != Version::None || entry.mtime_ns.is_some(),
        Kind::Symlink(_) | Kind::Special => false,
    }
}

fn without_body(entry: &Entry) -> (Attributes, VerifiedObject) {
    let payload = Payload::Bytes(Bytes::new());
    let verified = verify_object(Root::of(b""), payload).expect("invariant: nothing to alter");
    let attributes = Attributes { mtime_ns: entry.mtime_ns, ..Attributes::default() };
    (attributes, verified)
}

async fn write(
    transfer: &Transfer,
    (positions, entries): (&[Position], &[Entry]),
    mut ready: Vec<Ready>,
    results: &mut [Option<ObjectResult>],
) {
    if ready.is_empty() {
        return;
    }
    ready.sort_by_key(|object| object.place);
    let new = match doubt(transfer, positions, &ready).await {
        Ok(new) => new,
        Err(error) => {
            let failed = ObjectResult::Failed(error.into());
            ready.iter().for_each(|object| results[object.place] = Some(failed.clone()));
            return;
        }
    };
    let (sent, objects): (Vec<(usize, ObjectResult)>, Vec<_>) = ready
        .into_iter()
        .map(|Ready { place, object, content, dropped }| {
            let (root, bytes) = (content.root(), content.payload().len());
            ((place, ObjectResult::Done { root, bytes, dropped }), (object, content))
        })
        .unzip();
    let written = transfer.at_target(transfer.target.put_small(objects)).await;
    let mut proven: Vec<Key> = Vec::new();
    for ((place, done), outcome) in sent.into_iter().zip(written) {
        let key = transfer.target_key(&entries[place]);
        results[place] = Some(match outcome {
            Ok(()) => {
                if let ObjectResult::Done { bytes, .. } = done {
                    transfer.meter.add_sent(bytes);
                }
                transfer.meter.add_objects(1);
                // What is to be read back is proven by that.
                if !transfer.spec.policy.verify.is_sampled(positions[place]) {
                    proven.push(key);
                }
                done
            }
            Err(error) => {
                let is_new = new.contains(&key);
                let error = transfer.withdraw(&entries[place], error, is_new).await;
                ObjectResult::Failed(error.into())
            }
        });
    }
    transfer.settle(proven).await;
}

/// Has the journal know those of `ready` that can be seen before they are proven; answers those that are new
/// to it.
async fn doubt(
    transfer: &Transfer,
    positions: &[Position],
    ready: &[Ready],
) -> Result<BTreeSet<Key>, StoreError> {
    // A link or marker has no bytes that could be others.
    let seen = ready.iter().filter(|object| {
        object.object.entry.kind == Kind::Object && transfer.is_seen_early(positions[object.place])
    });
    let seen = seen.map(|object| (object.object.entry.key.clone(), doubt_about(&object.object)));
    transfer.doubt(seen.collect()).await
}

#[cfg(test)]
mod tests {
    use airlift_protocol::id::PageId;

    use super::*;
    use crate::pipeline::fixture::transfer;
    use crate::store::Store;
    use crate::store::memory::MemoryStore;

    /// What comes of an order to move these.
    async fn moved(
        source: &MemoryStore,
        target: &MemoryStore,
        entries: Vec<Entry>,
    ) -> Vec<ObjectResult> {
        let directory = tempfile::tempdir().unwrap();
        let transfer = transfer(source, target, directory.path());
        let position = Position { page: PageId(0), index: 0 };
        let objects = entries.into_iter().map(|entry| Object { position, entry }).collect();
        match move_pack(&transfer, objects).await {
            Completion::PackMoved(results) => results,
            other => panic!("{other:?}"),
        }
    }

    async fn stat(store: &MemoryStore, key: &str) -> (Entry, Attributes) {
        let info = store.stat(&Key::from(key)).await.unwrap().unwrap();
        (info.entry, info.attributes)
    }

    /// A marker with everything that an object may carry.
    async fn marked() -> MemoryStore {
        let source = MemoryStore::new();
        source.insert_kind("dir/", Kind::Directory);
        let (entry, _) = stat(&source, "dir/").await;
        let pair = |name: &str| [(name.to_owned(), "x".to_owned())].into();
        let attributes = Attributes {
            content_type: Some("text/plain".to_owned()),
            metadata: pair("owner"),
            tags: pair("team"),
            ..Attributes::default()
        };
        let (_, nothing) = without_body(&entry);
        let put = source.put_small(vec![(NewObject { entry, attributes }, nothing)]).await;
        assert!(put.iter().all(Result::is_ok), "{put:?}");
        source
    }

    #[tokio::test]
    async fn a_marker_keeps_what_it_carries() {
        let (source, target) = (marked().await, MemoryStore::new());
        let (entry, attributes) = stat(&source, "dir/").await;
        let results = moved(&source, &target, vec![entry]).await;
        let [ObjectResult::Done { bytes: 0, dropped, .. }] = results[..] else {
            panic!("{results:?}")
        };
        assert!(dropped.is_empty(), "{dropped:?}");
        let (entry, arrived) = stat(&target, "dir/").await;
        assert_eq!(entry.kind, Kind::Directory);
        assert!(arrived.source_fingerprint.is_some());
        assert_eq!(Attributes { source_fingerprint: None, ..arrived }, attributes);
    }

    #[tokio::test]
    async fn a_marker_that_got_bytes_since_it_was_listed_has_changed() {
        let (source, target) = (marked().await, MemoryStore::new());
        let (listed, _) = stat(&source, "dir/").await;
        source.insert("dir/", "bytes", 7);
        let results = moved(&source, &target, vec![listed]).await;
        assert!(matches!(&results[..], [ObjectResult::Changed(_)]), "{results:?}");
        assert_eq!(target.keys(), []);
    }

    #[tokio::test]
    async fn a_directory_has_nothing_to_read() {
        let (source, target) = (MemoryStore::new(), MemoryStore::new());
        let directory = Entry {
            key: Key::from("dir/"),
            kind: Kind::Directory,
            size: 0,
            mtime_ns: None,
            version: Version::None,
            is_archived: false,
        };
        // The store has none, and would say so.
        let results = moved(&source, &target, vec![directory]).await;
        assert!(matches!(&results[..], [ObjectResult::Done { .. }]), "{results:?}");
        assert_eq!(target.keys(), ["dir/"].map(Key::from));
    }
}
