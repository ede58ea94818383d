//! The root directory of a file store: the one path that is ever opened by its full name.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use airlift_protocol::error::ErrorCode;
use airlift_protocol::folding::Folding;
use airlift_protocol::id::JobId;
use airlift_protocol::job::LinkPolicy;
use airlift_protocol::key::fmt_escaped;
use cap_std::ambient_authority;
use cap_std::fs::Dir;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Mode, OFlags, mkdirat, openat, unlinkat};
use rustix::io::Errno;

use super::lanes::Lanes;
use super::turns::Turns;
use crate::store::fence::Fence;
use crate::store::path::staging_name;
use crate::store::{MtimeStep, StoreError};

/// How a directory is opened: to be read and synced, never through a link.
pub(super) const OPEN_DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The root directory, opened when it is first needed: a target may have to be created first.
#[derive(Debug)]
pub(super) struct Root {
    path: PathBuf,
    staging: String,
    /// What is done with symbolic links below the root.
    pub(super) links: LinkPolicy,
    directory: OnceLock<Dir>,
    fence: Fence,
    /// Tells the staged files of this store from those of a process that died before.
    instance: u64,
    staged: AtomicU64,
    /// Which names are taken for one, once that was tried.
    folding: OnceLock<Folding>,
    /// The same, as far as it was seen without trying.
    seen_folding: OnceLock<Folding>,
    /// In which steps times are kept, once that was tried.
    mtime_step: OnceLock<MtimeStep>,
    /// Who writes into which staged file.
    turns: Turns,
    /// Where small objects are staged.
    lanes: Lanes,
}

impl Root {
    pub(super) fn new(
        path: &Path,
        job: JobId,
        links: LinkPolicy,
        fence: Fence,
        instance: u64,
    ) -> Self {
        Self {
            path: path.to_owned(),
            staging: staging_name(job),
            links,
            directory: OnceLock::new(),
            fence,
            instance,
            staged: AtomicU64::new(0),
            folding: OnceLock::new(),
            seen_folding: OnceLock::new(),
            mtime_step: OnceLock::new(),
            turns: Turns::default(),
            lanes: Lanes::default(),
        }
    }

    /// Which names are taken for one; `None` as long as that was not tried.
    pub(super) fn known_folding(&self) -> Option<Folding> {
        self.folding.get().copied()
    }

    /// Which names are taken for one, as `probe` says the first time.
    pub(super) fn folding_by(
        &self,
        probe: impl FnOnce() -> Result<Folding, StoreError>,
    ) -> Result<Folding, StoreError> {
        once(&self.folding, probe)
    }

    /// Which names were seen to be taken for one, as `look` says the first time.
    pub(super) fn seen_folding_by(
        &self,
        look: impl FnOnce() -> Result<Folding, StoreError>,
    ) -> Result<Folding, StoreError> {
        once(&self.seen_folding, look)
    }

    /// In which steps times are kept; `None` as long as that was not tried.
    pub(super) fn known_mtime_step(&self) -> Option<MtimeStep> {
        self.mtime_step.get().copied()
    }

    /// In which steps times are kept, as `probe` says the first time.
    pub(super) fn mtime_step_by(
        &self,
        probe: impl FnOnce() -> Result<MtimeStep, StoreError>,
    ) -> Result<MtimeStep, StoreError> {
        once(&self.mtime_step, probe)
    }

    /// Who writes into which staged file.
    pub(super) fn turns(&self) -> &Turns {
        &self.turns
    }

    /// Where small objects are staged.
    pub(super) fn lanes(&self) -> &Lanes {
        &self.lanes
    }

    /// What is asked before anything becomes visible.
    pub(super) fn fence(&self) -> &Fence {
        &self.fence
    }

    /// The path that was given for the root.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The directory, opened.
    pub(super) fn directory(&self) -> Result<&Dir, StoreError> {
        if let Some(directory) = self.directory.get() {
            return Ok(directory);
        }
        let directory = Dir::open_ambient_dir(&self.path, ambient_authority())
            .map_err(|error| self.open_error(&error))?;
        Ok(self.directory.get_or_init(|| directory))
    }

