//! A large object on its way: opened, moved shard by shard, committed.

use std::collections::BTreeSet;

use airlift_protocol::assignment::UploadToken;
use airlift_protocol::attributes::AttributeSet;
use airlift_protocol::chunk::{self, Root, SpanValue};
use airlift_protocol::shard;
use airlift_protocol::sum::Sum;
use airlift_protocol::units::ByteRange;
use serde::{Deserialize, Serialize};

use super::job::UploadId;

/// An object that is at the target, complete and visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// Its hash; `None` when the service of both ends copied it.
    pub root: Option<Root>,
    /// Its bytes.
    pub bytes: u64,
    /// What it carried at the source and the target cannot hold.
    pub dropped: AttributeSet,
}

/// A large object whose upload was ordered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LargeObject {
    /// The state that is being moved.
    pub upload_id: UploadId,
    /// Its bytes.
    pub size: u64,
    /// The upload, once it is open.
    pub token: Option<UploadToken>,
    /// Values of shards that are at the target.
    values: Vec<Option<SpanValue>>,
    /// Sums of the same shards, where the target's store has a use for them.
    sums: Vec<Option<Sum>>,
    /// Shards that were given back.
    returned: BTreeSet<u32>,
    /// Shards from this one on were never given out.
    next: u32,
    /// Whether the service of both ends copies it at its commit, so that no shard moves.
    is_copied: bool,
}

impl LargeObject {
    pub(super) fn new(upload_id: UploadId, size: u64) -> Self {
        let shards = shard::count(size) as usize;
        let (values, sums) = (vec![None; shards], vec![None; shards]);
        let returned = BTreeSet::new();
        Self { upload_id, size, token: None, values, sums, returned, next: 0, is_copied: false }
    }

    /// The upload is open, and bytes can be moved into it.
    pub(super) fn move_into(&mut self, token: UploadToken) {
        self.token = Some(token);
    }

    /// The upload is open, and the service of both ends is to copy the object into it.
    pub(super) fn copy_into(&mut self, token: UploadToken) {
        self.token = Some(token);
        self.is_copied = true;
    }

    /// Shards that can be given out, in order.
    pub fn available(&self) -> impl Iterator<Item = u32> + '_ {
        let is_moving = self.token.is_some() && !self.is_copied;
        let shards = if is_moving { shard::count(self.size) } else { 0 };
        let returned = self.returned.iter().copied().filter(move |&shard| shard < shards);
        returned.chain(self.next.min(shards)..shards)
    }

    /// Takes a shard out of those available; whether it was one.
    pub(crate) fn take(&mut self, shard: u32) -> bool {
        if self.returned.remove(&shard) {
            return true;
        }
        let is_moving = self.token.is_some() && !self.is_copied;
        if shard != self.next || !is_moving || shard >= shard::count(self.size) {
            return false;
        }
        self.next += 1;
        true
    }

    /// Gives a shard back.
    pub(super) fn give_back(&mut self, shard: u32) {
        if self.values.get(shard as usize).is_some_and(Option::is_none) {
            self.returned.insert(shard);
        }
    }

    /// Records the value of a shard that is at the target, and its sum.
    pub(super) fn record(&mut self, shard: u32, value: SpanValue, sum: Option<Sum>) {
        if let Some(slot) = self.values.get_mut(shard as usize) {
            *slot = Some(value);
        }
        if let Some(slot) = self.sums.get_mut(shard as usize) {
            *slot = sum;
        }
    }

    /// The sums of all shards in order; none when one has none.
    pub fn sums(&self) -> Vec<Sum> {
        self.sums.iter().copied().collect::<Option<_>>().unwrap_or_default()
    }

    /// Bytes of the shards that are at the target.
    pub fn moved_bytes(&self) -> u64 {
        let shards = (0..).zip(&self.values).filter(|(_, value)| value.is_some());
        shards.map(|(shard, _)| shard::range(self.size, shard).len()).sum()
    }

    /// Whether the service of both ends copies it.
    pub fn is_copied(&self) -> bool {
        self.is_copied
    }

    /// The object's hash, once every shard is at the target.
    pub fn root(&self) -> Option<Root> {
        let values: Vec<SpanValue> = self.values.iter().copied().collect::<Option<_>>()?;
        let whole = ByteRange::new(0, self.size);
        Some(Root(chunk::merge(self.size, whole, shard::bytes(self.size), &values).0))
    }

    /// Whether no shard is to be moved to the target.
    pub fn is_assembled(&self) -> bool {
        self.is_copied || self.values.iter().all(Option::is_some)
    }
}
