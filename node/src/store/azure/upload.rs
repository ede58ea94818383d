//! Uploads: begun, taken up, filled block by block, dropped.
//!
//! Blocks that were staged never touch the blob that is visible, nor its ETag. The service has no
//! way to delete them that does not: they go with the next commit or write of the blob, whoever
//! makes it, or after a week. So what is dropped is emptied: each of its blocks is replaced by one of
//! a single byte, the mark first.

use std::sync::Arc;

use airlift_protocol::assignment::UploadToken;
use airlift_protocol::error::ErrorCode;
use airlift_protocol::key::Key;
use airlift_protocol::time::Timestamp;
use airlift_protocol::units::{ByteCount, ByteRange};
use async_trait::async_trait;
use bytes::Bytes;
use reqwest::Method;

use super::block::{Block, CLOSED_BYTES, OBJECT_BYTES_MAX, OPEN_BYTES, UploadId, part_shift};
use super::container::{Container, Subject, set};
use super::error::{is_absent, is_foreign_block};
use super::xml::Element;
use crate::pipeline::chunk::VerifiedChunk;
use crate::runtime::blocking::blocking;
use crate::store::chance::{NONCE_BYTES, nonce};
use crate::store::digest::{self, base64, md5};
use crate::store::each::{for_each, joined};
use crate::store::http::{Failed, Patience, body};
use crate::store::{NewObject, OpenedUpload, StoreError, Upload};

/// Bytes of the document that lists the blocks of a blob: 150,000 of them at most.
const BLOCKS_BYTES_MAX: usize = 64 << 20;

/// The blocks of a blob.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Blocks {
    /// What the visible blob consists of, in order.
    pub(super) committed: Vec<Block>,
    /// What was staged, by anybody.
    pub(super) staged: Vec<Block>,
    /// Bytes of the visible blob.
    pub(super) size: Option<u64>,
}

impl Blocks {
    fn read(root: &Element, size: Option<u64>) -> Option<Self> {
        let read = |list: &str| -> Option<Vec<Block>> {
            let Some(list) = root.child(list) else { return Some(Vec::new()) };
            let block = |block: &Element| {
                let size = block.text_of("Size")?.parse().ok()?;
                Some(Block { name: block.text_of("Name")?.to_owned(), size })
            };
            list.all("Block").map(block).collect()
        };
        Some(Self { committed: read("CommittedBlocks")?, staged: read("UncommittedBlocks")?, size })
    }

    /// Whether `upload` can be filled and committed.
    pub(super) fn is_open(&self, container: &Container, upload: &UploadId) -> bool {
        let mark = upload.mark(container.job);
        self.staged.iter().any(|block| block.name == mark && block.size == OPEN_BYTES)
    }
}

impl Container {
    pub(super) fn upload_id(&self, key: &Key, token: &UploadToken) -> Result<UploadId, StoreError> {
        UploadId::parse(token).ok_or_else(|| {
            let text = "the upload was begun by another store, and is not known here";
            self.complaint(ErrorCode::UploadLost, key, text)
        })
    }

    /// All blocks of the blob under `key`; none when the service knows no such blob.
    pub(super) async fn blocks(&self, key: &Key) -> Result<Blocks, StoreError> {
        let blob = self.names.full(key)?;
        let query = [("comp", "blocklist"), ("blocklisttype", "all")];
        let asked = async {
            let request = self.request(Method::GET, Subject::Blob(&blob), &query)?;
            let answer = self.send(request, Patience::Normal).await?;
            let length = answer.headers().get("x-ms-blob-content-length").cloned();
            let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
            Ok((length, body::document(answer, BLOCKS_BYTES_MAX).await?))
        };
        match asked.await {
            Ok((length, document)) => {
                let root = blocking(move || Element::parse(&document)).await.ok();
                root.and_then(|root| Blocks::read(&root, length)).ok_or_else(|| {
                    let text = "the list of its blocks cannot be read";
                    self.complaint(ErrorCode::Protocol, key, text)
                })
            }
            Err(failed) if is_absent(&failed) => Ok(Blocks::default()),
            Err(failed) => Err(self.error("list the blocks of", key, &failed)),
        }
    }

