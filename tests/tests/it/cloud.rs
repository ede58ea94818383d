//! Files to S3 and back, and S3 to S3, through the binary.

use std::collections::BTreeMap;

use airlift_node::store::Store;
use airlift_node::store::s3::S3Store;
use airlift_tests::airlift::Airlift;
use airlift_tests::conformance::fixture::{data, object};
use airlift_tests::corpus::NASTY_KEYS;
use airlift_tests::moto::Moto;
use airlift_tests::s3::{Access, S3Server};
use airlift_tests::tree;
use aws_sdk_s3::types::StorageClass;
use bytes::Bytes;
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

fn directory() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

fn put(access: &Access, bucket: &str, key: &str, bytes: Vec<u8>) {
    let runtime = Runtime::new().unwrap();
    let request = access.client().put_object().bucket(bucket).key(key);
    let request = request.content_type("text/x-nasty").metadata("owner", "tests");
    runtime.block_on(request.body(Bytes::from(bytes).into()).send()).expect("a put");
}

/// Keys of a bucket below a prefix, as the server lists them.
fn keys(access: &Access, bucket: &str, prefix: &str) -> Vec<String> {
    let runtime = Runtime::new().unwrap();
    let client = access.client();
    runtime.block_on(async {
        let mut keys = Vec::new();
        let mut pages =
            client.list_objects_v2().bucket(bucket).prefix(prefix).into_paginator().send();
        while let Some(page) = pages.next().await {
            keys.extend(
                page.expect("a page")
                    .contents
                    .unwrap_or_default()
                    .into_iter()
                    .filter_map(|o| o.key),
            );
        }
        keys
    })
}

#[test]
fn a_tree_goes_to_s3_and_comes_back_the_same() {
    let server = S3Server::with_bucket("bucket");
    let airlift = Airlift::new().with_s3(server.access());
    let (source, back) = (directory(), directory());
    for i in 0..200u64 {
        tree::write(source.path(), format!("small/{i}"), &tree::noise(i, i as usize * 97));
    }
    tree::write(source.path(), "large", &tree::noise(7, (70 << 20) + 5));
    tree::write(source.path(), "percent%2F and+plus", b"x");
    std::fs::create_dir(source.path().join("hollow")).unwrap();
    let source_path = source.path().to_str().unwrap();
    let up = airlift.run(["cp", source_path, "s3://bucket/up", "--json"]).expect(0).json();
    assert_eq!(up["objects"]["done"], 203);
    assert_eq!(server.uploads("bucket"), [] as [&str; 0]);
    let again = airlift.run(["cp", source_path, "s3://bucket/up", "--json"]).expect(0).json();
    assert_eq!(again["objects"]["unchanged"], 203);
    let _ = airlift.run(["verify", source_path, "s3://bucket/up"]).expect(0);
    let down = airlift.run(["cp", "s3://bucket/up", back.path().to_str().unwrap(), "--json"]);
    assert_eq!(down.expect(0).json()["objects"]["done"], 203);
    assert_eq!(tree::read(source.path()), tree::read(back.path()), "times and modes come back too");
    let again = airlift.run(["cp", "s3://bucket/up", back.path().to_str().unwrap(), "--json"]);
    assert_eq!(again.expect(0).json()["objects"]["unchanged"], 203);
}

