//! What a client asks for, in the form in which one node hands it to another, and the answer.

use airlift_protocol::control::{ControlAnswer, Forwarded};
use airlift_protocol::error::{ErrorCode, Failure};
use airlift_protocol::id::JobId;
use airlift_protocol::limits::LOG_ENTRY_BYTES_MAX;
use airlift_protocol::once::SubmitKey;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::access::Caller;
use super::report::Place;
use crate::api::access::{ApiTokenRequest, RootTokenRequest};
use crate::api::budget::BudgetRequest;
use crate::api::error::{ApiCode, ApiError, Problem};
use crate::api::request::{LeaderRequest, LimitRequest, SubmitRequest, TokenRequest};
use crate::api::retention::RetentionRequest;
use crate::api::service::{JobOrder, Permission};
use crate::network::control::RequestError;

/// What the method of a forwarded request says: its body is a [`Call`].
const METHOD: &str = "CALL";

/// Bytes of a call or its answer as JSON: what the codec reads, with room for what is around it.
const BODY_BYTES_MAX: usize = LOG_ENTRY_BYTES_MAX - (64 << 10);

/// Status of an answer that is no error.
const STATUS_OK: u16 = 200;

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Call {
    /// What the token allows; answered with a [`Granted`].
    Authorize,
    /// A job is to be done.
    Submit(Box<SubmitRequest>),
    /// All jobs.
    Jobs,
    /// One job.
    Job(JobId),
    /// A job is to rest.
    Pause(JobId),
    /// A job is to go on.
    Resume(JobId),
    /// A job is to end.
    Cancel(JobId),
    /// Some lines of a job's report.
    Report {
        /// Of which job.
        job: JobId,
        /// The first line, counted from 0.
        from: u64,
        /// What the line before it is about, when that is known: then nothing has to be counted.
        #[serde(default)]
        after: Option<Place>,
    },
    /// The cluster.
    Cluster,
    /// A token by which a node may join.
    CreateToken(TokenRequest),
    /// A node is to leave.
    RemoveNode(String),
    /// Another node is to lead.
    TransferLeader(LeaderRequest),
    /// All jobs together are to keep to a bandwidth.
    Limit(LimitRequest),
    /// A job is to be done, unless this very submission came before.
    SubmitOnce(Box<SubmitRequest>, SubmitKey),
    /// A token that opens the API.
    CreateApiToken(ApiTokenRequest),
    /// All of these.
    ApiTokens,
    /// One of these is to open nothing any more.
    RevokeApiToken(String),
    /// Some entries of the audit log.
    Audit {
        /// The number of the first.
        from: u64,
    },
    /// A job is to have another budget.
    SetBudget(JobId, BudgetRequest),
    /// So much is to be kept of jobs that have ended.
    SetRetention(RetentionRequest),
    /// Another token is to be the root token.
    ReplaceRoot(RootTokenRequest),
}

impl Call {
    /// An order about a job.
    pub(super) fn order(job: JobId, order: JobOrder) -> Self {
        match order {
            JobOrder::Pause => Self::Pause(job),
            JobOrder::Resume => Self::Resume(job),
            JobOrder::Cancel => Self::Cancel(job),
        }
    }

    /// What a token must allow for it.
    pub(super) fn permission(&self) -> Permission {
        match self {
            Self::Authorize
            | Self::Jobs
            | Self::Job(_)
            | Self::Report { .. }
            | Self::Cluster
            | Self::Audit { .. } => Permission::Read,
            Self::Submit(_)
            | Self::SubmitOnce(..)
            | Self::Pause(_)
            | Self::Resume(_)
            | Self::Cancel(_)
            | Self::SetBudget(..) => Permission::Operate,
            Self::CreateToken(_)
            | Self::RemoveNode(_)
            | Self::TransferLeader(_)
            | Self::Limit(_)
            | Self::CreateApiToken(_)
            | Self::ApiTokens
            | Self::RevokeApiToken(_)
            | Self::SetRetention(_)
            | Self::ReplaceRoot(_) => Permission::Administer,
        }
    }

    /// Whether it does no harm to ask again when it is not known what came of it.
    pub(super) fn is_repeatable(&self) -> bool {
        match self {
            // Each makes another token, whose secret nobody would have.
            Self::CreateToken(_) | Self::CreateApiToken(_) => false,
            // Without a name, each moves the lead on.
            Self::TransferLeader(request) => request.node.is_some(),
            Self::Authorize
            | Self::Submit(_)
            | Self::SubmitOnce(..)
            | Self::Jobs
            | Self::Job(_)
            | Self::Pause(_)
            | Self::Resume(_)
            | Self::Cancel(_)
            | Self::Report { .. }
            | Self::Cluster
            | Self::RemoveNode(_)
            | Self::Limit(_)
            | Self::ApiTokens
            | Self::RevokeApiToken(_)
            | Self::Audit { .. }
            | Self::SetBudget(..)
            | Self::SetRetention(_)
            | Self::ReplaceRoot(_) => true,
        }
    }

