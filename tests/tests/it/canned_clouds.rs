//! How the stores of Azure and Google take answers that the emulators never give.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use airlift_node::store::azure::{AzureEnvironment, AzureOptions, AzureStore};
use airlift_node::store::fence::Term;
use airlift_node::store::gcs::{GcsOptions, GcsStore};
use airlift_node::store::{Access, Store, StoreError};
use airlift_protocol::assignment::UploadToken;
use airlift_protocol::chunk::Root;
use airlift_protocol::error::ErrorCode;
use airlift_protocol::id::JobId;
use airlift_protocol::key::Key;
use airlift_protocol::manifest::{Entry, Kind, Version};
use airlift_tests::canned::{Answer, CannedServer};
use airlift_tests::conformance::fixture::{data, keys, new_object, object, read, read_small};
use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};
use data_encoding::BASE64;
use md5::{Digest as _, Md5};
use tokio::sync::mpsc;

pub(crate) async fn azure(
    answer: impl Fn(&str) -> Answer + Send + Sync + 'static,
) -> (CannedServer, AzureStore) {
    let server = CannedServer::start(move |line| answer(line).with("x-ms-request-id", "1")).await;
    let key = Some("a2V5".to_owned());
    let options = AzureOptions {
        account: Some("account".to_owned()),
        endpoint: Some(format!("{}/account", server.access().endpoint)),
        environment: AzureEnvironment { key, ..AzureEnvironment::default() },
        ..AzureOptions::new("container", "p/", JobId([7; 16]))
    };
    let store = AzureStore::open(options).expect("a store");
    (server, store)
}

pub(crate) async fn google(
    answer: impl Fn(&str) -> Answer + Send + Sync + 'static,
) -> (CannedServer, GcsStore) {
    let server = CannedServer::start(answer).await;
    let endpoint = Some(server.access().endpoint.clone());
    let options = GcsOptions { endpoint, ..GcsOptions::new("bucket", "p/", JobId([7; 16])) };
    let store = GcsStore::open(options).expect("a store");
    (server, store)
}

pub(crate) fn listed(size: u64, version: &str) -> Entry {
    let version = Version::ETag(version.into());
    Entry {
        key: Key::from("x"),
        kind: Kind::Object,
        size,
        mtime_ns: None,
        version,
        is_archived: false,
    }
}

async fn list(store: &dyn Store) -> Result<(), StoreError> {
    let (sender, mut found) = mpsc::channel(4);
    let drain = async { while found.recv().await.is_some() {} };
    let (listed, ()) = futures::join!(store.list(Default::default(), sender), drain);
    listed
}

async fn put_one(store: &dyn Store) -> StoreError {
    let mut results = store.put_small(vec![object("x", data(1, 10))]).await;
    results.remove(0).expect_err("the answer proves nothing good")
}

fn blobs(names: &[&str], next: &str) -> Answer {
    let blob = |name: &&str| {
        format!(
            "<Blob><Name>{name}</Name><Properties><Etag>1</Etag>\
             <Content-Length>1</Content-Length></Properties></Blob>"
        )
    };
    let blobs: String = names.iter().map(blob).collect();
    let body = format!("<R><Blobs>{blobs}</Blobs><NextMarker>{next}</NextMarker></R>");
    Answer::new("200 OK", &body)
}

#[tokio::test]
async fn empty_pages_of_azure_are_followed_and_repeated_ones_refused() {
    let (server, store) = azure(|line| match line {
        line if line.contains("marker=two") => blobs(&["p/b"], ""),
        line if line.contains("marker=one") => blobs(&[], "two"),
        _ => blobs(&["p/a"], "one"),
    })
    .await;
    assert_eq!(keys(&store).await, ["a", "b"].map(Key::from));
    assert_eq!(server.requests().len(), 3);
    let (_server, store) = azure(|_| blobs(&[], "same")).await;
    assert_eq!(list(&store).await.unwrap_err().code, ErrorCode::Protocol);
    let (_server, store) = azure(|_| blobs(&["p/b", "p/a"], "")).await;
    assert_eq!(list(&store).await.unwrap_err().code, ErrorCode::Protocol);
}

