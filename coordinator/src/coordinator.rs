//! The coordinator: inputs become commands, committed commands change the state, the state is
//! planned upon, and the difference becomes orders.

mod tell;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use airlift_protocol::assignment::End;
use airlift_protocol::id::{AssignmentId, JobId, LogIndex, PageId};
use airlift_protocol::limits::LOG_WAITING_MAX;
use airlift_protocol::manifest::Page;
use airlift_protocol::report::{Completion, Report};
use airlift_protocol::time::Timestamp;
use airlift_protocol::version::LOG_FORMAT;

use crate::command::Command;
use crate::effect::Effect;
use crate::input::Input;
use crate::log::Log;
use crate::scheduler::diff::{Diff, Step};
use crate::scheduler::inventory::Inventory;
use crate::scheduler::pages::{PageKey, Pages, wanted};
use crate::scheduler::plan::plan;
use crate::scheduler::{check, work};
use crate::state::{Fact, Phase, State, Task};

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
    /// Wall-clock time minus the time of `handle`, in milliseconds.
    wall_offset: u64,
    effects: VecDeque<Effect>,
}

/// A log being read back, oldest entry first.
#[derive(Debug, Default)]
pub struct Replay {
    state: State,
    applied: LogIndex,
}

impl Replay {
    /// Takes in the next entry.
    pub fn apply(&mut self, index: LogIndex, command: Command) {
        self.state.apply(index, command);
        self.applied = index;
    }

    /// The coordinator that goes on where the log ended.
    pub fn finish(self) -> Coordinator {
        let mut log = Log::new(self.applied);
        if self.applied == LogIndex::default() {
            log.propose(Command::Format(LOG_FORMAT));
        }
        Coordinator {
            state: self.state,
            log,
            inventory: Inventory::default(),
            pages: Pages::default(),
            diffs: BTreeMap::new(),
            planned: 0,
            wall_offset: 0,
            effects: VecDeque::new(),
        }
    }
}

