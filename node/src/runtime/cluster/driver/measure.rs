//! What the driver measures for its metrics: how long entries take to be committed, and what fails.

use std::collections::VecDeque;

use airlift_coordinator::consensus::{Consensus, Persist, Role};
use airlift_protocol::error::{ErrorCode, Failure};
use airlift_protocol::id::LogIndex;
use airlift_protocol::report::{Comparison, Completion, ObjectResult, Verdict};
use tokio::time::Instant;

use super::super::figures::Figures;
use super::Driver;
use crate::runtime::clock;

/// Batches whose time is taken at once; more are under way only when nothing is committed any more.
const BATCHES_MAX: usize = 1024;

/// Entries of a leader on their way to be committed.
#[derive(Debug, Default)]
pub(super) struct Commits {
    /// The last entry of each batch, and when it was handed to the disk.
    batches: VecDeque<(LogIndex, Instant)>,
}

impl Commits {
    /// Entries are handed to the disk.
    pub(super) fn begin(&mut self, persists: &[Persist]) {
        let last = persists.iter().flat_map(|persist| &persist.entries).next_back();
        if let Some(entry) = last.filter(|_| self.batches.len() < BATCHES_MAX) {
            self.batches.push_back((entry.index, clock::now()));
        }
    }

    /// Counts what has been committed. What another leader makes of the rest is not known here.
    pub(super) fn look(&mut self, consensus: &Consensus, figures: &Figures) {
        if self.batches.is_empty() {
            return;
        }
        if consensus.role() != Role::Leader {
            self.batches.clear();
            return;
        }
        let committed = consensus.committed();
        while let Some((_, begun)) = self.batches.pop_front_if(|(index, _)| *index <= committed) {
            figures.committed(clock::now() - begun);
        }
    }
}

impl Driver {
    /// Counts what went wrong in an attempt.
    pub(super) fn count_failures(&self, result: &Result<Completion, Failure>) {
        let mut count = |code| self.parts.figures.failed(code);
        match result {
            Ok(completion) => failures(completion, &mut count),
            Err(failure) => count(failure.code),
        }
    }
}

/// Names what failed of an attempt that came to its end.
fn failures(completion: &Completion, count: &mut impl FnMut(ErrorCode)) {
    match completion {
        Completion::PackMoved(results) => results.iter().for_each(|result| {
            if let ObjectResult::Failed(failure) = result {
                count(failure.code);
            }
        }),
        Completion::Compared(results) => results.iter().for_each(|result| {
            if let Comparison::Failed(failure) = result {
                count(failure.code);
            }
        }),
        Completion::Verified(results) => results.iter().for_each(|result| {
            if let Verdict::Failed(failure) = result {
                count(failure.code);
            }
        }),
        Completion::Deleted(results) => {
            results.iter().flatten().for_each(|failure| count(failure.code));
        }
        Completion::Page { unreadable, .. } | Completion::Passed { unreadable, .. } => {
            unreadable.named.iter().for_each(|(_, failure)| count(failure.code));
        }
        Completion::Listed(end) | Completion::PartListed(end) => {
            end.unreadable.iter().for_each(|(_, failure)| count(failure.code));
        }
        Completion::Cut { .. }
        | Completion::Copied { .. }
        | Completion::Copying(_)
        | Completion::Opened(_)
        | Completion::RangeMoved { .. }
        | Completion::Committed { .. }
        | Completion::Changed(_)
        | Completion::Discarded
        | Completion::ReadBack
        | Completion::Cleaned => {}
    }
}

#[cfg(test)]
mod tests {
    use airlift_protocol::error::Failure;
    use airlift_protocol::id::PageId;
    use airlift_protocol::key::Key;
    use airlift_protocol::report::{ListingEnd, Unreadable};

    use super::*;

    #[test]
    fn each_object_that_failed_counts_under_its_code() {
        let failed = |code| Failure::new(code, "");
        let (gone, io) = (ErrorCode::NotFound, ErrorCode::Io);
        let cases = [
            (Completion::PackMoved(vec![ObjectResult::Failed(failed(io)); 2]), vec![io, io]),
            (
                Completion::Compared(vec![Comparison::Move, Comparison::Failed(failed(gone))]),
                vec![gone],
            ),
            (Completion::Verified(vec![Verdict::Missing, Verdict::Failed(failed(io))]), vec![io]),
            (Completion::Deleted(vec![None, Some(failed(gone))]), vec![gone]),
            (
                Completion::Listed(ListingEnd {
                    pages: PageId(1),
                    unreadable: vec![(Key::from("k"), failed(io))],
                    unreadable_count: 1,
                }),
                vec![io],
            ),
            (
                Completion::Page {
                    page: PageId(0),
                    entries: Vec::new(),
                    unreadable: Unreadable {
                        named: vec![(Key::from("k"), failed(gone))],
                        count: 1,
                    },
                },
                vec![gone],
            ),
            (Completion::ReadBack, vec![]),
        ];
        for (completion, codes) in cases {
            let mut found = Vec::new();
            failures(&completion, &mut |code| found.push(code));
            assert_eq!(found, codes, "{completion:?}");
        }
    }
}
