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

mod access;
mod call;
mod jobs;
mod members;
mod monitor;
mod report;
mod survey;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use airlift_coordinator::origin::Actor;
use airlift_coordinator::state::{JoinToken as IssuedToken, State};
use airlift_coordinator::{Answer, Coordinator, Request};
use airlift_protocol::attributes::AttributeSet;
use airlift_protocol::cluster::{ClusterId, Role};
use airlift_protocol::codec;
use airlift_protocol::control::{ControlAnswer, ControlMessage, Description, Forwarded};
use airlift_protocol::error::Failure;
use airlift_protocol::id::{JobId, NodeId};
use airlift_protocol::job::JobSpec;
use airlift_protocol::location::Location;
use airlift_protocol::once::SubmitKey;
use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use serde::de::DeserializeOwned;
use serde_json::Value;

use self::access::{Caller, no_token};
use self::call::{Call, Granted};
pub(super) use self::jobs::summary_of;
use self::members::Known;
use self::report::{Batch, LINES_MAX, Reader};
pub(crate) use self::report::{Line, Place, Records, Start};
use super::api_token::{self, Shown};
use super::ask::{Asker, Gone, Sight};
use super::token::JoinTokenText;
use crate::api::access::{
    ApiTokenList, ApiTokenRequest, ApiTokenView, AuditPage, CreatedApiToken, RootTokenRequest,
};
use crate::api::budget::BudgetRequest;
use crate::api::client::Secret;
use crate::api::error::{ApiCode, ApiError};
use crate::api::request::{
    Found, LeaderRequest, LimitRequest, Submission, SubmitRequest, TokenRequest,
};
use crate::api::retention::RetentionRequest;
use crate::api::service::{Admitted, JobOrder, ReportLines, Service};
use crate::api::survey::Survey;
use crate::api::view::{
    ClusterView, JobList, JobView, JoinToken, NodeFigures, NodeRole, Submitted, utc,
};
use crate::metrics::snapshot::{Measured, Readiness, Snapshot};
use crate::network::control::ControlNetwork;
use crate::network::control::limit::REQUEST_BYTES_MAX;
use crate::runtime::blocking::blocking;
use crate::runtime::clock;
use crate::store::locate;

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

    /// Which build the node runs, and what room it has.
    fn describe(&self) -> Description;
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
    /// The token of the client that this service was given to, to show the leader.
    token: Secret,
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
        // Nobody's: refused by whoever it is shown to.
        let token = Secret::new(String::new());
        Self { cluster, asker, control, records, probe, meters, token }
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
        self.request(Request::Read, Actor::Root).await?;
        let checked = call.clone();
        let caller = self.caller(token, move |caller, state| {
            caller.check(&checked, state)?;
            Ok(caller)
        });
        let caller = caller.await?;
        self.perform(call, &caller).await
    }

    /// Whose a token is, as far as this node can tell.
    async fn caller<T: Send + 'static>(
        &self,
        token: &str,
        judge: impl FnOnce(Caller, &State) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let shown = Shown::parse(token).ok_or_else(|| no_token(token))?;
        let wall = clock::wall();
        let judged = self.look(move |sight| {
            let state = sight.coordinator.ok_or_else(call::not_leader)?.state();
            judge(Caller::of(state, &shown, wall)?, state)
        });
        judged.await?
    }

    /// Has a call answered, by whoever leads.
    async fn call<T: DeserializeOwned>(&self, call: &Call, token: &str) -> Result<T, ApiError> {
        call::read(self.settle(call, token).await?)
    }

    /// As [`call`](Self::call), with the token of the client that was let in.
    async fn call_admitted<T: DeserializeOwned>(&self, call: &Call) -> Result<T, ApiError> {
        self.call(call, self.token.reveal()).await
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
                (ApiCode::NotFound, Call::RemoveNode(_) | Call::RevokeApiToken(_))
                    if may_be_done =>
                {
                    return Ok(Value::Null);
                }
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

    /// Carries a call out on the leader. [`ApiCode::NotLeader`] means that nothing was done.
    async fn perform(&self, call: Call, caller: &Caller) -> Result<Value, ApiError> {
        let by = caller.by;
        match call {
            Call::Authorize => call::write(&Granted::of(caller)),
            Call::Submit(request) => call::write(&self.submit_here(*request, None, caller).await?),
            Call::SubmitOnce(request, key) => {
                call::write(&self.submit_here(*request, Some(key), caller).await?)
            }
            Call::Jobs => {
                let wall = clock::wall();
                let caller = caller.clone();
                let list = self
                    .look_leading(move |leading| jobs::list(leading, wall, |job| caller.sees(job)));
                let list = list.await?;
                call::write(&list)
            }
            Call::Job(job) => call::write(&self.job_here(job).await?),
            Call::Pause(job) => self.order_here(job, Request::Pause(job), by).await,
            Call::Resume(job) => self.order_here(job, Request::Resume(job), by).await,
            Call::Cancel(job) => self.order_here(job, Request::Cancel(job), by).await,
            Call::Report { job, from, after } => {
                let start = after.map_or(Start::Line(from), Start::After);
                call::write(&self.report_here(job, start).await?)
            }
            Call::Cluster => call::write(&self.known().await?.view()),
            Call::CreateToken(request) => call::write(&self.create_token_here(request, by).await?),
            Call::RemoveNode(node) => self.remove_here(&node, by).await.map(|()| Value::Null),
            Call::TransferLeader(request) => {
                self.transfer_here(request, by).await.map(|()| Value::Null)
            }
            Call::SetRetention(request) => {
                let retention = request.retention()?;
                self.request(Request::SetRetention(retention), by).await.map(|()| Value::Null)
            }
            Call::ReplaceRoot(request) => {
                self.request(Request::ReplaceRoot(request.hash()?), by).await?;
                call::write(&request)
            }
            Call::SetBudget(job, request) => self.set_budget_here(job, request, by).await,
            Call::Limit(request) => {
                self.request(Request::Limit(request.bandwidth()?), by).await.map(|()| Value::Null)
            }
            Call::CreateApiToken(request) => {
                call::write(&self.create_api_token_here(&request, by).await?)
            }
            Call::ApiTokens => {
                let wall = clock::wall();
                let list = self.look_leading(move |leading| access::list(leading.state(), wall));
                call::write(&list.await?)
            }
            Call::RevokeApiToken(text) => {
                self.revoke_api_token_here(&text, by).await.map(|()| Value::Null)
            }
            Call::Audit { from } => {
                let page = self.look_leading(move |leading| access::audit(leading.state(), from));
                call::write(&page.await?)
            }
        }
    }

    /// Asks the control plane for something in somebody's name.
    async fn request(&self, request: Request, by: Actor) -> Result<(), ApiError> {
        match self.asker.request(request, by).await.map_err(stopping)? {
            Answer::Done => Ok(()),
            Answer::Refused(failure) => Err(call::refused(&failure)),
            Answer::NotLeader => Err(call::not_leader()),
            Answer::Unknown => {
                let text = "the leader changed meanwhile: look whether it was done, or ask again";
                Err(call::unknown(text))
            }
        }
    }

    async fn submit_here(
        &self,
        request: SubmitRequest,
        key: Option<SubmitKey>,
        caller: &Caller,
    ) -> Result<Submitted, ApiError> {
        let submission = Submission::try_from(request)?;
        caller.check_written(&submission)?;
        if let Some(begun) = self.submitted_before(key, caller).await? {
            return Ok(begun);
        }
        let mut submission = submission;
        let inventory = submission.policy.inventory.as_ref().map(|file| file.location.clone());
        let (source, target, inventory) = tokio::join!(
            self.probe.probe(&submission.source),
            self.probe.probe(&submission.target),
            self.find_inventory(inventory.as_ref())
        );
        if let (Some(file), Some(found)) = (&mut submission.policy.inventory, inventory?) {
            file.location = found;
        }
        let spec = submission.spec(source?, target?)?;
        caller.check_found(&spec)?;
        let (id, cannot_hold) = (spec.id(), self.probe.lost(&spec));
        let spec = Box::new(spec);
        let Some(key) = key else {
            self.request(Request::Submit(spec), caller.by).await?;
            return Ok(Submitted { id, run: self.run(id).await?, cannot_hold });
        };
        self.request(Request::SubmitOnce(spec, key), caller.by).await?;
        self.submitted_before(Some(key), caller).await?.ok_or_else(|| jobs::missing(id))
    }

    /// Where an inventory is, without links and dots: a node's own files are none, whoever names them. What lies in
    /// a bucket is there as it was written.
    async fn find_inventory(
        &self,
        written: Option<&Location>,
    ) -> Result<Option<Location>, ApiError> {
        let Some(location @ Location::Node { .. }) = written else { return Ok(None) };
        let found = self.probe.probe(location).await?;
        if found.kind == locate::Probe::Missing {
            return Err(ApiError::invalid(format!("there is no inventory at {location}")));
        }
        Ok(Some(found.location))
    }

    /// What came of the submission with this key, when there was one.
    async fn submitted_before(
        &self,
        key: Option<SubmitKey>,
        caller: &Caller,
    ) -> Result<Option<Submitted>, ApiError> {
        let Some(key) = key else { return Ok(None) };
        let known = self.look_leading(move |leading| {
            let state = leading.state();
            let begun = state.submission(&key)?;
            let known =
                begun.and_then(|(id, run)| Some((id, run, state.jobs.get(&id)?.spec.clone())));
            Ok::<_, Failure>(known)
        });
        let known = known.await?.map_err(|failure| call::refused(&failure))?;
        let Some((id, run, spec)) = known else { return Ok(None) };
        caller.check_found(&spec)?;
        Ok(Some(Submitted { id, run, cannot_hold: self.probe.lost(&spec) }))
    }

    async fn run(&self, job: JobId) -> Result<u32, ApiError> {
        let run = self.look_leading(move |leading| {
            let state = leading.state();
            state.jobs.get(&job).map(|it| it.run).ok_or_else(|| jobs::gone(state, job))
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
    async fn set_budget_here(
        &self,
        job: JobId,
        request: BudgetRequest,
        by: Actor,
    ) -> Result<Value, ApiError> {
        let before = self.look_leading(move |leading| {
            let state = leading.state();
            let found = state.jobs.get(&job).map(|it| it.spec.policy.budget);
            found.ok_or_else(|| jobs::gone(state, job))
        });
        let before = before.await??;
        let budget = request.budget(before.money.as_ref().map(|(_, prices)| prices))?;
        self.request(Request::SetBudget(job, budget), by).await?;
        call::write(&self.job_here(job).await?)
    }

    async fn order_here(&self, job: JobId, order: Request, by: Actor) -> Result<Value, ApiError> {
        let is_cancel = matches!(order, Request::Cancel(_));
        let is_done = self.look_leading(move |leading| {
            let job = leading.state().jobs.get(&job);
            is_cancel && job.is_some_and(jobs::is_cancelled)
        });
        if !is_done.await? {
            self.request(order, by).await?;
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

    async fn create_token_here(
        &self,
        request: TokenRequest,
        by: Actor,
    ) -> Result<JoinToken, ApiError> {
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
        self.request(Request::IssueToken(token.id, issued), by).await?;
        Ok(JoinToken { token: token.to_text(), role, expires_at: utc(expires_at) })
    }

    async fn create_api_token_here(
        &self,
        request: &ApiTokenRequest,
        by: Actor,
    ) -> Result<CreatedApiToken, ApiError> {
        let (id, secret) = Shown::draw();
        let at = clock::wall();
        let token = request.token(secret.hash(), at)?;
        let view = ApiTokenView::of(id, &token, at);
        self.request(Request::CreateApiToken(id, Box::new(token)), by).await?;
        Ok(CreatedApiToken { token: api_token::text(id, &secret), view })
    }

    async fn revoke_api_token_here(&self, text: &str, by: Actor) -> Result<(), ApiError> {
        let name = text.to_owned();
        let found = self.look_leading(move |leading| leading.state().access.named(&name)).await?;
        let id = found.ok_or_else(|| {
            let text = text.escape_debug();
            ApiError::not_found(format!("no API token has the name or id '{text}'"))
        })?;
        self.request(Request::RevokeApiToken(id), by).await
    }

    async fn remove_here(&self, node: &str, by: Actor) -> Result<(), ApiError> {
        let node = self.known().await?.removable(node)?;
        if node == self.control.node() {
            self.hand_over(None, by).await?;
            // Whoever leads now takes it out.
            return Err(call::not_leader());
        }
        self.request(Request::RemoveMember(node), by).await
    }

    async fn transfer_here(&self, request: LeaderRequest, by: Actor) -> Result<(), ApiError> {
        let to = match request.node {
            Some(node) => Some(self.known().await?.successor(&node)?),
            None => None,
        };
        if to == Some(self.control.node()) {
            return Ok(());
        }
        self.hand_over(to, by).await
    }

    /// Hands the lead to another voter, and waits until one has taken it.
    async fn hand_over(&self, to: Option<NodeId>, by: Actor) -> Result<(), ApiError> {
        let begun = clock::now();
        self.request(Request::HandOver(to), by).await?;
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
    async fn authorize(&self, token: &str) -> Result<Admitted, ApiError> {
        // What cannot be a token is not worth the way.
        let shown = Shown::parse(token).ok_or_else(|| no_token(token))?;
        let known = self.caller(token, |caller, _| Ok(Granted::of(&caller))).await;
        let granted = match (known, shown) {
            (Ok(granted), _) => granted,
            // A worker has no state to look at.
            (Err(error), _) if error.code == ApiCode::NotLeader => {
                self.call::<Granted>(&Call::Authorize, token).await?
            }
            // This voter may not have heard yet that the token was made.
            (Err(error), _) if error.code == ApiCode::Unauthorized => {
                self.call::<Granted>(&Call::Authorize, token).await?
            }
            (Err(error), _) => return Err(error),
        };
        let service = Self { token: Secret::new(token), ..self.clone() };
        Ok(Admitted {
            permission: granted.permission(),
            is_limited: granted.is_limited,
            service: Arc::new(service),
        })
    }

    async fn submit(
        &self,
        submission: Submission,
        key: Option<SubmitKey>,
    ) -> Result<Submitted, ApiError> {
        let request = Box::new(SubmitRequest::from(&submission));
        let call = match key {
            Some(key) => Call::SubmitOnce(request, key),
            None => Call::Submit(request),
        };
        self.call_admitted(&call).await
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
        let reader = Reader::open(self.clone(), job, from).await?;
        let lines = futures::stream::try_unfold(reader, |mut reader| async move {
            let line = reader.next().await;
            line.map(|line| line.map(|line| (line, reader)))
        });
        Ok(lines.boxed())
    }

    async fn cluster(&self) -> Result<ClusterView, ApiError> {
        let lead = self.lead().await?;
        let shown = self.attempt(lead, &Call::Cluster, self.token.reveal());
        match within(SHOW_LIMIT, shown).await {
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

    async fn nodes(&self) -> Result<Survey, ApiError> {
        self.survey().await
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

    async fn create_api_token(
        &self,
        request: ApiTokenRequest,
    ) -> Result<CreatedApiToken, ApiError> {
        self.call_admitted(&Call::CreateApiToken(request)).await
    }

    async fn api_tokens(&self) -> Result<ApiTokenList, ApiError> {
        self.call_admitted(&Call::ApiTokens).await
    }

    async fn revoke_api_token(&self, token: &str) -> Result<ApiTokenList, ApiError> {
        self.call_admitted::<()>(&Call::RevokeApiToken(token.to_owned())).await?;
        self.api_tokens().await
    }

    async fn replace_root_token(
        &self,
        request: RootTokenRequest,
    ) -> Result<RootTokenRequest, ApiError> {
        // Nothing more is asked: whoever asked may have no token any more.
        self.call_admitted(&Call::ReplaceRoot(request)).await
    }

    async fn audit(&self, from: u64) -> Result<AuditPage, ApiError> {
        self.call_admitted(&Call::Audit { from }).await
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

fn stopping(_: Gone) -> ApiError {
    ApiError::new(ApiCode::Unavailable, "the node is stopping: ask another one")
}
