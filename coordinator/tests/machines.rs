//! The two machines, driven by hand: what goes in, and exactly what comes out.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use airlift_coordinator::coordinator::Replay;
use airlift_coordinator::event::{Event, Outcome};
use airlift_coordinator::log::Batch;
use airlift_coordinator::origin::Actor;
use airlift_coordinator::state::Phase;
use airlift_coordinator::{
    Agent, AgentEffect, AgentInput, Answer, Coordinator, Effect, Input, Request, RequestId,
};
use airlift_protocol::assignment::{Assignment, End, Object, UploadToken, Work};
use airlift_protocol::attributes::AttributeSet;
use airlift_protocol::chunk::Root;
use airlift_protocol::cluster::{Addresses, Boot};
use airlift_protocol::codec;
use airlift_protocol::control::{Heartbeat, Order};
use airlift_protocol::error::{ErrorCode, Failure};
use airlift_protocol::id::{AssignmentId, Epoch, JobId, LogIndex, NodeId, PageId, Position};
use airlift_protocol::job::{Filters, JobSpec, Mode, Policy};
use airlift_protocol::key::Key;
use airlift_protocol::limits::{HEARTBEAT_MS, LEASE_MS, LOG_ENTRY_BYTES_MAX};
use airlift_protocol::location::Location;
use airlift_protocol::manifest::{Entry, Kind, Version};
use airlift_protocol::report::{
    Comparison, Completion, ListingEnd, ObjectResult, Report, Unreadable,
};
use airlift_protocol::time::Timestamp;
use airlift_protocol::version::Formats;

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

fn listed(page: u32, entries: Vec<Entry>) -> Completion {
    Completion::Page { page: PageId(page), entries, unreadable: Unreadable::default() }
}

fn entry(key: &str, size: u64) -> Entry {
    Entry {
        key: Key::from(key),
        kind: Kind::Object,
        size,
        mtime_ns: Some(1),
        version: Version::None,
        is_archived: false,
    }
}

/// A sign of life of a process that holds `held`.
fn beat(boot: u64, at: u64, held: &[AssignmentId]) -> Input {
    let heartbeat = Heartbeat {
        boot: Boot(boot),
        addresses: Addresses::default(),
        slots: 2,
        held: held.to_vec(),
        written: Vec::new(),
        members_version: 0,
        version: String::new(),
        figures: Vec::new(),
        shares: None,
        gates: Vec::new(),
        formats: Formats::BUILD,
        spent: Vec::new(),
    };
    Input::Heartbeat { node: NODE, heartbeat, at: Timestamp(at) }
}

/// A coordinator whose disk answers at once.
struct Desk {
    coordinator: Coordinator,
    disk: Vec<Vec<u8>>,
    assigned: Vec<Assignment>,
    revoked: Vec<AssignmentId>,
    settled: Vec<Order>,
    answers: Vec<(RequestId, Answer)>,
    events: Vec<Event>,
}

impl Desk {
    fn new(disk: Vec<Vec<u8>>) -> Self {
        let mut replay = Replay::default();
        for (index, entry) in (1..).zip(&disk) {
            let entry: airlift_coordinator::command::Entry =
                codec::decode(entry, LOG_ENTRY_BYTES_MAX).unwrap();
            replay.apply(LogIndex(index), entry);
        }
        let coordinator = replay.finish();
        Self {
            coordinator,
            disk,
            assigned: Vec::new(),
            revoked: Vec::new(),
            settled: Vec::new(),
            answers: Vec::new(),
            events: Vec::new(),
        }
    }

    fn begin(disk: Vec<Vec<u8>>) -> Self {
        let mut desk = Self::new(disk);
        let request = Request::Submit(Box::new(spec()));
        desk.feed(
            0,
            Input::Request { id: RequestId(1), request, by: Actor::Root, at: Timestamp(5) },
        );
        assert_eq!(desk.answers, [(RequestId(1), Answer::Done)]);
        desk.feed(0, beat(1, 5, &[]));
        desk
    }

