//! One request and its answer: frames out of and into a stream.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use airlift_protocol::error::{ErrorCode, Failure};
use airlift_protocol::figures::Stage;
use airlift_protocol::frame::{
    self, ChunkHead, EncodingKind, Frame, FrameError, LENGTH_BYTES, PREAMBLE_BYTES, RequestHeader,
};
use bytes::{Bytes, BytesMut};
use quinn::{ReadExactError, RecvStream, SendStream};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::peer::Peer;
use crate::pipeline::compress::{CompressedChunk, Encoding};
use crate::pipeline::meter::{Arrivals, Meter};

/// Time that a peer has to send its request once it opened a stream.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Time after which a peer that takes nothing of an answer loses it.
const STALL_TIMEOUT: Duration = Duration::from_secs(120);

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

/// Reads the request that a peer wrote first on a stream.
pub(super) async fn read_request(
    peer: &Peer,
    stream: &mut RecvStream,
) -> Result<RequestHeader, Failure> {
    let read = async {
        let mut preamble = [0; PREAMBLE_BYTES];
        read_exact(peer, stream, &mut preamble).await?;
        let length = frame::request_length(preamble).map_err(|error| malformed(peer, &error))?;
        let mut bytes = vec![0; length];
        read_exact(peer, stream, &mut bytes).await?;
        frame::decode_request(&bytes).map_err(|error| malformed(peer, &error))
    };
    let late = |_| broken(peer, "opened a stream and sent no request");
    timeout(REQUEST_TIMEOUT, read).await.map_err(late)?
}

async fn read_exact(peer: &Peer, stream: &mut RecvStream, into: &mut [u8]) -> Result<(), Failure> {
    stream.read_exact(into).await.map_err(|error| match error {
        ReadExactError::FinishedEarly(_) => broken(peer, "its answer broke off"),
        ReadExactError::ReadError(error) => broken(peer, error),
    })?;
    peer.received.fetch_add(into.len() as u64, Ordering::Relaxed);
    Ok(())
}

/// The answer to a request, frame by frame. Dropping it stops the sender.
#[derive(Debug)]
pub struct FrameStream {
    stream: RecvStream,
    peer: Arc<Peer>,
    /// Where what arrives is counted, besides with the peer.
    arrivals: Option<Arc<Arrivals>>,
    _permit: OwnedSemaphorePermit,
}

impl FrameStream {
    pub(super) fn new(stream: RecvStream, peer: Arc<Peer>, permit: OwnedSemaphorePermit) -> Self {
        Self { stream, peer, arrivals: None, _permit: permit }
    }

    /// Counts what arrives in `arrivals` too.
    #[must_use]
    pub fn counted(mut self, arrivals: Arc<Arrivals>) -> Self {
        self.arrivals = Some(arrivals);
        self
    }

    async fn read(&mut self, into: &mut [u8]) -> Result<(), Failure> {
        read_exact(&self.peer, &mut self.stream, into).await?;
        if let Some(arrivals) = &self.arrivals {
            arrivals.add(into.len() as u64);
        }
        Ok(())
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
            Frame::Error(failure) => Err(bounded(&failure)),
            Frame::ObjectError { place, failure } => {
                Ok(Frame::ObjectError { place, failure: bounded(&failure) })
            }
            frame => Ok(frame),
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
        let mut payload = BytesMut::zeroed(head.payload_bytes as usize);
        self.read(&mut payload).await?;
        let encoding = match head.encoding {
            EncodingKind::Plain => Encoding::Plain(payload.freeze()),
            EncodingKind::Zstd => Encoding::Zstd(payload.freeze()),
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
    stream: SendStream,
    peer: Arc<Peer>,
    gathered: Vec<u8>,
    /// Where sending is counted, besides with the peer.
    meter: Option<Arc<Meter>>,
}

impl FrameWriter {
    pub(super) fn new(stream: SendStream, peer: Arc<Peer>) -> Self {
        Self { stream, peer, gathered: Vec::new(), meter: None }
    }

    /// Counts what is sent, and the time that it takes, in `meter` too.
    pub fn count_in(&mut self, meter: Arc<Meter>) {
        self.meter = Some(meter);
    }

    /// Ends when the peer wants no more, or is gone.
    pub(super) fn stopped(&self) -> impl Future<Output = ()> + Send + 'static {
        let stopped = self.stream.stopped();
        async move {
            // A peer that is gone wants no more either.
            let _ = stopped.await;
        }
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
            Encoding::Plain(bytes) => (EncodingKind::Plain, bytes),
            Encoding::Zstd(bytes) => (EncodingKind::Zstd, bytes),
            Encoding::Zero => (EncodingKind::Zero, Bytes::new()),
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

    /// Ends the answer with `last`. When the peer is gone there is nobody to tell.
    pub(super) async fn end(mut self, last: &Frame) {
        let written = match self.gather(last) {
            Ok(()) => self.flush().await,
            Err(failure) => Err(failure),
        };
        if let Err(failure) = written {
            tracing::debug!(peer = ?self.peer.node, %failure, "an answer did not arrive");
            return;
        }
        // Fails only for a stream that was ended before, which `self` by value rules out.
        let _ = self.stream.finish();
    }

    fn gather(&mut self, frame: &Frame) -> Result<(), Failure> {
        frame::encode_frame(frame, &mut self.gathered)
            .map_err(|error| Failure::new(ErrorCode::TooLarge, format!("an answer: {error}")))
    }

    async fn write(&mut self, bytes: Bytes) -> Result<(), Failure> {
        let length = bytes.len() as u64;
        let _busy = self.meter.as_ref().map(|meter| meter.busy(Stage::Link));
        match timeout(STALL_TIMEOUT, self.stream.write_chunk(bytes)).await {
            Ok(Ok(())) => {
                self.peer.sent.fetch_add(length, Ordering::Relaxed);
                if let Some(meter) = &self.meter {
                    meter.add_bytes(Stage::Link, length);
                }
                Ok(())
            }
            Ok(Err(error)) => Err(broken(&self.peer, error)),
            Err(_) => Err(broken(&self.peer, "takes nothing of what it asked for")),
        }
    }
}
