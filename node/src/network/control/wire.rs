//! Bytes of a stream: a length of four bytes (big endian), then that many bytes.
//!
//! A request is one such body; the answer is a byte that says how it went, then a body. A stream of
//! notices is one body after another. Lengths are compared with the limit before anything is
//! allocated, and buffers grow only as bytes arrive.

use std::io;

use bytes::{Bytes, BytesMut};
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::limit::PIECE_BYTES;

/// Protocol of requests, one stream each.
pub(super) const REQUEST_PROTOCOL: &str = "/airlift/control/1";

/// Protocol of notices, one stream each lane.
pub(super) const NOTICE_PROTOCOL: &str = "/airlift/notice/1";

/// How a request went; the numbers are on the wire and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Status {
    Answered = 0,
    /// Nobody answered it.
    Unanswered = 1,
    /// It was not looked at, because others are being served.
    Busy = 2,
    /// It was not looked at, because it is too long for who sent it.
    Refused = 3,
}

impl Status {
    fn parse(byte: u8) -> Option<Self> {
        [Self::Answered, Self::Unanswered, Self::Busy, Self::Refused]
            .into_iter()
            .find(|status| *status as u8 == byte)
    }
}

/// Reads a length. None when the stream ends before it begins.
pub(super) async fn read_length<S>(stream: &mut S, bytes_max: usize) -> io::Result<Option<Length>>
where
    S: AsyncRead + Unpin,
{
    let mut prefix = [0; 4];
    if stream.read(&mut prefix[..1]).await? == 0 {
        return Ok(None);
    }
    stream.read_exact(&mut prefix[1..]).await?;
    let bytes = usize::try_from(u32::from_be_bytes(prefix)).unwrap_or(usize::MAX);
    Ok(Some(if bytes <= bytes_max { Length::Allowed(bytes) } else { Length::TooLong(bytes) }))
}

/// A length as the peer declared it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    Allowed(usize),
    TooLong(usize),
}

impl Length {
    /// The length, or an error that ends the stream.
    pub(super) fn allowed(self) -> io::Result<usize> {
        match self {
            Self::Allowed(bytes) => Ok(bytes),
            Self::TooLong(bytes) => {
                Err(io::Error::new(io::ErrorKind::InvalidData, format!("{bytes} bytes declared")))
            }
        }
    }
}

/// Reads a body of `bytes`, which were compared with the limit.
pub(super) async fn read_body<S>(stream: &mut S, bytes: usize) -> io::Result<Bytes>
where
    S: AsyncRead + Unpin,
{
    let mut body = BytesMut::new();
    while body.len() < bytes {
        let start = body.len();
        body.resize(bytes.min(start + PIECE_BYTES), 0);
        stream.read_exact(&mut body[start..]).await?;
    }
    Ok(body.freeze())
}

/// Writes a length and the body, and sees to it that they leave.
pub(super) async fn write_body<S>(stream: &mut S, body: &Bytes) -> io::Result<()>
where
    S: AsyncWrite + Unpin,
{
    stream.write_all(&prefix(body)?).await?;
    stream.write_all(body).await?;
    stream.flush().await
}

/// Writes how a request went, the body and the end.
pub(super) async fn write_answer<S>(stream: &mut S, status: Status, body: &Bytes) -> io::Result<()>
where
    S: AsyncWrite + Unpin,
{
    let [a, b, c, d] = prefix(body)?;
    stream.write_all(&[status as u8, a, b, c, d]).await?;
    stream.write_all(body).await?;
    stream.close().await
}

/// Reads how a request went.
pub(super) async fn read_status<S>(stream: &mut S) -> io::Result<Status>
where
    S: AsyncRead + Unpin,
{
    let mut byte = [0];
    stream.read_exact(&mut byte).await?;
    Status::parse(byte[0]).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, format!("unknown status {}", byte[0]))
    })
}

fn prefix(body: &Bytes) -> io::Result<[u8; 4]> {
    let bytes = u32::try_from(body.len())
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    Ok(bytes.to_be_bytes())
}

