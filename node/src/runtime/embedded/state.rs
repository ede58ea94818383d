//! The directory that holds a job's state until the job is complete.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use airlift_coordinator::Coordinator;
use airlift_coordinator::coordinator::Replay;
use airlift_protocol::id::JobId;

use super::job_dir;
use crate::runtime::blocking::blocking;
use crate::storage::journal::Journal;
use crate::storage::log::LogFile;
use crate::store::StoreError;

/// An open state directory; no other process can open it meanwhile.
#[derive(Debug)]
pub(super) struct StateDir {
    path: PathBuf,
    pub(super) log: Arc<LogFile>,
    pub(super) journal: Arc<Journal>,
}

impl StateDir {
    /// Opens the state of `job`, or begins one.
    pub(super) async fn open(state_dir: &Path, job: JobId) -> Result<Self, StoreError> {
        let path = job_dir(state_dir, job);
        blocking(move || {
            std::fs::create_dir_all(&path).map_err(|error| {
                StoreError::io("create the state directory", path.display(), &error)
            })?;
            let log = Arc::new(LogFile::open(&path.join("log.redb"))?);
            let journal = Arc::new(Journal::open(&path.join("journal.redb"))?);
            Ok(Self { path, log, journal })
        })
        .await
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The coordinator that goes on where the log ends.
    pub(super) async fn replay(&self) -> Result<Coordinator, StoreError> {
        let log = Arc::clone(&self.log);
        blocking(move || {
            let mut replay = Replay::default();
            log.read_all(|index, command| replay.apply(index, command))?;
            Ok(replay.finish())
        })
        .await
    }

    /// Removes the state of a job that is complete.
    pub(super) async fn remove(self) -> Result<(), StoreError> {
        let path = self.path.clone();
        drop(self);
        blocking(move || {
            std::fs::remove_dir_all(&path).map_err(|error| {
                StoreError::io("remove the state directory", path.display(), &error)
            })
        })
        .await
    }
}
