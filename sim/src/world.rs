//! The world of one life: virtual time, one process with its disk, two stores.

mod execute;

use std::collections::{BTreeMap, VecDeque};

use airlift_coordinator::command::Command;
use airlift_coordinator::coordinator::Replay;
use airlift_coordinator::event::{Event, Outcome};
use airlift_coordinator::log::Batch;
use airlift_coordinator::{
    Agent, AgentEffect, AgentInput, Coordinator, Effect, Input, Request, RequestId,
};
use airlift_protocol::assignment::Work;
use airlift_protocol::cluster::{Addresses, Boot};
use airlift_protocol::codec;
use airlift_protocol::control::{Heartbeat, Order};
use airlift_protocol::error::Class;
use airlift_protocol::id::{AssignmentId, LogIndex, NodeId};
use airlift_protocol::job::{Filters, JobSpec, Policy};
use airlift_protocol::key::Key;
use airlift_protocol::limits::LOG_ENTRY_BYTES_MAX;
use airlift_protocol::location::Location;
use airlift_protocol::time::Timestamp;

use crate::options::Options;
use crate::oracle::Oracle;
use crate::prng::Prng;
use crate::stores::{Content, Stores};

/// The only node of the simulated cluster.
const NODE: NodeId = NodeId([7; 32]);

/// Virtual milliseconds after which a life that has not ended is stuck.
const LIFE_MS_MAX: u64 = 48 * 3600 * 1000;

/// Wall-clock time at which every life begins.
const WALL_START: u64 = 1_700_000_000_000;

/// What lies ahead.
#[derive(Clone, Debug)]
enum Ahead {
    /// The disk has made a batch durable.
    Persisted { number: u64, entries: Vec<Vec<u8>> },
    /// An attempt ends.
    AttemptEnds { assignment: AssignmentId, attempt: u32, work: Box<Work> },
    /// One of the two machines asked to be called.
    Timeout,
    /// The process is killed.
    Kill,
    /// The process is started again.
    Start,
    /// The process does nothing for a while.
    Freeze { ms: u64 },
}

/// What a life came to.
#[derive(Clone, Debug)]
pub struct Life {
    /// The invariant that was broken, if one was.
    pub violation: Option<String>,
    /// Hash over every event, in order.
    pub trace_hash: blake3::Hash,
    /// Events processed.
    pub events: u64,
    /// The life in words, one line an event; only when asked for.
    pub trace: Vec<String>,
}

struct Process {
    coordinator: Coordinator,
    agent: Agent,
}

/// A world in which one job runs.
#[allow(missing_debug_implementations)]
pub struct World {
    options: Options,
    spec: JobSpec,
    now: u64,
    sequence: u64,
    ahead: BTreeMap<(u64, u64), (u64, Ahead)>,
    /// Counts starts: what a dead process had ahead of it never happens.
    generation: u64,
    process: Option<Process>,
    disk: Vec<Vec<u8>>,
    stores: Stores,
    oracle: Oracle,
    faults: Prng,
    timing: Prng,
    kills_left: u64,
    frozen_until: u64,
    hasher: blake3::Hasher,
    trace: Option<Vec<String>>,
    violation: Option<String>,
    outcome: Option<Outcome>,
    events: u64,
}

impl World {
    /// The world of `seed`.
    pub fn new(seed: u64, keeps_trace: bool) -> Self {
        let options = Options::of(seed);
        let prng = Prng::new(seed);
        let location = |name: &str| Location::Path(name.as_bytes().to_vec());
        let spec = JobSpec {
            mode: options.mode,
            source: location("/source"),
            target: location("/target"),
            single: None,
            filters: Filters::default(),
            policy: Policy::default(),
        };
        let stores = populate(&options, &mut prng.split("objects"));
        let kills_left = options.kills;
        let mut world = Self {
            spec,
            now: 0,
            sequence: 0,
            ahead: BTreeMap::new(),
            generation: 0,
            process: None,
            disk: Vec::new(),
            stores,
            oracle: Oracle::default(),
            faults: prng.split("faults"),
            timing: prng.split("timing"),
            kills_left,
            frozen_until: 0,
            hasher: blake3::Hasher::new(),
            trace: keeps_trace.then(Vec::new),
            violation: None,
            outcome: None,
            events: 0,
            options,
        };
        world.schedule(0, Ahead::Start);
        world
    }