    /// The call on its way to another node.
    pub(super) fn forward(&self, token: &str) -> Result<Forwarded, ApiError> {
        let body = serde_json::to_vec(self).map_err(defect)?;
        if body.len() > BODY_BYTES_MAX {
            return Err(too_large("the request", body.len()));
        }
        let (method, token) = (METHOD.to_owned(), token.to_owned());
        Ok(Forwarded { method, path: String::new(), token, body })
    }

    /// The call that came from another node.
    pub(super) fn receive(forwarded: &Forwarded) -> Result<Self, ApiError> {
        if forwarded.method != METHOD {
            return Err(ApiError::invalid("another node forwarded what this build does not know"));
        }
        serde_json::from_slice(&forwarded.body).map_err(|error| {
            ApiError::invalid(format!("another node forwarded what is no request: {error}"))
        })
    }
}

/// What a token allows, on its way between nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Granted {
    permission: Allowed,
    /// Whether it is limited to locations.
    pub(super) is_limited: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Allowed {
    Read,
    Operate,
    Administer,
}

impl Granted {
    /// What a caller may do.
    pub(super) fn of(caller: &Caller) -> Self {
        let permission = match caller.permission {
            Permission::Read => Allowed::Read,
            Permission::Operate => Allowed::Operate,
            Permission::Administer => Allowed::Administer,
        };
        Self { permission, is_limited: caller.is_limited() }
    }

    /// The permission.
    pub(super) fn permission(self) -> Permission {
        match self.permission {
            Allowed::Read => Permission::Read,
            Allowed::Operate => Permission::Operate,
            Allowed::Administer => Permission::Administer,
        }
    }
}

/// The answer on its way to the node that asked.
pub(super) fn to_answer(result: Result<Value, ApiError>) -> ControlAnswer {
    let written = result.and_then(|value| {
        let body = serde_json::to_vec(&value).map_err(defect)?;
        if body.len() > BODY_BYTES_MAX {
            Err(too_large("the answer", body.len()))
        } else {
            Ok(body)
        }
    });
    match written {
        Ok(body) => ControlAnswer::Forwarded { status: STATUS_OK, body },
        Err(error) => {
            let problem = Problem::from(&error);
            let body = serde_json::to_vec(&problem).expect("invariant: a problem is plain JSON");
            ControlAnswer::Forwarded { status: problem.status, body }
        }
    }
}

/// The answer of another node.
pub(super) fn from_answer(answer: ControlAnswer) -> Result<Value, ApiError> {
    match answer {
        ControlAnswer::Forwarded { status: STATUS_OK, body } => {
            serde_json::from_slice(&body).map_err(defect)
        }
        ControlAnswer::Forwarded { status, body } => {
            let problem: Result<Problem, _> = serde_json::from_slice(&body);
            Err(problem.map_or_else(
                |_| ApiError::new(ApiCode::of_status(status), "the leader gave no reason"),
                ApiError::from,
            ))
        }
        ControlAnswer::NotLeader(_) => Err(not_leader()),
        ControlAnswer::Refused(failure) => Err(refused(&failure)),
        ControlAnswer::Taken
        | ControlAnswer::Alive(_)
        | ControlAnswer::Job(_)
        | ControlAnswer::Cluster { .. }
        | ControlAnswer::Joined(_)
        | ControlAnswer::Page(_)
        | ControlAnswer::Probed(..)
        | ControlAnswer::Described(_)
        | ControlAnswer::Run(_) => Err(ApiError::new(
            ApiCode::Internal,
            "the leader gave an answer that does not belong to a client's request",
        )),
    }
}

/// A value as JSON.
pub(super) fn write(value: &impl Serialize) -> Result<Value, ApiError> {
    serde_json::to_value(value).map_err(defect)
}

/// JSON as the value that it was.
pub(super) fn read<T: DeserializeOwned>(value: Value) -> Result<T, ApiError> {
    serde_json::from_value(value).map_err(defect)
}

fn defect(error: serde_json::Error) -> ApiError {
    ApiError::new(ApiCode::Internal, format!("nodes do not understand each other: {error}"))
}

fn too_large(what: &str, bytes: usize) -> ApiError {
    let text = format!("{what} has {bytes} bytes, and at most {BODY_BYTES_MAX} cross the cluster");
    ApiError::new(ApiCode::TooLarge, text)
}

/// Nothing was done, because another node has to.
pub(super) fn not_leader() -> ApiError {
    ApiError::new(ApiCode::NotLeader, "the cluster has no leader at the moment")
}

