//! The API's service on a node of a cluster: what a client asks becomes a call that the leader
//! answers, wherever the client asks.
//!
//! ```text
//! client ─▶ Service ─▶ Call ─▶ does this node lead? ─ yes ─▶ perform ─▶ Asker (the driver)
//!                                      │ no
//!                                      └─▶ ControlMessage::Forward ─▶ the leader: answer ─▶ perform
//! ```
//!
//! A call goes at most one hop: a node that does not lead says so, and who asked looks again. What
//! surely was not done is asked again for a while, and so is what does no harm when done twice.

mod call;
mod jobs;
mod members;
mod monitor;
mod report;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use airlift_coordinator::state::JoinToken as IssuedToken;
use airlift_coordinator::{Answer, Coordinator, Request};
use airlift_protocol::attributes::AttributeSet;
use airlift_protocol::cluster::{ClusterId, Role, Secret};
use airlift_protocol::codec;
use airlift_protocol::control::{ControlAnswer, ControlMessage, Forwarded};
use airlift_protocol::id::{JobId, NodeId};
use airlift_protocol::job::JobSpec;
use airlift_protocol::location::Location;
use async_trait::async_trait;
use bytes::Bytes;
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use futures::StreamExt;
use serde::de::DeserializeOwned;
use serde_json::Value;

use self::call::{Call, Granted};
pub(super) use self::jobs::summary_of;
use self::members::Known;
use self::report::{Batch, LINES_MAX, Reader};
pub(crate) use self::report::{Line, Place, Records, Start};
use super::ask::{Asker, Gone, Sight};
use super::token::JoinTokenText;
use crate::api::budget::BudgetRequest;
use crate::api::error::{ApiCode, ApiError};
use crate::api::request::{
    Found, LeaderRequest, LimitRequest, Submission, SubmitRequest, TokenRequest,
};
use crate::api::retention::RetentionRequest;
use crate::api::service::{JobOrder, Permission, ReportLines, Service};
use crate::api::view::{
    ClusterView, JobList, JobView, JoinToken, NodeFigures, NodeRole, Submitted, utc,
};
use crate::metrics::snapshot::{Measured, Readiness, Snapshot};
use crate::network::control::ControlNetwork;
use crate::network::control::limit::REQUEST_BYTES_MAX;
use crate::runtime::blocking::blocking;
use crate::runtime::clock;

/// How long a call is asked again, and the pause before each time: an election takes a few seconds.
const PATIENCE: Duration = Duration::from_secs(10);
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// When a client may ask again what this node could not have answered.
const RETRY_HINT: Duration = Duration::from_secs(2);

/// How long the leader works on a call, and another node waits for it: longer by the way there and
/// back, and with [`PATIENCE`] before it shorter than the API lets a request take.
const PERFORM_LIMIT: Duration = Duration::from_secs(15);
const FORWARD_LIMIT: Duration = Duration::from_secs(17);

/// How long a node that can tell something itself waits for what the leader would tell.
const SHOW_LIMIT: Duration = Duration::from_secs(3);

/// How long another voter may take to lead, and the pause before each look.
const HAND_OVER_LIMIT: Duration = Duration::from_secs(5);
const HAND_OVER_PAUSE: Duration = Duration::from_millis(50);

/// Looks at places, wherever in the cluster they are.
#[async_trait]
pub(crate) trait Probe: Send + Sync + 'static {
    /// What is at `location`; a path of a node is looked at there.
    async fn probe(&self, location: &Location) -> Result<Found, ApiError>;

    /// What objects of the source may carry and the target cannot hold, as far as that is known here.
    fn lost(&self, spec: &JobSpec) -> AttributeSet;
}

/// Reads what this node counts.
pub(crate) trait Meters: Send + Sync + 'static {
    /// The figures now.
    fn read(&self) -> NodeFigures;

    /// What else is counted, now.
    fn measure(&self) -> Measured;
}

/// The API's service on a node of a cluster.
#[derive(Clone)]
pub(crate) struct ClusterService {
    cluster: ClusterId,
    asker: Asker,
    control: Arc<ControlNetwork>,
    records: Arc<dyn Records>,
    probe: Arc<dyn Probe>,
    meters: Arc<dyn Meters>,
    /// The token that was let in last, to show the leader. A cluster knows one token of clients,
    /// the administrator's, so it is the one of every call that gets as far as here.
    admitted: Arc<Mutex<Option<Secret>>>,
}

/// Who leads, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lead {
    /// This node, and it knows all that was decided before.
    Here,
    /// Another.
    At(NodeId),
    /// Nobody, or this node does not decide yet.
    Nobody,
}

