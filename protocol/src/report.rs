//! Reports: what a node answers to an assignment.

use serde::{Deserialize, Serialize};

use crate::assignment::UploadToken;
use crate::attributes::AttributeSet;
use crate::bounded;
use crate::chunk::{Root, SpanValue};
use crate::error::Failure;
use crate::id::{AssignmentId, Epoch, JobId, PageId};
use crate::key::Key;
use crate::limits::{
    DELETE_KEYS_MAX, LIST_RANGES_MAX, PACK_OBJECTS_MAX, PAGE_ENTRIES_MAX, UNREADABLE_NAMED_MAX,
    VERIFY_OBJECTS_MAX,
};
use crate::manifest::Entry;
use crate::sum::{Sum, SumKind};

/// Why an object was left out on purpose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SkipReason {
    /// A symbolic link, and the policy does not copy or follow links.
    Symlink,
    /// A socket, pipe or device.
    Special,
    /// The target cannot hold this key or kind; the text says why.
    Unrepresentable(String),
    /// The source's store has it in an archive.
    Archived {
        /// Its bytes.
        bytes: u64,
    },
    /// As `Archived`, and it is being restored.
    Restoring {
        /// Its bytes.
        bytes: u64,
    },
}

impl SkipReason {
    /// The reason in words, with the way out where there is one.
    pub fn message(&self) -> String {
        match self {
            Self::Symlink => {
                "symbolic link (use --links copy or --links follow to take it along)".to_owned()
            }
            Self::Special => "socket, pipe or device: has no content to copy".to_owned(),
            Self::Unrepresentable(why) => why.clone(),
            Self::Archived { .. } => {
                "archived at the source: restore it with --restore, or there, then run again"
                    .to_owned()
            }
            Self::Restoring { .. } => {
                "being restored from an archive: run again when it can be read".to_owned()
            }
        }
    }
}

/// An object that is not the one that was listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedObject {
    /// Bytes it had when it was listed.
    pub bytes_before: u64,
    /// What the source has under its key now.
    pub entry: Entry,
}

/// What became of one object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ObjectResult {
    /// Moved, committed and checked.
    Done {
        /// Its hash.
        root: Root,
        /// Bytes moved.
        bytes: u64,
        /// What it carried at the source and the target cannot hold.
        dropped: AttributeSet,
    },
    /// Not the object that was listed.
    Changed(ChangedObject),
    /// Left out on purpose.
    Skipped(SkipReason),
    /// Could not be moved.
    Failed(Failure),
    /// Copied by the service of both ends, and proven by the sums that it stores: its hash is not known.
    Copied {
        /// Its bytes.
        bytes: u64,
        /// What it carried at the source and the target cannot hold.
        dropped: AttributeSet,
    },
}

/// What a comparison of content said of one object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// Both ends have the same bytes.
    Equal {
        /// Their hash.
        root: Root,
        /// How many.
        bytes: u64,
    },
    /// Both ends have the key, with different bytes.
    Differs(String),
    /// The target does not have the key.
    Missing,
    /// Not compared, on purpose.
    Skipped(SkipReason),
    /// Could not be compared.
    Failed(Failure),
    /// Both ends have the same bytes, by a sum that a store keeps: at least one end was not read.
    EqualBySum {
        /// Which sum.
        kind: SumKind,
        /// Their hash, if one end was read.
        root: Option<Root>,
        /// How many.
        bytes: u64,
    },
}

/// How the target stands to one object of a page, before anything moves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Comparison {
    /// The target holds it already.
    Unchanged {
        /// Its bytes.
        bytes: u64,
    },
    /// It is to be moved.
    Move,
    /// It is left out on purpose.
    Skipped(SkipReason),
    /// The target could not be asked, or cannot hold it.
    Failed(Failure),
}

/// Places that could not be listed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unreadable {
    /// The first few.
    #[serde(deserialize_with = "bounded::list::<_, _, UNREADABLE_NAMED_MAX>")]
    pub named: Vec<(Key, Failure)>,
    /// All of them.
    pub count: u64,
}

impl Unreadable {
    /// Counts a place, and names it among the first.
    pub fn add(&mut self, key: Key, failure: Failure) {
        self.merge(Self { named: vec![(key, failure)], count: 1 });
    }

    /// Takes in others.
    pub fn merge(&mut self, others: Self) {
        self.count = self.count.saturating_add(others.count);
        let room = UNREADABLE_NAMED_MAX.saturating_sub(self.named.len());
        self.named.extend(others.named.into_iter().take(room));
    }
}

/// The end of a listing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListingEnd {
    /// Pages of the whole listing, or what was reported of one key range of it: it is at its end only
    /// when all of that is on record.
    pub pages: PageId,
    /// Places that could not be listed, the first few by name. The listing is partial when not empty.
    #[serde(deserialize_with = "bounded::list::<_, _, UNREADABLE_NAMED_MAX>")]
    pub unreadable: Vec<(Key, Failure)>,
    /// Places that could not be listed, all.
    pub unreadable_count: u64,
}

