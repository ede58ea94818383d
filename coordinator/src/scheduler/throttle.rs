//! Buckets that have asked for fewer requests: how many all nodes together ask them for, and which part of
//! that each node has.
//!
//! Each node finds out by itself how much a bucket takes, and reacts at once. But nodes that know nothing
//! of each other take from each other: whoever asks again first has the bucket, and each new one drives it
//! beyond its limit. So the leader keeps one rate for each gate that was throttled anywhere: added to while
//! it is used up and nobody is throttled, cut when somebody is, to what was let through if that is known.
//! Nodes are told their parts in the answers to their signs of life. Who has no use for a full part leaves
//! the rest to the others; everyone keeps enough to begin with.
//!
//! Nothing of this is in the log: it is an observation, wrong by the time that it would be on record, and a
//! wrong rate costs a little time and nothing else. A new leader takes over what nodes say that they were
//! told. A node that hears nothing goes on by itself.

use std::collections::BTreeMap;

use airlift_protocol::cluster::Boot;
use airlift_protocol::id::{JobId, NodeId};
use airlift_protocol::limits::{
    GATES_SHARED_MAX, GATES_TOLD_MAX, HEARTBEAT_MS, LEASE_MS, PLACE_BYTES_MAX,
};
use airlift_protocol::pace::{GateId, GateReport, GateShare, RequestRate};
use airlift_protocol::time::Timestamp;

/// Milliseconds after a cut in which nobody is throttled because of what is asked for since: the new parts
/// are told at the next sign of life, and what came of them is at the one after that.
const CUT_MS: u64 = 2 * HEARTBEAT_MS + HEARTBEAT_MS / 2;

/// Milliseconds between two signs of life from which on their difference says how much was asked for.
const LOOK_MS: u64 = HEARTBEAT_MS / 4;

/// The least and the most that a cut leaves, in sixteenths.
const CUT_TO: (u64, u64) = (12, 14);

/// Milliseconds in which a rate that is used up grows by as much again as it was cut to.
const GROWTH_MS: u64 = 64_000;

/// Milliseconds without a throttled request after which nodes are left to themselves again.
const FORGET_MS: u64 = 600_000;

/// The least rate of a node: one request a second.
const RATE_MIN: u64 = 1000;

/// Gates by what is asked for at them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Throttles {
    gates: BTreeMap<GateId, Gate>,
    /// Until then what nodes were told by an earlier leader is taken over.
    inherits_until: Timestamp,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Gate {
    /// Who asks, as it was last heard.
    nodes: BTreeMap<NodeId, Asker>,
    /// What all of them together may ask for, once it was too much.
    bound: Option<Bound>,
}

/// Requests in a thousand seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bound {
    rate: u64,
    /// What it was cut to last, or has doubled to since.
    base: u64,
    cut_at: Timestamp,
    /// When it was last added to, or could have been.
    grown_at: Timestamp,
    throttled_at: Timestamp,
}

/// A node at a gate.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Asker {
    boot: Boot,
    heard_at: Timestamp,
    /// What it said at the beginning of the time that `passed` is about, or will be.
    since: (Timestamp, GateReport),
    /// Requests in a thousand seconds that were let through, once that is known.
    passed: Option<u64>,
    /// Whether it would have asked for more.
    is_held_up: bool,
    share: u64,
}

/// How hard a bucket is worked by all nodes, as the leader knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Throttled<'a> {
    /// Which bucket, and which requests.
    pub gate: &'a GateId,
    /// What all nodes together may ask for.
    pub rate: RequestRate,
    /// What was lately let through.
    pub passed: RequestRate,
    /// The nodes, and the part of each.
    pub nodes: BTreeMap<NodeId, RequestRate>,
}

impl Throttles {
    /// Begins to lead.
    pub fn take_over(now: Timestamp) -> Self {
        Self { gates: BTreeMap::new(), inherits_until: now.plus(LEASE_MS) }
    }

