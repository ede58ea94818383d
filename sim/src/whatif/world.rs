//! The world of one question: a leader, an agent on each node, and the time that their work takes.

use std::collections::BTreeMap;

use airlift_coordinator::consensus::{Compaction, Config, Consensus, Durable};
use airlift_coordinator::log::Batch;
use airlift_coordinator::origin::Actor;
use airlift_coordinator::state::{Phase, State};
use airlift_coordinator::{Agent, AgentEffect, AgentInput, Coordinator, Effect, Input, Request};
use airlift_coordinator::{RequestId, command};
use airlift_protocol::assignment::{Assignment, End, Work};
use airlift_protocol::cluster::{Addresses, Boot, ClusterId, Member, NodeName, Role};
use airlift_protocol::cluster::{Secret, TokenId};
use airlift_protocol::codec;
use airlift_protocol::control::{Heartbeat, Order};
use airlift_protocol::error::{ErrorCode, Failure};
use airlift_protocol::id::{AssignmentId, JobId, LogIndex, NodeId, PageId};
use airlift_protocol::job::{Filters, JobSpec, Mode, Policy};
use airlift_protocol::key::Key;
use airlift_protocol::location::Location;
use airlift_protocol::raft::{LogPayload, RaftId, SnapshotRef, snapshot_digest};
use airlift_protocol::report::{Completion, ListingEnd, Report, Unreadable};
use airlift_protocol::time::Timestamp;
use airlift_protocol::units::ByteRate;
use airlift_protocol::version::Formats;

use super::listing::Listing;
use super::outcome::{Bill, Control, Load, Outcome};
use super::scenario::{Failures, Scenario, ScenarioError};
use super::site::Plant;
use super::work::{self, KEYS_LISTED};
use crate::prng::Prng;
use crate::queue::Queue;

/// Wall-clock time at which every world begins.
const WALL_START: u64 = 1_700_000_000_000;

/// Milliseconds of a durable write.
const FSYNC_MS: u64 = 2;

/// Milliseconds until a message is there, beside the way between its sites.
const MESSAGE_MS: u64 = 1;

/// Milliseconds after which the job is submitted: all nodes have been heard by then.
const SUBMIT_MS: u64 = 10_000;

/// Years after which a job is given up.
const YEARS_MAX: u64 = 10;

/// Something that lies ahead.
#[derive(Debug)]
enum Ahead {
    /// The coordinator asked to be called.
    Leader,
    /// An agent asked to be called.
    Agent(usize),
    Submit,
    /// The write that is under way is durable.
    Written,
    Saved(SnapshotRef),
    Loaded(JobId, End, PageId),
    Beat(usize, Box<Heartbeat>),
    Report(usize, Box<Report>),
    Order(usize, Order),
    /// An attempt of a node, in its life, is done.
    Done(usize, u64, Attempt, Result<Completion, Failure>),
    /// The next page of the listing has arrived at its node.
    Page(usize, u64, Attempt, PageId),
    Death(usize),
    Birth(usize),
}

type Attempt = (AssignmentId, u32);

/// Who lists the source.
#[derive(Clone, Copy, Debug)]
struct Lister {
    place: usize,
    attempt: Attempt,
    /// When it began.
    since: u64,
    /// Whether its last page is on its way to the record.
    is_waiting: bool,
    /// What has arrived meanwhile.
    next: Option<PageId>,
}

/// What runs on a node.
#[derive(Debug)]
struct Process {
    agent: Agent,
    armed: Option<u64>,
    written: BTreeMap<JobId, u64>,
}

#[derive(Debug)]
struct World {
    now: u64,
    queue: Queue<Ahead>,
    plant: Plant,
    listing: Listing,
    failures: Failures,
    prng: Prng,
    coordinator: Coordinator,
    leader_armed: Option<u64>,
    processes: Vec<Option<Process>>,
    /// Counts the starts of each node.
    lives: Vec<u64>,
    nodes: BTreeMap<NodeId, usize>,
    job: JobSpec,
    /// Who lists the source, while it is listed.
    lister: Option<Lister>,
    /// Of the writes that wait, the last.
    unwritten: Option<u64>,
    is_writing: Option<u64>,
    commit_ms: u64,
    control: Control,
    /// Slots that are taken, and the sum over all milliseconds of how many were.
    taken: u64,
    taken_since: u64,
    taken_ms: u128,
    ended: Option<u64>,
}

