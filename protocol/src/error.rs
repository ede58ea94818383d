//! Error codes: numbered, closed, stable on the wire, each with one class that decides what is done.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::limits::FAILURE_DETAIL_BYTES_MAX;

/// What may be done about an error. Retry is decided from this and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Class {
    /// Trying again would give the same answer.
    Permanent,
    /// Likely to pass: try again after a pause.
    Transient,
    /// The other side asks for less: try again later, and slower.
    Throttled,
    /// Bytes were not what their hash says: read again from the source, and say so.
    Corrupt,
    /// A defect of this program.
    Bug,
}

/// How far an error reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Scope {
    /// This object; the others go on.
    Object,
    /// The job: every other object would meet the same.
    Job,
    /// The way that was taken: the work is given back, for another node or another time.
    Route,
}

/// What went wrong. Append only: the numbers are on the wire and in reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The object, bucket or directory does not exist.
    NotFound,
    /// The store refuses this object to these credentials, or the system to this user.
    PermissionDenied,
    /// The source object is not the one that was listed.
    SourceChanged,
    /// The target cannot hold this key.
    KeyUnsupported,
    /// The target cannot hold an object of this size.
    TooLarge,
    /// The target has no space left.
    NoSpace,
    /// The target is read-only.
    ReadOnly,
    /// The target cannot hold this kind of entry (link, device, directory with bytes).
    KindUnsupported,
    /// The credentials are missing, wrong or expired.
    Unauthorized,
    /// The bucket or root directory of a location does not exist.
    LocationMissing,
    /// No answer in time.
    TimedOut,
    /// The connection could not be made or broke.
    Unreachable,
    /// The store answered with an error of its own (5xx).
    Unavailable,
    /// The store asks to slow down (429, 503 SlowDown).
    Throttled,
    /// Bytes did not have the hash that was computed for them.
    CorruptChunk,
    /// The store holds something else than what was sent.
    CorruptTarget,
    /// An upload that was begun is no longer known to the store.
    UploadLost,
    /// Some other object of the file system stands in the way (a directory where a file should be).
    Conflict,
    /// The store answered with something that is not part of its protocol.
    Protocol,
    /// An input or output error of the system.
    Io,
    /// The work was stopped before it ended.
    Cancelled,
    /// The state directory is damaged.
    CorruptState,
    /// A defect of this program.
    Bug,
    /// Another node of the cluster does not answer, or broke off.
    NodeLost,
    /// The node's right to the work has run out, or was taken back.
    LeaseLost,
    /// A file that the user named does not have the form it should have.
    Malformed,
    /// The job's budget does not allow more.
    OverBudget,
}

impl ErrorCode {
    /// What may be done about it.
    pub fn class(self) -> Class {
        match self {
            Self::NotFound
            | Self::PermissionDenied
            | Self::SourceChanged
            | Self::KeyUnsupported
            | Self::TooLarge
            | Self::NoSpace
            | Self::ReadOnly
            | Self::KindUnsupported
            | Self::Unauthorized
            | Self::LocationMissing
            | Self::Conflict
            | Self::Io
            | Self::Cancelled
            | Self::CorruptState
            | Self::LeaseLost
            | Self::Malformed
            | Self::OverBudget => Class::Permanent,
            Self::TimedOut
            | Self::Unreachable
            | Self::Unavailable
            | Self::Protocol
            | Self::UploadLost
            | Self::NodeLost => Class::Transient,
            Self::Throttled => Class::Throttled,
            Self::CorruptChunk | Self::CorruptTarget => Class::Corrupt,
            Self::Bug => Class::Bug,
        }
    }

    /// How far it reaches.
    pub fn scope(self) -> Scope {
        match self {
            Self::NoSpace
            | Self::ReadOnly
            | Self::Unauthorized
            | Self::LocationMissing
            | Self::Unreachable
            | Self::Cancelled
            | Self::CorruptState
            | Self::Malformed
            | Self::OverBudget => Scope::Job,
            Self::NotFound
            | Self::PermissionDenied
            | Self::SourceChanged
            | Self::KeyUnsupported
            | Self::TooLarge
            | Self::KindUnsupported
            | Self::TimedOut
            | Self::Unavailable
            | Self::Throttled
            | Self::CorruptChunk
            | Self::CorruptTarget
            | Self::UploadLost
            | Self::Conflict
            | Self::Protocol
            | Self::Io
            | Self::Bug => Scope::Object,
            Self::NodeLost | Self::LeaseLost => Scope::Route,
        }
    }

    /// The name that reports and JSON output use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::PermissionDenied => "permission_denied",
            Self::SourceChanged => "source_changed",
            Self::KeyUnsupported => "key_unsupported",
            Self::TooLarge => "too_large",
            Self::NoSpace => "no_space",
            Self::ReadOnly => "read_only",
            Self::KindUnsupported => "kind_unsupported",
            Self::Unauthorized => "unauthorized",
            Self::LocationMissing => "location_missing",
            Self::TimedOut => "timed_out",
            Self::Unreachable => "unreachable",
            Self::Unavailable => "unavailable",
            Self::Throttled => "throttled",
            Self::CorruptChunk => "corrupt_chunk",
            Self::CorruptTarget => "corrupt_target",
            Self::UploadLost => "upload_lost",
            Self::Conflict => "conflict",
            Self::Protocol => "protocol",
            Self::Io => "io",
            Self::Cancelled => "cancelled",
            Self::CorruptState => "corrupt_state",
            Self::Bug => "bug",
            Self::NodeLost => "node_lost",
            Self::LeaseLost => "lease_lost",
            Self::Malformed => "malformed",
            Self::OverBudget => "over_budget",
        }
    }
}

/// An error as it crosses the wire and enters the log: a code and a short text for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Said")]
pub struct Failure {
    /// What went wrong.
    pub code: ErrorCode,
    /// Where and on what, at most [`FAILURE_DETAIL_BYTES_MAX`] bytes, one line.
    detail: String,
}

/// A failure as another node says it, whatever its text.
#[derive(Deserialize)]
struct Said {
    code: ErrorCode,
    detail: String,
}

impl From<Said> for Failure {
    fn from(said: Said) -> Self {
        Self::new(said.code, said.detail)
    }
}

impl Failure {
    /// A failure with `detail` cut to its limit and kept on one line; no control character is left,
    /// so that no text of another node can move a terminal's cursor.
    pub fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        let mut detail: String = detail.into();
        if detail.len() > FAILURE_DETAIL_BYTES_MAX {
            let end = detail.floor_char_boundary(FAILURE_DETAIL_BYTES_MAX);
            detail.truncate(end);
        }
        if detail.contains(char::is_control) {
            detail = detail.replace(char::is_control, " ");
        }
        Self { code, detail }
    }

    /// The text for people.
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec;

    #[test]
    fn details_are_cut_at_a_character_and_stay_on_one_line() {
        let failure = Failure::new(ErrorCode::Io, format!("{}\né", "é".repeat(400)));
        assert!(failure.detail().len() <= FAILURE_DETAIL_BYTES_MAX);
        assert_eq!(Failure::new(ErrorCode::Io, "a\r\nb\x1b[2J").detail(), "a  b [2J");
    }

    #[test]
    fn what_another_node_says_keeps_the_same_limits() {
        let said = codec::encode(&(ErrorCode::Io, format!("\x1b[2J{}", "x".repeat(4096))));
        let failure: Failure = codec::decode(&said, 8192).unwrap();
        assert_eq!(failure.detail().len(), FAILURE_DETAIL_BYTES_MAX);
        assert!(failure.detail().starts_with(" [2Jx"), "{failure}");
    }
}
