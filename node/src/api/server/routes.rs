//! Which path does what.

use std::fmt::Display;
use std::future::{Ready, ready};
use std::sync::{Arc, LazyLock};

use airlift_protocol::id::JobId;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, on};
use axum::{Extension, Router};
use futures::StreamExt;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::access;
use super::console;
use super::events::events;
use super::guard::{Client, Gate, Guard, authorize, bound};
use super::{meter, monitor};
use crate::api::budget::BudgetRequest;
use crate::api::error::{ApiCode, ApiError};
use crate::api::openapi;
use crate::api::operation::{About, Method, Operation};
use crate::api::request::{
    KEY_HEADER, LeaderRequest, LimitRequest, Submission, SubmitRequest, TokenRequest, submit_key,
};
use crate::api::retention::RetentionRequest;
use crate::api::service::JobOrder;
use crate::api::text::parse_job_id;

/// Lines of a report that are sent together when they are at hand.
const LINES_TOGETHER_MAX: usize = 256;

/// The API with everything that stands before it.
pub(super) fn router(guard: Arc<Guard>) -> Router {
    let mut router = Router::new().merge(console::router());
    for operation in Operation::ALL {
        let About { method, path, needs, sight, .. } = operation.about();
        let asked = handler(operation, filter(method));
        let asked = match needs {
            None => asked,
            Some(permission) => {
                let gate = Gate { guard: Arc::clone(&guard), permission, sight };
                asked.route_layer(from_fn_with_state(gate, authorize))
            }
        };
        router = router.route(path, asked);
    }
    router
        .fallback(no_path)
        .method_not_allowed_fallback(no_method)
        .layer(from_fn_with_state(Arc::clone(&guard), bound))
        .layer(from_fn(no_store))
        .layer(from_fn_with_state(Arc::clone(&guard), meter::count))
        .with_state(guard)
}

fn filter(method: Method) -> MethodFilter {
    match method {
        Method::Get => MethodFilter::GET,
        Method::Post => MethodFilter::POST,
        Method::Delete => MethodFilter::DELETE,
    }
}

/// Who answers what.
fn handler(operation: Operation, method: MethodFilter) -> MethodRouter<Arc<Guard>> {
    match operation {
        Operation::ListJobs => on(method, jobs),
        Operation::SubmitJob => on(method, submit),
        Operation::ShowJob => on(method, job),
        Operation::PauseJob => on(method, pause),
        Operation::ResumeJob => on(method, resume),
        Operation::CancelJob => on(method, cancel),
        Operation::BudgetJob => on(method, set_budget),
        Operation::ReportJob => on(method, report),
        Operation::ShowCluster => on(method, cluster),
        Operation::CreateToken => on(method, create_token),
        Operation::RemoveNode => on(method, remove_node),
        Operation::TransferLeader => on(method, transfer_leader),
        Operation::LimitCluster => on(method, limit),
        Operation::RetainJobs => on(method, set_retention),
        Operation::ListApiTokens => on(method, access::list),
        Operation::CreateApiToken => on(method, access::create),
        Operation::RevokeApiToken => on(method, access::revoke),
        Operation::ReplaceRootToken => on(method, access::replace_root),
        Operation::ShowAudit => on(method, access::audit),
        Operation::ShowNode => on(method, node),
        Operation::ShowNodes => on(method, nodes),
        Operation::WatchEvents => on(method, events),
        Operation::DescribeApi => on(method, describe),
        Operation::ShowMetrics => on(method, monitor::show_metrics),
        Operation::CheckHealth => on(method, monitor::lives),
        Operation::CheckReady => on(method, monitor::is_ready),
    }
}

pub(super) type Answer = Result<Response, ApiError>;

/// What is answered is true now and never later, unless it says otherwise itself.
pub(super) async fn no_store(
    request: axum::extract::Request,
    next: axum::middleware::Next,
) -> Response {
    let mut response = next.run(request).await;
    let unkept = HeaderValue::from_static("no-store");
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(unkept);
    response
}

