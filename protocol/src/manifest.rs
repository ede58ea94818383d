//! Manifests: the frozen listing of a job, in pages of bounded size and key order.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::bounded;
use crate::codec;
use crate::id::{PageId, Position};
use crate::key::Key;
use crate::limits::{PAGE_BYTES_MAX, PAGE_ENTRIES_MAX};
use crate::shared;

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// Bytes under a key.
    Object,
    /// A directory without entries, or a store's zero-byte marker for one; its key ends in `/`.
    Directory,
    /// A symbolic link and the text it holds.
    Symlink(Vec<u8>),
    /// A socket, pipe or device.
    Special,
}

/// What tells one state of an object from another, beside its size and time.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Version {
    /// The store gives nothing.
    None,
    /// An entity tag, without quotes. Clones share it.
    ETag(#[serde(with = "shared::text")] Arc<str>),
    /// Device and inode of a file.
    File {
        /// Device number.
        device: u64,
        /// Inode number.
        inode: u64,
    },
}

/// One key of a listing, as its store described it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Entry {
    /// Key below the location's prefix.
    pub key: Key,
    /// What it is.
    pub kind: Kind,
    /// Bytes of the object; 0 for anything else.
    pub size: u64,
    /// Time of last modification in nanoseconds since 1970, where the store keeps one.
    pub mtime_ns: Option<i64>,
    /// What pins this state of the object.
    pub version: Version,
    /// Whether the store has to restore the object from an archive before it can be read.
    pub is_archived: bool,
}

impl Entry {
    /// A short value that two entries share when they describe the same state of the same content:
    /// size and ETag where there is one, else size and time. Hex, 32 characters.
    pub fn fingerprint(&self) -> String {
        let tag = match &self.version {
            Version::ETag(tag) => Some(&**tag),
            Version::None | Version::File { .. } => None,
        };
        let time = self.mtime_ns.filter(|_| tag.is_none());
        let identity = codec::encode(&(self.size, tag, time));
        let hash = blake3::derive_key("airlift 2026-11 source fingerprint", &identity);
        hash[..16].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// A run of entries in key order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// Place of the page in the manifest.
    pub id: PageId,
    /// At least one and at most [`PAGE_ENTRIES_MAX`] entries, strictly ascending by key.
    #[serde(deserialize_with = "bounded::list::<_, _, PAGE_ENTRIES_MAX>")]
    pub entries: Vec<Entry>,
}

impl Page {
    /// The entries with their positions.
    pub fn positions(&self) -> impl Iterator<Item = (Position, &Entry)> {
        self.entries
            .iter()
            .zip(0u16..)
            .map(|(entry, index)| (Position { page: self.id, index }, entry))
    }

    /// The entry at `index`.
    pub fn entry(&self, index: u16) -> Option<&Entry> {
        self.entries.get(usize::from(index))
    }

    /// Bytes that the entries have at most when they are encoded: what a [`PageBuilder`] counts.
    pub fn encoded_bytes_max(&self) -> usize {
        self.entries.iter().map(encoded_bytes_max).fold(0, usize::saturating_add)
    }

    /// Bytes of all entries together.
    pub fn bytes(&self) -> u64 {
        self.entries.iter().map(|entry| entry.size).fold(0, u64::saturating_add)
    }
}

/// Collects entries into pages that keep both limits.
#[derive(Debug, Default)]
pub struct PageBuilder {
    entries: Vec<Entry>,
    encoded_bytes: usize,
}

/// Encoded bytes of an entry beside its key, link text and tag: kind, size, time, version and the
/// lengths before them, each at its longest.
const ENTRY_OVERHEAD_BYTES: usize = 64;

impl PageBuilder {
    /// A builder for the first page.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `entry`; when the page is full, hands out the entries before it.
    pub fn push(&mut self, entry: Entry) -> Option<Vec<Entry>> {
        let bytes = encoded_bytes_max(&entry);
        let is_full = self.entries.len() == PAGE_ENTRIES_MAX
            || (!self.entries.is_empty() && self.encoded_bytes + bytes > PAGE_BYTES_MAX);
        let full = is_full.then(|| self.take());
        self.encoded_bytes += bytes;
        self.entries.push(entry);
        full
    }

    /// The entries not yet handed out, if any.
    pub fn finish(mut self) -> Option<Vec<Entry>> {
        (!self.entries.is_empty()).then(|| self.take())
    }

    fn take(&mut self) -> Vec<Entry> {
        self.encoded_bytes = 0;
        std::mem::take(&mut self.entries)
    }
}

fn encoded_bytes_max(entry: &Entry) -> usize {
    let kind = match &entry.kind {
        Kind::Symlink(text) => text.len(),
        Kind::Object | Kind::Directory | Kind::Special => 0,
    };
    let version = match &entry.version {
        Version::ETag(tag) => tag.len(),
        Version::None | Version::File { .. } => 0,
    };
    ENTRY_OVERHEAD_BYTES + entry.key.as_bytes().len() + kind + version
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(key: Vec<u8>) -> Entry {
        Entry {
            key: Key::new(key),
            kind: Kind::Object,
            size: u64::MAX,
            mtime_ns: Some(i64::MIN),
            version: Version::File { device: u64::MAX, inode: u64::MAX },
            is_archived: true,
        }
    }

    #[test]
    fn fingerprint_follows_the_tag_when_there_is_one_else_the_time() {
        let plain = entry(b"a".to_vec());
        let moved = Entry { version: Version::None, key: Key::from("b"), ..plain.clone() };
        assert_eq!(plain.fingerprint(), moved.fingerprint());
        let later = Entry { mtime_ns: Some(5), ..plain.clone() };
        assert_ne!(plain.fingerprint(), later.fingerprint());
        let tagged = Entry { version: Version::ETag("x".into()), ..plain };
        let tagged_later = Entry { mtime_ns: Some(5), ..tagged.clone() };
        assert_eq!(tagged.fingerprint(), tagged_later.fingerprint());
    }

    proptest! {
        #[test]
        fn pages_keep_their_limits_and_every_entry(lengths in prop::collection::vec(1usize..4096, 1..600)) {
            let mut builder = PageBuilder::new();
            let entries: Vec<Entry> =
                lengths.iter().map(|&length| entry(vec![b'k'; length])).collect();
            let mut pages: Vec<Vec<Entry>> =
                entries.iter().filter_map(|entry| builder.push(entry.clone())).collect();
            pages.extend(builder.finish());
            for entries in &pages {
                let page = Page { id: PageId(0), entries: entries.clone() };
                prop_assert!(!page.entries.is_empty());
                prop_assert!(page.entries.len() <= PAGE_ENTRIES_MAX);
                prop_assert!(codec::encode(&page).len() <= PAGE_BYTES_MAX + 16);
            }
            prop_assert_eq!(pages.concat(), entries);
        }
    }
}