#[tokio::test]
async fn refusals_of_azure_have_their_class() {
    for (status, code, expected) in [
        ("503 Busy", "ServerBusy", ErrorCode::Throttled),
        ("500 Error", "InternalError", ErrorCode::Unavailable),
        ("500 Error", "OperationTimedOut", ErrorCode::TimedOut),
        ("403 No", "AuthenticationFailed", ErrorCode::Unauthorized),
        ("403 No", "AuthorizationPermissionMismatch", ErrorCode::PermissionDenied),
        ("404 No", "ContainerNotFound", ErrorCode::LocationMissing),
    ] {
        let (_server, store) = azure(move |_| Answer::error(status, code)).await;
        let error = list(&store).await.unwrap_err();
        assert_eq!(error.code, expected, "{code}: {error}");
        assert!(!error.detail().contains('\n') && error.detail().contains(code), "{error}");
    }
    let (_server, store) = azure(|_| Answer::error("403 No", "AuthorizationFailure")).await;
    let error = store.preflight(Access::Write).await.unwrap_err();
    assert_eq!(
        error.code,
        ErrorCode::Unauthorized,
        "a job that may not list cannot begin: {error}"
    );
    let foreign = CannedServer::start(|_| Answer::new("404 Not Found", "<html>")).await;
    let options = AzureOptions {
        endpoint: Some(foreign.access().endpoint.clone()),
        environment: AzureEnvironment {
            sas_token: Some("sig=secret".to_owned()),
            ..AzureEnvironment::default()
        },
        ..AzureOptions::new("container", "", JobId([7; 16]))
    };
    let error = list(&AzureStore::open(options).unwrap()).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Protocol, "{error}");
    assert!(!error.detail().contains("secret"), "{error}");
}

#[tokio::test]
async fn a_blob_of_another_state_or_cut_off_is_not_read_as_the_listed_one() {
    let answer = |etag: &'static str, missing| {
        move |_: &str| Answer::new("200 OK", "0123456789").with("etag", etag).broken_off(missing)
    };
    let (_server, store) = azure(answer("\"other\"", 0)).await;
    let error = read(&store, &listed(10, "1")).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::SourceChanged, "{error}");
    let (_server, store) = azure(answer("\"1\"", 0)).await;
    assert_eq!(read(&store, &listed(10, "1")).await.unwrap(), "0123456789");
    let (_server, store) =
        azure(|_| Answer::new("200 OK", "01234").with("etag", "\"1\"").broken_off(5)).await;
    let error = read(&store, &listed(10, "1")).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Unavailable, "{error}");
    let error = read_small(&store, vec![listed(10, "1")]).await.remove(0).unwrap_err();
    assert_eq!(error.code, ErrorCode::Unavailable, "{error}");
}

#[tokio::test]
async fn a_blob_that_is_not_what_was_sent_or_always_changes_is_not_called_written() {
    let (_server, store) =
        azure(|_| Answer::new("201 Created", "").with("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg=="))
            .await;
    let error = put_one(&store).await;
    assert_eq!(error.code, ErrorCode::CorruptTarget);
    assert_eq!(error.unproven, Some(Version::None), "it can be seen, in a state that nobody named");
    // An answer without any evidence has the bytes read back: a description says what was sent.
    let sent = BASE64.encode(&Md5::digest(data(1, 10)));
    let (_server, store) = azure(move |line| match line {
        line if line.starts_with("PUT") => Answer::new("201 Created", ""),
        _ => Answer::new("200 OK", "other byte").with("etag", "\"1\"").with("content-md5", &sent),
    })
    .await;
    assert_eq!(put_one(&store).await.code, ErrorCode::CorruptTarget);
    let (_server, store) = azure(|line| match line {
        line if line.starts_with("PUT") => Answer::new("201 Created", ""),
        _ => Answer::new("200 OK", "0123456789").without_length(),
    })
    .await;
    let result = store.put_small(vec![object("x", "0123456789".into())]).await.remove(0);
    result.expect("what is read back are the bytes, whether the answer says how many or not");
    let (server, store) = azure(|line| match line {
        line if line.starts_with("PUT") => Answer::error("412 No", "ConditionNotMet"),
        _ => Answer::new("200 OK", "").with("etag", "\"1\""),
    })
    .await;
    assert_eq!(put_one(&store).await.code, ErrorCode::Unavailable);
    assert_eq!(server.requests().len(), 6, "three looks, three writes");
}

fn items(items: &str, next: Option<&str>) -> Answer {
    let next = next.map(|next| format!(",\"nextPageToken\":\"{next}\"")).unwrap_or_default();
    Answer::new("200 OK", &format!("{{\"kind\":\"storage#objects\",\"items\":[{items}]{next}}}"))
}

fn item(name: &str) -> String {
    format!("{{\"name\":\"{name}\",\"size\":\"1\",\"generation\":\"1\"}}")
}

