//! Copies and syncs between files and an S3 server, through a proxy that makes trouble: everything is
//! right in the end, or named; nothing partial is visible; and nothing is deleted on the word of a bad
//! listing.

mod clock;
mod credentials;
mod listing;

use std::fs;
use std::path::Path;
use std::time::Duration;

use airlift_tests::airlift::{Airlift, Outcome, fast_directory};
use airlift_tests::s3::S3Server;
use airlift_tests::storm::{Fault, Operation, Rule, Storm};
use airlift_tests::tree;
use serde_json::Value;
use tempfile::TempDir;

const BUCKET: &str = "bucket";
const UP: &str = "s3://bucket/up";

/// Decides every throw of the dice.
const SEED: u64 = 20_261_129;

const SLOW_DOWN: Fault = Fault::SlowDown { retry_after: None };

/// A server, the proxy before it, and a user who knows the proxy only.
struct Scene {
    server: S3Server,
    storm: Storm,
    airlift: Airlift,
}

impl Scene {
    fn new(rules: Vec<Rule>) -> Self {
        let server = S3Server::with_bucket(BUCKET);
        let storm = Storm::before(server.access(), rules);
        let airlift = Airlift::new().with_s3(storm.access());
        Self { server, storm, airlift }
    }

    fn run(&self, words: &[&str]) -> Outcome {
        self.airlift.run(words.iter().chain(&["--json"]))
    }

    /// Puts objects past the proxy.
    fn put(&self, prefix: &str, objects: &[(&str, Vec<u8>)]) {
        let source = fast_directory();
        for (key, bytes) in objects {
            tree::write(source.path(), key, bytes);
        }
        let past = Airlift::new().with_s3(self.server.access());
        let _ = past.run(["cp", text(source.path()), &format!("s3://bucket/{prefix}")]).expect(0);
    }

    /// What is visible below `up/` is whole and as planted; whether it is everything.
    fn is_complete_and_whole(&self, source: &Path) -> bool {
        let mut missing = 0;
        for (key, bytes) in planted(source) {
            match self.server.content(BUCKET, &format!("up/{key}")) {
                Some(held) => assert!(held == bytes, "{key} is not as it was at the source"),
                None => missing += 1,
            }
        }
        missing == 0
    }