/// Whatever the bytes, bodies are read as they were declared, within the limit.
#[cfg(any(test, fuzzing))]
pub async fn check_stream(bytes: &[u8]) {
    const BYTES_MAX: usize = 4096;
    let mut stream = futures::io::Cursor::new(bytes);
    let mut at = 0;
    while let Ok(Some(Length::Allowed(length))) = read_length(&mut stream, BYTES_MAX).await {
        assert!(length <= BYTES_MAX);
        let Ok(body) = read_body(&mut stream, length).await else { break };
        assert_eq!(body, &bytes[at + 4..at + 4 + length]);
        let mut again = futures::io::Cursor::new(Vec::new());
        write_body(&mut again, &body).await.expect("memory takes it");
        assert_eq!(again.get_ref().as_slice(), &bytes[at..at + 4 + length]);
        at += 4 + length;
    }
    let mut answer = futures::io::Cursor::new(bytes);
    if let Ok(status) = read_status(&mut answer).await {
        assert_eq!(Some(&(status as u8)), bytes.first());
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use futures::io::Cursor;

    use super::*;

    /// A peer that has sent `bytes` and then goes silent, and the largest buffer it was given.
    struct Silent {
        bytes: Vec<u8>,
        buffer_max: usize,
    }

    impl AsyncRead for Silent {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            self.buffer_max = self.buffer_max.max(buffer.len());
            if self.bytes.is_empty() {
                return Poll::Pending;
            }
            let taken = buffer.len().min(self.bytes.len());
            buffer[..taken].copy_from_slice(&self.bytes[..taken]);
            self.bytes.drain(..taken);
            Poll::Ready(Ok(taken))
        }
    }

    #[tokio::test]
    async fn the_bytes_on_the_wire_are_these() {
        let mut request = Cursor::new(Vec::new());
        write_body(&mut request, &Bytes::from_static(b"hi")).await.unwrap();
        assert_eq!(request.into_inner(), [0, 0, 0, 2, b'h', b'i']);
        for (status, byte) in [
            (Status::Answered, 0),
            (Status::Unanswered, 1),
            (Status::Busy, 2),
            (Status::Refused, 3),
        ] {
            let mut answer = Cursor::new(Vec::new());
            write_answer(&mut answer, status, &Bytes::from_static(b"x")).await.unwrap();
            assert_eq!(answer.get_ref().as_slice(), [byte, 0, 0, 0, 1, b'x']);
            answer.set_position(0);
            assert_eq!(read_status(&mut answer).await.unwrap(), status);
        }
    }

    #[tokio::test]
    async fn a_length_beyond_the_limit_is_refused_before_a_byte_of_it_is_read() {
        for (bytes, expected) in [
            (8, Length::Allowed(8)),
            (9, Length::TooLong(9)),
            (u32::MAX, Length::TooLong(u32::MAX as usize)),
        ] {
            let mut stream = Cursor::new(bytes.to_be_bytes());
            assert_eq!(read_length(&mut stream, 8).await.unwrap(), Some(expected));
        }
    }

    #[tokio::test]
    async fn a_stream_ends_between_bodies_but_not_within_one() {
        assert_eq!(read_length(&mut Cursor::new([0u8; 0]), 8).await.unwrap(), None);
        assert!(read_length(&mut Cursor::new([0u8; 3]), 8).await.is_err());
        assert!(read_body(&mut Cursor::new([0u8; 3]), 4).await.is_err());
        assert_eq!(read_body(&mut Cursor::new([0u8; 3]), 0).await.unwrap(), Bytes::new());
    }

    #[tokio::test]
    async fn a_buffer_grows_only_as_bytes_arrive() {
        let mut stream = Silent { bytes: vec![1; PIECE_BYTES + 1], buffer_max: 0 };
        let reading = read_body(&mut stream, 64 << 20);
        assert!(futures::poll!(Box::pin(reading)).is_pending());
        assert!(stream.bytes.is_empty());
        assert_eq!(stream.buffer_max, PIECE_BYTES);
    }

    #[tokio::test]
    async fn an_unknown_status_is_an_error() {
        assert!(read_status(&mut Cursor::new([4])).await.is_err());
        assert!(read_status(&mut Cursor::new([0u8; 0])).await.is_err());
    }
}
