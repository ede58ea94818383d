//! What the client does when nodes die, and what it says.

use std::net::SocketAddr;
use std::time::Duration;

use airlift_protocol::location::Location;
use reqwest::Url;

use crate::api::access::RootTokenRequest;
use crate::api::budget::BudgetRequest;
use crate::api::client::{Client, ClientErrorKind, Patience, Secret};
use crate::api::error::{ApiCode, ApiError};
use crate::api::fake::{self, Fake, JOB, TOKEN};
use crate::api::request::{LeaderRequest, LimitRequest, SubmitRequest, TokenRequest};
use crate::api::retention::RetentionRequest;
use crate::api::server::Limits;
use crate::api::service::JobOrder;
use crate::api::text::ByteText;
use crate::api::view::{JobMode, NodeRole};

const SHORT: Patience = Patience {
    first: Duration::from_millis(300),
    electing: Duration::from_millis(300),
    later: Duration::from_millis(300),
};

fn url(address: SocketAddr) -> Url {
    format!("http://{address}").parse().unwrap()
}

fn client(addresses: &[SocketAddr], patience: Patience) -> Client {
    let urls = addresses.iter().map(|address| url(*address)).collect();
    Client::new(urls, Secret::new(TOKEN), patience).unwrap()
}

/// An address where nobody listens, for as long as the listener is not dropped by the system.
async fn dead() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

#[tokio::test]
async fn every_method_reaches_the_service_and_comes_back() {
    let fake = Fake::showing(vec![fake::ended()]);
    let server = fake.serve(Limits::default()).await;
    let client = client(&[server.address()], SHORT);
    let json = r#"{"mode":"sync","source":"a:/x","target":{"base64":"Yjov/w=="}}"#;
    let request: SubmitRequest = serde_json::from_str(json).unwrap();
    assert_eq!(request.mode, JobMode::Sync);
    assert_eq!(client.submit(&request).await.unwrap().id, JOB);
    let odd = Location::Node { node: "b".into(), path: b"/\xff".to_vec() };
    assert_eq!(fake.0.submitted.lock().unwrap()[0].target, odd);
    assert_eq!(request.target, ByteText(b"b:/\xff".to_vec()));
    assert_eq!(client.jobs().await.unwrap().jobs, [fake::ended().job]);
    assert_eq!(client.job(JOB).await.unwrap(), fake::ended());
    for order in [JobOrder::Pause, JobOrder::Resume, JobOrder::Cancel] {
        assert_eq!(client.order(JOB, order).await.unwrap(), fake::ended());
    }
    assert_eq!(client.cluster().await.unwrap(), fake::cluster());
    let token = TokenRequest { role: NodeRole::Voter, ttl_seconds: 60 };
    assert_eq!(client.create_token(&token).await.unwrap().role, NodeRole::Voter);
    // A name is a part of the path, whatever it looks like.
    client.remove_node("../a b/?").await.unwrap();
    client.transfer_leader(&LeaderRequest { node: Some("paris".into()) }).await.unwrap();
    let limit = LimitRequest { bandwidth_bytes_per_second: Some(7), bandwidth_schedule: None };
    client.limit(&limit).await.unwrap();
    let budget = BudgetRequest { bytes: Some(9), ..BudgetRequest::default() };
    assert_eq!(client.set_budget(JOB, &budget).await.unwrap(), fake::ended());
    client.set_retention(&RetentionRequest { age_seconds: None, count: Some(5) }).await.unwrap();
    let root = RootTokenRequest::of(&airlift_protocol::cluster::Secret([7; 32]));
    client.replace_root_token(&root).await.unwrap();
    let root = format!("root {}", &root.hash[..2]);
    let orders = [
        "pause",
        "resume",
        "cancel",
        "token 60",
        "remove ../a b/?",
        "transfer Some(\"paris\")",
        "limit Some(7)",
        "budget Some(9)",
        "keep Some(5)",
        &root,
    ];
    assert_eq!(*fake.0.orders.lock().unwrap(), orders);
}

#[tokio::test]
async fn a_dead_node_is_passed_over_and_the_living_one_remembered() {
    let fake = Fake::showing(vec![fake::begun()]);
    let first = fake.serve(Limits::default()).await;
    let second = fake.serve(Limits::default()).await;
    let addresses = [dead().await, first.address(), second.address()];
    let client = client(&addresses, Patience::default());
    client.job(JOB).await.unwrap();
    drop(first);
    client.job(JOB).await.unwrap();
    client.create_token(&TokenRequest { role: NodeRole::Voter, ttl_seconds: 1 }).await.unwrap();
}

