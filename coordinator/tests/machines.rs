//! The two machines, driven by hand: what goes in, and exactly what comes out.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use airlift_coordinator::coordinator::Replay;
use airlift_coordinator::event::{Event, Outcome};
use airlift_coordinator::{Agent, AgentEffect, AgentInput, Coordinator, Effect, Input};
use airlift_protocol::assignment::{Assignment, Object, Work};
use airlift_protocol::chunk::Root;
use airlift_protocol::codec;
use airlift_protocol::error::{ErrorCode, Failure};
use airlift_protocol::id::{AssignmentId, Epoch, JobId, LogIndex, NodeId, PageId, Position};
use airlift_protocol::job::{Filters, JobSpec, Mode, Policy};
use airlift_protocol::key::Key;
use airlift_protocol::limits::{HEARTBEAT_MS, LEASE_MS, LOG_ENTRY_BYTES_MAX};
use airlift_protocol::location::Location;
use airlift_protocol::manifest::{Entry, Kind, Version};
use airlift_protocol::report::{Comparison, Completion, ListingEnd, ObjectResult, Report};
use airlift_protocol::time::Timestamp;

const NODE: NodeId = NodeId([1; 32]);

fn spec() -> JobSpec {
    JobSpec {
        mode: Mode::Copy,
        source: Location::Path(b"/a".to_vec()),
        target: Location::Path(b"/b".to_vec()),
        single: None,
        filters: Filters::default(),
        policy: Policy::default(),
    }
}

fn entry(key: &str, size: u64) -> Entry {
    Entry {
        key: Key::from(key),
        kind: Kind::Object,
        size,
        mtime_ns: Some(1),
        version: Version::None,
    }
}

/// A coordinator whose disk answers at once.
struct Desk {
    coordinator: Coordinator,
    disk: Vec<Vec<u8>>,
    assigned: Vec<Assignment>,
    revoked: Vec<AssignmentId>,
    events: Vec<Event>,
}

impl Desk {
    fn new(disk: Vec<Vec<u8>>) -> Self {
        let mut replay = Replay::default();
        for (index, entry) in (1..).zip(&disk) {
            replay.apply(LogIndex(index), codec::decode(entry, LOG_ENTRY_BYTES_MAX).unwrap());
        }
        let coordinator = replay.finish();
        Self { coordinator, disk, assigned: Vec::new(), revoked: Vec::new(), events: Vec::new() }
    }

    fn begin(disk: Vec<Vec<u8>>) -> Self {
        let mut desk = Self::new(disk);
        desk.feed(0, Input::Submit { spec: Box::new(spec()), at: Timestamp(5) });
        desk.feed(0, Input::NodeStarted { node: NODE, slots: 2, at: Timestamp(5) });
        desk
    }

    fn feed(&mut self, now: u64, input: Input) {
        self.coordinator.handle(Timestamp(now), input);
        while let Some(effect) = self.coordinator.poll_effect() {
            match effect {
                Effect::Persist { first, entries } => {
                    assert_eq!(first.0 as usize, self.disk.len() + 1);
                    self.disk.extend(entries);
                    let through = LogIndex(self.disk.len() as u64);
                    self.coordinator.handle(Timestamp(now), Input::Persisted { through });
                }
                Effect::Assign { assignment, .. } => self.assigned.push(*assignment),
                Effect::Revoke { assignment, .. } => self.revoked.push(assignment),
                Effect::Emit(event) => self.events.push(event),
                Effect::LoadPage { .. } => panic!("every page is in memory here"),
            }
        }
    }

    /// The last order given.
    fn last(&self) -> &Assignment {
        self.assigned.last().unwrap()
    }

    fn answer(&mut self, now: u64, to: &Assignment, completion: Completion) {
        let Assignment { id, job, epoch, .. } = *to;
        let report = Report { assignment: id, job, epoch, result: Ok(completion) };
        self.feed(now, Input::Report(Box::new(report)));
    }

