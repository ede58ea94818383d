//! Listing a tree in the byte order of its keys, with the names of one path's directories in memory.

use std::rc::Rc;

use airlift_protocol::error::ErrorCode;
use airlift_protocol::key::Key;
use airlift_protocol::limits::KEY_BYTES_MAX;
use airlift_protocol::manifest::Entry;
use rustix::fd::OwnedFd;
use rustix::fs::{Dir, FileType, fstat, readlinkat};
use tokio::sync::mpsc;

use super::directories::Directories;
use super::folding;
use super::names::Names;
use super::root::Root;
use super::status::{Status, directory_entry};
use crate::store::path::{KeyPath, is_staging, split};
use crate::store::spelling::Spelling;
use crate::store::{ListRequest, Listed, StoreError};

/// Entries that go into the channel at a time.
const BATCH_ENTRIES: usize = 1000;

/// Lists what `request` asks for into `found`.
pub(super) fn list(
    root: &Root,
    request: ListRequest,
    found: mpsc::Sender<Listed>,
) -> Result<(), StoreError> {
    let mut lister = Lister {
        root,
        directories: Directories::for_reading(root)?,
        request,
        batch: Vec::new(),
        found,
        levels: Vec::new(),
    };
    let top = lister.directories.find(b"")?;
    let top = top.map(|top| lister.scan(Vec::new(), top)).transpose()?;
    lister.levels.extend(top);
    while lister.step().is_some() {}
    lister.flush();
    Ok(())
}

/// Entries of `keys`, as a listing gives them.
pub(super) fn lookup(root: &Root, keys: &[Key]) -> Vec<Result<Option<Entry>, StoreError>> {
    let mut directories = match Directories::for_reading(root) {
        Ok(directories) => directories,
        Err(error) => return keys.iter().map(|_| Err(error.clone())).collect(),
    };
    // Keys come in order, so that those below one missing directory stand together.
    let mut missing: Option<Vec<u8>> = None;
    let mut spelling = Spelling::new(root.known_folding());
    let mut found = Vec::with_capacity(keys.len());
    for key in keys {
        let Ok(path) = KeyPath::parse(key) else {
            found.push(Ok(None));
            continue;
        };
        if missing.as_deref() == Some(path.parent) && spelling.is_none() {
            found.push(Ok(None));
            continue;
        }
        let mut there = match directories.find(path.parent) {
            Ok(Some(directory)) => entry(root, &directories, &directory, key, &path),
            Ok(None) => {
                missing = Some(path.parent.to_vec());
                Ok(None)
            }
            Err(error) => Err(error),
        };
        if let (Some(spelling), Ok(_)) = (&mut spelling, &there)
            && let Err(error) = folding::check(root, &mut directories, spelling, path.whole)
        {
            there = Err(error);
        }
        found.push(there);
    }
    found
}

/// The entry of `key` in its open parent `directory`.
fn entry(
    root: &Root,
    directories: &Directories<'_>,
    directory: &OwnedFd,
    key: &Key,
    path: &KeyPath<'_>,
) -> Result<Option<Entry>, StoreError> {
    let Some(status) = directories.status(directory, path.name, path.whole)? else {
        return Ok(None);
    };
    match (status.file_type, path.is_directory) {
        (FileType::Directory, true) => Ok(Some(directory_entry(key.clone()))),
        (FileType::Directory, false) | (_, true) => Ok(None),
        (FileType::Symlink, false) => {
            let text = link_text(root, directory, path.name, path.whole)?;
            Ok(text.map(|text| status.entry(key.clone(), Some(text))))
        }
        (_, false) => Ok(Some(status.entry(key.clone(), None))),
    }
}

/// The text of the link `name`; `None` when it is gone or no link any more.
pub(super) fn link_text(
    root: &Root,
    directory: &OwnedFd,
    name: &[u8],
    path: &[u8],
) -> Result<Option<Vec<u8>>, StoreError> {
    use rustix::io::Errno;
    match readlinkat(directory, name, Vec::new()) {
        Ok(text) => Ok(Some(text.into_bytes())),
        Err(Errno::NOENT | Errno::INVAL) => Ok(None),
        Err(error) => Err(StoreError::io("read the link", root.show(path), &error.into())),
    }
}

/// One directory on the way to where the listing stands.
struct Level {
    /// Key of the directory: empty, or ending in `/`.
    prefix: Vec<u8>,
    names: Names,
    next: usize,
    /// The directory, open while its own files are listed.
    directory: Option<Rc<OwnedFd>>,
    /// Device and inode, to know a directory again that a link leads back to.
    identity: (u64, u64),
}

struct Lister<'a> {
    root: &'a Root,
    directories: Directories<'a>,
    request: ListRequest,
    batch: Vec<Entry>,
    found: mpsc::Sender<Listed>,
    levels: Vec<Level>,
}

