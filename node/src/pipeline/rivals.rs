//! Names of the source that a target takes for one: found before anything moves, by listing the source
//! once more and sorting what the target would see of its names, on disk where that is much.
//!
//! ```text
//! listing ─▶ each name once: folded, and as it is ─▶ sorted ─▶ those that share a folded form
//! ```
//!
//! A name is that of an object or of a directory above it: `A/x` and `a/y` have rivals, too, since one of
//! the two would arrive under another name than its own. Which of them is the right one nobody can
//! know, so that none of them is moved.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use airlift_protocol::error::ErrorCode;
use airlift_protocol::folding::Folding;
use airlift_protocol::job::{JobSpec, KeyPolicy, LinkPolicy};
use airlift_protocol::key::Key;
use airlift_protocol::limits::RIVALS_NAMED_MAX;
use airlift_protocol::manifest::{Entry, Kind};
use tokio::sync::{Mutex, mpsc};

use super::names;
use crate::inventory::Inventory;
use crate::inventory::sort::{Item, Sorted, Sorter};
use crate::runtime::blocking::blocking;
use crate::runtime::filter::Filter;
use crate::store::folding::fold;
use crate::store::{ListRequest, Listed, Store, StoreError};

/// Batches of entries between a lister and the sorter.
const LISTED_AHEAD: usize = 8;

/// Names that are read back from the sorter at a time.
const BATCH: usize = 1_000;

/// Names with rivals that are kept in memory. A source with more of them is for another target.
const NAMES_MAX: usize = 100_000;

/// What a job says of its source, for whoever looks for rivals in it.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    /// The source's store.
    pub store: Arc<dyn Store>,
    /// What is read in place of a listing.
    pub inventory: Option<Inventory>,
    /// Which keys take part.
    pub filter: Arc<Filter>,
    /// What was asked.
    pub spec: Arc<JobSpec>,
    /// Where what does not fit into memory is put aside meanwhile.
    pub scratch: PathBuf,
}

/// The rivals among the names of one source, looked for when they are first asked for.
#[derive(Debug)]
pub struct Rivals {
    names: Names,
    /// Of the last target that was asked about.
    found: Mutex<Option<(Folding, Arc<Found>)>>,
}

impl Rivals {
    /// Those among `names`.
    pub(crate) fn among(names: Names) -> Self {
        Self { names, found: Mutex::new(None) }
    }

    /// For each of `keys` the other names that a place with `folding` takes for its own, or for that of
    /// a directory above it: the first of them; none where there is none.
    ///
    /// # Errors
    /// When the source cannot be listed, or has more rivals than can be kept.
    pub async fn of(&self, folding: Folding, keys: &[Key]) -> Result<Vec<Vec<Key>>, StoreError> {
        // Held while the source is listed: whoever asks meanwhile waits for the same answer.
        let mut found = self.found.lock().await;
        let known = match &*found {
            Some((known, names)) if *known == folding => Arc::clone(names),
            _ => {
                let names = Arc::new(self.names.find(folding).await?);
                *found = Some((folding, Arc::clone(&names)));
                names
            }
        };
        drop(found);
        Ok(keys.iter().map(|key| known.of(&self.names.at_target(key))).collect())
    }
}

impl Names {
    /// The key that the target would get, as far as that can be told without it: an escaped one folds
    /// with the same others as what it stands for.
    fn at_target(&self, key: &Key) -> Key {
        match self.spec.policy.keys {
            KeyPolicy::Exact | KeyPolicy::Escape => key.clone(),
            KeyPolicy::Restore => names::restore(key, &Kind::Object).unwrap_or_else(|| key.clone()),
        }
    }

    async fn find(&self, folding: Folding) -> Result<Found, StoreError> {
        let scratch = self.scratch.clone();
        let made = blocking(move || std::fs::create_dir_all(&scratch)).await;
        made.map_err(|error| StoreError::io("create", self.scratch.display(), &error))?;
        let (sender, mut listed) = mpsc::channel(LISTED_AHEAD);
        let request = ListRequest::default();
        let list = async {
            match &self.inventory {
                Some(inventory) => inventory.list(&*self.store, request, sender).await,
                None => self.store.list(request, sender).await,
            }
        };
        let sort = async {
            let mut sorting = Sorting::new(folding, self.scratch.clone());
            while let Some(found) = listed.recv().await {
                // What cannot be listed is not moved either.
                let Listed::Entries(entries) = found else { continue };
                let keys: Vec<Key> = entries.iter().filter_map(|entry| self.moved(entry)).collect();
                sorting = blocking(move || sorting.push_all(keys)).await?;
            }
            Ok::<Sorting, StoreError>(sorting)
        };
        let (list, sorting) = tokio::join!(list, sort);
        list?;
        let sorting = sorting?;
        blocking(move || sorting.finish()).await
    }

