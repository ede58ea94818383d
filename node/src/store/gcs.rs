//! The Google Cloud Storage store.
//!
//! ```text
//! access      endpoint and credentials          bucket    requests and what all of them share
//! names       key ↔ object, temporary objects   resource  objects in documents, attributes
//! error       the service's errors as ours      preflight is the bucket usable at all
//! list        listing and looking up            read      small objects, ranges, descriptions
//! put         small objects, confirmed          delete    deleting what still is as listed
//! part        parts and their sums              upload    parts as temporary objects
//! commit      putting parts together            server    copies that the service makes itself
//! ```
//!
//! Requests are those of the JSON API, made here; ARCHITECTURE.md says why. Tokens are from Google's own
//! library. Nothing is retried; the agent decides.

mod access;
mod bucket;
mod commit;
mod delete;
mod error;
mod list;
mod names;
mod part;
mod preflight;
mod put;
mod read;
mod resource;
mod server;
mod upload;

use std::any::Any;
use std::sync::Arc;

use airlift_protocol::assignment::UploadToken;
use airlift_protocol::chunk::Root;
use airlift_protocol::id::JobId;
use airlift_protocol::key::Key;
use airlift_protocol::manifest::Entry;
use airlift_protocol::sum::StoredSum;
use airlift_protocol::time::Timestamp;
use airlift_protocol::units::ByteRange;
use async_trait::async_trait;
use tokio::sync::mpsc;

use self::bucket::Bucket;
use super::fence::Fence;
use super::holds;
use super::pace::{Pace, Paces};
use super::{
    Access, Capabilities, Classes, Copier, ListRequest, Listed, NewObject, ObjectInfo,
    OpenedUpload, RangeReader, ReadResult, Store, StoreError, Upload,
};
use crate::pipeline::chunk::VerifiedObject;

/// Parts of one upload that are sent at the same time.
const PARTS_AT_ONCE: usize = 4;

/// How to reach a bucket.
#[derive(Clone, Debug)]
pub struct GcsOptions {
    /// Name of the bucket.
    pub bucket: String,
    /// What stands before every key, exactly.
    pub prefix: Vec<u8>,
    /// The job the store is opened for.
    pub job: JobId,
    /// URL of the service; by default Google's own.
    pub endpoint: Option<String>,
    /// What `STORAGE_EMULATOR_HOST` says, where no URL is set.
    pub emulator: Option<String>,
    /// What is asked before anything becomes visible.
    pub fence: Fence,
    /// The gates of the places that this process talks to.
    pub paces: Paces,
}

impl GcsOptions {
    /// `bucket` of the service itself, with keys below `prefix`.
    pub fn new(bucket: impl Into<String>, prefix: impl Into<Vec<u8>>, job: JobId) -> Self {
        Self {
            bucket: bucket.into(),
            prefix: prefix.into(),
            job,
            endpoint: None,
            emulator: None,
            fence: Fence::default(),
            paces: Paces::default(),
        }
    }
}

/// A bucket, or what lies below a prefix of it.
#[derive(Debug)]
pub struct GcsStore {
    bucket: Arc<Bucket>,
    capabilities: Capabilities,
}

impl GcsStore {
    /// Prepares connections; talks to nobody yet.
    ///
    /// # Errors
    /// When the prefix is not UTF-8, or the endpoint no URL.
    pub fn open(options: GcsOptions) -> Result<Self, StoreError> {
        let bucket = Bucket::open(options)?;
        let capabilities = Capabilities {
            concurrent_parts: PARTS_AT_ONCE,
            writes_are_durable: true,
            symlinks: false,
            keeps_mtime: false,
            directories: false,
            lists_ranges: true,
            object_bytes_max: part::OBJECT_BYTES_MAX,
            keeps: holds::gcs(),
            classes: Classes::Gcs,
        };
        Ok(Self { bucket: Arc::new(bucket), capabilities })
    }

    /// URL of the service.
    pub fn endpoint(&self) -> &str {
        self.bucket.endpoint()
    }

    /// By what right requests are made; a token is asked for.
    ///
    /// # Errors
    /// When nobody gives one.
    pub async fn credentials(&self) -> Result<&'static str, StoreError> {
        self.bucket.credentials().await
    }
}

#[async_trait]
impl Store for GcsStore {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn is_refused(&self) -> bool {
        self.bucket.door.is_refused()
    }

    fn pace(&self) -> Option<&Arc<Pace>> {
        Some(self.bucket.door.pace())
    }

    fn check_key(&self, entry: &Entry) -> Option<String> {
        self.bucket.names.check(entry)
    }

    async fn list(
        &self,
        request: ListRequest,
        found: mpsc::Sender<Listed>,
    ) -> Result<(), StoreError> {
        self.bucket.list(request, found).await
    }

    async fn next_key(&self, after: &Key) -> Result<Option<Key>, StoreError> {
        list::next_key(&self.bucket, after).await
    }

    async fn lookup(&self, keys: Vec<Key>) -> Vec<Result<Option<Entry>, StoreError>> {
        list::lookup(&self.bucket, keys).await
    }

    async fn stored_sums(&self, objects: Vec<Entry>) -> Vec<Result<Vec<StoredSum>, StoreError>> {
        read::stored_sums(&self.bucket, objects).await
    }

    async fn stat(&self, key: &Key) -> Result<Option<ObjectInfo>, StoreError> {
        self.bucket.stat(key).await
    }

    async fn read_small(&self, objects: Vec<Entry>, found: mpsc::Sender<ReadResult>) {
        read::read_small(&self.bucket, objects, found).await;
    }

    async fn read_range(
        &self,
        object: &Entry,
        range: ByteRange,
    ) -> Result<Box<dyn RangeReader>, StoreError> {
        read::read_range(&self.bucket, object, range).await
    }

    async fn put_small(
        &self,
        objects: Vec<(NewObject, VerifiedObject)>,
    ) -> Vec<Result<(), StoreError>> {
        put::put_small(&self.bucket, objects).await
    }

    async fn open_upload(
        &self,
        object: &NewObject,
        resume: Option<&UploadToken>,
        orphan_since: Option<Timestamp>,
    ) -> Result<OpenedUpload, StoreError> {
        self.bucket.open_upload(object, resume, orphan_since).await
    }

    async fn upload(
        &self,
        object: &NewObject,
        token: &UploadToken,
    ) -> Result<Box<dyn Upload>, StoreError> {
        upload::take_up(&self.bucket, object, token).await
    }

    async fn commit(
        &self,
        object: &NewObject,
        token: &UploadToken,
        root: Root,
    ) -> Result<(), StoreError> {
        self.bucket.commit(object, token, root).await
    }

    async fn discard(
        &self,
        key: &Key,
        token: Option<&UploadToken>,
        orphan_since: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        self.bucket.discard(key, token, orphan_since).await
    }

    async fn delete(&self, entries: Vec<Entry>) -> Vec<Result<(), StoreError>> {
        delete::delete(&self.bucket, entries).await
    }

    async fn clean(&self) -> Result<(), StoreError> {
        self.bucket.remove_staged(&self.bucket.names.staging(), None).await
    }

    fn copier(&self, source: &dyn Store) -> Option<Arc<dyn Copier>> {
        let source: &dyn Any = source;
        let source = source.downcast_ref::<Self>()?;
        server::copier(&self.bucket, &source.bucket)
    }

    async fn preflight(&self, access: Access) -> Result<(), StoreError> {
        self.bucket.preflight(access).await
    }
}
