//! What arrives by a stream of a QUIC connection.
//!
//! Over a long way a chunk comes a few packets at a time. Were each of them to wake who waits for the chunk,
//! on another thread, that would cost more than the packets; so it is gathered where QUIC lives, and handed
//! over as a whole. In a buffer of its own: what arrived with a piece lies in one buffer with it, belongs to
//! other streams too, and would stay as long as the piece.

use bytes::{Bytes, BytesMut};
use quinn::{ReadExactError, RecvStream};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::carrier::BROKEN_OFF;

/// Bytes from which on it pays to gather them there.
const GATHERED_BYTES_MIN: usize = 64 << 10;

/// What is said of a stream whose connection was given up here.
const GIVEN_UP: &str = "the connection was given up";

/// A stream, as it is read.
#[derive(Debug)]
pub(super) struct QuicReader {
    /// None once reading has failed, or was broken off.
    stream: Option<RecvStream>,
    /// The runtime on which the connection lives.
    reactor: Handle,
}

impl QuicReader {
    pub(super) fn new(stream: RecvStream, reactor: Handle) -> Self {
        Self { stream: Some(stream), reactor }
    }

    /// Fills `into`.
    pub(super) async fn read(&mut self, into: &mut [u8]) -> Result<(), String> {
        let stream = self.stream.as_mut().ok_or(GIVEN_UP)?;
        stream.read_exact(into).await.map_err(|error| match error {
            ReadExactError::FinishedEarly(_) => BROKEN_OFF.to_owned(),
            ReadExactError::ReadError(error) => error.to_string(),
        })
    }

    /// The next `length` bytes. Dropping this before its end stops the sender.
    pub(super) async fn take(&mut self, length: usize) -> Result<Bytes, String> {
        let stream = self.stream.take().ok_or(GIVEN_UP)?;
        let (stream, bytes) = if length < GATHERED_BYTES_MIN {
            gather(stream, length).await?
        } else {
            let mut gathering = JoinSet::new();
            gathering.spawn_on(gather(stream, length), &self.reactor);
            let gathered = gathering.join_next().await.ok_or(GIVEN_UP)?;
            match gathered {
                Ok(gathered) => gathered?,
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                Err(_) => return Err(GIVEN_UP.to_owned()),
            }
        };
        self.stream = Some(stream);
        Ok(bytes)
    }
}

/// Reads `length` bytes as they arrive.
async fn gather(mut stream: RecvStream, length: usize) -> Result<(RecvStream, Bytes), String> {
    let mut bytes = BytesMut::with_capacity(length);
    while bytes.len() < length {
        let read = stream.read_chunk(length - bytes.len(), true).await;
        let piece = read.map_err(|error| error.to_string())?.ok_or(BROKEN_OFF)?;
        bytes.extend_from_slice(&piece.bytes);
    }
    Ok((stream, bytes.freeze()))
}
