//! The world of one life: virtual time, nodes with processes and disks, the network between them,
//! stores, a user, and everything that goes wrong.
//!
//! ```text
//! queue ─▶ happen ─▶ a machine's input ─▶ its effects ─▶ queue
//!            │                              │
//!            └──────────▶ check ◀───────────┘   every invariant, at every event
//! ```
//!
//! A life has two phases: one in which things go wrong, and one in which they do not any more and
//! everything that was begun must end within a bound.

mod attempt;
mod day;
mod describe;
pub(crate) mod disk;
mod driver;
mod list;
mod nemesis;
mod network;
mod node;
mod object;
mod operator;
mod populate;
mod upgrade;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use airlift_coordinator::state::Fact;
use airlift_protocol::assignment::End;
use airlift_protocol::control::{Heartbeat, Order};
use airlift_protocol::id::{AssignmentId, JobId, LogIndex};
use airlift_protocol::job::JobSpec;
use airlift_protocol::raft::{Configuration, RaftId, RaftMessage, SnapshotRef};
use airlift_protocol::report::Report;
use airlift_protocol::version::FormatVersion;

use self::attempt::{Answer, Caller, Change};
use self::driver::Said;
pub use self::nemesis::Fault;
use self::nemesis::Nemesis;
use self::network::Network;
use self::node::Node;
use self::operator::Operator;
use crate::check::{Check, Found};
use crate::options::Options;
use crate::prng::Prng;
use crate::queue::Queue;
use crate::stores::Stores;
use crate::trace::{Line, Trace, Weight};

/// Wall-clock time at which every life begins.
const WALL_START: u64 = 1_700_000_000_000;

/// Milliseconds within which everything must have ended once nothing goes wrong any more.
const LIVENESS_MS: u64 = 2 * 3600 * 1000;

/// Milliseconds for which a life goes on when everything has ended: what comes too late shows.
const AFTERMATH_MS: u64 = 15_000;

/// Milliseconds within which a process that has stood still is what it was before.
const THAW_MS: u64 = 50;

/// Something that travels between nodes.
#[derive(Clone, Debug)]
pub(crate) enum Packet {
    Raft(Box<RaftMessage>),
    Order(Order),
    Report(Box<Report>),
    /// A sign of life, with its number.
    Heartbeat(u64, Box<Heartbeat>),
    /// The answer to the sign of life of this number.
    Said(u64, Said),
    SnapshotFetched(bool),
}

/// Something that lies ahead of one process, and does not happen when that dies.
#[derive(Debug)]
pub(crate) enum What {
    Timeout,
    Disk,
    Step(AssignmentId, u32),
    Landed(AssignmentId, u32, Box<Answer>),
    LoadPage(JobId, End, LogIndex),
    Fetch(RaftId, SnapshotRef),
    BeatTimeout(u64),
}

/// Something that lies ahead.
#[derive(Debug)]
pub(crate) enum Ahead {
    /// Of a process: its place, its life.
    Process(usize, u64, What),
    Packet {
        from: usize,
        to: usize,
        /// In which it is written.
        format: FormatVersion,
        packet: Packet,
    },
    Land(JobId, Box<Change>, Caller),
    Start(usize),
    Operator,
    Nemesis,
    Mend,
    Calm,
    /// At what nodes hold.
    Look,
}

/// A job with its two stores.
#[derive(Debug)]
pub(crate) struct SimJob {
    pub(crate) spec: JobSpec,
    pub(crate) stores: Stores,
    /// Nodes on whose disks its ends are: they never leave for good.
    pub(crate) homes: Vec<usize>,
}

/// An invariant that does not hold.
#[derive(Clone, Debug)]
pub struct Violation {
    /// Which.
    pub invariant: &'static str,
    /// How.
    pub text: String,
    /// What it is about: words that lines of the trace have.
    pub subjects: Vec<String>,
}

/// What a life came to.
#[derive(Debug)]
pub struct Life {
    /// The invariant that was broken, if one was.
    pub violation: Option<Violation>,
    /// Hash over every event, in order.
    pub trace_hash: blake3::Hash,
    /// Events: inputs that a machine handled, and what happened at nodes and stores.
    pub events: u64,
    /// Milliseconds of virtual time.
    pub ms: u64,
    /// What happened how often.
    pub counts: BTreeMap<&'static str, u64>,
    /// The most that a node held of each thing, in a life of many hours.
    pub most: BTreeMap<&'static str, u64>,
    /// The life in words; only when asked for.
    pub lines: Vec<Line>,
}

