//! The loop of a cluster's node: it owns the two state machines, carries out their effects, and
//! feeds them with what the network, the disk, the clients and the pipeline answer.

mod disk;
mod hear;
mod leave;
mod measure;
mod members;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use airlift_coordinator::consensus::Role;
use airlift_coordinator::event::Event;
use airlift_coordinator::log::Batch;
use airlift_coordinator::origin::Actor;
use airlift_coordinator::{
    Agent, AgentEffect, AgentInput, Answer, Coordinator, Effect, Input, Request, RequestId,
};
use airlift_protocol::assignment::{Assignment, End};
use airlift_protocol::cluster::{Addresses, Boot};
use airlift_protocol::codec;
use airlift_protocol::control::{Alive, ControlAnswer, ControlMessage, Heartbeat, Members, Order};
use airlift_protocol::id::{AssignmentId, JobId, LogIndex, NodeId};
use airlift_protocol::limits::{LOG_ENTRY_BYTES_MAX, RAFT_MESSAGE_BYTES_MAX};
use airlift_protocol::raft::{RaftId, SnapshotRef};
use airlift_protocol::time::Timestamp;
use bytes::Bytes;
use futures::future::{AbortHandle as FutureAbortHandle, BoxFuture, abortable};
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior};

use self::disk::{Write, Writes};
use self::leave::Leaving;
use self::measure::Commits;
use self::members::Departing;
use super::ask::{Ask, Asker, Sight};
use super::directory::{Directory, NodeRecord};
use super::fetch::{Fetch, Partial};
use super::figures::Figures;
use super::records::{Record, RecordFile};
use super::service::ClusterService;
use super::work::{Workshop, data_addresses, orders_wanted};
use crate::build::Build;
use crate::network::control::{ControlNetwork, Incoming};
use crate::network::data::DataNetwork;
use crate::network::data::remote::Route;
use crate::runtime::blocking::blocking;
use crate::runtime::clock;
use crate::runtime::embedded::RunError;
use crate::runtime::executor::HandedIn;
use crate::storage::consensus::ConsensusFile;
use crate::store::StoreError;
use crate::store::fence::Term;
use crate::store::settings::StoreOptions;

/// Bytes of one message between nodes.
const MESSAGE_BYTES_MAX: usize = RAFT_MESSAGE_BYTES_MAX + (64 << 10);

/// Pause before a manifest page that no voter had is asked for again.
const PAGE_PAUSE: Duration = Duration::from_secs(1);

/// Answers in a row, one for each sign of life, from which this node concludes that another process
/// has its identity: a voter takes at most two seconds to notice that its leader has ceased to be.
const TWIN_SIGNS: u32 = 4;

/// Time between two looks at whether more orders at once would move more.
const LOOK_PERIOD: Duration = Duration::from_millis(250);

/// Time for the leader to answer a sign of life.
const ALIVE_TIMEOUT: Duration = Duration::from_millis(1500);

/// What an effect that took time came to.
pub(super) enum Done {
    /// Something for the control plane.
    Input(Input),
    /// A write is durable, with what the control plane is to hear of it.
    Written(Option<Input>),
    /// No voter that answers has this manifest page.
    PageMissing(JobId, End, LogIndex),
    /// The state of another voter has arrived.
    Fetched { from: RaftId, reference: SnapshotRef, state: Vec<u8> },
    /// The state of another voter cannot be had from it.
    NotFetched { from: RaftId, reference: SnapshotRef },
    /// A newer state is fetched instead.
    Superseded,
    /// The leader answered a sign of life, or another node did, or nobody.
    Heard { asked: NodeId, said: Duration, sent: Instant, answer: Option<ControlAnswer> },
    /// The disk has failed: the node must stop.
    Failed(StoreError),
    /// Records are durable.
    Recorded,
}