    /// Everything arrived, nothing else is there, and no upload was forgotten.
    fn assert_arrived(&self, source: &Path) {
        assert!(self.is_complete_and_whole(source), "not all arrived");
        let keys: Vec<String> =
            planted(source).into_iter().map(|(key, _)| format!("up/{key}")).collect();
        assert_eq!(self.server.keys(BUCKET), keys);
        assert_eq!(self.server.uploads(BUCKET), [""; 0]);
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Files of one directory, by name.
fn planted(root: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path());
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let mut files: Vec<_> = entries.map(|path| (name(&path), fs::read(&path).unwrap())).collect();
    files.sort();
    files
}

/// Many small files, one of the largest that is moved as a whole, and two in parts.
fn plant() -> TempDir {
    let root = fast_directory();
    for number in 0..40 {
        tree::write(root.path(), format!("small-{number:02}"), &tree::noise(number, 900));
    }
    tree::write(root.path(), "large-one", &tree::noise(100, (16 << 20) + 5));
    tree::write(root.path(), "large-two", &tree::noise(101, 9 << 20));
    root
}

fn failed_keys(report: &Path) -> Vec<(String, String)> {
    let lines = fs::read_to_string(report).unwrap();
    let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let failed = lines.filter(|line| line["status"] == "failed");
    let words = |line: Value| {
        let word = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
        (word("key"), word("reason"))
    };
    failed.map(words).collect()
}

#[test]
fn an_upload_through_a_storm_arrives_whole_and_a_second_one_moves_nothing() {
    let chance = |fault, percent| Rule::on_all(fault).chance(SEED ^ percent, percent);
    let scene = Scene::new(vec![
        chance(SLOW_DOWN, 4),
        chance(Fault::SlowDown { retry_after: Some(1) }, 2),
        chance(Fault::TooMany, 3),
        chance(Fault::ResetBefore, 5),
        chance(Fault::ResetAfter, 6),
        chance(Fault::Slow(Duration::from_millis(300)), 7),
        chance(Fault::Refuse(500, "InternalError"), 1),
        Rule::on(&[Operation::Put, Operation::PutPart], Fault::WrongSum).chance(SEED, 4),
        Rule::on(&[Operation::List, Operation::ListParts], Fault::BreakOff).chance(SEED, 15),
    ]);
    let source = plant();
    let done = scene.run(&["cp", text(source.path()), UP]).expect(0).json();
    assert_eq!(done["objects"]["done"], 42, "{done}");
    assert!(scene.storm.struck() > 5, "there was no storm");
    scene.assert_arrived(source.path());
    scene.storm.change(Vec::new());
    let again = scene.run(&["cp", text(source.path()), UP]).expect(0).json();
    assert_eq!((&again["objects"]["unchanged"], &again["bytes"]["sent"]), (&42.into(), &0.into()));
}

#[test]
fn a_download_through_a_storm_arrives_whole() {
    let chance = |fault, percent| Rule::on_all(fault).chance(SEED ^ percent, percent);
    let scene = Scene::new(Vec::new());
    let source = plant();
    let past = Airlift::new().with_s3(scene.server.access());
    let _ = past.run(["cp", text(source.path()), UP]).expect(0);
    scene.storm.change(vec![
        chance(SLOW_DOWN, 5),
        chance(Fault::ResetBefore, 4),
        chance(Fault::ResetAfter, 3),
        Rule::on(&[Operation::Get, Operation::List], Fault::BreakOff).chance(SEED, 8),
        Rule::on(&[Operation::Get, Operation::List], Fault::CutShort).chance(SEED + 1, 6),
        Rule::on(
            &[Operation::Get],
            Fault::ErrorInSuccess { code: "InternalError", is_applied: false },
        )
        .chance(SEED + 2, 5),
        Rule::on(&[Operation::Get], Fault::Gzip).chance(SEED + 3, 5),
    ]);
    let target = fast_directory();
    let done = scene.run(&["cp", UP, text(target.path())]).expect(0).json();
    assert_eq!(done["objects"]["done"], 42, "{done}");
    assert!(scene.storm.struck() > 5, "there was no storm");
    assert_eq!(planted(target.path()), planted(source.path()));
}

#[test]
fn a_store_that_says_when_to_come_back_is_left_alone_until_then() {
    let fault = Fault::SlowDown { retry_after: Some(3) };
    let scene = Scene::new(vec![Rule::on(&[Operation::Put], fault).nth(5)]);
    let source = plant();
    let words = ["cp", text(source.path()), UP, "--requests-max", "1"];
    let _ = scene.run(&words).expect(0);
    scene.assert_arrived(source.path());
    let puts = scene.storm.seen().into_iter().filter(|seen| seen.operation == Operation::Put);
    let puts: Vec<_> = puts.collect();
    let refused = puts.iter().position(|put| put.fault.is_some()).expect("one was refused");
    let pause = puts[refused + 1].arrived - puts[refused].arrived;
    assert!(pause > Duration::from_millis(2_900), "{pause:?}");
}

/// What was carried out and not answered is asked for again, and done once.
#[test]
fn requests_that_were_carried_out_and_never_answered_are_repeated_without_harm() {
    let changes = [
        Operation::Put,
        Operation::Begin,
        Operation::PutPart,
        Operation::Complete,
        Operation::Abort,
        Operation::Delete,
    ];
    let resets = changes.map(|change| Rule::on(&[change], Fault::ResetAfter).first(2));
    let scene = Scene::new(Vec::new());
    let source = plant();
    scene.put("up", &[("gone", b"old".to_vec())]);
    scene.storm.change(resets.to_vec());
    let _ = scene.run(&["cp", text(source.path()), UP]).expect(0);
    fs::remove_file(source.path().join("small-00")).unwrap();
    let synced = scene.run(&["sync", text(source.path()), UP]).expect(0).json();
    assert_eq!(synced["objects"]["deleted"], 2, "{synced}");
    scene.assert_arrived(source.path());
    for change in [
        Operation::Put,
        Operation::Begin,
        Operation::PutPart,
        Operation::Complete,
        Operation::Delete,
    ] {
        let struck = scene
            .storm
            .seen()
            .into_iter()
            .filter(|seen| seen.operation == change && seen.fault.is_some());
        assert_eq!(struck.count(), 2, "{change:?} was not struck");
    }
}

#[test]
fn an_error_inside_a_successful_answer_to_a_commit_is_an_error_and_tried_again() {
    for is_applied in [false, true] {
        let fault = Fault::ErrorInSuccess { code: "InternalError", is_applied };
        let scene = Scene::new(vec![Rule::on(&[Operation::Complete], fault).first(2)]);
        let source = plant();
        let done = scene.run(&["cp", text(source.path()), UP]).expect(0).json();
        assert_eq!(done["objects"]["done"], 42, "{done}");
        assert_eq!(scene.storm.struck(), 2);
        scene.assert_arrived(source.path());
    }
    // A store that never does it.
    let fault = Fault::ErrorInSuccess { code: "InternalError", is_applied: false };
    let scene = Scene::new(vec![Rule::on(&[Operation::Complete], fault).within("large-one")]);
    let source = plant();
    let report = source.path().join("../report.jsonl");
    let failed =
        scene.run(&["cp", text(source.path()), UP, "--report", text(&report)]).expect(1).json();
    assert_eq!((&failed["objects"]["done"], &failed["objects"]["failed"]), (&41.into(), &1.into()));
    let named = failed_keys(&report);
    assert!(named[0].0 == "large-one" && named[0].1.contains("InternalError"), "{named:?}");
    assert!(!scene.is_complete_and_whole(source.path()));
    assert_eq!(scene.server.uploads(BUCKET), [""; 0], "nothing is left that costs money");
    fs::remove_file(report).unwrap();
}

/// Whoever compresses on the way changes lengths and bytes.
#[test]
fn bytes_that_were_compressed_on_the_way_never_become_an_object() {
    let source = fast_directory();
    for (name, bytes) in [("noise", tree::noise(1, 5_000)), ("zeros", vec![0; 5_000])] {
        tree::write(source.path(), name, &bytes);
    }
    tree::write(source.path(), "large", &vec![7; 9 << 20]);
    let scene = Scene::new(Vec::new());
    let _ = scene.run(&["cp", text(source.path()), UP]).expect(0);
    scene.storm.change(vec![Rule::on(&[Operation::Get], Fault::Gzip)]);
    let (target, report) = (fast_directory(), fast_directory());
    let report = report.path().join("report.jsonl");
    let words = ["cp", UP, text(target.path()), "--report", text(&report)];
    let failed = scene.run(&words).expect(1).json();
    assert_eq!(
        (&failed["objects"]["done"], &failed["objects"]["failed"]),
        (&0.into(), &3.into()),
        "{failed}"
    );
    let mut named: Vec<String> = failed_keys(&report).into_iter().map(|(key, _)| key).collect();
    named.sort();
    assert_eq!(named, ["large", "noise", "zeros"]);
    assert_eq!(planted(target.path()), []);
    scene.storm.change(Vec::new());
    let _ = scene.run(&["cp", UP, text(target.path())]).expect(0);
    assert_eq!(planted(target.path()), planted(source.path()));
}

/// An answer to a put that names other sums than were sent is an answer about other bytes.
#[test]
fn a_store_that_answers_with_other_sums_is_not_believed() {
    let source = plant();
    let puts = [Operation::Put, Operation::PutPart];
    let scene = Scene::new(vec![Rule::on(&puts, Fault::WrongSum).within("small-07")]);
    let report = fast_directory();
    let report = report.path().join("report.jsonl");
    let failed =
        scene.run(&["cp", text(source.path()), UP, "--report", text(&report)]).expect(1).json();
    assert_eq!((&failed["objects"]["done"], &failed["objects"]["failed"]), (&41.into(), &1.into()));
    let named = failed_keys(&report);
    assert!(named[0].0 == "small-07" && named[0].1.contains("other bytes"), "{named:?}");
    assert!(
        scene.is_complete_and_whole(source.path()),
        "the bytes were right, only the word was not"
    );
}