#[tokio::test]
async fn pages_of_google_are_followed_and_wrong_ones_refused() {
    let (server, store) = google(|line| match line {
        line if line.contains("pageToken=two") => items(&item("p/b"), None),
        line if line.contains("pageToken=one") => items("", Some("two")),
        _ => items(&item("p/a"), Some("one")),
    })
    .await;
    assert_eq!(keys(&store).await, ["a", "b"].map(Key::from));
    assert_eq!(server.requests().len(), 3);
    let after = airlift_node::store::ListRequest { after: Some("a".into()), until: None };
    let (sender, mut found) = mpsc::channel(4);
    let drain = async { while found.recv().await.is_some() {} };
    let (listed, ()) = futures::join!(store.list(after, sender), drain);
    listed.unwrap();
    assert!(server.requests()[3].contains("startOffset=p%2Fa"), "{:?}", server.requests());
    for wrong in ["", "p/b\",\"x\":\"", "other"] {
        let page = match wrong {
            "" => format!("{},{}", item("p/b"), item("p/a")),
            wrong => item(wrong).replace("\"size\":\"1\",", ""),
        };
        let (_server, store) = google(move |_| items(&page, None)).await;
        assert_eq!(list(&store).await.unwrap_err().code, ErrorCode::Protocol, "{wrong}");
    }
}

#[tokio::test]
async fn refusals_of_google_have_their_class() {
    for (status, reason, expected) in [
        ("429 Slow", "rateLimitExceeded", ErrorCode::Throttled),
        ("503 No", "backendError", ErrorCode::Unavailable),
        ("401 No", "authError", ErrorCode::Unauthorized),
        ("403 No", "forbidden", ErrorCode::PermissionDenied),
        ("408 No", "requestTimeout", ErrorCode::TimedOut),
    ] {
        let body = format!(
            "{{\"error\":{{\"message\":\"Some words.\",\"errors\":[{{\"reason\":\"{reason}\"}}]}}}}"
        );
        let (_server, store) = google(move |_| Answer::new(status, &body)).await;
        let error = list(&store).await.unwrap_err();
        assert_eq!(error.code, expected, "{reason}: {error}");
        assert!(error.detail().contains("Some words"), "{error}");
    }
    let (_server, store) = google(|_| Answer::new("200 OK", "<html>")).await;
    assert_eq!(list(&store).await.unwrap_err().code, ErrorCode::Protocol);
}

#[tokio::test]
async fn another_generation_is_not_read_as_the_listed_one() {
    let answer = |generation: &'static str| {
        move |_: &str| Answer::new("200 OK", "0123456789").with("x-goog-generation", generation)
    };
    let (_server, store) = google(answer("2")).await;
    let error = read(&store, &listed(10, "1")).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::SourceChanged, "{error}");
    let (server, store) = google(answer("1")).await;
    assert_eq!(read(&store, &listed(10, "1")).await.unwrap(), "0123456789");
    let requests = server.requests();
    assert_eq!(requests.len(), 1, "what names its generation needs no second look");
    assert!(requests[0].contains("ifGenerationMatch=1"), "{requests:?}");
    let (_server, store) = google(|_| Answer::new("412 No", "")).await;
    let error = read(&store, &listed(10, "1")).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::SourceChanged, "{error}");
}

#[tokio::test]
async fn an_object_whose_sum_is_another_is_not_called_written() {
    let wrong = "{\"name\":\"p/x\",\"size\":\"10\",\"generation\":\"2\",\"crc32c\":\"AAAAAA==\"}";
    let (_server, store) = google(move |_| Answer::new("200 OK", wrong)).await;
    let error = put_one(&store).await;
    assert_eq!(error.code, ErrorCode::CorruptTarget);
    assert_eq!(error.unproven, Some(Version::ETag("2".into())), "this generation can be seen");

    // The same of one that is put together from its parts: each is there, and the whole is wrong.
    let (server, store) = google(move |line| {
        if line.contains("/compose") {
            return Answer::new("200 OK", wrong);
        }
        match line.split_once("prefix=").and_then(|(_, rest)| rest.split('&').next()) {
            Some(folder) => {
                let folder = folder.replace("%2F", "/");
                let part = format!(
                    "{{\"name\":\"{folder}part-00000\",\"size\":\"10\",\"generation\":\"5\",\
                     \"crc32c\":\"yZRlqg==\"}}"
                );
                items(&format!("{},{part}", item(&format!("{folder}open"))), None)
            }
            None => Answer::new("404 Not Found", ""),
        }
    })
    .await;
    let object = new_object("x", Kind::Object, 10);
    let token = UploadToken("24:0102030405060708".to_owned());
    let error = store.commit(&object, &token, Root::of(&data(1, 10))).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::CorruptTarget, "{error}");
    assert_eq!(error.unproven, Some(Version::ETag("2".into())));
    let composed: Vec<String> =
        server.requests().into_iter().filter(|line| line.contains("/compose")).collect();
    assert_eq!(composed.len(), 1);
    assert!(composed[0].contains("ifGenerationMatch=0"), "nothing was there: {composed:?}");
    assert!(!server.requests().iter().any(|line| line.starts_with("DELETE")), "the parts are kept");
}

