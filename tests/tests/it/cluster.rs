//! Clusters of real processes: what one machine's death must not stop.

use std::path::Path;
use std::time::{Duration, Instant};

use airlift_tests::airlift::{Airlift, fast_directory};
use airlift_tests::cluster::{Cluster, Role};
use airlift_tests::s3::S3Server;
use airlift_tests::tree;

/// Many small files and a large one.
fn plant(root: &Path) {
    for i in 0..600u64 {
        tree::write(root, format!("small/{}/{i}", i % 7), &tree::noise(i, 500 + i as usize));
    }
    tree::write(root, "large", &tree::noise(7, (150 << 20) + 5));
    std::fs::create_dir(root.join("hollow")).unwrap();
}

fn on(node: &str, path: &Path) -> String {
    format!("{node}:{}", path.to_str().unwrap())
}

/// Waits until something of the job has arrived below `target`, still invisible or not.
fn wait_for_bytes(target: &Path) {
    let begun = Instant::now();
    while std::fs::read_dir(target).unwrap().next().is_none() {
        assert!(begun.elapsed() < Duration::from_secs(60), "nothing arrives at {target:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn assert_same(source: &Path, target: &Path) {
    assert_eq!(tree::read(source), tree::read(target));
    let left: Vec<_> = std::fs::read_dir(target)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .filter(|name| name.to_string_lossy().starts_with(".airlift"))
        .collect();
    assert!(left.is_empty(), "{left:?} was left at the target");
}

#[test]
fn two_nodes_move_a_tree_and_verify_syncs_and_reports_it() {
    let cluster = Cluster::start(&[Role::Voter, Role::Worker]);
    let (source, target) = (fast_directory(), fast_directory());
    plant(source.path());
    let (from, to) = (on("node0", source.path()), on("node1", target.path()));
    let report = source.path().parent().unwrap().join("cluster-report");
    let words = ["cp", &from, &to, "--json", "--report", report.to_str().unwrap()];
    let copied = cluster.ask(words).expect(0).json();
    assert_eq!(copied["objects"]["done"], 602);
    assert_same(source.path(), target.path());
    let lines = std::fs::read_to_string(&report).unwrap();
    assert_eq!(lines.lines().filter(|line| line.contains("\"status\":\"done\"")).count(), 602);
    std::fs::remove_file(&report).unwrap();

    let again = cluster.ask(["cp", &from, &to, "--json"]).expect(0).json();
    assert_eq!(again["objects"]["unchanged"], 602);
    assert_eq!(
        cluster.ask(["verify", &from, &to, "--json"]).expect(0).json()["objects"]["equal"],
        602
    );
    std::fs::remove_file(source.path().join("small/0/0")).unwrap();
    let synced = cluster.ask(["sync", &from, &to, "--json"]).expect(0).json();
    assert_eq!(synced["objects"]["deleted"], 1);
    assert_same(source.path(), target.path());

    let back = fast_directory();
    let (from, to) = (on("node1", target.path()), on("node0", back.path()));
    let _ = cluster.ask(["cp", &from, &to]).expect(0);
    assert_same(source.path(), back.path());
    let jobs = cluster.ask(["job", "list", "--json"]).expect(0).json();
    assert_eq!(jobs["jobs"].as_array().map(Vec::len), Some(4));
}

#[test]
fn a_job_survives_the_death_of_the_leader() {
    let mut cluster = Cluster::start(&[Role::Voter, Role::Voter, Role::Voter, Role::Worker]);
    let (source, target) = (fast_directory(), fast_directory());
    plant(source.path());
    // The one who dies must not have an end of the job: that the others can take over.
    let leader = cluster.leader().expect("a leader");
    let reader = (leader + 1) % 3;
    let (from, to) = (on(&format!("node{reader}"), source.path()), on("node3", target.path()));
    let mut job = cluster.begin(["cp", &from, &to, "--bwlimit", "30M"]);
    wait_for_bytes(target.path());
    cluster.kill(leader);
    let killed = Instant::now();
    cluster.wait_until("another node leads", |view| {
        view["leader"].as_str().is_some_and(|name| name != format!("node{leader}"))
    });
    assert!(killed.elapsed() < Duration::from_secs(20), "{:?} without leader", killed.elapsed());
    assert!(job.wait().success());
    assert_same(source.path(), target.path());
    cluster.restart(leader);
    cluster.wait_until("it is back", |view| {
        view["nodes"].as_array().is_some_and(|all| all.iter().all(|it| it["state"] == "alive"))
    });
}

#[test]
fn a_job_survives_the_death_of_each_of_its_ends() {
    let mut cluster = Cluster::start(&[Role::Voter, Role::Worker, Role::Worker]);
    let (source, target) = (fast_directory(), fast_directory());
    plant(source.path());
    let (from, to) = (on("node1", source.path()), on("node2", target.path()));
    let mut job = cluster.begin(["cp", &from, &to, "--bwlimit", "40M"]);
    wait_for_bytes(target.path());
    cluster.kill(2);
    cluster.restart(2);
    cluster.wait_until("the target's node is back", |view| {
        view["nodes"].as_array().is_some_and(|all| all.iter().all(|it| it["state"] == "alive"))
    });
    cluster.kill(1);
    // For longer than a lease lasts, and than an attempt is tried again.
    cluster.wait_until("the source's node is missed", |view| {
        view["nodes"].as_array().is_some_and(|nodes| nodes.iter().any(|it| it["state"] == "silent"))
    });
    cluster.restart(1);
    assert!(job.wait().success());
    assert_same(source.path(), target.path());
}

#[test]
fn a_cluster_that_was_killed_whole_goes_on_where_it_was() {
    let mut cluster = Cluster::start(&[Role::Voter, Role::Voter, Role::Voter]);
    let (source, target) = (fast_directory(), fast_directory());
    plant(source.path());
    let (from, to) = (on("node1", source.path()), on("node2", target.path()));
    let mut job = cluster.begin(["cp", &from, &to, "--bwlimit", "40M"]);
    wait_for_bytes(target.path());
    (0..3).for_each(|index| cluster.kill(index));
    (0..3).for_each(|index| cluster.restart(index));
    assert!(job.wait().success());
    assert_same(source.path(), target.path());
}

#[test]
fn nodes_share_the_work_on_a_bucket() {
    let server = S3Server::with_bucket("bucket");
    let cluster =
        Cluster::start_with(Airlift::new().with_s3(server.access()), &[Role::Voter, Role::Worker]);
    let (source, back) = (fast_directory(), fast_directory());
    plant(source.path());
    let from = on("node0", source.path());
    let up = cluster.ask(["cp", &from, "s3://bucket/up", "--json"]).expect(0).json();
    assert_eq!(up["objects"]["done"], 602);
    assert_eq!(server.uploads("bucket"), [] as [&str; 0]);
    let to = on("node1", back.path());
    let _ = cluster.ask(["cp", "s3://bucket/up", &to]).expect(0);
    assert_same(source.path(), back.path());
}

#[test]
fn who_does_not_belong_is_refused_by_name() {
    let mut cluster = Cluster::start(&[Role::Voter, Role::Worker]);
    let user = Airlift::new();
    let refused = |cluster: &Cluster, token: &str, reason: &str| {
        let directory = fast_directory();
        let mut words = cluster.join_arguments(1, token);
        words[2] = directory.path().to_str().unwrap().to_owned();
        words[4] = "stranger".to_owned();
        words[6] = "127.0.0.1:0".to_owned();
        words[8] = "127.0.0.1:0".to_owned();
        let outcome = user.run(words);
        assert!(matches!(outcome.code, Some(2 | 3)), "{outcome:?}");
        assert!(outcome.stderr.contains(reason), "{reason}: {outcome:?}");
        assert!(!outcome.stderr.contains("panicked"), "{outcome:?}");
    };
    refused(&cluster, "airlift1.nonsense", "token");
    let used = cluster.token(Role::Worker);
    let begun = Instant::now();
    // The first who shows it gets in.
    let index = cluster.join_with(&used);
    cluster.wait_until("the third node is in", |view| {
        view["nodes"].as_array().is_some_and(|nodes| nodes.len() == 3)
    });
    assert!(begun.elapsed() < Duration::from_secs(30));
    refused(&cluster, &used, "used already");
    let other = Cluster::start(&[Role::Voter]);
    let mixed: Vec<String> = other.token(Role::Worker).split('.').map(str::to_owned).collect();
    let own: Vec<String> = used.split('.').map(str::to_owned).collect();
    // Another cluster's token that leads here: same addresses, other cluster.
    let forged = [&mixed[..5], &own[5..]].concat().join(".");
    refused(&cluster, &forged, "belongs to");
    let removed = format!("node{index}");
    let _ = cluster.ask(["cluster", "remove", &removed]).expect(0);
    let gone = cluster.wait_for_end(index);
    assert!(!gone.success(), "a removed node ends with an error");
    let outcome = user.run(["cluster", "status", "--cluster", &cluster.url(0)]);
    assert!(matches!(outcome.code, Some(2 | 3)), "no token, no answer: {outcome:?}");
}
