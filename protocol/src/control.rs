//! What nodes tell each other on the control plane.
//!
//! Every message may be lost, repeated or overtaken by another: an order is repeated while the
//! agent's signs of life do not name it, a report while it is not settled.
//!
//! Append only: variants and fields are added at the end, never moved.

use serde::{Deserialize, Serialize};

use crate::assignment::Assignment;
use crate::bounded;
use crate::cluster::{Addresses, Boot, ClusterId, Member, NodeName, Secret, TokenId};
use crate::error::Failure;
use crate::id::{AssignmentId, JobId, LogIndex, NodeId, PageId};
use crate::job::JobSpec;
use crate::limits::{HELD_MAX, MEMBERS_MAX, ORDERS_MAX};
use crate::location::Location;
use crate::manifest::Page;
use crate::raft::{RaftMessage, SnapshotRef};
use crate::report::Report;
use crate::time::Timestamp;

/// A message to another node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ControlMessage {
    /// Consensus, from voter to voter.
    Raft(RaftMessage),
    /// A sign of life, to the leader.
    Heartbeat(Heartbeat),
    /// An answer to an order, to the leader.
    Report(Box<Report>),
    /// Orders, from the leader.
    Orders(#[serde(deserialize_with = "bounded::list::<_, _, ORDERS_MAX>")] Vec<Order>),
    /// Asks for the specification of a job, which says what the asker may read here.
    FindJob(JobId),
    /// A request of a client that another node has to answer.
    Forward(Forwarded),
    /// Asks who the cluster is. The only question, beside [`Join`](Self::Join), that a stranger may ask.
    Identify,
    /// A stranger wants to become a member.
    Join(Box<JoinRequest>),
    /// Asks for a manifest page that the log of the asker does not have.
    FindPage(LogIndex),
    /// Asks for the state that this snapshot is of.
    FindSnapshot(Box<SnapshotRef>),
    /// Asks what there is at a location that this node reaches.
    Probe(Location),
}

/// The answer to a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ControlAnswer {
    /// It was taken in.
    Taken,
    /// The leader is another, if one is known.
    NotLeader(Option<NodeId>),
    /// To a sign of life: what the node may have missed.
    Alive(Alive),
    /// The specification of a job, if there is such a job.
    Job(Option<Box<JobSpec>>),
    /// To a client's request.
    Forwarded {
        /// HTTP status.
        status: u16,
        /// JSON, or lines of JSON.
        body: Vec<u8>,
    },
    /// Who the cluster is.
    Cluster {
        /// The cluster.
        id: ClusterId,
        /// Its voters, ascending.
        #[serde(deserialize_with = "bounded::list::<_, _, MEMBERS_MAX>")]
        voters: Vec<NodeId>,
    },
    /// The stranger is a member now.
    Joined(Box<Joined>),
    /// It was refused, with the reason.
    Refused(Failure),
    /// The manifest page, if it is here.
    Page(Option<Box<Page>>),
    /// The state of a snapshot, if it is here.
    Snapshot(Option<Vec<u8>>),
    /// What there is at a location, and its name without detours.
    Probed(Location, Place),
}

/// What a location turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// One object.
    Object,
    /// A directory, or a prefix with something below it.
    Container,
    /// Nothing.
    Missing,
}

/// A node's sign of life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Which start of its process.
    pub boot: Boot,
    /// Where it is reached now.
    pub addresses: Addresses,
    /// Assignments that it can work on at once.
    pub slots: u32,
    /// Orders that it works on, or whose reports are not settled.
    #[serde(deserialize_with = "bounded::list::<_, _, HELD_MAX>")]
    pub held: Vec<AssignmentId>,
    /// Bytes verified and written since its process started, by job.
    pub written: Vec<(JobId, u64)>,
    /// The membership that it knows; 0 when none.
    pub members_version: u64,
    /// Its build.
    pub version: String,
}

/// The leader's answer to a sign of life: the node's leases last for another while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alive {
    /// The membership, when the node knows an older one.
    pub members: Option<Members>,
}

/// Who belongs to the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Members {
    /// Grows with every change.
    pub version: u64,
    /// The members by id.
    #[serde(deserialize_with = "bounded::list::<_, _, MEMBERS_MAX>")]
    pub members: Vec<Member>,
}

/// An order to an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// Do this.
    Assign(Box<Assignment>),
    /// Stop doing this.
    Revoke(AssignmentId),
    /// The report of this order is on record, or nobody waits for it any more.
    Settle(AssignmentId),
    /// Pages of this order's listing are on record, those before this one.
    SettlePages(AssignmentId, PageId),
}

/// A request of a client, as the node took it that the client talks to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forwarded {
    /// HTTP method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The client's token.
    pub token: String,
    /// JSON.
    pub body: Vec<u8>,
}

/// What a stranger shows to become a member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinRequest {
    /// The cluster that its token is for.
    pub cluster: ClusterId,
    /// Which token.
    pub token: TokenId,
    /// The token's secret.
    pub secret: Secret,
    /// The name it wants.
    pub name: NodeName,
    /// Where it is reached.
    pub addresses: Addresses,
    /// Its wall clock.
    pub at: Timestamp,
    /// Its build.
    pub version: String,
}

/// What a new member learns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joined {
    /// The others, and itself.
    pub members: Members,
}
