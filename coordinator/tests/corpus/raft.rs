//! A group of voters of which any may forge what it says: the guard lets nobody crash another, nor
//! use up the terms. What a lying voter does to the log is not looked at: consensus does not
//! promise anything there.

use std::collections::VecDeque;

use airlift_coordinator::consensus::{Compaction, Config, Consensus, Durable};
use airlift_protocol::codec;
use airlift_protocol::id::LogIndex;
use airlift_protocol::limits::{RAFT_MESSAGE_BYTES_MAX, RAFT_TERMS_PER_MINUTE};
use airlift_protocol::raft::{Configuration, MembershipChange, RaftId, RaftMessage, SnapshotRef};

const VOTERS: u64 = 3;

/// Members that there are, one more than begin as voters.
const MEMBERS: u64 = 4;

/// Messages that are on their way at most; the oldest get lost.
const ON_THEIR_WAY: usize = 64;

/// Each step is a byte that says what is done, two bytes of choice, a length byte and bytes.
pub(crate) fn group(data: &[u8]) {
    let mut group = Group::new();
    let mut rest = data;
    while let Some(([step, who, choice, length], after)) = rest.split_first_chunk::<4>() {
        let (bytes, after) = after.split_at(usize::from(*length).min(after.len()));
        rest = after;
        group.step(*step, 1 + u64::from(*who) % MEMBERS, *choice, bytes);
    }
}

struct Group {
    members: Vec<Consensus>,
    messages: VecDeque<RaftMessage>,
    ticks: u64,
}

impl Group {
    fn new() -> Self {
        let member = |id: u64| {
            let durable = if id <= VOTERS { founded() } else { Durable::joining() };
            let config = Config { id: RaftId(id), seed: id, compaction: Compaction::default() };
            let mut member = Consensus::restore(config, durable).unwrap();
            member.introduce((1..=MEMBERS).map(RaftId).collect());
            member
        };
        let members = (1..=MEMBERS).map(member).collect();
        let mut group = Self { members, messages: VecDeque::new(), ticks: 0 };
        // Most of what can go wrong needs a leader.
        group.at(1).campaign();
        for _ in 0..8 {
            (1..=MEMBERS).for_each(|id| group.write(id));
            while let Some(message) = group.messages.pop_front() {
                group.hear(message.from, message);
            }
        }
        group
    }

    fn at(&mut self, id: u64) -> &mut Consensus {
        &mut self.members[(id - 1) as usize]
    }

    fn step(&mut self, step: u8, who: u64, choice: u8, bytes: &[u8]) {
        match step % 12 {
            0 => self.write(who),
            1 => self.deliver(choice),
            2 => self.forge(who, choice, bytes),
            3 => self.alter(choice, bytes),
            4 => (0..choice % 24).for_each(|_| self.tick(who)),
            5 => {
                let _ = self.at(who).propose(bytes.to_vec());
            }
            6 => {
                let _ = self.at(who).read_index(u64::from(choice));
            }
            7 => {
                let to = RaftId(1 + u64::from(choice) % MEMBERS);
                let change = match choice % 3 {
                    0 => MembershipChange::AddLearner(to),
                    1 => MembershipChange::Promote(to),
                    _ => MembershipChange::Remove(to),
                };
                let _ = self.at(who).change_membership(change);
            }
            8 => {
                let _ = self.at(who).transfer_to(RaftId(1 + u64::from(choice) % MEMBERS));
            }
            9 => self.at(who).campaign(),
            10 => self.compact(who, choice),
            _ => {
                let id = RaftId(1 + u64::from(choice) % MEMBERS);
                self.at(who).report_snapshot(id, choice >= 128);
                self.at(who).report_unreachable(id);
            }
        }
        self.drain(who, choice);
    }

    fn tick(&mut self, who: u64) {
        self.ticks += 1;
        self.at(who).tick();
    }

    fn deliver(&mut self, choice: u8) {
        if self.messages.is_empty() {
            return;
        }
        let place = usize::from(choice) % self.messages.len();
        let message = self.messages.remove(place).expect("the place is in the queue");
        self.hear(message.from, message);
    }

    /// Says to `who` what no honest member would, under the name of another.
    fn forge(&mut self, who: u64, choice: u8, bytes: &[u8]) {
        let Ok(message) = codec::decode::<RaftMessage>(bytes, RAFT_MESSAGE_BYTES_MAX) else {
            return;
        };
        let from = RaftId(1 + u64::from(choice) % MEMBERS);
        self.hear(from, RaftMessage { from, to: RaftId(who), ..message });
    }

    /// Says what an honest member said, with one byte of it changed.
    fn alter(&mut self, choice: u8, change: &[u8]) {
        let [at, byte, ..] = *change else { return };
        if self.messages.is_empty() {
            return;
        }
        let original = &self.messages[usize::from(choice) % self.messages.len()];
        let mut bytes = codec::encode(original);
        let at = usize::from(at) % bytes.len();
        bytes[at] = byte;
        if let Ok(message) = codec::decode::<RaftMessage>(&bytes, RAFT_MESSAGE_BYTES_MAX) {
            self.hear(message.from, message);
        }
    }

    /// Takes in a message over the connection of `from`.
    fn hear(&mut self, from: RaftId, message: RaftMessage) {
        let to = message.to.0;
        if !(1..=MEMBERS).contains(&to) {
            return;
        }
        // A refusal is the guard at its work.
        let _ = self.at(to).step(from, message);
        self.drain(to, 0);
    }

    /// Takes everything that a member wants done, but for its writes.
    fn drain(&mut self, who: u64, choice: u8) {
        while let Some((_, message)) = self.at(who).poll_send() {
            if self.messages.len() == ON_THEIR_WAY {
                self.messages.pop_front();
            }
            self.messages.push_back(message);
        }
        while self.at(who).poll_committed().is_some() {}
        while self.at(who).poll_read().is_some() {}
        while let Some((_, reference)) = self.at(who).poll_fetch() {
            self.at(who).on_snapshot_fetched(&reference, choice.is_multiple_of(2));
        }
        let _ = self.at(who).poll_installed();
        let status = self.at(who).status();
        assert!(status.applied.index <= status.committed && status.committed <= status.last);
        let minutes = self.ticks / 600 + 1;
        let term_max = 2 + minutes * RAFT_TERMS_PER_MINUTE + self.ticks;
        assert!(status.term <= term_max, "term {} after {} ticks", status.term, self.ticks);
    }

    fn write(&mut self, who: u64) {
        let mut last = None;
        while let Some(persist) = self.at(who).poll_persist() {
            last = Some(persist.sequence);
        }
        if let Some(sequence) = last {
            self.at(who).on_persisted(sequence);
        }
        self.drain(who, 0);
    }

    fn compact(&mut self, who: u64, choice: u8) {
        let snapshot = self.at(who).snapshot_here([choice; 32], 1);
        let through = snapshot.position.index.0.saturating_sub(u64::from(choice % 4));
        let _ = self.at(who).compact(LogIndex(through), snapshot);
    }
}

fn founded() -> Durable {
    let mut founded = Durable::found(RaftId(1), [0; 32], 0);
    let configuration =
        Configuration { voters: (1..=VOTERS).map(RaftId).collect(), ..Configuration::default() };
    founded.snapshot = founded.snapshot.map(|it| SnapshotRef { configuration, ..it });
    founded
}
