//! Which names the file system takes for one: tried in the staging directory, or, where nothing may be
//! written, looked for among the names that are there. And how names are really spelled there.
//!
//! It is found out for the root. Below it may be directories that differ (ext4 says so for each): of
//! those nothing is known.

use std::collections::BTreeSet;
use std::path::Path;

use airlift_protocol::error::ErrorCode;
use airlift_protocol::folding::{CaseFolding, Folding};
use rustix::fd::AsFd;
use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, openat, statat, unlinkat};
use rustix::io::Errno;

use super::directories::Directories;
use super::root::{OPEN_DIRECTORY, Root};
use crate::store::path::{ends, split};
use crate::store::spelling::{Spelling, taken_for};
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
/// In place of the first where that is refused: not every place takes all characters.
pub(in crate::store) const PLAIN_PROBE: &str = "Fold-";
/// The same, in other case.
pub(in crate::store) const PLAIN_OTHER_CASE: &str = "fOLD-";

/// Which names the file system below `root` takes for one.
pub(super) fn find_out(root: &Root, access: Access) -> Result<Folding, StoreError> {
    match access {
        Access::Write => root.folding_by(|| probe(root)),
        // What was tried before is better than what can be seen.
        Access::Read => match root.known_folding() {
            Some(known) => Ok(known),
            None => root.seen_folding_by(|| look(root)),
        },
    }
}

fn probe(root: &Root) -> Result<Folding, StoreError> {
    let staging = root.staging()?;
    if let Some([simple, full, form]) =
        try_names(root, &staging, PROBE, [OTHER_CASE, FULL_CASE, OTHER_FORM])?
    {
        return Ok(concluded(simple, full, form));
    }
    let found = try_names(root, &staging, PLAIN_PROBE, [PLAIN_OTHER_CASE])?;
    Ok(found.map_or(Folding::NONE, |[simple]| concluded(simple, false, false)))
}

/// Makes a file and looks for it under `others`; `None` when its own name is refused.
fn try_names<const N: usize>(
    root: &Root,
    staging: &impl AsFd,
    spelling: &str,
    others: [&str; N],
) -> Result<Option<[bool; N]>, StoreError> {
    let own = root.unique();
    let name = format!("{spelling}{own}");
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    let failed = |action: &str, error: Errno| {
        StoreError::io(action, format!("{}/{name}", root.show_staging()), &error.into())
    };
    match openat(staging, &name, flags, Mode::RUSR | Mode::WUSR) {
        Ok(_) => {}
        Err(Errno::ILSEQ | Errno::INVAL) => return Ok(None),
        Err(error) => return Err(failed("create", error)),
    }
    // Not told by its number: drivers in user space give each spelling one of its own.
    let found = others.map(|other| is_found(staging, format!("{other}{own}").as_bytes()));
    unlinkat(staging, &name, AtFlags::empty()).map_err(|error| failed("remove", error))?;
    let mut is_found = [false; N];
    for (place, found) in is_found.iter_mut().zip(found) {
        *place = found.map_err(|error| failed("look for", error))?;
    }
    Ok(Some(is_found))
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

/// Whether something is found under `name`, which nobody else gives.
fn is_found(directory: &impl AsFd, name: &[u8]) -> Result<bool, Errno> {
    match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => Ok(true),
        // Some refuse names that they would not store.
        Err(Errno::NOENT | Errno::ILSEQ | Errno::INVAL) => Ok(false),
        Err(error) => Err(error),
    }
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
    let names = read_names(&directory).map_err(failed)?;
    let others = names.iter().filter_map(|name| swapped(name));
    // A name that is there in both cases says nothing.
    for other in others.filter(|other| !names.contains(other)).take(NAMES_TRIED_MAX) {
        if is_found(&directory, &other).map_err(failed)? {
            return Ok(Folding { case: CaseFolding::Simple, ignores_form: false });
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
    let names = read_names(&*directory);
    names.map_err(|error| StoreError::io("list", root.show(path), &error.into()))
}

fn read_names(directory: &impl AsFd) -> Result<BTreeSet<Vec<u8>>, Errno> {
    let names = Dir::read_from(directory)?;
    names.map(|name| Ok(name?.file_name().to_bytes().to_vec())).collect()
}

/// `name` in its other case; `None` where it has no letters.
fn swapped(name: &[u8]) -> Option<Vec<u8>> {
    let swap = |byte: &u8| match byte.is_ascii_lowercase() {
        true => byte.to_ascii_uppercase(),
        false => byte.to_ascii_lowercase(),
    };
    name.iter().any(u8::is_ascii_alphabetic).then(|| name.iter().map(swap).collect())
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