    fn feed(&mut self, now: u64, input: Input) {
        self.coordinator.handle(Timestamp(now), input);
        while let Some(effect) = self.coordinator.poll_effect() {
            match effect {
                Effect::Persist { number, batch: Batch::Entries { first, entries } } => {
                    assert_eq!(first.0 as usize, self.disk.len() + 1);
                    self.disk.extend(entries);
                    self.coordinator.handle(Timestamp(now), Input::Persisted { number });
                }
                Effect::Order { order: Order::Assign(assignment), .. } => {
                    self.assigned.push(*assignment);
                }
                Effect::Order { order: Order::Revoke(id), .. } => self.revoked.push(id),
                Effect::Order { order, .. } => self.settled.push(order),
                Effect::Answer { id, answer } => self.answers.push((id, answer)),
                Effect::Emit(event) => self.events.push(event),
                effect => panic!("not of a process that works alone: {effect:?}"),
            }
        }
    }

    /// The last order given.
    fn last(&self) -> &Assignment {
        self.assigned.last().unwrap()
    }

    fn answer(&mut self, now: u64, to: &Assignment, completion: Completion) {
        let Assignment { id, job, epoch, .. } = *to;
        self.report(
            now,
            Report { assignment: id, job, epoch, result: Ok(completion), wire_bytes: 9 },
        );
    }

    fn report(&mut self, now: u64, report: Report) {
        self.feed(now, Input::Report { node: NODE, report: Box::new(report) });
    }

    /// Lists and compares two small objects; the order to move them.
    fn up_to_pack(&mut self) -> Assignment {
        let list = self.last().clone();
        assert!(matches!(list.work, Work::List { after: None, .. }));
        let entries = vec![entry("a", 1), entry("b", 2)];
        self.answer(1, &list, listed(0, entries));
        let compare = self.last().clone();
        assert!(matches!(&compare.work, Work::Compare { page } if page.entries.len() == 2));
        let end = ListingEnd { pages: PageId(1), unreadable: Vec::new(), unreadable_count: 0 };
        self.answer(2, &list, Completion::Listed(end));
        self.answer(3, &compare, Completion::Compared(vec![Comparison::Move, Comparison::Move]));
        let pack = self.last().clone();
        assert!(matches!(&pack.work, Work::MovePack { objects } if objects.len() == 2));
        pack
    }
}

fn done(bytes: u64) -> ObjectResult {
    ObjectResult::Done { root: Root([9; 32]), bytes, dropped: AttributeSet::NONE }
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
    assert_eq!(totals.bytes.wire, 4 * 9, "of listing, comparing, moving and cleaning");
}

#[test]
fn a_job_that_stops_has_the_time_of_its_end() {
    let mut desk = Desk::begin(Vec::new());
    desk.feed(2, beat(1, 1007, &[]));
    let list = desk.last().clone();
    let failure = Failure::new(ErrorCode::LocationMissing, "gone");
    let Assignment { id, job, epoch, .. } = list;
    let result = Err(failure.clone());
    desk.report(9, Report { assignment: id, job, epoch, result, wire_bytes: 0 });
    let stopped = &desk.coordinator.state().jobs[&job];
    assert_eq!((stopped.phase, &stopped.failure), (Phase::Stopped, &Some(failure)));
    assert_eq!(stopped.ended_at, Some(Timestamp(1014)), "by the clock of the leader");

    let mut desk = Desk::begin(Vec::new());
    let request = |at| {
        let failure = Failure::new(ErrorCode::Cancelled, "stop");
        Input::Request {
            id: RequestId(2),
            request: Request::Stop(job, failure),
            by: Actor::Root,
            at: Timestamp(at),
        }
    };
    desk.feed(3, request(77));
    assert_eq!(desk.coordinator.state().jobs[&job].ended_at, Some(Timestamp(77)));
    let mut desk = Desk::begin(Vec::new());
    desk.feed(3, request(1));
    let ended_at = desk.coordinator.state().jobs[&job].ended_at;
    assert_eq!(ended_at, Some(Timestamp(5)), "not before it began");
}

