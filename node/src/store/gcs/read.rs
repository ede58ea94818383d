//! Reading: descriptions, small objects whole, ranges chunk by chunk. Every read is pinned to the
//! listed generation: by a condition, by the generation that the answer names, and where it names
//! none by looking once more after the last byte.

use std::sync::Arc;

use airlift_protocol::error::ErrorCode;
use airlift_protocol::key::Key;
use airlift_protocol::manifest::{Entry, Version};
use airlift_protocol::sum::StoredSum;
use airlift_protocol::units::ByteRange;
use async_trait::async_trait;
use reqwest::header::{self, HeaderMap, HeaderValue};
use reqwest::{Method, Request, Response};
use tokio::sync::mpsc;

use super::bucket::{Bucket, Subject};
use super::resource::Resource;
use crate::pipeline::chunk::Payload;
use crate::store::each::{for_each, read_each};
use crate::store::http::{Body, ChunkReader, Failed, Patience, total_of};
use crate::store::{Attributes, ObjectInfo, RangeReader, ReadResult, StoreError, is_still};

/// Bytes are taken as they are stored: without this, the service decompresses what is stored with
/// `Content-Encoding: gzip`.
const AS_STORED: HeaderValue = HeaderValue::from_static("gzip");

impl Bucket {
    /// What the service says of the object under `key`.
    pub(super) async fn find(&self, key: &Key) -> Result<Option<Resource>, StoreError> {
        // No key that cannot be held is there.
        let Ok(name) = self.names.full(key) else { return Ok(None) };
        self.resource(&name).await.map_err(|failed| self.error("describe", key, &failed))
    }

    pub(super) async fn stat(&self, key: &Key) -> Result<Option<ObjectInfo>, StoreError> {
        let Some(found) = self.find(key).await? else { return Ok(None) };
        let entry = self.described(key, &found)?;
        Ok(Some(ObjectInfo { entry, attributes: found.attributes() }))
    }

    /// The entry that a description stands for.
    pub(super) fn described(&self, key: &Key, found: &Resource) -> Result<Entry, StoreError> {
        let no_size = || self.complaint(ErrorCode::Protocol, key, "its description has no size");
        found.entry(key.clone()).ok_or_else(no_size)
    }

    /// The sums of the object that `entry` describes; none when it is another one now.
    async fn sums_of(&self, entry: &Entry) -> Result<Vec<StoredSum>, StoreError> {
        let Some(found) = self.find(&entry.key).await? else { return Ok(Vec::new()) };
        let now = self.described(&entry.key, &found)?;
        let is_listed = is_still(entry, &now);
        Ok(if is_listed { found.sums() } else { Vec::new() })
    }

    /// Looks at the object that `entry` describes, which still has to be as listed.
    async fn still(&self, entry: &Entry) -> Result<Attributes, StoreError> {
        let info = self.stat(&entry.key).await?.ok_or_else(|| {
            self.complaint(ErrorCode::NotFound, &entry.key, "it does not exist any more")
        })?;
        match (info.entry.size, &info.entry.version) == (entry.size, &entry.version) {
            true => Ok(info.attributes),
            false => Err(self.changed(&entry.key)),
        }
    }

    pub(super) fn changed(&self, key: &Key) -> StoreError {
        self.complaint(ErrorCode::SourceChanged, key, "it changed since it was listed")
    }

    /// A request for the bytes of an object as they are stored.
    pub(super) fn media(&self, name: &str, query: &[(&str, &str)]) -> Result<Request, Failed> {
        let query: Vec<(&str, &str)> =
            [("alt", "media")].into_iter().chain(query.iter().copied()).collect();
        let mut request = self.request(Method::GET, Subject::Object(name), &query)?;
        request.headers_mut().insert(header::ACCEPT_ENCODING, AS_STORED);
        Ok(request)
    }

    /// Asks for `range` of the object that `entry` describes, and says whether the answer names the
    /// listed generation.
    async fn get(&self, entry: &Entry, range: ByteRange) -> Result<(Response, bool), StoreError> {
        let name = self.names.full(&entry.key)?;
        let asked = async {
            let mut query: Vec<(&str, &str)> = Vec::new();
            if let Version::ETag(generation) = &entry.version {
                query.push(("ifGenerationMatch", &**generation));
            }
            let mut request = self.media(&name, &query)?;
            let headers = request.headers_mut();
            if range.len() != entry.size {
                let text = format!("bytes={}-{}", range.start, range.end - 1);
                let bytes = HeaderValue::from_str(&text);
                headers.insert(header::RANGE, bytes.map_err(|_| Failed::protocol(text))?);
            }
            self.send(request, Patience::Normal).await
        };
        let answer = asked.await.map_err(|failed| self.error("read", &entry.key, &failed))?;
        let is_pinned = self.check_pinned(entry, range, answer.headers())?;
        Ok((answer, is_pinned))
    }

