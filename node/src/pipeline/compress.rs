//! The compress stage of the source and the decompress stage of the target.
//!
//! Runs of zeros cross the link as a number. Other chunks are compressed with zstd when the route
//! asks for it and a cheap probe says that it pays; what does not shrink crosses as it is.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use airlift_protocol::chunk::SpanValue;
use airlift_protocol::figures::{Figures, Stage};
use airlift_protocol::limits::CHUNK_BYTES;
use bytes::Bytes;
use thiserror::Error;
use tokio::time::Instant;
use zstd::bulk::Compressor;
use zstd::zstd_safe::ResetDirective;

use super::chunk::{HashedChunk, Payload, ReceivedChunk};
use super::level::{Control, WINDOW, Window};
use super::meter::Meter;
use crate::runtime::clock;

/// Whether a route compresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Both ends are in one process: there is no link to spare.
    Off,
    /// zstd at this level, where the probe says that it pays.
    Zstd(i32),
}

impl Compression {
    /// What is not worth to be watched: at the cheapest level, which keeps up with most networks.
    pub const LINK: Self = Self::Zstd(1);
}

/// Encodes the chunks of a source for its links, and learns from them.
#[derive(Debug)]
pub struct Encoder {
    /// Set where nothing is learnt.
    fixed: Option<Compression>,
    watched: Mutex<Watched>,
    meter: Arc<Meter>,
    /// Small payloads in a row that did not shrink.
    misses: AtomicU32,
}

#[derive(Debug)]
struct Watched {
    control: Control,
    at: Instant,
    before: Figures,
}

impl Encoder {
    /// As `compression` says.
    pub fn fixed(compression: Compression) -> Self {
        Self { fixed: Some(compression), ..Self::adaptive(Arc::default()) }
    }

    /// zstd at the level that moves the most, by the stages that `meter` counts.
    pub fn adaptive(meter: Arc<Meter>) -> Self {
        let at = clock::now();
        let watched = Watched { control: Control::default(), at, before: meter.figures(at) };
        Self { fixed: None, watched: Mutex::new(watched), meter, misses: AtomicU32::new(0) }
    }

    /// Encodes a chunk for the link.
    pub fn encode(&self, chunk: HashedChunk) -> CompressedChunk {
        let compression = self.fixed.unwrap_or_else(|| Compression::Zstd(self.level()));
        match (&chunk.payload, compression) {
            (Payload::Bytes(bytes), Compression::Zstd(_)) if bytes.len() <= PROBE_BYTES => {
                self.encode_small(chunk, compression)
            }
            _ => compress(chunk, compression),
        }
    }

    /// Small chunks are not probed: where many in a row did not shrink, only some are tried.
    fn encode_small(&self, chunk: HashedChunk, compression: Compression) -> CompressedChunk {
        let misses = self.misses.load(Ordering::Relaxed);
        if misses >= MISSES_MAX && !misses.is_multiple_of(TRIED_EVERY) {
            self.misses.store(misses.wrapping_add(1).max(MISSES_MAX), Ordering::Relaxed);
            return encoded(chunk, |payload| match payload {
                Payload::Bytes(bytes) => Encoding::Plain(bytes),
                Payload::Zero(_) => Encoding::Zero,
            });
        }
        let compressed = compress(chunk, compression);
        let misses = match compressed.encoding {
            Encoding::Plain(_) => misses.wrapping_add(1),
            Encoding::Zstd(_) | Encoding::Zero | Encoding::Kept(_) => 0,
        };
        self.misses.store(misses, Ordering::Relaxed);
        compressed
    }

    fn level(&self) -> i32 {
        let now = clock::now();
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = now.saturating_duration_since(watched.at);
        if passed >= WINDOW {
            let figures = self.meter.figures(now);
            let since = figures.since(watched.before);
            let rate = since[Stage::Encode].bytes as f64 / passed.as_secs_f64();
            watched.control.look(Window {
                rate: rate as u64,
                encode_us: since[Stage::Encode].busy_us,
                link_us: since[Stage::Link].busy_us,
            });
            (watched.at, watched.before) = (now, figures);
        }
        watched.control.level()
    }
}

/// How the bytes of a chunk are written on the link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// As they are.
    Plain(Bytes),
    /// A zstd frame.
    Zstd(Bytes),
    /// Nothing: all bytes are zero.
    Zero,
    /// The memory that was hashed, which does not leave the process.
    Kept(Payload),
}

/// A chunk on the link.
#[derive(Clone, Debug)]
pub struct CompressedChunk {
    /// Bytes of the whole object.
    pub object_size: u64,
    /// Place of the chunk in the object.
    pub offset: u64,
    /// Value of its plaintext.
    pub value: SpanValue,
    /// Bytes of its plaintext.
    pub plain_bytes: u64,
    /// The bytes as they cross.
    pub encoding: Encoding,
}

