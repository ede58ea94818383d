//! What is peculiar to S3: keys, metadata, multipart uploads, and what bad answers become.

use std::collections::BTreeMap;

use airlift_node::store::s3::provider::Provider;
use airlift_node::store::s3::{S3Options, S3Store};
use airlift_node::store::{Access, Attributes, ListRequest, NewObject, Store, StoreError};
use airlift_protocol::assignment::UploadToken;
use airlift_protocol::chunk::Root;
use airlift_protocol::error::ErrorCode;
use airlift_protocol::key::Key;
use airlift_protocol::manifest::{Entry, Kind, Version};
use airlift_protocol::units::ByteRange;
use airlift_tests::canned::{Answer, CannedServer};
use airlift_tests::conformance::fixture::{
    Large, content, data, entry, keys, list, marker, object, put, read, read_small,
};
use airlift_tests::corpus::nasty_keys;
use airlift_tests::moto::Moto;
use airlift_tests::s3::S3Server;
use bytes::Bytes;

const BUCKET: &str = "bucket";

async fn open(options: S3Options) -> S3Store {
    S3Store::open(options).await.expect("a store")
}

async fn open_at(server: &S3Server, prefix: &str) -> S3Store {
    open(server.access().options(BUCKET, prefix)).await
}

async fn list_error(store: &S3Store) -> StoreError {
    let (sender, mut found) = tokio::sync::mpsc::channel(4);
    let drain = async { while found.recv().await.is_some() {} };
    let (result, ()) = futures::join!(store.list(ListRequest::default(), sender), drain);
    result.expect_err("the listing cannot be trusted")
}

/// Puts, lists, looks up, reads and deletes every key.
async fn keys_go_there_and_back(store: &dyn Store, names: &[String]) {
    let bytes = |name: &str| Bytes::copy_from_slice(format!("bytes of {name}").as_bytes());
    put(store, names.iter().map(|name| object(name.as_str(), bytes(name))).collect()).await;
    let listed = list(store, ListRequest::default()).await;
    let expected: Vec<Key> = names.iter().map(|name| Key::from(name.as_str())).collect();
    assert_eq!(
        listed.iter().map(|entry| &entry.key).collect::<Vec<_>>(),
        expected.iter().collect::<Vec<_>>()
    );
    let found = store.lookup(expected).await;
    let found: Vec<Entry> = found.into_iter().flat_map(|found| found.expect("an answer")).collect();
    assert_eq!(found, listed);
    for (name, entry) in names.iter().zip(&listed) {
        let info = store.stat(&entry.key).await.expect("an answer").expect("an object");
        assert_eq!(info.entry, *entry, "{name:?}");
        assert_eq!(read(store, entry).await.expect("bytes"), bytes(name), "{name:?}");
    }
    for result in store.delete(listed).await {
        result.expect("an object can be deleted");
    }
    assert!(keys(store).await.is_empty());
}

#[tokio::test]
async fn nasty_keys_go_there_and_back() {
    let server = S3Server::with_bucket(BUCKET);
    keys_go_there_and_back(&open_at(&server, "").await, &nasty_keys()).await;
    assert!(server.keys(BUCKET).is_empty());
}

#[tokio::test]
async fn nasty_keys_go_to_moto_and_back() {
    let Some(moto) = Moto::shared().await else { return };
    let bucket = moto.new_bucket().await;
    let mut names = nasty_keys();
    names.retain(|name| !name.contains('\n'));
    assert!(names.len() >= 60);
    let store = open(moto.access().options(&bucket, "")).await;
    keys_go_there_and_back(&store, &names).await;
}

#[tokio::test]
async fn a_prefix_is_part_of_the_key_and_nothing_more() {
    let server = S3Server::with_bucket(BUCKET);
    for prefix in ["", "/", "dir/", "dir//", "di", "a+ b%2F/é/"] {
        let store = open_at(&server, prefix).await;
        put(&store, vec![object("r//x", data(1, 9))]).await;
        let full = format!("{prefix}r//x");
        assert_eq!(server.content(BUCKET, &full).as_deref(), Some(&data(1, 9)[..]), "{full}");
        assert!(keys(&store).await.contains(&Key::from("r//x")), "{prefix}");
        for result in store.delete(vec![entry(&store, "r//x").await]).await {
            result.expect("an object can be deleted");
        }
    }
}

