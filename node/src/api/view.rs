//! What the API shows: jobs, the cluster, and answers to orders. JSON in `snake_case`.

use std::sync::Arc;

use airlift_coordinator::scheduler::bottleneck::Bottleneck;
use airlift_coordinator::state::Phase;
use airlift_coordinator::totals::{
    ArchivedCounts, ByteCounts, DroppedCounts, ObjectCounts, Portion, Totals,
};
use airlift_protocol::attributes::AttributeSet;
use airlift_protocol::error::ErrorCode;
use airlift_protocol::id::JobId;
use airlift_protocol::job::{Mode, SingleObject};
use airlift_protocol::time::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::budget::BudgetView;
use super::line::JsonKey;
use super::openapi::schema;
use super::retention::RetentionView;
use super::text::{ByteText, job_id};
use super::throttle::ThrottleView;
use crate::runtime::clock;
use crate::store::pace::{GateFigures, Pace, Paces};

/// Errors that a job's view names; the report has them all.
pub const ERRORS_SHOWN_MAX: usize = 100;

/// What a job does, in the words of the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobMode {
    /// Copy and delete nothing.
    Cp,
    /// Mirror.
    Sync,
    /// Compare.
    Verify,
}

impl From<Mode> for JobMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Copy => Self::Cp,
            Mode::Sync => Self::Sync,
            Mode::Verify => Self::Verify,
        }
    }
}

impl From<JobMode> for Mode {
    fn from(mode: JobMode) -> Self {
        match mode {
            JobMode::Cp => Self::Copy,
            JobMode::Sync => Self::Sync,
            JobMode::Verify => Self::Verify,
        }
    }
}

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// The source's listing has begun; nothing moves yet.
    Listing,
    /// Objects move (verify: are compared), while listing may go on.
    Moving,
    /// The target is listed.
    ListingTarget,
    /// The two listings are compared.
    Comparing,
    /// What the source does not have is deleted.
    Deleting,
    /// The job's own traces are removed.
    Cleaning,
    /// It rests until it is resumed: a user stopped it for a while, or its credentials were refused.
    Paused,
    /// Every listed object has come to its end.
    Completed,
    /// It could not go on; nothing is lost.
    Stopped,
    /// A user ended it; nothing is lost.
    Cancelled,
}

impl JobState {
    /// The state of a job that no user has paused or ended; `is_empty` while nothing was listed yet.
    pub fn of_phase(phase: Phase, is_empty: bool) -> Self {
        match phase {
            Phase::Moving if is_empty => Self::Listing,
            Phase::Moving => Self::Moving,
            Phase::ListingTarget => Self::ListingTarget,
            Phase::Diffing => Self::Comparing,
            Phase::Deleting => Self::Deleting,
            Phase::Cleaning => Self::Cleaning,
            Phase::Ended => Self::Completed,
            Phase::Stopped => Self::Stopped,
        }
    }

    /// The word that JSON and tables use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Listing => "listing",
            Self::Moving => "moving",
            Self::ListingTarget => "listing_target",
            Self::Comparing => "comparing",
            Self::Deleting => "deleting",
            Self::Cleaning => "cleaning",
            Self::Paused => "paused",
            Self::Completed => "completed",
            Self::Stopped => "stopped",
            Self::Cancelled => "cancelled",
        }
    }
}

/// How a run of a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobOutcome {
    /// Everything that was listed is well.
    Done,
    /// Some objects failed, differ, were skipped, or could not be listed; or deletes were refused.
    Incomplete,
    /// The job could not go on.
    Stopped,
    /// A user ended it.
    Cancelled,
}

