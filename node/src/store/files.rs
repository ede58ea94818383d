//! The store of files below one directory.
//!
//! Every path is opened name by name beneath the root: a link is never written through, and read
//! through only by policy and only beneath the root. Objects become visible by the rename of a
//! complete and durable file from the staging directory `.airlift-<job id>` at the root, which has
//! to be on the same file system as where they go. Reads are pinned to size, time, device and inode.
//!
//! System calls that may block run on the blocking threads of the runtime, a batch at a time.

mod directories;
mod file_system;
pub(super) mod folding;
mod lanes;
mod list;
mod names;
mod read;
mod remove;
mod root;
mod small;
mod status;
mod times;
mod turns;
mod upload;
mod write;

#[cfg(test)]
mod tests;

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::path::Path;
use std::sync::Arc;

use airlift_protocol::assignment::UploadToken;
use airlift_protocol::chunk::Root as HashRoot;
use airlift_protocol::error::ErrorCode;
use airlift_protocol::folding::Folding;
use airlift_protocol::id::JobId;
use airlift_protocol::job::LinkPolicy;
use airlift_protocol::key::Key;
use airlift_protocol::manifest::Entry;
use airlift_protocol::time::Timestamp;
use airlift_protocol::units::ByteRange;
use async_trait::async_trait;
use rustix::fs::Dir;
use tokio::sync::mpsc;

use self::directories::Directories;
use self::root::Root;
use super::fence::Fence;
use super::holds;
use super::path::{self, KeyPath};
use super::{
    Access, Capabilities, Classes, ListRequest, Listed, MtimeStep, NewObject, ObjectInfo,
    OpenedUpload, RangeReader, ReadResult, Store, StoreError, Upload,
};
use crate::pipeline::chunk::VerifiedObject;
use crate::runtime::blocking::blocking;

/// How a file store treats what only file systems have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileOptions {
    /// What is done with symbolic links when listing and reading. Writing never follows one.
    pub links: LinkPolicy,
}

/// The files below one directory, as a store.
#[derive(Clone, Debug)]
pub struct FileStore {
    capabilities: Capabilities,
    root: Arc<Root>,
}

impl FileStore {
    /// A store of the files below `root`, for `job`. The directory may be missing: a target is
    /// created by [`Store::preflight`].
    ///
    /// # Errors
    /// When there is something at `root` that cannot be opened as a directory.
    pub fn open(root: &Path, job: JobId, options: FileOptions) -> Result<Self, StoreError> {
        Self::open_fenced(root, job, options, Fence::default())
    }

    /// The same, with what is asked before anything becomes visible.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_fenced(
        root: &Path,
        job: JobId,
        options: FileOptions,
        fence: Fence,
    ) -> Result<Self, StoreError> {
        let capabilities = Capabilities {
            concurrent_parts: 4,
            writes_are_durable: false,
            symlinks: true,
            keeps_mtime: true,
            directories: true,
            lists_ranges: false,
            object_bytes_max: i64::MAX as u64,
            keeps: holds::files(),
            classes: Classes::None,
        };
        // The standard library seeds every such state at random.
        let instance = RandomState::new().build_hasher().finish();
        let root = Root::new(root, job, options.links, fence, instance);
        match root.directory() {
            Err(error) if error.code != ErrorCode::LocationMissing => Err(error),
            Ok(_) | Err(_) => Ok(Self { capabilities, root: Arc::new(root) }),
        }
    }

    /// Does `work` with the root on a thread that may block.
    async fn with_root<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Root) -> T + Send + 'static,
    ) -> T {
        let root = Arc::clone(&self.root);
        blocking(move || work(&root)).await
    }
}

#[async_trait]
impl Store for FileStore {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn mtime_step(&self, access: Access) -> Result<MtimeStep, StoreError> {
        self.with_root(move |root| times::find_out(root, access)).await
    }

    async fn folding(&self, access: Access) -> Result<Folding, StoreError> {
        self.with_root(move |root| folding::find_out(root, access)).await
    }

    fn check_key(&self, entry: &Entry) -> Option<String> {
        path::check(entry, self.root.path().as_os_str().len())
    }

    async fn list(
        &self,
        request: ListRequest,
        found: mpsc::Sender<Listed>,
    ) -> Result<(), StoreError> {
        self.with_root(move |root| list::list(root, request, found)).await
    }

