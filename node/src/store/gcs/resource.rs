//! Objects as the service's documents describe them, both ways.

use std::collections::BTreeMap;

use airlift_protocol::key::Key;
use airlift_protocol::manifest::{Entry, Kind, Version};
use airlift_protocol::sum::{StoredSum, SumKind};
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::store::metadata::{format_mtime, parse_mtime};
use crate::store::{Attributes, NewObject, sum};

/// Time of last modification of the source file: seconds and nine decimals since 1970.
const MTIME: &str = "airlift-mtime";
/// Permission bits, octal.
const MODE: &str = "airlift-mode";
/// Fingerprint of the source state.
const SOURCE: &str = "airlift-source";

/// Media type of a directory marker.
const DIRECTORY_TYPE: &str = "application/x-directory";

/// The class that a bucket gives when nothing else is said of it or of the object.
const USUAL_CLASS: &str = "STANDARD";

/// A number that the service writes as a text.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(super) enum Number {
    Text(String),
    Number(u64),
}

impl Number {
    pub(super) fn get(&self) -> Option<u64> {
        match self {
            Self::Text(text) => text.parse().ok(),
            Self::Number(number) => Some(*number),
        }
    }
}

/// An object as a document describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Resource {
    pub(super) name: String,
    pub(super) crc32c: Option<String>,
    md5_hash: Option<String>,
    size: Option<Number>,
    generation: Option<Number>,
    time_created: Option<String>,
    content_type: Option<String>,
    content_encoding: Option<String>,
    content_disposition: Option<String>,
    content_language: Option<String>,
    cache_control: Option<String>,
    metadata: Option<BTreeMap<String, Option<String>>>,
    storage_class: Option<String>,
}

impl Resource {
    /// Its bytes.
    pub(super) fn size(&self) -> Option<u64> {
        self.size.as_ref().and_then(Number::get)
    }

    /// What tells this state of the object from all others that were or will be.
    pub(super) fn generation(&self) -> Option<u64> {
        self.generation.as_ref().and_then(Number::get)
    }

    /// The same as a listing has it.
    pub(super) fn version(&self) -> Version {
        match self.generation() {
            Some(generation) => Version::ETag(generation.to_string().into()),
            None => Version::None,
        }
    }

    /// The sums that the service computed of its bytes: an MD5 only of what was not put together.
    pub(super) fn sums(&self) -> Vec<StoredSum> {
        let sums = [(SumKind::Crc32c, &self.crc32c), (SumKind::Md5, &self.md5_hash)];
        let sums = sums.into_iter().filter_map(|(kind, text)| {
            sum::from_base64(kind, text.as_deref()?).map(StoredSum::computed)
        });
        sums.collect()
    }

    /// The entry that stands for it under `key`; `None` without a size.
    pub(super) fn entry(&self, key: Key) -> Option<Entry> {
        let size = self.size()?;
        let kind = match size == 0 && key.as_bytes().ends_with(b"/") {
            true => Kind::Directory,
            false => Kind::Object,
        };
        let version = self.version();
        let mtime_ns = self.time_created.as_deref().and_then(parse_time);
        // Its archives are read at once, like everything else.
        Some(Entry { key, kind, size, mtime_ns, version, is_archived: false })
    }

    /// Its attributes. Airlift's own metadata is taken out; where the modification time is not among
    /// it, the time of creation counts.
    pub(super) fn attributes(&self) -> Attributes {
        let given = |value: &Option<String>| value.clone().filter(|value| !value.is_empty());
        let metadata = self.metadata.iter().flatten();
        let mut metadata: BTreeMap<String, String> = metadata
            .map(|(name, value)| (name.clone(), value.clone().unwrap_or_default()))
            .collect();
        let mtime_ns = metadata.remove(MTIME).and_then(|text| parse_mtime(&text));
        let mode = metadata.remove(MODE).and_then(|text| u32::from_str_radix(&text, 8).ok());
        let source_fingerprint = metadata.remove(SOURCE);
        Attributes {
            content_type: given(&self.content_type),
            content_encoding: given(&self.content_encoding),
            content_disposition: given(&self.content_disposition),
            content_language: given(&self.content_language),
            cache_control: given(&self.cache_control),
            metadata,
            tags: BTreeMap::new(),
            storage_class: given(&self.storage_class).filter(|class| class != USUAL_CLASS),
            mtime_ns: mtime_ns.or_else(|| self.time_created.as_deref().and_then(parse_time)),
            mode: mode.map(|mode| mode & 0o777),
            source_fingerprint,
            acl: None,
        }
    }