#[tokio::test]
async fn the_marker_of_the_prefix_itself_is_no_key_below_it() {
    let server = S3Server::with_bucket(BUCKET);
    let outer = open_at(&server, "").await;
    put(&outer, vec![marker("dir/", Kind::Directory), object("dir/file", data(1, 9))]).await;
    assert_eq!(keys(&open_at(&server, "dir/").await).await, [Key::from("file")]);
    assert_eq!(keys(&outer).await, ["dir/", "dir/file"].map(Key::from));
    // Without a slash the prefix may be an object of its own.
    let single = open_at(&server, "dir/file").await;
    assert_eq!(keys(&single).await, [Key::from("")]);
    assert_eq!(content(&single, "").await, data(1, 9));
}

#[tokio::test]
async fn many_keys_are_looked_up_by_listing_and_far_ones_one_by_one() {
    let server = S3Server::with_bucket(BUCKET);
    let store = open_at(&server, "").await;
    let names: Vec<String> = (0..3_000).map(|number| format!("{number:05}")).collect();
    put(&store, names.iter().map(|name| object(name.as_str(), Bytes::new())).collect()).await;
    let mut asked: Vec<Key> =
        names.iter().step_by(150).map(|name| Key::from(name.as_str())).collect();
    asked.push(Key::from("missing"));
    let found = store.lookup(asked.clone()).await;
    assert_eq!(found.len(), asked.len());
    for (key, found) in asked.iter().zip(found) {
        let found = found.expect("an answer").map(|entry| entry.key);
        assert_eq!(found.as_ref(), (*key != Key::from("missing")).then_some(key));
    }
}

fn rich_attributes() -> Attributes {
    let metadata =
        [("plain", "a b"), ("accents", "Zoë ✓ 日本"), ("blanks", "x  y"), ("word", "=?x")];
    let metadata: BTreeMap<String, String> =
        metadata.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    Attributes {
        content_type: Some("text/x-test; charset=utf-8".to_owned()),
        content_encoding: Some("gzip".to_owned()),
        content_disposition: Some("attachment; filename=\"x\"".to_owned()),
        content_language: Some("de".to_owned()),
        cache_control: Some("max-age=60".to_owned()),
        metadata,
        mtime_ns: Some(-1_500_000_001),
        mode: Some(0o750),
        source_fingerprint: Some("0123456789abcdef".to_owned()),
        ..Attributes::default()
    }
}

/// Small and large objects, with each kind of checksum.
async fn attributes_are_kept(options: S3Options) {
    for scheme in ["s3", "ceph"] {
        let provider = Provider::of(scheme).expect("a profile");
        let store = open(S3Options { provider, ..options.clone() }).await;
        let (mut small, verified) = object("small", data(1, 3000));
        small.attributes = rich_attributes();
        put(&store, vec![(small, verified)]).await;
        let mut large = Large::begin(&store, "large", 2).await;
        large.discard(&store).await;
        large.object.attributes = rich_attributes();
        large.reopen(&store, None, None).await;
        large.write_all().await;
        large.commit(&store).await;
        for key in ["small", "large"] {
            let info = store.stat(&Key::from(key)).await.expect("an answer").expect("an object");
            assert_eq!(info.attributes, rich_attributes(), "{key}");
        }
        let listed = entry(&store, "small").await;
        let (bytes, attributes) = read_small(&store, vec![listed]).await.remove(0).expect("bytes");
        assert_eq!((bytes, attributes), (data(1, 3000), rich_attributes()));
    }
}

#[tokio::test]
async fn attributes_are_kept_by_s3() {
    let server = S3Server::with_bucket(BUCKET);
    attributes_are_kept(server.access().options(BUCKET, "")).await;
    let request = server.access().client().head_object().bucket(BUCKET).key("small");
    let metadata = request.send().await.expect("an answer").metadata.expect("metadata");
    assert_eq!(metadata["airlift-mtime"], "-1.500000001");
    assert_eq!(metadata["airlift-mode"], "750");
    assert_eq!(metadata["airlift-source"], "0123456789abcdef");
}

