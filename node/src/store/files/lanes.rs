//! Lanes: directories within the staging directory, of which each batch of small objects has one to itself.
//!
//! Whoever makes or renames a file holds a lock of its directory, and ext4 takes inodes from where the
//! directory lies: batches that stage in one directory together are slower than one alone.

use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, Mode, fstat, mkdirat, openat, unlinkat};
use rustix::io::Errno;

use super::root::{OPEN_DIRECTORY, Root};
use super::write::{remove_staged, staged_names, write_error};
use crate::store::StoreError;

/// How names of lanes begin.
const PREFIX: &str = "lane-";

/// Lanes that no batch has at the moment.
#[derive(Debug, Default)]
pub(super) struct Lanes(Mutex<Vec<OwnedFd>>);

impl Lanes {
    /// A lane for one batch: one that is idle, or a new one.
    pub(super) fn take(&self, root: &Root) -> Result<OwnedFd, StoreError> {
        root.fence().check()?;
        while let Some(lane) = self.pop() {
            // One that somebody has removed takes no files any more.
            if fstat(&lane).is_ok_and(|stat| stat.st_nlink > 0) {
                return Ok(lane);
            }
        }
        let staging = root.staging()?;
        let name = format!("{PREFIX}{}", root.unique());
        let made = mkdirat(&staging, &name, Mode::RWXU)
            .and_then(|()| openat(&staging, &name, OPEN_DIRECTORY, Mode::empty()));
        let shown = root.show_staging();
        made.map_err(|error| write_error("create a directory in", &shown, staging.as_fd(), error))
    }

    /// Takes back the lane of a batch that is through.
    pub(super) fn give_back(&self, lane: OwnedFd) {
        self.lock().push(lane);
    }

    /// Forgets all lanes, which are removed with what is in them.
    pub(super) fn forget(&self) {
        self.lock().clear();
    }

    fn pop(&self) -> Option<OwnedFd> {
        self.lock().pop()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<OwnedFd>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes all that is in `staging`, lanes of any process included.
pub(super) fn empty(root: &Root, staging: &OwnedFd) -> Result<(), StoreError> {
    for name in staged_names(root, staging)? {
        match name.starts_with(PREFIX.as_bytes()) {
            true => remove_lane(root, staging, &name)?,
            false => drop(remove_staged(root, staging, &name)?),
        }
    }
    Ok(())
}

fn remove_lane(root: &Root, staging: &OwnedFd, name: &[u8]) -> Result<(), StoreError> {
    let lane = match openat(staging, name, OPEN_DIRECTORY, Mode::empty()) {
        Ok(lane) => lane,
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(failed(root, "open a directory in", error)),
    };
    for name in staged_names(root, &lane)? {
        remove_staged(root, &lane, &name)?;
    }
    match unlinkat(staging, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(failed(root, "remove a directory from", error)),
    }
}

fn failed(root: &Root, action: &str, error: Errno) -> StoreError {
    StoreError::io(action, root.show_staging(), &error.into())
}
