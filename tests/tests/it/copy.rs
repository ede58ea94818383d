//! Files to files, through the binary.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::time::{Duration, SystemTime};

use airlift_tests::airlift::Airlift;
use airlift_tests::tree;
use serde_json::Value;
use tempfile::TempDir;

fn directory() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

/// Files of every kind that a file system holds and a copy may lose.
fn plant(root: &std::path::Path) {
    tree::write(root, "empty", b"");
    tree::write(root, "small", b"hello");
    tree::write(root, "deep/er/and/deeper/file", &tree::noise(1, 70_000));
    tree::write(root, "large", &tree::noise(2, (9 << 20) + 17));
    tree::write(root, b"not \xff utf-8/\xfe\x80", b"exactly");
    tree::write(root, "nfc-\u{e9}", b"1");
    tree::write(root, "nfc-e\u{301}", b"2");
    tree::write(root, " leading", b"3");
    tree::write(root, "trailing ", b"4");
    tree::write(root, "new\nline", b"5");
    tree::write(root, "quote\"s'", b"6");
    tree::write(root, "a.txt", b"before the directory a/");
    tree::write(root, "a/x", b"in it");
    let old = tree::write(root, "old", b"1984");
    let times = fs::FileTimes::new()
        .set_modified(SystemTime::UNIX_EPOCH + Duration::new(450_000_000, 123_456_789));
    fs::File::options().write(true).open(old).unwrap().set_times(times).unwrap();
    let script = tree::write(root, "script", b"#!/bin/sh\n");
    fs::set_permissions(script, fs::Permissions::from_mode(0o751)).unwrap();
    fs::create_dir_all(root.join("empty directory/nested")).unwrap();
    let sparse = fs::File::create(root.join("sparse")).unwrap();
    sparse.set_len(300 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"island", 200 << 20).unwrap();
}

#[test]
fn every_kind_of_file_arrives_exactly_and_a_second_run_moves_nothing() {
    let (source, target) = (directory(), directory());
    plant(source.path());
    let airlift = Airlift::new();
    let paths = [source.path(), target.path()].map(|path| path.as_os_str().to_owned());
    let arguments = |rest: &[&str]| {
        let mut all: Vec<OsString> = vec!["cp".into()];
        all.extend(paths.iter().cloned());
        all.extend(rest.iter().map(OsString::from));
        all
    };
    let first = airlift.run(arguments(&["--json"])).expect(0).json();
    assert_eq!(tree::read(source.path()), tree::read(target.path()));
    let sparse = fs::metadata(target.path().join("sparse")).unwrap();
    assert!(sparse.blocks() * 512 < 20 << 20, "{} blocks: the holes are gone", sparse.blocks());
    assert_eq!(first["objects"]["done"], first["objects"]["total"]);
    let second = airlift.run(arguments(&["--json"])).expect(0).json();
    assert_eq!(second["objects"]["unchanged"], first["objects"]["total"]);
    assert_eq!(second["bytes"]["sent"], 0);
    assert_eq!(airlift.jobs(), [] as [std::path::PathBuf; 0]);
    let verify = [OsString::from("verify"), paths[0].clone(), paths[1].clone(), "--json".into()];
    let verified = airlift.run(verify).expect(0).json();
    assert_eq!(verified["objects"]["equal"], first["objects"]["total"]);
}

#[test]
fn links_are_left_out_copied_or_followed() {
    let source = directory();
    tree::write(source.path(), "file", b"content");
    symlink("file", source.path().join("link")).unwrap();
    symlink("/etc/hostname", source.path().join("outside")).unwrap();
    let airlift = Airlift::new();
    let run = |policy: &str, code: i32| {
        let target = directory();
        let outcome = airlift
            .run([
                "cp",
                source.path().to_str().unwrap(),
                target.path().to_str().unwrap(),
                "--links",
                policy,
            ])
            .expect(code);
        (tree::read(target.path()), outcome)
    };
    let (tree, outcome) = run("skip", 1);
    assert_eq!(tree.len(), 1);
    assert!(outcome.stderr.contains("--links"), "{}", outcome.stderr);
    let (tree, _) = run("copy", 0);
    assert_eq!(
        tree.get("link".as_ref() as &std::ffi::OsStr),
        Some(&tree::Node::Link("file".into()))
    );
    assert_eq!(tree.len(), 3);
    let (tree, outcome) = run("follow", 1);
    assert_eq!(tree.len(), 2, "what lies outside the source is not followed");
    assert!(outcome.stderr.contains("outside"), "{}", outcome.stderr);
}

#[test]
fn a_dry_run_into_a_directory_that_is_not_there_says_that_all_would_move() {
    let (source, place) = (directory(), directory());
    tree::write(source.path(), "a", b"a");
    tree::write(source.path(), "b/c", b"c");
    let target = place.path().join("not/there");
    let ends = [source.path().to_str().unwrap(), target.to_str().unwrap()];
    for mode in ["cp", "sync"] {
        let planned = Airlift::new().run([mode, ends[0], ends[1], "--dry-run", "--json"]);
        assert_eq!(planned.expect(0).json()["objects"]["done"], 2);
        assert!(!place.path().join("not").exists());
    }
}