/// What was achieved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Completion {
    /// One more page of a listing; the assignment goes on.
    Page {
        /// Its place among what is reported of the key range, so that a page that arrives twice counts
        /// once.
        page: PageId,
        /// Its entries, in key order, after those of the page before.
        #[serde(deserialize_with = "bounded::list::<_, _, PAGE_ENTRIES_MAX>")]
        entries: Vec<Entry>,
        /// Places up to its last key that could not be listed, after the page before.
        unreadable: Unreadable,
    },
    /// The key range was listed to its end.
    Listed(ListingEnd),
    /// Page by page what has to move: one value for each entry.
    Compared(
        #[serde(deserialize_with = "bounded::list::<_, _, PAGE_ENTRIES_MAX>")] Vec<Comparison>,
    ),
    /// The upload is open.
    Opened(UploadToken),
    /// The range is at the target, durable.
    RangeMoved {
        /// Value of the shard, computed from verified bytes at the target.
        value: SpanValue,
        /// Bytes that travelled; the rest was there already.
        bytes_sent: u64,
        /// A sum of the shard, of a kind by which the store says what it holds of the whole.
        sum: Option<Sum>,
    },
    /// What became of each object of a pack, in its order.
    PackMoved(
        #[serde(deserialize_with = "bounded::list::<_, _, PACK_OBJECTS_MAX>")] Vec<ObjectResult>,
    ),
    /// The object is visible and checked.
    Committed {
        /// What it carried at the source and the target cannot hold.
        dropped: AttributeSet,
    },
    /// The source has another object under this key now.
    Changed(ChangedObject),
    /// The upload is gone.
    Discarded,
    /// What the comparison said of each object, in order.
    Verified(#[serde(deserialize_with = "bounded::list::<_, _, VERIFY_OBJECTS_MAX>")] Vec<Verdict>),
    /// What was read back has the hash it should have.
    ReadBack,
    /// For each entry `None` when it is gone, else why it was kept.
    Deleted(
        #[serde(deserialize_with = "bounded::list::<_, _, DELETE_KEYS_MAX>")] Vec<Option<Failure>>,
    ),
    /// Nothing of the job is left at the target but its objects.
    Cleaned,
    /// What is left of the key range is cut: the order lists up to the first of these keys, and what is
    /// behind each of them is another range. The assignment goes on.
    Cut {
        /// Its place among what is reported of the key range, as that of a page.
        page: PageId,
        /// Keys that need not exist, ascending, behind all that was reported before.
        #[serde(deserialize_with = "bounded::list::<_, _, LIST_RANGES_MAX>")]
        at: Vec<Key>,
    },
    /// As many pages of the key range as the order is for; the rest of it is for another one.
    PartListed(ListingEnd),
    /// The object was copied whole by the service of both ends, and proven by the sums that it stores.
    Copied {
        /// What it carried at the source and the target cannot hold.
        dropped: AttributeSet,
    },
    /// An upload is open into which the service of both ends copies the object when it is committed.
    Copying(UploadToken),
    /// Of a listing: keys up to this one were looked at, and none behind those reported before is an
    /// object of the job. The assignment goes on.
    Passed {
        /// Its place among what is reported of the key range, as that of a page.
        page: PageId,
        /// The last key that was looked at.
        up_to: Key,
        /// Places up to that key that could not be listed, after what was reported before.
        unreadable: Unreadable,
    },
}

impl Completion {
    /// Its place among what is reported of a key range, where it is part of a listing that goes on.
    pub fn turn(&self) -> Option<PageId> {
        match self {
            Self::Page { page, .. } | Self::Cut { page, .. } | Self::Passed { page, .. } => {
                Some(*page)
            }
            _ => None,
        }
    }
}

/// A node's answer to an assignment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Which order.
    pub assignment: AssignmentId,
    /// For which job.
    pub job: JobId,
    /// The fencing number of the order.
    pub epoch: Epoch,
    /// How it ended, or for a page of a listing: went on.
    pub result: Result<Completion, Failure>,
    /// Bytes of other nodes' answers that arrived for this order, as they crossed the network: all
    /// attempts together.
    pub wire_bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attributes::AttributeKind;
    use crate::codec;

    #[test]
    fn only_what_goes_on_has_a_turn() {
        let (page, up_to) = (PageId(5), Key::from("k"));
        let passed = Completion::Passed { page, up_to, unreadable: Unreadable::default() };
        assert_eq!(codec::encode(&passed), [17, 5, 1, b'k', 0, 0]);
        let cut = Completion::Cut { page, at: Vec::new() };
        let end = ListingEnd { pages: page, unreadable: Vec::new(), unreadable_count: 0 };
        let turns = [passed, cut, Completion::PartListed(end), Completion::Cleaned];
        assert_eq!(turns.map(|it| it.turn()), [Some(page), Some(page), None, None]);
    }

    #[test]
    fn a_report_has_the_bytes_it_always_had() {
        let (assignment, job, epoch) = (AssignmentId(3), JobId([9; 16]), Epoch(4));
        let dropped = [AttributeKind::Tags].into_iter().collect();
        let result = Ok(Completion::Committed { dropped });
        let report = Report { assignment, job, epoch, result, wire_bytes: 300 };
        let mut golden = vec![3]; // assignment
        golden.extend_from_slice(&[9; 16]); // job
        golden.extend_from_slice(&[4, 0, 6, 64, 251, 44, 1]); // epoch, ok, committed, tags, bytes
        assert_eq!(codec::encode(&report), golden);
        assert_eq!(codec::decode::<Report>(&golden, 64).unwrap(), report);
    }
}
