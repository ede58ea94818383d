//! The Azure Blob Storage store.
//!
//! ```text
//! access      account, endpoint and right, from settings and environment
//! sign        signatures with the account's key     identity   tokens of Entra ID
//! container   requests and what all of them share   error      the service's errors as ours
//! names       key ↔ blob, directory markers         attributes headers and metadata
//! list        listing and looking up                read       small objects, ranges, descriptions
//! put         small objects, confirmed              delete     deleting what still is as listed
//! block       names of blocks                       upload     staged blocks
//! commit      making an upload visible              preflight  is the container usable at all
//! xml         the service's documents           server     copies that the service makes itself
//! archive     what cannot be read at once, and asking that it can be
//! ```
//!
//! Requests are made here, not by the service's library; ARCHITECTURE.md says why. Tokens are that
//! library's. Nothing is retried; the agent decides.
//!
//! It says no sums of objects. `Content-MD5` is what a client set: the service computes it of what one
//! request writes, and checks neither that of a commit nor one that is set later. What agrees with it might be
//! other bytes.

mod access;
mod archive;
mod attributes;
mod block;
mod commit;
mod container;
mod delete;
mod error;
mod identity;
mod list;
mod names;
mod preflight;
mod put;
mod read;
mod server;
mod sign;
mod tags;
mod upload;
mod xml;

use std::any::Any;
use std::sync::Arc;

use airlift_protocol::assignment::UploadToken;
use airlift_protocol::chunk::Root;
use airlift_protocol::id::JobId;
use airlift_protocol::job::{RestorePolicy, TagPolicy};
use airlift_protocol::key::Key;
use airlift_protocol::manifest::Entry;
use airlift_protocol::time::Timestamp;
use airlift_protocol::units::ByteRange;
use async_trait::async_trait;
use tokio::sync::mpsc;

pub use self::access::AzureEnvironment;
use self::container::Container;
pub use self::identity::ServicePrincipal;
use super::fence::Fence;
use super::pace::{Pace, Paces};
use super::{
    Access, AttributeKind, AttributeSet, Attributes, Capabilities, Classes, Copier, ListRequest,
    Listed, NewObject, ObjectInfo, OpenedUpload, RangeReader, ReadResult, Restored, Store,
    StoreError, Upload, holds,
};
use crate::pipeline::chunk::VerifiedObject;

/// Blocks of one upload that are sent at the same time.
const PARTS_AT_ONCE: usize = 4;

/// Blobs in one page of a listing: the most that the service gives.
const PAGE_ENTRIES: u32 = 5_000;

/// How to reach a container.
#[derive(Clone, Debug)]
pub struct AzureOptions {
    /// Name of the container.
    pub container: String,
    /// What stands before every key, exactly.
    pub prefix: Vec<u8>,
    /// The job the store is opened for.
    pub job: JobId,
    /// Name of the storage account; by default from the environment.
    pub account: Option<String>,
    /// URL of the account; by default that of the public cloud.
    pub endpoint: Option<String>,
    /// What the environment says.
    pub environment: AzureEnvironment,
    /// Blobs that are asked for in one page of a listing.
    pub page_entries: u32,
    /// Whether tags are read with the other attributes.
    pub tags: TagPolicy,
    /// Whether tiers are read with the other attributes, which takes a request of its own.
    pub tiers: bool,
    /// What is asked before anything becomes visible.
    pub fence: Fence,
    /// The gates of the places that this process talks to.
    pub paces: Paces,
}

impl AzureOptions {
    /// `container` without any configuration, with keys below `prefix`.
    pub fn new(container: impl Into<String>, prefix: impl Into<Vec<u8>>, job: JobId) -> Self {
        Self {
            container: container.into(),
            prefix: prefix.into(),
            job,
            account: None,
            endpoint: None,
            environment: AzureEnvironment::default(),
            page_entries: PAGE_ENTRIES,
            tags: TagPolicy::default(),
            tiers: true,
            fence: Fence::default(),
            paces: Paces::default(),
        }
    }
}

/// A container, or what lies below a prefix of it.
#[derive(Debug)]
pub struct AzureStore {
    container: Arc<Container>,
    capabilities: Capabilities,
}

