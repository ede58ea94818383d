//! The source's half of the pipeline on another node, as the target's half sees it.
//!
//! What another node sends is held against what was asked: places, offsets and lengths are those of
//! the request, or the answer is refused. Its bytes are verified where all bytes are, at the target.

use std::net::SocketAddr;
use std::sync::Arc;

use airlift_protocol::chunk::Root;
use airlift_protocol::codec;
use airlift_protocol::error::Failure;
use airlift_protocol::figures::Stage;
use airlift_protocol::frame::{
    ChunkHead, Frame, Order, REQUEST_BYTES_MAX, REQUEST_ITEMS_MAX, Request, RequestHeader,
};
use airlift_protocol::id::NodeId;
use airlift_protocol::key::Key;
use airlift_protocol::limits::{CHUNK_BYTES, PACK_BYTES_MAX};
use airlift_protocol::manifest::Entry;
use airlift_protocol::units::ByteRange;
use async_trait::async_trait;
use serde::Serialize;
use tokio::sync::{OnceCell, mpsc};

use super::{DataNetwork, FrameStream};
use crate::pipeline::bounds::Bounds;
use crate::pipeline::compress::CompressedChunk;
use crate::pipeline::meter::{Arrivals, Span};
use crate::pipeline::source::{CompressedObject, InFlight, PackResult, Source};
use crate::store::{Attributes, ObjectInfo, StoreError};

/// Bytes of keys or entries that go into one request; the rest of it is left for what surrounds
/// them.
const BATCH_BYTES_MAX: usize = REQUEST_BYTES_MAX / 2;

/// The way to the node that reads the source.
#[derive(Clone, Debug)]
pub struct Route {
    /// How this node reaches others.
    pub network: Arc<DataNetwork>,
    /// The node.
    pub node: NodeId,
    /// Where it may be dialled; nowhere when it connects by itself.
    pub addresses: Vec<SocketAddr>,
}

/// The source of a job that another node reads.
#[derive(Debug)]
pub struct RemoteSource {
    route: Route,
    order: Order,
    /// Bound on the bytes of chunks that arrive.
    bounds: Bounds,
    arrivals: Arc<Arrivals>,
    keeps_mtime: OnceCell<bool>,
}

impl RemoteSource {
    /// The source of the job of `order`, at the end of `route`.
    pub fn new(route: Route, order: Order, bounds: Bounds) -> Self {
        let arrivals = Arc::new(Arrivals::new(Arc::clone(&bounds.meter)));
        Self { route, order, bounds, arrivals, keeps_mtime: OnceCell::new() }
    }

