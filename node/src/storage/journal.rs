//! The receiver's journal: which chunks of which upload are at the target, verified and durable.
//!
//! A row is a run of consecutive chunks with their values, written only after the store has made
//! their bytes durable. It is what makes a half-sent object go on where it stopped, and its hash
//! known without reading it again.
//!
//! Beside that it knows which objects can be seen at the target and are not proven. They are on record before
//! they are written, and off it when they are proven or gone.
//!
//! A disk that fails, by being full for example, is no end of it: it is opened anew when it is used next.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use airlift_protocol::assignment::UploadToken;
use airlift_protocol::chunk::SpanValue;
use airlift_protocol::codec;
use airlift_protocol::key::Key;
use airlift_protocol::limits::CHUNK_BYTES;
use airlift_protocol::sum::Sum;
use airlift_protocol::units::ByteRange;
use redb::{ReadableTable, TableDefinition};

use super::database::NodeDatabase;
use crate::store::StoreError;

/// Token, then the offset of the first chunk; values of the chunks from there on, 32 bytes each.
const RUNS: TableDefinition<'_, (&str, u64), &[u8]> = TableDefinition::new("runs");

/// Token, then where a part begins; its sum, encoded. Only of uploads whose store compares one.
const SUMS: TableDefinition<'_, (&str, u64), &[u8]> = TableDefinition::new("sums");

/// Keys at the target of objects that are not proven; 0 where their content would prove them, else 1.
const UNPROVEN: TableDefinition<'_, &[u8], u8> = TableDefinition::new("unproven");

/// Bytes of an encoded sum at most.
const SUM_BYTES_MAX: usize = 64;

/// What is to be found out of an object that is not proven before it may count as the wanted one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// Whether it has the bytes of its source.
    Content,
    /// More than that: it is moved again.
    Object,
}

/// The journal of one state directory.
#[derive(Debug)]
pub struct Journal {
    database: NodeDatabase,
    /// What the table of unproven objects has: those in work, and the few that earlier runs have left.
    unproven: Mutex<BTreeMap<Key, Doubt>>,
}

