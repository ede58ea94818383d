//! What the system says about a file, and the entry that follows from it.

use airlift_protocol::error::ErrorCode;
use airlift_protocol::key::Key;
use airlift_protocol::manifest::{Entry, Kind, Version};
use cap_std::fs::{Metadata, MetadataExt};
use rustix::fs::{FileType, Stat, Timespec, Timestamps, UTIME_NOW};

use crate::store::{Attributes, StoreError};

const NANOSECONDS: i64 = 1_000_000_000;

/// The parts of a file's status that Airlift uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) file_type: FileType,
    pub(super) size: u64,
    pub(super) mtime_ns: i64,
    pub(super) mode: u32,
    pub(super) device: u64,
    pub(super) inode: u64,
    /// Whether fewer bytes are stored than the file has: there may be holes.
    pub(super) is_sparse: bool,
}

impl From<Stat> for Status {
    fn from(stat: Stat) -> Self {
        Self {
            file_type: FileType::from_raw_mode(stat.st_mode),
            size: stat.st_size as u64,
            mtime_ns: nanoseconds(stat.st_mtime, stat.st_mtime_nsec as i64),
            mode: stat.st_mode & 0o777,
            device: stat.st_dev,
            inode: stat.st_ino,
            is_sparse: stat.st_blocks * 512 < stat.st_size,
        }
    }
}

impl From<&Metadata> for Status {
    fn from(metadata: &Metadata) -> Self {
        Self {
            file_type: FileType::from_raw_mode(metadata.mode()),
            size: metadata.size(),
            mtime_ns: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            mode: metadata.mode() & 0o777,
            device: metadata.dev(),
            inode: metadata.ino(),
            is_sparse: metadata.blocks().saturating_mul(512) < metadata.size(),
        }
    }
}

/// Times outside of the 584 years that fit become the nearest that fits.
pub(super) fn nanoseconds(seconds: i64, rest: i64) -> i64 {
    seconds.saturating_mul(NANOSECONDS).saturating_add(rest)
}

/// The change of times that sets `mtime_ns`. The time of access is that of now, as it is of a file that was just
/// written: older drivers in user space take no change of one of the two alone, and say that all is well.
pub(super) fn timestamps(mtime_ns: i64) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_NOW },
        last_modification: Timespec {
            tv_sec: mtime_ns.div_euclid(NANOSECONDS),
            tv_nsec: mtime_ns.rem_euclid(NANOSECONDS),
        },
    }
}

impl Status {
    /// The entry of a file of this status that is no directory; `text` is that of a link.
    pub(super) fn entry(&self, key: Key, text: Option<Vec<u8>>) -> Entry {
        let (kind, size) = match (text, self.file_type) {
            (Some(text), _) => (Kind::Symlink(text), 0),
            (None, FileType::RegularFile) => (Kind::Object, self.size),
            (None, _) => (Kind::Special, 0),
        };
        let version = Version::File { device: self.device, inode: self.inode };
        Entry { key, kind, size, mtime_ns: Some(self.mtime_ns), version, is_archived: false }
    }

    /// What a file carries beside its bytes.
    pub(super) fn attributes(&self) -> Attributes {
        Attributes { mtime_ns: Some(self.mtime_ns), mode: Some(self.mode), ..Attributes::default() }
    }

    /// Whether the file still is what `listed` says.
    pub(super) fn is_as_listed(&self, listed: &Entry) -> bool {
        let is_same_file = match listed.version {
            Version::File { device, inode } => (self.device, self.inode) == (device, inode),
            Version::None | Version::ETag(_) => true,
        };
        let is_same_kind = match listed.kind {
            Kind::Object => self.file_type == FileType::RegularFile && self.size == listed.size,
            Kind::Symlink(_) => self.file_type == FileType::Symlink,
            Kind::Directory => self.file_type == FileType::Directory,
            Kind::Special => !matches!(
                self.file_type,
                FileType::RegularFile | FileType::Symlink | FileType::Directory
            ),
        };
        is_same_file
            && is_same_kind
            && listed.mtime_ns.is_none_or(|mtime_ns| mtime_ns == self.mtime_ns)
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

/// The error for a file that is not the listed one.
pub(super) fn changed(shown: &str) -> StoreError {
    StoreError::new(ErrorCode::SourceChanged, format!("{shown} changed since it was listed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_1970_and_beyond_reason_are_kept_or_bounded() {
        assert_eq!(nanoseconds(-1, 999_999_999), -1);
        assert_eq!(nanoseconds(i64::MAX, 0), i64::MAX);
        assert_eq!(nanoseconds(i64::MIN, 5), i64::MIN + 5);
        let times = timestamps(-1).last_modification;
        assert_eq!((times.tv_sec, times.tv_nsec), (-1, 999_999_999));
    }
}
