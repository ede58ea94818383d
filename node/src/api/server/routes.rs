//! Which path does what.

use std::future::{Ready, ready};
use std::sync::Arc;

use airlift_protocol::id::JobId;
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderValue, header};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use futures::StreamExt;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::console;
use super::events::events;
use super::guard::{Gate, Guard, authorize, bound};
use super::monitor;
use crate::api::budget::BudgetRequest;
use crate::api::error::{ApiCode, ApiError};
use crate::api::request::{LeaderRequest, LimitRequest, Submission, SubmitRequest, TokenRequest};
use crate::api::retention::RetentionRequest;
use crate::api::service::{JobOrder, Permission};
use crate::api::text::parse_job_id;

/// Lines of a report that are sent together when they are at hand.
const LINES_TOGETHER_MAX: usize = 256;

/// The API with everything that stands before it.
pub(super) fn router(guard: Arc<Guard>) -> Router {
    let gate = |permission| {
        let gate = Gate { guard: Arc::clone(&guard), permission };
        from_fn_with_state(gate, authorize)
    };
    let read = Router::new()
        .route("/jobs", get(jobs))
        .route("/jobs/{job}", get(job))
        .route("/jobs/{job}/report", get(report))
        .route("/cluster", get(cluster))
        .route("/node", get(node))
        .route("/events", get(events))
        .route_layer(gate(Permission::Read));
    let metrics = monitor::metrics().route_layer(gate(Permission::Read));
    let operate = Router::new()
        .route("/jobs", post(submit))
        .route("/jobs/{job}/pause", post(pause))
        .route("/jobs/{job}/resume", post(resume))
        .route("/jobs/{job}/cancel", post(cancel))
        .route("/jobs/{job}/budget", post(set_budget))
        .route_layer(gate(Permission::Operate));
    let administer = Router::new()
        .route("/cluster/tokens", post(create_token))
        .route("/cluster/nodes/{node}", delete(remove_node))
        .route("/cluster/leader", post(transfer_leader))
        .route("/cluster/limit", post(limit))
        .route("/cluster/retention", post(set_retention))
        .route_layer(gate(Permission::Administer));
    Router::new()
        .merge(monitor::health())
        .merge(console::router())
        .merge(metrics)
        .nest("/api/v1", read.merge(operate).merge(administer))
        .fallback(no_path)
        .method_not_allowed_fallback(no_method)
        .layer(from_fn_with_state(Arc::clone(&guard), bound))
        .layer(from_fn(no_store))
        .with_state(guard)
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
    let text = "there is no such path: see /console/, /api/v1/jobs and /api/v1/cluster";
    ready(ApiError::not_found(text))
}

pub(super) fn no_method() -> Ready<ApiError> {
    let text = "the path exists, but not for this method";
    ready(ApiError::new(ApiCode::MethodNotAllowed, text))
}

async fn jobs(State(guard): State<Arc<Guard>>) -> Answer {
    json(&guard.service.jobs().await?)
}

async fn submit(State(guard): State<Arc<Guard>>, body: Body) -> Answer {
    let request: SubmitRequest = read(body, &guard).await?;
    json(&guard.service.submit(Submission::try_from(request)?).await?)
}

async fn job(State(guard): State<Arc<Guard>>, path: JobPath) -> Answer {
    json(&guard.service.job(job_id(path)?).await?)
}

async fn pause(State(guard): State<Arc<Guard>>, path: JobPath) -> Answer {
    order(&guard, path, JobOrder::Pause).await
}

async fn resume(State(guard): State<Arc<Guard>>, path: JobPath) -> Answer {
    order(&guard, path, JobOrder::Resume).await
}

async fn cancel(State(guard): State<Arc<Guard>>, path: JobPath) -> Answer {
    order(&guard, path, JobOrder::Cancel).await
}

async fn order(guard: &Guard, path: JobPath, order: JobOrder) -> Answer {
    json(&guard.service.order(job_id(path)?, order).await?)
}

async fn set_budget(State(guard): State<Arc<Guard>>, path: JobPath, body: Body) -> Answer {
    let job = job_id(path)?;
    let request: BudgetRequest = read(body, &guard).await?;
    json(&guard.service.set_budget(job, request).await?)
}

/// From which line a report is wanted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReportQuery {
    #[serde(default)]
    from: u64,
}

async fn report(
    State(guard): State<Arc<Guard>>,
    path: JobPath,
    query: Result<Query<ReportQuery>, QueryRejection>,
) -> Answer {
    let Query(query) = query.map_err(|error| ApiError::invalid(error.body_text()))?;
    let lines = guard.service.report(job_id(path)?, query.from).await?;
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

async fn cluster(State(guard): State<Arc<Guard>>) -> Answer {
    json(&guard.service.cluster().await?)
}

async fn node(State(guard): State<Arc<Guard>>) -> Answer {
    json(&guard.service.node().await?)
}

async fn create_token(State(guard): State<Arc<Guard>>, body: Body) -> Answer {
    let request: TokenRequest = read(body, &guard).await?;
    json(&guard.service.create_token(request.check()?).await?)
}

async fn remove_node(
    State(guard): State<Arc<Guard>>,
    path: Result<Path<String>, PathRejection>,
) -> Answer {
    let Path(node) = path.map_err(|error| ApiError::invalid(error.body_text()))?;
    json(&guard.service.remove_node(&node).await?)
}

async fn transfer_leader(State(guard): State<Arc<Guard>>, body: Body) -> Answer {
    let request: LeaderRequest = read(body, &guard).await?;
    json(&guard.service.transfer_leader(request).await?)
}

async fn limit(State(guard): State<Arc<Guard>>, body: Body) -> Answer {
    let request: LimitRequest = read(body, &guard).await?;
    // Refused here already, before anybody is asked.
    request.bandwidth()?;
    json(&guard.service.limit(request).await?)
}

async fn set_retention(State(guard): State<Arc<Guard>>, body: Body) -> Answer {
    let request: RetentionRequest = read(body, &guard).await?;
    // Refused here already, before anybody is asked.
    request.retention()?;
    json(&guard.service.set_retention(request).await?)
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

async fn read<T: DeserializeOwned>(body: Body, guard: &Guard) -> Result<T, ApiError> {
    let most = guard.limits.body_bytes_max;
    let bytes = to_bytes(body, most).await.map_err(|_| {
        let text = format!("the body broke off, or is longer than the {most} bytes allowed");
        ApiError::new(ApiCode::TooLarge, text)
    })?;
    serde_json::from_slice(&bytes)
        .map_err(|error| ApiError::invalid(format!("the body is not what is asked for: {error}")))
}

pub(super) fn json(value: &impl Serialize) -> Answer {
    let body = serde_json::to_vec(value).map_err(|error| {
        ApiError::new(ApiCode::Internal, format!("the answer cannot be written: {error}"))
    })?;
    let kind = HeaderValue::from_static("application/json");
    Ok(([(header::CONTENT_TYPE, kind)], body).into_response())
}
