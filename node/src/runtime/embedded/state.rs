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

/// Name of the receiver's journal in it.
const JOURNAL: &str = "journal.redb";

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
            let journal = Arc::new(Journal::open(&path.join(JOURNAL))?);
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

    /// Makes what was written durable, of a job that goes on another time.
    pub(super) async fn keep(self) -> Result<(), StoreError> {
        blocking(move || self.journal.sync()).await
    }

    /// Removes the state of a job that is complete. What its journal knows of objects that are not proven is
    /// for the next run.
    pub(super) async fn remove(self) -> Result<(), StoreError> {
        if self.journal.has_doubts() {
            return self.remove_but_doubts().await;
        }
        let path = self.path.clone();
        drop(self);
        blocking(move || {
            std::fs::remove_dir_all(&path).map_err(|error| {
                StoreError::io("remove the state directory", path.display(), &error)
            })
        })
        .await
    }

    async fn remove_but_doubts(self) -> Result<(), StoreError> {
        let Self { path, log, journal } = self;
        drop(log);
        blocking(move || {
            journal.sync()?;
            let failed = |error| StoreError::io("clear", path.display(), &error);
            for entry in std::fs::read_dir(&path).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                match entry.file_type().map_err(failed)?.is_dir() {
                    _ if entry.file_name() == JOURNAL => {}
                    true => std::fs::remove_dir_all(entry.path()).map_err(failed)?,
                    false => std::fs::remove_file(entry.path()).map_err(failed)?,
                }
            }
            Ok(())
        })
        .await
    }
}
