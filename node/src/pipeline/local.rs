//! The source's half of the pipeline in this process: around a store.

use std::sync::Arc;

use airlift_protocol::assignment::End;
use airlift_protocol::chunk::{self, Root, SpanValue};
use airlift_protocol::error::ErrorCode;
use airlift_protocol::figures::Stage;
use airlift_protocol::folding::Folding;
use airlift_protocol::frame::{Digest, ToDigest};
use airlift_protocol::job::RestorePolicy;
use airlift_protocol::key::Key;
use airlift_protocol::limits::CHUNK_BYTES;
use airlift_protocol::manifest::Entry;
use airlift_protocol::shard;
use airlift_protocol::sum::StoredSum;
use airlift_protocol::units::ByteRange;
use async_trait::async_trait;
use tokio::sync::mpsc;

use super::bounds::Bounds;
use super::chunk::Payload;
use super::compress::Encoder;
use super::rivals::Rivals;
use super::source::{CompressedObject, InFlight, PackResult, Source};
use super::{FaultHook, HASH_INLINE_BYTES, blocking, content, hash};
use crate::store::{Attributes, ObjectInfo, ReadResult, Restored, Store, StoreError};

/// Objects on the way from the reader to the hasher.
const READ_AHEAD: usize = 64;

/// A store in this process as the source of a job.
#[derive(Clone, Debug)]
pub struct LocalSource {
    /// Where objects are read.
    pub store: Arc<dyn Store>,
    /// What bounds the reading.
    pub bounds: Bounds,
    /// What the link does to chunks.
    pub encoder: Arc<Encoder>,
    /// Where to look for names that a target takes for one; `None` where no job asks.
    pub rivals: Option<Arc<Rivals>>,
    /// Set by tests only.
    pub faults: Option<Arc<dyn FaultHook>>,
}

#[async_trait]
impl Source for LocalSource {
    async fn keeps_mtime(&self) -> Result<bool, StoreError> {
        Ok(self.store.capabilities().keeps_mtime)
    }

    async fn stat(&self, key: &Key) -> Result<Option<ObjectInfo>, StoreError> {
        self.store.stat(key).await
    }

    async fn lookup(&self, keys: Vec<Key>) -> Vec<Result<Option<Entry>, StoreError>> {
        self.store.lookup(keys).await
    }

    async fn rivals(&self, folding: Folding, keys: Vec<Key>) -> Vec<Result<Vec<Key>, StoreError>> {
        let count = keys.len();
        let found = match &self.rivals {
            Some(rivals) => rivals.of(&*self.store, folding, keys).await,
            None => Ok(vec![Vec::new(); count]),
        };
        match found {
            Ok(names) => names.into_iter().map(Ok).collect(),
            Err(error) => (0..count).map(|_| Err(error.clone())).collect(),
        }
    }

    async fn restore(
        &self,
        entries: Vec<Entry>,
        policy: RestorePolicy,
    ) -> Vec<Result<Restored, StoreError>> {
        self.store.restore(entries, policy).await
    }

    async fn stored_sums(&self, entries: Vec<Entry>) -> Vec<Result<Vec<StoredSum>, StoreError>> {
        self.store.stored_sums(entries).await
    }

    async fn digests(&self, objects: Vec<ToDigest>) -> Vec<Result<Digest, StoreError>> {
        content::digests_of(&self.bounds, End::Source, &self.store, objects).await
    }

    async fn read_range(
        &self,
        entry: &Entry,
        range: ByteRange,
        part_bytes: u64,
        link: mpsc::Sender<InFlight>,
    ) -> Result<(), StoreError> {
        let meter = &self.bounds.meter;
        let opening = meter.busy(Stage::Source);
        let mut reader = self.store.read_range(entry, range).await?;
        drop(opening);
        let mut memory = self.bounds.memory_of_parts(range.len(), part_bytes);
        for ByteRange { start: at, end } in shard::chunks(range) {
            self.bounds.wait_for_bandwidth(end - at).await;
            let permit = memory.wait(end - at).await;
            let reading = meter.busy(Stage::Source);
            let Some(payload) = reader.next().await? else {
                return Err(not_as_asked(entry, "fewer"));
            };
            drop(reading);
            let chunk_bytes = payload.len();
            meter.add_bytes(Stage::Source, chunk_bytes);
            let (encoder, faults) = (Arc::clone(&self.encoder), self.faults.clone());
            let object_size = entry.size;
            let encode = move || {
                let mut chunk = encoder.encode(hash::hash(object_size, at, payload));
                if let Some(faults) = &faults {
                    faults.on_link(&mut chunk);
                }
                chunk
            };
            let chunk = {
                let _busy = meter.busy(Stage::Encode);
                meter.add_bytes(Stage::Encode, chunk_bytes);
                blocking(encode).await
            };
            let _handing_on = meter.wait(Stage::Source);
            if link.send((chunk, permit)).await.is_err() {
                return Ok(());
            }
        }
        let _busy = meter.busy(Stage::Source);
        match reader.next().await? {
            None => Ok(()),
            Some(_) => Err(not_as_asked(entry, "more")),
        }
    }

