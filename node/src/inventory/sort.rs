//! Sorting by key what may not fit into memory: in runs that are put aside, and merged.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};

use airlift_protocol::codec;
use airlift_protocol::key::Key;
use airlift_protocol::limits::PAGE_BYTES_MAX;
use airlift_protocol::manifest::Entry;
use serde::{Deserialize, Serialize};

use crate::store::StoreError;

/// Memory of one run. A hundred million keys of 60 bytes make some two hundred runs.
const RUN_BYTES: usize = 64 << 20;

/// Bytes that an item takes beside its key.
const ITEM_BYTES: usize = 160;

/// Runs that are open at once. As many are made one, before another is begun: a process may often have no
/// more than a thousand files open.
const RUNS_MAX: usize = 128;

/// Items that are written together when runs are made one.
const MERGED_AT_ONCE: usize = 1_000;

/// One object that an inventory names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Item {
    /// Its key below the source.
    pub(crate) key: Key,
    /// What a listing would say of it, where the inventory does.
    pub(crate) entry: Option<Entry>,
}

/// Takes items in any order.
#[derive(Debug, Default)]
pub(crate) struct Sorter {
    scratch: PathBuf,
    run_bytes: usize,
    runs_max: usize,
    items: Vec<Item>,
    bytes: usize,
    runs: Vec<File>,
}

impl Sorter {
    /// An empty one, whose runs go into the directory `scratch`, where they have no name.
    pub(crate) fn new(scratch: PathBuf) -> Self {
        Self { scratch, run_bytes: RUN_BYTES, runs_max: RUNS_MAX, ..Self::default() }
    }

    /// Takes an item. May write to disk.
    ///
    /// # Errors
    /// When a run cannot be put aside.
    pub(crate) fn push(&mut self, item: Item) -> Result<(), StoreError> {
        self.bytes += item.key.as_bytes().len() + ITEM_BYTES;
        self.items.push(item);
        if self.bytes < self.run_bytes {
            return Ok(());
        }
        self.bytes = 0;
        if self.runs.len() >= self.runs_max {
            self.merge_runs()?;
        }
        let items = sorted(std::mem::take(&mut self.items));
        let mut run = Run::begin(&self.scratch)?;
        run.add(&items)?;
        self.runs.push(run.finish()?);
        Ok(())
    }

    /// Makes one run of all. Of items with one key the first stays the first.
    fn merge_runs(&mut self) -> Result<(), StoreError> {
        let runs = std::mem::take(&mut self.runs);
        let mut sorted = Sorted::of(self.scratch.clone(), runs, Vec::new())?;
        let mut merged = Run::begin(&self.scratch)?;
        loop {
            let items = sorted.batch(MERGED_AT_ONCE)?;
            if items.is_empty() {
                break;
            }
            merged.add(&items)?;
        }
        self.runs.push(merged.finish()?);
        Ok(())
    }

    /// All that was taken, in order.
    ///
    /// # Errors
    /// When a run cannot be read.
    pub(crate) fn finish(self) -> Result<Sorted, StoreError> {
        Sorted::of(self.scratch, self.runs, self.items)
    }
}

/// In key order; of items with one key the first that came is the first.
fn sorted(mut items: Vec<Item>) -> Vec<Item> {
    items.sort_by(|a, b| a.key.cmp(&b.key));
    items
}

/// A run on its way to the disk.
struct Run<'a> {
    scratch: &'a Path,
    file: BufWriter<File>,
}

impl<'a> Run<'a> {
    fn begin(scratch: &'a Path) -> Result<Self, StoreError> {
        let file = tempfile::tempfile_in(scratch);
        let file = file.map_err(|error| failed("put aside keys in", scratch, &error))?;
        Ok(Self { scratch, file: BufWriter::new(file) })
    }

    fn add(&mut self, items: &[Item]) -> Result<(), StoreError> {
        let mut write = |item: &Item| {
            let bytes = codec::encode(item);
            self.file.write_all(&(bytes.len() as u32).to_le_bytes())?;
            self.file.write_all(&bytes)
        };
        let written = items.iter().try_for_each(&mut write);
        written.map_err(|error| failed("put aside keys in", self.scratch, &error))
    }

    fn finish(self) -> Result<File, StoreError> {
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error);
        let rewound = file.and_then(|mut file| file.rewind().map(|()| file));
        rewound.map_err(|error| failed("put aside keys in", self.scratch, &error))
    }
}

fn failed(action: &str, scratch: &Path, error: &io::Error) -> StoreError {
    StoreError::io(action, scratch.display(), error)
}