impl Coordinator {
    /// Takes in one thing that happened. Infallible: refusals are effects.
    pub fn handle(&mut self, now: Timestamp, input: Input) {
        match input {
            Input::Submit { spec, at } => self.log.propose(Command::Submit { spec, at }),
            Input::NodeStarted { node, slots, at } => {
                self.wall_offset = at.since(now);
                self.inventory.add(node, slots, now);
                self.log.propose(Command::VoidLeases { node });
            }
            Input::Heartbeat { node } => self.inventory.hear(node, now),
            Input::Report(report) => self.on_report(*report),
            Input::Persisted { through } => self.on_persisted(through),
            Input::PageLoaded { job, end, page } => {
                self.pages.insert(PageKey { job, end, page: page.id }, page);
            }
            Input::Stop { job, failure } => self.log.propose(Command::Stop { job, failure }),
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
        self.inventory.deadline()
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

    fn on_report(&mut self, report: Report) {
        let Some(job) = self.state.jobs.get(&report.job) else { return };
        let command = match report {
            Report { assignment, epoch, result: Ok(Completion::Page { entries }), .. } => {
                let lease = job.leases.get(&assignment).filter(|lease| lease.epoch == epoch);
                let Some(Task::List(end)) = lease.map(|lease| &lease.task) else { return };
                let end = *end;
                let page = Page { id: self.next_page(report.job, end), entries };
                let run = self.state.jobs[&report.job].run;
                Command::Page { job: report.job, run, end, page }
            }
            report => Command::Reports { reports: vec![report] },
        };
        self.log.propose(command);
    }

    /// The id of the next page of a listing, pages on their way through the log counted in.
    fn next_page(&self, job: JobId, end: End) -> PageId {
        let listed = self.state.jobs[&job].listing(end).next_page();
        PageId(listed.0 + self.log.pages_under_way(job, end))
    }

    fn on_persisted(&mut self, through: LogIndex) {
        while let Some((index, command)) = self.log.poll_committed(through) {
            if matches!(
                command,
                Command::Grant { .. } | Command::Advance { .. } | Command::Extraneous { .. }
            ) {
                self.planned = self.planned.saturating_sub(1);
            }
            let page = match &command {
                Command::Page { job, end, page, .. } => {
                    Some((PageKey { job: *job, end: *end, page: page.id }, page.clone()))
                }
                _ => None,
            };
            let facts = self.state.apply(index, command);
            if let Some((key, page)) = page
                && self.wanted().contains(&key)
            {
                self.pages.insert(key, page);
            }
            for fact in facts {
                self.on_fact(fact);
            }
        }
    }

    fn on_fact(&mut self, fact: Fact) {
        match fact {
            Fact::Granted(job, id) => self.assign(job, id),
            Fact::Ended(node, assignment) => {
                self.effects.push_back(Effect::Revoke { node, assignment });
            }
            Fact::Started(job, _) => {
                self.diffs.remove(&job);
                self.tell(fact);
            }
            fact => self.tell(fact),
        }
    }

    fn assign(&mut self, job_id: JobId, id: AssignmentId) {
        let Some(job) = self.state.jobs.get(&job_id) else { return };
        let Some(lease) = job.leases.get(&id) else { return };
        let assignment = work::assignment(id, job_id, job, lease, &self.pages)
            .expect("invariant: a plan grants only what it has the pages for");
        let node = lease.node;
        self.effects.push_back(Effect::Assign { node, assignment: Box::new(assignment) });
    }

    fn on_timeout(&mut self, now: Timestamp) {
        while let Some(node) = self.inventory.take_silent(now) {
            self.log.propose(Command::VoidLeases { node });
        }
    }

    fn wanted(&self) -> BTreeSet<PageKey> {
        self.state
            .jobs
            .iter()
            .flat_map(|(id, job)| wanted(*id, job, self.diffs.get(id).map(Diff::source_page)))
            .collect()
    }

    /// Brings everything that follows from the state under way.
    fn settle(&mut self, now: Timestamp) {
        self.diff();
        self.load();
        if self.planned == 0 {
            let at = now.plus(self.wall_offset);
            let plan = plan(&self.state, &self.inventory, &self.pages, at);
            debug_assert_eq!(check::check(&self.state, &self.inventory, &plan), [""; 0]);
            for (job, run, from) in plan.advances {
                self.planned += 1;
                self.log.propose(Command::Advance { job, run, from });
            }
            if !plan.grants.is_empty() {
                self.planned += 1;
                self.log.propose(Command::Grant { grants: plan.grants });
            }
        }
        if let Some((first, entries)) = self.log.poll_persist() {
            self.effects.push_back(Effect::Persist { first, entries });
        }
    }

    /// Asks for the pages that are needed and not in memory.
    fn load(&mut self) {
        let wanted = self.wanted();
        for key in self.pages.retain(&wanted) {
            let listing = self.state.jobs[&key.job].listing(key.end);
            let index = listing.pages[key.page.0 as usize];
            let PageKey { job, end, page } = key;
            self.effects.push_back(Effect::LoadPage { job, end, page, index });
        }
    }

    /// Compares listings where both pages are in memory.
    fn diff(&mut self) {
        if self.planned > 0 {
            return;
        }
        for (id, job) in &self.state.jobs {
            if job.phase != Phase::Diffing || job.diffed >= job.target.next_page() {
                continue;
            }
            let diff = self.diffs.entry(*id).or_default();
            let target = PageKey { job: *id, end: End::Target, page: job.diffed };
            let Some(target) = self.pages.find(target) else { continue };
            loop {
                let page = diff.source_page();
                let source = self.pages.find(PageKey { job: *id, end: End::Source, page });
                if source.is_none() && page < job.source.next_page() {
                    break;
                }
                if let Step::Done(entries) = diff.step(source, target) {
                    self.planned += 1;
                    let command =
                        Command::Extraneous { job: *id, run: job.run, page: job.diffed, entries };
                    self.log.propose(command);
                    break;
                }
            }
        }
    }
}