pub(super) fn no_path() -> Ready<ApiError> {
    let text = "there is no such path: see /console/reference.html and /api/v1/openapi.json";
    ready(ApiError::not_found(text))
}

pub(super) fn no_method() -> Ready<ApiError> {
    let text = "the path exists, but not for this method";
    ready(ApiError::new(ApiCode::MethodNotAllowed, text))
}

/// Made once: it is the same as long as the process lives.
static DESCRIPTION: LazyLock<String> = LazyLock::new(|| openapi::document().to_string());

fn describe() -> Ready<Response> {
    let kind = HeaderValue::from_static("application/json");
    ready(([(header::CONTENT_TYPE, kind)], DESCRIPTION.as_str()).into_response())
}

async fn jobs(Extension(client): Extension<Client>) -> Answer {
    json(&client.0.jobs().await?)
}

async fn submit(
    State(guard): State<Arc<Guard>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let request: SubmitRequest = read(body, &guard).await?;
    let submission = Submission::try_from(request)?;
    let key = match key(&headers)? {
        Some(key) => Some(submit_key(key, &submission)?),
        None => None,
    };
    json(&client.0.submit(submission, key).await?)
}

/// The client's word for a request that it may send again.
fn key(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let key = headers.get(KEY_HEADER).map(|key| key.to_str());
    key.transpose().map_err(|_| ApiError::invalid("Idempotency-Key: it is not plain text"))
}

/// Refuses a key where a second request could not be answered as the first one.
pub(super) fn refuse_key(headers: &HeaderMap, why: &str) -> Result<(), ApiError> {
    match key(headers)? {
        None => Ok(()),
        Some(_) => Err(ApiError::invalid(format!("leave Idempotency-Key out: {why}"))),
    }
}

async fn job(Extension(client): Extension<Client>, path: JobPath) -> Answer {
    json(&client.0.job(job_id(path)?).await?)
}

async fn pause(Extension(client): Extension<Client>, path: JobPath) -> Answer {
    order(&client, path, JobOrder::Pause).await
}

async fn resume(Extension(client): Extension<Client>, path: JobPath) -> Answer {
    order(&client, path, JobOrder::Resume).await
}

async fn cancel(Extension(client): Extension<Client>, path: JobPath) -> Answer {
    order(&client, path, JobOrder::Cancel).await
}

async fn order(client: &Client, path: JobPath, order: JobOrder) -> Answer {
    json(&client.0.order(job_id(path)?, order).await?)
}

async fn set_budget(
    State(guard): State<Arc<Guard>>,
    Extension(client): Extension<Client>,
    path: JobPath,
    body: Body,
) -> Answer {
    let job = job_id(path)?;
    let request: BudgetRequest = read(body, &guard).await?;
    json(&client.0.set_budget(job, request).await?)
}

/// From which line a report is wanted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReportQuery {
    #[serde(default)]
    from: u64,
}

async fn report(
    Extension(client): Extension<Client>,
    path: JobPath,
    query: Result<Query<ReportQuery>, QueryRejection>,
) -> Answer {
    let Query(query) = query.map_err(|error| ApiError::invalid(error.body_text()))?;
    let lines = client.0.report(job_id(path)?, query.from).await?;
    // An error on the way breaks the connection off, so that a part is not taken for the whole.
    let pieces = lines.ready_chunks(LINES_TOGETHER_MAX).flat_map(|lines| {
        let mut piece = Vec::new();
        let mut broken = None;
        for line in lines {
            match line {
                Ok(line) => {
                    piece.extend_from_slice(line.as_bytes());
                    piece.push(b'\n');
                }
                Err(error) => {
                    tracing::warn!(%error, "a report broke off");
                    broken = Some(error);
                    break;
                }
            }
        }
        let piece = (!piece.is_empty()).then(|| Ok(Bytes::from(piece)));
        futures::stream::iter(piece.into_iter().chain(broken.map(Err)))
    });
    let kind = HeaderValue::from_static("application/x-ndjson");
    Ok(([(header::CONTENT_TYPE, kind)], Body::from_stream(pieces)).into_response())
}

