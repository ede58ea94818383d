//! Credentials that end while a job is at work: renewed in time where they can be, and otherwise the job
//! waits for new ones where it is, without asking for every object.

use std::thread;

use airlift_tests::cluster::{Cluster, Role};
use airlift_tests::issuer::Issuer;
use airlift_tests::storm::Seen;

use super::*;

/// Each put takes its time, so that something happens meanwhile.
fn slow_puts() -> Rule {
    Rule::on(&[Operation::Put], Fault::Slow(Duration::from_millis(200)))
}

fn plant_small(count: u64) -> TempDir {
    let root = fast_directory();
    for number in 0..count {
        tree::write(root.path(), format!("{number:03}"), &tree::noise(number, 300));
    }
    root
}

fn wait_for(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..600 {
        if is_so() {
            return;
        }
        thread::sleep(Duration::from_millis(50));
    }
    panic!("{what} did not come");
}

fn refused(storm: &Storm) -> usize {
    let is_refusal = |seen: &&Seen| matches!(seen.fault, Some(Fault::Refuse(400, "ExpiredToken")));
    storm.seen().iter().filter(is_refusal).count()
}

#[test]
fn credentials_are_renewed_before_they_end() {
    let server = S3Server::with_bucket(BUCKET);
    let storm = Storm::before(server.access(), vec![slow_puts()]);
    let issuer = Issuer::of(server.access(), 13);
    let (name, place) = issuer.variable();
    let airlift = Airlift::new()
        .with_variable("AWS_ENDPOINT_URL", &storm.access().endpoint)
        .with_variable("AWS_REGION", "us-east-1")
        .with_variable(name, &place);
    let source = plant_small(150);
    let words = ["cp", text(source.path()), UP, "--json", "--requests-max", "2"];
    let done = airlift.run(words).expect(0).json();
    assert_eq!(done["objects"]["done"], 150, "{done}");
    assert!(done["seconds"].as_f64().unwrap() > 14.0, "longer than any of them lasted: {done}");
    assert!(issuer.issued() >= 2, "{} issued", issuer.issued());
    assert_eq!(refused(&storm), 0);
    let mut tokens: Vec<Option<String>> = storm.seen().into_iter().map(|seen| seen.token).collect();
    tokens.dedup();
    assert!(tokens.len() >= 2 && tokens.iter().all(Option::is_some), "{tokens:?}");
}

