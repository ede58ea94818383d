//! A source that is written to while it is read: the object starts over once, then fails; what
//! becomes visible is one state of it, never a mixture.

use std::fs;
use std::time::Duration;

use airlift_tests::airlift::{Airlift, Running, fast_directory};
use airlift_tests::tree;
use serde_json::Value;

const BYTES: usize = 24 << 20;

/// Waits, for a while at most, until something is staged at the target.
fn until_staged(target: &std::path::Path, running: &mut Running) {
    let begun = std::time::Instant::now();
    let is_staged = || {
        let mut staging = fs::read_dir(target).unwrap().filter_map(Result::ok);
        staging
            .any(|entry| fs::read_dir(entry.path()).is_ok_and(|mut files| files.next().is_some()))
    };
    while !is_staged() {
        assert!(!running.has_ended() && begun.elapsed() < Duration::from_secs(30));
        std::thread::yield_now();
    }
}

fn result_of(report: &std::path::Path) -> Value {
    let text = fs::read_to_string(report).unwrap();
    serde_json::from_str(text.lines().next().unwrap()).unwrap()
}

#[test]
fn an_object_that_changes_once_starts_over_and_arrives_in_its_new_state() {
    let (source, target, other) = (fast_directory(), fast_directory(), fast_directory());
    tree::write(source.path(), "large", &tree::noise(1, BYTES));
    let report = other.path().join("report");
    let airlift = Airlift::new();
    let mut running = airlift.start([
        "cp",
        source.path().to_str().unwrap(),
        target.path().to_str().unwrap(),
        "--bwlimit",
        "16M",
        "--report",
        report.to_str().unwrap(),
    ]);
    until_staged(target.path(), &mut running);
    let changed = tree::noise(2, BYTES);
    // In one step: a writer that is seen at work would be a second change.
    let beside = tree::write(other.path(), "large", &changed);
    fs::rename(beside, source.path().join("large")).unwrap();
    assert_eq!(running.wait().code(), Some(0));
    assert_eq!(result_of(&report)["status"], "done");
    assert!(fs::read(target.path().join("large")).unwrap() == changed);
    assert_eq!(fs::read_dir(target.path()).unwrap().count(), 1, "nothing is left over");
}

#[test]
fn an_object_that_keeps_changing_fails_by_name_and_nothing_of_it_is_visible() {
    let (source, target, other) = (fast_directory(), fast_directory(), fast_directory());
    let path = tree::write(source.path(), "large", &tree::noise(1, BYTES));
    tree::write(source.path(), "still", b"this one does not change");
    let report = other.path().join("report");
    let airlift = Airlift::new();
    let mut running = airlift.start([
        "cp",
        source.path().to_str().unwrap(),
        target.path().to_str().unwrap(),
        "--bwlimit",
        "16M",
        "--report",
        report.to_str().unwrap(),
    ]);
    let file = fs::File::options().write(true).open(path).unwrap();
    let begun = std::time::Instant::now();
    let mut count = 0u64;
    while !running.has_ended() {
        assert!(begun.elapsed() < Duration::from_secs(60), "the job does not end");
        count += 1;
        std::os::unix::fs::FileExt::write_all_at(&file, &count.to_le_bytes(), 0).unwrap();
        std::thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(running.wait().code(), Some(1));
    let text = fs::read_to_string(&report).unwrap();
    let large: Value = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .find(|line| line["key"] == "large")
        .unwrap();
    assert_eq!(large["status"], "failed");
    assert_eq!(large["code"], "source_changed");
    let visible: Vec<_> =
        fs::read_dir(target.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(visible, ["still"]);
}
