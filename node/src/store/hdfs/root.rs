//! One directory of a file system: its paths, its staging directory, and what is asked about a file.

use std::sync::atomic::{AtomicU64, Ordering};

use airlift_protocol::error::ErrorCode;
use airlift_protocol::key::Key;
use data_encoding::HEXLOWER;
use serde::Deserialize;

use super::HdfsOptions;
use super::error::{is_absent, store_error};
use super::namenode::{Ask, Depth, Namenode, named};
use super::status::{Described, Status};
use crate::store::StoreError;
use crate::store::chance::nonce;
use crate::store::http::{Door, Failed};
use crate::store::path::staging_name;

/// What holds the snapshots of a directory.
pub(super) const SNAPSHOT: &str = ".snapshot";

/// A directory of a file system.
#[derive(Debug)]
pub(super) struct Root {
    pub(super) namenode: Namenode,
    /// Absolute path, without a `/` at its end; empty for the file system's own root.
    pub(super) path: String,
    /// Whether it lies in a snapshot: there numbers lead to the files as they are now.
    pub(super) is_snapshot: bool,
    /// Name of the staging directory, at the root.
    pub(super) staging: String,
    /// Requests that are made at once for many files, as far as the gate lets them.
    pub(super) requests_max: usize,
    pub(super) block_bytes: u64,
    place: String,
    /// Stands in the names of files that this store makes and no other.
    instance: String,
    counter: AtomicU64,
}

/// What is answered to what can be done or not.
#[derive(Debug, Deserialize)]
struct Verdict {
    boolean: bool,
}

impl Root {
    pub(super) fn new(options: HdfsOptions) -> Result<Self, StoreError> {
        let HdfsOptions { server, root, place, job, fence, block_bytes, paces } = options;
        let door = Door::new(paces.of(&format!("hdfs at {}", server.endpoint)), fence);
        let place = place.trim_end_matches('/').to_owned();
        let path = String::from_utf8(root).map_err(|_| {
            let text = format!("{place}: the path is not UTF-8, which HDFS requires of names");
            StoreError::new(ErrorCode::LocationMissing, text)
        })?;
        let path = path.trim_end_matches('/').to_owned();
        Ok(Self {
            namenode: Namenode::new(&server, door)?,
            is_snapshot: path.split('/').any(|name| name == SNAPSHOT),
            path,
            staging: staging_name(job),
            requests_max: paces.requests_max(),
            block_bytes,
            place,
            instance: HEXLOWER.encode(&nonce()),
            counter: AtomicU64::new(0),
        })
    }

    /// The file system's path for `path` below the root.
    pub(super) fn full(&self, path: &str) -> String {
        match path {
            "" if self.path.is_empty() => "/".to_owned(),
            "" => self.path.clone(),
            path => format!("{}/{path}", self.path),
        }
    }

    /// The file system's path of `name` in the staging directory.
    pub(super) fn staged(&self, name: &str) -> String {
        self.full(&format!("{}/{name}", self.staging))
    }

    /// What `path` below the root is called in messages.
    pub(super) fn show(&self, path: &[u8]) -> String {
        match path {
            b"" => self.place.clone(),
            path => format!("{}/{}", self.place, Key::new(path)),
        }
    }

    /// What the staging directory is called in messages.
    pub(super) fn show_staging(&self) -> String {
        self.show(self.staging.as_bytes())
    }

    /// What no file of any other store has in its name.
    pub(super) fn unique(&self) -> String {
        let count = self.counter.fetch_add(1, Ordering::Relaxed);
        format!("{}-{count:x}", self.instance)
    }

    /// What stands at `path`, which is encoded; `None` when nothing does.
    pub(super) async fn describe(
        &self,
        path: String,
        shown: &str,
    ) -> Result<Option<Status>, StoreError> {
        match self.namenode.ask::<Described>(&Ask::get("GETFILESTATUS", path)).await {
            Ok(described) => Ok(Some(described.status)),
            Err(failed) if is_absent(&failed) => Ok(None),
            Err(failed) => Err(store_error("look at", shown, &failed)),
        }
    }

    /// What stands at the file system's path `full`.
    pub(super) async fn find(&self, full: &str, shown: &str) -> Result<Option<Status>, StoreError> {
        self.describe(named(full), shown).await
    }

    /// Makes the directory `full`, and those above it, where they are not there.
    pub(super) async fn make(&self, full: &str, shown: &str) -> Result<(), StoreError> {
        let ask = Ask::put("MKDIRS", named(full));
        let made = self.namenode.ask::<Verdict>(&ask).await;
        match made.map_err(|failed| store_error("make", shown, &failed))? {
            Verdict { boolean: true } => Ok(()),
            Verdict { boolean: false } => {
                let text =
                    format!("make {shown}: something that is no directory stands in the way");
                Err(StoreError::new(ErrorCode::Conflict, text))
            }
        }
    }

    /// The number of the directory `full`, made where it is not there.
    pub(super) async fn directory(&self, full: &str, shown: &str) -> Result<u64, StoreError> {
        self.make(full, shown).await?;
        let found = self.find(full, shown).await?;
        let found = found.ok_or_else(|| {
            let text = format!("{shown} was removed while it was made");
            StoreError::new(ErrorCode::Unavailable, text)
        })?;
        found.id(shown)
    }

    /// Deletes what is at `path`, which is encoded; that it is gone already is no error.
    pub(super) async fn remove(&self, path: String, depth: Depth) -> Result<(), Failed> {
        match self.namenode.ask::<Verdict>(&Ask::delete(path, depth)).await {
            Ok(Verdict { .. }) => Ok(()),
            Err(failed) if is_absent(&failed) => Ok(()),
            Err(failed) => Err(failed),
        }
    }
}
