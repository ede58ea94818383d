//! Names in the order of their folded forms, in a file without a name of its own: found by their form,
//! and not kept in memory, however many they are.
//!
//! ```text
//! names ─▶ sorted by form ─▶ blocks in the file;  in memory: the form with which each block begins
//! ```

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use airlift_protocol::folding::Folding;
use airlift_protocol::key::Key;
use airlift_protocol::limits::RIVALS_NAMED_MAX;

use crate::inventory::sort::{Item, Sorted, Sorter};
use crate::store::StoreError;
use crate::store::folding::fold;
use crate::store::path::ends;

/// Names that are read back from the sorter at a time.
const BATCH: usize = 1_000;

/// Bytes after which a block ends, with the last name of its form: a hundred million names of 60 bytes make
/// some fifty thousand blocks.
const BLOCK_BYTES: usize = 128 << 10;

/// Names of one form that are kept: one's own, and as many others as are named.
const FORM_NAMES_MAX: usize = RIVALS_NAMED_MAX + 1;

/// Which names are kept to be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    /// Every one: for names that may be no names of the source.
    All,
    /// Those that share their form with another one.
    Rivals,
}

/// The names of a source on their way into the order of their folded forms.
#[derive(Debug)]
pub(super) struct Sorting {
    folding: Folding,
    scratch: PathBuf,
    sorter: Sorter,
    /// The path before, whose names were taken.
    last: Vec<u8>,
}

impl Sorting {
    /// Before the first name; what does not fit into memory goes to the directory `scratch`.
    pub(super) fn new(folding: Folding, scratch: PathBuf) -> Self {
        Self { folding, sorter: Sorter::new(scratch.clone()), scratch, last: Vec::new() }
    }

    /// Takes the names of objects and of directories above them. May write to disk.
    ///
    /// # Errors
    /// When they cannot be put aside.
    pub(super) fn push_all(mut self, keys: Vec<Key>) -> Result<Self, StoreError> {
        for key in keys {
            let path = path_of(&key);
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

    /// What was taken, as far as it is to be kept. Reads and writes on disk.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(super) fn finish(self, keep: Keep) -> Result<FoldedNames, StoreError> {
        let Self { folding, scratch, sorter, .. } = self;
        let mut sorted = sorter.finish()?;
        let failed = |error: &io::Error| failed("put aside names in", &scratch, error);
        let mut writer = Writer::new(&scratch, keep).map_err(|error| failed(&error))?;
        loop {
            let rows = next_rows(&mut sorted)?;
            if rows.is_empty() {
                break;
            }
            rows.into_iter().try_for_each(|row| writer.add(row)).map_err(|error| failed(&error))?;
        }
        let (file, blocks) = writer.finish().map_err(|error| failed(&error))?;
        Ok(FoldedNames { folding, scratch, file, blocks })
    }
}

/// The key as a path: without the slash that ends a directory's.
fn path_of(key: &Key) -> &[u8] {
    let bytes = key.as_bytes();
    bytes.strip_suffix(b"/").unwrap_or(bytes)
}

/// Where the last of the names ends that two paths begin with.
fn shared_names(one: &[u8], other: &[u8]) -> usize {
    let is_shared = |end: &usize| one.get(..*end) == Some(&other[..*end]);
    let is_name = |end: &usize| matches!(one.get(*end), None | Some(b'/'));
    let shared = ends(other).take_while(is_shared).filter(is_name).last();
    shared.unwrap_or(0)
}

fn failed(action: &str, scratch: &Path, error: &io::Error) -> StoreError {
    StoreError::io(action, scratch.display(), error)
}

/// The folded form of `path`, a zero byte, and the path.
fn row(folding: Folding, path: &[u8]) -> Key {
    let mut row = fold(folding, path);
    row.push(0);
    row.extend_from_slice(path);
    Key::new(row)
}

/// A name beside its folded form.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    form: Vec<u8>,
    name: Key,
}

impl Row {
    fn of(sorted: &Key) -> Self {
        let bytes = sorted.as_bytes();
        let end = bytes.iter().position(|byte| *byte == 0);
        let end = end.expect("invariant: every row has its zero byte");
        Self { form: bytes[..end].to_vec(), name: Key::new(&bytes[end + 1..]) }
    }
}

/// The next names with their folded forms; none at the end.
fn next_rows(sorted: &mut Sorted) -> Result<Vec<Row>, StoreError> {
    let rows = sorted.batch(BATCH)?;
    Ok(rows.iter().map(|item| Row::of(&item.key)).collect())
}

/// A part of the file: whole groups of names that share a form.
#[derive(Debug)]
struct Block {
    /// The form with which it begins.
    form: Vec<u8>,
    start: u64,
    bytes: usize,
}