    /// Takes in what a node says of its gates.
    pub fn hear(&mut self, now: Timestamp, of: (NodeId, Boot), reports: &[GateReport]) {
        self.forget(now);
        for report in reports.iter().take(GATES_TOLD_MAX) {
            let is_known = self.gates.contains_key(&report.gate);
            let has_room = self.gates.len() < GATES_SHARED_MAX;
            if report.gate.place.len() > PLACE_BYTES_MAX || !(is_known || has_room) {
                continue;
            }
            let inherits = now < self.inherits_until;
            let gate = self.gates.entry(report.gate.clone()).or_default();
            gate.hear(now, of, report, inherits);
        }
    }

    /// What a node may ask for from now on, at the gates of which it has just spoken.
    pub fn tell(&mut self, node: NodeId, reports: &[GateReport]) -> Vec<GateShare> {
        let share = |report: &GateReport| {
            let rate = self.gates.get_mut(&report.gate)?.share(node)?;
            Some(GateShare { gate: report.gate.clone(), rate: RequestRate(rate) })
        };
        reports.iter().take(GATES_TOLD_MAX).filter_map(share).collect()
    }

    fn forget(&mut self, now: Timestamp) {
        for gate in self.gates.values_mut() {
            gate.nodes.retain(|_, asker| now.since(asker.heard_at) < LEASE_MS);
            gate.bound = gate.bound.filter(|bound| now.since(bound.throttled_at) < FORGET_MS);
        }
        self.gates.retain(|_, gate| !gate.nodes.is_empty());
    }

    /// The buckets that have asked for fewer requests, by name.
    pub fn throttled(&self) -> impl Iterator<Item = Throttled<'_>> {
        self.gates.iter().filter_map(|(id, gate)| {
            let share = |(node, asker): (&NodeId, &Asker)| (*node, RequestRate(asker.share));
            Some(Throttled {
                gate: id,
                rate: RequestRate(gate.bound?.rate),
                passed: RequestRate(gate.passed()),
                nodes: gate.nodes.iter().map(share).collect(),
            })
        })
    }

    /// Those of them that a job has to do with.
    pub fn of_job(&self, job: JobId) -> impl Iterator<Item = Throttled<'_>> {
        self.throttled().filter(move |throttled| {
            let gate = self.gates.get(throttled.gate);
            let mut nodes = gate.into_iter().flat_map(|gate| gate.nodes.values());
            nodes.any(|asker| asker.since.1.jobs.contains(&job))
        })
    }
}

impl Gate {
    fn hear(
        &mut self,
        now: Timestamp,
        (node, boot): (NodeId, Boot),
        report: &GateReport,
        inherits: bool,
    ) {
        let earlier = self.nodes.get_mut(&node).filter(|asker| asker.boot == boot);
        let Some(asker) = earlier else {
            if let Some(held) = report.held.filter(|_| inherits) {
                self.inherit(now, held.0);
            }
            let (passed, is_held_up) = (None, report.held.is_some());
            let (since, share) = ((now, report.clone()), report.held.map_or(0, |held| held.0));
            let asker = Asker { boot, heard_at: now, since, passed, is_held_up, share };
            self.nodes.insert(node, asker);
            return;
        };
        asker.heard_at = now;
        let (since, before) = &asker.since;
        let elapsed_ms = now.since(*since);
        let throttled = report.throttled.saturating_sub(before.throttled);
        if elapsed_ms < LOOK_MS && throttled == 0 {
            return;
        }
        let begun = report.requests.saturating_sub(before.requests);
        let spared_us = report.spared_us.saturating_sub(before.spared_us);
        asker.is_held_up = throttled > 0 || spared_us / 100 > elapsed_ms;
        if elapsed_ms >= LOOK_MS {
            let passed = u128::from(begun.saturating_sub(throttled)) * 1_000_000;
            let passed = passed / u128::from(elapsed_ms);
            asker.passed = Some(u64::try_from(passed).unwrap_or(u64::MAX));
            asker.since = (now, report.clone());
        }
        match throttled > 0 {
            true => self.cut(now),
            false => self.grow(now),
        }
    }

