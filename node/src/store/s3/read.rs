//! Reading: descriptions, small objects whole, ranges chunk by chunk. Every read is pinned to the
//! listed state, by `If-Match` where there is an ETag and by comparing the answer always.

use std::error::Error;
use std::sync::Arc;

use airlift_protocol::error::ErrorCode;
use airlift_protocol::job::AclPolicy;
use airlift_protocol::key::Key;
use airlift_protocol::limits::CHUNK_BYTES;
use airlift_protocol::manifest::{Entry, Version};
use airlift_protocol::units::ByteRange;
use async_trait::async_trait;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;

use super::archive;
use super::attributes::Headers;
use super::client::Bucket;
use super::digest::{quoted, unquoted};
use super::error::{Response, body_error, code_of, is_absent};
use super::list::{new_entry, whole_seconds_ns};
use crate::pipeline::chunk::Payload;
use crate::store::each::read_each;
use crate::store::http::total_of;
use crate::store::{Attributes, ObjectInfo, RangeReader, ReadResult, StoreError};

impl Bucket {
    /// The store's description of an object, or `None` when there is no such object.
    pub(super) async fn head(&self, key: &Key) -> Result<Option<HeadObjectOutput>, StoreError> {
        // No key that cannot be held is there.
        let Ok(sendable) = self.sendable(key) else { return Ok(None) };
        let request = self.client().head_object().bucket(&self.name).key(sendable);
        let describe = async {
            match request.send().await {
                Ok(answer) => Ok(Some(answer)),
                Err(error) if is_absent(&error) => Ok(None),
                Err(error) => Err(self.undescribed(key, &error).await),
            }
        };
        self.pace_of(key).reads.pass(0, describe).await
    }