/// A job in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JobSummary {
    /// Its id.
    #[serde(with = "job_id")]
    #[schemars(with = "schema::JobIdText")]
    pub id: JobId,
    /// Counts submissions, from 1.
    pub run: u32,
    /// What it does.
    pub mode: JobMode,
    /// Where it stands.
    pub state: JobState,
    /// Where objects are read.
    pub source: ByteText,
    /// Where they go.
    pub target: ByteText,
    /// Whether it changes nothing.
    pub dry_run: bool,
    /// Objects by what became of them, in this run.
    #[schemars(schema_with = "schema::counts::<ObjectCounts>")]
    pub objects: ObjectCounts,
    /// Bytes, in this run.
    #[schemars(schema_with = "schema::counts::<ByteCounts>")]
    pub bytes: ByteCounts,
    /// Listed bytes of objects that have come to their end in this run and are not among those done: what
    /// failed, was skipped, differs or is missing, and in a dry run what would be copied. As far as the
    /// present leader has seen it; of what lies in an archive, all.
    #[serde(default)]
    pub unmoved_bytes: u64,
    /// What the target could not hold of objects that are done, in this run.
    #[serde(default)]
    #[schemars(schema_with = "schema::counts::<DroppedCounts>")]
    pub dropped: DroppedCounts,
    /// What the service of both ends copied itself, in this run.
    #[serde(default, rename = "server_side")]
    #[schemars(schema_with = "schema::counts::<Portion>")]
    pub copied: Portion,
    /// What lies in an archive, of the objects that were skipped in this run.
    #[serde(default)]
    #[schemars(schema_with = "schema::counts::<ArchivedCounts>")]
    pub archived: ArchivedCounts,
    /// Whether `total` of objects and bytes is final.
    pub is_listed: bool,
    /// Bytes a second that the job lately wrote; 0 when it does not run.
    pub rate_bytes_per_second: u64,
    /// Seconds that are left, when that can be told.
    pub eta_seconds: Option<u64>,
    /// What keeps it from going faster.
    #[serde(default)]
    #[schemars(schema_with = "schema::bottleneck")]
    pub bottleneck: Bottleneck,
    /// When this run was submitted, in UTC.
    pub submitted_at: String,
    /// When it ended, in UTC.
    pub ended_at: Option<String>,
    /// Milliseconds from the submission to the end, or until now.
    pub elapsed_ms: u64,
    /// How it ended.
    pub outcome: Option<JobOutcome>,
    /// What it may use, and has used, when that is bounded.
    #[serde(default)]
    pub budget: Option<BudgetView>,
}

impl JobSummary {
    /// Bytes of which nothing is left to be done: of objects that have come to their end, and those sent of
    /// objects under way.
    pub fn settled_bytes(&self) -> u64 {
        let ByteCounts { total, done, sent, .. } = self.bytes;
        done.max(sent).saturating_add(self.unmoved_bytes).min(total)
    }

    /// The job's numbers as the coordinator has them.
    pub fn totals(&self) -> Totals {
        Totals {
            objects: self.objects,
            bytes: self.bytes,
            dropped: self.dropped,
            copied: self.copied,
            archived: self.archived,
        }
    }
}

/// A job in full.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JobView {
    /// What a list shows too.
    #[serde(flatten)]
    pub job: JobSummary,
    /// Set when the job is about one object.
    pub single: Option<SingleView>,
    /// Who works on it now.
    pub nodes: Vec<JobNodeView>,
    /// Who reads for whom, where reader and writer are two nodes.
    #[serde(default)]
    pub links: Vec<LinkView>,
    /// What failed, could not be listed or was left over, the first [`ERRORS_SHOWN_MAX`].
    pub errors: Vec<ErrorView>,
    /// How much is not well: with what was skipped, differs, is missing or is only at the target, which the
    /// report names.
    pub error_count: u64,
    /// Why deletes were called off.
    pub deletes_refused: Vec<String>,
    /// Why the job stopped, or rests although no user has asked for that.
    pub failure: Option<FailureView>,
    /// Its weight beside other jobs, from 1 to 100.
    #[serde(default)]
    pub priority: u8,
    /// Bytes a second that it may move now, all nodes together; `None` when it has no limit.
    pub bandwidth_bytes_per_second: Option<u64>,
    /// What it may move by the time of the week, when it has a schedule.
    #[serde(default)]
    pub bandwidth_schedule: Option<String>,
    /// Ranges of keys that are still being listed, in key order.
    #[serde(default)]
    pub ranges: Vec<RangeView>,
    /// What its time of late went into, in parts of a thousand; nothing when it does not run.
    #[serde(default)]
    pub time: Vec<TimeView>,
    /// Seconds until a job is tried again that rests although no user has asked for that.
    #[serde(default)]
    pub retry_seconds: Option<u64>,
    /// Buckets at its ends that have asked for fewer requests.
    #[serde(default)]
    pub throttles: Vec<ThrottleView>,
}

