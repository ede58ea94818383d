//! Inventories and lists of keys in place of a listing of the source.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use airlift_tests::airlift::Airlift;
use airlift_tests::s3::{Access, S3Server};
use airlift_tests::tree;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use md5::{Digest, Md5};
use parquet::basic::Compression as Packing;
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
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

const SCHEMA: &str = "message s3.inventory { required binary bucket (UTF8);
    required binary key (UTF8); optional int64 size;
    optional int64 last_modified_date (TIMESTAMP_MILLIS); optional binary e_tag (UTF8); }";

/// An object as a row of an inventory.
struct Row {
    key: String,
    size: usize,
    /// Its ETag, and its time in seconds.
    state: (String, i64),
}

/// A file of Parquet with a row for each object.
fn rows(objects: &[Row]) -> Vec<u8> {
    let schema = Arc::new(parse_message_type(SCHEMA).unwrap());
    let properties = WriterProperties::builder().set_compression(Packing::SNAPPY).build();
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, properties.into()).unwrap();
    let all = vec![1; objects.len()];
    let texts = |text: &dyn Fn(&Row) -> String| -> Vec<ByteArray> {
        objects.iter().map(|object| text(object).as_str().into()).collect()
    };
    let sizes: Vec<i64> = objects.iter().map(|row| row.size as i64).collect();
    let times: Vec<i64> = objects.iter().map(|row| row.state.1 * 1_000 + 7).collect();
    let mut group = writer.next_row_group().unwrap();
    for number in 0.. {
        let Some(mut column) = group.next_column().unwrap() else { break };
        let mut bytes = |values: Vec<ByteArray>, levels| {
            column.typed::<ByteArrayType>().write_batch(&values, levels, None)
        };
        let written = match number {
            0 => bytes(texts(&|_| "bucket".to_owned()), None),
            1 => bytes(texts(&|row| row.key.clone()), None),
            2 => column.typed::<Int64Type>().write_batch(&sizes, Some(&all), None),
            3 => column.typed::<Int64Type>().write_batch(&times, Some(&all), None),
            _ => bytes(texts(&|row| row.state.0.clone()), Some(&all)),
        };
        written.unwrap();
        column.close().unwrap();
    }
    group.close().unwrap();
    writer.into_inner().unwrap()
}

#[test]
fn an_inventory_in_parquet_stands_for_the_listing_too() {
    let server = S3Server::with_bucket("bucket");
    let access = server.access();
    let mut objects: Vec<Row> = (0..30)
        .map(|number| {
            let (key, size) = (format!("source/{number:02}%20+x"), 100 + number as usize);
            let state = put(access, &key, tree::noise(number, size));
            Row { key, size, state }
        })
        .collect();
    let large = put(access, "source/large", tree::noise(99, 20 << 20));
    objects.push(Row { key: "source/large".to_owned(), size: 20 << 20, state: large });
    put(access, "source/new", b"not in the inventory".to_vec());
    objects.reverse();
    let manifest = |digest: &str| {
        let file = json!({ "key": "inventory/0.parquet", "size": 1, "MD5checksum": digest });
        let manifest = json!({
            "sourceBucket": "bucket",
            "fileFormat": "Parquet",
            "fileSchema": SCHEMA,
            "files": [file],
        });
        put(access, "inventory/manifest.json", manifest.to_string().into_bytes());
    };
    let file = rows(&objects);
    let digest: String = Md5::digest(&file).iter().map(|byte| format!("{byte:02x}")).collect();
    put(access, "inventory/0.parquet", file);
    let airlift = Airlift::new().with_s3(access);
    let target = directory();
    let words = ["cp", "--inventory", "s3://bucket/inventory/manifest.json", "s3://bucket/source/"];
    let run = || airlift.run(words.iter().copied().chain([text(target.path()), "--json"]));

    manifest(&digest.replace(['0', '1', '2', '3'], "4"));
    let damaged = run().expect(3);
    assert!(damaged.stdout.contains("MD5"), "{damaged:?}");
    assert!(!target.path().join("large").exists(), "nothing of it is believed");

    manifest(&digest);
    let out = run().expect(0).json();
    assert_eq!(
        (&out["objects"]["done"], &out["objects"]["total"]),
        (&31.into(), &31.into()),
        "{out}"
    );
    assert_eq!(fs::read(target.path().join("07%20+x")).unwrap(), tree::noise(7, 107));
    assert!(fs::read(target.path().join("large")).unwrap() == tree::noise(99, 20 << 20));
    assert!(!target.path().join("new").exists());
}
