//! A member with a valid identity says to the leader what it likes: the leader goes on.

use std::collections::BTreeMap;

use airlift_coordinator::command::{Command, Founding};
use airlift_coordinator::consensus::{Compaction, Config, Consensus, Durable};
use airlift_coordinator::log::Batch;
use airlift_coordinator::origin::Actor;
use airlift_coordinator::state::{JoinToken, State};
use airlift_coordinator::{Coordinator, Effect, Input, Request, RequestId};
use airlift_protocol::assignment::Assignment;
use airlift_protocol::cluster::{
    Addresses, Boot, ClusterId, Member, NodeName, Role, Secret, TokenId,
};
use airlift_protocol::codec;
use airlift_protocol::control::{ControlMessage, Heartbeat, JoinRequest, Order};
use airlift_protocol::error::Failure;
use airlift_protocol::id::{LogIndex, NodeId};
use airlift_protocol::job::{Filters, JobSpec, Mode, Policy};
use airlift_protocol::limits::LOG_ENTRY_BYTES_MAX;
use airlift_protocol::location::Location;
use airlift_protocol::manifest::Page;
use airlift_protocol::raft::{LogPayload, RaftId, snapshot_digest};
use airlift_protocol::report::{Completion, Report};
use airlift_protocol::time::Timestamp;
use airlift_protocol::version::Formats;

const LEADER: NodeId = NodeId([1; 32]);
const WORKER: NodeId = NodeId([2; 32]);
const CLUSTER: ClusterId = ClusterId([3; 16]);
const WALL: u64 = 1_700_000_000_000;

/// Orders that the worker keeps in mind.
const ORDERS_KEPT: usize = 64;

/// Each step is a byte that says what is done, a byte of choice, a length of two bytes and bytes.
pub(crate) fn member(data: &[u8]) {
    let mut world = World::new();
    let mut rest = data;
    while let Some(([step, choice, low, high], after)) = rest.split_first_chunk::<4>() {
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(after.len());
        let (bytes, after) = after.split_at(length);
        rest = after;
        world.step(*step, *choice, bytes);
    }
    let snapshot = world.leader.snapshot_bytes();
    let back = codec::decode::<State>(&snapshot, snapshot.len());
    assert!(back.is_ok_and(|back| back == *world.leader.state()), "no snapshot of the state");
    assert!(!world.leader.is_damaged(), "an entry of the log cannot be read back");
}

/// A leader who is the only voter, and a worker that has both ends of a job.
pub(crate) struct World {
    pub(crate) leader: Coordinator,
    now: u64,
    requests: u64,
    pub(crate) orders: Vec<Assignment>,
    /// Orders that were taken back.
    pub(crate) revoked: usize,
    pages: BTreeMap<LogIndex, Page>,
}

impl World {
    pub(crate) fn new() -> Self {
        let state = codec::encode(&State::default());
        let durable = Durable::found(RaftId(1), snapshot_digest(&state), state.len() as u64);
        let config = Config { id: RaftId(1), seed: 7, compaction: Compaction::default() };
        let consensus = Consensus::restore(config, durable).unwrap();
        let leader = Coordinator::voter(Timestamp(0), State::default(), consensus);
        let (orders, pages) = (Vec::new(), BTreeMap::new());
        let mut world = Self { leader, now: 0, requests: 0, orders, revoked: 0, pages };
        world.leader.campaign();
        world.pass(100);
        world.ask(Request::Found(Box::new(founding())));
        let token = JoinToken {
            secret_hash: Secret([5; 32]).hash(),
            role: Role::Worker,
            expires_at: Timestamp(u64::MAX),
            used_by: None,
        };
        world.ask(Request::IssueToken(TokenId([6; 8]), token));
        world.ask(Request::Join(WORKER, Box::new(joining())));
        world.beat(heartbeat(1));
        world.beat(heartbeat(1));
        world.ask(Request::Submit(Box::new(spec())));
        assert_eq!(world.orders.len(), 1, "the worker is to list the source");
        world
    }

    fn step(&mut self, step: u8, choice: u8, bytes: &[u8]) {
        match step % 8 {
            0 => self.report(choice, bytes),
            1 => {
                if let Ok(beat) = codec::decode(bytes, LOG_ENTRY_BYTES_MAX) {
                    self.beat(beat);
                }
            }
            2 => {
                if let Ok(message) = codec::decode(bytes, LOG_ENTRY_BYTES_MAX) {
                    self.say(message);
                }
            }
            3 => self.pass(u64::from(choice) * 100),
            4 => self.beat(heartbeat(u64::from(choice % 3))),
            5 => self.ask(match choice % 4 {
                0 => Request::Pause(spec().id()),
                1 => Request::Resume(spec().id()),
                2 => Request::Cancel(spec().id()),
                _ => Request::Submit(Box::new(spec())),
            }),
            6 => {
                if let Ok(join) = codec::decode(bytes, LOG_ENTRY_BYTES_MAX) {
                    let join = JoinRequest { cluster: CLUSTER, at: Timestamp(WALL), ..join };
                    self.ask(Request::Join(NodeId([choice; 32]), Box::new(join)));
                }
            }
            _ => {
                self.beat(Heartbeat { slots: u32::from(choice), ..heartbeat(1) });
            }
        }
    }