/// A part of a job's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TimeView {
    /// What it is put down to.
    #[schemars(schema_with = "schema::bottleneck")]
    pub what: Bottleneck,
    /// How much of a thousand.
    pub permille: u64,
}

/// A range of the keys of one end, while it is listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RangeView {
    /// Of which end.
    pub end: EndView,
    /// The last key listed, or the one behind which the range begins; `None` at the beginning.
    pub after: Option<ByteText>,
    /// The last key that can be in it; `None` for all that follow.
    pub until: Option<ByteText>,
    /// Objects listed of it.
    pub objects: u64,
}

/// An end of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EndView {
    /// Where objects are read.
    Source,
    /// Where objects go.
    Target,
}

/// The one object that a job is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SingleView {
    /// Its key at the source.
    pub source_key: ByteText,
    /// Its key at the target.
    pub target_key: ByteText,
}

impl From<&SingleObject> for SingleView {
    fn from(single: &SingleObject) -> Self {
        Self {
            source_key: ByteText::from(&single.source_key),
            target_key: ByteText::from(&single.target_key),
        }
    }
}

/// The part of a node in a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JobNodeView {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: String,
    /// Which part it has.
    pub role: JobRole,
    /// Orders that it works on.
    pub assignments: u64,
    /// Bytes a second that it lately read at the source, for itself or for others.
    pub read_bytes_per_second: u64,
    /// Bytes a second that it lately wrote at the target.
    pub write_bytes_per_second: u64,
    /// What takes most of its time, as far as it can tell by itself.
    #[schemars(schema_with = "schema::bottleneck")]
    pub busiest: Bottleneck,
    /// Bytes a second that it may move of a job with a limit, as it was told last.
    pub share_bytes_per_second: Option<u64>,
}

/// Orders of a job that one node reads for and another writes for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LinkView {
    /// The id of the node that reads.
    pub source: String,
    /// The id of the node that writes.
    pub target: String,
    /// How many there are now.
    pub assignments: u64,
}

/// What a node does for a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobRole {
    /// It reads.
    Source,
    /// It writes.
    Target,
    /// It reads and writes.
    Both,
}

/// One thing that went wrong, or was left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorView {
    /// Which object or place.
    #[serde(flatten)]
    pub key: JsonKey,
    /// What became of it.
    pub status: String,
    /// The error's code.
    pub code: Option<String>,
    /// What happened, for people.
    pub reason: String,
}

/// Why a job stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FailureView {
    /// The error's code.
    #[schemars(with = "String")]
    pub code: ErrorCode,
    /// What happened, for people.
    pub reason: String,
}

/// The answer to a list of jobs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JobList {
    /// The jobs, newest first.
    pub jobs: Vec<JobSummary>,
}

/// The answer to a submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Submitted {
    /// The job's id.
    #[serde(with = "job_id")]
    #[schemars(with = "schema::JobIdText")]
    pub id: JobId,
    /// The run that was begun, or goes on: earlier runs are another matter.
    pub run: u32,
    /// What objects of the source may carry and the target cannot hold, as far as the node can tell.
    #[serde(default)]
    #[schemars(schema_with = "schema::attributes")]
    pub cannot_hold: AttributeSet,
}