impl ClusterService {
    /// The service of a node of `cluster`.
    pub(crate) fn new(
        cluster: ClusterId,
        asker: Asker,
        control: Arc<ControlNetwork>,
        records: Arc<dyn Records>,
        probe: Arc<dyn Probe>,
        meters: Arc<dyn Meters>,
    ) -> Self {
        let admitted = Arc::new(Mutex::new(None));
        Self { cluster, asker, control, records, probe, meters, admitted }
    }

    /// Answers a call that another node has forwarded, when this node leads: it trusts no other node
    /// with who may do what.
    pub(crate) async fn answer(&self, forwarded: Forwarded) -> ControlAnswer {
        match self.lead().await {
            Ok(Lead::Here) => {}
            Ok(Lead::At(leader)) => return ControlAnswer::NotLeader(Some(leader)),
            Ok(Lead::Nobody) => return ControlAnswer::NotLeader(None),
            Err(error) => return call::to_answer(Err(error)),
        }
        let performed = async {
            let call = Call::receive(&forwarded)?;
            self.perform_checked(call, &forwarded.token).await
        };
        match within(PERFORM_LIMIT, performed).await {
            Err(error) if error.code == ApiCode::NotLeader => ControlAnswer::NotLeader(None),
            result => call::to_answer(result),
        }
    }

    /// Carries a call out on the leader, which a majority has confirmed after it was asked: neither
    /// the token nor the answer is judged by a state that others have left behind.
    async fn perform_checked(&self, call: Call, token: &str) -> Result<Value, ApiError> {
        self.request(Request::Read).await?;
        let permission = self.permission(token).await?;
        if permission < call.permission() {
            return Err(ApiError::new(ApiCode::Forbidden, "the token does not allow this"));
        }
        self.perform(call, token).await
    }

    /// Has a call answered, by whoever leads.
    async fn call<T: DeserializeOwned>(&self, call: &Call, token: &str) -> Result<T, ApiError> {
        call::read(self.settle(call, token).await?)
    }

    /// As [`call`](Self::call), with the token of the client that was let in.
    async fn call_admitted<T: DeserializeOwned>(&self, call: &Call) -> Result<T, ApiError> {
        self.call(call, &self.token()).await
    }