    /// The key that `entry` would have at the target, if it takes part.
    fn moved(&self, entry: &Entry) -> Option<Key> {
        let is_moved = match entry.kind {
            Kind::Special => false,
            Kind::Symlink(_) => self.spec.policy.links != LinkPolicy::Skip,
            Kind::Object | Kind::Directory => true,
        };
        (is_moved && self.filter.accepts(&entry.key)).then(|| self.at_target(&entry.key))
    }
}

/// The names of a source on their way into the order of their folded forms.
#[derive(Debug)]
struct Sorting {
    folding: Folding,
    sorter: Sorter,
    /// The path before, whose names were taken.
    last: Vec<u8>,
}

impl Sorting {
    fn new(folding: Folding, scratch: PathBuf) -> Self {
        Self { folding, sorter: Sorter::new(scratch), last: Vec::new() }
    }

    fn push_all(mut self, keys: Vec<Key>) -> Result<Self, StoreError> {
        for key in keys {
            let bytes = key.as_bytes();
            let path = bytes.strip_suffix(b"/").unwrap_or(bytes);
            // No place that folds names can hold it, and rows end their first part with such a byte.
            if path.contains(&0) {
                continue;
            }
            let shared = shared_names(&self.last, path);
            for end in ends(path).filter(|end| *end > shared) {
                let row = row(self.folding, &path[..end]);
                self.sorter.push(Item { key: row, entry: None })?;
            }
            self.last = path.to_vec();
        }
        Ok(self)
    }

    fn finish(self) -> Result<Found, StoreError> {
        let mut sorted = self.sorter.finish()?;
        let mut found = Found::default();
        let mut group: Vec<Key> = Vec::new();
        let mut form: Vec<u8> = Vec::new();
        loop {
            let rows = next_rows(&mut sorted)?;
            if rows.is_empty() {
                break;
            }
            for Row { folded, name } in rows {
                if folded != form {
                    found.add(std::mem::take(&mut group))?;
                    form = folded;
                }
                group.push(name);
            }
        }
        found.add(group)?;
        Ok(found)
    }
}

/// The folded form of `path`, a zero byte, and the path.
fn row(folding: Folding, path: &[u8]) -> Key {
    let mut row = fold(folding, path);
    row.push(0);
    row.extend_from_slice(path);
    Key::new(row)
}

/// The next names with their folded forms; none at the end.
fn next_rows(sorted: &mut Sorted) -> Result<Vec<Row>, StoreError> {
    let rows = sorted.batch(BATCH)?;
    Ok(rows.iter().map(|item| Row::of(&item.key)).collect())
}

/// A name beside its folded form.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    folded: Vec<u8>,
    name: Key,
}

impl Row {
    fn of(sorted: &Key) -> Self {
        let bytes = sorted.as_bytes();
        let end = bytes.iter().position(|byte| *byte == 0);
        let end = end.expect("invariant: every row has its zero byte");
        Self { folded: bytes[..end].to_vec(), name: Key::new(&bytes[end + 1..]) }
    }
}

/// Where each name of a path ends.
fn ends(path: &[u8]) -> impl Iterator<Item = usize> {
    let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    slashes.map(|(at, _)| at).chain([path.len()])
}

/// Where the last of the names ends that two paths begin with.
fn shared_names(one: &[u8], other: &[u8]) -> usize {
    let is_shared = |end: &usize| one.get(..*end) == Some(&other[..*end]);
    let is_name = |end: &usize| matches!(one.get(*end), None | Some(b'/'));
    let shared = ends(other).take_while(is_shared).filter(is_name).last();
    shared.unwrap_or(0)
}

/// Names that have rivals, the topmost on each way.
#[derive(Debug, Default)]
struct Found {
    groups: BTreeMap<Key, Arc<[Key]>>,
}

impl Found {
    /// Takes names that share a folded form. Groups come in the order of their forms, so that the
    /// directories above come before what is in them.
    fn add(&mut self, group: Vec<Key>) -> Result<(), StoreError> {
        let is_new = |name: &&Key| {
            let mut above = ends(name.as_bytes()).map(|end| Key::new(&name.as_bytes()[..end]));
            !above.any(|above| self.groups.contains_key(&above))
        };
        if group.len() < 2 || !group.iter().all(|name| is_new(&name)) {
            return Ok(());
        }
        if self.groups.len() + group.len() > NAMES_MAX {
            let text = format!(
                "more than {NAMES_MAX} names of the source would be taken for others at the target, \
                 such as '{}' and '{}': choose another target, or leave some out with --exclude",
                group[0], group[1]
            );
            return Err(StoreError::new(ErrorCode::KeyUnsupported, text));
        }
        let group: Arc<[Key]> = group.into();
        self.groups.extend(group.iter().map(|name| (name.clone(), Arc::clone(&group))));
        Ok(())
    }

