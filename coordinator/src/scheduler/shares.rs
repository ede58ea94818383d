//! Bandwidths that many nodes share: what each may use of each, as leases.
//!
//! A node is told its shares in the answer to its sign of life, and stops when their time is over.
//! What it was told counts as used until then, heard or not, unless the node says that it has heard
//! a later word. So the shares in use never exceed the limit, whoever dies, joins or falls silent;
//! after a change, the last of the limit is given out one or two signs of life later.

use std::collections::{BTreeMap, BTreeSet};

use airlift_protocol::control;
use airlift_protocol::id::{JobId, NodeId};
use airlift_protocol::limits::{HEARTBEAT_MS, LEAD_OVERLAP_MS, SHARE_MS};
use airlift_protocol::schedule::Bandwidth;
use airlift_protocol::time::Timestamp;
use airlift_protocol::units::ByteRate;

use crate::state::{Job, State, Task};

/// A bandwidth that is shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Pool {
    /// That of all jobs together.
    Total,
    /// That of one job.
    Job(JobId),
}

/// What a node was told at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Told {
    number: u64,
    until: Timestamp,
    shares: BTreeMap<Pool, u64>,
    /// The limits that these were parts of; of what an earlier leader had shared out, none.
    limits: BTreeMap<Pool, u64>,
}

/// Bandwidths with a limit, and who uses them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Demand {
    pub(crate) pools: BTreeMap<Pool, (ByteRate, BTreeSet<NodeId>)>,
}

/// What nodes may use, as the leader has told them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shares {
    told: BTreeMap<NodeId, Vec<Told>>,
    /// When each node was last seen to use a bandwidth.
    users: BTreeMap<(Pool, NodeId), Timestamp>,
    /// The last number given.
    number: u64,
    /// Bandwidths that an earlier leader may have shared out, and when the last of its word ends.
    inherited: BTreeMap<Pool, Timestamp>,
    /// Until then an earlier leader may still speak.
    silent_until: Timestamp,
}

/// Words to one node that it has not confirmed and whose time is not over: more than its signs of
/// life lead to.
const UNHEARD_MAX: usize = 16;

/// Whether bytes pass while a task is worked on.
fn moves(task: &Task) -> bool {
    !matches!(task, Task::List(..) | Task::Clean | Task::Discard(_))
}

/// The bandwidths that have a limit. What an ended job had may be in use for a while.
fn limits(state: &State) -> impl Iterator<Item = (Pool, &Bandwidth)> {
    let jobs = state.jobs.iter();
    let limits = jobs.map(|(id, job)| (Pool::Job(*id), job.spec.policy.bandwidth.as_ref()));
    let all = limits.chain([(Pool::Total, state.bandwidth.as_ref())]);
    all.filter_map(|(pool, limit)| Some((pool, limit?)))
}

/// What may be lent at `at`, wall-clock time: no more than may move until that is over. A schedule that
/// says "no limit" lends more than anybody can use, so that its next limit finds nothing that is not lent.
fn lendable(bandwidth: &Bandwidth, at: Timestamp) -> ByteRate {
    bandwidth.lowest(at, at.plus(SHARE_MS)).unwrap_or(ByteRate(u64::MAX))
}

impl Shares {
    /// Begins to lead in `term`. What an earlier leader has told holds until its time is over; until
    /// nobody but this one speaks, nothing is said.
    pub(crate) fn take_over(now: Timestamp, term: u64, state: &State) -> Self {
        let alone_from = now.plus(LEAD_OVERLAP_MS);
        // Nobody waits longer than that for an answer: what is answered then was asked when no other
        // leader spoke any more.
        let silent_until = alone_from.plus(HEARTBEAT_MS);
        let until = alone_from.plus(SHARE_MS);
        let inherited: BTreeMap<Pool, Timestamp> =
            limits(state).map(|(pool, _)| (pool, until)).collect();
        let silent_until = if inherited.is_empty() { now } else { silent_until };
        // No leader says more in a term than fits below its bits.
        Self { number: term << 32, inherited, silent_until, ..Self::default() }
    }

    /// Notes who works on what. Between two orders, a node is one that works.
    pub(crate) fn look(&mut self, now: Timestamp, state: &State) {
        let is_limited =
            |job: &Job| state.bandwidth.is_some() || job.spec.policy.bandwidth.is_some();
        let jobs = state.jobs.iter().filter(|(_, job)| job.is_running() && is_limited(job));
        for (id, job) in jobs {
            for lease in job.leases.values().filter(|lease| moves(&lease.task)) {
                if state.bandwidth.is_some() {
                    self.users.insert((Pool::Total, lease.node), now);
                }
                if job.spec.policy.bandwidth.is_some() {
                    self.users.insert((Pool::Job(*id), lease.node), now);
                }
            }
        }
        self.users.retain(|_, seen| now.since(*seen) < HEARTBEAT_MS);
    }

    /// What there is to be shared at `at`, wall-clock time, and by whom.
    pub(crate) fn demand(&self, state: &State, at: Timestamp) -> Demand {
        let users = |pool: Pool| {
            let all = (pool, NodeId([0; 32]))..=(pool, NodeId([u8::MAX; 32]));
            self.users.range(all).map(|((_, node), _)| *node).collect()
        };
        let is_running = |pool: &Pool| match pool {
            Pool::Total => true,
            Pool::Job(id) => state.jobs.get(id).is_some_and(Job::is_running),
        };
        let pools = limits(state).filter(|(pool, _)| is_running(pool));
        let shared = |(pool, limit)| (pool, (lendable(limit, at), users(pool)));
        Demand { pools: pools.map(shared).collect() }
    }