    /// The other node is waited for, until what this returns is dropped.
    fn waits(&self) -> Span<'_> {
        self.bounds.meter.wait(Stage::Link)
    }

    async fn open(&self, request: Request) -> Result<FrameStream, Failure> {
        let Route { network, node, addresses } = &self.route;
        let header = RequestHeader { order: self.order, request };
        let stream = network.open(*node, addresses, &header).await?;
        Ok(stream.counted(Arc::clone(&self.arrivals)))
    }

    /// The one frame that answers `request`.
    async fn ask(&self, request: Request) -> Result<(Frame, FrameStream), StoreError> {
        let _waits = self.waits();
        let mut stream = self.open(request).await.map_err(from_wire)?;
        let frame = stream.next().await.map_err(from_wire)?;
        Ok((frame, stream))
    }

    /// Answers to the items of one request. What fails as a whole fails each of them.
    async fn ask_each<T>(
        &self,
        request: Request,
        count: usize,
        read: impl Fn(Frame) -> Option<(u32, T)>,
    ) -> Vec<Result<T, StoreError>> {
        let _waits = self.waits();
        let mut answers = Answers::new(count);
        let outcome = async {
            let mut stream = self.open(request).await?;
            loop {
                match stream.next().await? {
                    Frame::End => return Ok(()),
                    Frame::ObjectError { place, failure } => {
                        let place = answers.expect(place).ok_or_else(|| stream.unexpected())?;
                        answers.0[place] = Some(Err(from_wire(failure)));
                    }
                    frame => {
                        let unexpected = || stream.unexpected();
                        let (place, value) = read(frame).ok_or_else(unexpected)?;
                        let place = answers.expect(place).ok_or_else(unexpected)?;
                        answers.0[place] = Some(Ok(value));
                    }
                }
            }
        };
        let outcome: Result<(), Failure> = outcome.await;
        answers.complete(outcome)
    }

    async fn read_chunks(
        &self,
        entry: &Entry,
        range: ByteRange,
        link: &mpsc::Sender<InFlight>,
    ) -> Result<(), Failure> {
        let opens = self.waits();
        let mut stream = self.open(Request::Range { entry: entry.clone(), range }).await?;
        drop(opens);
        let mut offset = range.start;
        while offset < range.end {
            let bytes = CHUNK_BYTES.min(range.end - offset);
            self.bounds.wait_for_bandwidth(bytes).await;
            let permit = self.bounds.wait_for_memory(bytes).await;
            let arrives = self.waits();
            let chunk = match stream.next().await? {
                Frame::Chunk(head) if is_chunk(&head, 0, offset, bytes) => {
                    stream.payload(entry.size, &head).await?
                }
                _ => return Err(stream.unexpected()),
            };
            drop(arrives);
            offset += bytes;
            if link.send((chunk, permit)).await.is_err() {
                return Ok(());
            }
        }
        let _ends = self.waits();
        // Only now has the source looked whether the object still is the listed one.
        match stream.next().await? {
            Frame::End => Ok(()),
            _ => Err(stream.unexpected()),
        }
    }

    /// Reads the objects of one request into `found`; those that are left when the answer breaks
    /// off share its failure. Whether more may follow.
    async fn read_batch(
        &self,
        first: usize,
        entries: Vec<Entry>,
        found: &mpsc::Sender<PackResult>,
    ) -> bool {
        let mut answers: Answers<()> = Answers::new(entries.len());
        let outcome = self.read_objects(first, &entries, &mut answers, found).await;
        let Ok(is_wanted) = &outcome else {
            let failures = answers.complete(outcome.map(|_| ()));
            for (place, answer) in failures.into_iter().enumerate() {
                if let Err(error) = answer
                    && found.send((first + place, Err(error))).await.is_err()
                {
                    return false;
                }
            }
            return true;
        };
        *is_wanted
    }

    async fn read_objects(
        &self,
        first: usize,
        entries: &[Entry],
        answers: &mut Answers<()>,
        found: &mpsc::Sender<PackResult>,
    ) -> Result<bool, Failure> {
        let opens = self.waits();
        let mut stream = self.open(Request::Pack { entries: entries.to_vec() }).await?;
        drop(opens);
        loop {
            let arrives = self.waits();
            let frame = stream.next().await?;
            drop(arrives);
            let (place, outcome) = match frame {
                Frame::End if answers.are_complete() => return Ok(true),
                Frame::ObjectHead { place, attributes, root, bytes } => {
                    let at = answers.expect(place).ok_or_else(|| stream.unexpected())?;
                    if entries[at].size != bytes {
                        return Err(stream.unexpected());
                    }
                    self.bounds.wait_for_bandwidth(bytes).await;
                    let _arrives = self.waits();
                    let chunks = read_object(&mut stream, place, bytes).await?;
                    (at, Ok(object(root, attributes, chunks)))
                }
                Frame::ObjectError { place, failure } => {
                    let at = answers.expect(place).ok_or_else(|| stream.unexpected())?;
                    (at, Err(from_wire(failure)))
                }
                _ => return Err(stream.unexpected()),
            };
            answers.0[place] = Some(Ok(()));
            if found.send((first + place, outcome)).await.is_err() {
                return Ok(false);
            }
        }
    }
}

#[async_trait]
impl Source for RemoteSource {
    async fn keeps_mtime(&self) -> Result<bool, StoreError> {
        let ask = || async {
            let (frame, stream) = self.ask(Request::Describe).await?;
            match frame {
                Frame::Description(description) => Ok(description.keeps_mtime),
                _ => Err(from_wire(stream.unexpected())),
            }
        };
        self.keeps_mtime.get_or_try_init(ask).await.copied()
    }

    async fn stat(&self, key: &Key) -> Result<Option<ObjectInfo>, StoreError> {
        let (frame, stream) = self.ask(Request::Stat { key: key.clone() }).await?;
        match frame {
            Frame::Info(info) if info.as_ref().is_none_or(|info| info.entry.key == *key) => {
                Ok(info)
            }
            _ => Err(from_wire(stream.unexpected())),
        }
    }

    async fn lookup(&self, keys: Vec<Key>) -> Vec<Result<Option<Entry>, StoreError>> {
        let mut found = Vec::with_capacity(keys.len());
        for keys in batches(keys, |_| 0) {
            let asked = keys.clone();
            let read = |frame| match frame {
                Frame::Found { place, entry } => {
                    let key = asked.get(place as usize)?;
                    let is_asked = entry.as_ref().is_none_or(|entry| entry.key == *key);
                    is_asked.then_some((place, entry))
                }
                _ => None,
            };
            let count = keys.len();
            found.extend(self.ask_each(Request::Lookup { keys }, count, read).await);
        }
        found
    }

    async fn roots(&self, entries: Vec<Entry>) -> Vec<Result<Root, StoreError>> {
        let mut roots = Vec::with_capacity(entries.len());
        for entries in batches(entries, |_| 0) {
            let read = |frame| match frame {
                Frame::ObjectRoot { place, root } => Some((place, root)),
                _ => None,
            };
            let count = entries.len();
            roots.extend(self.ask_each(Request::Roots { entries }, count, read).await);
        }
        roots
    }