#[tokio::test]
async fn attributes_are_kept_by_moto() {
    let Some(moto) = Moto::shared().await else { return };
    let bucket = moto.new_bucket().await;
    attributes_are_kept(moto.access().options(&bucket, "")).await;
}

/// 70 MiB in five parts, with a stop in the middle and another process after it.
async fn an_upload_goes_on_after_a_stop(options: S3Options) {
    const SIZE: u64 = 70 << 20;
    let first = open(options.clone()).await;
    let mut large = Large::begin(&first, "resumed", 1).await;
    large.discard(&first).await;
    large.bytes = data(1, SIZE);
    large.object.entry.size = SIZE;
    large.object.attributes.source_fingerprint = Some("state".to_owned());
    large.reopen(&first, None, None).await;
    let parts = large.parts();
    assert_eq!(parts.len(), 5);
    for part in [parts[0], parts[1], parts[4]] {
        large.write(part).await;
    }
    drop(first);

    let second = open(options).await;
    let token = large.token.clone();
    assert!(large.reopen(&second, Some(&token), None).await);
    assert_eq!(large.token, token);
    let present = large.upload.present().await.expect("an answer");
    assert_eq!(present, [ByteRange::new(0, parts[1].end), parts[4]]);
    let error = second.commit(&large.object, &token, large.root()).await.expect_err("holes");
    assert_eq!(error.code, ErrorCode::UploadLost, "{error}");
    for part in [parts[2], parts[3]] {
        large.write(part).await;
    }
    let present = large.upload.present().await.expect("an answer");
    assert_eq!(present, [ByteRange::new(0, SIZE)]);
    large.commit(&second).await;
    assert_eq!(content(&second, "resumed").await, large.bytes);
    commit_again(&second, &large).await;
}

/// As after a crash: taken for committed only with the state of the source that was sent, and only
/// when the bytes are those.
async fn commit_again(store: &S3Store, large: &Large) {
    large.commit(store).await;
    let mut other = large.object.clone();
    other.attributes.source_fingerprint = Some("another state".to_owned());
    let error = store.commit(&other, &large.token, large.root()).await;
    assert_eq!(error.expect_err("another object").code, ErrorCode::UploadLost);
    let error = store.commit(&large.object, &large.token, Root::of(b"other")).await;
    assert_eq!(error.expect_err("other bytes").code, ErrorCode::CorruptTarget);
}

#[tokio::test]
async fn an_upload_to_s3_goes_on_after_a_stop() {
    let server = S3Server::with_bucket(BUCKET);
    an_upload_goes_on_after_a_stop(server.access().options(BUCKET, "")).await;
    assert!(server.uploads(BUCKET).is_empty());
}

#[tokio::test]
async fn an_upload_to_moto_goes_on_after_a_stop() {
    let Some(moto) = Moto::shared().await else { return };
    let bucket = moto.new_bucket().await;
    an_upload_goes_on_after_a_stop(moto.access().options(&bucket, "")).await;
}

#[tokio::test]
async fn an_object_that_no_upload_can_hold_is_refused_before_it_is_sent() {
    let server = S3Server::with_bucket(BUCKET);
    let store = open_at(&server, "").await;
    let (mut huge, _) = object("huge", Bytes::new());
    huge.entry.size = store.capabilities().object_bytes_max + 1;
    let error = store.open_upload(&huge, None, None).await.expect_err("too large");
    assert_eq!(error.code, ErrorCode::TooLarge, "{error}");
    assert!(server.uploads(BUCKET).is_empty());
}

