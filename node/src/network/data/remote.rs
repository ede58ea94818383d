//! The source's half of the pipeline on another node, as the target's half sees it.
//!
//! What another node sends is held against what was asked: places, offsets and lengths are those of
//! the request, or the answer is refused. Its bytes are verified where all bytes are, at the target.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use airlift_protocol::chunk::Root;
use airlift_protocol::codec;
use airlift_protocol::error::{ErrorCode, Failure};
use airlift_protocol::figures::Stage;
use airlift_protocol::folding::Folding;
use airlift_protocol::frame::{
    ChunkHead, Digest, Frame, Order, REQUEST_BYTES_MAX, REQUEST_ITEMS_MAX, Request, RequestHeader,
    ToDigest,
};
use airlift_protocol::id::NodeId;
use airlift_protocol::job::RestorePolicy;
use airlift_protocol::key::Key;
use airlift_protocol::limits::{CHUNK_BYTES, PACK_BYTES_MAX};
use airlift_protocol::manifest::Entry;
use airlift_protocol::shard;
use airlift_protocol::sum::{StoredSum, SumKind};
use airlift_protocol::units::{ByteRange, ByteRate};
use async_trait::async_trait;
use futures::stream::{self, Stream, StreamExt};
use serde::Serialize;
use tokio::sync::{OnceCell, mpsc};

use super::{DataNetwork, FrameStream};
use crate::pipeline::bounds::{Bounds, PartMemory};
use crate::pipeline::budget::Permit;
use crate::pipeline::compress::CompressedChunk;
use crate::pipeline::meter::{Arrivals, Span};
use crate::pipeline::source::{CompressedObject, InFlight, PackResult, Source};
use crate::store::{Attributes, ObjectInfo, Restored, StoreError};

/// Bytes of keys or entries that go into one request; the rest of it is left for what surrounds
/// them.
const BATCH_BYTES_MAX: usize = REQUEST_BYTES_MAX / 2;

/// Bytes of a range that one request is for at most: enough for a few windows of a stream, and few enough that all
/// pieces fit into memory.
const PIECE_BYTES_MAX: u64 = 4 << 20;

/// Pieces of one range that are under way at a time, also over the shortest way: while one arrives, the next is
/// asked for.
const PIECES_MIN: usize = 2;

/// Pieces that a limit of the bandwidth lets pass in a second at least, where those are not less than a chunk.
const PIECES_A_SECOND_MIN: u64 = 4;

/// Length of the way for which one more stream is needed: a stream moves a window in each round trip,
/// which at 20 ms are 500 Mbit/s.
const RTT_PER_STREAM: Duration = Duration::from_millis(20);

