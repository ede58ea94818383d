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
    let server = ApiServer::start_monitoring(address, Arc::new(Fake::default())).await.unwrap();
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
