//! What `--explain` puts the time down to, when one thing is made the slowest.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use airlift_tests::airlift::{Airlift, fast_directory};
use airlift_tests::cluster::{Cluster, Role, free_port};
use airlift_tests::narrow::Narrow;
use airlift_tests::s3::S3Server;
use airlift_tests::s3::front::{Front, Rule};
use airlift_tests::tree;
use serde_json::Value;

const FAST: Rule = Rule { per_second: None, delay: Duration::ZERO, body_rate: None };
const SLOW: Rule = Rule { delay: Duration::from_secs(1), ..FAST };
const BOUND: Rule = Rule { per_second: Some(60), ..FAST };

fn plant(root: &Path) {
    for i in 0..400 {
        tree::write(root, format!("{i:04}"), &tree::noise(i, 100));
    }
}

/// What held up a copy from a bucket that is read like this.
fn from_bucket(reads: Rule) -> Value {
    let server = S3Server::with_bucket_behind(&Front::new(reads, FAST), "bucket");
    let (source, target) = (fast_directory(), fast_directory());
    plant(source.path());
    let airlift = Airlift::new().with_s3(server.access());
    let _ = airlift.run(["cp", source.path().to_str().unwrap(), "s3://bucket/"]).expect(0);
    let words = ["cp", "s3://bucket/", target.path().to_str().unwrap(), "--explain", "--json"];
    let copied = airlift.run(words).expect(0).json();
    assert_eq!(tree::read(source.path()), tree::read(target.path()));
    copied["explanation"].clone()
}

/// What held up a copy to a bucket that is written like this.
fn to_bucket(writes: Rule) -> Value {
    let server = S3Server::with_bucket_behind(&Front::new(FAST, writes), "bucket");
    let source = fast_directory();
    plant(source.path());
    let airlift = Airlift::new().with_s3(server.access());
    let words = ["cp", source.path().to_str().unwrap(), "s3://bucket/", "--explain", "--json"];
    airlift.run(words).expect(0).json()["explanation"].clone()
}

#[test]
fn a_slow_store_is_named_at_either_end() {
    let explanation = from_bucket(SLOW);
    assert_eq!(explanation["bottleneck"], "source", "{explanation}");
    let explanation = to_bucket(SLOW);
    assert_eq!(explanation["bottleneck"], "target", "{explanation}");
}

#[test]
fn a_store_that_asks_for_fewer_requests_is_named_at_either_end() {
    for (explanation, kind) in [(from_bucket(BOUND), "reads"), (to_bucket(BOUND), "writes")] {
        assert_eq!(explanation["bottleneck"], "throttled", "{explanation}");
        let figures = &explanation["stores"][0][kind];
        assert!(figures["throttled"].as_u64() > Some(0), "{explanation}");
        assert!(figures["spared_seconds"].as_f64() > Some(1.0), "{explanation}");
    }
}

#[test]
fn people_read_which_store_has_asked_for_fewer_requests() {
    let server = S3Server::with_bucket_behind(&Front::new(FAST, BOUND), "bucket");
    let source = fast_directory();
    plant(source.path());
    let airlift = Airlift::new().with_s3(server.access());
    let words = ["-v", "cp", source.path().to_str().unwrap(), "s3://bucket/", "--explain"];
    let said = airlift.run(words).expect(0).stderr;
    let store = format!("s3://bucket at {}", server.access().endpoint);
    for part in [
        format!("writes of {store}: throttled: "),
        "\n  time      throttled ".to_owned(),
        "\n  advice    a store has asked for fewer requests".to_owned(),
        format!("\n  store     {store} refused "),
    ] {
        assert!(said.contains(&part), "{part}: {said}");
    }
}

#[test]
fn a_narrow_way_between_two_nodes_is_named() {
    const RATE: u64 = 2 << 20;
    let airlift = Airlift::new().with_variable("AIRLIFT_TRANSPORT", "tcp");
    let mut cluster = Cluster::start_with(airlift, &[Role::Voter]);
    let data = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    let narrow = Narrow::to(data, RATE).address().to_string();
    let token = cluster.token(Role::Worker);
    let words = ["--data-listen", &data.to_string(), "--data-external", &narrow];
    let node = cluster.join_saying(&token, &words);
    cluster.wait_until_whole();
    let (source, target) = (fast_directory(), fast_directory());
    tree::write(source.path(), "noise", &tree::noise(1, 24 << 20));
    let from = format!("node{node}:{}", source.path().to_str().unwrap());
    let to = format!("node0:{}", target.path().to_str().unwrap());
    let copied = cluster.ask(["cp", &from, &to, "--explain", "--json"]).expect(0).json();
    assert_eq!(copied["explanation"]["bottleneck"], "link", "{copied}");
    assert_eq!(tree::read(source.path()), tree::read(target.path()));
}