#[test]
fn sync_mirrors_and_keeps_what_it_must() {
    let (source, target) = (directory(), directory());
    tree::write(source.path(), "keep/a", b"a");
    fs::create_dir_all(source.path().join("hollow")).unwrap();
    tree::write(target.path(), "keep/b", b"b");
    tree::write(target.path(), "gone/deep/c", b"c");
    tree::write(target.path(), "hollow/d", b"d");
    tree::write(target.path(), "skipped.log", b"filtered keys are not deleted");
    let airlift = Airlift::new();
    let ends = [source.path().to_str().unwrap(), target.path().to_str().unwrap()];
    let sync = |rest: &[&str]| {
        airlift.run(["sync", ends[0], ends[1], "--exclude", "*.log"].iter().chain(rest))
    };
    let refused = sync(&["--max-delete", "2"]).expect(1);
    assert!(refused.stderr.contains("--max-delete"), "{}", refused.stderr);
    assert!(target.path().join("keep/b").exists());
    let planned = sync(&["--dry-run", "--json"]).expect(0).json();
    assert_eq!(planned["objects"]["deleted"], 3);
    assert!(target.path().join("keep/b").exists());
    let done = sync(&["--max-delete", "80%", "--json"]).expect(0).json();
    assert_eq!(done["objects"]["deleted"], 3);
    fs::remove_file(target.path().join("skipped.log")).unwrap();
    assert_eq!(tree::read(source.path()), tree::read(target.path()));
    assert!(!target.path().join("gone").exists(), "emptied directories go too");
}

#[test]
fn an_empty_source_deletes_nothing_unless_that_is_meant() {
    let (source, target) = (directory(), directory());
    tree::write(target.path(), "precious", b"x");
    let airlift = Airlift::new();
    let ends = [source.path().to_str().unwrap(), target.path().to_str().unwrap()];
    let refused = airlift.run(["sync", ends[0], ends[1]]).expect(1);
    assert!(refused.stderr.contains("--allow-empty-source"), "{}", refused.stderr);
    assert!(target.path().join("precious").exists());
    let _ = airlift.run(["sync", ends[0], ends[1], "--allow-empty-source"]).expect(0);
    assert!(!target.path().join("precious").exists());
}

#[test]
fn verify_names_each_key_and_exits_1() {
    let (source, target) = (directory(), directory());
    for root in [source.path(), target.path()] {
        tree::write(root, "same", b"same");
        tree::write(root, "differs", b"source");
    }
    tree::write(target.path(), "differs", b"target");
    tree::write(source.path(), "missing", b"x");
    tree::write(target.path(), "extra", b"x");
    let outcome = Airlift::new()
        .run(["verify", source.path().to_str().unwrap(), target.path().to_str().unwrap()])
        .expect(1);
    let mut lines: Vec<&str> = outcome.stdout.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["differs  differs", "extra    extra", "missing  missing"]);
}

#[test]
fn the_report_has_one_line_an_object_and_adds_up() {
    let (source, target, other) = (directory(), directory(), directory());
    plant(source.path());
    symlink("x", source.path().join("link")).unwrap();
    let report = other.path().join("report.jsonl");
    let ends = [source.path().to_str().unwrap(), target.path().to_str().unwrap()];
    let _ = Airlift::new()
        .run(["cp", ends[0], ends[1], "--report", report.to_str().unwrap()])
        .expect(1);
    let text = fs::read_to_string(report).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (summary, objects) = lines.split_last().unwrap();
    assert_eq!(summary["summary"]["objects"]["total"], objects.len());
    let small = objects.iter().find(|line| line["key"] == "small").unwrap();
    assert_eq!(small["status"], "done");
    assert_eq!(small["blake3"], blake3::hash(b"hello").to_hex().as_str());
    let large = objects.iter().find(|line| line["key"] == "large").unwrap();
    let bytes = tree::noise(2, (9 << 20) + 17);
    assert_eq!(large["blake3"], blake3::hash(&bytes).to_hex().as_str());
    let link = objects.iter().find(|line| line["key"] == "link").unwrap();
    assert_eq!(link["status"], "skipped");
    assert!(objects.iter().any(|line| line["key_base64"].is_string()), "a key outside UTF-8");
}

#[test]
fn one_object_goes_into_a_directory_or_under_a_new_name() {
    let (source, target) = (directory(), directory());
    let file = tree::write(source.path(), "file", b"content");
    let airlift = Airlift::new();
    let to = |name: &str| format!("{}/{name}", target.path().display());
    let file = file.to_str().unwrap();
    for (target, lands) in
        [("", "file"), ("new/", "new/file"), ("new/name", "new/name"), ("other", "other")]
    {
        let _ = airlift.run(["cp", file, &to(target)]).expect(0);
        assert_eq!(fs::read(to(lands)).unwrap(), b"content", "{target}");
    }
    // What is there under that name already is recognised.
    let again = airlift.run(["cp", file, &to("other"), "--json"]).expect(0).json();
    assert_eq!(again["objects"]["unchanged"], 1);
}

