//! Lists a range of keys: what is found becomes pages, and what is left is cut where the order allows it.

use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;

use airlift_protocol::assignment::End;
use airlift_protocol::error::{Class, ErrorCode, Failure};
use airlift_protocol::id::{AssignmentId, PageId};
use airlift_protocol::key::Key;
use airlift_protocol::limits::{LIST_PASSED_MAX, OBJECT_BYTES_MAX};
use airlift_protocol::manifest::{Entry, PageBuilder};
use airlift_protocol::report::{Completion, ListingEnd, Unreadable};
use airlift_protocol::units::ByteCount;
use tokio::sync::{mpsc, oneshot};

use super::cut;
use super::executor::{Executor, not_here};
use crate::pipeline::compare;
use crate::store::{ListRequest, Listed, Store, StoreError};

/// Batches of entries between a lister and the pages.
const LISTED_AHEAD: usize = 8;

/// Keys after which an order looks where to cut what is left: four answers of a service. The search takes
/// some twenty small requests beside the listing, and less than that is not worth them.
const KEYS_BEFORE_CUT: usize = 4_000;

/// What an order to list says.
#[derive(Debug)]
pub(super) struct Range {
    pub(super) end: End,
    pub(super) after: Option<Key>,
    pub(super) until: Option<Key>,
    pub(super) next: PageId,
    pub(super) cuts: u32,
    pub(super) pages: u32,
}

/// Why no more is taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// The store has no more.
    Exhausted,
    /// The end of the range was reached.
    Reached,
    /// The order is for no more pages.
    Rest,
    /// Nobody takes the pages.
    Unwanted,
}

type Cuts<'a> = Pin<Box<dyn Future<Output = Vec<Key>> + Send + 'a>>;

impl Executor {
    /// Lists a range of one end and hands in its pages.
    pub(super) async fn list(
        &self,
        attempt: (AssignmentId, u32),
        range: Range,
    ) -> Result<Completion, Failure> {
        let store = match range.end {
            End::Source => self.source.as_ref(),
            End::Target => self.transfer.as_ref().map(|transfer| &transfer.target),
        };
        let store = store.ok_or_else(|| not_here(range.end))?;
        if let Some(single) = &self.spec.single {
            return self.list_single(store, attempt, &single.source_key, range.after).await;
        }
        let inventory = self.inventory.as_ref().filter(|_| range.end == End::Source);
        let (found, listed) = mpsc::channel(LISTED_AHEAD);
        let request = ListRequest { after: range.after.clone(), until: range.until.clone() };
        let list = async {
            match inventory {
                Some(inventory) => inventory.list(store.as_ref(), request, found).await,
                None => store.list(request, found).await,
            }
        };
        let is_missing_target =
            |error: &StoreError| range.end == End::Target && compare::is_absence(&self.spec, error);
        let cuttable = inventory.is_none() && store.capabilities().lists_ranges;
        let mut lister = Lister {
            executor: self,
            attempt,
            store: cuttable.then_some(store.as_ref()),
            builder: PageBuilder::new(),
            last: range.after,
            until: range.until,
            next: range.next,
            cuts: range.cuts,
            pages: range.pages,
            seen: 0,
            told: 0,
            unreadable: Unreadable::default(),
            behind: Unreadable::default(),
            record: None,
        };
        let (outcome, stop) = tokio::join!(list, lister.run(listed));
        let end = lister.end();
        match stop {
            // What was read ahead does not matter any more.
            Stop::Reached => Ok(Completion::Listed(end)),
            // Whatever was not taken is missing: this is not the end of the range.
            Stop::Unwanted => {
                let text = "what was listed is not taken any more";
                Err(Failure::new(ErrorCode::LeaseLost, text))
            }
            Stop::Rest => Ok(Completion::PartListed(end)),
            Stop::Exhausted => match outcome {
                Err(error) if is_missing_target(&error) => Ok(Completion::Listed(end)),
                Err(error) => {
                    // Another attempt goes on after what is on record by then.
                    let _ = lister.wait_for_record().await;
                    Err(error.into())
                }
                Ok(()) => Ok(Completion::Listed(end)),
            },
        }
    }

