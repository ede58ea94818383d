//! Nodes with a coordinator and an agent each, the network between them and their disks, in
//! virtual time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use airlift_coordinator::consensus::{
    Compaction, Config, Consensus, Durable, Persist, Role, TransferError,
};
use airlift_coordinator::log::Batch;
use airlift_coordinator::origin::Actor;
use airlift_coordinator::state::{Job, State};
use airlift_coordinator::{
    Agent, AgentEffect, AgentInput, Answer, Coordinator, Effect, Input, Request, RequestId,
};
use airlift_protocol::assignment::{End, Work};
use airlift_protocol::cluster::{Addresses, Boot};
use airlift_protocol::codec;
use airlift_protocol::control::{Heartbeat, Order};
use airlift_protocol::id::{AssignmentId, JobId, LogIndex, NodeId, Position};
use airlift_protocol::limits::STATE_BYTES_MAX;
use airlift_protocol::manifest::Page;
use airlift_protocol::raft::{RaftId, RaftMessage, SnapshotRef, snapshot_digest};
use airlift_protocol::report::Report;
use airlift_protocol::time::Timestamp;
use airlift_protocol::version::Formats;

use crate::random::Random;
use crate::work;

/// Milliseconds in which a slow node moves what others move in a moment.
pub(crate) const SLOW_MS: u64 = 45_000;

const WALL_START: u64 = 1_700_000_000_000;

/// How bad things are; chances in events per thousand.
#[derive(Clone, Copy)]
pub(crate) struct Faults {
    pub(crate) loss: u64,
    pub(crate) duplication: u64,
    pub(crate) delay_ms: u64,
    pub(crate) disk_ms: u64,
    pub(crate) work_ms: u64,
}

impl Faults {
    pub(crate) const NONE: Self =
        Self { loss: 0, duplication: 0, delay_ms: 5, disk_ms: 5, work_ms: 200 };
    pub(crate) const MANY: Self =
        Self { loss: 50, duplication: 30, delay_ms: 60, disk_ms: 30, work_ms: 900 };
}

/// What travels between nodes.
#[derive(Clone)]
enum Packet {
    Raft(Box<RaftMessage>),
    Order(Order),
    Report(Box<Report>),
    Heartbeat(Box<Heartbeat>),
}

enum Ahead {
    Packet(NodeId, Packet),
    Outcome(AssignmentId, JobId, u32, Work),
    Disk,
    Fetched(RaftId, SnapshotRef),
    LoadPage(JobId, End, LogIndex),
    Timeout,
}

enum Write {
    Log(u64, Vec<Persist>),
    Snapshot {
        reference: SnapshotRef,
        state: Vec<u8>,
        through: LogIndex,
        pages: BTreeSet<LogIndex>,
    },
}

#[derive(Default)]
struct Disk {
    log: Durable,
    states: BTreeMap<[u8; 32], Vec<u8>>,
    /// Manifest pages whose entries are gone.
    pages: BTreeMap<LogIndex, Page>,
}

impl Disk {
    /// A page of an entry that is known to be committed here.
    fn page(&self, index: LogIndex) -> Option<Page> {
        if let Some(page) = self.pages.get(&index) {
            return Some(page.clone());
        }
        let committed = self.log.hard_state.commit;
        let mut entries = self.log.entries.iter().filter(|entry| entry.index <= committed);
        entries.find(|entry| entry.index == index).map(|entry| work::page_of(&entry.payload))
    }

    /// Drops the log up to `through`, but for `pages`.
    fn cut(&mut self, through: LogIndex, pages: &BTreeSet<LogIndex>) {
        for index in pages {
            let page = self.page(*index).filter(|_| *index <= through);
            self.pages.extend(page.map(|page| (*index, page)));
        }
        self.pages.retain(|index, _| pages.contains(index));
        if let Some(last) = self.log.entries.iter().find(|entry| entry.index == through) {
            self.log.compacted = last.position();
        }
        self.log.entries.retain(|entry| entry.index > through);
    }

