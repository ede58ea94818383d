//! What others who move data between clouds have run into, and no other test proves here. The table of all
//! of them stands in docs/testing.md.

use std::fs;
use std::thread;
use std::time::Duration;

use airlift_node::store::Store;
use airlift_node::store::s3::S3Store;
use airlift_protocol::assignment::UploadToken;
use airlift_protocol::chunk::Root;
use airlift_protocol::error::ErrorCode;
use airlift_protocol::manifest::Kind;
use airlift_tests::airlift::{Airlift, fast_directory};
use airlift_tests::canned::{Answer, CannedServer};
use airlift_tests::conformance::fixture::{data, new_object};
use airlift_tests::s3::S3Server;
use airlift_tests::storm::{Fault, Operation, Rule, Storm};
use airlift_tests::tree;
use tokio::runtime::Runtime;

const BUCKET: &str = "bucket";

/// Parts of an upload of two parts, of which the store lists these.
fn parts(listed: &[(u32, u64)]) -> Answer {
    let part = |(number, size): &(u32, u64)| {
        format!("<Part><PartNumber>{number}</PartNumber><Size>{size}</Size><ETag>e</ETag></Part>")
    };
    let parts: String = listed.iter().map(part).collect();
    let body =
        format!("<ListPartsResult><IsTruncated>false</IsTruncated>{parts}</ListPartsResult>");
    Answer::new("200 OK", &body)
}

#[tokio::test]
async fn sums_of_parts_need_all_parts_from_the_first_on() {
    const PART: u64 = 16 << 20;
    let wrong: [&[(u32, u64)]; 4] =
        [&[(2, 5)], &[(1, PART), (3, 5)], &[(1, PART)], &[(1, PART - 1), (2, 5)]];
    for listed in wrong {
        let server = CannedServer::start(move |_| parts(listed)).await;
        let store = S3Store::open(server.access().options(BUCKET, "")).await.unwrap();
        let object = new_object("x", Kind::Object, PART + 5);
        let token = UploadToken("24c:upload".to_owned());
        let error = store.commit(&object, &token, Root::of(&data(1, 5))).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::UploadLost, "{listed:?}: {error}");
        let posts = server.requests().into_iter().filter(|line| line.starts_with("POST"));
        assert_eq!(posts.count(), 0, "nothing was committed");
    }
}

#[test]
fn an_object_that_is_stored_compressed_keeps_its_bytes_and_says_so() {
    let server = S3Server::with_bucket(BUCKET);
    let (client, runtime) = (server.access().client(), Runtime::new().unwrap());
    let bodies = [("small", tree::noise(1, 3_000)), ("large", tree::noise(2, 9 << 20))];
    for (name, bytes) in &bodies {
        let key = format!("a/{name}");
        let put = client.put_object().bucket(BUCKET).key(key).content_encoding("gzip");
        runtime.block_on(put.body(bytes.clone().into()).send()).unwrap();
    }
    let airlift = Airlift::new().with_s3(server.access());
    let _ = airlift.run(["cp", "s3://bucket/a", "s3://bucket/b"]).expect(0);
    for (name, bytes) in bodies {
        let key = format!("b/{name}");
        assert!(server.content(BUCKET, &key) == Some(bytes), "{key}");
        let head = client.head_object().bucket(BUCKET).key(&key);
        let head = runtime.block_on(head.send()).unwrap();
        assert_eq!(head.content_encoding(), Some("gzip"), "{key}");
    }
}

/// Deletes wait for a whole listing, not for a tree in which nothing ever goes wrong.
#[test]
fn an_object_that_fails_does_not_keep_a_sync_from_deleting_others() {
    let server = S3Server::with_bucket(BUCKET);
    let denied = Rule::on(&[Operation::Put], Fault::Refuse(403, "AccessDenied")).within("bad");
    let storm = Storm::before(server.access(), vec![denied]);
    let airlift = Airlift::new().with_s3(storm.access());
    let source = fast_directory();
    let from = source.path().to_str().unwrap();
    for name in ["good", "gone"] {
        tree::write(source.path(), name, name.as_bytes());
    }
    let _ = airlift.run(["sync", from, "s3://bucket/up"]).expect(0);
    tree::write(source.path(), "bad", b"bad");
    fs::remove_file(source.path().join("gone")).unwrap();
    let synced = airlift.run(["sync", from, "s3://bucket/up", "--json"]).expect(1).json();
    let objects = &synced["objects"];
    assert_eq!((&objects["failed"], &objects["deleted"]), (&1.into(), &1.into()), "{synced}");
    assert_eq!(server.keys(BUCKET), ["up/good"]);
}