    /// The listing of a job that is about one object.
    async fn list_single(
        &self,
        store: &Arc<dyn Store>,
        attempt: (AssignmentId, u32),
        key: &Key,
        after: Option<Key>,
    ) -> Result<Completion, Failure> {
        if after.is_none() {
            let missing = || {
                let text = format!("the source {key} does not exist any more");
                StoreError::new(ErrorCode::LocationMissing, text)
            };
            let mut found = store.lookup(vec![key.clone()]).await;
            let entry = found.pop().ok_or_else(missing)??.ok_or_else(missing)?;
            if entry.size > OBJECT_BYTES_MAX {
                return Err(too_large(&entry));
            }
            let (page, entries, unreadable) = (PageId(0), vec![entry], Unreadable::default());
            let page = Completion::Page { page, entries, unreadable };
            let _ = self.hand_in_turn(attempt, page).await;
        }
        let pages = PageId(1);
        Ok(Completion::Listed(ListingEnd { pages, unreadable: Vec::new(), unreadable_count: 0 }))
    }
}

/// A listing of a range under way.
struct Lister<'a> {
    executor: &'a Executor,
    attempt: (AssignmentId, u32),
    /// The store, where ranges of its keys can be listed beside each other.
    store: Option<&'a dyn Store>,
    builder: PageBuilder,
    /// The last key that was found.
    last: Option<Key>,
    until: Option<Key>,
    /// The number of the page or cut that is handed in next.
    next: PageId,
    cuts: u32,
    /// Pages that are still to be handed in.
    pages: u32,
    /// Keys found.
    seen: usize,
    /// As many as had been found when a page was handed in last, or how far the listing got.
    told: usize,
    /// Places before the last entry of the next page that could not be listed.
    unreadable: Unreadable,
    /// Those behind it.
    behind: Unreadable,
    /// Tells when what was handed in last is on record.
    record: Option<oneshot::Receiver<()>>,
}

impl<'a> Lister<'a> {
    /// Takes in what is found until there is no more, or enough.
    async fn run(&mut self, mut listed: mpsc::Receiver<Listed>) -> Stop {
        let mut search: Option<Cuts<'a>> = None;
        let stop = loop {
            let searched = async {
                match &mut search {
                    Some(search) => search.await,
                    None => pending().await,
                }
            };
            let is_at_rest = self.record.is_none();
            let recorded = async {
                match &mut self.record {
                    Some(record) => record.await,
                    None => pending().await,
                }
            };
            // Whoever takes over from a node that died lists again what was found behind the last page on
            // record. So nothing more is taken in until the one that was handed in is there: no more than that,
            // and what the store has answered ahead, is ever listed twice.
            let is_wanted = tokio::select! {
                is_recorded = recorded => {
                    self.record = None;
                    is_recorded.map_err(|_| Stop::Unwanted)
                }
                finding = listed.recv(), if is_at_rest => match finding {
                    None => break Stop::Exhausted,
                    // Whoever has what is behind a cut finds it too.
                    Some(Listed::Unreadable(key, _)) if self.is_beyond(&key) => Err(Stop::Reached),
                    Some(Listed::Unreadable(key, error)) => {
                        self.behind.add(key, error.into());
                        Ok(())
                    }
                    Some(Listed::Entries(entries)) => self.take(entries).await,
                },
                at = searched => {
                    search = None;
                    self.cut(at).await
                }
            };
            if let Err(stop) = is_wanted {
                break stop;
            }
            if search.is_none() && self.cuts > 0 && self.seen >= KEYS_BEFORE_CUT {
                search = self.search();
            }
        };
        // Whoever finds more has no use for it.
        drop(listed);
        if stop == Stop::Exhausted || stop == Stop::Reached {
            let rest = std::mem::take(&mut self.builder).finish();
            if let Some(rest) = rest
                && let Err(unwanted) = self.hand_in_page(rest).await
            {
                return unwanted;
            }
        } else {
            // Whoever goes on finds it again.
            self.behind = Unreadable::default();
        }
        stop
    }

    /// What is said at the end, after [`Self::run`].
    fn end(&mut self) -> ListingEnd {
        let Unreadable { named: unreadable, count: unreadable_count } =
            std::mem::take(&mut self.behind);
        ListingEnd { pages: self.next, unreadable, unreadable_count }
    }

    /// A cut may have come between.
    fn is_beyond(&self, key: &Key) -> bool {
        self.until.as_ref().is_some_and(|until| key > until)
    }

