//! What the namenode says of a file, and the entry that follows from it; listings, file by file.

use airlift_protocol::error::ErrorCode;
use airlift_protocol::key::Key;
use airlift_protocol::manifest::{Entry, Kind, Version};
use bytes::BytesMut;
use serde::Deserialize;

use crate::store::walk::directory_entry;
use crate::store::{Attributes, StoreError};

/// The step of times: a millisecond.
pub(super) const NANOSECONDS: i64 = 1_000_000;

/// Bytes that the description of one file may have: a name, and as much again.
const STATUS_BYTES_MAX: usize = 64 << 10;

/// The parts of a file's status that Airlift uses.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(super) struct Status {
    /// Name in the directory that is listed; empty in a description.
    #[serde(default)]
    pub(super) path_suffix: String,
    #[serde(rename = "type")]
    pub(super) file_type: FileType,
    length: u64,
    /// Milliseconds since 1970.
    modification_time: u64,
    /// Octal digits.
    #[serde(default)]
    permission: String,
    /// The file's number, which no other file ever has.
    #[serde(default)]
    file_id: u64,
    /// What a directory has in it.
    #[serde(default)]
    pub(super) children_num: u64,
}

/// What something is.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum FileType {
    File,
    Directory,
    Symlink,
}

/// The answer about one file.
#[derive(Debug, Deserialize)]
pub(super) struct Described {
    #[serde(rename = "FileStatus")]
    pub(super) status: Status,
}

impl Status {
    /// The file's number.
    ///
    /// # Errors
    /// When the server does not number its files: reads and writes go by that.
    pub(super) fn id(&self, shown: &str) -> Result<u64, StoreError> {
        match self.file_id {
            0 => {
                let text = format!(
                    "{shown}: the server does not number its files (fileId), as namenodes since Hadoop 2.2 do and \
                     HttpFS and routers may not: name a namenode"
                );
                Err(StoreError::new(ErrorCode::LocationMissing, text))
            }
            id => Ok(id),
        }
    }

    pub(super) fn size(&self) -> u64 {
        self.length
    }

    pub(super) fn is_directory(&self) -> bool {
        self.file_type == FileType::Directory
    }

    pub(super) fn mtime_ns(&self) -> i64 {
        i64::try_from(self.modification_time).unwrap_or(i64::MAX).saturating_mul(NANOSECONDS)
    }

    /// The entry of a file or directory of this status.
    pub(super) fn entry(&self, key: Key) -> Entry {
        match self.file_type {
            FileType::Directory => directory_entry(key),
            FileType::Symlink => Entry { kind: Kind::Special, ..directory_entry(key) },
            FileType::File => Entry {
                key,
                kind: Kind::Object,
                size: self.length,
                mtime_ns: Some(self.mtime_ns()),
                // The file system itself is the only device.
                version: Version::File { device: 0, inode: self.file_id },
                is_archived: false,
            },
        }
    }

    /// What a file carries beside its bytes.
    pub(super) fn attributes(&self) -> Attributes {
        let mode = u32::from_str_radix(&self.permission, 8).ok().map(|mode| mode & 0o777);
        Attributes { mtime_ns: Some(self.mtime_ns()), mode, ..Attributes::default() }
    }

    /// Whether the file still is what `listed` says.
    pub(super) fn is_as_listed(&self, listed: &Entry) -> bool {
        let now = self.entry(listed.key.clone());
        now.kind == listed.kind
            && now.size == listed.size
            && now.version == listed.version
            && (now.kind != Kind::Object || now.mtime_ns == listed.mtime_ns)
    }
}

/// The number of the file that `listed` is about.
pub(super) fn listed_id(listed: &Entry) -> Option<u64> {
    match listed.version {
        Version::File { inode, .. } => Some(inode),
        Version::None | Version::ETag(_) => None,
    }
}

/// The time that a file can get: the protocol counts milliseconds from 1970.
pub(super) fn milliseconds(mtime_ns: i64) -> i64 {
    mtime_ns.div_euclid(NANOSECONDS).max(0)
}

/// The error for a file that is not the listed one.
pub(super) fn changed(shown: &str) -> StoreError {
    StoreError::new(ErrorCode::SourceChanged, format!("{shown} changed since it was listed"))
}

/// The error for a file that is not there any more.
pub(super) fn gone(shown: &str) -> StoreError {
    StoreError::new(ErrorCode::NotFound, format!("{shown} was removed since it was listed"))
}

/// Takes a listing apart while it arrives, so that the text of a large directory is never in memory:
/// `{"FileStatuses":{"FileStatus":[{…},{…}]}}`.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    /// Braces that are open.
    depth: u32,
    is_text: bool,
    is_escaped: bool,
    /// Whether the document has ended.
    is_closed: bool,
    /// What has arrived of the description of one file.
    status: BytesMut,
}

/// Braces around the description of one file.
const STATUS_DEPTH: u32 = 3;

