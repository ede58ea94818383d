//! The store of files in HDFS, through WebHDFS, which namenodes and datanodes speak themselves.
//!
//! ```text
//! access    which namenodes, by what right         namenode  requests to them and to datanodes
//! error     exceptions as ours                     status    what is said of a file, listings
//! root      paths, staging directory               list      listing, looking up
//! read      small files and ranges, pinned         checksum  what datanodes say they hold
//! write     small files                            upload    large files in parts, their commit
//! remove    deleting, and cleaning up              trial     whether a target can keep what is promised
//! ```
//!
//! A file becomes visible by the rename of a complete one from the staging directory `.airlift-<job id>` at the
//! root, in place of what is there (`renameoptions=OVERWRITE`), and only after the datanode's checksum of it, or
//! what is read back, is that of the bytes that were sent. Files have numbers that no other ever gets: reads and
//! deletes go by these.
//!
//! Why not through OpenDAL: it follows the namenode's word of where the bytes are, in which names are rewritten
//! (`namenode`); it deletes the old file before it renames the new one; and it trims and joins what it takes for
//! unclean in paths.

pub mod access;
mod checksum;
mod error;
mod list;
mod namenode;
mod read;
mod remove;
mod root;
mod status;
mod trial;
mod upload;
mod write;

use std::sync::Arc;

use airlift_protocol::assignment::UploadToken;
use airlift_protocol::chunk::Root as HashRoot;
use airlift_protocol::id::JobId;
use airlift_protocol::key::Key;
use airlift_protocol::manifest::{Entry, Kind};
use airlift_protocol::time::Timestamp;
use airlift_protocol::units::ByteRange;
use async_trait::async_trait;
use tokio::sync::mpsc;

use self::access::HdfsServer;
use self::root::Root;
pub use self::upload::BLOCK_BYTES;
use super::fence::Fence;
use super::pace::{Pace, Paces};
use super::{
    Access, Capabilities, Classes, ListRequest, Listed, MtimeStep, NewObject, ObjectInfo,
    OpenedUpload, RangeReader, ReadResult, Store, StoreError, Upload, holds, path,
};
use crate::pipeline::chunk::VerifiedObject;

/// Names in a path that the namenode allows.
const DEPTH_MAX: usize = 1000;

/// What the file system keeps at its root for itself.
const RESERVED: &str = ".reserved";

/// How to reach a directory of a file system.
#[derive(Clone, Debug)]
pub struct HdfsOptions {
    /// The namenodes.
    pub server: HdfsServer,
    /// Absolute path of the directory; it may be missing.
    pub root: Vec<u8>,
    /// The location, for people.
    pub place: String,
    /// The job the store is opened for.
    pub job: JobId,
    /// What is asked before anything is changed.
    pub fence: Fence,
    /// The gates of the places that this process talks to.
    pub paces: Paces,
    /// Bytes of a block of large files: [`BLOCK_BYTES`], which grow with the object, or less.
    pub block_bytes: u64,
}

/// The files below one directory of a file system, as a store.
#[derive(Clone, Debug)]
pub struct HdfsStore {
    capabilities: Capabilities,
    root: Arc<Root>,
}

impl HdfsStore {
    /// Prepares a store; connects to nothing yet.
    ///
    /// # Errors
    /// When the root cannot be a path, or credentials are named and not there.
    pub fn open(options: HdfsOptions) -> Result<Self, StoreError> {
        let capabilities = Capabilities {
            concurrent_parts: 4,
            writes_are_durable: true,
            symlinks: false,
            keeps_mtime: true,
            directories: true,
            lists_ranges: false,
            object_bytes_max: upload::OBJECT_BYTES_MAX,
            keeps: holds::files(),
            classes: Classes::None,
        };
        Ok(Self { capabilities, root: Arc::new(Root::new(options)?) })
    }

    /// URL of the namenode that is asked at the moment.
    pub fn endpoint(&self) -> &str {
        self.root.namenode.endpoint()
    }
}

