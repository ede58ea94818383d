//! The coordinator's log on disk: one row an entry, each with a hash of its place and content.
//!
//! `append` returns after the entries are durable (one transaction, one fsync). Rows that do not
//! have their hash, or a gap, stop the node: it never goes on from a log that it cannot trust.

use std::path::Path;

use airlift_coordinator::command::{Command, Entry};
use airlift_protocol::codec;
use airlift_protocol::id::LogIndex;
use airlift_protocol::limits::LOG_ENTRY_BYTES_MAX;
use airlift_protocol::manifest::Page;
use airlift_protocol::version::Formats;
use redb::{ReadableTable, TableDefinition};

use super::database::NodeDatabase;
use crate::store::StoreError;

const ENTRIES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");

/// Bytes of the hash before each entry.
const HASH_BYTES: usize = 16;

/// The log file of one state directory.
#[derive(Debug)]
pub struct LogFile {
    database: NodeDatabase,
}

impl LogFile {
    /// Opens the log at `path`, or begins one.
    ///
    /// # Errors
    /// When the file is damaged, in use by another process, or cannot be written.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let database = NodeDatabase::open(path)?;
        database.write(|transaction| {
            transaction.open_table(ENTRIES)?;
            Ok(())
        })?;
        Ok(Self { database })
    }

    /// Reads the whole log, oldest entry first.
    ///
    /// # Errors
    /// At the first entry that is missing, damaged, or of a newer format.
    pub fn read_all(&self, mut take: impl FnMut(LogIndex, Entry)) -> Result<(), StoreError> {
        self.database.read(|transaction| {
            let table = transaction.open_table(ENTRIES)?;
            let mut expected = LogIndex::default();
            for row in table.iter()? {
                let (index, bytes) = row?;
                expected = expected.next();
                let index = LogIndex(index.value());
                if index != expected {
                    let what = format!("entry {} is missing", expected.0);
                    return Ok(Err(self.database.damaged(what)));
                }
                match self.decode(index, bytes.value()) {
                    Ok(command) => take(index, command),
                    Err(error) => return Ok(Err(error)),
                }
            }
            Ok(Ok(()))
        })?
    }

    /// Appends entries and returns when they are durable.
    ///
    /// # Errors
    /// When the disk refuses; the log then has none of them.
    pub fn append(&self, first: LogIndex, entries: &[Vec<u8>]) -> Result<(), StoreError> {
        self.database.write(|transaction| {
            let mut table = transaction.open_table(ENTRIES)?;
            for (index, entry) in (first.0..).zip(entries) {
                let mut row = Vec::with_capacity(HASH_BYTES + entry.len());
                row.extend_from_slice(&hash(LogIndex(index), entry));
                row.extend_from_slice(entry);
                table.insert(index, row.as_slice())?;
            }
            Ok(())
        })
    }

    /// Reads the manifest page that entry `index` holds.
    ///
    /// # Errors
    /// When the entry is damaged, or holds something else.
    pub fn read_page(&self, index: LogIndex) -> Result<Page, StoreError> {
        let row = self.database.read(|transaction| {
            let table = transaction.open_table(ENTRIES)?;
            Ok(table.get(index.0)?.map(|row| row.value().to_vec()))
        })?;
        let missing = || self.database.damaged(format!("entry {} is missing", index.0));
        match self.decode(index, &row.ok_or_else(missing)?)? {
            Entry { command: Command::Page { page, .. }, .. } => Ok(page),
            _ => Err(self.database.damaged(format!("entry {} is no manifest page", index.0))),
        }
    }

    fn decode(&self, index: LogIndex, row: &[u8]) -> Result<Entry, StoreError> {
        let (stored, entry) = row
            .split_at_checked(HASH_BYTES)
            .ok_or_else(|| self.database.damaged(format!("entry {} is cut off", index.0)))?;
        if hash(index, entry) != stored {
            return Err(self.database.damaged(format!("entry {} was altered", index.0)));
        }
        // A page is bounded by itself; a batch of reports may be several times as large.
        let entry: Entry = codec::decode(entry, 4 * LOG_ENTRY_BYTES_MAX)
            .map_err(|error| self.database.damaged(format!("entry {}: {error}", index.0)))?;
        match entry.command {
            Command::Format(format) if !Formats::BUILD.has(format) => {
                Err(self.database.damaged(Formats::BUILD.refusal(format)))
            }
            _ => Ok(entry),
        }
    }
}

fn hash(index: LogIndex, entry: &[u8]) -> [u8; HASH_BYTES] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&index.0.to_le_bytes()).update(entry);
    let mut hash = [0; HASH_BYTES];
    hash.copy_from_slice(&hasher.finalize().as_bytes()[..HASH_BYTES]);
    hash
}

#[cfg(test)]
mod tests {
    use airlift_protocol::error::ErrorCode;
    use airlift_protocol::id::NodeId;

    use super::*;

    fn entries() -> Vec<Vec<u8>> {
        let void = |byte| Command::VoidLeases { node: NodeId([byte; 32]) };
        let format = Command::Format(Formats::BUILD.newest);
        [format, void(1)].map(|command| codec::encode(&Entry::from(command))).to_vec()
    }

    #[test]
    fn what_was_appended_is_read_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log.redb");
        LogFile::open(&path).unwrap().append(LogIndex(1), &entries()).unwrap();
        let log = LogFile::open(&path).unwrap();
        let mut indices = Vec::new();
        log.read_all(|index, _| indices.push(index.0)).unwrap();
        assert_eq!(indices, [1, 2]);
    }

    #[test]
    fn a_second_process_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log.redb");
        let _first = LogFile::open(&path).unwrap();
        assert_eq!(LogFile::open(&path).unwrap_err().code, ErrorCode::Conflict);
    }

    #[test]
    fn damage_anywhere_is_an_error_and_never_a_panic() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log.redb");
        LogFile::open(&path).unwrap().append(LogIndex(1), &entries()).unwrap();
        let sound = std::fs::read(&path).unwrap();
        let step = sound.len() / 97;
        for at in (0..sound.len()).step_by(step) {
            let mut bytes = sound.clone();
            bytes[at] ^= 0x40;
            std::fs::write(&path, &bytes).unwrap();
            if let Ok(log) = LogFile::open(&path) {
                // Damage in unused space is invisible; damage in an entry is not.
                let mut count = 0;
                let result = log.read_all(|_, _| count += 1);
                assert!(result.is_err() || count == 2 || count == 0, "byte {at}");
            }
        }
        for length in [1, 100, sound.len() / 2] {
            std::fs::write(&path, &sound[..length]).unwrap();
            let error = LogFile::open(&path).map(|log| log.read_all(|_, _| {}));
            assert!(matches!(error, Err(_) | Ok(Err(_))), "{length} bytes of {}", sound.len());
        }
    }
}