    async fn settle(&self, call: &Call, token: &str) -> Result<Value, ApiError> {
        let begun = clock::now();
        let mut may_be_done = false;
        loop {
            let lead = self.lead().await?;
            let error = match self.attempt(lead, call, token).await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            match (error.code, call) {
                (ApiCode::NotLeader, _) => {}
                (ApiCode::Unavailable | ApiCode::TimedOut, call) if call.is_repeatable() => {
                    may_be_done = true;
                }
                // An earlier attempt did it.
                (ApiCode::NotFound, Call::RemoveNode(_)) if may_be_done => return Ok(Value::Null),
                _ => return Err(error),
            }
            if clock::now().duration_since(begun) >= PATIENCE {
                let error = ApiError::new(ApiCode::Unavailable, error.detail);
                return Err(error.retry_after(RETRY_HINT));
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    async fn attempt(&self, lead: Lead, call: &Call, token: &str) -> Result<Value, ApiError> {
        match lead {
            Lead::Here => within(PERFORM_LIMIT, self.perform_checked(call.clone(), token)).await,
            Lead::At(leader) => self.forward(leader, call, token).await,
            Lead::Nobody => Err(call::not_leader()),
        }
    }

    async fn forward(&self, leader: NodeId, call: &Call, token: &str) -> Result<Value, ApiError> {
        let message = ControlMessage::Forward(call.forward(token)?);
        let body = Bytes::from(codec::encode(&message));
        let answer = self.control.request(leader, body, FORWARD_LIMIT).await;
        let answer = answer.map_err(|error| call::missed(&error))?;
        let answer = codec::decode(&answer, REQUEST_BYTES_MAX).map_err(|error| {
            ApiError::new(ApiCode::Internal, format!("the leader's answer cannot be read: {error}"))
        })?;
        call::from_answer(answer)
    }

    async fn lead(&self) -> Result<Lead, ApiError> {
        self.look(|sight| match sight.leader {
            Some(leader) if leader != sight.node => Lead::At(leader),
            _ if sight.coordinator.is_some_and(Coordinator::is_deciding) => Lead::Here,
            _ => Lead::Nobody,
        })
        .await
    }

    async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(Sight<'_>) -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        self.asker.look(look).await.map_err(stopping)
    }

    /// Looks at the control plane of the leader.
    async fn look_leading<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Coordinator) -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let looked = self.look(move |sight| {
            let leading = sight.coordinator.filter(|coordinator| coordinator.is_deciding());
            leading.map(look)
        });
        looked.await?.ok_or_else(call::not_leader)
    }

    async fn known(&self) -> Result<Known, ApiError> {
        let peers = self.control.status().into_iter();
        let connected: BTreeSet<NodeId> =
            peers.filter(|peer| peer.is_connected).map(|peer| peer.node).collect();
        let cluster = self.cluster;
        self.look(move |sight| Known::of(cluster, &sight, connected)).await
    }

    /// What a token allows, as far as this node can tell.
    async fn permission(&self, token: &str) -> Result<Permission, ApiError> {
        let hash = self.admin_hash().await?.ok_or_else(call::not_leader)?;
        judge(token, hash)
    }

    async fn admin_hash(&self) -> Result<Option<[u8; 32]>, ApiError> {
        self.look(|sight| {
            let cluster = sight.coordinator.and_then(|it| it.state().cluster.as_ref());
            cluster.map(|cluster| cluster.admin)
        })
        .await
    }

    fn admit(&self, token: &str) {
        let mut admitted = self.admitted.lock().unwrap_or_else(PoisonError::into_inner);
        *admitted = parse_token(token);
    }

    /// The token to show the leader; empty, and refused there, when none was let in.
    fn token(&self) -> String {
        let admitted = self.admitted.lock().unwrap_or_else(PoisonError::into_inner);
        admitted.as_ref().map(|secret| HEXLOWER.encode(&secret.0)).unwrap_or_default()
    }

    /// Carries a call out on the leader. [`ApiCode::NotLeader`] means that nothing was done.
    async fn perform(&self, call: Call, token: &str) -> Result<Value, ApiError> {
        match call {
            Call::Authorize => call::write(&Granted::from(self.permission(token).await?)),
            Call::Submit(request) => call::write(&self.submit_here(*request).await?),
            Call::Jobs => {
                let wall = clock::wall();
                let list = self.look_leading(move |leading| jobs::list(leading, wall)).await?;
                call::write(&list)
            }
            Call::Job(job) => call::write(&self.job_here(job).await?),
            Call::Pause(job) => self.order_here(job, Request::Pause(job)).await,
            Call::Resume(job) => self.order_here(job, Request::Resume(job)).await,
            Call::Cancel(job) => self.order_here(job, Request::Cancel(job)).await,
            Call::Report { job, from, after } => {
                let start = after.map_or(Start::Line(from), Start::After);
                call::write(&self.report_here(job, start).await?)
            }
            Call::Cluster => call::write(&self.known().await?.view()),
            Call::CreateToken(request) => call::write(&self.create_token_here(request).await?),
            Call::RemoveNode(node) => self.remove_here(&node).await.map(|()| Value::Null),
            Call::TransferLeader(request) => {
                self.transfer_here(request).await.map(|()| Value::Null)
            }
            Call::SetRetention(request) => {
                let retention = request.retention()?;
                self.request(Request::SetRetention(retention)).await.map(|()| Value::Null)
            }
            Call::SetBudget(job, request) => self.set_budget_here(job, request).await,
            Call::Limit(request) => {
                self.request(Request::Limit(request.bandwidth()?)).await.map(|()| Value::Null)
            }
        }
    }

    /// Asks the control plane for something.
    async fn request(&self, request: Request) -> Result<(), ApiError> {
        match self.asker.request(request).await.map_err(stopping)? {
            Answer::Done => Ok(()),
            Answer::Refused(failure) => Err(call::refused(&failure)),
            Answer::NotLeader => Err(call::not_leader()),
            Answer::Unknown => {
                let text = "the leader changed meanwhile: look whether it was done, or ask again";
                Err(call::unknown(text))
            }
        }
    }

    async fn submit_here(&self, request: SubmitRequest) -> Result<Submitted, ApiError> {
        let submission = Submission::try_from(request)?;
        let (source, target) = tokio::join!(
            self.probe.probe(&submission.source),
            self.probe.probe(&submission.target)
        );
        let spec = submission.spec(source?, target?)?;
        let (id, cannot_hold) = (spec.id(), self.probe.lost(&spec));
        self.request(Request::Submit(Box::new(spec))).await?;
        Ok(Submitted { id, run: self.run(id).await?, cannot_hold })
    }

    async fn run(&self, job: JobId) -> Result<u32, ApiError> {
        let run = self.look_leading(move |leading| {
            let state = leading.state();
            state.jobs.get(&job).map(|it| it.run).ok_or_else(|| jobs::missing(state, job))
        });
        run.await?
    }

    async fn job_here(&self, job: JobId) -> Result<JobView, ApiError> {
        let wall = clock::wall();
        let shown = self.look(move |sight| {
            let leading = sight.coordinator.filter(|coordinator| coordinator.is_deciding());
            leading.map(|leading| jobs::show(leading, job, (sight.now, wall)))
        });
        let shown = shown.await?.ok_or_else(call::not_leader)??;
        let (records, objects) = (Arc::clone(&self.records), shown.nameless.clone());
        let keys = blocking(move || records.keys(&objects)).await;
        Ok(shown.name(keys))
    }

    /// Gives a job another budget, by the prices that it has where none are given.
    async fn set_budget_here(&self, job: JobId, request: BudgetRequest) -> Result<Value, ApiError> {
        let before = self.look_leading(move |leading| {
            let state = leading.state();
            let found = state.jobs.get(&job).map(|it| it.spec.policy.budget);
            found.ok_or_else(|| jobs::missing(state, job))
        });
        let before = before.await??;
        let budget = request.budget(before.money.as_ref().map(|(_, prices)| prices))?;
        self.request(Request::SetBudget(job, budget)).await?;
        call::write(&self.job_here(job).await?)
    }

    async fn order_here(&self, job: JobId, order: Request) -> Result<Value, ApiError> {
        let is_cancel = matches!(order, Request::Cancel(_));
        let is_done = self.look_leading(move |leading| {
            let job = leading.state().jobs.get(&job);
            is_cancel && job.is_some_and(jobs::is_cancelled)
        });
        if !is_done.await? {
            self.request(order).await?;
        }
        call::write(&self.job_here(job).await?)
    }

    async fn report_here(&self, job: JobId, from: Start) -> Result<Batch, ApiError> {
        let run = self.run(job).await?;
        let records = Arc::clone(&self.records);
        let lines = blocking(move || records.lines(job, from, LINES_MAX)).await?;
        // The lines may be of a run that began meanwhile.
        if self.run(job).await? != run {
            return Err(call::unknown("the job was submitted again meanwhile"));
        }
        Ok(Batch::new(run, lines))
    }

    async fn create_token_here(&self, request: TokenRequest) -> Result<JoinToken, ApiError> {
        let TokenRequest { role, ttl_seconds } = request.check()?;
        let (voters, addresses) = self.known().await?.admitting();
        let token = JoinTokenText::draw(self.cluster, &voters, addresses);
        if token.addresses.is_empty() {
            let text = "no voter has said where it can be reached: set its listen address";
            return Err(ApiError::new(ApiCode::Conflict, text));
        }
        let expires_at = clock::wall().plus(ttl_seconds.saturating_mul(1000));
        let issued = IssuedToken {
            secret_hash: token.secret.hash(),
            role: match role {
                NodeRole::Voter => Role::Voter,
                NodeRole::Worker => Role::Worker,
            },
            expires_at,
            used_by: None,
        };
        self.request(Request::IssueToken(token.id, issued)).await?;
        Ok(JoinToken { token: token.to_text(), role, expires_at: utc(expires_at) })
    }

    async fn remove_here(&self, node: &str) -> Result<(), ApiError> {
        let node = self.known().await?.removable(node)?;
        if node == self.control.node() {
            self.hand_over(None).await?;
            // Whoever leads now takes it out.
            return Err(call::not_leader());
        }
        self.request(Request::RemoveMember(node)).await
    }

    async fn transfer_here(&self, request: LeaderRequest) -> Result<(), ApiError> {
        let to = match request.node {
            Some(node) => Some(self.known().await?.successor(&node)?),
            None => None,
        };
        if to == Some(self.control.node()) {
            return Ok(());
        }
        self.hand_over(to).await
    }

    /// Hands the lead to another voter, and waits until one has taken it.
    async fn hand_over(&self, to: Option<NodeId>) -> Result<(), ApiError> {
        let begun = clock::now();
        let transferred = self.asker.transfer(to).await.map_err(stopping)?;
        transferred.map_err(|reason| ApiError::new(ApiCode::Conflict, reason))?;
        while clock::now().duration_since(begun) < HAND_OVER_LIMIT {
            if let Lead::At(_) = self.lead().await? {
                return Ok(());
            }
            tokio::time::sleep(HAND_OVER_PAUSE).await;
        }
        Err(call::unknown("no other voter has taken over the lead yet"))
    }
}

#[async_trait]
impl Service for ClusterService {
    async fn authorize(&self, token: &str) -> Result<Permission, ApiError> {
        let permission = match self.admin_hash().await? {
            Some(hash) => judge(token, hash)?,
            // What cannot be a token is not worth the way.
            None if parse_token(token).is_none() => return Err(wrong_token()),
            None => self.call::<Granted>(&Call::Authorize, token).await?.into(),
        };
        self.admit(token);
        Ok(permission)
    }

