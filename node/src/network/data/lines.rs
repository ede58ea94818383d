//! The lines with one node: which there are, and which wait for a request.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::tcp::{Handle, Line};
use super::transport::STREAMS_MAX;

/// Lines with one node: one for each stream that either side may have under way.
const LINES_MAX: usize = 2 * STREAMS_MAX as usize;

/// All lines with a node, whoever dialled.
#[derive(Debug, Default)]
pub(super) struct Lines {
    open: Vec<Weak<Handle>>,
    /// Those on which this node may ask, the one that was used last at the end.
    idle: Vec<Line>,
}

impl Lines {
    /// Takes note of a new line, unless there are too many.
    pub(super) fn add(&mut self, line: &Line) -> bool {
        self.open.retain(|handle| handle.strong_count() > 0);
        if self.open.len() >= LINES_MAX {
            return false;
        }
        self.open.push(Arc::downgrade(line.handle()));
        true
    }

    /// A line on which nothing is asked.
    pub(super) fn take(&mut self) -> Option<Line> {
        while let Some(line) = self.idle.pop() {
            if line.is_quiet() {
                return Some(line);
            }
        }
        None
    }

    /// Takes back a line whose answer has ended.
    pub(super) fn give_back(&mut self, line: Line) {
        self.idle.push(line);
    }

    /// Lines that are open.
    pub(super) fn count(&self) -> usize {
        self.open.iter().filter(|handle| handle.strong_count() > 0).count()
    }

    /// Closes those that were idle for `idle_max`, or that the other end has closed.
    pub(super) fn sweep(&mut self, now: Instant, idle_max: Duration) {
        self.idle.retain(|line| line.is_quiet() && now - line.idle_since < idle_max);
        self.open.retain(|handle| handle.strong_count() > 0);
    }

    /// Closes all of them, at once.
    pub(super) fn close(&mut self) {
        self.idle.clear();
        self.open.drain(..).filter_map(|handle| handle.upgrade()).for_each(|it| it.close());
    }
}
