//! What carries the bytes of a stream: QUIC, or a line over TCP. All above sees only bytes.

use std::io;

use bytes::{Bytes, BytesMut};
use quinn::SendStream;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::quic::QuicReader;
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
    Quic(QuicReader),
    /// A line on which this node asks; boxed, because it is large.
    Line(Box<Line>),
    /// A line on which this node serves.
    Served(LineReader),
    /// Nowhere: all has arrived.
    Ended,
}

/// What is said of a stream that ends before its answer does.
pub(super) const BROKEN_OFF: &str = "its answer broke off";

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
            Self::Quic(stream) => stream.read(into).await,
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
        match self {
            Self::Quic(stream) => stream.take(length).await,
            Self::Line(line) => filled(line.arriving(), length).await,
            Self::Served(_) | Self::Ended => Err("nothing is sent here".to_owned()),
        }
    }
}

async fn filled(reader: &mut (impl AsyncRead + Unpin), length: usize) -> Result<Bytes, String> {
    let mut bytes = BytesMut::with_capacity(length);
    while bytes.len() < length {
        let missing = (length - bytes.len()) as u64;
        let mut rest = (&mut *reader).take(missing);
        match rest.read_buf(&mut bytes).await {
            Ok(0) => return Err(BROKEN_OFF.to_owned()),
            Ok(_) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(bytes.freeze())
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
