//! Uploads: begun, taken up, filled part by part, dropped.
//!
//! Each part is an object of its own in a folder that no listing shows (`names`), so that several nodes
//! write them in any order; one more object, the mark, stands for the upload while it is open. A commit
//! puts the parts together (`commit`).

use std::sync::Arc;

use airlift_protocol::assignment::UploadToken;
use airlift_protocol::error::ErrorCode;
use airlift_protocol::key::Key;
use airlift_protocol::time::Timestamp;
use airlift_protocol::units::{ByteCount, ByteRange};
use async_trait::async_trait;
use bytes::Bytes;

use super::bucket::Bucket;
use super::error::store_error;
use super::part::{self, OBJECT_BYTES_MAX, UploadId, part_shift};
use super::resource::Resource;
use crate::pipeline::chunk::VerifiedChunk;
use crate::store::chance::nonce;
use crate::store::digest::{self, crc32c};
use crate::store::each::{for_each, joined};
use crate::store::{NewObject, OpenedUpload, StoreError, Upload};

/// Pages of a listing of temporary objects that are asked for before the service is not believed.
const PAGES_MAX: usize = 10_000;

impl Bucket {
    pub(super) fn upload_id(&self, key: &Key, token: &UploadToken) -> Result<UploadId, StoreError> {
        UploadId::parse(token).ok_or_else(|| {
            let text = "the upload was begun by another store, and is not known here";
            self.complaint(ErrorCode::UploadLost, key, text)
        })
    }

    /// The folder of an upload's temporary objects.
    pub(super) fn folder(&self, key: &Key, upload: &UploadId) -> String {
        upload.folder(&self.names.staging_of(key))
    }

    pub(super) async fn open_upload(
        &self,
        object: &NewObject,
        resume: Option<&UploadToken>,
        orphan_since: Option<Timestamp>,
    ) -> Result<OpenedUpload, StoreError> {
        let key = &object.entry.key;
        let known = resume.and_then(UploadId::parse);
        let folder = known.as_ref().map(|upload| self.folder(key, upload));
        if orphan_since.is_some() {
            self.remove_staged(&self.names.staging_of(key), folder.as_deref()).await?;
        }
        if let (Some(upload), Some(folder)) = (known, folder)
            && self.is_open(key, &folder).await?
        {
            return Ok(OpenedUpload { token: upload.to_token(), is_resumed: true });
        }
        Ok(OpenedUpload { token: self.begin(object).await?, is_resumed: false })
    }

    async fn begin(&self, object: &NewObject) -> Result<UploadToken, StoreError> {
        let key = &object.entry.key;
        if let Some(reason) = self.names.check(&object.entry) {
            return Err(self.complaint(ErrorCode::KeyUnsupported, key, &reason));
        }
        let Some(part_shift) = part_shift(object.entry.size) else {
            let text = format!(
                "it has {}, and at most {} can be uploaded",
                ByteCount(object.entry.size),
                ByteCount(OBJECT_BYTES_MAX)
            );
            return Err(self.complaint(ErrorCode::TooLarge, key, &text));
        };
        let upload = UploadId { part_shift, nonce: nonce() };
        let mark = part::mark(&self.folder(key, &upload));
        let put = self.put_plain(&mark, Bytes::from_static(b"open")).await;
        put.map_err(|failed| self.error("begin the upload of", key, &failed))?;
        Ok(upload.to_token())
    }

    /// Whether the upload with this folder can be filled and committed.
    pub(super) async fn is_open(&self, key: &Key, folder: &str) -> Result<bool, StoreError> {
        let found = self.resource(&part::mark(folder)).await;
        let found = found.map_err(|failed| self.error("look for the upload of", key, &failed))?;
        Ok(found.is_some())
    }

