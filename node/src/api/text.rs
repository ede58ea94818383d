//! Bytes and ids as JSON can hold them.

use airlift_protocol::id::JobId;
use airlift_protocol::key::Key;
use airlift_protocol::location::Location;
use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes that are nearly always text: a JSON string where they are UTF-8, `{"base64": "…"}` where not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByteText(pub Vec<u8>);

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Text(String),
    Bytes(InBase64),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct InBase64 {
    base64: String,
}

impl Serialize for ByteText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(&self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => InBase64 { base64: BASE64.encode(&self.0) }.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for ByteText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Written::deserialize(deserializer)? {
            Written::Text(text) => Ok(Self(text.into_bytes())),
            Written::Bytes(InBase64 { base64 }) => BASE64
                .decode(base64.as_bytes())
                .map(Self)
                .map_err(|error| serde::de::Error::custom(format!("not base64: {error}"))),
        }
    }
}

impl From<&Location> for ByteText {
    fn from(location: &Location) -> Self {
        Self(location.to_bytes())
    }
}

impl From<&Key> for ByteText {
    fn from(key: &Key) -> Self {
        Self(key.as_bytes().to_vec())
    }
}

/// For people: escaped as keys are.
impl std::fmt::Display for ByteText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        airlift_protocol::key::fmt_escaped(&self.0, f)
    }
}

/// Reads a job's id: 32 hexadecimal digits.
pub fn parse_job_id(text: &str) -> Option<JobId> {
    let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()?;
    bytes.try_into().ok().map(JobId)
}

/// A job's id as text, for `#[serde(with)]`.
pub(super) mod job_id {
    use super::*;

    pub(in crate::api) fn serialize<S: Serializer>(
        id: &JobId,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(id)
    }

    pub(in crate::api) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<JobId, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_job_id(&text).ok_or_else(|| serde::de::Error::custom("not the id of a job"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_all_kinds_survive_json() {
        for (bytes, json) in [
            (b"/a b/\xc3\xa9".as_slice(), r#""/a b/é""#),
            (b"", r#""""#),
            (b"\xff/x", r#"{"base64":"/y94"}"#),
        ] {
            let text = ByteText(bytes.to_vec());
            assert_eq!(serde_json::to_string(&text).unwrap(), json);
            assert_eq!(serde_json::from_str::<ByteText>(json).unwrap(), text);
        }
        for json in ["1", r#"{"base64":"?"}"#, r#"{"base64":"","more":1}"#] {
            assert!(serde_json::from_str::<ByteText>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn job_ids_are_read_back_and_nothing_else_is() {
        let id = JobId([0xa5; 16]);
        assert_eq!(parse_job_id(&id.to_string()), Some(id));
        for text in ["", "a5", "a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5zz", &"a5".repeat(17)] {
            assert_eq!(parse_job_id(text), None, "{text}");
        }
    }
}