impl Splitter {
    /// Takes the next bytes; what they complete is added to `found`.
    ///
    /// # Errors
    /// What is wrong with the document.
    pub(super) fn push(&mut self, bytes: &[u8], found: &mut Vec<Status>) -> Result<(), String> {
        for &byte in bytes {
            let is_inside = self.depth >= STATUS_DEPTH;
            self.step(byte)?;
            if !is_inside && self.depth < STATUS_DEPTH {
                continue;
            }
            self.status.extend_from_slice(&[byte]);
            if self.status.len() > STATUS_BYTES_MAX {
                return Err(format!("a file is described in more than {STATUS_BYTES_MAX} bytes"));
            }
            if self.depth < STATUS_DEPTH {
                let status = serde_json::from_slice(&self.status);
                found.push(status.map_err(|error| error.to_string())?);
                self.status.clear();
            }
        }
        Ok(())
    }

    fn step(&mut self, byte: u8) -> Result<(), String> {
        match (self.is_text, byte) {
            (true, _) if self.is_escaped => self.is_escaped = false,
            (true, b'\\') => self.is_escaped = true,
            (true, b'"') => self.is_text = false,
            (true, _) => {}
            (false, b'"') => self.is_text = true,
            (false, b'{') if !self.is_closed => self.depth += 1,
            (false, b'}') if self.depth > 0 => {
                self.depth -= 1;
                self.is_closed = self.depth == 0;
            }
            (false, b'{' | b'}') => return Err("there are braces behind its end".to_owned()),
            (false, _) => {}
        }
        Ok(())
    }

    /// That the document has ended: what broke off is no listing of the whole directory.
    pub(super) fn finish(&self) -> Result<(), String> {
        self.is_closed.then_some(()).ok_or_else(|| "it breaks off".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn document(names: &[&str]) -> String {
        let status = |name: &&str| {
            serde_json::json!({
                "accessTime": 0, "blockSize": 0, "childrenNum": 0, "fileId": 7, "group": "g{", "length": 3,
                "modificationTime": 5, "owner": "o\"}", "pathSuffix": name, "permission": "644",
                "replication": 1, "storagePolicy": 0, "type": "FILE"
            })
        };
        let list: Vec<_> = names.iter().map(status).collect();
        serde_json::json!({ "FileStatuses": { "FileStatus": list } }).to_string()
    }

    fn split(pieces: &[&[u8]]) -> Result<Vec<String>, String> {
        let (mut splitter, mut found) = (Splitter::default(), Vec::new());
        for piece in pieces {
            splitter.push(piece, &mut found)?;
        }
        splitter.finish()?;
        Ok(found.into_iter().map(|status| status.path_suffix).collect())
    }

    #[test]
    fn a_listing_that_breaks_off_is_none() {
        let whole = document(&["a", "b"]);
        assert_eq!(split(&[whole.as_bytes()]).unwrap(), ["a", "b"]);
        assert_eq!(split(&[document(&[]).as_bytes()]).unwrap(), [""; 0]);
        for end in 0..whole.len() {
            assert!(split(&[&whole.as_bytes()[..end]]).is_err(), "{end}");
        }
        assert!(split(&[whole.as_bytes(), b"{}"]).is_err());
        assert!(split(&[b"<html>"]).is_err());
        let long = document(&[&"n".repeat(STATUS_BYTES_MAX)]);
        assert!(split(&[long.as_bytes()]).unwrap_err().contains("65536"));
    }

    proptest! {
        #[test]
        fn wherever_it_is_cut_a_listing_has_all_its_names(
            names in prop::collection::vec("[a{}\\[\\]\"\\\\\u{e9}\n]{1,6}", 0..5),
            cut in 0usize..2000,
        ) {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let document = document(&names);
            let (one, other) = document.as_bytes().split_at(cut.min(document.len()));
            prop_assert_eq!(split(&[one, other]).unwrap(), names);
        }
    }

    #[test]
    fn a_file_is_told_by_its_number_size_and_time() {
        let text = r#"{"FileStatus":{"length":5,"modificationTime":1700000000123,"permission":"1640","type":"FILE","fileId":9}}"#;
        let status = serde_json::from_str::<Described>(text).unwrap().status;
        let entry = status.entry(Key::from("k"));
        assert_eq!(entry.mtime_ns, Some(1_700_000_000_123_000_000));
        assert_eq!((status.attributes().mode, listed_id(&entry)), (Some(0o640), Some(9)));
        assert!(status.is_as_listed(&entry));
        for other in [
            Status { length: 6, ..status.clone() },
            Status { file_id: 10, ..status.clone() },
            Status { modification_time: 1, ..status.clone() },
            Status { file_type: FileType::Directory, ..status.clone() },
        ] {
            assert!(!other.is_as_listed(&entry), "{other:?}");
        }
        let old = Status { file_id: 0, ..status };
        assert!(old.id("hdfs://h/x").unwrap_err().detail().contains("name a namenode"));
        assert_eq!((milliseconds(-1), milliseconds(1_999_999)), (0, 1));
    }
}
