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
    items: Vec<Item>,
    bytes: usize,
    runs: Vec<File>,
}

impl Sorter {
    /// An empty one, whose runs go into the directory `scratch`, where they have no name.
    pub(crate) fn new(scratch: PathBuf) -> Self {
        Self { scratch, run_bytes: RUN_BYTES, ..Self::default() }
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
        let items = sorted(std::mem::take(&mut self.items));
        let run = put_aside(&self.scratch, &items);
        self.runs.push(run.map_err(|error| failed("put aside keys in", &self.scratch, &error))?);
        Ok(())
    }

    /// All that was taken, in order.
    ///
    /// # Errors
    /// When a run cannot be read.
    pub(crate) fn finish(self) -> Result<Sorted, StoreError> {
        let mut sources: Vec<Source> =
            self.runs.into_iter().map(|run| Source::File(BufReader::new(run))).collect();
        sources.push(Source::Memory(sorted(self.items).into_iter()));
        let mut sorted =
            Sorted { scratch: self.scratch, sources, heads: BinaryHeap::new(), last: None };
        (0..sorted.sources.len()).try_for_each(|place| sorted.refill(place))?;
        Ok(sorted)
    }
}

/// In key order; of items with one key the first that came is the first.
fn sorted(mut items: Vec<Item>) -> Vec<Item> {
    items.sort_by(|a, b| a.key.cmp(&b.key));
    items
}

fn put_aside(scratch: &Path, items: &[Item]) -> io::Result<File> {
    let mut run = BufWriter::new(tempfile::tempfile_in(scratch)?);
    for item in items {
        let bytes = codec::encode(item);
        run.write_all(&(bytes.len() as u32).to_le_bytes())?;
        run.write_all(&bytes)?;
    }
    let mut run = run.into_inner()?;
    run.rewind()?;
    Ok(run)
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
    use proptest::prelude::*;

    use super::*;

    fn item(key: &[u8]) -> Item {
        Item { key: Key::new(key), entry: None }
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
        fn runs_are_merged_into_one_order(
            keys in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..4), 0..200),
            run_bytes in 1usize..4000,
        ) {
            let scratch = tempfile::tempdir().unwrap();
            let mut sorter = Sorter { run_bytes, ..Sorter::new(scratch.path().to_owned()) };
            for key in &keys {
                sorter.push(item(key)).unwrap();
            }
            let mut expected: Vec<Item> = keys.iter().map(|key| item(key)).collect();
            expected.sort_by(|a, b| a.key.cmp(&b.key));
            expected.dedup();
            prop_assert_eq!(all(sorter.finish().unwrap()), expected);
            prop_assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn a_scratch_directory_that_is_not_there_is_named() {
        let mut sorter = Sorter { run_bytes: 1, ..Sorter::new(PathBuf::from("/nowhere")) };
        let error = sorter.push(item(b"a")).unwrap_err();
        assert!(error.detail().contains("/nowhere"), "{error}");
    }
}
