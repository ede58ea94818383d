//! The services that speak S3, each as its profile says: where requests go, how they name the bucket,
//! what they are signed for, and which sum goes with the bytes.
//!
//! Nobody here is the real service: a proxy records what Airlift would have sent to it.

use std::fs;

use airlift_tests::airlift::Airlift;
use airlift_tests::canned::{Answer, CannedServer};
use airlift_tests::tree;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// What is put, and its sums.
const CONTENT: &str = "hello";
const MD5_HEX: &str = "5d41402abc4b2a76b9719d911017c592";
const MD5_BASE64: &str = "XUFAKrxLKna5cZ2REBfFkg==";
const CRC32C: &str = "mnG7TA==";

/// A bucket with nothing in it that takes anything.
fn answer(first_line: &str) -> Answer {
    let empty = "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>";
    match first_line.split(' ').next() {
        Some("PUT") => Answer::new("200 OK", "").with("ETag", &format!("\"{MD5_HEX}\"")),
        Some("GET") => Answer::new("200 OK", empty),
        _ => Answer::new("404 Not Found", ""),
    }
}

/// One service as a store of the configuration.
struct Case {
    kind: &'static str,
    /// Lines of its table.
    table: &'static str,
    variables: &'static [(&'static str, &'static str)],
    /// How the bucket stands in the URL of the request.
    url: &'static str,
    region: &'static str,
    id: &'static str,
    is_crc32c: bool,
}

const OSS: [(&str, &str); 3] =
    [("OSS_ACCESS_KEY_ID", "oss-id"), ("OSS_ACCESS_KEY_SECRET", "x"), ("OSS_REGION", "cn-beijing")];
const COS: [(&str, &str); 3] =
    [("COS_SECRET_ID", "cos-id"), ("COS_SECRET_KEY", "x"), ("COS_REGION", "ap-tokyo")];
const OBS: [(&str, &str); 3] =
    [("HUAWEICLOUD_SDK_AK", "obs-id"), ("HUAWEICLOUD_SDK_SK", "x"), ("OBS_REGION", "cn-north-4")];
const R2: [(&str, &str); 2] = [("R2_ACCESS_KEY_ID", "r2-id"), ("R2_SECRET_ACCESS_KEY", "x")];
const AWS: [(&str, &str); 3] =
    [("AWS_ACCESS_KEY_ID", "aws-id"), ("AWS_SECRET_ACCESS_KEY", "x"), ("AWS_REGION", "eu-west-1")];
const MINE: [(&str, &str); 2] = [("MY_ACCESS_KEY_ID", "my-id"), ("MY_SECRET_ACCESS_KEY", "x")];
const B2: [(&str, &str); 3] =
    [("B2_APPLICATION_KEY_ID", "b2-id"), ("B2_APPLICATION_KEY", "x"), ("B2_REGION", "us-west-004")];
const GS: [(&str, &str); 2] = [("GS_ACCESS_KEY_ID", "gs-id"), ("GS_SECRET_ACCESS_KEY", "x")];

