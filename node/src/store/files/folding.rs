//! Which names the file system takes for one: tried in the staging directory, or, where nothing may be
//! written, looked for among the names that are there. And how names are really spelled there.
//!
//! It is found out for the root. Below it may be directories that differ (ext4 says so for each): what
//! is written over by that is what such a directory was made for.

use std::collections::BTreeSet;
use std::path::Path;

use airlift_protocol::error::ErrorCode;
use airlift_protocol::folding::{CaseFolding, Folding};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, fstat, openat, statat, unlinkat};
use rustix::io::Errno;

use super::directories::Directories;
use super::root::{OPEN_DIRECTORY, Root};
use crate::store::path::split;
use crate::store::spelling::{Spelling, ends, taken_for};
use crate::store::{Access, StoreError};

/// Names of a directory that are tried in their other case.
const NAMES_TRIED_MAX: usize = 100;

/// The name of a file that is made to see by which other names it is found: what stands before the part
/// that is its own, in each spelling.
pub(in crate::store) const PROBE: &str = "Fold-\u{e9}\u{df}-";
/// The same, with other case of single letters.
pub(in crate::store) const OTHER_CASE: &str = "fOLD-\u{e9}\u{df}-";
/// The same, with a letter for two.
pub(in crate::store) const FULL_CASE: &str = "Fold-\u{e9}ss-";
/// The same, decomposed.
pub(in crate::store) const OTHER_FORM: &str = "Fold-e\u{301}\u{df}-";

/// Which names the file system below `root` takes for one.
pub(super) fn find_out(root: &Root, access: Access) -> Result<Folding, StoreError> {
    match access {
        Access::Write => root.folding_by(|| probe(root)),
        // What was tried before is better than what can be seen.
        Access::Read => root.known_folding().map_or_else(|| look(root), Ok),
    }
}

/// Makes a file and looks for it under other names.
fn probe(root: &Root) -> Result<Folding, StoreError> {
    let staging = root.staging()?;
    let own = root.unique();
    let name = format!("{PROBE}{own}");
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    let failed = |action: &str, error: Errno| {
        StoreError::io(action, format!("{}/{name}", root.show_staging()), &error.into())
    };
    let file = openat(&staging, &name, flags, Mode::RUSR | Mode::WUSR)
        .map_err(|error| failed("create", error))?;
    let is_found = |spelling: &str| is_same(&staging, &format!("{spelling}{own}"), &file);
    let found = [OTHER_CASE, FULL_CASE, OTHER_FORM].map(is_found);
    unlinkat(&staging, &name, AtFlags::empty()).map_err(|error| failed("remove", error))?;
    let [simple, full, form] = found.map(|found| found.map_err(|error| failed("look for", error)));
    Ok(concluded(simple?, full?, form?))
}

/// What it means that a file was found under its other names.
pub(in crate::store) fn concluded(simple: bool, full: bool, form: bool) -> Folding {
    let case = match (simple, full) {
        (_, true) => CaseFolding::Full,
        (true, false) => CaseFolding::Simple,
        (false, false) => CaseFolding::None,
    };
    Folding { case, ignores_form: form }
}

/// Whether `name` leads to `file`.
fn is_same(directory: &OwnedFd, name: &str, file: &OwnedFd) -> Result<bool, Errno> {
    let there = match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(there) => there,
        // Some refuse names that they would not store.
        Err(Errno::NOENT | Errno::ILSEQ | Errno::INVAL) => return Ok(false),
        Err(error) => return Err(error),
    };
    let file = fstat(file)?;
    Ok((there.st_dev, there.st_ino) == (file.st_dev, file.st_ino))
}

/// Looks for names at the root, or where it would be made, that are found in their other case, too.
fn look(root: &Root) -> Result<Folding, StoreError> {
    let directory = match root.open() {
        Ok(directory) => directory,
        Err(error) if error.code == ErrorCode::LocationMissing => {
            let above = root.path().ancestors().skip(1);
            let open = |path: &Path| openat(CWD, path, OPEN_DIRECTORY, Mode::empty()).ok();
            let Some(directory) = above.into_iter().find_map(open) else {
                return Ok(Folding::NONE);
            };
            directory
        }
        Err(error) => return Err(error),
    };
    let failed = |error: Errno| StoreError::io("list", root.show(b""), &error.into());
    let mut tried = 0;
    for name in Dir::read_from(&directory).map_err(failed)? {
        let name = name.map_err(failed)?;
        let name = name.file_name().to_bytes();
        let Some(other) = swapped(name) else { continue };
        if has_one_file(&directory, name, &other).map_err(failed)? {
            return Ok(Folding { case: CaseFolding::Simple, ignores_form: false });
        }
        tried += 1;
        if tried == NAMES_TRIED_MAX {
            break;
        }
    }
    Ok(Folding::NONE)
}