impl AzureStore {
    /// Reads the configuration and prepares connections; talks to nobody yet.
    ///
    /// # Errors
    /// When no account is named, or something of the configuration cannot be used.
    pub fn open(options: AzureOptions) -> Result<Self, StoreError> {
        let container = Container::open(options)?;
        let capabilities = Capabilities {
            concurrent_parts: PARTS_AT_ONCE,
            writes_are_durable: true,
            symlinks: false,
            keeps_mtime: false,
            directories: false,
            lists_ranges: false,
            object_bytes_max: block::OBJECT_BYTES_MAX,
            keeps: holds::azure(),
            classes: Classes::Azure,
        };
        Ok(Self { container: Arc::new(container), capabilities })
    }

    /// URL of the account.
    pub fn endpoint(&self) -> &str {
        self.container.endpoint()
    }

    /// By what right requests are made; of Entra ID a token is asked for.
    ///
    /// # Errors
    /// When nobody gives one.
    pub async fn credentials(&self) -> Result<&'static str, StoreError> {
        self.container.credentials().await
    }
}

#[async_trait]
impl Store for AzureStore {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn is_refused(&self) -> bool {
        self.container.door.is_refused()
    }

    fn pace(&self) -> Option<&Arc<Pace>> {
        Some(self.container.door.pace())
    }

    fn holds(&self, attributes: &Attributes) -> AttributeSet {
        match tags::are_held(&attributes.tags) {
            true => self.capabilities.keeps,
            false => self.capabilities.keeps.without([AttributeKind::Tags].into_iter().collect()),
        }
    }

    fn check_key(&self, entry: &Entry) -> Option<String> {
        self.container.names.check(entry)
    }

    async fn list(
        &self,
        request: ListRequest,
        found: mpsc::Sender<Listed>,
    ) -> Result<(), StoreError> {
        self.container.list(request, found).await
    }

    async fn lookup(&self, keys: Vec<Key>) -> Vec<Result<Option<Entry>, StoreError>> {
        list::lookup(&self.container, keys).await
    }

    async fn stat(&self, key: &Key) -> Result<Option<ObjectInfo>, StoreError> {
        self.container.stat(key).await
    }

    async fn read_small(&self, objects: Vec<Entry>, found: mpsc::Sender<ReadResult>) {
        read::read_small(&self.container, objects, found).await;
    }

    async fn restore(
        &self,
        entries: Vec<Entry>,
        policy: RestorePolicy,
    ) -> Vec<Result<Restored, StoreError>> {
        archive::restore(&self.container, entries, policy).await
    }

    async fn read_range(
        &self,
        object: &Entry,
        range: ByteRange,
    ) -> Result<Box<dyn RangeReader>, StoreError> {
        read::read_range(&self.container, object, range).await
    }

    async fn put_small(
        &self,
        objects: Vec<(NewObject, VerifiedObject)>,
    ) -> Vec<Result<(), StoreError>> {
        put::put_small(&self.container, objects).await
    }

    async fn open_upload(
        &self,
        object: &NewObject,
        resume: Option<&UploadToken>,
        orphan_since: Option<Timestamp>,
    ) -> Result<OpenedUpload, StoreError> {
        self.container.open_upload(object, resume, orphan_since).await
    }

    async fn upload(
        &self,
        object: &NewObject,
        token: &UploadToken,
    ) -> Result<Box<dyn Upload>, StoreError> {
        upload::take_up(&self.container, object, token).await
    }

    async fn commit(
        &self,
        object: &NewObject,
        token: &UploadToken,
        _root: Root,
    ) -> Result<(), StoreError> {
        // Its blocks prove it; nothing has to be read back.
        self.container.commit(object, token).await
    }

    async fn discard(
        &self,
        key: &Key,
        token: Option<&UploadToken>,
        orphan_since: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        self.container.discard(key, token, orphan_since).await
    }

    async fn delete(&self, entries: Vec<Entry>) -> Vec<Result<(), StoreError>> {
        delete::delete(&self.container, entries).await
    }

    async fn clean(&self) -> Result<(), StoreError> {
        // Nothing but staged blocks stands beside blobs, and those are dropped by key.
        Ok(())
    }

    fn copier(&self, source: &dyn Store) -> Option<Arc<dyn Copier>> {
        let source: &dyn Any = source;
        let source = source.downcast_ref::<Self>()?;
        server::copier(&self.container, &source.container)
    }

    async fn preflight(&self, access: Access) -> Result<(), StoreError> {
        self.container.preflight(access).await
    }
}