    fn of(&self, key: &Key) -> Vec<Key> {
        let bytes = key.as_bytes();
        let path = bytes.strip_suffix(b"/").unwrap_or(bytes);
        let mut names = ends(path).map(|end| Key::new(&path[..end]));
        let Some((own, group)) =
            names.find_map(|name| Some((name.clone(), self.groups.get(&name)?)))
        else {
            return Vec::new();
        };
        group.iter().filter(|name| **name != own).take(RIVALS_NAMED_MAX).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use airlift_protocol::folding::CaseFolding;
    use proptest::prelude::*;

    use super::*;

    const FOLDING: Folding = Folding { case: CaseFolding::Full, ignores_form: true };

    fn found(keys: &[&str]) -> Found {
        let scratch = tempfile::tempdir().unwrap();
        let keys: BTreeSet<Key> = keys.iter().map(|key| Key::from(*key)).collect();
        let sorting = Sorting::new(FOLDING, scratch.path().to_owned());
        sorting.push_all(keys.into_iter().collect()).unwrap().finish().unwrap()
    }

    fn rivals(found: &Found, key: &str) -> Vec<String> {
        found.of(&Key::from(key)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn rivals_name_each_other() {
        let found = found(&[
            "a.txt",
            "A.TXT",
            "A.txt",
            "alone",
            "Dir/x",
            "dir/y",
            "dir/z/",
            "e\u{301}",
            "\u{e9}",
            "file",
            "File/below",
            "same/A",
            "same/b",
            "empty/",
            "Empty/",
        ]);
        assert_eq!(rivals(&found, "a.txt"), ["A.TXT", "A.txt"]);
        assert_eq!(rivals(&found, "A.txt"), ["A.TXT", "a.txt"]);
        assert_eq!(rivals(&found, "Dir/x"), ["dir"]);
        assert_eq!(rivals(&found, "dir/z/"), ["Dir"]);
        assert_eq!(rivals(&found, "\u{e9}"), ["e\u{301}"]);
        assert_eq!(rivals(&found, "file"), ["File"]);
        assert_eq!(rivals(&found, "File/below"), ["file"]);
        assert_eq!(rivals(&found, "empty/"), ["Empty"]);
        for key in ["alone", "same/A", "same/b", "other"] {
            assert_eq!(rivals(&found, key), [""; 0], "{key}");
        }
    }

    #[test]
    fn what_begins_alike_is_another_name() {
        assert_eq!(shared_names(b"a/b/c", b"a/b/d"), 3);
        assert_eq!(shared_names(b"a/bc", b"a/b"), 1);
        assert_eq!(shared_names(b"a", b"a/b"), 1);
        assert_eq!((shared_names(b"", b"a"), shared_names(b"b", b"a")), (0, 0));
    }

    #[test]
    fn too_many_rivals_are_an_error_that_names_two() {
        let mut found = Found::default();
        let name = |prefix: &str, number: usize| Key::from(format!("{prefix}{number}").as_str());
        for number in 0..NAMES_MAX / 2 {
            found.add(vec![name("A", number), name("a", number)]).unwrap();
        }
        let error = found.add(vec![Key::from("B"), Key::from("b")]).unwrap_err();
        assert!(error.detail().contains("'B' and 'b'"), "{error}");
    }

    proptest! {
        #[test]
        fn two_keys_are_rivals_if_and_only_if_one_would_arrive_under_another_name(
            keys in prop::collection::btree_set("[aAb](/[aA])?(/[aA])?/?", 1..12)
        ) {
            let names: Vec<&str> = keys.iter().map(String::as_str).collect();
            let found = found(&names);
            for key in &names {
                let path = |key: &str| key.trim_end_matches('/').to_owned();
                // Any name of another key that is not a name of this one, and folds to one of it.
                let own = path(key);
                let is_rival = names.iter().any(|other| {
                    let other = path(other);
                    ends(other.as_bytes()).any(|end| {
                        let (theirs, ours) = (&other[..end], own.get(..end).unwrap_or_default());
                        theirs != ours && theirs.to_lowercase() == ours.to_lowercase()
                            && ends(own.as_bytes()).any(|own_end| own_end == end)
                    })
                });
                prop_assert_eq!(!found.of(&Key::from(*key)).is_empty(), is_rival, "{}", key);
            }
        }
    }
}
