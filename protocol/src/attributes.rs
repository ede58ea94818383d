//! What an object is beside its bytes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::manifest::Entry;

/// What an object carries beside its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attributes {
    /// Media type.
    pub content_type: Option<String>,
    /// Encoding that was applied to the content; the bytes are moved as stored.
    pub content_encoding: Option<String>,
    /// How to present the content.
    pub content_disposition: Option<String>,
    /// Language of the content.
    pub content_language: Option<String>,
    /// Caching directives.
    pub cache_control: Option<String>,
    /// The user's own metadata. Airlift's own keys never appear here.
    pub metadata: BTreeMap<String, String>,
    /// Time of last modification of the content, nanoseconds since 1970.
    pub mtime_ns: Option<i64>,
    /// Permission bits, `0o777` at most.
    pub mode: Option<u32>,
    /// Fingerprint of the source state this object was copied from, when Airlift copied it.
    pub source_fingerprint: Option<String>,
}

/// An object as its store describes it in full.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectInfo {
    /// What a listing says.
    pub entry: Entry,
    /// What a listing does not say.
    pub attributes: Attributes,
}
