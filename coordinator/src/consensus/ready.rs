//! From the library's turns to what the driver does: write, send, apply.
//!
//! The library hands out its work in numbered turns. A turn that has something to write becomes a
//! `Persist` of that number, and what it wants to say waits until that is on disk. A leader may
//! speak before its own entries are written (they are only counted once they are), but not before
//! its term and vote are: the only voter of a group leads from one moment to the next, and must not
//! lead twice in one term after a crash.

use airlift_protocol::id::LogIndex;
use airlift_protocol::raft::{LogEntry, MembershipChange, RaftId, RaftMessage};
use raft::eraftpb::Message;
use raft::{Ready, StateRole};

use super::{Consensus, Persist, convert};

/// A turn of the library that is not on disk yet, with what waits for it.
#[derive(Debug)]
pub(super) struct Waiting {
    sequence: u64,
    /// Whether there is a `Persist` of that number; otherwise it only waits for those before it.
    is_written: bool,
    /// Whether term or vote change with it.
    is_vote: bool,
    commit: u64,
    messages: Vec<(RaftId, RaftMessage)>,
}

impl Consensus {
    /// The next thing to make durable, in order.
    pub fn poll_persist(&mut self) -> Option<Persist> {
        let persist = self.persists.pop_front()?;
        self.polled = persist.sequence;
        Some(persist)
    }

    /// All that was polled up to `sequence` is durable.
    pub fn on_persisted(&mut self, sequence: u64) {
        let sequence = sequence.min(self.polled);
        let mut through = None;
        while let Some(turn) =
            self.waiting.pop_front_if(|turn| !turn.is_written || turn.sequence <= sequence)
        {
            if turn.is_written {
                self.commit_durable = self.commit_durable.max(turn.commit);
            }
            self.outbox.extend(turn.messages);
            through = Some(turn.sequence);
        }
        let Some(through) = through else { return };
        self.raw.on_persist_ready(through);
        if let Some(position) = self.installing
            && self.raw.raft.raft_log.persisted >= position.index.0
        {
            self.installing = None;
            self.is_installed = true;
            self.applied = position;
            self.raw.advance_apply_to(position.index.0);
        }
        self.settle();
    }

    /// The next entry that is committed: in order, each once. It counts as applied.
    ///
    /// After a restart this begins after the snapshot. A change of membership is in effect when it
    /// is handed out.
    pub fn poll_committed(&mut self) -> Option<LogEntry> {
        let next = self.committed.front()?;
        let change = convert::change_of(next);
        if change.is_some() && next.index > self.commit_durable {
            return None;
        }
        let entry = convert::from_entry(next);
        self.committed.pop_front();
        if let Some(change) = change {
            self.reconfigure(entry.index, change);
        }
        self.applied = entry.position();
        self.raw.advance_apply_to(entry.index.0);
        self.settle();
        Some(entry)
    }

    /// Takes over all that the library has brought about since the last call.
    pub(super) fn settle(&mut self) {
        while self.raw.has_ready() {
            let ready = self.raw.ready();
            self.take_turn(ready);
        }
        self.fix_timeout();
    }

    fn take_turn(&mut self, mut ready: Ready) {
        for read in ready.take_read_states() {
            if let Some(request) = convert::read_of(&read.request_ctx) {
                self.reads.push_back((request, LogIndex(read.index)));
            }
        }
        let snapshot = match ready.snapshot().is_empty() {
            true => None,
            false => Some(convert::from_snapshot(ready.snapshot())),
        };
        if let Some(snapshot) = &snapshot {
            self.raw.mut_store().install(snapshot.clone());
            self.committed.clear();
            self.configuration = snapshot.configuration.clone();
            self.configured = snapshot.configured;
            self.configured_committed = snapshot.configured.0;
            self.commit_seen = snapshot.position.index.0;
            self.installing = Some(snapshot.position);
        }
        let entries = ready.take_entries();
        self.raw.mut_store().append(&entries);
        let is_membership = self.look_for_membership();
        self.committed.extend(ready.take_committed_entries());

        let hard_state = self.raw.raft.hard_state();
        let voted = (hard_state.term, hard_state.vote);
        let is_vote = voted != self.voted;
        let is_written = is_vote || is_membership || snapshot.is_some() || !entries.is_empty();
        let immediate = to_wire(&ready.take_messages());
        let messages = to_wire(&ready.take_persisted_messages());
        let sequence = ready.number();
        self.raw.advance_append_async(ready);

        let mut turn =
            Waiting { sequence, is_written, is_vote, commit: hard_state.commit, messages };
        if is_vote || self.waiting.iter().any(|turn| turn.is_vote) {
            turn.messages.extend(immediate);
        } else {
            self.outbox.extend(immediate);
        }
        if is_written {
            self.voted = voted;
            self.persists.push_back(Persist {
                sequence,
                hard_state: convert::from_hard_state(&hard_state),
                snapshot,
                entries: entries.iter().map(convert::from_entry).collect(),
            });
        } else if self.waiting.is_empty() {
            self.outbox.extend(turn.messages);
            self.raw.on_persist_ready(sequence);
            return;
        }
        self.waiting.push_back(turn);
    }

    /// Looks through what has been committed since the last time for changes of membership.
    fn look_for_membership(&mut self) -> bool {
        let committed = self.raw.raft.raft_log.committed;
        let log = self.raw.store();
        let found = (self.commit_seen + 1..=committed)
            .rev()
            .find(|index| log.get(*index).is_some_and(|it| convert::change_of(it).is_some()));
        self.commit_seen = self.commit_seen.max(committed);
        self.configured_committed = found.unwrap_or(self.configured_committed);
        found.is_some()
    }

    /// Puts a committed change of membership into effect.
    fn reconfigure(&mut self, index: LogIndex, change: MembershipChange) {
        // The library refuses a change that contradicts the configuration, on every member alike:
        // then the entry has no effect.
        if let Ok(configuration) = self.raw.apply_conf_change(&convert::to_change(change)) {
            self.configuration = convert::from_configuration(&configuration);
            self.configured = index;
        }
        // Who has lost its vote must stop leading: the library would go on, and fail when it next
        // looks for itself among the members.
        let raft = &mut self.raw.raft;
        if !self.configuration.is_voter(self.id) && raft.state != StateRole::Follower {
            let term = raft.term;
            raft.become_follower(term, 0);
        }
    }
}

fn to_wire(messages: &[Message]) -> Vec<(RaftId, RaftMessage)> {
    messages.iter().filter_map(convert::from_message).map(|message| (message.to, message)).collect()
}
