//! Log matching and committed immutability: an index and a term name one entry, what is committed
//! stays, and it is durable with a majority.

use std::collections::{BTreeMap, BTreeSet};

use airlift_protocol::raft::{Configuration, LogEntry, LogPayload, LogPosition, RaftId};

use super::{DiskOf, Found, broken};

/// All entries that anybody ever said or has on its disk. What a process asked to be written, and
/// died before, nobody knows of: it may lead in the same term again, and say something else.
#[derive(Debug, Default)]
pub(crate) struct Logs {
    /// Hash of what an entry says, by index and term.
    entries: BTreeMap<(u64, u64), [u8; 32]>,
    /// Terms of what is committed, by index.
    committed: BTreeMap<u64, u64>,
    /// The last entry that is committed of each term.
    last_of_term: BTreeMap<u64, u64>,
}

impl Logs {
    pub(crate) fn on_entries<'a>(
        &mut self,
        entries: impl IntoIterator<Item = &'a LogEntry>,
    ) -> Found {
        for entry in entries {
            let hash = match &entry.payload {
                LogPayload::Command(bytes) => *blake3::hash(bytes).as_bytes(),
                other => *blake3::hash(format!("{other:?}").as_bytes()).as_bytes(),
            };
            let known = self.entries.entry((entry.index.0, entry.term)).or_insert(hash);
            if *known != hash {
                let text = format!("entry {} of term {} is two", entry.index.0, entry.term);
                return broken("log matching", text, vec![]);
            }
        }
        Ok(())
    }

    pub(crate) fn on_committed(&mut self, index: u64, term: u64) {
        self.committed.insert(index, term);
        self.last_of_term.insert(term, index);
    }

    /// The last entry that is committed of the terms before `term`.
    pub(crate) fn committed_before(&self, term: u64) -> u64 {
        self.last_of_term.range(..term).next_back().map_or(0, |(_, index)| *index)
    }

    /// Whether what a voter has applied is what was committed.
    pub(crate) fn is_as_committed(&self, place: usize, applied: LogPosition) -> Found {
        match self.committed.get(&applied.index.0) {
            Some(term) if *term != applied.term => {
                let text = format!(
                    "n{place} has applied entry {} of term {}, and the one of term {term} was \
                     committed",
                    applied.index.0, applied.term
                );
                broken("what is committed stays", text, vec![])
            }
            _ => Ok(()),
        }
    }

    /// Whether an entry that was committed just now is on the disks of a majority: of the voters as
    /// they were when that was found out, or as they are since. While they change, what came before
    /// the change took effect was committed by those of before alone.
    pub(crate) fn is_on_quorum(
        &self,
        at: LogPosition,
        configurations: &[Option<&Configuration>],
        disks: &[DiskOf<'_>],
    ) -> Found {
        let has = |raft: &RaftId| {
            let mut found = disks.iter().filter(|(of, _)| *of == Some(*raft));
            found.any(|(_, disk)| disk.is_damaged || disk.has(at.index.0, at.term))
        };
        let is_majority = |voters: &BTreeSet<RaftId>| {
            voters.iter().filter(|raft| has(raft)).count() * 2 > voters.len()
        };
        let is_so = configurations.iter().flatten().any(|configuration| {
            is_majority(&configuration.voters) || is_majority(&configuration.voters_outgoing)
        });
        if is_so {
            return Ok(());
        }
        let on: Vec<u64> = disks
            .iter()
            .filter(|(_, disk)| disk.has(at.index.0, at.term))
            .filter_map(|(raft, _)| raft.map(|raft| raft.0))
            .collect();
        let text = format!(
            "entry {} of term {} is on the disks of {on:?} only, of {configurations:?}",
            at.index.0, at.term
        );
        broken("what is committed is durable with a majority", text, vec![])
    }
}
