//! The worker's half of the control plane: it turns an order into attempts, decides on every
//! failure whether another attempt is worth it, and answers until the answer is on record.

mod order;
pub mod retry;
mod unsettled;

use std::collections::{BTreeMap, VecDeque};

use airlift_protocol::assignment::{Assignment, Work};
use airlift_protocol::cluster::Boot;
use airlift_protocol::control::Order;
use airlift_protocol::error::Failure;
use airlift_protocol::id::AssignmentId;
use airlift_protocol::limits::{HEARTBEAT_MS, PAGES_UNSETTLED_MAX};
use airlift_protocol::report::{Completion, Report};
use airlift_protocol::time::Timestamp;

use self::order::{Running, report};
use self::retry::Decision;
use self::unsettled::Unsettled;

/// Everything that can happen to an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgentInput {
    /// The leader's word. It may arrive twice, late, or not at all.
    Order(Order),
    /// An attempt has ended, or for a page of a listing: goes on.
    Outcome {
        /// Of which order.
        assignment: AssignmentId,
        /// Which attempt, as [`AgentEffect::Start`] numbered it.
        attempt: u32,
        /// How. A listing hands in its next part when [`AgentEffect::Recorded`] is heard of the one before,
        /// so that whoever goes on in its place repeats one at most.
        result: Result<Completion, Failure>,
        /// Bytes of other nodes' answers that arrived for it; 0 for a page of a listing.
        wire_bytes: u64,
    },
    /// Another node leads, or leads again: what is not settled is said to it at once.
    LeaderChanged,
    /// The leader was not heard for as long as its orders hold, and is again: others may have by now
    /// whatever it has said meanwhile and before.
    Lapsed,
    /// The leader is to hear of this node at once.
    Beat,
    /// The time that `poll_timeout` named has come.
    Timeout,
}

/// Everything an agent may ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgentEffect {
    /// Begin an attempt.
    Start {
        /// The order, with what is left of its work.
        assignment: Box<Assignment>,
        /// Counts the attempts of this process: what an earlier one of the same order, given again
        /// meanwhile, came to is not taken for its outcome.
        attempt: u32,
    },
    /// Stop working on an order.
    Cancel(AssignmentId),
    /// What was handed in of a listing is on record: it may go on.
    Recorded(AssignmentId),
    /// Answer the leader.
    Report(Box<Report>),
    /// Tell the leader that this node lives.
    Heartbeat {
        /// As which start of its work.
        boot: Boot,
        /// Orders in work, or whose reports are not settled.
        held: Vec<AssignmentId>,
    },
}

/// The agent of one node.
#[derive(Debug)]
pub struct Agent {
    seed: u64,
    boot: Boot,
    attempts: u32,
    /// Attempts that were begun again after a failure.
    retries: u64,
    running: BTreeMap<AssignmentId, Running>,
    unsettled: Unsettled,
    next_heartbeat: Timestamp,
    effects: VecDeque<AgentEffect>,
}

impl Agent {
    /// An agent without orders, of the process that started as `boot`; it gives its first sign of life
    /// at the first timeout. `seed` spreads its retries in time.
    pub fn new(now: Timestamp, seed: u64, boot: Boot) -> Self {
        Self {
            seed,
            boot,
            attempts: 0,
            retries: 0,
            running: BTreeMap::new(),
            unsettled: Unsettled::default(),
            next_heartbeat: now,
            effects: VecDeque::new(),
        }
    }

    /// Takes in one thing that happened.
    pub fn handle(&mut self, now: Timestamp, input: AgentInput) {
        match input {
            AgentInput::Order(Order::Assign(assignment)) => self.on_assign(now, *assignment),
            AgentInput::Order(Order::Revoke(id)) => {
                self.unsettled.settle(id);
                if self.running.remove(&id).is_some() {
                    self.effects.push_back(AgentEffect::Cancel(id));
                }
            }
            // A listing under way has told parts of itself. Whoever settles all of it does not know of it, or
            // not yet, or not any more: it is taken back, or another leader has its parts on record.
            AgentInput::Order(Order::Settle(id)) if self.running.contains_key(&id) => {}
            AgentInput::Order(Order::Settle(id)) => self.unsettled.end(now, id),
            AgentInput::Order(Order::SettlePages(id, next)) => {
                self.unsettled.settle_pages(id, next);
                self.let_go_on(id);
            }
            AgentInput::Outcome { assignment, attempt, result, wire_bytes } => {
                self.on_outcome(now, (assignment, attempt), result, wire_bytes);
            }
            AgentInput::LeaderChanged => {
                self.next_heartbeat = now;
                self.unsettled.make_due();
                self.on_timeout(now);
            }
            AgentInput::Lapsed => self.on_lapsed(now),
            AgentInput::Beat => {
                self.next_heartbeat = now;
                self.on_timeout(now);
            }
            AgentInput::Timeout => self.on_timeout(now),
        }
    }

    /// The next thing to do, in order.
    pub fn poll_effect(&mut self) -> Option<AgentEffect> {
        self.effects.pop_front()
    }

