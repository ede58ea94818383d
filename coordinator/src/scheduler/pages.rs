//! The manifest pages in memory: those in work, and no more.

use std::collections::{BTreeMap, BTreeSet};

use airlift_protocol::assignment::End;
use airlift_protocol::bitmap::Bitmap;
use airlift_protocol::id::{JobId, PageId};
use airlift_protocol::limits::{PAGES_ACTIVE_MAX, PAGES_ACTIVE_MIN};
use airlift_protocol::manifest::{Entry, Kind, Page};
use airlift_protocol::shard;

use crate::state::{Job, Phase, Task};

/// Slots that one page keeps busy: it has some thousand entries, in packs of some hundred.
const SLOTS_PER_PAGE: usize = 32;

/// Which page of which listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PageKey {
    /// Of which job.
    pub job: JobId,
    /// Of which end's listing.
    pub end: End,
    /// Which page.
    pub page: PageId,
}

/// A page in memory.
#[derive(Debug)]
struct Loaded {
    page: Page,
    /// The entries that are moved range by range.
    large: Bitmap,
}

/// Pages by their place.
#[derive(Debug, Default)]
pub struct Pages {
    loaded: BTreeMap<PageKey, Loaded>,
    loading: BTreeSet<PageKey>,
}

impl Pages {
    /// The page, when it is in memory.
    pub fn find(&self, key: PageKey) -> Option<&Page> {
        self.loaded.get(&key).map(|loaded| &loaded.page)
    }

    /// The page, when it is in memory, and which of its entries are moved range by range.
    pub(super) fn find_split(&self, key: PageKey) -> Option<(&Page, &Bitmap)> {
        self.loaded.get(&key).map(|loaded| (&loaded.page, &loaded.large))
    }

    /// Keeps a page, until it is no longer wanted.
    pub(crate) fn insert(&mut self, key: PageKey, page: Page) {
        self.loading.remove(&key);
        let entries = (0..).zip(&page.entries);
        let large = entries.filter(|(_, entry)| is_large(entry)).map(|(index, _)| index).collect();
        self.loaded.insert(key, Loaded { page, large });
    }

    /// Takes in a page that was asked for; another is of an earlier run, or not wanted any more.
    pub(crate) fn loaded(&mut self, key: PageKey, page: Page) {
        if self.loading.contains(&key) {
            self.insert(key, page);
        }
    }

    /// Forgets the pages of a job: its next run has others in their place.
    pub(crate) fn forget(&mut self, job: JobId) {
        self.loaded.retain(|key, _| key.job != job);
        self.loading.retain(|key| key.job != job);
    }

    /// Drops pages that are not wanted, and returns those that have to be loaded.
    pub(crate) fn retain(&mut self, wanted: &BTreeSet<PageKey>) -> Vec<PageKey> {
        self.loaded.retain(|key, _| wanted.contains(key));
        self.loading.retain(|key| wanted.contains(key));
        let missing: Vec<PageKey> = wanted
            .iter()
            .filter(|key| !self.loaded.contains_key(key) && !self.loading.contains(key))
            .copied()
            .collect();
        self.loading.extend(&missing);
        missing
    }
}

/// Whether an entry is moved range by range.
pub(super) fn is_large(entry: &Entry) -> bool {
    entry.kind == Kind::Object && shard::is_ranged(entry.size)
}

/// Pages of a job that are worked on at once by nodes with so many slots together: packs of the
/// least size that is worth it for each slot, within what memory bears.
pub(crate) fn active_max(slots: usize) -> usize {
    (slots / SLOTS_PER_PAGE).clamp(PAGES_ACTIVE_MIN, PAGES_ACTIVE_MAX)
}

/// Pages that a job works on now, at most `active` of those that it moves or deletes. `diffing` is
/// the place of the source page, in key order, at which its two listings are being compared.
pub(crate) fn wanted(
    id: JobId,
    job: &Job,
    diffing: Option<u32>,
    active: usize,
) -> BTreeSet<PageKey> {
    let key = |end, page| PageKey { job: id, end, page };
    match job.phase {
        Phase::Moving => {
            job.pages.keys().take(active).map(|page| key(End::Source, *page)).collect()
        }
        Phase::Diffing => {
            let target = job.target.page_at(job.diffed).map(|page| key(End::Target, page));
            let source = diffing.filter(|_| target.is_some());
            let source = source.and_then(|place| job.source.page_at(place));
            source.map(|page| key(End::Source, page)).into_iter().chain(target).collect()
        }
        Phase::Deleting => {
            let available = job.extraneous.keys().take(active);
            let leased = job.leases.values().filter_map(|lease| match &lease.task {
                Task::Delete(page, _) => Some(page),
                _ => None,
            });
            available.chain(leased).map(|page| key(End::Target, *page)).collect()
        }
        Phase::ListingTarget | Phase::Cleaning | Phase::Ended | Phase::Stopped => BTreeSet::new(),
    }
}