    /// Refuses an answer about another state than the listed one; says whether it names its state.
    fn check_pinned(
        &self,
        entry: &Entry,
        range: ByteRange,
        headers: &HeaderMap,
    ) -> Result<bool, StoreError> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let length: Option<u64> = text("content-length").and_then(|length| length.parse().ok());
        let total = match range.len() == entry.size {
            true => length,
            false => text("content-range").and_then(|answered| total_of(range, answered)),
        };
        if total.is_none() && range.len() != entry.size {
            let text = "the answer does not say that it has the range that was asked for";
            return Err(self.complaint(ErrorCode::Protocol, &entry.key, text));
        }
        let generation = text("x-goog-generation");
        let is_listed = total.is_none_or(|total| total == entry.size)
            && match (&entry.version, generation) {
                (Version::ETag(listed), Some(generation)) => **listed == *generation,
                _ => true,
            };
        if !is_listed {
            return Err(self.changed(&entry.key));
        }
        if length.is_some_and(|length| length != range.len()) {
            let text = "the answer does not have the range that was asked for";
            return Err(self.complaint(ErrorCode::Protocol, &entry.key, text));
        }
        Ok(generation.is_some())
    }

    /// The attributes come from a look after the last byte, in the form in which they were set.
    async fn read_whole(&self, entry: &Entry) -> Result<(Payload, Attributes), StoreError> {
        let bytes = match entry.size {
            0 => bytes::Bytes::new(),
            size => {
                let (answer, _) = self.get(entry, ByteRange::new(0, size)).await?;
                Body::new(self.name_of(&entry.key), answer).read_whole(size).await?
            }
        };
        Ok((Payload::Bytes(bytes), self.still(entry).await?))
    }
}

pub(super) async fn stored_sums(
    bucket: &Arc<Bucket>,
    objects: Vec<Entry>,
) -> Vec<Result<Vec<StoredSum>, StoreError>> {
    let ask = |entry: Entry| {
        let bucket = Arc::clone(bucket);
        async move { bucket.sums_of(&entry).await }
    };
    for_each(bucket.requests_max, objects, ask).await
}

pub(super) async fn read_small(
    bucket: &Arc<Bucket>,
    objects: Vec<Entry>,
    found: mpsc::Sender<ReadResult>,
) {
    let read = |entry: Entry| {
        let bucket = Arc::clone(bucket);
        async move { bucket.read_whole(&entry).await }
    };
    read_each(bucket.requests_max, objects, found, read).await;
}

pub(super) async fn read_range(
    bucket: &Arc<Bucket>,
    object: &Entry,
    range: ByteRange,
) -> Result<Box<dyn RangeReader>, StoreError> {
    let what = bucket.name_of(&object.key);
    let (body, is_pinned) = match range.is_empty() {
        // An empty range cannot be asked for.
        true => (Body::empty(what), false),
        false => {
            let (answer, is_pinned) = bucket.get(object, range).await?;
            (Body::new(what, answer), is_pinned)
        }
    };
    let chunks = ChunkReader::new(body, range);
    Ok(Box::new(GcsRangeReader {
        bucket: Arc::clone(bucket),
        object: object.clone(),
        chunks,
        is_pinned,
    }))
}

/// A body on its way, of the listed generation.
#[derive(Debug)]
struct GcsRangeReader {
    bucket: Arc<Bucket>,
    object: Entry,
    chunks: ChunkReader,
    /// Whether the answer is known to be of that generation.
    is_pinned: bool,
}

#[async_trait]
impl RangeReader for GcsRangeReader {
    async fn next(&mut self) -> Result<Option<Payload>, StoreError> {
        let next = self.chunks.next().await?;
        if next.is_none() && !self.is_pinned {
            self.bucket.still(&self.object).await?;
            self.is_pinned = true;
        }
        Ok(next)
    }
}
