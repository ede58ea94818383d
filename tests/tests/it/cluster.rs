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

    // The node that is asked first read it all; what it cost to agree on is little beside that.
    let own = &cluster.view()["self"];
    let figure =
        |plane: &str, what: &str| own[plane][what].as_u64().unwrap_or_else(|| panic!("{own}"));
    assert_eq!(own["name"], "node0");
    let (data, control) = (figure("data", "sent_bytes"), figure("control", "sent_bytes"));
    assert!(data > 100 << 20 && control > 0 && control < data / 100, "{own}");
    assert!(figure("log", "entries") > 0 && figure("log", "syncs") > 0, "{own}");

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

    // Nodes let go of jobs that are over at their next signs of life.
    let begun = Instant::now();
    let kept = |index: usize| {
        let jobs = cluster.data_dir(index).join("jobs");
        std::fs::read_dir(jobs).map_or(0, |entries| entries.count())
    };
    while kept(0) + kept(1) > 0 {
        assert!(begun.elapsed() < Duration::from_secs(30), "journals of ended jobs stay");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_cluster_counts_what_is_not_well_as_one_process_does() {
    let (cluster, alone) = (Cluster::start(&[Role::Voter]), Airlift::new());
    let [source, target, copy, other_copy] = std::array::from_fn(|_| fast_directory());
    for (name, text) in [("same", "1"), ("changed", "2"), ("gone", "3")] {
        tree::write(source.path(), name, text.as_bytes());
    }
    std::os::unix::fs::symlink("same", source.path().join("link")).unwrap();
    for (name, text) in [("same", "1"), ("changed", "x"), ("extra", "4")] {
        tree::write(target.path(), name, text.as_bytes());
    }
    let path = |directory: &tempfile::TempDir| directory.path().to_str().unwrap().to_owned();
    for (mode, targets, count) in
        [("verify", [&target, &target], 4), ("cp", [&copy, &other_copy], 1)]
    {
        let (from, to) = (path(&source), path(targets[0]));
        let here = alone.run([mode, &from, &to, "--json"]).expect(1).json();
        let (from, to) = (on("node0", source.path()), on("node0", targets[1].path()));
        let there = cluster.ask([mode, &from, &to, "--json"]).expect(1).json();
        assert_eq!(here["trouble_count"], count, "{here}");
        for what in ["trouble_count", "exit_code", "outcome", "objects"] {
            assert_eq!(here[what], there[what], "{what}: {here} {there}");
        }
        let said = cluster.ask([mode, &from, &to]).expect(1).stderr;
        assert!(said.contains("not named here; airlift job report "), "{said}");
    }
}

#[test]
fn a_report_ends_with_the_places_that_could_not_be_listed() {
    let cluster = Cluster::start(&[Role::Voter]);
    let (source, target) = (fast_directory(), fast_directory());
    tree::write(source.path(), "a", b"1");
    std::os::unix::fs::symlink(source.path(), source.path().join("circle")).unwrap();
    let (from, to) = (on("node0", source.path()), on("node0", target.path()));
    let words = ["cp", &from, &to, "--links", "follow", "--json"];
    let copied = cluster.ask(words).expect(1).json();
    let (done, errors) = (&copied["objects"]["done"], &copied["errors"]);
    assert_eq!((done, &errors[0]["key"]), (&1.into(), &"circle".into()), "{copied}");
    let job = copied["job"].as_str().expect("an id");
    let report = cluster.ask(["job", "report", job]).expect(0).stdout;
    let lines: Vec<&str> = report.lines().collect();
    assert!(lines[0].contains("\"key\":\"a\""), "{report}");
    assert!(lines[1].contains("\"status\":\"unreadable\""), "{report}");
    assert!(lines[1].contains("\"end\":\"source\""), "{report}");
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
fn a_leader_that_is_stopped_hands_over_and_the_job_goes_on() {
    let mut cluster = Cluster::start(&[Role::Voter, Role::Voter, Role::Voter, Role::Worker]);
    let (source, target) = (fast_directory(), fast_directory());
    plant(source.path());
    let leader = cluster.leader().expect("a leader");
    let reader = (leader + 1) % 3;
    let (from, to) = (on(&format!("node{reader}"), source.path()), on("node3", target.path()));
    let mut job = cluster.begin(["cp", &from, &to, "--bwlimit", "40M"]);
    wait_for_bytes(target.path());
    let begun = Instant::now();
    assert!(cluster.stop(leader).success());
    let ended = begun.elapsed();
    assert!(ended < Duration::from_secs(10), "it took {ended:?} to end");
    // Who only misses the leader looks for another after a second at the earliest.
    let next = loop {
        match cluster.leader() {
            Some(next) if next != leader => break next,
            _ => assert!(begun.elapsed() < ended + Duration::from_millis(900), "nobody leads"),
        }
    };
    assert_ne!(next, 3, "a worker cannot lead");
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
fn a_voter_that_missed_what_the_log_no_longer_has_knows_all_of_it() {
    let airlift = Airlift::new().with_variable("AIRLIFT_LOG_ENTRIES", "16");
    let mut cluster = Cluster::start_with(airlift, &[Role::Voter, Role::Voter, Role::Voter]);
    let missing = (cluster.leader().expect("a leader") + 1) % 3;
    let other = (missing + 1) % 3;
    cluster.kill(missing);
    let (source, target) = (fast_directory(), fast_directory());
    for i in 0..40u64 {
        tree::write(source.path(), format!("{i}"), &tree::noise(i, 2000));
    }
    let node = format!("node{other}");
    let jobs: Vec<String> = (0..5)
        .map(|number| {
            let to = on(&node, &target.path().join(number.to_string()));
            let words = ["cp", &on(&node, source.path()), &to, "--json"];
            cluster.ask(words).expect(0).json()["job"].as_str().expect("an id").to_owned()
        })
        .collect();
    cluster.restart(missing);
    cluster.wait_until("it is back", |view| {
        view["nodes"].as_array().is_some_and(|all| all.iter().all(|it| it["state"] == "alive"))
    });
    // Whoever leads answers alone: with what it fetched.
    cluster.wait_until("it leads", |view| {
        let name = format!("node{missing}");
        let _ = cluster.ask(["cluster", "transfer-leader", &name]);
        view["leader"] == name.as_str()
    });
    (0..3).filter(|index| *index != missing).for_each(|index| cluster.kill(index));
    cluster.restart(other);
    cluster.wait_until("there is a leader", |view| view["leader"].is_string());
    for job in jobs {
        let report = cluster.ask(["job", "report", &job]).expect(0).stdout;
        assert_eq!(
            report.lines().filter(|line| line.contains("\"status\":\"done\"")).count(),
            40,
            "{report}"
        );
    }
}

/// Waits until the only voter left votes alone, and has it decide something.
fn assert_decides_alone(cluster: &Cluster, left: &str) {
    cluster.wait_until("the voter that is left votes alone", |view| {
        let nodes = view["nodes"].as_array().map_or(&[][..], Vec::as_slice);
        nodes.len() == 1 && view["leader"] == left && nodes[0]["is_voting"] == true
    });
    let (source, target) = (fast_directory(), fast_directory());
    tree::write(source.path(), "a", b"1");
    let (from, to) = (on(left, source.path()), on(left, target.path()));
    let _ = cluster.ask(["cp", &from, &to]).expect(0);
    assert_same(source.path(), target.path());
}

/// Its vote is needed for its own removal: it was cut off before.
#[test]
fn of_two_voters_the_follower_can_be_removed_while_it_lives() {
    let mut cluster = Cluster::start(&[Role::Voter, Role::Voter]);
    let leader = cluster.leader().expect("a leader");
    let removed = 1 - leader;
    let _ = cluster.ask(["cluster", "remove", &format!("node{removed}")]).expect(0);
    assert!(!cluster.wait_for_end(removed).success(), "a removed node ends with an error");
    let said = cluster.said(removed);
    assert!(said.contains("no member of its cluster any more"), "{said}");
    assert_decides_alone(&cluster, &format!("node{leader}"));
    // Nor does a start from its disk miss the other one.
    cluster.kill(leader);
    cluster.restart(leader);
    assert_decides_alone(&cluster, &format!("node{leader}"));
}

#[test]
fn of_two_voters_the_leader_can_be_removed_while_it_lives() {
    let mut cluster = Cluster::start(&[Role::Voter, Role::Voter]);
    let removed = cluster.leader().expect("a leader");
    let _ = cluster.ask(["cluster", "remove", &format!("node{removed}")]).expect(0);
    assert!(!cluster.wait_for_end(removed).success(), "a removed node ends with an error");
    assert_decides_alone(&cluster, &format!("node{}", 1 - removed));
}

#[test]
fn a_node_that_can_only_dial_takes_part() {
    let mut cluster = Cluster::start(&[Role::Voter]);
    let token = cluster.token(Role::Worker);
    // Sockets that take in what comes, and say nothing: as a router that forwards nothing.
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let nowhere = silent.local_addr().unwrap().to_string();
    let hidden =
        cluster.join_saying(&token, &["--external", &nowhere, "--data-external", &nowhere]);
    cluster.wait_until("the node is alive", |view| {
        let nodes = view["nodes"].as_array().map_or(&[][..], Vec::as_slice);
        nodes.len() == 2 && nodes.iter().all(|node| node["state"] == "alive")
    });
    let view = cluster.view();
    let node = &view["nodes"][hidden];
    assert_eq!(node["addresses"][0], nowhere.as_str(), "{view}");
    assert_eq!(node["data_addresses"][0], nowhere.as_str(), "{view}");
    let (source, target, back) = (fast_directory(), fast_directory(), fast_directory());
    plant(source.path());
    for (from, to) in [("node1", "node0"), ("node0", "node1")] {
        let (source, target) = match from {
            "node1" => (source.path(), target.path()),
            _ => (target.path(), back.path()),
        };
        let _ = cluster.ask(["cp", &on(from, source), &on(to, target)]).expect(0);
        assert_same(source, target);
    }
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
fn a_directory_that_was_copied_or_has_lost_its_log_is_refused_by_name() {
    let mut cluster = Cluster::start(&[Role::Voter, Role::Worker]);
    cluster.kill(1);
    let copy = fast_directory();
    for entry in std::fs::read_dir(cluster.data_dir(1)).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
        }
    }
    let directory = cluster.data_dir(1);
    let mut original = cluster
        .user()
        .command(["node", "--data-dir", directory.to_str().unwrap()])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    cluster.wait_until("the original is back", |view| {
        view["nodes"].as_array().is_some_and(|all| all.iter().all(|it| it["state"] == "alive"))
    });
    // Long enough for the leader to have heard the original's new start.
    std::thread::sleep(Duration::from_secs(5));
    let _copy = cluster.user().start(cluster.copy_arguments(copy.path()));
    let begun = Instant::now();
    while original.try_wait().unwrap().is_none() {
        if begun.elapsed() > Duration::from_secs(60) {
            original.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let ended = original.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(3), "{text}");
    assert!(text.contains("another process runs with this node's identity"), "{text}");

    cluster.kill(0);
    std::fs::remove_file(cluster.data_dir(0).join("consensus.redb")).unwrap();
    let directory = cluster.data_dir(0);
    let outcome = cluster.user().run(["node", "--data-dir", directory.to_str().unwrap()]);
    assert_eq!(outcome.code, Some(3), "{outcome:?}");
    assert!(outcome.stderr.contains("the log of this voter is gone"), "{outcome:?}");
}

#[test]
fn limits_are_shared_among_the_nodes_that_work() {
    let cluster = Cluster::start(&[Role::Voter, Role::Worker]);
    let (source, near, far) = (fast_directory(), fast_directory(), fast_directory());
    plant(source.path());
    let limit = cluster.ask(["cluster", "limit", "20M", "--json"]).expect(0).json();
    assert_eq!(limit["bandwidth_bytes_per_second"], 20 << 20);
    let from = on("node0", source.path());
    let (to_near, to_far) = (on("node0", near.path()), on("node1", far.path()));
    let mut first = cluster.begin(["cp", &from, &to_near, "--priority", "high"]);
    let mut second = cluster.begin(["cp", &from, &to_far, "--bwlimit", "15M"]);
    let share = |view: &serde_json::Value, node: usize| {
        view["nodes"][node]["share_bytes_per_second"].as_u64()
    };
    cluster.wait_until("each node has its half", |view| {
        (share(view, 0), share(view, 1)) == (Some(10 << 20), Some(10 << 20))
    });
    let jobs = cluster.ask(["job", "list", "--json"]).expect(0).json();
    let jobs = jobs["jobs"].as_array().unwrap().iter();
    for id in jobs.map(|job| job["id"].as_str().unwrap()) {
        let job = cluster.ask(["job", "show", id, "--json"]).expect(0).json();
        let is_far = job["target"].as_str().unwrap().starts_with("node1");
        let (priority, limit) = if is_far { (10, Some(15 << 20)) } else { (100, None) };
        assert_eq!(job["priority"], priority);
        assert_eq!(job["bandwidth_bytes_per_second"].as_u64(), limit);
        let writers = job["nodes"].as_array().unwrap().iter();
        for node in writers.filter(|node| node["name"] == "node1") {
            assert_eq!(node["share_bytes_per_second"].as_u64(), limit, "{job}");
        }
    }
    let _ = cluster.ask(["cluster", "limit", "off"]).expect(0);
    cluster.wait_until("the limit is gone", |view| share(view, 0).is_none());
    assert!(first.wait().success() && second.wait().success());
    assert_same(source.path(), near.path());
    assert_same(source.path(), far.path());
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

#[test]
fn a_node_s_own_files_are_no_inventory() {
    let cluster = Cluster::start(&[Role::Voter]);
    let (source, target) = (fast_directory(), fast_directory());
    tree::write(source.path(), "a", b"a");
    let own = cluster.data_dir(0).join("admin.token");
    let token = std::fs::read_to_string(&own).unwrap();
    let link = target.path().join("list");
    std::os::unix::fs::symlink(&own, &link).unwrap();
    let (from, to) = (on("node0", source.path()), on("node0", &target.path().join("to")));
    let refused = |list: &Path| {
        let words = ["cp", "--dry-run", "--files-from", &on("node0", list), &from, &to];
        let ended = cluster.ask(words).expect(2);
        assert!(!ended.stderr.contains(token.trim()) && !ended.stdout.contains(token.trim()));
        ended.stderr
    };
    for list in [&own, &link] {
        let said = refused(list);
        assert!(said.contains("lies in the node's own directory"), "{said}");
    }
    let said = refused(&target.path().join("none"));
    assert!(said.contains("there is no inventory at"), "{said}");
}

#[test]
fn a_job_under_way_takes_no_other_options() {
    let cluster = Cluster::start(&[Role::Voter]);
    let (source, target) = (fast_directory(), fast_directory());
    tree::write(source.path(), "large", &tree::noise(1, 8 << 20));
    let (from, to) = (on("node0", source.path()), on("node0", target.path()));
    let words = ["sync", "--bwlimit", "1M", &from, &to];
    let mut first = cluster.begin(words);
    wait_for_bytes(target.path());
    let bounded = ["sync", "--bwlimit", "1M", "--max-delete", "0", &from, &to];
    let said = cluster.ask(bounded).expect(3).stderr;
    assert!(said.contains("begun with other options (deletions)"), "{said}");
    // The same words watch the job that there is.
    let _ = cluster.ask(words).expect(0);
    assert!(first.wait().success());
    assert_same(source.path(), target.path());
}