    fn store(&self) -> Option<&Arc<dyn Store>> {
        Some(&self.store)
    }

    async fn read_pack(&self, entries: Vec<Entry>, found: mpsc::Sender<PackResult>) {
        let (read, mut arrived) = mpsc::channel(READ_AHEAD);
        // Owns its end of the channel, so that the reader stops when nobody takes objects any more.
        let send = async move {
            let mut batch = Vec::with_capacity(READ_AHEAD);
            while self.read_many(&mut arrived, &mut batch).await {
                for (place, outcome) in batch.drain(..) {
                    let object = match outcome {
                        Ok((payload, attributes)) => Ok(self.prepare(payload, attributes).await),
                        Err(error) => Err(error),
                    };
                    if found.send((place, object)).await.is_err() {
                        return;
                    }
                }
            }
        };
        tokio::join!(self.store.read_small(entries, read), send);
    }
}

impl LocalSource {
    /// Takes objects that the store has read; whether there are more.
    async fn read_many(
        &self,
        read: &mut mpsc::Receiver<ReadResult>,
        batch: &mut Vec<ReadResult>,
    ) -> bool {
        let _busy = self.bounds.meter.busy(Stage::Source);
        read.recv_many(batch, READ_AHEAD).await > 0
    }

    /// The stages between read and link for one object that fits a few chunks.
    async fn prepare(&self, payload: Payload, attributes: Attributes) -> CompressedObject {
        let (bytes, meter) = (payload.len(), &self.bounds.meter);
        meter.add_bytes(Stage::Source, bytes);
        self.bounds.wait_for_bandwidth(bytes).await;
        let _busy = meter.busy(Stage::Encode);
        meter.add_bytes(Stage::Encode, bytes);
        let stages = self.stages(payload, attributes);
        if bytes <= HASH_INLINE_BYTES { stages() } else { blocking(stages).await }
    }

    /// Hash and compress as one piece of work for the CPU. The root is merged from the values of
    /// the chunks, so that bytes are hashed once.
    fn stages(
        &self,
        payload: Payload,
        attributes: Attributes,
    ) -> impl FnOnce() -> CompressedObject + Send + 'static {
        let (encoder, faults) = (Arc::clone(&self.encoder), self.faults.clone());
        move || {
            let size = payload.len();
            let (values, chunks): (Vec<SpanValue>, Vec<_>) = pieces(&payload)
                .into_iter()
                .map(|(offset, piece)| {
                    let hashed = hash::hash(size, offset, piece);
                    let value = hashed.value;
                    let mut chunk = encoder.encode(hashed);
                    if let Some(faults) = &faults {
                        faults.on_link(&mut chunk);
                    }
                    (value, chunk)
                })
                .unzip();
            let root = chunk::merge(size, ByteRange::new(0, size), CHUNK_BYTES, &values);
            CompressedObject { root: Root(root.0), attributes, chunks, cut_from: Some(payload) }
        }
    }
}

/// A store that does not give the range that it was asked for.
fn not_as_asked(entry: &Entry, what: &str) -> StoreError {
    let text = format!("{}: the store gave {what} bytes than it was asked for", entry.key);
    StoreError::new(ErrorCode::Protocol, text)
}

/// The chunks of a payload, at least one.
fn pieces(payload: &Payload) -> Vec<(u64, Payload)> {
    if payload.len() <= CHUNK_BYTES {
        return vec![(0, payload.clone())];
    }
    shard::chunks(ByteRange::new(0, payload.len()))
        .map(|range| match payload {
            Payload::Zero(_) => (range.start, Payload::Zero(range.len())),
            Payload::Bytes(bytes) => {
                let slice = bytes.slice(range.start as usize..range.end as usize);
                (range.start, Payload::Bytes(slice))
            }
        })
        .collect()
}