/// A source that changes between its listing and the read, or between two ranges of it.
async fn a_changed_source_is_noticed(store: &dyn Store) {
    put(store, vec![object("source", data(1, 5 << 20))]).await;
    let listed = entry(store, "source").await;
    let mut reader = store.read_range(&listed, ByteRange::new(0, 1 << 20)).await.expect("a reader");
    put(store, vec![object("source", data(2, 5 << 20))]).await;
    reader.next().await.expect("the answer that was begun is of one state").expect("a chunk");
    let error = store.read_range(&listed, ByteRange::new(1 << 20, 2 << 20)).await;
    let error = error.expect_err("the object changed");
    assert_eq!(error.code, ErrorCode::SourceChanged, "{error}");
    assert!(error.detail().contains("source"), "{error}");
}

#[tokio::test]
async fn a_changed_source_is_noticed_on_s3() {
    let server = S3Server::with_bucket(BUCKET);
    a_changed_source_is_noticed(&open_at(&server, "p/").await).await;
}

#[tokio::test]
async fn a_changed_source_is_noticed_on_moto() {
    let Some(moto) = Moto::shared().await else { return };
    let bucket = moto.new_bucket().await;
    a_changed_source_is_noticed(&open(moto.access().options(&bucket, "p/")).await).await;
}

async fn preflight_error(options: S3Options) -> StoreError {
    open(options).await.preflight(Access::Write).await.expect_err("the bucket cannot be used")
}

#[tokio::test]
async fn wrong_credentials_are_named_with_the_way_out() {
    let server = S3Server::with_bucket(BUCKET);
    let right = server.access();
    for (access_key, secret_key) in
        [("nobody", "guess"), (right.access_key.as_str(), "wr0ng-s3cret")]
    {
        let mut access = right.clone();
        (access.access_key, access.secret_key) = (access_key.to_owned(), secret_key.to_owned());
        let error = preflight_error(access.options(BUCKET, "")).await;
        assert_eq!(error.code, ErrorCode::Unauthorized, "{error}");
        assert!(error.detail().contains("AWS_ACCESS_KEY_ID"), "{error}");
        assert!(error.detail().contains(BUCKET), "{error}");
        assert!(!error.detail().contains(secret_key), "{error}");
    }
}

#[tokio::test]
async fn a_bucket_that_does_not_exist_is_named() {
    let server = S3Server::with_bucket(BUCKET);
    let mut all = vec![server.access().clone()];
    let moto = Moto::shared().await;
    all.extend(moto.iter().map(|moto| moto.access().clone()));
    for access in all {
        let options = access.options("no-such-bucket", "");
        let error = preflight_error(options.clone()).await;
        assert_eq!(error.code, ErrorCode::LocationMissing, "{error}");
        for part in ["'no-such-bucket' does not exist", &access.endpoint, "create it first"] {
            assert!(error.detail().contains(part), "{error}");
        }
        let store = open(options).await;
        let results = store.put_small(vec![object("key", data(1, 5))]).await;
        let error = results[0].as_ref().expect_err("there is no bucket");
        assert_eq!(error.code, ErrorCode::LocationMissing, "{error}");
    }
}

#[tokio::test]
async fn an_endpoint_that_nobody_serves_is_named() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let server = S3Server::start();
    for endpoint in [endpoint.as_str(), "http://no-such-host.invalid"] {
        let endpoint = endpoint.to_owned();
        let options = server.access().options(BUCKET, "");
        let error =
            preflight_error(S3Options { endpoint: Some(endpoint.clone()), ..options }).await;
        assert_eq!(error.code, ErrorCode::Unreachable, "{error}");
        assert!(error.detail().contains(&endpoint), "{error}");
    }
    let options = server.access().options(BUCKET, "");
    let error = S3Store::open(S3Options { endpoint: Some("host:1".to_owned()), ..options }).await;
    assert_eq!(error.expect_err("no URL").code, ErrorCode::LocationMissing);
}

async fn canned(
    answer: impl Fn(&str) -> Answer + Send + Sync + 'static,
) -> (CannedServer, S3Store) {
    let server = CannedServer::start(answer).await;
    let store = open(server.access().options(BUCKET, "p/")).await;
    (server, store)
}