#[tokio::test]
async fn a_cluster_that_comes_back_in_time_is_waited_for() {
    let fake = Fake::showing(vec![fake::begun()]);
    let server = fake.serve(Limits::default()).await;
    let client = client(&[server.address()], Patience::default());
    client.job(JOB).await.unwrap();
    let error = ApiError::new(ApiCode::NotLeader, "no leader");
    *fake.0.refusal.lock().unwrap() = Some(error);
    let heal = async {
        tokio::time::sleep(Duration::from_millis(250)).await;
        *fake.0.refusal.lock().unwrap() = None;
    };
    let (view, ()) = tokio::join!(client.job(JOB), heal);
    view.unwrap();
}

#[tokio::test]
async fn a_cluster_that_elects_a_leader_is_waited_for_from_the_first_request_on() {
    let fake = Fake::showing(vec![fake::begun()]);
    let server = fake.serve(Limits::default()).await;
    // A node that is not there at all must not hide that another one is.
    let addresses = [server.address(), dead().await];
    let patience = Patience { electing: Duration::from_secs(60), ..SHORT };
    let client = client(&addresses, patience);
    *fake.0.refusal.lock().unwrap() = Some(ApiError::new(ApiCode::NotLeader, "no leader"));
    let heal = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        *fake.0.refusal.lock().unwrap() = None;
    };
    let (view, ()) = tokio::join!(client.job(JOB), heal);
    view.unwrap();
}

#[tokio::test]
async fn patience_ends_with_a_line_that_names_the_url_and_the_way_out() {
    let address = dead().await;
    let error = client(&[address], SHORT).cluster().await.unwrap_err();
    assert_eq!(error.kind, ClientErrorKind::Unreachable);
    assert_eq!(
        error.to_string(),
        format!(
            "the cluster at http://{address} cannot be reached: connection refused; check that a node runs there, or name another"
        )
    );
}

#[tokio::test]
async fn what_is_not_certain_to_be_undone_is_not_sent_twice() {
    let fake = Fake::default();
    let server = fake.serve(Limits::default()).await;
    let client = client(&[server.address()], SHORT);
    let error = ApiError::new(ApiCode::Unavailable, "no quorum");
    *fake.0.refusal.lock().unwrap() = Some(error);
    let answers = || fake.0.answers.load(std::sync::atomic::Ordering::Relaxed);
    client.remove_node("x").await.unwrap_err();
    assert_eq!(answers(), 1);
    client.cluster().await.unwrap_err();
    assert!(answers() > 2, "a question is asked again");
}

#[tokio::test]
async fn a_wrong_token_is_no_reason_to_wait() {
    let server = Fake::default().serve(Limits::default()).await;
    let urls = vec![url(server.address())];
    let client = Client::new(urls, Secret::new("wrong"), Patience::default()).unwrap();
    let error = client.jobs().await.unwrap_err();
    assert_eq!(error.kind, ClientErrorKind::Answered(ApiCode::Unauthorized));
    assert!(error.to_string().contains("--token-file FILE or AIRLIFT_TOKEN"), "{error}");
}

#[tokio::test]
async fn something_else_at_the_address_is_recognised() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serve = async {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 1024];
        let _ = stream.read(&mut request).await.unwrap();
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n<html";
        stream.write_all(answer).await.unwrap();
    };
    let client = client(&[address], SHORT);
    let (answer, ()) = tokio::join!(client.cluster(), serve);
    let error = answer.unwrap_err();
    assert_eq!(error.kind, ClientErrorKind::Malformed);
}

#[tokio::test]
async fn a_report_that_breaks_off_goes_on_where_it_was() {
    let fake = Fake::showing(vec![fake::ended()]);
    let lines: Vec<String> = (0..2000).map(|number| format!("{{\"line\":{number}}}")).collect();
    *fake.0.lines.lock().unwrap() = lines.clone();
    *fake.0.break_after.lock().unwrap() = Some(777);
    let server = fake.serve(Limits::default()).await;
    let client = client(&[server.address()], SHORT);
    let mut report = client.report(JOB);
    let mut read = Vec::new();
    while let Some(line) = report.next().await.unwrap() {
        read.push(line);
    }
    assert_eq!(read, lines);
    assert!(fake.0.break_after.lock().unwrap().is_none(), "it did break off");
}