/// Role of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NodeRole {
    /// It decides with the others, and moves data.
    Voter,
    /// It moves data.
    Worker,
}

impl NodeRole {
    /// The word that JSON and tables use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Voter => "voter",
            Self::Worker => "worker",
        }
    }
}

/// Whether a node was heard lately.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    /// It was.
    Alive,
    /// It was not.
    Silent,
}

impl NodeState {
    /// The word that JSON and tables use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Silent => "silent",
        }
    }
}

/// A node of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodeView {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: String,
    /// Its role.
    pub role: NodeRole,
    /// Where other nodes reach its control plane.
    pub addresses: Vec<String>,
    /// Where other nodes reach its data plane.
    #[serde(default)]
    pub data_addresses: Vec<String>,
    /// Whether it was heard lately.
    pub state: NodeState,
    /// Seconds since it was heard; `None` when it never was by the node that answers.
    pub last_heard_seconds: Option<u64>,
    /// The version of its program, when it said so.
    pub version: Option<String>,
    /// The newest format that its build knows.
    #[serde(default)]
    pub format_newest: u16,
    /// Whether it leads.
    pub is_leader: bool,
    /// Entries of the log that it does not have yet, for voters, when that is known.
    pub lag: Option<u64>,
    /// Whether its vote counts already, for voters, when that is known: one that has just joined
    /// catches up first, and until then all the others are needed.
    #[serde(default)]
    pub is_voting: Option<bool>,
    /// Bytes a second that it may move of all jobs, as it was told last; `None` without a limit.
    pub share_bytes_per_second: Option<u64>,
}

/// The cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClusterView {
    /// Its id.
    pub id: String,
    /// The name of the leader, when there is one.
    pub leader: Option<String>,
    /// The term.
    pub term: u64,
    /// Entries of the log that are committed.
    pub commit_index: u64,
    /// Whether enough voters are alive to decide.
    pub has_quorum: bool,
    /// Whether a leader says this that a majority has just confirmed. Otherwise it is what the node
    /// that was asked knew last.
    #[serde(default)]
    pub is_current: bool,
    /// All nodes, by name.
    pub nodes: Vec<NodeView>,
    /// The format that all nodes write, as far as a voter knows. It is raised when all builds know
    /// the next.
    #[serde(default)]
    pub format: Option<u16>,
    /// Bytes a second that all jobs together may move now; `None` when there is no limit.
    pub bandwidth_bytes_per_second: Option<u64>,
    /// What they may move by the time of the week, when there is a schedule.
    #[serde(default)]
    pub bandwidth_schedule: Option<String>,
    /// How long jobs that have ended stay on record.
    #[serde(default)]
    pub retention: RetentionView,
}

/// What the node that was asked has done since its process started.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NodeFigures {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: String,
    /// The version of its program.
    pub version: String,
    /// The newest format that its build knows.
    #[serde(default)]
    pub format_newest: u16,
    /// Seconds since its process started.
    pub uptime_seconds: u64,
    /// Memory that its process takes, where the system says so.
    pub memory_bytes: Option<u64>,
    /// Requests, answers and notices exchanged with the present members, without what the transport
    /// adds.
    pub control: Traffic,
    /// Requests, frames and payloads exchanged with the present members, without what the transport
    /// adds.
    pub data: Traffic,
    /// What it has written to its log; `None` on a node that is no voter.
    pub log: Option<LogFigures>,
    /// Orders that move or read objects which it works on at once: at most as many as its setting says.
    #[serde(default)]
    pub slots: u64,
    /// The buckets that its process has to do with.
    #[serde(default)]
    pub stores: Vec<StoreFigures>,
}

