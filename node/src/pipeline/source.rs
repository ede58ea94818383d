//! The source's half of the pipeline, as the target's half sees it: in this process or on another
//! node.
//!
//! ```text
//! source's half   read → hash → compress ─┐
//!                                    link │ CompressedChunk, CompressedObject
//! target's half   write ← verify ← decompress
//! ```
//!
//! What comes out of a source is not verified: the types of the link lead to the store of the target
//! only through `decompress` and `verify`.

use std::fmt::Debug;

use airlift_protocol::chunk::Root;
use airlift_protocol::folding::Folding;
use airlift_protocol::job::RestorePolicy;
use airlift_protocol::key::Key;
use airlift_protocol::manifest::Entry;
use airlift_protocol::units::ByteRange;
use async_trait::async_trait;
use tokio::sync::mpsc;

use super::budget::Permit;
use super::chunk::Payload;
use super::compress::CompressedChunk;
use crate::store::{Attributes, ObjectInfo, Restored, StoreError};

/// A chunk on its way, with its share of the budget.
pub type InFlight = (CompressedChunk, Permit);

/// A small object on its way.
#[derive(Clone, Debug)]
pub struct CompressedObject {
    /// Its hash, computed at the source.
    pub root: Root,
    /// What it carries beside its bytes.
    pub attributes: Attributes,
    /// Its chunks in order, at least one.
    pub chunks: Vec<CompressedChunk>,
    /// The plaintext that the chunks were cut from, when this process has it: spares the target a
    /// copy if they are still pieces of it, and means nothing else.
    pub cut_from: Option<Payload>,
}

/// Small objects: index into the request, and the result.
pub type PackResult = (usize, Result<CompressedObject, StoreError>);

/// Access to the objects of a job's source, read, hashed and compressed.
#[async_trait]
pub trait Source: Debug + Send + Sync {
    /// Whether times at the source are as they were set, so that size and time recognise an object.
    async fn keeps_mtime(&self) -> Result<bool, StoreError>;

    /// Everything about one object.
    async fn stat(&self, key: &Key) -> Result<Option<ObjectInfo>, StoreError>;

    /// Looks up many keys, given in ascending order; results in order.
    async fn lookup(&self, keys: Vec<Key>) -> Vec<Result<Option<Entry>, StoreError>>;

    /// For each of `keys` the other names of the source that a place with `folding` takes for its own, or
    /// for that of a directory above it: the first of them, none where there is none; results in order.
    async fn rivals(&self, folding: Folding, keys: Vec<Key>) -> Vec<Result<Vec<Key>, StoreError>>;

    /// Asks that objects that lie in an archive be restored; results in order.
    async fn restore(
        &self,
        entries: Vec<Entry>,
        policy: RestorePolicy,
    ) -> Vec<Result<Restored, StoreError>>;

    /// Hashes of objects, each pinned to its listed state; results in order.
    async fn roots(&self, entries: Vec<Entry>) -> Vec<Result<Root, StoreError>>;

    /// Sends the chunks of `range`, which begins with a chunk, in order into `link`, pinned to the
    /// listed state. The receiver may hold `part_bytes` of them, a power of two, before it lets any
    /// go. Returns early, without error, when the receiver is gone.
    async fn read_range(
        &self,
        entry: &Entry,
        range: ByteRange,
        part_bytes: u64,
        link: mpsc::Sender<InFlight>,
    ) -> Result<(), StoreError>;

    /// Sends whole small objects, in any order, each pinned to its listed state. The caller holds
    /// their share of the budget. Returns early when the receiver is gone.
    async fn read_pack(&self, entries: Vec<Entry>, found: mpsc::Sender<PackResult>);

    /// Bytes of another node's answers that arrived through this source, as they crossed the
    /// network.
    fn wire_bytes(&self) -> u64 {
        0
    }
}
