//! A node made up for tests: one job with fixed numbers, and answers that tests choose.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use airlift_coordinator::scheduler::bottleneck::Bottleneck;
use airlift_coordinator::totals::{ByteCounts, DroppedCounts, ObjectCounts};
use airlift_protocol::access::ApiTokenId;
use airlift_protocol::error::ErrorCode;
use airlift_protocol::id::JobId;
use airlift_protocol::once::SubmitKey;
use airlift_protocol::time::Timestamp;
use async_trait::async_trait;
use futures::StreamExt;

use super::access::{
    ApiTokenList, ApiTokenRequest, ApiTokenView, AuditLine, AuditPage, CreatedApiToken,
    RootTokenRequest,
};
use super::budget::{BudgetRequest, BudgetView, Part};
use super::error::{ApiCode, ApiError};
use super::line::JsonKey;
use super::request::{LeaderRequest, LimitRequest, Submission, TokenRequest};
use super::retention::{RetentionRequest, RetentionView};
use super::server::{ApiServer, Limits, ServerOptions};
use super::service::{Admitted, JobOrder, Permission, ReportLines, Service};
use super::survey::{NodeReport, NodeWord, Survey};
use super::text::ByteText;
use super::throttle::ThrottleView;
use super::view::*;
use crate::metrics::snapshot::{ApiFigures, Link, Measured, Raft, WebhookFigures};
use crate::metrics::{Readiness, Snapshot};

/// The job that exists.
pub(crate) const JOB: JobId = JobId([0xab; 16]);
/// The token that allows everything.
pub(crate) const TOKEN: &str = "everything";

/// What a test chooses, and what it can look at afterwards.
#[derive(Debug, Default)]
pub(crate) struct Script {
    /// The views that are shown one after the other; the last one again and again.
    pub views: Mutex<Vec<JobView>>,
    /// The report's lines.
    pub lines: Mutex<Vec<String>>,
    /// After so many lines the report breaks off, once.
    pub break_after: Mutex<Option<usize>>,
    /// The answer to everything but questions of permission.
    pub refusal: Mutex<Option<ApiError>>,
    /// What was submitted.
    pub submitted: Mutex<Vec<Submission>>,
    /// The keys that came along.
    pub keys: Mutex<Vec<Option<SubmitKey>>>,
    /// What else was ordered.
    pub orders: Mutex<Vec<String>>,
    /// How long each answer takes.
    pub delay: Mutex<Duration>,
    /// Whether it hears a leader.
    pub readiness: Mutex<Readiness>,
    /// The audit log.
    pub audit: Mutex<Vec<AuditLine>>,
    /// Requests answered.
    pub answers: AtomicU32,
}

/// The made-up node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fake(pub(crate) Arc<Script>);

impl Fake {
    /// A node that shows `views`.
    pub(crate) fn showing(views: Vec<JobView>) -> Self {
        let fake = Self::default();
        *fake.0.views.lock().unwrap() = views;
        fake
    }

    /// Serves it on a free port.
    pub(crate) async fn serve(&self, limits: Limits) -> ApiServer {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let options = ServerOptions { address, certificate: None, allow_insecure: false, limits };
        ApiServer::start(options, Arc::new(self.clone())).await.unwrap()
    }

    async fn answer(&self) -> Result<(), ApiError> {
        self.0.answers.fetch_add(1, Ordering::Relaxed);
        let delay = *self.0.delay.lock().unwrap();
        tokio::time::sleep(delay).await;
        self.0.refusal.lock().unwrap().clone().map_or(Ok(()), Err)
    }

    fn view(&self, job: JobId) -> Result<JobView, ApiError> {
        let mut views = self.0.views.lock().unwrap();
        let found = if views.len() > 1 { Some(views.remove(0)) } else { views.first().cloned() };
        found
            .filter(|_| job == JOB)
            .ok_or_else(|| ApiError::not_found(format!("the job {job} does not exist")))
    }

    fn order_of(&self, text: String) {
        self.0.orders.lock().unwrap().push(text);
    }
}

