//! Reading: descriptions, small objects whole, ranges chunk by chunk. Every read is pinned to the
//! listed state, by `If-Match` and by comparing the answer.

use std::sync::Arc;

use airlift_protocol::error::ErrorCode;
use airlift_protocol::key::Key;
use airlift_protocol::manifest::{Entry, Version};
use airlift_protocol::units::ByteRange;
use reqwest::header::HeaderMap;
use reqwest::{Method, Response};
use tokio::sync::mpsc;

use super::archive::is_archived;
use super::attributes::{TIER, attributes_of, is_marker, size_of, text_of};
use super::container::{Container, Subject, parse_date, set};
use super::error::is_absent;
use super::list::new_entry;
use crate::pipeline::chunk::Payload;
use crate::store::digest::{quoted, unquoted};
use crate::store::each::read_each;
use crate::store::http::{Body, ChunkReader, Patience, total_of};
use crate::store::{Attributes, ObjectInfo, RangeReader, ReadResult, StoreError};

/// The blob that a key stands for, and what its headers say.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) blob: String,
    pub(super) headers: HeaderMap,
}

impl Container {
    /// What the service says of the blob of that name, or `None` when there is none.
    pub(super) async fn head(
        &self,
        key: &Key,
        blob: &str,
    ) -> Result<Option<HeaderMap>, StoreError> {
        let asked = async {
            let request = self.request(Method::HEAD, Subject::Blob(blob), &[])?;
            self.send(request, Patience::Normal).await
        };
        match asked.await {
            Ok(answer) => Ok(Some(answer.headers().clone())),
            Err(failed) if is_absent(&failed) => Ok(None),
            Err(failed) => Err(self.error("describe", key, &failed)),
        }
    }

    /// The blob that `key` stands for: the one of that name unless it is a marker, or for a key that
    /// ends in a slash the marker without it.
    pub(super) async fn find(&self, key: &Key) -> Result<Option<Found>, StoreError> {
        // No key that cannot be held is there.
        let Ok(blob) = self.names.full(key) else { return Ok(None) };
        if blob.is_empty() {
            return Ok(None);
        }
        if let Some(headers) = self.head(key, &blob).await?
            && (blob.ends_with('/') || !is_marker(&headers))
        {
            return Ok(Some(Found { blob, headers }));
        }
        let Some(blob) = blob.strip_suffix('/').filter(|blob| !blob.is_empty()) else {
            return Ok(None);
        };
        let headers = self.head(key, blob).await?;
        let headers = headers.filter(|headers| !blob.ends_with('/') && is_marker(headers));
        Ok(headers.map(|headers| Found { blob: blob.to_owned(), headers }))
    }

    pub(super) async fn stat(&self, key: &Key) -> Result<Option<ObjectInfo>, StoreError> {
        let Some(found) = self.find(key).await? else { return Ok(None) };
        let entry = self.described(key, &found.headers)?;
        let tags = self.tags_of(key, &found.blob, &found.headers).await?;
        let attributes = Attributes { tags, ..attributes_of(&found.headers, entry.mtime_ns) };
        Ok(Some(ObjectInfo { entry, attributes }))
    }

    /// The entry that a description stands for.
    pub(super) fn described(&self, key: &Key, headers: &HeaderMap) -> Result<Entry, StoreError> {
        let size = size_of(headers).ok_or_else(|| {
            self.complaint(ErrorCode::Protocol, key, "its description has no size")
        })?;
        let tag = etag(headers);
        let entry = new_entry(key.clone(), size, last_modified(headers), tag.as_deref());
        Ok(Entry { is_archived: is_archived(headers), ..entry })
    }

    /// Asks for `range` of the object that `entry` describes.
    async fn get(&self, entry: &Entry, range: ByteRange) -> Result<Response, StoreError> {
        let blob = self.names.full(&entry.key)?;
        let asked = async {
            let mut request = self.request(Method::GET, Subject::Blob(&blob), &[])?;
            if let Version::ETag(etag) = &entry.version {
                set(&mut request, "if-match", &quoted(etag))?;
            }
            if range.len() != entry.size {
                let bytes = format!("bytes={}-{}", range.start, range.end - 1);
                set(&mut request, "x-ms-range", &bytes)?;
            }
            self.send(request, Patience::Normal).await
        };
        let answer = asked.await.map_err(|failed| self.error("read", &entry.key, &failed))?;
        self.check_pinned(entry, range, answer.headers())?;
        Ok(answer)
    }

