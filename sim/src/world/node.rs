//! Nodes and their processes: how one starts, and how it dies between any two effects.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use airlift_coordinator::command::Entry;
use airlift_coordinator::consensus::{Compaction, Config, Consensus, Durable};
use airlift_coordinator::coordinator::Replay;
use airlift_coordinator::state::State;
use airlift_coordinator::{Agent, AgentInput, Coordinator, Input};
use airlift_protocol::budget::{Spent, Usage};
use airlift_protocol::cluster::{NodeName, Role};
use airlift_protocol::codec;
use airlift_protocol::id::{AssignmentId, JobId, LogIndex, NodeId};
use airlift_protocol::limits::{LOG_ENTRY_BYTES_MAX, TERM_MS};
use airlift_protocol::raft::{RaftId, snapshot_digest};
use airlift_protocol::time::Timestamp;
use airlift_protocol::version::Formats;

use super::attempt::Attempt;
use super::disk::{Disk, Write};
use super::{Ahead, World};
use crate::prng::Prng;
use crate::trace::Weight;

/// A machine with a disk.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) name: NodeName,
    pub(crate) role: Role,
    /// Its number among the voters, once the cluster has given it one.
    pub(crate) raft: Option<RaftId>,
    pub(crate) disk: Disk,
    /// The formats of the build that it runs, or will run next.
    pub(crate) formats: Formats,
    pub(crate) process: Option<Process>,
    /// Counts starts: what a dead process had ahead of it never happens.
    pub(crate) life: u64,
    /// What its clock shows at the beginning of time; it never stands still.
    pub(crate) clock: u64,
    /// Milliseconds by which its wall clock is ahead.
    pub(crate) wall_ahead: u64,
    /// Does nothing until then, and does not know it.
    pub(crate) frozen_until: u64,
    /// Its disk takes its time until then.
    pub(crate) slow_until: u64,
    /// Its disk takes nothing until then.
    pub(crate) full_until: u64,
    /// Whether it belongs to the cluster, as far as its user knows.
    pub(crate) is_member: bool,
    /// Whether it never comes back.
    pub(crate) is_gone: bool,
}

/// What runs on a node.
#[derive(Debug)]
pub(crate) struct Process {
    /// A worker has none.
    pub(crate) coordinator: Option<Coordinator>,
    pub(crate) agent: Agent,
    /// What is to be written, in order; the first is being written.
    pub(crate) writes: VecDeque<Write>,
    /// Who leads, as far as it knows.
    pub(crate) leader: Option<usize>,
    /// The time of the next timeout that is planned.
    pub(crate) armed: Option<u64>,
    /// When its leases end, by its own clock, and how often they did.
    pub(crate) term: (u64, u64),
    /// The sign of life that waits for an answer, and when it was said by its own clock.
    pub(crate) beat: Option<(u64, u64)>,
    pub(crate) beats: u64,
    pub(crate) asked_last: Option<usize>,
    pub(crate) attempts: BTreeMap<AssignmentId, Attempt>,
    /// Bytes written since it started, by job.
    pub(crate) written: BTreeMap<JobId, u64>,
    /// Bytes read at sources since it started, by job.
    pub(crate) read: BTreeMap<JobId, u64>,
}

impl Process {
    /// What it has used of the budgets of jobs, in its life of this number.
    pub(crate) fn spent(&self, life: u64) -> Vec<Spent> {
        let spent = |(job, bytes): (&JobId, &u64)| {
            let usage = Usage { source_bytes: *bytes, ..Usage::default() };
            Spent { job: *job, since: Timestamp(life), usage }
        };
        self.read.iter().map(spent).collect()
    }
}