#[test]
fn a_listing_of_many_objects_costs_no_request_for_each() {
    const COUNT: u64 = 2_000;
    let server = S3Server::with_bucket(BUCKET);
    let source = fast_directory();
    for number in 0..COUNT {
        tree::write(source.path(), format!("{number:04}"), &number.to_le_bytes());
    }
    let from = source.path().to_str().unwrap();
    let past = Airlift::new().with_s3(server.access());
    let _ = past.run(["cp", from, "s3://bucket/up"]).expect(0);
    let storm = Storm::before(server.access(), Vec::new());
    let airlift = Airlift::new().with_s3(storm.access());
    let listed = airlift.run(["ls", "s3://bucket/up", "-q"]).expect(0);
    assert_eq!(listed.stdout.lines().count() as u64, COUNT);
    // One, for what the location is.
    assert!(storm.count(Operation::Head) <= 1, "a listing costs no request for each object");
    assert!(storm.count(Operation::List) < 10, "{}", storm.count(Operation::List));
}

/// Two jobs write the same keys at the same time: each object is one of the two, whole.
#[test]
fn two_jobs_at_one_target_leave_every_object_whole() {
    let server = S3Server::with_bucket(BUCKET);
    let slow = Rule::on(&[Operation::PutPart], Fault::Slow(Duration::from_millis(100)));
    let storm = Storm::before(server.access(), vec![slow]);
    let sources = [1, 2].map(|seed| {
        let source = fast_directory();
        for number in 0..20 {
            tree::write(
                source.path(),
                format!("{number:02}"),
                &tree::noise(seed * 100 + number, 2_000),
            );
        }
        tree::write(source.path(), "large", &tree::noise(seed * 100 + 50, 40 << 20));
        source
    });
    thread::scope(|scope| {
        for source in &sources {
            scope.spawn(|| {
                let airlift = Airlift::new().with_s3(storm.access());
                let _ = airlift
                    .run(["cp", source.path().to_str().unwrap(), "s3://bucket/up"])
                    .expect(0);
            });
        }
    });
    assert_eq!(server.keys(BUCKET).len(), 21);
    for key in server.keys(BUCKET) {
        let name = key.trim_start_matches("up/");
        let held = server.content(BUCKET, &key).unwrap();
        let is_one =
            |source: &tempfile::TempDir| fs::read(source.path().join(name)).unwrap() == held;
        assert!(sources.iter().any(is_one), "{key} is neither of the two");
    }
    assert_eq!(server.uploads(BUCKET), [""; 0]);
}

/// The same job twice at once would do everything twice: the second one is refused.
#[test]
fn the_same_job_does_not_run_twice_at_once() {
    let server = S3Server::with_bucket(BUCKET);
    let slow = Rule::on(&[Operation::Put], Fault::Slow(Duration::from_millis(500)));
    let storm = Storm::before(server.access(), vec![slow]);
    let airlift = Airlift::new().with_s3(storm.access());
    let source = fast_directory();
    for number in 0..20 {
        tree::write(source.path(), format!("{number:02}"), b"x");
    }
    let words = ["cp", source.path().to_str().unwrap(), "s3://bucket/up", "--requests-max", "2"];
    let mut first = airlift.start(words);
    while server.keys(BUCKET).is_empty() {
        assert!(!first.has_ended());
        thread::sleep(Duration::from_millis(20));
    }
    let second = airlift.run(words).expect(3);
    assert!(second.stderr.contains("another airlift process works on this job"), "{second:?}");
    assert_eq!(first.wait().code(), Some(0));
    assert_eq!(server.keys(BUCKET).len(), 20);
}
