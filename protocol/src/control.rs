//! What nodes tell each other on the control plane.
//!
//! Every message may be lost, repeated or overtaken by another: an order is repeated while the
//! agent's signs of life do not name it, a report while it is not settled.
//!
//! Append only: variants and fields are added at the end, never moved.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::assignment::{Assignment, End};
use crate::bounded;
use crate::budget::Spent;
use crate::cluster::{Addresses, Boot, ClusterId, Member, NodeName, Secret, TokenId};
use crate::error::Failure;
use crate::figures::JobFigures;
use crate::id::{AssignmentId, JobId, LogIndex, NodeId, PageId, Position};
use crate::job::JobSpec;
use crate::limits::{GATES_TOLD_MAX, HELD_MAX, MEMBERS_MAX, ORDERS_MAX, SPENT_MAX};
use crate::location::Location;
use crate::manifest::Page;
use crate::pace::{GateReport, GateShare};
use crate::raft::RaftMessage;
use crate::report::Report;
use crate::time::Timestamp;
use crate::units::ByteRate;
use crate::version::{FormatVersion, Formats};

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
    /// Asks what there is at a location that this node reaches.
    Probe(Location),
    /// The snapshot that the leader offered is here, or cannot be had.
    SnapshotFetched(bool),
    /// A voter that does not lead hands on what a stranger asks of it, whose connection has proven
    /// who it is. To the leader.
    Admit(NodeId, Box<JoinRequest>),
    /// Asks to be dialled on the data plane: the asker needs data, and cannot reach this node there.
    Dial,
    /// Asks which build the node runs, and what room it has.
    Describe,
    /// Asks for the specification of a job with its run, which only the leader knows to be the latest. Who
    /// gets no answer asks by [`FindJob`](Self::FindJob): the build of the other may not have this yet.
    FindRun(JobId),
}

/// An object of a job's manifest, in the order of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RecordKey {
    /// The job.
    pub job: JobId,
    /// Its run.
    pub run: u32,
    /// The listing that has the object.
    pub end: End,
    /// Its place there.
    pub position: Position,
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
    /// The specification of a job, if there is such a job, and who answers is the leader.
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
    /// What there is at a location, and its name without detours.
    Probed(Location, Place),
    /// Which build the node runs, and what room it has.
    Described(Box<Description>),
    /// The run of a job and its specification, if there is such a job, and who answers is the leader.
    Run(Option<(u32, Box<JobSpec>)>),
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
    /// Bytes verified and written since its process started, by job: every job of which the node
    /// keeps something.
    pub written: Vec<(JobId, u64)>,
    /// The membership that it knows; 0 when none.
    pub members_version: u64,
    /// Its build.
    pub version: String,
    /// What it measured of the jobs that it works on, at most
    /// [`JOBS_MEASURED_MAX`](crate::limits::JOBS_MEASURED_MAX).
    pub figures: Vec<JobFigures>,
    /// The shares of bandwidths that it may use now, as it was told them.
    pub shares: Option<Shares>,
    /// The formats of its build.
    pub formats: Formats,
    /// What lately passed its gates: of buckets, for each kind of requests.
    #[serde(deserialize_with = "bounded::list::<_, _, GATES_TOLD_MAX>")]
    pub gates: Vec<GateReport>,
    /// What it has used for jobs of which it keeps something.
    #[serde(deserialize_with = "bounded::list::<_, _, SPENT_MAX>")]
    pub spent: Vec<Spent>,
}

/// The leader's answer to a sign of life: the node's leases last for another while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alive {
    /// The membership, when the node knows an older one.
    pub members: Option<Members>,
    /// Jobs of the sign of life of which nothing is needed any more, each with its last run: who has
    /// heard of a later one keeps what it has.
    pub over: Vec<(JobId, u32)>,
    /// What the node may move from now on; `None` when that stays as it was.
    pub shares: Option<Shares>,
    /// What the node may ask buckets for that have asked for fewer requests.
    #[serde(deserialize_with = "bounded::list::<_, _, GATES_TOLD_MAX>")]
    pub gates: Vec<GateShare>,
}

/// What one node may move of bandwidths that many nodes share. It takes the place of all that the
/// node was told before, and holds for [`SHARE_MS`](crate::limits::SHARE_MS).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shares {
    /// Grows with everything that a leader says, and from one leader to the next.
    pub number: u64,
    /// Bytes per second of each job that has a limit of its own, ascending; of those that are not
    /// named it may move nothing.
    pub jobs: Vec<(JobId, ByteRate)>,
    /// Bytes per second of all jobs together; `None` when the cluster has no limit.
    pub total: Option<ByteRate>,
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
    /// Pages and cuts of this order's listing are on record, those before this one.
    SettlePages(AssignmentId, PageId),
}

/// A request of a client, as the node took it that the client talks to.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
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

