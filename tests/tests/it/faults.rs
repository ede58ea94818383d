//! Faults of machines, links and disks while jobs run: leaders that die again and again, nodes that
//! stand still, links that are cut, voters without their disk, identities that run twice, and file
//! systems that are full.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use airlift_tests::airlift::{Airlift, Outcome, Running, fast_directory};
use airlift_tests::cluster::{Cluster, Role, free_port};
use airlift_tests::room::{Network, Own, Room};
use airlift_tests::tree;
use airlift_tests::trial::{check_end, on, plant, wait_for_flow};

/// For longer than a lease lasts.
const LONG: Duration = Duration::from_secs(20);

/// At the rate of [`begin_slowly`] more than three minutes, three times what the longest trial took
/// where it was slowest.
const LONG_JOB_MIB: usize = 400;

/// Waits until another node than `earlier` leads, and one that is asked knows it.
fn wait_for_other_leader(cluster: &Cluster, earlier: usize) {
    let earlier = format!("node{earlier}");
    cluster.wait_until("another node leads", |view| {
        view["leader"].as_str().is_some_and(|name| name != earlier)
    });
}

/// Begins a job that lasts until [`hurry_to_end`], however long that is.
fn begin_slowly(cluster: &Cluster, from: &str, to: &str) -> Running {
    let _ = cluster.ask(["cluster", "limit", "2M"]).expect(0);
    cluster.begin(["cp", from, to])
}

/// Lets a job end that lasted through all faults.
fn hurry_to_end(cluster: &Cluster, mut job: Running) {
    assert!(!job.has_ended(), "the job was to be longer than the trial: {}", cluster.job());
    let _ = cluster.ask(["cluster", "limit", "off"]).expect(0);
    assert!(job.wait().success());
}

/// Pauses for the rest of a time, which is a part of the fault.
fn last(begun: Instant, time: Duration) {
    std::thread::sleep(time.saturating_sub(begun.elapsed()));
}

#[test]
fn a_job_survives_leaders_that_are_killed_every_five_seconds() {
    let mut cluster = Cluster::start(&[Role::Voter, Role::Voter, Role::Voter, Role::Worker]);
    let (source, target) = (fast_directory(), fast_directory());
    plant(source.path(), LONG_JOB_MIB);
    // The reader is killed like the others when its turn comes.
    let (from, to) = (on(0, source.path()), on(3, target.path()));
    let mut job = begin_slowly(&cluster, &from, &to);
    wait_for_flow(target.path(), &mut job);
    for _ in 0..4 {
        let killed = Instant::now();
        let leader = cluster.leader().expect("a leader");
        cluster.kill(leader);
        wait_for_other_leader(&cluster, leader);
        cluster.restart(leader);
        last(killed, Duration::from_secs(5));
    }
    hurry_to_end(&cluster, job);
    check_end(&cluster, source.path(), target.path());
    cluster.wait_until_whole();
}

#[test]
fn a_job_survives_a_writer_and_a_leader_that_stand_still() {
    let mut cluster = Cluster::start(&[Role::Voter, Role::Voter, Role::Voter, Role::Worker]);
    let (source, target) = (fast_directory(), fast_directory());
    plant(source.path(), LONG_JOB_MIB);
    let leader = cluster.leader().expect("a leader");
    let (from, to) = (on((leader + 1) % 3, source.path()), on(3, target.path()));
    let mut job = begin_slowly(&cluster, &from, &to);
    wait_for_flow(target.path(), &mut job);

    let frozen = Instant::now();
    cluster.freeze(3);
    cluster.wait_until("the writer is missed", |view| {
        let nodes = view["nodes"].as_array();
        nodes.is_some_and(|nodes| nodes.iter().any(|node| node["state"] == "silent"))
    });
    last(frozen, LONG);
    cluster.thaw(3);
    wait_for_flow(target.path(), &mut job);

    let frozen = Instant::now();
    let leader = cluster.leader().expect("a leader");
    cluster.freeze(leader);
    wait_for_other_leader(&cluster, leader);
    last(frozen, LONG);
    cluster.thaw(leader);
    hurry_to_end(&cluster, job);
    check_end(&cluster, source.path(), target.path());
    cluster.wait_until_whole();
}

/// What the machine does not allow is said, and is no failure.
#[expect(clippy::print_stderr, reason = "a test that did nothing must not look like one that did")]
fn skip(reason: &str) {
    eprintln!("skipped: {reason}");
}

