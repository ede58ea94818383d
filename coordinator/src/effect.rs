//! Effects: everything a coordinator may ask for, as plain data, to be carried out in order.

use std::collections::BTreeSet;

use airlift_protocol::assignment::End;
use airlift_protocol::control::Order;
use airlift_protocol::error::Failure;
use airlift_protocol::id::{JobId, LogIndex, NodeId, PageId, Position};
use airlift_protocol::raft::{RaftId, RaftMessage, SnapshotRef};
use airlift_protocol::version::Formats;

use crate::event::Event;
use crate::input::RequestId;
use crate::log::Batch;
use crate::state::ObjectFact;

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Make this durable, then answer [`Input::Persisted`](crate::Input::Persisted). What comes
    /// after it may depend on it only where that is said.
    Persist {
        /// Names it in the answer; numbers grow.
        number: u64,
        /// What to write.
        batch: Batch,
    },
    /// Tell another voter. It may be lost. Whatever it depends on is durable by now.
    Send {
        /// Which.
        to: RaftId,
        /// What.
        message: Box<RaftMessage>,
    },
    /// Read a manifest page from the log and answer
    /// [`Input::PageLoaded`](crate::Input::PageLoaded).
    LoadPage {
        /// Of which job.
        job: JobId,
        /// Of which end's listing.
        end: End,
        /// Which page.
        page: PageId,
        /// The log entry that holds it.
        index: LogIndex,
    },
    /// Give an order to a node's agent. It may be lost: what was not heard is said again.
    Order {
        /// To which node.
        node: NodeId,
        /// The order.
        order: Order,
    },
    /// Tell a node that it is not the one that its identity stands for any more: another process
    /// runs with the same.
    Superseded {
        /// Which node.
        node: NodeId,
    },
    /// Tell a node that its build does not read the format in force.
    Unfit {
        /// Which node.
        node: NodeId,
        /// The formats that its build has.
        formats: Formats,
    },
    /// Answer a request.
    Answer {
        /// Which.
        id: RequestId,
        /// How.
        answer: Answer,
    },
    /// Keep what became of an object, for the job's report.
    Record {
        /// Of which job.
        job: JobId,
        /// The run of the job.
        run: u32,
        /// In which end's listing.
        end: End,
        /// Its place there.
        position: Position,
        /// What became of it.
        fact: ObjectFact,
    },
    /// The job is not on record any more: what is kept of its objects may go. Submitted anew it may be by
    /// the time that this is carried out: records of later runs stay.
    Forget {
        /// Which job.
        job: JobId,
        /// Its last run, or a later one that it never has.
        run: u32,
    },
    /// Make the state durable, then in one step that the log's snapshot is this one and that its
    /// entries up to `through` are gone but for `pages`, after every [`Persist`](Self::Persist) and
    /// [`Record`](Self::Record) before and before every one after; then answer
    /// [`Input::SnapshotSaved`](crate::Input::SnapshotSaved). Whoever asks for the state by its
    /// reference gets it from now on; an earlier one may go when the answer is given and nobody is
    /// reading it.
    SaveSnapshot {
        /// What stands for the state in the log.
        reference: SnapshotRef,
        /// The state, encoded.
        state: Vec<u8>,
        /// The last entry that goes.
        through: LogIndex,
        /// Entries that hold the manifest pages of the state's jobs.
        pages: BTreeSet<LogIndex>,
    },
    /// Fetch the state that `reference` names from another voter, check it with
    /// [`SnapshotRef::is_of`], make it durable beside what there is, with the manifest pages that it
    /// refers to ([`State::pages`](crate::state::State::pages)), and answer
    /// [`Input::SnapshotFetched`](crate::Input::SnapshotFetched), also when it cannot be had. A
    /// later one takes the place of one that is under way.
    FetchSnapshot {
        /// From whom.
        from: RaftId,
        /// Which.
        reference: SnapshotRef,
    },
    /// A node waits to take part in consensus and cannot, for as long as the state is larger than
    /// anybody could read.
    SnapshotTooLarge {
        /// Bytes of the state, encoded.
        bytes: u64,
    },
    /// The members have changed.
    MembersChanged,
    /// Tell observers.
    Emit(Event),
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is decided, durably; or, of a read, confirmed.
    Done,
    /// It cannot be.
    Refused(Failure),
    /// Only the leader can say, and this is not it.
    NotLeader,
    /// The leadership was lost meanwhile: it may come to pass or not.
    Unknown,
}