fn listing(keys: &[&str], token: Option<&str>) -> Answer {
    let contents = keys.iter().map(|key| {
        format!("<Contents><Key>{key}</Key><Size>1</Size><ETag>\"e\"</ETag></Contents>")
    });
    let next = token.map(|token| format!("<NextContinuationToken>{token}</NextContinuationToken>"));
    let body = format!(
        "<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>{}</IsTruncated>{}{}</ListBucketResult>",
        token.is_some(),
        next.unwrap_or_default(),
        contents.collect::<String>()
    );
    Answer::new("200 OK", &body)
}

#[tokio::test]
async fn another_range_than_the_one_asked_for_is_not_taken_for_it() {
    let range = ByteRange::new(1 << 20, (1 << 20) + 10);
    let object = Entry {
        key: Key::from("x"),
        kind: Kind::Object,
        size: 2 << 20,
        mtime_ns: None,
        version: Version::ETag("e".into()),
        is_archived: false,
    };
    for (answered, is_read) in
        [("1048576-1048585/2097152", true), ("0-9/2097152", false), ("1048576-1048585/*", false)]
    {
        let (_server, store) = canned(move |_| {
            let answer = Answer::new("206 Partial Content", "0123456789").with("etag", "\"e\"");
            answer.with("content-range", &format!("bytes {answered}"))
        })
        .await;
        let read = airlift_tests::conformance::fixture::read_range(&store, &object, range).await;
        assert_eq!(read.is_ok(), is_read, "{answered}: {read:?}");
    }
}

#[tokio::test]
async fn errors_of_the_store_keep_their_meaning() {
    for (status, code, expected) in [
        ("503 Service Unavailable", "SlowDown", ErrorCode::Throttled),
        ("429 Too Many Requests", "TooManyRequests", ErrorCode::Throttled),
        ("500 Internal Server Error", "InternalError", ErrorCode::Unavailable),
        ("503 Service Unavailable", "ServiceUnavailable", ErrorCode::Unavailable),
        ("400 Bad Request", "ExpiredToken", ErrorCode::Unauthorized),
        ("400 Bad Request", "RequestTimeout", ErrorCode::TimedOut),
        ("403 Forbidden", "AccessDenied", ErrorCode::PermissionDenied),
        ("200 OK", "InternalError", ErrorCode::Unavailable),
    ] {
        let (_server, store) = canned(move |_| Answer::error(status, code)).await;
        let results = store.put_small(vec![object("key", data(1, 5))]).await;
        let error = results[0].as_ref().expect_err("an error");
        assert_eq!(error.code, expected, "{code}: {error}");
        assert!(error.detail().contains("s3://bucket/p/key"), "{error}");
    }
}

#[tokio::test]
async fn a_request_is_sent_once_because_the_agent_retries() {
    let (server, store) = canned(|_| Answer::error("503 Service Unavailable", "SlowDown")).await;
    store.stat(&Key::from("key")).await.expect_err("an error");
    assert_eq!(server.requests(), ["HEAD /bucket/p/key HTTP/1.1"]);
}

#[tokio::test]
async fn keys_are_sent_as_they_are() {
    let (server, store) = canned(|_| Answer::new("404 Not Found", "")).await;
    for key in ["../a//b/./c/..", "/", "a+b %2F?#", "é"] {
        assert_eq!(store.stat(&Key::from(key)).await.expect("an answer"), None);
    }
    let paths = ["../a//b/./c/..", "/", "a%2Bb%20%252F%3F%23", "%C3%A9"];
    let expected = paths.map(|path| format!("HEAD /bucket/p/{path} HTTP/1.1"));
    assert_eq!(server.requests(), expected);
}

#[tokio::test]
async fn listings_that_cannot_be_true_are_refused() {
    let out_of_order = |_: &str| listing(&["p/b", "p/a"], None);
    let repeated = |_: &str| listing(&[], Some("same"));
    let outside = |_: &str| listing(&["q/a"], None);
    let undecodable = |_: &str| listing(&["p/%zz"], None);
    let again = |line: &str| match line.contains("continuation-token") {
        true => listing(&["p/a"], None),
        false => listing(&["p/a"], Some("next")),
    };
    let garbage = |_: &str| Answer::new("200 OK", "<html>welcome</html>");
    for (name, (_server, store)) in [
        ("out of order", canned(out_of_order).await),
        ("repeats", canned(repeated).await),
        ("outside", canned(outside).await),
        ("url-encoded", canned(undecodable).await),
        ("out of order", canned(again).await),
        ("not S3", canned(garbage).await),
    ] {
        let error = list_error(&store).await;
        assert_eq!(error.code, ErrorCode::Protocol, "{name}: {error}");
        assert!(error.detail().contains(name), "{name}: {error}");
    }
}

