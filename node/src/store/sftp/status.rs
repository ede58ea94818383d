//! What the server says of a file, the entry that follows from it, and its refusals as errors.

use airlift_protocol::error::ErrorCode;
use airlift_protocol::key::Key;
use airlift_protocol::manifest::{Entry, Kind, Version};
use bytes::Bytes;

use super::wire::{self, FileAttributes, Reply};
use crate::store::{Attributes, StoreError};

/// The step of times: a second.
pub(super) const NANOSECONDS: i64 = 1_000_000_000;

const TYPE_BITS: u32 = 0o170_000;
const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const LINK: u32 = 0o120_000;

/// What something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileType {
    Regular,
    Directory,
    Link,
    /// A socket, pipe or device.
    Special,
}

/// The parts of a file's status that Airlift uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) file_type: FileType,
    pub(super) size: u64,
    pub(super) mtime_ns: i64,
    pub(super) mode: u32,
}

impl Status {
    /// The status that the server's words amount to, if it said enough.
    pub(super) fn of(attributes: &FileAttributes) -> Option<Self> {
        let mode = attributes.mode?;
        let file_type = match mode & TYPE_BITS {
            REGULAR => FileType::Regular,
            DIRECTORY => FileType::Directory,
            LINK => FileType::Link,
            _ => FileType::Special,
        };
        let mtime_ns = i64::from(attributes.mtime?) * NANOSECONDS;
        Some(Self { file_type, size: attributes.size?, mtime_ns, mode: mode & 0o777 })
    }

    /// The entry of a file of this status that is no directory; `text` is that of a link.
    pub(super) fn entry(&self, key: Key, text: Option<Vec<u8>>) -> Entry {
        let (kind, size) = match (text, self.file_type) {
            (Some(text), _) => (Kind::Symlink(text), 0),
            (None, FileType::Regular) => (Kind::Object, self.size),
            (None, _) => (Kind::Special, 0),
        };
        Entry {
            key,
            kind,
            size,
            mtime_ns: Some(self.mtime_ns),
            version: Version::None,
            is_archived: false,
        }
    }

    /// What a file carries beside its bytes.
    pub(super) fn attributes(&self) -> Attributes {
        Attributes { mtime_ns: Some(self.mtime_ns), mode: Some(self.mode), ..Attributes::default() }
    }

    /// Whether the file still is what `listed` says.
    pub(super) fn is_as_listed(&self, listed: &Entry) -> bool {
        let is_same_kind = match listed.kind {
            Kind::Object => self.file_type == FileType::Regular && self.size == listed.size,
            Kind::Symlink(_) => self.file_type == FileType::Link,
            Kind::Directory => self.file_type == FileType::Directory,
            Kind::Special => self.file_type == FileType::Special,
        };
        let seconds = |time: i64| time.div_euclid(NANOSECONDS);
        let is_same_time =
            listed.mtime_ns.is_none_or(|time| seconds(time) == seconds(self.mtime_ns));
        is_same_kind && is_same_time
    }
}

/// The entry of an empty directory, whose time would change with every file put into it.
pub(super) fn directory_entry(key: Key) -> Entry {
    Entry {
        key,
        kind: Kind::Directory,
        size: 0,
        mtime_ns: None,
        version: Version::None,
        is_archived: false,
    }
}

/// The attributes that give a file its mode and time. Times that the protocol cannot express become
/// the nearest that it can: it counts seconds from 1970 to 2106.
pub(super) fn kept(mode: Option<u32>, mtime_ns: Option<i64>) -> FileAttributes {
    let seconds =
        |time: i64| u32::try_from(time.div_euclid(NANOSECONDS).max(0)).unwrap_or(u32::MAX);
    FileAttributes { size: None, mode: mode.map(|mode| mode & 0o777), mtime: mtime_ns.map(seconds) }
}

/// The error for a file that is not the listed one.
pub(super) fn changed(shown: &str) -> StoreError {
    StoreError::new(ErrorCode::SourceChanged, format!("{shown} changed since it was listed"))
}

/// The error for a file that is not there any more.
pub(super) fn gone(shown: &str) -> StoreError {
    StoreError::new(ErrorCode::NotFound, format!("{shown} was removed since it was listed"))
}

impl Reply {
    /// Whether the server has nothing under the path that was asked about.
    pub(super) fn is_nothing(&self) -> bool {
        matches!(self, Self::Status { code: wire::NO_SUCH_FILE, .. })
    }

    /// Whether there is no more to read.
    pub(super) fn is_end(&self) -> bool {
        matches!(self, Self::Status { code: wire::EOF, .. })
    }

    /// That it was done.
    pub(super) fn done(self, action: &str, shown: &str) -> Result<(), StoreError> {
        match self {
            Self::Status { code: wire::OK, .. } => Ok(()),
            refusal => Err(refusal.error(action, shown)),
        }
    }