    fn state(&self) -> State {
        let Some(snapshot) = &self.log.snapshot else { return State::default() };
        codec::decode(&self.states[&snapshot.digest], STATE_BYTES_MAX).unwrap()
    }

    fn write(&mut self, persist: Persist) {
        let log = &mut self.log;
        log.hard_state = persist.hard_state;
        if let Some(snapshot) = persist.snapshot {
            assert!(self.states.contains_key(&snapshot.digest), "its bytes come first");
            log.compacted = snapshot.position;
            log.entries.clear();
            log.snapshot = Some(snapshot);
        }
        if let Some(first) = persist.entries.first() {
            log.entries.retain(|entry| entry.index < first.index);
        }
        log.entries.extend(persist.entries);
    }
}

pub(crate) struct Process {
    pub(crate) coordinator: Coordinator,
    agent: Agent,
    writes: VecDeque<Write>,
    leader: Option<RaftId>,
    armed: Option<u64>,
    /// Objects whose end was recorded by this process.
    recorded: BTreeSet<(JobId, u32, End, Position)>,
    /// Voters that its state has had.
    known: BTreeSet<RaftId>,
}

pub(crate) struct Node {
    pub(crate) raft: RaftId,
    pub(crate) process: Option<Process>,
    /// Orders that its agents were told to stop.
    pub(crate) cancelled: usize,
    pub(crate) orders: usize,
    /// Answers to orders that it gave.
    pub(crate) reports: usize,
    /// Bytes written by its process, by job.
    written: BTreeMap<JobId, u64>,
    disk: Disk,
    starts: u64,
}

pub(crate) struct World {
    pub(crate) now: u64,
    pub(crate) nodes: BTreeMap<NodeId, Node>,
    pub(crate) faults: Faults,
    pub(crate) random: Random,
    /// Bytes of each object of the source.
    pub(crate) object_bytes: u64,
    /// Cut off from all others.
    pub(crate) island: Option<NodeId>,
    /// Does nothing until then, and does not know it.
    pub(crate) frozen: Option<(NodeId, u64)>,
    /// Takes [`SLOW_MS`] to move anything, and never hears that it is not to.
    pub(crate) slow: Option<NodeId>,
    pub(crate) snapshots_saved: usize,
    pub(crate) snapshots_fetched: usize,
    pub(crate) snapshots_too_large: usize,
    pub(crate) compaction: Compaction,
    seed: u64,
    sequence: u64,
    ahead: BTreeMap<(u64, u64), (NodeId, u64, Ahead)>,
    requests: u64,
    answers: BTreeMap<RequestId, Answer>,
    /// State after each entry, by the first that applied it.
    states: BTreeMap<LogIndex, [u8; 32]>,
    leaders: BTreeMap<u64, RaftId>,
}

