//! Stores: the code and credentials that serve one kind of location.
//!
//! One narrow trait, a [`Capabilities`] value that callers ask instead of matching on vendors, and
//! one conformance suite that every store passes. Keys are bytes below the store's root and are
//! never cleaned: a store that cannot hold a key says so by [`Store::check_key`].
//!
//! Stores do not retry: errors carry a class, and the agent decides.

pub mod azure;
mod chance;
pub mod class;
pub mod copier;
pub mod dal;
mod digest;
mod each;
pub mod error;
pub mod fence;
pub mod files;
pub(crate) mod folding;
pub mod ftp;
pub mod gcs;
pub mod hdfs;
pub mod holds;
mod http;
pub mod locate;
mod lookup;
pub mod memory;
mod metadata;
pub mod pace;
pub(crate) mod path;
mod readonly;
pub mod s3;
pub mod settings;
pub mod sftp;
pub mod skew;
mod spelling;
mod staged;
pub mod step;
pub mod sum;
mod walk;

use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

use airlift_protocol::assignment::UploadToken;
pub use airlift_protocol::attributes::{Acl, AttributeKind, AttributeSet, Attributes, ObjectInfo};
use airlift_protocol::chunk::Root;
use airlift_protocol::error::ErrorCode;
use airlift_protocol::folding::Folding;
use airlift_protocol::job::{AclPolicy, ClassPolicy, LinkPolicy, Policy, RestorePolicy, TagPolicy};
use airlift_protocol::key::Key;
use airlift_protocol::manifest::{Entry, Version};
use airlift_protocol::sum::{StoredSum, Sum};
use airlift_protocol::time::Timestamp;
use airlift_protocol::units::ByteRange;
use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::mpsc;

pub use self::class::Classes;
pub use self::copier::{Copier, Proof, Unproven};
pub use self::error::StoreError;
use self::pace::Pace;
pub use self::step::MtimeStep;
use crate::pipeline::chunk::{Payload, VerifiedChunk, VerifiedObject};

/// What a store can and cannot do.
#[derive(Clone, Debug)]
pub struct Capabilities {
    /// Writes of one upload that may run at the same time.
    pub concurrent_parts: usize,
    /// Whether a part that was written is durable at once, so that [`Upload::sync`] does nothing.
    pub writes_are_durable: bool,
    /// Whether the store keeps symbolic links.
    pub symlinks: bool,
    /// Whether the store keeps permission bits and sets times itself, so that size and time
    /// recognise an unchanged object.
    pub keeps_mtime: bool,
    /// Whether directories exist by themselves, so that deleting objects may leave empty ones.
    pub directories: bool,
    /// Whether a listing can begin behind any key at no cost, so that ranges of keys are listed beside
    /// each other.
    pub lists_ranges: bool,
    /// Largest object the store can hold.
    pub object_bytes_max: u64,
    /// What it holds of all that an object can carry.
    pub keeps: AttributeSet,
    /// The classes of storage it has.
    pub classes: Classes,
}

/// A new object whose bytes follow, or came along.
#[derive(Clone, Debug)]
pub struct NewObject {
    /// Key at the target, with the kind, size and state listed at the source.
    pub entry: Entry,
    /// What to keep beside the bytes. `source_fingerprint` is filled in by the caller.
    pub attributes: Attributes,
}

/// An upload that was begun or taken up again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenedUpload {
    /// The store's name for it.
    pub token: UploadToken,
    /// Whether it is the one asked for, with what it held: what the journal has of it still holds.
    pub is_resumed: bool,
}

/// What to list.
#[derive(Clone, Debug, Default)]
pub struct ListRequest {
    /// Only keys after this one.
    pub after: Option<Key>,
    /// Only keys up to and including this one.
    pub until: Option<Key>,
}

/// One finding of a listing.
#[derive(Debug)]
pub enum Listed {
    /// Entries in key order, after all entries before.
    Entries(Vec<Entry>),
    /// Everything below this key could not be listed; the listing goes on after it.
    Unreadable(Key, StoreError),
}

/// Small objects, read whole: index into the request, and the result.
pub type ReadResult = (usize, Result<(Payload, Attributes), StoreError>);

/// Access to the objects below one location.
#[async_trait]
pub trait Store: Any + Debug + Send + Sync {
    /// What the store can do.
    fn capabilities(&self) -> &Capabilities;

    /// Whether the service has refused the credentials that this store was opened with. Opened again, it
    /// looks for them anew.
    fn is_refused(&self) -> bool {
        false
    }

    /// The gates that its requests pass; `None` where nobody but this machine is asked.
    fn pace(&self) -> Option<&Arc<Pace>> {
        None
    }

    /// In which steps the place keeps times, where it keeps them. Where that is found out only by writing,
    /// it is found out with [`Access::Write`]; what can be known without is said in any case.
    async fn mtime_step(&self, _access: Access) -> Result<MtimeStep, StoreError> {
        Ok(MtimeStep::EXACT)
    }