#[test]
fn filters_choose_keys() {
    let (source, target) = (directory(), directory());
    for name in ["a.txt", "b.log", "d/c.txt", "d/e/f.txt", "secret/g.txt"] {
        tree::write(source.path(), name, name.as_bytes());
    }
    let ends = [source.path().to_str().unwrap(), target.path().to_str().unwrap()];
    let filters = ["--include", "*.txt", "--exclude", "secret/"];
    let outcome =
        Airlift::new().run(["cp", ends[0], ends[1], "--json"].iter().chain(&filters)).expect(0);
    assert_eq!(outcome.json()["objects"]["total"], 3);
    assert_eq!(tree::read(target.path()).len(), 3);
}

#[test]
fn a_changed_object_is_copied_again_and_an_unreadable_place_is_named() {
    let (source, target) = (directory(), directory());
    tree::write(source.path(), "a", b"one");
    let ends = [source.path().to_str().unwrap(), target.path().to_str().unwrap()];
    let airlift = Airlift::new();
    let _ = airlift.run(["cp", ends[0], ends[1]]).expect(0);
    tree::write(source.path(), "a", b"two");
    let second = airlift.run(["cp", ends[0], ends[1], "--json"]).expect(0).json();
    assert_eq!(second["objects"]["done"], 1);
    assert_eq!(fs::read(target.path().join("a")).unwrap(), b"two");
    // A directory where a file should be: this object fails by name, the others go on.
    fs::remove_file(target.path().join("a")).unwrap();
    tree::write(target.path(), "a/b", b"in the way");
    tree::write(source.path(), "z", b"goes on");
    let third = airlift.run(["cp", ends[0], ends[1]]).expect(1);
    assert!(third.stderr.contains("a"), "{}", third.stderr);
    assert_eq!(fs::read(target.path().join("z")).unwrap(), b"goes on");
    assert_eq!(fs::read(target.path().join("a/b")).unwrap(), b"in the way");
}

#[test]
fn a_bandwidth_limit_holds() {
    let (source, target) = (directory(), directory());
    tree::write(source.path(), "a", &tree::noise(1, 3 << 20));
    let ends = [source.path().to_str().unwrap(), target.path().to_str().unwrap()];
    let outcome =
        Airlift::new().run(["cp", ends[0], ends[1], "--bwlimit", "2M", "--json"]).expect(0).json();
    let seconds = outcome["seconds"].as_f64().unwrap();
    assert!(seconds >= 1.3, "3 MiB at 2 MiB/s took {seconds} s");
}

#[test]
fn what_held_a_job_up_is_said_when_that_is_asked_for() {
    let (source, target) = (directory(), directory());
    tree::write(source.path(), "large", &tree::noise(1, 12 << 20));
    let airlift = Airlift::new();
    let words = ["cp", "--bwlimit", "4M", "--explain"].map(OsString::from);
    let words = words.into_iter().chain([source.path().into(), target.path().into()]);
    let mut json: Vec<OsString> = words.clone().collect();
    json.push("--json".into());
    let end = airlift.run(json).expect(0).json();
    let explanation = &end["explanation"];
    assert_eq!(explanation["bottleneck"], "limit", "{explanation}");
    assert!(explanation["seconds"]["limit"].as_f64().unwrap() > 1.0, "{explanation}");
    // There is nothing to do any more.
    let said = airlift.run(words).expect(0).stderr;
    assert!(said.contains("\n  time      ") && said.contains("\n  advice    "), "{said}");
}

#[test]
fn a_state_directory_inside_an_end_is_neither_copied_nor_deleted() {
    for is_in_target in [false, true] {
        let (source, target) = (directory(), directory());
        tree::write(source.path(), "kept", b"1");
        tree::write(target.path(), "old", b"2");
        let home = if is_in_target { target.path() } else { source.path() };
        // Of another job that waits to be resumed: losing it would lose what that job had done.
        tree::write(home, "state/jobs/other/journal", b"3");
        let state = home.join("state");
        let paths = [source.path(), target.path(), &state].map(|path| path.to_str().unwrap());
        let airlift = Airlift::new();
        let run = ["sync", paths[0], paths[1], "--state-dir", paths[2], "--json"];
        let outcome = airlift.run(run).expect(0);
        assert!(outcome.stderr.contains("the state directory"), "{outcome:?}");
        let document = outcome.json();
        assert_eq!(document["objects"]["done"], 1);
        assert_eq!(document["objects"]["deleted"], 1);
        assert_eq!(fs::read(state.join("jobs/other/journal")).unwrap(), b"3");
        assert_eq!(target.path().join("state").exists(), is_in_target);
        assert!(!target.path().join("old").exists());
    }
}
