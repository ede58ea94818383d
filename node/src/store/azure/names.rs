//! Names: keys below the prefix, keys of the container, and the blobs that hold them.
//!
//! A key is a blob's name, byte for byte, with one exception: the directory marker `dir/` is the
//! blob `dir` with `hdi_isfolder` in its metadata, which is what Azure's own tools make and
//! understand. A blob that really is named `dir/` is the key `dir/` as well.

use airlift_protocol::error::ErrorCode;
use airlift_protocol::key::Key;
use airlift_protocol::manifest::{Entry, Kind};

use crate::store::StoreError;

/// Characters that Azure allows in a blob's name, as UTF-16 counts them.
const NAME_UNITS_MAX: usize = 1024;

/// Segments between slashes that Azure allows in a blob's name.
const SEGMENTS_MAX: usize = 254;

/// Translates between keys relative to the prefix and names of blobs.
#[derive(Debug)]
pub(super) struct Names {
    prefix: String,
}

impl Names {
    pub(super) fn new(prefix: Vec<u8>) -> Result<Self, StoreError> {
        let prefix = String::from_utf8(prefix).map_err(|error| {
            let prefix = Key::new(error.into_bytes());
            let text = format!("the prefix '{prefix}' is not UTF-8, which Azure requires of names");
            StoreError::new(ErrorCode::KeyUnsupported, text)
        })?;
        Ok(Self { prefix })
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The container's key for `key`.
    pub(super) fn full(&self, key: &Key) -> Result<String, StoreError> {
        let full = key.as_str().map(|text| format!("{}{text}", self.prefix));
        let reason = match &full {
            Some(full) => check_name(full),
            None => Some(NOT_UTF8.to_owned()),
        };
        match (full, reason) {
            (Some(full), None) => Ok(full),
            (_, reason) => {
                let reason = reason.unwrap_or_default();
                Err(StoreError::new(ErrorCode::KeyUnsupported, format!("{key}: {reason}")))
            }
        }
    }

    /// The name of the blob that is written for `entry`.
    pub(super) fn blob(&self, entry: &Entry) -> Result<String, StoreError> {
        let full = self.full(&entry.key)?;
        Ok(match entry.kind {
            Kind::Directory => marker(&full).to_owned(),
            Kind::Object | Kind::Symlink(_) | Kind::Special => full,
        })
    }

    /// The key below the prefix for a key of the container, or `None` when it is not below it.
    pub(super) fn relative(&self, full: &str) -> Option<Key> {
        full.strip_prefix(self.prefix.as_str()).map(Key::from)
    }

    /// Whether `full` is the marker of the prefix itself, which no key below it stands for.
    pub(super) fn is_own_marker(&self, full: &str) -> bool {
        full == self.prefix && full.ends_with('/')
    }

    /// Why a container cannot hold `entry`, or `None` when it can.
    pub(super) fn check(&self, entry: &Entry) -> Option<String> {
        match entry.kind {
            Kind::Symlink(_) => return Some("Azure cannot hold symbolic links".to_owned()),
            Kind::Special => return Some("Azure cannot hold sockets, pipes or devices".to_owned()),
            Kind::Directory if !entry.key.as_bytes().ends_with(b"/") => {
                return Some("a directory marker ends in '/', and this key does not".to_owned());
            }
            Kind::Directory | Kind::Object => {}
        }
        let Some(key) = entry.key.as_str() else { return Some(NOT_UTF8.to_owned()) };
        if key.is_empty() && (self.prefix.is_empty() || self.prefix.ends_with('/')) {
            return Some("an Azure blob cannot have an empty name".to_owned());
        }
        let full = format!("{}{key}", self.prefix);
        let blob = match entry.kind {
            Kind::Directory => marker(&full),
            _ => &full,
        };
        if entry.kind == Kind::Directory && blob == "/" {
            return Some("the directory marker '/' would be a blob without a name".to_owned());
        }
        check_name(blob)
    }
}

/// The blob of the directory marker `full`: without its slash, as the service's own tools name it. Where
/// another slash or nothing is left, that would be the name of something else, and the slash stays.
fn marker(full: &str) -> &str {
    full.strip_suffix('/').filter(|blob| !blob.is_empty() && !blob.ends_with('/')).unwrap_or(full)
}

const NOT_UTF8: &str = "the name is not UTF-8, which Azure requires of names";

/// Why no blob can have this name, or `None` when one can.
fn check_name(name: &str) -> Option<String> {
    let units = name.encode_utf16().count();
    if units > NAME_UNITS_MAX {
        return Some(format!(
            "with its prefix the name has {units} characters, and Azure allows {NAME_UNITS_MAX}"
        ));
    }
    if let Some(refused) = name.chars().find(|c| is_refused(*c)) {
        let refused = refused.escape_unicode();
        return Some(format!("the name has the character {refused}, which Azure does not allow"));
    }
    if name.contains('\\') {
        return Some("the name has a '\\', which Azure takes for a '/'".to_owned());
    }
    let mut segments = 0;
    for segment in name.split('/') {
        segments += 1;
        if segment.ends_with('.') {
            return Some("a part of the name ends in '.', which Azure drops".to_owned());
        }
    }
    (segments > SEGMENTS_MAX)
        .then(|| format!("the name has {segments} parts, and Azure allows {SEGMENTS_MAX}"))
}

/// Control characters, the private characters of the basic plane, and what is no character.
fn is_refused(character: char) -> bool {
    character.is_control()
        || ('\u{e000}'..='\u{f8ff}').contains(&character)
        || matches!(character, '\u{fffe}' | '\u{ffff}')
}

#[cfg(test)]
mod tests {
    use airlift_protocol::manifest::Version;

    use super::*;

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
    fn names_that_azure_cannot_hold_are_named() {
        let names = Names::new(b"p/".to_vec()).unwrap();
        let long = "é".repeat(1022);
        for key in ["a//b", "/", " ", "%2F", "a.b/c", "dir/", "\u{feff}x", "\u{1f680}", &long] {
            assert_eq!(names.check(&entry(key.as_bytes(), Kind::Object)), None, "{key}");
        }
        let (long, deep) = ("x".repeat(1023), "/".repeat(253));
        for key in
            ["", "a.", "a./b", "..", "./x", "a\\b", "tab\t", "\u{81}", "\u{e000}", &long, &deep]
        {
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
        let single = Names::new(b"dir/file".to_vec()).unwrap();
        assert_eq!(single.check(&entry(b"", Kind::Object)), None);
    }

    #[test]
    fn a_directory_marker_is_a_blob_without_the_slash() {
        let names = Names::new(b"a/".to_vec()).unwrap();
        let blob = |key: &[u8], kind| names.blob(&entry(key, kind)).unwrap();
        assert_eq!(blob(b"dir/", Kind::Directory), "a/dir");
        assert_eq!(blob(b"dir/", Kind::Object), "a/dir/");
        assert_eq!(blob(b"dir//", Kind::Directory), "a/dir//", "a/dir/ is another key");
        assert_eq!(blob(b"/", Kind::Directory), "a//", "a/ is the prefix's own");
        assert_eq!(blob(b"/b", Kind::Object), "a//b");
        let whole = Names::new(Vec::new()).unwrap();
        assert!(whole.check(&entry(b"/", Kind::Directory)).is_some());
        assert_eq!(names.relative("a//b"), Some(Key::from("/b")));
        assert_eq!(names.relative("b"), None);
        assert!(names.is_own_marker("a/") && !whole.is_own_marker(""));
        assert!(Names::new(vec![0xff]).is_err());
    }
}