    async fn submit(&self, submission: Submission) -> Result<Submitted, ApiError> {
        let request = SubmitRequest::from(&submission);
        self.call_admitted(&Call::Submit(Box::new(request))).await
    }

    async fn jobs(&self) -> Result<JobList, ApiError> {
        self.call_admitted(&Call::Jobs).await
    }

    async fn job(&self, job: JobId) -> Result<JobView, ApiError> {
        self.call_admitted(&Call::Job(job)).await
    }

    async fn order(&self, job: JobId, order: JobOrder) -> Result<JobView, ApiError> {
        self.call_admitted(&Call::order(job, order)).await
    }

    async fn report(&self, job: JobId, from: u64) -> Result<ReportLines, ApiError> {
        let reader = Reader::open(self.clone(), self.token(), job, from).await?;
        let lines = futures::stream::try_unfold(reader, |mut reader| async move {
            let line = reader.next().await;
            line.map(|line| line.map(|line| (line, reader)))
        });
        Ok(lines.boxed())
    }

    async fn cluster(&self) -> Result<ClusterView, ApiError> {
        let (lead, token) = (self.lead().await?, self.token());
        match within(SHOW_LIMIT, self.attempt(lead, &Call::Cluster, &token)).await {
            Ok(value) => call::read(value),
            // Whoever mends a cluster needs to see what is left of it.
            Err(error) if error.code.is_passing() => {
                tracing::debug!(%error, "no leader shows the cluster");
                Ok(ClusterView { is_current: false, ..self.known().await?.view() })
            }
            Err(error) => Err(error),
        }
    }