/// The parts that a driver is made of.
pub(super) struct Parts {
    pub(super) directory: Directory,
    pub(super) record: NodeRecord,
    pub(super) node: NodeId,
    pub(super) boot: Boot,
    pub(super) addresses: Addresses,
    pub(super) coordinator: Option<Coordinator>,
    pub(super) file: Option<Arc<ConsensusFile>>,
    pub(super) records: Arc<RecordFile>,
    pub(super) control: Arc<ControlNetwork>,
    pub(super) data: Arc<DataNetwork>,
    pub(super) workshop: Arc<Workshop>,
    pub(super) service: Arc<ClusterService>,
    pub(super) asker: Asker,
    pub(super) stores: StoreOptions,
    pub(super) figures: Arc<Figures>,
    pub(super) build: Build,
    pub(super) started: Instant,
}

/// An attempt that is carried out.
struct Task {
    attempt: u32,
    handle: AbortHandle,
    /// Of a listing: whom to tell that what it handed in is on record.
    recorded: Option<oneshot::Sender<()>>,
}

pub(super) struct Driver {
    parts: Parts,
    agent: Agent,
    members: Members,
    departing: Departing,
    leader: Option<NodeId>,
    done: FuturesUnordered<BoxFuture<'static, Done>>,
    tasks: BTreeMap<AssignmentId, Task>,
    work: JoinSet<()>,
    writes: Writes,
    is_writing: bool,
    /// As much as has arrived of a state that is fetched from another voter.
    partial: Arc<Mutex<Partial>>,
    fetching: Option<FutureAbortHandle>,
    asked: BTreeMap<RequestId, oneshot::Sender<Answer>>,
    next_request: u64,
    /// What became of objects, not written yet.
    records: Vec<Record>,
    is_recording: bool,
    /// Why the node that was heard just now is to stop.
    refused: Option<String>,
    failure: Option<RunError>,
    /// Whether a sign of life waits for its answer.
    is_beating: bool,
    /// The voter to which the last one went.
    asked_last: Option<NodeId>,
    /// Answers in a row that name this node as the leader, which it is not.
    twin_signs: u32,
    /// When this node last said what the leader has answered, as terms are told.
    heard: Option<Duration>,
    commits: Commits,
    /// Set when the node is to end.
    leaving: Option<Leaving>,
}

/// What comes in from outside.
pub(super) struct Sources {
    pub(super) incoming: mpsc::Receiver<Incoming>,
    pub(super) asks: mpsc::Receiver<Ask>,
    pub(super) outcomes: mpsc::Receiver<HandedIn>,
    pub(super) stop: watch::Receiver<bool>,
}

impl Driver {
    pub(super) fn new(parts: Parts) -> Self {
        let members = Members {
            version: parts.record.members_version,
            members: parts.record.members.clone(),
        };
        let mut driver = Self {
            agent: Agent::new(Timestamp(0), parts.boot.0, parts.boot),
            members,
            departing: Departing::default(),
            leader: None,
            done: FuturesUnordered::new(),
            tasks: BTreeMap::new(),
            work: JoinSet::new(),
            writes: Writes::new(),
            is_writing: false,
            partial: Arc::default(),
            fetching: None,
            asked: BTreeMap::new(),
            next_request: 0,
            records: Vec::new(),
            is_recording: false,
            refused: None,
            failure: None,
            is_beating: false,
            asked_last: None,
            twin_signs: 0,
            heard: None,
            commits: Commits::default(),
            leaving: None,
            parts,
        };
        driver.spread_members();
        driver
    }