impl Node {
    pub(crate) fn new(place: usize, role: Role, prng: &mut Prng) -> Self {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&(place as u64 + 1).to_be_bytes());
        Self {
            id: NodeId(id),
            name: NodeName::parse(&format!("n{place}")).expect("invariant: the name is valid"),
            role,
            raft: None,
            disk: Disk::default(),
            formats: Formats::BUILD,
            process: None,
            life: 0,
            clock: prng.below(1 << 40),
            wall_ahead: 0,
            frozen_until: 0,
            slow_until: 0,
            full_until: 0,
            is_member: false,
            is_gone: false,
        }
    }

    /// Its clock, at the time `now` of the world.
    pub(crate) fn local(&self, now: u64) -> Timestamp {
        Timestamp(now + self.clock)
    }

    /// Whether somebody outside can talk to it now.
    pub(crate) fn is_up(&self, now: u64) -> bool {
        self.process.is_some() && self.frozen_until <= now
    }

    /// Gives its disk the beginning of a cluster.
    pub(crate) fn found(&mut self) {
        let raft = RaftId(1);
        let state = codec::encode(&State::default());
        let digest = snapshot_digest(&state);
        self.disk.log = Durable::found(raft, digest, state.len() as u64);
        self.disk.states.insert(digest, state);
        (self.raft, self.is_member) = (Some(raft), true);
    }
}

impl World {
    /// Starts a node's process on what its disk has.
    pub(crate) fn start(&mut self, place: usize) {
        let now = self.now;
        let compaction = self.compaction();
        let rafts: BTreeSet<RaftId> = self.nodes.iter().filter_map(|node| node.raft).collect();
        let node = &mut self.nodes[place];
        if node.process.is_some() || node.is_gone || node.disk.is_damaged {
            return;
        }
        node.life += 1;
        let local = node.local(now);
        let seed = Prng::new(self.seed ^ (place as u64) << 40 ^ node.life).draw();
        let coordinator = match (self.options.is_alone, node.raft) {
            (true, _) => Some(replay(&node.disk.alone)),
            (false, None) => None,
            (false, Some(id)) => {
                let config = Config { id, seed, compaction };
                match Consensus::restore(config, node.disk.log.clone()) {
                    Ok(consensus) => {
                        let (formats, state) = (node.formats, node.disk.state());
                        Some(Coordinator::voter_with(formats, local, state, consensus))
                    }
                    Err(error) => {
                        return self.violate("durable log", format!("n{place}: {error}"), vec![]);
                    }
                }
            }
        };
        let life = node.life;
        let boot = self.boot(place);
        self.nodes[place].process = Some(Process {
            coordinator,
            agent: Agent::new(local, seed, boot),
            writes: VecDeque::new(),
            leader: None,
            armed: None,
            term: (local.0 + TERM_MS, 0),
            beat: None,
            beats: 0,
            asked_last: None,
            attempts: BTreeMap::new(),
            written: BTreeMap::new(),
            read: BTreeMap::new(),
        });
        self.note([1, place as u64, life, 0]);
        self.say(Weight::Plot, || format!("n{place} starts, the {life}. time"));
        if !self.options.is_alone {
            self.feed(place, Input::Introduce(rafts));
        }
        self.on_started(place);
        self.feed_agent(place, AgentInput::Timeout);
    }

    /// Ends a process between two effects. The write that is under way is on the disk, or not.
    pub(crate) fn kill(&mut self, place: usize, why: &str) {
        let Some(process) = self.nodes[place].process.take() else { return };
        self.note([2, place as u64, 0, 0]);
        self.say(Weight::Plot, || format!("n{place} dies: {why}"));
        let is_kept = self.faults.chance(500) && self.nodes[place].full_until <= self.now;
        if let Some(write) = process.writes.into_iter().next().filter(|_| is_kept) {
            self.make_durable(place, write);
        }
    }

    /// Has a process go on after `ms`.
    pub(crate) fn start_after(&mut self, place: usize, ms: u64) {
        self.queue.push(self.now + ms, Ahead::Start(place));
    }

    fn compaction(&self) -> Compaction {
        let entries_max = self.options.log_entries;
        Compaction { entries_max, entries_kept: entries_max / 4, ..Compaction::default() }
    }
}

fn replay(entries: &[Vec<u8>]) -> Coordinator {
    let mut replay = Replay::default();
    for (index, entry) in (1..).zip(entries) {
        let entry: Entry = codec::decode(entry, 4 * LOG_ENTRY_BYTES_MAX)
            .expect("invariant: the simulated disk keeps what it took");
        replay.apply(LogIndex(index), entry);
    }
    replay.finish()
}
