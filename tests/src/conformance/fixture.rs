//! What the properties share: objects to put, and short ways to put, list and read them.

use airlift_node::pipeline::chunk::{Payload, ReceivedChunk, VerifiedChunk, VerifiedObject};
use airlift_node::pipeline::hash;
use airlift_node::pipeline::verify::{verify, verify_object};
use airlift_node::store::{
    Attributes, ListRequest, Listed, NewObject, ReadResult, Store, StoreError, Upload, contiguous,
};
use airlift_protocol::assignment::UploadToken;
use airlift_protocol::chunk::Root;
use airlift_protocol::key::Key;
use airlift_protocol::limits::CHUNK_BYTES;
use airlift_protocol::manifest::{Entry, Kind, Version};
use airlift_protocol::shard;
use airlift_protocol::time::Timestamp;
use airlift_protocol::units::ByteRange;
use bytes::Bytes;
use tokio::sync::mpsc;

/// The time that objects of the suite were last modified at their source.
pub const MTIME_NS: i64 = 1_700_000_000_123_456_789;

/// `length` bytes that differ with `seed` and do not compress.
pub fn data(seed: u64, length: u64) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length as usize);
    while (bytes.len() as u64) < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length as usize);
    bytes.into()
}

/// An object as its source lists it.
pub fn new_object(key: impl Into<Key>, kind: Kind, size: u64) -> NewObject {
    let entry = Entry {
        key: key.into(),
        kind,
        size,
        mtime_ns: Some(MTIME_NS),
        version: Version::ETag("source".into()),
        is_archived: false,
    };
    let attributes =
        Attributes { mtime_ns: Some(MTIME_NS), mode: Some(0o640), ..Attributes::default() };
    NewObject { entry, attributes }
}

/// `payload` with the hash that it has.
pub fn verified(payload: Payload) -> VerifiedObject {
    verify_object(hash::root(&payload), payload).expect("the hash was computed from the payload")
}

/// An object with its bytes, ready to be put.
pub fn object(key: impl Into<Key>, bytes: Bytes) -> (NewObject, VerifiedObject) {
    let new = new_object(key, Kind::Object, bytes.len() as u64);
    (new, verified(Payload::Bytes(bytes)))
}

/// An entry without bytes, ready to be put.
pub fn marker(key: impl Into<Key>, kind: Kind) -> (NewObject, VerifiedObject) {
    (new_object(key, kind, 0), verified(Payload::Bytes(Bytes::new())))
}

/// Puts objects, all of which have to arrive.
pub async fn put(store: &dyn Store, objects: Vec<(NewObject, VerifiedObject)>) {
    let keys: Vec<Key> = objects.iter().map(|(object, _)| object.entry.key.clone()).collect();
    let results = store.put_small(objects).await;
    assert_eq!(results.len(), keys.len(), "one result for each object");
    for (key, result) in keys.iter().zip(results) {
        result.unwrap_or_else(|error| panic!("put {key}: {error}"));
    }
}

/// Lists what `request` asks for; everything has to be readable.
pub async fn list(store: &dyn Store, request: ListRequest) -> Vec<Entry> {
    let (sender, mut found) = mpsc::channel(4);
    let collect = async {
        let mut entries = Vec::new();
        while let Some(listed) = found.recv().await {
            match listed {
                Listed::Entries(batch) => entries.extend(batch),
                Listed::Unreadable(key, error) => panic!("{key} is unreadable: {error}"),
            }
        }
        entries
    };
    let (listed, entries) = futures::join!(store.list(request, sender), collect);
    listed.expect("the location can be listed");
    entries
}

/// Keys of the whole store.
pub async fn keys(store: &dyn Store) -> Vec<Key> {
    list(store, ListRequest::default()).await.into_iter().map(|entry| entry.key).collect()
}

/// The entry under `key`, if there is one.
pub async fn find(store: &dyn Store, key: impl Into<Key>) -> Option<Entry> {
    let mut found = store.lookup(vec![key.into()]).await;
    assert_eq!(found.len(), 1, "one result for each key");
    found.remove(0).expect("the key can be looked up")
}

/// The entry under `key`, which has to be there.
pub async fn entry(store: &dyn Store, key: impl Into<Key>) -> Entry {
    let key = key.into();
    find(store, key.clone()).await.unwrap_or_else(|| panic!("{key} is not there"))
}

/// Reads objects whole; results in the order of `entries`.
pub async fn read_small(
    store: &dyn Store,
    entries: Vec<Entry>,
) -> Vec<Result<(Bytes, Attributes), StoreError>> {
    let count = entries.len();
    let (sender, mut found) = mpsc::channel::<ReadResult>(4);
    let collect = async {
        let mut results: Vec<Option<_>> = std::iter::repeat_with(|| None).take(count).collect();
        while let Some((index, result)) = found.recv().await {
            let result = result.map(|(payload, attributes)| (contiguous(&payload), attributes));
            assert!(results[index].replace(result).is_none(), "object {index} came twice");
        }
        results
    };
    let ((), results) = futures::join!(store.read_small(entries, sender), collect);
    results.into_iter().map(|result| result.expect("one result for each object")).collect()
}