/// Nasty keys from bucket to bucket, byte for byte, and to files: there, or named.
fn nasty_keys(access: &Access, bucket: &str, nasty: &[&str], keys: impl Fn(&str) -> Vec<String>) {
    let count = nasty.len();
    for (i, key) in nasty.iter().enumerate() {
        put(access, bucket, &format!("from/{key}"), tree::noise(i as u64, 100 + i));
    }
    let expected: Vec<String> = keys("from/");
    assert_eq!(expected.len(), count, "the server itself lost keys");
    let airlift = Airlift::new().with_s3(access);
    let (from, to) = (format!("s3://{bucket}/from/"), format!("s3://{bucket}/to/"));
    let copied = airlift.run(["cp", &from, &to, "--json"]).expect(0).json();
    assert_eq!(copied["objects"]["done"], count);
    let found = keys("to/");
    let strip = |keys: &[String], prefix: &str| -> Vec<String> {
        keys.iter().map(|key| key[prefix.len()..].to_owned()).collect()
    };
    assert_eq!(strip(&expected, "from/"), strip(&found, "to/"));
    let _ = airlift.run(["verify", &from, &to]).expect(0);

    let (target, other) = (directory(), directory());
    let report = other.path().join("report");
    let files = airlift
        .run(["cp", &from, target.path().to_str().unwrap(), "--report", report.to_str().unwrap()])
        .expect(1);
    assert!(!files.stderr.contains("panicked"));
    let text = std::fs::read_to_string(report).unwrap();
    let mut statuses: BTreeMap<String, String> = BTreeMap::new();
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        if let Some(key) = line["key"].as_str() {
            let status = line["status"].as_str().unwrap().to_owned();
            assert!(status == "done" || line["reason"].is_string(), "{line}");
            statuses.insert(key.to_owned(), status);
        }
    }
    assert_eq!(statuses.len(), count, "every key has its line");
    let on_disk = tree::read(target.path());
    let done: Vec<&String> =
        statuses.iter().filter(|(_, status)| *status == "done").map(|(key, _)| key).collect();
    for key in &done {
        assert!(on_disk.contains_key(std::ffi::OsStr::new(key.as_str())), "{key:?} is not there");
    }
    assert_eq!(on_disk.len(), done.len());
    assert!(done.len() > 25, "{} of the keys fit a file system", done.len());
}

#[test]
fn nasty_keys_on_the_server_of_the_tests() {
    let server = S3Server::with_bucket("bucket");
    nasty_keys(server.access(), "bucket", &NASTY_KEYS, |prefix| {
        server.keys("bucket").into_iter().filter(|key| key.starts_with(prefix)).collect()
    });
}

#[test]
fn nasty_keys_on_a_server_that_nobody_here_wrote() {
    let runtime = Runtime::new().unwrap();
    let Some(moto) = runtime.block_on(Moto::shared()) else { return };
    let access = moto.access();
    runtime.block_on(access.client().create_bucket().bucket("nasty").send()).expect("a bucket");
    // It has no route for line feeds, and writes other control characters into XML as they are,
    // which nobody can read.
    let held = NASTY_KEYS.into_iter().filter(|key| !key.chars().any(char::is_control));
    let held: Vec<&str> = held.collect();
    assert!(held.len() > 50, "{} keys are left", held.len());
    nasty_keys(access, "nasty", &held, |prefix| keys(access, "nasty", prefix));
}

#[test]
fn what_an_object_carries_goes_from_bucket_to_bucket() {
    let server = S3Server::with_bucket("bucket");
    put(server.access(), "bucket", "a/small", b"small".to_vec());
    put(server.access(), "bucket", "a/large", tree::noise(1, 20 << 20));
    let airlift = Airlift::new().with_s3(server.access());
    let _ = airlift.run(["cp", "s3://bucket/a", "s3://bucket/b"]).expect(0);
    let runtime = Runtime::new().unwrap();
    for key in ["b/small", "b/large"] {
        let head = server.access().client().head_object().bucket("bucket").key(key);
        let head = runtime.block_on(head.send()).expect("the object");
        assert_eq!(head.content_type(), Some("text/x-nasty"), "{key}");
        let metadata = head.metadata().unwrap();
        assert_eq!(metadata.get("owner").map(String::as_str), Some("tests"), "{key}");
    }
    let again = airlift.run(["cp", "s3://bucket/a", "s3://bucket/b", "--json"]).expect(0).json();
    assert_eq!(again["objects"]["unchanged"], 2);
}

#[test]
fn sync_to_s3_deletes_what_is_gone() {
    let server = S3Server::with_bucket("bucket");
    let airlift = Airlift::new().with_s3(server.access());
    let source = directory();
    for i in 0..30 {
        tree::write(source.path(), format!("d/{i:02}"), b"x");
    }
    let path = source.path().to_str().unwrap();
    let _ = airlift.run(["sync", path, "s3://bucket/m"]).expect(0);
    put(server.access(), "bucket", "other/untouched", b"x".to_vec());
    for i in 10..30 {
        std::fs::remove_file(source.path().join(format!("d/{i:02}"))).unwrap();
    }
    let synced = airlift.run(["sync", path, "s3://bucket/m", "--json"]).expect(0).json();
    assert_eq!(
        (&synced["objects"]["deleted"], &synced["objects"]["unchanged"]),
        (&20.into(), &10.into())
    );
    assert_eq!(server.keys("bucket").len(), 11);
}

