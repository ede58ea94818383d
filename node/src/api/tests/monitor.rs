//! What monitoring is answered, with a token and without.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Response;
use serde_json::{Value, json};

use crate::api::fake::{Fake, TOKEN};
use crate::api::server::{ApiServer, Limits};
use crate::metrics::{CONTENT_TYPE, Readiness};

async fn get(server: &ApiServer, path: &str, token: Option<&str>) -> Response {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.get(format!("http://{}{path}", server.address()));
    let request = match token {
        Some(token) => request.bearer_auth(token),
        None => request,
    };
    request.send().await.unwrap()
}

#[tokio::test]
async fn metrics_need_a_token_at_the_api() {
    let server = Fake::default().serve(Limits::default()).await;
    for token in [None, Some("wrong")] {
        assert_eq!(get(&server, "/metrics", token).await.status(), 401);
    }
    for token in ["read", TOKEN] {
        let answer = get(&server, "/metrics", Some(token)).await;
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["content-type"]),
            (200, &CONTENT_TYPE.parse().unwrap())
        );
        assert!(answer.text().await.unwrap().contains("\nairlift_raft_is_leader 1\n"));
    }
}

#[tokio::test]
async fn a_node_says_whether_it_is_ready_and_why_not() {
    let fake = Fake::default();
    let server = fake.serve(Limits::default()).await;
    let answer = get(&server, "/readyz", None).await;
    assert_eq!(answer.status(), 503);
    let golden = json!({ "status": "not_ready", "reason": "no leader is known" });
    assert_eq!(answer.json::<Value>().await.unwrap(), golden);
    *fake.0.readiness.lock().unwrap() =
        Readiness { has_leader: true, heard: Some(Duration::from_secs(1)) };
    let answer = get(&server, "/readyz", None).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.json::<Value>().await.unwrap(), json!({ "status": "ready" }));
}

#[tokio::test]
async fn the_address_for_monitoring_serves_nothing_else() {
    let address = "127.0.0.1:0".parse().unwrap();
    let fake = Arc::new(Fake::default());
    let api = fake.serve(Limits::default()).await;
    let server = api.start_monitoring(address, fake).await.unwrap();
    for (path, status) in [
        ("/metrics", 200),
        ("/healthz", 200),
        ("/readyz", 503),
        ("/api/v1/jobs", 404),
        ("/api/v1/cluster", 404),
        ("/", 404),
    ] {
        assert_eq!(get(&server, path, Some(TOKEN)).await.status(), status, "{path}");
    }
    server.stop().await;
}

/// Fails unless the text has all of these samples.
fn assert_counted(text: &str, samples: &[&str]) {
    for sample in samples {
        assert!(text.contains(&format!("\nairlift_api_{sample}\n")), "{sample}: {text}");
    }
}

#[tokio::test]
async fn requests_are_counted_by_what_was_asked_and_refused_ones_too() {
    let fake = Arc::new(Fake::default());
    let server = fake.serve(Limits::default()).await;
    let monitoring = server.start_monitoring("127.0.0.1:0".parse().unwrap(), fake).await.unwrap();
    for (path, token, status) in [
        ("/api/v1/jobs", Some("read"), 200),
        ("/api/v1/jobs", Some("read"), 200),
        ("/api/v1/jobs", Some("wrong"), 401),
        ("/api/v1/jobs", None, 401),
        ("/api/v1/audit", Some("limited"), 403),
        ("/api/v1/jobs/xyz", Some("read"), 400),
        ("/console/app.js", None, 200),
        ("/made/up", None, 404),
        ("/made/up/as/well", None, 404),
    ] {
        assert_eq!(get(&server, path, token).await.status(), status, "{path}");
    }
    assert_eq!(get(&monitoring, "/readyz", None).await.status(), 503);
    let here = get(&server, "/metrics", Some("read")).await.text().await.unwrap();
    let there = get(&monitoring, "/metrics", None).await.text().await.unwrap();
    for text in [&here, &there] {
        assert_counted(
            text,
            &[
                "requests_total{operation=\"listJobs\",status=\"200\"} 2",
                "requests_total{operation=\"listJobs\",status=\"401\"} 2",
                "requests_total{operation=\"showAudit\",status=\"403\"} 1",
                "requests_total{operation=\"showJob\",status=\"400\"} 1",
                "requests_total{operation=\"console\",status=\"200\"} 1",
                "requests_total{operation=\"other\",status=\"404\"} 2",
                "requests_total{operation=\"checkReady\",status=\"503\"} 1",
                "request_seconds_count{operation=\"listJobs\"} 4",
                "request_seconds_bucket{operation=\"listJobs\",le=\"+Inf\"} 4",
            ],
        );
    }
    assert_counted(&there, &["requests_total{operation=\"showMetrics\",status=\"200\"} 1"]);
    assert!(!there.contains("made"), "a client makes up no labels: {there}");
}

#[tokio::test]
async fn requests_without_a_place_are_counted() {
    let fake = Arc::new(Fake::default());
    let server = fake.serve(Limits { requests_max: 0, ..Limits::default() }).await;
    assert_eq!(get(&server, "/api/v1/jobs", Some(TOKEN)).await.status(), 429);
    let monitoring = server.start_monitoring("127.0.0.1:0".parse().unwrap(), fake).await.unwrap();
    let text = get(&monitoring, "/metrics", None).await.text().await.unwrap();
    assert_counted(&text, &["requests_total{operation=\"listJobs\",status=\"429\"} 1"]);
}

#[tokio::test]
async fn who_looks_on_is_counted_at_once_and_not_for_as_long_as_that_lasts() {
    let server = Fake::default().serve(Limits::default()).await;
    let watch = get(&server, "/api/v1/events", Some("read")).await;
    assert_eq!(watch.status(), 200);
    let text = get(&server, "/metrics", Some("read")).await.text().await.unwrap();
    assert_counted(
        &text,
        &[
            "requests_total{operation=\"watchEvents\",status=\"200\"} 1",
            "request_seconds_count{operation=\"watchEvents\"} 1",
        ],
    );
    // It went on all the time.
    drop(watch);
}