    async fn take(&mut self, entries: Vec<Entry>) -> Result<(), Stop> {
        for entry in entries {
            if self.is_beyond(&entry.key) {
                return Err(Stop::Reached);
            }
            self.last = Some(entry.key.clone());
            self.seen += 1;
            if !self.executor.filter.accepts(&entry.key) {
                continue;
            }
            if entry.size > OBJECT_BYTES_MAX {
                let failure = too_large(&entry);
                self.behind.add(entry.key, failure);
                continue;
            }
            if let Some(full) = self.builder.push(entry) {
                self.page(full).await?;
            }
            self.unreadable.merge(std::mem::take(&mut self.behind));
        }
        // What is first of a range begins to move at once; and of many keys that are left out, whoever goes
        // on elsewhere is not to look at all again.
        let is_due = self.seen - self.told >= LIST_PASSED_MAX;
        if self.next == PageId(0) || is_due {
            match std::mem::take(&mut self.builder).finish() {
                Some(entries) => self.page(entries).await?,
                None if is_due => self.pass().await?,
                None => {}
            }
        }
        Ok(())
    }

    async fn page(&mut self, entries: Vec<Entry>) -> Result<(), Stop> {
        self.hand_in_page(entries).await?;
        self.told = self.seen;
        self.go_on().await
    }

    /// Says how far the listing got, although nothing was found that is to be moved.
    async fn pass(&mut self) -> Result<(), Stop> {
        let Some(up_to) = self.last.clone() else { return Ok(()) };
        self.unreadable.merge(std::mem::take(&mut self.behind));
        let unreadable = std::mem::take(&mut self.unreadable);
        self.told = self.seen;
        let passed = Completion::Passed { page: self.next, up_to, unreadable };
        self.hand_in(passed).await?;
        self.go_on().await
    }

    async fn go_on(&mut self) -> Result<(), Stop> {
        self.pages = self.pages.saturating_sub(1);
        if self.pages == 0 && self.can_rest().await { Err(Stop::Rest) } else { Ok(()) }
    }

    /// Whether another order could go on from here: elsewhere it would look for the place, and there are
    /// services that speak S3 and list from the beginning whatever they are asked.
    async fn can_rest(&mut self) -> bool {
        let (Some(store), Some(last)) = (self.store, &self.last) else { return false };
        let can = matches!(store.next_key(last).await, Ok(Some(next)) if next > *last);
        self.pages = if can { 0 } else { u32::MAX };
        can
    }

    async fn hand_in_page(&mut self, entries: Vec<Entry>) -> Result<(), Stop> {
        let unreadable = std::mem::take(&mut self.unreadable);
        self.hand_in(Completion::Page { page: self.next, entries, unreadable }).await
    }

    async fn hand_in(&mut self, turn: Completion) -> Result<(), Stop> {
        self.wait_for_record().await?;
        self.next = self.next.next();
        self.record = self.executor.hand_in_turn(self.attempt, turn).await;
        if self.record.is_some() { Ok(()) } else { Err(Stop::Unwanted) }
    }

    /// Waits until what was handed in last is on record.
    async fn wait_for_record(&mut self) -> Result<(), Stop> {
        match self.record.take() {
            Some(record) => record.await.map_err(|_| Stop::Unwanted),
            None => Ok(()),
        }
    }

    /// Looks where to cut what is left of the range, once, while the listing goes on.
    fn search(&mut self) -> Option<Cuts<'a>> {
        let count = std::mem::take(&mut self.cuts) as usize;
        let (store, after) = (self.store?, self.last.clone()?);
        let until = self.until.clone();
        let next_key = move |key: Key| async move {
            match store.next_key(&key).await {
                // A store that cannot have such a key has not said that nothing is behind it, but the
                // search may go on as if it had.
                Err(error) if error.code.class() == Class::Permanent => Ok(None),
                answer => answer,
            }
        };
        Some(Box::pin(async move {
            let found = cut::find(&after, until.as_ref(), count, next_key).await;
            found.unwrap_or_else(|error| {
                // The listing itself meets the same trouble, and reports it.
                tracing::debug!(%error, "what is left of a range is not cut");
                Vec::new()
            })
        }))
    }

    /// Leaves what is behind these keys to others, but for what was found meanwhile.
    async fn cut(&mut self, at: Vec<Key>) -> Result<(), Stop> {
        let at: Vec<Key> = at.into_iter().filter(|key| Some(key) > self.last.as_ref()).collect();
        let Some(first) = at.first().cloned() else { return Ok(()) };
        let page = self.next;
        self.until = Some(first);
        self.hand_in(Completion::Cut { page, at }).await
    }
}

fn too_large(entry: &Entry) -> Failure {
    let (bytes, bytes_max) = (ByteCount(entry.size), ByteCount(OBJECT_BYTES_MAX));
    let text = format!("{}: {bytes} are more than the {bytes_max} that can be moved", entry.key);
    Failure::new(ErrorCode::TooLarge, text)
}

#[cfg(test)]
mod tests;