fn term(cluster: &Cluster) -> u64 {
    cluster.view()["term"].as_u64().expect("a term")
}

#[test]
fn a_job_survives_links_that_are_cut() {
    let network = match Network::open(4) {
        Ok(network) => network,
        Err(reason) => return skip(&reason),
    };
    let cluster =
        Cluster::start_at(network, &[Role::Voter, Role::Voter, Role::Voter, Role::Worker]);
    let network = cluster.network();
    let (source, target) = (fast_directory(), fast_directory());
    plant(source.path(), LONG_JOB_MIB);
    let _ = cluster.ask(["cluster", "transfer-leader", "node2"]).expect(0);
    let (from, to) = (on(0, source.path()), on(3, target.path()));
    let mut job = begin_slowly(&cluster, &from, &to);
    wait_for_flow(target.path(), &mut job);

    // The leader is on the side with fewer voters: the other side elects one.
    let both_ways = |cut: &dyn Fn(u8, u8), left: &[u8], right: &[u8]| {
        for (a, b) in left.iter().flat_map(|a| right.iter().map(move |b| (*a, *b))) {
            cut(a, b);
            cut(b, a);
        }
    };
    let begun = Instant::now();
    both_ways(&|a, b| network.cut(a, b), &[0, 1], &[2, 3]);
    wait_for_other_leader(&cluster, 2);
    last(begun, Duration::from_secs(15));
    both_ways(&|a, b| network.heal(a, b), &[0, 1], &[2, 3]);
    wait_for_flow(target.path(), &mut job);
    cluster.wait_until_whole();

    // Only the ends are cut from each other; both reach the others.
    let begun = Instant::now();
    both_ways(&|a, b| network.cut(a, b), &[0], &[3]);
    last(begun, Duration::from_secs(12));
    both_ways(&|a, b| network.heal(a, b), &[0], &[3]);
    wait_for_flow(target.path(), &mut job);

    // One way only, between two voters that are not needed for the bytes.
    let _ = cluster.ask(["cluster", "transfer-leader", "node1"]).expect(0);
    let before = term(&cluster);
    let begun = Instant::now();
    network.cut(1, 2);
    while begun.elapsed() < Duration::from_secs(10) && !job.has_ended() {
        let took = wait_for_flow(target.path(), &mut job);
        assert!(took < Duration::from_secs(10), "{took:?} without progress");
    }
    network.heal(1, 2);
    cluster.wait_until_whole();
    let terms = term(&cluster) - before;
    assert!(terms <= 3, "{terms} elections where one link was bad one way");
    hurry_to_end(&cluster, job);
    check_end(&cluster, source.path(), target.path());
}

fn remove_all_but(directory: &Path, keep: impl Fn(&str) -> bool) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        if !keep(&entry.file_name().to_string_lossy()) {
            std::fs::remove_file(entry.path()).unwrap();
        }
    }
}

fn assert_refused(outcome: &Outcome, code: i32, reason: &str) {
    assert_eq!(outcome.code, Some(code), "{outcome:?}");
    let is_said = [&outcome.stderr, &outcome.stdout].into_iter().any(|it| it.contains(reason));
    assert!(is_said, "{reason}: {outcome:?}");
    assert!(!outcome.stderr.contains("panicked"), "{outcome:?}");
}

