//! The coordinator: inputs become commands, committed commands change the state, the state is
//! planned upon, and the difference becomes orders.

mod ask;
mod format;
mod hear;
mod lead;
mod observe;
mod read;
mod rest;
mod retain;
mod snapshot;
mod spend;
mod submit;
mod tell;
mod unmoved;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use airlift_protocol::assignment::End;
use airlift_protocol::cluster::Boot;
use airlift_protocol::control::{self, Order};
use airlift_protocol::id::{AssignmentId, JobId, LogIndex, NodeId};
use airlift_protocol::limits::{
    GRANTS_BATCHED_MAX, LOG_WAITING_MAX, PAGES_ACTIVE_MAX, RAFT_TICK_MS,
};
use airlift_protocol::pace::GateShare;
use airlift_protocol::report::Report;
use airlift_protocol::time::Timestamp;
use airlift_protocol::version::{FormatVersion, Formats};

use self::format::Known;
use self::lead::SettledVoters;
use self::read::Reads;
use self::rest::Rests;
use self::snapshot::Snapshots;
use self::spend::Spending;
use self::unmoved::Unmoved;
use crate::command::{Command, Entry};
use crate::consensus::Consensus;
use crate::effect::{Answer, Effect};
use crate::input::Input;
use crate::log::{Committed, Log};
use crate::origin::Origin;
use crate::scheduler::diff::{Diff, Step};
use crate::scheduler::inventory::Inventory;
use crate::scheduler::pages::{PageKey, Pages, active_max, wanted};
use crate::scheduler::plan::plan;
use crate::scheduler::shares::Shares;
use crate::scheduler::stragglers::TakeBack;
use crate::scheduler::throttle::Throttles;
use crate::scheduler::{check, work};
use crate::state::{Fact, Job, Phase, State};

/// The control plane of one node.
///
/// Feed it with [`handle`](Self::handle), then drain [`poll_effect`](Self::poll_effect) and carry
/// the effects out in order.
#[derive(Debug)]
pub struct Coordinator {
    state: State,
    log: Log,
    inventory: Inventory,
    pages: Pages,
    diffs: BTreeMap<JobId, Diff>,
    /// Commands that plans led to and that are not applied yet: no new plan before they are.
    planned: usize,
    /// Reports on their way through the log: the same one, sent again, is not proposed again.
    reported: BTreeSet<AssignmentId>,
    /// Starts of processes on their way through the log.
    starting: BTreeSet<(NodeId, Boot)>,
    /// How often each node has started since when, lately.
    started: BTreeMap<NodeId, (Timestamp, u32)>,
    /// Reports that wait for the next batch.
    reports: Vec<Report>,
    /// Whether this node decided at the last look; in a cluster, only the leader does.
    is_deciding: bool,
    /// Something has happened since the leases were looked at, and since the last plan.
    has_changed: bool,
    has_news: bool,
    planned_at: Timestamp,
    known: Known,
    voters: SettledVoters,
    reads: Reads,
    rests: Rests,
    snapshots: Snapshots,
    shares: Shares,
    spending: Spending,
    unmoved: Unmoved,
    /// What a node is to be told of its shares, in answer to the sign of life that came last.
    said: Option<(NodeId, control::Shares)>,
    throttles: Throttles,
    said_of_gates: Option<(NodeId, Vec<GateShare>)>,
    /// When to look next whether a job is to be forgotten.
    next_look: Timestamp,
    /// When consensus is to be told that time has passed; a process that works alone has none.
    next_tick: Option<Timestamp>,
    /// Wall-clock time minus the time of `handle`, in milliseconds.
    wall_offset: u64,
    effects: VecDeque<Effect>,
}

/// Milliseconds between two plans when nothing was decided meanwhile.
const PLAN_PAUSE_MS: u64 = 100;

/// A log being read back, oldest entry first.
#[derive(Debug, Default)]
pub struct Replay {
    state: State,
    applied: LogIndex,
}

impl Replay {
    /// Takes in the next entry.
    pub fn apply(&mut self, index: LogIndex, entry: impl Into<Entry>) {
        self.state.apply(index, entry);
        self.applied = index;
    }

