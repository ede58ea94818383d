//! Two simulated stores: objects are a size and a version, and what a real store would compute from
//! bytes follows from these. They outlive every process.

use std::collections::{BTreeMap, BTreeSet};

use airlift_protocol::assignment::UploadToken;
use airlift_protocol::chunk::{self, Root, SpanValue};
use airlift_protocol::key::Key;
use airlift_protocol::limits::SHARD_BYTES;
use airlift_protocol::manifest::{Entry, Kind, Version};
use airlift_protocol::shard;
use airlift_protocol::units::ByteRange;

/// The state of one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    /// Bytes.
    pub size: u64,
    /// Counts the states of the object.
    pub version: u64,
}

/// An upload at the target: which version each shard was read from.
#[derive(Clone, Debug)]
pub struct SimUpload {
    /// Key at the target.
    pub key: Key,
    /// Shards that are there.
    pub shards: BTreeMap<u32, Content>,
}

/// What both stores hold.
#[derive(Clone, Debug, Default)]
pub struct Stores {
    /// Objects at the source.
    pub source: BTreeMap<Key, Content>,
    /// Objects at the target.
    pub target: BTreeMap<Key, Content>,
    /// Open uploads at the target.
    pub uploads: BTreeMap<String, SimUpload>,
    /// Every state that a key of the source ever had.
    pub history: BTreeMap<Key, BTreeSet<u64>>,
    tokens: u64,
}

impl Stores {
    /// Gives the source an object, or a new state of one.
    pub fn put_source(&mut self, key: Key, size: u64) {
        let versions = self.history.entry(key.clone()).or_default();
        let version = versions.last().map_or(1, |last| last + 1);
        versions.insert(version);
        self.source.insert(key, Content { size, version });
    }

    /// Begins an upload.
    pub fn begin_upload(&mut self, key: Key) -> UploadToken {
        self.tokens += 1;
        let token = format!("upload-{}", self.tokens);
        self.uploads.insert(token.clone(), SimUpload { key, shards: BTreeMap::new() });
        UploadToken(token)
    }
}

/// What a listing says of an object.
pub fn entry(key: &Key, content: Content) -> Entry {
    Entry {
        key: key.clone(),
        kind: Kind::Object,
        size: content.size,
        mtime_ns: Some(content.version as i64),
        version: Version::ETag(format!("{}-{}", content.version, content.size)),
    }
}

/// The value that shard `index` of a state of `key` has.
pub fn shard_value(key: &Key, content: Content, index: u32) -> SpanValue {
    let text = format!("{key} {content:?} {index}");
    SpanValue(*blake3::hash(text.as_bytes()).as_bytes())
}

/// The hash that a state of `key` has as a whole.
pub fn root(key: &Key, content: Content) -> Root {
    let shards = shard::count(content.size).max(1);
    let values: Vec<SpanValue> =
        (0..shards).map(|index| shard_value(key, content, index)).collect();
    Root(chunk::merge(content.size, ByteRange::new(0, content.size), SHARD_BYTES, &values).0)
}