/// Why the file system cannot hold `entry` below `root`, or `None` when it can.
fn check_key(root: &Root, entry: &Entry) -> Option<String> {
    if let Kind::Symlink(_) = entry.kind {
        return Some("HDFS cannot hold symbolic links".to_owned());
    }
    if let Some(reason) = path::check(entry, root.path.len()) {
        return Some(reason);
    }
    let path = match list::kept(&entry.key) {
        Ok(path) => path,
        Err(reason) => return Some(reason.to_owned()),
    };
    let depth = root.path.matches('/').count() + path.split('/').count();
    if depth > DEPTH_MAX {
        return Some(format!("HDFS allows {DEPTH_MAX} names in a path"));
    }
    if path.split('/').any(|name| name == root::SNAPSHOT) {
        return Some(format!("HDFS keeps the name {} for itself", root::SNAPSHOT));
    }
    let is_reserved = root.path.is_empty() && path.split('/').next() == Some(RESERVED);
    is_reserved.then(|| format!("HDFS keeps /{RESERVED} for itself"))
}

#[async_trait]
impl Store for HdfsStore {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn is_refused(&self) -> bool {
        self.root.namenode.door.is_refused()
    }

    fn pace(&self) -> Option<&Arc<Pace>> {
        Some(self.root.namenode.door.pace())
    }

    async fn mtime_step(&self, _access: Access) -> Result<MtimeStep, StoreError> {
        Ok(MtimeStep::down(status::NANOSECONDS))
    }

    fn check_key(&self, entry: &Entry) -> Option<String> {
        check_key(&self.root, entry)
    }

    async fn list(
        &self,
        request: ListRequest,
        found: mpsc::Sender<Listed>,
    ) -> Result<(), StoreError> {
        list::list(&self.root, request, found).await
    }

    async fn lookup(&self, keys: Vec<Key>) -> Vec<Result<Option<Entry>, StoreError>> {
        list::lookup(&self.root, keys).await
    }

    async fn stat(&self, key: &Key) -> Result<Option<ObjectInfo>, StoreError> {
        list::stat(&self.root, key).await
    }

    async fn read_small(&self, objects: Vec<Entry>, found: mpsc::Sender<ReadResult>) {
        read::read_small(&self.root, objects, found).await;
    }

    async fn read_range(
        &self,
        object: &Entry,
        range: ByteRange,
    ) -> Result<Box<dyn RangeReader>, StoreError> {
        Ok(Box::new(read::FileReader::open(&self.root, object, range).await?))
    }

    async fn put_small(
        &self,
        objects: Vec<(NewObject, VerifiedObject)>,
    ) -> Vec<Result<(), StoreError>> {
        write::put_small(&self.root, objects).await
    }

    /// Uploads are found by a hash of their key, so that it need not be known since when.
    async fn open_upload(
        &self,
        object: &NewObject,
        resume: Option<&UploadToken>,
        _orphan_since: Option<Timestamp>,
    ) -> Result<OpenedUpload, StoreError> {
        upload::open(&self.root, object, resume).await
    }

    async fn upload(
        &self,
        object: &NewObject,
        token: &UploadToken,
    ) -> Result<Box<dyn Upload>, StoreError> {
        Ok(Box::new(upload::access(&self.root, object, token).await?))
    }

    /// Every part was compared with what its datanode has; so the numbers and lengths are what is compared, and
    /// the hash only when the upload is gone because it may have been committed before.
    async fn commit(
        &self,
        object: &NewObject,
        token: &UploadToken,
        root: HashRoot,
    ) -> Result<(), StoreError> {
        upload::commit(&self.root, object, token, root).await
    }

    async fn discard(
        &self,
        key: &Key,
        token: Option<&UploadToken>,
        _orphan_since: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        upload::discard(&self.root, key, token).await
    }

    async fn delete(&self, entries: Vec<Entry>) -> Vec<Result<(), StoreError>> {
        remove::delete(&self.root, entries).await
    }

    async fn clean(&self) -> Result<(), StoreError> {
        remove::clean(&self.root).await
    }

    async fn preflight(&self, access: Access) -> Result<(), StoreError> {
        trial::preflight(&self.root, access).await
    }
}
