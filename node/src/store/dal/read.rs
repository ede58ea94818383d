//! Reading, each object pinned to its listed state: every request asks for the listed ETag where there
//! is one, and what the server says afterwards is compared in any case.

use std::collections::VecDeque;
use std::sync::Arc;

use airlift_protocol::error::ErrorCode;
use airlift_protocol::limits::CHUNK_BYTES;
use airlift_protocol::manifest::{Entry, Kind, Version};
use airlift_protocol::shard;
use airlift_protocol::units::ByteRange;
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use opendal::{Metadata, Reader};
use tokio::sync::mpsc;

use super::error::store_error;
use super::list::{attributes, describe};
use super::{ANSWER_TIMEOUT, REQUESTS_MAX, Source, answer, is_as_listed};
use crate::pipeline::chunk::Payload;
use crate::store::each::read_each;
use crate::store::{Attributes, RangeReader, ReadResult, StoreError};

/// Bytes that a reader asks for with one request.
const REQUEST_BYTES: u64 = 4 * CHUNK_BYTES;

pub(super) async fn read_small(
    source: &Arc<Source>,
    objects: Vec<Entry>,
    found: mpsc::Sender<ReadResult>,
) {
    let read = |entry: Entry| {
        let source = Arc::clone(source);
        async move { read_whole(&source, &entry).await }
    };
    read_each(REQUESTS_MAX, objects, found, read).await;
}

async fn read_whole(source: &Source, entry: &Entry) -> Result<(Payload, Attributes), StoreError> {
    match &entry.kind {
        Kind::Object => {}
        Kind::Directory => {
            return match describe(source, &entry.key).await? {
                Some(metadata) if metadata.is_dir() => {
                    Ok((Payload::Bytes(Bytes::new()), attributes(&metadata)))
                }
                _ => Err(changed(source, entry)),
            };
        }
        Kind::Symlink(_) | Kind::Special => {
            let text = format!("{} has no bytes to copy", source.show(&entry.key));
            return Err(StoreError::new(ErrorCode::KindUnsupported, text));
        }
    }
    let whole = ByteRange::new(0, entry.size);
    let bytes = match entry.size {
        0 => Bytes::new(),
        _ => read(source, entry, &pinned(source, entry).await?, whole).await?,
    };
    let metadata = check(source, entry).await?;
    Ok((Payload::Bytes(bytes), attributes(&metadata)))
}

/// A reader of the listed state of an object.
async fn pinned(source: &Source, entry: &Entry) -> Result<Reader, StoreError> {
    let shown = source.show(&entry.key);
    let path = source.path(&entry.key).map_err(|reason| {
        StoreError::new(ErrorCode::KeyUnsupported, format!("{shown}: {reason}"))
    })?;
    let opened = match &entry.version {
        // A weak tag matches nothing, by definition.
        Version::ETag(etag) if !etag.starts_with("W/") => {
            source.operator.reader_with(&path).if_match(etag).await
        }
        Version::ETag(_) | Version::None | Version::File { .. } => {
            source.operator.reader(&path).await
        }
    };
    opened.map_err(|error| store_error("read", &shown, &error))
}

/// The bytes of `range`, all of them and no more: a server that answers with the whole object, or with
/// less than it said, is told by the number of bytes.
async fn read(
    source: &Source,
    entry: &Entry,
    reader: &Reader,
    range: ByteRange,
) -> Result<Bytes, StoreError> {
    let shown = source.show(&entry.key);
    // A server that does not know ranges sends the whole object: no more is taken than was asked for.
    let read = async {
        let mut stream = reader.clone().into_stream(range.start..range.end).await?;
        let mut bytes = BytesMut::new();
        while bytes.len() as u64 <= range.len()
            && let Some(buffer) = stream.next().await
        {
            bytes.extend_from_slice(&buffer?.to_bytes());
        }
        Ok(bytes.freeze())
    };
    let bytes =
        answer(ANSWER_TIMEOUT, read).await.map_err(|error| store_error("read", &shown, &error))?;
    if bytes.len() as u64 == range.len() {
        return Ok(bytes);
    }
    let text =
        format!("read {shown}: {} bytes came where {} were asked for", bytes.len(), range.len());
    Err(StoreError::new(ErrorCode::Unavailable, text))
}

/// The description of the object, if it still is what was listed.
async fn check(source: &Source, entry: &Entry) -> Result<Metadata, StoreError> {
    match describe(source, &entry.key).await? {
        Some(metadata) if is_as_listed(&metadata, entry) => Ok(metadata),
        Some(_) => Err(changed(source, entry)),
        None => {
            let text = format!("{} was removed since it was listed", source.show(&entry.key));
            Err(StoreError::new(ErrorCode::NotFound, text))
        }
    }
}

fn changed(source: &Source, entry: &Entry) -> StoreError {
    let text = format!("{} changed since it was listed", source.show(&entry.key));
    StoreError::new(ErrorCode::SourceChanged, text)
}

/// A range of an object, chunk by chunk.
pub(super) struct ObjectReader {
    source: Arc<Source>,
    entry: Entry,
    reader: Reader,
    /// What has not been asked for.
    rest: ByteRange,
    ready: VecDeque<Bytes>,
}

impl std::fmt::Debug for ObjectReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ObjectReader").field("entry", &self.entry).finish_non_exhaustive()
    }
}

impl ObjectReader {
    pub(super) async fn open(
        source: &Arc<Source>,
        entry: &Entry,
        range: ByteRange,
    ) -> Result<Self, StoreError> {
        // Without an ETag nothing but this tells that it is the listed one from the first byte on.
        check(source, entry).await?;
        let reader = pinned(source, entry).await?;
        let (source, entry, ready) = (Arc::clone(source), entry.clone(), VecDeque::new());
        Ok(Self { source, entry, reader, rest: range, ready })
    }
}

#[async_trait]
impl RangeReader for ObjectReader {
    async fn next(&mut self) -> Result<Option<Payload>, StoreError> {
        if self.ready.is_empty() && !self.rest.is_empty() {
            let stop = self.rest.start / CHUNK_BYTES * CHUNK_BYTES + REQUEST_BYTES;
            let window = ByteRange::new(self.rest.start, self.rest.end.min(stop));
            let mut bytes = read(&self.source, &self.entry, &self.reader, window).await?;
            if window.end == self.rest.end {
                check(&self.source, &self.entry).await?;
            }
            self.rest.start = window.end;
            let chunks = shard::chunks(window);
            self.ready.extend(chunks.map(|chunk| bytes.split_to(chunk.len() as usize)));
        }
        Ok(self.ready.pop_front().map(Payload::Bytes))
    }
}