/// A world in which some jobs run.
#[derive(Debug)]
pub struct World {
    pub(crate) seed: u64,
    pub(crate) options: Options,
    pub(crate) now: u64,
    pub(crate) queue: Queue<Ahead>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) network: Network,
    pub(crate) jobs: BTreeMap<JobId, SimJob>,
    pub(crate) operator: Operator,
    pub(crate) nemesis: Nemesis,
    pub(crate) check: Check,
    pub(crate) faults: Prng,
    pub(crate) timing: Prng,
    pub(crate) trace: Trace,
    pub(crate) violation: Option<Violation>,
    /// When nothing went wrong any more.
    calm_since: Option<u64>,
    /// Changes that a fence held back.
    pub(crate) fenced: u64,
    /// By how much the wall clock of a node was ahead at most, so far.
    pub(crate) wall_ahead_max: u64,
    /// What the node whose sign of life is being heard is told, when it is to stop.
    pub(crate) refused: Option<Said>,
}

impl World {
    /// The world of `seed`.
    pub fn new(seed: u64, keeps_lines: bool) -> Self {
        Self::with(seed, Options::of(seed), keeps_lines)
    }

    /// A world of `seed` that is as `options` say.
    pub fn with(seed: u64, options: Options, keeps_lines: bool) -> Self {
        let prng = Prng::new(seed);
        let mut world = Self {
            seed,
            now: 0,
            queue: Queue::new(),
            nodes: Vec::new(),
            network: Network::new(prng.split("network")),
            jobs: BTreeMap::new(),
            operator: Operator::default(),
            nemesis: Nemesis::new(prng.split("nemesis")),
            check: Check::new(options.is_alone, options.slots),
            faults: prng.split("faults"),
            timing: prng.split("timing"),
            trace: Trace::new(keeps_lines),
            violation: None,
            calm_since: None,
            fenced: 0,
            wall_ahead_max: 0,
            refused: None,
            options,
        };
        world.populate(&mut prng.split("objects"));
        world.begin_life();
        world
    }

    /// Lives the life to its end.
    pub fn run(mut self) -> Life {
        while self.violation.is_none() && !self.is_over() {
            let Some((at, ahead)) = self.queue.pop() else {
                self.violate("liveness", "nothing lies ahead".to_owned(), vec![]);
                break;
            };
            self.now = self.now.max(at);
            if self.calm_since.is_some_and(|since| self.now > since + LIVENESS_MS) {
                let text = self.describe_stuck();
                for place in 0..self.nodes.len() {
                    self.trace.say(self.now, Weight::Work, || {
                        let process = self.nodes[place].process.as_ref();
                        format!("n{place} at the end: {process:?}")
                    });
                }
                self.violate("liveness", text, vec![]);
                break;
            }
            let happened = catch_unwind(AssertUnwindSafe(|| self.happen(ahead)));
            if let Err(panic) = happened {
                let text = panic.downcast_ref::<String>().cloned();
                let text =
                    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
                self.violate("nothing panics", text.unwrap_or_default(), vec![]);
            }
        }
        if self.violation.is_none() {
            self.check_end();
        }
        let (counts, most) = (self.counts(), self.check.growth.most());
        let (events, ms) = (self.trace.events(), self.now);
        let (trace_hash, lines) = self.trace.finish();
        Life { violation: self.violation, trace_hash, events, ms, counts, most, lines }
    }

    fn is_over(&self) -> bool {
        let ended = self.check.ended_since(self.jobs.len());
        self.is_calm()
            && self.operator.is_idle()
            && ended.is_some_and(|since| self.now > since + AFTERMATH_MS)
            && self.check.is_format_settled()
    }

    fn happen(&mut self, ahead: Ahead) {
        match ahead {
            Ahead::Process(place, life, what) => {
                if let Some(until) = self.frozen(place) {
                    // Work may go on before the driver has looked at the clock.
                    let late = match what {
                        What::Timeout => self.timing.below(THAW_MS),
                        _ => 0,
                    };
                    return self.queue.push(until + late, Ahead::Process(place, life, what));
                }
                if self.nodes[place].life == life && self.nodes[place].process.is_some() {
                    self.happen_to(place, what);
                }
            }
            Ahead::Packet { from, to, format, packet } => {
                if let Some(until) = self.frozen(to) {
                    let until = until + self.timing.below(THAW_MS);
                    return self.queue.push(until, Ahead::Packet { from, to, format, packet });
                }
                if self.nodes[to].process.is_some() && self.reads(to, format, &packet) {
                    self.receive(to, from, packet);
                }
            }
            Ahead::Land(job, change, caller) => self.land(job, *change, caller),
            Ahead::Start(place) => self.start(place),
            Ahead::Operator => self.operate(),
            Ahead::Nemesis => self.strike(),
            Ahead::Mend => self.network.mend(),
            Ahead::Calm => self.calm(),
            Ahead::Look => self.look(),
        }
    }