    /// Answers an order that was given, with anything.
    fn report(&mut self, choice: u8, bytes: &[u8]) {
        type Outcome = Result<Completion, Failure>;
        let Ok(result) = codec::decode::<Outcome>(bytes, LOG_ENTRY_BYTES_MAX) else { return };
        let place = usize::from(choice).min(self.orders.len().saturating_sub(1));
        let Some(order) = self.orders.iter().rev().nth(place) else { return };
        let order = order.clone();
        self.answer(&order, result);
    }

    pub(crate) fn answer(&mut self, order: &Assignment, result: Result<Completion, Failure>) {
        let Assignment { id, job, epoch, .. } = *order;
        let report = Box::new(Report { assignment: id, job, epoch, result, wire_bytes: 0 });
        self.feed(Input::Report { node: WORKER, report });
    }

    /// As the node's driver hands on what a member says.
    fn say(&mut self, message: ControlMessage) {
        match message {
            ControlMessage::Heartbeat(beat) => self.beat(beat),
            ControlMessage::Report(report) => self.feed(Input::Report { node: WORKER, report }),
            ControlMessage::Raft(message) => {
                self.feed(Input::Message { from: RaftId(2), message: Box::new(message) });
            }
            _ => {}
        }
    }

    pub(crate) fn beat(&mut self, heartbeat: Heartbeat) {
        let at = Timestamp(WALL + self.now);
        self.feed(Input::Heartbeat { node: WORKER, heartbeat, at });
    }

    fn ask(&mut self, request: Request) {
        self.requests += 1;
        let (id, at) = (RequestId(self.requests), Timestamp(WALL + self.now));
        self.feed(Input::Request { id, request, by: Actor::Root, at });
    }

    pub(crate) fn pass(&mut self, ms: u64) {
        self.now += ms;
        self.feed(Input::Timeout);
    }

    fn feed(&mut self, input: Input) {
        let now = Timestamp(self.now);
        self.leader.handle(now, input);
        while let Some(effect) = self.leader.poll_effect() {
            match effect {
                Effect::Persist { number, batch } => {
                    self.keep_pages(&batch);
                    self.leader.handle(now, Input::Persisted { number });
                }
                Effect::LoadPage { job, end, page: _, index } => {
                    let page = self.pages[&index].clone();
                    self.leader.handle(now, Input::PageLoaded { job, end, page });
                }
                Effect::Order { node, order: Order::Assign(assignment) } if node == WORKER => {
                    if self.orders.len() == ORDERS_KEPT {
                        self.orders.remove(0);
                    }
                    self.orders.push(*assignment);
                }
                Effect::Order { order: Order::Revoke(_), .. } => self.revoked += 1,
                _ => {}
            }
        }
    }

    fn keep_pages(&mut self, batch: &Batch) {
        let Batch::Consensus(persists) = batch else { return };
        for entry in persists.iter().flat_map(|persist| &persist.entries) {
            if let LogPayload::Command(bytes) = &entry.payload
                && let Ok(Command::Page { page, .. }) = codec::decode(bytes, LOG_ENTRY_BYTES_MAX)
            {
                self.pages.insert(entry.index, page);
            }
        }
    }
}

fn founding() -> Founding {
    let founder = Member {
        id: LEADER,
        name: NodeName::parse("node0").unwrap(),
        role: Role::Voter,
        raft: Some(RaftId(1)),
        addresses: Addresses::default(),
        joined_at: Timestamp(0),
        formats: Formats::BUILD,
    };
    Founding { cluster: CLUSTER, founder, admin: [4; 32] }
}

fn joining() -> JoinRequest {
    JoinRequest {
        cluster: CLUSTER,
        token: TokenId([6; 8]),
        secret: Secret([5; 32]),
        name: NodeName::parse("node1").unwrap(),
        addresses: Addresses::default(),
        at: Timestamp(WALL),
        version: String::new(),
        formats: Formats::BUILD,
    }
}

pub(crate) fn heartbeat(boot: u64) -> Heartbeat {
    Heartbeat {
        boot: Boot(boot),
        addresses: Addresses::default(),
        slots: 4,
        held: Vec::new(),
        written: Vec::new(),
        members_version: 0,
        figures: Vec::new(),
        shares: None,
        gates: Vec::new(),
        version: String::new(),
        formats: Formats::BUILD,
        spent: Vec::new(),
    }
}

pub(crate) fn spec() -> JobSpec {
    let at = |path: &[u8]| Location::Node { node: "node1".to_owned(), path: path.to_vec() };
    JobSpec {
        mode: Mode::Sync,
        source: at(b"/a"),
        target: at(b"/b"),
        single: None,
        filters: Filters::default(),
        policy: Policy::default(),
    }
}