    /// When to call `handle` with [`AgentInput::Timeout`] at the latest.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let retry = self.running.values().filter_map(|running| running.due).min();
        Some(retry.map_or(self.next_heartbeat, |due| due.min(self.next_heartbeat)))
    }

    /// Attempts that this agent has begun again after a failure, so far.
    pub fn retries(&self) -> u64 {
        self.retries
    }

    /// Whether more pages of listings wait to be settled than may: whoever hands in outcomes should
    /// wait until they are, so that what is held stays bounded.
    pub fn is_congested(&self) -> bool {
        self.unsettled.pages() >= PAGES_UNSETTLED_MAX
    }

    /// Tells a listing that waits for its record that there is nothing left to wait for.
    fn let_go_on(&mut self, id: AssignmentId) {
        let Some(running) = self.running.get_mut(&id) else { return };
        if running.is_waiting && !self.unsettled.has_pages(id) {
            running.is_waiting = false;
            self.effects.push_back(AgentEffect::Recorded(id));
        }
    }

    /// Drops all work. What was on its way to this node since then is void as well: it goes on as if
    /// it had started again.
    fn on_lapsed(&mut self, now: Timestamp) {
        for id in std::mem::take(&mut self.running).into_keys() {
            // Pages of a listing that begins again would not join those of the new one.
            self.unsettled.settle(id);
            self.effects.push_back(AgentEffect::Cancel(id));
        }
        self.boot = self.boot.lapsed();
        self.next_heartbeat = now;
    }

    /// Takes up an order, unless it is held already; one whose answer is not settled is answered
    /// again.
    fn on_assign(&mut self, now: Timestamp, assignment: Assignment) {
        let id = assignment.id;
        if assignment.boot != self.boot {
            return;
        }
        if self.running.contains_key(&id) || self.unsettled.is_over(now, id) {
            return;
        }
        if self.unsettled.is_answered(id) {
            let again = self.unsettled.of(now, id);
            self.effects.extend(again.map(AgentEffect::Report));
            return;
        }
        self.attempts = self.attempts.wrapping_add(1);
        let attempt = self.attempts;
        let running = Running::new(assignment.clone(), attempt, self.seed);
        self.running.insert(id, running);
        let assignment = Box::new(assignment);
        self.effects.push_back(AgentEffect::Start { assignment, attempt });
    }

    fn on_outcome(
        &mut self,
        now: Timestamp,
        (id, attempt): (AssignmentId, u32),
        result: Result<Completion, Failure>,
        wire_bytes: u64,
    ) {
        let Some(running) = self.running.get_mut(&id) else { return };
        if running.attempt != attempt || running.due.is_some() {
            return;
        }
        running.wire_bytes = running.wire_bytes.saturating_add(wire_bytes);
        let result = match result {
            Ok(completion) if completion.turn().is_some() => {
                running.listed_up_to(&completion, self.seed);
                let report = report(&running.assignment, Ok(completion), 0);
                return self.say(now, report);
            }
            result => running.merge(result),
        };
        let decision = match running.worst_failure(&result).cloned() {
            Some(failure) if retry::is_verdict(&running.assignment.work, &failure) => {
                Decision::GiveUp
            }
            Some(failure) => running.retry.decide(&failure),
            None => Decision::GiveUp,
        };
        match decision {
            Decision::GiveUp => self.answer(now, id, result),
            Decision::Again { after_ms } => running.due = Some(now.plus(after_ms)),
        }
    }

    fn answer(&mut self, now: Timestamp, id: AssignmentId, result: Result<Completion, Failure>) {
        let Some(running) = self.running.remove(&id) else { return };
        let result = running.collect(result);
        let report = report(&running.assignment, result, running.wire_bytes);
        self.say(now, report);
    }

    /// Reports, and keeps the report until it is settled.
    fn say(&mut self, now: Timestamp, report: Report) {
        self.unsettled.keep(now, report.clone());
        self.effects.push_back(AgentEffect::Report(Box::new(report)));
    }

    fn on_timeout(&mut self, now: Timestamp) {
        if now >= self.next_heartbeat {
            self.next_heartbeat = now.plus(HEARTBEAT_MS);
            let mut held: Vec<AssignmentId> = self.running.keys().copied().collect();
            held.extend(self.unsettled.answered());
            self.effects.push_back(AgentEffect::Heartbeat { boot: self.boot, held });
            let again = self.unsettled.due(now);
            self.effects.extend(again.map(AgentEffect::Report));
        }
        for running in self.running.values_mut() {
            if running.due.is_some_and(|due| due <= now) {
                running.due = None;
                self.retries += 1;
                self.attempts = self.attempts.wrapping_add(1);
                running.attempt = self.attempts;
                let work: Work = running.remaining_work();
                let assignment = Box::new(Assignment { work, ..running.assignment.clone() });
                let attempt = running.attempt;
                self.effects.push_back(AgentEffect::Start { assignment, attempt });
            }
        }
    }
}
