//! The lines of a job's report, from the manifest pages and the records.

use std::sync::Arc;

use airlift_coordinator::event::{Event, ObjectEnd};
use airlift_coordinator::state::ObjectFact;
use airlift_protocol::assignment::End;
use airlift_protocol::error::ErrorCode;
use airlift_protocol::id::{JobId, LogIndex, NodeId, PageId, Position};
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
}

/// Where a job's pages are.
struct Listings {
    run: u32,
    pages: Vec<(End, PageId, LogIndex)>,
    voters: Vec<NodeId>,
}

impl Lines {
    fn listings(&self, job: JobId) -> Result<Option<Listings>, ApiError> {
        let look = self.asker.look(move |sight| {
            let job = sight.coordinator?.state().jobs.get(&job)?;
            let of = |end: End| {
                let pages = job.listing(end).pages.iter();
                (0u32..).zip(pages).map(move |(page, index)| (end, PageId(page), *index))
            };
            let pages = of(End::Source).chain(of(End::Target)).collect();
            let own = sight.node;
            let others = sight.members.members.iter();
            let others = others.filter(|it| it.raft.is_some() && it.id != own).map(|it| it.id);
            Some(Listings { run: job.run, pages, voters: others.collect() })
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
                break;
            }
        }
        Ok(lines)
    }
}

fn line(job: JobId, page: &Page, place: u16, fact: ObjectFact) -> Result<String, ApiError> {
    let wrong = |what: &str| {
        internal(StoreError::new(ErrorCode::CorruptState, format!("a report's line: {what}")))
    };
    let entry = page.entry(place).ok_or_else(|| wrong("its object is in no listing"))?;
    let ObjectFact { status, root, reason } = fact;
    let object = ObjectEnd { key: entry.key.clone(), status, bytes: entry.size, root, reason };
    let line = ReportLine::of_event(&Event::ObjectFinished { job, object });
    let line = line.ok_or_else(|| wrong("an object's end has one"))?;
    serde_json::to_string(&line).map_err(|error| wrong(&error.to_string()))
}