    /// The fingerprint of the source that it carries.
    pub(super) fn source_fingerprint(&self) -> Option<&str> {
        self.metadata.as_ref()?.get(SOURCE)?.as_deref()
    }
}

/// What describes `object` in a request that creates it.
pub(super) fn description(object: &NewObject) -> Map<String, Value> {
    let attributes = &object.attributes;
    let mut metadata: BTreeMap<String, String> = attributes.metadata.clone();
    let is_file = attributes.mode.is_some() || matches!(object.entry.version, Version::File { .. });
    if let Some(mtime_ns) = attributes.mtime_ns.or(object.entry.mtime_ns).filter(|_| is_file) {
        metadata.insert(MTIME.to_owned(), format_mtime(mtime_ns));
    }
    if let Some(mode) = attributes.mode {
        metadata.insert(MODE.to_owned(), format!("{:o}", mode & 0o777));
    }
    if let Some(fingerprint) = &attributes.source_fingerprint {
        metadata.insert(SOURCE.to_owned(), fingerprint.clone());
    }
    let is_marker = object.entry.kind == Kind::Directory;
    let own_type = || is_marker.then(|| DIRECTORY_TYPE.to_owned());
    let fields = [
        ("contentType", attributes.content_type.clone().or_else(own_type)),
        ("contentEncoding", attributes.content_encoding.clone()),
        ("contentDisposition", attributes.content_disposition.clone()),
        ("contentLanguage", attributes.content_language.clone()),
        ("cacheControl", attributes.cache_control.clone()),
        ("storageClass", attributes.storage_class.clone()),
    ];
    let given =
        fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into())));
    let mut description: Map<String, Value> = given.collect();
    if !metadata.is_empty() {
        description.insert("metadata".to_owned(), json!(metadata));
    }
    description
}

/// Nanoseconds of a time as the service writes it; `None` when it is none.
fn parse_time(text: &str) -> Option<i64> {
    let time = DateTime::from_str(text, Format::DateTime).ok()?;
    i64::try_from(time.as_nanos()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(document: &Value) -> Resource {
        serde_json::from_value(document.clone()).unwrap()
    }

    #[test]
    fn attributes_survive_the_way_through_documents() {
        let mut attributes = Attributes {
            content_type: Some("text/plain".into()),
            content_encoding: Some("gzip".into()),
            content_disposition: Some("attachment; filename=\"é\"".into()),
            content_language: Some("de".into()),
            cache_control: Some("no-cache".into()),
            metadata: [("X-Name", "Zoë ✓"), ("blank", " x "), ("none", "")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            mtime_ns: Some(1_700_000_000_123_456_789),
            mode: Some(0o640),
            storage_class: Some("NEARLINE".into()),
            ..Attributes::default()
        };
        attributes.source_fingerprint = Some("abc".into());
        let entry = Resource { size: Some(Number::Number(1)), ..Resource::default() };
        let entry = entry.entry("key".into()).unwrap();
        let object = NewObject { entry, attributes: attributes.clone() };
        let document = Value::Object(description(&object));
        assert_eq!(document["metadata"]["airlift-mtime"], "1700000000.123456789");
        let resource = read(&document);
        assert_eq!(resource.source_fingerprint(), Some("abc"));
        assert_eq!(resource.attributes(), attributes);
    }

    #[test]
    fn documents_become_entries() {
        let resource = read(&json!({
            "name": "x", "size": "12", "generation": "1700000000000001",
            "timeCreated": "1970-01-01T00:00:05.25Z", "unknown": [1],
        }));
        let entry = resource.entry("x".into()).unwrap();
        assert_eq!((entry.size, entry.kind), (12, Kind::Object));
        assert_eq!(entry.version, Version::ETag("1700000000000001".into()));
        assert_eq!(entry.mtime_ns, Some(5_250_000_000));
        assert_eq!(read(&json!({ "name": "x" })).entry("x".into()), None);
        let sums = json!({ "crc32c": "4waSgw==", "md5Hash": "kAFQmDzST7DWlj99KOF/cg==" });
        let stored = [sum::of(SumKind::Crc32c, b"123456789"), sum::of(SumKind::Md5, b"abc")];
        assert_eq!(read(&sums).sums(), stored.map(StoredSum::computed));
        assert_eq!(resource.sums(), []);
        let marker = read(&json!({ "size": 0 })).entry("dir/".into()).unwrap();
        assert_eq!((marker.kind, marker.version), (Kind::Directory, Version::None));
    }
}
