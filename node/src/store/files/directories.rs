//! Directories below a root, opened name by name so that no link can lead out.

use std::collections::BTreeSet;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::Rc;

use airlift_protocol::error::ErrorCode;
use airlift_protocol::job::LinkPolicy;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Mode, fstatfs, fsync, mkdirat, openat, statat, syncfs};
use rustix::io::Errno;

use super::file_system::is_synced_whole;
use super::root::{OPEN_DIRECTORY, Root};
use super::status::Status;
use crate::store::StoreError;
use crate::store::path::split;

/// Directories that one piece of work keeps open.
const OPEN_MAX: usize = 32;

/// Files or directories that are synced one by one; more are synced with their file system, where that is
/// worth as much.
const SYNCED_ALONE_MAX: usize = 8;

/// The directories that one batch of work needs, the last used ones kept open.
///
/// A path is walked name by name from the nearest open directory, and a link in it is an error for
/// writers and "not there" for readers, unless links are followed: then cap-std resolves it beneath
/// the root.
#[derive(Debug)]
pub(super) struct Directories<'a> {
    root: &'a Root,
    follows: bool,
    top: Rc<OwnedFd>,
    /// Last used last.
    open: Vec<(Vec<u8>, Rc<OwnedFd>)>,
    /// Directories with entries that are not durable yet.
    dirty: BTreeSet<Vec<u8>>,
}

impl<'a> Directories<'a> {
    /// For reading: links are followed where the policy says so.
    pub(super) fn for_reading(root: &'a Root) -> Result<Self, StoreError> {
        Self::new(root, root.links == LinkPolicy::Follow)
    }

    /// For writing and deleting: links are never followed.
    pub(super) fn for_writing(root: &'a Root) -> Result<Self, StoreError> {
        Self::new(root, false)
    }

    fn new(root: &'a Root, follows: bool) -> Result<Self, StoreError> {
        let top = Rc::new(root.open()?);
        Ok(Self { root, follows, top, open: Vec::new(), dirty: BTreeSet::new() })
    }

    /// Whether links are followed.
    pub(super) fn follows(&self) -> bool {
        self.follows
    }

    /// The directory at `path`; `None` when there is none, or something else.
    pub(super) fn find(&mut self, path: &[u8]) -> Result<Option<Rc<OwnedFd>>, StoreError> {
        let (mut directory, mut at) = self.nearest(path);
        while at < path.len() {
            let (end, name) = next_name(path, at);
            directory = match openat(&*directory, name, OPEN_DIRECTORY, Mode::empty()) {
                Ok(opened) => self.keep(&path[..end], opened),
                Err(Errno::NOENT) => return Ok(None),
                Err(Errno::NOTDIR | Errno::LOOP) if self.follows => {
                    match self.open_followed(&path[..end])? {
                        Some(opened) => self.keep(&path[..end], opened),
                        None => return Ok(None),
                    }
                }
                Err(Errno::NOTDIR | Errno::LOOP) => return Ok(None),
                Err(error) => return Err(self.error("open", &path[..end], error)),
            };
            at = end;
        }
        Ok(Some(directory))
    }

    /// The directory at `path`, made where it is missing, with those above it.
    pub(super) fn create(&mut self, path: &[u8]) -> Result<Rc<OwnedFd>, StoreError> {
        let (mut directory, mut at) = self.nearest(path);
        while at < path.len() {
            let (end, name) = next_name(path, at);
            let opened = match openat(&*directory, name, OPEN_DIRECTORY, Mode::empty()) {
                Err(Errno::NOENT) => self.make(&directory, &path[..end], name)?,
                Err(Errno::NOTDIR | Errno::LOOP) => {
                    return Err(self.in_the_way(&directory, &path[..end], name));
                }
                opened => opened.map_err(|error| self.error("open", &path[..end], error))?,
            };
            directory = self.keep(&path[..end], opened);
            at = end;
        }
        Ok(directory)
    }

    /// Says that an entry of the directory at `path` was made, replaced or removed.
    pub(super) fn mark(&mut self, path: &[u8]) {
        if !self.dirty.contains(path) {
            self.dirty.insert(path.to_vec());
        }
    }

    /// Forgets the directory at `path`, which was removed.
    pub(super) fn forget(&mut self, path: &[u8]) {
        self.open.retain(|(open, _)| open != path);
        self.dirty.remove(path);
    }

    /// Makes the entries of all marked directories durable.
    pub(super) fn sync(&mut self) -> Result<(), StoreError> {
        let dirty = std::mem::take(&mut self.dirty);
        if self.syncs_together(dirty.len()) {
            return self.sync_all();
        }
        for path in dirty {
            let Some(directory) = self.find(&path)? else { continue };
            match fsync(&*directory) {
                // Some file systems have no such call for directories.
                Err(Errno::INVAL) => self.sync_all()?,
                synced => synced.map_err(|error| self.error("sync", &path, error))?,
            }
        }
        Ok(())
    }

    /// Whether `count` files or directories are made durable by [`sync_all`](Self::sync_all), and not
    /// each by itself.
    pub(super) fn syncs_together(&self, count: usize) -> bool {
        count > SYNCED_ALONE_MAX
            && fstatfs(&*self.top).is_ok_and(|status| is_synced_whole(status.f_type as u32))
    }

