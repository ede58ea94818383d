//! Bodies of answers: whole, when they are small, or cut into chunks.

use std::fmt;
use std::time::Duration;

use airlift_protocol::error::ErrorCode;
use airlift_protocol::limits::CHUNK_BYTES;
use airlift_protocol::units::ByteRange;
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use futures::stream::BoxStream;
use reqwest::Response;
use tokio::time::timeout;

use super::error::{Failed, body_failed};
use crate::pipeline::chunk::Payload;
use crate::store::{RangeReader, StoreError};

/// From each piece of a body to the next. It counts only while somebody waits for it: a reader that
/// waits for memory or bandwidth in between says nothing about the service.
const PIECE_TIMEOUT: Duration = Duration::from_secs(60);

/// The bytes of one answer, as they arrive.
pub(in crate::store) struct Body {
    /// Whose bytes they are, for people.
    what: String,
    stream: BoxStream<'static, reqwest::Result<Bytes>>,
    /// What arrived and was not taken yet.
    piece: Bytes,
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("what", &self.what).finish_non_exhaustive()
    }
}

impl Body {
    /// The body of `response`, which has the bytes of `what`.
    pub(in crate::store) fn new(what: String, response: Response) -> Self {
        Self { what, stream: response.bytes_stream().boxed(), piece: Bytes::new() }
    }

    /// A body without bytes: an empty range cannot be asked for.
    pub(in crate::store) fn empty(what: String) -> Self {
        Self { what, stream: futures::stream::empty().boxed(), piece: Bytes::new() }
    }

    /// The next bytes, however many; `None` at the end.
    pub(in crate::store) async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        if !self.piece.is_empty() {
            return Ok(Some(std::mem::take(&mut self.piece)));
        }
        let piece = timeout(PIECE_TIMEOUT, self.stream.next()).await.map_err(|_| {
            let text = format!("read {}: nothing came for {PIECE_TIMEOUT:?}", self.what);
            StoreError::new(ErrorCode::TimedOut, text)
        })?;
        piece.transpose().map_err(|error| {
            let (code, reason) = body_failed(error);
            StoreError::new(code, format!("read {}: {reason}", self.what))
        })
    }

    /// Exactly `size` bytes, which have to be all.
    pub(in crate::store) async fn read_whole(mut self, size: u64) -> Result<Bytes, StoreError> {
        let wanted = usize::try_from(size).map_err(|_| {
            let text = format!("{}: it is too large to be read whole", self.what);
            StoreError::new(ErrorCode::TooLarge, text)
        })?;
        let mut bytes = BytesMut::new();
        while let Some(piece) = self.next().await? {
            if bytes.is_empty() {
                if piece.len() == wanted {
                    bytes = BytesMut::from(piece);
                    continue;
                }
                bytes.reserve(wanted);
            }
            if bytes.len() + piece.len() > wanted {
                return Err(self.too_long());
            }
            bytes.extend_from_slice(&piece);
        }
        match bytes.len() == wanted {
            true => Ok(bytes.freeze()),
            false => Err(self.broken_off(bytes.len() as u64)),
        }
    }

    fn too_long(&self) -> StoreError {
        let text = format!("{}: more bytes arrived than were asked for", self.what);
        StoreError::new(ErrorCode::Protocol, text)
    }

    fn broken_off(&self, bytes: u64) -> StoreError {
        let text = format!("{}: the answer broke off after {bytes} bytes", self.what);
        StoreError::new(ErrorCode::Unavailable, text)
    }
}

/// The bytes of the whole object, by the `Content-Range` of an answer about exactly `range` of it; `None`
/// when the answer is about something else.
pub(in crate::store) fn total_of(range: ByteRange, content_range: &str) -> Option<u64> {
    let (answered, total) = content_range.strip_prefix("bytes ")?.rsplit_once('/')?;
    let is_asked = answered == format!("{}-{}", range.start, range.end.saturating_sub(1));
    total.parse().ok().filter(|_| is_asked)
}