impl CompressedChunk {
    /// Whether it never left the memory in which it was hashed: nothing is left to be done with it.
    pub(super) fn is_kept(&self) -> bool {
        matches!(self.encoding, Encoding::Kept(_))
    }
}

/// What arrived cannot be the chunk that its header declares.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum DecompressError {
    /// The header declares more than a chunk.
    #[error("a chunk of {0} bytes is larger than a chunk can be")]
    TooLong(u64),
    /// The frame is damaged, or holds another number of bytes than declared.
    #[error("a compressed chunk does not decompress to the {0} bytes that it declares")]
    Malformed(u64),
}

/// Bytes at the head of a chunk that are compressed to see whether it pays.
const PROBE_BYTES: usize = 16 << 10;

/// The level of the probe: the cheapest that tells.
const PROBE_LEVEL: i32 = 1;

/// What compresses is kept for the next chunk: making it takes longer than compressing a small object.
static COMPRESSORS: Mutex<Vec<Compressor<'static>>> = Mutex::new(Vec::new());

/// How many are kept: more chunks than that are hardly compressed at the same time, and each has about
/// a megabyte.
const COMPRESSORS_MAX: usize = 16;

/// Bytes below which what can be saved is not worth the work.
const COMPRESSED_BYTES_MIN: usize = 256;

/// Small chunks in a row that may not shrink before most of them are not tried any more.
const MISSES_MAX: u32 = 16;

/// One of so many is tried even then: what comes next may be of another kind.
const TRIED_EVERY: u32 = 16;

/// Encodes a chunk for the link.
pub fn compress(chunk: HashedChunk, compression: Compression) -> CompressedChunk {
    encoded(chunk, |payload| match (payload, compression) {
        (payload, Compression::Off) => Encoding::Kept(payload),
        (Payload::Zero(_), _) => Encoding::Zero,
        (Payload::Bytes(bytes), Compression::Zstd(level)) => encode(bytes, level),
    })
}

fn encoded(chunk: HashedChunk, encode: impl FnOnce(Payload) -> Encoding) -> CompressedChunk {
    let HashedChunk { object_size, offset, value, payload } = chunk;
    let plain_bytes = payload.len();
    CompressedChunk { object_size, offset, value, plain_bytes, encoding: encode(payload) }
}

fn encode(bytes: Bytes, level: i32) -> Encoding {
    let is_probed = bytes.len() > PROBE_BYTES;
    if bytes.len() < COMPRESSED_BYTES_MIN
        || is_probed && shrunk(&bytes[..PROBE_BYTES], PROBE_LEVEL).is_none()
    {
        return Encoding::Plain(bytes);
    }
    match shrunk(&bytes, level) {
        Some(compressed) => Encoding::Zstd(compressed.into()),
        None => Encoding::Plain(bytes),
    }
}

/// `bytes` compressed, where that saves a sixteenth of them at least.
fn shrunk(bytes: &[u8], level: i32) -> Option<Vec<u8>> {
    let bytes_max = bytes.len() - bytes.len() / 16;
    // No room for more: what does not shrink is given up early.
    let mut compressed = Vec::with_capacity(bytes_max);
    let mut compressor = take_compressor(level)?;
    let outcome = compressor.compress_to_buffer(bytes, &mut compressed);
    // What was given up is still in the middle of a frame.
    if outcome.is_ok() || compressor.context_mut().reset(ResetDirective::SessionOnly).is_ok() {
        give_back(compressor);
    }
    outcome.ok().filter(|length| *length < bytes_max).map(|_| compressed)
}

fn take_compressor(level: i32) -> Option<Compressor<'static>> {
    let kept = COMPRESSORS.lock().unwrap_or_else(PoisonError::into_inner).pop();
    match kept {
        Some(mut compressor) => {
            compressor.set_compression_level(level).ok()?;
            Some(compressor)
        }
        None => Compressor::new(level).ok(),
    }
}

fn give_back(compressor: Compressor<'static>) {
    let mut kept = COMPRESSORS.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.len() < COMPRESSORS_MAX {
        kept.push(compressor);
    }
}