impl Lister<'_> {
    /// Handles one name; `None` when the listing has ended, or nobody wants more of it.
    fn step(&mut self) -> Option<()> {
        let level = self.levels.last_mut()?;
        let Some(name) = level.names.get(level.next) else {
            self.levels.pop();
            return Some(());
        };
        level.next += 1;
        let mut bytes = Vec::with_capacity(level.prefix.len() + name.len());
        bytes.extend_from_slice(&level.prefix);
        bytes.extend_from_slice(name);
        let key = Key::new(bytes);
        if self.request.until.as_ref().is_some_and(|until| key > *until) {
            return None;
        }
        let is_directory = key.as_bytes().ends_with(b"/");
        if let Some(after) = &self.request.after
            && key <= *after
            && !(is_directory && after.as_bytes().starts_with(key.as_bytes()))
        {
            return Some(());
        }
        if key.as_bytes().len() > KEY_BYTES_MAX {
            let detail = format!("a path below {} has more than 4096 bytes", self.root.show(b""));
            return self.unreadable(key, StoreError::new(ErrorCode::KeyUnsupported, detail));
        }
        if is_directory { self.descend(key) } else { self.file(key) }
    }

    /// Lists what is in the directory `key`, or the directory itself when nothing is.
    fn descend(&mut self, key: Key) -> Option<()> {
        if let Some(level) = self.levels.last_mut() {
            level.directory = None;
        }
        let path = &key.as_bytes()[..key.as_bytes().len() - 1];
        let level = match self.directories.find(path) {
            Ok(Some(directory)) => self.scan(key.as_bytes().to_vec(), directory),
            // Gone since its name was read.
            Ok(None) => return Some(()),
            Err(error) => Err(error),
        };
        match level {
            Ok(level) if level.names.is_empty() => {
                if self.request.after.as_ref().is_none_or(|after| key > *after) {
                    return self.push(directory_entry(key));
                }
            }
            Ok(level) if self.is_circle(&level) => {
                let detail = format!(
                    "{} is a link that leads back to a directory above it",
                    self.root.show(path)
                );
                return self.unreadable(key, StoreError::new(ErrorCode::Conflict, detail));
            }
            Ok(level) => self.levels.push(level),
            Err(error) => return self.unreadable(key, error),
        }
        Some(())
    }

    fn is_circle(&self, level: &Level) -> bool {
        self.directories.follows()
            && self.levels.iter().any(|above| above.identity == level.identity)
    }

    /// Lists the file, link or special file `key`.
    fn file(&mut self, key: Key) -> Option<()> {
        match self.find(&key) {
            Ok(Some(entry)) => self.push(entry),
            // Gone since its name was read.
            Ok(None) => Some(()),
            Err(error) => self.unreadable(key, error),
        }
    }

    fn find(&mut self, key: &Key) -> Result<Option<Entry>, StoreError> {
        let (parent, name) = split(key.as_bytes());
        let Some(level) = self.levels.last_mut() else { return Ok(None) };
        let directory = match &level.directory {
            Some(directory) => Rc::clone(directory),
            None => match self.directories.find(parent)? {
                Some(directory) => Rc::clone(level.directory.insert(directory)),
                None => return Ok(None),
            },
        };
        let path = KeyPath { whole: key.as_bytes(), parent, name, is_directory: false };
        entry(self.root, &self.directories, &directory, key, &path)
    }

    /// Reads the names of an open directory.
    fn scan(&self, prefix: Vec<u8>, directory: Rc<OwnedFd>) -> Result<Level, StoreError> {
        let shown = || self.root.show(&prefix);
        let read_error = |error: rustix::io::Errno| StoreError::io("list", shown(), &error.into());
        let status = Status::from(fstat(&*directory).map_err(read_error)?);
        let mut names = Names::default();
        for found in Dir::read_from(&*directory).map_err(read_error)? {
            let found = found.map_err(read_error)?;
            let name = found.file_name().to_bytes();
            if matches!(name, b"." | b"..") {
                continue;
            }
            let is_directory = self.is_directory(&prefix, &directory, name, found.file_type());
            if !(is_directory && is_staging(name)) {
                names.push(name, is_directory);
            }
        }
        names.sort();
        let identity = (status.device, status.inode);
        Ok(Level { prefix, names, next: 0, directory: Some(directory), identity })
    }

    /// Whether `name` is a directory, or leads to one. What cannot be told is none, and the error
    /// comes when its entry is asked for.
    fn is_directory(
        &self,
        prefix: &[u8],
        directory: &OwnedFd,
        name: &[u8],
        file_type: FileType,
    ) -> bool {
        let has_to_ask = match file_type {
            FileType::Unknown => true,
            FileType::Symlink => self.directories.follows(),
            _ => false,
        };
        if !has_to_ask {
            return file_type == FileType::Directory;
        }
        let path = [prefix, name].concat();
        let status = self.directories.status(directory, name, &path);
        matches!(status, Ok(Some(Status { file_type: FileType::Directory, .. })))
    }

    fn push(&mut self, entry: Entry) -> Option<()> {
        self.batch.push(entry);
        if self.batch.len() < BATCH_ENTRIES { Some(()) } else { self.flush() }
    }

    fn unreadable(&mut self, key: Key, error: StoreError) -> Option<()> {
        self.flush()?;
        self.found.blocking_send(Listed::Unreadable(key, error)).ok()
    }

    fn flush(&mut self) -> Option<()> {
        if self.batch.is_empty() {
            return (!self.found.is_closed()).then_some(());
        }
        let batch = std::mem::take(&mut self.batch);
        self.found.blocking_send(Listed::Entries(batch)).ok()
    }
}
