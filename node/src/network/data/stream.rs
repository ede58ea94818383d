//! One request and its answer: frames out of and into a stream.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use airlift_protocol::error::{ErrorCode, Failure};
use airlift_protocol::figures::Stage;
use airlift_protocol::frame::{
    self, ChunkHead, EncodingKind, Frame, FrameError, LENGTH_BYTES, PREAMBLE_BYTES, RequestHeader,
};
use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::carrier::{ByteReader, ByteWriter};
use super::choice::{Ride, outpaced};
use super::peer::Peer;
use crate::pipeline::chunk::Payload;
use crate::pipeline::compress::{CompressedChunk, Encoding};
use crate::pipeline::meter::{Arrivals, Meter};

/// Time that a peer has to send its request once it opened a stream.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Time after which a peer that takes nothing of an answer loses it: less than [`STEP_BYTES`], that is. Where
/// many streams share a slow way, or a limit of the bandwidth, the turn of each comes late.
const STALL_TIMEOUT: Duration = Duration::from_secs(120);

/// Bytes that are written at a time, within that.
const STEP_BYTES: usize = 256 << 10;

/// Bytes of frames that are gathered before they are handed to the transport.
const GATHERED_BYTES: usize = 64 << 10;

/// Payloads up to this size are gathered with their frames; larger ones cross without a copy.
const COPIED_BYTES_MAX: usize = 16 << 10;

/// A peer's answer has broken off: another attempt may pass.
pub(super) fn broken(peer: &Peer, why: impl std::fmt::Display) -> Failure {
    Failure::new(ErrorCode::NodeLost, format!("{:?}: {why}", peer.node))
}

/// What a peer sent is not what the protocol allows.
fn malformed(peer: &Peer, error: &FrameError) -> Failure {
    Failure::new(ErrorCode::Protocol, format!("{:?}: {error}", peer.node))
}

/// Reads the first bytes of a request, however long they take.
pub(super) async fn read_preamble(
    peer: &Peer,
    reader: &mut ByteReader,
) -> Result<[u8; PREAMBLE_BYTES], Failure> {
    let mut preamble = [0; PREAMBLE_BYTES];
    read_exact(peer, reader, &mut preamble).await?;
    Ok(preamble)
}

/// Reads the rest of a request.
pub(super) async fn read_request(
    peer: &Peer,
    reader: &mut ByteReader,
    preamble: [u8; PREAMBLE_BYTES],
) -> Result<RequestHeader, Failure> {
    let length = frame::request_length(preamble).map_err(|error| malformed(peer, &error))?;
    let mut bytes = vec![0; length];
    in_time(peer, read_exact(peer, reader, &mut bytes)).await?;
    frame::decode_request(&bytes).map_err(|error| malformed(peer, &error))
}

/// Waits for what a peer is to say of its request.
pub(super) async fn in_time<T>(
    peer: &Peer,
    read: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let late = |_| broken(peer, "opened a stream and sent no request");
    timeout(REQUEST_TIMEOUT, read).await.map_err(late)?
}

async fn read_exact(peer: &Peer, reader: &mut ByteReader, into: &mut [u8]) -> Result<(), Failure> {
    reader.read(into).await.map_err(|error| broken(peer, error))?;
    peer.received.fetch_add(into.len() as u64, Ordering::Relaxed);
    Ok(())
}

/// The answer to a request, frame by frame. Dropping it stops the sender.
#[derive(Debug)]
pub struct FrameStream {
    reader: ByteReader,
    peer: Arc<Peer>,
    /// Where what arrives is counted, besides with the peer.
    arrivals: Option<Arc<Arrivals>>,
    ride: Ride,
    _permit: OwnedSemaphorePermit,
}

impl FrameStream {
    pub(super) fn new(
        (reader, ride): (ByteReader, Ride),
        peer: Arc<Peer>,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        Self { reader, peer, arrivals: None, ride, _permit: permit }
    }