    pub(super) async fn open_upload(
        &self,
        object: &NewObject,
        resume: Option<&UploadToken>,
        orphan_since: Option<Timestamp>,
    ) -> Result<OpenedUpload, StoreError> {
        let key = &object.entry.key;
        let known = resume.and_then(UploadId::parse);
        if orphan_since.is_some() || known.is_some() {
            let blocks = self.blocks(key).await?;
            if orphan_since.is_some() {
                let keep = known.as_ref().map(|upload| upload.nonce);
                self.empty(key, &blocks, |nonce| Some(nonce) != keep).await?;
            }
            if let Some(upload) = known.filter(|upload| blocks.is_open(self, upload)) {
                return Ok(OpenedUpload { token: upload.to_token(), is_resumed: true });
            }
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
        let mark = Bytes::from(vec![b'o'; OPEN_BYTES as usize]);
        match self.stage(key, &upload.mark(self.job), mark).await {
            Ok(()) => Ok(upload.to_token()),
            Err(failed) if is_foreign_block(&failed) => {
                let text = "another program has an upload of this blob under way, whose blocks \
                            have names of another length: let it end, or wait for a week";
                Err(self.complaint(ErrorCode::Conflict, key, text))
            }
            Err(failed) => Err(self.error("begin the upload of", key, &failed)),
        }
    }

    /// Stages a block under its name; the service refuses bytes that do not have their MD5.
    async fn stage(&self, key: &Key, block: &str, bytes: Bytes) -> Result<(), Failed> {
        let blob = self.names.full(key)?;
        let md5 = base64(&digest::of(&bytes, md5).await);
        let query = [("comp", "block"), ("blockid", block)];
        let mut request = self.put(Subject::Blob(&blob), &query, bytes)?;
        set(&mut request, "content-md5", &md5)?;
        self.send(request, Patience::Normal).await.map(drop)
    }

    pub(super) async fn discard(
        &self,
        key: &Key,
        token: Option<&UploadToken>,
        orphan_since: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        // A token that was not made here names nothing that could be dropped.
        let upload = token.and_then(UploadId::parse);
        if upload.is_none() && orphan_since.is_none() {
            return Ok(());
        }
        let blocks = self.blocks(key).await?;
        // All uploads of this job and key are its orphans: their names say so, not their age.
        let is_meant = |nonce| {
            orphan_since.is_some() || upload.as_ref().is_some_and(|upload| upload.nonce == nonce)
        };
        self.empty(key, &blocks, is_meant).await
    }

    /// Drops those uploads of this job that `is_meant` names.
    async fn empty(
        &self,
        key: &Key,
        blocks: &Blocks,
        is_meant: impl Fn([u8; NONCE_BYTES]) -> bool,
    ) -> Result<(), StoreError> {
        let meant = |block: &&Block| {
            block.size > CLOSED_BYTES && block.nonce(self.job).is_some_and(&is_meant)
        };
        let (marks, parts): (Vec<&Block>, Vec<&Block>) =
            blocks.staged.iter().filter(meant).partition(|block| block.size == OPEN_BYTES);
        for some in [marks, parts] {
            let some: Vec<String> = some.into_iter().map(|block| block.name.clone()).collect();
            let empty = |name: String| async move {
                let byte = Bytes::from_static(b"x");
                let staged = self.stage(key, &name, byte).await;
                staged.map_err(|failed| self.error("drop the upload of", key, &failed))
            };
            for_each(self.requests_max, some, empty)
                .await
                .into_iter()
                .collect::<Result<(), StoreError>>()?;
        }
        Ok(())
    }
}

/// Access to an upload that the service still knows.
pub(super) async fn take_up(
    container: &Arc<Container>,
    object: &NewObject,
    token: &UploadToken,
) -> Result<Box<dyn Upload>, StoreError> {
    let key = &object.entry.key;
    let upload = container.upload_id(key, token)?;
    if !container.blocks(key).await?.is_open(container, &upload) {
        return Err(container.lost(key));
    }
    let (key, size) = (key.clone(), object.entry.size);
    Ok(Box::new(AzureUpload { container: Arc::clone(container), key, size, upload }))
}

impl Container {
    pub(super) fn lost(&self, key: &Key) -> StoreError {
        let text = "the upload was dropped, or its blocks went with another write of the blob";
        self.complaint(ErrorCode::UploadLost, key, text)
    }
}

#[derive(Debug)]
struct AzureUpload {
    container: Arc<Container>,
    key: Key,
    size: u64,
    upload: UploadId,
}

impl AzureUpload {
    /// The index of the part that begins at `offset` and has `length` bytes.
    fn part_index(&self, offset: u64, length: u64) -> Result<u32, StoreError> {
        let index = u32::try_from(offset / self.upload.part_bytes()).unwrap_or(u32::MAX);
        let range = self.upload.part_range(index, self.size);
        match range.is_some_and(|range| (range.start, range.len()) == (offset, length)) {
            true => Ok(index),
            false => {
                let text = format!("{length} bytes at {offset} are no part of the upload");
                Err(self.container.complaint(ErrorCode::Bug, &self.key, &text))
            }
        }
    }
}

#[async_trait]
impl Upload for AzureUpload {
    fn part_bytes(&self) -> u64 {
        self.upload.part_bytes()
    }

    async fn present(&self) -> Result<Vec<ByteRange>, StoreError> {
        let blocks = self.container.blocks(&self.key).await?;
        let mut staged: Vec<(&str, u64)> =
            blocks.staged.iter().map(|block| (block.name.as_str(), block.size)).collect();
        staged.sort_unstable();
        let mut ranges: Vec<ByteRange> = Vec::new();
        let mut start = 0;
        for block in self.upload.blocks(self.container.job, self.size) {
            let end = start + block.size;
            if staged.binary_search(&(block.name.as_str(), block.size)).is_ok() {
                match ranges.last_mut() {
                    Some(last) if last.end == start => last.end = end,
                    _ => ranges.push(ByteRange::new(start, end)),
                }
            }
            start = end;
        }
        Ok(ranges)
    }

    async fn write(&self, chunks: Vec<VerifiedChunk>) -> Result<(), StoreError> {
        let offset = chunks.first().map_or(0, VerifiedChunk::offset);
        let bytes = joined(chunks);
        let index = self.part_index(offset, bytes.len() as u64)?;
        let name = self.upload.part_block(self.container.job, index);
        let staged = self.container.stage(&self.key, &name, bytes).await;
        staged.map_err(|failed| self.container.error("write a part of", &self.key, &failed))
    }

    async fn sync(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