/// Streams of one order at most.
const WIDTH_MAX: u32 = 10;

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

    /// The one frame that answers `request`, if it is one that `read` takes.
    async fn ask<T>(
        &self,
        request: Request,
        read: impl FnOnce(Frame) -> Option<T>,
    ) -> Result<T, StoreError> {
        let _waits = self.waits();
        let answer = async {
            let mut stream = self.open(request).await?;
            let answer = read(stream.next().await?).ok_or_else(|| stream.unexpected())?;
            self.read_end(&mut stream).await?;
            Ok::<T, Failure>(answer)
        };
        answer.await.map_err(from_wire)
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

    /// How many streams an order uses at a time: over a long way one cannot fill it.
    async fn width(&self) -> Result<usize, Failure> {
        let Route { network, node, addresses } = &self.route;
        let _waits = self.waits();
        let rtt = network.round_trip(*node, addresses).await?;
        let streams = rtt.as_micros() / RTT_PER_STREAM.as_micros();
        Ok(streams.clamp(1, u128::from(WIDTH_MAX)) as usize)
    }

    async fn read_wide(
        &self,
        entry: &Entry,
        range: ByteRange,
        part_bytes: u64,
        link: &mpsc::Sender<InFlight>,
    ) -> Result<(), Failure> {
        let width = self.width().await?.max(PIECES_MIN);
        self.read_pieces(entry, range, (width, part_bytes), link).await
    }

    /// Reads `width` pieces of `range` at a time, and sends their chunks in order. Memory is taken in
    /// the order of pieces: the first one never waits for what later ones hold. And it is taken before a piece is
    /// asked for: what the source has read for a stream that nobody reads is in the way of those whose memory is
    /// there, and were all of it for such streams, both ends would wait for ever.
    pub(super) async fn read_pieces(
        &self,
        entry: &Entry,
        range: ByteRange,
        (width, part_bytes): (usize, u64),
        link: &mpsc::Sender<InFlight>,
    ) -> Result<(), Failure> {
        let piece_bytes = piece_bytes(self.bounds.rate());
        let memory = self.bounds.memory_of_parts(range.len(), part_bytes.max(piece_bytes));
        let read = |(piece, permit)| self.read_piece(entry, piece, permit);
        let pieces = pieces_in(memory, pieces(range, piece_bytes));
        let mut pieces = pin!(pieces.map(read).buffered(width));
        // Pieces go on while the link is full: what they wait for, others may wait for, too. What
        // is ready has its memory from the budget.
        let (mut ready, mut is_over) = (VecDeque::new(), false);
        while !is_over || !ready.is_empty() {
            tokio::select! {
                place = link.reserve(), if !ready.is_empty() => match (place, ready.pop_front()) {
                    (Ok(place), Some(chunk)) => place.send(chunk),
                    (Err(_), _) | (_, None) => return Ok(()),
                },
                piece = pieces.next(), if !is_over => match piece {
                    Some(chunks) => ready.extend(chunks?),
                    None => is_over = true,
                },
            }
        }
        Ok(())
    }

    /// All chunks of a piece of a range, in the memory of `permit`.
    async fn read_piece(
        &self,
        entry: &Entry,
        piece: ByteRange,
        mut permit: Permit,
    ) -> Result<Vec<InFlight>, Failure> {
        // All of it at once, and before: each of many streams would else wait for its turn between two chunks.
        self.bounds.wait_for_bandwidth(piece.len()).await;
        let mut stream = self.open_range(entry, piece).await?;
        let mut chunks = Vec::new();
        for chunk in shard::chunks(piece) {
            let rest = ByteRange::new(chunk.start, piece.end);
            let read = self.read_next(&mut stream, entry, chunk, rest).await?;
            chunks.push((read, permit.split(chunk.len())));
        }
        self.read_end(&mut stream).await?;
        Ok(chunks)
    }

    async fn open_range(&self, entry: &Entry, range: ByteRange) -> Result<FrameStream, Failure> {
        let _opens = self.waits();
        self.open(Request::Range { entry: entry.clone(), range }).await
    }

    /// Reads `chunk`, the first one of the `rest` that `stream` is to bring; by another stream where
    /// that is much faster.
    async fn read_next(
        &self,
        stream: &mut FrameStream,
        entry: &Entry,
        chunk: ByteRange,
        rest: ByteRange,
    ) -> Result<CompressedChunk, Failure> {
        let outpaced = stream.outpaced();
        tokio::select! {
            biased;
            read = self.read_chunk(stream, entry, chunk) => return read,
            () = outpaced => {}
        }
        *stream = self.open_range(entry, rest).await?;
        self.read_chunk(stream, entry, chunk).await
    }

    async fn read_chunk(
        &self,
        stream: &mut FrameStream,
        entry: &Entry,
        chunk: ByteRange,
    ) -> Result<CompressedChunk, Failure> {
        let _arrives = self.waits();
        match stream.next().await? {
            Frame::Chunk(head) if is_chunk(&head, 0, chunk.start, chunk.len()) => {
                stream.payload(entry.size, &head).await
            }
            _ => Err(stream.unexpected()),
        }
    }

    /// Only at the end has the source looked whether the object still is the listed one.
    async fn read_end(&self, stream: &mut FrameStream) -> Result<(), Failure> {
        let _ends = self.waits();
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
        // Places of the objects that the stream is asked for.
        let mut asked = answers.missing();
        let mut stream = self.open_pack(entries, &asked).await?;
        loop {
            let outpaced = stream.outpaced();
            let answer = tokio::select! {
                biased;
                answer = self.read_answer(&mut stream, entries, &asked, answers) => answer?,
                () = outpaced => {
                    asked = answers.missing();
                    stream = self.open_pack(entries, &asked).await?;
                    continue;
                }
            };
            let Some((place, outcome)) = answer else { return Ok(true) };
            answers.0[place] = Some(Ok(()));
            if found.send((first + place, outcome)).await.is_err() {
                return Ok(false);
            }
        }
    }

    async fn open_pack(&self, entries: &[Entry], asked: &[usize]) -> Result<FrameStream, Failure> {
        let _opens = self.waits();
        let entries = asked.iter().map(|&place| entries[place].clone()).collect();
        self.open(Request::Pack { entries }).await
    }

    /// The next object of those that were asked for, by its place; none when all have arrived.
    async fn read_answer(
        &self,
        stream: &mut FrameStream,
        entries: &[Entry],
        asked: &[usize],
        answers: &Answers<()>,
    ) -> Result<Option<PackResult>, Failure> {
        let arrives = self.waits();
        let frame = stream.next().await?;
        drop(arrives);
        let expect = |place: u32| answers.expect(u32::try_from(*asked.get(place as usize)?).ok()?);
        match frame {
            Frame::End if answers.are_complete() => Ok(None),
            Frame::ObjectHead { place, attributes, root, bytes } => {
                let at = expect(place).ok_or_else(|| stream.unexpected())?;
                if entries[at].size != bytes {
                    return Err(stream.unexpected());
                }
                self.bounds.wait_for_bandwidth(bytes).await;
                let _arrives = self.waits();
                let chunks = read_object(stream, place, bytes).await?;
                Ok(Some((at, Ok(object(root, attributes, chunks)))))
            }
            Frame::ObjectError { place, failure } => {
                let at = expect(place).ok_or_else(|| stream.unexpected())?;
                Ok(Some((at, Err(from_wire(failure)))))
            }
            _ => Err(stream.unexpected()),
        }
    }
}

