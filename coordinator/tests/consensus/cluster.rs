//! A group of members with a bad network, slow disks and sudden deaths, and what must hold anyway.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use airlift_coordinator::consensus::{Compaction, Config, Consensus, Durable, Persist, Role};
use airlift_protocol::codec;
use airlift_protocol::id::LogIndex;
use airlift_protocol::raft::{
    Configuration, LogEntry, LogPayload, RaftId, RaftMessage, SnapshotRef,
};

use crate::random::Random;

/// How bad things are, each in events per thousand.
#[derive(Clone, Copy)]
pub(crate) struct Faults {
    pub(crate) loss: u64,
    pub(crate) duplication: u64,
    pub(crate) delay_ticks: u64,
    pub(crate) crash: u64,
    pub(crate) restart: u64,
    pub(crate) partition: u64,
    pub(crate) slow_disk: u64,
    pub(crate) snapshot: u64,
}

impl Faults {
    pub(crate) const NONE: Self = Self {
        loss: 0,
        duplication: 0,
        delay_ticks: 1,
        crash: 0,
        restart: 1000,
        partition: 0,
        slow_disk: 0,
        snapshot: 0,
    };
    pub(crate) const MANY: Self = Self {
        loss: 50,
        duplication: 20,
        delay_ticks: 5,
        crash: 6,
        restart: 60,
        partition: 10,
        slow_disk: 400,
        snapshot: 10,
    };
}

/// What a state machine knows: a hash over all that it applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct State(u64);

impl State {
    fn apply(&mut self, entry: &LogEntry) {
        self.0 = hash(self.0, &codec::encode(entry));
    }

    fn digest(self) -> [u8; 32] {
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&self.0.to_le_bytes());
        digest
    }

    fn of(snapshot: &SnapshotRef) -> Self {
        Self(u64::from_le_bytes(snapshot.digest[..8].try_into().unwrap()))
    }
}

fn hash(seed: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(seed, |hash, byte| Random(hash ^ u64::from(*byte)).next())
}

pub(crate) struct Node {
    pub(crate) disk: Durable,
    pub(crate) machine: Option<Consensus>,
    /// Given to the disk and not written yet: lost when the node dies.
    unsaved: VecDeque<Persist>,
    state: State,
    starts: u64,
}

struct Packet {
    due: u64,
    order: u64,
    message: RaftMessage,
}

/// All members, the network between them, and what an observer has seen.
pub(crate) struct Cluster {
    pub(crate) nodes: BTreeMap<RaftId, Node>,
    pub(crate) random: Random,
    pub(crate) faults: Faults,
    pub(crate) trace: u64,
    /// Everything handed out by anybody.
    pub(crate) committed: BTreeMap<LogIndex, LogEntry>,
    pub(crate) reads_answered: usize,
    seed: u64,
    tick: u64,
    sent: u64,
    packets: Vec<Packet>,
    /// Members that are cut off from the others.
    island: BTreeSet<RaftId>,
    leaders: BTreeMap<u64, RaftId>,
    /// The content of every entry that ever got to a disk.
    written: BTreeMap<(LogIndex, u64), u64>,
    configurations: Vec<(LogIndex, Configuration)>,
    reads: BTreeMap<u64, LogIndex>,
    /// State after each committed entry, by the first who applied it.
    states: BTreeMap<LogIndex, State>,
    proposals: u64,
}

impl Cluster {
    /// Members 1 to `voters` take part from the start, as if they had been founded together.
    pub(crate) fn new(seed: u64, voters: u64) -> Self {
        let mut founded = Durable::found(RaftId(1), State::default().digest(), 0);
        let configuration = Configuration {
            voters: (1..=voters).map(RaftId).collect(),
            ..Configuration::default()
        };
        founded.snapshot.as_mut().unwrap().configuration = configuration.clone();
        let mut cluster = Self {
            nodes: BTreeMap::new(),
            random: Random(seed),
            faults: Faults::NONE,
            trace: 0,
            committed: BTreeMap::new(),
            reads_answered: 0,
            seed,
            tick: 0,
            sent: 0,
            packets: Vec::new(),
            island: BTreeSet::new(),
            leaders: BTreeMap::new(),
            written: BTreeMap::new(),
            configurations: vec![(LogIndex(0), configuration)],
            reads: BTreeMap::new(),
            states: BTreeMap::new(),
            proposals: 0,
        };
        for id in (1..=voters).map(RaftId) {
            cluster.add(id, founded.clone());
        }
        cluster
    }

