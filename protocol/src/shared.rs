//! Bytes and text that many hold at once: a clone shares them. For use as
//! `#[serde(with = "shared::bytes")]`; the encoding is that of any byte string or text.
//!
//! A key passes through a listing, the log, a page, an order and a report: a copy at each would be
//! most of what a leader does for a small object.

use std::fmt;
use std::sync::Arc;

use serde::de::{Deserializer, Error, Visitor};

/// Bytes, read in one piece.
pub(crate) mod bytes {
    use serde::Serializer;

    use super::*;

    struct Bytes;

    impl Visitor<'_> for Bytes {
        type Value = Arc<[u8]>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("bytes")
        }

        fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Arc<[u8]>, E> {
            Ok(bytes.into())
        }
    }

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Arc<[u8]>, D::Error> {
        deserializer.deserialize_bytes(Bytes)
    }
}

/// Text, read in one piece.
pub(crate) mod text {
    use serde::Serializer;

    use super::*;

    struct Text;

    impl Visitor<'_> for Text {
        type Value = Arc<str>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("text")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Arc<str>, E> {
            Ok(text.into())
        }
    }

    pub(crate) fn serialize<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(text)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Arc<str>, D::Error> {
        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde::{Deserialize, Serialize};

    use crate::codec;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Shared(
        #[serde(with = "super::bytes")] Arc<[u8]>,
        #[serde(with = "super::text")] Arc<str>,
    );

    #[test]
    fn the_encoding_is_that_of_owned_bytes_and_text() {
        for length in [0, 1, 250, 251, 70_000] {
            let (bytes, text) = (vec![0xff; length], "é".repeat(length));
            let shared = Shared(bytes.as_slice().into(), text.as_str().into());
            let encoded = codec::encode(&shared);
            assert_eq!(encoded, codec::encode(&(bytes, text)));
            assert_eq!(codec::decode::<Shared>(&encoded, encoded.len()).unwrap(), shared);
        }
    }

    #[test]
    fn what_declares_more_than_there_is_and_what_is_no_text_is_refused() {
        let declares = |bytes: u64| {
            let mut input = vec![253];
            input.extend_from_slice(&bytes.to_le_bytes());
            input
        };
        assert!(codec::decode::<Shared>(&declares(1 << 60), 64).is_err());
        assert!(codec::decode::<Shared>(&declares(20), 64).is_err());
        assert!(codec::decode::<Shared>(&[0, 1, 0xff], 64).is_err());
        assert!(codec::decode::<Shared>(&[0, 1, b'x'], 64).is_ok());
    }
}
