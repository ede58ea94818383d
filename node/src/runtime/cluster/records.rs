//! What became of each object of the cluster's jobs, by its place in the manifest: from it and the
//! pages, reports are made.
//!
//! Rows are written before anything that follows them in the log can become a snapshot's past: what
//! was lost by then is told again when the log is applied again, and is the same.

use std::ops::Bound;
use std::path::Path;

use airlift_coordinator::state::ObjectFact;
use airlift_protocol::assignment::End;
use airlift_protocol::codec;
use airlift_protocol::control::RecordKey;
use airlift_protocol::error::ErrorCode;
use airlift_protocol::id::{JobId, PageId, Position};
use airlift_protocol::limits::LOG_ENTRY_BYTES_MAX;
use redb::TableDefinition;

use crate::storage::database::NodeDatabase;
use crate::store::StoreError;

/// Job, run, end (0 for the source), page, index.
type Row = ([u8; 16], u32, u8, u32, u16);

const FACTS: TableDefinition<'_, Row, &[u8]> = TableDefinition::new("facts");

/// Bytes of a record beside what it says, about.
const RECORD_OVERHEAD_BYTES: usize = 32;

/// What became of one object.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) job: JobId,
    pub(crate) run: u32,
    pub(crate) end: End,
    pub(crate) position: Position,
    pub(crate) fact: ObjectFact,
}

/// The records of one node.
#[derive(Debug)]
pub(crate) struct RecordFile {
    database: NodeDatabase,
}

/// What became of an object, encoded.
pub(crate) type EncodedRecord = (RecordKey, Vec<u8>);

fn key_of((job, run, end, page, index): Row) -> RecordKey {
    let end = if end == 0 { End::Source } else { End::Target };
    let position = Position { page: PageId(page), index };
    RecordKey { job: JobId(job), run, end, position }
}

fn row(job: JobId, run: u32, end: End, position: Position) -> Row {
    let end = match end {
        End::Source => 0,
        End::Target => 1,
    };
    (job.0, run, end, position.page.0, position.index)
}