    pub(crate) fn add(&mut self, id: RaftId, disk: Durable) {
        let node = Node {
            disk,
            machine: None,
            unsaved: VecDeque::new(),
            state: State::default(),
            starts: 0,
        };
        self.nodes.insert(id, node);
        self.start(id);
    }

    pub(crate) fn start(&mut self, id: RaftId) {
        let everybody: BTreeSet<RaftId> = self.nodes.keys().copied().collect();
        let node = self.nodes.get_mut(&id).unwrap();
        if node.machine.is_some() {
            return;
        }
        node.starts += 1;
        let config =
            Config { id, seed: self.seed ^ (node.starts << 32), compaction: Compaction::default() };
        let mut machine = Consensus::restore(config, node.disk.clone()).unwrap();
        machine.introduce(everybody);
        node.state = node.disk.snapshot.as_ref().map(State::of).unwrap_or_default();
        node.machine = Some(machine);
        self.drain(id);
    }

    pub(crate) fn crash(&mut self, id: RaftId) {
        let node = self.nodes.get_mut(&id).unwrap();
        node.machine = None;
        node.unsaved.clear();
    }

    pub(crate) fn machine(&mut self, id: RaftId) -> &mut Consensus {
        self.nodes.get_mut(&id).unwrap().machine.as_mut().unwrap()
    }

    /// The living leader of the highest term.
    pub(crate) fn leader(&self) -> Option<RaftId> {
        let statuses = self.nodes.iter().filter_map(|(id, node)| {
            let status = node.machine.as_ref()?.status();
            (status.role == Role::Leader).then_some((status.term, *id))
        });
        statuses.max().map(|(_, id)| id)
    }

    pub(crate) fn propose(&mut self, id: RaftId) {
        self.proposals += 1;
        let command = self.proposals.to_le_bytes().to_vec();
        let _ = self.machine(id).propose(command);
        self.drain(id);
    }

    pub(crate) fn read(&mut self, id: RaftId) {
        self.proposals += 1;
        let request = self.proposals;
        let floor = self.committed.last_key_value().map_or(LogIndex(0), |(index, _)| *index);
        if self.machine(id).read_index(request).is_ok() {
            self.reads.insert(request, floor);
        }
        self.drain(id);
    }

    /// One tick of everybody, with whatever goes wrong in it.
    pub(crate) fn turn(&mut self) {
        self.tick += 1;
        self.break_things();
        let ids: Vec<RaftId> = self.nodes.keys().copied().collect();
        for id in ids {
            if self.nodes[&id].machine.is_none() {
                continue;
            }
            self.machine(id).tick();
            self.drain(id);
            if !self.random.per_mille(self.faults.slow_disk) {
                self.write(id);
            }
            let wants = self.machine(id).wants_snapshot();
            if wants || self.random.per_mille(self.faults.snapshot) {
                self.snapshot(id);
            }
        }
        self.deliver();
    }

    pub(crate) fn turns(&mut self, count: u64) {
        (0..count).for_each(|_| self.turn());
    }

    fn break_things(&mut self) {
        let ids: Vec<RaftId> = self.nodes.keys().copied().collect();
        for id in &ids {
            let is_up = self.nodes[id].machine.is_some();
            if is_up && self.random.per_mille(self.faults.crash) {
                self.crash(*id);
            } else if !is_up && self.random.per_mille(self.faults.restart) {
                self.start(*id);
            }
        }
        if self.random.per_mille(self.faults.partition) {
            let mask = self.random.next();
            self.island = ids.iter().copied().filter(|id| mask >> id.0 & 1 == 1).collect();
        } else if self.faults.partition == 0 || self.random.per_mille(20) {
            self.island.clear();
        }
    }

