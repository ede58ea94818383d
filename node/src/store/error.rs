//! Errors of stores: a code that decides, and a text that names the thing.

use std::fmt;
use std::io;
use std::time::Duration;

use airlift_protocol::error::{ErrorCode, Failure};
use airlift_protocol::manifest::Version;

/// What a store answered.
#[derive(Clone, Debug)]
pub struct StoreError {
    /// What went wrong, as a closed code.
    pub code: ErrorCode,
    /// For how long the store wants to be left alone, if it says so.
    pub pause: Option<Duration>,
    /// Of an object that was written, can be seen, and is not proven: the state that the store gave it, as
    /// far as it said one.
    pub unproven: Option<Version>,
    detail: String,
}

impl StoreError {
    /// An error with a text that names the object or location and, where there is one, the way out.
    pub fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self { code, pause: None, unproven: None, detail: detail.into() }
    }

    /// The same from a store that wants to be left alone for a while.
    #[must_use]
    pub fn with_pause(self, pause: Option<Duration>) -> Self {
        Self { pause, ..self }
    }

    /// The same about an object that can be seen since it was written, as `written`, and is not proven.
    #[must_use]
    pub fn unproven(self, written: Version) -> Self {
        Self { unproven: Some(written), ..self }
    }

    /// The same with one more thing to say.
    #[must_use]
    pub fn with_note(self, note: &str) -> Self {
        Self { detail: format!("{}; {note}", self.detail), ..self }
    }

    /// An error of the operating system while doing `action` ("open", "write", …) on `what`.
    pub fn io(action: &str, what: impl fmt::Display, error: &io::Error) -> Self {
        use rustix::io::Errno;

        let code = match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::NOENT) => ErrorCode::NotFound,
            Some(Errno::ACCESS | Errno::PERM) => ErrorCode::PermissionDenied,
            Some(Errno::NOSPC | Errno::DQUOT) => ErrorCode::NoSpace,
            Some(Errno::ROFS) => ErrorCode::ReadOnly,
            Some(Errno::ISDIR | Errno::NOTDIR | Errno::NOTEMPTY | Errno::EXIST) => {
                ErrorCode::Conflict
            }
            Some(Errno::NAMETOOLONG | Errno::ILSEQ) => ErrorCode::KeyUnsupported,
            Some(Errno::FBIG) => ErrorCode::TooLarge,
            _ => ErrorCode::Io,
        };
        Self::new(code, format!("{action} {what}: {}", reason(error)))
    }

    /// The text for people.
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

/// The system's words for an error, without the number that Rust appends.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_lowercase(),
        None => text,
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for StoreError {}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::new(error.code, error.detail)
    }
}