/// How far an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Virtual time since the job was submitted.
    pub ms: u64,
    /// Objects that have come to their end.
    pub ended: u64,
    /// Objects that there are.
    pub objects: u64,
}

/// Events between two calls of whoever watches.
const WATCHED_EVENTS: u64 = 50_000;

/// Answers a question; `watch` hears from time to time how far it is.
///
/// # Errors
/// When the scenario cannot be.
pub fn simulate(
    scenario: &Scenario,
    watch: &mut dyn FnMut(Moment),
) -> Result<Outcome, ScenarioError> {
    scenario.check()?;
    Ok(World::new(scenario).run(watch))
}

fn id_of(place: usize) -> NodeId {
    let mut id = [0; 32];
    id[..8].copy_from_slice(&(place as u64 + 1).to_be_bytes());
    NodeId(id)
}

fn name_of(place: usize) -> NodeName {
    NodeName::parse(&format!("n{place}")).expect("invariant: the name is valid")
}

/// The state of a cluster whose nodes have all joined.
fn joined(nodes: usize) -> State {
    let at = Timestamp(WALL_START);
    let mut state = State::default();
    let mut index = LogIndex(1);
    let mut apply = |command| {
        index = LogIndex(index.0 + 1);
        state.apply(index, command);
    };
    let founder = Member {
        id: id_of(0),
        name: name_of(0),
        role: Role::Voter,
        raft: Some(RaftId(1)),
        addresses: Addresses::default(),
        joined_at: at,
        formats: Formats::BUILD,
    };
    let founding = command::Founding { cluster: ClusterId([7; 16]), founder, admin: [0; 32] };
    apply(command::Command::Found(Box::new(founding)));
    for place in 1..nodes {
        let token = TokenId((place as u64).to_be_bytes());
        let admits = airlift_coordinator::state::JoinToken {
            secret_hash: Secret([0; 32]).hash(),
            role: Role::Worker,
            expires_at: at.plus(1_000),
            used_by: None,
        };
        apply(command::Command::IssueToken { id: token, token: admits });
        let (node, name, addresses) = (id_of(place), name_of(place), Addresses::default());
        let formats = Formats::BUILD;
        let joining = command::Joining { token, node, name, addresses, at, formats };
        apply(command::Command::Join(Box::new(joining)));
    }
    state
}

fn spec(scenario: &Scenario) -> JobSpec {
    let bucket = |name: &str| Location::Bucket {
        scheme: "s3".to_owned(),
        bucket: name.to_owned(),
        prefix: Key::default(),
    };
    let bandwidth = scenario.bandwidth.map(|rate| ByteRate(rate).into());
    let policy = Policy { bandwidth, ..Policy::default() };
    let (source, target) = (bucket("source"), bucket("target"));
    JobSpec { mode: Mode::Copy, source, target, single: None, filters: Filters::default(), policy }
}

fn leader(state: State, seed: u64) -> Coordinator {
    let bytes = codec::encode(&state);
    let durable = Durable::found(RaftId(1), snapshot_digest(&bytes), bytes.len() as u64);
    let config = Config { id: RaftId(1), seed, compaction: Compaction::default() };
    let consensus =
        Consensus::restore(config, durable).expect("invariant: a log that begins can be read");
    let mut coordinator = Coordinator::voter(Timestamp(0), state, consensus);
    coordinator.campaign();
    coordinator
}

