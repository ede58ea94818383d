//! The lines of a job's report, from the manifest pages and the records.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use airlift_coordinator::event::{Event, ObjectEnd};
use airlift_coordinator::state::{Job, ObjectFact};
use airlift_protocol::assignment::End;
use airlift_protocol::error::ErrorCode;
use airlift_protocol::id::{JobId, LogIndex, NodeId, PageId, Position};
use airlift_protocol::key::Key;
use airlift_protocol::manifest::Page;
use tokio::runtime::Handle;

use super::ask::Asker;
use super::records::RecordFile;
use super::service::{Line, Place, Records, Start};
use super::talk;
use crate::api::error::{ApiCode, ApiError};
use crate::api::line::ReportLine;
use crate::network::control::ControlNetwork;
use crate::storage::consensus::ConsensusFile;
use crate::store::StoreError;

/// Makes reports on a voter.
#[derive(Debug)]
pub(super) struct Lines {
    pub(super) asker: Asker,
    pub(super) control: Arc<ControlNetwork>,
    /// The log; `None` on a node that is no voter.
    pub(super) file: Option<Arc<ConsensusFile>>,
    pub(super) records: Arc<RecordFile>,
    pub(super) runtime: Handle,
    pub(super) found: FoundKeys,
}

/// Keys of objects that failed, which are asked for again and again while a job is watched. A page of the
/// log never changes.
#[derive(Debug, Default)]
pub(super) struct FoundKeys(Mutex<BTreeMap<(LogIndex, u16), Key>>);

/// Keys that are remembered: those of some jobs.
const FOUND_MAX: usize = 1_000;

impl FoundKeys {
    /// The keys of objects: as they were found before, or in the pages that `read` finds.
    fn find(
        &self,
        objects: &[(LogIndex, u16)],
        read: impl Fn(LogIndex) -> Option<Page>,
    ) -> Vec<Option<Key>> {
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut last: Option<(LogIndex, Option<Page>)> = None;
        let mut key = |(index, place): (LogIndex, u16)| {
            if let Some(key) = lock().get(&(index, place)) {
                return Some(key.clone());
            }
            if last.as_ref().is_none_or(|(of, _)| *of != index) {
                last = Some((index, read(index)));
            }
            let key = last.as_ref()?.1.as_ref()?.entry(place)?.key.clone();
            let mut found = lock();
            if found.len() >= FOUND_MAX {
                found.clear();
            }
            found.insert((index, place), key.clone());
            Some(key)
        };
        objects.iter().map(|object| key(*object)).collect()
    }
}

/// Where a job's pages are.
struct Listings {
    run: u32,
    pages: Vec<(End, PageId, LogIndex)>,
    /// What is about no listed object; nothing while the job runs, so that it stays at the end.
    beside: Vec<Event>,
    voters: Vec<NodeId>,
}

/// The page that lines beside the listings count as: no listing has as many.
const BESIDE: PageId = PageId(u32::MAX);

impl Lines {
    fn listings(&self, id: JobId) -> Result<Option<Listings>, ApiError> {
        let look = self.asker.look(move |sight| {
            let job = sight.coordinator?.state().jobs.get(&id)?;
            let of = |end: End| {
                let pages = job.listing(end).pages.iter();
                (0u32..).zip(pages).map(move |(page, index)| (end, PageId(page), *index))
            };
            let pages = of(End::Source).chain(of(End::Target)).collect();
            let own = sight.node;
            let others = sight.members.members.iter();
            let others = others.filter(|it| it.raft.is_some() && it.id != own).map(|it| it.id);
            let beside = beside(id, job);
            Some(Listings { run: job.run, pages, beside, voters: others.collect() })
        });
        self.runtime
            .block_on(look)
            .map_err(|_| ApiError::new(ApiCode::Unavailable, "the node is stopping"))
    }

    fn page(&self, index: LogIndex, voters: &[NodeId]) -> Result<Page, ApiError> {
        let found = match &self.file {
            Some(file) => file.find_page(index).map_err(internal)?,
            None => None,
        };
        let found =
            found.or_else(|| self.runtime.block_on(talk::find_page(&self.control, voters, index)));
        found.ok_or_else(|| {
            ApiError::new(ApiCode::Unavailable, "a page of the listing is on no voter that answers")
        })
    }
}

fn internal(error: StoreError) -> ApiError {
    ApiError::new(ApiCode::Internal, error.detail())
}