#[test]
fn a_voter_without_its_disk_does_not_vote_and_is_replaced() {
    let mut cluster = Cluster::start(&[Role::Voter, Role::Voter, Role::Voter]);
    let leader = cluster.leader().expect("a leader");
    let lost = if leader == 2 { 1 } else { 2 };
    let name = format!("node{lost}");
    let directory = cluster.data_dir(lost);
    cluster.kill(lost);
    let user = Airlift::new();
    let start = ["node", "--data-dir", directory.to_str().unwrap()];

    // Part of it is gone, then all of it.
    let is_file = |name: &str| name != "jobs";
    remove_all_but(&directory, |name| is_file(name) && !name.starts_with("snapshot-"));
    assert_refused(&user.run(start), 3, "let it join anew with an empty directory");
    remove_all_but(&directory, |name| is_file(name) && name != "consensus.redb");
    assert_refused(&user.run(start), 3, "let it join anew with an empty directory");
    std::fs::remove_dir_all(&directory).unwrap();
    let spare = ["--listen", "127.0.0.1:0", "--api", "127.0.0.1:0"];
    let named = start.into_iter().chain(["--name", &name]).chain(spare);
    assert_refused(&user.run(named.clone()), 2, "belongs to no node yet");
    let token = cluster.token(Role::Voter);
    let joining = named.chain(["--join", &token]);
    assert_refused(&user.run(joining), 3, "is a member already");

    // The others go on, and let another one in under the same name.
    assert_eq!(cluster.view()["has_quorum"], true);
    let _ = cluster.ask(["cluster", "remove", &name]).expect(0);
    std::fs::remove_dir_all(&directory).unwrap();
    let token = cluster.token(Role::Voter);
    cluster.join_again(lost, &token);
    cluster.wait_until_whole();
    let other = 3 - leader - lost;
    cluster.kill(other);
    let (source, target) = (fast_directory(), fast_directory());
    plant(source.path(), 2);
    let (from, to) = (on(leader, source.path()), on(lost, target.path()));
    let _ = cluster.ask(["cp", &from, &to]).expect(0);
    check_end(&cluster, source.path(), target.path());
}

/// Copies the directory of a node that runs, byte for byte.
fn copy_directory(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-r").arg(from).arg(to).status().unwrap();
    assert!(status.success(), "{status}");
}

#[test]
fn an_identity_that_runs_twice_is_ended_and_the_cluster_goes_on() {
    let mut cluster = Cluster::start(&[Role::Voter, Role::Voter, Role::Voter, Role::Worker]);
    let leader = cluster.leader().expect("a leader");
    let user = Airlift::new();
    let place = fast_directory();
    for twin in [3, (leader + 1) % 3] {
        let copy = place.path().join(format!("node{twin}"));
        copy_directory(&cluster.data_dir(twin), &copy);
        let words = ["node", "--data-dir", copy.to_str().unwrap()];
        assert_refused(&user.run(words), 3, "cannot listen on");
        let address = || format!("127.0.0.1:{}", free_port());
        let (listen, api) = (address(), address());
        let elsewhere = ["--listen", &listen, "--api", &api];
        let mut second = user.start(words.into_iter().chain(elsewhere));
        let begun = Instant::now();
        assert!(!cluster.wait_for_end(twin).success());
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        let said = cluster.said(twin);
        assert!(said.contains("a data directory must not be used twice"), "{said}");
        assert_eq!(cluster.view()["has_quorum"], true);
        second.kill();
        cluster.restart(twin);
        cluster.wait_until_whole();
    }
    // Of two with a leader's identity the one that does not lead finds out when others have let it
    // in; while they have not, it harms nobody.
    let leader = cluster.leader().expect("a leader");
    let copy = place.path().join("leader");
    copy_directory(&cluster.data_dir(leader), &copy);
    let address = || format!("127.0.0.1:{}", free_port());
    let (listen, api) = (address(), address());
    let words = ["node", "--data-dir", copy.to_str().unwrap(), "--listen", &listen, "--api", &api];
    let mut second = user.start(words);
    let begun = Instant::now();
    let limit = Duration::from_secs(30);
    while cluster.living(leader).is_some() && !second.has_ended() && begun.elapsed() < limit {
        std::thread::sleep(Duration::from_millis(100));
    }
    cluster.wait_until("there is a leader", |view| {
        view["leader"].is_string() && view["has_quorum"] == true
    });
    second.kill();
    cluster.kill(leader);
    cluster.restart(leader);
    cluster.wait_until_whole();
    let (source, target) = (fast_directory(), fast_directory());
    plant(source.path(), 2);
    let (from, to) = (on(leader, source.path()), on(3, target.path()));
    let _ = cluster.ask(["cp", &from, &to]).expect(0);
    check_end(&cluster, source.path(), target.path());
}

#[test]
fn a_node_with_a_wrong_clock_does_not_join() {
    let works = Command::new("faketime").args(["-f", "+3h", "true"]).stderr(Stdio::null()).status();
    if !works.is_ok_and(|status| status.success()) {
        return skip("there is no faketime");
    }
    let cluster = Cluster::start(&[Role::Voter]);
    let directory = fast_directory();
    for shift in ["+3h", "-3h"] {
        let words = ["env", "DONT_FAKE_MONOTONIC=1", "faketime", "-f", shift];
        let token = cluster.token(Role::Worker);
        let listen = ["--listen", "127.0.0.1:0", "--api", "127.0.0.1:0", "--join", &token];
        let node = ["node", "--name", "late", "--data-dir", directory.path().to_str().unwrap()];
        let outcome =
            cluster.user().run_after(&words.map(str::to_owned), node.into_iter().chain(listen));
        assert_refused(&outcome, 3, "the clocks of the node and of the cluster differ by");
    }
    assert_eq!(cluster.view()["nodes"].as_array().map(Vec::len), Some(1));
}

