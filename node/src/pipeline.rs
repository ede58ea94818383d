//! The data plane: bytes from a source store to a target store.
//!
//! The order `read → hash → compress → link → decompress → verify → write` is a chain of types:
//! each stage takes the type of the one before, and only a [`chunk::VerifiedChunk`] can be written.
//!
//! | module | work |
//! |---|---|
//! | [`source`] | the source's half, wherever it runs; [`local`]: in this process |
//! | [`range`] | one shard of a large object into its upload |
//! | [`pack`] | many small objects, whole |
//! | [`object`] | begin, commit and discard the upload of a large object |
//! | [`compare`] | what has to move at all |
//! | [`content`] | whether both ends hold the same bytes; hashing what a store holds |
//! | [`remove`] | deletes of a sync |
//! | [`server`] | copies that the service of both ends makes itself |
//! | `proof` | what can be seen at the target before it is proven |

pub mod bounds;
pub mod budget;
pub mod chunk;
mod clash;
pub mod compare;
pub mod compress;
pub mod content;
mod digest;
mod equal;
#[cfg(test)]
mod fixture;
pub mod hash;
pub mod level;
pub mod limit;
pub mod local;
mod lookup;
pub mod meter;
mod names;
pub mod object;
pub mod pack;
pub mod places;
mod proof;
pub mod range;
pub mod remove;
pub(crate) mod requests;
mod restore;
pub mod rivals;
pub mod server;
pub mod slots;
pub mod source;
pub mod verify;

use std::fmt::Debug;
use std::sync::Arc;

use airlift_protocol::error::{ErrorCode, Failure};
use airlift_protocol::figures::Stage;
use airlift_protocol::job::{AclPolicy, ClassPolicy, JobSpec, KeyPolicy, TagPolicy};
use airlift_protocol::key::Key;
use airlift_protocol::manifest::{Entry, Version};
use airlift_protocol::report::ChangedObject;

use self::bounds::Bounds;
use self::compress::CompressedChunk;
use self::meter::Meter;
use self::source::Source;
use crate::runtime::blocking::blocking;
use crate::storage::journal::Journal;
use crate::store::{
    Acl, AttributeKind, AttributeSet, Attributes, Capabilities, NewObject, Store, StoreError,
};

/// Bytes up to which hashing on the spot costs less than handing the work to another thread.
const HASH_INLINE_BYTES: u64 = 64 << 10;

/// What rules about classes of storage call the one that a store gives when nothing is asked for.
const DEFAULT_CLASS: &str = "default";

/// Alters or delays chunks where they are hashed and compressed: how tests prove that corruption is caught,
/// and a busy core named.
pub trait FaultHook: Debug + Send + Sync {
    /// May change the chunk that crosses the link.
    fn on_link(&self, chunk: &mut CompressedChunk);
}

/// What all work on one job shares.
#[derive(Clone, Debug)]
pub struct Transfer {
    /// What was asked.
    pub spec: Arc<JobSpec>,
    /// Where objects are read, hashed and compressed.
    pub source: Arc<dyn Source>,
    /// Where objects go.
    pub target: Arc<dyn Store>,
    /// What of open uploads is at the target.
    pub journal: Arc<Journal>,
    /// What bounds the reading.
    pub bounds: Bounds,
    /// Live counters, the same as those of the bounds.
    pub meter: Arc<Meter>,
}

impl Transfer {
    /// Waits for the target's store, which holds up everything else of an order meanwhile.
    pub(crate) async fn at_target<T>(&self, work: impl Future<Output = T>) -> T {
        let _busy = self.meter.busy(Stage::Target);
        let _held_up = self.meter.wait(Stage::Decode);
        work.await
    }

    /// The key that `entry` of the source has at the target.
    fn target_key(&self, entry: &Entry) -> Key {
        self.held_key(self.spec.target_key(&entry.key), entry)
    }

    /// What the target calls `key`, which is of an object such as `entry`.
    fn held_key(&self, key: &Key, entry: &Entry) -> Key {
        let is_held = |key: &Key| {
            let at_target = Entry { key: key.clone(), ..entry.clone() };
            self.target.check_key(&at_target).is_none()
        };
        match self.spec.policy.keys {
            KeyPolicy::Exact => key.clone(),
            KeyPolicy::Escape => names::escape(key, &entry.kind, is_held),
            KeyPolicy::Restore => names::restore(key, &entry.kind).unwrap_or_else(|| key.clone()),
        }
    }

