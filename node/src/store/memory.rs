//! A store that lives in memory: the reference of the conformance suite, and the ends of tests.
//!
//! It can do everything a store can: uploads, links, directory markers, times, modes and metadata. What it does
//! wrong when it is told to is in [`Flaws`].
//! Clones share their contents, so that a test can open the same place twice and can change it
//! behind the back of the code it tests.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use airlift_protocol::assignment::UploadToken;
use airlift_protocol::chunk::Root;
use airlift_protocol::error::ErrorCode;
use airlift_protocol::folding::Folding;
use airlift_protocol::job::RestorePolicy;
use airlift_protocol::key::Key;
use airlift_protocol::limits::CHUNK_BYTES;
use airlift_protocol::manifest::{Entry, Kind, Version};
use airlift_protocol::shard;
use airlift_protocol::sum::{StoredSum, Sum, SumKind};
use airlift_protocol::time::Timestamp;
use airlift_protocol::units::ByteRange;
use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::mpsc;

use super::each::joined;
use super::{
    Access, AttributeKind, Attributes, Capabilities, Classes, Copier, ListRequest, Listed,
    NewObject, ObjectInfo, OpenedUpload, Proof, RangeReader, ReadResult, Restored, Store,
    StoreError, Unproven, Upload, contiguous, sum,
};
use crate::pipeline::chunk::{Payload, VerifiedChunk, VerifiedObject};

/// Entries that go into a listing's channel at a time.
const BATCH_ENTRIES: usize = 1000;

/// A store in memory. Clones are further handles on the same objects.
#[derive(Clone, Debug)]
pub struct MemoryStore {
    capabilities: Capabilities,
    folding: Folding,
    part_bytes: u64,
    /// The kind of sum by which a commit compares the whole.
    compares: Option<SumKind>,
    /// How long an answer of a listing takes.
    answer_time: Duration,
    contents: Arc<Mutex<Contents>>,
}

/// What a store does wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flaws {
    /// It changes the bytes that it is given.
    pub damages: bool,
    /// It does not notice that itself.
    pub is_blind: bool,
    /// It forgets tags.
    pub forgets_tags: bool,
    /// It deletes nothing.
    pub refuses_deletes: bool,
    /// It copies objects by itself, and has nothing that proves it.
    pub copies_unproven: bool,
}

#[derive(Debug, Default)]
struct Contents {
    flaws: Flaws,
    objects: BTreeMap<Key, Stored>,
    uploads: BTreeMap<String, Pending>,
    generation: u64,
    sums_at_commits: Vec<Sum>,
}

#[derive(Clone, Debug)]
struct Stored {
    kind: Kind,
    bytes: Bytes,
    attributes: Attributes,
    generation: u64,
    sums: Vec<StoredSum>,
    archive: Archive,
}

/// How it stands with an object that may lie in an archive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Archive {
    #[default]
    None,
    Resting,
    UnderWay,
    Restored,
}