impl Journal {
    /// Opens the journal at `path`, or begins one.
    ///
    /// # Errors
    /// When the file is damaged, in use by another process, or cannot be written.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let database = NodeDatabase::open(path)?;
        let mut unproven = BTreeMap::new();
        database.write(|transaction| {
            transaction.open_table(RUNS)?;
            transaction.open_table(SUMS)?;
            for row in transaction.open_table(UNPROVEN)?.iter()? {
                let (key, doubt) = row?;
                let doubt = if doubt.value() == 0 { Doubt::Content } else { Doubt::Object };
                unproven.insert(Key::from(key.value()), doubt);
            }
            Ok(())
        })?;
        Ok(Self { database, unproven: Mutex::new(unproven) })
    }

    /// The database, opened anew if the disk has failed under it.
    fn database(&self) -> Result<&NodeDatabase, StoreError> {
        self.database.renew()?;
        Ok(&self.database)
    }

    /// Records chunks (offset and value) that are durable at the target, and the sums of parts of them.
    ///
    /// # Errors
    /// When the disk refuses; the journal then has none of them.
    pub fn record(
        &self,
        token: &UploadToken,
        chunks: &BTreeMap<u64, SpanValue>,
        sums: &BTreeMap<u64, Sum>,
    ) -> Result<(), StoreError> {
        self.database()?.write(|transaction| {
            let mut table = transaction.open_table(RUNS)?;
            for (start, values) in runs(chunks) {
                table.insert((token.0.as_str(), start), values.as_slice())?;
            }
            let mut table = transaction.open_table(SUMS)?;
            for (&start, sum) in sums {
                table.insert((token.0.as_str(), start), codec::encode(sum).as_slice())?;
            }
            Ok(())
        })
    }

    /// The chunks in `range` of an upload that were recorded, by offset: `range` is one that is recorded by
    /// itself, so that no run of another one reaches into it.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn held(
        &self,
        token: &UploadToken,
        range: ByteRange,
    ) -> Result<BTreeMap<u64, SpanValue>, StoreError> {
        self.database()?.read(|transaction| {
            let table = transaction.open_table(RUNS)?;
            let mut held = BTreeMap::new();
            for row in table.range(rows(token, range))? {
                let (key, values) = row?;
                let (values, _) = values.value().as_chunks::<32>();
                let offsets = (key.value().1..range.end).step_by(CHUNK_BYTES as usize);
                held.extend(offsets.zip(values.iter().map(|value| SpanValue(*value))));
            }
            Ok(held)
        })
    }

    /// The sums of the parts in `range` of an upload that were recorded, by where they begin. One that cannot
    /// be read is none: then the whole is compared in another way.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn sums(
        &self,
        token: &UploadToken,
        range: ByteRange,
    ) -> Result<BTreeMap<u64, Sum>, StoreError> {
        self.database()?.read(|transaction| {
            let table = transaction.open_table(SUMS)?;
            let mut sums = BTreeMap::new();
            for row in table.range(rows(token, range))? {
                let (key, sum) = row?;
                if let Ok(sum) = codec::decode(sum.value(), SUM_BYTES_MAX) {
                    sums.insert(key.value().1, sum);
                }
            }
            Ok(sums)
        })
    }

    /// Records objects that are about to be written, by their keys at the target; answers those that were
    /// not on record before.
    ///
    /// # Errors
    /// When the disk refuses; then none of them may be written.
    pub fn doubt(&self, doubts: Vec<(Key, Doubt)>) -> Result<BTreeSet<Key>, StoreError> {
        // What is known to be wrong stays so until something else has taken its place.
        let raises = |held: Option<&Doubt>, doubt| match held {
            None => true,
            Some(held) => *held == Doubt::Content && doubt == Doubt::Object,
        };
        let raised: Vec<(Key, Doubt)> = {
            let unproven = self.unproven();
            let raised = |(key, doubt): &(Key, Doubt)| raises(unproven.get(key), *doubt);
            doubts.into_iter().filter(raised).collect()
        };
        if raised.is_empty() {
            return Ok(BTreeSet::new());
        }
        self.database()?.write(|transaction| {
            let mut table = transaction.open_table(UNPROVEN)?;
            for (key, doubt) in &raised {
                table.insert(key.as_bytes(), u8::from(*doubt == Doubt::Object))?;
            }
            Ok(())
        })?;
        let mut unproven = self.unproven();
        let new = raised
            .into_iter()
            .filter_map(|(key, doubt)| unproven.insert(key.clone(), doubt).is_none().then_some(key))
            .collect();
        Ok(new)
    }

    /// What is to be found out of the object under `key` of the target; `None` when it is not in doubt.
    pub fn doubt_of(&self, key: &Key) -> Option<Doubt> {
        self.unproven().get(key).copied()
    }

    /// Whether any object is in doubt.
    pub fn has_doubts(&self) -> bool {
        !self.unproven().is_empty()
    }

    /// Forgets that objects are in doubt. Not durable at once: whoever is killed before that looks at them once
    /// more.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn settle(&self, keys: &[Key]) -> Result<(), StoreError> {
        self.database()?.write_soon(|transaction| {
            let mut table = transaction.open_table(UNPROVEN)?;
            for key in keys {
                table.remove(key.as_bytes())?;
            }
            Ok(())
        })?;
        let mut unproven = self.unproven();
        for key in keys {
            unproven.remove(key);
        }
        Ok(())
    }

    /// Makes all that was written durable.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn sync(&self) -> Result<(), StoreError> {
        self.database()?.write(|_| Ok(()))
    }

    fn unproven(&self) -> MutexGuard<'_, BTreeMap<Key, Doubt>> {
        self.unproven.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets an upload.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn forget(&self, token: &UploadToken) -> Result<(), StoreError> {
        self.database()?.write(|transaction| {
            let upload = (token.0.as_str(), 0)..=(token.0.as_str(), u64::MAX);
            transaction.open_table(RUNS)?.retain_in(upload.clone(), |_, _| false)?;
            transaction.open_table(SUMS)?.retain_in(upload, |_, _| false)?;
            Ok(())
        })
    }
}

/// The rows of an upload that begin in `range`.
fn rows(token: &UploadToken, range: ByteRange) -> Range<(&str, u64)> {
    (token.0.as_str(), range.start)..(token.0.as_str(), range.end)
}

