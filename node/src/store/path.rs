//! Keys as paths: which ones a file system can hold, and how they divide.

use airlift_protocol::error::ErrorCode;
use airlift_protocol::id::JobId;
use airlift_protocol::key::Key;
use airlift_protocol::manifest::{Entry, Kind};

use super::StoreError;

/// Bytes of one name, as of every file system in use.
const NAME_BYTES_MAX: usize = 255;

/// Bytes of a path that system calls take, with the zero byte at its end.
const PATH_BYTES_MAX: usize = 4096;

/// What the names of staging directories begin with; 32 hex digits of a job id follow.
const STAGING_PREFIX: &[u8] = b".airlift-";

/// A key that can be a path: no name in it is empty, dots, too long or taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeyPath<'a> {
    /// Whole path, without the `/` that ends the key of a directory.
    pub(super) whole: &'a [u8],
    /// Path of the directory that holds it; empty for the root.
    pub(super) parent: &'a [u8],
    /// Its name in that directory.
    pub(super) name: &'a [u8],
    /// Whether the key ends in `/`.
    pub(super) is_directory: bool,
}

impl<'a> KeyPath<'a> {
    /// Divides `key`, or says why it cannot be a path.
    pub(super) fn parse(key: &'a Key) -> Result<Self, &'static str> {
        let bytes = key.as_bytes();
        if bytes.is_empty() {
            return Err("an empty key cannot be a path");
        }
        let (whole, is_directory) = match bytes.strip_suffix(b"/") {
            Some(whole) => (whole, true),
            None => (bytes, false),
        };
        whole.split(|&byte| byte == b'/').try_for_each(check_name)?;
        let (parent, name) = split(whole);
        Ok(Self { whole, parent, name, is_directory })
    }

    /// As [`Self::parse`], with the error that a caller can report.
    pub(super) fn of(key: &'a Key) -> Result<Self, StoreError> {
        Self::parse(key).map_err(|reason| {
            StoreError::new(ErrorCode::KeyUnsupported, format!("{key}: {reason}"))
        })
    }
}

fn check_name(name: &[u8]) -> Result<(), &'static str> {
    match name {
        b"" => Err("a path cannot have an empty name (`//`, or `/` at its begin)"),
        b"." | b".." => Err("a path cannot have `.` or `..` as a name"),
        name if name.contains(&0) => Err("a path cannot have a zero byte"),
        name if name.len() > NAME_BYTES_MAX => Err("a path cannot have a name above 255 bytes"),
        name if is_staging(name) => Err("the name is taken by Airlift's own staging directories"),
        _ => Ok(()),
    }
}

/// The directory part and the last name of a path; the former is empty when there is one name.
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (&[], path),
    }
}

/// Where the path of each name on the way to `path`, its own the last, ends.
pub(crate) fn ends(path: &[u8]) -> impl Iterator<Item = usize> {
    let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    slashes.map(|(at, _)| at).chain([path.len()])
}

/// Name of the staging directory of `job`.
pub(super) fn staging_name(job: JobId) -> String {
    format!("{}{job}", String::from_utf8_lossy(STAGING_PREFIX))
}

/// Whether `name` is that of some job's staging directory.
pub(super) fn is_staging(name: &[u8]) -> bool {
    name.strip_prefix(STAGING_PREFIX)
        .is_some_and(|id| id.len() == 32 && id.iter().all(u8::is_ascii_hexdigit))
}

/// Why a root whose path has `root_bytes` bytes cannot hold `entry`, or `None` when it can.
pub(super) fn check(entry: &Entry, root_bytes: usize) -> Option<String> {
    let path = match KeyPath::parse(&entry.key) {
        Ok(path) => path,
        Err(reason) => return Some(reason.to_owned()),
    };
    let path_bytes_max = PATH_BYTES_MAX.saturating_sub(root_bytes + 2);
    if path.whole.len() > path_bytes_max {
        return Some(format!(
            "a path below this target cannot have more than {path_bytes_max} bytes"
        ));
    }
    let reason = match (&entry.kind, path.is_directory) {
        (Kind::Object, true) if entry.size > 0 => "a directory cannot have bytes of its own",
        (Kind::Directory, false) => "the key of a directory ends in `/`",
        (Kind::Symlink(_), true) => "the key of a link cannot end in `/`",
        (Kind::Symlink(text), false) => return check_link(text).map(str::to_owned),
        (Kind::Special, _) => "a socket, pipe or device has no bytes to copy",
        (Kind::Object, _) | (Kind::Directory, true) => return None,
    };
    Some(reason.to_owned())
}

