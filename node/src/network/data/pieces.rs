//! Pieces: values that cross one after the other, each as an object of one chunk, so that they are
//! compressed and verified as all data is.

use std::time::Duration;

use airlift_protocol::error::{ErrorCode, Failure};
use airlift_protocol::frame::{CatchUp, Frame, Order, Request, RequestHeader};
use airlift_protocol::limits::CHUNK_BYTES;
use bytes::Bytes;
use tokio::time::timeout;

use super::remote::Route;
use super::{FrameStream, FrameWriter};
use crate::pipeline::chunk::Payload;
use crate::pipeline::compress::{Compression, compress, decompress};
use crate::pipeline::{hash, verify};
use crate::runtime::blocking::blocking;

/// Bytes of one piece.
pub const PIECE_BYTES_MAX: u64 = CHUNK_BYTES;

/// Time for one piece to arrive.
const PIECE_TIMEOUT: Duration = Duration::from_secs(20);

/// Writes pieces.
#[derive(Debug)]
pub struct PieceWriter<'a> {
    frames: &'a mut FrameWriter,
    place: u32,
}

impl<'a> PieceWriter<'a> {
    /// Writes to `frames`.
    pub fn new(frames: &'a mut FrameWriter) -> Self {
        Self { frames, place: 0 }
    }

    /// Writes the next piece, of at most [`PIECE_BYTES_MAX`].
    ///
    /// # Errors
    /// When it is longer, or the peer is gone.
    pub async fn piece(&mut self, bytes: Bytes) -> Result<(), Failure> {
        let size = bytes.len() as u64;
        if size > PIECE_BYTES_MAX {
            return Err(Failure::new(ErrorCode::TooLarge, format!("a piece of {size} bytes")));
        }
        let encode =
            move || compress(hash::hash(size, 0, Payload::Bytes(bytes)), Compression::LINK);
        let chunk = blocking(encode).await;
        let place = self.next_place()?;
        self.frames.chunk(place, chunk).await
    }

    /// Says that the next piece is not here.
    ///
    /// # Errors
    /// When the peer is gone.
    pub async fn missing(&mut self, failure: Failure) -> Result<(), Failure> {
        let place = self.next_place()?;
        self.frames.frame(&Frame::ObjectError { place, failure }).await
    }

    fn next_place(&mut self) -> Result<u32, Failure> {
        let place = self.place;
        let too_many = || Failure::new(ErrorCode::TooLarge, "more pieces than can be counted");
        self.place = place.checked_add(1).ok_or_else(too_many)?;
        Ok(place)
    }
}

/// Pieces that arrive.
#[derive(Debug)]
pub struct PieceStream {
    stream: FrameStream,
    place: u32,
}

impl PieceStream {
    /// Asks the node at the end of `route` for `wanted`.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub async fn open(route: &Route, wanted: CatchUp) -> Result<Self, Failure> {
        let header = RequestHeader { order: Order::NONE, request: Request::CatchUp(wanted) };
        let stream = route.network.open(route.node, &route.addresses, &header).await?;
        Ok(Self { stream, place: 0 })
    }

    /// The next piece; none at the end.
    ///
    /// # Errors
    /// When it is not there, does not arrive in time, or is not what was sent.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        let late = |_| Failure::new(ErrorCode::TimedOut, "a piece did not arrive in time");
        timeout(PIECE_TIMEOUT, self.read()).await.map_err(late)?
    }

    async fn read(&mut self) -> Result<Option<Bytes>, Failure> {
        let chunk = match self.stream.next().await? {
            Frame::End => return Ok(None),
            Frame::ObjectError { failure, .. } => return Err(failure),
            // An empty one would bring nobody further.
            Frame::Chunk(head)
                if head.place == self.place && head.offset == 0 && head.plain_bytes > 0 =>
            {
                self.stream.payload(u64::from(head.plain_bytes), &head).await?
            }
            _ => return Err(self.stream.unexpected()),
        };
        self.place = self.place.saturating_add(1);
        let corrupt = |error: &dyn std::fmt::Display| {
            Failure::new(ErrorCode::CorruptChunk, error.to_string())
        };
        let decode = move || {
            let received = decompress(chunk).map_err(|error| corrupt(&error))?;
            verify::verify(received).map_err(|error| corrupt(&error))
        };
        match blocking(decode).await?.payload() {
            Payload::Bytes(bytes) => Ok(Some(bytes.clone())),
            Payload::Zero(_) => Err(self.stream.unexpected()),
        }
    }
}