/// How hard a bucket is worked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StoreFigures {
    /// Which one, and where.
    pub store: String,
    /// What reads, lists or describes.
    pub reads: RequestFigures,
    /// What changes something.
    pub writes: RequestFigures,
}

/// How hard one kind of requests works a bucket; what is counted is since the process began.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RequestFigures {
    /// Requests that may be on their way at once.
    pub limit: u64,
    /// Requests that are on their way.
    pub in_flight: u64,
    /// Requests that have begun.
    pub requests: u64,
    /// Requests that were too much for the store.
    pub throttled: u64,
    /// Requests a second that it is asked for since; `None` without bound.
    pub requests_per_second: Option<f64>,
    /// Seconds in which requests have waited because of that.
    pub spared_seconds: f64,
    /// This node's part of the requests a second that the whole cluster asks for, while the leader says so.
    #[serde(default)]
    pub share_per_second: Option<f64>,
}

impl StoreFigures {
    /// All buckets that were asked for anything.
    pub(crate) fn all(paces: &Paces) -> Vec<Self> {
        let of = |(store, pace): (String, Arc<Pace>)| Self {
            store,
            reads: RequestFigures::of(pace.reads.figures()),
            writes: RequestFigures::of(pace.writes.figures()),
        };
        paces.places().into_iter().map(of).collect()
    }
}

impl RequestFigures {
    fn of(gate: GateFigures) -> Self {
        Self {
            limit: gate.limit as u64,
            in_flight: gate.in_flight as u64,
            requests: gate.requests,
            throttled: gate.throttled,
            requests_per_second: gate.per_second.map(f64::round),
            spared_seconds: gate.spared.as_secs_f64(),
            share_per_second: gate.share.map(f64::round),
        }
    }
}

/// Bytes that were exchanged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Traffic {
    /// To others.
    pub sent_bytes: u64,
    /// From others.
    pub received_bytes: u64,
}

/// What a voter has written to its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogFigures {
    /// Entries, those that were overwritten too.
    pub entries: u64,
    /// Bytes of their commands.
    pub bytes: u64,
    /// Durable writes, each of any number of entries.
    pub syncs: u64,
    /// Terms that began: elections, whether somebody won or not.
    pub elections: u64,
}

/// A token by which a node may join.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JoinToken {
    /// The token itself: a secret.
    pub token: String,
    /// The role of the node that uses it.
    pub role: NodeRole,
    /// When it expires, in UTC.
    pub expires_at: String,
}

/// The secret stays out of logs.
impl std::fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("JoinToken");
        shown.field("role", &self.role).field("expires_at", &self.expires_at);
        shown.finish_non_exhaustive()
    }
}

/// A wall-clock time as views show it.
pub fn utc(at: Timestamp) -> String {
    clock::utc(i64::try_from(at.0).unwrap_or(i64::MAX).saturating_mul(1_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_in_utc_and_a_clock_gone_wild_breaks_nothing() {
        assert_eq!(utc(Timestamp(951_782_400_999)), "2000-02-29T00:00:00Z");
        assert!(utc(Timestamp(u64::MAX)).starts_with("2262-"));
    }

    #[test]
    fn words_of_tables_are_those_of_json() {
        for state in [JobState::Listing, JobState::ListingTarget, JobState::Cancelled] {
            assert_eq!(json(state), state.as_str());
        }
        assert_eq!(json(NodeRole::Voter), NodeRole::Voter.as_str());
        assert_eq!(json(NodeState::Silent), NodeState::Silent.as_str());
        for stage in [Bottleneck::Cpu, Bottleneck::Listing, Bottleneck::None] {
            assert_eq!(json(stage), stage.as_str());
        }
        for code in [ErrorCode::KindUnsupported, ErrorCode::Io, ErrorCode::CorruptState] {
            assert_eq!(json(code), code.as_str());
        }
    }

    fn json(value: impl Serialize) -> String {
        serde_json::to_value(value).unwrap().as_str().unwrap().to_owned()
    }
}