/// Writes names that come in the order of their forms.
struct Writer {
    keep: Keep,
    file: BufWriter<File>,
    blocks: Vec<Block>,
    form: Vec<u8>,
    /// The first names of that form.
    names: Vec<Key>,
}

impl Writer {
    fn new(scratch: &Path, keep: Keep) -> io::Result<Self> {
        let file = BufWriter::new(tempfile::tempfile_in(scratch)?);
        Ok(Self { keep, file, blocks: Vec::new(), form: Vec::new(), names: Vec::new() })
    }

    fn add(&mut self, Row { form, name }: Row) -> io::Result<()> {
        if form != self.form {
            self.end_form()?;
            self.form = form;
        }
        if self.names.len() < FORM_NAMES_MAX {
            self.names.push(name);
        }
        Ok(())
    }

    fn end_form(&mut self) -> io::Result<()> {
        let names = std::mem::take(&mut self.names);
        if names.is_empty() || (self.keep == Keep::Rivals && names.len() < 2) {
            return Ok(());
        }
        if self.blocks.last().is_none_or(|block| block.bytes >= BLOCK_BYTES) {
            let start = self.blocks.last().map_or(0, |block| block.start + block.bytes as u64);
            self.blocks.push(Block { form: self.form.clone(), start, bytes: 0 });
        }
        for name in names {
            let bytes = name.as_bytes();
            self.file.write_all(&(bytes.len() as u32).to_le_bytes())?;
            self.file.write_all(bytes)?;
            if let Some(block) = self.blocks.last_mut() {
                block.bytes += 4 + bytes.len();
            }
        }
        Ok(())
    }

    fn finish(mut self) -> io::Result<(File, Vec<Block>)> {
        self.end_form()?;
        Ok((self.file.into_inner()?, self.blocks))
    }
}

/// Names, found by their folded form.
#[derive(Debug)]
pub(super) struct FoldedNames {
    folding: Folding,
    scratch: PathBuf,
    file: File,
    blocks: Vec<Block>,
}

impl FoldedNames {
    /// For each of `keys`, best in their order, the other names that are taken for its own, or for that
    /// of a directory above it: those of the topmost that has such, the first of them. Reads from disk.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(super) fn others(&self, keys: &[Key]) -> Result<Vec<Vec<Key>>, StoreError> {
        let mut search = Search { names: self, block: None };
        // The path before, and where of its names one was found that has others.
        let (mut last, mut found): (&[u8], Option<(usize, Vec<Key>)>) = (b"", None);
        let mut all = Vec::with_capacity(keys.len());
        for key in keys {
            let path = path_of(key);
            let shared = shared_names(last, path);
            found = found.take().filter(|(end, _)| *end <= shared);
            if found.is_none() {
                for end in ends(path).filter(|end| *end > shared) {
                    let others = search.others(&path[..end])?;
                    if !others.is_empty() {
                        found = Some((end, others));
                        break;
                    }
                }
            }
            last = path;
            all.push(found.as_ref().map(|(_, others)| others.clone()).unwrap_or_default());
        }
        Ok(all)
    }

    /// The names of a block, with their forms.
    fn read(&self, block: &Block) -> Result<Vec<Row>, StoreError> {
        let mut bytes = vec![0; block.bytes];
        let read = self.file.read_exact_at(&mut bytes, block.start);
        read.map_err(|error| failed("read names back from", &self.scratch, &error))?;
        let mut rows = Vec::new();
        let mut rest = &bytes[..];
        while let Some((length, behind)) = rest.split_first_chunk::<4>() {
            let Some((name, behind)) =
                behind.split_at_checked(u32::from_le_bytes(*length) as usize)
            else {
                break;
            };
            rows.push(Row { form: fold(self.folding, name), name: Key::new(name) });
            rest = behind;
        }
        Ok(rows)
    }
}

/// A search for many names, each near to the one before.
struct Search<'a> {
    names: &'a FoldedNames,
    /// The block that was looked into last.
    block: Option<(usize, Vec<Row>)>,
}