#[tokio::test]
async fn an_empty_page_in_the_middle_does_not_end_a_listing() {
    let pages = |line: &str| match line {
        line if line.contains("continuation-token=two") => listing(&[], Some("three")),
        line if line.contains("continuation-token=three") => listing(&["p/b+c"], None),
        _ => listing(&["p/a"], Some("two")),
    };
    let (_server, store) = canned(pages).await;
    assert_eq!(keys(&store).await, ["a", "b c"].map(Key::from));
}

fn one_byte(key: &str) -> Entry {
    let version = Version::ETag("e".into());
    Entry {
        key: Key::from(key),
        kind: Kind::Object,
        size: 3,
        mtime_ns: None,
        version,
        is_archived: false,
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_worth_another_try() {
    let (_server, store) =
        canned(|_| Answer::new("200 OK", "a").with("ETag", "\"e\"").broken_off(2)).await;
    let error = read(&store, &one_byte("key")).await.expect_err("bytes are missing");
    assert_eq!(error.code, ErrorCode::Unavailable, "{error}");
    let error = read_small(&store, vec![one_byte("key")]).await.remove(0).expect_err("the same");
    assert_eq!(error.code, ErrorCode::Unavailable, "{error}");
}

#[tokio::test]
async fn a_store_that_ignores_conditions_is_seen_through() {
    let (_server, store) = canned(|_| Answer::new("200 OK", "abc").with("ETag", "\"f\"")).await;
    let error = read(&store, &one_byte("key")).await.expect_err("another state");
    assert_eq!(error.code, ErrorCode::SourceChanged, "{error}");
}

#[tokio::test]
async fn a_store_that_holds_other_bytes_is_found_out() {
    let wrong_sum = |_: &str| Answer::new("200 OK", "").with("x-amz-checksum-crc32c", "AAAAAA==");
    // An ETag that says nothing makes us read the object back.
    let wrong_bytes = |line: &str| match line.starts_with("GET") {
        true => Answer::new("200 OK", "abd"),
        false => Answer::new("200 OK", "").with("ETag", "\"opaque\""),
    };
    let right_bytes = |line: &str| match line.starts_with("GET") {
        true => Answer::new("200 OK", "abc"),
        false => Answer::new("200 OK", "").with("ETag", "\"opaque\""),
    };
    let abc = || vec![object("key", Bytes::from_static(b"abc"))];
    for (_server, store) in [canned(wrong_sum).await, canned(wrong_bytes).await] {
        let error = store.put_small(abc()).await.remove(0).expect_err("other bytes");
        assert_eq!(error.code, ErrorCode::CorruptTarget, "{error}");
        assert!(error.unproven.is_some(), "it can be seen");
    }
    let (server, store) = canned(right_bytes).await;
    put(&store, abc()).await;
    assert_eq!(server.requests().len(), 2, "one write, one read");
}

#[tokio::test]
async fn an_error_inside_a_successful_commit_is_an_error() {
    let part = "<ListPartsResult><IsTruncated>false</IsTruncated><Part><PartNumber>1</PartNumber>\
                <ETag>\"e\"</ETag><Size>3</Size></Part></ListPartsResult>";
    let answer = move |line: &str| match line.split(' ').next() {
        Some("POST") => Answer::error("200 OK", "InternalError"),
        _ => Answer::new("200 OK", part),
    };
    let (_server, store) = canned(answer).await;
    let (object, verified): (NewObject, _) = object("key", Bytes::from_static(b"abc"));
    let token = UploadToken("24c:upload".to_owned());
    let error = store.commit(&object, &token, verified.root()).await.expect_err("an error");
    assert_eq!(error.code, ErrorCode::Unavailable, "{error}");
}