    /// The coordinator that goes on where the log ended.
    pub fn finish(self) -> Coordinator {
        let mut log = Log::alone(self.applied);
        if self.applied == LogIndex::default() {
            log.propose(Command::Format(FormatVersion::default()), None);
        }
        Coordinator::new(self.state, log, None)
    }
}

impl Coordinator {
    /// A voter of a cluster, which begins with the state as of its snapshot.
    pub fn voter(now: Timestamp, state: State, consensus: Consensus) -> Self {
        Self::voter_with(Formats::BUILD, now, state, consensus)
    }

    /// A voter whose build has these formats.
    pub fn voter_with(
        formats: Formats,
        now: Timestamp,
        state: State,
        consensus: Consensus,
    ) -> Self {
        let mut voter = Self::new(state, Log::group(consensus), Some(now.plus(RAFT_TICK_MS)));
        voter.known = Known::new(formats);
        voter.introduce_members();
        voter.check_format(voter.state.format);
        voter
    }

    fn new(state: State, log: Log, next_tick: Option<Timestamp>) -> Self {
        Self {
            state,
            is_deciding: log.is_ready(),
            has_changed: true,
            has_news: true,
            planned_at: Timestamp(0),
            known: Known::new(Formats::BUILD),
            voters: SettledVoters::default(),
            reads: Reads::default(),
            rests: Rests::default(),
            snapshots: Snapshots::default(),
            shares: Shares::default(),
            spending: Spending::default(),
            unmoved: Unmoved::default(),
            said: None,
            throttles: Throttles::default(),
            said_of_gates: None,
            next_look: Timestamp(0),
            next_tick,
            log,
            inventory: Inventory::default(),
            pages: Pages::default(),
            diffs: BTreeMap::new(),
            planned: 0,
            reported: BTreeSet::new(),
            starting: BTreeSet::new(),
            started: BTreeMap::new(),
            reports: Vec::new(),
            wall_offset: 0,
            effects: VecDeque::new(),
        }
    }

    /// Takes in one thing that happened. Infallible: refusals are effects.
    ///
    /// Time comes first. What waited while the process stood still must not be heard by a leader that has
    /// ceased to be one meanwhile, and does not know it.
    pub fn handle(&mut self, now: Timestamp, input: Input) {
        self.tick(now);
        match input {
            Input::Request { id, request, by, at } => {
                self.on_request(id, request, Origin { by, at });
            }
            Input::Heartbeat { node, heartbeat, at } => {
                self.wall_offset = at.since(now);
                self.on_heartbeat(now, node, &heartbeat);
            }
            Input::Report { node, report } => self.on_report(now, node, *report),
            Input::Persisted { number } => {
                self.log.on_persisted(number);
                self.install_snapshot();
            }
            Input::Message { from, message } => self.on_message(from, *message),
            Input::SnapshotSaved { reference } => self.on_snapshot_saved(reference),
            Input::SnapshotFetched { reference, state } => {
                self.on_snapshot_fetched(reference, state.as_deref());
            }
            Input::SnapshotSent { to, is_fetched } => self.on_snapshot_sent(to, is_fetched),
            Input::Introduce(ids) => self.on_introduce(ids),
            Input::PageLoaded { job, end, page } => {
                self.note_change();
                self.pages.loaded(PageKey { job, end, page: page.id }, page);
            }
            Input::Timeout => self.on_timeout(now),
        }
        self.settle(now);
    }