    /// All temporary objects in `folder`.
    pub(super) async fn staged(&self, folder: &str) -> Result<Vec<Resource>, StoreError> {
        let place = self.place();
        let mut found = Vec::new();
        let mut token: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let page = self.page(folder, None, token.as_deref()).await;
            let page = page.map_err(|failed| store_error("list uploads at", &place, &failed))?;
            found.extend(page.items);
            let next = page.next_page_token.filter(|next| !next.is_empty());
            if next.is_none() {
                return Ok(found);
            }
            if next == token {
                break;
            }
            token = next;
        }
        let text = format!("list uploads at {place}: the listing does not end");
        Err(StoreError::new(ErrorCode::Protocol, text))
    }

    /// Deletes all temporary objects in `folder` but those in `keep`: marks first, so that nobody takes
    /// up what is half gone.
    pub(super) async fn remove_staged(
        &self,
        folder: &str,
        keep: Option<&str>,
    ) -> Result<(), StoreError> {
        let names = self.staged(folder).await?.into_iter().map(|object| object.name);
        let doomed = names.filter(|name| keep.is_none_or(|keep| !name.starts_with(keep)));
        let (marks, rest): (Vec<String>, Vec<String>) =
            doomed.partition(|name| name.ends_with("/open"));
        for some in [marks, rest] {
            let remove = |name: String| async move {
                let removed = self.remove(&name, None).await;
                removed.map_err(|failed| store_error("drop an upload at", &self.place(), &failed))
            };
            for_each(self.requests_max, some, remove)
                .await
                .into_iter()
                .collect::<Result<(), StoreError>>()?;
        }
        Ok(())
    }

    pub(super) async fn discard(
        &self,
        key: &Key,
        token: Option<&UploadToken>,
        orphan_since: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        // All uploads of this job and key are its orphans: their names say so, not their age.
        if orphan_since.is_some() {
            return self.remove_staged(&self.names.staging_of(key), None).await;
        }
        // A token that was not made here names nothing that could be dropped.
        match token.and_then(UploadId::parse) {
            Some(upload) => self.remove_staged(&self.folder(key, &upload), None).await,
            None => Ok(()),
        }
    }

    pub(super) fn lost(&self, key: &Key) -> StoreError {
        self.complaint(ErrorCode::UploadLost, key, "the upload was dropped, or never begun")
    }
}

/// Access to an upload that the service still knows.
pub(super) async fn take_up(
    bucket: &Arc<Bucket>,
    object: &NewObject,
    token: &UploadToken,
) -> Result<Box<dyn Upload>, StoreError> {
    let key = &object.entry.key;
    let upload = bucket.upload_id(key, token)?;
    let folder = bucket.folder(key, &upload);
    if !bucket.is_open(key, &folder).await? {
        return Err(bucket.lost(key));
    }
    let (key, size) = (key.clone(), object.entry.size);
    Ok(Box::new(GcsUpload { bucket: Arc::clone(bucket), key, size, upload, folder }))
}

#[derive(Debug)]
struct GcsUpload {
    bucket: Arc<Bucket>,
    key: Key,
    size: u64,
    upload: UploadId,
    folder: String,
}

#[async_trait]
impl Upload for GcsUpload {
    fn part_bytes(&self) -> u64 {
        self.upload.part_bytes()
    }

    async fn present(&self) -> Result<Vec<ByteRange>, StoreError> {
        let mut held: Vec<ByteRange> = Vec::new();
        let staged = self.bucket.staged(&self.folder).await?;
        // Names ascend with the index, as they have one length.
        for object in &staged {
            let index = part::index_of(&self.folder, &object.name);
            let range = index.and_then(|index| self.upload.part_range(index, self.size));
            let Some(range) = range.filter(|range| Some(range.len()) == object.size()) else {
                continue;
            };
            match held.last_mut() {
                Some(last) if last.end == range.start => last.end = range.end,
                _ => held.push(range),
            }
        }
        Ok(held)
    }

    async fn write(&self, chunks: Vec<VerifiedChunk>) -> Result<(), StoreError> {
        let bucket = &self.bucket;
        let offset = chunks.first().map_or(0, VerifiedChunk::offset);
        let bytes = joined(chunks);
        let length = bytes.len() as u64;
        let index = offset / self.upload.part_bytes();
        let range = self.upload.part_range(index, self.size);
        if range.is_none_or(|range| (range.start, range.len()) != (offset, length)) {
            let text = format!("{length} bytes at {offset} are no part of the upload");
            return Err(bucket.complaint(ErrorCode::Bug, &self.key, &text));
        }
        let sum = digest::of(&bytes, crc32c).await;
        let name = part::part(&self.folder, index);
        let put = bucket.put_plain(&name, bytes).await;
        let answered = put.map_err(|failed| bucket.error("write a part of", &self.key, &failed))?;
        match answered.crc32c.as_deref() == Some(sum.as_str()) && answered.size() == Some(length) {
            true => Ok(()),
            false => {
                // It must not be taken for the part that a journal knows.
                let removed = bucket.remove(&name, answered.generation()).await;
                removed.map_err(|failed| bucket.error("remove a part of", &self.key, &failed))?;
                Err(bucket.corrupt(&self.key))
            }
        }
    }

    async fn sync(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
