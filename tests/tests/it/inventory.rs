//! Inventories and lists of keys in place of a listing of the source.

use std::fs;
use std::io::Write;
use std::path::Path;

use airlift_tests::airlift::Airlift;
use airlift_tests::s3::{Access, S3Server};
use airlift_tests::tree;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use md5::{Digest, Md5};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

fn directory() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// Puts an object; its ETag and time, as an inventory has them.
fn put(access: &Access, key: &str, bytes: Vec<u8>) -> (String, i64) {
    let client = access.client();
    let length = bytes.len();
    let request = client.put_object().bucket("bucket").key(key).body(Bytes::from(bytes).into());
    let runtime = Runtime::new().unwrap();
    runtime.block_on(request.send()).expect("a put");
    let head = client.head_object().bucket("bucket").key(key).send();
    let head = runtime.block_on(head).expect("the object");
    assert_eq!(head.content_length(), Some(length as i64));
    (head.e_tag().unwrap().trim_matches('"').to_owned(), head.last_modified().unwrap().secs())
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn only_what_a_list_names_is_moved_and_what_is_not_there_is_named() {
    let (source, target, other) = (directory(), directory(), directory());
    for name in ["a", "b", "c", "line\nfeed"] {
        tree::write(source.path(), name, name.as_bytes());
    }
    let list = other.path().join("list");
    let (from, to) = (text(source.path()), text(target.path()));
    fs::write(&list, "c\n\na\nnowhere\r\nc\n").unwrap();
    let airlift = Airlift::new();
    let out = airlift.run(["cp", "--files-from", text(&list), from, to, "--json"]).expect(1).json();
    assert_eq!(
        (&out["objects"]["done"], &out["objects"]["total"]),
        (&2.into(), &2.into()),
        "{out}"
    );
    assert_eq!(out["errors"][0]["key"], "nowhere");
    assert_eq!(out["errors"][0]["code"], "not_found");
    assert_eq!(names(target.path()), ["a", "c"]);

    fs::write(&list, "b\0line\nfeed\0").unwrap();
    let out = airlift.run(["cp", "--files-from", text(&list), from, to, "--json"]).expect(0).json();
    assert_eq!(out["objects"]["done"], 2, "{out}");
    assert_eq!(names(target.path()), ["a", "b", "c", "line\nfeed"]);
}

#[test]
fn lists_that_make_no_sense_are_refused() {
    let (source, other) = (directory(), directory());
    tree::write(source.path(), "a", b"a");
    let list = other.path().join("list");
    fs::write(&list, vec![b'x'; 100_000]).unwrap();
    let (from, to) = (text(source.path()), other.path().join("to"));
    let airlift = Airlift::new();
    let copy =
        |list: &Path, from: &str| airlift.run(["cp", "--files-from", text(list), from, text(&to)]);
    let endless = copy(&list, from).expect(3);
    assert!(endless.stderr.contains("one a line"), "{}", endless.stderr);
    let missing = copy(&other.path().join("none"), from).expect(3);
    assert!(missing.stderr.contains("none"), "{}", missing.stderr);
    let single = copy(&list, &format!("{from}/a")).expect(2);
    assert!(single.stderr.contains("one object"), "{}", single.stderr);
    let mirror = airlift.run(["sync", "--files-from", text(&list), from, text(&to)]).expect(2);
    assert!(mirror.stderr.contains("for cp only"), "{}", mirror.stderr);
    assert!(!to.join("a").exists(), "something was moved");
}

/// A report of S3 Inventory about `source/`, with these lines, in the bucket.
fn report(access: &Access, lines: &[String], bucket: &str, damage: Option<u8>) {
    let (one, other) = lines.split_at(lines.len() / 2);
    let files: Vec<Value> = [one, other]
        .iter()
        .enumerate()
        .map(|(number, lines)| {
            let mut packed = GzEncoder::new(Vec::new(), Compression::default());
            packed.write_all(lines.concat().as_bytes()).unwrap();
            let packed = packed.finish().unwrap();
            let digest: String =
                Md5::digest(&packed).iter().map(|byte| format!("{byte:02x}")).collect();
            let key = format!("inventory/data/{number}.csv.gz");
            let mut stored = packed;
            if let Some(byte) = damage {
                let end = stored.len() - 1;
                stored[end] ^= byte;
            }
            let size = stored.len();
            put(access, &key, stored);
            json!({ "key": key, "size": size, "MD5checksum": digest })
        })
        .collect();
    let manifest = json!({
        "sourceBucket": bucket,
        "destinationBucket": "arn:aws:s3:::bucket",
        "version": "2016-11-30",
        "creationTimestamp": "1793527200000",
        "fileFormat": "CSV",
        "fileSchema": "Bucket, Key, Size, LastModifiedDate, ETag, StorageClass",
        "files": files,
    });
    put(access, "inventory/manifest.json", manifest.to_string().into_bytes());
}

fn line(key: &str, size: usize, (etag, seconds): &(String, i64)) -> String {
    let time = aws_sdk_s3::primitives::DateTime::from_secs(*seconds);
    let time = time.fmt(aws_sdk_s3::primitives::DateTimeFormat::DateTime).unwrap();
    format!("\"bucket\",\"{key}\",\"{size}\",\"{time}\",\"{etag}\",\"STANDARD\"\n")
}

#[test]
fn an_inventory_stands_for_the_listing_and_reads_are_pinned_to_it() {
    let server = S3Server::with_bucket("bucket");
    let access = server.access();
    let mut lines: Vec<String> = (0..50)
        .map(|number| {
            let key = format!("source/{number:02}+x");
            let state = put(access, &key, tree::noise(number, 100 + number as usize));
            line(&key.replace('+', "%2B"), 100 + number as usize, &state)
        })
        .collect();
    let large = put(access, "source/large", tree::noise(99, 20 << 20));
    lines.push(line("source/large", 20 << 20, &large));
    // It is in no order, and not up to date: one object is gone, one has changed, one is new.
    lines.reverse();
    lines.push(line("source/gone", 5, &large));
    put(access, "source/00+x", b"changed".to_vec());
    put(access, "source/new", b"new".to_vec());
    report(access, &lines, "bucket", None);

    let target = directory();
    let airlift = Airlift::new().with_s3(access);
    let inventory = "s3://bucket/inventory/manifest.json";
    let to = text(target.path());
    let copy = ["cp", "--inventory", inventory, "s3://bucket/source/", to, "--json"];
    let out = airlift.run(copy).expect(1).json();
    assert_eq!(
        (&out["objects"]["total"], &out["objects"]["done"]),
        (&52.into(), &51.into()),
        "{out}"
    );
    assert_eq!(out["errors"][0]["key"], "gone");
    assert_eq!(fs::read(target.path().join("00+x")).unwrap(), b"changed");
    assert!(fs::read(target.path().join("large")).unwrap() == tree::noise(99, 20 << 20));
    assert!(!target.path().join("new").exists(), "it is not in the inventory");
}

#[test]
fn an_inventory_that_is_damaged_or_of_another_bucket_moves_nothing() {
    let server = S3Server::with_bucket("bucket");
    let access = server.access();
    let state = put(access, "source/a", b"a".to_vec());
    let lines = [line("source/a", 1, &state), line("source/b", 1, &state)];
    let target = directory();
    let airlift = Airlift::new().with_s3(access);
    let to = text(target.path());
    let inventory = "s3://bucket/inventory/manifest.json";
    let copy = ["cp", "--inventory", inventory, "s3://bucket/source/", to];
    let missing = airlift.run(copy).expect(3);
    assert!(missing.stderr.contains("does not exist"), "{}", missing.stderr);
    for (bucket, damage, says) in
        [("other", None, "of the bucket 'other'"), ("bucket", Some(1), "inventory/data/0.csv.gz")]
    {
        report(access, &lines, bucket, damage);
        let refused = airlift.run(copy).expect(3);
        assert!(refused.stderr.contains(says), "{}", refused.stderr);
    }
    let moved: Vec<String> =
        names(target.path()).into_iter().filter(|name| !name.starts_with(".airlift-")).collect();
    assert_eq!(moved, [] as [&str; 0]);
}