/// The job, with nothing done yet.
pub(crate) fn begun() -> JobView {
    JobView {
        job: JobSummary {
            id: JOB,
            run: 2,
            mode: JobMode::Cp,
            state: JobState::Moving,
            source: ByteText(b"berlin:/data".to_vec()),
            target: ByteText(b"s3://bucket/data/".to_vec()),
            dry_run: false,
            objects: ObjectCounts { total: 3, ..ObjectCounts::default() },
            bytes: ByteCounts { total: 3000, ..ByteCounts::default() },
            unmoved_bytes: 0,
            dropped: DroppedCounts::default(),
            copied: Default::default(),
            archived: Default::default(),
            is_listed: true,
            rate_bytes_per_second: 1000,
            eta_seconds: Some(3),
            bottleneck: Bottleneck::Link,
            submitted_at: "2026-11-21T12:00:00Z".to_owned(),
            ended_at: None,
            elapsed_ms: 0,
            outcome: None,
            budget: None,
        },
        single: None,
        nodes: vec![JobNodeView {
            name: "berlin".to_owned(),
            id: "12D3".to_owned(),
            role: JobRole::Source,
            assignments: 2,
            read_bytes_per_second: 1000,
            write_bytes_per_second: 0,
            busiest: Bottleneck::Source,
            share_bytes_per_second: Some(2000),
        }],
        links: vec![LinkView {
            source: "12D3".to_owned(),
            target: "12D4".to_owned(),
            assignments: 2,
        }],
        errors: Vec::new(),
        error_count: 0,
        deletes_refused: Vec::new(),
        failure: None,
        priority: 10,
        ranges: Vec::new(),
        time: Vec::new(),
        retry_seconds: None,
        throttles: Vec::new(),
        bandwidth_bytes_per_second: Some(4000),
        bandwidth_schedule: None,
    }
}

/// The job when one object has come to each end that there is, and two have not.
pub(crate) fn mixed() -> JobView {
    let mut view = begun();
    view.job.objects = ObjectCounts {
        total: 9,
        done: 1,
        unchanged: 1,
        failed: 1,
        skipped: 1,
        deleted: 1,
        equal: 1,
        equal_by_sum: 1,
        differs: 1,
        missing: 1,
        extra: 1,
    };
    view
}

/// The job at its end, with everything well.
pub(crate) fn ended() -> JobView {
    let mut view = begun();
    view.job.state = JobState::Completed;
    view.job.objects.done = 3;
    view.job.bytes.done = 3000;
    view.job.bytes.sent = 3000;
    view.job.bytes.wire = 1500;
    view.job.rate_bytes_per_second = 0;
    view.job.eta_seconds = None;
    view.job.ended_at = Some("2026-11-21T12:00:03Z".to_owned());
    view.job.elapsed_ms = 3000;
    view.job.outcome = Some(JobOutcome::Done);
    view.nodes.clear();
    view.links.clear();
    view.job.bottleneck = Bottleneck::None;
    view
}

/// The job at its end, with one object that failed.
pub(crate) fn ended_badly() -> JobView {
    let mut view = ended();
    view.job.outcome = Some(JobOutcome::Incomplete);
    view.job.objects.done = 2;
    view.job.objects.failed = 1;
    view.error_count = 1;
    view.errors.push(ErrorView {
        key: JsonKey { key: "b\\xff".to_owned(), key_base64: Some("Yv8=".to_owned()) },
        status: "failed".to_owned(),
        code: Some("permission_denied".to_owned()),
        reason: "open b: permission denied".to_owned(),
    });
    view
}

/// The job after it could not go on.
pub(crate) fn stopped() -> JobView {
    let mut view = ended();
    view.job.state = JobState::Stopped;
    view.job.outcome = Some(JobOutcome::Stopped);
    let reason = "the target has no space left".to_owned();
    view.failure = Some(FailureView { code: ErrorCode::NoSpace, reason });
    view
}

/// A cluster of one voter and one worker.
pub(crate) fn cluster() -> ClusterView {
    let node = |name: &str, role, is_leader| NodeView {
        name: name.to_owned(),
        id: format!("12D3{name}"),
        role,
        addresses: vec!["192.0.2.1:7401".to_owned()],
        data_addresses: vec!["192.0.2.1:7402".to_owned()],
        state: NodeState::Alive,
        last_heard_seconds: Some(0),
        version: Some("0.1.0".to_owned()),
        format_newest: 5,
        is_leader,
        lag: is_leader.then_some(0),
        is_voting: (role == NodeRole::Voter).then_some(true),
        share_bytes_per_second: is_leader.then_some(5000),
    };
    ClusterView {
        id: "c0ffee".to_owned(),
        leader: Some("berlin".to_owned()),
        term: 7,
        commit_index: 1234,
        has_quorum: true,
        is_current: true,
        nodes: vec![
            node("berlin", NodeRole::Voter, true),
            NodeView { state: NodeState::Silent, ..node("paris", NodeRole::Worker, false) },
        ],
        format: Some(5),
        bandwidth_bytes_per_second: Some(5000),
        bandwidth_schedule: Some("08:00-18:00 5000; UTC".to_owned()),
        retention: RetentionView { age_seconds: Some(60), count: None },
    }
}

fn requests(requests_per_second: Option<f64>) -> RequestFigures {
    let throttled = if requests_per_second.is_some() { 3 } else { 0 };
    RequestFigures {
        limit: 32,
        in_flight: 7,
        requests: 1_000,
        throttled,
        requests_per_second,
        spared_seconds: throttled as f64,
        share_per_second: requests_per_second.map(|rate| rate / 2.0),
    }
}