#[test]
fn a_silent_node_loses_its_lease_and_its_late_answer_does_nothing() {
    let mut desk = Desk::begin(Vec::new());
    let pack = desk.up_to_pack();
    assert_eq!(desk.coordinator.poll_timeout(), Some(Timestamp(LEASE_MS)));
    desk.feed(LEASE_MS, Input::Timeout);
    assert!(desk.revoked.contains(&pack.id));
    desk.feed(LEASE_MS + 1, beat(1, 99, &[]));
    let again = desk.last().clone();
    assert!(again.id != pack.id && again.epoch > pack.epoch);
    desk.answer(LEASE_MS + 2, &pack, Completion::PackMoved(vec![done(1), done(2)]));
    let totals = desk.coordinator.state().jobs[&pack.job].totals;
    assert_eq!(totals.objects.done, 0, "a stale lease completes nothing");
    let wire = totals.bytes.wire;
    let forged = Assignment { epoch: Epoch(again.epoch.0 - 1), ..again.clone() };
    desk.answer(LEASE_MS + 3, &forged, Completion::PackMoved(vec![done(1), done(2)]));
    assert_eq!(desk.coordinator.state().jobs[&pack.job].totals.objects.done, 0);
    desk.answer(LEASE_MS + 4, &again, Completion::PackMoved(vec![done(1), done(2)]));
    let totals = desk.coordinator.state().jobs[&pack.job].totals;
    assert_eq!((totals.objects.done, totals.bytes.wire), (2, wire + 9));
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

/// Lists and compares one large object; the order to open it.
fn up_to_open(desk: &mut Desk) -> Assignment {
    let list = desk.last().clone();
    let entries = vec![entry("large", LARGE)];
    let unreadable = Unreadable::default();
    desk.answer(1, &list, Completion::Page { page: PageId(0), entries, unreadable });
    let compare = desk.last().clone();
    let end = ListingEnd { pages: PageId(1), unreadable: Vec::new(), unreadable_count: 0 };
    desk.answer(2, &list, Completion::Listed(end));
    desk.answer(3, &compare, Completion::Compared(vec![Comparison::Move]));
    desk.last().clone()
}

const LARGE: u64 = 300 << 20;

#[test]
fn an_object_that_its_service_copies_moves_no_shard_and_has_no_hash() {
    let mut desk = Desk::begin(Vec::new());
    let open = up_to_open(&mut desk);
    assert!(matches!(open.work, Work::Open { may_copy: true, .. }), "{open:?}");
    let token = UploadToken("copy".to_owned());
    desk.answer(4, &open, Completion::Copying(token.clone()));
    let commit = desk.last().clone();
    let Work::Commit { upload, root, .. } = &commit.work else { panic!("{commit:?}") };
    assert_eq!((upload, root), (&token, &None));
    let again = Desk::new(desk.disk.clone());
    assert_eq!(again.coordinator.state(), desk.coordinator.state());
    desk.answer(5, &commit, Completion::Committed { dropped: AttributeSet::NONE });
    let job = &desk.coordinator.state().jobs[&commit.job];
    assert_eq!((job.totals.copied.objects, job.totals.copied.bytes), (1, LARGE));
    assert_eq!((job.totals.objects.done, job.totals.bytes.sent), (1, 0));
    assert!(job.uploads.is_empty());
    assert_eq!(desk.last().work, Work::Clean);
}

#[test]
fn an_object_whose_copy_is_not_proven_is_opened_again_to_be_moved() {
    let mut desk = Desk::begin(Vec::new());
    let open = up_to_open(&mut desk);
    desk.answer(4, &open, Completion::Copying(UploadToken("copy".to_owned())));
    let Assignment { id, job, epoch, .. } = *desk.last();
    let result = Err(Failure::new(ErrorCode::UploadLost, "not proven"));
    desk.report(5, Report { assignment: id, job, epoch, result, wire_bytes: 0 });
    let open = desk.last().clone();
    assert!(matches!(open.work, Work::Open { may_copy: false, resume: None, .. }), "{open:?}");
    desk.answer(6, &open, Completion::Opened(UploadToken("moved".to_owned())));
    assert!(matches!(desk.last().work, Work::MoveRange { .. }), "{:?}", desk.last());
}

#[test]
fn an_object_that_its_service_copied_whole_needs_no_upload() {
    let mut desk = Desk::begin(Vec::new());
    let open = up_to_open(&mut desk);
    desk.answer(4, &open, Completion::Copied { dropped: AttributeSet::NONE });
    let job = &desk.coordinator.state().jobs[&open.job];
    assert_eq!((job.totals.copied.objects, job.totals.objects.done), (1, 1));
    assert!(job.uploads.is_empty() && job.objects.is_empty());
    assert_eq!(desk.last().work, Work::Clean);
}

const BOOT: Boot = Boot(1 << 32 | 7);

fn pack_of(keys: &[&str]) -> Assignment {
    let objects = keys.iter().zip(0..).map(|(key, index)| Object {
        position: Position { page: PageId(0), index },
        entry: entry(key, 1),
    });
    let work = Work::MovePack { objects: objects.collect() };
    let (id, job, epoch) = (AssignmentId(3), JobId([0; 16]), Epoch(9));
    let (source, is_limited, is_total_limited) = (None, false, false);
    Assignment { id, job, run: 1, epoch, work, source, is_limited, is_total_limited, boot: BOOT }
}

fn effects(agent: &mut Agent) -> Vec<AgentEffect> {
    std::iter::from_fn(|| agent.poll_effect()).collect()
}

#[test]
fn the_agent_tries_again_only_what_may_end_differently() {
    let mut agent = Agent::new(Timestamp(0), 1, BOOT);
    agent.handle(Timestamp(0), AgentInput::Timeout);
    assert_eq!(effects(&mut agent), [AgentEffect::Heartbeat { boot: BOOT, held: Vec::new() }]);
    agent.handle(
        Timestamp(0),
        AgentInput::Order(Order::Assign(Box::new(pack_of(&["a", "b", "c"])))),
    );
    assert!(matches!(effects(&mut agent)[..], [AgentEffect::Start { attempt: 1, .. }]));
    let failed = |code| ObjectResult::Failed(Failure::new(code, ""));
    let first = vec![done(1), failed(ErrorCode::Unavailable), failed(ErrorCode::NotFound)];
    let outcome = |attempt, results| AgentInput::Outcome {
        assignment: AssignmentId(3),
        attempt,
        result: Ok(Completion::PackMoved(results)),
        wire_bytes: 10,
    };
    agent.handle(Timestamp(0), outcome(1, first));
    assert_eq!(effects(&mut agent), [], "it waits before it tries again");
    let due = agent.poll_timeout().unwrap();
    assert!(due < Timestamp(HEARTBEAT_MS));
    agent.handle(due, AgentInput::Timeout);
    let started = effects(&mut agent);
    let [AgentEffect::Start { attempt: 2, assignment }] = &started[..] else {
        panic!("{started:?}");
    };
    let Work::MovePack { objects } = &assignment.work else { panic!("{assignment:?}") };
    assert_eq!(objects.len(), 1);
    assert_eq!(objects[0].entry.key, Key::from("b"));
    agent.handle(due, outcome(1, vec![done(9)]));
    assert_eq!(effects(&mut agent), [], "the outcome of an old attempt is nobody's");
    agent.handle(due, outcome(2, vec![done(2)]));
    let reported = effects(&mut agent);
    let [AgentEffect::Report(report)] = &reported[..] else { panic!("{reported:?}") };
    let expected = vec![done(1), done(2), failed(ErrorCode::NotFound)];
    assert_eq!(report.result, Ok(Completion::PackMoved(expected)));
    assert_eq!(report.wire_bytes, 20, "of both attempts, and of no other");
    assert_eq!(report.epoch, Epoch(9));
}

#[test]
fn a_listing_that_breaks_off_goes_on_after_its_last_page() {
    let mut agent = Agent::new(Timestamp(0), 1, BOOT);
    agent.handle(Timestamp(0), AgentInput::Timeout);
    assert_eq!(effects(&mut agent), [AgentEffect::Heartbeat { boot: BOOT, held: Vec::new() }]);
    let (end, after, until, next) = (End::Source, None, None, PageId(0));
    let work = Work::List { end, after, next, until, cuts: 15, pages: 16 };
    let assignment = Assignment { work, ..pack_of(&[]) };
    agent.handle(Timestamp(0), AgentInput::Order(Order::Assign(Box::new(assignment))));
    effects(&mut agent);
    let outcome = |result| {
        let assignment = AssignmentId(3);
        AgentInput::Outcome { assignment, attempt: 1, result, wire_bytes: 0 }
    };
    let entries = vec![entry("a", 1), entry("b", 1)];
    let cut = Completion::Cut { page: PageId(1), at: vec![Key::from("k"), Key::from("m")] };
    for completion in [listed(0, entries), cut] {
        agent.handle(Timestamp(0), outcome(Ok(completion)));
        assert!(matches!(effects(&mut agent)[..], [AgentEffect::Report(_)]));
    }
    agent.handle(Timestamp(0), outcome(Err(Failure::new(ErrorCode::TimedOut, ""))));
    let due = agent.poll_timeout().unwrap();
    agent.handle(due, AgentInput::Timeout);
    let started = effects(&mut agent);
    let [AgentEffect::Start { assignment, .. }] = &started[..] else { panic!("{started:?}") };
    let (after, until) = (Some(Key::from("b")), Some(Key::from("k")));
    let work = Work::List { end, after, next: PageId(2), until, cuts: 0, pages: 16 };
    assert_eq!(assignment.work, work, "the rest up to the first cut");
}

#[test]
fn a_listing_goes_on_when_what_it_told_is_on_record() {
    let mut agent = Agent::new(Timestamp(0), 1, BOOT);
    let (end, after, until, next) = (End::Source, None, None, PageId(0));
    let work = Work::List { end, after, next, until, cuts: 15, pages: 16 };
    let assignment = Assignment { work, ..pack_of(&[]) };
    let id = assignment.id;
    agent.handle(Timestamp(0), AgentInput::Order(Order::Assign(Box::new(assignment))));
    effects(&mut agent);
    let mut hear = |input| {
        agent.handle(Timestamp(0), input);
        effects(&mut agent)
    };
    let order = AgentInput::Order;
    let tell = |number, key| {
        let result = Ok(listed(number, vec![entry(key, 1)]));
        AgentInput::Outcome { assignment: id, attempt: 1, result, wire_bytes: 0 }
    };
    assert_eq!(hear(order(Order::SettlePages(id, PageId(0)))), [], "it has told nothing");
    assert!(matches!(hear(tell(0, "a"))[..], [AgentEffect::Report(_)]));
    assert_eq!(hear(order(Order::SettlePages(id, PageId(0)))), [], "not this one");
    let recorded = [AgentEffect::Recorded(id)];
    assert_eq!(hear(order(Order::SettlePages(id, PageId(1)))), recorded);
    assert_eq!(hear(order(Order::SettlePages(id, PageId(1)))), [], "once is enough");
    let told = hear(tell(1, "b"));
    // A leader that was cut off did not know the order; this one takes it back, or has what was told.
    assert_eq!(hear(order(Order::Settle(id))), []);
    assert_eq!(hear(AgentInput::LeaderChanged).last(), told.last(), "it is told again");
    assert_eq!(hear(order(Order::SettlePages(id, PageId(2)))), recorded);
    hear(tell(2, "c"));
    assert_eq!(hear(order(Order::Revoke(id))), [AgentEffect::Cancel(id)]);
    assert_eq!(hear(order(Order::SettlePages(id, PageId(3)))), []);
}

#[test]
fn what_the_agent_did_not_hear_is_said_again_and_what_it_should_not_have_is_taken_back() {
    let mut desk = Desk::begin(Vec::new());
    let pack = desk.up_to_pack();
    let before = desk.assigned.len();
    desk.feed(100, beat(1, 100, &[pack.id, AssignmentId(999)]));
    assert_eq!((desk.assigned.len(), desk.revoked.last()), (before, Some(&AssignmentId(999))));
    desk.feed(200, beat(1, 200, &[]));
    assert_eq!(desk.last(), &pack, "the same order, not a new one");
}

/// It keeps them on record, so that its next run knows what was in flight.
#[test]
fn nobody_is_given_the_leases_of_a_job_that_stopped_again_and_what_is_said_of_them_is_settled() {
    let mut desk = Desk::begin(Vec::new());
    let list = desk.last().clone();
    let ask = |id, request| {
        let (by, at) = (Actor::Root, Timestamp(9));
        Input::Request { id: RequestId(id), request, by, at }
    };
    let failure = Failure::new(ErrorCode::NoSpace, "full");
    desk.feed(2, ask(2, Request::Stop(list.job, failure)));
    assert!(!desk.coordinator.state().jobs[&list.job].leases.is_empty());
    assert_eq!(desk.revoked, [list.id]);
    let (given, entries) = (desk.assigned.len(), desk.disk.len());
    desk.feed(100, beat(1, 100, &[]));
    assert_eq!(desk.assigned.len(), given, "nobody works on it");
    desk.feed(200, beat(1, 200, &[list.id]));
    assert_eq!(desk.revoked, [list.id, list.id], "who has not heard that it is over");
    desk.answer(300, &list, listed(0, vec![entry("a", 1)]));
    let end = ListingEnd { pages: PageId(0), unreadable: Vec::new(), unreadable_count: 0 };
    desk.answer(400, &list, Completion::Listed(end));
    assert_eq!(desk.settled, [Order::Settle(list.id), Order::Settle(list.id)]);
    assert_eq!((desk.assigned.len(), desk.disk.len()), (given, entries), "nothing is decided");
}

#[test]
fn what_is_cleaned_behind_a_cancelled_job_is_said_again_until_it_is_done() {
    let mut desk = Desk::begin(Vec::new());
    let job = desk.last().job;
    let (id, request, by, at) = (RequestId(2), Request::Cancel(job), Actor::Root, Timestamp(9));
    desk.feed(2, Input::Request { id, request, by, at });
    let clean = desk.last().clone();
    assert_eq!(clean.work, Work::Clean);
    let given = desk.assigned.len();
    desk.feed(100, beat(1, 100, &[]));
    assert_eq!((desk.assigned.len(), desk.last()), (given + 1, &clean));
    desk.answer(200, &clean, Completion::Cleaned);
    assert_eq!(desk.settled.last(), Some(&Order::Settle(clean.id)));
    assert_eq!(desk.coordinator.state().jobs[&job].phase, Phase::Stopped);
}

#[test]
fn a_process_that_started_again_holds_nothing_and_its_predecessor_is_turned_away() {
    let mut desk = Desk::begin(Vec::new());
    let pack = desk.up_to_pack();
    desk.feed(100, beat(2, 100, &[]));
    let again = desk.last().clone();
    assert!(again.epoch > pack.epoch && again.work == pack.work);
    desk.coordinator.handle(Timestamp(200), beat(1, 200, &[pack.id]));
    let superseded = Effect::Superseded { node: NODE };
    assert_eq!(desk.coordinator.poll_effect(), Some(superseded));
    assert_eq!(desk.coordinator.poll_effect(), None);
}

#[test]
fn what_a_dead_process_said_does_not_turn_its_successor_away() {
    let mut desk = Desk::begin(Vec::new());
    let [first, second] = [1, 2].map(|start| Boot::new(start, 7).0);
    let superseded = Effect::Superseded { node: NODE };
    // The leader was held up, and hears them in the wrong order.
    for (boot, expected) in [(second, None), (first, Some(superseded)), (second, None)] {
        desk.coordinator.handle(Timestamp(100), beat(boot, 100, &[]));
        let effects = std::iter::from_fn(|| desk.coordinator.poll_effect());
        let said = effects.filter(|effect| matches!(effect, Effect::Superseded { .. })).last();
        assert_eq!(said, expected);
    }
}

#[test]
fn a_page_counts_once_and_a_listing_ends_only_with_all_its_pages() {
    let mut desk = Desk::begin(Vec::new());
    let list = desk.last().clone();
    let page = |number, key| listed(number, vec![entry(key, 1)]);
    let end = |pages| {
        let unreadable = Vec::new();
        Completion::Listed(ListingEnd { pages: PageId(pages), unreadable, unreadable_count: 0 })
    };
    desk.answer(1, &list, page(1, "b"));
    desk.answer(1, &list, end(2));
    desk.answer(1, &list, page(0, "a"));
    desk.answer(1, &list, page(0, "a"));
    desk.answer(1, &list, end(2));
    let listing = |desk: &Desk| desk.coordinator.state().jobs[&list.job].source.clone();
    assert_eq!((listing(&desk).objects, listing(&desk).end), (1, None));
    desk.answer(2, &list, page(1, "b"));
    desk.answer(2, &list, end(2));
    assert_eq!(listing(&desk).objects, 2);
    assert!(listing(&desk).end.is_some());
    assert!(desk.settled.contains(&Order::SettlePages(list.id, PageId(2))));
    assert!(desk.settled.contains(&Order::Settle(list.id)));
}

#[test]
fn the_agent_drops_what_others_may_have_and_keeps_what_is_done() {
    let mut agent = Agent::new(Timestamp(0), 1, BOOT);
    agent.handle(Timestamp(0), AgentInput::Timeout);
    let order = |id: u64, boot| {
        let assignment = Assignment { id: AssignmentId(id), boot, ..pack_of(&["a"]) };
        AgentInput::Order(Order::Assign(Box::new(assignment)))
    };
    agent.handle(Timestamp(0), order(1, BOOT));
    agent.handle(Timestamp(0), order(2, BOOT));
    let result = Ok(Completion::PackMoved(vec![done(1)]));
    let assignment = AssignmentId(1);
    agent.handle(
        Timestamp(0),
        AgentInput::Outcome { assignment, attempt: 1, result, wire_bytes: 0 },
    );
    effects(&mut agent);
    agent.handle(Timestamp(20_000), AgentInput::Lapsed);
    assert_eq!(effects(&mut agent), [AgentEffect::Cancel(AssignmentId(2))]);
    agent.handle(Timestamp(20_000), AgentInput::Timeout);
    let said = effects(&mut agent);
    let [AgentEffect::Heartbeat { held, .. }, AgentEffect::Report(_)] = &said[..] else {
        panic!("it lives, and answers what it has done");
    };
    assert_eq!(*held, [AssignmentId(1)]);
    // Whoever leads may give it the same again.
    agent.handle(Timestamp(20_001), order(2, BOOT.lapsed()));
    assert!(matches!(effects(&mut agent)[..], [AgentEffect::Start { attempt: 3, .. }]));
    // What the attempt that was cancelled came to may have been on its way.
    let result = Ok(Completion::PackMoved(vec![done(1)]));
    let assignment = AssignmentId(2);
    let late = AgentInput::Outcome { assignment, attempt: 2, result, wire_bytes: 0 };
    agent.handle(Timestamp(20_002), late);
    assert_eq!(effects(&mut agent), []);
}

#[test]
fn what_was_said_before_the_leases_ended_or_to_an_earlier_process_is_void() {
    let mut agent = Agent::new(Timestamp(0), 1, BOOT);
    let order = |id, boot| {
        let assignment = Assignment { id: AssignmentId(id), boot, ..pack_of(&["a"]) };
        AgentInput::Order(Order::Assign(Box::new(assignment)))
    };
    let starts = |agent: &mut Agent| {
        let said = effects(agent);
        said.iter().filter(|effect| matches!(effect, AgentEffect::Start { .. })).count()
    };
    let earlier = Boot::new(0, 7);
    agent.handle(Timestamp(0), order(1, earlier));
    assert_eq!(starts(&mut agent), 0, "its predecessor was meant");
    agent.handle(Timestamp(1), order(2, BOOT));
    assert_eq!(starts(&mut agent), 1);
    agent.handle(Timestamp(20_000), AgentInput::Lapsed);
    agent.handle(Timestamp(20_000), AgentInput::Timeout);
    let next = BOOT.lapsed();
    assert!(next != BOOT && !BOOT.is_before(next) && !next.is_before(BOOT));
    let heartbeat = AgentEffect::Heartbeat { boot: next, held: Vec::new() };
    assert_eq!(effects(&mut agent), [AgentEffect::Cancel(AssignmentId(2)), heartbeat]);
    // It was under way for as long as that.
    agent.handle(Timestamp(20_001), order(3, BOOT));
    assert_eq!(starts(&mut agent), 0);
    agent.handle(Timestamp(20_002), order(4, next));
    assert_eq!(starts(&mut agent), 1);
}

#[test]
fn the_agent_answers_until_its_answer_is_settled() {
    let mut agent = Agent::new(Timestamp(0), 1, BOOT);
    agent.handle(Timestamp(0), AgentInput::Timeout);
    let order = || AgentInput::Order(Order::Assign(Box::new(pack_of(&["a"]))));
    agent.handle(Timestamp(0), order());
    agent.handle(Timestamp(0), order());
    let result = Ok(Completion::PackMoved(vec![done(1)]));
    let assignment = AssignmentId(3);
    let outcome = AgentInput::Outcome { assignment, attempt: 1, result, wire_bytes: 0 };
    agent.handle(Timestamp(1), outcome);
    let said = effects(&mut agent);
    let [_, AgentEffect::Start { .. }, AgentEffect::Report(report)] = &said[..] else {
        panic!("one attempt, one answer: {said:?}");
    };
    agent.handle(Timestamp(HEARTBEAT_MS + 1), AgentInput::Timeout);
    let held = vec![AssignmentId(3)];
    let again = [AgentEffect::Heartbeat { boot: BOOT, held }, AgentEffect::Report(report.clone())];
    assert_eq!(effects(&mut agent), again);
    agent.handle(Timestamp(HEARTBEAT_MS + 2), order());
    assert_eq!(effects(&mut agent), [AgentEffect::Report(report.clone())]);
    agent.handle(Timestamp(HEARTBEAT_MS + 3), AgentInput::Order(Order::Settle(AssignmentId(3))));
    agent.handle(Timestamp(2 * HEARTBEAT_MS + 3), AgentInput::Timeout);
    assert_eq!(effects(&mut agent), [AgentEffect::Heartbeat { boot: BOOT, held: Vec::new() }]);
    // It was said twice, and one of them was late: what it would begin, nobody would end.
    agent.handle(Timestamp(2 * HEARTBEAT_MS + 4), order());
    assert_eq!(effects(&mut agent), []);
    // Whoever still says it much later has no answer on record.
    agent.handle(Timestamp(HEARTBEAT_MS + 3 + LEASE_MS), order());
    let said = effects(&mut agent);
    assert!(said.iter().any(|effect| matches!(effect, AgentEffect::Start { .. })), "{said:?}");
}