impl Records for Lines {
    fn lines(&self, job: JobId, from: Start, max: usize) -> Result<Vec<Line>, ApiError> {
        let Some(listings) = self.listings(job)? else { return Ok(Vec::new()) };
        let run = (job, listings.run);
        let mut start = from;
        let mut lines = Vec::new();
        for (end, page_id, index) in listings.pages {
            let (first, skipped) = match start {
                Start::After(place) if (end, page_id) < (place.end, place.position.page) => {
                    continue;
                }
                Start::After(place) if (end, page_id) == (place.end, place.position.page) => {
                    let Some(next) = place.position.index.checked_add(1) else { continue };
                    (next, 0)
                }
                Start::After(_) | Start::Line(0) => (0, 0),
                Start::Line(left) => {
                    let count = self.records.count_of_page(run, end, page_id).map_err(internal)?;
                    if count <= left {
                        start = Start::Line(left - count);
                        continue;
                    }
                    start = Start::Line(0);
                    (0, usize::try_from(left).unwrap_or(usize::MAX))
                }
            };
            let wanted = skipped.saturating_add(max - lines.len());
            let facts =
                self.records.of_page(run, end, (page_id, first), wanted).map_err(internal)?;
            if facts.len() <= skipped {
                continue;
            }
            let page = self.page(index, &listings.voters)?;
            for (place, fact) in facts.into_iter().skip(skipped) {
                let position = Position { page: page_id, index: place };
                let text = line(job, &page, place, fact)?;
                lines.push(Line { place: Place { end, position }, text });
            }
            if lines.len() >= max {
                return Ok(lines);
            }
        }
        let first = match start {
            Start::After(place) if place.position.page == BESIDE => {
                usize::from(place.position.index) + 1
            }
            Start::After(_) => 0,
            Start::Line(left) => usize::try_from(left).unwrap_or(usize::MAX),
        };
        let wanted = max - lines.len();
        for (index, event) in (0u16..).zip(&listings.beside).skip(first).take(wanted) {
            let position = Position { page: BESIDE, index };
            let place = Place { end: End::Target, position };
            lines.push(Line { place, text: text_of(event)? });
        }
        Ok(lines)
    }

    fn keys(&self, objects: &[(LogIndex, u16)]) -> Vec<Option<Key>> {
        // The pages that the state refers to are kept here, on every voter.
        self.found.find(objects, |index| self.page(index, &[]).ok())
    }
}

/// Places that could not be listed, and what was left over, as far as the state names them.
fn beside(id: JobId, job: &Job) -> Vec<Event> {
    if job.is_running() {
        return Vec::new();
    }
    let unreadable = [End::Source, End::Target].into_iter().flat_map(|end| {
        let named = job.listing(end).end.iter().flat_map(|found| &found.unreadable);
        named.map(move |(key, failure)| Event::Unreadable {
            job: id,
            end,
            key: key.clone(),
            failure: failure.clone(),
        })
    });
    let left_over = job.left_over.named.iter().map(|(key, failure)| Event::LeftOver {
        job: id,
        key: key.clone(),
        failure: failure.clone(),
    });
    unreadable.chain(left_over).collect()
}

fn line(job: JobId, page: &Page, place: u16, fact: ObjectFact) -> Result<String, ApiError> {
    let entry = page.entry(place).ok_or_else(|| wrong("its object is in no listing"))?;
    let ObjectFact { status, root, reason, dropped, sum } = fact;
    let (key, bytes) = (entry.key.clone(), entry.size);
    let object = ObjectEnd { key, status, bytes, root, reason, dropped, sum };
    text_of(&Event::ObjectFinished { job, object })
}

fn text_of(event: &Event) -> Result<String, ApiError> {
    let line = ReportLine::of_event(event).ok_or_else(|| wrong("this event has none"))?;
    serde_json::to_string(&line).map_err(|error| wrong(&error.to_string()))
}

fn wrong(what: &str) -> ApiError {
    internal(StoreError::new(ErrorCode::CorruptState, format!("a report's line: {what}")))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use airlift_protocol::manifest::{Entry, Kind, Version};

    use super::*;

    #[test]
    fn each_page_is_read_once_and_a_missing_one_has_no_keys() {
        let entry = |number: u64| Entry {
            key: Key::from(format!("k{number}").as_str()),
            kind: Kind::Object,
            size: 1,
            mtime_ns: None,
            version: Version::None,
            is_archived: false,
        };
        let reads = Cell::new(0);
        let read = |index: LogIndex| {
            reads.set(reads.get() + 1);
            let entries = (10 * index.0..10 * index.0 + 3).map(entry).collect();
            (index != LogIndex(9)).then_some(Page { id: PageId(0), entries })
        };
        let (found, at) = (FoundKeys::default(), |index, place| (LogIndex(index), place));
        let objects = [at(1, 0), at(1, 2), at(2, 1), at(2, 7), at(9, 0)];
        let expected = ["k10", "k12", "k21"].map(|key| Some(Key::from(key)));
        for reads_expected in [3, 5] {
            let keys = found.find(&objects, read);
            assert_eq!((&keys[..3], &keys[3..]), (&expected[..], &[None, None][..]));
            assert_eq!(reads.get(), reads_expected, "what was found is not read again");
        }
    }
}