/// Some clusters cut their logs all the time, some never.
fn compaction(seed: u64) -> Compaction {
    let entries_max = [8, 40, 10_000][usize::try_from(seed % 3).unwrap()];
    Compaction { entries_max, entries_kept: entries_max / 4, ..Compaction::default() }
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            now: 0,
            nodes: BTreeMap::new(),
            faults: Faults::NONE,
            random: Random(seed),
            object_bytes: work::OBJECT_BYTES,
            island: None,
            frozen: None,
            slow: None,
            snapshots_saved: 0,
            snapshots_fetched: 0,
            snapshots_too_large: 0,
            compaction: compaction(seed),
            seed,
            sequence: 0,
            ahead: BTreeMap::new(),
            requests: 0,
            answers: BTreeMap::new(),
            states: BTreeMap::new(),
            leaders: BTreeMap::new(),
        }
    }

    /// A node with an empty disk, which founds the cluster or is about to join it.
    pub(crate) fn add(&mut self, id: NodeId, raft: RaftId, is_founder: bool) {
        let mut disk = Disk::default();
        if is_founder {
            let state = codec::encode(&State::default());
            let digest = snapshot_digest(&state);
            disk.log = Durable::found(raft, digest, state.len() as u64);
            disk.states.insert(digest, state);
        }
        let (cancelled, orders, reports, written) = (0, 0, 0, BTreeMap::new());
        let node =
            Node { raft, process: None, cancelled, orders, reports, written, disk, starts: 0 };
        self.nodes.insert(id, node);
        self.start(id);
        // Every node hears of a new member, by the log or without.
        let ids: Vec<NodeId> = self.nodes.keys().copied().collect();
        for id in ids {
            let introduction = Input::Introduce(self.voters());
            self.feed(id, introduction);
        }
    }

    fn voters(&self) -> BTreeSet<RaftId> {
        self.nodes.values().map(|node| node.raft).collect()
    }

    pub(crate) fn start(&mut self, id: NodeId) {
        let now = Timestamp(self.now);
        let voters = self.voters();
        let node = self.nodes.get_mut(&id).unwrap();
        node.starts += 1;
        node.written.clear();
        let boot = Boot::new(u32::try_from(node.starts).unwrap(), 0);
        let seed = Random(self.seed ^ (node.raft.0 << 32) ^ node.starts).next();
        let config = Config { id: node.raft, seed, compaction: self.compaction };
        let consensus = Consensus::restore(config, node.disk.log.clone()).unwrap();
        let coordinator = Coordinator::voter(now, node.disk.state(), consensus);
        node.process = Some(Process {
            coordinator,
            agent: Agent::new(now, seed, boot),
            writes: VecDeque::new(),
            leader: None,
            armed: None,
            recorded: BTreeSet::new(),
            known: BTreeSet::new(),
        });
        self.note_members(id);
        self.feed(id, Input::Introduce(voters));
        self.feed_agent(id, AgentInput::Timeout);
    }

    /// Has a node hand over the lead.
    pub(crate) fn hand_over(
        &mut self,
        id: NodeId,
        tried: &BTreeSet<RaftId>,
    ) -> Result<RaftId, TransferError> {
        let process = self.nodes.get_mut(&id).unwrap().process.as_mut().unwrap();
        let to = process.coordinator.hand_over(tried);
        self.drain(id);
        to
    }

    /// What was given to the disk and is not written yet is lost.
    pub(crate) fn crash(&mut self, id: NodeId) {
        self.nodes.get_mut(&id).unwrap().process = None;
    }

    pub(crate) fn process(&self, id: NodeId) -> Option<&Process> {
        self.nodes.get(&id)?.process.as_ref()
    }

    /// The node that decides, if one that others hear does.
    pub(crate) fn leader(&self) -> Option<NodeId> {
        let live = self.nodes.iter().filter(|(id, _)| self.island != Some(**id));
        let mut deciding = live.filter_map(|(id, node)| {
            let process = node.process.as_ref()?;
            let term = process.coordinator.consensus()?.status().term;
            process.coordinator.is_deciding().then_some((term, *id))
        });
        let first = deciding.next()?;
        Some(deciding.fold(first, |latest, next| latest.max(next)).1)
    }

    pub(crate) fn job(&self, id: JobId) -> Option<&Job> {
        let leader = self.process(self.leader()?)?;
        leader.coordinator.state().jobs.get(&id)
    }

    /// Steps until `is_so`; fails when that takes longer than `limit_ms`.
    pub(crate) fn run_until(&mut self, limit_ms: u64, what: &str, is_so: impl Fn(&Self) -> bool) {
        let end = self.now + limit_ms;
        while !is_so(self) {
            if self.now > end {
                let (seed, text) = (self.seed, self.describe());
                panic!("seed {seed}: not within {limit_ms} ms: {what}\n{text}");
            }
            self.step();
        }
    }

    /// Where everything stands, for whoever looks into a failure.
    fn describe(&self) -> String {
        let live = self.nodes.values().filter_map(|node| node.process.as_ref());
        let lines = live.map(|process| {
            let coordinator = &process.coordinator;
            let (inventory, state) = (coordinator.inventory(), coordinator.state());
            format!("{:?}\n  {inventory:?}\n  {state:?}\n", coordinator.consensus())
        });
        format!("at {} ms\n{}", self.now, lines.collect::<String>())
    }

    pub(crate) fn run_for(&mut self, ms: u64) {
        let end = self.now + ms;
        while self.ahead.first_key_value().is_some_and(|((time, _), _)| *time <= end) {
            self.step();
        }
        self.now = end;
    }

    /// Asks the leader until it answers for sure.
    pub(crate) fn ask(&mut self, request: &Request) -> Answer {
        for _ in 0..100 {
            self.run_until(120_000, "a leader", |world| world.leader().is_some());
            let leader = self.leader().unwrap();
            let id = self.request(leader, request.clone());
            let end = self.now + 5_000;
            while self.now < end && !self.answers.contains_key(&id) {
                self.step();
            }
            match self.answers.get(&id) {
                None | Some(Answer::NotLeader | Answer::Unknown) => {}
                Some(answer) => return answer.clone(),
            }
        }
        panic!("seed {}: no answer to {request:?}", self.seed);
    }

    /// Asks a node, whether it leads or not.
    pub(crate) fn request(&mut self, of: NodeId, request: Request) -> RequestId {
        self.requests += 1;
        let id = RequestId(self.requests);
        let at = Timestamp(WALL_START + self.now);
        self.feed(of, Input::Request { id, request, by: Actor::Root, at });
        id
    }

    pub(crate) fn answer(&self, id: RequestId) -> Option<&Answer> {
        self.answers.get(&id)
    }

    fn step(&mut self) {
        let ((time, _), (id, starts, ahead)) =
            self.ahead.pop_first().expect("something always lies ahead");
        self.now = self.now.max(time);
        if let Some((frozen, until)) = self.frozen
            && frozen == id
            && time < until
        {
            self.sequence += 1;
            self.ahead.insert((until, self.sequence), (id, starts, ahead));
            return;
        }
        let node = self.nodes.get_mut(&id).unwrap();
        let Some(process) = node.process.as_mut() else { return };
        if let Ahead::Packet(from, packet) = ahead {
            return self.receive(id, from, packet);
        }
        if node.starts != starts {
            return;
        }
        match ahead {
            Ahead::Packet(..) => {}
            Ahead::Outcome(assignment, job, attempt, work) => {
                *node.written.entry(job).or_default() += work::bytes(&work);
                for result in work::outcomes(&work, self.object_bytes) {
                    let (result, wire_bytes) = (Ok(result), 0);
                    let outcome = AgentInput::Outcome { assignment, attempt, result, wire_bytes };
                    self.feed_agent(id, outcome);
                }
            }
            Ahead::Disk => match process.writes.pop_front() {
                Some(Write::Log(number, persists)) => {
                    persists.into_iter().for_each(|persist| node.disk.write(persist));
                    self.feed(id, Input::Persisted { number });
                }
                Some(Write::Snapshot { reference, state, through, pages }) => {
                    assert!(reference.is_of(&state));
                    node.disk.cut(through, &pages);
                    node.disk.states.insert(reference.digest, state);
                    node.disk.log.snapshot = Some(reference.clone());
                    node.disk.log.check().unwrap();
                    self.snapshots_saved += 1;
                    self.feed(id, Input::SnapshotSaved { reference });
                }
                None => {}
            },
            Ahead::LoadPage(job, end, index) => match self.page(id, index) {
                Some(page) => self.feed(id, Input::PageLoaded { job, end, page }),
                None => self.schedule(id, 500, Ahead::LoadPage(job, end, index)),
            },
            Ahead::Fetched(from, reference) => self.fetched(id, from, reference),
            Ahead::Timeout => {
                if process.armed.is_some_and(|armed| armed <= time) {
                    process.armed = None;
                    self.feed(id, Input::Timeout);
                    self.feed_agent(id, AgentInput::Timeout);
                }
            }
        }
    }

    fn fetched(&mut self, id: NodeId, from: RaftId, reference: SnapshotRef) {
        let source = self.id_of(from);
        let is_cut = [Some(id), source].contains(&self.island) || self.random.per_mille(100);
        let state = source
            .filter(|_| !is_cut)
            .and_then(|source| self.nodes[&source].disk.states.get(&reference.digest).cloned());
        let mut state = state;
        if let Some(state) = &mut state
            && self.random.per_mille(100)
        {
            // A driver checks this too; who does not is caught here.
            let byte = self.random.below(state.len() as u64);
            state[usize::try_from(byte).unwrap()] ^= 1;
        } else if let Some(bytes) = &state {
            let decoded: State = codec::decode(bytes, STATE_BYTES_MAX).unwrap();
            let pages = self.fetch_pages(id, &decoded.pages());
            let disk = &mut self.nodes.get_mut(&id).unwrap().disk;
            disk.states.insert(reference.digest, bytes.clone());
            match pages {
                Some(pages) => disk.pages.extend(pages),
                None => state = None,
            }
            self.snapshots_fetched += usize::from(state.is_some());
        }
        let is_fetched = state.is_some();
        self.feed(id, Input::SnapshotFetched { reference, state });
        let to = self.nodes[&id].raft;
        // Telling the leader is a matter of speed only.
        if let Some(source) = source.filter(|_| self.random.per_mille(500)) {
            self.feed(source, Input::SnapshotSent { to, is_fetched });
        }
    }

    fn receive(&mut self, id: NodeId, from: NodeId, packet: Packet) {
        match packet {
            Packet::Raft(message) if !self.carries(id, message.from) => {}
            Packet::Raft(message) => {
                self.feed(id, Input::Message { from: message.from, message });
            }
            Packet::Order(Order::Revoke(_)) if self.slow == Some(id) => {}
            Packet::Order(order) => self.feed_agent(id, AgentInput::Order(order)),
            Packet::Report(report) => self.feed(id, Input::Report { node: from, report }),
            Packet::Heartbeat(heartbeat) => {
                let at = Timestamp(WALL_START + self.now);
                let heartbeat = *heartbeat;
                self.feed(id, Input::Heartbeat { node: from, heartbeat, at });
            }
        }
    }

    fn feed(&mut self, id: NodeId, input: Input) {
        let now = Timestamp(self.now);
        let Some(process) = self.nodes.get_mut(&id).and_then(|node| node.process.as_mut()) else {
            return;
        };
        process.coordinator.handle(now, input);
        self.observe(id);
        self.drain(id);
    }

    fn feed_agent(&mut self, id: NodeId, input: AgentInput) {
        let now = Timestamp(self.now);
        let Some(process) = self.nodes.get_mut(&id).and_then(|node| node.process.as_mut()) else {
            return;
        };
        process.agent.handle(now, input);
        self.drain(id);
    }

    /// What must hold of a coordinator at any time.
    fn observe(&mut self, id: NodeId) {
        let node = self.nodes.get_mut(&id).unwrap();
        let Some(process) = &mut node.process else { return };
        assert!(!process.coordinator.is_damaged());
        let status = process.coordinator.consensus().unwrap().status();
        if status.role == Role::Leader {
            let first = self.leaders.entry(status.term).or_insert(node.raft);
            assert_eq!(*first, node.raft, "seed {}: two leaders in a term", self.seed);
        }
        let digest = snapshot_digest(&process.coordinator.snapshot_bytes());
        let first = self.states.entry(status.applied.index).or_insert(digest);
        let index = status.applied.index.0;
        assert_eq!(*first, digest, "seed {}: replicas differ after entry {index}", self.seed);
        if process.leader != status.leader {
            process.leader = status.leader;
            if status.leader.is_some() {
                process.agent.handle(Timestamp(self.now), AgentInput::LeaderChanged);
            }
        }
    }

    fn drain(&mut self, id: NodeId) {
        loop {
            let Some(process) = &mut self.nodes.get_mut(&id).unwrap().process else { return };
            if let Some(effect) = process.coordinator.poll_effect() {
                self.carry_out(id, effect);
            } else if let Some(effect) = process.agent.poll_effect() {
                self.carry_out_agent(id, effect);
            } else {
                break;
            }
        }
        let Some(process) = &mut self.nodes.get_mut(&id).unwrap().process else { return };
        let timeouts = [process.coordinator.poll_timeout(), process.agent.poll_timeout()];
        let next = timeouts.into_iter().flatten().min().map(|next| next.0.max(self.now));
        if let Some(next) = next
            && process.armed.is_none_or(|armed| next < armed)
        {
            process.armed = Some(next);
            self.schedule(id, next - self.now, Ahead::Timeout);
        }
    }

    fn schedule(&mut self, id: NodeId, after_ms: u64, ahead: Ahead) {
        self.sequence += 1;
        let starts = self.nodes[&id].starts;
        self.ahead.insert((self.now + after_ms, self.sequence), (id, starts, ahead));
    }

    fn send(&mut self, from: NodeId, to: NodeId, packet: Packet) {
        let copies = match from == to {
            true => 1,
            false if [Some(from), Some(to)].contains(&self.island) && self.island.is_some() => 0,
            false if self.random.per_mille(self.faults.loss) => 0,
            false if self.random.per_mille(self.faults.duplication) => 2,
            false => 1,
        };
        for _ in 0..copies {
            let after = self.random.below(self.faults.delay_ms);
            self.schedule(to, after, Ahead::Packet(from, packet.clone()));
        }
    }

    fn id_of(&self, raft: RaftId) -> Option<NodeId> {
        self.nodes.iter().find(|(_, node)| node.raft == raft).map(|(id, _)| *id)
    }

    fn note_members(&mut self, id: NodeId) {
        let Some(process) = self.nodes.get_mut(&id).and_then(|node| node.process.as_mut()) else {
            return;
        };
        let cluster = process.coordinator.state().cluster.iter();
        let voters = cluster.flat_map(|cluster| cluster.members.values()).filter_map(|it| it.raft);
        process.known.extend(voters);
    }

    /// Whether a node exchanges messages with this voter: as drivers do, it drops those of one that was
    /// removed, unless it takes part in consensus.
    fn carries(&self, id: NodeId, raft: RaftId) -> bool {
        let Some(process) = self.process(id) else { return false };
        let (cluster, consensus) =
            (&process.coordinator.state().cluster, process.coordinator.consensus().unwrap());
        !process.known.contains(&raft)
            || cluster.as_ref().is_some_and(|cluster| cluster.voter(raft).is_some())
            || consensus.configuration().members().contains(&raft)
    }

    fn write(&mut self, id: NodeId, write: Write) {
        let node = self.nodes.get_mut(&id).unwrap();
        node.process.as_mut().unwrap().writes.push_back(write);
        let after = self.random.below(self.faults.disk_ms);
        self.schedule(id, after, Ahead::Disk);
    }

    fn carry_out(&mut self, id: NodeId, effect: Effect) {
        match effect {
            Effect::Persist { number, batch: Batch::Consensus(persists) } => {
                self.write(id, Write::Log(number, persists));
            }
            Effect::SaveSnapshot { reference, state, through, pages } => {
                self.write(id, Write::Snapshot { reference, state, through, pages });
            }
            Effect::Send { to, message } => {
                if let Some(to) = self.id_of(to).filter(|_| self.carries(id, to)) {
                    self.send(id, to, Packet::Raft(message));
                }
            }
            Effect::MembersChanged => self.note_members(id),
            Effect::FetchSnapshot { from, reference } => {
                self.schedule(id, 20, Ahead::Fetched(from, reference));
            }
            Effect::LoadPage { job, end, index, .. } => {
                self.schedule(id, 1, Ahead::LoadPage(job, end, index));
            }
            Effect::Order { node, order } => {
                if matches!(order, Order::Assign(_)) {
                    self.nodes.get_mut(&node).unwrap().orders += 1;
                }
                self.send(id, node, Packet::Order(order));
            }
            Effect::Answer { id, answer } => {
                assert!(self.answers.insert(id, answer).is_none(), "answered twice");
            }
            Effect::Record { job, run, end, position, .. } => {
                let process = self.nodes.get_mut(&id).unwrap().process.as_mut().unwrap();
                assert!(
                    process.recorded.insert((job, run, end, position)),
                    "an object ended twice"
                );
            }
            Effect::Forget { .. }
            | Effect::Emit(_)
            | Effect::Superseded { .. }
            | Effect::Unfit { .. } => {}
            Effect::SnapshotTooLarge { .. } => self.snapshots_too_large += 1,
            Effect::Persist { .. } => panic!("not of a voter: {effect:?}"),
        }
    }

    /// The pages that a state refers to, unless one is on no disk now.
    fn fetch_pages(&self, id: NodeId, pages: &BTreeSet<LogIndex>) -> Option<Vec<(LogIndex, Page)>> {
        pages.iter().map(|index| Some((*index, self.page(id, *index)?))).collect()
    }

    /// A page from this node's disk, or from another's that runs.
    fn page(&self, id: NodeId, index: LogIndex) -> Option<Page> {
        let others = self.nodes.values().filter(|node| node.process.is_some());
        let mut nodes = std::iter::once(&self.nodes[&id]).chain(others);
        nodes.find_map(|node| node.disk.page(index))
    }

    /// Every voter has what it needs to lead alone.
    pub(crate) fn assert_pages_are_everywhere(&self) {
        for (id, node) in &self.nodes {
            let Some(process) = &node.process else { continue };
            for index in process.coordinator.state().pages() {
                assert!(node.disk.page(index).is_some(), "seed {}: {id:?} {index:?}", self.seed);
            }
        }
    }

    /// Entries in the longest log.
    pub(crate) fn longest_log(&self) -> usize {
        self.nodes.values().map(|node| node.disk.log.entries.len()).max().unwrap_or_default()
    }

    fn carry_out_agent(&mut self, id: NodeId, effect: AgentEffect) {
        match effect {
            AgentEffect::Start { assignment, attempt } => {
                let is_slow = self.slow == Some(id) && work::bytes(&assignment.work) > 0;
                let usual = 1 + self.random.below(self.faults.work_ms);
                let after = if is_slow { SLOW_MS } else { usual };
                let (assignment, job, work) = (assignment.id, assignment.job, assignment.work);
                self.schedule(id, after, Ahead::Outcome(assignment, job, attempt, work));
            }
            AgentEffect::Cancel(_) => self.nodes.get_mut(&id).unwrap().cancelled += 1,
            // A listing of these nodes has one part.
            AgentEffect::Recorded(_) => {}
            AgentEffect::Report(report) => {
                self.nodes.get_mut(&id).unwrap().reports += 1;
                self.tell_leader(id, Packet::Report(report));
            }
            AgentEffect::Heartbeat { boot, held } => {
                let heartbeat = Heartbeat {
                    boot,
                    addresses: Addresses::default(),
                    slots: 2,
                    held,
                    written: self.nodes[&id].written.clone().into_iter().collect(),
                    members_version: 0,
                    version: String::new(),
                    figures: Vec::new(),
                    shares: None,
                    gates: Vec::new(),
                    formats: Formats::BUILD,
                    spent: Vec::new(),
                };
                self.tell_leader(id, Packet::Heartbeat(Box::new(heartbeat)));
            }
        }
    }

    fn tell_leader(&mut self, id: NodeId, packet: Packet) {
        let leader = self.process(id).and_then(|process| process.leader);
        if let Some(leader) = leader.and_then(|leader| self.id_of(leader)) {
            self.send(id, leader, packet);
        }
    }
}