#[derive(Debug)]
struct Pending {
    key: Key,
    bytes: Vec<u8>,
    chunks: BTreeSet<u64>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        let capabilities = Capabilities {
            concurrent_parts: 4,
            writes_are_durable: true,
            symlinks: true,
            keeps_mtime: true,
            directories: false,
            lists_ranges: true,
            object_bytes_max: u64::MAX,
            keeps: AttributeKind::ALL.into_iter().collect(),
            classes: Classes::S3,
        };
        Self {
            capabilities,
            folding: Folding::NONE,
            part_bytes: CHUNK_BYTES,
            compares: None,
            answer_time: Duration::ZERO,
            contents: Arc::default(),
        }
    }

    /// An empty store that says of itself that it takes names for one. It does not do so: what would
    /// be written over is there beside what would have done it, for a test to see.
    pub fn with_folding(folding: Folding) -> Self {
        Self { folding, ..Self::new() }
    }

    /// An empty store that takes parts of so many bytes, a power of two, as a bucket does.
    pub fn with_part_bytes(part_bytes: u64) -> Self {
        Self { part_bytes, ..Self::new() }
    }

    /// An empty store that compares a sum of the whole when an upload is committed, as some services do.
    pub fn with_sums(kind: SumKind) -> Self {
        Self { compares: Some(kind), ..Self::new() }
    }

    /// An empty store that knows objects again by the fingerprint of their source, as a bucket does.
    pub fn like_a_bucket() -> Self {
        let mut store = Self::new();
        store.capabilities.keeps_mtime = false;
        store
    }

    /// Has the store do these things wrong from now on, and no others.
    pub fn set_flaws(&self, flaws: Flaws) {
        self.contents().flaws = flaws;
    }

    /// Gives the object under `key` a tag.
    ///
    /// # Panics
    /// When there is none.
    pub fn tag(&self, key: &Key, name: &str, value: &str) {
        let mut contents = self.contents();
        let stored = contents.objects.get_mut(key).expect("an object of that key");
        stored.attributes.tags.insert(name.to_owned(), value.to_owned());
    }

    /// This store, as if each answer of a listing took so long.
    pub fn answering_after(self, answer_time: Duration) -> Self {
        Self { answer_time, ..self }
    }

    /// The sums that came with commits, in order.
    pub fn sums_at_commits(&self) -> Vec<Sum> {
        self.contents().sums_at_commits.clone()
    }

    /// Puts an object, as someone else would, with `mtime_ns` as its time.
    pub fn insert(&self, key: impl Into<Key>, bytes: impl Into<Bytes>, mtime_ns: i64) {
        let attributes = Attributes { mtime_ns: Some(mtime_ns), ..Attributes::default() };
        self.contents().put(key.into(), Kind::Object, bytes.into(), attributes);
    }

    /// Puts an entry that has no bytes: a directory marker, a link, or something special.
    pub fn insert_kind(&self, key: impl Into<Key>, kind: Kind) {
        self.contents().put(key.into(), kind, Bytes::new(), Attributes::default());
    }

    /// Keeps these sums of the object under `key`, right or wrong, until it is written again.
    ///
    /// # Panics
    /// When there is none.
    pub fn keep_sums(&self, key: &Key, sums: Vec<StoredSum>) {
        let mut contents = self.contents();
        contents.objects.get_mut(key).expect("an object of that key").sums = sums;
    }

    /// Puts the object under `key` into an archive, if there is one. It can be read once it was asked for
    /// twice.
    pub fn archive(&self, key: &Key) {
        if let Some(stored) = self.contents().objects.get_mut(key) {
            stored.archive = Archive::Resting;
        }
    }

    /// Removes whatever is under `key`; whether there was something.
    pub fn remove(&self, key: &Key) -> bool {
        self.contents().objects.remove(key).is_some()
    }

    /// The bytes under `key`.
    pub fn bytes(&self, key: &Key) -> Option<Bytes> {
        self.contents().objects.get(key).map(|stored| stored.bytes.clone())
    }

    /// Every key, in order.
    pub fn keys(&self) -> Vec<Key> {
        self.contents().objects.keys().cloned().collect()
    }

    /// Tokens of the uploads that were begun and neither committed nor discarded.
    pub fn uploads(&self) -> Vec<UploadToken> {
        self.contents().uploads.keys().cloned().map(UploadToken).collect()
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Contents {
    fn put(&mut self, key: Key, kind: Kind, bytes: Bytes, attributes: Attributes) {
        self.generation += 1;
        let (generation, sums, archive) = (self.generation, Vec::new(), Archive::None);
        self.objects.insert(key, Stored { kind, bytes, attributes, generation, sums, archive });
    }

    /// The entry and bytes of `listed`, if it still is what was listed.
    fn pinned(&self, listed: &Entry) -> Result<&Stored, StoreError> {
        match self.objects.get(&listed.key) {
            Some(stored) if matches!(stored.archive, Archive::Resting | Archive::UnderWay) => {
                let text = format!("{} lies in an archive", listed.key);
                Err(StoreError::new(ErrorCode::PermissionDenied, text))
            }
            Some(stored) if stored.entry(&listed.key) == *listed => Ok(stored),
            Some(_) => Err(StoreError::new(
                ErrorCode::SourceChanged,
                format!("{} changed since it was listed", listed.key),
            )),
            None => Err(StoreError::new(
                ErrorCode::NotFound,
                format!("{} was removed since it was listed", listed.key),
            )),
        }
    }

    fn after(&self, after: Option<&Key>, until: Option<&Key>) -> Vec<Entry> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.objects
            .range((start, Bound::Unbounded))
            .take_while(|(key, _)| until.is_none_or(|until| *key <= until))
            .take(BATCH_ENTRIES)
            .map(|(key, stored)| stored.entry(key))
            .collect()
    }

    fn put_verified(
        &mut self,
        object: &NewObject,
        verified: &VerifiedObject,
    ) -> Result<(), StoreError> {
        let entry = &object.entry;
        if entry.kind == Kind::Special {
            return Err(StoreError::new(
                ErrorCode::KindUnsupported,
                format!("{} is a socket, pipe or device and has no bytes to copy", entry.key),
            ));
        }
        let bytes = contiguous(verified.payload());
        self.put(entry.key.clone(), entry.kind.clone(), bytes, kept(object));
        self.prove(&entry.key)
    }

    /// Does wrong what is to be done wrong with the object that was just put under `key`, and says what is noticed
    /// of that.
    fn prove(&mut self, key: &Key) -> Result<(), StoreError> {
        let flaws = self.flaws;
        let Some(stored) = self.objects.get_mut(key) else { return Ok(()) };
        let written = stored.entry(key).version;
        if flaws.damages {
            stored.bytes = stored.bytes.iter().map(|byte| !byte).collect();
        }
        if flaws.damages && !flaws.is_blind {
            let text = format!("{key}: the store holds other bytes than were sent");
            return Err(StoreError::new(ErrorCode::CorruptTarget, text).unproven(written));
        }
        if flaws.forgets_tags && !stored.attributes.tags.is_empty() {
            stored.attributes.tags.clear();
            let text = format!("{key}: the store did not keep the object's tags");
            return Err(StoreError::new(ErrorCode::KindUnsupported, text).unproven(written));
        }
        Ok(())
    }

    /// Drops the uploads of `key` but `keep`.
    fn drop_uploads(&mut self, key: &Key, keep: Option<&UploadToken>) {
        self.uploads.retain(|token, pending| {
            pending.key != *key || keep.is_some_and(|keep| keep.0 == *token)
        });
    }
}

