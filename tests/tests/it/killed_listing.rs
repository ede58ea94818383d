//! Nodes are killed while a bucket is listed by ranges: every key is counted once, and each range goes on
//! after its last page on record.

use std::collections::BTreeSet;
use std::thread::sleep;
use std::time::{Duration, Instant};

use airlift_tests::airlift::Airlift;
use airlift_tests::cluster::{Cluster, Role};
use airlift_tests::s3::S3Server;
use airlift_tests::s3::front::{Front, Rule};
use airlift_tests::s3::listings::Answered;

const KEYS: usize = 50_000;

/// Keys so long that a page has about a thousand of them.
const KEY_BYTES: usize = 400;

/// Keys of a page, and of an answer.
const PAGE_KEYS: usize = 1_200;
const ANSWER_KEYS: usize = 200;

/// Answers that are read ahead of the page that is being filled.
const AHEAD: usize = 12;

/// Time for a range to be cut, and for the job to end after that.
const WAIT_MAX: Duration = Duration::from_secs(60);

fn key(number: usize) -> String {
    let name = format!("from/{:02}/{number:06}", number * 60 / KEYS);
    format!("{name:-<KEY_BYTES$}")
}

/// Waits until the listing is cut into ranges and has that many objects.
fn wait_for(cluster: &Cluster, objects: u64) -> usize {
    let begun = Instant::now();
    loop {
        let id = cluster.job()["id"].as_str().map(str::to_owned);
        let shown = id.map(|id| cluster.ask(["job", "show", &id, "--json"]));
        let view = shown.filter(|shown| shown.code == Some(0)).map(|shown| shown.json());
        if let Some(view) = view {
            let ranges = view["ranges"].as_array().map_or(0, Vec::len);
            let listed = view["objects"]["total"].as_u64().unwrap_or(0);
            assert_eq!(view["is_listed"], false, "it was listed before anybody was killed: {view}");
            if ranges > 3 && listed >= objects {
                return ranges;
            }
        }
        assert!(begun.elapsed() < WAIT_MAX, "no ranges");
        sleep(Duration::from_millis(50));
    }
}

/// Of each listing that did not go on from the answer before: how many of its keys had been told already.
fn told_again(answers: &[Answered]) -> Vec<usize> {
    let mut told = BTreeSet::new();
    let mut again: Vec<(String, usize)> = Vec::new();
    for answer in
        answers.iter().filter(|answer| answer.keys.iter().all(|key| key.starts_with("from/")))
    {
        let repeated = answer.keys.iter().filter(|key| !told.insert((*key).clone())).count();
        let last = answer.keys.last().cloned().unwrap_or_default();
        match again.iter_mut().find(|(end, _)| answer.is_next && *end == answer.after) {
            Some(listing) => *listing = (last, listing.1 + repeated),
            None => again.push((last, repeated)),
        }
    }
    assert_eq!(told.len(), KEYS, "keys that were told at all");
    again.into_iter().map(|(_, repeated)| repeated).collect()
}

#[test]
fn nodes_that_are_killed_while_a_bucket_is_listed_cost_a_page_a_range() {
    // So slow that two can be killed meanwhile. The log need not keep up with it: a lister waits.
    let slow = Rule { delay: Duration::from_millis(150), ..Rule::default() };
    let server = S3Server::with_bucket_behind(&Front::new(slow, Rule::default()), "bucket");
    server.name("bucket", (0..KEYS).map(key));
    server.list_with(ANSWER_KEYS);
    let airlift = Airlift::new().with_s3(server.access());
    let roles = [Role::Voter, Role::Voter, Role::Voter, Role::Worker];
    let mut cluster = Cluster::start_with(airlift, &roles);
    let copy = ["cp", "s3://bucket/from", "s3://bucket/to", "--dry-run", "--json"];
    let mut copying = cluster.begin(copy);
    wait_for(&cluster, 12_000);
    let leader = cluster.leader().expect("a leader");
    for killed in [3, leader] {
        cluster.kill(killed);
        cluster.restart(killed);
    }
    let outcome = copying.wait();
    assert_eq!(outcome.code(), Some(0), "{}", cluster.said(leader));
    let job = cluster.job();
    assert_eq!((&job["objects"]["total"], &job["objects"]["done"]), (&KEYS.into(), &KEYS.into()));
    let again = told_again(&server.listed());
    let bound = PAGE_KEYS + AHEAD * ANSWER_KEYS;
    assert!(again.iter().all(|repeated| *repeated <= bound), "{again:?}");
}
