//! The source's node: runs the sending half of the pipeline and writes its frames.

use std::fmt::Debug;
use std::sync::Arc;

use airlift_protocol::error::{ErrorCode, Failure};
use airlift_protocol::figures::Stage;
use airlift_protocol::frame::{CatchUp, Description, Frame, Request, RequestHeader};
use airlift_protocol::id::{JobId, NodeId};
use airlift_protocol::limits::CHUNK_BYTES;
use airlift_protocol::manifest::Entry;
use airlift_protocol::units::ByteRange;
use async_trait::async_trait;
use tokio::sync::mpsc;

use super::{FrameWriter, Serve};
use crate::pipeline::budget::Budget;
use crate::pipeline::meter::Meter;
use crate::pipeline::requests::counted;
use crate::pipeline::source::{CompressedObject, Source};
use crate::store::{Restored, StoreError};

/// Chunks between the pipeline and the stream.
const LINK_CHUNKS: usize = 4;

/// Objects between the pipeline and the stream.
const LINK_OBJECTS: usize = 64;

/// The source of a job, as it is read for other nodes.
#[derive(Clone, Debug)]
pub struct Served {
    /// The source, whose chunks are as they are to cross the link.
    pub source: Arc<dyn Source>,
    /// Where it counts what it does, and where sending is counted.
    pub meter: Arc<Meter>,
}

/// What this node has for others: the jobs whose source it can read, and its replica of the state.
#[async_trait]
pub trait Shelf: Debug + Send + Sync {
    /// The source of `job`.
    ///
    /// # Errors
    /// When this node does not know the job, or cannot open its source.
    async fn source(&self, job: JobId) -> Result<Served, Failure>;

    /// Writes what `peer` asks for of this node's replica.
    ///
    /// # Errors
    /// When the two are not both voters, or it is not here.
    async fn catch_up(
        &self,
        peer: NodeId,
        wanted: CatchUp,
        frames: &mut FrameWriter,
    ) -> Result<(), Failure>;

    /// As [`Serve::beckon`].
    fn beckon(&self, peer: NodeId) -> bool;
}

/// Serves the sources of jobs, and what voters lack.
#[derive(Debug)]
pub struct SourceServer {
    shelf: Arc<dyn Shelf>,
    /// Bound on the bytes of packs that are being sent.
    budget: Budget,
}

impl SourceServer {
    /// A server of `shelf`. `budget` (and that of the sources) must not be the one from which this
    /// node receives: two nodes that wait for each other's bytes would wait for ever.
    pub fn new(shelf: Arc<dyn Shelf>, budget: Budget) -> Self {
        Self { shelf, budget }
    }
}

#[async_trait]
impl Serve for SourceServer {
    fn beckon(&self, peer: NodeId) -> bool {
        self.shelf.beckon(peer)
    }

    async fn serve(
        &self,
        peer: NodeId,
        request: RequestHeader,
        frames: &mut FrameWriter,
    ) -> Result<(), Failure> {
        let RequestHeader { order, request } = request;
        if let Request::CatchUp(wanted) = request {
            return self.shelf.catch_up(peer, wanted, frames).await;
        }
        tracing::debug!(?peer, job = %order.job, assignment = order.assignment.0, "serves");
        let served = self.shelf.source(order.job).await?;
        let meter = Arc::clone(&served.meter);
        counted(meter, self.answer(&served, request, frames)).await
    }
}

