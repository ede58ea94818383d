//! Small objects, whole: read together, verified one by one, written together, each with its own
//! verdict.

use airlift_protocol::assignment::Object;
use airlift_protocol::chunk::Root;
use airlift_protocol::error::{ErrorCode, Failure};
use airlift_protocol::manifest::{Entry, Kind};
use airlift_protocol::report::{Completion, ObjectResult};
use bytes::Bytes;
use tokio::sync::mpsc;

use super::chunk::{Payload, VerifiedObject};
use super::compress::{compress, decompress};
use super::hash;
use super::verify::verify_object;
use super::{Transfer, Trouble, blocking, corrupt};
use crate::store::{Attributes, NewObject, StoreError};

/// Objects on the way from the reader to the hasher.
const READ_AHEAD: usize = 64;

/// Moves small objects, links and directory markers.
pub async fn move_pack(transfer: &Transfer, objects: Vec<Object>) -> Completion {
    let bytes: u64 = objects.iter().map(|object| object.entry.size).sum();
    let _permit = transfer.budget.take(bytes).await;
    let mut results: Vec<Option<ObjectResult>> = vec![None; objects.len()];
    let entries: Vec<Entry> = objects.into_iter().map(|object| object.entry).collect();
    let mut ready: Vec<(usize, NewObject, VerifiedObject)> = Vec::with_capacity(entries.len());
    for (place, outcome) in read(transfer, &entries).await {
        match outcome {
            Ok((attributes, verified)) => {
                let new_object = transfer.new_object(&entries[place], attributes);
                ready.push((place, new_object, verified));
            }
            Err(error) => results[place] = Some(failed(transfer, &entries[place], error).await),
        }
    }
    write(transfer, ready, &mut results).await;
    let missing = || Failure::new(ErrorCode::Bug, "the store gave no result for an object");
    let results = results.into_iter();
    Completion::PackMoved(
        results.map(|result| result.unwrap_or_else(|| ObjectResult::Failed(missing()))).collect(),
    )
}

async fn failed(transfer: &Transfer, entry: &Entry, error: StoreError) -> ObjectResult {
    match transfer.trouble(entry, error).await {
        Trouble::Changed(changed) => ObjectResult::Changed(changed),
        Trouble::Failed(failure) => ObjectResult::Failed(failure),
    }
}

type Prepared = (usize, Result<(Attributes, VerifiedObject), StoreError>);

/// Reads the objects among `entries`, and takes links and markers as they are.
async fn read(transfer: &Transfer, entries: &[Entry]) -> Vec<Prepared> {
    let (bodies, bare): (Vec<usize>, Vec<usize>) =
        (0..entries.len()).partition(|&place| entries[place].kind == Kind::Object);
    let mut prepared: Vec<Prepared> =
        bare.into_iter().map(|place| (place, Ok(without_body(&entries[place])))).collect();
    if bodies.is_empty() {
        return prepared;
    }
    let wanted: Vec<Entry> = bodies.iter().map(|&place| entries[place].clone()).collect();
    let (found, mut arrived) = mpsc::channel(READ_AHEAD);
    let check = async {
        let mut batch = Vec::with_capacity(READ_AHEAD);
        while arrived.recv_many(&mut batch, READ_AHEAD).await > 0 {
            for (index, outcome) in batch.drain(..) {
                let entry = &entries[bodies[index]];
                let checked = match outcome {
                    Ok((payload, attributes)) => check(transfer, entry, payload, attributes).await,
                    Err(error) => Err(error),
                };
                prepared.push((bodies[index], checked));
            }
        }
    };
    tokio::join!(transfer.source.read_small(wanted, found), check);
    prepared
}

/// Bytes up to which hashing on the spot costs less than handing the work to another thread.
const HASH_INLINE_BYTES: u64 = 64 << 10;

/// The stages between read and write for one object that fits a few chunks.
async fn check(
    transfer: &Transfer,
    entry: &Entry,
    payload: Payload,
    attributes: Attributes,
) -> Result<(Attributes, VerifiedObject), StoreError> {
    let bytes = payload.len();
    transfer.wait_for_bandwidth(bytes).await;
    let stages = stages(transfer, payload);
    let verified = if bytes <= HASH_INLINE_BYTES { stages() } else { blocking(stages).await };
    let verified = verified.map_err(|why| corrupt(entry, why))?;
    Ok((attributes, verified))
}

