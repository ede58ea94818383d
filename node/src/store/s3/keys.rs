//! Names: keys below the prefix, keys of the bucket, and the url encoding of listings.

use airlift_protocol::error::ErrorCode;
use airlift_protocol::key::Key;
use airlift_protocol::manifest::{Entry, Kind};

use super::blank::is_ambiguous;
use super::provider::Provider;
use crate::store::StoreError;

/// Translates between keys relative to the prefix and keys of the bucket, by the rules of the service.
#[derive(Debug)]
pub(super) struct Names {
    prefix: String,
    provider: &'static Provider,
}

/// Longest prefix that is told apart: what holds it up is told with its name.
const COUNTED_BYTES_MAX: usize = 256;

impl Names {
    pub(super) fn new(prefix: Vec<u8>, provider: &'static Provider) -> Result<Self, StoreError> {
        let prefix = String::from_utf8(prefix).map_err(|error| {
            let prefix = Key::new(error.into_bytes());
            let text = format!("the prefix '{prefix}' is not UTF-8, which S3 requires of keys");
            StoreError::new(ErrorCode::KeyUnsupported, text)
        })?;
        Ok(Self { prefix, provider })
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The prefix by which requests for `key` are counted: that of the location, and the first name below it
    /// if it is one of a directory; `None` for what lies in the bucket itself.
    pub(super) fn counted(&self, key: &Key) -> Option<String> {
        let text = key.as_str()?;
        let below = text.find('/').map_or("", |at| &text[..=at]);
        let counted = format!("{}{below}", self.prefix);
        (!counted.is_empty() && counted.len() <= COUNTED_BYTES_MAX).then_some(counted)
    }

    /// The bucket's key for `key`.
    pub(super) fn full(&self, key: &Key) -> Result<String, StoreError> {
        match (key.as_str(), self.check_bytes(key)) {
            (Some(text), None) => Ok(format!("{}{text}", self.prefix)),
            (_, reason) => {
                let reason = reason.unwrap_or_default();
                Err(StoreError::new(ErrorCode::KeyUnsupported, format!("{key}: {reason}")))
            }
        }
    }

    /// The key below the prefix for a key of the bucket, or `None` when it is not below it.
    pub(super) fn relative(&self, full: &str) -> Option<Key> {
        full.strip_prefix(self.prefix.as_str()).map(Key::from)
    }

    /// Whether `full` is the marker of the prefix itself, which no key below it stands for.
    pub(super) fn is_own_marker(&self, full: &str) -> bool {
        full == self.prefix && full.ends_with('/')
    }

    /// Why a bucket cannot hold `entry`, or `None` when it can.
    pub(super) fn check(&self, entry: &Entry) -> Option<String> {
        match entry.kind {
            Kind::Symlink(_) => return Some("S3 cannot hold symbolic links".to_owned()),
            Kind::Special => return Some("S3 cannot hold sockets, pipes or devices".to_owned()),
            Kind::Directory if !entry.key.as_bytes().ends_with(b"/") => {
                return Some(
                    "an S3 directory marker ends in '/', and this key does not".to_owned(),
                );
            }
            Kind::Directory | Kind::Object => {}
        }
        self.check_bytes(&entry.key)
    }

    fn check_bytes(&self, key: &Key) -> Option<String> {
        if key.as_str().is_none() {
            return Some("the name is not UTF-8, which S3 requires of keys".to_owned());
        }
        if key.as_bytes().is_empty() && (self.prefix.is_empty() || self.prefix.ends_with('/')) {
            return Some("an S3 key cannot be empty".to_owned());
        }
        let full = format!("{}{}", self.prefix, key.as_str().unwrap_or_default());
        if is_ambiguous(&full) {
            return Some("the name is one that Airlift keeps for itself".to_owned());
        }
        self.provider.keys.check(&full, self.provider.name)
    }
}

/// Undoes the url encoding of a listing, where a blank is `+` or `%20`. `None` when it is none.
pub(crate) fn url_decode(text: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => decoded.push(b' '),
            b'%' => {
                let high = char::from(bytes.next()?).to_digit(16)?;
                let low = char::from(bytes.next()?).to_digit(16)?;
                decoded.push(u8::try_from(high * 16 + low).ok()?);
            }
            byte => decoded.push(byte),
        }
    }
    String::from_utf8(decoded).ok()
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
    fn requests_count_for_the_first_directory_below_the_location() {
        let long = format!("{}/x", "n".repeat(COUNTED_BYTES_MAX));
        for (prefix, key, counted) in [
            ("", "x", None),
            ("", "a/x", Some("a/")),
            ("", "a/b/x", Some("a/")),
            ("", "/x", Some("/")),
            ("data/", "x", Some("data/")),
            ("data/", "a/b/x", Some("data/a/")),
            ("data", "x", Some("data")),
            ("", &long, None),
        ] {
            let names = Names::new(prefix.into(), Provider::s3()).unwrap();
            assert_eq!(names.counted(&key.into()).as_deref(), counted, "{prefix} {key}");
        }
    }

    #[test]
    fn listings_are_decoded_exactly_or_not_at_all() {
        for (encoded, decoded) in [
            ("a/b", Some("a/b")),
            ("a+b%2Bc%20d", Some("a b+c d")),
            ("%252F", Some("%2F")),
            ("caf%C3%A9 é", Some("café é")),
            ("%00%0d%0A", Some("\0\r\n")),
            ("%2", None),
            ("%zz", None),
            ("%+1", None),
            ("%FF", None),
        ] {
            assert_eq!(url_decode(encoded).as_deref(), decoded, "{encoded}");
        }
    }

    #[test]
    fn keys_that_s3_cannot_hold_are_named() {
        let names = Names::new(b"p/".to_vec(), Provider::s3()).unwrap();
        for key in [&b"a//b"[..], b"/", b"..", b"%2F", &[b'x'; 1022]] {
            assert_eq!(names.check(&entry(key, Kind::Object)), None);
        }
        for (key, kind) in [
            (&b"\xff"[..], Kind::Object),
            (b"", Kind::Object),
            (&[b'x'; 1023], Kind::Object),
            (b"dir", Kind::Directory),
            (b"link", Kind::Symlink(b"x".to_vec())),
            (b"pipe", Kind::Special),
        ] {
            assert!(names.check(&entry(key, kind)).is_some(), "{key:?}");
        }
        let single = Names::new(b"dir/file".to_vec(), Provider::s3()).unwrap();
        assert_eq!(single.check(&entry(b"", Kind::Object)), None);
    }

    #[test]
    fn the_prefix_is_joined_and_cut_without_cleaning() {
        let names = Names::new(b"a/".to_vec(), Provider::s3()).unwrap();
        assert_eq!(names.full(&Key::from("/b")).unwrap(), "a//b");
        assert_eq!(names.relative("a//b"), Some(Key::from("/b")));
        assert_eq!(names.relative("b"), None);
        assert!(names.is_own_marker("a/"));
        assert!(Names::new(vec![0xff], Provider::s3()).is_err());
    }
}