async fn cluster(Extension(client): Extension<Client>) -> Answer {
    json(&client.0.cluster().await?)
}

async fn node(Extension(client): Extension<Client>) -> Answer {
    json(&client.0.node().await?)
}

async fn nodes(Extension(client): Extension<Client>) -> Answer {
    json(&client.0.nodes().await?)
}

async fn create_token(
    State(guard): State<Arc<Guard>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    refuse_key(&headers, "a token is told once, and one that nobody uses expires")?;
    let request: TokenRequest = read(body, &guard).await?;
    json(&client.0.create_token(request.check()?).await?)
}

async fn remove_node(
    Extension(client): Extension<Client>,
    path: Result<Path<String>, PathRejection>,
) -> Answer {
    let Path(node) = path.map_err(|error| ApiError::invalid(error.body_text()))?;
    json(&client.0.remove_node(&node).await?)
}

async fn transfer_leader(
    State(guard): State<Arc<Guard>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let request: LeaderRequest = read(body, &guard).await?;
    if request.node.is_none() {
        refuse_key(&headers, "name the node, and asking twice is as good as once")?;
    }
    json(&client.0.transfer_leader(request).await?)
}

async fn limit(
    State(guard): State<Arc<Guard>>,
    Extension(client): Extension<Client>,
    body: Body,
) -> Answer {
    let request: LimitRequest = read(body, &guard).await?;
    // Refused here already, before anybody is asked.
    request.bandwidth()?;
    json(&client.0.limit(request).await?)
}

async fn set_retention(
    State(guard): State<Arc<Guard>>,
    Extension(client): Extension<Client>,
    body: Body,
) -> Answer {
    let request: RetentionRequest = read(body, &guard).await?;
    // Refused here already, before anybody is asked.
    request.retention()?;
    json(&client.0.set_retention(request).await?)
}

type JobPath = Result<Path<String>, PathRejection>;

fn job_id(path: JobPath) -> Result<JobId, ApiError> {
    let Path(text) = path.map_err(|error| ApiError::invalid(error.body_text()))?;
    read_job_id(&text)
}

/// Reads the id of a job as a client wrote it.
pub(super) fn read_job_id(text: &str) -> Result<JobId, ApiError> {
    parse_job_id(text).ok_or_else(|| {
        let text = text.escape_debug();
        ApiError::invalid(format!("'{text}' is not the id of a job: it has 32 hexadecimal digits"))
    })
}

pub(super) async fn read<T: DeserializeOwned>(body: Body, guard: &Guard) -> Result<T, ApiError> {
    let most = guard.limits.body_bytes_max;
    let bytes = to_bytes(body, most).await.map_err(|_| {
        let text = format!("the body broke off, or is longer than the {most} bytes allowed");
        ApiError::new(ApiCode::TooLarge, text)
    })?;
    let wrong =
        |why: &dyn Display| ApiError::invalid(format!("the body is not what is asked for: {why}"));
    // A list of values without names would be read as well, by the order in which we have the fields.
    if bytes.trim_ascii_start().first().is_some_and(|first| *first != b'{') {
        return Err(wrong(&"it is no JSON object"));
    }
    serde_json::from_slice(&bytes).map_err(|error| wrong(&error))
}

pub(super) fn json(value: &impl Serialize) -> Answer {
    let body = serde_json::to_vec(value).map_err(|error| {
        ApiError::new(ApiCode::Internal, format!("the answer cannot be written: {error}"))
    })?;
    let kind = HeaderValue::from_static("application/json");
    Ok(([(header::CONTENT_TYPE, kind)], body).into_response())
}
