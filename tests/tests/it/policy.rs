//! Policy: schedules, budgets, what is kept of finished jobs, and webhooks, as a user meets them.

use std::path::Path;
use std::time::{Duration, Instant};

use airlift_tests::airlift::{Airlift, fast_directory};
use airlift_tests::cluster::{Cluster, Role};
use airlift_tests::hook::{Hook, Told};
use airlift_tests::tree;
use serde_json::Value;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn plant(root: &Path, count: u64, bytes: usize) {
    for i in 0..count {
        tree::write(root, format!("{i:03}"), &tree::noise(i, bytes));
    }
}

fn words<'a>(first: &'a str, from: &'a str, to: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&[first, from, to], more].concat()
}

fn utf8(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_schedule_holds_for_a_process_of_its_own_and_a_wrong_one_is_said_where_it_is_wrong() {
    let (airlift, source, target) = (Airlift::new(), fast_directory(), fast_directory());
    plant(source.path(), 4, 1 << 20);
    let (from, to) = (utf8(source.path()), utf8(target.path()));
    let wrong = ["--bwlimit", "08:00-18:00 1M, 17:00-19:00 2M"];
    let refused = airlift.run(words("cp", from, to, &wrong)).expect(2);
    let text = "entry 2, '17:00-19:00 2M', overlaps entry 1 on Mon at 17:00";
    assert!(refused.stderr.contains(text), "{refused:?}");
    let begun = Instant::now();
    let always = ["--bwlimit", "00:00-24:00 2M; Europe/Berlin", "--json"];
    let copied = airlift.run(words("cp", from, to, &always)).expect(0).json();
    assert_eq!(copied["objects"]["done"], 4);
    let took = begun.elapsed();
    assert!(took > Duration::from_millis(1_500), "4 MiB at 2 MiB a second took {took:?}");
}

#[test]
fn a_budget_ends_a_process_of_its_own_and_a_higher_one_goes_on() {
    let (airlift, source, target) = (Airlift::new(), fast_directory(), fast_directory());
    plant(source.path(), 5, 9 << 20);
    let (from, to) = (utf8(source.path()), utf8(target.path()));
    let stopped = airlift.run(words("cp", from, to, &["--budget-bytes", "20M"])).expect(3);
    let text = "of the budget of 20.0 MiB are left, and the next piece of work reads 9.0 MiB";
    assert!(stopped.stderr.contains(text), "{stopped:?}");
    assert_eq!(stopped.stderr.matches("nothing is lost").count(), 1, "{stopped:?}");
    assert!(visible(target.path()) <= 2, "{:?} of five objects", tree::read(target.path()).keys());
    // What was read counts on, in a run that may not read more.
    let _ = airlift.run(words("cp", from, to, &["--budget-bytes", "20M"])).expect(3);
    assert!(visible(target.path()) <= 2, "{:?} of five objects", tree::read(target.path()).keys());
    let on = airlift.run(words("cp", from, to, &["--budget-bytes", "100M", "--json"]));
    let on = on.expect(0).json();
    assert_eq!(
        on["objects"]["done"].as_u64().unwrap() + on["objects"]["unchanged"].as_u64().unwrap(),
        5
    );
    assert_eq!(tree::read(source.path()), tree::read(target.path()));
    let refused = airlift.run(words("cp", "s3://a/b", to, &["--budget-money", "5"])).expect(2);
    assert!(refused.stderr.contains("[prices.s3]"), "{refused:?}");
}

/// Objects that whoever looks at a target sees.
fn visible(target: &Path) -> usize {
    let entries = std::fs::read_dir(target).unwrap().map(|entry| entry.unwrap().file_name());
    entries.filter(|name| !name.to_string_lossy().starts_with(".airlift")).count()
}

fn show(cluster: &Cluster, job: &str) -> Value {
    cluster.ask(["job", "show", job, "--json"]).expect(0).json()
}

/// Waits until a job is what a test waits for.
fn wait_for(cluster: &Cluster, job: &str, is_there: impl Fn(&Value) -> bool) -> Value {
    let begun = Instant::now();
    loop {
        let view = show(cluster, job);
        if is_there(&view) {
            return view;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{view}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn submit(cluster: &Cluster, from: &str, to: &str, more: &[&str]) -> String {
    let words = [&["job", "submit", from, to], more].concat();
    cluster.ask(words).expect(0).stdout.trim().to_owned()
}

#[test]
fn a_budget_pauses_a_clusters_job_and_what_was_finished_is_kept_for_as_long_as_is_said() {
    let cluster = Cluster::start(&[Role::Voter, Role::Worker]);
    let (source, target) = (fast_directory(), fast_directory());
    plant(source.path(), 5, 9 << 20);
    let from = format!("node0:{}", utf8(source.path()));
    let to = format!("node1:{}", utf8(target.path()));
    let job = submit(&cluster, &from, &to, &["--budget-bytes", "20M", "--budget-requests", "9"]);
    let view = wait_for(&cluster, &job, |view| view["state"] == "paused");
    assert_eq!(view["failure"]["code"], "over_budget");
    assert_eq!(view["budget"]["bytes"]["limit"], 20 << 20);
    assert!(view["budget"]["bytes"]["used"].as_u64().unwrap() <= 20 << 20, "{view}");
    let text = cluster.ask(["job", "show", &job]).expect(0).stdout;
    assert!(text.contains("of 20.0 MiB read") && text.contains("paused by"), "{text}");
    let raised = cluster.ask(["job", "budget", "--bytes", "1G", &job, "--json"]).expect(0).json();
    assert_eq!(raised["budget"]["requests"]["limit"], 9, "what is not named stays");
    let ended = wait_for(&cluster, &job, |view| view["state"] == "completed");
    assert!(ended["budget"]["bytes"]["used"].as_u64().unwrap() >= 45 << 20, "{ended}");
    assert_eq!(tree::read(source.path()), tree::read(target.path()));

    // Whoever waited for its end comes for the report.
    let short = cluster.ask(["cluster", "keep-finished", "1s"]).expect(2);
    assert!(short.stderr.contains("for 10 minutes at least"), "{short:?}");
    let kept = cluster.ask(["cluster", "keep-finished", "10m", "--json"]).expect(0).json();
    assert_eq!(kept["retention"]["age_seconds"], 600);
    let _ = cluster.ask(["job", "report", &job]).expect(0);
}

/// The configuration of a node with one webhook, and the user that nodes have it from.
fn configured(directory: &Path, url: &str) -> Airlift {
    std::fs::write(directory.join("hook.key"), format!("{SECRET}\n")).unwrap();
    let file = directory.join("airlift.toml");
    let text = format!("[webhooks.chat]\nurl = \"{url}\"\nsecret = \"file:hook.key\"\n");
    std::fs::write(&file, text).unwrap();
    Airlift::new().with_variable("AIRLIFT_CONFIG", utf8(&file))
}

fn events(told: &[Told]) -> Vec<&str> {
    let mut ids = Vec::new();
    let mut events = Vec::new();
    for told in told.iter().filter(|told| told.status == 200) {
        if !ids.contains(&&told.id) {
            ids.push(&told.id);
            events.push(told.body["event"].as_str().unwrap());
        }
    }
    events
}

#[test]
fn a_webhook_is_told_everything_though_it_fails_is_slow_and_the_leader_dies() {
    // It fails twice, then never answers in time, then answers well.
    let hook = Hook::start(|number| match number {
        0 | 1 => (500, Duration::ZERO),
        2 => (200, Duration::from_secs(15)),
        _ => (200, Duration::ZERO),
    });
    let directory = fast_directory();
    let airlift = configured(directory.path(), &hook.url());
    let mut cluster = Cluster::start_with(airlift, &[Role::Voter, Role::Voter, Role::Voter]);
    let (source, target) = (fast_directory(), fast_directory());
    plant(source.path(), 3, 1000);
    let from = format!("node1:{}", utf8(source.path()));
    let to = format!("node2:{}", utf8(target.path()));
    let job = submit(&cluster, &from, &to, &[]);
    wait_for(&cluster, &job, |view| view["state"] == "completed");
    hook.wait_until("the first event, three times", |told| told.len() >= 3);
    let leader = cluster.leader().unwrap();
    cluster.kill(leader);
    let all = ["submitted", "started", "completed"];
    let told = hook.wait_until("everything", |told| events(told) == all);
    assert!(told.iter().all(|told| told.is_signed(SECRET)), "{told:#?}");
    assert!(told.iter().all(|told| told.id == told.body["id"]), "{told:#?}");
    let first = &told[0].id;
    assert!(told.iter().take(3).all(|told| told.id == *first), "it is told again: {told:#?}");
    let last = told.last().unwrap();
    assert_eq!((&last.body["job_id"], &last.body["job"]["outcome"]), (&job.into(), &"done".into()));
    let said: String = (0..3).map(|index| cluster.said(index)).collect();
    assert!(said.contains("an event was not delivered") && !said.contains(SECRET), "{said}");
}

#[test]
fn a_webhook_can_be_tried_and_redirects_are_not_followed() {
    let hook = Hook::start(|number| match number {
        0 => (200, Duration::ZERO),
        _ => (302, Duration::ZERO),
    });
    let directory = fast_directory();
    let airlift = configured(directory.path(), &hook.url());
    let tried = airlift.run(["webhook", "test", "--json"]).expect(0).json();
    assert_eq!((&tried[0]["name"], &tried[0]["status"]), (&"chat".into(), &200.into()));
    let told = hook.told();
    assert!(told[0].is_signed(SECRET) && told[0].body["event"] == "test", "{told:#?}");
    let moved = airlift.run(["webhook", "test", "chat"]).expect(3);
    assert!(moved.stdout.contains("redirects are not followed"), "{moved:?}");
    assert_eq!(hook.told().len(), 2);
    let unknown = airlift.run(["webhook", "test", "mail"]).expect(2);
    assert!(unknown.stderr.contains("known are chat"), "{unknown:?}");
}