/// What the nodes of [`cluster`] say of themselves: one of them nothing.
pub(crate) fn survey() -> Survey {
    let said = NodeWord {
        version: "0.1.0".to_owned(),
        format_oldest: 4,
        format_newest: 5,
        layout: 1,
        uptime_seconds: 60,
        disk_free_bytes: Some(2 << 30),
        disk_size_bytes: Some(4 << 30),
    };
    let report =
        |name: &str, said| NodeReport { name: name.to_owned(), id: format!("12D3{name}"), said };
    Survey { nodes: vec![report("berlin", Some(said)), report("paris", None)] }
}

/// What a voter has done.
pub(crate) fn figures() -> NodeFigures {
    NodeFigures {
        name: "berlin".to_owned(),
        id: "12D3berlin".to_owned(),
        version: "0.1.0".to_owned(),
        format_newest: 5,
        uptime_seconds: 3723,
        memory_bytes: Some(64 << 20),
        control: Traffic { sent_bytes: 1 << 20, received_bytes: 2 << 20 },
        data: Traffic { sent_bytes: 3 << 30, received_bytes: 0 },
        log: Some(LogFigures { entries: 12, bytes: 4096, syncs: 9, elections: 1 }),
        slots: 6,
        stores: vec![StoreFigures {
            store: "s3://data at AWS S3 in eu-west-1".to_owned(),
            reads: requests(None),
            writes: requests(Some(480.0)),
        }],
    }
}

/// A bucket that three nodes share.
pub(crate) fn throttle() -> ThrottleView {
    ThrottleView {
        store: "s3://data at AWS S3 in eu-west-1".to_owned(),
        kind: "writes".to_owned(),
        requests_per_second: 340,
        answered_per_second: 331,
        nodes: 3,
    }
}

/// A leader, with a sample of everything that is exported.
pub(crate) fn snapshot() -> Snapshot {
    let reading = crate::metrics::Histogram::new(&[1]).read();
    let link = |plane, rtt| Link {
        peer: "12D3paris".to_owned(),
        plane,
        traffic: Traffic { sent_bytes: 7, received_bytes: 8 },
        connections: 1,
        rtt,
    };
    let bounded = BudgetView { bytes: Some(Part { limit: 8, used: 2 }), ..BudgetView::default() };
    let mut cluster = cluster();
    cluster.nodes[1].lag = Some(3);
    Snapshot {
        figures: figures(),
        measured: Measured {
            started_at: 1.5e9,
            descriptors: Some(20),
            disk: Some((1 << 30, 2 << 30)),
            attempts: vec![("list", reading)],
            failures: [("throttled", 2)].into(),
            links: vec![link("control", Some(Duration::from_millis(3))), link("data", None)],
            log_file_bytes: Some(4096),
            webhooks: vec![WebhookFigures {
                name: "chat".to_owned(),
                failed: 2,
                ..WebhookFigures::default()
            }],
            api: vec![ApiFigures {
                operation: "listJobs".to_owned(),
                statuses: [(401, 4)].into(),
                ..ApiFigures::default()
            }],
            ..Measured::default()
        },
        cluster,
        readiness: Readiness { has_leader: true, heard: Some(Duration::from_secs(1)) },
        raft: Some(Raft { is_leader: true, term: 7, ..Raft::default() }),
        jobs: Some(JobList { jobs: vec![JobSummary { budget: Some(bounded), ..begun().job }] }),
        throttles: vec![throttle()],
        over_budget: Some(1),
        events_waiting: Some(5),
    }
}

#[async_trait]
impl Service for Fake {
    async fn authorize(&self, token: &str) -> Result<Admitted, ApiError> {
        let permission = match token {
            TOKEN => Permission::Administer,
            "operate" | "limited" => Permission::Operate,
            "read" => Permission::Read,
            _ => return Err(ApiError::new(ApiCode::Unauthorized, "the token is not known here")),
        };
        let is_limited = token == "limited";
        Ok(Admitted { permission, is_limited, service: Arc::new(self.clone()) })
    }

    async fn submit(
        &self,
        submission: Submission,
        key: Option<SubmitKey>,
    ) -> Result<Submitted, ApiError> {
        self.answer().await?;
        self.0.keys.lock().unwrap().push(key);
        self.0.submitted.lock().unwrap().push(submission);
        Ok(Submitted { id: JOB, run: 2, cannot_hold: Default::default() })
    }

    async fn jobs(&self) -> Result<JobList, ApiError> {
        self.answer().await?;
        let views = self.0.views.lock().unwrap();
        Ok(JobList { jobs: views.iter().map(|view| view.job.clone()).collect() })
    }

