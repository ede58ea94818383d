//! Keys: bytes, compared and kept exactly as they are.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::shared;

/// Name of an object below its location's prefix: any bytes, ordered by value, never cleaned.
/// Clones share the bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Key(#[serde(with = "shared::bytes")] Arc<[u8]>);

impl Key {
    /// A key of exactly these bytes.
    pub fn new(bytes: impl AsRef<[u8]>) -> Self {
        Self(bytes.as_ref().into())
    }

    /// The bytes of the key.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The key as text, when it is UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// `prefix` followed by this key, byte by byte: nothing is added or removed between the two.
    #[must_use]
    pub fn with_prefix(&self, prefix: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(prefix.len() + self.0.len());
        bytes.extend_from_slice(prefix);
        bytes.extend_from_slice(&self.0);
        Self(bytes.into())
    }
}

impl From<&str> for Key {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().into())
    }
}

impl From<&[u8]> for Key {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }
}

/// Prints for people: control characters, backslashes and bytes outside UTF-8 are escaped, so that
/// two different keys never print alike and no key can move a terminal's cursor.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt_escaped(&self.0, f)
    }
}

/// Writes `bytes` with `\xNN` for what is not printable text, and `\\` for a backslash.
pub fn fmt_escaped(bytes: &[u8], f: &mut impl fmt::Write) -> fmt::Result {
    for piece in bytes.utf8_chunks() {
        for character in piece.valid().chars() {
            match character {
                '\\' => f.write_str("\\\\")?,
                c if c.is_control() => {
                    let mut buffer = [0; 4];
                    for byte in c.encode_utf8(&mut buffer).bytes() {
                        write!(f, "\\x{byte:02x}")?;
                    }
                }
                c => f.write_char(c)?,
            }
        }
        for byte in piece.invalid() {
            write!(f, "\\x{byte:02x}")?;
        }
    }
    Ok(())
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_keys_print_differently() {
        let pairs: [(&[u8], &str); 5] = [
            (b"plain/key", "plain/key"),
            (b"tab\there", "tab\\x09here"),
            (b"\xff\xfe", "\\xff\\xfe"),
            (b"back\\xff", "back\\\\xff"),
            ("é".as_bytes(), "é"),
        ];
        for (bytes, printed) in pairs {
            assert_eq!(Key::new(bytes).to_string(), printed);
        }
    }

    #[test]
    fn prefix_is_joined_without_cleaning() {
        assert_eq!(Key::from("/b").with_prefix(b"a/").as_bytes(), b"a//b");
    }
}
