//! Comparing content by the sums that stores keep: what is read, as the server sees it.

use std::fs;
use std::path::Path;

use airlift_tests::airlift::{Airlift, fast_directory};
use airlift_tests::moto::Moto;
use airlift_tests::s3::front::Front;
use airlift_tests::s3::{Access, S3Server};
use airlift_tests::tree;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::RequestChecksumCalculation;
use bytes::Bytes;
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

const SMALL: u64 = 40;

/// Small files below a directory.
fn plant(root: &Path) {
    for i in 0..SMALL {
        tree::write(root, format!("small/{i:02}"), &tree::noise(i, 1_000 + i as usize));
    }
}

/// A bucket that holds what a directory does, behind a front that counts what is asked for.
struct Bench {
    front: Front,
    server: S3Server,
    source: TempDir,
    airlift: Airlift,
}

impl Bench {
    fn filled() -> Self {
        let front = Front::default();
        let server = S3Server::with_bucket_behind(&front, "bucket");
        let (source, airlift) = (fast_directory(), Airlift::new().with_s3(server.access()));
        plant(source.path());
        let bench = Self { front, server, source, airlift };
        let words = ["cp", bench.path(), "s3://bucket/up"];
        let _ = bench.airlift.run(words).expect(0);
        bench
    }

    fn path(&self) -> &str {
        self.source.path().to_str().unwrap()
    }

    /// Verifies the bucket's objects: what was said, and how many bodies the server was asked for.
    fn verify(&self, source: &str, flags: &[&str], code: i32) -> (Value, usize) {
        let before = self.front.reads().bodies;
        let words = ["verify", source, "s3://bucket/up", "--json"];
        let said = self.airlift.run(words.iter().chain(flags)).expect(code).json();
        (said, self.front.reads().bodies - before)
    }
}

/// Puts an object past Airlift, with a CRC64-NVME or without any sum.
fn put(access: &Access, key: &str, bytes: Vec<u8>, has_sum: bool) {
    let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, &bytes).to_be_bytes();
    let sum = has_sum.then(|| data_encoding::BASE64.encode(&crc));
    let config = access.client().config().to_builder();
    let config = config.request_checksum_calculation(RequestChecksumCalculation::WhenRequired);
    let request = Client::from_conf(config.build()).put_object().bucket("bucket").key(key);
    let request = request.set_checksum_crc64_nvme(sum).body(Bytes::from(bytes).into());
    Runtime::new().unwrap().block_on(request.send()).expect("a put");
}

#[test]
fn files_are_compared_with_a_bucket_without_reading_the_bucket() {
    let bench = Bench::filled();
    let report = bench.source.path().with_extension("report");
    let flags = ["--report", report.to_str().unwrap()];
    let (said, bodies) = bench.verify(bench.path(), &flags, 0);
    let objects = &said["objects"];
    assert_eq!((&objects["equal"], &objects["equal_by_sum"]), (&SMALL.into(), &SMALL.into()));
    assert_eq!(bodies, 0, "the bucket was read");
    let lines = fs::read_to_string(&report).unwrap();
    fs::remove_file(&report).unwrap();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let shown = lines.iter().filter(|line| line["sum"].is_string() && line["blake3"].is_string());
    assert_eq!(shown.count() as u64, SMALL, "{lines:?}");
    let (said, bodies) = bench.verify(bench.path(), &["--verify", "full"], 0);
    assert_eq!((&said["objects"]["equal_by_sum"], bodies as u64), (&0.into(), SMALL));
    let text = bench.airlift.run(["verify", bench.path(), "s3://bucket/up"]).expect(0).stderr;
    assert!(text.contains("40 equal by sums that the stores keep, 0 by reading"), "{text}");
}

#[test]
fn two_buckets_are_compared_without_reading_either() {
    let bench = Bench::filled();
    let _ = bench.airlift.run(["cp", bench.path(), "s3://bucket/other"]).expect(0);
    let (said, bodies) = bench.verify("s3://bucket/other", &[], 0);
    assert_eq!((&said["objects"]["equal_by_sum"], bodies), (&SMALL.into(), 0));
}

