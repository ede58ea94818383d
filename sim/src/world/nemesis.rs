//! What goes wrong from outside: processes, disks, links and stores, and users who change their
//! minds.

use std::collections::{BTreeMap, BTreeSet};

use airlift_protocol::budget::Budget;
use airlift_protocol::id::JobId;
use airlift_protocol::raft::RaftId;
use airlift_protocol::schedule::Bandwidth;
use airlift_protocol::units::ByteRate;
use airlift_protocol::version::Formats;

use super::operator::Intent;
use super::upgrade::TOMORROW;
use super::{Ahead, World};
use crate::options::FAULT_KINDS;
use crate::prng::Prng;
use crate::trace::Weight;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A process dies, and comes back.
    Crash,
    /// Several die together, and come back one by one.
    CrashMany,
    /// A process stands still, and does not know it.
    Freeze,
    /// Some nodes and the others do not reach each other.
    Part,
    /// Some nodes do not reach the others, but hear them.
    PartOneWay,
    /// One link is cut in one direction.
    CutLink,
    /// One link is slow in one direction.
    ClogLink,
    /// A disk takes its time.
    SlowDisk,
    /// A disk takes nothing more for a while.
    FullDisk,
    /// What a disk had is lost, or is not what was written: the machine is replaced.
    LoseDisk,
    /// The stores of a job refuse whoever asks.
    Refuse,
    /// A wall clock jumps.
    WallClock,
    /// The lead is handed over.
    Transfer,
    /// A job rests for a while.
    Pause,
    /// A job is given up, and submitted again.
    Cancel,
    /// All jobs together get a limit, or none.
    Limit,
    /// A healthy machine is replaced by another.
    Churn,
    /// A node goes on with a newer build.
    Upgrade,
    /// A node goes back to an older build.
    Downgrade,
    /// The user's token is revoked, and whoever has stolen it tries it once more.
    Revoke,
    /// A job gets a budget, which may have come to its end already.
    Budget,
}

impl Fault {
    /// All kinds.
    pub const ALL: [Self; FAULT_KINDS] = [
        Self::Crash,
        Self::CrashMany,
        Self::Freeze,
        Self::Part,
        Self::PartOneWay,
        Self::CutLink,
        Self::ClogLink,
        Self::SlowDisk,
        Self::FullDisk,
        Self::LoseDisk,
        Self::Refuse,
        Self::WallClock,
        Self::Transfer,
        Self::Pause,
        Self::Cancel,
        Self::Limit,
        Self::Churn,
        Self::Upgrade,
        Self::Downgrade,
        Self::Revoke,
        Self::Budget,
    ];

    /// What it is called where it is counted.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::CrashMany => "crash of several",
            Self::Freeze => "freeze",
            Self::Part => "partition",
            Self::PartOneWay => "one-way partition",
            Self::CutLink => "cut link",
            Self::ClogLink => "slow link",
            Self::SlowDisk => "slow disk",
            Self::FullDisk => "full disk",
            Self::LoseDisk => "lost disk",
            Self::Refuse => "refused credentials",
            Self::WallClock => "wall clock",
            Self::Transfer => "transfer of the lead",
            Self::Pause => "pause",
            Self::Cancel => "cancel",
            Self::Limit => "limit",
            Self::Churn => "replaced node",
            Self::Upgrade => "newer build",
            Self::Downgrade => "older build",
            Self::Revoke => "revoked token",
            Self::Budget => "budget",
        }
    }

    /// Whether a process without a cluster can suffer it.
    fn is_of_one(self) -> bool {
        matches!(
            self,
            Self::Crash
                | Self::Freeze
                | Self::SlowDisk
                | Self::FullDisk
                | Self::Refuse
                | Self::WallClock
        )
    }
}

/// Who decides what goes wrong when.
#[derive(Debug)]
pub(crate) struct Nemesis {
    prng: Prng,
    counts: BTreeMap<Fault, u64>,
    /// Machines that were lost or sent away. More than a few would be another cluster.
    replaced: usize,
}

/// Machines that are replaced in a life, at most.
const REPLACED_MAX: usize = 3;