    /// The next thing to do, in order.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When to call `handle` with [`Input::Timeout`] at the latest.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.inventory.deadline().into_iter().chain(self.next_tick).min()
    }

    /// Whether the log is behind: whoever hands in reports should wait until it is not, so that
    /// what waits stays bounded.
    pub fn is_congested(&self) -> bool {
        self.log.waiting() >= LOG_WAITING_MAX
    }

    /// What the log has decided so far.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// What is known of the nodes, on the leader.
    pub fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    fn order(&mut self, node: NodeId, order: Order) {
        self.effects.push_back(Effect::Order { node, order });
    }

    fn on_committed(&mut self, committed: Committed) {
        self.note_change();
        let Committed { index, entry, request } = committed;
        let command = &entry.command;
        self.forget_under_way(command);
        self.observe_command(command);
        let settled = self.settled_by(command);
        let turn = self.turn_of(command);
        let page = match command {
            Command::Page { job, end, page, .. } if self.may_want_page(*job) => {
                Some((PageKey { job: *job, end: *end, page: page.id }, page.clone()))
            }
            _ => None,
        };
        let facts = self.state.apply(index, entry);
        if let Some((key, page)) = page
            && self.wanted().contains(&key)
            && self.state.jobs[&key.job].listing(key.end).entry_of(key.page) == Some(index)
        {
            self.pages.insert(key, page);
        }
        if self.is_deciding {
            let settled = settled.into_iter().chain(turn.and_then(|turn| self.settled_turn(turn)));
            for (node, order) in settled {
                self.order(node, order);
            }
        }
        let refused = facts.iter().find_map(|fact| match fact {
            Fact::Refused(failure) => Some(failure.clone()),
            _ => None,
        });
        for fact in facts {
            self.on_fact(fact);
        }
        if let Some(id) = request {
            let answer = refused.map_or(Answer::Done, Answer::Refused);
            self.effects.push_back(Effect::Answer { id, answer });
        }
    }

    fn forget_under_way(&mut self, command: &Command) {
        match command {
            Command::Grant { .. }
            | Command::Advance { .. }
            | Command::Extraneous { .. }
            | Command::TakeBack { .. }
            | Command::Exhaust { .. } => {
                self.planned = self.planned.saturating_sub(1);
            }
            Command::Reports { reports, .. } => {
                for report in reports {
                    self.reported.remove(&report.assignment);
                }
            }
            Command::NodeStarted { node, boot, .. } => {
                self.starting.remove(&(*node, *boot));
            }
            Command::Format(_) => self.known.settle(),
            Command::Spend { .. } => self.spending.settle(),
            _ => {}
        }
    }

    fn on_fact(&mut self, fact: Fact) {
        match fact {
            // Who does not decide leaves it to the one that does, at the node's next sign of life.
            Fact::Granted(..) | Fact::Ended(..) if !self.is_deciding => {}
            Fact::Granted(job, id) => {
                // Said again at the next sign of life, should a page be missing after a change of
                // the leader.
                let _ = self.assign(job, id);
            }
            Fact::Ended(node, assignment) => self.order(node, Order::Revoke(assignment)),
            Fact::Started(job, _) => {
                self.diffs.remove(&job);
                self.pages.forget(job);
                self.unmoved.forget(job);
                self.tell(fact);
            }
            Fact::Members => {
                self.introduce_members();
                self.effects.push_back(Effect::MembersChanged);
            }
            fact => {
                if let Fact::JobEnded(job) | Fact::Forgotten(job) = &fact {
                    self.diffs.remove(job);
                }
                if let Fact::Forgotten(job) = &fact {
                    self.unmoved.forget(*job);
                }
                self.tell(fact);
            }
        }
    }

    /// A job, while it runs.
    fn running(&self, id: JobId) -> Option<&Job> {
        self.state.jobs.get(&id).filter(|job| job.is_running())
    }

    /// Gives the order for a lease; whether its pages were in memory.
    fn assign(&mut self, job_id: JobId, id: AssignmentId) -> bool {
        let Some(job) = self.running(job_id) else { return true };
        let Some(lease) = job.leases.get(id) else { return true };
        let node = lease.node;
        let Some(boot) = self.state.boots.get(&node).copied() else { return true };
        let around = (&self.pages, self.state.bandwidth.is_some());
        let assignment = work::assignment((id, boot), (job_id, job), lease, around);
        let Some(assignment) = assignment else { return false };
        self.order(node, Order::Assign(Box::new(assignment)));
        true
    }

    fn on_timeout(&mut self, now: Timestamp) {
        while let Some(node) = self.inventory.take_silent(now) {
            self.log.propose(Command::VoidLeases { node }, None);
        }
    }

    /// Whether a page of a listing that is decided now can be among those in work, and is worth a
    /// copy: a listing is far ahead of the work most of the time. Who does not decide needs no pages,
    /// and would keep them for ever.
    fn may_want_page(&self, job: JobId) -> bool {
        let job = self.state.jobs.get(&job);
        self.is_deciding && job.is_some_and(|job| job.pages.len() < PAGES_ACTIVE_MAX)
    }

    fn wanted(&self) -> BTreeSet<PageKey> {
        let active = active_max(self.inventory.slots(&self.state));
        self.state
            .jobs
            .iter()
            .flat_map(|(id, job)| {
                wanted(*id, job, self.diffs.get(id).map(Diff::source_place), active)
            })
            .collect()
    }

    /// Brings everything that follows under way: first what is decided, then what is to be.
    fn settle(&mut self, now: Timestamp) {
        self.inventory.observed.pass(now);
        self.apply();
        self.look_who_decides(now);
        self.settle_reads();
        if self.is_deciding {
            self.decide(now);
        }
        // What was decided just now may be on its way already.
        while let Some((number, batch)) = self.log.poll_persist() {
            self.effects.push_back(Effect::Persist { number, batch });
        }
        self.settle_snapshots();
        self.send();
    }

    fn apply(&mut self) {
        while let Some(committed) = self.log.poll_committed() {
            self.on_committed(committed);
            self.check_format(self.state.format);
        }
    }

    /// Proposes what the state asks for.
    fn decide(&mut self, now: Timestamp) {
        self.reconcile_voters();
        self.raise_format();
        let at = now.plus(self.wall_offset);
        self.flush_reports(at);
        self.flush_spent(at);
        self.retain(now, at);
        self.diff();
        if std::mem::take(&mut self.has_changed) {
            self.observe_leases(now);
            self.look_at_rests(now);
            self.load();
        }
        self.try_again(now);
        if self.planned > 0 || !self.is_plan_due(now) {
            return;
        }
        (self.has_news, self.planned_at) = (false, now);
        let plan = plan(&self.state, &self.inventory, &self.pages, at);
        debug_assert_eq!(check::check(&self.state, &self.inventory, &plan), [""; 0]);
        for taken in plan.taken_back {
            self.take_back(taken);
        }
        for TakeBack { job, assignment, epoch } in plan.ahead {
            self.planned += 1;
            self.log.propose(Command::TakeBack { job, assignment, epoch }, None);
        }
        for (job, run, bytes) in plan.exhausted {
            self.planned += 1;
            self.log.propose(Command::Exhaust { job, run, bytes, at }, None);
        }
        for (job, run, from) in plan.advances {
            self.planned += 1;
            self.log.propose(Command::Advance { job, run, from, at }, None);
        }
        for grants in plan.grants.chunks(GRANTS_BATCHED_MAX) {
            self.planned += 1;
            self.log.propose(Command::Grant { grants: grants.to_vec() }, None);
        }
    }

    /// Something has happened that a plan could depend on.
    fn note_change(&mut self) {
        (self.has_changed, self.has_news) = (true, true);
    }

    /// Whether another plan could come out. What only time changes (a way that is open again, a node
    /// that has become slow) is looked at a few times a second: of hundreds of nodes one is heard at
    /// any instant.
    fn is_plan_due(&self, now: Timestamp) -> bool {
        self.has_news || now.since(self.planned_at) >= PLAN_PAUSE_MS
    }

    /// Asks for the pages that are needed and not in memory.
    fn load(&mut self) {
        let wanted = self.wanted();
        for key in self.pages.retain(&wanted) {
            let listing = self.state.jobs[&key.job].listing(key.end);
            let Some(index) = listing.entry_of(key.page) else { continue };
            let PageKey { job, end, page } = key;
            self.effects.push_back(Effect::LoadPage { job, end, page, index });
        }
    }

    /// Compares listings where both pages are in memory.
    fn diff(&mut self) {
        if self.planned > 0 {
            return;
        }
        for (id, job) in self.state.jobs.iter().filter(|(_, job)| job.is_active()) {
            let page = job.target.page_at(job.diffed);
            let Some(page) = page.filter(|_| job.phase == Phase::Diffing) else { continue };
            let diff = self.diffs.entry(*id).or_default();
            let key = |end, page| PageKey { job: *id, end, page };
            let Some(target) = self.pages.find(key(End::Target, page)) else { continue };
            loop {
                let wanted = job.source.page_at(diff.source_place());
                let source = wanted.and_then(|page| self.pages.find(key(End::Source, page)));
                if source.is_none() && wanted.is_some() {
                    break;
                }
                if let Step::Done(entries) = diff.step(source, target) {
                    self.planned += 1;
                    let command = Command::Extraneous { job: *id, run: job.run, page, entries };
                    self.log.propose(command, None);
                    break;
                }
            }
        }
    }
}