impl World {
    fn new(scenario: &Scenario) -> Self {
        let plant = Plant::new(scenario);
        let nodes = plant.machines.len();
        let prng = Prng::new(scenario.seed);
        let commit_ms = FSYNC_MS + plant.rtt_us_max().div_ceil(1_000);
        let mut world = Self {
            now: 0,
            queue: Queue::new(),
            listing: Listing::new(&scenario.groups),
            failures: scenario.failures,
            coordinator: leader(joined(nodes), scenario.seed),
            prng,
            leader_armed: None,
            processes: (0..nodes).map(|_| None).collect(),
            lives: vec![0; nodes],
            nodes: (0..nodes).map(|place| (id_of(place), place)).collect(),
            job: spec(scenario),
            lister: None,
            unwritten: None,
            is_writing: None,
            commit_ms,
            control: Control::default(),
            taken: 0,
            taken_since: 0,
            taken_ms: 0,
            ended: None,
            plant,
        };
        for place in 0..nodes {
            // Nodes do not start at the same instant.
            let after = world.prng.below(2_000);
            world.queue.push(after, Ahead::Birth(place));
            if place > 0 {
                world.plan_death(place);
            }
        }
        world.queue.push(SUBMIT_MS, Ahead::Submit);
        world.drain_leader();
        world
    }

    fn run(mut self, watch: &mut dyn FnMut(Moment)) -> Outcome {
        while self.ended.is_none()
            && let Some((at, ahead)) = self.queue.pop()
            && at < YEARS_MAX * 365 * 86_400_000
        {
            self.now = self.now.max(at);
            self.control.events += 1;
            if self.control.events.is_multiple_of(WATCHED_EVENTS) {
                watch(self.moment());
            }
            self.happen(ahead);
        }
        self.outcome()
    }

    fn moment(&self) -> Moment {
        let job = self.coordinator.state().jobs.get(&self.job.id());
        let ended = job.map_or(0, |job| {
            let objects = &job.totals.objects;
            objects.done + objects.unchanged + objects.failed
        });
        Moment { ms: self.now.saturating_sub(SUBMIT_MS), ended, objects: self.listing.objects() }
    }

    fn happen(&mut self, ahead: Ahead) {
        match ahead {
            Ahead::Leader => {
                if self.leader_armed.is_some_and(|armed| armed <= self.now) {
                    self.leader_armed = None;
                    self.feed(Input::Timeout);
                }
            }
            Ahead::Agent(place) => self.on_armed(place),
            Ahead::Submit => {
                let request = Request::Submit(Box::new(self.job.clone()));
                self.taken_since = self.now;
                self.feed(Input::Request {
                    id: RequestId(1),
                    request,
                    by: Actor::Root,
                    at: self.wall(),
                });
            }
            Ahead::Written => self.on_written(),
            Ahead::Saved(reference) => self.feed(Input::SnapshotSaved { reference }),
            Ahead::Loaded(job, end, page) => {
                let page = self.listing.page(page);
                self.feed(Input::PageLoaded { job, end, page });
            }
            Ahead::Beat(place, heartbeat) => {
                self.control.heartbeats += 1;
                let (node, heartbeat, at) = (id_of(place), *heartbeat, self.wall());
                self.feed(Input::Heartbeat { node, heartbeat, at });
            }
            Ahead::Report(place, report) => {
                self.feed(Input::Report { node: id_of(place), report });
            }
            Ahead::Order(place, order) => self.feed_agent(place, AgentInput::Order(order)),
            Ahead::Done(place, life, attempt, result) => self.on_done(place, life, attempt, result),
            Ahead::Page(place, life, attempt, page) => self.on_page(place, life, attempt, page),
            Ahead::Death(place) => self.die(place),
            Ahead::Birth(place) => self.start(place),
        }
    }

    fn wall(&self) -> Timestamp {
        Timestamp(WALL_START + self.now)
    }

    fn message_ms(&self, place: usize) -> u64 {
        if place == 0 {
            return 0;
        }
        let (leader, site) = (self.plant.machines[0].site, self.plant.machines[place].site);
        MESSAGE_MS + self.plant.rtt_us(leader, site) / 2_000
    }

    fn feed(&mut self, input: Input) {
        self.coordinator.handle(Timestamp(self.now), input);
        self.drain_leader();
    }