/// As after an attempt that was given up and whose write of a part came late.
#[tokio::test]
async fn a_part_that_was_written_again_during_a_commit_is_no_change_of_the_source() {
    const PART: u64 = 16 << 20;
    let condition =
        "{\"error\":{\"message\":\"No.\",\"errors\":[{\"reason\":\"conditionNotMet\"}]}}";
    let (server, store) = google(move |line| {
        if line.contains("/compose") {
            return Answer::new("412 Precondition Failed", condition);
        }
        let prefix = line.split_once("prefix=").and_then(|(_, rest)| rest.split('&').next());
        let Some(folder) = prefix else { return Answer::new("404 Not Found", "") };
        let folder = folder.replace("%2F", "/");
        let part = |index: u32| {
            format!(
                "{{\"name\":\"{folder}part-{index:05}\",\"size\":\"{PART}\",\"generation\":\"5\",\
                 \"crc32c\":\"yZRlqg==\"}}"
            )
        };
        let parts: Vec<String> = (0..33).map(part).collect();
        items(&format!("{},{}", item(&format!("{folder}open")), parts.join(",")), None)
    })
    .await;
    let object = new_object("x", Kind::Object, 33 * PART);
    let token = UploadToken("24:0102030405060708".to_owned());
    let error = store.commit(&object, &token, Root::of(b"")).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Unavailable, "{error}");
    let composed: Vec<String> =
        server.requests().into_iter().filter(|line| line.contains("/compose")).collect();
    assert_eq!(composed.len(), 2, "33 parts are more than one request puts together: {composed:?}");
    assert!(composed.iter().all(|line| line.contains("whole-1-")), "{composed:?}");
    assert!(!server.requests().iter().any(|line| line.starts_with("DELETE")), "the parts are kept");
}

#[tokio::test]
async fn azure_is_asked_by_its_own_time_once_it_has_refused_ours() {
    const AHEAD_SECONDS: i64 = 3_630;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let theirs = i64::try_from(now.as_secs()).unwrap() + AHEAD_SECONDS;
    let date = DateTime::from_secs(theirs).fmt(DateTimeFormat::HttpDate).unwrap();
    let (server, store) =
        azure(move |_| Answer::error("403 No", "AuthenticationFailed").with("date", &date)).await;
    let error = list(&store).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Unavailable, "{error}");
    assert!(error.detail().contains("60 minutes ahead of this machine's"), "{error}");
    // By the right time, it is the key that is wrong.
    let error = list(&store).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Unauthorized, "{error}");
    let signed = |head: &String| {
        let line = head.lines().find_map(|line| line.strip_prefix("x-ms-date: ")).unwrap();
        DateTime::from_str(line, DateTimeFormat::HttpDate).unwrap().secs()
    };
    let signed: Vec<i64> = server.heads().iter().map(signed).collect();
    assert!(signed[0] < theirs - AHEAD_SECONDS + 60, "{signed:?} {theirs}");
    assert!((signed[1] - theirs).abs() < 60, "{signed:?} {theirs}");
}

/// A client sets it as it likes, and nobody compares it with the bytes of a blob that is put together.
#[tokio::test]
async fn an_md5_of_azure_is_no_sum_of_an_object() {
    let described = |_: &str| {
        let answer = Answer::new("200 OK", "0123456789").with("etag", "\"1\"");
        answer.with("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg==").with("x-ms-blob-type", "BlockBlob")
    };
    let (_server, store) = azure(described).await;
    let entry = store.stat(&"x".into()).await.unwrap().expect("a blob").entry;
    assert_eq!(store.stored_sums(vec![entry]).await.remove(0).unwrap(), []);
}

#[tokio::test]
async fn a_key_that_cannot_be_asked_about_is_not_called_deleted() {
    let (azure_server, azure_store) = azure(|_| Answer::new("200 OK", "")).await;
    let (google_server, google_store) = google(|_| Answer::new("200 OK", "{}")).await;
    let stores: [(&dyn Store, &str); 2] = [(&azure_store, "tab\t"), (&google_store, "a\nb")];
    for (store, key) in stores {
        let entry = Entry { key: Key::from(key), ..listed(1, "1") };
        let error = store.delete(vec![entry]).await.remove(0).expect_err("it may be there");
        assert_eq!(error.code, ErrorCode::KeyUnsupported, "{error}");
    }
    assert_eq!((azure_server.requests().len(), google_server.requests().len()), (0, 0));
}