/// Joins chunks that follow each other.
fn runs(chunks: &BTreeMap<u64, SpanValue>) -> Vec<(u64, Vec<u8>)> {
    let mut runs: Vec<(u64, Vec<u8>)> = Vec::new();
    let mut next = None;
    for (&offset, value) in chunks {
        match runs.last_mut() {
            Some((_, values)) if next == Some(offset) => values.extend_from_slice(&value.0),
            _ => runs.push((offset, value.0.to_vec())),
        }
        next = Some(offset + CHUNK_BYTES);
    }
    runs
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{self, Read};

    use airlift_protocol::error::ErrorCode;
    use airlift_protocol::limits::SHARD_BYTES;
    use airlift_protocol::shard;

    use super::*;
    use crate::mount::Mount;

    const ALL: ByteRange = ByteRange { start: 0, end: u64::MAX };

    fn chunks(indices: &[u64]) -> BTreeMap<u64, SpanValue> {
        indices.iter().map(|&i| (i * CHUNK_BYTES, SpanValue([i as u8; 32]))).collect()
    }

    #[test]
    fn objects_are_in_doubt_across_restarts_until_they_are_settled() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.redb");
        let [a, b, c] = ["a", "b", "c"].map(Key::from);
        {
            let journal = Journal::open(&path).unwrap();
            assert!(!journal.has_doubts());
            let doubts = vec![(a.clone(), Doubt::Content), (b.clone(), Doubt::Object)];
            assert_eq!(journal.doubt(doubts.clone()).unwrap(), [a.clone(), b.clone()].into());
            assert_eq!(journal.doubt(doubts).unwrap(), BTreeSet::new());
            let doubts = vec![(a.clone(), Doubt::Object), (c.clone(), Doubt::Content)];
            assert_eq!(journal.doubt(doubts).unwrap(), [c.clone()].into(), "those that are new");
            journal.doubt(vec![(a.clone(), Doubt::Content)]).unwrap();
            assert_eq!(journal.doubt_of(&a), Some(Doubt::Object), "it does not get better");
            journal.settle(std::slice::from_ref(&b)).unwrap();
            assert_eq!(journal.doubt_of(&b), None);
            journal.sync().unwrap();
        }
        let journal = Journal::open(&path).unwrap();
        let held = [&a, &b, &c].map(|key| journal.doubt_of(key));
        assert_eq!(held, [Some(Doubt::Object), None, Some(Doubt::Content)]);
        journal.settle(&[a, c]).unwrap();
        assert!(!journal.has_doubts());
    }

    #[test]
    fn of_an_upload_only_what_is_in_the_range_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let journal = Journal::open(&directory.path().join("journal.redb")).unwrap();
        let token = UploadToken("a".into());
        let size = 2 * SHARD_BYTES + 5;
        let shards = [0, 1, 2].map(|index| shard::range(size, index));
        let of = |range: ByteRange| -> BTreeMap<u64, SpanValue> {
            shard::chunks(range).map(|chunk| (chunk.start, SpanValue([7; 32]))).collect()
        };
        for range in shards {
            let sums = [(range.start, Sum::Crc32c(range.start as u32))].into();
            journal.record(&token, &of(range), &sums).unwrap();
        }
        for range in shards {
            assert_eq!(journal.held(&token, range).unwrap(), of(range), "{range:?}");
            let sum = (range.start, Sum::Crc32c(range.start as u32));
            assert_eq!(journal.sums(&token, range).unwrap(), [sum].into(), "{range:?}");
        }
        // Of a run that is longer than the range, nothing that lies behind it.
        let head = ByteRange::new(0, 3 * CHUNK_BYTES);
        assert_eq!(journal.held(&token, head).unwrap(), of(head));
    }

    #[test]
    fn a_full_disk_is_named_each_time_and_the_journal_goes_on_when_there_is_room() {
        let directory = tempfile::tempdir().unwrap();
        let Some(mount) = Mount::new(directory.path().join("full"), "size=16m") else { return };
        let journal = Journal::open(&mount.path().join("journal.redb")).unwrap();
        let (token, none) = (UploadToken("a".into()), BTreeMap::new());
        journal.record(&token, &chunks(&[0, 1]), &none).unwrap();
        // It gets what of the file system is free.
        let other = File::create(mount.path().join("in the way")).unwrap();
        let _short = io::copy(&mut io::repeat(1).take(16 << 20), &mut &other);
        drop(other);
        // More than fits into pages that the file has already.
        let many: BTreeMap<u64, SpanValue> =
            (1000..60_000).map(|i| (i * CHUNK_BYTES, SpanValue([1; 32]))).collect();
        for _ in 0..2 {
            let error = journal.record(&token, &many, &none).unwrap_err();
            assert_eq!(error.code, ErrorCode::NoSpace, "{error}");
        }
        std::fs::remove_file(mount.path().join("in the way")).unwrap();
        assert_eq!(journal.held(&token, ALL).unwrap(), chunks(&[0, 1]));
        journal.record(&token, &chunks(&[2]), &none).unwrap();
        assert_eq!(journal.held(&token, ALL).unwrap(), chunks(&[0, 1, 2]));
    }

    #[test]
    fn what_was_recorded_is_held_after_a_restart_until_it_is_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.redb");
        let (token, other) = (UploadToken("a".into()), UploadToken("ab".into()));
        let sums: BTreeMap<u64, Sum> = [(0, Sum::Crc64Xz(u64::MAX)), (9, Sum::Crc32c(1))].into();
        {
            let journal = Journal::open(&path).unwrap();
            let none = BTreeMap::new();
            journal.record(&token, &chunks(&[0, 1, 2, 7]), &sums).unwrap();
            journal.record(&token, &chunks(&[3, 5]), &none).unwrap();
            journal.record(&other, &chunks(&[9]), &none).unwrap();
        }
        let journal = Journal::open(&path).unwrap();
        assert_eq!(journal.held(&token, ALL).unwrap(), chunks(&[0, 1, 2, 3, 5, 7]));
        assert_eq!(journal.sums(&token, ALL).unwrap(), sums);
        assert!(journal.sums(&other, ALL).unwrap().is_empty());
        journal.forget(&token).unwrap();
        assert!(journal.held(&token, ALL).unwrap().is_empty());
        assert!(journal.sums(&token, ALL).unwrap().is_empty());
        assert_eq!(journal.held(&other, ALL).unwrap(), chunks(&[9]));
    }
}
