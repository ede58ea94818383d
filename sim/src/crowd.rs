//! A source of any number of keys, listed and planned from the first to the last by the control plane of
//! a process that works alone: how fast that is, and what it keeps in memory, shows at 100 million. There
//! is no store, and no disk but for the answer that it has everything.
//!
//! Beside that, what comes of a source that is listed faster than anything else can be done.

use std::collections::{BTreeMap, VecDeque};

use airlift_coordinator::coordinator::Replay;
use airlift_coordinator::event::Event;
use airlift_coordinator::log::Batch;
use airlift_coordinator::origin::Actor;
use airlift_coordinator::{
    Agent, AgentEffect, AgentInput, Coordinator, Effect, Input, Request, RequestId,
};
use airlift_protocol::assignment::{Assignment, Work};
use airlift_protocol::cluster::{Addresses, Boot};
use airlift_protocol::control::Heartbeat;
use airlift_protocol::id::{AssignmentId, JobId, LogIndex, NodeId, PageId};
use airlift_protocol::job::{Filters, JobSpec, Mode, Policy};
use airlift_protocol::key::Key;
use airlift_protocol::location::Location;
use airlift_protocol::manifest::{Entry, Kind, Page, Version};
use airlift_protocol::report::{Comparison, Completion, ListingEnd, Unreadable};
use airlift_protocol::time::Timestamp;
use airlift_protocol::version::Formats;

const NODE: NodeId = NodeId([1; 32]);
const BOOT: Boot = Boot(1);
const SLOTS: u32 = 8;

/// Keys of a page: about what a page of a bucket has.
const PAGE_KEYS: u64 = 4_000;

/// Digits of a key, behind its letter.
const DIGITS: usize = 11;

/// What it came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crowd {
    /// Keys listed, planned and found unchanged.
    pub keys: u64,
    /// Pages on record.
    pub pages: u32,
    /// Ranges that were listed beside each other, at most.
    pub ranges: usize,
    /// Orders given.
    pub orders: u64,
    /// Pages that were listed and not through, at most.
    pub waiting: usize,
}

/// What is listed, and how.
#[derive(Clone, Copy, Debug)]
struct Source {
    keys: u64,
    /// Keys of a page.
    page_keys: u64,
    /// Pages that a lister finds for each one that is compared; 0 when comparing takes no time.
    pages_ahead: usize,
    /// Whether it is listed from the front to the end by one order.
    is_tree: bool,
}

/// Lists a source of `keys` keys, of which none has to move.
///
/// # Errors
/// When a key is missing, listed twice, or the job does not end as it should.
pub fn list(keys: u64) -> Result<Crowd, String> {
    list_all(Source { keys, page_keys: PAGE_KEYS, pages_ahead: 0, is_tree: false })
}

fn list_all(source: Source) -> Result<Crowd, String> {
    let mut desk = Desk::new(source);
    let location = |path: &str| Location::Path(path.as_bytes().to_vec());
    let spec = JobSpec {
        mode: Mode::Copy,
        source: location("/source"),
        target: location("/target"),
        single: None,
        filters: Filters::default(),
        policy: Policy::default(),
    };
    let job = spec.id();
    let request = Request::Submit(Box::new(spec));
    desk.coordinator.handle(
        desk.now,
        Input::Request { id: RequestId(1), request, by: Actor::Root, at: desk.now },
    );
    while desk.ended.is_none() {
        desk.turn();
    }
    desk.finish(job)
}

struct Desk {
    coordinator: Coordinator,
    agent: Agent,
    now: Timestamp,
    source: Source,
    listers: VecDeque<Lister>,
    /// Pages that were compared, and what that came to.
    compared: VecDeque<((AssignmentId, u32), Completion)>,
    /// How many keys the page has that begins with this one.
    pages: BTreeMap<u64, u64>,
    /// The first key of the page that a log entry holds.
    entries: BTreeMap<LogIndex, u64>,
    inputs: VecDeque<AgentInput>,
    ranges: usize,
    orders: u64,
    waiting: usize,
    ended: Option<String>,
}

/// An order to list: the next key, and the one behind the last.
struct Lister {
    order: (AssignmentId, u32),
    next: u64,
    end: u64,
    turn: PageId,
    cuts: u32,
    pages: u32,
}

impl Desk {
    fn new(source: Source) -> Self {
        let now = Timestamp(1);
        Self {
            coordinator: Replay::default().finish(),
            agent: Agent::new(now, 1, BOOT),
            now,
            source,
            listers: VecDeque::new(),
            compared: VecDeque::new(),
            pages: BTreeMap::new(),
            entries: BTreeMap::new(),
            inputs: VecDeque::new(),
            ranges: 0,
            orders: 0,
            waiting: 0,
            ended: None,
        }
    }