/// Hash, compress, link, decompress and verify, as one piece of work for the CPU.
fn stages(
    transfer: &Transfer,
    payload: Payload,
) -> impl FnOnce() -> Result<VerifiedObject, String> + Send + 'static {
    let (compression, faults) = (transfer.compression, transfer.faults.clone());
    move || {
        let root = hash::root(&payload);
        let pieces = pieces(&payload);
        let object_size = payload.len();
        let mut arrived = Vec::with_capacity(pieces.len());
        for (offset, piece) in pieces {
            let mut chunk = compress(hash::hash(object_size, offset, piece), compression);
            if let Some(faults) = &faults {
                faults.on_link(&mut chunk);
            }
            arrived.push(decompress(chunk).map_err(|error| error.to_string())?.payload);
        }
        verify_object(root, join(arrived, payload)).map_err(|error| error.to_string())
    }
}

/// The chunks of a payload.
fn pieces(payload: &Payload) -> Vec<(u64, Payload)> {
    use airlift_protocol::limits::CHUNK_BYTES;
    use airlift_protocol::shard::chunks;
    use airlift_protocol::units::ByteRange;

    if payload.len() <= CHUNK_BYTES {
        return vec![(0, payload.clone())];
    }
    chunks(ByteRange::new(0, payload.len()))
        .map(|range| match payload {
            Payload::Zero(_) => (range.start, Payload::Zero(range.len())),
            Payload::Bytes(bytes) => {
                let slice = bytes.slice(range.start as usize..range.end as usize);
                (range.start, Payload::Bytes(slice))
            }
        })
        .collect()
}

/// What arrived, in one piece; `sent` is given back when the pieces are still its own slices.
fn join(arrived: Vec<Payload>, sent: Payload) -> Payload {
    match (&arrived[..], &sent) {
        ([single], _) => return single.clone(),
        (pieces, Payload::Bytes(bytes)) => {
            let mut at = 0;
            let are_slices = pieces.iter().all(|piece| {
                let is_slice = matches!(piece, Payload::Bytes(slice)
                    if slice.as_ptr() == bytes[at..].as_ptr());
                at += piece.len() as usize;
                is_slice
            });
            if are_slices && at == bytes.len() {
                return sent;
            }
        }
        (pieces, Payload::Zero(_)) => {
            if pieces.iter().all(|piece| matches!(piece, Payload::Zero(_))) {
                return sent;
            }
        }
    }
    let joined: Vec<u8> = arrived.iter().flat_map(crate::store::contiguous).collect();
    Payload::Bytes(joined.into())
}

fn without_body(entry: &Entry) -> (Attributes, VerifiedObject) {
    let payload = Payload::Bytes(Bytes::new());
    let verified = verify_object(Root::of(b""), payload).expect("invariant: nothing to alter");
    let attributes = Attributes { mtime_ns: entry.mtime_ns, ..Attributes::default() };
    (attributes, verified)
}

async fn write(
    transfer: &Transfer,
    mut ready: Vec<(usize, NewObject, VerifiedObject)>,
    results: &mut [Option<ObjectResult>],
) {
    if ready.is_empty() {
        return;
    }
    ready.sort_by_key(|(place, ..)| *place);
    let sent: Vec<(usize, Root, u64)> = ready
        .iter()
        .map(|(place, _, verified)| (*place, verified.root(), verified.payload().len()))
        .collect();
    let objects = ready.into_iter().map(|(_, object, verified)| (object, verified)).collect();
    let written = transfer.target.put_small(objects).await;
    for ((place, root, bytes), outcome) in sent.into_iter().zip(written) {
        results[place] = Some(match outcome {
            Ok(()) => {
                transfer.meter.add_sent(bytes);
                transfer.meter.add_objects(1);
                ObjectResult::Done { root, bytes }
            }
            Err(error) => ObjectResult::Failed(error.into()),
        });
    }
}
