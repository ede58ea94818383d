//! Lines of a report: one JSON object for each object that came to its end.

use airlift_coordinator::event::{Event, ObjectEnd, Status};
use airlift_protocol::assignment::End;
use airlift_protocol::attributes::AttributeSet;
use airlift_protocol::error::Failure;
use airlift_protocol::key::Key;
use data_encoding::BASE64;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::openapi::schema;

/// A key as JSON can hold it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JsonKey {
    /// The key; escaped as it is printed when it is not UTF-8.
    pub key: String,
    /// The exact bytes, when the key is not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_base64: Option<String>,
}

impl From<&Key> for JsonKey {
    fn from(key: &Key) -> Self {
        match key.as_str() {
            Some(text) => Self { key: text.to_owned(), key_base64: None },
            None => Self { key: key.to_string(), key_base64: Some(BASE64.encode(key.as_bytes())) },
        }
    }
}

impl JsonKey {
    /// The key itself; `None` when what stands for it is not base64.
    pub fn to_key(&self) -> Option<Key> {
        match &self.key_base64 {
            None => Some(Key::from(self.key.as_str())),
            Some(text) => BASE64.decode(text.as_bytes()).ok().map(Key::new),
        }
    }
}

/// One line of a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReportLine {
    /// Which object or place.
    #[serde(flatten)]
    pub key: JsonKey,
    /// What became of it: a word of [`Status`], or `unreadable`
    /// or `left_over`.
    pub status: String,
    /// Its bytes.
    pub bytes: u64,
    /// Its hash, where it was computed.
    pub blake3: Option<String>,
    /// What went wrong, or why it was left out.
    pub reason: Option<String>,
    /// The code of that.
    pub code: Option<String>,
    /// What the object carried at the source and the target cannot hold.
    #[serde(default, skip_serializing_if = "AttributeSet::is_empty")]
    #[schemars(schema_with = "schema::attributes")]
    pub dropped: AttributeSet,
    /// Of an `equal` object of which not both ends were read: the kind of sum, kept by a store, that
    /// shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sum: Option<String>,
    /// Set when the service of both ends copied it, so that its hash is not known.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub server_side: bool,
    /// For a place that could not be listed, and for what was left over: `source` or `target`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<String>,
}

impl ReportLine {
    /// The line of an event that has one.
    pub fn of_event(event: &Event) -> Option<Self> {
        match event {
            Event::ObjectFinished { object, .. } => Some(Self::of_object(object)),
            Event::Unreadable { end, key, failure, .. } => {
                Some(Self::of_place("unreadable", *end, key, failure))
            }
            Event::LeftOver { key, failure, .. } => {
                Some(Self::of_place("left_over", End::Target, key, failure))
            }
            Event::JobStarted { .. }
            | Event::Listing { .. }
            | Event::DeletesRefused { .. }
            | Event::JobEnded { .. } => None,
        }
    }

    fn of_object(object: &ObjectEnd) -> Self {
        let reason = object.reason.as_ref();
        let code = reason.and_then(|(code, _)| code.map(|code| code.as_str().to_owned()));
        Self {
            key: JsonKey::from(&object.key),
            status: object.status.as_str().to_owned(),
            bytes: object.bytes,
            blake3: object.root.map(|root| root.to_string()),
            reason: reason.map(|(_, text)| text.clone()),
            code,
            dropped: object.dropped,
            sum: object.sum.map(|kind| kind.as_str().to_owned()),
            server_side: object.status == Status::Done && object.root.is_none(),
            end: None,
        }
    }

    fn of_place(status: &str, end: End, key: &Key, failure: &Failure) -> Self {
        Self {
            key: JsonKey::from(key),
            status: status.to_owned(),
            bytes: 0,
            blake3: None,
            reason: Some(failure.detail().to_owned()),
            code: Some(failure.code.as_str().to_owned()),
            dropped: AttributeSet::NONE,
            sum: None,
            server_side: false,
            end: Some(match end {
                End::Source => "source".to_owned(),
                End::Target => "target".to_owned(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_back_exactly() {
        for bytes in [b"a//b ".as_slice(), b"\xff\\x", "é".as_bytes()] {
            let key = Key::new(bytes);
            let json = serde_json::to_string(&JsonKey::from(&key)).unwrap();
            let read: JsonKey = serde_json::from_str(&json).unwrap();
            assert_eq!(read.to_key(), Some(key));
        }
        let broken = JsonKey { key: "x".to_owned(), key_base64: Some("?".to_owned()) };
        assert_eq!(broken.to_key(), None);
    }
}