/// Fails when what is at `path` is spelled otherwise there, or a directory on the way to it.
pub(super) fn check(
    root: &Root,
    directories: &mut Directories<'_>,
    spelling: &mut Spelling,
    path: &[u8],
) -> Result<(), StoreError> {
    for end in ends(path) {
        let (parent, name) = split(&path[..end]);
        if !spelling.knows(parent) {
            let names = names_in(root, directories, parent)?;
            spelling.learn(parent, names);
        }
        if let Some(there) = spelling.other(name) {
            return Err(taken_for(&root.show(&path[..end]), &there));
        }
    }
    Ok(())
}

/// The names in the directory `path`; none where there is no such directory.
fn names_in(
    root: &Root,
    directories: &mut Directories<'_>,
    path: &[u8],
) -> Result<BTreeSet<Vec<u8>>, StoreError> {
    let Some(directory) = directories.find(path)? else { return Ok(BTreeSet::new()) };
    let names = Dir::read_from(&*directory)
        .and_then(|names| names.map(|name| Ok(name?.file_name().to_bytes().to_vec())).collect());
    names.map_err(|error| StoreError::io("list", root.show(path), &error.into()))
}

/// `name` in its other case; `None` where it has no letters.
fn swapped(name: &[u8]) -> Option<Vec<u8>> {
    let swap = |byte: &u8| match byte.is_ascii_lowercase() {
        true => byte.to_ascii_uppercase(),
        false => byte.to_ascii_lowercase(),
    };
    name.iter().any(u8::is_ascii_alphabetic).then(|| name.iter().map(swap).collect())
}

/// Whether two names are of one file that has only one of them.
fn has_one_file(directory: &impl AsFd, one: &[u8], other: &[u8]) -> Result<bool, Errno> {
    let status = |name: &[u8]| match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(status) => Ok(Some(status)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    };
    let (Some(one), Some(other)) = (status(one)?, status(other)?) else { return Ok(false) };
    let has_one_name =
        FileType::from_raw_mode(one.st_mode) == FileType::Directory || one.st_nlink == 1;
    Ok(has_one_name && (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino))
}

#[cfg(test)]
mod tests {
    use airlift_protocol::id::JobId;
    use airlift_protocol::job::LinkPolicy;

    use super::*;
    use crate::store::fence::Fence;
    use crate::store::folding::fold;

    fn root(path: &Path) -> Root {
        Root::new(path, JobId([7; 16]), LinkPolicy::Skip, Fence::default(), 1)
    }

    #[test]
    fn a_file_system_that_tells_names_apart_is_known_and_nothing_stays() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("Read"), "").unwrap();
        // One file with both names does not make a file system that folds.
        std::fs::hard_link(directory.path().join("Read"), directory.path().join("rEAD")).unwrap();
        let root = root(directory.path());
        assert_eq!(find_out(&root, Access::Read).unwrap(), Folding::NONE);
        assert_eq!(root.known_folding(), None, "what was only looked at is not known");
        assert_eq!(find_out(&root, Access::Write).unwrap(), Folding::NONE);
        assert_eq!(root.known_folding(), Some(Folding::NONE));
        let staging = root.find_staging().unwrap().expect("a staging directory");
        let names = Dir::read_from(&staging).unwrap().filter_map(Result::ok);
        let names: Vec<_> = names.map(|name| name.file_name().to_owned()).collect();
        assert_eq!(names.len(), 2, "beside . and .. in {names:?}");
        let missing = directory.path().join("not/yet/there");
        assert_eq!(find_out(&self::root(&missing), Access::Read).unwrap(), Folding::NONE);
    }

    #[test]
    fn another_spelling_on_the_way_is_named() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("Dir")).unwrap();
        std::fs::write(directory.path().join("Dir/Read"), "").unwrap();
        let root = root(directory.path());
        let folding = Folding { case: CaseFolding::Simple, ignores_form: false };
        root.folding_by(|| Ok(folding)).unwrap();
        let mut spelling = Spelling::new(root.known_folding()).expect("names fold");
        let mut directories = Directories::for_reading(&root).unwrap();
        let mut check = |path: &str| check(&root, &mut directories, &mut spelling, path.as_bytes());
        check("Dir/Read").unwrap();
        let error = check("Dir/READ").unwrap_err();
        assert_eq!(error.code, ErrorCode::Conflict);
        assert!(
            error.detail().contains("Dir/READ") && error.detail().contains("'Read'"),
            "{error}"
        );
        assert!(check("dir/new").unwrap_err().detail().contains("'Dir'"));
        check("Dir/new").unwrap();
    }

    #[test]
    fn the_spellings_differ_in_what_they_are_to_find_out() {
        use CaseFolding::{Full, None, Simple};
        for (case, form) in
            [(None, false), (None, true), (Simple, false), (Simple, true), (Full, true)]
        {
            let folding = Folding { case, ignores_form: form };
            let is_found =
                |other: &str| fold(folding, PROBE.as_bytes()) == fold(folding, other.as_bytes());
            let [simple, full, form] = [OTHER_CASE, FULL_CASE, OTHER_FORM].map(is_found);
            assert_eq!(concluded(simple, full, form), folding);
        }
        assert_eq!(swapped(b"aB-1").as_deref(), Some(&b"Ab-1"[..]));
        assert_eq!(swapped(b"12"), Option::None);
    }
}
