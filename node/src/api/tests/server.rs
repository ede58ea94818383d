//! What the server answers to whom.

use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::api::error::{ApiCode, ApiError, PROBLEM_TYPE};
use crate::api::fake::{Fake, JOB, TOKEN, ended_badly};
use crate::api::operation::{About, Operation};
use crate::api::server::{ApiServer, Limits};
use crate::api::service::Permission;

fn request(server: &ApiServer, method: Method, path: &str) -> RequestBuilder {
    let client = Client::builder().no_proxy().build().unwrap();
    client.request(method, format!("http://{}{path}", server.address()))
}

async fn send(server: &ApiServer, method: Method, path: &str, token: &str) -> Response {
    request(server, method, path).bearer_auth(token).send().await.unwrap()
}

async fn problem(response: Response) -> (u16, Value) {
    let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
    assert_eq!(kind, PROBLEM_TYPE);
    let status = response.status().as_u16();
    (status, response.json().await.unwrap())
}

#[tokio::test]
async fn health_needs_no_token_and_everything_else_does() {
    let server = Fake::default().serve(Limits::default()).await;
    let answer = request(&server, Method::GET, "/healthz").send().await.unwrap();
    assert_eq!(answer.json::<Value>().await.unwrap(), json!({ "status": "ok" }));
    for token in ["", "wrong", "Everything"] {
        let answer = send(&server, Method::GET, "/api/v1/jobs", token).await;
        assert_eq!(answer.headers()["www-authenticate"], "Bearer");
        let (status, body) = problem(answer).await;
        assert_eq!((status, &body["code"]), (401, &json!("unauthorized")));
    }
    let plain = request(&server, Method::GET, "/api/v1/jobs").header("Authorization", TOKEN);
    assert_eq!(plain.send().await.unwrap().status(), 401);
    let answer = send(&server, Method::GET, "/api/v1/jobs", TOKEN).await;
    assert_eq!(answer.headers()["cache-control"], "no-store");
    assert_eq!(answer.json::<Value>().await.unwrap(), json!({ "jobs": [] }));
}

#[tokio::test]
async fn each_permission_opens_its_paths_and_no_more() {
    let server = Fake::showing(vec![ended_badly()]).serve(Limits::default()).await;
    for operation in Operation::ALL {
        // It does not end by itself, and has tests of its own.
        if operation == Operation::WatchEvents {
            continue;
        }
        let About { method, path, needs, .. } = operation.about();
        let path =
            path.replace("{job}", &JOB.to_string()).replace("{node}", "x").replace("{token}", "ci");
        let method = Method::from_bytes(method.as_str().to_uppercase().as_bytes()).unwrap();
        let bare = request(&server, method.clone(), &path).send().await.unwrap().status();
        assert_eq!(bare == 401, needs.is_some(), "{method} {path}: {bare}");
        for (token, held) in [
            ("read", Permission::Read),
            ("operate", Permission::Operate),
            (TOKEN, Permission::Administer),
        ] {
            let status = send(&server, method.clone(), &path, token).await.status();
            let is_refused = needs.is_some_and(|needed| held < needed);
            assert_eq!(status == 403, is_refused, "{method} {path} {token}: {status}");
            assert!(status != 404 && status != 405, "{method} {path}: {status}");
        }
        let other = send(&server, Method::PATCH, &path, TOKEN).await;
        assert!(other.headers().contains_key("allow"), "{path}");
        assert_eq!(problem(other).await.1["code"], "method_not_allowed", "{path}");
    }
}

#[tokio::test]
async fn a_token_that_is_limited_opens_nothing_that_tells_of_everything() {
    let server = Fake::showing(vec![ended_badly()]).serve(Limits::default()).await;
    for (path, status) in [
        ("/api/v1/jobs", 200),
        ("/api/v1/cluster", 200),
        ("/api/v1/node", 403),
        ("/api/v1/audit", 403),
        ("/metrics", 403),
    ] {
        let answer = send(&server, Method::GET, path, "limited").await;
        assert_eq!(answer.status(), status, "{path}");
    }
}