impl Stored {
    fn entry(&self, key: &Key) -> Entry {
        Entry {
            key: key.clone(),
            kind: self.kind.clone(),
            size: self.bytes.len() as u64,
            mtime_ns: self.attributes.mtime_ns,
            version: Version::ETag(format!("{:016x}", self.generation).into()),
            is_archived: self.archive != Archive::None,
        }
    }
}

/// What the store keeps beside the bytes: the attributes, with the listed time where they have none.
fn kept(object: &NewObject) -> Attributes {
    let mtime_ns = object.attributes.mtime_ns.or(object.entry.mtime_ns);
    Attributes { mtime_ns, ..object.attributes.clone() }
}

fn lost(key: &Key) -> StoreError {
    StoreError::new(ErrorCode::UploadLost, format!("the upload of {key} is gone"))
}

#[async_trait]
impl Store for MemoryStore {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn folding(&self, _access: Access) -> Result<Folding, StoreError> {
        Ok(self.folding)
    }

    fn check_key(&self, entry: &Entry) -> Option<String> {
        entry.key.as_bytes().is_empty().then(|| "the key is empty".to_owned())
    }

    async fn list(
        &self,
        request: ListRequest,
        found: mpsc::Sender<Listed>,
    ) -> Result<(), StoreError> {
        let ListRequest { mut after, until } = request;
        loop {
            if !self.answer_time.is_zero() {
                tokio::time::sleep(self.answer_time).await;
            }
            let batch = self.contents().after(after.as_ref(), until.as_ref());
            let Some(last) = batch.last() else { return Ok(()) };
            after = Some(last.key.clone());
            if found.send(Listed::Entries(batch)).await.is_err() {
                return Ok(());
            }
        }
    }

