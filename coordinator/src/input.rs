//! Inputs: everything that can happen to a coordinator.

use std::collections::BTreeSet;

use airlift_protocol::access::{ApiToken, ApiTokenId};
use airlift_protocol::assignment::End;
use airlift_protocol::budget::Budget;
use airlift_protocol::cluster::TokenId;
use airlift_protocol::control::{Heartbeat, JoinRequest};
use airlift_protocol::error::Failure;
use airlift_protocol::id::{JobId, NodeId};
use airlift_protocol::job::JobSpec;
use airlift_protocol::manifest::Page;
use airlift_protocol::once::SubmitKey;
use airlift_protocol::raft::{RaftId, RaftMessage, SnapshotRef};
use airlift_protocol::report::Report;
use airlift_protocol::schedule::Bandwidth;
use airlift_protocol::time::Timestamp;

use crate::command::Founding;
use crate::origin::Actor;
use crate::state::{JoinToken, Retention};

/// Names a request until it is answered; the driver chooses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// What somebody asks for. Each is answered once, by [`Effect::Answer`](crate::Effect::Answer).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// A job is to be done, or the same job again.
    Submit(Box<JobSpec>),
    /// A job is to stop where it is; it can be submitted again.
    Stop(JobId, Failure),
    /// A job is to rest.
    Pause(JobId),
    /// A job is to go on.
    Resume(JobId),
    /// A job is to end without having moved everything.
    Cancel(JobId),
    /// A node is to be admitted with this token.
    IssueToken(TokenId, JoinToken),
    /// A stranger wants to join; the connection proves who it is.
    Join(NodeId, Box<JoinRequest>),
    /// A member is to leave.
    RemoveMember(NodeId),
    /// A cluster is to begin with this voter.
    Found(Box<Founding>),
    /// The state is to be read: what it is once this is done has everything that was decided before
    /// it was asked. Nothing is written for it.
    Read,
    /// All jobs together are to keep to so many bytes per second, or to nothing.
    Limit(Option<Bandwidth>),
    /// A job is to be done, unless this very submission was on record before.
    SubmitOnce(Box<JobSpec>, SubmitKey),
    /// A token is to open the API.
    CreateApiToken(ApiTokenId, Box<ApiToken>),
    /// A token is to open nothing any more.
    RevokeApiToken(ApiTokenId),
    /// It is to be on record that another voter is to lead: this one, or any.
    HandOver(Option<NodeId>),
    /// A job is to have another budget.
    SetBudget(JobId, Budget),
    /// So much is to be kept of jobs that have ended.
    SetRetention(Retention),
    /// The token of this hash is to be the root token.
    ReplaceRoot([u8; 32]),
    /// What has happened up to this number was told to all who want to know it.
    Told(u64),
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Somebody asks for something.
    Request {
        /// Names the request in its answer.
        id: RequestId,
        /// What is asked.
        request: Request,
        /// Who asks, as far as whoever took the request knows it for certain.
        by: Actor,
        /// Wall-clock time now, milliseconds since 1970.
        at: Timestamp,
    },
    /// A node lives.
    Heartbeat {
        /// Which node: proven by the connection.
        node: NodeId,
        /// What it says.
        heartbeat: Heartbeat,
        /// Wall-clock time here, milliseconds since 1970.
        at: Timestamp,
    },
    /// An agent answers an order.
    Report {
        /// Which node: proven by the connection.
        node: NodeId,
        /// Its answer.
        report: Box<Report>,
    },
    /// What [`Effect::Persist`](crate::Effect::Persist) asked for under this number is durable, and
    /// all before it.
    Persisted {
        /// The number.
        number: u64,
    },
    /// Another voter speaks.
    Message {
        /// Which: proven by the connection.
        from: RaftId,
        /// What it says.
        message: Box<RaftMessage>,
    },
    /// What [`Effect::SaveSnapshot`](crate::Effect::SaveSnapshot) asked for is durable.
    SnapshotSaved {
        /// Which.
        reference: SnapshotRef,
    },
    /// What came of [`Effect::FetchSnapshot`](crate::Effect::FetchSnapshot).
    SnapshotFetched {
        /// Which was asked for.
        reference: SnapshotRef,
        /// Its bytes, durable here; `None` when they could not be had.
        state: Option<Vec<u8>>,
    },
    /// Another voter has fetched the snapshot that it was offered, or could not. Not needed for it
    /// to go on, but it does so sooner.
    SnapshotSent {
        /// Which voter.
        to: RaftId,
        /// Whether it has all of it.
        is_fetched: bool,
    },
    /// These voters may lead this node, though its log does not say so yet: a node that has just
    /// joined was told so by the cluster. Replaces what was said before, and is to be said again
    /// whenever the node hears of other members: a leader that it does not know, it does not hear.
    Introduce(BTreeSet<RaftId>),
    /// A manifest page was read back.
    PageLoaded {
        /// Of which job.
        job: JobId,
        /// Of which end's listing.
        end: End,
        /// The page.
        page: Page,
    },
    /// The time that `poll_timeout` named has come.
    Timeout,
}
