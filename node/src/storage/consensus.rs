//! What this node must not forget as a member of consensus: its log, term, vote and membership.
//!
//! Each entry's row begins with a hash over the row before, its index and its content, so that a
//! row that was altered, moved or taken from another time is found, and everything after it. A
//! member that finds damage, or to which the disk reports an error, stops: it never tries again on
//! the same file, and never votes again under its number once the file is lost.

mod pages;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use airlift_coordinator::consensus::{Durable, Persist};
use airlift_protocol::codec;
use airlift_protocol::error::ErrorCode;
use airlift_protocol::id::LogIndex;
use airlift_protocol::limits::LOG_ENTRY_BYTES_MAX;
use airlift_protocol::manifest::Page;
use airlift_protocol::raft::{HardState, LogEntry, LogPosition, RaftId, SnapshotRef};
use airlift_protocol::version::FormatVersion;
use redb::{ReadTransaction, ReadableTable, Table, TableDefinition, WriteTransaction};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::database::NodeDatabase;
use crate::store::StoreError;

const ENTRIES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("consensus_entries");
const FACTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("consensus");
/// How this file is laid out; what its entries say has a format of its own.
pub const LAYOUT: FormatVersion = FormatVersion(1);

/// Manifest pages whose entries are gone, by the index that these had.
const PAGES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("manifest_pages");

const IDENTITY: &str = "identity";
const HARD_STATE: &str = "hard_state";
const BASE: &str = "base";

/// Bytes of the hash before each row.
const HASH_BYTES: usize = 16;

/// The hash of a row, and what the next row is chained to.
type Link = [u8; HASH_BYTES];

/// Whose file this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberIdentity {
    /// How the rest is encoded.
    pub layout: FormatVersion,
    /// The cluster.
    pub cluster: [u8; 16],
    /// The member's number in it.
    pub id: RaftId,
    /// Drawn when the file was made, and registered in the cluster: a copy or a new file of the
    /// same member is told apart by it.
    pub incarnation: [u8; 16],
}

/// What the entries build on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Base {
    compacted: LogPosition,
    /// What the first entry is chained to.
    link: Link,
    snapshot: Option<SnapshotRef>,
}

/// The consensus file of one node.
#[derive(Debug)]
pub struct ConsensusFile {
    database: NodeDatabase,
    path: PathBuf,
}

impl ConsensusFile {
    /// Makes the file of a new member.
    ///
    /// # Errors
    /// When there is one already, or the disk refuses.
    pub fn create(
        path: &Path,
        identity: &MemberIdentity,
        durable: &Durable,
    ) -> Result<Self, StoreError> {
        let file = Self { database: NodeDatabase::open(path)?, path: path.to_owned() };
        if file.find_identity()?.is_some() {
            let text = format!("{} belongs to a member already", path.display());
            return Err(StoreError::new(ErrorCode::Conflict, text));
        }
        file.write(|transaction| {
            let base = Base {
                compacted: durable.compacted,
                link: start(durable.compacted),
                snapshot: durable.snapshot.clone(),
            };
            put(transaction, IDENTITY, identity)?;
            put(transaction, BASE, &base)?;
            put(transaction, HARD_STATE, &durable.hard_state)?;
            append(transaction, &durable.entries)
        })?;
        Ok(file)
    }

    /// Opens the file of a member, and says whose it is.
    ///
    /// # Errors
    /// When there is none, when it is in use by another process, or damaged.
    pub fn open(path: &Path) -> Result<(Self, MemberIdentity), StoreError> {
        if !path.exists() {
            let text = format!("{} does not exist", path.display());
            return Err(StoreError::new(ErrorCode::NotFound, text));
        }
        let database = NodeDatabase::open(path).map_err(|error| adapted(path, error))?;
        let file = Self { database, path: path.to_owned() };
        let identity = file.find_identity()?;
        let identity = identity.ok_or_else(|| damaged(path, "it does not say whose it is"))?;
        if identity.layout != LAYOUT {
            return Err(damaged(path, "a newer version of airlift wrote it"));
        }
        Ok((file, identity))
    }

    /// Reads everything that the member needs to go on.
    ///
    /// # Errors
    /// When anything is missing or altered.
    pub fn load(&self) -> Result<Durable, StoreError> {
        let durable = self.read(|transaction| {
            let facts = transaction.open_table(FACTS)?;
            let base: Base = take(&facts, BASE)?.ok_or_else(|| corrupted("its base is missing"))?;
            let hard_state: HardState =
                take(&facts, HARD_STATE)?.ok_or_else(|| corrupted("term and vote are missing"))?;
            let mut link = base.link;
            let mut expected = base.compacted.index;
            let mut entries = Vec::new();
            for row in transaction.open_table(ENTRIES)?.iter()? {
                let (index, row) = row?;
                expected = expected.next();
                if index.value() != expected.0 {
                    return Err(corrupted(format!("entry {} is missing", expected.0)));
                }
                let (entry, next) = decode_entry(&link, expected, row.value())?;
                entries.push(entry);
                link = next;
            }
            let Base { compacted, snapshot, .. } = base;
            Ok(Durable { hard_state, compacted, snapshot, entries })
        })?;
        durable.check().map_err(|error| damaged(&self.path, error))?;
        Ok(durable)
    }