/// It is not known what came of it.
pub(super) fn unknown(detail: impl Into<String>) -> ApiError {
    ApiError::new(ApiCode::Unavailable, detail)
}

/// Why a request between nodes has no answer: [`ApiCode::NotLeader`] only when nothing was done.
pub(super) fn missed(error: &RequestError) -> ApiError {
    match error {
        RequestError::TooLong { bytes } => too_large("the request", *bytes),
        RequestError::Unknown(_) | RequestError::Busy | RequestError::Refused => {
            ApiError::new(ApiCode::NotLeader, format!("the leader cannot be asked: {error}"))
        }
        RequestError::TimedOut
        | RequestError::Disconnected
        | RequestError::Removed
        | RequestError::Unanswered
        | RequestError::Stream(_) => unknown(format!("the leader does not answer: {error}")),
    }
}

/// What the control plane refused.
pub(super) fn refused(failure: &Failure) -> ApiError {
    let code = match failure.code {
        ErrorCode::NotFound | ErrorCode::LocationMissing => ApiCode::NotFound,
        ErrorCode::Unauthorized | ErrorCode::PermissionDenied => ApiCode::Forbidden,
        ErrorCode::TooLarge => ApiCode::TooLarge,
        ErrorCode::TimedOut
        | ErrorCode::Unreachable
        | ErrorCode::Unavailable
        | ErrorCode::Throttled
        | ErrorCode::NodeLost => ApiCode::Unavailable,
        ErrorCode::CorruptState | ErrorCode::Bug | ErrorCode::Protocol => ApiCode::Internal,
        ErrorCode::SourceChanged
        | ErrorCode::KeyUnsupported
        | ErrorCode::NoSpace
        | ErrorCode::ReadOnly
        | ErrorCode::KindUnsupported
        | ErrorCode::CorruptChunk
        | ErrorCode::CorruptTarget
        | ErrorCode::UploadLost
        | ErrorCode::Conflict
        | ErrorCode::Io
        | ErrorCode::Cancelled
        | ErrorCode::Malformed
        | ErrorCode::OverBudget
        | ErrorCode::LeaseLost => ApiCode::Conflict,
    };
    ApiError::new(code, failure.detail())
}

#[cfg(test)]
mod tests {
    use airlift_protocol::assignment::End;
    use airlift_protocol::id::{NodeId, PageId, Position};
    use airlift_protocol::schedule::Bandwidth;
    use airlift_protocol::units::ByteRate;

    use super::*;
    use crate::api::access::ApiRoleText;
    use crate::api::text::ByteText;
    use crate::api::view::{JobMode, NodeRole};

    const JOB: JobId = JobId([0xab; 16]);
    const AFTER: Place =
        Place { end: End::Target, position: Position { page: PageId(7), index: u16::MAX } };

    fn submit() -> Call {
        Call::Submit(Box::new(SubmitRequest {
            mode: JobMode::Sync,
            source: ByteText(b"berlin:/\xff".to_vec()),
            target: ByteText(b"s3://bucket/x/".to_vec()),
            include: vec!["**/*.rs".to_owned()],
            exclude: Vec::new(),
            comparison: Default::default(),
            links: Default::default(),
            read_back_percent: 5,
            dry_run: true,
            allow_empty_source: false,
            max_delete: None,
            bandwidth_bytes_per_second: Some(u64::MAX),
            bandwidth_schedule: None,
            priority: Some(1),
            tags: Default::default(),
            storage_class: Some("keep".to_owned()),
            acl: Default::default(),
            restore: Some("bulk:7".to_owned()),
            keys: Default::default(),
            inventory: None,
            server_side: Default::default(),
            budget: None,
        }))
    }

    fn submit_once() -> Call {
        let Call::Submit(request) = submit() else { unreachable!("it is one") };
        Call::SubmitOnce(request, SubmitKey { name: [1; 16], of: [2; 16] })
    }

