//! What became of each object of the cluster's jobs, by its place in the manifest: from it and the
//! pages, reports are made.
//!
//! Rows are written before anything that follows them in the log can become a snapshot's past: what
//! was lost by then is told again when the log is applied again, and is the same.

use std::path::Path;

use airlift_coordinator::state::ObjectFact;
use airlift_protocol::assignment::End;
use airlift_protocol::codec;
use airlift_protocol::id::{JobId, PageId, Position};
use airlift_protocol::limits::LOG_ENTRY_BYTES_MAX;
use redb::TableDefinition;

use crate::storage::database::NodeDatabase;
use crate::store::StoreError;

/// Job, run, end (0 for the source), page, index.
type Row = ([u8; 16], u32, u8, u32, u16);

const FACTS: TableDefinition<'_, Row, &[u8]> = TableDefinition::new("facts");

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

    /// The records of one page of one run, in order.
    pub(crate) fn of_page(
        &self,
        (job, run): (JobId, u32),
        end: End,
        page: PageId,
    ) -> Result<Vec<(u16, ObjectFact)>, StoreError> {
        let position = |index| Position { page, index };
        let first = row(job, run, end, position(0));
        let last = row(job, run, end, position(u16::MAX));
        let rows = self.database.read(|transaction| {
            let table = transaction.open_table(FACTS)?;
            let rows = table.range(first..=last)?.map(|entry| {
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