    fn drain_leader(&mut self) {
        while let Some(effect) = self.coordinator.poll_effect() {
            self.carry_out(effect);
        }
        if let Some(due) = self.coordinator.poll_timeout() {
            let due = due.0.max(self.now + 1);
            if self.leader_armed.is_none_or(|armed| due < armed) {
                self.leader_armed = Some(due);
                self.queue.push(due, Ahead::Leader);
            }
        }
        let job = self.coordinator.state().jobs.get(&self.job.id());
        if job.is_some_and(|job| matches!(job.phase, Phase::Ended | Phase::Stopped)) {
            self.ended.get_or_insert(self.now);
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Persist { number, batch } => {
                self.count(&batch);
                self.unwritten = Some(number);
                self.write();
            }
            Effect::Order { node, order } => {
                if let Some(place) = self.nodes.get(&node).copied() {
                    let at = self.now + self.message_ms(place);
                    self.queue.push(at, Ahead::Order(place, order));
                }
            }
            Effect::LoadPage { job, end, page, .. } => {
                self.queue.push(self.now + 1, Ahead::Loaded(job, end, page));
            }
            Effect::SaveSnapshot { reference, state, .. } => {
                self.control.snapshots += 1;
                self.control.state_bytes_max = self.control.state_bytes_max.max(state.len() as u64);
                self.queue.push(self.now + FSYNC_MS, Ahead::Saved(reference));
            }
            // Of one voter; and what observers are told.
            Effect::Send { .. }
            | Effect::FetchSnapshot { .. }
            | Effect::Superseded { .. }
            | Effect::Unfit { .. }
            | Effect::Answer { .. }
            | Effect::Record { .. }
            | Effect::Forget { .. }
            | Effect::MembersChanged
            | Effect::SnapshotTooLarge { .. }
            | Effect::Emit(_) => {}
        }
    }

    fn count(&mut self, batch: &Batch) {
        let Batch::Consensus(persists) = batch else { return };
        for entry in persists.iter().flat_map(|persist| &persist.entries) {
            if let LogPayload::Command(bytes) = &entry.payload {
                self.control.entries += 1;
                self.control.log_bytes += bytes.len() as u64;
            }
        }
    }

    /// Writes all that waits, together.
    fn write(&mut self) {
        if self.is_writing.is_none()
            && let Some(number) = self.unwritten.take()
        {
            self.control.writes += 1;
            self.is_writing = Some(number);
            self.queue.push(self.now + self.commit_ms, Ahead::Written);
        }
    }

    fn on_written(&mut self) {
        if let Some(number) = self.is_writing.take() {
            self.feed(Input::Persisted { number });
        }
        self.write();
    }

    fn start(&mut self, place: usize) {
        self.lives[place] += 1;
        let seed = self.prng.draw();
        let boot = Boot::new(u32::try_from(self.lives[place]).unwrap_or(u32::MAX), 0);
        let agent = Agent::new(Timestamp(self.now), seed, boot);
        self.processes[place] = Some(Process { agent, armed: None, written: BTreeMap::new() });
        self.feed_agent(place, AgentInput::Timeout);
    }

    fn die(&mut self, place: usize) {
        if self.processes[place].take().is_some() {
            self.control.deaths += 1;
            if self.lister.is_some_and(|lister| lister.place == place) {
                self.end_listing();
            }
            let after = 1_000 * self.failures.node_restart_s;
            self.queue.push(self.now + after, Ahead::Birth(place));
        }
        self.plan_death(place);
    }

    /// Lives are drawn evenly up to twice their average.
    fn plan_death(&mut self, place: usize) {
        if self.failures.node_mtbf_s > 0 {
            let after = 1 + self.prng.below(2_000 * self.failures.node_mtbf_s);
            self.queue.push(self.now + after, Ahead::Death(place));
        }
    }

    fn on_armed(&mut self, place: usize) {
        let Some(process) = &mut self.processes[place] else { return };
        if process.armed.is_some_and(|armed| armed <= self.now) {
            process.armed = None;
            self.feed_agent(place, AgentInput::Timeout);
        }
    }

    fn feed_agent(&mut self, place: usize, input: AgentInput) {
        let Some(process) = &mut self.processes[place] else { return };
        process.agent.handle(Timestamp(self.now), input);
        while let Some(effect) =
            self.processes[place].as_mut().and_then(|process| process.agent.poll_effect())
        {
            self.carry_out_agent(place, effect);
        }
        let Some(process) = &mut self.processes[place] else { return };
        if let Some(due) = process.agent.poll_timeout() {
            let due = due.0.max(self.now + 1);
            if process.armed.is_none_or(|armed| due < armed) {
                process.armed = Some(due);
                self.queue.push(due, Ahead::Agent(place));
            }
        }
    }

