//! Deleting what still is as listed, and removing what a job staged.

use airlift_protocol::error::ErrorCode;
use airlift_protocol::manifest::{Entry, Kind};
use rustix::fs::{AtFlags, unlinkat};
use rustix::io::Errno;

use super::directories::Directories;
use super::lanes;
use super::list::link_text;
use super::root::Root;
use crate::store::StoreError;
use crate::store::path::KeyPath;

/// Deletes `entries`; results in order. Directories that this leaves empty stay: whether they go
/// is for the caller to say, who knows the source.
pub(super) fn delete(root: &Root, entries: &[Entry]) -> Vec<Result<(), StoreError>> {
    let mut directories = match Directories::for_writing(root) {
        Ok(directories) => directories,
        Err(error) => return entries.iter().map(|_| Err(error.clone())).collect(),
    };
    let mut results: Vec<Result<(), StoreError>> =
        entries.iter().map(|entry| delete_one(root, &mut directories, entry)).collect();
    if let Err(error) = directories.sync() {
        for result in results.iter_mut().filter(|result| result.is_ok()) {
            *result = Err(error.clone());
        }
    }
    results
}

fn delete_one(
    root: &Root,
    directories: &mut Directories<'_>,
    entry: &Entry,
) -> Result<(), StoreError> {
    let path = KeyPath::of(&entry.key)?;
    let Some(parent) = directories.find(path.parent)? else { return Ok(()) };
    let Some(status) = directories.status(&*parent, path.name, path.whole)? else { return Ok(()) };
    let shown = || root.show(path.whole);
    let has_same_text = match &entry.kind {
        Kind::Symlink(text) => {
            link_text(root, &parent, path.name, path.whole)?.as_ref() == Some(text)
        }
        Kind::Object | Kind::Directory | Kind::Special => true,
    };
    if !has_same_text || !status.is_as_listed(entry) {
        return Err(StoreError::new(
            ErrorCode::Conflict,
            format!("{} changed since it was listed: it was not deleted", shown()),
        ));
    }
    let flags = if entry.kind == Kind::Directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
    root.fence().check()?;
    match unlinkat(&*parent, path.name, flags) {
        Ok(()) => {}
        Err(Errno::NOENT) => return Ok(()),
        Err(Errno::NOTEMPTY | Errno::EXIST) => {
            return Err(StoreError::new(
                ErrorCode::Conflict,
                format!("{} is not empty: it was not deleted", shown()),
            ));
        }
        Err(error) => return Err(StoreError::io("delete", shown(), &error.into())),
    }
    if entry.kind == Kind::Directory {
        directories.forget(path.whole);
    }
    directories.mark(path.parent);
    Ok(())
}

/// Removes the staging directory with what is in it.
pub(super) fn clean(root: &Root) -> Result<(), StoreError> {
    root.fence().check()?;
    let staging = match root.find_staging() {
        Ok(Some(staging)) => staging,
        Ok(None) => return Ok(()),
        Err(error) if error.code == ErrorCode::LocationMissing => return Ok(()),
        Err(error) => return Err(error),
    };
    root.lanes().forget();
    lanes::empty(root, &staging)?;
    root.remove_staging()
}