#[rustfmt::skip]
const CASES: &[Case] = &[
    Case { kind: "s3", table: "", variables: &AWS, url: "http://host.invalid/bucket/", region: "eu-west-1", id: "aws-id", is_crc32c: true },
    Case { kind: "oss", table: "", variables: &OSS, url: "http://bucket.host.invalid/", region: "cn-beijing", id: "oss-id", is_crc32c: false },
    Case { kind: "oss", table: "region = 'cn-hangzhou'", variables: &OSS, url: "http://bucket.host.invalid/", region: "cn-hangzhou", id: "oss-id", is_crc32c: false },
    Case { kind: "cos", table: "", variables: &COS, url: "http://bucket.host.invalid/", region: "ap-tokyo", id: "cos-id", is_crc32c: false },
    Case { kind: "obs", table: "", variables: &OBS, url: "http://bucket.host.invalid/", region: "cn-north-4", id: "obs-id", is_crc32c: false },
    Case { kind: "r2", table: "", variables: &R2, url: "http://host.invalid/bucket/", region: "auto", id: "r2-id", is_crc32c: true },
    Case { kind: "minio", table: "", variables: &AWS, url: "http://host.invalid/bucket/", region: "eu-west-1", id: "aws-id", is_crc32c: true },
    Case { kind: "minio", table: "addressing = 'virtual'", variables: &AWS, url: "http://bucket.host.invalid/", region: "eu-west-1", id: "aws-id", is_crc32c: true },
    Case { kind: "ceph", table: "credentials = 'env:MY_'", variables: &MINE, url: "http://host.invalid/bucket/", region: "us-east-1", id: "my-id", is_crc32c: false },
    Case { kind: "b2", table: "", variables: &B2, url: "http://host.invalid/bucket/", region: "us-west-004", id: "b2-id", is_crc32c: false },
    Case { kind: "wasabi", table: "region = 'us-east-2'\ncredentials = 'file:keys'", variables: &[], url: "http://host.invalid/bucket/", region: "us-east-2", id: "file-id", is_crc32c: false },
    Case { kind: "gcs-s3", table: "", variables: &GS, url: "http://host.invalid/bucket/", region: "auto", id: "gs-id", is_crc32c: false },
];

/// A directory with a file to send, and the configuration of a store.
fn prepared(kind: &str, table: &str) -> TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory");
    tree::write(directory.path(), "source/file", CONTENT.as_bytes());
    let table =
        format!("[stores.mine]\nkind = '{kind}'\nendpoint = 'http://host.invalid'\n{table}\n");
    fs::write(directory.path().join("airlift.toml"), table).unwrap();
    let keys = "[default]\naws_access_key_id = file-id\naws_secret_access_key = x\n";
    fs::write(directory.path().join("keys"), keys).unwrap();
    directory
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

#[test]
fn each_service_gets_requests_as_its_profile_says() {
    let runtime = Runtime::new().unwrap();
    for case in CASES {
        let proxy = runtime.block_on(CannedServer::start(answer));
        let directory = prepared(case.kind, case.table);
        let user = case
            .variables
            .iter()
            .fold(Airlift::new(), |user, (name, value)| user.with_variable(name, value));
        let user = user.with_variable("HTTP_PROXY", &proxy.access().endpoint);
        let config = directory.path().join("airlift.toml");
        let source = directory.path().join("source");
        let done = user
            .run(
                ["cp", "--json", "--config", config.to_str().unwrap(), source.to_str().unwrap()]
                    .into_iter()
                    .chain(["mine://bucket/p a"]),
            )
            .expect(0)
            .json();
        assert_eq!(done["objects"]["done"], 1, "{}", case.kind);
        let heads = proxy.heads();
        assert!(heads.len() >= 3, "a listing, a look and a put: {heads:?}");
        for head in &heads {
            check(case, head);
        }
        let put = heads.iter().find(|head| head.starts_with("PUT ")).expect("a put");
        let (kind, url) = (case.kind, case.url);
        assert!(put.starts_with(&format!("PUT {url}p%20a/file?")), "{kind}: {put}");
        assert_eq!(header(put, "content-md5"), Some(MD5_BASE64), "{kind}");
        let crc = case.is_crc32c.then_some(CRC32C);
        assert_eq!(header(put, "x-amz-checksum-crc32c"), crc, "{kind}");
    }
}

/// What holds of every request, whatever it is about.
fn check(case: &Case, head: &str) {
    let kind = case.kind;
    let target = head.split(' ').nth(1).unwrap_or_default();
    assert!(target.starts_with(case.url.trim_end_matches('/')), "{kind}: {head}");
    let host = case.url.trim_start_matches("http://").split('/').next();
    assert_eq!(header(head, "host"), host, "{kind}");
    let signed = header(head, "authorization").expect("a signature");
    assert!(signed.contains(&format!("Credential={}/", case.id)), "{kind}: {signed}");
    assert!(signed.contains(&format!("/{}/s3/aws4_request", case.region)), "{kind}: {signed}");
    // What proxies and services change on the way must not be signed.
    assert!(signed.contains("host;") && !signed.contains("accept-encoding"), "{kind}: {signed}");
    // Bodies in pieces, with a sum behind them, are understood by few.
    assert_eq!(header(head, "x-amz-trailer"), None, "{kind}");
    assert_eq!(header(head, "transfer-encoding"), None, "{kind}");
}