    /// Writes what consensus asks for, all in one transaction, and returns when it is durable.
    ///
    /// # Errors
    /// When the disk refuses. The member has to stop then: whether it is on disk is not known.
    pub fn persist(&self, persists: &[Persist]) -> Result<(), StoreError> {
        let Some(last) = persists.last() else { return Ok(()) };
        self.write(|transaction| {
            for persist in persists {
                if let Some(snapshot) = &persist.snapshot {
                    install(transaction, snapshot)?;
                }
                append(transaction, &persist.entries)?;
            }
            put(transaction, HARD_STATE, &last.hard_state)
        })
    }

    /// Drops entries up to `through`, which `snapshot` contains, but for the manifest pages that
    /// `pages` names; those that it does not name go, whenever they were put aside.
    ///
    /// # Errors
    /// When `through` is not in the log, the log builds on a newer snapshot, or the disk refuses.
    pub fn compact(
        &self,
        through: LogIndex,
        snapshot: &SnapshotRef,
        pages: &BTreeSet<LogIndex>,
    ) -> Result<(), StoreError> {
        self.write(|transaction| {
            let mut base = base_of(transaction)?;
            let newest = base.snapshot.as_ref().map_or(LogIndex(0), |it| it.position.index);
            if newest > snapshot.position.index {
                return Err(corrupted("a snapshot would be replaced by an older one"));
            }
            base.snapshot = Some(snapshot.clone());
            let kept = |index: u64| pages.contains(&LogIndex(index));
            pages::retain(transaction, kept)?;
            if through > base.compacted.index {
                let first = base.compacted.index.next();
                pages::put_aside(transaction, pages.range(first..=through))?;
                let mut entries = transaction.open_table(ENTRIES)?;
                let (entry, link) = entry_at(&entries, through)?;
                base.compacted = entry.position();
                base.link = link;
                entries.retain_in(..=through.0, |_, _| false)?;
            }
            put(transaction, BASE, &base)
        })
    }

    /// The manifest page that entry `index` holds or held; `None` when this node does not have it,
    /// or does not know yet that the entry is committed.
    ///
    /// # Errors
    /// When the entry is damaged, or holds something else.
    pub fn find_page(&self, index: LogIndex) -> Result<Option<Page>, StoreError> {
        self.read(|transaction| pages::find(transaction, index))
    }

    /// Puts the committed ones of these manifest pages aside, so that they outlive the log, and
    /// returns those that this node does not have.
    ///
    /// # Errors
    /// When the disk refuses, or a page is damaged.
    pub fn adopt_pages(&self, pages: &BTreeSet<LogIndex>) -> Result<Vec<LogIndex>, StoreError> {
        let mut missing = Vec::new();
        self.write(|transaction| {
            let committed = committed(transaction)?;
            let known = pages.iter().filter(|index| **index <= committed);
            pages::put_aside(transaction, known)?;
            let table = transaction.open_table(PAGES)?;
            for index in pages {
                if table.get(index.0)?.is_none() {
                    missing.push(*index);
                }
            }
            Ok(())
        })?;
        Ok(missing)
    }

