//! The S3 store: AWS S3 and every service that speaks its protocol, by its profile.
//!
//! ```text
//! client      configuration, credentials, request and error helpers
//! keys        relative key ↔ bucket key, url decoding of listings
//! list        listing and looking up          read   small objects, ranges, descriptions
//! put         small objects, confirmed        upload multipart uploads and their parts
//! commit      making an upload visible        delete deleting what still is as listed
//! attributes  headers and user metadata       composite checksums of assembled objects
//! error       the SDK's errors as ours        preflight  is the bucket usable at all
//! blank       keys that the SDK would refuse   provider  what is known of each service, as data
//! credentials where they are taken from        tags      read, written, confirmed
//! archive     what cannot be read at once      restore   asking that it can be
//! acl         who may do what: as tags         stored    sums that the store keeps
//! orphan      uploads that are dropped         server    copies that the service makes itself
//! header      headers that the SDK does not know
//! ```
//!
//! Keys are sent and received byte for byte: the SDK percent-encodes them segment by segment
//! without normalising the path, and listings are asked for in url encoding, because XML cannot
//! carry every character. The SDK's own retries are off; the agent decides. Every request passes a
//! gate of the bucket (`store/pace`), which knows how many at once and a second do it good.

mod acl;
mod archive;
mod attributes;
mod blank;
mod client;
mod commit;
mod composite;
pub mod credentials;
mod delete;
mod error;
mod header;
#[cfg(test)]
mod huge;
mod keys;
mod list;
mod orphan;
mod preflight;
pub mod provider;
mod providers;
mod put;
mod read;
mod refusal;
mod restore;
mod server;
mod stored;
mod tags;
mod upload;

use std::any::Any;
use std::sync::Arc;

use airlift_protocol::assignment::UploadToken;
use airlift_protocol::chunk::Root;
use airlift_protocol::id::JobId;
use airlift_protocol::job::{AclPolicy, RestorePolicy, TagPolicy};
use airlift_protocol::key::Key;
use airlift_protocol::manifest::Entry;
use airlift_protocol::sum::{StoredSum, Sum, SumKind};
use airlift_protocol::time::Timestamp;
use airlift_protocol::units::ByteRange;
use async_trait::async_trait;
use tokio::sync::mpsc;

use self::client::Bucket;
pub use self::client::inspect;
use self::credentials::CredentialSource;
pub(crate) use self::keys::url_decode;
use self::provider::Provider;
use super::each::for_each;
use super::fence::Fence;
use super::pace::{Pace, Paces};
use super::{
    Access, AttributeKind, Capabilities, Classes, Copier, ListRequest, Listed, NewObject,
    ObjectInfo, OpenedUpload, RangeReader, ReadResult, Restored, Store, StoreError, Upload, digest,
    holds,
};
use crate::pipeline::chunk::VerifiedObject;

/// Parts of one upload that are sent at the same time, as far as the bucket's gate lets them.
const PARTS_AT_ONCE: usize = 4;

/// How a bucket is named in a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Addressing {
    /// As the service wants it; at AWS by host name, and by path when an endpoint is configured.
    #[default]
    Auto,
    /// `http://host/bucket/key`.
    Path,
    /// `http://bucket.host/key`.
    Virtual,
}

/// Which checksum goes with the bytes that are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checksums {
    /// CRC64-NVME, which the store verifies. Of an object in parts it keeps that of all bytes.
    Crc64Nvme,
    /// CRC32C, which the store verifies; a store without it ignores the header. Of an object in parts
    /// it keeps a checksum of theirs.
    #[default]
    Crc32c,
    /// Only `Content-MD5`, for stores that refuse the newer headers.
    Md5,
}

impl Checksums {
    /// The kind of sum that goes with the bytes beside an MD5.
    pub(crate) fn kind(self) -> Option<SumKind> {
        match self {
            Self::Crc64Nvme => Some(SumKind::Crc64Nvme),
            Self::Crc32c => Some(SumKind::Crc32c),
            Self::Md5 => None,
        }
    }
}