    /// Makes everything in the root's file system durable that was written before.
    ///
    /// Errors of writes since these directories were opened are reported here.
    pub(super) fn sync_all(&self) -> Result<(), StoreError> {
        syncfs(&*self.top).map_err(|error| self.error("sync the file system of", b"", error))
    }

    /// The nearest open directory on the way to `path`, and how many bytes of `path` lead there.
    fn nearest(&mut self, path: &[u8]) -> (Rc<OwnedFd>, usize) {
        let mut prefix = path;
        while !prefix.is_empty() {
            if let Some(place) = self.open.iter().rposition(|(open, _)| open == prefix) {
                let last = self.open.len() - 1;
                if place != last {
                    self.open[place..].rotate_left(1);
                }
                return (Rc::clone(&self.open[last].1), prefix.len());
            }
            prefix = split(prefix).0;
        }
        (Rc::clone(&self.top), 0)
    }

    fn keep(&mut self, path: &[u8], directory: OwnedFd) -> Rc<OwnedFd> {
        if self.open.len() == OPEN_MAX {
            self.open.remove(0);
        }
        let directory = Rc::new(directory);
        self.open.push((path.to_vec(), Rc::clone(&directory)));
        directory
    }

    fn make(&mut self, parent: &OwnedFd, path: &[u8], name: &[u8]) -> Result<OwnedFd, StoreError> {
        let mode = Mode::RWXU | Mode::RWXG | Mode::RWXO;
        match mkdirat(parent, name, mode) {
            Ok(()) => self.mark(split(path).0),
            // Someone else made it meanwhile.
            Err(Errno::EXIST) => {}
            Err(error) => return Err(self.error("create directory", path, error)),
        }
        match openat(parent, name, OPEN_DIRECTORY, Mode::empty()) {
            Err(Errno::NOTDIR | Errno::LOOP) => Err(self.in_the_way(parent, path, name)),
            opened => opened.map_err(|error| self.error("open", path, error)),
        }
    }

    fn in_the_way(&self, parent: &OwnedFd, path: &[u8], name: &[u8]) -> StoreError {
        let shown = self.root.show(path);
        let status = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).map(Status::from);
        let what = match status.map(|status| status.file_type) {
            Ok(FileType::Symlink) => "is a symbolic link, through which nothing is written",
            _ => "is a file where a directory should be",
        };
        StoreError::new(
            ErrorCode::Conflict,
            format!("{shown} {what}: remove it or choose another target"),
        )
    }

    fn open_followed(&self, path: &[u8]) -> Result<Option<OwnedFd>, StoreError> {
        // What cap-std opens stands for a path only, and so is opened again to be read.
        match self.root.directory()?.open_dir(as_path(path)) {
            Ok(directory) => openat(&directory, ".", OPEN_DIRECTORY, Mode::empty())
                .map(Some)
                .map_err(|error| self.error("open", path, error)),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(follow_error(self.root, path, &error)),
        }
    }

    /// The status of `name` in `directory`, whose path from the root is `path`: of a link itself,
    /// or of what it leads to where links are followed. `None` when there is nothing.
    pub(super) fn status(
        &self,
        directory: &impl AsFd,
        name: &[u8],
        path: &[u8],
    ) -> Result<Option<Status>, StoreError> {
        let status = match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Status::from(stat),
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            Err(error) => return Err(self.error("read the status of", path, error)),
        };
        if status.file_type != FileType::Symlink || !self.follows {
            return Ok(Some(status));
        }
        match self.root.directory()?.metadata(as_path(path)) {
            Ok(metadata) => Ok(Some(Status::from(&metadata))),
            Err(error) => Err(follow_error(self.root, path, &error)),
        }
    }

    fn error(&self, action: &str, path: &[u8], error: Errno) -> StoreError {
        StoreError::io(action, self.root.show(path), &error.into())
    }
}

/// Bytes up to the end of the name that follows the first `at` bytes of `path`, and that name.
fn next_name(path: &[u8], at: usize) -> (usize, &[u8]) {
    let start = if at == 0 { 0 } else { at + 1 };
    let rest = &path[start..];
    let length = rest.iter().position(|&byte| byte == b'/').unwrap_or(rest.len());
    (start + length, &rest[..length])
}

/// Bytes as the system's path.
pub(super) fn as_path(path: &[u8]) -> &Path {
    Path::new(std::ffi::OsStr::from_bytes(path))
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// The error for a link that leads nowhere, in a circle, or out of the root.
pub(super) fn follow_error(root: &Root, path: &[u8], error: &io::Error) -> StoreError {
    let shown = root.show(path);
    let is_escape =
        error.raw_os_error().is_none() && error.kind() == io::ErrorKind::PermissionDenied;
    if is_escape {
        return StoreError::new(
            ErrorCode::PermissionDenied,
            format!("{shown} is a link that leads out of {}: it is not followed", root.show(b"")),
        );
    }
    StoreError::io("follow the link", shown, error)
}
