//! Bytes of objects that have come to their end and do not count as done: what failed, was left out, or is
//! another one at the target. Who watches a job wants to know what is left of it, and nothing is of these.
//!
//! The state knows no sizes of single objects; their pages do. So this is observed by the voter that has
//! the pages in memory, the leader, and is not in the log: what ended under an earlier leader is missing, but
//! for what lies in an archive. Nothing is decided by it.

use std::collections::BTreeMap;

use airlift_protocol::assignment::End;
use airlift_protocol::id::{JobId, Position};

use super::Coordinator;
use crate::scheduler::pages::PageKey;

/// The bytes seen of the present run of each job.
#[derive(Debug, Default)]
pub(super) struct Unmoved(BTreeMap<JobId, u64>);

impl Unmoved {
    /// Begins anew with a job.
    pub(super) fn forget(&mut self, job: JobId) {
        self.0.remove(&job);
    }
}

impl Coordinator {
    /// Listed bytes of the job's objects that have come to their end and do not count as done, as far as
    /// this node has seen that.
    pub fn unmoved_bytes(&self, id: JobId) -> u64 {
        let archived = self.state.jobs.get(&id).map(|job| job.totals.archived).unwrap_or_default();
        let archived = archived.resting.bytes.saturating_add(archived.restoring.bytes);
        self.unmoved.0.get(&id).copied().unwrap_or_default().max(archived)
    }

    /// Counts an object of the source's listing, if its page is in memory.
    pub(super) fn count_unmoved(&mut self, id: JobId, position: Position) {
        let Some(job) = self.state.jobs.get(&id) else { return };
        let page = self.pages.find(PageKey { job: id, end: End::Source, page: position.page });
        let Some(entry) = page.and_then(|page| job.entry(page, position)) else { return };
        let bytes = self.unmoved.0.entry(id).or_default();
        *bytes = bytes.saturating_add(entry.size);
    }
}

#[cfg(test)]
mod tests {
    use airlift_protocol::attributes::AttributeSet;
    use airlift_protocol::cluster::{Addresses, ClusterId, Member, NodeName, Role};
    use airlift_protocol::id::{LogIndex, NodeId, PageId};
    use airlift_protocol::job::{Filters, JobSpec, Mode, Policy};
    use airlift_protocol::key::Key;
    use airlift_protocol::location::Location;
    use airlift_protocol::manifest::{Entry, Kind, Page, Version};
    use airlift_protocol::time::Timestamp;
    use airlift_protocol::version::Formats;

    use super::super::Replay;
    use super::*;
    use crate::command::{Command, Founding};
    use crate::event::Status;
    use crate::state::{Fact, ObjectFact};

    fn entry(key: &str, size: u64) -> Entry {
        Entry {
            key: Key::from(key),
            kind: Kind::Object,
            size,
            mtime_ns: None,
            version: Version::None,
            is_archived: false,
        }
    }

    fn spec() -> JobSpec {
        JobSpec {
            mode: Mode::Copy,
            source: Location::Path(b"/a".to_vec()),
            target: Location::Path(b"/b".to_vec()),
            single: None,
            filters: Filters::default(),
            policy: Policy::default(),
        }
    }

    /// A voter with a job of one page in memory: objects of 1, 2, 4 and so on bytes.
    fn voter() -> (Coordinator, JobId) {
        let founder = Member {
            id: NodeId([1; 32]),
            name: NodeName::parse("n1").unwrap(),
            role: Role::Voter,
            raft: None,
            addresses: Addresses::default(),
            joined_at: Timestamp(1),
            formats: Formats::BUILD,
        };
        let founding = Founding { cluster: ClusterId([1; 16]), founder, admin: [0; 32] };
        let id = spec().id();
        let mut voter = Replay::default().finish();
        voter.state.apply(LogIndex(1), Command::Found(Box::new(founding)));
        let submit = Command::Submit { spec: Box::new(spec()), at: Timestamp(2) };
        voter.state.apply(LogIndex(2), submit);
        let entries = (0..8).map(|index| entry(&format!("k{index}"), 1 << index)).collect();
        let page = Page { id: PageId(0), entries };
        voter.pages.insert(PageKey { job: id, end: End::Source, page: PageId(0) }, page);
        (voter, id)
    }

    fn place(index: u16) -> Position {
        Position { page: PageId(0), index }
    }

    fn fact(status: Status) -> ObjectFact {
        let (root, reason, dropped, sum) = (None, None, AttributeSet::NONE, None);
        ObjectFact { status, root, reason, dropped, sum }
    }

    fn tell(voter: &mut Coordinator, id: JobId, index: u16, status: Status) {
        voter.on_fact(Fact::Object(id, place(index), fact(status)));
    }

    #[test]
    fn what_ends_elsewhere_than_at_the_target_counts_as_it_was_listed() {
        let (mut voter, id) = voter();
        for (index, status) in [
            (0, Status::Done),
            (1, Status::Failed),
            (2, Status::Skipped),
            (3, Status::Differs),
            (4, Status::Missing),
            (5, Status::WouldCopy),
            (6, Status::Unchanged),
            (7, Status::Equal),
        ] {
            tell(&mut voter, id, index, status);
        }
        // Of the target's listing nothing was to be moved.
        for status in [Status::Extra, Status::Deleted, Status::Failed] {
            voter.on_fact(Fact::Extraneous(id, place(7), fact(status)));
        }
        assert_eq!(voter.unmoved_bytes(id), 2 + 4 + 8 + 16 + 32);
    }

    #[test]
    fn an_object_that_has_changed_counts_as_it_is_now() {
        let (mut voter, id) = voter();
        let job = voter.state.jobs.get_mut(&id).unwrap();
        job.changed.insert(place(1), entry("k1", 500));
        tell(&mut voter, id, 1, Status::Failed);
        assert_eq!(voter.unmoved_bytes(id), 500);
    }

    #[test]
    fn without_the_page_only_what_is_archived_is_known_and_the_next_run_begins_at_nothing() {
        let (mut voter, id) = voter();
        tell(&mut voter, id, 7, Status::Failed);
        voter.pages.forget(id);
        tell(&mut voter, id, 6, Status::Failed);
        assert_eq!(voter.unmoved_bytes(id), 128);
        voter.state.jobs.get_mut(&id).unwrap().totals.archived.resting.bytes = 200;
        assert_eq!(voter.unmoved_bytes(id), 200);
        voter.state.jobs.get_mut(&id).unwrap().totals.archived.resting.bytes = 0;
        voter.on_fact(Fact::Started(id, 2));
        assert_eq!(voter.unmoved_bytes(id), 0);
    }
}
