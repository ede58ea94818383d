//! Listings of the simulated stores, range by range: page after page of random length, with cuts at
//! random keys where the order allows them.

use airlift_protocol::assignment::{End, Work};
use airlift_protocol::error::{ErrorCode, Failure};
use airlift_protocol::id::PageId;
use airlift_protocol::key::Key;
use airlift_protocol::manifest::Entry;
use airlift_protocol::report::{Completion, ListingEnd, Unreadable};

use super::World;
use super::attempt::{Attempt, Step};
use crate::stores::entry;

/// Chances in a thousand that a lister cuts its range before its next page, when it may.
const CUT: u64 = 400;

/// Chances in a thousand that a lister leaves the rest of its range to others after a page: the lives are
/// too short for orders to come to the number of pages that they are for.
const REST: u64 = 150;

/// Chances in a thousand that a lister says how far it got before its next page, as if it had left out what
/// it looked at.
const PASS: u64 = 50;

/// How far a listing got.
#[derive(Clone, Debug, Default)]
pub(crate) struct Listed {
    /// The last key that was told.
    after: Option<Key>,
    until: Option<Key>,
    /// The number of the page or cut that comes next.
    next: PageId,
    cuts: u32,
    /// Places that could not be read since the last page.
    unreadable: u64,
}

impl Listed {
    pub(crate) fn of(work: &Work) -> Self {
        match work {
            Work::List { after, next, until, cuts, .. } => Self {
                after: after.clone(),
                until: until.clone(),
                next: *next,
                cuts: *cuts,
                unreadable: 0,
            },
            _ => Self::default(),
        }
    }

    fn is_within(&self, key: &Key) -> bool {
        self.after.as_ref().is_none_or(|after| key > after)
            && self.until.as_ref().is_none_or(|until| key <= until)
    }

    fn take_unreadable(&mut self) -> Unreadable {
        let mut found = Unreadable::default();
        for at in 0..std::mem::take(&mut self.unreadable) {
            let key = Key::from(format!("~unreadable-{at}/").as_str());
            found.add(key, Failure::new(ErrorCode::PermissionDenied, "simulated"));
        }
        found
    }

    fn end(&mut self) -> ListingEnd {
        let Unreadable { named: unreadable, count: unreadable_count } = self.take_unreadable();
        ListingEnd { pages: self.next, unreadable, unreadable_count }
    }
}

impl World {
    /// One page, a cut, or the end.
    pub(super) fn list(&mut self, attempt: &mut Attempt, end: End) -> Step {
        let completion = match self.cut(attempt, end) {
            Some(at) => {
                let listed = &mut attempt.listed;
                let page = listed.next;
                (listed.until, listed.next, listed.cuts) = (Some(at[0].clone()), page.next(), 0);
                Completion::Cut { page, at }
            }
            None => {
                if attempt.listed.next > PageId(0) && self.timing.chance(REST) {
                    let end = attempt.listed.end();
                    return Step::Answer(Ok(Completion::PartListed(end)));
                }
                if let Some(up_to) = self.pass(attempt) {
                    let listed = &mut attempt.listed;
                    let page = listed.next;
                    (listed.after, listed.next) = (Some(up_to.clone()), page.next());
                    let unreadable = listed.take_unreadable();
                    return Step::Tell(Completion::Passed { page, up_to, unreadable });
                }
                let entries = self.next_entries(attempt, end);
                if self.faults.chance(self.options.unreadable) {
                    attempt.listed.unreadable += 1;
                }
                let listed = &mut attempt.listed;
                let Some(last) = entries.last() else {
                    return Step::Answer(Ok(Completion::Listed(listed.end())));
                };
                let page = listed.next;
                (listed.after, listed.next) = (Some(last.key.clone()), page.next());
                Completion::Page { page, entries, unreadable: listed.take_unreadable() }
            }
        };
        Step::Tell(completion)
    }

    /// A key right behind the last one, up to which there can be no other.
    fn pass(&mut self, attempt: &Attempt) -> Option<Key> {
        let listed = &attempt.listed;
        let last = listed.after.as_ref().filter(|_| self.timing.chance(PASS))?;
        let next = Key::new([last.as_bytes(), b"\0"].concat());
        listed.is_within(&next).then_some(next)
    }

    fn next_entries(&mut self, attempt: &Attempt, end: End) -> Vec<Entry> {
        let length = 1 + self.timing.below(self.options.page_entries) as usize;
        let (lag, now) = (self.options.listing_lag_ms, self.now);
        let listed = &attempt.listed;
        let stores = self.stores(attempt.assignment.job);
        match end {
            End::Source => {
                let found = stores.source.iter().filter(|(key, _)| listed.is_within(key));
                found.take(length).map(|(key, content)| entry(key, *content)).collect()
            }
            End::Target => {
                let is_shown = |since: u64| since == 0 || since + lag <= now;
                let found = stores
                    .target
                    .iter()
                    .filter(|(key, it)| listed.is_within(key) && is_shown(it.since));
                found.take(length).map(|(key, stored)| entry(key, stored.content)).collect()
            }
        }
    }

    /// Keys at which what is left of a range is cut: now those of objects, now others, crowded at
    /// times so that most of it stays in one range.
    fn cut(&mut self, attempt: &Attempt, end: End) -> Option<Vec<Key>> {
        let listed = &attempt.listed;
        if listed.cuts == 0 || listed.next == PageId(0) || !self.timing.chance(CUT) {
            return None;
        }
        let stores = self.stores(attempt.assignment.job);
        let is_within = |key: &&Key| listed.is_within(key);
        let keys: Vec<Key> = match end {
            End::Source => stores.source.keys().filter(is_within).cloned().collect(),
            End::Target => stores.target.keys().filter(is_within).cloned().collect(),
        };
        let (count, crowd) =
            (1 + self.timing.below(u64::from(listed.cuts)), self.timing.chance(500));
        let within = if crowd { keys.len().min(4) } else { keys.len() } as u64;
        let mut at: Vec<Key> = (0..count)
            .filter_map(|_| {
                let key = keys.get(self.timing.below(within.max(1)) as usize)?;
                let is_other = self.timing.chance(300);
                let suffix: &[u8] = if is_other { b"-" } else { b"" };
                Some(Key::new([key.as_bytes(), suffix].concat()))
            })
            .filter(|key| listed.is_within(key) && Some(key) != listed.until.as_ref())
            .collect();
        at.sort_unstable();
        at.dedup();
        (!at.is_empty()).then_some(at)
    }
}