impl RecordFile {
    /// Opens the records at `path`, or begins them.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let database = NodeDatabase::open(path)?;
        database.write(|transaction| {
            transaction.open_table(FACTS)?;
            Ok(())
        })?;
        Ok(Self { database })
    }

    /// Keeps records; returns when they are durable.
    pub(crate) fn keep(&self, records: &[Record]) -> Result<(), StoreError> {
        self.database.write(|transaction| {
            let mut table = transaction.open_table(FACTS)?;
            for record in records {
                let key = row(record.job, record.run, record.end, record.position);
                table.insert(key, codec::encode(&record.fact).as_slice())?;
            }
            Ok(())
        })
    }

    /// Records after `after`, in order, of about so many bytes; none at the end.
    pub(crate) fn after(
        &self,
        after: Option<RecordKey>,
        bytes_max: usize,
    ) -> Result<Vec<EncodedRecord>, StoreError> {
        let after = after.map(|key| row(key.job, key.run, key.end, key.position));
        self.database.read(|transaction| {
            let table = transaction.open_table(FACTS)?;
            let from = after.map_or(Bound::Unbounded, Bound::Excluded);
            let (mut found, mut bytes) = (Vec::new(), 0);
            for entry in table.range((from, Bound::Unbounded))? {
                let (key, fact) = entry?;
                bytes += RECORD_OVERHEAD_BYTES + fact.value().len();
                found.push((key_of(key.value()), fact.value().to_vec()));
                if bytes >= bytes_max {
                    break;
                }
            }
            Ok(found)
        })
    }

    /// Keeps records of another node; one that cannot be read is refused, with all of them.
    pub(crate) fn adopt(&self, records: &[EncodedRecord]) -> Result<(), StoreError> {
        let decode = |(key, fact): &EncodedRecord| {
            let RecordKey { job, run, end, position } = *key;
            let fact = codec::decode(fact, LOG_ENTRY_BYTES_MAX);
            fact.map(|fact| Record { job, run, end, position, fact })
        };
        let records: Result<Vec<Record>, _> = records.iter().map(decode).collect();
        let records = records.map_err(|error| {
            StoreError::new(ErrorCode::Protocol, format!("records of another node: {error}"))
        })?;
        self.keep(&records)
    }

    /// Forgets what became of the objects of a job in its runs up to `run`.
    pub(crate) fn forget(&self, job: JobId, run: u32) -> Result<(), StoreError> {
        let past = (job.0, 0, 0, 0, 0)..=(job.0, run, u8::MAX, u32::MAX, u16::MAX);
        self.database.write(|transaction| {
            transaction.open_table(FACTS)?.retain_in(past, |_, _| false)?;
            Ok(())
        })
    }

    /// How many records there are of one page of one run.
    pub(crate) fn count_of_page(
        &self,
        (job, run): (JobId, u32),
        end: End,
        page: PageId,
    ) -> Result<u64, StoreError> {
        let position = |index| Position { page, index };
        let rows = row(job, run, end, position(0))..=row(job, run, end, position(u16::MAX));
        self.database.read(|transaction| {
            let mut count = 0;
            for entry in transaction.open_table(FACTS)?.range(rows)? {
                entry?;
                count += 1;
            }
            Ok(count)
        })
    }

    /// The records of one page of one run from index `first` on, in order, at most `max`.
    pub(crate) fn of_page(
        &self,
        (job, run): (JobId, u32),
        end: End,
        (page, first): (PageId, u16),
        max: usize,
    ) -> Result<Vec<(u16, ObjectFact)>, StoreError> {
        let position = |index| Position { page, index };
        let rows = row(job, run, end, position(first))..=row(job, run, end, position(u16::MAX));
        let rows = self.database.read(|transaction| {
            let table = transaction.open_table(FACTS)?;
            let rows = table.range(rows)?.take(max).map(|entry| {
                let (key, fact) = entry?;
                Ok((key.value().4, fact.value().to_vec()))
            });
            rows.collect::<Result<Vec<_>, redb::Error>>()
        })?;
        rows.into_iter()
            .map(|(index, fact)| {
                let fact = codec::decode(&fact, LOG_ENTRY_BYTES_MAX)
                    .map_err(|error| self.database.damaged(error))?;
                Ok((index, fact))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use airlift_coordinator::event::Status;
    use airlift_protocol::attributes::AttributeSet;

    use super::*;

    fn record(job: u8, run: u32, end: End, page: u32, index: u16) -> Record {
        let position = Position { page: PageId(page), index };
        let fact = ObjectFact {
            status: Status::Done,
            root: None,
            reason: None,
            dropped: AttributeSet::NONE,
            sum: None,
        };
        Record { job: JobId([job; 16]), run, end, position, fact }
    }

    fn file() -> (tempfile::TempDir, RecordFile) {
        let directory = tempfile::tempdir().unwrap();
        let file = RecordFile::open(&directory.path().join("records.redb")).unwrap();
        (directory, file)
    }

    fn all(file: &RecordFile, bytes_max: usize) -> Vec<EncodedRecord> {
        let mut found: Vec<EncodedRecord> = Vec::new();
        loop {
            let more = file.after(found.last().map(|(key, _)| *key), bytes_max).unwrap();
            if more.is_empty() {
                return found;
            }
            found.extend(more);
        }
    }

    #[test]
    fn another_node_gets_all_records_part_by_part() {
        let (_one, from) = file();
        let (_two, to) = file();
        let mut records = Vec::new();
        for job in [1, 2] {
            for end in [End::Source, End::Target] {
                records
                    .extend((0..40).map(|index| record(job, 3, end, u32::from(index % 3), index)));
            }
        }
        from.keep(&records).unwrap();
        let parts = all(&from, 200);
        assert_eq!(parts.len(), records.len());
        assert!(parts.windows(2).all(|pair| pair[0].0 < pair[1].0), "in order, each once");
        to.adopt(&parts).unwrap();
        assert_eq!(all(&to, 1 << 20), parts);
        assert!(to.adopt(&[(parts[0].0, vec![0xff; 3])]).is_err());
    }

    #[test]
    fn a_job_is_forgotten_with_all_its_runs_so_far() {
        let (_directory, file) = file();
        let kept = record(2, 1, End::Source, 0, 0);
        let gone = [record(1, 1, End::Source, 0, 0), record(1, 9, End::Target, u32::MAX, u16::MAX)];
        file.keep(&gone).unwrap();
        file.keep(std::slice::from_ref(&kept)).unwrap();
        file.forget(JobId([1; 16]), 9).unwrap();
        let left = all(&file, 1 << 20);
        assert_eq!(left.iter().map(|(key, _)| key.job).collect::<Vec<_>>(), [kept.job]);
    }

    /// When a log is read back, the records of a run may be written before the word that an earlier one was
    /// forgotten is carried out.
    #[test]
    fn of_a_job_that_runs_again_only_the_earlier_runs_are_forgotten() {
        let (_directory, file) = file();
        let runs = [(1, 1), (1, 2), (1, 3), (2, 1)];
        file.keep(&runs.map(|(job, run)| record(job, run, End::Target, 7, u16::MAX))).unwrap();
        file.forget(JobId([1; 16]), 2).unwrap();
        let left = all(&file, 1 << 20).into_iter().map(|(key, _)| (key.job.0[0], key.run));
        assert_eq!(left.collect::<Vec<_>>(), [(1, 3), (2, 1)]);
    }

    #[test]
    fn a_page_is_counted_and_read_from_any_place_on() {
        let root = tempfile::tempdir().unwrap();
        let file = RecordFile::open(&root.path().join("records.redb")).unwrap();
        let job = JobId([1; 16]);
        let record = |run, page, index| Record {
            job,
            run,
            end: End::Source,
            position: Position { page: PageId(page), index },
            fact: ObjectFact {
                status: Status::Done,
                root: None,
                reason: None,
                dropped: AttributeSet::NONE,
                sum: None,
            },
        };
        let records: Vec<Record> = [(1, 0, 3), (2, 0, 0), (2, 0, 5), (2, 0, u16::MAX), (2, 1, 0)]
            .map(|(run, page, index)| record(run, page, index))
            .to_vec();
        file.keep(&records).unwrap();
        let count = |run, page| file.count_of_page((job, run), End::Source, PageId(page)).unwrap();
        assert_eq!((count(1, 0), count(2, 0), count(2, 1), count(2, 2)), (1, 3, 1, 0));
        assert_eq!(file.count_of_page((job, 2), End::Target, PageId(0)).unwrap(), 0);
        let read = |first, max| -> Vec<u16> {
            let found = file.of_page((job, 2), End::Source, (PageId(0), first), max).unwrap();
            found.into_iter().map(|(index, _)| index).collect()
        };
        assert_eq!(read(0, 9), [0, 5, u16::MAX]);
        assert_eq!(read(1, 1), [5]);
        assert_eq!(read(6, 9), [u16::MAX]);
    }
}