/// The bytes of an answer that is not an object's: a document, of `bytes_max` at most.
pub(in crate::store) async fn document(
    response: Response,
    bytes_max: usize,
) -> Result<Bytes, Failed> {
    let mut stream = response.bytes_stream();
    let mut bytes = BytesMut::new();
    while let Some(piece) = timeout(PIECE_TIMEOUT, stream.next()).await.map_err(|_| {
        Failed::Other(ErrorCode::TimedOut, format!("nothing came for {PIECE_TIMEOUT:?}"))
    })? {
        let piece = piece.map_err(|error| {
            let (code, reason) = body_failed(error);
            Failed::Other(code, reason)
        })?;
        if bytes.len() + piece.len() > bytes_max {
            return Err(Failed::protocol(format!("an answer of more than {bytes_max} bytes")));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes.freeze())
}

/// A body on its way, cut into chunks. The answer is one state of the object, so that its end needs
/// no further check.
#[derive(Debug)]
pub(in crate::store) struct ChunkReader {
    body: Body,
    offset: u64,
    end: u64,
}

impl ChunkReader {
    /// Cuts `body`, which has exactly the bytes of `range`.
    pub(in crate::store) fn new(body: Body, range: ByteRange) -> Self {
        Self { body, offset: range.start, end: range.end }
    }
}

#[async_trait]
impl RangeReader for ChunkReader {
    async fn next(&mut self) -> Result<Option<Payload>, StoreError> {
        let wanted = (CHUNK_BYTES - self.offset % CHUNK_BYTES).min(self.end - self.offset);
        if wanted == 0 {
            return match self.body.next().await? {
                None => Ok(None),
                Some(_) => Err(self.body.too_long()),
            };
        }
        let wanted = wanted as usize;
        let mut chunk = BytesMut::with_capacity(wanted);
        while chunk.len() < wanted {
            let Some(mut piece) = self.body.next().await? else {
                return Err(self.body.broken_off(self.offset + chunk.len() as u64));
            };
            let taken = piece.split_to(piece.len().min(wanted - chunk.len()));
            self.body.piece = piece;
            chunk.extend_from_slice(&taken);
        }
        self.offset += wanted as u64;
        Ok(Some(Payload::Bytes(chunk.freeze())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(pieces: &[usize]) -> Body {
        let pieces: Vec<reqwest::Result<Bytes>> =
            pieces.iter().map(|&length| Ok(Bytes::from(vec![7; length]))).collect();
        let stream = futures::stream::iter(pieces).boxed();
        Body { what: "x".to_owned(), stream, piece: Bytes::new() }
    }

    #[test]
    fn a_range_is_the_one_that_was_asked_for_or_none() {
        let range = ByteRange::new(10, 20);
        assert_eq!(total_of(range, "bytes 10-19/100"), Some(100));
        for other in ["bytes 0-9/100", "bytes 10-19/*", "10-19/100", "bytes 10-20/100", ""] {
            assert_eq!(total_of(range, other), None, "{other}");
        }
    }

    #[tokio::test]
    async fn pieces_of_any_length_become_chunks() {
        let mib = CHUNK_BYTES as usize;
        let range = ByteRange::new(CHUNK_BYTES, 3 * CHUNK_BYTES + 5);
        let mut reader = ChunkReader::new(body(&[1, mib, 3, mib + 1]), range);
        for expected in [CHUNK_BYTES, CHUNK_BYTES, 5] {
            assert_eq!(reader.next().await.unwrap().unwrap().len(), expected);
        }
        assert!(reader.next().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn an_answer_that_is_too_short_or_too_long_is_an_error() {
        let range = ByteRange::new(0, 10);
        let mut short = ChunkReader::new(body(&[9]), range);
        assert_eq!(short.next().await.unwrap_err().code, ErrorCode::Unavailable);
        let mut long = ChunkReader::new(body(&[11]), range);
        assert!(long.next().await.unwrap().is_some());
        assert_eq!(long.next().await.unwrap_err().code, ErrorCode::Protocol);
        assert_eq!(body(&[9]).read_whole(10).await.unwrap_err().code, ErrorCode::Unavailable);
        assert_eq!(body(&[6, 5]).read_whole(10).await.unwrap_err().code, ErrorCode::Protocol);
        assert_eq!(body(&[6, 4]).read_whole(10).await.unwrap().len(), 10);
        assert!(Body::empty("x".to_owned()).read_whole(0).await.unwrap().is_empty());
    }
}