    /// The error of a description. Its answer has no body, so that it cannot say whether the credentials
    /// or only this object are refused: a question for one byte of the object can.
    pub(super) async fn undescribed<E>(
        &self,
        key: &Key,
        error: &SdkError<E, Response>,
    ) -> StoreError
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let status = error.raw_response().map(|response| response.status().as_u16());
        let is_mute = code_of(error).is_none_or(|code| matches!(code, "Forbidden" | "BadRequest"));
        if let (true, Some(400 | 401 | 403), Ok(sendable)) = (is_mute, status, self.sendable(key)) {
            let request = self.client().get_object().bucket(&self.name).key(sendable);
            match request.range("bytes=0-0").send().await {
                Err(told) if is_absent(&told) => return self.refused_once(key),
                Err(told) if code_of(&told).is_some() => return self.error("describe", key, &told),
                Err(_) => {}
                Ok(_) => return self.refused_once(key),
            }
        }
        self.error("describe", key, error)
    }

    /// Whoever may read may describe: the refusal was of that one request, such as for its time.
    fn refused_once(&self, key: &Key) -> StoreError {
        let text = "its description was refused, and then reading it was not";
        self.complaint(ErrorCode::Unavailable, key, text)
    }

    pub(super) async fn stat(&self, key: &Key) -> Result<Option<ObjectInfo>, StoreError> {
        let Some(answer) = self.head(key).await? else { return Ok(None) };
        let entry = self.described(key, &answer)?;
        let tags = self.tags_of(key, answer.tag_count()).await?;
        let acl = match self.acl {
            AclPolicy::Copy => self.pace_of(key).reads.pass(0, self.acl_of(key)).await?,
            AclPolicy::None | AclPolicy::BucketOwnerFullControl => None,
        };
        let headers = Headers {
            content_type: answer.content_type,
            content_encoding: answer.content_encoding,
            content_disposition: answer.content_disposition,
            content_language: answer.content_language,
            cache_control: answer.cache_control,
            metadata: answer.metadata.unwrap_or_default(),
            storage_class: answer.storage_class,
        };
        let attributes = Attributes { tags, acl, ..headers.into_attributes(entry.mtime_ns) };
        Ok(Some(ObjectInfo { entry, attributes }))
    }

    /// The entry that a description stands for.
    pub(super) fn described(
        &self,
        key: &Key,
        answer: &HeadObjectOutput,
    ) -> Result<Entry, StoreError> {
        let size = answer.content_length().and_then(|size| u64::try_from(size).ok());
        let size = size.ok_or_else(|| {
            self.complaint(ErrorCode::Protocol, key, "its description has no size")
        })?;
        let entry = new_entry(key.clone(), size, answer.last_modified(), answer.e_tag());
        Ok(Entry { is_archived: archive::is_described_archived(answer), ..entry })
    }

    /// Asks for `range` of the object that `entry` describes.
    async fn get(&self, entry: &Entry, range: ByteRange) -> Result<GetObjectOutput, StoreError> {
        let mut request =
            self.client().get_object().bucket(&self.name).key(self.sendable(&entry.key)?);
        if let Version::ETag(etag) = &entry.version {
            request = request.if_match(quoted(etag));
        }
        if range.len() != entry.size {
            request = request.range(format!("bytes={}-{}", range.start, range.end - 1));
        }
        let answer =
            request.send().await.map_err(|error| self.error("read", &entry.key, &error))?;
        self.check_pinned(entry, range, &answer)?;
        Ok(answer)
    }

    /// Refuses an answer about another state than the listed one: not every store honours
    /// `If-Match`, and without an ETag there is nothing to ask for.
    fn check_pinned(
        &self,
        entry: &Entry,
        range: ByteRange,
        answer: &GetObjectOutput,
    ) -> Result<(), StoreError> {
        let length = answer.content_length().and_then(|length| u64::try_from(length).ok());
        let is_whole = range.len() == entry.size;
        let total = match is_whole {
            true => length,
            false => answer.content_range().and_then(|answered| total_of(range, answered)),
        };
        let is_listed = match (&entry.version, answer.e_tag()) {
            (Version::ETag(listed), Some(etag)) => **listed == *unquoted(etag),
            _ => match (entry.mtime_ns, answer.last_modified().and_then(whole_seconds_ns)) {
                (Some(listed), Some(now)) => listed == now,
                _ => true,
            },
        };
        if !is_listed {
            return Err(self.changed(&entry.key));
        }
        if total.is_some_and(|total| total != entry.size) {
            return Err(self.misfit(entry, answer.content_encoding()));
        }
        if (total.is_none() && !is_whole) || length.is_some_and(|length| length != range.len()) {
            let text = "the answer does not have the range that was asked for";
            return Err(self.complaint(ErrorCode::Protocol, &entry.key, text));
        }
        Ok(())
    }

    fn changed(&self, key: &Key) -> StoreError {
        self.complaint(ErrorCode::SourceChanged, key, "it changed since it was listed")
    }

    /// The error for an answer whose length is not the object's. Where the listed state has a name, the
    /// answer is not about another state: it was altered on its way, or is no object at all.
    fn misfit(&self, entry: &Entry, encoding: Option<&str>) -> StoreError {
        if entry.version == Version::None {
            return self.changed(&entry.key);
        }
        let how = encoding.map(|encoding| format!(" (content encoding {encoding})"));
        let text = format!(
            "the answer does not have the object's {} bytes{}: something on the way alters it",
            entry.size,
            how.unwrap_or_default()
        );
        self.complaint(ErrorCode::Protocol, &entry.key, &text)
    }

    /// A small object. Nobody else is waited for until its last byte is there.
    async fn read_whole(&self, entry: &Entry) -> Result<(Payload, Attributes), StoreError> {
        self.pace_of(&entry.key).reads.pass(entry.size, self.fetch_whole(entry)).await
    }

    async fn fetch_whole(&self, entry: &Entry) -> Result<(Payload, Attributes), StoreError> {
        let mut answer = self.get(entry, ByteRange::new(0, entry.size)).await?;
        let mut body = std::mem::take(&mut answer.body);
        let tag_count = answer.tag_count();
        let headers = Headers {
            content_type: answer.content_type,
            content_encoding: answer.content_encoding,
            content_disposition: answer.content_disposition,
            content_language: answer.content_language,
            cache_control: answer.cache_control,
            metadata: answer.metadata.unwrap_or_default(),
            storage_class: answer.storage_class,
        };
        let last_modified = answer.last_modified.as_ref().and_then(whole_seconds_ns);
        let bytes = self.read_body(entry, &mut body).await?;
        let tags = self.tags_of(&entry.key, tag_count).await?;
        let acl = self.acl_of(&entry.key).await?;
        let attributes = Attributes { tags, acl, ..headers.into_attributes(last_modified) };
        Ok((Payload::Bytes(bytes), attributes))
    }

    async fn read_body(&self, entry: &Entry, body: &mut ByteStream) -> Result<Bytes, StoreError> {
        let size = usize::try_from(entry.size).map_err(|_| {
            self.complaint(ErrorCode::TooLarge, &entry.key, "it is too large to be read whole")
        })?;
        let mut bytes = BytesMut::new();
        while let Some(piece) = body.next().await {
            let piece = piece.map_err(|error| body_error(&self.name_of(&entry.key), &error))?;
            if bytes.is_empty() {
                if piece.len() == size {
                    bytes = BytesMut::from(piece);
                    continue;
                }
                bytes.reserve(size);
            }
            if bytes.len() + piece.len() > size {
                return Err(self.misfit(entry, None));
            }
            bytes.extend_from_slice(&piece);
        }
        match bytes.len() == size {
            true => Ok(bytes.freeze()),
            false => Err(self.broken_off(&entry.key, bytes.len() as u64)),
        }
    }

    fn broken_off(&self, key: &Key, bytes: u64) -> StoreError {
        let text = format!("the answer broke off after {bytes} bytes");
        self.complaint(ErrorCode::Unavailable, key, &text)
    }
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
    let body = match range.is_empty() && object.size > 0 {
        // An empty range cannot be asked for.
        true => ByteStream::default(),
        // The bytes come as fast as they are taken, which may depend on others that have to pass: the
        // gate is for the question, and for the begin of its answer.
        false => {
            let pace = bucket.pace_of(&object.key);
            pace.reads.pass(0, bucket.get(object, range)).await?.body
        }
    };
    Ok(Box::new(S3RangeReader {
        bucket: Arc::clone(bucket),
        key: object.key.clone(),
        body,
        piece: Bytes::new(),
        offset: range.start,
        end: range.end,
    }))
}