    /// Which names the place takes for one. Where that is found out only by writing, it is found out
    /// with [`Access::Write`]; what can be seen without is said in any case.
    async fn folding(&self, _access: Access) -> Result<Folding, StoreError> {
        Ok(Folding::NONE)
    }

    /// What of all that `attributes` are the store holds: of what it keeps, some may have rules. Pure.
    fn holds(&self, _attributes: &Attributes) -> AttributeSet {
        self.capabilities().keeps
    }

    /// Why the store cannot hold `entry` under its key, or `None` when it can. Pure.
    fn check_key(&self, entry: &Entry) -> Option<String>;

    /// Lists keys in ascending byte order into `found` and returns at the end.
    ///
    /// Returns early, without error, when the receiver is gone. What cannot be listed in the middle
    /// is reported as [`Listed::Unreadable`]; an error means that nothing more can be listed.
    async fn list(
        &self,
        request: ListRequest,
        found: mpsc::Sender<Listed>,
    ) -> Result<(), StoreError>;

    /// The first key after `after`, by about one request: where a range of keys is cut depends on it.
    async fn next_key(&self, after: &Key) -> Result<Option<Key>, StoreError> {
        let (found, mut listed) = mpsc::channel(1);
        let request = ListRequest { after: Some(after.clone()), until: None };
        let first = async {
            while let Some(finding) = listed.recv().await {
                if let Listed::Entries(entries) = finding
                    && let Some(entry) = entries.into_iter().next()
                {
                    // The listing ends when nobody takes what it finds.
                    listed.close();
                    return Some(entry.key);
                }
            }
            None
        };
        let (listing, key) = tokio::join!(self.list(request, found), first);
        match key {
            Some(key) => Ok(Some(key)),
            None => listing.map(|()| None),
        }
    }

    /// Looks up many keys, given in ascending order, by whatever is cheapest: `None` where the
    /// store has no such key. Entries are as a listing gives them.
    async fn lookup(&self, keys: Vec<Key>) -> Vec<Result<Option<Entry>, StoreError>>;

    /// The sums that the store itself keeps of whole objects, at most one of a kind: none where it
    /// keeps none, or where the object is not the listed one any more. Reads no content; results in
    /// order.
    async fn stored_sums(&self, objects: Vec<Entry>) -> Vec<Result<Vec<StoredSum>, StoreError>> {
        objects.iter().map(|_| Ok(Vec::new())).collect()
    }

    /// Everything about one object.
    async fn stat(&self, key: &Key) -> Result<Option<ObjectInfo>, StoreError>;

    /// Reads objects whole, each pinned to its listed state, in any order, into `found`.
    /// Returns early when the receiver is gone.
    async fn read_small(&self, objects: Vec<Entry>, found: mpsc::Sender<ReadResult>);

    /// Asks for a copy that can be read of objects that lie in an archive, where nobody has asked yet,
    /// and for a longer life of one that would soon be gone. Results in order.
    async fn restore(
        &self,
        entries: Vec<Entry>,
        _policy: RestorePolicy,
    ) -> Vec<Result<Restored, StoreError>> {
        let refused = |entry: Entry| {
            let text = format!(
                "{}: what lies in an archive of this store is not restored from here: do that there, then run again",
                entry.key
            );
            Err(StoreError::new(ErrorCode::KindUnsupported, text))
        };
        entries.into_iter().map(refused).collect()
    }

    /// Opens `range` of an object for reading, pinned to its listed state.
    async fn read_range(
        &self,
        object: &Entry,
        range: ByteRange,
    ) -> Result<Box<dyn RangeReader>, StoreError>;

    /// Writes whole objects, links and directory markers; each becomes visible at once, complete,
    /// durable and compared with what the store then holds, or not at all. Results in order.
    async fn put_small(
        &self,
        objects: Vec<(NewObject, VerifiedObject)>,
    ) -> Vec<Result<(), StoreError>>;

    /// Begins the upload of a large object, or takes up `resume`. When `orphan_since` is set, an
    /// upload of this key that was begun since then and is not `resume` is dropped.
    async fn open_upload(
        &self,
        object: &NewObject,
        resume: Option<&UploadToken>,
        orphan_since: Option<Timestamp>,
    ) -> Result<OpenedUpload, StoreError>;

    /// Access to an upload that was begun. [`ErrorCode::UploadLost`] when the store has lost it.
    ///
    /// [`ErrorCode::UploadLost`]: airlift_protocol::error::ErrorCode::UploadLost
    async fn upload(
        &self,
        object: &NewObject,
        token: &UploadToken,
    ) -> Result<Box<dyn Upload>, StoreError>;

    /// Makes a complete upload visible, atomically and durably, and checks what the store then
    /// holds. Idempotent: an upload that was committed before is checked again.
    async fn commit(
        &self,
        object: &NewObject,
        token: &UploadToken,
        root: Root,
    ) -> Result<(), StoreError>;