    /// Keeps manifest pages of another voter, by the index of their entries there.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn keep_pages(&self, pages: &[(LogIndex, Page)]) -> Result<(), StoreError> {
        self.write(|transaction| pages::keep(transaction, pages))
    }

    fn find_identity(&self) -> Result<Option<MemberIdentity>, StoreError> {
        // Opening a table for writing makes it: a new file has none.
        self.write(|transaction| {
            transaction.open_table(ENTRIES)?;
            transaction.open_table(FACTS)?;
            transaction.open_table(PAGES)?;
            Ok(())
        })?;
        self.read(|transaction| take(&transaction.open_table(FACTS)?, IDENTITY))
    }

    fn read<T>(
        &self,
        read: impl FnOnce(&ReadTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        self.database.read(read).map_err(|error| adapted(&self.path, error))
    }

    fn write(
        &self,
        write: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<(), StoreError> {
        self.database.write(write).map_err(|error| adapted(&self.path, error))
    }
}

fn corrupted(what: impl Into<String>) -> redb::Error {
    redb::Error::Corrupted(what.into())
}

/// The error for damage, with the way out that a member of a cluster has.
fn damaged(path: &Path, what: impl std::fmt::Display) -> StoreError {
    let text = format!(
        "the consensus state in {} is damaged ({what}): this member must not vote again; remove it \
         from the cluster and let this node join as a new one",
        path.display()
    );
    StoreError::new(ErrorCode::CorruptState, text)
}

/// Damage found by the database has the advice for a single process.
fn adapted(path: &Path, error: StoreError) -> StoreError {
    match error.code {
        ErrorCode::CorruptState => damaged(path, "a row or the file's structure is broken"),
        _ => error,
    }
}

fn hash(before: &[u8], key: &[u8], content: &[u8]) -> Link {
    let mut hasher = blake3::Hasher::new();
    hasher.update(before).update(key).update(content);
    let mut link = [0; HASH_BYTES];
    link.copy_from_slice(&hasher.finalize().as_bytes()[..HASH_BYTES]);
    link
}

/// What the first entry after `compacted` is chained to where nothing else is known.
fn start(compacted: LogPosition) -> Link {
    hash(&[], BASE.as_bytes(), &codec::encode(&compacted))
}

fn row(link: &Link, content: &[u8]) -> Vec<u8> {
    [link.as_slice(), content].concat()
}

fn put<T: Serialize>(
    transaction: &WriteTransaction,
    key: &str,
    value: &T,
) -> Result<(), redb::Error> {
    let content = codec::encode(value);
    let link = hash(&[], key.as_bytes(), &content);
    transaction.open_table(FACTS)?.insert(key, row(&link, &content).as_slice())?;
    Ok(())
}

fn take<T: DeserializeOwned>(
    facts: &impl ReadableTable<&'static str, &'static [u8]>,
    key: &str,
) -> Result<Option<T>, redb::Error> {
    let Some(row) = facts.get(key)? else { return Ok(None) };
    let (link, content) =
        row.value().split_first_chunk().ok_or_else(|| corrupted(format!("{key} is cut off")))?;
    if hash(&[], key.as_bytes(), content) != *link {
        return Err(corrupted(format!("{key} was altered")));
    }
    let value = codec::decode(content, LOG_ENTRY_BYTES_MAX);
    value.map(Some).map_err(|error| corrupted(format!("{key}: {error}")))
}

/// The last entry that is known on disk to be committed; what is before it is what every member
/// has.
fn committed(transaction: &WriteTransaction) -> Result<LogIndex, redb::Error> {
    let hard_state: Option<HardState> = take(&transaction.open_table(FACTS)?, HARD_STATE)?;
    Ok(hard_state.map_or(LogIndex(0), |it| it.commit))
}

fn base_of(transaction: &WriteTransaction) -> Result<Base, redb::Error> {
    take(&transaction.open_table(FACTS)?, BASE)?.ok_or_else(|| corrupted("its base is missing"))
}

fn decode_entry(
    before: &Link,
    index: LogIndex,
    row: &[u8],
) -> Result<(LogEntry, Link), redb::Error> {
    let (link, entry) = decode_unchained(index, row)?;
    if hash(before, &index.0.to_le_bytes(), &row[HASH_BYTES..]) != link {
        return Err(corrupted(format!("entry {} was altered", index.0)));
    }
    Ok((entry, link))
}

fn decode_unchained(index: LogIndex, row: &[u8]) -> Result<(Link, LogEntry), redb::Error> {
    let cut_off = || corrupted(format!("entry {} is cut off", index.0));
    let (link, content) = row.split_first_chunk().ok_or_else(cut_off)?;
    let entry: LogEntry = codec::decode(content, LOG_ENTRY_BYTES_MAX)
        .map_err(|error| corrupted(format!("entry {}: {error}", index.0)))?;
    match entry.index == index {
        true => Ok((*link, entry)),
        false => Err(corrupted(format!("entry {} is in the place of another", index.0))),
    }
}

fn entry_at(
    entries: &Table<'_, u64, &'static [u8]>,
    index: LogIndex,
) -> Result<(LogEntry, Link), redb::Error> {
    let row = entries.get(index.0)?;
    let row = row.ok_or_else(|| corrupted(format!("entry {} is missing", index.0)))?;
    decode_unchained(index, row.value()).map(|(link, entry)| (entry, link))
}

/// Appends entries in place of those from the first one's index on.
fn append(transaction: &WriteTransaction, entries: &[LogEntry]) -> Result<(), redb::Error> {
    let Some(first) = entries.first() else { return Ok(()) };
    let base = base_of(transaction)?;
    let mut table = transaction.open_table(ENTRIES)?;
    table.retain_in(first.index.0.., |_, _| false)?;
    let before = LogIndex(first.index.0.saturating_sub(1));
    let mut link = match before == base.compacted.index {
        true => base.link,
        false => entry_at(&table, before)?.1,
    };
    for entry in entries {
        let content = codec::encode(entry);
        link = hash(&link, &entry.index.0.to_le_bytes(), &content);
        table.insert(entry.index.0, row(&link, &content).as_slice())?;
    }
    Ok(())
}

/// Begins the log again after a snapshot.
fn install(transaction: &WriteTransaction, snapshot: &SnapshotRef) -> Result<(), redb::Error> {
    transaction.open_table(ENTRIES)?.retain(|_, _| false)?;
    let compacted = snapshot.position;
    put(
        transaction,
        BASE,
        &Base { compacted, link: start(compacted), snapshot: Some(snapshot.clone()) },
    )
}

#[cfg(test)]
mod tests;
