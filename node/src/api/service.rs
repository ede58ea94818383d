//! What a node does for clients of its API.

use std::sync::Arc;

use airlift_protocol::id::JobId;
use airlift_protocol::once::SubmitKey;
use async_trait::async_trait;
use futures::stream::BoxStream;

use super::access::{ApiTokenList, ApiTokenRequest, AuditPage, CreatedApiToken, RootTokenRequest};
use super::budget::BudgetRequest;
use super::error::ApiError;
use super::request::{LeaderRequest, LimitRequest, Submission, TokenRequest};
use super::retention::RetentionRequest;
use super::survey::Survey;
use super::view::{ClusterView, JobList, JobView, JoinToken, NodeFigures, Submitted};
use crate::metrics::{Readiness, Snapshot};

/// What a token allows. Each permission includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    /// Look at jobs and at the cluster.
    Read,
    /// Submit, pause, resume and cancel jobs.
    Operate,
    /// Change the cluster.
    Administer,
}

/// A client that was let in.
pub struct Admitted {
    /// What it may do.
    pub permission: Permission,
    /// Whether it sees only jobs that lie within some locations, and nothing of the nodes themselves.
    pub is_limited: bool,
    /// The node, as it answers this client and no other.
    pub service: Arc<dyn Service>,
}

impl std::fmt::Debug for Admitted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Admitted");
        shown.field("permission", &self.permission).field("is_limited", &self.is_limited);
        shown.finish_non_exhaustive()
    }
}

/// An order about a job that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobOrder {
    /// Stop giving out work; what is under way ends.
    Pause,
    /// Go on after a pause.
    Resume,
    /// End the job where it is.
    Cancel,
}

impl JobOrder {
    /// The word that paths and the command line use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Cancel => "cancel",
        }
    }
}

/// Lines of a report, without their line ends.
pub type ReportLines = BoxStream<'static, Result<String, ApiError>>;

/// A node, as its API sees it. Nodes that do not lead forward to the one that does; only when that
/// cannot be reached is the answer `not_leader`.
#[async_trait]
pub trait Service: Send + Sync + 'static {
    /// Lets a client in by its token. Takes the same time for every wrong token. All that follows is
    /// asked of the service that this gives: whose token it is, is judged again by whoever carries it
    /// out.
    ///
    /// # Errors
    /// When no such token is known, or that cannot be told now.
    async fn authorize(&self, token: &str) -> Result<Admitted, ApiError>;

    /// Looks at both ends, makes the job of [`Submission::spec`] and begins it, or a new run of it
    /// when it has ended. A job that runs goes on, and its run is the answer. What was submitted with
    /// the same `key` before is answered as then, whatever has become of its run, and begins nothing.
    ///
    /// # Errors
    /// When it is refused, or the cluster cannot decide now.
    async fn submit(
        &self,
        submission: Submission,
        key: Option<SubmitKey>,
    ) -> Result<Submitted, ApiError>;

    /// All jobs, newest first.
    ///
    /// # Errors
    /// When the cluster cannot tell now.
    async fn jobs(&self) -> Result<JobList, ApiError>;

    /// One job.
    ///
    /// # Errors
    /// When it does not exist, or the cluster cannot tell now.
    async fn job(&self, job: JobId) -> Result<JobView, ApiError>;

    /// Carries out an order; answers the job as it is then. An order that is carried out already is
    /// no error.
    ///
    /// # Errors
    /// When the job does not exist, has ended, or the cluster cannot decide now.
    async fn order(&self, job: JobId, order: JobOrder) -> Result<JobView, ApiError>;

    /// Gives a job another budget; answers the job as it is then. One whose budget had come to its end goes on.
    ///
    /// # Errors
    /// As [`order`](Self::order), and when it is no budget.
    async fn set_budget(&self, job: JobId, request: BudgetRequest) -> Result<JobView, ApiError>;

    /// The report of the job's last run from its line `from` on, counted from 0: objects that came
    /// to their end, each in the form of [`ReportLine`](super::line::ReportLine), without a summary.
    /// Once the job has ended, every node gives the same lines in the same order.
    ///
    /// # Errors
    /// When the job does not exist, or the cluster cannot tell now.
    async fn report(&self, job: JobId, from: u64) -> Result<ReportLines, ApiError>;

    /// The cluster as this node sees it, without a leader too.
    ///
    /// # Errors
    /// When not even that can be told.
    async fn cluster(&self) -> Result<ClusterView, ApiError>;

    /// What this node itself has done; asked of no other one.
    ///
    /// # Errors
    /// When the node is stopping.
    async fn node(&self) -> Result<NodeFigures, ApiError>;

    /// What every node says of itself: each is asked by this one.
    ///
    /// # Errors
    /// When the node is stopping.
    async fn nodes(&self) -> Result<Survey, ApiError>;

    /// Makes a token by which one node may join.
    ///
    /// # Errors
    /// When the cluster cannot decide now.
    async fn create_token(&self, request: TokenRequest) -> Result<JoinToken, ApiError>;

    /// Removes the node with this name or id; answers the cluster without it.
    ///
    /// # Errors
    /// When it does not exist, the voters left would be too few, or the cluster cannot decide now.
    async fn remove_node(&self, node: &str) -> Result<ClusterView, ApiError>;

    /// Hands over the lead; answers the cluster when another node leads.
    ///
    /// # Errors
    /// When the node does not exist, is no voter, is too far behind, or nobody leads now.
    async fn transfer_leader(&self, request: LeaderRequest) -> Result<ClusterView, ApiError>;

    /// Says how long jobs that have ended stay on record; answers the cluster as it is then.
    ///
    /// # Errors
    /// When the cluster cannot decide now.
    async fn set_retention(&self, request: RetentionRequest) -> Result<ClusterView, ApiError>;

    /// Limits what all jobs together move, or lifts that limit; answers the cluster as it is then.
    ///
    /// # Errors
    /// When the cluster cannot decide now.
    async fn limit(&self, request: LimitRequest) -> Result<ClusterView, ApiError>;

    /// Makes a token that opens the API.
    ///
    /// # Errors
    /// When it makes no sense, its name is taken, or the cluster cannot decide now.
    async fn create_api_token(&self, request: ApiTokenRequest)
    -> Result<CreatedApiToken, ApiError>;

    /// All tokens that open the API, without their secrets.
    ///
    /// # Errors
    /// When the cluster cannot tell now.
    async fn api_tokens(&self) -> Result<ApiTokenList, ApiError>;

    /// Revokes the API token of this name or id; answers those that are left.
    ///
    /// # Errors
    /// When there is none, or the cluster cannot decide now.
    async fn revoke_api_token(&self, token: &str) -> Result<ApiTokenList, ApiError>;

    /// Has another token be the root token, in place of the present one; answers what is in force.
    ///
    /// # Errors
    /// When its hash is none, or the cluster cannot decide now.
    async fn replace_root_token(
        &self,
        request: RootTokenRequest,
    ) -> Result<RootTokenRequest, ApiError>;

    /// Entries of the audit log from number `from` on, as many as go into one answer.
    ///
    /// # Errors
    /// When the cluster cannot tell now.
    async fn audit(&self, from: u64) -> Result<AuditPage, ApiError>;

    /// Whether this node hears a leader; asked of no other one, and by nobody in particular.
    ///
    /// # Errors
    /// When the node is stopping.
    async fn readiness(&self) -> Result<Readiness, ApiError>;

    /// This node with all that its metrics say; asked of no other one.
    ///
    /// # Errors
    /// When the node is stopping.
    async fn snapshot(&self) -> Result<Snapshot, ApiError>;
}