    async fn read_range(
        &self,
        entry: &Entry,
        range: ByteRange,
        link: mpsc::Sender<InFlight>,
    ) -> Result<(), StoreError> {
        // The stream goes as soon as the target does, however long the next frame takes.
        tokio::select! {
            outcome = self.read_chunks(entry, range, &link) => outcome.map_err(from_wire),
            () = link.closed() => Ok(()),
        }
    }

    async fn read_pack(&self, entries: Vec<Entry>, found: mpsc::Sender<PackResult>) {
        let read = async {
            let mut first = 0;
            for entries in batches(entries, |entry: &Entry| entry.size) {
                let count = entries.len();
                if !self.read_batch(first, entries, &found).await {
                    return;
                }
                first += count;
            }
        };
        tokio::select! {
            () = read => {}
            () = found.closed() => {}
        }
    }

    fn wire_bytes(&self) -> u64 {
        self.arrivals.bytes()
    }
}

/// Answers to the items of a request, by place.
struct Answers<T>(Vec<Option<Result<T, StoreError>>>);

impl<T> Answers<T> {
    fn new(count: usize) -> Self {
        Self((0..count).map(|_| None).collect())
    }

    /// The place, if it is one of the request and has no answer yet.
    fn expect(&self, place: u32) -> Option<usize> {
        let place = place as usize;
        self.0.get(place)?.is_none().then_some(place)
    }

    fn are_complete(&self) -> bool {
        self.0.iter().all(Option::is_some)
    }

    /// The answers, with `outcome` in place of those that are missing.
    fn complete(self, outcome: Result<(), Failure>) -> Vec<Result<T, StoreError>> {
        let missing = match outcome {
            Err(failure) => from_wire(failure),
            Ok(()) => StoreError::new(
                airlift_protocol::error::ErrorCode::Protocol,
                "another node ended its answer before all was said",
            ),
        };
        self.0.into_iter().map(|answer| answer.unwrap_or_else(|| Err(missing.clone()))).collect()
    }
}

fn object(root: Root, attributes: Attributes, chunks: Vec<CompressedChunk>) -> CompressedObject {
    CompressedObject { root, attributes, chunks, cut_from: None }
}

/// The chunks of a small object, at least one.
async fn read_object(
    stream: &mut FrameStream,
    place: u32,
    object_size: u64,
) -> Result<Vec<CompressedChunk>, Failure> {
    let mut chunks = Vec::new();
    let mut offset = 0;
    while offset < object_size || chunks.is_empty() {
        let bytes = CHUNK_BYTES.min(object_size - offset);
        match stream.next().await? {
            Frame::Chunk(head) if is_chunk(&head, place, offset, bytes) => {
                chunks.push(stream.payload(object_size, &head).await?);
            }
            _ => return Err(stream.unexpected()),
        }
        offset += bytes;
    }
    Ok(chunks)
}

fn is_chunk(head: &ChunkHead, place: u32, offset: u64, bytes: u64) -> bool {
    head.place == place && head.offset == offset && u64::from(head.plain_bytes) == bytes
}

/// A failure of the source's node as the store itself would have given it.
fn from_wire(failure: Failure) -> StoreError {
    StoreError::new(failure.code, failure.detail())
}

/// Splits `items` so that each batch fits a request, and `bytes` of its items a pack.
fn batches<T: Serialize>(items: Vec<T>, bytes: impl Fn(&T) -> u64) -> Vec<Vec<T>> {
    let mut batches: Vec<Vec<T>> = Vec::new();
    let (mut encoded_sum, mut bytes_sum) = (0, 0);
    for item in items {
        let (item_encoded, item_bytes) = (codec::encode(&item).len(), bytes(&item));
        match batches.last_mut() {
            Some(batch)
                if batch.len() < REQUEST_ITEMS_MAX
                    && encoded_sum + item_encoded <= BATCH_BYTES_MAX
                    && bytes_sum + item_bytes <= PACK_BYTES_MAX =>
            {
                batch.push(item);
                encoded_sum += item_encoded;
                bytes_sum += item_bytes;
            }
            _ => {
                batches.push(vec![item]);
                (encoded_sum, bytes_sum) = (item_encoded, item_bytes);
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_keep_order_and_limits() {
        let keys: Vec<Key> =
            (0..3000u32).map(|i| Key::new([i.to_be_bytes(); 200].concat())).collect();
        let split = batches(keys.clone(), |_| 0);
        assert!(split.len() > 1);
        for batch in &split {
            assert!(codec::encode(batch).len() <= REQUEST_BYTES_MAX);
        }
        assert_eq!(split.concat(), keys);
        let by_bytes =
            batches(vec![1u64, PACK_BYTES_MAX, 1, PACK_BYTES_MAX - 1, 1], |bytes| *bytes);
        assert_eq!(by_bytes.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1, 2, 1]);
        assert_eq!(batches(Vec::<Key>::new(), |_| 0), Vec::<Vec<Key>>::new());
    }
}