#[test]
fn what_a_service_cannot_hold_is_skipped_with_its_rule() {
    let runtime = Runtime::new().unwrap();
    let proxy = runtime.block_on(CannedServer::start(answer));
    let directory = prepared("r2", "");
    tree::write(directory.path(), "source/cafe\u{301}", b"x");
    let user =
        R2.iter().fold(Airlift::new(), |user, (name, value)| user.with_variable(name, value));
    let user = user.with_variable("HTTP_PROXY", &proxy.access().endpoint);
    let (config, report) = (directory.path().join("airlift.toml"), directory.path().join("report"));
    let source = directory.path().join("source");
    let _ = user
        .run([
            "cp",
            "--config",
            config.to_str().unwrap(),
            "--report",
            report.to_str().unwrap(),
            source.to_str().unwrap(),
            "mine://bucket/",
        ])
        .expect(1);
    let report = fs::read_to_string(report).unwrap();
    assert!(report.contains("Cloudflare R2 would rewrite the key"), "{report}");
}

#[test]
fn what_is_missing_is_named_with_the_way_out() {
    let directory = prepared("s3", "");
    let source = directory.path().join("source");
    let source = source.to_str().unwrap();
    for (target, code, parts) in [
        ("oss://b/", 3, &["oss://b needs a region", "OSS_REGION"][..]),
        ("r2://b/", 3, &["needs an account", "CLOUDFLARE_ACCOUNT_ID"]),
        ("minio://b/", 3, &["the URL of its server", "AWS_ENDPOINT_URL"]),
        ("backup://b/", 2, &["unknown scheme 'backup://'", "[stores.backup]"]),
    ] {
        let outcome = Airlift::new().run(["cp", source, target]).expect(code);
        for part in parts {
            assert!(outcome.stderr.contains(part), "{target}: {}", outcome.stderr);
        }
    }
    let user =
        Airlift::new().with_variable("OSS_REGION", "x").with_variable("OSS_ACCESS_KEY_ID", "y");
    let outcome = user.run(["cp", source, "oss://b/"]).expect(3);
    assert!(outcome.stderr.contains("OSS_ACCESS_KEY_SECRET is not"), "{}", outcome.stderr);
}

#[test]
fn doctor_and_config_show_configured_stores_without_secrets() {
    let runtime = Runtime::new().unwrap();
    let server = runtime.block_on(CannedServer::start(answer));
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("airlift.toml");
    let table = format!(
        "[stores.good]\nkind = 'ceph'\nendpoint = '{}'\ncredentials = 'env:MY_'\n\
         [stores.bare]\nkind = 'cos'\n",
        server.access().endpoint
    );
    fs::write(&config, table).unwrap();
    let user = Airlift::new()
        .with_variable("MY_ACCESS_KEY_ID", "id")
        .with_variable("MY_SECRET_ACCESS_KEY", "hush");
    let config = config.to_str().unwrap();
    let doctor = user.run(["doctor", "--config", config]).expect(3);
    assert!(doctor.stdout.contains("store: good: Ceph Object Gateway, credentials found"));
    assert!(doctor.stdout.contains("fail  store: bare: cos://BUCKET needs a region"));
    assert!(doctor.stdout.contains("see [stores.bare] in "), "{}", doctor.stdout);
    let shown = user.run(["config", "show", "--config", config]).expect(0);
    assert!(shown.stdout.contains("stores.good.credentials env:MY_"), "{}", shown.stdout);
    assert!(!shown.stdout.contains("hush") && !doctor.stdout.contains("hush"));
}