    /// Waits until the rest of the answer should be asked for anew, because it would arrive much
    /// sooner by the other carrier.
    pub(super) fn outpaced(&self) -> impl Future<Output = ()> + use<> {
        outpaced(&self.peer, self.ride.carrier)
    }

    /// Counts what arrives in `arrivals` too.
    #[must_use]
    pub fn counted(mut self, arrivals: Arc<Arrivals>) -> Self {
        self.arrivals = Some(arrivals);
        self
    }

    async fn read(&mut self, into: &mut [u8]) -> Result<(), Failure> {
        self.reader.read(into).await.map_err(|error| broken(&self.peer, error))?;
        self.count(into.len());
        Ok(())
    }

    fn count(&self, bytes: usize) {
        self.peer.received.fetch_add(bytes as u64, Ordering::Relaxed);
        self.peer.choice.arrived(self.ride.carrier, bytes as u64);
        if let Some(arrivals) = &self.arrivals {
            arrivals.add(bytes as u64);
        }
    }

    /// The next frame. After a [`Frame::Chunk`], [`payload`](Self::payload) comes before the next
    /// call; after [`Frame::End`] there is none.
    ///
    /// # Errors
    /// When the connection is lost, the answer breaks off or breaks the protocol, or is itself a
    /// failure: that one arrives as it was at the source.
    pub async fn next(&mut self) -> Result<Frame, Failure> {
        let mut prefix = [0; LENGTH_BYTES];
        self.read(&mut prefix).await?;
        let length = frame::frame_length(prefix).map_err(|error| malformed(&self.peer, &error))?;
        let mut bytes = vec![0; length];
        self.read(&mut bytes).await?;
        match frame::decode_frame(&bytes).map_err(|error| malformed(&self.peer, &error))? {
            Frame::Error(failure) => {
                self.end();
                Err(bounded(&failure))
            }
            Frame::End => {
                self.end();
                Ok(Frame::End)
            }
            Frame::ObjectError { place, failure } => {
                Ok(Frame::ObjectError { place, failure: bounded(&failure) })
            }
            frame => Ok(frame),
        }
    }

    /// The answer is over: what carried it may carry another.
    fn end(&mut self) {
        if let ByteReader::Line(line) = std::mem::replace(&mut self.reader, ByteReader::Ended) {
            self.peer.give_back(*line);
        }
    }

    /// The chunk whose head was read, in a buffer of exactly its declared size.
    ///
    /// # Errors
    /// When the connection is lost or the answer breaks off.
    pub async fn payload(
        &mut self,
        object_size: u64,
        head: &ChunkHead,
    ) -> Result<CompressedChunk, Failure> {
        let payload = self.reader.take(head.payload_bytes as usize).await;
        let payload = payload.map_err(|error| broken(&self.peer, error))?;
        self.count(payload.len());
        let encoding = match head.encoding {
            EncodingKind::Plain => Encoding::Plain(payload),
            EncodingKind::Zstd => Encoding::Zstd(payload),
            EncodingKind::Zero => Encoding::Zero,
        };
        let plain_bytes = u64::from(head.plain_bytes);
        let &ChunkHead { offset, value, .. } = head;
        Ok(CompressedChunk { object_size, offset, value, plain_bytes, encoding })
    }

    /// What to answer when the peer sent a frame that does not belong here.
    pub(super) fn unexpected(&self) -> Failure {
        malformed(&self.peer, &FrameError::Invalid("a frame that does not answer the request"))
    }
}

/// A failure from the wire, with its text cut and kept on one line.
fn bounded(failure: &Failure) -> Failure {
    Failure::new(failure.code, failure.detail())
}

/// Where an answer is written.
#[derive(Debug)]
pub struct FrameWriter {
    writer: ByteWriter,
    peer: Arc<Peer>,
    gathered: Vec<u8>,
    /// Whether a write was broken off: what follows would be taken for the rest of it.
    is_broken: bool,
    /// Where sending is counted, besides with the peer.
    meter: Option<Arc<Meter>>,
}

impl FrameWriter {
    pub(super) fn new(writer: ByteWriter, peer: Arc<Peer>) -> Self {
        Self { writer, peer, gathered: Vec::new(), is_broken: false, meter: None }
    }