impl SourceServer {
    /// Answers a request about the source of a job.
    async fn answer(
        &self,
        served: &Served,
        request: Request,
        frames: &mut FrameWriter,
    ) -> Result<(), Failure> {
        let _order = served.meter.order();
        frames.count_in(Arc::clone(&served.meter));
        let source = &served.source;
        match request {
            Request::Range { entry, range } => send_range(served, entry, range, frames).await,
            Request::Pack { entries } => {
                let bytes = entries.iter().map(|entry| entry.size).sum();
                let waits = served.meter.wait(Stage::Memory);
                let _permit = self.budget.take(bytes).await;
                drop(waits);
                send_pack(served, entries, frames).await
            }
            Request::Stat { key } => {
                let info = ready(served, source.stat(&key)).await?;
                frames.frame(&Frame::Info(info)).await
            }
            Request::Lookup { keys } => {
                let found = ready(served, source.lookup(keys)).await;
                send_each(found, |place, entry| Frame::Found { place, entry }, frames).await
            }
            Request::Digests { objects } => {
                let digests = ready(served, source.digests(objects)).await;
                let to_frame = |place, digest| Frame::ObjectDigest { place, digest };
                send_each(digests, to_frame, frames).await
            }
            Request::StoredSums { entries } => {
                let stored = ready(served, source.stored_sums(entries)).await;
                send_each(stored, |place, sums| Frame::ObjectSums { place, sums }, frames).await
            }
            Request::Describe => {
                let keeps_mtime = ready(served, source.keeps_mtime()).await?;
                frames.frame(&Frame::Description(Description { keeps_mtime })).await
            }
            Request::Restore { policy, entries } => {
                let restored = ready(served, source.restore(entries, policy)).await;
                let frame = |place, restored| Frame::Restored {
                    place,
                    is_readable: restored == Restored::Readable,
                };
                send_each(restored, frame, frames).await
            }
            Request::Rivals { folding, keys } => {
                let found = ready(served, source.rivals(folding, keys)).await;
                send_each(found, |place, names| Frame::Rivals { place, names }, frames).await
            }
            Request::CatchUp(_) => Err(Failure::new(ErrorCode::Bug, "is no question to a source")),
        }
    }
}

/// What is to be sent, for which sending waits.
async fn ready<T>(served: &Served, made: impl Future<Output = T>) -> T {
    let _waits = served.meter.wait(Stage::Link);
    made.await
}

async fn send_range(
    served: &Served,
    entry: Entry,
    range: ByteRange,
    frames: &mut FrameWriter,
) -> Result<(), Failure> {
    let (link, mut arrived) = mpsc::channel(LINK_CHUNKS);
    // Owns its end of the link, so that the reader stops when the stream does.
    let write = async move {
        while let Some((chunk, permit)) = ready(served, arrived.recv()).await {
            frames.chunk(0, chunk).await?;
            drop(permit);
            if arrived.is_empty() {
                frames.flush().await?;
            }
        }
        Ok::<(), Failure>(())
    };
    let read = served.source.read_range(&entry, range, CHUNK_BYTES, link);
    let (read, written) = tokio::join!(read, write);
    written?;
    Ok(read?)
}

async fn send_pack(
    served: &Served,
    entries: Vec<Entry>,
    frames: &mut FrameWriter,
) -> Result<(), Failure> {
    let (found, mut arrived) = mpsc::channel(LINK_OBJECTS);
    let write = async move {
        while let Some((place, outcome)) = ready(served, arrived.recv()).await {
            let place = place_of(place)?;
            match outcome {
                Ok(object) => send_object(place, object, frames).await?,
                Err(error) => frames.frame(&failed(place, error)).await?,
            }
            if arrived.is_empty() {
                frames.flush().await?;
            }
        }
        Ok::<(), Failure>(())
    };
    let ((), written) = tokio::join!(served.source.read_pack(entries, found), write);
    written
}

async fn send_object(
    place: u32,
    object: CompressedObject,
    frames: &mut FrameWriter,
) -> Result<(), Failure> {
    let CompressedObject { root, attributes, chunks, cut_from: _ } = object;
    let bytes = chunks.iter().map(|chunk| chunk.plain_bytes).sum();
    match frames.frame(&Frame::ObjectHead { place, attributes, root, bytes }).await {
        Ok(()) => {}
        // This object cannot be described on the wire; the others can.
        Err(failure) if failure.code == ErrorCode::TooLarge => {
            return frames.frame(&Frame::ObjectError { place, failure }).await;
        }
        Err(failure) => return Err(failure),
    }
    for chunk in chunks {
        frames.chunk(place, chunk).await?;
    }
    Ok(())
}

async fn send_each<T>(
    outcomes: Vec<Result<T, StoreError>>,
    to_frame: impl Fn(u32, T) -> Frame,
    frames: &mut FrameWriter,
) -> Result<(), Failure> {
    for (place, outcome) in outcomes.into_iter().enumerate() {
        let place = place_of(place)?;
        let frame = match outcome {
            Ok(value) => to_frame(place, value),
            Err(error) => failed(place, error),
        };
        frames.frame(&frame).await?;
    }
    Ok(())
}

fn failed(place: u32, error: StoreError) -> Frame {
    Frame::ObjectError { place, failure: error.into() }
}

fn place_of(place: usize) -> Result<u32, Failure> {
    u32::try_from(place).map_err(|_| Failure::new(ErrorCode::Bug, "a place beyond its request"))
}