#[tokio::test]
async fn a_job_has_its_json_form() {
    let server = Fake::showing(vec![ended_badly()]).serve(Limits::default()).await;
    let answer = send(&server, Method::GET, &format!("/api/v1/jobs/{JOB}"), "read").await;
    let golden = json!({
        "id": "abababababababababababababababab",
        "run": 2,
        "mode": "cp",
        "state": "completed",
        "source": "berlin:/data",
        "target": "s3://bucket/data/",
        "dry_run": false,
        "objects": {
            "total": 3, "done": 2, "unchanged": 0, "failed": 1, "skipped": 0, "deleted": 0,
            "equal": 0, "equal_by_sum": 0, "differs": 0, "missing": 0, "extra": 0,
        },
        "bytes": { "total": 3000, "done": 3000, "sent": 3000, "resent": 0, "wire": 1500 },
        "unmoved_bytes": 0,
        "dropped": { "objects": 0, "attributes": [] },
        "server_side": {"objects": 0, "bytes": 0},
        "archived": {
            "resting": { "objects": 0, "bytes": 0 },
            "restoring": { "objects": 0, "bytes": 0 },
        },
        "is_listed": true,
        "rate_bytes_per_second": 0,
        "eta_seconds": null,
        "submitted_at": "2026-11-21T12:00:00Z",
        "ended_at": "2026-11-21T12:00:03Z",
        "elapsed_ms": 3000,
        "outcome": "incomplete",
        "budget": null,
        "single": null,
        "nodes": [],
        "links": [],
        "bottleneck": "none",
        "errors": [{
            "key": "b\\xff", "key_base64": "Yv8=", "status": "failed",
            "code": "permission_denied", "reason": "open b: permission denied",
        }],
        "error_count": 1,
        "deletes_refused": [],
        "failure": null,
        "priority": 10,
        "bandwidth_bytes_per_second": 4000,
        "bandwidth_schedule": null,
        "ranges": [],
        "retry_seconds": null,
        "throttles": [],
        "time": [],
    });
    assert_eq!(answer.json::<Value>().await.unwrap(), golden);
}

#[tokio::test]
async fn a_cluster_has_its_json_form() {
    let server = Fake::default().serve(Limits::default()).await;
    let answer = send(&server, Method::GET, "/api/v1/cluster", "read").await;
    let mut body: Value = answer.json().await.unwrap();
    assert_eq!(body["nodes"].as_array().unwrap().len(), 2);
    let node = body["nodes"][0].take();
    body["nodes"] = json!([]);
    assert_eq!(
        body,
        json!({
            "id": "c0ffee", "leader": "berlin", "term": 7, "commit_index": 1234,
            "has_quorum": true, "is_current": true, "nodes": [], "format": 5, "bandwidth_bytes_per_second": 5000,
            "bandwidth_schedule": "08:00-18:00 5000; UTC",
            "retention": { "age_seconds": 60, "count": null },
        })
    );
    assert_eq!(
        node,
        json!({
            "name": "berlin", "id": "12D3berlin", "role": "voter",
            "addresses": ["192.0.2.1:7401"], "data_addresses": ["192.0.2.1:7402"], "state": "alive", "last_heard_seconds": 0,
            "version": "0.1.0", "format_newest": 5, "is_leader": true, "lag": 0, "is_voting": true,
            "share_bytes_per_second": 5000,
        })
    );
}

#[tokio::test]
async fn a_node_shows_its_own_figures() {
    let server = Fake::default().serve(Limits::default()).await;
    let answer = send(&server, Method::GET, "/api/v1/node", "read").await;
    let body: Value = answer.json().await.unwrap();
    let requests = |throttled: u64, bound: Value| {
        json!({
            "limit": 32, "in_flight": 7, "requests": 1000, "throttled": throttled,
            "requests_per_second": bound, "spared_seconds": throttled as f64,
            "share_per_second": bound.as_f64().map(|rate| rate / 2.0),
        })
    };
    let store = json!({
        "store": "s3://data at AWS S3 in eu-west-1",
        "reads": requests(0, Value::Null),
        "writes": requests(3, 480.0.into()),
    });
    assert_eq!(
        body,
        json!({
            "name": "berlin", "id": "12D3berlin", "version": "0.1.0", "format_newest": 5,
            "uptime_seconds": 3723,
            "memory_bytes": 67_108_864,
            "control": { "sent_bytes": 1_048_576, "received_bytes": 2_097_152 },
            "data": { "sent_bytes": 3_221_225_472_u64, "received_bytes": 0 },
            "log": { "entries": 12, "bytes": 4096, "syncs": 9, "elections": 1 },
            "slots": 6,
            "stores": [store],
        })
    );
}