    fn turn(&mut self) {
        self.now = self.now.plus(1);
        if self.agent.poll_timeout().is_some_and(|due| due <= self.now) {
            self.inputs.push_back(AgentInput::Timeout);
        }
        if self.coordinator.poll_timeout().is_some_and(|due| due <= self.now) {
            self.coordinator.handle(self.now, Input::Timeout);
        }
        self.ranges = self.ranges.max(self.listers.len());
        let jobs = self.coordinator.state().jobs.values();
        self.waiting = self.waiting.max(jobs.map(|job| job.pages.len()).sum());
        if let Some((order, completion)) = self.compared.pop_front() {
            self.answer(order, completion);
        }
        for _ in 0..self.listers.len() * self.source.pages_ahead.max(1) {
            if self.agent.is_congested() || self.coordinator.is_congested() {
                break;
            }
            let Some(lister) = self.listers.pop_front() else { break };
            self.list(lister);
            self.drain();
        }
        self.drain();
    }

    fn drain(&mut self) {
        loop {
            if let Some(effect) = self.coordinator.poll_effect() {
                self.carry_out(effect);
            } else if let Some(effect) = self.agent.poll_effect() {
                self.attempt(effect);
            } else if let Some(input) = self.inputs.pop_front() {
                self.agent.handle(self.now, input);
            } else {
                return;
            }
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Persist { number, batch: Batch::Entries { first, entries } } => {
                for (index, entry) in (first.0..).zip(&entries) {
                    self.entries.extend(first_key(entry).map(|key| (LogIndex(index), key)));
                }
                self.coordinator.handle(self.now, Input::Persisted { number });
            }
            Effect::LoadPage { job, end, page, index } => {
                let first = self.entries.get(&index).copied().unwrap_or_default();
                let count = self.pages.get(&first).copied().unwrap_or_default();
                let page = Page { id: page, entries: (first..first + count).map(entry).collect() };
                self.coordinator.handle(self.now, Input::PageLoaded { job, end, page });
            }
            Effect::Order { order, .. } => self.inputs.push_back(AgentInput::Order(order)),
            Effect::Emit(Event::JobEnded { outcome, .. }) => {
                self.ended = Some(format!("{outcome:?}"));
            }
            _ => {}
        }
    }

    fn attempt(&mut self, effect: AgentEffect) {
        match effect {
            AgentEffect::Start { assignment, attempt } => self.begin(&assignment, attempt),
            AgentEffect::Report(report) => {
                self.coordinator.handle(self.now, Input::Report { node: NODE, report });
            }
            AgentEffect::Heartbeat { boot, held } => {
                let heartbeat = Heartbeat {
                    boot,
                    addresses: Addresses::default(),
                    slots: SLOTS,
                    held,
                    written: Vec::new(),
                    members_version: 0,
                    version: String::new(),
                    figures: Vec::new(),
                    shares: None,
                    gates: Vec::new(),
                    formats: Formats::BUILD,
                    spent: Vec::new(),
                };
                let beat = Input::Heartbeat { node: NODE, heartbeat, at: self.now };
                self.coordinator.handle(self.now, beat);
            }
            AgentEffect::Cancel(id) => self.listers.retain(|lister| lister.order.0 != id),
            // Whatever is handed in is on record before the next is.
            AgentEffect::Recorded(_) => {}
        }
    }

    fn begin(&mut self, assignment: &Assignment, attempt: u32) {
        self.orders += 1;
        let order = (assignment.id, attempt);
        match &assignment.work {
            Work::List { after, next: turn, until, cuts, pages, .. } => {
                let next = after.as_ref().map_or(0, |key| number(key) + 1);
                let end = until.as_ref().map_or(self.source.keys, |key| number(key) + 1);
                let (cuts, pages) =
                    if self.source.is_tree { (0, u32::MAX) } else { (*cuts, *pages) };
                let turn = *turn;
                self.listers.push_back(Lister { order, next, end, turn, cuts, pages });
            }
            Work::Compare { page } => {
                let unchanged = |entry: &Entry| Comparison::Unchanged { bytes: entry.size };
                let compared = page.entries.iter().map(unchanged).collect();
                match self.source.pages_ahead {
                    0 => self.answer(order, Completion::Compared(compared)),
                    _ => self.compared.push_back((order, Completion::Compared(compared))),
                }
            }
            _ => self.answer(order, Completion::Cleaned),
        }
    }

    fn answer(&mut self, (assignment, attempt): (AssignmentId, u32), completion: Completion) {
        let result = Ok(completion);
        self.inputs.push_back(AgentInput::Outcome { assignment, attempt, result, wire_bytes: 0 });
    }

