//! A cluster for tests of the scheduler: nodes that reach buckets, jobs of whole pages, time by hand.

use std::collections::BTreeMap;

use airlift_protocol::assignment::End;
use airlift_protocol::attributes::AttributeSet;
use airlift_protocol::cluster::{Addresses, Boot, ClusterId, Member, NodeName, Role, TokenId};
use airlift_protocol::control::Heartbeat;
use airlift_protocol::error::Failure;
use airlift_protocol::id::{AssignmentId, JobId, KeyRangeId, LogIndex, NodeId, PageId};
use airlift_protocol::job::{Filters, JobSpec, Mode, Policy};
use airlift_protocol::key::Key;
use airlift_protocol::location::Location;
use airlift_protocol::manifest::{Entry, Kind, Page, Version};
use airlift_protocol::raft::RaftId;
use airlift_protocol::report::{Comparison, Completion, ObjectResult, Report, Unreadable};
use airlift_protocol::time::Timestamp;
use airlift_protocol::version::Formats;

use super::check;
use super::inventory::Inventory;
use super::pages::{PageKey, Pages};
use super::plan::{Plan, plan};
use crate::command::{Command, Founding, Grant, Joining, Turn};
use crate::state::{Fact, JoinToken, Lease, State, Task};

/// Bytes of each object: a pack has four.
pub(super) const OBJECT_BYTES: u64 = 8 << 20;

const WALL: Timestamp = Timestamp(1_700_000_000_000);

/// Slots of each node.
pub(super) const SLOTS: u32 = 2;

pub(super) struct Site {
    pub(super) state: State,
    pub(super) inventory: Inventory,
    pub(super) pages: Pages,
    pub(super) now: Timestamp,
    index: u64,
    written: BTreeMap<(NodeId, JobId), u64>,
}

pub(super) fn node(number: u8) -> NodeId {
    NodeId([number; 32])
}

pub(super) fn bucket(name: &str) -> Location {
    let (scheme, bucket) = ("s3".to_owned(), name.to_owned());
    Location::Bucket { scheme, bucket, prefix: Key::default() }
}

pub(super) fn on(number: u8) -> Location {
    Location::Node { node: format!("n{number}"), path: b"/data".to_vec() }
}

impl Site {
    /// A cluster of nodes `1..=count`, all heard.
    pub(super) fn new(count: u8) -> Self {
        let mut site = Self {
            state: State::default(),
            inventory: Inventory::default(),
            pages: Pages::default(),
            now: Timestamp(1_000),
            index: 0,
            written: BTreeMap::new(),
        };
        let name = |number: u8| NodeName::parse(&format!("n{number}")).unwrap();
        let founder = Member {
            id: node(1),
            name: name(1),
            role: Role::Voter,
            raft: Some(RaftId(1)),
            addresses: Addresses::default(),
            joined_at: WALL,
            formats: Formats::BUILD,
        };
        let founding = Founding { cluster: ClusterId([1; 16]), founder, admin: [0; 32] };
        site.apply(Command::Found(Box::new(founding)));
        for number in 2..=count {
            let (id, role) = (TokenId([number; 8]), Role::Worker);
            let (secret_hash, expires_at) = ([0; 32], WALL.plus(1));
            let token = JoinToken { secret_hash, role, expires_at, used_by: None };
            site.apply(Command::IssueToken { id, token });
            let (name, addresses) = (name(number), Addresses::default());
            let joining = Joining {
                token: id,
                node: node(number),
                name,
                addresses,
                at: WALL,
                formats: Formats::BUILD,
            };
            site.apply(Command::Join(Box::new(joining)));
        }
        for number in 1..=count {
            let (boot, addresses) = (Boot(1), Addresses::default());
            site.apply(Command::NodeStarted {
                node: node(number),
                boot,
                addresses,
                formats: Formats::BUILD,
            });
            site.beat(number);
        }
        site
    }

    pub(super) fn apply(&mut self, command: Command) -> Vec<Fact> {
        self.index += 1;
        self.state.apply(LogIndex(self.index), command)
    }

    /// A job between two ends with so many objects, all of which are to be moved.
    pub(super) fn job(&mut self, ends: [Location; 2], policy: Policy, objects: usize) -> JobId {
        self.job_of(ends, policy, &vec![OBJECT_BYTES; objects])
    }