/// Everything at the target is whole; what is staged does not count.
fn assert_no_part_is_visible(source: &Path, target: &Path) {
    let source = tree::read(source);
    for (path, node) in tree::read(target) {
        if !path.to_string_lossy().starts_with(".airlift") {
            assert_eq!(source.get(&path), Some(&node), "{path:?}");
        }
    }
}

/// A file system of `kib` KiB at `path`, for those in the room only.
fn small_disk(path: &Path, kib: u64) -> Result<Room, String> {
    let room = Room::open(Own::Mounts)?;
    std::fs::create_dir_all(path).map_err(|error| error.to_string())?;
    room.mount_memory(path, kib)?;
    Ok(room)
}

#[test]
fn a_full_disk_stops_a_job_that_goes_on_when_there_is_space() {
    let (source, place) = (fast_directory(), fast_directory());
    plant(source.path(), 40);
    let user = Airlift::new();
    for (part, kib) in [("target", 20 << 10), ("state", 64)] {
        let disk = place.path().join(part);
        let room = match small_disk(&disk, kib) {
            Ok(room) => room,
            Err(reason) => return skip(&reason),
        };
        let target = match part {
            "target" => disk.join("copy"),
            _ => place.path().join("copy"),
        };
        let [from, to] = [source.path(), &target].map(|path| path.to_str().unwrap());
        let state = place.path().join("state");
        let words = ["cp", from, to, "--state-dir", state.to_str().unwrap(), "--json"];
        let stopped = user.run_after(&room.entrance(), words);
        assert_refused(&stopped, 3, "no space left");
        let seen = room.outside(&target);
        if seen.exists() {
            assert_no_part_is_visible(source.path(), &seen);
        }
        room.resize(&disk, 200 << 10);
        let done = user.run_after(&room.entrance(), words).expect(0).json();
        assert_eq!(done["objects"]["failed"], 0, "{done}");
        assert!(tree::read(source.path()) == tree::read(&seen), "after {part} was full");
    }
}

/// Writes a file until nothing more goes in.
fn fill(path: &Path) {
    let mut file = std::fs::File::create(path).unwrap();
    let mut block = vec![1; 1 << 20];
    while !block.is_empty() {
        if file.write_all(&block).is_err() {
            block.truncate(block.len() / 2);
        }
    }
}

#[test]
fn a_full_disk_of_a_node_harms_nobody_else() {
    let mut cluster = Cluster::start(&[Role::Voter, Role::Voter]);
    // The third voter has a small disk of its own.
    let directory = cluster.data_dir(2);
    let room = match small_disk(&directory, 24 << 10) {
        Ok(room) => room,
        Err(reason) => return skip(&reason),
    };
    let index = cluster.join_after(room.entrance(), Role::Voter);
    assert_eq!(index, 2);
    cluster.wait_until_whole();
    if cluster.leader() == Some(2) {
        let _ = cluster.ask(["cluster", "transfer-leader", "node0"]).expect(0);
    }
    let filler = room.outside(&directory).join("filler");
    fill(&filler);
    let (source, target) = (fast_directory(), fast_directory());
    for i in 0..3000u64 {
        tree::write(source.path(), format!("{}/{i}", i % 9), &i.to_le_bytes());
    }
    let (from, to) = (on(0, source.path()), on(1, target.path()));
    let _ = cluster.ask(["cp", &from, &to]).expect(0);
    check_end(&cluster, source.path(), target.path());
    assert!(!cluster.wait_for_end(2).success());
    let said = cluster.said(2);
    assert!(said.contains("no space left") && !said.contains("panicked"), "{said}");
    std::fs::remove_file(&filler).unwrap();
    cluster.restart(2);
    cluster.wait_until("it is back", |view| view["nodes"][2]["state"] == "alive");
    cluster.wait_until("it has caught up", |view| view["nodes"][2]["lag"] == 0);
}