    fn carry_out_agent(&mut self, place: usize, effect: AgentEffect) {
        let at = self.now + self.message_ms(place);
        match effect {
            AgentEffect::Start { assignment, attempt } => self.begin(place, &assignment, attempt),
            AgentEffect::Cancel(id) => {
                if self.lister.is_some_and(|lister| lister.attempt.0 == id) {
                    self.end_listing();
                }
            }
            AgentEffect::Recorded(id) => self.list_on(id),
            AgentEffect::Report(report) => self.queue.push(at, Ahead::Report(place, report)),
            AgentEffect::Heartbeat { boot, held } => {
                let heartbeat = self.heartbeat(place, boot, held);
                self.queue.push(at, Ahead::Beat(place, Box::new(heartbeat)));
            }
        }
    }

    fn heartbeat(&self, place: usize, boot: Boot, held: Vec<AssignmentId>) -> Heartbeat {
        let written = self.processes[place].as_ref().map(|process| process.written.clone());
        Heartbeat {
            boot,
            addresses: Addresses::default(),
            slots: self.plant.machines[place].slots,
            held,
            written: written.unwrap_or_default().into_iter().collect(),
            members_version: 0,
            version: String::new(),
            figures: Vec::new(),
            shares: None,
            gates: Vec::new(),
            formats: Formats::BUILD,
            spent: Vec::new(),
        }
    }

    fn begin(&mut self, place: usize, assignment: &Assignment, number: u32) {
        let attempt = (assignment.id, number);
        let life = self.lives[place];
        self.control.orders += 1;
        if let Work::List { next, .. } = assignment.work {
            self.end_listing();
            let since = self.now;
            self.lister = Some(Lister { place, attempt, since, is_waiting: false, next: None });
            return self.ask_for_page(place, attempt, next);
        }
        let now_us = self.now * 1_000;
        let (plant, listing) = (&mut self.plant, &self.listing);
        let (done_us, completion) =
            work::carry_out(plant, listing, (now_us, place), &assignment.work);
        let is_failed = self.prng.below(1_000_000) < self.failures.transient_per_million;
        let result = match is_failed {
            true => Err(Failure::new(ErrorCode::Unavailable, "the store was not available")),
            false => Ok(completion),
        };
        self.take_slots(1);
        let at = done_us.div_ceil(1_000).max(self.now + 1);
        self.queue.push(at, Ahead::Done(place, life, attempt, result));
    }

    /// Counts slots that are taken, or free again.
    fn take_slots(&mut self, change: i64) {
        let held = self.now.saturating_sub(self.taken_since);
        self.taken_ms += u128::from(held) * u128::from(self.taken);
        self.taken_since = self.taken_since.max(self.now);
        self.taken = self.taken.saturating_add_signed(change);
    }

    fn on_done(
        &mut self,
        place: usize,
        life: u64,
        (assignment, attempt): Attempt,
        result: Result<Completion, Failure>,
    ) {
        self.take_slots(-1);
        if self.lives[place] != life {
            return;
        }
        let Some(process) = &mut self.processes[place] else { return };
        match &result {
            Ok(completion) => {
                *process.written.entry(self.job.id()).or_default() += work::bytes_of(completion);
            }
            Err(_) => self.control.orders_failed += 1,
        }
        let outcome = AgentInput::Outcome { assignment, attempt, result, wire_bytes: 0 };
        self.feed_agent(place, outcome);
    }

    fn ask_for_page(&mut self, place: usize, attempt: Attempt, page: PageId) {
        let requests = self.listing.entries_of(page).div_ceil(KEYS_LISTED).max(1);
        let now_us = self.now * 1_000;
        let at = self.plant.ask_source(now_us, place, requests, requests).div_ceil(1_000);
        let life = self.lives[place];
        self.queue.push(at.max(self.now + 1), Ahead::Page(place, life, attempt, page));
    }

