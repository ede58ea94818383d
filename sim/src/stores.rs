//! The two simulated stores of a job: objects are a size and a version, and what a real store would
//! compute from bytes follows from these. They outlive every process.

use std::collections::{BTreeMap, BTreeSet};

use airlift_protocol::assignment::UploadToken;
use airlift_protocol::chunk::{self, Root, SpanValue};
use airlift_protocol::key::Key;
use airlift_protocol::manifest::{Entry, Kind, Version};
use airlift_protocol::shard;
use airlift_protocol::time::Timestamp;
use airlift_protocol::units::ByteRange;

/// The state of one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Content {
    /// Bytes.
    pub(crate) size: u64,
    /// Counts the states of the object; 0 is none that the source ever had.
    pub(crate) version: u64,
}

/// An upload at the target: which state each shard was read from.
#[derive(Clone, Debug)]
pub(crate) struct SimUpload {
    /// Key at the target.
    pub(crate) key: Key,
    /// The state of the object that it was begun for.
    pub(crate) of: Content,
    /// Wall-clock time at which it was begun.
    pub(crate) begun: Timestamp,
    /// Shards that are there.
    pub(crate) shards: BTreeMap<u32, Content>,
}

/// An object at the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    /// What it is.
    pub(crate) content: Content,
    /// Since when, in milliseconds.
    pub(crate) since: u64,
}

/// What both stores hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stores {
    /// Objects at the source.
    pub(crate) source: BTreeMap<Key, Content>,
    /// Objects at the target.
    pub(crate) target: BTreeMap<Key, Stored>,
    /// Open uploads at the target.
    pub(crate) uploads: BTreeMap<String, SimUpload>,
    /// Every state that a key of the source ever had.
    pub(crate) history: BTreeMap<Key, BTreeSet<u64>>,
    /// Until when the stores refuse whoever asks, in milliseconds.
    pub(crate) refuses_until: u64,
    tokens: u64,
}

impl Stores {
    /// Gives the source an object, or a new state of one.
    pub(crate) fn put_source(&mut self, key: Key, size: u64) {
        let versions = self.history.entry(key.clone()).or_default();
        let version = versions.last().map_or(1, |last| last + 1);
        versions.insert(version);
        self.source.insert(key, Content { size, version });
    }

    /// What the target has under `key`.
    pub(crate) fn at_target(&self, key: &Key) -> Option<Content> {
        self.target.get(key).map(|stored| stored.content)
    }

    /// Begins an upload.
    pub(crate) fn begin_upload(&mut self, key: Key, of: Content, begun: Timestamp) -> UploadToken {
        self.tokens += 1;
        let token = format!("upload-{}", self.tokens);
        self.uploads.insert(token.clone(), SimUpload { key, of, begun, shards: BTreeMap::new() });
        UploadToken(token)
    }

    /// Drops the uploads of `key` that were begun since then, but for the one that is `kept`.
    pub(crate) fn drop_orphans(&mut self, key: &Key, since: Timestamp, kept: Option<&UploadToken>) {
        self.uploads.retain(|token, open| {
            let is_kept = kept.is_some_and(|kept| kept.0 == *token);
            open.key != *key || open.begun < since || is_kept
        });
    }
}

/// What a listing says of an object.
pub(crate) fn entry(key: &Key, content: Content) -> Entry {
    Entry {
        key: key.clone(),
        kind: Kind::Object,
        size: content.size,
        mtime_ns: Some(content.version as i64),
        version: Version::ETag(format!("{}-{}", content.version, content.size).into()),
        is_archived: false,
    }
}

/// Whether `entry` was listed in this state of its object.
pub(crate) fn is_listed_as(listed: &Entry, content: Content) -> bool {
    listed.size == content.size && listed.mtime_ns == Some(content.version as i64)
}

/// The value that shard `index` of a state of `key` has.
pub(crate) fn shard_value(key: &Key, content: Content, index: u32) -> SpanValue {
    let mut bytes = [0; 20];
    bytes[..8].copy_from_slice(&content.size.to_le_bytes());
    bytes[8..16].copy_from_slice(&content.version.to_le_bytes());
    bytes[16..].copy_from_slice(&index.to_le_bytes());
    let mut hasher = blake3::Hasher::new();
    hasher.update(&bytes).update(key.as_bytes());
    SpanValue(*hasher.finalize().as_bytes())
}

/// The hash that a state of `key` has as a whole.
pub(crate) fn root(key: &Key, content: Content) -> Root {
    let shards = shard::count(content.size).max(1);
    let values: Vec<SpanValue> =
        (0..shards).map(|index| shard_value(key, content, index)).collect();
    let whole = ByteRange::new(0, content.size);
    Root(chunk::merge(content.size, whole, shard::bytes(content.size), &values).0)
}