    /// Runs until it is told to stop, or cannot go on.
    pub(super) async fn run(mut self, mut sources: Sources) -> Result<(), RunError> {
        self.begin();
        let mut looks = tokio::time::interval(LOOK_PERIOD);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.drain();
            if let Some(failure) = self.failure.take() {
                return Err(failure);
            }
            if self.may_end() {
                return Ok(());
            }
            let deadline = self.deadline();
            tokio::select! {
                biased;
                changed = sources.stop.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    if *sources.stop.borrow() {
                        self.leave();
                    }
                }
                Some(done) = self.done.next() => self.on_done(done),
                Some(incoming) = sources.incoming.recv() => self.on_incoming(incoming),
                Some(ask) = sources.asks.recv() => self.on_ask(ask),
                Some(outcome) = sources.outcomes.recv(), if !self.agent.is_congested() => {
                    self.take(outcome);
                }
                Some(ended) = self.work.join_next() => {
                    if let Err(error) = ended
                        && error.is_panic()
                    {
                        tracing::error!(%error, "a task of this node");
                    }
                }
                _ = looks.tick() => self.look_at_slots(),
                () = tokio::time::sleep_until(deadline) => self.on_timeout(),
            }
        }
    }

    /// Tells the leader at once when another number of orders is wanted than before.
    fn look_at_slots(&mut self) {
        if self.parts.workshop.look_at_slots(self.parts.data.farthest()) {
            let now = self.now();
            self.agent.handle(now, AgentInput::Beat);
        }
    }

    /// A founder founds its cluster; the only voter of a group need not wait for an election.
    fn begin(&mut self) {
        let voters: BTreeSet<RaftId> =
            self.members.members.iter().filter_map(|member| member.raft).collect();
        self.feed(Input::Introduce(voters));
        // The record does not say who of them was departing; the state does.
        self.on_members_changed();
        if let Some(coordinator) = &mut self.parts.coordinator {
            coordinator.campaign();
        }
    }

    fn now(&self) -> Timestamp {
        let elapsed = clock::now() - self.parts.started;
        Timestamp(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
    }

    fn deadline(&self) -> Instant {
        let coordinator = self.parts.coordinator.as_ref().and_then(Coordinator::poll_timeout);
        let next = coordinator.into_iter().chain(self.agent.poll_timeout()).min();
        let next = next.unwrap_or_else(|| self.now().plus(1000));
        self.parts.started + Duration::from_millis(next.0)
    }

    fn feed(&mut self, input: Input) {
        let now = self.now();
        if let Some(coordinator) = &mut self.parts.coordinator {
            coordinator.handle(now, input);
        }
    }

    fn on_timeout(&mut self) {
        let now = self.now();
        self.agent.handle(now, AgentInput::Timeout);
        self.feed(Input::Timeout);
    }

    /// Carries out effects until neither machine has any.
    fn drain(&mut self) {
        loop {
            let effect = self.parts.coordinator.as_mut().and_then(Coordinator::poll_effect);
            if let Some(effect) = effect {
                self.carry_out(effect);
            } else if let Some(effect) = self.agent.poll_effect() {
                self.carry_out_agent(effect);
            } else if !self.let_go() {
                break;
            }
        }
        self.record();
        self.parts.figures.saw_retries(self.agent.retries());
        self.follow_leader();
        self.found();
        if let Some(coordinator) = self.parts.coordinator.as_ref().filter(|it| it.is_damaged()) {
            let unreadable = "the log has an entry that this build cannot read: run a newer one";
            let text = coordinator.refusal().unwrap_or_else(|| unreadable.to_owned());
            self.fail(text);
        }
    }

    fn fail(&mut self, text: impl Into<String>) {
        self.failure.get_or_insert_with(|| RunError::cannot_run(text));
    }

    /// Proposes the first entry of a new cluster's log, once this node leads.
    fn found(&mut self) {
        let Some(admin) = self.parts.record.founding else { return };
        let Some(coordinator) = &self.parts.coordinator else { return };
        if !coordinator.is_deciding() || coordinator.state().cluster.is_some() {
            return;
        }
        let Parts { record, node, addresses, build, .. } = &self.parts;
        let founding = super::founder(record, *node, addresses, build.formats);
        self.parts.record.founding = None;
        match founding {
            Ok(founder) => {
                let cluster = airlift_protocol::cluster::ClusterId(self.parts.record.cluster);
                let founding = airlift_coordinator::command::Founding { cluster, founder, admin };
                let id = self.next_request();
                let request = Request::Found(Box::new(founding));
                let by = Actor::Node(self.parts.node);
                self.feed(Input::Request { id, request, by, at: clock::wall() });
            }
            Err(error) => self.failure = Some(error),
        }
    }

    fn next_request(&mut self) -> RequestId {
        self.next_request += 1;
        RequestId(self.next_request)
    }

    /// Looks who leads, where this node can see it for itself.
    fn follow_leader(&mut self) {
        let Some(coordinator) = &self.parts.coordinator else { return };
        let Some(consensus) = coordinator.consensus() else { return };
        self.parts.figures.saw_term(consensus.term());
        self.commits.look(consensus, &self.parts.figures);
        let leader = consensus.leader().and_then(|raft| self.node_of(raft));
        if leader.is_some() {
            self.confirm_leader(leader);
        }
    }

    /// Consensus has named the leader, or it has answered as only a leader does.
    fn confirm_leader(&mut self, leader: Option<NodeId>) {
        self.set_leader(leader);
        self.parts.workshop.set_leader(leader);
    }

    /// Another node has named the leader, or it is just the next one to ask.
    fn suppose_leader(&mut self, leader: Option<NodeId>) {
        if self.leader != leader {
            self.set_leader(leader);
            self.parts.workshop.set_leader(None);
        }
    }

    fn set_leader(&mut self, leader: Option<NodeId>) {
        if self.leader == leader {
            return;
        }
        self.leader = leader;
        tracing::info!(?leader, "the leader is");
        if leader.is_some() {
            let now = self.now();
            self.agent.handle(now, AgentInput::LeaderChanged);
        }
    }

    fn is_leader(&self) -> bool {
        self.parts.coordinator.as_ref().is_some_and(Coordinator::is_deciding)
    }

    fn on_event(&mut self, event: &Event) {
        tracing::info!(?event, "job");
        if let Event::JobStarted { job, run } = *event {
            // Whose next run has begun has no report but that of the next run.
            self.enqueue(Write::Forget(job, run.saturating_sub(1)));
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Persist { number, batch: Batch::Consensus(persists) } => {
                if self.is_leader() {
                    self.commits.begin(&persists);
                }
                self.enqueue(Write::Consensus { number, persists });
            }
            Effect::Persist { .. } => self.fail("a voter's log came as that of a single process"),
            Effect::Send { to, message } => {
                if let Some(node) = self.node_of(to) {
                    self.send(node, &ControlMessage::Raft(*message));
                }
            }
            Effect::LoadPage { job, end, page: _, index } => {
                self.load_page(job, end, index, Duration::ZERO);
            }
            Effect::Order { node, order } => self.order(node, order),
            Effect::Superseded { .. } => self.refused = Some(hear::TWIN.to_owned()),
            Effect::Unfit { formats, .. } => {
                let state = self.parts.coordinator.as_ref().map(Coordinator::state);
                self.refused = state.map(|state| formats.refusal(state.format));
            }
            Effect::Answer { id, answer } => {
                if let Some(reply) = self.asked.remove(&id) {
                    // Whoever asked may have stopped waiting.
                    let _ = reply.send(answer);
                }
            }
            Effect::Record { job, run, end, position, fact } => {
                self.records.push(Record { job, run, end, position, fact });
            }
            Effect::MembersChanged => self.on_members_changed(),
            Effect::SaveSnapshot { reference, state, through, pages } => {
                tracing::info!(at = reference.position.index.0, through = through.0, "snapshot");
                self.enqueue(Write::Snapshot { reference, state, through, pages });
            }
            Effect::Forget { job, run } => self.enqueue(Write::Forget(job, run)),
            Effect::FetchSnapshot { from, reference } => self.fetch_snapshot(from, reference),
            Effect::SnapshotTooLarge { bytes } => {
                tracing::error!(bytes, "a node waits to join, but the state is too large to copy");
            }
            Effect::Emit(event) => self.on_event(&event),
        }
    }

    fn order(&mut self, node: NodeId, order: Order) {
        if node == self.parts.node {
            let now = self.now();
            self.agent.handle(now, AgentInput::Order(order));
        } else {
            self.send(node, &ControlMessage::Orders(vec![order]));
        }
    }

    fn send(&self, node: NodeId, message: &ControlMessage) {
        self.parts.control.send(node, Bytes::from(codec::encode(message)));
    }

    fn on_done(&mut self, done: Done) {
        match done {
            Done::Input(input) => self.feed(input),
            Done::Fetched { from, reference, state } => {
                self.tell_fetched(from, true);
                self.enqueue(Write::Fetched { reference, state });
            }
            Done::NotFetched { from, reference } => {
                self.tell_fetched(from, false);
                self.feed(Input::SnapshotFetched { reference, state: None });
            }
            Done::Superseded => {}
            Done::Written(input) => {
                self.is_writing = false;
                if let Some(input) = input {
                    self.feed(input);
                }
                self.write();
            }
            // Whoever leads now, if it is another, asks for itself.
            Done::PageMissing(job, end, index) if self.is_leader() => {
                tracing::warn!(index = index.0, "a manifest page is on no voter that answers");
                self.load_page(job, end, index, PAGE_PAUSE);
            }
            Done::PageMissing(..) => {}
            Done::Heard { asked, said, sent, answer } => self.on_heard(asked, (said, sent), answer),
            Done::Failed(error) => {
                // What the disk has is not known any more: only a restart finds out.
                self.fail(format!("the disk of this node failed: {}", error.detail()));
            }
            Done::Recorded => {
                self.is_recording = false;
                self.write();
            }
        }
    }

    fn load_page(&mut self, job: JobId, end: End, index: LogIndex, after: Duration) {
        let Some(file) = self.parts.file.clone() else { return };
        let others: Vec<NodeId> = self
            .members
            .members
            .iter()
            .filter(|member| member.raft.is_some() && member.id != self.parts.node)
            .map(|member| member.id)
            .collect();
        let control = Arc::clone(&self.parts.control);
        self.done.push(Box::pin(async move {
            tokio::time::sleep(after).await;
            let found = blocking(move || file.find_page(index)).await;
            let page = match found {
                Ok(Some(page)) => Some(page),
                Ok(None) => super::talk::find_page(&control, &others, index).await,
                Err(error) => return Done::Failed(error),
            };
            match page {
                Some(page) => Done::Input(Input::PageLoaded { job, end, page }),
                None => Done::PageMissing(job, end, index),
            }
        }));
    }

    /// Begins to fetch the leader's state; what is under way is let go.
    fn fetch_snapshot(&mut self, from: RaftId, reference: SnapshotRef) {
        let fetch = self.node_of(from).zip(self.parts.file.clone()).map(|(node, file)| Fetch {
            route: Route {
                network: Arc::clone(&self.parts.data),
                node,
                addresses: data_addresses(&self.everybody(), node),
            },
            reference: reference.clone(),
            file,
            records: Arc::clone(&self.parts.records),
            partial: Arc::clone(&self.partial),
        });
        let (fetching, handle) = abortable(async move {
            let fetched = match fetch {
                Some(fetch) => fetch.run().await,
                None => Ok(None),
            };
            match fetched {
                Ok(Some(state)) => Done::Fetched { from, reference, state },
                Ok(None) => Done::NotFetched { from, reference },
                Err(error) => Done::Failed(error),
            }
        });
        if let Some(earlier) = self.fetching.replace(handle) {
            earlier.abort();
        }
        self.done.push(Box::pin(async move { fetching.await.unwrap_or(Done::Superseded) }));
    }

    /// Tells who offered its state what came of it.
    fn tell_fetched(&self, from: RaftId, is_fetched: bool) {
        if let Some(node) = self.node_of(from) {
            self.send(node, &ControlMessage::SnapshotFetched(is_fetched));
        }
    }

    fn carry_out_agent(&mut self, effect: AgentEffect) {
        match effect {
            AgentEffect::Start { assignment, attempt } => self.start(*assignment, attempt),
            AgentEffect::Cancel(id) => {
                if let Some(task) = self.tasks.remove(&id) {
                    task.handle.abort();
                }
            }
            AgentEffect::Recorded(id) => {
                let task = self.tasks.get_mut(&id);
                if let Some(recorded) = task.and_then(|task| task.recorded.take()) {
                    // It may have ended meanwhile.
                    let _ = recorded.send(());
                }
            }
            AgentEffect::Report(report) => {
                if self.is_leader() {
                    self.feed(Input::Report { node: self.parts.node, report });
                } else if let Some(leader) = self.leader {
                    self.send(leader, &ControlMessage::Report(report));
                }
            }
            AgentEffect::Heartbeat { boot, held } => self.beat(boot, held),
        }
    }

    fn start(&mut self, assignment: Assignment, attempt: u32) {
        let id = assignment.id;
        self.ask_for_share(&assignment);
        let workshop = Arc::clone(&self.parts.workshop);
        let data = Arc::clone(&self.parts.data);
        let handle = self.work.spawn(workshop.carry_out(data, assignment, attempt));
        self.tasks.insert(id, Task { attempt, handle, recorded: None });
        self.tasks.retain(|_, task| !task.handle.is_finished());
    }

    /// Hands on what an attempt has handed in.
    fn take(&mut self, handed: HandedIn) {
        let HandedIn { assignment, attempt, result, wire_bytes, recorded } = handed;
        let task = self.tasks.get_mut(&assignment).filter(|task| task.attempt == attempt);
        if let Some(task) = task {
            task.recorded = recorded;
        }
        self.count_failures(&result);
        let now = self.now();
        let outcome = AgentInput::Outcome { assignment, attempt, result, wire_bytes };
        self.agent.handle(now, outcome);
    }

    fn beat(&mut self, boot: Boot, held: Vec<AssignmentId>) {
        // What is said in turn must not miss its turn by a word that is not sent.
        if self.is_beating && !self.is_leader() {
            return;
        }
        let heartbeat = Heartbeat {
            boot,
            addresses: self.parts.addresses.clone(),
            slots: u32::try_from(orders_wanted(self.parts.workshop.slots())).unwrap_or(u32::MAX),
            held,
            written: self.parts.workshop.written(),
            members_version: self.members.version,
            version: self.parts.build.version.to_owned(),
            formats: self.parts.build.formats,
            figures: self.parts.workshop.figures(),
            shares: None,
            gates: self.parts.workshop.gates(),
            spent: self.parts.workshop.spent(),
        };
        let said = Term::now();
        if self.is_leader() {
            // One that was removed leads until another does, and has no leases to prolong.
            if self.is_member(self.parts.node) {
                self.beat_here(heartbeat, said);
            }
            return;
        }
        let leader = self.leader.filter(|leader| *leader != self.parts.node);
        let Some(asked) = leader.or_else(|| self.another_voter(self.asked_last)) else { return };
        self.asked_last = Some(asked);
        self.is_beating = true;
        let sent = clock::now();
        let heartbeat = Heartbeat { shares: self.parts.workshop.shares.held(sent), ..heartbeat };
        let control = Arc::clone(&self.parts.control);
        let message = Bytes::from(codec::encode(&ControlMessage::Heartbeat(heartbeat)));
        self.done.push(Box::pin(async move {
            let answer = control.request(asked, message, ALIVE_TIMEOUT).await;
            let answer =
                answer.ok().and_then(|bytes| codec::decode(&bytes, MESSAGE_BYTES_MAX).ok());
            Done::Heard { asked, said, sent, answer }
        }));
    }

    /// The leader has heard what this node said at `said`.
    fn extend_term(&mut self, said: Duration) {
        self.heard = Some(said);
        if self.parts.workshop.heard(said) {
            let now = self.now();
            self.agent.handle(now, AgentInput::Lapsed);
        }
    }

    /// A voter to ask after `last`, in turn.
    fn another_voter(&self, last: Option<NodeId>) -> Option<NodeId> {
        let own = self.parts.node;
        let mut voters: Vec<NodeId> = self
            .members
            .members
            .iter()
            .filter(|member| member.raft.is_some() && member.id != own)
            .map(|member| member.id)
            .collect();
        voters.sort();
        let next = voters.iter().find(|voter| last.is_none_or(|last| **voter > last));
        next.or_else(|| voters.first()).copied()
    }

    fn on_heard(
        &mut self,
        asked: NodeId,
        (said, sent): (Duration, Instant),
        answer: Option<ControlAnswer>,
    ) {
        self.is_beating = false;
        self.look_for_twin(answer.as_ref());
        match answer {
            Some(ControlAnswer::Alive(Alive { members, over, shares, gates })) => {
                self.extend_term(said);
                self.parts.workshop.keep_to(&gates, sent);
                if let Some(shares) = shares {
                    self.parts.workshop.shares.hear(shares, sent);
                }
                self.confirm_leader(Some(asked));
                self.forget(over);
                if let Some(members) = members {
                    self.learn_members(members);
                }
            }
            Some(ControlAnswer::NotLeader(Some(leader))) if leader != self.parts.node => {
                self.suppose_leader(Some(leader));
            }
            Some(ControlAnswer::Refused(failure)) => self.fail(failure.detail()),
            // A voter sees for itself who leads; a worker asks the next one.
            _ if self.parts.coordinator.is_none() => {
                let next = self.another_voter(Some(asked));
                self.suppose_leader(next);
            }
            _ => {}
        }
    }

    /// When others go on hearing from a leader that is this node, and this process does not lead,
    /// another one has its identity.
    fn look_for_twin(&mut self, answer: Option<&ControlAnswer>) {
        let named = match answer {
            Some(ControlAnswer::NotLeader(leader)) => *leader,
            _ => None,
        };
        // It may lead and not know yet all that was decided before.
        let consensus = self.parts.coordinator.as_ref().and_then(Coordinator::consensus);
        let leads = consensus.is_some_and(|consensus| consensus.role() == Role::Leader);
        let is_sign = named == Some(self.parts.node) && !leads;
        self.twin_signs = if is_sign { self.twin_signs + 1 } else { 0 };
        if self.twin_signs >= TWIN_SIGNS {
            self.fail(hear::TWIN);
        }
    }

    fn on_ask(&mut self, ask: Ask) {
        match ask {
            Ask::Request(request, by, reply) => self.ask(request, by, reply),
            Ask::Look(look) => look(Sight {
                node: self.parts.node,
                leader: self.leader,
                members: &self.members,
                coordinator: self.parts.coordinator.as_ref(),
                now: self.now(),
                heard: self.heard.map(|said| Term::now().saturating_sub(said)),
            }),
            Ask::Transfer(to, reply) => {
                let outcome = self.transfer(to);
                let _ = reply.send(outcome);
            }
        }
    }

    fn ask(&mut self, request: Request, by: Actor, reply: oneshot::Sender<Answer>) {
        if self.parts.coordinator.is_none() {
            let _ = reply.send(Answer::NotLeader);
            return;
        }
        let id = self.next_request();
        self.asked.retain(|_, reply| !reply.is_closed());
        self.asked.insert(id, reply);
        self.feed(Input::Request { id, request, by, at: clock::wall() });
    }

    fn transfer(&mut self, to: Option<NodeId>) -> Result<(), String> {
        let raft = to.map(|node| {
            let member = self.members.members.iter().find(|member| member.id == node);
            member.and_then(|member| member.raft).ok_or("only a voter can lead")
        });
        let raft = raft.transpose()?;
        let Some(coordinator) = &mut self.parts.coordinator else {
            return Err("this node is no voter".to_owned());
        };
        match raft {
            Some(raft) => coordinator.transfer_to(raft),
            None => coordinator.hand_over(&BTreeSet::new()).map(drop),
        }
        .map_err(|error| error.to_string())
    }
}

/// Bytes of an answer that carries a state.
pub(super) const ANSWER_BYTES_MAX: usize = LOG_ENTRY_BYTES_MAX + (64 << 10);
