//! Reports of jobs, which the leader gives out in batches.

use std::collections::VecDeque;

use airlift_protocol::id::JobId;
use serde::{Deserialize, Serialize};

use super::ClusterService;
use super::call::Call;
use crate::api::error::{ApiCode, ApiError};

/// Lines of one batch.
pub(super) const LINES_MAX: usize = 256;

/// Bytes of one batch, unless a single line has more: so that it fits into an answer.
const BATCH_BYTES_MAX: usize = 1 << 20;

/// What a node keeps of what became of objects.
pub(crate) trait Records: Send + Sync + 'static {
    /// At most `max` lines of the report of the job's last run, from line `from` on, counted from
    /// 0; none when there are no more. May block.
    fn lines(&self, job: JobId, from: u64, max: usize) -> Result<Vec<String>, ApiError>;
}

/// Some lines of a report, one after the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Batch {
    /// The run that they are of.
    pub(super) run: u32,
    /// The lines; none at the end of the report.
    pub(super) lines: Vec<String>,
}

impl Batch {
    /// As many of `lines` as fit, and at least one.
    pub(super) fn new(run: u32, lines: Vec<String>) -> Self {
        let mut bytes = 0;
        let mut batch = Self { run, lines: Vec::new() };
        for line in lines {
            bytes += line.len();
            if bytes > BATCH_BYTES_MAX && !batch.lines.is_empty() {
                break;
            }
            batch.lines.push(line);
        }
        batch
    }
}

/// A report that is being read.
pub(super) struct Reader {
    service: ClusterService,
    token: String,
    job: JobId,
    /// The line after those that were fetched.
    next: u64,
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
        token: String,
        job: JobId,
        from: u64,
    ) -> Result<Self, ApiError> {
        let lines = VecDeque::new();
        let mut reader = Self { service, token, job, next: from, run: None, lines };
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
        let call = Call::Report { job: self.job, from: self.next };
        let batch: Batch = self.service.call(&call, &self.token).await?;
        let run = *self.run.get_or_insert(batch.run);
        if run != batch.run {
            let text = "the job was submitted again meanwhile: ask for the report of the new run";
            return Err(ApiError::new(ApiCode::Conflict, text));
        }
        self.next = self.next.saturating_add(batch.lines.len() as u64);
        self.lines = batch.lines.into();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_bounded_and_never_empty_while_there_are_lines() {
        let line = |bytes: usize| "x".repeat(bytes);
        let count = |lines: Vec<String>| Batch::new(1, lines).lines.len();
        assert_eq!(count(Vec::new()), 0);
        assert_eq!(count(vec![line(10); LINES_MAX]), LINES_MAX);
        assert_eq!(count(vec![line(BATCH_BYTES_MAX * 2), line(1)]), 1);
        assert_eq!(count(vec![line(BATCH_BYTES_MAX / 2); 3]), 2);
    }
}