/// Where the items of one run come from.
#[derive(Debug)]
enum Source {
    File(BufReader<File>),
    Memory(std::vec::IntoIter<Item>),
}

/// The first item of a run that was not taken yet, ordered by its key and then by its run.
#[derive(Debug)]
struct Head(Item, usize);

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Head {}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (&self.0.key, self.1).cmp(&(&other.0.key, other.1))
    }
}

/// Items in key order, each key once.
#[derive(Debug)]
pub(crate) struct Sorted {
    scratch: PathBuf,
    sources: Vec<Source>,
    heads: BinaryHeap<Reverse<Head>>,
    last: Option<Key>,
}

impl Sorted {
    /// The items of `runs`, and behind them those of `items`.
    fn of(scratch: PathBuf, runs: Vec<File>, items: Vec<Item>) -> Result<Self, StoreError> {
        let files = runs.into_iter().map(|run| Source::File(BufReader::new(run)));
        let sources = files.chain([Source::Memory(sorted(items).into_iter())]).collect();
        let mut sorted = Self { scratch, sources, heads: BinaryHeap::new(), last: None };
        (0..sorted.sources.len()).try_for_each(|place| sorted.refill(place))?;
        Ok(sorted)
    }

    /// The next items, at most `count`; none at the end. Of those with one key the first that came.
    ///
    /// # Errors
    /// When a run cannot be read.
    pub(crate) fn batch(&mut self, count: usize) -> Result<Vec<Item>, StoreError> {
        let mut batch = Vec::with_capacity(count);
        while batch.len() < count {
            let Some(Reverse(Head(item, place))) = self.heads.pop() else { break };
            self.refill(place)?;
            if self.last.as_ref() != Some(&item.key) {
                self.last = Some(item.key.clone());
                batch.push(item);
            }
        }
        Ok(batch)
    }

    fn refill(&mut self, place: usize) -> Result<(), StoreError> {
        let next = match &mut self.sources[place] {
            Source::Memory(items) => items.next(),
            Source::File(run) => {
                let read = next_of(run);
                read.map_err(|error| failed("read keys back from", &self.scratch, &error))?
            }
        };
        self.heads.extend(next.map(|item| Reverse(Head(item, place))));
        Ok(())
    }
}

fn next_of(run: &mut BufReader<File>) -> io::Result<Option<Item>> {
    let mut length = [0; 4];
    match run.read_exact(&mut length) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let mut bytes = vec![0; u32::from_le_bytes(length) as usize];
    run.read_exact(&mut bytes)?;
    codec::decode(&bytes, PAGE_BYTES_MAX).map(Some).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use airlift_protocol::manifest::{Kind, Version};
    use proptest::prelude::*;

    use super::*;

    fn entry(key: &[u8]) -> Entry {
        let (mtime_ns, version, is_archived) = (None, Version::None, false);
        Entry { key: Key::new(key), kind: Kind::Object, size: 0, mtime_ns, version, is_archived }
    }

    fn all(mut sorted: Sorted) -> Vec<Item> {
        let mut items = Vec::new();
        loop {
            let batch = sorted.batch(3).unwrap();
            if batch.is_empty() {
                return items;
            }
            items.extend(batch);
        }
    }

    proptest! {
        #[test]
        fn runs_are_merged_into_one_order_and_the_first_of_a_key_stays(
            keys in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..4), 0..200),
            run_bytes in 1usize..4000,
            runs_max in 2usize..5,
        ) {
            let scratch = tempfile::tempdir().unwrap();
            let mut sorter =
                Sorter { run_bytes, runs_max, ..Sorter::new(scratch.path().to_owned()) };
            let mut expected: BTreeMap<Key, Item> = BTreeMap::new();
            for (place, key) in keys.iter().enumerate() {
                let entry = Entry { size: place as u64, ..entry(key) };
                let item = Item { key: Key::new(key), entry: Some(entry) };
                expected.entry(item.key.clone()).or_insert_with(|| item.clone());
                sorter.push(item).unwrap();
                prop_assert!(sorter.runs.len() <= runs_max);
            }
            let expected: Vec<Item> = expected.into_values().collect();
            prop_assert_eq!(all(sorter.finish().unwrap()), expected);
            prop_assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn a_scratch_directory_that_is_not_there_is_named() {
        let mut sorter = Sorter { run_bytes: 1, ..Sorter::new(PathBuf::from("/nowhere")) };
        let error = sorter.push(Item { key: Key::from("a"), entry: None }).unwrap_err();
        assert!(error.detail().contains("/nowhere"), "{error}");
    }
}