#[tokio::test]
async fn wrong_requests_are_told_what_is_wrong() {
    let fake = Fake::showing(vec![ended_badly()]);
    let server = fake.serve(Limits { body_bytes_max: 200, ..Limits::default() }).await;
    let body = |value: &str| value.to_owned();
    let cases = [
        (Method::POST, "/api/v1/jobs", body("{"), 400, "invalid"),
        (Method::POST, "/api/v1/cluster/limit", body("[null, null]"), 400, "invalid"),
        (Method::POST, "/api/v1/jobs", body(r#"{"mode":"cp","source":"a:/x"}"#), 400, "invalid"),
        (
            Method::POST,
            "/api/v1/jobs",
            body(r#"{"mode":"cp","source":"a:/x","target":"b:/y","colour":1}"#),
            400,
            "invalid",
        ),
        (
            Method::POST,
            "/api/v1/jobs",
            body(r#"{"mode":"cp","source":"/x","target":"b:/y"}"#),
            400,
            "invalid",
        ),
        (Method::POST, "/api/v1/jobs", body(&" ".repeat(300)), 413, "too_large"),
        (Method::GET, "/api/v1/jobs/xyz", body(""), 400, "invalid"),
        (Method::GET, "/api/v1/jobs/00000000000000000000000000000000", body(""), 404, "not_found"),
        (
            Method::GET,
            "/api/v1/jobs/abababababababababababababababab/report?form=1",
            body(""),
            400,
            "invalid",
        ),
        (
            Method::POST,
            "/api/v1/cluster/tokens",
            body(r#"{"role":"voter","ttl_seconds":3601}"#),
            400,
            "invalid",
        ),
        (Method::PUT, "/api/v1/jobs", body(""), 405, "method_not_allowed"),
        (Method::GET, "/api/v2/jobs", body(""), 404, "not_found"),
        (Method::GET, "/console/none.js", body(""), 404, "not_found"),
        (Method::DELETE, "/api/v1/cluster/nodes/%ff", body(""), 400, "invalid"),
        (Method::POST, "/api/v1/tokens", body(r#"{"name":"a b","role":"viewer"}"#), 400, "invalid"),
        (Method::POST, "/api/v1/tokens", body(r#"{"name":"a","role":"root"}"#), 400, "invalid"),
        (Method::GET, "/api/v1/audit?from=x", body(""), 400, "invalid"),
    ];
    for (method, path, body, status, code) in cases {
        let sent = request(&server, method.clone(), path).bearer_auth(TOKEN).body(body);
        let answer = problem(sent.send().await.unwrap()).await;
        assert_eq!((answer.0, &answer.1["code"]), (status, &json!(code)), "{method} {path}");
    }
    assert!(fake.0.submitted.lock().unwrap().is_empty());
}

#[tokio::test]
async fn refusals_of_the_service_reach_the_client_with_their_advice() {
    let fake = Fake::default();
    let server = fake.serve(Limits::default()).await;
    for code in ApiCode::ALL {
        let error = ApiError::new(code, "the reason").retry_after(Duration::from_secs(3));
        *fake.0.refusal.lock().unwrap() = Some(error);
        let answer = send(&server, Method::GET, "/api/v1/cluster", TOKEN).await;
        assert_eq!(answer.headers()["retry-after"], "3");
        let (status, body) = problem(answer).await;
        assert_eq!(status, code.status());
        assert_eq!(body["type"], format!("urn:airlift:problem:{}", code.as_str()));
        assert_eq!(body["detail"], "the reason");
        assert_eq!(body["status"], code.status());
        assert_eq!(body["retry_after_seconds"], 3);
    }
}

#[tokio::test]
async fn too_many_wrong_tokens_shut_the_door_for_a_while() {
    let limits = Limits { failures_max: 3, ..Limits::default() };
    let server = Fake::default().serve(limits).await;
    for _ in 0..3 {
        assert_eq!(send(&server, Method::GET, "/api/v1/jobs", "wrong").await.status(), 401);
    }
    let answer = send(&server, Method::GET, "/api/v1/jobs", TOKEN).await;
    assert!(answer.headers().contains_key("retry-after"));
    assert_eq!(problem(answer).await.0, 429);
    let health = request(&server, Method::GET, "/healthz").send().await.unwrap();
    assert_eq!(health.status(), 200);
}

#[tokio::test]
async fn who_shows_no_token_shuts_nobody_out() {
    let limits = Limits { failures_max: 3, ..Limits::default() };
    let server = Fake::default().serve(limits).await;
    for _ in 0..5 {
        let answer = request(&server, Method::GET, "/metrics").send().await.unwrap();
        assert_eq!(answer.status(), 401);
    }
    assert_eq!(send(&server, Method::GET, "/api/v1/jobs", TOKEN).await.status(), 200);
}

#[tokio::test]
async fn requests_are_bounded_in_time_and_number() {
    let fake = Fake::default();
    *fake.0.delay.lock().unwrap() = Duration::from_secs(3600);
    let limits = Limits {
        requests_max: 1,
        request_timeout: Duration::from_millis(300),
        ..Limits::default()
    };
    let server = fake.serve(limits).await;
    let answers = futures::future::join_all(
        (0..2).map(|_| send(&server, Method::GET, "/api/v1/cluster", TOKEN)),
    )
    .await;
    let mut statuses: Vec<u16> = answers.iter().map(|answer| answer.status().as_u16()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [429, 504]);
}

#[tokio::test]
async fn connections_that_say_nothing_are_closed_and_more_than_allowed_wait() {
    let limits = Limits {
        connections_max: 1,
        head_timeout: Duration::from_millis(200),
        ..Limits::default()
    };
    let server = Fake::default().serve(limits).await;
    let mut silent = TcpStream::connect(server.address()).await.unwrap();
    silent.write_all(b"GET /healthz HTTP/1.1\r\n").await.unwrap();
    // Served only after the silent one was closed.
    let health = request(&server, Method::GET, "/healthz").send().await.unwrap();
    assert_eq!(health.status(), 200);
    let mut rest = Vec::new();
    let end = tokio::time::timeout(Duration::from_secs(10), silent.read_to_end(&mut rest)).await;
    assert!(end.is_ok(), "the silent connection is still open");
    // A connection kept open between two requests is not exempt.
    drop(health);
    let mut kept = TcpStream::connect(server.address()).await.unwrap();
    kept.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let end = tokio::time::timeout(Duration::from_secs(10), kept.read_to_end(&mut rest)).await;
    assert!(end.is_ok(), "the idle connection is still open");
    assert!(rest.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&rest));
}

#[tokio::test]
async fn a_stop_lets_requests_end_and_takes_no_more() {
    let fake = Fake::default();
    *fake.0.delay.lock().unwrap() = Duration::from_millis(300);
    let server = fake.serve(Limits::default()).await;
    let address = server.address();
    let path = "/api/v1/cluster";
    let asked = request(&server, Method::GET, path).bearer_auth(TOKEN).send();
    let stop = async {
        while fake.0.answers.load(std::sync::atomic::Ordering::Relaxed) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        server.stop().await;
    };
    let (answer, ()) = tokio::join!(asked, stop);
    assert_eq!(answer.unwrap().status(), 200);
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn who_reads_nothing_of_an_answer_loses_its_place() {
    let limits = Limits {
        connections_max: 1,
        write_timeout: Duration::from_millis(300),
        ..Limits::default()
    };
    let fake = Fake::showing(vec![ended_badly()]);
    *fake.0.lines.lock().unwrap() = vec!["x".repeat(100_000); 400];
    let server = fake.serve(limits).await;
    let mut silent = TcpStream::connect(server.address()).await.unwrap();
    let head = format!(
        "GET /api/v1/jobs/{JOB}/report HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer read\r\n\r\n"
    );
    silent.write_all(head.as_bytes()).await.unwrap();
    // Served only after the silent one was let go of.
    let health = request(&server, Method::GET, "/healthz").send();
    let health = tokio::time::timeout(Duration::from_secs(10), health).await;
    assert_eq!(health.expect("the silent connection is still open").unwrap().status(), 200);
}

#[tokio::test]
async fn a_key_goes_with_its_submission_and_is_refused_where_it_promises_too_much() {
    let fake = Fake::showing(vec![ended_badly()]);
    let server = fake.serve(Limits::default()).await;
    let send = async |path: &str, key: &str, body: &str| {
        let sent = request(&server, Method::POST, path).bearer_auth(TOKEN);
        sent.header("Idempotency-Key", key).body(body.to_owned()).send().await.unwrap()
    };
    let (one, other) = (
        r#"{"mode":"cp","source":"a:/x","target":"b:/y"}"#,
        r#"{"target":"b:/y","source":"a:/x","mode":"cp","dry_run":true}"#,
    );
    for (key, body) in [("k", one), ("k", one), ("k", other), ("l", one)] {
        assert_eq!(send("/api/v1/jobs", key, body).await.status(), 200);
    }
    let keys: Vec<_> = fake.0.keys.lock().unwrap().iter().map(|key| key.unwrap()).collect();
    assert_eq!(keys[0], keys[1]);
    assert!(keys[0].name == keys[2].name && keys[0].of != keys[2].of);
    assert!(keys[0].name != keys[3].name && keys[0].of == keys[3].of);
    for (path, key, body) in [
        ("/api/v1/jobs", "a b", one),
        ("/api/v1/jobs", "", one),
        ("/api/v1/jobs", &"x".repeat(129), one),
        ("/api/v1/cluster/tokens", "k", r#"{"role":"worker","ttl_seconds":60}"#),
        ("/api/v1/cluster/leader", "k", "{}"),
    ] {
        assert_eq!(send(path, key, body).await.status(), 400, "{path} {key}");
    }
    assert_eq!(send("/api/v1/cluster/leader", "k", r#"{"node":"paris"}"#).await.status(), 200);
    assert_eq!(send("/api/v1/cluster/limit", "k", "{}").await.status(), 200);
}
