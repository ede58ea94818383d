//! How hard stores are worked: as hard as they like, as the server sees it.

use std::path::Path;
use std::time::Duration;

use airlift_tests::airlift::{Airlift, fast_directory};
use airlift_tests::cluster::{Cluster, Role};
use airlift_tests::s3::S3Server;
use airlift_tests::s3::front::{Front, Rule, Seen};
use airlift_tests::tree;
use serde_json::Value;

/// Requests at once, and orders, that a process begins with.
const REQUESTS_START: usize = 16;
const SLOTS_START: usize = 4;

fn plant(root: &Path, count: u64, bytes: usize) {
    for i in 0..count {
        tree::write(root, format!("{i:04}"), &tree::noise(i, bytes));
    }
}

/// Copies `count` files of so many bytes into a bucket behind a front; what was said of it.
fn upload(front: &Front, (count, bytes): (u64, usize), flags: &[&str]) -> Value {
    let server = S3Server::with_bucket_behind(front, "bucket");
    let source = fast_directory();
    plant(source.path(), count, bytes);
    let from = source.path().to_str().unwrap();
    let words = ["cp", from, "s3://bucket/up", "--json", "--explain"];
    let airlift = Airlift::new().with_s3(server.access());
    let copied = airlift.run(words.iter().chain(flags)).expect(0).json();
    assert_eq!(copied["objects"]["done"], count, "{copied}");
    assert_eq!(server.keys("bucket").len() as u64, count);
    copied
}

/// What is said of the writes to the place whose name begins so.
fn writes<'a>(stores: &'a Value, place: &str) -> &'a Value {
    let of_place = |store: &&Value| store["store"].as_str().unwrap().starts_with(place);
    let found = stores.as_array().unwrap().iter().find(of_place);
    &found.unwrap_or_else(|| panic!("{place} is not in {stores}"))["writes"]
}

fn refused(seen: &[bool]) -> usize {
    seen.iter().filter(|refused| **refused).count()
}

#[test]
fn a_store_that_refuses_what_is_too_much_is_soon_asked_for_what_it_grants() {
    // Far less than the slowest machine asks for.
    const PER_SECOND: u32 = 60;
    let bound = Rule { per_second: Some(PER_SECOND), ..Rule::default() };
    let front = Front::new(Rule::default(), bound);
    let copied = upload(&front, (700, 100), &[]);
    let Seen { refused: seen, .. } = front.writes();
    let (ramp, later) = seen.split_at(250);
    assert!(refused(ramp) > 0, "it was never too much");
    let (too_much, all) = (refused(later), later.len());
    assert!(too_much * 50 < all, "{too_much} of {all} were too much after the ramp");
    let writes = writes(&copied["explanation"]["stores"], "s3://bucket/up/ at ");
    assert_eq!(writes["throttled"].as_u64().unwrap() as usize, refused(&seen), "{copied}");
    assert_eq!(writes["requests"].as_u64().unwrap() as usize, seen.len(), "{copied}");
    let rate = writes["requests_per_second"].as_f64().unwrap();
    assert!(rate < 2.0 * f64::from(PER_SECOND), "{copied}");
}

#[test]
fn a_prefix_that_is_refused_holds_up_no_other() {
    const PER_SECOND: u32 = 40;
    let bound = Rule { per_second: Some(PER_SECOND), ..Rule::default() };
    let front = Front::default().with_writes_below("/bucket/up/1-slow/", bound);
    let server = S3Server::with_bucket_behind(&front, "bucket");
    let source = fast_directory();
    plant(&source.path().join("1-slow"), 200, 100);
    plant(&source.path().join("2-fast"), 600, 100);
    let from = source.path().to_str().unwrap();
    let airlift = Airlift::new().with_s3(server.access());
    let copied = airlift.run(["cp", from, "s3://bucket/up", "--json", "--explain"]);
    let copied = copied.expect(0).json();
    assert_eq!(server.keys("bucket").len(), 800);
    let stores = &copied["explanation"]["stores"];
    let (slow, fast) =
        (writes(stores, "s3://bucket/up/1-slow/"), writes(stores, "s3://bucket/up/2-fast/"));
    assert!(
        slow["throttled"].as_u64() > Some(0) && slow["requests_per_second"].is_number(),
        "{stores}"
    );
    assert_eq!((&fast["throttled"], &fast["requests_per_second"]), (&Value::from(0), &Value::Null));
    assert!(
        front.writes().last < front.writes_below().last,
        "all waited for what one prefix grants"
    );
}

