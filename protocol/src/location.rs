//! Locations: where data lives, as a user writes it.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::key::{Key, fmt_escaped};
use crate::limits::KEY_BYTES_MAX;

/// Where data lives.
///
/// `parse` and [`to_bytes`](Self::to_bytes) are inverse to each other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Location {
    /// A file or directory of this machine: any bytes but NUL.
    Path(Vec<u8>),
    /// A file or directory of a cluster node, `NODE:/abs/path`.
    Node {
        /// Name of the node.
        node: String,
        /// Absolute path on that node.
        path: Vec<u8>,
    },
    /// A bucket of a store, `scheme://bucket/prefix`.
    Bucket {
        /// Scheme of the store (`s3`, …) or the name of a configured one.
        scheme: String,
        /// Bucket or container.
        bucket: String,
        /// What follows the bucket's slash, exactly.
        prefix: Key,
    },
}

/// Why a location could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ParseLocationError {
    /// Nothing was given.
    #[error("a location is empty: give a path such as ./data, or s3://bucket/prefix")]
    Empty,
    /// A NUL byte, which no path can have.
    #[error("the path '{text}' has a NUL byte, which no file system can hold")]
    Nul {
        /// What was given, escaped.
        text: String,
    },
    /// `scheme://` with nothing behind it.
    #[error("'{text}' names no bucket: write {scheme}://BUCKET/PREFIX")]
    NoBucket {
        /// What was given, escaped.
        text: String,
        /// Its scheme.
        scheme: String,
    },
    /// A bucket name outside UTF-8 or with control characters.
    #[error("'{text}' has a bucket name that no store allows")]
    BadBucket {
        /// What was given, escaped.
        text: String,
    },
    /// Longer than a key may be.
    #[error("a location of {bytes} bytes is longer than the {KEY_BYTES_MAX} that are allowed")]
    TooLong {
        /// Bytes given.
        bytes: usize,
    },
}

impl Location {
    /// Reads a location. `NAME://…` is a bucket, `NAME:/…` a node's path, all else a path of this
    /// machine (write `./a:/b` for a path that looks like a node's).
    ///
    /// # Errors
    /// When the text is empty, names no bucket, or has bytes that nothing can hold.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseLocationError> {
        if bytes.is_empty() {
            return Err(ParseLocationError::Empty);
        }
        if bytes.len() > KEY_BYTES_MAX {
            return Err(ParseLocationError::TooLong { bytes: bytes.len() });
        }
        if let Some((scheme, rest)) = split_name(bytes, b"://") {
            return parse_bucket(bytes, scheme, rest);
        }
        if bytes.contains(&0) {
            return Err(ParseLocationError::Nul { text: escaped(bytes) });
        }
        if let Some((node, rest)) = split_name(bytes, b":/") {
            let path = [b"/", rest].concat();
            return Ok(Self::Node { node: node.to_owned(), path });
        }
        Ok(Self::Path(bytes.to_vec()))
    }

    /// The bytes that `parse` reads back as this location.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Path(path) => path.clone(),
            Self::Node { node, path } => [node.as_bytes(), b":", path].concat(),
            Self::Bucket { scheme, bucket, prefix } => {
                let mut bytes = format!("{scheme}://{bucket}").into_bytes();
                if !prefix.as_bytes().is_empty() {
                    bytes.push(b'/');
                    bytes.extend_from_slice(prefix.as_bytes());
                }
                bytes
            }
        }
    }

    /// The location as what holds objects: a prefix ends with a `/` unless it is the whole bucket, and
    /// a directory does not unless it is the root.
    #[must_use]
    pub fn into_container(self) -> Self {
        let trimmed = |mut path: Vec<u8>| {
            while path.len() > 1 && path.ends_with(b"/") {
                path.pop();
            }
            path
        };
        match self {
            Self::Path(path) => Self::Path(trimmed(path)),
            Self::Node { node, path } => Self::Node { node, path: trimmed(path) },
            Self::Bucket { scheme, bucket, prefix } => {
                let mut bytes = prefix.as_bytes().to_vec();
                if !bytes.is_empty() && !bytes.ends_with(b"/") {
                    bytes.push(b'/');
                }
                Self::Bucket { scheme, bucket, prefix: Key::new(bytes) }
            }
        }
    }

    /// The directory or prefix of an object, and its key there, byte by byte: empty when the
    /// location is written as a container.
    pub fn split(&self) -> (Self, Key) {
        let split = |bytes: &[u8]| {
            let at = bytes.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
            (bytes[..at].to_vec(), Key::new(&bytes[at..]))
        };
        match self {
            Self::Path(path) => {
                let (path, name) = split(path);
                (Self::Path(path).into_container(), name)
            }
            Self::Node { node, path } => {
                let (path, name) = split(path);
                (Self::Node { node: node.clone(), path }.into_container(), name)
            }
            Self::Bucket { scheme, bucket, prefix } => {
                let (prefix, name) = split(prefix.as_bytes());
                let (scheme, bucket) = (scheme.clone(), bucket.clone());
                (Self::Bucket { scheme, bucket, prefix: Key::new(prefix) }, name)
            }
        }
    }

    /// Whether the node of this name can open the location: a disk only the node that has it, a
    /// bucket any.
    pub fn is_open_to(&self, name: &str) -> bool {
        match self {
            Self::Path(_) => false,
            Self::Node { node, .. } => node == name,
            Self::Bucket { .. } => true,
        }
    }

    /// Whether the location is written as a container: it ends in `/`, or is a whole bucket.
    pub fn is_written_as_container(&self) -> bool {
        match self {
            Self::Path(path) | Self::Node { path, .. } => path.ends_with(b"/"),
            Self::Bucket { prefix, .. } => {
                prefix.as_bytes().is_empty() || prefix.as_bytes().ends_with(b"/")
            }
        }
    }
}