/// Objects of a bucket with tags and a class of storage, and what a job between two of its prefixes
/// makes of them.
struct Carried {
    moto: std::sync::Arc<Moto>,
    runtime: Runtime,
    bucket: String,
}

impl Carried {
    fn new() -> Option<Self> {
        let runtime = Runtime::new().unwrap();
        let moto = runtime.block_on(Moto::shared())?;
        let bucket = runtime.block_on(moto.new_bucket());
        Some(Self { moto, runtime, bucket })
    }

    fn put(&self, key: &str, bytes: Vec<u8>, class: StorageClass) {
        let client = self.moto.access().client();
        let request = client.put_object().bucket(&self.bucket).key(key).storage_class(class);
        let request = request.tagging("team=Z%C3%BCrich+1&empty=").content_type("text/plain");
        self.runtime.block_on(request.body(Bytes::from(bytes).into()).send()).expect("a put");
    }

    fn tags(&self, key: &str) -> BTreeMap<String, String> {
        let request = self.moto.access().client().get_object_tagging().bucket(&self.bucket);
        let answer = self.runtime.block_on(request.key(key).send()).expect("tags");
        answer.tag_set.into_iter().map(|tag| (tag.key, tag.value)).collect()
    }

    fn class(&self, key: &str) -> Option<StorageClass> {
        let request = self.moto.access().client().head_object().bucket(&self.bucket);
        self.runtime.block_on(request.key(key).send()).expect("an object").storage_class
    }

    fn at(&self, prefix: &str) -> String {
        format!("s3://{}/{prefix}", self.bucket)
    }
}

