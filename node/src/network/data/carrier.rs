//! What carries the bytes of a stream: QUIC, or a line over TCP. All above sees only bytes.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use quinn::{ReadExactError, RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::sleep;

use super::tcp::{Line, LineReader, LineWriter};

/// How two nodes reach each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carrier {
    /// Streams of one connection.
    Quic,
    /// A line for each request that is under way.
    Tcp,
}

impl Carrier {
    /// The one that this is not.
    pub(super) fn other(self) -> Self {
        match self {
            Self::Quic => Self::Tcp,
            Self::Tcp => Self::Quic,
        }
    }
}

/// Where bytes arrive.
#[derive(Debug)]
pub(super) enum ByteReader {
    /// A stream of a QUIC connection, and for how long it is left to gather bytes.
    Quic(RecvStream, Duration),
    /// A line on which this node asks; boxed, because it is large.
    Line(Box<Line>),
    /// A line on which this node serves.
    Served(LineReader),
    /// Nowhere: all has arrived.
    Ended,
}

/// Round trips from which on a stream is left to gather bytes, and for which part of one: each packet
/// would wake its reader, which costs more than the packet, and what waits is little of what is under
/// way. A pause is as short as the runtime's timer can tell, and never long.
const GATHER_RTT: Duration = Duration::from_millis(20);
const GATHER_PART: u32 = 16;
const GATHER_MAX: Duration = Duration::from_millis(4);

/// How long a stream is left to gather bytes when a round trip takes `rtt`.
fn gather(rtt: Duration) -> Duration {
    if rtt < GATHER_RTT { Duration::ZERO } else { (rtt / GATHER_PART).min(GATHER_MAX) }
}

/// What is said of a stream that ends before its answer does.
const BROKEN_OFF: &str = "its answer broke off";

fn ended(error: io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => BROKEN_OFF.to_owned(),
        _ => error.to_string(),
    }
}

impl ByteReader {
    /// An answer that arrives by a stream over a way of this round trip.
    pub(super) fn quic(stream: RecvStream, rtt: Duration) -> Self {
        Self::Quic(stream, gather(rtt))
    }

    /// Fills `into`.
    ///
    /// # Errors
    /// Why there are no more bytes, for people.
    pub(super) async fn read(&mut self, into: &mut [u8]) -> Result<(), String> {
        match self {
            Self::Quic(stream, _) => stream.read_exact(into).await.map_err(|error| match error {
                ReadExactError::FinishedEarly(_) => BROKEN_OFF.to_owned(),
                ReadExactError::ReadError(error) => error.to_string(),
            }),
            Self::Line(line) => line.read(into).await.map_err(ended),
            Self::Served(line) => line.read(into).await.map_err(ended),
            Self::Ended => Err("its answer has ended".to_owned()),
        }
    }

    /// The next `length` bytes, in a buffer of just that size which nobody had to fill before.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(super) async fn take(&mut self, length: usize) -> Result<Bytes, String> {
        let mut bytes = BytesMut::with_capacity(length);
        while bytes.len() < length {
            let missing = length - bytes.len();
            let read = match self {
                Self::Quic(stream, _) => append(stream, &mut bytes, missing).await,
                Self::Line(line) => append(line.arriving(), &mut bytes, missing).await,
                Self::Served(_) | Self::Ended => return Err("nothing is sent here".to_owned()),
            };
            if read.map_err(|error| error.to_string())? == 0 {
                return Err(BROKEN_OFF.to_owned());
            }
            if let Self::Quic(_, pause) = self
                && !pause.is_zero()
                && bytes.len() < length
            {
                sleep(*pause).await;
            }
        }
        Ok(bytes.freeze())
    }
}

async fn append(
    reader: &mut (impl AsyncRead + Unpin),
    into: &mut BytesMut,
    bytes_max: usize,
) -> io::Result<usize> {
    reader.take(bytes_max as u64).read_buf(into).await
}

/// Where bytes are sent.
#[derive(Debug)]
pub(super) enum ByteWriter {
    /// A stream of a QUIC connection.
    Quic(SendStream),
    /// A line on which this node serves.
    Line(LineWriter),
}

impl ByteWriter {
    /// Writes all of `bytes`; they are on their way when it returns, or wait for the network only.
    ///
    /// # Errors
    /// Why they cannot be written, for people.
    pub(super) async fn write(&mut self, bytes: Bytes) -> Result<(), String> {
        match self {
            Self::Quic(stream) => {
                stream.write_chunk(bytes).await.map_err(|error| error.to_string())
            }
            Self::Line(line) => line.write(&bytes).await.map_err(|error| error.to_string()),
        }
    }
}