impl Nemesis {
    pub(crate) fn new(prng: Prng) -> Self {
        Self { prng, counts: BTreeMap::new(), replaced: 0 }
    }

    pub(crate) fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.counts.iter().map(|(fault, count)| (fault.as_str(), *count)).collect()
    }
}

impl World {
    /// From now on things may go wrong.
    pub(crate) fn let_go(&mut self) {
        self.say(Weight::Plot, || "from now on things go wrong".to_owned());
        self.network.loss = self.options.loss;
        self.network.duplication = self.options.duplication;
        self.network.delay_ms = self.options.delay_ms;
        self.queue.push(self.now + self.options.faults_ms, Ahead::Calm);
        self.next_strike();
    }

    fn next_strike(&mut self) {
        let after = 1 + self.nemesis.prng.below(2 * self.options.fault_every_ms);
        self.queue.push(self.now + after, Ahead::Nemesis);
    }

    /// Nothing is cut, frozen, slow, full or dead any more, but for what is lost.
    pub(crate) fn relent(&mut self) {
        self.network.mend();
        (self.network.loss, self.network.duplication) = (0, 0);
        for job in self.jobs.values_mut() {
            job.stores.refuses_until = 0;
        }
        for place in 0..self.nodes.len() {
            let node = &mut self.nodes[place];
            (node.slow_until, node.full_until) = (0, 0);
            if node.process.is_none() && node.is_member {
                let after = 1_000 + self.nemesis.prng.below(5_000);
                self.start_after(place, after);
            }
        }
        self.finish_upgrade();
    }

    /// Something goes wrong.
    pub(crate) fn strike(&mut self) {
        if self.is_calm() {
            return;
        }
        self.next_strike();
        let is_alone = self.options.is_alone;
        let weights = self.options.faults;
        let able = || {
            let kinds = Fault::ALL.into_iter().zip(weights);
            kinds.filter(move |(fault, _)| !is_alone || fault.is_of_one())
        };
        let all: u64 = able().map(|(_, weight)| weight).sum();
        let mut drawn = self.nemesis.prng.below(all);
        let fault = able().find(|(_, weight)| {
            let is_it = drawn < *weight;
            drawn = drawn.saturating_sub(*weight);
            is_it
        });
        let Some((fault, _)) = fault else { return };
        *self.nemesis.counts.entry(fault).or_default() += 1;
        self.inject(fault);
    }

    fn inject(&mut self, fault: Fault) {
        let place = self.nemesis.prng.below(self.nodes.len() as u64) as usize;
        let ms = 1_000 + self.nemesis.prng.below(30_000);
        match fault {
            Fault::Crash => self.crash(place, ms),
            Fault::CrashMany => {
                for place in self.some_nodes() {
                    let ms = 1_000 + self.nemesis.prng.below(20_000);
                    self.crash(place, ms);
                }
            }
            Fault::Freeze => {
                self.say(Weight::Plot, || format!("n{place} stands still for {ms} ms"));
                // One that stands still already does so for as long as it was to, at least.
                let until = &mut self.nodes[place].frozen_until;
                *until = (*until).max(self.now + ms);
            }
            Fault::Part | Fault::PartOneWay => {
                let inside = self.some_nodes();
                let is_one_way = fault == Fault::PartOneWay;
                self.say(Weight::Plot, || {
                    let way = if is_one_way { "do not reach" } else { "are cut off from" };
                    format!("{inside:?} {way} the others")
                });
                self.network.part(self.nodes.len(), &inside, is_one_way);
                self.queue.push(self.now + ms, Ahead::Mend);
            }
            Fault::CutLink | Fault::ClogLink => {
                let to = self.nemesis.prng.below(self.nodes.len() as u64) as usize;
                self.say(Weight::Plot, || format!("{}: from n{place} to n{to}", fault.as_str()));
                match fault {
                    Fault::CutLink => self.network.cut(place, to),
                    _ => self.network.clog(place, to),
                }
                self.queue.push(self.now + ms, Ahead::Mend);
            }
            Fault::SlowDisk => self.nodes[place].slow_until = self.now + ms,
            Fault::FullDisk => self.nodes[place].full_until = self.now + ms,
            Fault::LoseDisk => self.lose(place),
            Fault::Refuse => {
                self.say(Weight::Plot, || format!("the stores refuse for {ms} ms"));
                let until = self.now + ms;
                if let Some(job) = self.some_job() {
                    self.stores_mut(job).refuses_until = until;
                }
            }
            Fault::WallClock => self.jump_clock(place),
            Fault::Transfer => self.operator.want(Intent::Transfer),
            Fault::Pause | Fault::Cancel => {
                if let Some(job) = self.some_job() {
                    self.operator.want(match fault {
                        Fault::Pause => Intent::Pause(job),
                        _ => Intent::Cancel(job),
                    });
                }
            }
            Fault::Limit => self.limit(),
            Fault::Budget => self.bound_some_job(),
            Fault::Churn => {
                if self.can_spare(place) {
                    self.nemesis.replaced += 1;
                    self.replace(place);
                }
            }
            Fault::Upgrade => self.change_build(place, TOMORROW, ms / 4),
            Fault::Downgrade => self.change_build(place, Formats::BUILD, ms / 4),
            Fault::Revoke => self.operator.want(Intent::RevokeApiToken),
        }
    }