    /// The handle that was asked for.
    pub(super) fn handle(self, action: &str, shown: &str) -> Result<Bytes, StoreError> {
        match self {
            Self::Handle(handle) => Ok(handle),
            refusal => Err(refusal.error(action, shown)),
        }
    }

    /// The status that was asked for; `None` when there is nothing.
    pub(super) fn status(self, shown: &str) -> Result<Option<Status>, StoreError> {
        match self {
            nothing if nothing.is_nothing() => Ok(None),
            Self::Attributes(attributes) => match Status::of(&attributes) {
                Some(status) => Ok(Some(status)),
                None => {
                    let text = format!("{shown}: the server does not say what kind of file it is");
                    Err(StoreError::new(ErrorCode::Protocol, text))
                }
            },
            refusal => Err(refusal.error("look at", shown)),
        }
    }

    /// The text of the link that was asked for; `None` when it is gone, or no link.
    pub(super) fn link_text(self, shown: &str) -> Result<Option<Vec<u8>>, StoreError> {
        match self {
            Self::Names(names) => match names.first() {
                Some((text, _)) => Ok(Some(text.to_vec())),
                None => Err(Self::Names(names).error("read the link", shown)),
            },
            nothing if nothing.is_nothing() => Ok(None),
            refusal => Err(refusal.error("read the link", shown)),
        }
    }

    /// The error of `action` on `shown`, which this answers.
    pub(super) fn error(&self, action: &str, shown: &str) -> StoreError {
        let Self::Status { code, message } = self else {
            let text = format!("{action} {shown}: the server answered another question");
            return StoreError::new(ErrorCode::Protocol, text);
        };
        let (error, reason) = match *code {
            wire::NO_SUCH_FILE => (ErrorCode::NotFound, "no such file or directory".to_owned()),
            wire::PERMISSION_DENIED => {
                (ErrorCode::PermissionDenied, "permission denied".to_owned())
            }
            wire::UNSUPPORTED => {
                (ErrorCode::KindUnsupported, "the server does not support that".to_owned())
            }
            wire::OK | wire::EOF => {
                (ErrorCode::Protocol, "the server answered another question".to_owned())
            }
            _ => {
                let words = message.chars().take(200);
                let words = words.map(|c| if c.is_control() { ' ' } else { c });
                (ErrorCode::Io, format!("the server refused: {}", words.collect::<String>()))
            }
        };
        StoreError::new(error, format!("{action} {shown}: {reason}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(mode: u32) -> FileAttributes {
        FileAttributes { size: Some(3), mode: Some(mode), mtime: Some(7) }
    }

    #[test]
    fn the_type_is_in_the_mode() {
        for (mode, file_type) in [
            (0o100_640, FileType::Regular),
            (0o040_755, FileType::Directory),
            (0o120_777, FileType::Link),
            (0o010_600, FileType::Special),
            (0o140_600, FileType::Special),
        ] {
            let status = Status::of(&attributes(mode)).unwrap();
            assert_eq!((status.file_type, status.mode), (file_type, mode & 0o777));
            assert_eq!(status.mtime_ns, 7 * NANOSECONDS);
        }
        assert_eq!(Status::of(&FileAttributes { mode: None, ..attributes(0) }), None);
        assert_eq!(Status::of(&FileAttributes { mtime: None, ..attributes(0) }), None);
    }

    #[test]
    fn times_are_whole_seconds_of_the_years_that_fit() {
        for (time, seconds) in
            [(1_700_000_000_999_999_999, 1_700_000_000), (-1, 0), (i64::MAX, u32::MAX)]
        {
            assert_eq!(kept(None, Some(time)).mtime, Some(seconds), "{time}");
        }
        assert_eq!(
            kept(Some(0o100_750), None),
            FileAttributes { mode: Some(0o750), ..Default::default() }
        );
    }

    #[test]
    fn a_refusal_names_the_file_and_is_one_line() {
        let refusal = |code| Reply::Status { code, message: "Failure\n\u{7}".to_owned() };
        for (code, expected) in [
            (wire::NO_SUCH_FILE, ErrorCode::NotFound),
            (wire::PERMISSION_DENIED, ErrorCode::PermissionDenied),
            (4, ErrorCode::Io),
            (wire::OK, ErrorCode::Protocol),
        ] {
            let error = refusal(code).error("open", "x/y");
            assert_eq!(error.code, expected);
            assert!(error.detail().starts_with("open x/y: "), "{error}");
            assert!(!error.detail().chars().any(char::is_control), "{error}");
        }
        assert!(refusal(wire::NO_SUCH_FILE).status("x").unwrap().is_none());
    }
}