    /// Refuses an answer about another state than the listed one.
    fn check_pinned(
        &self,
        entry: &Entry,
        range: ByteRange,
        headers: &HeaderMap,
    ) -> Result<(), StoreError> {
        let length = size_of(headers);
        let total = match range.len() == entry.size {
            true => length,
            false => headers
                .get("content-range")
                .and_then(|answered| total_of(range, &text_of(answered))),
        };
        if total.is_none() && range.len() != entry.size {
            let text = "the answer does not say that it has the range that was asked for";
            return Err(self.complaint(ErrorCode::Protocol, &entry.key, text));
        }
        let is_listed = total.is_none_or(|total| total == entry.size)
            && match (&entry.version, etag(headers)) {
                (Version::ETag(listed), Some(etag)) => **listed == etag,
                _ => entry.mtime_ns == last_modified(headers),
            };
        if !is_listed {
            let text = "it changed since it was listed";
            return Err(self.complaint(ErrorCode::SourceChanged, &entry.key, text));
        }
        if length.is_some_and(|length| length != range.len()) {
            let text = "the answer does not have the range that was asked for";
            return Err(self.complaint(ErrorCode::Protocol, &entry.key, text));
        }
        Ok(())
    }

    /// A directory marker has no bytes, and which blob it is need not be known: it has attributes.
    async fn read_whole(&self, entry: &Entry) -> Result<(Payload, Attributes), StoreError> {
        if entry.size == 0 {
            let info = self.stat(&entry.key).await?.ok_or_else(|| {
                self.complaint(ErrorCode::NotFound, &entry.key, "it does not exist any more")
            })?;
            if (info.entry.size, &info.entry.version) != (0, &entry.version) {
                let text = "it changed since it was listed";
                return Err(self.complaint(ErrorCode::SourceChanged, &entry.key, text));
            }
            return Ok((Payload::Bytes(bytes::Bytes::new()), info.attributes));
        }
        let answer = self.get(entry, ByteRange::new(0, entry.size)).await?;
        let headers = answer.headers().clone();
        let body = Body::new(self.name_of(&entry.key), answer);
        let bytes = body.read_whole(entry.size).await?;
        let mut attributes = attributes_of(&headers, last_modified(&headers));
        let blob = self.names.full(&entry.key)?;
        // What is answered with the bytes says nothing of the tier.
        if self.tiers
            && !headers.contains_key(TIER)
            && let Some(described) = self.head(&entry.key, &blob).await?
        {
            attributes.storage_class = attributes_of(&described, None).storage_class;
        }
        let tags = self.tags_of(&entry.key, &blob, &headers).await?;
        Ok((Payload::Bytes(bytes), Attributes { tags, ..attributes }))
    }
}

/// The ETag of an answer, without quotes.
pub(super) fn etag(headers: &HeaderMap) -> Option<String> {
    headers.get("etag").map(|etag| unquoted(&text_of(etag)).to_owned())
}

/// The state that an answer is about.
pub(super) fn version(headers: &HeaderMap) -> Version {
    etag(headers).map_or(Version::None, |etag| Version::ETag(etag.into()))
}

fn last_modified(headers: &HeaderMap) -> Option<i64> {
    headers.get("last-modified").and_then(|time| parse_date(&text_of(time)))
}

pub(super) async fn read_small(
    container: &Arc<Container>,
    objects: Vec<Entry>,
    found: mpsc::Sender<ReadResult>,
) {
    let read = |entry: Entry| {
        let container = Arc::clone(container);
        async move { container.read_whole(&entry).await }
    };
    read_each(container.requests_max, objects, found, read).await;
}

pub(super) async fn read_range(
    container: &Arc<Container>,
    object: &Entry,
    range: ByteRange,
) -> Result<Box<dyn RangeReader>, StoreError> {
    let what = container.name_of(&object.key);
    if range.is_empty() && object.size > 0 {
        return Ok(Box::new(ChunkReader::new(Body::empty(what), range)));
    }
    if object.size == 0 {
        // Whether it still is as listed is all that there is to read.
        container.read_whole(object).await?;
        return Ok(Box::new(ChunkReader::new(Body::empty(what), range)));
    }
    let answer = container.get(object, range).await?;
    Ok(Box::new(ChunkReader::new(Body::new(what, answer), range)))
}
