//! Manifest pages: entries of the log while it has them, rows of their own once it is cut.
//!
//! A row begins with a hash over its index and its content.

use airlift_coordinator::command::{Command, Entry};
use airlift_protocol::codec;
use airlift_protocol::id::LogIndex;
use airlift_protocol::limits::LOG_ENTRY_BYTES_MAX;
use airlift_protocol::manifest::Page;
use airlift_protocol::raft::{HardState, LogEntry, LogPayload};
use redb::{ReadTransaction, ReadableTable, WriteTransaction};

use super::{
    ENTRIES, FACTS, HARD_STATE, HASH_BYTES, PAGES, corrupted, decode_unchained, hash, row, take,
};

/// The page of entry `index`, if it is here and committed.
pub(super) fn find(
    transaction: &ReadTransaction,
    index: LogIndex,
) -> Result<Option<Page>, redb::Error> {
    if let Some(row) = transaction.open_table(PAGES)?.get(index.0)? {
        return read(index, row.value()).map(Some);
    }
    let hard_state: Option<HardState> = take(&transaction.open_table(FACTS)?, HARD_STATE)?;
    // What comes after may yet be replaced by another entry.
    if hard_state.is_none_or(|it| it.commit < index) {
        return Ok(None);
    }
    match transaction.open_table(ENTRIES)?.get(index.0)? {
        // Its place in the chain was checked when the log was loaded, or written by this process.
        Some(row) => page_of(decode_unchained(index, row.value())?.1).map(Some),
        None => Ok(None),
    }
}

/// Copies the pages that these entries hold into rows of their own; entries that are not there are
/// left out.
pub(super) fn put_aside<'a>(
    transaction: &WriteTransaction,
    indices: impl Iterator<Item = &'a LogIndex>,
) -> Result<(), redb::Error> {
    let entries = transaction.open_table(ENTRIES)?;
    for index in indices {
        if let Some(row) = entries.get(index.0)? {
            let page = page_of(decode_unchained(*index, row.value())?.1)?;
            keep(transaction, &[(*index, page)])?;
        }
    }
    Ok(())
}

/// Writes pages into rows of their own.
pub(super) fn keep(
    transaction: &WriteTransaction,
    pages: &[(LogIndex, Page)],
) -> Result<(), redb::Error> {
    let mut table = transaction.open_table(PAGES)?;
    for (index, page) in pages {
        let content = codec::encode(page);
        let link = hash(&[], &index.0.to_le_bytes(), &content);
        table.insert(index.0, row(&link, &content).as_slice())?;
    }
    Ok(())
}

/// Drops the rows that are not wanted any more.
pub(super) fn retain(
    transaction: &WriteTransaction,
    is_wanted: impl Fn(u64) -> bool,
) -> Result<(), redb::Error> {
    transaction.open_table(PAGES)?.retain(|index, _| is_wanted(index))?;
    Ok(())
}

fn read(index: LogIndex, row: &[u8]) -> Result<Page, redb::Error> {
    let altered = || corrupted(format!("the manifest page of entry {} was altered", index.0));
    let (link, content) = row.split_first_chunk::<HASH_BYTES>().ok_or_else(altered)?;
    if hash(&[], &index.0.to_le_bytes(), content) != *link {
        return Err(altered());
    }
    codec::decode(content, LOG_ENTRY_BYTES_MAX).map_err(|_| altered())
}

fn page_of(entry: LogEntry) -> Result<Page, redb::Error> {
    let no_page = || corrupted(format!("entry {} is no manifest page", entry.index.0));
    let LogPayload::Command(bytes) = &entry.payload else { return Err(no_page()) };
    match codec::decode(bytes, LOG_ENTRY_BYTES_MAX) {
        Ok(Entry { command: Command::Page { page, .. }, .. }) => Ok(page),
        _ => Err(no_page()),
    }
}
