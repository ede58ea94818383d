//! `GET /api/v1/events`: the jobs and the cluster, sent again whenever they have changed, to clients
//! that look on. It asks what `/jobs`, `/jobs/{job}` and `/cluster` ask, at most once in an interval
//! for each client, and never keeps what a client is too slow to read.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use airlift_protocol::id::JobId;
use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use futures::stream;
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;

use super::connections::stopped;
use super::guard::{Client, Guard};
use super::routes::read_job_id;
use crate::api::error::{ApiCode, ApiError, Problem};
use crate::api::service::Service;
use crate::runtime::clock;

/// Silence after which a comment shows that the server is still there.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// What a client is told to wait when there are too many.
const FULL_PAUSE: Duration = Duration::from_secs(10);

/// What a client wants to see, beside all jobs and the cluster.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventQuery {
    /// A job to be shown in full.
    job: Option<String>,
}

/// A problem with one of the views; the others go on.
#[derive(Debug, Serialize)]
struct Trouble {
    /// The view.
    of: &'static str,
    #[serde(flatten)]
    problem: Problem,
}

/// One view as it is sent: its event's name and JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
struct View {
    event: &'static str,
    json: String,
    /// Whether the token opens it no more.
    is_refused: bool,
}

/// Looks on for one client.
struct Watcher {
    guard: Arc<Guard>,
    client: Client,
    job: Option<JobId>,
    /// What was sent last, by view.
    sent: Vec<View>,
    /// When it looks next, and when the client has to show its token again.
    next: Instant,
    end: Instant,
    stop: watch::Receiver<bool>,
    /// Its place among those who look on.
    _place: OwnedSemaphorePermit,
}

/// Answers with events until the client leaves, the server stops, or its time is over.
pub(super) async fn events(
    State(guard): State<Arc<Guard>>,
    Extension(client): Extension<Client>,
    query: Result<Query<EventQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(query) = query.map_err(|error| ApiError::invalid(error.body_text()))?;
    let job = query.job.as_deref().map(read_job_id).transpose()?;
    let Ok(place) = Arc::clone(&guard.watchers).try_acquire_owned() else {
        let text = "too many clients look on at once: close one, or ask for /jobs and /cluster";
        return Err(ApiError::new(ApiCode::TooMany, text).retry_after(FULL_PAUSE));
    };
    let now = clock::now();
    let (end, stop) = (now + guard.limits.watch_time, guard.stop.clone());
    let (sent, next) = (Vec::new(), now);
    let watcher = Watcher { guard, client, job, sent, next, end, stop, _place: place };
    let turns = stream::unfold(watcher, |mut watcher| async move {
        let news = watcher.turn().await?;
        Some((news, watcher))
    });
    let events = turns.flat_map(|news| stream::iter(news.into_iter().map(Ok::<_, Infallible>)));
    let heartbeat = KeepAlive::new().interval(HEARTBEAT);
    Ok(Sse::new(events).keep_alive(heartbeat).into_response())
}

impl Watcher {
    /// What is new at the next look; `None` when the watch is over.
    async fn turn(&mut self) -> Option<Vec<Event>> {
        let (next, end) = (self.next, self.end);
        if next >= end {
            return None;
        }
        let limit = self.guard.limits.request_timeout;
        let look = async {
            tokio::time::sleep_until(next).await;
            tokio::time::timeout(limit, views(&*self.client.0, self.job)).await
        };
        let views = tokio::select! {
            biased;
            () = stopped(&mut self.stop) => return None,
            views = look => views.unwrap_or_else(|_| vec![View::of::<()>("cluster", Err(late()))]),
        };
        self.next = clock::now() + self.guard.limits.watch_interval;
        // Whose token was revoked is told so once.
        if views.iter().any(|view| view.is_refused) {
            self.end = self.next;
        }
        let news: Vec<View> =
            views.iter().filter(|view| !self.sent.contains(view)).cloned().collect();
        self.sent = views;
        Some(
            news.into_iter()
                .map(|view| Event::default().event(view.event).data(view.json))
                .collect(),
        )
    }
}

async fn views(service: &dyn Service, job: Option<JobId>) -> Vec<View> {
    let one = async {
        match job {
            Some(job) => Some(View::of("job", service.job(job).await)),
            None => None,
        }
    };
    let (jobs, cluster, one) = tokio::join!(service.jobs(), service.cluster(), one);
    [Some(View::of("jobs", jobs)), Some(View::of("cluster", cluster)), one]
        .into_iter()
        .flatten()
        .collect()
}

fn late() -> ApiError {
    ApiError::new(ApiCode::TimedOut, "the cluster does not answer in time: it is asked again")
}

impl View {
    fn of<T: Serialize>(name: &'static str, answer: Result<T, ApiError>) -> Self {
        let written = answer.and_then(|value| {
            serde_json::to_string(&value).map_err(|error| {
                let text = format!("the answer cannot be written: {error}");
                ApiError::new(ApiCode::Internal, text)
            })
        });
        match written {
            Ok(json) => Self { event: name, json, is_refused: false },
            Err(error) => {
                let trouble = Trouble { of: name, problem: Problem::from(&error) };
                let json =
                    serde_json::to_string(&trouble).expect("invariant: a problem is plain JSON");
                let is_refused = error.code == ApiCode::Unauthorized;
                Self { event: "problem", json, is_refused }
            }
        }
    }
}