/// How to reach a bucket.
#[derive(Clone, Debug)]
pub struct S3Options {
    /// What stands before `://` in the location: a scheme, or the name of a configured store.
    pub scheme: String,
    /// What is known of the service.
    pub provider: &'static Provider,
    /// Name of the bucket.
    pub bucket: String,
    /// What stands before every key, exactly.
    pub prefix: Vec<u8>,
    /// The job the store is opened for.
    pub job: JobId,
    /// URL of the service; by default as its profile says, else from the environment.
    pub endpoint: Option<String>,
    /// Region of the bucket; by default as its profile says.
    pub region: Option<String>,
    /// Account at the service, where its URL names one.
    pub account: Option<String>,
    /// Profile of the shared configuration files; by default `AWS_PROFILE`.
    pub profile: Option<String>,
    /// How the bucket is named in requests.
    pub addressing: Addressing,
    /// Which checksum goes with the bytes; by default as the profile says.
    pub checksums: Option<Checksums>,
    /// Where the credentials come from.
    pub credentials: CredentialSource,
    /// Whether tags are read with the other attributes.
    pub tags: TagPolicy,
    /// Whether it is read who may do what with objects: only where that is copied.
    pub acl: AclPolicy,
    /// Whether restored copies that will soon be gone count as archived.
    pub restore: Option<RestorePolicy>,
    /// Whether the service compares ETags before it deletes; by default only Amazon itself.
    pub compares_deletes: Option<bool>,
    /// What is asked before anything becomes visible.
    pub fence: Fence,
    /// The gates of the places that this process talks to.
    pub paces: Paces,
}

impl S3Options {
    /// `bucket` of S3 as the environment configures it, with keys below `prefix`.
    pub fn new(bucket: impl Into<String>, prefix: impl Into<Vec<u8>>, job: JobId) -> Self {
        Self {
            scheme: Provider::s3().scheme.to_owned(),
            provider: Provider::s3(),
            bucket: bucket.into(),
            prefix: prefix.into(),
            job,
            endpoint: None,
            region: None,
            account: None,
            profile: None,
            addressing: Addressing::default(),
            checksums: None,
            credentials: CredentialSource::default(),
            tags: TagPolicy::default(),
            acl: AclPolicy::default(),
            restore: None,
            compares_deletes: None,
            fence: Fence::default(),
            paces: Paces::default(),
        }
    }
}

/// A bucket, or what lies below a prefix of it.
#[derive(Debug)]
pub struct S3Store {
    bucket: Arc<Bucket>,
    capabilities: Capabilities,
}

impl S3Store {
    /// Reads the configuration and prepares a client; talks to no bucket yet.
    ///
    /// # Errors
    /// When the prefix is not UTF-8, the endpoint no URL, or no region can be found.
    pub async fn open(options: S3Options) -> Result<Self, StoreError> {
        let limits = &options.provider.limits;
        let keeps = holds::s3(options.provider);
        // Who keeps no grants is not asked for any.
        let acl = if keeps.contains(AttributeKind::Acl) { options.acl } else { AclPolicy::None };
        let object_bytes_max = limits.object_bytes_max(upload::PART_SHIFT_MAX);
        let bucket = Bucket::open(S3Options { acl, ..options }).await?;
        let capabilities = Capabilities {
            concurrent_parts: PARTS_AT_ONCE,
            lists_ranges: true,
            writes_are_durable: true,
            symlinks: false,
            keeps_mtime: false,
            directories: false,
            object_bytes_max,
            keeps,
            // Other services have classes of their own.
            classes: if bucket.has_classes_of_amazon() { Classes::S3 } else { Classes::None },
        };
        Ok(Self { bucket: Arc::new(bucket), capabilities })
    }
}

#[async_trait]
impl Store for S3Store {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn is_refused(&self) -> bool {
        self.bucket.service.refusal.get().is_some()
    }

    fn pace(&self) -> Option<&Arc<Pace>> {
        Some(&self.bucket.pace)
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
        stored::stored_sums(&self.bucket, objects).await
    }

    async fn stat(&self, key: &Key) -> Result<Option<ObjectInfo>, StoreError> {
        self.bucket.stat(key).await
    }

    async fn read_small(&self, objects: Vec<Entry>, found: mpsc::Sender<ReadResult>) {
        read::read_small(&self.bucket, objects, found).await;
    }

    async fn restore(
        &self,
        entries: Vec<Entry>,
        policy: RestorePolicy,
    ) -> Vec<Result<Restored, StoreError>> {
        restore::restore(&self.bucket, entries, policy).await
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
        self.bucket.commit(object, token, root, None).await
    }

    async fn commit_summed(
        &self,
        object: &NewObject,
        token: &UploadToken,
        root: Root,
        sum: Sum,
    ) -> Result<(), StoreError> {
        self.bucket.commit(object, token, root, Some(sum)).await
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
        // Nothing but uploads stands beside objects, and those are discarded by key.
        Ok(())
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