    fn deliver(&mut self) {
        let tick = self.tick;
        let mut due: Vec<Packet> = Vec::new();
        self.packets.retain_mut(|packet| {
            let is_due = packet.due <= tick;
            if is_due {
                due.push(Packet { message: packet.message.clone(), ..*packet });
            }
            !is_due
        });
        due.sort_by_key(|packet| (packet.due, packet.order));
        for Packet { message, .. } in due {
            let is_cut = self.island.contains(&message.from) != self.island.contains(&message.to);
            let node = self.nodes.get_mut(&message.to);
            let Some(machine) = node.and_then(|node| node.machine.as_mut()) else { continue };
            if !is_cut {
                let to = message.to;
                // A refusal is as good as a loss.
                let _ = machine.step(message.from, message);
                self.drain(to);
            }
        }
    }

    /// Takes everything that a member wants done.
    pub(crate) fn drain(&mut self, id: RaftId) {
        self.check_leader(id);
        let node = self.nodes.get_mut(&id).unwrap();
        let machine = node.machine.as_mut().unwrap();
        while let Some(persist) = machine.poll_persist() {
            node.unsaved.push_back(persist);
        }
        while let Some((to, message)) = self.machine(id).poll_send() {
            assert_eq!(to, message.to);
            self.send(message);
        }
        loop {
            let node = self.nodes.get_mut(&id).unwrap();
            let Some(entry) = node.machine.as_mut().unwrap().poll_committed() else { break };
            node.state.apply(&entry);
            self.check_committed(id, entry);
        }
        while let Some((request, index)) = self.machine(id).poll_read() {
            assert!(index >= self.reads[&request], "read {request} at {id:?} is stale");
            self.reads_answered += 1;
        }
        self.fetch(id);
        while let Some((_, message)) = self.machine(id).poll_send() {
            self.send(message);
        }
    }

    fn fetch(&mut self, id: RaftId) {
        while let Some((from, snapshot)) = self.machine(id).poll_fetch() {
            let is_cut = self.island.contains(&from) != self.island.contains(&id);
            let is_up = self.nodes.get(&from).is_some_and(|node| node.machine.is_some());
            let is_fetched = is_up && !is_cut && !self.random.per_mille(self.faults.loss);
            self.machine(id).on_snapshot_fetched(&snapshot, is_fetched);
            // The leader is told, unless that gets lost as well.
            if is_up && !self.random.per_mille(self.faults.loss * 2) {
                self.machine(from).report_snapshot(id, is_fetched);
            }
            let machine = self.machine(id);
            let mut persists = Vec::new();
            while let Some(persist) = machine.poll_persist() {
                persists.push(persist);
            }
            self.nodes.get_mut(&id).unwrap().unsaved.extend(persists);
        }
    }

    fn send(&mut self, message: RaftMessage) {
        self.trace = hash(self.trace, &codec::encode(&message));
        let copies = if self.random.per_mille(self.faults.duplication) { 2 } else { 1 };
        for _ in 0..copies {
            if self.random.per_mille(self.faults.loss) {
                continue;
            }
            let due = self.tick + self.random.below(self.faults.delay_ticks);
            self.sent += 1;
            self.packets.push(Packet { due, order: self.sent, message: message.clone() });
        }
    }

    /// Makes durable what a member has given to its disk.
    pub(crate) fn write(&mut self, id: RaftId) {
        let node = self.nodes.get_mut(&id).unwrap();
        let mut last = None;
        while let Some(persist) = node.unsaved.pop_front() {
            last = Some(persist.sequence);
            let is_new_vote = persist.hard_state.term > node.disk.hard_state.term
                || persist.hard_state.vote == node.disk.hard_state.vote
                || node.disk.hard_state.vote.is_none();
            assert!(persist.hard_state.term >= node.disk.hard_state.term && is_new_vote);
            node.disk.hard_state = persist.hard_state;
            if let Some(snapshot) = persist.snapshot {
                node.disk.compacted = snapshot.position;
                node.disk.entries.clear();
                node.state = State::of(&snapshot);
                node.disk.snapshot = Some(snapshot);
            }
            if let Some(first) = persist.entries.first() {
                node.disk.entries.retain(|entry| entry.index < first.index);
            }
            for entry in persist.entries {
                let content = hash(0, &codec::encode(&entry));
                let known = self.written.insert((entry.index, entry.term), content);
                assert!(known.is_none_or(|known| known == content), "logs differ at {entry:?}");
                node.disk.entries.push(entry);
            }
            self.trace = hash(self.trace, &codec::encode(&node.disk.hard_state));
        }
        assert_eq!(node.disk.check(), Ok(()));
        if let Some(sequence) = last {
            self.machine(id).on_persisted(sequence);
            self.drain(id);
        }
    }

