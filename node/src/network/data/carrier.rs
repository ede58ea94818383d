//! What carries the bytes of a stream: QUIC, or a line over TCP. All above sees only bytes.

use std::io;

use bytes::{Bytes, BytesMut};
use quinn::{ReadExactError, RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncReadExt};

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
    /// A stream of a QUIC connection.
    Quic(RecvStream),
    /// A line on which this node asks; boxed, because it is large.
    Line(Box<Line>),
    /// A line on which this node serves.
    Served(LineReader),
    /// Nowhere: all has arrived.
    Ended,
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
    /// Fills `into`.
    ///
    /// # Errors
    /// Why there are no more bytes, for people.
    pub(super) async fn read(&mut self, into: &mut [u8]) -> Result<(), String> {
        match self {
            Self::Quic(stream) => stream.read_exact(into).await.map_err(|error| match error {
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
                Self::Quic(stream) => append(stream, &mut bytes, missing).await,
                Self::Line(line) => append(line.arriving(), &mut bytes, missing).await,
                Self::Served(_) | Self::Ended => return Err("nothing is sent here".to_owned()),
            };
            if read.map_err(|error| error.to_string())? == 0 {
                return Err(BROKEN_OFF.to_owned());
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