    fn limit(&mut self) {
        let rate = self.nemesis.prng.below(3) * (8 << 20);
        let limit = (rate > 0).then_some(Bandwidth::Fixed(ByteRate(rate)));
        self.operator.want(Intent::Limit(limit));
    }

    fn bound_some_job(&mut self) {
        let bytes = Some(self.nemesis.prng.below(1 << 30));
        if let Some(job) = self.some_job() {
            let budget = Budget { bytes, ..Budget::default() };
            self.operator.want(Intent::Budget(job, budget));
        }
    }

    fn jump_clock(&mut self, place: usize) {
        let ahead = self.nemesis.prng.below(600_000);
        self.nodes[place].wall_ahead = ahead;
        self.wall_ahead_max = self.wall_ahead_max.max(ahead);
    }

    fn crash(&mut self, place: usize, ms: u64) {
        if self.nodes[place].process.is_some() {
            self.kill(place, "it is killed");
            self.start_after(place, ms);
        }
    }

    fn some_nodes(&mut self) -> BTreeSet<usize> {
        (0..self.nodes.len()).filter(|_| self.nemesis.prng.chance(450)).collect()
    }

    fn some_job(&mut self) -> Option<JobId> {
        let jobs: Vec<JobId> = self.jobs.keys().copied().collect();
        jobs.get(self.nemesis.prng.below(jobs.len() as u64) as usize).copied()
    }

    /// Whether the cluster can do without a node for good: nothing that is copied is on it, and of
    /// three voters or more that there are all others have their disks.
    fn can_spare(&self, place: usize) -> bool {
        let is_home = self.jobs.values().any(|job| job.homes.contains(&place));
        let is_here = self.nodes[place].is_member && !self.nodes[place].is_gone;
        let leader = self.leader().and_then(|leader| self.coordinator(leader)?.consensus());
        let voters = leader.map(|consensus| consensus.configuration());
        let are_whole = voters.is_some_and(|configuration| {
            let is_whole = |raft: &RaftId| {
                let node = self.place_of(*raft).map(|place| &self.nodes[place]);
                node.is_some_and(|node| !node.disk.is_damaged && !node.is_gone)
            };
            !configuration.is_joint()
                && configuration.learners.is_empty()
                && configuration.voters.len() >= 3
                && configuration.voters.iter().all(is_whole)
        });
        let has_few = self.nemesis.replaced < REPLACED_MAX;
        is_here && !is_home && are_whole && has_few && self.operator.is_idle()
    }

    fn lose(&mut self, place: usize) {
        if !self.can_spare(place) {
            return;
        }
        self.nemesis.replaced += 1;
        self.kill(place, "its disk is lost");
        self.nodes[place].disk.is_damaged = true;
        self.replace(place);
    }
}
