//! Paths of API tokens and of the audit log.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use serde::Deserialize;

use super::guard::{Client, Guard};
use super::routes::{Answer, json, read, refuse_key};
use crate::api::access::{ApiTokenRequest, RootTokenRequest};
use crate::api::error::ApiError;

/// From which entry on the audit log is wanted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AuditQuery {
    #[serde(default)]
    from: u64,
}

pub(super) async fn audit(
    Extension(client): Extension<Client>,
    query: Result<Query<AuditQuery>, QueryRejection>,
) -> Answer {
    let Query(query) = query.map_err(|error| ApiError::invalid(error.body_text()))?;
    json(&client.0.audit(query.from).await?)
}

pub(super) async fn list(Extension(client): Extension<Client>) -> Answer {
    json(&client.0.api_tokens().await?)
}

pub(super) async fn create(
    State(guard): State<Arc<Guard>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    refuse_key(&headers, "a token is told once; revoke it by its name if the answer is lost")?;
    let request: ApiTokenRequest = read(body, &guard).await?;
    json(&client.0.create_api_token(request).await?)
}

pub(super) async fn revoke(
    Extension(client): Extension<Client>,
    path: Result<Path<String>, PathRejection>,
) -> Answer {
    let Path(token) = path.map_err(|error| ApiError::invalid(error.body_text()))?;
    json(&client.0.revoke_api_token(&token).await?)
}

pub(super) async fn replace_root(
    State(guard): State<Arc<Guard>>,
    Extension(client): Extension<Client>,
    body: Body,
) -> Answer {
    let request: RootTokenRequest = read(body, &guard).await?;
    // Refused here already, before anybody is asked.
    request.hash()?;
    json(&client.0.replace_root_token(request).await?)
}