    /// One page, a cut, or the end of an order.
    fn list(&mut self, mut lister: Lister) {
        let (order, page, left) = (lister.order, lister.turn, lister.end - lister.next);
        let (unreadable, unreadable_count) = (Vec::new(), 0);
        let end = ListingEnd { pages: page, unreadable, unreadable_count };
        if left == 0 {
            return self.answer(order, Completion::Listed(end));
        }
        if lister.pages == 0 {
            return self.answer(order, Completion::PartListed(end));
        }
        lister.turn = page.next();
        let (parts, page_keys) = (u64::from(lister.cuts) + 1, self.source.page_keys);
        let completion = if parts > 1 && page > PageId(0) && left > 2 * parts * page_keys {
            let at = (1..parts).map(|part| key(lister.next + left * part / parts)).collect();
            (lister.end, lister.cuts) = (lister.next + left / parts + 1, 0);
            Completion::Cut { page, at }
        } else {
            let count = left.min(page_keys);
            let entries = (lister.next..lister.next + count).map(entry).collect();
            self.pages.insert(lister.next, count);
            (lister.next, lister.pages) = (lister.next + count, lister.pages - 1);
            Completion::Page { page, entries, unreadable: Unreadable::default() }
        };
        self.listers.push_back(lister);
        self.answer(order, completion);
    }

    /// Holds the listing to the keys that there are: each once, in order.
    fn finish(self, job: JobId) -> Result<Crowd, String> {
        let ended = self.ended.unwrap_or_default();
        let job = self.coordinator.state().jobs.get(&job).ok_or("the job is gone")?;
        let mut next = 0;
        for page in (0..).map_while(|place| job.source.page_at(place)) {
            let index = job.source.pages.get(page.0 as usize).ok_or("a page has no entry")?;
            let first = self.entries.get(index).copied();
            if first != Some(next) {
                return Err(format!("page {} begins with {first:?}, not with {next}", page.0));
            }
            next += self.pages.get(&next).copied().unwrap_or_default();
        }
        let unchanged = job.totals.objects.unchanged;
        let keys = self.source.keys;
        if (next, unchanged) != (keys, keys) || !ended.starts_with("Completed") {
            return Err(format!(
                "{next} keys listed, {unchanged} unchanged, and it ended: {ended}"
            ));
        }
        let (pages, ranges, orders) = (job.source.page_count(), self.ranges, self.orders);
        Ok(Crowd { keys, pages, ranges, orders, waiting: self.waiting })
    }
}

fn key(number: u64) -> Key {
    Key::from(format!("k{number:0DIGITS$}").as_str())
}

fn number(key: &Key) -> u64 {
    key.as_bytes().iter().skip(1).fold(0, |sum, digit| sum * 10 + u64::from(digit & 0x0f))
}

fn entry(number: u64) -> Entry {
    Entry {
        key: key(number),
        kind: Kind::Object,
        size: 1,
        mtime_ns: Some(1),
        version: Version::ETag(format!("{number:032x}").into()),
        is_archived: false,
    }
}

/// The first key in an entry of the log, of which only those with pages are looked up.
fn first_key(entry: &[u8]) -> Option<u64> {
    let front = &entry[..entry.len().min(100)];
    let is_key = |it: &&[u8]| it[0] == b'k' && it[1..].iter().all(u8::is_ascii_digit);
    let found = front.windows(DIGITS + 1).find(is_key)?;
    Some(number(&Key::new(found)))
}

#[cfg(test)]
mod tests {
    use airlift_protocol::limits::{
        LIST_PAGES_MAX, LIST_RANGES_MAX, LOG_WAITING_MAX, PAGES_LISTED_MAX,
    };

    use super::*;

    #[test]
    fn a_few_hundred_thousand_keys_are_listed_once_each_by_many_at_once() {
        let crowd = list(400_000).unwrap();
        assert_eq!((crowd.keys, crowd.ranges), (400_000, 16));
        assert_eq!(list(3).unwrap().pages, 1);
    }

    /// Every page of which something is left to do is part of the state.
    #[test]
    fn a_listing_does_not_run_away_from_what_is_done_with_its_pages() {
        let most = PAGES_LISTED_MAX;
        for (is_tree, keys, at_most) in [
            (false, 3 * most / 2, most + LIST_RANGES_MAX * LIST_PAGES_MAX as usize),
            (true, 5 * most / 2, 2 * most + LOG_WAITING_MAX),
        ] {
            let keys = keys as u64;
            let source = Source { keys, page_keys: 1, pages_ahead: 8, is_tree };
            let crowd = list_all(source).unwrap();
            assert!((most..=at_most).contains(&crowd.waiting), "{is_tree} {crowd:?}");
        }
    }
}
