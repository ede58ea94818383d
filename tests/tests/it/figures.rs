//! What a cluster's job says about itself: rates, nodes, the bottleneck, and bytes on the wire.

use std::path::Path;
use std::time::{Duration, Instant};

use airlift_tests::airlift::fast_directory;
use airlift_tests::cluster::{Cluster, Role};
use airlift_tests::tree;
use serde_json::Value;

fn on(node: &str, path: &Path) -> String {
    format!("{node}:{}", path.to_str().unwrap())
}

/// Lines of a log: they compress well.
fn lines(bytes: usize) -> Vec<u8> {
    let lines = (0u64..).flat_map(|i| {
        let line =
            format!("2026-11-21 12:00:{:02} node{} moved {} bytes\n", i % 60, i % 7, i * 977);
        line.into_bytes()
    });
    lines.take(bytes).collect()
}

/// Waits until the job says what is wanted of it.
fn wait_for_job(cluster: &Cluster, id: &str, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let begun = Instant::now();
    loop {
        let job = cluster.ask(["job", "show", "--json", id]).expect(0).json();
        if is_so(&job) {
            return job;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{what}: {job}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn a_job_names_its_limit_its_nodes_and_its_end() {
    const LIMIT: u64 = 4 << 20;
    let cluster = Cluster::start(&[Role::Voter, Role::Worker]);
    let (source, target) = (fast_directory(), fast_directory());
    tree::write(source.path(), "large", &tree::noise(1, 400 << 20));
    let (from, to) = (on("node0", source.path()), on("node1", target.path()));
    let words = ["job", "submit", &from, &to, "--bwlimit", "4M", "--json"];
    let submitted = cluster.ask(words).expect(0).json();
    let id = submitted["id"].as_str().unwrap();
    let named = |job: &Value, name: &str| {
        let nodes = job["nodes"].as_array().unwrap();
        nodes.iter().find(|node| node["name"] == name).cloned().unwrap_or(Value::Null)
    };
    let is_above = |value: &Value, least: u64| value.as_u64() > Some(least);
    let job = wait_for_job(&cluster, id, "it names the limit and its nodes", |job| {
        let (reader, writer) = (named(job, "node0"), named(job, "node1"));
        job["bottleneck"] == "limit"
            && writer["busiest"] == "limit"
            && is_above(&job["rate_bytes_per_second"], LIMIT / 2)
            && is_above(&reader["read_bytes_per_second"], 0)
            && is_above(&writer["write_bytes_per_second"], 0)
    });
    let rate = job["rate_bytes_per_second"].as_u64().unwrap();
    assert!(rate < LIMIT * 2, "{job}");
    let eta = job["eta_seconds"].as_u64().unwrap();
    assert!((40..250).contains(&eta), "{job}");
    let (reader, writer) = (named(&job, "node0"), named(&job, "node1"));
    assert_eq!((&reader["role"], &writer["role"]), (&"source".into(), &"target".into()), "{job}");
    assert_eq!(reader["write_bytes_per_second"], 0, "{job}");

    let text = cluster.ask(["job", "show", id]).expect(0).stdout;
    for part in ["/s, ETA ", "\nbottleneck  ", "node0  reads ", "node1  writes "] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let _ = cluster.ask(["job", "cancel", id]).expect(0);
    let ended = wait_for_job(&cluster, id, "it ends", |job| !job["outcome"].is_null());
    assert!(ended["ended_at"].is_string(), "{ended}");
    assert_eq!(
        (&ended["bottleneck"], &ended["rate_bytes_per_second"]),
        (&"none".into(), &0.into())
    );
}

#[test]
fn bytes_on_the_wire_are_counted_and_fewer_where_they_compress() {
    let cluster = Cluster::start(&[Role::Voter, Role::Worker]);
    let copied = |name: &str, content: &dyn Fn(u64, usize) -> Vec<u8>, to: &str| {
        let (source, target) = (fast_directory(), fast_directory());
        tree::write(source.path(), "large", &content(1, 20 << 20));
        for i in 0..200u64 {
            tree::write(source.path(), format!("small/{i}"), &content(i, 8000));
        }
        let (from, to) = (on("node0", source.path()), on(to, target.path()));
        let ended = cluster.ask(["cp", &from, &to, "--explain", "--json"]).expect(0).json();
        assert_eq!(ended["objects"]["done"], 201, "{name}");
        assert!(ended["explanation"]["bottleneck"].is_string(), "{ended}");
        assert_eq!(tree::read(source.path()), tree::read(target.path()), "{name}");
        let bytes = &ended["bytes"];
        (bytes["sent"].as_u64().unwrap(), bytes["wire"].as_u64().unwrap())
    };
    let (sent, wire) = copied("lines", &|_, length| lines(length), "node1");
    assert!(wire > 0 && wire * 3 < sent, "{wire} of {sent} bytes crossed");
    let (sent, wire) = copied("noise", &tree::noise, "node1");
    assert!((sent..sent + sent / 100).contains(&wire), "{wire} bytes crossed for {sent}");
    let (sent, wire) = copied("here", &|_, length| lines(length), "node0");
    assert_eq!((sent > 0, wire), (true, 0), "nothing crosses within one node");
}
