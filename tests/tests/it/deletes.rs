//! Deletes at buckets: a thousand at once where S3 compares ETags, each one looked at first where nobody may compare,
//! and nothing called deleted that may be there.

use airlift_node::store::Store;
use airlift_node::store::s3::provider::Provider;
use airlift_node::store::s3::{S3Options, S3Store};
use airlift_protocol::error::ErrorCode;
use airlift_protocol::key::Key;
use airlift_protocol::manifest::{Entry, Kind, Version};
use airlift_tests::canned::{Answer, CannedServer};

use crate::canned_clouds::azure;

fn listed(key: &str) -> Entry {
    Entry {
        key: Key::from(key),
        kind: Kind::Object,
        size: 1,
        mtime_ns: Some(0),
        version: Version::ETag("e".into()),
        is_archived: false,
    }
}

/// A description of the object that was listed.
fn described() -> Answer {
    let answer = Answer::new("200 OK", "x").with("etag", "\"e\"");
    answer.with("last-modified", "Thu, 01 Jan 1970 00:00:00 GMT")
}

async fn open(server: &CannedServer, compares_deletes: Option<bool>) -> S3Store {
    let options = server.access().options("bucket", "p/");
    S3Store::open(S3Options { compares_deletes, ..options }).await.expect("a store")
}

#[tokio::test]
async fn a_service_that_compares_is_asked_once_for_a_thousand() {
    let server = CannedServer::start(|line| match line {
        line if line.starts_with("POST") => {
            let deleted = |n: usize| format!("<Deleted><Key>p/{n}</Key></Deleted>");
            let deleted: String = (0..1_500).map(deleted).collect();
            Answer::new("200 OK", &format!("<DeleteResult>{deleted}</DeleteResult>"))
        }
        _ => Answer::new("500 No", ""),
    })
    .await;
    let store = open(&server, Some(true)).await;
    let entries = (0..1_500).map(|n| listed(&n.to_string())).collect();
    for result in store.delete(entries).await {
        result.expect("it is deleted");
    }
    let requests = server.requests();
    assert_eq!(requests.len(), 2, "{requests:?}");
    assert!(requests.iter().all(|line| line.starts_with("POST") && line.contains("delete")));
}

#[tokio::test]
async fn what_a_batch_leaves_is_looked_at_or_named() {
    let server = CannedServer::start(|line| match line {
        line if line.starts_with("POST") => Answer::new(
            "200 OK",
            "<DeleteResult><Deleted><Key>p/gone</Key></Deleted>\
             <Error><Key>p/missing</Key><Code>NoSuchKey</Code></Error>\
             <Error><Key>p/changed</Key><Code>PreconditionFailed</Code></Error>\
             <Error><Key>p/held</Key><Code>AccessDenied</Code><Message>No.</Message></Error>\
             <Error><Key>p/slow</Key><Code>SlowDown</Code></Error></DeleteResult>",
        ),
        line if line.contains("/p/changed") => described().with("x", "1"),
        line if line.starts_with("DELETE") => Answer::new("204 No Content", ""),
        _ => described(),
    })
    .await;
    let store = open(&server, Some(true)).await;
    let mut changed = listed("changed");
    changed.version = Version::ETag("earlier".into());
    let entries = ["gone", "missing", "held", "slow", "unsaid"].map(listed);
    // What XML cannot say, and what has no ETag, has requests of its own.
    let alone = [listed("tab\t"), Entry { version: Version::None, ..listed("old") }];
    let all = [vec![changed], entries.to_vec(), alone.to_vec()].concat();
    let codes: Vec<Option<ErrorCode>> =
        store.delete(all).await.into_iter().map(|it| it.err().map(|error| error.code)).collect();
    let expected = [
        Some(ErrorCode::SourceChanged),
        None,
        None,
        Some(ErrorCode::PermissionDenied),
        Some(ErrorCode::Throttled),
        Some(ErrorCode::Unavailable),
        None,
        Some(ErrorCode::SourceChanged),
    ];
    assert_eq!(codes, expected);
    let heads = server.heads();
    let single: Vec<&String> = heads.iter().filter(|head| head.starts_with("DELETE")).collect();
    assert_eq!(single.len(), 1, "{heads:?}");
    assert!(single[0].contains("if-match: \"e\""), "{single:?}");
}

#[tokio::test]
async fn where_a_condition_may_not_count_each_object_is_looked_at_first() {
    let server = CannedServer::start(|line| match line {
        line if line.starts_with("DELETE") => Answer::new("204 No Content", ""),
        _ => described(),
    })
    .await;
    // A server of one's own, of which nothing is known.
    let store = open(&server, None).await;
    for result in store.delete(vec![listed("a"), listed("b")]).await {
        result.expect("it is deleted");
    }
    let count = |method| server.requests().iter().filter(|line| line.starts_with(method)).count();
    assert_eq!((count("HEAD"), count("DELETE"), count("POST")), (2, 2, 0));
    assert!(!server.heads().iter().any(|head| head.contains("if-match")));
}

#[tokio::test]
async fn a_key_that_cannot_be_asked_about_is_not_called_deleted() {
    let server = CannedServer::start(|_| described()).await;
    let provider = Provider::of("b2").expect("a profile");
    let options = server.access().options("bucket", "");
    let store = S3Store::open(S3Options { provider, ..options }).await.expect("a store");
    let error = store.delete(vec![listed("a//b")]).await.remove(0).expect_err("it may be there");
    assert_eq!(error.code, ErrorCode::KeyUnsupported, "{error}");
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn azure_compares_by_itself_and_nothing_is_looked_at_first() {
    let (server, store) = azure(|line| match line {
        line if line.starts_with("DELETE") && line.contains("/gone") => {
            Answer::error("404 No", "BlobNotFound")
        }
        line if line.starts_with("DELETE") && line.contains("/p/c") => {
            Answer::error("412 No", "ConditionNotMet")
        }
        line if line.starts_with("DELETE") => Answer::new("202 Accepted", ""),
        line if line.contains("/p/changed") => described(),
        _ => Answer::error("404 No", "BlobNotFound"),
    })
    .await;
    let entries = ["a", "gone", "changed", "c-gone"].map(listed).to_vec();
    let codes: Vec<Option<ErrorCode>> = store
        .delete(entries)
        .await
        .into_iter()
        .map(|result| result.err().map(|error| error.code))
        .collect();
    assert_eq!(codes, [None, None, Some(ErrorCode::SourceChanged), None]);
    let heads = server.heads();
    let deletes: Vec<&String> = heads.iter().filter(|head| head.starts_with("DELETE")).collect();
    assert_eq!((deletes.len(), heads.len()), (4, 6), "{heads:?}");
    assert!(deletes.iter().all(|head| head.contains("if-match: \"e\"")), "{deletes:?}");
}