impl Search<'_> {
    /// The names that are taken for `name` and are others.
    fn others(&mut self, name: &[u8]) -> Result<Vec<Key>, StoreError> {
        let form = fold(self.names.folding, name);
        let behind = self.names.blocks.partition_point(|block| block.form <= form);
        let Some(place) = behind.checked_sub(1) else { return Ok(Vec::new()) };
        let rows = match self.block.take() {
            Some((at, rows)) if at == place => rows,
            _ => self.names.read(&self.names.blocks[place])?,
        };
        let first = rows.partition_point(|row| row.form < form);
        let same = rows[first..].iter().take_while(|row| row.form == form);
        let others = same.map(|row| &row.name).filter(|other| other.as_bytes() != name);
        let others = others.take(RIVALS_NAMED_MAX).cloned().collect();
        self.block = Some((place, rows));
        Ok(others)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use airlift_protocol::folding::CaseFolding;
    use proptest::prelude::*;

    use super::*;

    const FOLDING: Folding = Folding { case: CaseFolding::Full, ignores_form: true };

    fn found(keys: impl IntoIterator<Item = Key>, keep: Keep) -> FoldedNames {
        let scratch = tempfile::tempdir().unwrap();
        let keys: BTreeSet<Key> = keys.into_iter().collect();
        let sorting = Sorting::new(FOLDING, scratch.path().to_owned());
        sorting.push_all(keys.into_iter().collect()).unwrap().finish(keep).unwrap()
    }

    fn others(names: &FoldedNames, key: &str) -> Vec<String> {
        let others = names.others(&[Key::from(key)]).unwrap();
        others[0].iter().map(ToString::to_string).collect()
    }

    #[test]
    fn names_that_are_taken_for_one_name_each_other() {
        let keys = [
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
        ];
        for keep in [Keep::All, Keep::Rivals] {
            let names = found(keys.map(Key::from), keep);
            assert_eq!(others(&names, "a.txt"), ["A.TXT", "A.txt"]);
            assert_eq!(others(&names, "A.txt"), ["A.TXT", "a.txt"]);
            assert_eq!(others(&names, "Dir/x"), ["dir"]);
            assert_eq!(others(&names, "dir/z/"), ["Dir"]);
            assert_eq!(others(&names, "\u{e9}"), ["e\u{301}"]);
            assert_eq!(others(&names, "file"), ["File"]);
            assert_eq!(others(&names, "File/below"), ["file"]);
            assert_eq!(others(&names, "empty/"), ["Empty"]);
            for key in ["alone", "same/A", "same/b", "other", "a", "zzz"] {
                assert_eq!(others(&names, key), [""; 0], "{key}");
            }
            // What the source does not have.
            assert_eq!(others(&names, "FILE"), ["File", "file"]);
            let expected: &[&str] = if keep == Keep::All { &["alone"] } else { &[] };
            assert_eq!(others(&names, "ALONE"), expected);
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
    fn names_are_found_in_any_block_and_few_of_many_are_named() {
        let number = |number: usize| format!("directory/with a long name/{number:07}-A");
        let many = (0..20_000).map(|it| Key::from(number(it).as_str()));
        let spellings = (0..1_024_u32).map(|bits| {
            let letter = |place: u32| if bits >> place & 1 == 1 { 'X' } else { 'x' };
            Key::from((0..10).map(letter).collect::<String>().as_str())
        });
        let names = found(many.chain(spellings), Keep::All);
        assert!(names.blocks.len() > 5, "{} blocks", names.blocks.len());
        for at in (0..20_000).step_by(997) {
            let upper = number(at).replace('A', "a");
            assert_eq!(others(&names, &upper), [number(at)]);
            assert_eq!(others(&names, &number(at)), [""; 0]);
        }
        for spelling in ["xxxxxxxxxx", "XXXXXXXXXX", "XxXxXxXxXx"] {
            let others = others(&names, spelling);
            assert_eq!(others.len(), RIVALS_NAMED_MAX);
            assert!(!others.contains(&spelling.to_owned()));
        }
    }

    proptest! {
        #[test]
        fn two_keys_are_rivals_if_and_only_if_one_would_arrive_under_another_name(
            keys in prop::collection::btree_set("[aAb](/[aA])?(/[aA])?/?", 1..12),
            asked in prop::collection::btree_set("[aAb](/[aA])?(/[aA])?/?", 1..12),
        ) {
            let path = |key: &str| key.trim_end_matches('/').to_owned();
            // Any name of another key that is not a name of this one, and folds to one of it.
            let is_rival = |key: &str| {
                let own = path(key);
                keys.iter().map(|other| path(other)).any(|other| {
                    ends(other.as_bytes()).any(|end| {
                        let (theirs, ours) = (&other[..end], own.get(..end).unwrap_or_default());
                        theirs != ours && theirs.to_lowercase() == ours.to_lowercase()
                            && ends(own.as_bytes()).any(|own_end| own_end == end)
                    })
                })
            };
            let of_keys = || keys.iter().map(|key| Key::from(key.as_str()));
            let (all, rivals) = (found(of_keys(), Keep::All), found(of_keys(), Keep::Rivals));
            let own: Vec<Key> = of_keys().collect();
            let foreign: Vec<Key> = asked.iter().map(|key| Key::from(key.as_str())).collect();
            prop_assert_eq!(all.others(&own).unwrap(), rivals.others(&own).unwrap());
            for asked in [own, foreign] {
                for (key, others) in asked.iter().zip(all.others(&asked).unwrap()) {
                    let text = key.as_str().unwrap();
                    prop_assert_eq!(!others.is_empty(), is_rival(text), "{}", key);
                }
            }
        }
    }
}
