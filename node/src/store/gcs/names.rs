//! Names: keys below the prefix, names of the bucket's objects, and those of temporary ones.
//!
//! A part of an upload is an object of its own until the upload is committed. It lies in a folder that is
//! named after the job, beside the objects of the location: `.airlift-<job id>/`. No listing shows
//! what lies there, of whatever job, and no key can be in it.

use airlift_protocol::error::ErrorCode;
use airlift_protocol::id::JobId;
use airlift_protocol::key::Key;
use airlift_protocol::manifest::{Entry, Kind};

use crate::store::StoreError;

/// Bytes that Google allows in a name.
const NAME_BYTES_MAX: usize = 1024;

/// What Google keeps for itself.
const RESERVED: &str = ".well-known/acme-challenge/";

/// What a folder of temporary objects begins with; the job's id follows.
const STAGING: &str = ".airlift-";
/// Digits of a job's id.
const JOB_DIGITS: usize = 32;

/// Translates between keys relative to the prefix and names of objects.
#[derive(Debug)]
pub(super) struct Names {
    prefix: String,
    job: JobId,
}

impl Names {
    pub(super) fn new(prefix: Vec<u8>, job: JobId) -> Result<Self, StoreError> {
        let prefix = String::from_utf8(prefix).map_err(|error| {
            let prefix = Key::new(error.into_bytes());
            let text =
                format!("the prefix '{prefix}' is not UTF-8, which Google requires of names");
            StoreError::new(ErrorCode::KeyUnsupported, text)
        })?;
        Ok(Self { prefix, job })
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The bucket's name for `key`.
    pub(super) fn full(&self, key: &Key) -> Result<String, StoreError> {
        match (key.as_str(), self.check_text(key)) {
            (Some(text), None) => Ok(format!("{}{text}", self.prefix)),
            (_, reason) => {
                let reason = reason.unwrap_or_default();
                Err(StoreError::new(ErrorCode::KeyUnsupported, format!("{key}: {reason}")))
            }
        }
    }

    /// The key below the prefix for a name of the bucket, or `None` when it is not below it.
    pub(super) fn relative(&self, full: &str) -> Option<Key> {
        full.strip_prefix(self.prefix.as_str()).map(Key::from)
    }

    /// Whether `full` is the marker of the prefix itself, which no key below it stands for.
    pub(super) fn is_own_marker(&self, full: &str) -> bool {
        full == self.prefix && full.ends_with('/')
    }

    /// The folder of this job's temporary objects.
    pub(super) fn staging(&self) -> String {
        let folder = self.prefix.rfind('/').map_or("", |slash| &self.prefix[..=slash]);
        format!("{folder}{STAGING}{}/", self.job)
    }

    /// The folder of the temporary objects of one key.
    pub(super) fn staging_of(&self, key: &Key) -> String {
        let hash = blake3::derive_key("airlift 2026-11 staged key", key.as_bytes());
        let hash = data_encoding::HEXLOWER.encode(&hash[..16]);
        format!("{}{hash}/", self.staging())
    }

    /// Why a bucket cannot hold `entry`, or `None` when it can.
    pub(super) fn check(&self, entry: &Entry) -> Option<String> {
        match entry.kind {
            Kind::Symlink(_) => return Some("Google cannot hold symbolic links".to_owned()),
            Kind::Special => {
                return Some("Google cannot hold sockets, pipes or devices".to_owned());
            }
            Kind::Directory if !entry.key.as_bytes().ends_with(b"/") => {
                return Some("a directory marker ends in '/', and this key does not".to_owned());
            }
            Kind::Directory | Kind::Object => {}
        }
        self.check_text(&entry.key)
    }

    fn check_text(&self, key: &Key) -> Option<String> {
        let Some(text) = key.as_str() else {
            return Some("the name is not UTF-8, which Google requires of names".to_owned());
        };
        if text.is_empty() && (self.prefix.is_empty() || self.prefix.ends_with('/')) {
            return Some("an object cannot have an empty name".to_owned());
        }
        let full = format!("{}{text}", self.prefix);
        if full.len() > NAME_BYTES_MAX {
            return Some(format!(
                "with its prefix the name has {} bytes, and Google allows {NAME_BYTES_MAX}",
                full.len()
            ));
        }
        if full.contains(['\r', '\n']) {
            return Some("the name has a line break, which Google does not allow".to_owned());
        }
        if full == "." || full == ".." {
            return Some("Google allows no object with the name '.' or '..'".to_owned());
        }
        if full.starts_with(RESERVED) {
            return Some(format!("Google keeps names that begin with {RESERVED} for itself"));
        }
        is_staged(&full).then(|| "the name is one that Airlift keeps for itself".to_owned())
    }
}

/// Whether an object is a temporary one of some job.
pub(super) fn is_staged(full: &str) -> bool {
    full.match_indices(STAGING).any(|(place, _)| {
        let rest = &full.as_bytes()[place + STAGING.len()..];
        let is_part = place == 0 || full.as_bytes()[place - 1] == b'/';
        is_part
            && rest.get(JOB_DIGITS) == Some(&b'/')
            && rest[..JOB_DIGITS].iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    })
}

#[cfg(test)]
mod tests {
    use airlift_protocol::manifest::Version;

