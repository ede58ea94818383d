//! Reports of jobs, which the leader gives out in batches.

use std::collections::VecDeque;

use airlift_protocol::assignment::End;
use airlift_protocol::id::{JobId, LogIndex, Position};
use airlift_protocol::key::Key;
use serde::{Deserialize, Serialize};

use super::ClusterService;
use super::call::Call;
use crate::api::error::{ApiCode, ApiError};

/// Lines of one batch.
pub(super) const LINES_MAX: usize = 4096;

/// Bytes of one batch, unless a single line has more: so that it fits into an answer.
const BATCH_BYTES_MAX: usize = 1 << 20;

/// The object that a line is about: its end's listing, and its place there. Lines are in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) end: End,
    pub(crate) position: Position,
}

/// Where to begin reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// With this line, counted from 0: all lines before it are counted first.
    Line(u64),
    /// With the line after the one of this object, which is found at once.
    After(Place),
}

/// A line of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) place: Place,
    pub(crate) text: String,
}

/// What a node keeps of what became of objects.
pub(crate) trait Records: Send + Sync + 'static {
    /// At most `max` lines of the report of the job's last run; none when there are no more. May
    /// block.
    fn lines(&self, job: JobId, from: Start, max: usize) -> Result<Vec<Line>, ApiError>;

    /// The keys of objects, each by the entry of the log that has its page and its place there; none where
    /// the page is on no voter that answers. May block.
    fn keys(&self, objects: &[(LogIndex, u16)]) -> Vec<Option<Key>>;
}

/// Some lines of a report, one after the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Batch {
    /// The run that they are of.
    pub(super) run: u32,
    /// The lines; none at the end of the report.
    pub(super) lines: Vec<String>,
    /// What the last of them is about.
    #[serde(default)]
    pub(super) last: Option<Place>,
}

impl Batch {
    /// As many of `lines` as fit, and at least one.
    pub(super) fn new(run: u32, lines: Vec<Line>) -> Self {
        let mut bytes = 0;
        let mut batch = Self { run, lines: Vec::new(), last: None };
        for line in lines {
            bytes += line.text.len();
            if bytes > BATCH_BYTES_MAX && !batch.lines.is_empty() {
                break;
            }
            batch.lines.push(line.text);
            batch.last = Some(line.place);
        }
        batch
    }
}

/// A report that is being read.
pub(super) struct Reader {
    service: ClusterService,
    job: JobId,
    /// The line after those that were fetched.
    next: u64,
    /// What the last line that was fetched is about.
    last: Option<Place>,
    /// The run that the report is of, once known.
    run: Option<u32>,
    lines: VecDeque<String>,
}

impl Reader {
    /// Reads from line `from` on.
    ///
    /// # Errors
    /// When not even the first lines can be had.
    pub(super) async fn open(
        service: ClusterService,
        job: JobId,
        from: u64,
    ) -> Result<Self, ApiError> {
        let lines = VecDeque::new();
        let mut reader = Self { service, job, next: from, last: None, run: None, lines };
        reader.fetch().await?;
        Ok(reader)
    }

    /// The next line.
    ///
    /// # Errors
    /// When the rest cannot be had.
    pub(super) async fn next(&mut self) -> Result<Option<String>, ApiError> {
        if self.lines.is_empty() {
            self.fetch().await?;
        }
        Ok(self.lines.pop_front())
    }

    async fn fetch(&mut self) -> Result<(), ApiError> {
        let call = Call::Report { job: self.job, from: self.next, after: self.last };
        let batch: Batch = self.service.call_admitted(&call).await?;
        let run = *self.run.get_or_insert(batch.run);
        if run != batch.run {
            let text = "the job was submitted again meanwhile: ask for the report of the new run";
            return Err(ApiError::new(ApiCode::Conflict, text));
        }
        self.next = self.next.saturating_add(batch.lines.len() as u64);
        self.last = batch.last.or(self.last);
        self.lines = batch.lines.into();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use airlift_protocol::id::PageId;

    use super::*;

    fn place(index: u16) -> Place {
        Place { end: End::Source, position: Position { page: PageId(0), index } }
    }

    #[test]
    fn a_batch_is_bounded_and_never_empty_while_there_are_lines() {
        let found = |lengths: &[usize]| {
            let lines = (0..).zip(lengths);
            let lines =
                lines.map(|(index, bytes)| Line { place: place(index), text: "x".repeat(*bytes) });
            let batch = Batch::new(1, lines.collect());
            (batch.lines.len(), batch.last)
        };
        let last = u16::try_from(LINES_MAX).unwrap() - 1;
        assert_eq!(found(&[]), (0, None));
        assert_eq!(found(&[10; LINES_MAX]), (LINES_MAX, Some(place(last))));
        assert_eq!(found(&[BATCH_BYTES_MAX * 2, 1]), (1, Some(place(0))));
        assert_eq!(found(&[BATCH_BYTES_MAX / 2; 3]), (2, Some(place(1))));
    }
}