#[test]
fn what_differs_is_found_by_its_sum_and_what_has_none_is_read() {
    let bench = Bench::filled();
    let access = bench.server.access();
    let other = tree::noise(99, 1_000);
    put(access, "up/small/00", other.clone(), true);
    let (said, bodies) = bench.verify(bench.path(), &[], 1);
    assert_eq!((&said["objects"]["differs"], &said["objects"]["equal"]), (&1.into(), &39.into()));
    assert!(said["errors"][0]["reason"].as_str().unwrap().contains("CRC64-NVME"), "{said}");
    assert_eq!(bodies, 0);
    // No sum but an ETag that is an MD5: enough when it agrees, and looked into when it does not.
    for (bytes, code, expected) in [(tree::noise(0, 1_000), 0, 0), (other, 1, 1)] {
        put(access, "up/small/00", bytes, false);
        assert_eq!(bench.verify(bench.path(), &[], code).1, expected);
    }
}

#[test]
fn damage_that_a_store_has_not_noticed_shows_when_it_is_read() {
    let bench = Bench::filled();
    bench.server.damage("bucket", "up/small/07");
    let (said, _) = bench.verify(bench.path(), &[], 0);
    assert_eq!(said["objects"]["equal"], SMALL, "its sum is still right");
    let (said, bodies) = bench.verify(bench.path(), &["--verify", "full"], 1);
    assert_eq!((&said["objects"]["differs"], bodies as u64), (&1.into(), SMALL));
}

#[test]
fn a_copy_by_checksum_reads_no_object_that_has_a_sum() {
    let bench = Bench::filled();
    tree::write(bench.source.path(), "small/03", &tree::noise(77, 1_003));
    let before = bench.front.reads().bodies;
    let words = ["cp", "--checksum", bench.path(), "s3://bucket/up", "--json"];
    let said = bench.airlift.run(words).expect(0).json();
    assert_eq!((&said["objects"]["done"], &said["objects"]["unchanged"]), (&1.into(), &39.into()));
    assert_eq!(bench.front.reads().bodies, before);
}

/// At a server that nobody here wrote, which says what sums it has and not what they are of.
#[test]
fn files_and_what_moto_says_of_its_objects() {
    let runtime = Runtime::new().unwrap();
    let Some(moto) = runtime.block_on(Moto::shared()) else { return };
    let bucket = runtime.block_on(moto.new_bucket());
    let airlift = Airlift::new().with_s3(moto.access());
    let source = fast_directory();
    plant(source.path());
    tree::write(source.path(), "large", &tree::noise(1, (20 << 20) + 3));
    let (from, to) = (source.path().to_str().unwrap(), format!("s3://{bucket}/up"));
    let _ = airlift.run(["cp", from, &to]).expect(0);
    let said = airlift.run(["verify", from, &to, "--json"]).expect(0).json();
    assert_eq!(said["objects"]["equal"], SMALL + 1);
    assert!(said["objects"]["equal_by_sum"].as_u64().unwrap() >= SMALL, "{said}");
    tree::write(source.path(), "large", &tree::noise(2, (20 << 20) + 3));
    tree::write(source.path(), "small/00", &tree::noise(3, 1_000));
    let said = airlift.run(["verify", from, &to, "--json"]).expect(1).json();
    assert_eq!((&said["objects"]["differs"], &said["objects"]["equal"]), (&2.into(), &39.into()));
}

/// A store of the test server that takes CRC64-NVME, as Amazon S3 does.
fn crc64_store(access: &Access) -> (TempDir, String) {
    let directory = fast_directory();
    let config = directory.path().join("airlift.toml");
    let table = format!(
        "[stores.mine]\nkind = 's3'\nendpoint = '{}'\nchecksum = 'crc64nvme'\n",
        access.endpoint
    );
    fs::write(&config, table).unwrap();
    (directory, config.to_str().unwrap().to_owned())
}

#[test]
fn large_objects_are_proven_and_compared_by_one_sum_of_all_their_parts() {
    let front = Front::default();
    let server = S3Server::with_bucket_behind(&front, "bucket");
    let (source, (_directory, config)) = (fast_directory(), crc64_store(server.access()));
    tree::write(source.path(), "large", &tree::noise(1, (40 << 20) + 3));
    tree::write(source.path(), "small", b"small");
    let path = source.path().to_str().unwrap();
    let user = Airlift::new().with_s3(server.access());
    let run = |words: &[&str], code| {
        let flags = ["--config", config.as_str(), "--json"];
        user.run(words.iter().chain(&flags)).expect(code).json()
    };
    assert_eq!(run(&["cp", path, "mine://bucket/up"], 0)["objects"]["done"], 2);
    let said = run(&["verify", path, "mine://bucket/up"], 0);
    assert_eq!(said["objects"]["equal_by_sum"], 2);
    assert_eq!(front.reads().bodies, 0, "neither the upload nor the comparison reads");
    tree::write(source.path(), "large", &tree::noise(2, (40 << 20) + 3));
    let said = run(&["verify", path, "mine://bucket/up"], 1);
    assert!(said["errors"][0]["reason"].as_str().unwrap().contains("CRC64-NVME"), "{said}");
    assert_eq!(front.reads().bodies, 0);
}