/// Decodes a chunk from the link into exactly the bytes that it declares.
///
/// # Errors
/// When it declares more than a chunk, or holds something else.
pub fn decompress(chunk: CompressedChunk) -> Result<ReceivedChunk, DecompressError> {
    let is_kept = chunk.is_kept();
    let CompressedChunk { object_size, offset, value, plain_bytes, encoding } = chunk;
    if plain_bytes > CHUNK_BYTES {
        return Err(DecompressError::TooLong(plain_bytes));
    }
    let payload = match encoding {
        Encoding::Kept(payload) => payload,
        Encoding::Zero => Payload::Zero(plain_bytes),
        Encoding::Plain(bytes) => Payload::Bytes(bytes),
        Encoding::Zstd(frame) => {
            let capacity = usize::try_from(plain_bytes).unwrap_or(usize::MAX);
            let bytes = zstd::bulk::decompress(&frame, capacity)
                .map_err(|_| DecompressError::Malformed(plain_bytes))?;
            Payload::Bytes(bytes.into())
        }
    };
    if payload.len() != plain_bytes {
        return Err(DecompressError::Malformed(plain_bytes));
    }
    Ok(ReceivedChunk { object_size, offset, value, payload, is_kept })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::{hash, verify};

    fn text() -> Bytes {
        Bytes::from(b"the same line again and again\n".repeat(4000))
    }

    fn noise(length: usize) -> Bytes {
        let mut bytes = vec![0; length];
        blake3::Hasher::new().finalize_xof().fill(&mut bytes);
        Bytes::from(bytes)
    }

    #[test]
    fn chunks_pass_the_link_unchanged_under_every_encoding() {
        for payload in [
            Payload::Bytes(text()),
            Payload::Bytes(noise(100_000)),
            Payload::Bytes(Bytes::from_static(b"x")),
            Payload::Zero(CHUNK_BYTES),
        ] {
            for compression in [Compression::Off, Compression::Zstd(3)] {
                let size = 10 * CHUNK_BYTES;
                let sent = compress(hash::hash(size, CHUNK_BYTES, payload.clone()), compression);
                let verified = verify::verify(decompress(sent).unwrap()).unwrap();
                assert_eq!(verified.payload(), &payload);
            }
        }
    }

    #[test]
    fn what_does_not_shrink_crosses_as_it_is() {
        let plain = compress(hash::hash(0, 0, Payload::Bytes(Bytes::new())), Compression::Zstd(3));
        assert_eq!(plain.encoding, Encoding::Plain(Bytes::new()));
        let size = 2 * CHUNK_BYTES;
        let chunk = hash::hash(size, 0, Payload::Bytes(noise(CHUNK_BYTES as usize)));
        assert!(matches!(compress(chunk, Compression::Zstd(3)).encoding, Encoding::Plain(_)));
        let chunk = hash::hash(size, 0, Payload::Bytes(text()));
        assert!(matches!(compress(chunk, Compression::Zstd(3)).encoding, Encoding::Zstd(_)));
    }

    #[test]
    fn small_chunks_that_do_not_shrink_are_given_up_until_one_does() {
        let encoder = Encoder::adaptive(Arc::default());
        let encode = |bytes: Bytes| {
            encoder.encode(hash::hash(bytes.len() as u64, 0, Payload::Bytes(bytes))).encoding
        };
        for _ in 0..100 {
            assert!(matches!(encode(noise(4096)), Encoding::Plain(_)));
        }
        let text = || text().slice(..4096);
        let mut plain = 0;
        while matches!(encode(text()), Encoding::Plain(_)) {
            plain += 1;
        }
        assert!((1..TRIED_EVERY).contains(&plain), "{plain}");
        assert!(matches!(encode(text()), Encoding::Zstd(_)));
        // A few of another kind among them change nothing.
        for _ in 0..100 {
            assert!(matches!(encode(noise(4096)), Encoding::Plain(_)));
            assert!(matches!(encode(text()), Encoding::Zstd(_)));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_for_the_link_is_compressed_harder() {
        let meter = Arc::new(Meter::default());
        let encoder = Encoder::adaptive(Arc::clone(&meter));
        assert_eq!(encoder.level(), 1);
        meter.add_bytes(Stage::Encode, 1 << 20);
        let sending = meter.busy(Stage::Link);
        tokio::time::sleep(WINDOW).await;
        drop(sending);
        assert_eq!(encoder.level(), 3);
        assert!(matches!(
            encoder.encode(hash::hash(120_000, 0, Payload::Bytes(text()))).encoding,
            Encoding::Zstd(_)
        ));
    }

    #[test]
    fn a_frame_that_holds_more_or_less_than_declared_is_refused() {
        let chunk = hash::hash(2 * CHUNK_BYTES, 0, Payload::Bytes(text()));
        for declared in [0, 1, text().len() as u64 - 1, text().len() as u64 + 1, CHUNK_BYTES + 1] {
            let mut sent = compress(chunk.clone(), Compression::Zstd(3));
            sent.plain_bytes = declared;
            assert!(decompress(sent).is_err(), "{declared}");
        }
    }
}