    /// What a node may use from now on; `None` when that is not for this leader to say yet. `held`
    /// is what the node says that it uses now.
    pub(crate) fn tell(
        &mut self,
        now: Timestamp,
        node: NodeId,
        held: Option<&control::Shares>,
        demand: &Demand,
    ) -> Option<control::Shares> {
        let is_limited = !demand.pools.is_empty() || self.told.contains_key(&node);
        if !is_limited && held.is_none() {
            return None;
        }
        self.forget(now, node, held);
        let unheard = self.told.get(&node).map_or(0, Vec::len);
        if now < self.silent_until || unheard >= UNHEARD_MAX {
            return None;
        }
        let shares: BTreeMap<Pool, u64> = demand
            .pools
            .iter()
            .map(|(pool, (limit, users))| {
                let share = match self.inherited.contains_key(pool) {
                    // The others may use the rest.
                    true => held.map_or(0, |held| share_of(held, *pool)).min(limit.0),
                    false => fair(*limit, users, node)
                        .min(limit.0.saturating_sub(self.used_by_others(node, *pool))),
                };
                (*pool, share)
            })
            .collect();
        let limit_of = |(pool, (limit, _)): (&Pool, &(ByteRate, _))| match self.inherited.get(pool)
        {
            // What is taken over was within some limit, which need not be the one of now.
            Some(_) => (*pool, u64::MAX),
            None => (*pool, limit.0),
        };
        let limits = demand.pools.iter().map(limit_of).collect();
        self.number += 1;
        let said = as_message(self.number, &shares);
        let told = Told { number: self.number, until: now.plus(SHARE_MS), shares, limits };
        self.told.entry(node).or_default().push(told);
        Some(said)
    }

    /// The highest limit of a bandwidth under which something was told that is not over.
    pub(crate) fn limit_before(&self, now: Timestamp, pool: Pool) -> u64 {
        let open = self.told.values().flatten().filter(|told| now < told.until);
        open.filter_map(|told| told.limits.get(&pool)).max().copied().unwrap_or(0)
    }

    /// Forgets what is over, and what the node has given up for a later word.
    fn forget(&mut self, now: Timestamp, node: NodeId, held: Option<&control::Shares>) {
        let heard = held.map_or(0, |held| held.number);
        for (of, told) in &mut self.told {
            told.retain(|told| now < told.until && (*of != node || told.number >= heard));
        }
        self.told.retain(|_, told| !told.is_empty());
        self.inherited.retain(|_, until| now < *until);
    }

    /// Bytes per second that others may use: of each what it was told last or before, whichever is
    /// more, since it may not have heard the last.
    fn used_by_others(&self, node: NodeId, pool: Pool) -> u64 {
        let others = self.told.iter().filter(|(of, _)| **of != node);
        others.map(|(_, told)| most(told, pool)).fold(0, u64::saturating_add)
    }

    /// Bytes per second of a bandwidth that nodes may use at most, as of `now`.
    pub(crate) fn used(&self, now: Timestamp, pool: Pool) -> u64 {
        let told = self.told.values().map(|told| {
            let open = told.iter().filter(|told| now < told.until);
            open.filter_map(|told| told.shares.get(&pool)).max().copied().unwrap_or(0)
        });
        told.fold(0, u64::saturating_add)
    }

    /// What a node was told last, as of `now`.
    pub fn of(&self, now: Timestamp, node: NodeId) -> Option<control::Shares> {
        let last = self.told.get(&node)?.last().filter(|told| now < told.until)?;
        Some(as_message(last.number, &last.shares))
    }
}

fn most(told: &[Told], pool: Pool) -> u64 {
    told.iter().filter_map(|told| told.shares.get(&pool)).max().copied().unwrap_or(0)
}

/// An equal part for everyone, what is left over one by one to the first; nothing for others.
fn fair(limit: ByteRate, users: &BTreeSet<NodeId>, node: NodeId) -> u64 {
    let Some(place) = users.iter().position(|user| *user == node) else { return 0 };
    let count = users.len() as u64;
    limit.0 / count + u64::from((place as u64) < limit.0 % count)
}

fn share_of(shares: &control::Shares, pool: Pool) -> u64 {
    match pool {
        Pool::Total => shares.total.map_or(0, |rate| rate.0),
        Pool::Job(id) => {
            let found = shares.jobs.iter().find(|(job, _)| *job == id);
            found.map_or(0, |(_, rate)| rate.0)
        }
    }
}

fn as_message(number: u64, shares: &BTreeMap<Pool, u64>) -> control::Shares {
    let jobs = shares.iter().filter_map(|(pool, rate)| match pool {
        // Nothing is what an unnamed job has anyway.
        Pool::Job(id) if *rate > 0 => Some((*id, ByteRate(*rate))),
        Pool::Job(_) | Pool::Total => None,
    });
    let total = shares.get(&Pool::Total).map(|rate| ByteRate(*rate));
    control::Shares { number, jobs: jobs.collect(), total }
}

#[cfg(test)]
mod tests;
