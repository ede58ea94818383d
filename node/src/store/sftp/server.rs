//! One directory of a server: its paths, its staging directory, and whether it can be used.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use airlift_protocol::error::ErrorCode;
use airlift_protocol::folding::Folding;
use airlift_protocol::key::Key;

use super::SftpOptions;
use super::connection::Connection;
use super::list::open_directory;
use super::pool::Pool;
use super::status::{FileType, Status};
use super::wire::{FSYNC, POSIX_RENAME, Reply, Request};
use crate::store::fence::Fence;
use crate::store::path::staging_name;
use crate::store::{Access, StoreError};

/// A directory of a server.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) pool: Arc<Pool>,
    /// Absolute path of the root, without a `/` at its end; empty for the server's own root.
    pub(super) root: Vec<u8>,
    /// Name of the staging directory, at the root.
    pub(super) staging: String,
    pub(super) fence: Fence,
    place: String,
    /// Stands in the names of files that this store makes and no other.
    instance: u64,
    counter: AtomicU64,
    /// Which names are taken for one, once that was tried.
    pub(super) folding: OnceLock<Folding>,
}

impl Server {
    pub(super) fn new(options: SftpOptions, pool: Arc<Pool>) -> Self {
        let SftpOptions { mut root, place, job, fence, .. } = options;
        while root.ends_with(b"/") {
            root.pop();
        }
        // The standard library seeds every such state at random.
        let instance = RandomState::new().build_hasher().finish();
        let counter = AtomicU64::new(0);
        let place = place.trim_end_matches('/').to_owned();
        let (staging, folding) = (staging_name(job), OnceLock::new());
        Self { pool, root, staging, fence, place, instance, counter, folding }
    }

    /// The server's path for `path` below the root.
    pub(super) fn full(&self, path: &[u8]) -> Vec<u8> {
        match path {
            b"" if self.root.is_empty() => b"/".to_vec(),
            b"" => self.root.clone(),
            path => [&self.root[..], b"/", path].concat(),
        }
    }

    /// The server's path of `name` in the staging directory.
    pub(super) fn staged(&self, name: &str) -> Vec<u8> {
        self.full(format!("{}/{name}", self.staging).as_bytes())
    }

    /// What `path` below the root is called in messages.
    pub(super) fn show(&self, path: &[u8]) -> String {
        match path {
            b"" => self.place.clone(),
            path => format!("{}/{}", self.place, Key::new(path)),
        }
    }

    /// What no file of any other store has in its name.
    pub(super) fn unique(&self) -> String {
        let count = self.counter.fetch_add(1, Ordering::Relaxed);
        format!("{:016x}-{count:x}", self.instance)
    }

    /// The answer to one request.
    pub(super) async fn ask(
        &self,
        connection: &mut Connection,
        request: Request,
    ) -> Result<Reply, StoreError> {
        let mut replies = connection.exchange(&[request]).await?;
        replies.pop().ok_or_else(|| {
            let text = format!("{}: a request without an answer", self.place);
            StoreError::new(ErrorCode::Bug, text)
        })
    }

    /// The root, which may be reached through links: it is what the user named. `None` when it is
    /// missing.
    pub(super) async fn find_root(
        &self,
        connection: &mut Connection,
    ) -> Result<Option<Status>, StoreError> {
        let request = Request::Stat(self.full(b""));
        self.ask(connection, request).await?.status(&self.place)
    }

    /// Makes the staging directory, if it is not there.
    pub(super) async fn make_staging(&self, connection: &mut Connection) -> Result<(), StoreError> {
        let path = self.full(self.staging.as_bytes());
        let shown = self.show(self.staging.as_bytes());
        let requests = [Request::Mkdir(path.clone()), Request::Lstat(path)];
        let mut replies = connection.exchange(&requests).await?;
        let found = replies.pop().map(|reply| reply.status(&shown)).transpose()?.flatten();
        match (found.map(|status| status.file_type), replies.pop()) {
            (Some(FileType::Directory), _) => Ok(()),
            (Some(_), _) => {
                let text = format!("{shown} is no directory: remove it");
                Err(StoreError::new(ErrorCode::Conflict, text))
            }
            (None, Some(refusal)) => refusal.done("make", &shown),
            (None, None) => Err(StoreError::new(ErrorCode::Bug, "a request without an answer")),
        }
    }

    pub(super) async fn preflight(&self, access: Access) -> Result<(), StoreError> {
        let mut lent = self.pool.lend().await?;
        if access == Access::Write {
            self.check_extensions(&lent)?;
            self.make_root(&mut lent).await?;
        }
        match self.find_root(&mut lent).await? {
            Some(Status { file_type: FileType::Directory, .. }) => {}
            Some(_) => {
                let text = format!("{} is no directory", self.place);
                return Err(StoreError::new(ErrorCode::LocationMissing, text));
            }
            None => {
                let text = format!("{} does not exist on {}", self.place, self.pool.name());
                return Err(StoreError::new(ErrorCode::LocationMissing, text));
            }
        }
        match access {
            Access::Write => self.make_staging(&mut lent).await,
            Access::Read => self.check_readable(&mut lent).await,
        }
    }

    /// A server that cannot replace a file in one step, or not make it durable, cannot be a target.
    fn check_extensions(&self, connection: &Connection) -> Result<(), StoreError> {
        let lacks = |(name, _): &(&[u8], &str)| !connection.has(name);
        let needed = [(POSIX_RENAME, "replace a file in one step"), (FSYNC, "make a file durable")];
        let Some((name, purpose)) = needed.into_iter().find(lacks) else { return Ok(()) };
        let text = format!(
            "{} cannot be a target: the server cannot {purpose} (it lacks {}); it can be a source",
            self.place,
            String::from_utf8_lossy(name)
        );
        Err(StoreError::new(ErrorCode::LocationMissing, text))
    }

    /// Makes the root and what is missing above it.
    async fn make_root(&self, connection: &mut Connection) -> Result<(), StoreError> {
        if self.find_root(connection).await?.is_some() {
            return Ok(());
        }
        let ends = self.root.iter().enumerate().filter(|&(at, &byte)| byte == b'/' && at > 0);
        let above = ends.map(|(at, _)| Request::Mkdir(self.root[..at].to_vec()));
        let requests: Vec<Request> = above.chain([Request::Mkdir(self.root.clone())]).collect();
        let mut replies = connection.exchange(&requests).await?;
        if self.find_root(connection).await?.is_some() {
            return Ok(());
        }
        match replies.pop() {
            Some(refusal) => refusal.done("make", &self.place),
            None => Err(StoreError::new(ErrorCode::Bug, "a request without an answer")),
        }
    }

    /// Proves that the root can be listed, and what is in it looked at.
    async fn check_readable(&self, connection: &mut Connection) -> Result<(), StoreError> {
        let handle = open_directory(self, connection, b"").await?.ok_or_else(|| {
            let text = format!("{} does not exist", self.place);
            StoreError::new(ErrorCode::LocationMissing, text)
        })?;
        self.ask(connection, Request::Close(handle)).await?.done("close", &self.place)
    }
}