    /// Lists and compares two small objects; the order to move them.
    fn up_to_pack(&mut self) -> Assignment {
        let list = self.last().clone();
        assert!(matches!(list.work, Work::List { after: None, .. }));
        let entries = vec![entry("a", 1), entry("b", 2)];
        self.answer(1, &list, Completion::Page { entries });
        let compare = self.last().clone();
        assert!(matches!(&compare.work, Work::Compare { page } if page.entries.len() == 2));
        let end = ListingEnd { unreadable: Vec::new(), unreadable_count: 0 };
        self.answer(2, &list, Completion::Listed(end));
        self.answer(3, &compare, Completion::Compared(vec![Comparison::Move, Comparison::Move]));
        let pack = self.last().clone();
        assert!(matches!(&pack.work, Work::MovePack { objects } if objects.len() == 2));
        pack
    }
}

fn done(bytes: u64) -> ObjectResult {
    ObjectResult::Done { root: Root([9; 32]), bytes }
}

#[test]
fn a_small_job_runs_from_listing_to_cleaning() {
    let mut desk = Desk::begin(Vec::new());
    let pack = desk.up_to_pack();
    desk.answer(4, &pack, Completion::PackMoved(vec![done(1), done(2)]));
    let clean = desk.last().clone();
    assert_eq!(clean.work, Work::Clean);
    desk.answer(5, &clean, Completion::Cleaned);
    let Some(Event::JobEnded { outcome, totals, .. }) = desk.events.last() else {
        panic!("the job has not ended: {:?}", desk.events);
    };
    assert_eq!(*outcome, Outcome::Completed { incomplete: false });
    assert_eq!((totals.objects.done, totals.bytes.done), (2, 3));
}

#[test]
fn a_silent_node_loses_its_lease_and_its_late_answer_does_nothing() {
    let mut desk = Desk::begin(Vec::new());
    let pack = desk.up_to_pack();
    assert_eq!(desk.coordinator.poll_timeout(), Some(Timestamp(LEASE_MS)));
    desk.feed(LEASE_MS, Input::Timeout);
    assert!(desk.revoked.contains(&pack.id));
    desk.feed(LEASE_MS + 1, Input::NodeStarted { node: NODE, slots: 2, at: Timestamp(99) });
    let again = desk.last().clone();
    assert!(again.id != pack.id && again.epoch > pack.epoch);
    desk.answer(LEASE_MS + 2, &pack, Completion::PackMoved(vec![done(1), done(2)]));
    let totals = desk.coordinator.state().jobs[&pack.job].totals;
    assert_eq!(totals.objects.done, 0, "a stale lease completes nothing");
    let forged = Assignment { epoch: Epoch(again.epoch.0 - 1), ..again.clone() };
    desk.answer(LEASE_MS + 3, &forged, Completion::PackMoved(vec![done(1), done(2)]));
    assert_eq!(desk.coordinator.state().jobs[&pack.job].totals.objects.done, 0);
    desk.answer(LEASE_MS + 4, &again, Completion::PackMoved(vec![done(1), done(2)]));
    assert_eq!(desk.coordinator.state().jobs[&pack.job].totals.objects.done, 2);
}

#[test]
fn a_log_read_back_gives_the_state_that_wrote_it() {
    let mut desk = Desk::begin(Vec::new());
    let pack = desk.up_to_pack();
    desk.answer(4, &pack, Completion::PackMoved(vec![done(1), done(2)]));
    let again = Desk::new(desk.disk.clone());
    assert_eq!(again.coordinator.state(), desk.coordinator.state());
}

#[test]
fn an_object_that_changed_is_moved_once_more_and_then_fails() {
    let mut desk = Desk::begin(Vec::new());
    let pack = desk.up_to_pack();
    let changed = |size| {
        ObjectResult::Changed(airlift_protocol::report::ChangedObject {
            bytes_before: 1,
            entry: entry("a", size),
        })
    };
    desk.answer(4, &pack, Completion::PackMoved(vec![changed(7), done(2)]));
    let again = desk.last().clone();
    let Work::MovePack { objects } = &again.work else { panic!("{again:?}") };
    assert_eq!(objects[0].entry, entry("a", 7), "as it is now");
    desk.answer(5, &again, Completion::PackMoved(vec![changed(8)]));
    let totals = desk.coordinator.state().jobs[&pack.job].totals;
    assert_eq!((totals.objects.done, totals.objects.failed), (1, 1));
    assert_eq!(totals.bytes.total, 9);
}