    fn open_error(&self, error: &io::Error) -> StoreError {
        let shown = self.show(b"");
        match error.kind() {
            io::ErrorKind::NotFound => StoreError::new(
                ErrorCode::LocationMissing,
                format!("{shown} does not exist: check the path"),
            ),
            io::ErrorKind::NotADirectory => StoreError::new(
                ErrorCode::Conflict,
                format!("{shown} is not a directory: give a directory"),
            ),
            _ => StoreError::io("open", shown, error),
        }
    }

    /// Makes the directory and those above it where they are missing.
    pub(super) fn create(&self) -> Result<(), StoreError> {
        Dir::create_ambient_dir_all(&self.path, ambient_authority()).map_err(|error| {
            let shown = self.show(b"");
            match error.kind() {
                io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => StoreError::new(
                    ErrorCode::Conflict,
                    format!("{shown} cannot be a directory because a file is in the way: remove it or choose another target"),
                ),
                io::ErrorKind::ReadOnlyFilesystem => self.read_only(),
                io::ErrorKind::PermissionDenied => self.denied(),
                _ => StoreError::io("create", shown, &error),
            }
        })
    }

    /// A fresh handle on the directory: its own place in the file system's record of errors.
    pub(super) fn open(&self) -> Result<OwnedFd, StoreError> {
        openat(self.directory()?, ".", OPEN_DIRECTORY, Mode::empty())
            .map_err(|error| StoreError::io("open", self.show(b""), &error.into()))
    }

    /// A fresh handle on the staging directory, which is made if it is missing.
    pub(super) fn staging(&self) -> Result<OwnedFd, StoreError> {
        // What is staged after the job was cleaned up stays for ever.
        self.fence.check()?;
        match mkdirat(self.directory()?, &self.staging, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(Errno::ROFS) => return Err(self.read_only()),
            Err(Errno::ACCESS | Errno::PERM) => return Err(self.denied()),
            Err(error) => return Err(self.staging_error("create", error)),
        }
        self.find_staging()?.ok_or_else(|| self.staging_error("open", Errno::NOENT))
    }

    /// The staging directory, if there is one.
    pub(super) fn find_staging(&self) -> Result<Option<OwnedFd>, StoreError> {
        match openat(self.directory()?, &self.staging, OPEN_DIRECTORY, Mode::empty()) {
            Ok(staging) => Ok(Some(staging)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(self.staging_error("open", error)),
        }
    }

    /// Removes the staging directory, which has to be empty.
    pub(super) fn remove_staging(&self) -> Result<(), StoreError> {
        match unlinkat(self.directory()?, &self.staging, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(self.staging_error("remove", error)),
        }
    }

    fn staging_error(&self, action: &str, error: Errno) -> StoreError {
        StoreError::io(action, self.show(self.staging.as_bytes()), &error.into())
    }

    fn read_only(&self) -> StoreError {
        let shown = self.show(b"");
        StoreError::new(
            ErrorCode::ReadOnly,
            format!("{shown} is on a read-only file system: remount it or choose another target"),
        )
    }

    fn denied(&self) -> StoreError {
        let shown = self.show(b"");
        StoreError::new(
            ErrorCode::PermissionDenied,
            format!("{shown} cannot be written by this user: change its permissions or the user"),
        )
    }

    /// What no other staged file has in its name, also not one that another process left.
    pub(super) fn unique(&self) -> String {
        let number = self.staged.fetch_add(1, Ordering::Relaxed);
        format!("{:016x}-{number:x}", self.instance)
    }

    /// The path of the staging directory, for messages.
    pub(super) fn show_staging(&self) -> String {
        self.show(self.staging.as_bytes())
    }

    /// The full path of something below the root, for messages.
    pub(super) fn show(&self, path: &[u8]) -> String {
        let mut shown = String::new();
        let root = self.path.as_os_str().as_encoded_bytes();
        // Writing into a string cannot fail.
        let _ = fmt_escaped(root, &mut shown);
        if !path.is_empty() {
            if !root.ends_with(b"/") {
                shown.push('/');
            }
            let _ = fmt_escaped(path, &mut shown);
        }
        shown
    }
}

/// What is in `cell`, put there by `find_out` if it is empty.
fn once<T: Copy>(
    cell: &OnceLock<T>,
    find_out: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    match cell.get() {
        Some(known) => Ok(*known),
        None => find_out().map(|found| *cell.get_or_init(|| found)),
    }
}