fn check_link(text: &[u8]) -> Option<&'static str> {
    match text {
        b"" => Some("a link cannot have an empty text"),
        text if text.contains(&0) => Some("the text of a link cannot have a zero byte"),
        text if text.len() >= PATH_BYTES_MAX => Some("the text of a link has at most 4095 bytes"),
        _ => None,
    }
}

/// Whatever the bytes, a key that is taken as a path leads to one place below the root.
#[cfg(any(test, fuzzing))]
pub(crate) fn check_laws(bytes: &[u8]) {
    let key = Key::new(bytes);
    let version = airlift_protocol::manifest::Version::None;
    let entry = Entry {
        key: key.clone(),
        kind: Kind::Object,
        size: 0,
        mtime_ns: None,
        version,
        is_archived: false,
    };
    let Ok(path) = KeyPath::parse(&key) else {
        assert!(check(&entry, 0).is_some(), "a key that is no path must be named");
        return;
    };
    let names: Vec<&[u8]> = path.whole.split(|byte| *byte == b'/').collect();
    for name in &names {
        assert!(!matches!(*name, b"" | b"." | b"..") && !name.contains(&0) && name.len() < 256);
        assert!(!is_staging(name), "a key must not lead into a staging directory");
    }
    assert_eq!(names.last(), Some(&path.name));
    let joined = match path.parent {
        b"" => path.name.to_vec(),
        parent => [parent, b"/", path.name].concat(),
    };
    assert_eq!(joined, path.whole);
    let end: &[u8] = if path.is_directory { b"/" } else { b"" };
    assert_eq!([path.whole, end].concat(), bytes, "two keys must not share a path");
}

#[cfg(test)]
mod tests {
    use airlift_protocol::manifest::Version;

    use super::*;

    fn entry(key: &[u8], kind: Kind, size: u64) -> Entry {
        Entry {
            key: Key::new(key),
            kind,
            size,
            mtime_ns: None,
            version: Version::None,
            is_archived: false,
        }
    }

    #[test]
    fn keys_that_no_path_can_be_are_named() {
        let long = vec![b'x'; 256];
        let deep = vec![b"d".repeat(200); 21].join(&b'/');
        let taken = b"a/.airlift-0123456789abcdef0123456789ABCDEF";
        for key in [
            &b""[..],
            b"/",
            b"//",
            b"/a",
            b"a//b",
            b"a//",
            b".",
            b"..",
            b"../a",
            b"a/./b",
            b"a/..",
            b"a/../",
            b"nul\0",
            &long,
            &deep,
            taken,
        ] {
            assert!(check(&entry(key, Kind::Object, 0), 10).is_some(), "{:?}", Key::new(key));
        }
    }

    #[test]
    fn keys_that_only_look_odd_are_paths() {
        let long = vec![b'x'; 255];
        for key in
            [&b" "[..], b"...", b"a/ /b", b"\xff", b"-", b"a\nb", &long, b".airlift-", b"a/b/"]
        {
            assert_eq!(check(&entry(key, Kind::Object, 0), 10), None, "{:?}", Key::new(key));
        }
    }

    #[test]
    fn the_length_of_the_root_counts() {
        let key = vec![b"d".repeat(200); 20].join(&b'/');
        assert_eq!(check(&entry(&key, Kind::Object, 0), 75), None);
        assert!(check(&entry(&key, Kind::Object, 0), 76).is_some());
    }

    #[test]
    fn kinds_that_cannot_be_are_named() {
        assert_eq!(check(&entry(b"d/", Kind::Directory, 0), 1), None);
        assert_eq!(check(&entry(b"l", Kind::Symlink(b"x".to_vec()), 0), 1), None);
        assert!(check(&entry(b"d/", Kind::Object, 1), 1).is_some());
        assert!(check(&entry(b"d", Kind::Directory, 0), 1).is_some());
        assert!(check(&entry(b"p", Kind::Special, 0), 1).is_some());
        assert!(check(&entry(b"l/", Kind::Symlink(b"x".to_vec()), 0), 1).is_some());
        assert!(check(&entry(b"l", Kind::Symlink(Vec::new()), 0), 1).is_some());
    }

    #[test]
    fn a_key_divides_into_parent_and_name() {
        let key = Key::from("a/b/c/");
        let path = KeyPath::parse(&key).unwrap();
        assert_eq!((path.whole, path.parent, path.name), (&b"a/b/c"[..], &b"a/b"[..], &b"c"[..]));
        assert!(path.is_directory);
        assert_eq!(ends(b"a/b/c").collect::<Vec<_>>(), [1, 3, 5]);
        let key = Key::from("c");
        let path = KeyPath::parse(&key).unwrap();
        assert_eq!((path.parent, path.name, path.is_directory), (&b""[..], &b"c"[..], false));
    }
}
