//! Traces: what nodes send to a collector of OpenTelemetry, and what they never do.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use airlift_tests::airlift::{Airlift, fast_directory};
use airlift_tests::canned::{Answer, CannedServer};
use airlift_tests::cluster::{Cluster, Role};
use airlift_tests::tree;
use airlift_tests::trial::on;
use serde_json::Value;

const SECRET: &str = "canary-of-a-key";

/// All spans so far, each with the name of its node.
fn spans(collector: &CannedServer) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for body in collector.bodies() {
        let request: Value = serde_json::from_slice(&body).unwrap();
        for resource in request["resourceSpans"].as_array().unwrap() {
            let attributes = resource["resource"]["attributes"].as_array().unwrap();
            let node = attributes.iter().find(|it| it["key"] == "airlift.node").unwrap();
            let node = node["value"]["stringValue"].as_str().unwrap().to_owned();
            let spans = resource["scopeSpans"][0]["spans"].as_array().unwrap();
            found.extend(spans.iter().map(|span| (node.clone(), span.clone())));
        }
    }
    found
}

fn named<'a>(spans: &'a [(String, Value)], name: &str) -> Vec<&'a (String, Value)> {
    spans.iter().filter(|(_, span)| span["name"] == name).collect()
}

#[test]
fn a_job_is_one_trace_with_orders_shards_and_stages_of_all_nodes_and_no_key() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let collector = runtime.block_on(CannedServer::start(|_| Answer::new("200 OK", "{}")));
    let user = Airlift::new().with_variable("AIRLIFT_OTLP", &collector.access().endpoint);
    let cluster = Cluster::start_with(user, &[Role::Voter, Role::Worker]);
    let (source, target) = (fast_directory(), fast_directory());
    tree::write(source.path(), SECRET, &tree::noise(1, 100));
    tree::write(source.path(), "large", &tree::noise(2, 12 << 20));
    let words = ["cp", &on(0, source.path()), &on(1, target.path()), "--bwlimit", "4M", "--json"];
    let copied = cluster.ask(words).expect(0).json();

    let begun = Instant::now();
    let wanted = ["job", "order", "queue", "shard", "stage"];
    let all = loop {
        let all = spans(&collector);
        if wanted.iter().all(|name| !named(&all, name).is_empty()) {
            break all;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{all:?}");
        std::thread::sleep(Duration::from_millis(100));
    };
    assert!(collector.requests().iter().all(|line| line == "POST /v1/traces HTTP/1.1"));
    let traces: BTreeSet<&str> = all.iter().filter_map(|it| it.1["traceId"].as_str()).collect();
    assert_eq!(traces.len(), 1, "one job");
    let job = &named(&all, "job")[0].1;
    assert_eq!(named(&all, "job").len(), 1, "it has ended once");
    assert!(job["parentSpanId"].is_null() && job["status"].is_null(), "{job}");
    let id = copied["job"].as_str().unwrap();
    assert_eq!(job["attributes"][0]["value"]["stringValue"], id);
    for name in ["order", "stage"] {
        for (_, span) in named(&all, name) {
            assert_eq!(span["parentSpanId"], job["spanId"], "{span}");
        }
    }
    let orders = named(&all, "order");
    let ids: BTreeSet<&str> = orders.iter().filter_map(|it| it.1["spanId"].as_str()).collect();
    assert_eq!(ids.len(), orders.len(), "each span has an id of its own");
    for (node, shard) in named(&all, "shard") {
        assert!(ids.contains(shard["parentSpanId"].as_str().unwrap()), "{shard}");
        assert_eq!(node, "node1", "who writes, moves");
        let time = |end: &str| shard[end].as_str().unwrap().parse::<u64>().unwrap();
        assert!(time("endTimeUnixNano") > time("startTimeUnixNano"), "{shard}");
    }
    let bodies = collector.bodies().concat();
    let said = String::from_utf8_lossy(&bodies);
    let token = std::fs::read_to_string(cluster.data_dir(0).join("admin.token")).unwrap();
    for secret in [SECRET, token.trim(), source.path().to_str().unwrap()] {
        assert!(!said.contains(secret), "{secret}");
    }
}
