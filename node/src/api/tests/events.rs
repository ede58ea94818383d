//! Events: what is sent to whom, how often, and until when.

use std::sync::atomic::Ordering;
use std::time::Duration;

use reqwest::{Client, Response};
use serde_json::{Value, json};

use crate::api::error::{ApiCode, ApiError};
use crate::api::fake::{Fake, JOB, begun, ended};
use crate::api::server::{ApiServer, Limits};

const SOON: Duration = Duration::from_secs(20);

fn quick() -> Limits {
    Limits { watch_interval: Duration::from_millis(50), ..Limits::default() }
}

async fn watch(server: &ApiServer, query: &str, token: &str) -> Response {
    let client = Client::builder().no_proxy().build().unwrap();
    let url = format!("http://{}/api/v1/events{query}", server.address());
    client.get(url).bearer_auth(token).send().await.unwrap()
}

/// Events of an answer, one after the other.
struct Events {
    answer: Response,
    text: String,
}

impl Events {
    fn of(answer: Response) -> Self {
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        assert_eq!(answer.headers()["cache-control"], "no-cache");
        Self { answer, text: String::new() }
    }

    /// The next event's name and value; `None` when there will be no more.
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                let field = |name: &str| {
                    event.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
                };
                let Some(name) = field("event:") else { continue };
                let value = serde_json::from_str(field("data:").unwrap()).unwrap();
                return Some((name.to_owned(), value));
            }
            let more = tokio::time::timeout(SOON, self.answer.chunk()).await.expect("an event");
            self.text.push_str(std::str::from_utf8(&more.unwrap()?).unwrap());
        }
    }

    /// The next event with this name.
    async fn next_of(&mut self, wanted: &str) -> Value {
        loop {
            let (name, value) = self.next().await.expect("an event");
            if name == wanted {
                return value;
            }
        }
    }
}

#[tokio::test]
async fn what_has_changed_is_sent_and_nothing_else() {
    let fake = Fake::showing(vec![begun(), begun(), begun(), ended()]);
    let server = fake.serve(quick()).await;
    let mut events = Events::of(watch(&server, &format!("?job={JOB}"), "read").await);
    let mut names = Vec::new();
    let mut last = Value::Null;
    while last["state"] != "completed" {
        let (name, value) = events.next().await.unwrap();
        if name == "job" {
            last = value;
        }
        names.push(name);
    }
    let count = |wanted: &str| names.iter().filter(|name| *name == wanted).count();
    // The job is begun, and then it has ended; the cluster stays as it is.
    assert_eq!((count("job"), count("cluster"), count("problem")), (2, 1, 0), "{names:?}");
    assert!(count("jobs") >= 1);
    assert_eq!(last["id"], JOB.to_string());
}

#[tokio::test]
async fn what_cannot_be_told_is_said_and_shown_again_later() {
    let fake = Fake::showing(vec![begun()]);
    let refuse = |error| *fake.0.refusal.lock().unwrap() = error;
    let server = fake.serve(quick()).await;
    let mut events = Events::of(watch(&server, "", "read").await);
    assert_eq!(events.next_of("jobs").await["jobs"][0]["id"], JOB.to_string());
    refuse(Some(ApiError::new(ApiCode::Unavailable, "nobody leads")));
    let problem = events.next_of("problem").await;
    assert_eq!((&problem["of"], &problem["detail"]), (&json!("jobs"), &json!("nobody leads")));
    assert_eq!(problem["status"], 503);
    refuse(None);
    assert_eq!(events.next_of("cluster").await["leader"], "berlin");
}

#[tokio::test]
async fn clients_are_bounded_in_number_time_and_how_often_they_look() {
    let limits = Limits {
        watchers_max: 1,
        watch_interval: Duration::from_millis(400),
        watch_time: Duration::from_millis(1000),
        ..Limits::default()
    };
    let fake = Fake::showing(vec![begun()]);
    let server = fake.serve(limits).await;
    let mut events = Events::of(watch(&server, "", "read").await);
    let refused = watch(&server, "", "read").await;
    assert_eq!(refused.status(), 429);
    assert!(refused.headers().contains_key("retry-after"));
    while events.next().await.is_some() {}
    // Three looks, of two questions each; the first one is at the beginning.
    let answers = fake.0.answers.load(Ordering::Relaxed);
    assert!(answers <= 6, "{answers} questions in a second");
    let again = watch(&server, "", "read").await;
    assert_eq!(again.status(), 200);
}

#[tokio::test]
async fn events_need_a_token_and_a_job_that_is_one() {
    let server = Fake::showing(vec![begun()]).serve(quick()).await;
    assert_eq!(watch(&server, "", "wrong").await.status(), 401);
    assert_eq!(watch(&server, "?job=x", "read").await.status(), 400);
    assert_eq!(watch(&server, "?colour=1", "read").await.status(), 400);
    let mut events = Events::of(watch(&server, &format!("?job={}", "0".repeat(32)), "read").await);
    let problem = events.next_of("problem").await;
    assert_eq!((&problem["of"], &problem["code"]), (&json!("job"), &json!("not_found")));
}

#[tokio::test]
async fn a_stop_ends_the_watch() {
    let limits = Limits { drain_timeout: SOON, ..Limits::default() };
    let server = Fake::showing(vec![begun()]).serve(limits).await;
    let mut events = Events::of(watch(&server, "", "read").await);
    assert!(events.next().await.is_some());
    let ended = async { while events.next().await.is_some() {} };
    let both = async { tokio::join!(server.stop(), ended) };
    assert!(tokio::time::timeout(SOON / 2, both).await.is_ok(), "the watch goes on");
}