/// Splits `NAME<separator>rest` when NAME is a word: a letter, then letters, digits, `+ . - _`.
fn split_name<'a>(bytes: &'a [u8], separator: &[u8]) -> Option<(&'a str, &'a [u8])> {
    let at = bytes.windows(separator.len()).position(|window| window == separator)?;
    let name = std::str::from_utf8(&bytes[..at]).ok()?;
    let is_word = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "+.-_".contains(c));
    is_word.then_some((name, &bytes[at + separator.len()..]))
}

fn parse_bucket(all: &[u8], scheme: &str, rest: &[u8]) -> Result<Location, ParseLocationError> {
    let (bucket, prefix) = match rest.iter().position(|&byte| byte == b'/') {
        Some(slash) => (&rest[..slash], &rest[slash + 1..]),
        None => (rest, &rest[rest.len()..]),
    };
    if bucket.is_empty() {
        return Err(ParseLocationError::NoBucket { text: escaped(all), scheme: scheme.to_owned() });
    }
    let bucket = std::str::from_utf8(bucket)
        .ok()
        .filter(|name| !name.chars().any(|c| c.is_control() || c.is_whitespace()))
        .ok_or_else(|| ParseLocationError::BadBucket { text: escaped(all) })?;
    Ok(Location::Bucket {
        scheme: scheme.to_ascii_lowercase(),
        bucket: bucket.to_owned(),
        prefix: Key::new(prefix),
    })
}

fn escaped(bytes: &[u8]) -> String {
    Key::new(bytes).to_string()
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt_escaped(&self.to_bytes(), f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bucket(scheme: &str, bucket: &str, prefix: &str) -> Location {
        Location::Bucket {
            scheme: scheme.to_owned(),
            bucket: bucket.to_owned(),
            prefix: Key::from(prefix),
        }
    }

    #[test]
    fn locations_are_read_by_their_form() {
        for (text, location) in [
            ("./dir", Location::Path(b"./dir".to_vec())),
            ("/a//b/", Location::Path(b"/a//b/".to_vec())),
            ("./a:/b", Location::Path(b"./a:/b".to_vec())),
            ("1:/b", Location::Path(b"1:/b".to_vec())),
            ("berlin:/data", Location::Node { node: "berlin".into(), path: b"/data".to_vec() }),
            ("s3://b", bucket("s3", "b", "")),
            ("S3://b/", bucket("s3", "b", "")),
            ("s3://b//x/", bucket("s3", "b", "/x/")),
            ("tape+1://b/ y", bucket("tape+1", "b", " y")),
        ] {
            assert_eq!(Location::parse(text.as_bytes()), Ok(location), "{text}");
        }
    }

    #[test]
    fn bad_locations_are_refused() {
        for text in ["", "s3://", "s3:///x", "s3://a b/x", "a\0b"] {
            assert!(Location::parse(text.as_bytes()).is_err(), "{text:?}");
        }
        assert!(Location::parse(b"s3://\xff/x").is_err());
        assert!(Location::parse(&[b'a'; KEY_BYTES_MAX + 1]).is_err());
    }

    proptest! {
        #[test]
        fn what_is_parsed_prints_back_to_the_same_location(bytes in prop::collection::vec(any::<u8>(), 1..40)) {
            if let Ok(location) = Location::parse(&bytes) {
                prop_assert_eq!(Location::parse(&location.to_bytes()), Ok(location));
            }
        }

        #[test]
        fn bucket_locations_round_trip(text in "[a-z][a-z0-9]{0,4}://[a-z]{1,5}(/[ -~]{0,20})?") {
            let location = Location::parse(text.as_bytes()).unwrap();
            prop_assert_eq!(Location::parse(&location.to_bytes()), Ok(location));
        }
    }

    #[test]
    fn containers_have_one_form_and_objects_a_parent() {
        let parse = |text: &str| Location::parse(text.as_bytes()).unwrap();
        for (text, container) in [
            ("s3://b", "s3://b"),
            ("s3://b/a", "s3://b/a/"),
            ("s3://b/a//", "s3://b/a//"),
            ("eu-1:/a//", "eu-1:/a"),
            ("eu-1:/", "eu-1:/"),
            ("/a/", "/a"),
        ] {
            assert_eq!(parse(text).into_container(), parse(container), "{text}");
        }
        for (text, parent, name) in [
            ("s3://b/a", "s3://b", "a"),
            ("s3://b/a//c", "s3://b/a//", "c"),
            ("s3://b/a/", "s3://b/a/", ""),
            ("eu-1:/a/b", "eu-1:/a", "b"),
            ("eu-1:/a", "eu-1:/", "a"),
            ("/a/b", "/a", "b"),
        ] {
            assert_eq!(parse(text).split(), (parse(parent), Key::from(name)), "{text}");
        }
    }

    #[test]
    fn a_disk_is_open_to_its_node_only() {
        let parse = |text: &str| Location::parse(text.as_bytes()).unwrap();
        for (text, is_open) in
            [("eu-1:/a", true), ("eu-2:/a", false), ("s3://b", true), ("/a", false)]
        {
            assert_eq!(parse(text).is_open_to("eu-1"), is_open, "{text}");
        }
    }
}