    /// A job between two ends with objects of these sizes, all of which are to be moved.
    pub(super) fn job_of(&mut self, ends: [Location; 2], policy: Policy, sizes: &[u64]) -> JobId {
        let [source, target] = ends;
        let (mode, filters) = (Mode::Copy, Filters::default());
        let spec = JobSpec { mode, source, target, single: None, filters, policy };
        let job = spec.id();
        self.apply(Command::Submit { spec: Box::new(spec), at: WALL });
        let entries = sizes.iter().enumerate().map(|(number, size)| Entry {
            key: Key::new(format!("{number:05}").into_bytes()),
            kind: Kind::Object,
            size: *size,
            mtime_ns: Some(1),
            version: Version::None,
            is_archived: false,
        });
        let (run, end, entries) = (1, End::Source, entries.collect());
        let page = Page { id: PageId(0), entries };
        self.pages.insert(PageKey { job, end, page: page.id }, page.clone());
        let turn = Turn { range: KeyRangeId(0), number: page.id, at: WALL };
        self.apply(Command::Page { job, run, end, page, turn, unreadable: Unreadable::default() });
        let plan = self.plan();
        let is_first = |grant: &Grant| matches!(grant.task, Task::Compare(_) | Task::List(..));
        let grants: Vec<Grant> = plan.grants.into_iter().filter(is_first).collect();
        for id in self.grant(grants) {
            if matches!(self.lease(job, id).task, Task::Compare(_)) {
                self.report(job, id, Completion::Compared(vec![Comparison::Move; sizes.len()]));
            }
        }
        job
    }

    pub(super) fn plan(&mut self) -> Plan {
        self.inventory.observed.look(self.now, &self.state);
        let plan = plan(&self.state, &self.inventory, &self.pages, WALL);
        assert_eq!(check::check(&self.state, &self.inventory, &plan), [""; 0]);
        plan
    }

    /// Gives out what the plan says, and returns the leases.
    pub(super) fn follow(&mut self) -> Vec<AssignmentId> {
        let plan = self.plan();
        self.grant(plan.grants)
    }

    pub(super) fn grant(&mut self, grants: Vec<Grant>) -> Vec<AssignmentId> {
        let facts = self.apply(Command::Grant { grants });
        self.inventory.observed.look(self.now, &self.state);
        let granted = facts.into_iter().filter_map(|fact| match fact {
            Fact::Granted(_, id) => Some(id),
            _ => None,
        });
        granted.collect()
    }

    pub(super) fn lease(&self, job: JobId, id: AssignmentId) -> &Lease {
        self.state.jobs[&job].leases.get(id).unwrap()
    }

    /// Leases of a job that move bytes, by node.
    pub(super) fn moving(&self, job: JobId) -> Vec<(NodeId, AssignmentId)> {
        let leases = self.state.jobs[&job].leases.iter();
        let moving = leases.filter(|(_, lease)| matches!(lease.task, Task::Pack(..)));
        moving.map(|(id, lease)| (lease.node, id)).collect()
    }

    pub(super) fn report(&mut self, job: JobId, id: AssignmentId, completion: Completion) {
        self.answer(job, id, Ok(completion));
    }

    /// The answer to an order.
    pub(super) fn answer(
        &mut self,
        job: JobId,
        id: AssignmentId,
        result: Result<Completion, Failure>,
    ) {
        let lease = self.lease(job, id).clone();
        let report = Report { assignment: id, job, epoch: lease.epoch, result, wire_bytes: 0 };
        self.inventory.observed.pass(self.now);
        self.inventory.observed.answer(&report, &lease);
        self.apply(Command::Reports { reports: vec![report], at: self.now });
    }

    /// The pack of a lease is at the target.
    pub(super) fn finish(&mut self, job: JobId, id: AssignmentId) {
        let lease = self.lease(job, id).clone();
        let Task::Pack(_, indices) = &lease.task else { panic!("no pack: {lease:?}") };
        let root = airlift_protocol::chunk::Root([1; 32]);
        let done = ObjectResult::Done { root, bytes: OBJECT_BYTES, dropped: AttributeSet::NONE };
        let results = vec![done; indices.len()];
        self.report(job, id, Completion::PackMoved(results));
    }

    /// A node has written so many bytes more.
    pub(super) fn write(&mut self, number: u8, job: JobId, bytes: u64) {
        *self.written.entry((node(number), job)).or_default() += bytes;
    }

    /// A sign of life of a node.
    pub(super) fn beat(&mut self, number: u8) {
        let of = |(id, _): &(&(NodeId, JobId), &u64)| id.0 == node(number);
        let written = self.written.iter().filter(of).map(|((_, job), bytes)| (*job, *bytes));
        let beat = Heartbeat {
            boot: Boot(1),
            addresses: Addresses::default(),
            slots: SLOTS,
            held: Vec::new(),
            written: written.collect(),
            members_version: 0,
            version: String::new(),
            figures: Vec::new(),
            shares: None,
            gates: Vec::new(),
            formats: Formats::BUILD,
            spent: Vec::new(),
        };
        self.inventory.hear(node(number), &beat, self.now);
        self.inventory.observed.hear(self.now, node(number), &beat, &self.state);
    }
}
