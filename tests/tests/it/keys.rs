//! Keys that a target cannot hold: named before anything moves, or escaped and restored.

use std::fs;
use std::path::Path;

use airlift_tests::airlift::Airlift;
use airlift_tests::corpus::NASTY_KEYS;
use airlift_tests::s3::{Access, S3Server};
use airlift_tests::tree;
use bytes::Bytes;
use tempfile::TempDir;
use tokio::runtime::Runtime;

fn directory() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

fn put(access: &Access, key: &str, bytes: &[u8]) {
    let request = access.client().put_object().bucket("bucket").key(key);
    let request = request.body(Bytes::copy_from_slice(bytes).into());
    Runtime::new().unwrap().block_on(request.send()).expect("a put");
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// What a server has below a prefix, with the bytes.
fn held(server: &S3Server, prefix: &str) -> Vec<(String, Vec<u8>)> {
    let keys = server.keys("bucket").into_iter();
    let below = keys.filter_map(|key| Some((key.strip_prefix(prefix)?.to_owned(), key.clone())));
    below.map(|(name, key)| (name, server.content("bucket", &key).expect("its bytes"))).collect()
}

#[test]
fn escaped_keys_go_to_files_and_come_back_exactly() {
    let server = S3Server::with_bucket("bucket");
    // A name above 255 bytes no escape can make shorter.
    let nasty = NASTY_KEYS.into_iter().filter(|key| key.split('/').all(|part| part.len() < 80));
    let nasty: Vec<&str> = nasty.chain(["a//b", "a%2F/b", "x%41", "../up", "end "]).collect();
    // Nor can anything be a file and a directory.
    let is_above = |key: &str| nasty.iter().any(|below| below.starts_with(&format!("{key}/")));
    let nasty: Vec<&str> = nasty.iter().copied().filter(|key| !is_above(key)).collect();
    assert!(nasty.len() > 50, "{} keys are left", nasty.len());
    for (number, key) in nasty.iter().enumerate() {
        put(server.access(), &format!("from/{key}"), format!("{number} {key}").as_bytes());
    }
    let airlift = Airlift::new().with_s3(server.access());
    let files = directory();
    let (from, back, files) = ("s3://bucket/from/", "s3://bucket/back/", text(files.path()));
    let out = airlift.run(["cp", "--map-keys", "escape", from, files, "--json"]).expect(0).json();
    let all = out["objects"]["total"].clone();
    assert_eq!(out["objects"]["done"], all, "{out}");
    let again = airlift.run(["cp", "--map-keys", "escape", from, files, "--json"]).expect(0).json();
    assert_eq!(again["objects"]["unchanged"], all, "{again}");
    let home = airlift.run(["cp", "--map-keys", "restore", files, back, "--json"]).expect(0).json();
    assert_eq!(home["objects"]["done"], all, "{home}");
    assert_eq!(held(&server, "from/"), held(&server, "back/"));
}

#[test]
fn large_objects_are_escaped_too_and_leave_nothing_behind() {
    let server = S3Server::with_bucket("bucket");
    let bytes = tree::noise(1, 20 << 20);
    put(server.access(), "from//large", &bytes);
    let airlift = Airlift::new().with_s3(server.access());
    let files = directory();
    let target = text(files.path());
    let _ = airlift.run(["cp", "--map-keys", "escape", "s3://bucket/from/", target]).expect(0);
    let names: Vec<_> =
        fs::read_dir(files.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(names, ["%2Flarge"]);
    assert!(fs::read(files.path().join("%2Flarge")).unwrap() == bytes);
}

#[test]
fn what_nobody_escaped_is_not_restored_into_something_else() {
    let server = S3Server::with_bucket("bucket");
    let files = directory();
    for name in ["%41", "plain", "a%2F/b"] {
        tree::write(files.path(), name, name.as_bytes());
    }
    let airlift = Airlift::new().with_s3(server.access());
    let source = text(files.path());
    let out = airlift.run(["cp", "--map-keys", "restore", source, "s3://bucket/", "--json"]);
    let out = out.expect(1).json();
    assert_eq!((&out["objects"]["done"], &out["objects"]["skipped"]), (&2.into(), &1.into()));
    assert_eq!(out["errors"][0]["key"], "%41");
    assert_eq!(server.keys("bucket"), ["a//b", "plain"]);
    for command in ["sync", "verify"] {
        let other = [command, "--map-keys", "escape", source, "s3://bucket/"];
        let refused = airlift.run(other).expect(2);
        assert!(refused.stderr.contains("only cp"), "{}", refused.stderr);
    }
}

#[test]
fn a_preflight_names_what_stands_in_the_way_and_moves_nothing() {
    let server = S3Server::with_bucket("bucket");
    for key in ["good/1", "good/2", "bad//3", "clash", "clash/below"] {
        put(server.access(), &format!("from/{key}"), key.as_bytes());
    }
    let airlift = Airlift::new().with_s3(server.access());
    let (files, other) = (directory(), directory());
    let report = other.path().join("report");
    let (target, report_name) = (text(files.path()), text(&report));
    let from = "s3://bucket/from/";
    let looked =
        airlift.run(["cp", "--preflight", from, target, "--report", report_name]).expect(1);
    assert!(looked.stderr.contains("nothing was moved"), "{}", looked.stderr);
    assert_eq!(fs::read_dir(files.path()).unwrap().count(), 0, "something was moved");
    let lines = fs::read_to_string(&report).unwrap();
    let named = |key: &str, status: &str| {
        let line = format!(r#"{{"key":"{key}","status":"{status}""#);
        lines.lines().any(|text| text.starts_with(&line))
    };
    assert!(named("bad//3", "skipped") && named("clash/below", "skipped"), "{lines}");
    assert!(named("good/1", "would_copy") && named("clash", "would_copy"), "{lines}");

    let good = ["cp", "--preflight", "s3://bucket/from/good/", target, "--json"];
    let copied = airlift.run(good).expect(0).json();
    assert_eq!((&copied["objects"]["done"], &copied["dry_run"]), (&2.into(), &false.into()));
    assert_eq!(fs::read_dir(files.path()).unwrap().count(), 2);
}
