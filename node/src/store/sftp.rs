//! The store of files on a server that speaks SFTP, through the system's `ssh`.
//!
//! ```text
//! wire        packets                          connection  ssh, and exchanges of many packets
//! pool        connections that are lent        status      what the server says of files, errors
//! server      root, paths, staging directory   directories real directories on the way to a file
//! list        listing and looking up           read        small files, ranges, all pinned
//! write       small files, links               upload      uploads: staged files, their commit
//! remove      deleting, and cleaning up
//! ```
//!
//! It works as the store of files does: objects become visible by the rename of a complete and durable
//! file from the staging directory `.airlift-<job id>` at the root. That needs two extensions of
//! OpenSSH, and a server without them is a source only. Names are bytes. Times are whole seconds,
//! since the protocol has no others; reads are pinned to size and time.
//!
//! Requests that do not need each other's answers are sent together: over a long way a batch of small
//! files costs as many round trips as one file.

mod connection;
mod directories;
mod folding;
mod list;
mod pool;
mod read;
mod remove;
mod server;
mod status;
mod upload;
mod wire;
mod write;

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
use tokio::sync::mpsc;

use self::connection::Destination;
use self::pool::Pool;
use self::server::Server;
use super::fence::Fence;
use super::holds;
use super::settings::SftpSettings;
use super::{
    Access, Capabilities, Classes, ListRequest, Listed, MtimeStep, NewObject, ObjectInfo,
    OpenedUpload, RangeReader, ReadResult, Store, StoreError, Upload, path,
};
use crate::pipeline::chunk::VerifiedObject;

/// How to reach a directory of a server.
#[derive(Clone, Debug)]
pub struct SftpOptions {
    /// The server.
    pub server: SftpSettings,
    /// Absolute path of the directory; it may be missing.
    pub root: Vec<u8>,
    /// The location, for people.
    pub place: String,
    /// The job the store is opened for.
    pub job: JobId,
    /// What is done with symbolic links.
    pub links: LinkPolicy,
    /// What is asked before anything becomes visible.
    pub fence: Fence,
}

/// The files below one directory of a server, as a store.
#[derive(Clone, Debug)]
pub struct SftpStore {
    capabilities: Capabilities,
    server: Arc<Server>,
}

impl SftpStore {
    /// Prepares a store; connects to nothing yet.
    ///
    /// # Errors
    /// When the server's name is none, or links are to be followed: where they lead, only the server
    /// knows, and it would follow them out of the root.
    pub fn open(options: SftpOptions) -> Result<Self, StoreError> {
        if options.links == LinkPolicy::Follow {
            let text = format!(
                "{}: links of a server cannot be followed safely: use --links copy or --links skip",
                options.place
            );
            return Err(StoreError::new(ErrorCode::KindUnsupported, text));
        }
        let pool = Pool::new(Destination::new(&options.server)?);
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
        Ok(Self { capabilities, server: Arc::new(Server::new(options, pool)) })
    }

    /// Connects and asks for the root: what can be said without a job.
    ///
    /// # Errors
    /// When the server does not answer, or refuses.
    pub async fn greet(&self) -> Result<(), StoreError> {
        let mut lent = self.server.pool.lend().await?;
        self.server.find_root(&mut lent).await.map(drop)
    }
}

#[async_trait]
impl Store for SftpStore {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn mtime_step(&self, _access: Access) -> Result<MtimeStep, StoreError> {
        Ok(MtimeStep::down(status::NANOSECONDS))
    }

    async fn folding(&self, access: Access) -> Result<Folding, StoreError> {
        folding::find_out(&self.server, access).await
    }

    fn check_key(&self, entry: &Entry) -> Option<String> {
        path::check(entry, self.server.root.len())
    }

    async fn list(
        &self,
        request: ListRequest,
        found: mpsc::Sender<Listed>,
    ) -> Result<(), StoreError> {
        list::list(&self.server, request, found).await
    }

    async fn lookup(&self, keys: Vec<Key>) -> Vec<Result<Option<Entry>, StoreError>> {
        list::lookup(&self.server, &keys).await
    }

    async fn stat(&self, key: &Key) -> Result<Option<ObjectInfo>, StoreError> {
        list::stat(&self.server, key).await
    }

    async fn read_small(&self, objects: Vec<Entry>, found: mpsc::Sender<ReadResult>) {
        read::read_small(&self.server, objects, found).await;
    }

    async fn read_range(
        &self,
        object: &Entry,
        range: ByteRange,
    ) -> Result<Box<dyn RangeReader>, StoreError> {
        Ok(Box::new(read::FileReader::open(&self.server, object, range).await?))
    }

    async fn put_small(
        &self,
        objects: Vec<(NewObject, VerifiedObject)>,
    ) -> Vec<Result<(), StoreError>> {
        write::put_small(&self.server, objects).await
    }

    /// Uploads are found by a hash of their key, so that it need not be known since when.
    async fn open_upload(
        &self,
        object: &NewObject,
        resume: Option<&UploadToken>,
        _orphan_since: Option<Timestamp>,
    ) -> Result<OpenedUpload, StoreError> {
        upload::open(&self.server, object, resume).await
    }

    async fn upload(
        &self,
        object: &NewObject,
        token: &UploadToken,
    ) -> Result<Box<dyn Upload>, StoreError> {
        Ok(Box::new(upload::access(&self.server, object, token).await?))
    }

    /// Every chunk was verified before it was sent, the connection authenticates each byte, and the
    /// file is made durable before it is renamed: so the length is what is compared, as for files, and
    /// the hash only when the upload is gone because it may have been committed before.
    async fn commit(
        &self,
        object: &NewObject,
        token: &UploadToken,
        root: HashRoot,
    ) -> Result<(), StoreError> {
        upload::commit(&self.server, object, token, root).await
    }

    async fn discard(
        &self,
        key: &Key,
        token: Option<&UploadToken>,
        _orphan_since: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        upload::discard(&self.server, key, token).await
    }

    async fn delete(&self, entries: Vec<Entry>) -> Vec<Result<(), StoreError>> {
        remove::delete(&self.server, &entries).await
    }

    async fn clean(&self) -> Result<(), StoreError> {
        remove::clean(&self.server).await
    }

    async fn preflight(&self, access: Access) -> Result<(), StoreError> {
        self.server.preflight(access).await
    }
}
