//! Assignments: one complete order to one node, which chooses nothing.

use serde::{Deserialize, Serialize};

use crate::bounded;
use crate::chunk::Root;
use crate::cluster::Boot;
use crate::id::{AssignmentId, Epoch, JobId, NodeId, PageId, Position};
use crate::key::Key;
use crate::limits::{DELETE_KEYS_MAX, PACK_OBJECTS_MAX, SHARD_SUMS_MAX, VERIFY_OBJECTS_MAX};
use crate::manifest::{Entry, Page};
use crate::sum::Sum;
use crate::time::Timestamp;
use crate::units::ByteRange;

/// What a target store calls an upload that was begun: opaque to all but that store.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct UploadToken(pub String);

/// An object of the manifest with its place in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object {
    /// Place in the manifest.
    pub position: Position,
    /// The state that was listed, to which reads are pinned.
    pub entry: Entry,
}

/// Which end of a job is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum End {
    /// Where objects are read.
    Source,
    /// Where objects go.
    Target,
}

/// What a node is to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Work {
    /// List a range of the keys of one end in order, and report page after page.
    List {
        /// The end to list.
        end: End,
        /// Only keys after this one.
        after: Option<Key>,
        /// The number of the first page, or cut, that is reported.
        next: PageId,
        /// Only keys up to and including this one.
        until: Option<Key>,
        /// How many other ranges may be made of what is left of this one, by one cut.
        cuts: u32,
        /// Pages after which the rest of the range is left for another order, where the store can begin
        /// anywhere at no cost.
        pages: u32,
    },
    /// Say which objects of a page the target already holds.
    Compare {
        /// The page.
        page: Page,
    },
    /// Begin, or take up again, the upload of a large object.
    Open {
        /// The object.
        object: Object,
        /// The upload that an earlier attempt reported.
        resume: Option<UploadToken>,
        /// Wall-clock time since which an upload may have been begun without being reported.
        orphan_since: Option<Timestamp>,
        /// Whether the service of both ends may copy the object, if the policy wants that: not once it was
        /// tried and not proven.
        may_copy: bool,
    },
    /// Move one range of a large object into its upload.
    MoveRange {
        /// The object.
        object: Object,
        /// Its upload.
        upload: UploadToken,
        /// The bytes to move.
        range: ByteRange,
    },
    /// Move small objects whole.
    MovePack {
        /// The objects, in key order.
        #[serde(deserialize_with = "bounded::list::<_, _, PACK_OBJECTS_MAX>")]
        objects: Vec<Object>,
    },
    /// Make an assembled object visible, and check what the store then holds.
    Commit {
        /// The object.
        object: Object,
        /// Its upload, all ranges of which were moved.
        upload: UploadToken,
        /// The object's hash, merged from its shards; `None` when the service is to copy the object into
        /// its upload.
        root: Option<Root>,
        /// The sums of its shards in order, if each has one.
        #[serde(deserialize_with = "bounded::list::<_, _, SHARD_SUMS_MAX>")]
        sums: Vec<Sum>,
    },
    /// Drop an upload that will not be finished.
    Discard {
        /// Key at the target.
        key: Key,
        /// Its upload, when one was reported.
        upload: Option<UploadToken>,
        /// As for [`Work::Open`].
        orphan_since: Option<Timestamp>,
    },
    /// Say which objects differ, by the sums that the stores have or by reading.
    Verify {
        /// The objects, in key order.
        #[serde(deserialize_with = "bounded::list::<_, _, VERIFY_OBJECTS_MAX>")]
        objects: Vec<Object>,
    },
    /// Read back what was moved and compare it with the hash it should have.
    ReadBack {
        /// The object.
        object: Object,
        /// Its hash.
        root: Root,
    },
    /// Delete from the target, each only if it is still as listed and still absent at the source.
    Delete {
        /// The target's entries.
        #[serde(deserialize_with = "bounded::list::<_, _, DELETE_KEYS_MAX>")]
        entries: Vec<Entry>,
    },
    /// Remove what the job left at the target beside its objects.
    Clean,
}

/// An order to a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// Which order.
    pub id: AssignmentId,
    /// For which job.
    pub job: JobId,
    /// For which run of it.
    pub run: u32,
    /// Fencing number: nothing done under a smaller one counts.
    pub epoch: Epoch,
    /// What to do.
    pub work: Work,
    /// The node that reads the source; `None` when the node that gets the order does.
    pub source: Option<NodeId>,
    /// Whether the job has a limit of its own: the node moves no more than its share of it, which the
    /// leader tells it with its signs of life.
    pub is_limited: bool,
    /// Whether all jobs together have a limit: a node that the leader has told nothing yet moves
    /// nothing until it is told its share.
    pub is_total_limited: bool,
    /// For which start of the node's work: one that arrives after the next start is void.
    pub boot: Boot,
}