    /// What `entry` is to become at the target, and what of its attributes is dropped because the
    /// target cannot hold it: what the user does not want there is not dropped.
    fn adapt(&self, entry: &Entry, mut attributes: Attributes) -> (NewObject, AttributeSet) {
        let policy = &self.spec.policy;
        attributes.source_fingerprint = Some(entry.fingerprint());
        if policy.tags == TagPolicy::Skip {
            attributes.tags.clear();
        }
        attributes.storage_class = class_wanted(&policy.class, attributes.storage_class);
        attributes.acl = match policy.acl {
            AclPolicy::None => None,
            AclPolicy::BucketOwnerFullControl => Some(Acl::BucketOwnerFullControl),
            AclPolicy::Copy => attributes.acl,
        };
        let carried = attributes.kinds();
        let Capabilities { classes, .. } = self.target.capabilities();
        if policy.class == ClassPolicy::Keep {
            let nearest = attributes.storage_class.and_then(|name| classes.nearest(&name));
            attributes.storage_class = nearest.map(str::to_owned);
        }
        // What the target has no name for is gone by now, and what it does not keep is ignored.
        let unnamed = carried.without(attributes.kinds());
        let holds = self.target.holds(&attributes);
        let dropped = unnamed.union(carried.without(holds));
        if !holds.contains(AttributeKind::Tags) {
            attributes.tags.clear();
        }
        let key = self.target_key(entry);
        let entry = Entry { key, is_archived: false, ..entry.clone() };
        (NewObject { entry, attributes }, dropped)
    }

    /// What the source has in place of `listed`, which it no longer has.
    async fn look_again(&self, listed: &Entry) -> Result<ChangedObject, StoreError> {
        match self.source.stat(&listed.key).await? {
            Some(info) => Ok(ChangedObject { bytes_before: listed.size, entry: info.entry }),
            None => Err(vanished(listed)),
        }
    }
}

/// The class that an object with `class` at the source is to get, as whoever names it says it.
fn class_wanted(policy: &ClassPolicy, class: Option<String>) -> Option<String> {
    match policy {
        ClassPolicy::Default => None,
        ClassPolicy::Keep => class,
        ClassPolicy::Fixed(name) => Some(name.as_str().to_owned()),
        ClassPolicy::Map(rules) => {
            let class = class.as_deref().unwrap_or(DEFAULT_CLASS);
            let rule = rules.iter().find(|rule| rule.from.as_str() == class);
            rule.map(|rule| rule.to.as_str().to_owned())
        }
    }
}

fn vanished(listed: &Entry) -> StoreError {
    let text = format!("{}: was deleted at the source after it was listed", listed.key);
    StoreError::new(ErrorCode::NotFound, text)
}

/// Whether two entries describe the same state of one object of the source.
fn is_same_state(listed: &Entry, now: &Entry) -> bool {
    let is_same_version = match (&listed.version, &now.version) {
        (Version::ETag(listed), Version::ETag(now)) => return listed == now,
        (Version::None, _) | (_, Version::None) => true,
        (listed, now) => listed == now,
    };
    is_same_version
        && listed.kind == now.kind
        && listed.size == now.size
        && listed.mtime_ns == now.mtime_ns
}

fn corrupt(entry: &Entry, why: impl std::fmt::Display) -> StoreError {
    StoreError::new(ErrorCode::CorruptChunk, format!("{}: {why}", entry.key))
}

/// How work on one object can end without being done.
#[derive(Debug)]
enum Trouble {
    /// The source has another object now.
    Changed(ChangedObject),
    /// It failed.
    Failed(Failure),
}

impl Transfer {
    /// Tells a changed source from other errors, by looking at the source again.
    async fn trouble(&self, listed: &Entry, error: StoreError) -> Trouble {
        if error.code != ErrorCode::SourceChanged {
            return Trouble::Failed(error.into());
        }
        match self.look_again(listed).await {
            Ok(changed) => Trouble::Changed(changed),
            Err(error) => Trouble::Failed(error.into()),
        }
    }
}
