//! What stands before every request: how many at once, how long, and who may.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::sync::{Semaphore, watch};

use super::Limits;
use super::connections::Peer;
use super::failures::Failures;
use super::meter::Requests;
use crate::api::error::{ApiCode, ApiError, PROBLEM_TYPE, Problem};
use crate::api::operation::Sight;
use crate::api::service::{Permission, Service};
use crate::runtime::clock;

/// Bytes of a token.
const TOKEN_BYTES_MAX: usize = 1024;
/// What a client is told to wait when too much is asked at once.
const BUSY_PAUSE: Duration = Duration::from_secs(1);

/// The service with its bounds.
pub(super) struct Guard {
    pub(super) service: Arc<dyn Service>,
    pub(super) limits: Limits,
    /// What was asked, counted.
    pub(super) counts: Arc<Requests>,
    /// Places for clients that look on.
    pub(super) watchers: Arc<Semaphore>,
    /// Turns true when the server is to end.
    pub(super) stop: watch::Receiver<bool>,
    requests: Semaphore,
    failures: Mutex<Failures>,
}

/// A guard and what it asks for.
#[derive(Clone)]
pub(super) struct Gate {
    pub(super) guard: Arc<Guard>,
    pub(super) permission: Permission,
    pub(super) sight: Sight,
}

/// The node, as it answers the client of a request.
#[derive(Clone)]
pub(super) struct Client(pub(super) Arc<dyn Service>);

impl Guard {
    /// Stands before `service`, until `stop` turns true.
    pub(super) fn new(
        service: Arc<dyn Service>,
        limits: Limits,
        counts: Arc<Requests>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        Self {
            service,
            limits,
            counts,
            watchers: Arc::new(Semaphore::new(limits.watchers_max)),
            stop,
            requests: Semaphore::new(limits.requests_max),
            failures: Mutex::new(Failures::new(limits.failures_max, limits.failure_window)),
        }
    }

    async fn authorize(
        &self,
        peer: Peer,
        headers: &HeaderMap,
        (needed, sight): (Permission, Sight),
    ) -> Result<Client, ApiError> {
        let address = peer.0.ip();
        let failures = || self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(rest) = failures().blocked(address, clock::now()) {
            let text = "too many wrong tokens came from this address: wait, then use the right one";
            return Err(ApiError::new(ApiCode::TooMany, text).retry_after(rest));
        }
        // Who shows nothing guesses nothing, and does not count: a health check without a token must not
        // shut out everybody else at its address.
        let token = bearer(headers)?;
        match self.service.authorize(token).await {
            Ok(admitted) if admitted.is_limited && sight == Sight::Everything => {
                let text = "a token that is limited to locations does not allow this";
                Err(ApiError::new(ApiCode::Forbidden, text))
            }
            Ok(admitted) if admitted.permission >= needed => Ok(Client(admitted.service)),
            Ok(_) => {
                let needed = match needed {
                    Permission::Read => "look at anything",
                    Permission::Operate => "submit or control jobs",
                    Permission::Administer => "change the cluster",
                };
                let text = format!("this token does not allow to {needed}");
                Err(ApiError::new(ApiCode::Forbidden, text))
            }
            Err(error) => {
                if error.code == ApiCode::Unauthorized {
                    failures().add(address, clock::now());
                }
                Err(error)
            }
        }
    }
}

fn bearer(headers: &HeaderMap) -> Result<&str, ApiError> {
    let refused = |text: &str| ApiError::new(ApiCode::Unauthorized, text);
    let value = headers
        .get(header::AUTHORIZATION)
        .ok_or_else(|| refused("no token: send the header Authorization: Bearer TOKEN"))?;
    let value = value.to_str().map_err(|_| refused("the token is not plain text"))?;
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    match token.trim() {
        token if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() => {
            Err(refused("no token: send the header Authorization: Bearer TOKEN"))
        }
        token if token.len() > TOKEN_BYTES_MAX => Err(refused("the token is too long")),
        token => Ok(token),
    }
}

/// Lets a request through when its token allows it.
pub(super) async fn authorize(
    State(gate): State<Gate>,
    Extension(peer): Extension<Peer>,
    mut request: Request,
    next: Next,
) -> Response {
    let needed = (gate.permission, gate.sight);
    match gate.guard.authorize(peer, request.headers(), needed).await {
        Ok(client) => {
            request.extensions_mut().insert(client);
            next.run(request).await
        }
        Err(error) => error.into_response(),
    }
}

/// Lets so many requests through at once, each for so long.
pub(super) async fn bound(
    State(guard): State<Arc<Guard>>,
    request: Request,
    next: Next,
) -> Response {
    let Ok(_permit) = guard.requests.try_acquire() else {
        let text = "too many requests at once: wait and ask again";
        return ApiError::new(ApiCode::TooMany, text).retry_after(BUSY_PAUSE).into_response();
    };
    match tokio::time::timeout(guard.limits.request_timeout, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let text = "the cluster did not answer in time: look whether it was done, or ask again";
            ApiError::new(ApiCode::TimedOut, text).into_response()
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let problem = Problem::from(&self);
        if self.code == ApiCode::Internal {
            tracing::error!(detail = self.detail, "the API met a defect");
        }
        let body = serde_json::to_vec(&problem).expect("invariant: a problem is plain JSON");
        let status = axum::http::StatusCode::from_u16(problem.status)
            .expect("invariant: every code has a valid status");
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_TYPE));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = problem.retry_after_seconds {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.code == ApiCode::Unauthorized {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