#[tokio::test]
async fn credentials_that_were_refused_are_not_shown_again() {
    let body = "{\"error\":{\"message\":\"No.\",\"errors\":[{\"reason\":\"authError\"}]}}";
    let (azure_server, azure_store) =
        azure(|_| Answer::error("403 No", "AuthenticationFailed")).await;
    let (google_server, google_store) = google(move |_| Answer::new("401 No", body)).await;
    let stores: [(&dyn Store, &CannedServer); 2] =
        [(&azure_store, &azure_server), (&google_store, &google_server)];
    for (store, server) in stores {
        assert!(!store.is_refused());
        assert_eq!(put_one(store).await.code, ErrorCode::Unauthorized);
        let asked = server.requests().len();
        let error = list(store).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::Unauthorized, "{error}");
        assert_eq!(server.requests().len(), asked, "nobody is asked again");
        assert!(store.is_refused());
    }
}

#[tokio::test]
async fn what_is_too_much_for_a_service_is_asked_for_more_slowly() {
    let body = "{\"error\":{\"errors\":[{\"reason\":\"rateLimitExceeded\"}]}}";
    let (_azure, azure_store) =
        azure(|_| Answer::error("503 Busy", "ServerBusy").with("retry-after", "7")).await;
    let (_google, google_store) =
        google(move |_| Answer::new("429 Slow", body).with("retry-after", "7")).await;
    let stores: [&dyn Store; 2] = [&azure_store, &google_store];
    for store in stores {
        let error = list(store).await.unwrap_err();
        assert_eq!((error.code, error.pause), (ErrorCode::Throttled, Some(Duration::from_secs(7))));
        let pace = store.pace().expect("gates");
        let (reads, writes) = (pace.reads.figures(), pace.writes.figures());
        assert_eq!((reads.requests, reads.throttled, writes.requests), (1, 1, 0));
        assert!(reads.per_second.is_some(), "a bound that the next ones keep");
    }
}

#[tokio::test]
async fn nothing_is_changed_by_a_node_that_lost_its_leases() {
    let fence = Arc::new(Term::default()).fence();
    let server = CannedServer::start(|_| Answer::new("200 OK", "{}").with("etag", "\"1\"")).await;
    let endpoint = Some(server.access().endpoint.clone());
    let environment =
        AzureEnvironment { key: Some("a2V5".to_owned()), ..AzureEnvironment::default() };
    let azure = AzureOptions {
        account: Some("account".to_owned()),
        endpoint: endpoint.clone(),
        environment,
        fence: fence.clone(),
        ..AzureOptions::new("container", "", JobId([7; 16]))
    };
    let google = GcsOptions { endpoint, fence, ..GcsOptions::new("bucket", "", JobId([7; 16])) };
    let (azure, google) = (AzureStore::open(azure).unwrap(), GcsStore::open(google).unwrap());
    let stores: [&dyn Store; 2] = [&azure, &google];
    for store in stores {
        assert_eq!(put_one(store).await.code, ErrorCode::LeaseLost);
        let large = new_object("x", Kind::Object, 9 << 20);
        let error = store.open_upload(&large, None, None).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::LeaseLost, "{error}");
    }
    let changes = server.requests().into_iter().filter(|line| !line.starts_with("GET"));
    assert_eq!(changes.collect::<Vec<_>>(), [""; 0]);
}

/// As after a kill between the two requests that commit it: its blocks cannot be listed any more.
#[tokio::test]
async fn a_commit_into_the_archive_may_be_repeated() {
    let mut large = new_object("x", Kind::Object, 9 << 20);
    large.attributes.storage_class = Some("Archive".to_owned());
    large.attributes.source_fingerprint = Some("ours".to_owned());
    let token = UploadToken("24:0102030405060708".to_owned());
    for (fingerprint, is_done) in [("ours", true), ("theirs", false)] {
        let (_server, store) = azure(move |line| {
            if !line.starts_with("HEAD") {
                return Answer::error("409 No", "BlobArchived");
            }
            let answer = Answer::new("200 OK", "").broken_off(9 << 20).with("etag", "\"1\"");
            let answer = answer.with("x-ms-access-tier", "Archive");
            answer.with("x-ms-meta-airlift_source", fingerprint)
        })
        .await;
        let committed = store.commit(&large, &token, Root::of(b"")).await;
        assert_eq!(committed.is_ok(), is_done, "{fingerprint}: {committed:?}");
    }
}