    /// Lives the life to its end.
    pub fn run(mut self) -> Life {
        while self.outcome.is_none() && self.violation.is_none() {
            let Some(((time, _), (generation, ahead))) = self.ahead.pop_first() else {
                self.violation = Some("nothing lies ahead and the job has not ended".to_owned());
                break;
            };
            self.now = self.now.max(time);
            if self.now > LIFE_MS_MAX {
                self.violation = Some("the job did not end within two days".to_owned());
                break;
            }
            if generation == self.generation || matches!(ahead, Ahead::Start) {
                self.happen(ahead);
            }
        }
        Life {
            violation: self.violation,
            trace_hash: self.hasher.finalize(),
            events: self.events,
            trace: self.trace.unwrap_or_default(),
        }
    }

    fn schedule(&mut self, after_ms: u64, ahead: Ahead) {
        self.sequence += 1;
        let at = self.now.max(self.frozen_until) + after_ms;
        self.ahead.insert((at, self.sequence), (self.generation, ahead));
    }

    fn note(&mut self, line: impl FnOnce() -> String) {
        self.events += 1;
        let line = format!("{:>9} {}", self.now, line());
        self.hasher.update(line.as_bytes());
        if let Some(trace) = &mut self.trace {
            trace.push(line);
        }
    }

    fn happen(&mut self, ahead: Ahead) {
        match ahead {
            Ahead::Start => self.start(),
            Ahead::Kill => self.kill(),
            Ahead::Freeze { ms } => {
                self.note(|| format!("process freezes for {ms} ms"));
                self.freeze(ms);
            }
            Ahead::Persisted { number, entries } => {
                self.disk.extend(entries);
                let through = self.disk.len();
                self.note(|| format!("disk durable through {through}"));
                self.feed(Input::Persisted { number });
            }
            Ahead::AttemptEnds { assignment, attempt, work } => {
                self.attempt_ends(assignment, attempt, *work);
            }
            Ahead::Timeout => {
                self.feed_agent(AgentInput::Timeout);
                self.feed(Input::Timeout);
                self.arm();
            }
        }
    }

    fn start(&mut self) {
        self.generation += 1;
        let entries = self.disk.len();
        self.note(|| format!("process starts with {entries} entries on disk"));
        let mut replay = Replay::default();
        for (index, entry) in (1..).zip(&self.disk) {
            let command: Command = codec::decode(entry, 4 * LOG_ENTRY_BYTES_MAX)
                .expect("invariant: the simulated disk keeps what it took");
            replay.apply(LogIndex(index), command);
        }
        let agent = Agent::new(Timestamp(self.now), self.generation);
        self.process = Some(Process { coordinator: replay.finish(), agent });
        let at = Timestamp(WALL_START + self.now);
        let request = Request::Submit(Box::new(self.spec.clone()));
        self.feed(Input::Request { id: RequestId(self.generation), request, at });
        self.feed_agent(AgentInput::Timeout);
        self.arm();
        if self.kills_left > 0 {
            self.kills_left -= 1;
            let after = self.timing.below(6 * self.options.latency_ms + 200);
            self.schedule(after, Ahead::Kill);
        }
        if self.options.freezes {
            let after = self.timing.below(10 * self.options.latency_ms);
            let ms = 1000 + self.timing.below(30_000);
            self.schedule(after, Ahead::Freeze { ms });
        }
    }