#[test]
fn a_process_whose_credentials_end_says_so_at_once_and_goes_on_with_new_ones() {
    let scene = Scene::new(vec![slow_puts()]);
    let Scene { server, storm, airlift } = scene;
    let airlift = airlift.with_variable("AWS_SESSION_TOKEN", "first");
    let source = plant_small(400);
    let words = ["cp", text(source.path()), UP, "--requests-max", "8"];
    let outcome = thread::scope(|scope| {
        let job = scope.spawn(|| airlift.run(words));
        wait_for("the first object", || server.keys(BUCKET).len() > 20);
        storm.expire("first");
        job.join().unwrap()
    });
    let outcome = outcome.expect(3);
    let said = &outcome.stderr;
    for word in ["ExpiredToken", "get new ones", "AWS_ACCESS_KEY_ID", "the same command"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    assert!(refused(&storm) <= 16, "{} requests were refused", refused(&storm));
    storm.change(Vec::new());
    let airlift = airlift.with_variable("AWS_SESSION_TOKEN", "second");
    let done = airlift.run(words.iter().chain(&["--json"])).expect(0).json();
    let objects = &done["objects"];
    assert_eq!((&objects["failed"], &objects["total"]), (&0.into(), &400.into()), "{done}");
    assert!(objects["unchanged"].as_u64().unwrap() > 20, "{done}");
    let scene = Scene { server, storm, airlift };
    scene.assert_arrived(source.path());
}

/// Answers to HEAD have no body, and so no code.
#[test]
fn refused_credentials_are_known_by_a_description_too_and_one_refused_key_is_only_that() {
    let scene = Scene::new(Vec::new());
    let source = plant_small(8);
    let _ = scene.run(&["cp", text(source.path()), UP]).expect(0);
    for (status, code) in [(400, "ExpiredToken"), (403, "InvalidAccessKeyId")] {
        let asks = [Operation::Head, Operation::Get];
        scene.storm.change(vec![Rule::on(&asks, Fault::Refuse(status, code))]);
        let outcome = scene.run(&["cp", text(source.path()), UP]).expect(3);
        assert!(outcome.stdout.contains(code), "{outcome:?}");
        let failed = &outcome.json()["objects"]["failed"];
        assert!(failed.is_null() || *failed == 0, "{outcome:?}");
    }
    tree::write(source.path(), "003", b"other");
    tree::write(source.path(), "004", b"other");
    let denied = Fault::Refuse(403, "AccessDenied");
    scene.storm.change(vec![Rule::on(&[Operation::Put], denied).within("003")]);
    let outcome = scene.run(&["cp", text(source.path()), UP]).expect(1).json();
    let objects = &outcome["objects"];
    assert_eq!((&objects["failed"], &objects["done"]), (&1.into(), &1.into()), "{outcome}");
}

/// Credentials of nodes, in a file that is written again.
fn write_keys(path: &Path, scene: &Scene, token: &str) {
    let access = scene.server.access();
    let keys = format!(
        "[default]\naws_access_key_id = {}\naws_secret_access_key = {}\naws_session_token = {token}\n",
        access.access_key, access.secret_key
    );
    fs::write(path, keys).unwrap();
}

#[test]
fn a_clusters_job_rests_until_its_credentials_are_right_and_goes_on_where_it_was() {
    let scene = Scene::new(vec![slow_puts()]);
    let keys = fast_directory();
    let keys = keys.path().join("credentials");
    write_keys(&keys, &scene, "first");
    let airlift = Airlift::new()
        .with_variable("AWS_ENDPOINT_URL", &scene.storm.access().endpoint)
        .with_variable("AWS_REGION", "us-east-1")
        .with_variable("AWS_SHARED_CREDENTIALS_FILE", text(&keys));
    let cluster = Cluster::start_with(airlift, &[Role::Voter, Role::Worker]);
    let source = plant_small(600);
    tree::write(source.path(), "large", &tree::noise(9, 40 << 20));
    let from = format!("node0:{}", text(source.path()));
    let mut watching = cluster.begin(["cp", &from, UP]);
    wait_for("an object", || scene.server.keys(BUCKET).len() > 20);
    scene.storm.expire("first");
    cluster.wait_until("the job rests", |_| cluster.job()["state"] == "paused");
    let id = cluster.job()["id"].as_str().unwrap().to_owned();
    assert_eq!(watching.wait().code(), Some(3), "nobody waits for what does not come");
    let shown = cluster.ask(["job", "show", &id]).expect(0).stdout;
    for word in ["paused by", "node", "ExpiredToken", "get new ones"] {
        assert!(shown.contains(word), "{word}: {shown}");
    }
    let view = cluster.ask(["job", "show", &id, "--json"]).expect(0).json();
    assert_eq!(view["failure"]["code"], "unauthorized", "{view}");
    // It asks for nothing more.
    let before = scene.storm.seen().len();
    thread::sleep(Duration::from_secs(2));
    assert_eq!(scene.storm.seen().len(), before);
    // Resumed too early, it rests again.
    let _ = cluster.ask(["job", "resume", &id]).expect(0);
    let watched = cluster.ask(["job", "watch", &id]).expect(3);
    assert!(watched.stderr.contains("airlift job resume"), "{watched:?}");
    write_keys(&keys, &scene, "second");
    scene.storm.change(Vec::new());
    let _ = cluster.ask(["job", "resume", &id]).expect(0);
    let done = cluster.ask(["job", "watch", &id, "--json"]).expect(0).json();
    assert_eq!(
        (&done["objects"]["failed"], &done["objects"]["done"]),
        (&0.into(), &601.into()),
        "{done}"
    );
    scene.assert_arrived(source.path());
    // Submitted again, a job that rests goes on as well.
    tree::write(source.path(), "one-more", b"more");
    scene.storm.change(vec![Rule::on(&[Operation::Put], Fault::Refuse(403, "InvalidAccessKeyId"))]);
    let _ = cluster.ask(["cp", &from, UP]).expect(3);
    assert_eq!(cluster.job()["state"], "paused");
    scene.storm.change(Vec::new());
    let _ = cluster.ask(["cp", &from, UP]).expect(0);
    scene.assert_arrived(source.path());
    // One that nobody could begin is not submitted.
    scene.storm.expire("second");
    let refused = cluster.ask(["cp", &from, UP]).expect(3);
    assert!(refused.stderr.contains("ExpiredToken"), "{refused:?}");
    write_keys(&keys, &scene, "third");
    let _ = cluster.ask(["cp", &from, UP]).expect(0);
    scene.assert_arrived(source.path());
}