#[async_trait]
impl Source for RemoteSource {
    async fn keeps_mtime(&self) -> Result<bool, StoreError> {
        let read = |frame| match frame {
            Frame::Description(description) => Some(description.keeps_mtime),
            _ => None,
        };
        self.keeps_mtime.get_or_try_init(|| self.ask(Request::Describe, read)).await.copied()
    }

    async fn stat(&self, key: &Key) -> Result<Option<ObjectInfo>, StoreError> {
        let read = |frame| match frame {
            Frame::Info(info) if info.as_ref().is_none_or(|info| info.entry.key == *key) => {
                Some(info)
            }
            _ => None,
        };
        self.ask(Request::Stat { key: key.clone() }, read).await
    }

    async fn lookup(&self, keys: Vec<Key>) -> Vec<Result<Option<Entry>, StoreError>> {
        let mut found = Vec::with_capacity(keys.len());
        for keys in batches(keys, REQUEST_ITEMS_MAX, |_| 0) {
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

    async fn rivals(&self, folding: Folding, keys: Vec<Key>) -> Vec<Result<Vec<Key>, StoreError>> {
        let mut found = Vec::with_capacity(keys.len());
        for keys in batches(keys, REQUEST_ITEMS_MAX, |_| 0) {
            let read = |frame| match frame {
                Frame::Rivals { place, names } => Some((place, names)),
                _ => None,
            };
            let count = keys.len();
            found.extend(self.ask_each(Request::Rivals { folding, keys }, count, read).await);
        }
        found
    }

    async fn restore(
        &self,
        entries: Vec<Entry>,
        policy: RestorePolicy,
    ) -> Vec<Result<Restored, StoreError>> {
        let mut restored = Vec::with_capacity(entries.len());
        for entries in batches(entries, REQUEST_ITEMS_MAX, |_| 0) {
            let read = |frame| match frame {
                Frame::Restored { place, is_readable: true } => Some((place, Restored::Readable)),
                Frame::Restored { place, is_readable: false } => Some((place, Restored::UnderWay)),
                _ => None,
            };
            let count = entries.len();
            let request = Request::Restore { policy, entries };
            restored.extend(self.ask_each(request, count, read).await);
        }
        restored
    }

    async fn stored_sums(&self, entries: Vec<Entry>) -> Vec<Result<Vec<StoredSum>, StoreError>> {
        let mut stored = Vec::with_capacity(entries.len());
        for entries in batches(entries, REQUEST_ITEMS_MAX, |_| 0) {
            let read = |frame| match frame {
                Frame::ObjectSums { place, sums } => Some((place, sums)),
                _ => None,
            };
            let count = entries.len();
            stored.extend(self.ask_each(Request::StoredSums { entries }, count, read).await);
        }
        stored
    }

    async fn digests(&self, objects: Vec<ToDigest>) -> Vec<Result<Digest, StoreError>> {
        let mut digests = Vec::with_capacity(objects.len());
        for objects in batches(objects, REQUEST_ITEMS_MAX, |_| 0) {
            let wanted: Vec<Option<SumKind>> = objects.iter().map(|object| object.sum).collect();
            let read = |frame| match frame {
                Frame::ObjectDigest { place, digest } => {
                    let kind = digest.sum.map(|sum| sum.kind());
                    let is_asked = wanted.get(place as usize).is_some_and(|asked| *asked == kind);
                    is_asked.then_some((place, digest))
                }
                _ => None,
            };
            let count = objects.len();
            digests.extend(self.ask_each(Request::Digests { objects }, count, read).await);
        }
        digests
    }

    async fn read_range(
        &self,
        entry: &Entry,
        range: ByteRange,
        part_bytes: u64,
        link: mpsc::Sender<InFlight>,
    ) -> Result<(), StoreError> {
        // The stream goes as soon as the target does, however long the next frame takes.
        tokio::select! {
            outcome = self.read_wide(entry, range, part_bytes, &link) => outcome.map_err(from_wire),
            () = link.closed() => Ok(()),
        }
    }

    async fn read_pack(&self, entries: Vec<Entry>, found: mpsc::Sender<PackResult>) {
        let read = async {
            // What cannot be reached is said by each batch.
            let width = self.width().await.unwrap_or(1);
            let count_max = entries.len().div_ceil(width);
            let mut first = 0;
            let batches = batches(entries, count_max, |entry: &Entry| entry.size);
            let batches = batches.into_iter().map(|entries| {
                let at = first;
                first += entries.len();
                self.read_batch(at, entries, &found)
            });
            stream::iter(batches).buffer_unordered(width).all(std::future::ready).await;
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

    /// The places without an answer.
    fn missing(&self) -> Vec<usize> {
        let places = self.0.iter().enumerate();
        places.filter(|(_, answer)| answer.is_none()).map(|(place, _)| place).collect()
    }

    fn are_complete(&self) -> bool {
        self.0.iter().all(Option::is_some)
    }

    /// The answers, with `outcome` in place of those that are missing.
    fn complete(self, outcome: Result<(), Failure>) -> Vec<Result<T, StoreError>> {
        let missing = match outcome {
            Err(failure) => from_wire(failure),
            Ok(()) => StoreError::new(
                ErrorCode::Protocol,
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

/// How large a piece may be where bytes pass at `rate`: the bandwidth of one is paid for at once, so
/// that with a low limit it is less. A power of two times a chunk, as parts are, so that none is in two of those.
fn piece_bytes(rate: Option<ByteRate>) -> u64 {
    let in_time = rate.map_or(PIECE_BYTES_MAX, |rate| rate.0 / PIECES_A_SECOND_MIN);
    1 << in_time.clamp(CHUNK_BYTES, PIECE_BYTES_MAX).ilog2()
}

/// The pieces of a range that are read at the same time, none larger than `piece_bytes`. Those that begin together
/// are of unlike size: alike ones would end together too, and the link would be idle until the next are asked for.
/// None reaches over a multiple of `piece_bytes` from the beginning.
fn pieces(range: ByteRange, piece_bytes: u64) -> impl Iterator<Item = ByteRange> {
    let starts = (range.start..range.end).step_by(piece_bytes as usize);
    starts.zip(1..).flat_map(move |(start, place)| {
        let end = range.end.min(start + piece_bytes);
        let middle = start + CHUNK_BYTES * place;
        let is_cut = middle < end;
        let (first, second) = (start..if is_cut { middle } else { end }, middle..end);
        [Some(first), is_cut.then_some(second)]
            .into_iter()
            .flatten()
            .map(|piece| ByteRange::new(piece.start, piece.end))
    })
}

/// These pieces, each as soon as it has its memory.
fn pieces_in(
    memory: PartMemory,
    pieces: impl Iterator<Item = ByteRange>,
) -> impl Stream<Item = (ByteRange, Permit)> {
    stream::unfold((memory, pieces), |(mut memory, mut rest)| async move {
        let piece = rest.next()?;
        let permit = memory.wait(piece.len()).await;
        Some(((piece, permit), (memory, rest)))
    })
}

/// Splits `items` so that each batch has at most `count_max` of them and fits a request, and `bytes` of
/// its items a pack.
fn batches<T: Serialize>(
    items: Vec<T>,
    count_max: usize,
    bytes: impl Fn(&T) -> u64,
) -> Vec<Vec<T>> {
    let mut batches: Vec<Vec<T>> = Vec::new();
    let (mut encoded_sum, mut bytes_sum) = (0, 0);
    for item in items {
        let (item_encoded, item_bytes) = (codec::encode(&item).len(), bytes(&item));
        match batches.last_mut() {
            Some(batch)
                if batch.len() < count_max.min(REQUEST_ITEMS_MAX)
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
        let split = batches(keys.clone(), REQUEST_ITEMS_MAX, |_| 0);
        assert!(split.len() > 1);
        for batch in &split {
            assert!(codec::encode(batch).len() <= REQUEST_BYTES_MAX);
        }
        assert_eq!(split.concat(), keys);
        let by_bytes =
            batches(vec![1u64, PACK_BYTES_MAX, 1, PACK_BYTES_MAX - 1, 1], 9, |bytes| *bytes);
        assert_eq!(by_bytes.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1, 2, 1]);
        assert_eq!(batches(Vec::<Key>::new(), 9, |_| 0), Vec::<Vec<Key>>::new());
        let by_count = batches(keys[..10].to_vec(), 4, |_| 0);
        assert_eq!(by_count.iter().map(Vec::len).collect::<Vec<_>>(), [4, 4, 2]);
    }

    #[test]
    fn pieces_cover_a_range_in_order_and_begin_with_unlike_ones() {
        let range = ByteRange::new(CHUNK_BYTES, 5 * PIECE_BYTES_MAX + 5);
        let pieces: Vec<ByteRange> = pieces(range, PIECE_BYTES_MAX).collect();
        let sizes: Vec<u64> =
            pieces.iter().map(|piece| piece.len().div_ceil(CHUNK_BYTES)).collect();
        assert_eq!(sizes, [1, 3, 2, 2, 3, 1, 4, 4]);
        assert_eq!((pieces[0].start, pieces[7].end), (range.start, range.end));
        assert!(pieces.windows(2).all(|pair| pair[0].end == pair[1].start));
        assert!(pieces.iter().all(|piece| piece.start % CHUNK_BYTES == 0));
        let cell = |at: u64| (at - range.start) / PIECE_BYTES_MAX;
        assert!(pieces.iter().all(|piece| cell(piece.start) == cell(piece.end - 1)));
        let short = ByteRange::new(0, 1);
        assert_eq!(super::pieces(short, PIECE_BYTES_MAX).collect::<Vec<_>>(), [short]);
    }

    #[test]
    fn pieces_are_small_where_little_may_pass() {
        let mib = |mib: u64| Some(ByteRate(mib << 20));
        for (rate, expected) in [
            (None, 4 << 20),
            (mib(1000), 4 << 20),
            (mib(16), 4 << 20),
            (mib(15), 2 << 20),
            (mib(7), 1 << 20),
            (Some(ByteRate(0)), 1 << 20),
        ] {
            assert_eq!(piece_bytes(rate), expected, "{rate:?}");
        }
        let range = ByteRange::new(0, 3 * CHUNK_BYTES + 1);
        let sizes: Vec<u64> = pieces(range, CHUNK_BYTES).map(|piece| piece.len()).collect();
        assert_eq!(sizes, [CHUNK_BYTES, CHUNK_BYTES, CHUNK_BYTES, 1]);
    }
}