fn tags_put() -> BTreeMap<String, String> {
    [("team", "Z\u{fc}rich 1"), ("empty", "")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

#[test]
fn tags_and_classes_go_along_as_the_job_says() {
    let Some(store) = Carried::new() else { return };
    store.put("a/small", b"small".to_vec(), StorageClass::StandardIa);
    store.put("a/large", tree::noise(1, 20 << 20), StorageClass::StandardIa);
    let airlift = Airlift::new().with_s3(store.moto.access());
    let copy = |to: &str, flags: &[&str]| {
        let (from, to) = (store.at("a/"), store.at(to));
        let mut arguments = vec!["cp", &from, &to, "--json"];
        arguments.extend(flags);
        airlift.run(arguments).expect(0).json()
    };
    let none = BTreeMap::new();
    for (to, flags, tags, class) in [
        ("plain/", &[][..], &tags_put(), None),
        ("kept/", &["--storage-class", "keep"], &tags_put(), Some(StorageClass::StandardIa)),
        (
            "bare/",
            &["--tags", "skip", "--storage-class", "ONEZONE_IA"],
            &none,
            Some(StorageClass::OnezoneIa),
        ),
        (
            "map/",
            &["--storage-class", "default=ONEZONE_IA,STANDARD_IA=GLACIER_IR"],
            &tags_put(),
            Some(StorageClass::GlacierIr),
        ),
    ] {
        let done = copy(to, flags);
        assert_eq!(done["objects"]["done"], 2, "{done}");
        assert_eq!(done["dropped"]["objects"], 0, "{done}");
        for name in ["small", "large"] {
            let key = format!("{to}{name}");
            assert_eq!(store.tags(&key), *tags, "{key}");
            assert_eq!(store.class(&key), class, "{key}");
        }
    }
}

#[test]
fn the_marker_of_a_directory_keeps_what_it_carries() {
    let Some(store) = Carried::new() else { return };
    let client = store.moto.access().client();
    let request = client.put_object().bucket(&store.bucket).key("a/dir/").metadata("owner", "me");
    let request = request.tagging("team=Z%C3%BCrich+1&empty=").content_type("text/plain");
    store.runtime.block_on(request.send()).expect("a put");
    let airlift = Airlift::new().with_s3(store.moto.access());
    let done = airlift.run(["cp", &store.at("a/"), &store.at("b/"), "--json"]).expect(0).json();
    assert_eq!(done["objects"]["done"], 1, "{done}");
    let request = client.head_object().bucket(&store.bucket).key("b/dir/");
    let marker = store.runtime.block_on(request.send()).expect("a marker");
    assert_eq!((marker.content_length(), marker.content_type()), (Some(0), Some("text/plain")));
    assert_eq!(marker.metadata().unwrap()["owner"], "me");
    assert_eq!(store.tags("b/dir/"), tags_put());
}

#[test]
fn what_a_file_cannot_hold_is_counted_and_named() {
    let Some(store) = Carried::new() else { return };
    store.put("a/small", b"small".to_vec(), StorageClass::StandardIa);
    store.put("a/large", tree::noise(1, 20 << 20), StorageClass::Standard);
    let airlift = Airlift::new().with_s3(store.moto.access());
    let (target, other) = (directory(), directory());
    let report = other.path().join("report");
    let (from, to) = (store.at("a/"), target.path().to_str().unwrap());
    let flags = ["--storage-class", "keep", "--report", report.to_str().unwrap()];
    let copied = airlift.run([&["cp", &from, to][..], &flags].concat()).expect(0);
    assert!(
        copied.stderr.contains("dropped   content_type, tags, storage_class of 2"),
        "{}",
        copied.stderr
    );
    let text = std::fs::read_to_string(report).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let line = |key: &str| lines.iter().find(|line| line["key"] == key).expect("a line");
    let (small, large) = (line("small"), line("large"));
    assert_eq!(small["dropped"], serde_json::json!(["content_type", "tags", "storage_class"]));
    assert_eq!(large["dropped"], serde_json::json!(["content_type", "tags"]));
    let summary = &lines.last().unwrap()["summary"];
    assert_eq!(summary["dropped"]["objects"], 2, "{summary}");
}

#[tokio::test]
async fn a_store_that_forgets_tags_is_found_out() {
    // The server of the tests does not know tags, and takes objects that have some.
    let server = S3Server::with_bucket("bucket");
    let store = S3Store::open(server.access().options("bucket", "")).await.unwrap();
    let (mut tagged, bytes) = object("tagged", data(1, 10));
    tagged.attributes.tags = tags_put();
    let (plain, other) = object("plain", data(2, 10));
    let mut results = store.put_small(vec![(tagged, bytes), (plain, other)]).await;
    assert_eq!(results.remove(1).map_err(|error| error.to_string()), Ok(()));
    let error = results.remove(0).unwrap_err();
    assert!(error.detail().contains("tags"), "{error}");
}

#[test]
fn what_is_archived_at_the_source_is_named_and_nothing_of_it_is_read() {
    let Some(store) = Carried::new() else { return };
    store.put("a/cold", b"cold".to_vec(), StorageClass::DeepArchive);
    store.put("a/warm", b"warm".to_vec(), StorageClass::GlacierIr);
    let airlift = Airlift::new().with_s3(store.moto.access());
    let (from, to) = (store.at("a/"), store.at("b/"));
    let copied = airlift.run(["cp", &from, &to, "--json"]).expect(1).json();
    assert_eq!((&copied["objects"]["done"], &copied["objects"]["skipped"]), (&1.into(), &1.into()));
    let error = &copied["errors"][0];
    assert_eq!((error["key"].as_str(), error["status"].as_str()), (Some("cold"), Some("skipped")));
    assert!(error["reason"].as_str().unwrap().starts_with("archived at the source"), "{error}");
    // What was copied before it went into the archive is still known to be there.
    store.put("c/cold", b"cold".to_vec(), StorageClass::Standard);
    let twin = store.at("c/");
    let again = airlift.run(["cp", &from, &twin, "--json"]).expect(0).json();
    assert_eq!(again["objects"]["unchanged"], 1, "{again}");
    assert_eq!(again["objects"]["done"], 1, "{again}");
    let verified = airlift.run(["verify", &from, &twin, "--json"]).expect(1).json();
    assert_eq!(verified["objects"]["skipped"], 1, "{verified}");
    assert_eq!(verified["objects"]["equal"], 1, "{verified}");
}

#[test]
fn the_marker_of_a_directory_that_has_got_entries_goes() {
    let server = S3Server::with_bucket("bucket");
    let (airlift, source) = (Airlift::new().with_s3(server.access()), directory());
    let path = source.path().to_str().unwrap();
    let mirror = || airlift.run(["sync", path, "s3://bucket/m", "--json"]).expect(0).json();
    tree::write(source.path(), "a", b"1");
    std::fs::create_dir(source.path().join("sub")).unwrap();
    let _ = mirror();
    assert_eq!(keys(server.access(), "bucket", "m/"), ["m/a", "m/sub/"]);
    tree::write(source.path(), "sub/b", b"2");
    assert_eq!(mirror()["objects"]["deleted"], 1);
    assert_eq!(keys(server.access(), "bucket", "m/"), ["m/a", "m/sub/b"]);
}