    async fn lookup(&self, keys: Vec<Key>) -> Vec<Result<Option<Entry>, StoreError>> {
        let contents = self.contents();
        keys.iter()
            .map(|key| Ok(contents.objects.get(key).map(|stored| stored.entry(key))))
            .collect()
    }

    async fn stored_sums(&self, objects: Vec<Entry>) -> Vec<Result<Vec<StoredSum>, StoreError>> {
        let contents = self.contents();
        let sums_of = |entry| contents.pinned(entry).map(|stored| stored.sums.clone());
        objects.iter().map(|entry| Ok(sums_of(entry).unwrap_or_default())).collect()
    }

    async fn stat(&self, key: &Key) -> Result<Option<ObjectInfo>, StoreError> {
        let contents = self.contents();
        Ok(contents.objects.get(key).map(|stored| ObjectInfo {
            entry: stored.entry(key),
            attributes: stored.attributes.clone(),
        }))
    }

    async fn read_small(&self, objects: Vec<Entry>, found: mpsc::Sender<ReadResult>) {
        for (index, object) in objects.iter().enumerate() {
            let result = self
                .contents()
                .pinned(object)
                .map(|stored| (Payload::Bytes(stored.bytes.clone()), stored.attributes.clone()));
            if found.send((index, result)).await.is_err() {
                return;
            }
        }
    }

    async fn restore(
        &self,
        entries: Vec<Entry>,
        _policy: RestorePolicy,
    ) -> Vec<Result<Restored, StoreError>> {
        let mut contents = self.contents();
        let mut restore = |entry: Entry| {
            let missing =
                || StoreError::new(ErrorCode::NotFound, format!("{} does not exist", entry.key));
            let stored = contents.objects.get_mut(&entry.key).ok_or_else(missing)?;
            let (next, answer) = match stored.archive {
                Archive::Resting => (Archive::UnderWay, Restored::UnderWay),
                Archive::UnderWay | Archive::Restored => (Archive::Restored, Restored::Readable),
                Archive::None => (Archive::None, Restored::Readable),
            };
            stored.archive = next;
            Ok(answer)
        };
        entries.into_iter().map(&mut restore).collect()
    }

    async fn read_range(
        &self,
        object: &Entry,
        range: ByteRange,
    ) -> Result<Box<dyn RangeReader>, StoreError> {
        let chunks = shard::chunks(range).collect::<Vec<_>>().into_iter();
        self.contents().pinned(object)?;
        Ok(Box::new(MemoryReader { store: self.clone(), object: object.clone(), chunks }))
    }

    async fn put_small(
        &self,
        objects: Vec<(NewObject, VerifiedObject)>,
    ) -> Vec<Result<(), StoreError>> {
        let mut contents = self.contents();
        objects.iter().map(|(object, verified)| contents.put_verified(object, verified)).collect()
    }