    /// A snapshot of what is applied, and the log cut short.
    pub(crate) fn snapshot(&mut self, id: RaftId) {
        let keep = self.random.below(4);
        let node = self.nodes.get_mut(&id).unwrap();
        let machine = node.machine.as_mut().unwrap();
        let snapshot = machine.snapshot_here(node.state.digest(), 8);
        let through = LogIndex(snapshot.position.index.0.saturating_sub(keep));
        // What is applied is on disk; the commit index may be behind.
        let Some(entry) = node.disk.entries.iter().find(|entry| entry.index == through) else {
            return;
        };
        let compacted = entry.position();
        if machine.compact(through, snapshot.clone()).is_err() {
            return;
        }
        node.disk.compacted = compacted;
        node.disk.entries.retain(|entry| entry.index > through);
        node.disk.snapshot = Some(snapshot);
        assert_eq!(node.disk.check(), Ok(()));
    }

    fn check_leader(&mut self, id: RaftId) {
        let status = self.machine(id).status();
        if status.role == Role::Leader {
            let leader = *self.leaders.entry(status.term).or_insert(id);
            assert_eq!(leader, id, "two leaders in term {}", status.term);
        }
        assert!(status.applied.index <= status.committed && status.committed <= status.last);
    }

    fn check_committed(&mut self, id: RaftId, entry: LogEntry) {
        let index = entry.index;
        let state = self.nodes[&id].state;
        let known = *self.states.entry(index).or_insert(state);
        assert_eq!(known, state, "states differ after {index:?}");
        if let Some(known) = self.committed.get(&index) {
            assert_eq!(*known, entry, "what was committed has changed");
            return;
        }
        self.trace = hash(self.trace, &codec::encode(&entry));
        let recent = self.configurations.iter().rev().take(2);
        let is_safe = recent.into_iter().any(|(_, configuration)| {
            self.has_durable_majority(&configuration.voters, &entry)
                && (!configuration.is_joint()
                    || self.has_durable_majority(&configuration.voters_outgoing, &entry))
        });
        assert!(is_safe, "{entry:?} is committed and not on a majority of disks");
        if matches!(entry.payload, LogPayload::Membership(_)) {
            let configuration = self.machine(id).status().configuration;
            self.configurations.push((index, configuration));
        }
        self.committed.insert(index, entry);
    }

    fn has_durable_majority(&self, voters: &BTreeSet<RaftId>, entry: &LogEntry) -> bool {
        let holds = |id: &&RaftId| {
            self.nodes.get(id).is_some_and(|node| {
                node.disk.compacted.index >= entry.index
                    || node.disk.entries.iter().any(|it| it.position() == entry.position())
            })
        };
        voters.iter().filter(holds).count() * 2 > voters.len()
    }

    /// Everything works again: what is proposed now gets to every member of the group.
    pub(crate) fn heal(&mut self) {
        self.faults = Faults::NONE;
        self.turns(300);
        let leader = self.leader().expect("a healed group has a leader");
        self.propose(leader);
        self.turns(60);
        let leader = self.leader().expect("a healed group has a leader");
        let status = self.machine(leader).status();
        assert_eq!(status.applied.index, status.last, "everything is committed");
        assert!(!status.configuration.is_joint(), "no change of membership is stuck");
        for id in status.configuration.members() {
            let applied = self.machine(id).status().applied;
            assert_eq!(applied, status.applied, "{id:?} has caught up");
        }
    }
}
