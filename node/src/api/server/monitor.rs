//! What monitoring asks: whether the node lives, whether it is ready, and its metrics.

use std::future::{Ready, ready};
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;

use super::guard::{Guard, bound};
use super::meter::count;
use super::routes::{Answer, json, no_method, no_path, no_store};
use crate::metrics::{self, CONTENT_TYPE};

/// What monitoring asks, without a token.
pub(super) fn router(guard: Arc<Guard>) -> Router {
    Router::new()
        .route("/healthz", get(lives))
        .route("/readyz", get(is_ready))
        .route("/metrics", get(show_metrics))
        .fallback(no_path)
        .method_not_allowed_fallback(no_method)
        .layer(from_fn_with_state(Arc::clone(&guard), bound))
        .layer(from_fn(no_store))
        .layer(from_fn_with_state(Arc::clone(&guard), count))
        .with_state(guard)
}

/// Whether the node answers.
pub(super) fn lives() -> Ready<Answer> {
    ready(json(&json!({ "status": "ok" })))
}

/// Whether it hears a leader.
pub(super) async fn is_ready(State(guard): State<Arc<Guard>>) -> Answer {
    match guard.service.readiness().await?.refusal() {
        None => json(&json!({ "status": "ready" })),
        Some(reason) => {
            let answer = json(&json!({ "status": "not_ready", "reason": reason }))?;
            Ok((StatusCode::SERVICE_UNAVAILABLE, answer).into_response())
        }
    }
}

/// The metrics.
pub(super) async fn show_metrics(State(guard): State<Arc<Guard>>) -> Answer {
    let mut snapshot = guard.service.snapshot().await?;
    // The service knows nothing of who asks it: the server has counted that.
    snapshot.measured.api = guard.counts.figures();
    let text = metrics::render(&snapshot);
    let kind = HeaderValue::from_static(CONTENT_TYPE);
    let answer: Response = ([(header::CONTENT_TYPE, kind)], text).into_response();
    Ok(answer)
}