    async fn open_upload(
        &self,
        object: &NewObject,
        resume: Option<&UploadToken>,
        orphan_since: Option<Timestamp>,
    ) -> Result<OpenedUpload, StoreError> {
        let mut contents = self.contents();
        if orphan_since.is_some() {
            contents.drop_uploads(&object.entry.key, resume);
        }
        if let Some(token) = resume.filter(|token| contents.uploads.contains_key(&token.0)) {
            return Ok(OpenedUpload { token: token.clone(), is_resumed: true });
        }
        contents.generation += 1;
        let token = format!("upload-{}", contents.generation);
        let pending = Pending {
            key: object.entry.key.clone(),
            bytes: vec![0; object.entry.size as usize],
            chunks: BTreeSet::new(),
        };
        contents.uploads.insert(token.clone(), pending);
        Ok(OpenedUpload { token: UploadToken(token), is_resumed: false })
    }

    async fn upload(
        &self,
        object: &NewObject,
        token: &UploadToken,
    ) -> Result<Box<dyn Upload>, StoreError> {
        if !self.contents().uploads.contains_key(&token.0) {
            return Err(lost(&object.entry.key));
        }
        let key = object.entry.key.clone();
        let (store, token) = (self.clone(), token.0.clone());
        Ok(Box::new(MemoryUpload { store, key, token, sums: Mutex::default() }))
    }

    async fn commit(
        &self,
        object: &NewObject,
        token: &UploadToken,
        root: Root,
    ) -> Result<(), StoreError> {
        let mut contents = self.contents();
        let key = &object.entry.key;
        let Some(pending) = contents.uploads.remove(&token.0) else {
            let held = contents.objects.get(key).map(|stored| Root::of(&stored.bytes));
            return if held == Some(root) { Ok(()) } else { Err(lost(key)) };
        };
        if Root::of(&pending.bytes) != root {
            return Err(StoreError::new(
                ErrorCode::CorruptTarget,
                format!("{key}: the store does not hold the bytes that were sent"),
            ));
        }
        contents.put(key.clone(), Kind::Object, pending.bytes.into(), kept(object));
        contents.prove(key)
    }

    async fn commit_summed(
        &self,
        object: &NewObject,
        token: &UploadToken,
        root: Root,
        sum: Sum,
    ) -> Result<(), StoreError> {
        self.contents().sums_at_commits.push(sum);
        self.commit(object, token, root).await?;
        let held = self.bytes(&object.entry.key).map(|bytes| sum::of(sum.kind(), &bytes));
        match held == Some(sum) {
            true => Ok(()),
            false => {
                let text =
                    format!("{}: the store holds other bytes than were sent", object.entry.key);
                Err(StoreError::new(ErrorCode::CorruptTarget, text))
            }
        }
    }

    async fn discard(
        &self,
        key: &Key,
        token: Option<&UploadToken>,
        orphan_since: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        let mut contents = self.contents();
        if let Some(token) = token {
            contents.uploads.remove(&token.0);
        } else if orphan_since.is_some() {
            contents.drop_uploads(key, None);
        }
        Ok(())
    }

    async fn delete(&self, entries: Vec<Entry>) -> Vec<Result<(), StoreError>> {
        let mut contents = self.contents();
        if contents.flaws.refuses_deletes {
            let text = "the store deletes nothing";
            let refused = |_: &Entry| Err(StoreError::new(ErrorCode::PermissionDenied, text));
            return entries.iter().map(refused).collect();
        }
        let mut delete = |entry: &Entry| match contents.objects.get(&entry.key) {
            None => Ok(()),
            Some(stored) if stored.entry(&entry.key) == *entry => {
                contents.objects.remove(&entry.key);
                Ok(())
            }
            Some(_) => Err(StoreError::new(
                ErrorCode::Conflict,
                format!("{} changed since it was listed; it was not deleted", entry.key),
            )),
        };
        entries.iter().map(&mut delete).collect()
    }

    async fn clean(&self) -> Result<(), StoreError> {
        self.contents().uploads.clear();
        Ok(())
    }

    fn copier(&self, source: &dyn Store) -> Option<Arc<dyn Copier>> {
        let source: &dyn Any = source;
        let source = source.downcast_ref::<Self>()?.clone();
        let copies = self.contents().flaws.copies_unproven;
        copies.then(|| Arc::new(MemoryCopier { source, target: self.clone() }) as Arc<dyn Copier>)
    }

