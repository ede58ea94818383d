//! Attributes as headers and user metadata, both ways.
//!
//! Header values are ASCII; how others are written says `store/metadata`. S3 itself answers with
//! encoded words, so values survive the way through any S3 store and are the same text after it.

use std::collections::{BTreeMap, HashMap};

use airlift_protocol::manifest::{Kind, Version};
use aws_sdk_s3::types::StorageClass;

use crate::store::metadata::{decode, encode, format_mtime, parse_mtime};
use crate::store::{Attributes, NewObject};

/// Time of last modification of the source file: seconds and nine decimals since 1970.
const MTIME: &str = "airlift-mtime";
/// Permission bits, octal.
const MODE: &str = "airlift-mode";
/// Fingerprint of the source state.
const SOURCE: &str = "airlift-source";

/// Media type of a directory marker.
const DIRECTORY_TYPE: &str = "application/x-directory";

/// What an object carries, as headers of a request that creates it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Headers {
    pub(super) content_type: Option<String>,
    pub(super) content_encoding: Option<String>,
    pub(super) content_disposition: Option<String>,
    pub(super) content_language: Option<String>,
    pub(super) cache_control: Option<String>,
    pub(super) metadata: HashMap<String, String>,
    pub(super) storage_class: Option<StorageClass>,
}

impl Headers {
    /// The headers that create `object`.
    pub(super) fn of(object: &NewObject) -> Self {
        let attributes = &object.attributes;
        let mut metadata: HashMap<String, String> =
            attributes.metadata.iter().map(|(name, value)| (name.clone(), encode(value))).collect();
        let is_file =
            attributes.mode.is_some() || matches!(object.entry.version, Version::File { .. });
        if let Some(mtime_ns) = attributes.mtime_ns.or(object.entry.mtime_ns).filter(|_| is_file) {
            metadata.insert(MTIME.to_owned(), format_mtime(mtime_ns));
        }
        if let Some(mode) = attributes.mode {
            metadata.insert(MODE.to_owned(), format!("{:o}", mode & 0o777));
        }
        if let Some(fingerprint) = &attributes.source_fingerprint {
            metadata.insert(SOURCE.to_owned(), fingerprint.clone());
        }
        let content_type = attributes
            .content_type
            .clone()
            .or_else(|| (object.entry.kind == Kind::Directory).then(|| DIRECTORY_TYPE.to_owned()));
        Self {
            content_type,
            content_encoding: attributes.content_encoding.clone(),
            content_disposition: attributes.content_disposition.clone(),
            content_language: attributes.content_language.clone(),
            cache_control: attributes.cache_control.clone(),
            metadata,
            storage_class: attributes.storage_class.as_deref().map(StorageClass::from),
        }
    }

    /// The attributes that these headers of a response describe. Airlift's own metadata is taken
    /// out; where the modification time is not among it, `last_modified_ns` counts. Tags and grants are
    /// no headers.
    pub(super) fn into_attributes(mut self, last_modified_ns: Option<i64>) -> Attributes {
        let mtime_ns = self.metadata.remove(MTIME).and_then(|text| parse_mtime(&text));
        let mode = self.metadata.remove(MODE).and_then(|text| u32::from_str_radix(&text, 8).ok());
        let source_fingerprint = self.metadata.remove(SOURCE);
        let metadata: BTreeMap<String, String> = self
            .metadata
            .into_iter()
            .map(|(name, value)| match decode(&value) {
                Some(decoded) => (name, decoded),
                None => (name, value),
            })
            .collect();
        Attributes {
            content_type: self.content_type,
            content_encoding: self.content_encoding.filter(|encoding| !encoding.is_empty()),
            content_disposition: self.content_disposition,
            content_language: self.content_language,
            cache_control: self.cache_control,
            metadata,
            tags: BTreeMap::new(),
            // The usual class is what every store gives when nothing is asked for.
            storage_class: self
                .storage_class
                .filter(|class| *class != StorageClass::Standard)
                .map(|class| class.as_str().to_owned()),
            mtime_ns: mtime_ns.or(last_modified_ns),
            mode: mode.map(|mode| mode & 0o777),
            source_fingerprint,
            acl: None,
        }
    }
}

/// The fingerprint that an object's metadata carries.
pub(super) fn source_fingerprint(metadata: Option<&HashMap<String, String>>) -> Option<&str> {
    metadata?.get(SOURCE).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use airlift_protocol::key::Key;
    use airlift_protocol::manifest::Entry;

    use super::*;

    fn object(kind: Kind, attributes: Attributes) -> NewObject {
        let entry = Entry {
            key: Key::from("key/"),
            kind,
            size: 0,
            mtime_ns: Some(5),
            version: Version::None,
            is_archived: false,
        };
        NewObject { entry, attributes }
    }

    #[test]
    fn attributes_survive_the_way_through_headers() {
        let attributes = Attributes {
            content_type: Some("text/plain".into()),
            content_encoding: Some("gzip".into()),
            content_disposition: Some("attachment".into()),
            content_language: Some("de".into()),
            cache_control: Some("no-cache".into()),
            metadata: [("name", "Zoë ✓"), ("plain", "a b"), ("blank", " x ")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            storage_class: Some("GLACIER_IR".into()),
            mtime_ns: Some(1_700_000_000_123_456_789),
            mode: Some(0o640),
            source_fingerprint: Some("abc".into()),
            ..Attributes::default()
        };
        let headers = Headers::of(&object(Kind::Object, attributes.clone()));
        assert_eq!(headers.metadata["airlift-mtime"], "1700000000.123456789");
        assert_eq!(headers.metadata["airlift-mode"], "640");
        assert_eq!(source_fingerprint(Some(&headers.metadata)), Some("abc"));
        assert!(headers.metadata.values().all(|value| value.is_ascii()));
        assert_eq!(headers.into_attributes(Some(1)), attributes);
    }

    #[test]
    fn only_files_carry_their_time() {
        let headers = Headers::of(&object(Kind::Directory, Attributes::default()));
        assert_eq!(headers.storage_class, None);
        assert_eq!(headers.content_type.as_deref(), Some(DIRECTORY_TYPE));
        assert!(headers.metadata.is_empty());
        assert_eq!(headers.into_attributes(Some(7)).mtime_ns, Some(7));
    }
}
