//! Requests, counted: what was asked, what it was answered with, and how long that took.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;

use super::guard::Guard;
use crate::api::operation::Operation;
use crate::metrics::Histogram;
use crate::metrics::histogram::ANSWER_BOUNDS;
use crate::metrics::snapshot::ApiFigures;
use crate::runtime::clock;

/// What a request asks for. There are so many of them and no more, whatever paths clients make up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Asked {
    Operation(Operation),
    /// A file of the console.
    Console,
    /// What is not there: a path, or a method of one that is.
    Other,
}

impl Asked {
    /// `path` is that of a route, with the names of its parameters.
    fn of(method: &Method, path: Option<&str>) -> Self {
        let Some(path) = path else { return Self::Other };
        // Who wants the head of an answer asks the same as who wants all of it.
        let word = if *method == Method::HEAD { "GET" } else { method.as_str() };
        let is_asked = |operation: &Operation| {
            let about = operation.about();
            about.path == path && about.method.as_str().eq_ignore_ascii_case(word)
        };
        match Operation::ALL.into_iter().find(is_asked) {
            Some(operation) => Self::Operation(operation),
            None if word == "GET" && (path == "/" || path.starts_with("/console")) => Self::Console,
            None => Self::Other,
        }
    }

    fn name(self) -> String {
        match self {
            Self::Operation(operation) => operation.id(),
            Self::Console => "console".to_owned(),
            Self::Other => "other".to_owned(),
        }
    }
}

/// What became of requests of one kind.
#[derive(Debug)]
struct Answers {
    statuses: BTreeMap<u16, u64>,
    seconds: Histogram,
}

impl Default for Answers {
    fn default() -> Self {
        Self { statuses: BTreeMap::new(), seconds: Histogram::new(ANSWER_BOUNDS) }
    }
}

/// Counts what a node was asked since it started, at all of its addresses.
#[derive(Debug, Default)]
pub(super) struct Requests(Mutex<BTreeMap<Asked, Answers>>);

impl Requests {
    fn answered(&self, asked: Asked, status: StatusCode, took: Duration) {
        let mut requests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let answers = requests.entry(asked).or_default();
        *answers.statuses.entry(status.as_u16()).or_default() += 1;
        answers.seconds.observe(took);
    }

    /// What was counted so far.
    pub(super) fn figures(&self) -> Vec<ApiFigures> {
        let requests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let figures = requests.iter().map(|(asked, answers)| ApiFigures {
            operation: asked.name(),
            statuses: answers.statuses.clone(),
            seconds: answers.seconds.read(),
        });
        figures.collect()
    }
}

/// Counts a request when the head of its answer is there. What follows takes as long as its reader
/// likes, and events for as long as somebody looks on: that says nothing of the node.
pub(super) async fn count(
    State(guard): State<Arc<Guard>>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.extensions().get::<MatchedPath>();
    let asked = Asked::of(request.method(), path.map(MatchedPath::as_str));
    let begun = clock::now();
    let response = next.run(request).await;
    guard.counts.answered(asked, response.status(), clock::now().duration_since(begun));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_operation_is_known_by_its_path_and_what_clients_make_up_is_one_thing() {
        for operation in Operation::ALL {
            let about = operation.about();
            let method = about.method.as_str().to_uppercase();
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            assert_eq!(Asked::of(&method, Some(about.path)), Asked::Operation(operation));
            assert_eq!(Asked::of(&Method::PATCH, Some(about.path)), Asked::Other);
        }
        let jobs = Asked::of(&Method::HEAD, Some("/api/v1/jobs"));
        assert_eq!(
            (jobs, jobs.name().as_str()),
            (Asked::Operation(Operation::ListJobs), "listJobs")
        );
        for path in ["/", "/console", "/console/", "/console/{file}"] {
            assert_eq!(Asked::of(&Method::GET, Some(path)), Asked::Console);
            assert_eq!(Asked::of(&Method::POST, Some(path)), Asked::Other);
        }
        assert_eq!(Asked::of(&Method::GET, None), Asked::Other);
    }
}