/// The token stays out of logs, and the body, which may be long, with it.
impl fmt::Debug for Forwarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Forwarded");
        shown.field("method", &self.method).field("path", &self.path);
        shown.field("body_bytes", &self.body.len()).finish_non_exhaustive()
    }
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
    /// The formats of its build.
    pub formats: Formats,
}

/// What a node says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// The version of its program.
    pub version: String,
    /// The formats of its build.
    pub formats: Formats,
    /// How its build lays out the file of a voter's log.
    pub layout: FormatVersion,
    /// Milliseconds since its process started.
    pub uptime_ms: u64,
    /// Bytes that are free where its directory is, and bytes of that file system, where the system
    /// says so.
    pub disk: Option<(u64, u64)>,
}

/// What a new member learns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joined {
    /// The others, and itself.
    pub members: Members,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec;
    use crate::figures::Figures;
    use crate::job::{Filters, Mode, Policy};

    #[test]
    fn a_sign_of_life_has_the_bytes_it_always_had() {
        let figures = JobFigures {
            job: JobId([9; 16]),
            active_us: 5,
            orders: 6,
            moving: Figures::default(),
            serving: Figures::default(),
        };
        let beat = Heartbeat {
            boot: Boot(1),
            addresses: Addresses::default(),
            slots: 4,
            held: vec![AssignmentId(7)],
            written: vec![(JobId([9; 16]), 8)],
            members_version: 3,
            version: "1".to_owned(),
            figures: vec![figures],
            shares: None,
            formats: Formats { oldest: FormatVersion(4), newest: FormatVersion(5) },
            gates: Vec::new(),
            spent: Vec::new(),
        };
        let mut golden = vec![1, 0, 0, 0, 4, 1, 7, 1]; // boot, addresses, slots, held, written
        golden.extend_from_slice(&[9; 16]);
        golden.extend_from_slice(&[8, 3, 1, b'1', 1]); // bytes, members, version, figures
        golden.extend_from_slice(&codec::encode(&figures));
        golden.extend_from_slice(&[0, 4, 5, 0, 0]); // shares, formats, gates, spent
        assert_eq!(codec::encode(&beat), golden);
        assert_eq!(codec::decode::<Heartbeat>(&golden, 256).unwrap(), beat);
    }

    #[test]
    fn a_description_has_the_bytes_it_always_had() {
        let described = ControlAnswer::Described(Box::new(Description {
            version: "1".to_owned(),
            formats: Formats { oldest: FormatVersion(4), newest: FormatVersion(5) },
            layout: FormatVersion(1),
            uptime_ms: 6,
            disk: Some((7, 8)),
        }));
        assert_eq!(codec::encode(&described), [10, 1, b'1', 4, 5, 1, 6, 1, 7, 8]);
        assert_eq!(codec::encode(&ControlMessage::Describe), [13]);
    }

    #[test]
    fn a_job_with_its_run_has_the_bytes_it_always_had() {
        let question = codec::encode(&ControlMessage::FindRun(JobId([9; 16])));
        assert_eq!((question[0], &question[1..]), (14, &[9; 16][..]));
        assert_eq!(codec::encode(&ControlAnswer::Run(None)), [11, 0]);
        let spec = JobSpec {
            mode: Mode::Copy,
            source: Location::Path(b"/a".to_vec()),
            target: Location::Path(b"/b".to_vec()),
            single: None,
            filters: Filters::default(),
            policy: Policy::default(),
        };
        let golden = [&[11u8, 1, 3][..], codec::encode(&spec).as_slice()].concat();
        let answer = ControlAnswer::Run(Some((3, Box::new(spec))));
        assert_eq!(codec::encode(&answer), golden);
        assert_eq!(codec::decode::<ControlAnswer>(&golden, 1 << 16).unwrap(), answer);
    }

    #[test]
    fn a_forwarded_token_is_not_printed() {
        let (method, path, body) = ("CALL".to_owned(), String::new(), b"body".to_vec());
        let forwarded = Forwarded { method, path, token: "hidden".to_owned(), body };
        let printed = format!("{:?}", ControlMessage::Forward(forwarded));
        assert!(printed.contains("CALL") && !printed.contains("hidden"), "{printed}");
    }

    #[test]
    fn shares_have_the_bytes_they_always_had() {
        let jobs = vec![(JobId([9; 16]), ByteRate(300))];
        let shares = Shares { number: 7, jobs, total: Some(ByteRate(0)) };
        let bytes = codec::encode(&shares);
        assert_eq!((bytes[0], bytes[1], &bytes[2..18]), (7, 1, &[9; 16][..]));
        assert_eq!(bytes[18..], [251, 44, 1, 1, 0]);
        let alive = Alive { members: None, over: Vec::new(), shares: None, gates: Vec::new() };
        assert_eq!(codec::encode(&alive), [0, 0, 0, 0]);
    }
}