    /// Requests in a thousand seconds that were lately let through.
    fn passed(&self) -> u64 {
        self.nodes.values().filter_map(|asker| asker.passed).fold(0, u64::saturating_add)
    }

    fn least(&self) -> u64 {
        RATE_MIN * self.nodes.len().max(1) as u64
    }

    fn inherit(&mut self, now: Timestamp, held: u64) {
        let (before, at) = self.bound.map_or((0, now), |bound| (bound.rate, bound.throttled_at));
        let rate = before.saturating_add(held);
        let bound = Bound { rate, base: rate, cut_at: now, grown_at: now, throttled_at: at };
        self.bound = Some(bound);
    }

    /// Somebody was throttled.
    fn cut(&mut self, now: Timestamp) {
        let (passed, least) = (self.passed(), self.least());
        let rate = match &mut self.bound {
            // What some have asked for is not known yet: it soon is, and they keep to less by themselves.
            None if self.nodes.values().any(|asker| asker.passed.is_none()) => return,
            None => passed,
            Some(bound) => {
                bound.throttled_at = now;
                if now.since(bound.cut_at) < CUT_MS {
                    return;
                }
                let (low, high) = (bound.rate / 16 * CUT_TO.0, bound.rate / 16 * CUT_TO.1);
                passed.clamp(low, high)
            }
        };
        let rate = rate.max(least);
        let (cut_at, grown_at, throttled_at) = (now, now.plus(CUT_MS), now);
        self.bound = Some(Bound { rate, base: rate, cut_at, grown_at, throttled_at });
    }

    /// Nobody was throttled for a while.
    fn grow(&mut self, now: Timestamp) {
        let is_wanted = self.nodes.values().any(|asker| asker.is_held_up);
        let passed = self.passed();
        let Some(bound) = &mut self.bound else { return };
        let elapsed_ms = now.since(bound.grown_at);
        if elapsed_ms == 0 {
            return;
        }
        bound.grown_at = now;
        // What is not used up says nothing about what there is.
        if !is_wanted || passed < bound.rate / 4 * 3 {
            return;
        }
        let more = u128::from(bound.base) * u128::from(elapsed_ms.min(LEASE_MS));
        let more = u64::try_from(more / u128::from(GROWTH_MS)).unwrap_or(u64::MAX);
        bound.rate = bound.rate.saturating_add(more.max(1));
        if bound.rate >= bound.base.saturating_mul(2) {
            bound.base = bound.rate;
        }
    }

    /// The part of `node`: as much as anybody gets, or as much as it has a use for.
    fn share(&mut self, node: NodeId) -> Option<u64> {
        let rate = self.bound?.rate;
        let count = self.nodes.len() as u64;
        let start = rate / (8 * count.max(1));
        let wanted = |asker: &Asker| match asker.is_held_up {
            true => u64::MAX,
            false => (asker.passed.unwrap_or(0).saturating_mul(3) / 2).max(start),
        };
        let mut wants: Vec<(u64, NodeId)> =
            self.nodes.iter().map(|(node, asker)| (wanted(asker), *node)).collect();
        wants.sort_unstable();
        let (mut left, mut share) = (rate, 0);
        for (place, (want, of)) in (0..count).zip(wants) {
            let part = want.min(left / (count - place));
            left -= part;
            if of == node {
                share = part;
            }
        }
        // What nobody has asked for is there for whoever wants more all at once.
        let share = share.saturating_add(left / count.max(1)).max(RATE_MIN);
        self.nodes.get_mut(&node)?.share = share;
        Some(share)
    }
}

#[cfg(test)]
mod tests;