/// Reads a range; the pieces have to be chunks.
pub async fn read_range(
    store: &dyn Store,
    entry: &Entry,
    range: ByteRange,
) -> Result<Bytes, StoreError> {
    let mut reader = store.read_range(entry, range).await?;
    let mut bytes = Vec::new();
    for chunk in shard::chunks(range) {
        let payload = reader.next().await?.expect("a reader gives the whole range");
        assert_eq!(payload.len(), chunk.len(), "pieces are chunks");
        bytes.extend_from_slice(&contiguous(&payload));
    }
    assert!(reader.next().await?.is_none(), "a reader ends where the range ends");
    Ok(bytes.into())
}

/// Reads an object from its first byte to its last.
pub async fn read(store: &dyn Store, entry: &Entry) -> Result<Bytes, StoreError> {
    read_range(store, entry, ByteRange::new(0, entry.size)).await
}

/// The bytes under `key`, which has to be there and readable.
pub async fn content(store: &dyn Store, key: impl Into<Key>) -> Bytes {
    let entry = entry(store, key).await;
    read(store, &entry).await.unwrap_or_else(|error| panic!("read {}: {error}", entry.key))
}

/// A large object of the suite, and its upload.
#[derive(Debug)]
pub struct Large {
    /// What is put.
    pub object: NewObject,
    /// Its bytes.
    pub bytes: Bytes,
    /// The token of its upload.
    pub token: UploadToken,
    /// Its upload.
    pub upload: Box<dyn Upload>,
}

impl Large {
    /// Begins the upload of an object of two parts and a bit.
    pub async fn begin(store: &dyn Store, key: &str, seed: u64) -> Self {
        let attributes = new_object(key, Kind::Object, 0).attributes;
        Self::begin_with(store, key, seed, &attributes).await
    }

    /// The same for an object that carries `attributes`.
    pub async fn begin_with(
        store: &dyn Store,
        key: &str,
        seed: u64,
        attributes: &Attributes,
    ) -> Self {
        // How large a part is, the store says only when it knows how large the object is.
        let mut size = 3 * CHUNK_BYTES;
        loop {
            let attributes = attributes.clone();
            let object = NewObject { attributes, ..new_object(key, Kind::Object, size) };
            let opened = store.open_upload(&object, None, None).await.expect("an upload");
            assert!(!opened.is_resumed, "nothing was asked to be taken up");
            let token = opened.token;
            let upload = store.upload(&object, &token).await.expect("the upload");
            let wanted = 2 * upload.part_bytes() + 700_001;
            if size == wanted {
                return Self { object, bytes: data(seed, size), token, upload };
            }
            drop(upload);
            store.discard(&object.entry.key, Some(&token), None).await.expect("a discard");
            size = wanted;
        }
    }

    /// Its hash.
    pub fn root(&self) -> Root {
        Root::of(&self.bytes)
    }

    /// Ranges of its parts.
    pub fn parts(&self) -> Vec<ByteRange> {
        let size = self.bytes.len() as u64;
        let part_bytes = self.upload.part_bytes();
        (0..size)
            .step_by(part_bytes as usize)
            .map(|start| ByteRange::new(start, size.min(start + part_bytes)))
            .collect()
    }

    /// The chunks of `part`.
    pub fn chunks(&self, part: ByteRange) -> Vec<VerifiedChunk> {
        let payload = |chunk: ByteRange| {
            let bytes = self.bytes.slice(chunk.start as usize..chunk.end as usize);
            (chunk.start, Payload::Bytes(bytes))
        };
        verified_chunks(self.object.entry.size, shard::chunks(part).map(payload))
    }

    /// Writes `part`.
    pub async fn write(&self, part: ByteRange) {
        self.upload.write(self.chunks(part)).await.expect("a part can be written");
    }

    /// Makes what was written durable.
    pub async fn sync(&self) {
        self.upload.sync().await.expect("an upload can be made durable");
    }

    /// Writes every part and makes it durable.
    pub async fn write_all(&self) {
        for part in self.parts() {
            self.write(part).await;
        }
        self.sync().await;
    }

    /// Opens the upload again in `store`; whether it was taken up.
    pub async fn reopen(
        &mut self,
        store: &dyn Store,
        resume: Option<&UploadToken>,
        orphan_since: Option<Timestamp>,
    ) -> bool {
        let opened = store.open_upload(&self.object, resume, orphan_since).await;
        let opened = opened.expect("an upload");
        self.token = opened.token;
        self.upload = store.upload(&self.object, &self.token).await.expect("the upload");
        opened.is_resumed
    }

    /// Makes it visible.
    pub async fn commit(&self, store: &dyn Store) {
        store.commit(&self.object, &self.token, self.root()).await.expect("a commit");
    }

    /// Drops its upload.
    pub async fn discard(&self, store: &dyn Store) {
        let key = &self.object.entry.key;
        store.discard(key, Some(&self.token), None).await.expect("a discard");
    }
}

/// Chunks of an object of `size` bytes, each payload at its offset.
pub fn verified_chunks(
    size: u64,
    payloads: impl Iterator<Item = (u64, Payload)>,
) -> Vec<VerifiedChunk> {
    payloads
        .map(|(offset, payload)| {
            let hashed = hash::hash(size, offset, payload);
            let received = ReceivedChunk::new(size, offset, hashed.value, hashed.payload);
            verify(received).expect("the value was computed from the payload")
        })
        .collect()
}