    /// Ends the process between two effects. A write that was under way is on the disk or not.
    fn kill(&mut self) {
        self.note(|| "process is killed".to_owned());
        self.process = None;
        let under_way = self.ahead.values().find_map(|(generation, ahead)| match ahead {
            Ahead::Persisted { entries, .. } if *generation == self.generation => {
                Some(entries.clone())
            }
            _ => None,
        });
        if let Some(entries) = under_way
            && self.faults.chance(500)
        {
            self.disk.extend(entries);
        }
        // Attempts die with their process; what they had done at the stores by then stays.
        let attempts: Vec<Work> = self
            .ahead
            .values()
            .filter(|(generation, _)| *generation == self.generation)
            .filter_map(|(_, ahead)| match ahead {
                Ahead::AttemptEnds { work, .. } => Some((**work).clone()),
                _ => None,
            })
            .collect();
        for work in attempts {
            if self.faults.chance(500) {
                // Whatever it would have answered, nobody is there to hear it.
                let _ = self.execute(work);
            }
        }
        self.generation += 1;
        let after = self.timing.below(5000);
        self.schedule(after, Ahead::Start);
    }

    /// Everything that was due meanwhile happens when the process wakes.
    fn freeze(&mut self, ms: u64) {
        self.frozen_until = self.now + ms;
        let due: Vec<(u64, u64)> =
            self.ahead.range(..(self.frozen_until, 0)).map(|(key, _)| *key).collect();
        for key in due {
            if let Some(item) = self.ahead.remove(&key) {
                self.ahead.insert((self.frozen_until, key.1), item);
            }
        }
    }

    fn feed(&mut self, input: Input) {
        if let Some(process) = &mut self.process {
            process.coordinator.handle(Timestamp(self.now), input);
        }
        self.drain();
    }