    use super::*;

    const JOB: JobId = JobId([0xab; 16]);

    fn entry(key: &[u8], kind: Kind) -> Entry {
        Entry {
            key: Key::new(key),
            kind,
            size: 0,
            mtime_ns: None,
            version: Version::None,
            is_archived: false,
        }
    }

    #[test]
    fn names_that_google_cannot_hold_are_named() {
        let names = Names::new(Vec::new(), JOB).unwrap();
        let long = "x".repeat(1024);
        for key in ["a//b", "/", " ", "%2F", "a/..", "...", "dir/", "tab\t", ".airlift-x/", &long] {
            assert_eq!(names.check(&entry(key.as_bytes(), Kind::Object)), None, "{key}");
        }
        let too_long = "x".repeat(1025);
        let staged = format!("{}x", names.staging());
        let nested = format!("a/{}x", names.staging());
        for key in [
            "",
            ".",
            "..",
            "a\nb",
            "a\rb",
            ".well-known/acme-challenge/x",
            &too_long,
            &staged,
            &nested,
        ] {
            assert!(names.check(&entry(key.as_bytes(), Kind::Object)).is_some(), "{key}");
        }
        for (key, kind) in [
            (&b"\xff"[..], Kind::Object),
            (b"dir", Kind::Directory),
            (b"link", Kind::Symlink(b"x".to_vec())),
            (b"pipe", Kind::Special),
        ] {
            assert!(names.check(&entry(key, kind)).is_some(), "{key:?}");
        }
        let below = Names::new(b"p/".to_vec(), JOB).unwrap();
        assert_eq!(below.check(&entry(b"..", Kind::Object)), None);
        assert!(Names::new(vec![0xff], JOB).is_err());
    }

    #[test]
    fn temporary_objects_lie_beside_those_of_the_location() {
        let job = "ab".repeat(16);
        for (prefix, folder) in [("", ""), ("a/b/", "a/b/"), ("a/b-", "a/"), ("a", "")] {
            let names = Names::new(prefix.into(), JOB).unwrap();
            assert_eq!(names.staging(), format!("{folder}.airlift-{job}/"));
            let of_key = names.staging_of(&"key".into());
            assert!(of_key.starts_with(&names.staging()) && is_staged(&of_key));
            assert_ne!(of_key, names.staging_of(&"other".into()));
        }
        for name in ["x.airlift-", ".airlift-0/", &format!("x.airlift-{job}/"), "a/b"] {
            assert!(!is_staged(name), "{name}");
        }
    }
}