/// A body on its way, cut into chunks. The answer is one state of the object, so that its end needs
/// no further check.
#[derive(Debug)]
struct S3RangeReader {
    bucket: Arc<Bucket>,
    key: Key,
    body: ByteStream,
    /// What arrived and belongs to the next chunk.
    piece: Bytes,
    offset: u64,
    end: u64,
}

impl S3RangeReader {
    async fn next_piece(&mut self) -> Result<Option<Bytes>, StoreError> {
        if !self.piece.is_empty() {
            return Ok(Some(std::mem::take(&mut self.piece)));
        }
        let piece = self.body.next().await.transpose();
        piece.map_err(|error| body_error(&self.bucket.name_of(&self.key), &error))
    }
}

#[async_trait]
impl RangeReader for S3RangeReader {
    async fn next(&mut self) -> Result<Option<Payload>, StoreError> {
        let wanted = (CHUNK_BYTES - self.offset % CHUNK_BYTES).min(self.end - self.offset);
        if wanted == 0 {
            return match self.next_piece().await? {
                None => Ok(None),
                Some(_) => {
                    let text = "more bytes arrived than were asked for";
                    Err(self.bucket.complaint(ErrorCode::Protocol, &self.key, text))
                }
            };
        }
        let wanted = wanted as usize;
        let mut chunk = BytesMut::with_capacity(wanted);
        while chunk.len() < wanted {
            let Some(mut piece) = self.next_piece().await? else {
                return Err(self.bucket.broken_off(&self.key, self.offset + chunk.len() as u64));
            };
            let taken = piece.split_to(piece.len().min(wanted - chunk.len()));
            self.piece = piece;
            chunk.extend_from_slice(&taken);
        }
        self.offset += wanted as u64;
        Ok(Some(Payload::Bytes(chunk.freeze())))
    }
}
