//! The manifest pages in memory: those in work, and no more.

use std::collections::{BTreeMap, BTreeSet};

use airlift_protocol::assignment::End;
use airlift_protocol::id::{JobId, PageId};
use airlift_protocol::limits::PAGES_ACTIVE_MAX;
use airlift_protocol::manifest::Page;

use crate::state::{Job, Phase, Task};

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

/// Pages by their place.
#[derive(Debug, Default)]
pub struct Pages {
    loaded: BTreeMap<PageKey, Page>,
    loading: BTreeSet<PageKey>,
}

impl Pages {
    /// The page, when it is in memory.
    pub fn find(&self, key: PageKey) -> Option<&Page> {
        self.loaded.get(&key)
    }

    /// Keeps a page, until it is no longer wanted.
    pub(crate) fn insert(&mut self, key: PageKey, page: Page) {
        self.loading.remove(&key);
        self.loaded.insert(key, page);
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

/// Pages that a job works on now. `diffing` is the source page at which its two listings are
/// being compared.
pub(crate) fn wanted(id: JobId, job: &Job, diffing: Option<PageId>) -> BTreeSet<PageKey> {
    let key = |end, page| PageKey { job: id, end, page };
    match job.phase {
        Phase::Moving => {
            job.pages.keys().take(PAGES_ACTIVE_MAX).map(|page| key(End::Source, *page)).collect()
        }
        Phase::Diffing if job.diffed < job.target.next_page() => {
            let source = diffing.filter(|page| *page < job.source.next_page());
            let source = source.map(|page| key(End::Source, page));
            source.into_iter().chain([key(End::Target, job.diffed)]).collect()
        }
        Phase::Deleting => {
            let available = job.extraneous.keys().take(PAGES_ACTIVE_MAX);
            let leased = job.leases.values().filter_map(|lease| match &lease.task {
                Task::Delete(page, _) => Some(page),
                _ => None,
            });
            available.chain(leased).map(|page| key(End::Target, *page)).collect()
        }
        Phase::ListingTarget | Phase::Diffing | Phase::Cleaning | Phase::Ended | Phase::Stopped => {
            BTreeSet::new()
        }
    }
}