    async fn lookup(&self, keys: Vec<Key>) -> Vec<Result<Option<Entry>, StoreError>> {
        self.with_root(move |root| list::lookup(root, &keys)).await
    }

    async fn stat(&self, key: &Key) -> Result<Option<ObjectInfo>, StoreError> {
        let key = key.clone();
        self.with_root(move |root| stat(root, &key)).await
    }

    async fn read_small(&self, objects: Vec<Entry>, found: mpsc::Sender<ReadResult>) {
        self.with_root(move |root| read::read_small(root, &objects, &found)).await;
    }

    async fn read_range(
        &self,
        object: &Entry,
        range: ByteRange,
    ) -> Result<Box<dyn RangeReader>, StoreError> {
        let object = object.clone();
        let reader = self.with_root(move |root| read::open_range(root, &object, range)).await?;
        Ok(Box::new(reader))
    }

    async fn put_small(
        &self,
        objects: Vec<(NewObject, VerifiedObject)>,
    ) -> Vec<Result<(), StoreError>> {
        self.with_root(move |root| small::put(root, &objects)).await
    }

    /// Names of staged files begin with a hash of their key, so that an upload that was begun but
    /// never reported is found without knowing since when.
    async fn open_upload(
        &self,
        object: &NewObject,
        resume: Option<&UploadToken>,
        _orphan_since: Option<Timestamp>,
    ) -> Result<OpenedUpload, StoreError> {
        let (object, resume) = (object.clone(), resume.cloned());
        self.with_root(move |root| upload::open(root, &object, resume.as_ref())).await
    }

    async fn upload(
        &self,
        object: &NewObject,
        token: &UploadToken,
    ) -> Result<Box<dyn Upload>, StoreError> {
        let (object, token) = (object.clone(), token.clone());
        let upload = self.with_root(move |root| upload::access(root, &object, &token)).await?;
        Ok(Box::new(upload))
    }

    /// Every chunk was verified before it was written, and the file is synced before it is renamed:
    /// reading it back would only read the system's cache. So the length is what is compared, and
    /// the hash only when the upload is gone because it may have been committed before.
    async fn commit(
        &self,
        object: &NewObject,
        token: &UploadToken,
        hash: HashRoot,
    ) -> Result<(), StoreError> {
        let (object, token) = (object.clone(), token.clone());
        self.with_root(move |root| upload::commit(root, &object, &token, hash)).await
    }

    async fn discard(
        &self,
        key: &Key,
        token: Option<&UploadToken>,
        _orphan_since: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        let (key, token) = (key.clone(), token.cloned());
        self.with_root(move |root| upload::discard(root, &key, token.as_ref())).await
    }

    async fn delete(&self, entries: Vec<Entry>) -> Vec<Result<(), StoreError>> {
        self.with_root(move |root| remove::delete(root, &entries)).await
    }

    async fn clean(&self) -> Result<(), StoreError> {
        self.with_root(remove::clean).await
    }

    async fn preflight(&self, access: Access) -> Result<(), StoreError> {
        self.with_root(move |root| match access {
            Access::Read => check_readable(root),
            Access::Write => root.create().and_then(|()| root.staging()).map(drop),
        })
        .await
    }
}

fn stat(root: &Root, key: &Key) -> Result<Option<ObjectInfo>, StoreError> {
    let Some(entry) = list::lookup(root, std::slice::from_ref(key)).remove(0)? else {
        return Ok(None);
    };
    let path = KeyPath::of(key)?;
    let mut directories = Directories::for_reading(root)?;
    let Some(parent) = directories.find(path.parent)? else { return Ok(None) };
    let status = directories.status(&*parent, path.name, path.whole)?;
    Ok(status.map(|status| ObjectInfo { entry, attributes: status.attributes() }))
}

/// Proves that the root can be listed by reading its first name.
fn check_readable(root: &Root) -> Result<(), StoreError> {
    let first = Dir::read_from(&root.open()?).map(|mut names| names.read().transpose());
    match first.and_then(|first| first) {
        Ok(_) => Ok(()),
        Err(error) => Err(StoreError::io("list", root.show(b""), &error.into())),
    }
}
