//! Reading files by their numbers, each pinned to the number, size and time with which it was listed; in a snapshot
//! by their names, which does not change.

use std::sync::Arc;

use airlift_protocol::chunk::Root as HashRoot;
use airlift_protocol::error::ErrorCode;
use airlift_protocol::manifest::{Entry, Kind};
use airlift_protocol::units::ByteRange;
use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::mpsc;

use super::error::store_error;
use super::list::{describe, kept};
use super::namenode::{Ask, inode, named};
use super::root::Root;
use super::status::{Status, changed, gone, listed_id};
use crate::pipeline::chunk::Payload;
use crate::store::each::read_each;
use crate::store::http::{Body, ChunkReader};
use crate::store::{Attributes, RangeReader, ReadResult, StoreError, contiguous};

/// Reads `objects` whole into `found` until nobody wants more.
pub(super) async fn read_small(
    root: &Arc<Root>,
    objects: Vec<Entry>,
    found: mpsc::Sender<ReadResult>,
) {
    let read = |entry: Entry| async move { read_whole(root, &entry).await };
    read_each(root.requests_max, objects, found, read).await;
}

async fn read_whole(root: &Root, entry: &Entry) -> Result<(Payload, Attributes), StoreError> {
    let bytes = match entry.kind {
        Kind::Object => {
            let body = open(root, entry, ByteRange::new(0, entry.size)).await?;
            body.read_whole(entry.size).await?
        }
        Kind::Directory => Bytes::new(),
        Kind::Symlink(_) | Kind::Special => {
            let text = format!("{} has no bytes to copy", root.show(entry.key.as_bytes()));
            return Err(StoreError::new(ErrorCode::KindUnsupported, text));
        }
    };
    let status = check(root, entry).await?;
    Ok((Payload::Bytes(bytes), status.attributes()))
}

/// What the file system says of the listed file now.
///
/// # Errors
/// When it is not the listed one any more.
async fn check(root: &Root, entry: &Entry) -> Result<Status, StoreError> {
    let shown = root.show(entry.key.as_bytes());
    match describe(root, &entry.key).await? {
        None => Err(gone(&shown)),
        Some(status) if !status.is_as_listed(entry) => Err(changed(&shown)),
        Some(status) => Ok(status),
    }
}

/// The bytes of `range` of the listed file, whatever it is called now.
async fn open(root: &Root, entry: &Entry, range: ByteRange) -> Result<Body, StoreError> {
    let shown = root.show(entry.key.as_bytes());
    if range.is_empty() {
        return Ok(Body::empty(shown));
    }
    let id = listed_id(entry).ok_or_else(|| changed(&shown))?;
    let path = match root.is_snapshot {
        true => named(&root.full(kept(&entry.key).map_err(|_| changed(&shown))?)),
        false => inode(id),
    };
    let ask = Ask::get("OPEN", path)
        .with("offset", range.start.to_string())
        .with("length", range.len().to_string());
    match root.namenode.read(&ask).await {
        Ok(answer) => Ok(Body::new(shown, answer)),
        Err(failed) => {
            // What is wrong with a file that is another one by now is that.
            check(root, entry).await?;
            Err(store_error("read", &shown, &failed))
        }
    }
}

/// A range of a file, chunk by chunk.
#[derive(Debug)]
pub(super) struct FileReader {
    root: Arc<Root>,
    entry: Entry,
    chunks: ChunkReader,
}

impl FileReader {
    pub(super) async fn open(
        root: &Arc<Root>,
        entry: &Entry,
        range: ByteRange,
    ) -> Result<Self, StoreError> {
        check(root, entry).await?;
        let chunks = ChunkReader::new(open(root, entry, range).await?, range);
        Ok(Self { root: Arc::clone(root), entry: entry.clone(), chunks })
    }

    /// The hash of the whole range.
    pub(super) async fn hash(mut self) -> Result<HashRoot, StoreError> {
        let mut hasher = blake3::Hasher::new();
        while let Some(payload) = self.next().await? {
            hasher.update(&contiguous(&payload));
        }
        Ok(HashRoot(*hasher.finalize().as_bytes()))
    }
}

#[async_trait]
impl RangeReader for FileReader {
    async fn next(&mut self) -> Result<Option<Payload>, StoreError> {
        if let Some(payload) = self.chunks.next().await? {
            return Ok(Some(payload));
        }
        // A file may have grown, or been cut, while it was read.
        check(&self.root, &self.entry).await?;
        Ok(None)
    }
}