    fn calls() -> Vec<(Call, Permission, bool)> {
        use Permission::{Administer, Operate, Read};
        let token = TokenRequest { role: NodeRole::Worker, ttl_seconds: 60 };
        let api_token = ApiTokenRequest {
            name: "ci".to_owned(),
            role: ApiRoleText::Submitter,
            locations: vec![ByteText(b"berlin:/\xff".to_vec())],
            ttl_seconds: Some(60),
        };
        let limit = LimitRequest::from(Some(&Bandwidth::Fixed(ByteRate(7))));
        let named = LeaderRequest { node: Some("paris".to_owned()) };
        vec![
            (Call::Authorize, Read, true),
            (submit(), Operate, true),
            (submit_once(), Operate, true),
            (Call::Jobs, Read, true),
            (Call::Job(JOB), Read, true),
            (Call::order(JOB, JobOrder::Pause), Operate, true),
            (Call::order(JOB, JobOrder::Resume), Operate, true),
            (Call::order(JOB, JobOrder::Cancel), Operate, true),
            (Call::Report { job: JOB, from: u64::MAX, after: None }, Read, true),
            (Call::Report { job: JOB, from: 1, after: Some(AFTER) }, Read, true),
            (Call::Cluster, Read, true),
            (Call::CreateToken(token), Administer, false),
            (Call::RemoveNode("paris".to_owned()), Administer, true),
            (Call::TransferLeader(named), Administer, true),
            (Call::TransferLeader(LeaderRequest::default()), Administer, false),
            (Call::Limit(limit), Administer, true),
            (Call::SetRetention(RetentionRequest::default()), Administer, true),
            (
                Call::SetBudget(JOB, BudgetRequest { bytes: Some(7), ..Default::default() }),
                Operate,
                true,
            ),
            (Call::CreateApiToken(api_token), Administer, false),
            (Call::ApiTokens, Administer, true),
            (Call::RevokeApiToken("ci".to_owned()), Administer, true),
            (Call::Audit { from: u64::MAX }, Read, true),
        ]
    }

    #[test]
    fn every_call_needs_its_permission_and_arrives_as_it_was() {
        for (call, permission, is_repeatable) in calls() {
            assert_eq!(call.permission(), permission, "{call:?}");
            assert_eq!(call.is_repeatable(), is_repeatable, "{call:?}");
            let forwarded = call.forward("token").unwrap();
            assert_eq!(forwarded.token, "token");
            assert_eq!(Call::receive(&forwarded).unwrap(), call);
        }
    }

    #[test]
    fn what_is_no_call_is_refused() {
        let good = Call::Jobs.forward("").unwrap();
        for forwarded in [
            Forwarded { method: "GET".to_owned(), ..good.clone() },
            Forwarded { body: b"\"everything\"".to_vec(), ..good.clone() },
            Forwarded { body: vec![b'['; 100_000], ..good },
        ] {
            assert_eq!(Call::receive(&forwarded).unwrap_err().code, ApiCode::Invalid);
        }
    }

    #[test]
    fn answers_come_back_as_they_were() {
        let value = serde_json::json!({ "jobs": [], "number": u64::MAX });
        assert_eq!(from_answer(to_answer(Ok(value.clone()))), Ok(value));
        for code in ApiCode::ALL {
            let error = ApiError::new(code, "why");
            assert_eq!(from_answer(to_answer(Err(error.clone()))), Err(error));
        }
        let long = Value::String("x".repeat(BODY_BYTES_MAX));
        assert_eq!(from_answer(to_answer(Ok(long))).unwrap_err().code, ApiCode::TooLarge);
    }

    #[test]
    fn answers_of_a_broken_leader_are_errors() {
        let body = b"{".to_vec();
        for (answer, code) in [
            (ControlAnswer::Forwarded { status: 200, body: body.clone() }, ApiCode::Internal),
            (ControlAnswer::Forwarded { status: 409, body }, ApiCode::Conflict),
            (ControlAnswer::Taken, ApiCode::Internal),
            (ControlAnswer::NotLeader(Some(NodeId([1; 32]))), ApiCode::NotLeader),
        ] {
            assert_eq!(from_answer(answer).unwrap_err().code, code);
        }
    }

    #[test]
    fn only_what_was_surely_not_done_says_so() {
        for (error, code) in [
            (RequestError::Busy, ApiCode::NotLeader),
            (RequestError::Refused, ApiCode::NotLeader),
            (RequestError::Unknown(NodeId([1; 32])), ApiCode::NotLeader),
            (RequestError::TooLong { bytes: 1 }, ApiCode::TooLarge),
            (RequestError::TimedOut, ApiCode::Unavailable),
            (RequestError::Disconnected, ApiCode::Unavailable),
            (RequestError::Unanswered, ApiCode::Unavailable),
        ] {
            assert_eq!(missed(&error).code, code, "{error}");
        }
    }

    #[test]
    fn refusals_keep_their_meaning() {
        for (code, expected) in [
            (ErrorCode::NotFound, ApiCode::NotFound),
            (ErrorCode::LocationMissing, ApiCode::NotFound),
            (ErrorCode::Conflict, ApiCode::Conflict),
            (ErrorCode::Unauthorized, ApiCode::Forbidden),
            (ErrorCode::NodeLost, ApiCode::Unavailable),
            (ErrorCode::Bug, ApiCode::Internal),
        ] {
            let error = refused(&Failure::new(code, "why"));
            assert_eq!((error.code, error.detail.as_str()), (expected, "why"));
        }
    }
}