    async fn node(&self) -> Result<NodeFigures, ApiError> {
        let meters = Arc::clone(&self.meters);
        Ok(blocking(move || meters.read()).await)
    }

    async fn create_token(&self, request: TokenRequest) -> Result<JoinToken, ApiError> {
        self.call_admitted(&Call::CreateToken(request)).await
    }

    async fn remove_node(&self, node: &str) -> Result<ClusterView, ApiError> {
        self.call_admitted::<()>(&Call::RemoveNode(node.to_owned())).await?;
        self.cluster().await
    }

    async fn transfer_leader(&self, request: LeaderRequest) -> Result<ClusterView, ApiError> {
        self.call_admitted::<()>(&Call::TransferLeader(request)).await?;
        self.cluster().await
    }

    async fn set_budget(&self, job: JobId, request: BudgetRequest) -> Result<JobView, ApiError> {
        self.call_admitted(&Call::SetBudget(job, request)).await
    }

    async fn set_retention(&self, request: RetentionRequest) -> Result<ClusterView, ApiError> {
        self.call_admitted::<()>(&Call::SetRetention(request)).await?;
        self.cluster().await
    }

    async fn limit(&self, request: LimitRequest) -> Result<ClusterView, ApiError> {
        self.call_admitted::<()>(&Call::Limit(request)).await?;
        self.cluster().await
    }

    async fn readiness(&self) -> Result<Readiness, ApiError> {
        self.readiness_here().await
    }

    async fn snapshot(&self) -> Result<Snapshot, ApiError> {
        self.snapshot_here().await
    }
}

/// Ends what takes too long; it may have been done.
async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, ApiError>>,
) -> Result<T, ApiError> {
    tokio::time::timeout(limit, work)
        .await
        .unwrap_or_else(|_| Err(call::unknown("the cluster did not decide in time")))
}

/// What a token allows, in the same time for every wrong one of the right form.
fn judge(token: &str, admin: [u8; 32]) -> Result<Permission, ApiError> {
    match parse_token(token) {
        Some(secret) if secret.has_hash(admin) => Ok(Permission::Administer),
        _ => Err(wrong_token()),
    }
}

/// Reads a client's token: 64 hexadecimal digits.
fn parse_token(token: &str) -> Option<Secret> {
    let bytes = HEXLOWER_PERMISSIVE.decode(token.as_bytes()).ok()?;
    bytes.try_into().ok().map(Secret)
}

fn wrong_token() -> ApiError {
    ApiError::new(ApiCode::Unauthorized, "the token is not known in this cluster")
}

fn stopping(_: Gone) -> ApiError {
    ApiError::new(ApiCode::Unavailable, "the node is stopping: ask another one")
}