    async fn job(&self, job: JobId) -> Result<JobView, ApiError> {
        self.answer().await?;
        self.view(job)
    }

    async fn order(&self, job: JobId, order: JobOrder) -> Result<JobView, ApiError> {
        self.answer().await?;
        self.order_of(order.as_str().to_owned());
        self.view(job)
    }

    async fn report(&self, job: JobId, from: u64) -> Result<ReportLines, ApiError> {
        self.answer().await?;
        self.view(job)?;
        let lines = self.0.lines.lock().unwrap().clone();
        let mut rest: Vec<Result<String, ApiError>> =
            lines.into_iter().skip(usize::try_from(from).unwrap()).map(Ok).collect();
        if let Some(count) = self.0.break_after.lock().unwrap().take() {
            rest.truncate(count);
            rest.push(Err(ApiError::new(ApiCode::Unavailable, "broken")));
        }
        Ok(futures::stream::iter(rest).boxed())
    }

    async fn cluster(&self) -> Result<ClusterView, ApiError> {
        self.answer().await?;
        Ok(cluster())
    }

    async fn node(&self) -> Result<NodeFigures, ApiError> {
        self.answer().await?;
        Ok(figures())
    }

    async fn nodes(&self) -> Result<Survey, ApiError> {
        self.answer().await?;
        Ok(survey())
    }

    async fn create_token(&self, request: TokenRequest) -> Result<JoinToken, ApiError> {
        self.answer().await?;
        self.order_of(format!("token {}", request.ttl_seconds));
        let (token, expires_at) =
            ("airlift1.c.v.i.s.a".to_owned(), "2026-11-21T13:00:00Z".to_owned());
        Ok(JoinToken { token, role: request.role, expires_at })
    }

    async fn remove_node(&self, node: &str) -> Result<ClusterView, ApiError> {
        self.answer().await?;
        self.order_of(format!("remove {node}"));
        Ok(cluster())
    }

    async fn transfer_leader(&self, request: LeaderRequest) -> Result<ClusterView, ApiError> {
        self.answer().await?;
        self.order_of(format!("transfer {:?}", request.node));
        Ok(cluster())
    }
    async fn set_budget(&self, job: JobId, request: BudgetRequest) -> Result<JobView, ApiError> {
        self.answer().await?;
        self.order_of(format!("budget {:?}", request.bytes));
        self.job(job).await
    }

    async fn set_retention(&self, request: RetentionRequest) -> Result<ClusterView, ApiError> {
        self.answer().await?;
        self.order_of(format!("keep {:?}", request.count));
        Ok(cluster())
    }

    async fn limit(&self, request: LimitRequest) -> Result<ClusterView, ApiError> {
        self.answer().await?;
        self.order_of(format!("limit {:?}", request.bandwidth_bytes_per_second));
        Ok(cluster())
    }

    async fn create_api_token(
        &self,
        request: ApiTokenRequest,
    ) -> Result<CreatedApiToken, ApiError> {
        self.answer().await?;
        self.order_of(format!("api token {}", request.name));
        let token = request.token([0; 32], Timestamp(0))?;
        let view = ApiTokenView::of(ApiTokenId([7; 8]), &token, Timestamp(0));
        Ok(CreatedApiToken { token: "airlift-api1.i.s".to_owned(), view })
    }

    async fn api_tokens(&self) -> Result<ApiTokenList, ApiError> {
        self.answer().await?;
        Ok(ApiTokenList::default())
    }

    async fn revoke_api_token(&self, token: &str) -> Result<ApiTokenList, ApiError> {
        self.answer().await?;
        self.order_of(format!("revoke {token}"));
        Ok(ApiTokenList::default())
    }

    async fn replace_root_token(
        &self,
        request: RootTokenRequest,
    ) -> Result<RootTokenRequest, ApiError> {
        self.answer().await?;
        self.order_of(format!("root {}", &request.hash[..2]));
        Ok(request)
    }

    async fn audit(&self, from: u64) -> Result<AuditPage, ApiError> {
        self.answer().await?;
        let lines = self.0.audit.lock().unwrap().clone();
        let (first, last) = (lines.first().map_or(0, |line| line.number), lines.last().cloned());
        let (last, hash) =
            last.map_or_else(|| (0, "0".repeat(64)), |line| (line.number, line.hash));
        let entries = lines.into_iter().filter(|line| line.number >= from).take(2).collect();
        Ok(AuditPage { entries, first, last, hash })
    }

    async fn readiness(&self) -> Result<Readiness, ApiError> {
        self.answer().await?;
        Ok(*self.0.readiness.lock().unwrap())
    }

    async fn snapshot(&self) -> Result<Snapshot, ApiError> {
        self.answer().await?;
        Ok(snapshot())
    }
}