    /// As [`commit`](Self::commit), for who knows the sum of all bytes: it follows from those that
    /// [`Upload::sum_at`] gave of every part. A store that has no use for one need not know of it.
    async fn commit_summed(
        &self,
        object: &NewObject,
        token: &UploadToken,
        root: Root,
        _sum: Sum,
    ) -> Result<(), StoreError> {
        self.commit(object, token, root).await
    }

    /// Drops an upload, and every other upload of the key that was begun since `orphan_since`.
    /// Idempotent.
    async fn discard(
        &self,
        key: &Key,
        token: Option<&UploadToken>,
        orphan_since: Option<Timestamp>,
    ) -> Result<(), StoreError>;

    /// Deletes objects that still are as listed; a directory only when it is empty, with
    /// [`ErrorCode::Conflict`] otherwise. What is gone already is no error. Results in order.
    ///
    /// [`ErrorCode::Conflict`]: airlift_protocol::error::ErrorCode::Conflict
    async fn delete(&self, entries: Vec<Entry>) -> Vec<Result<(), StoreError>>;

    /// Removes what jobs of this store's job id left behind beside objects. Idempotent.
    async fn clean(&self) -> Result<(), StoreError>;

    /// The way to have the service copy objects of `source` into this store, when both are of one service and
    /// reached alike; `None` where there is none.
    fn copier(&self, _source: &dyn Store) -> Option<Arc<dyn Copier>> {
        None
    }

    /// Checks that the location can be used for what the job wants, before anything moves, with
    /// errors that name the location and the way out.
    async fn preflight(&self, access: Access) -> Result<(), StoreError>;
}

/// How it stands with an object in an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restored {
    /// It can be read.
    Readable,
    /// It will be.
    UnderWay,
}

/// How a job takes what it finds at one end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handling {
    /// What is done with symbolic links.
    pub links: LinkPolicy,
    /// Whether tags are read with the other attributes.
    pub tags: TagPolicy,
    /// Whether classes of storage are of interest, which may take a request of its own.
    pub has_classes: bool,
    /// Whether it is read who may do what with objects: only where that is copied.
    pub acl: AclPolicy,
    /// Whether what lies in an archive is restored, so that what will soon be there again counts as such.
    pub restore: Option<RestorePolicy>,
}

impl Handling {
    /// At the source it is as the policy says.
    pub fn of_source(policy: &Policy) -> Self {
        let Policy { links, tags, acl, restore, .. } = *policy;
        let has_classes = matches!(policy.class, ClassPolicy::Keep | ClassPolicy::Map(_));
        Self { links, tags, has_classes, acl, restore }
    }

    /// At the target a link is a link: what it points to is not the job's to compare or delete. And
    /// nothing depends on the tags that are there.
    pub fn of_target() -> Self {
        let (links, tags, acl) = (LinkPolicy::Copy, TagPolicy::Skip, AclPolicy::None);
        Self { links, tags, has_classes: false, acl, restore: None }
    }
}

/// What a job wants of a location.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Only read; the location has to exist.
    Read,
    /// Write; the location may be created.
    Write,
}

/// The bytes of one range, chunk by chunk.
#[async_trait]
pub trait RangeReader: Debug + Send {
    /// The next chunk: chunk-aligned within the object, at most a chunk long; `None` at the end of
    /// the range. Fails with [`ErrorCode::SourceChanged`] when the object is not the listed one;
    /// the end is reported only after that was checked once more.
    ///
    /// [`ErrorCode::SourceChanged`]: airlift_protocol::error::ErrorCode::SourceChanged
    async fn next(&mut self) -> Result<Option<Payload>, StoreError>;
}

/// An upload in progress: invisible until it is committed.
#[async_trait]
pub trait Upload: Debug + Send + Sync {
    /// Bytes that [`write`](Self::write) wants at a time: a power of two from 1 MiB to 1 GiB, and
    /// never more than a shard of the object. Every write but an object's last has exactly this many
    /// bytes, at a multiple of it.
    fn part_bytes(&self) -> u64;

    /// The ranges in which nothing that was written and synced is lost; what was written there the
    /// journal knows, and a store need not.
    async fn present(&self) -> Result<Vec<ByteRange>, StoreError>;

    /// Writes consecutive chunks that together are one part.
    async fn write(&self, chunks: Vec<VerifiedChunk>) -> Result<(), StoreError>;

    /// The sum of the part that was written at `offset` by this access, where the store compares one of
    /// the whole when the upload is committed.
    fn sum_at(&self, _offset: u64) -> Option<Sum> {
        None
    }

    /// Makes what was written durable.
    async fn sync(&self) -> Result<(), StoreError>;
}

/// Whether an object is as it was listed, as far as its store can tell.
fn is_still(listed: &Entry, now: &Entry) -> bool {
    (now.size, &now.version) == (listed.size, &listed.version)
        && (now.version != Version::None || now.mtime_ns == listed.mtime_ns)
}

/// Bytes of a payload that has to be contiguous, zeros included.
pub fn contiguous(payload: &Payload) -> Bytes {
    match payload {
        Payload::Bytes(bytes) => bytes.clone(),
        Payload::Zero(length) => Bytes::from(vec![0; *length as usize]),
    }
}
