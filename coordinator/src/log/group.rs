//! The log of a cluster's voter: what a majority has made durable.

use std::collections::VecDeque;

use airlift_protocol::codec;
use airlift_protocol::limits::LOG_ENTRY_BYTES_MAX;
use airlift_protocol::raft::{LogPayload, LogPosition};

use super::{Batch, Committed, Proposed};
use crate::command::Entry;
use crate::consensus::{Consensus, ProposeError, Role};
use crate::input::RequestId;

/// An entry that this voter proposed as the leader, at its place in the log.
#[derive(Debug)]
struct Placed {
    position: LogPosition,
    proposed: Proposed,
}

/// Consensus, with what was proposed through it.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) consensus: Consensus,
    /// Entries that consensus could not take yet.
    waiting: VecDeque<(Entry, Proposed)>,
    in_flight: VecDeque<Placed>,
    /// Requests whose command may come to pass or not: the lead was lost before it was known.
    lost: Vec<RequestId>,
    is_damaged: bool,
}

impl Group {
    pub(super) fn new(consensus: Consensus) -> Self {
        Self {
            consensus,
            waiting: VecDeque::new(),
            in_flight: VecDeque::new(),
            lost: Vec::new(),
            is_damaged: false,
        }
    }

    /// Whether this voter leads, and has applied all that was committed before it did.
    pub(super) fn is_ready(&self) -> bool {
        let consensus = &self.consensus;
        !self.is_damaged
            && consensus.role() == Role::Leader
            && consensus.applied().term == consensus.term()
    }

    pub(super) fn propose(&mut self, entry: Entry, proposed: Proposed) {
        self.waiting.push_back((entry, proposed));
        self.flush();
    }

    /// Hands consensus what it can take.
    pub(super) fn flush(&mut self) {
        while let Some((entry, proposed)) = self.waiting.pop_front() {
            match self.consensus.propose(codec::encode(&entry)) {
                Ok(()) => {
                    let (index, term) = (self.consensus.last(), self.consensus.term());
                    let position = LogPosition { index, term };
                    self.in_flight.push_back(Placed { position, proposed });
                }
                Err(ProposeError::Congested) => {
                    self.waiting.push_front((entry, proposed));
                    return;
                }
                Err(ProposeError::NotLeader(_) | ProposeError::Size(_)) => {
                    self.lost.extend(proposed.request);
                }
            }
        }
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len() + self.in_flight.len()
    }

    pub(super) fn under_way(&self) -> impl Iterator<Item = &Proposed> {
        let waiting = self.waiting.iter().map(|(_, proposed)| proposed);
        self.in_flight.iter().map(|entry| &entry.proposed).chain(waiting)
    }

    pub(super) fn poll_persist(&mut self) -> Option<(u64, Batch)> {
        let mut persists = Vec::new();
        while let Some(persist) = self.consensus.poll_persist() {
            persists.push(persist);
        }
        let number = persists.last()?.sequence;
        Some((number, Batch::Consensus(persists)))
    }

    pub(super) fn poll_committed(&mut self) -> Option<Committed> {
        while !self.is_damaged
            && let Some(committed) = self.consensus.poll_committed()
        {
            let position = committed.position();
            let request = self.take_request(position);
            let LogPayload::Command(bytes) = committed.payload else { continue };
            match codec::decode(&bytes, LOG_ENTRY_BYTES_MAX) {
                Ok(entry) => return Some(Committed { index: committed.index, entry, request }),
                // Only a newer build writes what this one cannot read: applying the rest without it
                // would make this replica differ from the others.
                Err(_) => {
                    self.is_damaged = true;
                    return None;
                }
            }
        }
        None
    }

    pub(super) fn close(&mut self) {
        self.is_damaged = true;
    }

    /// Whether the log has an entry that this build cannot read.
    pub(super) fn is_damaged(&self) -> bool {
        self.is_damaged
    }

    /// The request that the entry at `position` answers. Entries before it that were not committed
    /// have been overwritten.
    fn take_request(&mut self, position: LogPosition) -> Option<RequestId> {
        while let Some(entry) =
            self.in_flight.pop_front_if(|entry| entry.position.index <= position.index)
        {
            if entry.position == position {
                return entry.proposed.request;
            }
            self.lost.extend(entry.proposed.request);
        }
        None
    }

    /// Requests that nobody will answer any more.
    pub(super) fn take_lost(&mut self) -> Vec<RequestId> {
        if self.consensus.role() != Role::Leader {
            let waiting = self.waiting.drain(..).map(|(_, proposed)| proposed);
            let in_flight = self.in_flight.drain(..).map(|entry| entry.proposed);
            self.lost.extend(in_flight.chain(waiting).filter_map(|proposed| proposed.request));
        }
        std::mem::take(&mut self.lost)
    }
}