    fn happen_to(&mut self, place: usize, what: What) {
        match what {
            What::Timeout => self.on_timeout(place),
            What::Disk => self.on_disk(place),
            What::Step(id, attempt) => self.step(place, id, attempt),
            What::Landed(id, attempt, landed) => self.on_landed(place, (id, attempt), *landed),
            What::LoadPage(job, end, index) => self.load_page(place, job, end, index),
            What::Fetch(from, reference) => self.fetch(place, from, reference),
            What::BeatTimeout(number) => self.on_said(place, place, number, None),
        }
    }

    fn frozen(&self, place: usize) -> Option<u64> {
        Some(self.nodes[place].frozen_until).filter(|until| *until > self.now)
    }

    /// Whether nothing goes wrong any more.
    pub(crate) fn is_calm(&self) -> bool {
        self.calm_since.is_some()
    }

    /// Nothing goes wrong from now on.
    fn calm(&mut self) {
        self.say(Weight::Plot, || "from now on nothing goes wrong".to_owned());
        self.calm_since = Some(self.now);
        self.relent();
    }

    /// Plans something for a process at the time `at`.
    pub(crate) fn plan(&mut self, place: usize, at: u64, what: What) {
        let life = self.nodes[place].life;
        self.queue.push(at, Ahead::Process(place, life, what));
    }

    /// Plans something for a process in `ms`.
    pub(crate) fn after(&mut self, place: usize, ms: u64, what: What) {
        self.plan(place, self.now + ms, what);
    }

    pub(crate) fn note(&mut self, numbers: [u64; 4]) {
        self.trace.event(self.now, numbers);
    }

    pub(crate) fn say(&mut self, weight: Weight, text: impl FnOnce() -> String) {
        self.trace.say(self.now, weight, text);
    }

    pub(crate) fn violate(&mut self, invariant: &'static str, text: String, subjects: Vec<String>) {
        if self.violation.is_none() {
            self.say(Weight::Plot, || format!("broken: {invariant}: {text}"));
            self.violation = Some(Violation { invariant, text, subjects });
        }
    }

    pub(crate) fn or_violate(&mut self, found: Found) {
        if let Err(violation) = found {
            self.violate(violation.invariant, violation.text, violation.subjects);
        }
    }

    /// Looks at a coordinator after it has handled something.
    pub(crate) fn observe(&mut self, place: usize, before: Option<&Configuration>) {
        let Some(process) = &self.nodes[place].process else { return };
        let Some(coordinator) = &process.coordinator else { return };
        let Some(raft) = self.nodes[place].raft else { return };
        let disks: Vec<_> = self.nodes.iter().map(|node| (node.raft, &node.disk)).collect();
        let seen =
            self.check.observe((place, raft), coordinator, before, &disks, (&self.jobs, self.now));
        self.learn(seen);
    }

    /// Looks at what a process that works alone has made durable.
    pub(crate) fn observe_alone(&mut self, place: usize) {
        let seen = self.check.observe_alone(&self.nodes[place].disk.alone, (&self.jobs, self.now));
        self.learn(seen);
    }

    fn learn(&mut self, seen: Result<Vec<Fact>, Violation>) {
        let facts = match seen {
            Ok(facts) => facts,
            Err(violation) => return self.or_violate(Err(violation)),
        };
        for fact in facts {
            self.say(Weight::Work, || describe::fact(&fact));
            self.on_fact(&fact);
        }
    }

    /// What must hold when all is over.
    fn check_end(&mut self) {
        let live = self.nodes.iter().enumerate().filter_map(|(place, node)| {
            Some((place, node.process.as_ref()?.coordinator.as_ref()?))
        });
        let found = self.check.at_end(live.collect(), &self.jobs);
        self.or_violate(found);
    }

    fn counts(&self) -> BTreeMap<&'static str, u64> {
        let mut counts = self.nemesis.counts();
        counts.insert("changes held back by a fence", self.fenced);
        counts.extend(self.check.counts());
        counts
    }

    fn describe_stuck(&self) -> String {
        format!(
            "{} of {} jobs have not ended two hours after the last fault; {}",
            self.jobs.len() - self.check.ended_count(),
            self.jobs.len(),
            self.operator.describe()
        )
    }
}