    fn feed_agent(&mut self, input: AgentInput) {
        if let Some(process) = &mut self.process {
            process.agent.handle(Timestamp(self.now), input);
        }
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(process) = &mut self.process
            && self.violation.is_none()
        {
            if let Some(effect) = process.coordinator.poll_effect() {
                self.carry_out(effect);
            } else if let Some(effect) = process.agent.poll_effect() {
                self.carry_out_agent(effect);
            } else {
                return;
            }
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        let now = Timestamp(self.now);
        match effect {
            Effect::Persist { number, batch: Batch::Entries { first, entries } } => {
                assert_eq!(first.0 as usize, self.disk.len() + 1, "the log has no gaps");
                let after = self.timing.below(self.options.fsync_ms);
                self.schedule(after, Ahead::Persisted { number, entries });
            }
            Effect::LoadPage { job, end, page: _, index } => {
                let entry = &self.disk[index.0 as usize - 1];
                let command = codec::decode(entry, 4 * LOG_ENTRY_BYTES_MAX);
                let Ok(Command::Page { page, .. }) = command else {
                    self.violation = Some(format!("entry {} is no page", index.0));
                    return;
                };
                if let Some(process) = &mut self.process {
                    process.coordinator.handle(now, Input::PageLoaded { job, end, page });
                }
            }
            Effect::Order { order, .. } => {
                self.note(|| describe(&order));
                if let Some(process) = &mut self.process {
                    process.agent.handle(now, AgentInput::Order(order));
                }
            }
            Effect::Emit(event) => self.on_event(event),
            Effect::Answer { .. } => {}
            effect @ (Effect::Persist { .. }
            | Effect::Send { .. }
            | Effect::Forget { .. }
            | Effect::SaveSnapshot { .. }
            | Effect::FetchSnapshot { .. }
            | Effect::SnapshotTooLarge { .. }
            | Effect::MembersChanged
            | Effect::Superseded { .. }
            | Effect::Record { .. }) => {
                self.violation = Some(format!("not of a process that works alone: {effect:?}"));
            }
        }
    }

    fn carry_out_agent(&mut self, effect: AgentEffect) {
        let now = Timestamp(self.now);
        match effect {
            AgentEffect::Start { assignment, attempt } => {
                let after = self.timing.below(self.options.latency_ms);
                let (assignment, work) = (assignment.id, Box::new(assignment.work));
                self.schedule(after, Ahead::AttemptEnds { assignment, attempt, work });
            }
            AgentEffect::Cancel(cancelled) => {
                self.ahead.retain(|_, (_, ahead)| {
                    !matches!(ahead, Ahead::AttemptEnds { assignment, .. } if *assignment == cancelled)
                });
            }
            AgentEffect::Report(report) => {
                if let Some(process) = &mut self.process {
                    process.coordinator.handle(now, Input::Report { node: NODE, report });
                }
            }
            AgentEffect::Heartbeat { held } => {
                let heartbeat = Heartbeat {
                    boot: Boot(self.generation),
                    addresses: Addresses::default(),
                    slots: u32::try_from(self.options.slots).unwrap_or(u32::MAX),
                    held,
                    written: Vec::new(),
                    members_version: 0,
                    version: String::new(),
                    figures: Vec::new(),
                    shares: None,
                };
                let at = Timestamp(WALL_START + self.now);
                if let Some(process) = &mut self.process {
                    let input = Input::Heartbeat { node: NODE, heartbeat, at };
                    process.coordinator.handle(now, input);
                }
            }
        }
    }

    /// Asks to be called when one of the machines wants to be.
    fn arm(&mut self) {
        let Some(process) = &self.process else { return };
        let timeouts = [process.coordinator.poll_timeout(), process.agent.poll_timeout()];
        if let Some(next) = timeouts.into_iter().flatten().min() {
            // Retries may become due earlier than the last answer said: look again soon.
            let after = next.0.saturating_sub(self.now).clamp(1, 500);
            self.schedule(after, Ahead::Timeout);
        }
    }

    fn on_event(&mut self, event: Event) {
        self.note(|| format!("{event:?}"));
        if let Err(violation) = self.oracle.on_event(&event, &self.stores) {
            self.violation = Some(violation);
            return;
        }
        if let Event::JobEnded { outcome, totals, .. } = event {
            match &outcome {
                Outcome::Completed { .. } => {
                    let mode = self.spec.mode;
                    let checked = self.oracle.on_completed(mode, &outcome, &totals, &self.stores);
                    self.violation = checked.err();
                    self.outcome = Some(outcome);
                }
                Outcome::Stopped(failure) if failure.code.class() != Class::Permanent => {
                    // As a user would: the same command again, a while later.
                    self.process = None;
                    self.generation += 1;
                    self.schedule(60_000, Ahead::Start);
                }
                Outcome::Stopped(failure) => {
                    self.violation = Some(format!("the job stopped: {failure}"));
                }
            }
        }
    }
}

fn describe(order: &Order) -> String {
    match order {
        Order::Assign(assignment) => {
            format!("assign {} {}", assignment.id.0, name(&assignment.work))
        }
        Order::Revoke(id) => format!("revoke {}", id.0),
        Order::Settle(id) => format!("settle {}", id.0),
        Order::SettlePages(id, next) => format!("settle {} up to page {}", id.0, next.0),
    }
}

fn name(work: &Work) -> String {
    match work {
        Work::MovePack { objects } => format!("pack of {}", objects.len()),
        Work::Compare { page } => format!("compare page {}", page.id.0),
        Work::MoveRange { object, range, .. } => format!("range {range:?} of {}", object.entry.key),
        Work::Delete { entries } => format!("delete {}", entries.len()),
        other => format!("{other:?}").chars().take(60).collect(),
    }
}

fn populate(options: &Options, prng: &mut Prng) -> Stores {
    let mut stores = Stores::default();
    let key = |prng: &mut Prng| Key::from(format!("{:06x}", prng.below(1 << 20)).as_str());
    for _ in 0..options.objects {
        let size = match prng.below(20) {
            0 => prng.below(300 << 20),
            _ => prng.below(1 << 20),
        };
        stores.put_source(key(prng), size);
    }
    let shared: VecDeque<(Key, Content)> =
        stores.source.iter().map(|(key, content)| (key.clone(), *content)).collect();
    for (at, (key, content)) in shared.into_iter().enumerate() {
        if at % 7 == 3 {
            stores.target.insert(key, content);
        }
    }
    for _ in 0..options.objects_before {
        stores.target.insert(key(prng), Content { size: 1, version: 0 });
    }
    stores
}
