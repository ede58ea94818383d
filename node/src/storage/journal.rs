//! The receiver's journal: which chunks of which upload are at the target, verified and durable.
//!
//! A row is a run of consecutive chunks with their values, written only after the store has made
//! their bytes durable. It is what makes a half-sent object go on where it stopped, and its hash
//! known without reading it again.

use std::collections::BTreeMap;
use std::path::Path;

use airlift_protocol::assignment::UploadToken;
use airlift_protocol::chunk::SpanValue;
use airlift_protocol::codec;
use airlift_protocol::limits::CHUNK_BYTES;
use airlift_protocol::sum::Sum;
use redb::TableDefinition;

use super::database::NodeDatabase;
use crate::store::StoreError;

/// Token, then the offset of the first chunk; values of the chunks from there on, 32 bytes each.
const RUNS: TableDefinition<'_, (&str, u64), &[u8]> = TableDefinition::new("runs");

/// Token, then where a part begins; its sum, encoded. Only of uploads whose store compares one.
const SUMS: TableDefinition<'_, (&str, u64), &[u8]> = TableDefinition::new("sums");

/// Bytes of an encoded sum at most.
const SUM_BYTES_MAX: usize = 64;

/// The journal of one state directory.
#[derive(Debug)]
pub struct Journal {
    database: NodeDatabase,
}

impl Journal {
    /// Opens the journal at `path`, or begins one.
    ///
    /// # Errors
    /// When the file is damaged, in use by another process, or cannot be written.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let database = NodeDatabase::open(path)?;
        database.write(|transaction| {
            transaction.open_table(RUNS)?;
            transaction.open_table(SUMS)?;
            Ok(())
        })?;
        Ok(Self { database })
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
        self.database.write(|transaction| {
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

    /// The chunks of an upload that were recorded, by offset.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn held(&self, token: &UploadToken) -> Result<BTreeMap<u64, SpanValue>, StoreError> {
        self.database.read(|transaction| {
            let table = transaction.open_table(RUNS)?;
            let mut held = BTreeMap::new();
            for row in table.range((token.0.as_str(), 0)..=(token.0.as_str(), u64::MAX))? {
                let (key, values) = row?;
                let (values, _) = values.value().as_chunks::<32>();
                let offsets = (key.value().1..).step_by(CHUNK_BYTES as usize);
                held.extend(offsets.zip(values.iter().map(|value| SpanValue(*value))));
            }
            Ok(held)
        })
    }

    /// The sums of parts of an upload that were recorded, by where they begin. One that cannot be read is
    /// none: then the whole is compared in another way.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn sums(&self, token: &UploadToken) -> Result<BTreeMap<u64, Sum>, StoreError> {
        self.database.read(|transaction| {
            let table = transaction.open_table(SUMS)?;
            let mut sums = BTreeMap::new();
            for row in table.range((token.0.as_str(), 0)..=(token.0.as_str(), u64::MAX))? {
                let (key, sum) = row?;
                if let Ok(sum) = codec::decode(sum.value(), SUM_BYTES_MAX) {
                    sums.insert(key.value().1, sum);
                }
            }
            Ok(sums)
        })
    }

    /// Forgets an upload.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn forget(&self, token: &UploadToken) -> Result<(), StoreError> {
        self.database.write(|transaction| {
            let upload = (token.0.as_str(), 0)..=(token.0.as_str(), u64::MAX);
            transaction.open_table(RUNS)?.retain_in(upload.clone(), |_, _| false)?;
            transaction.open_table(SUMS)?.retain_in(upload, |_, _| false)?;
            Ok(())
        })
    }
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
    use super::*;

    fn chunks(indices: &[u64]) -> BTreeMap<u64, SpanValue> {
        indices.iter().map(|&i| (i * CHUNK_BYTES, SpanValue([i as u8; 32]))).collect()
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
        assert_eq!(journal.held(&token).unwrap(), chunks(&[0, 1, 2, 3, 5, 7]));
        assert_eq!(journal.sums(&token).unwrap(), sums);
        assert!(journal.sums(&other).unwrap().is_empty());
        journal.forget(&token).unwrap();
        assert!(journal.held(&token).unwrap().is_empty());
        assert!(journal.sums(&token).unwrap().is_empty());
        assert_eq!(journal.held(&other).unwrap(), chunks(&[9]));
    }
}
