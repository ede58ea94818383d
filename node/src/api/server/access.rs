//! Paths of API tokens and of the audit log.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::routing::{delete, get};
use axum::{Extension, Router};
use serde::Deserialize;

use super::guard::{Client, Guard};
use super::routes::{Answer, json, read as read_body};
use crate::api::access::ApiTokenRequest;
use crate::api::error::ApiError;

/// What whoever sees everything may read.
pub(super) fn read() -> Router<Arc<Guard>> {
    Router::new().route("/audit", get(audit))
}

/// What administrators may do.
pub(super) fn administer() -> Router<Arc<Guard>> {
    Router::new().route("/tokens", get(list).post(create)).route("/tokens/{token}", delete(revoke))
}

/// From which entry on the audit log is wanted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AuditQuery {
    #[serde(default)]
    from: u64,
}

async fn audit(
    Extension(client): Extension<Client>,
    query: Result<Query<AuditQuery>, QueryRejection>,
) -> Answer {
    let Query(query) = query.map_err(|error| ApiError::invalid(error.body_text()))?;
    json(&client.0.audit(query.from).await?)
}

async fn list(Extension(client): Extension<Client>) -> Answer {
    json(&client.0.api_tokens().await?)
}

async fn create(
    State(guard): State<Arc<Guard>>,
    Extension(client): Extension<Client>,
    body: Body,
) -> Answer {
    let request: ApiTokenRequest = read_body(body, &guard).await?;
    json(&client.0.create_api_token(request).await?)
}

async fn revoke(
    Extension(client): Extension<Client>,
    path: Result<Path<String>, PathRejection>,
) -> Answer {
    let Path(token) = path.map_err(|error| ApiError::invalid(error.body_text()))?;
    json(&client.0.revoke_api_token(&token).await?)
}