    async fn preflight(&self, _access: Access) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Copies that nothing proves.
#[derive(Debug)]
struct MemoryCopier {
    source: MemoryStore,
    target: MemoryStore,
}

#[async_trait]
impl Copier for MemoryCopier {
    fn objection(&self, _listed: &Entry) -> Option<String> {
        None
    }

    async fn copy(&self, listed: &Entry, object: &NewObject) -> Result<Proof, StoreError> {
        let bytes = self.source.contents().pinned(listed)?.bytes.clone();
        let key = &object.entry.key;
        let mut contents = self.target.contents();
        contents.put(key.clone(), Kind::Object, bytes, kept(object));
        let written = contents.objects.get(key).map(|stored| stored.entry(key).version);
        Ok(Proof::Unproven(Unproven { why: "the store keeps no sums".to_owned(), written }))
    }
}

#[derive(Debug)]
struct MemoryReader {
    store: MemoryStore,
    object: Entry,
    chunks: std::vec::IntoIter<ByteRange>,
}

#[async_trait]
impl RangeReader for MemoryReader {
    async fn next(&mut self) -> Result<Option<Payload>, StoreError> {
        let contents = self.store.contents();
        let stored = contents.pinned(&self.object)?;
        Ok(self.chunks.next().map(|chunk| {
            Payload::Bytes(stored.bytes.slice(chunk.start as usize..chunk.end as usize))
        }))
    }
}

#[derive(Debug)]
struct MemoryUpload {
    store: MemoryStore,
    key: Key,
    token: String,
    /// Sums of parts that this access has written.
    sums: Mutex<BTreeMap<u64, Sum>>,
}

#[async_trait]
impl Upload for MemoryUpload {
    fn part_bytes(&self) -> u64 {
        self.store.part_bytes
    }

    async fn present(&self) -> Result<Vec<ByteRange>, StoreError> {
        let contents = self.store.contents();
        let pending = contents.uploads.get(&self.token).ok_or_else(|| lost(&self.key))?;
        let size = pending.bytes.len() as u64;
        let mut ranges: Vec<ByteRange> = Vec::new();
        for &start in &pending.chunks {
            let end = size.min(start + CHUNK_BYTES);
            match ranges.last_mut() {
                Some(last) if last.end == start => last.end = end,
                _ => ranges.push(ByteRange::new(start, end)),
            }
        }
        Ok(ranges)
    }

    async fn write(&self, chunks: Vec<VerifiedChunk>) -> Result<(), StoreError> {
        let mut contents = self.store.contents();
        let pending = contents.uploads.get_mut(&self.token).ok_or_else(|| lost(&self.key))?;
        let part = chunks.first().map_or(0, VerifiedChunk::offset);
        let end = part + chunks.iter().map(|chunk| chunk.payload().len()).sum::<u64>();
        let whole = (pending.bytes.len() as u64).min(part + self.store.part_bytes);
        if !part.is_multiple_of(self.store.part_bytes) || end != whole {
            let text = format!("{}: {part}..{end} is no part of the upload", self.key);
            return Err(StoreError::new(ErrorCode::Bug, text));
        }
        if let (Some(kind), Some(first)) = (self.store.compares, chunks.first()) {
            let start = first.offset();
            let bytes = joined(chunks.clone());
            let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
            sums.insert(start, sum::of(kind, &bytes));
        }
        for chunk in chunks {
            let bytes = contiguous(chunk.payload());
            let start = chunk.offset() as usize;
            pending.bytes[start..start + bytes.len()].copy_from_slice(&bytes);
            pending.chunks.insert(chunk.offset());
        }
        Ok(())
    }

    fn sum_at(&self, offset: u64) -> Option<Sum> {
        let sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        sums.get(&offset).copied()
    }

    async fn sync(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