    /// Counts what is sent, and the time that it takes, in `meter` too.
    pub fn count_in(&mut self, meter: Arc<Meter>) {
        self.meter = Some(meter);
    }

    /// Writes a frame without payload; it may wait in a buffer until [`flush`](Self::flush).
    ///
    /// # Errors
    /// When the peer is gone, takes nothing, or the frame is larger than may be.
    pub async fn frame(&mut self, frame: &Frame) -> Result<(), Failure> {
        self.gather(frame)?;
        if self.gathered.len() >= GATHERED_BYTES { self.flush().await } else { Ok(()) }
    }

    /// Writes a chunk of the object at `place`; it may wait in a buffer, too.
    ///
    /// # Errors
    /// As [`frame`](Self::frame).
    pub async fn chunk(&mut self, place: u32, chunk: CompressedChunk) -> Result<(), Failure> {
        let CompressedChunk { offset, value, plain_bytes, encoding, .. } = chunk;
        let (encoding, payload) = match encoding {
            Encoding::Plain(bytes) | Encoding::Kept(Payload::Bytes(bytes)) => {
                (EncodingKind::Plain, bytes)
            }
            Encoding::Zstd(bytes) => (EncodingKind::Zstd, bytes),
            Encoding::Zero | Encoding::Kept(Payload::Zero(_)) => (EncodingKind::Zero, Bytes::new()),
        };
        let too_long = |_| Failure::new(ErrorCode::Bug, "a chunk longer than a chunk can be");
        let plain_bytes = u32::try_from(plain_bytes).map_err(too_long)?;
        let payload_bytes = u32::try_from(payload.len()).map_err(too_long)?;
        let head = ChunkHead { place, offset, value, plain_bytes, encoding, payload_bytes };
        self.gather(&Frame::Chunk(head))?;
        if payload.len() <= COPIED_BYTES_MAX {
            self.gathered.extend_from_slice(&payload);
            return if self.gathered.len() >= GATHERED_BYTES { self.flush().await } else { Ok(()) };
        }
        self.flush().await?;
        self.write(payload).await
    }

    /// Hands everything gathered to the transport.
    ///
    /// # Errors
    /// When the peer is gone or takes nothing.
    pub async fn flush(&mut self) -> Result<(), Failure> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let gathered = std::mem::take(&mut self.gathered);
        self.write(gathered.into()).await
    }

    /// Ends the answer with `last`. Gives back what carried it; when the peer is gone there is nobody
    /// to tell.
    pub(super) async fn end(mut self, last: &Frame) -> Option<ByteWriter> {
        if self.is_broken {
            return None;
        }
        let written = match self.gather(last) {
            Ok(()) => self.flush().await,
            Err(failure) => Err(failure),
        };
        if let Err(failure) = written {
            tracing::debug!(peer = ?self.peer.node, %failure, "an answer did not arrive");
            return None;
        }
        Some(self.writer)
    }

    fn gather(&mut self, frame: &Frame) -> Result<(), Failure> {
        frame::encode_frame(frame, &mut self.gathered)
            .map_err(|error| Failure::new(ErrorCode::TooLarge, format!("an answer: {error}")))
    }

    async fn write(&mut self, mut bytes: Bytes) -> Result<(), Failure> {
        let _busy = self.meter.as_ref().map(|meter| meter.busy(Stage::Link));
        self.is_broken = true;
        while !bytes.is_empty() {
            let step = bytes.split_to(bytes.len().min(STEP_BYTES));
            let length = step.len() as u64;
            let late = |_| broken(&self.peer, "takes nothing of what it asked for");
            let written = timeout(STALL_TIMEOUT, self.writer.write(step)).await.map_err(late)?;
            written.map_err(|error| broken(&self.peer, error))?;
            self.peer.sent.fetch_add(length, Ordering::Relaxed);
            if let Some(meter) = &self.meter {
                meter.add_bytes(Stage::Link, length);
            }
        }
        self.is_broken = false;
        Ok(())
    }
}