    fn on_page(&mut self, place: usize, life: u64, attempt: Attempt, page: PageId) {
        let Some(lister) = &mut self.lister else { return };
        if (lister.place, lister.attempt) != (place, attempt) || self.lives[place] != life {
            return;
        }
        let pages = self.listing.pages();
        if page < pages && lister.is_waiting {
            lister.next = Some(page);
            return;
        }
        lister.is_waiting = page < pages;
        let entries = self.listing.page(page).entries;
        let result = match page < pages {
            true => Completion::Page { page, entries, unreadable: Unreadable::default() },
            false => {
                self.end_listing();
                let (unreadable, unreadable_count) = (Vec::new(), 0);
                Completion::Listed(ListingEnd { pages, unreadable, unreadable_count })
            }
        };
        let (assignment, number) = attempt;
        let result = Ok(result);
        let outcome = AgentInput::Outcome { assignment, attempt: number, result, wire_bytes: 0 };
        self.feed_agent(place, outcome);
        if page < pages {
            self.ask_for_page(place, attempt, page.next());
        }
    }

    /// Nobody lists the source any more, for now or for good.
    fn end_listing(&mut self) {
        if let Some(lister) = self.lister.take() {
            self.control.listing_ms += self.now - lister.since;
        }
    }

    /// The last page is on record: what has arrived meanwhile is told.
    fn list_on(&mut self, id: AssignmentId) {
        let Some(lister) = &mut self.lister else { return };
        if lister.attempt.0 != id {
            return;
        }
        lister.is_waiting = false;
        if let Some(page) = lister.next.take() {
            let (place, attempt) = (lister.place, lister.attempt);
            let next = Ahead::Page(place, self.lives[place], attempt, page);
            self.queue.push(self.now, next);
        }
    }

    fn outcome(mut self) -> Outcome {
        self.take_slots(0);
        let ms = self.ended.unwrap_or(self.now).saturating_sub(SUBMIT_MS).max(1);
        let slots: u64 = self.plant.machines.iter().map(|it| u64::from(it.slots)).sum();
        let per_mille = self.taken_ms * 1_000 / u128::from(ms * slots.max(1));
        self.control.slots_per_mille = u64::try_from(per_mille).unwrap_or(1_000);
        let resources = self.plant.resources().filter(|resource| resource.units > 0);
        let mut loads: Vec<Load> = resources
            .map(|resource| Load {
                name: resource.name.clone(),
                busy_per_mille: resource.busy_per_mille(ms * 1_000),
                units: resource.units,
            })
            .collect();
        loads.sort_by(|a, b| (b.busy_per_mille, &a.name).cmp(&(a.busy_per_mille, &b.name)));
        let hours = |nanos: u64| u128::from(nanos) * u128::from(ms) / 3_600_000;
        let nodes: u128 = self.plant.machines.iter().map(|it| hours(it.hour_nanos)).sum();
        let bill = Bill {
            nodes_nanos: u64::try_from(nodes).unwrap_or(u64::MAX),
            links_nanos: self.plant.links_nanos(),
            requests_nanos: self.plant.requests_nanos(),
        };
        let totals = self.coordinator.state().jobs.get(&self.job.id()).map(|job| job.totals);
        let totals = totals.unwrap_or_default();
        let bottleneck = bottleneck(&loads, &self.control, ms);
        Outcome {
            ms,
            done: totals.objects.done,
            unchanged: totals.objects.unchanged,
            failed: totals.objects.failed,
            bytes: totals.bytes.sent,
            bottleneck,
            loads,
            bill,
            control: self.control,
        }
    }
}

/// Of a thousand, the part of the time from which on something counts as what held the job up.
const HELD_UP_PER_MILLE: u64 = 800;

fn bottleneck(loads: &[Load], control: &Control, ms: u64) -> String {
    let busiest = loads.first().filter(|load| load.busy_per_mille >= HELD_UP_PER_MILLE);
    if let Some(load) = busiest {
        return load.name.clone();
    }
    if control.listing_ms * 1_000 / ms >= HELD_UP_PER_MILLE {
        return "listing the source, one request after the other".to_owned();
    }
    if control.slots_per_mille >= HELD_UP_PER_MILLE {
        return "round trips: every slot waits for answers".to_owned();
    }
    "the control plane, or too little work for all nodes".to_owned()
}