/// A bucket of a server that says the CRC64 of objects as OSS and COS do, and whose ETags say nothing.
struct OwnSums {
    front: Front,
    server: S3Server,
    source: TempDir,
    config: TempDir,
    user: Airlift,
}

impl OwnSums {
    fn new(kind: &str, header: &'static str) -> Self {
        let front = Front::default();
        let server = S3Server::with_bucket_behind(&front, "bucket");
        server.say_crc64(header);
        let (source, config) = (fast_directory(), fast_directory());
        let table = format!(
            "[stores.mine]\nkind = '{kind}'\nendpoint = '{}'\naddressing = 'path'\n\
             region = 'us-east-1'\n",
            server.access().endpoint
        );
        fs::write(config.path().join("airlift.toml"), table).unwrap();
        tree::write(source.path(), "large", &tree::noise(1, (40 << 20) + 3));
        let user = Airlift::new().with_s3(server.access());
        Self { front, server, source, config, user }
    }

    fn run(&self, command: &str, flags: &[&str], code: i32) -> Value {
        let config = self.config.path().join("airlift.toml");
        let source = self.source.path().to_str().unwrap();
        let config = ["--config", config.to_str().unwrap(), "--json"];
        let words = [command, source, "mine://bucket/up"];
        self.user.run(words.iter().chain(&config).chain(flags)).expect(code).json()
    }
}

#[test]
fn a_sum_of_the_service_s_own_spares_reading_back_what_is_in_parts() {
    for (kind, header) in [("oss", "x-oss-hash-crc64ecma"), ("cos", "x-cos-hash-crc64ecma")] {
        let bench = OwnSums::new(kind, header);
        assert_eq!(bench.run("cp", &[], 0)["objects"]["done"], 1, "{kind}");
        assert_eq!(bench.run("verify", &[], 0)["objects"]["equal_by_sum"], 1, "{kind}");
        assert_eq!(bench.front.reads().bodies, 0, "{kind}");
    }
    // One that says it in another header, or not at all, is read back.
    let bench = OwnSums::new("oss", "x-other-hash");
    assert_eq!(bench.run("cp", &[], 0)["objects"]["done"], 1);
    assert_eq!(bench.front.reads().bodies, 1);
}

#[test]
fn a_store_whose_own_sum_is_another_one_is_found_out() {
    let bench = OwnSums::new("oss", "x-oss-hash-crc64ecma");
    bench.server.damage_what_is_assembled();
    // Again and again: what was found out is not called unchanged by the next run.
    for _ in 0..2 {
        let said = bench.run("cp", &[], 1);
        assert_eq!((&said["objects"]["done"], &said["objects"]["failed"]), (&0.into(), &1.into()));
        assert_eq!(said["errors"][0]["code"], "corrupt_target", "{said}");
        let reason = said["errors"][0]["reason"].as_str().unwrap();
        assert!(reason.ends_with("it was removed again"), "{reason}");
        assert_eq!(bench.front.reads().bodies, 0);
        assert_eq!(bench.server.keys("bucket"), [""; 0]);
        assert!(bench.user.jobs().is_empty());
    }
}

#[test]
fn what_is_found_out_by_reading_it_back_is_removed_and_moved_again() {
    let server = S3Server::with_bucket("bucket");
    server.spoil_what_is_assembled();
    let (source, (_directory, config)) = (fast_directory(), crc64_store(server.access()));
    tree::write(source.path(), "large", &tree::noise(1, (40 << 20) + 3));
    let user = Airlift::new().with_s3(server.access());
    let path = source.path().to_str().unwrap();
    let words =
        ["cp", "--verify", "full", path, "mine://bucket/up", "--config", &*config, "--json"];
    for _ in 0..2 {
        let said = user.run(words).expect(1).json();
        let objects = &said["objects"];
        assert_eq!((&objects["failed"], &objects["unchanged"]), (&1.into(), &0.into()), "{said}");
        let error = &said["errors"][0];
        assert_eq!(error["code"], "corrupt_target", "{said}");
        let reason = error["reason"].as_str().unwrap();
        assert!(reason.contains("other bytes than were written"), "{reason}");
        assert!(reason.ends_with("it was removed again"), "{reason}");
        assert_eq!(server.keys("bucket"), [""; 0]);
        assert!(user.jobs().is_empty());
    }
}