#[test]
fn a_store_that_answers_slowly_has_more_requests_at_once_than_at_the_begin() {
    let slow = Rule { delay: Duration::from_millis(300), ..Rule::default() };
    let front = Front::new(Rule::default(), slow);
    upload(&front, (400, 100), &[]);
    let most = front.writes().at_once_max;
    assert!(most > 2 * REQUESTS_START, "{most} at once");

    let front = Front::new(Rule::default(), slow);
    upload(&front, (40, 100), &["--requests-max", "5"]);
    assert_eq!(front.writes().at_once_max, 5, "as the user says");
}

#[test]
fn large_objects_on_a_slow_way_are_moved_by_more_orders_than_at_the_begin() {
    let slow = Rule { body_rate: Some(4 << 20), ..Rule::default() };
    let front = Front::new(Rule::default(), slow);
    let server = S3Server::with_bucket_behind(&front, "bucket");
    let source = fast_directory();
    plant(source.path(), 1, 9 << 20);
    // More than it takes, even where the machine has other things to do: it is ended before.
    for i in 1..200 {
        let name = |i: u32| source.path().join(format!("{i:04}"));
        std::fs::hard_link(name(0), name(i)).unwrap();
    }
    let airlift = Airlift::new().with_s3(server.access());
    let mut copying = airlift.start(["cp", source.path().to_str().unwrap(), "s3://bucket/up"]);
    while front.writes().at_once_max <= SLOTS_START {
        assert!(!copying.has_ended(), "{} parts at once to the end", front.writes().at_once_max);
        std::thread::sleep(Duration::from_millis(50));
    }
    copying.kill();

    let front = Front::new(Rule::default(), slow);
    upload(&front, (6, 9 << 20), &["--slots", "2"]);
    assert_eq!(front.writes().at_once_max, 2, "as the user says");
}

#[test]
fn nodes_of_a_cluster_share_what_a_bucket_grants_and_the_job_says_so() {
    // Far less than the slowest machine asks for.
    const PER_SECOND: u32 = 50;
    // A pack for each node.
    const OBJECTS: u64 = 800;
    let bound = Rule { per_second: Some(PER_SECOND), ..Rule::default() };
    let front = Front::new(Rule::default(), bound);
    let server = S3Server::with_bucket_behind(&front, "bucket");
    let source = fast_directory();
    plant(source.path(), OBJECTS, 100);
    let airlift = Airlift::new().with_s3(server.access());
    let cluster = Cluster::start_with(airlift, &[Role::Voter, Role::Worker, Role::Worker]);
    let from = format!("node0:{}", source.path().to_str().unwrap());
    let mut copying = cluster.begin(["cp", &from, "s3://bucket/up", "--json"]);
    let (mut shared, mut parts) = (Value::Null, 0.0);
    while !copying.has_ended() {
        let id = cluster.job()["id"].as_str().unwrap_or_default().to_owned();
        let shown = cluster.ask(["job", "show", &id, "--json"]);
        let view: Value = serde_json::from_str(&shown.stdout).unwrap_or_default();
        if view["throttles"][0]["nodes"].as_u64() > shared["nodes"].as_u64() {
            shared = view["throttles"][0].clone();
            let text = cluster.ask(["job", "show", &id]).stdout;
            assert!(text.contains("throttled   writes of s3://bucket/up/ at "), "{text}");
        }
        let own = cluster.ask(["cluster", "status", "--json"]).json();
        let stores = own["self"]["stores"].as_array().unwrap();
        let mut shares =
            stores.iter().filter_map(|store| store["writes"]["share_per_second"].as_f64());
        parts = shares.next().unwrap_or(parts);
        // Asking takes the processor from those who copy.
        std::thread::sleep(Duration::from_millis(250));
    }
    assert_eq!(copying.wait().code(), Some(0));
    assert_eq!(server.keys("bucket").len() as u64, OBJECTS);
    assert_eq!((shared["kind"].as_str(), shared["nodes"].as_u64()), (Some("writes"), Some(3)));
    let rate = shared["requests_per_second"].as_u64().unwrap();
    assert!((12..=100).contains(&rate), "{shared}");
    assert!(parts > 0.0 && parts < f64::from(PER_SECOND), "{parts}");
    let Seen { refused: seen, .. } = front.writes();
    let (too_much, all) = (refused(&seen[200..]), seen.len() - 200);
    assert!(too_much * 20 < all, "{too_much} of {all} were too much after the ramp");
}