fn pack_of(keys: &[&str]) -> Assignment {
    let objects = keys.iter().zip(0..).map(|(key, index)| Object {
        position: Position { page: PageId(0), index },
        entry: entry(key, 1),
    });
    let work = Work::MovePack { objects: objects.collect() };
    Assignment { id: AssignmentId(3), job: JobId([0; 16]), epoch: Epoch(9), work }
}

fn effects(agent: &mut Agent) -> Vec<AgentEffect> {
    std::iter::from_fn(|| agent.poll_effect()).collect()
}

#[test]
fn the_agent_tries_again_only_what_may_end_differently() {
    let mut agent = Agent::new(Timestamp(0), 1);
    agent.handle(Timestamp(0), AgentInput::Assign(Box::new(pack_of(&["a", "b", "c"]))));
    assert!(matches!(effects(&mut agent)[..], [AgentEffect::Start { attempt: 1, .. }]));
    let failed = |code| ObjectResult::Failed(Failure::new(code, ""));
    let first = vec![done(1), failed(ErrorCode::Unavailable), failed(ErrorCode::NotFound)];
    let outcome = |attempt, results| AgentInput::Outcome {
        assignment: AssignmentId(3),
        attempt,
        result: Ok(Completion::PackMoved(results)),
    };
    agent.handle(Timestamp(0), outcome(1, first));
    assert_eq!(effects(&mut agent), [], "it waits before it tries again");
    let due = agent.poll_timeout().unwrap();
    assert!(due < Timestamp(HEARTBEAT_MS));
    agent.handle(due, AgentInput::Timeout);
    let started = effects(&mut agent);
    let [AgentEffect::Start { attempt: 2, work: Work::MovePack { objects }, .. }] = &started[..]
    else {
        panic!("{started:?}");
    };
    assert_eq!(objects.len(), 1);
    assert_eq!(objects[0].entry.key, Key::from("b"));
    agent.handle(due, outcome(1, vec![done(9)]));
    assert_eq!(effects(&mut agent), [], "the outcome of an old attempt is nobody's");
    agent.handle(due, outcome(2, vec![done(2)]));
    let reported = effects(&mut agent);
    let [AgentEffect::Report(report)] = &reported[..] else { panic!("{reported:?}") };
    let expected = vec![done(1), done(2), failed(ErrorCode::NotFound)];
    assert_eq!(report.result, Ok(Completion::PackMoved(expected)));
    assert_eq!(report.epoch, Epoch(9));
}

#[test]
fn a_listing_that_breaks_off_goes_on_after_its_last_page() {
    let mut agent = Agent::new(Timestamp(0), 1);
    let work =
        Work::List { end: airlift_protocol::assignment::End::Source, after: None, next: PageId(0) };
    let assignment = Assignment { work, ..pack_of(&[]) };
    agent.handle(Timestamp(0), AgentInput::Assign(Box::new(assignment)));
    effects(&mut agent);
    let outcome = |result| AgentInput::Outcome { assignment: AssignmentId(3), attempt: 1, result };
    let page = Completion::Page { entries: vec![entry("a", 1), entry("b", 1)] };
    agent.handle(Timestamp(0), outcome(Ok(page)));
    assert!(matches!(effects(&mut agent)[..], [AgentEffect::Report(_)]));
    agent.handle(Timestamp(0), outcome(Err(Failure::new(ErrorCode::TimedOut, ""))));
    let due = agent.poll_timeout().unwrap();
    agent.handle(due, AgentInput::Timeout);
    let started = effects(&mut agent);
    let [AgentEffect::Start { work: Work::List { after, next, .. }, .. }] = &started[..] else {
        panic!("{started:?}");
    };
    assert_eq!((after, *next), (&Some(Key::from("b")), PageId(1)));
}
