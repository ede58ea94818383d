//! The format in force: raised by the leader when every member's build has the next one. Who cannot
//! read it takes no part.

use airlift_protocol::id::LogIndex;
use airlift_protocol::version::{FormatVersion, Formats};

use super::Coordinator;
use crate::command::Command;

/// What a build reads, and what it found that it does not.
#[derive(Debug)]
pub(super) struct Known {
    formats: Formats,
    /// A format in force that this build does not have.
    unreadable: Option<FormatVersion>,
    /// The format that is proposed and not committed.
    raising: Option<FormatVersion>,
    /// The members among which no newer format was found.
    looked_at: Option<LogIndex>,
}

impl Known {
    pub(super) fn new(formats: Formats) -> Self {
        Self { formats, unreadable: None, raising: None, looked_at: None }
    }

    pub(super) fn has(&self, format: FormatVersion) -> bool {
        self.formats.has(format)
    }

    /// A format was committed, or the lead has changed.
    pub(super) fn settle(&mut self) {
        (self.raising, self.looked_at) = (None, None);
    }
}

impl Coordinator {
    /// Why this build has to stop, when a format is in force that it does not have.
    pub fn refusal(&self) -> Option<String> {
        self.known.unreadable.map(|format| self.known.formats.refusal(format))
    }

    /// Goes no further when this build does not read what is in force.
    pub(super) fn check_format(&mut self, format: FormatVersion) {
        if !self.known.has(format) {
            self.known.unreadable = Some(format);
            self.log.close();
        }
    }

    /// Proposes the newest format that all members have.
    pub(super) fn raise_format(&mut self) {
        let Some(cluster) = &self.state.cluster else { return };
        if self.known.looked_at == Some(cluster.version) {
            return;
        }
        let common = cluster.format_common();
        let Some(format) = common.filter(|format| *format > self.state.format) else {
            self.known.looked_at = Some(cluster.version);
            return;
        };
        if self.known.raising.is_none() && self.known.has(format) {
            self.known.raising = Some(format);
            self.log.propose(Command::Format(format), None);
        }
    }
}
