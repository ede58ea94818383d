//! Copies that Azure and Google make themselves, and blobs that leave Azure's archive: by answers as the services
//! are documented to give them, since the emulators do not give them all; and what becomes of it with those.

use std::sync::atomic::{AtomicUsize, Ordering};

use airlift_node::store::azure::{AzureEnvironment, AzureOptions, AzureStore};
use airlift_node::store::{Attributes, NewObject, Proof, Restored, Store, StoreError};
use airlift_protocol::error::ErrorCode;
use airlift_protocol::id::JobId;
use airlift_protocol::key::Key;
use airlift_protocol::manifest::Entry;
use airlift_tests::airlift::Airlift;
use airlift_tests::azurite::Azurite;
use airlift_tests::canned::{Answer, CannedServer};
use airlift_tests::gcs::GcsEmulator;
use airlift_tests::tree;
use tokio::runtime::Runtime;

use crate::canned_clouds::{azure, google, listed};

const MD5: &str = "eB5eJF1ptWaXm4bijSPyxw==";
const OTHER_MD5: &str = "1B2M2Y8AsgTpgAmY7PhCfg==";

fn copied(listed: &Entry) -> NewObject {
    let attributes = Attributes {
        source_fingerprint: Some("ours".to_owned()),
        content_type: Some("text/x-test".to_owned()),
        ..Attributes::default()
    };
    NewObject { entry: Entry { key: Key::from("copy"), ..listed.clone() }, attributes }
}

async fn copy(target: &dyn Store, source: &dyn Store) -> Result<Proof, StoreError> {
    let listed = listed(10, "1");
    let copier = target.copier(source).expect("one service");
    assert!(!copier.wants_upload(&listed));
    assert_eq!(copier.objection(&listed), None);
    copier.copy(&listed, &copied(&listed)).await
}

/// A server of Azure's: what it says of its blobs, and answers to a copy.
async fn copying_azure(
    described: Option<&'static str>,
    answer: Answer,
) -> (CannedServer, AzureStore) {
    azure(move |line| match line {
        line if line.starts_with("PUT") => answer.clone(),
        // Nothing is under the name of the copy.
        line if line.contains("/copy") => Answer::new("404 No", ""),
        _ => {
            let answer = Answer::new("200 OK", "0123456789").with("etag", "\"1\"");
            match described {
                Some(md5) => answer.with("content-md5", md5),
                None => answer,
            }
        }
    })
    .await
}

#[tokio::test]
async fn azure_copies_what_has_an_md5_and_says_it_again() {
    let (server, store) =
        copying_azure(Some(MD5), Answer::new("201 Created", "").with("content-md5", MD5)).await;
    assert_eq!(copy(&store, &store).await.unwrap(), Proof::Proven);
    let heads = server.heads();
    let put = heads.iter().find(|head| head.starts_with("PUT")).expect("a copy");
    for header in [
        "x-ms-source-if-match: \"1\"",
        &format!("x-ms-source-content-md5: {MD5}"),
        "if-none-match: *",
        "x-ms-copy-source-blob-properties: false",
        "x-ms-meta-airlift_source: ours",
        "x-ms-blob-content-type: text/x-test",
        "content-length: 0",
    ] {
        assert!(put.contains(&format!("{header}\r\n")), "{header} in {put}");
    }
    let source = put.lines().find_map(|line| line.strip_prefix("x-ms-copy-source: ")).expect("it");
    assert!(source.contains("/account/container/p/x?sv="), "{source}");
    assert!(source.contains("&sp=r&") && source.contains("&sig="), "{source}");
    assert!(!format!("{store:?}").contains("sig="));
}

#[tokio::test]
async fn what_azure_does_not_prove_is_not_called_copied() {
    let refused = |status, code| Answer::error(status, code);
    for (described, answer) in [
        (None, Answer::new("201 Created", "").with("content-md5", MD5)),
        (Some(MD5), Answer::new("201 Created", "")),
        (Some(MD5), refused("400 Bad", "Md5Mismatch")),
        (Some(MD5), refused("403 No", "CannotVerifyCopySource")),
        (Some(MD5), refused("501 No", "NotImplemented")),
    ] {
        let (_server, store) = copying_azure(described, answer.clone()).await;
        let proof = copy(&store, &store).await.unwrap();
        assert!(matches!(proof, Proof::Unproven(_)), "{described:?} {answer:?}: {proof:?}");
    }
    for (answer, expected) in [
        (Answer::new("201 Created", "").with("content-md5", OTHER_MD5), ErrorCode::CorruptTarget),
        (refused("412 No", "SourceConditionNotMet"), ErrorCode::Unavailable),
        (refused("403 No", "AuthorizationPermissionMismatch"), ErrorCode::PermissionDenied),
    ] {
        let (_server, store) = copying_azure(Some(MD5), answer).await;
        let error = copy(&store, &store).await.unwrap_err();
        assert_eq!(error.code, expected, "{error}");
    }
    // After some that came to nothing, no more are tried.
    let (server, store) = copying_azure(Some(MD5), Answer::new("201 Created", "")).await;
    let copier = store.copier(&store).expect("one service");
    for _ in 0..8 {
        copier.copy(&listed(10, "1"), &copied(&listed(10, "1"))).await.unwrap();
    }
    assert!(copier.objection(&listed(10, "1")).unwrap().contains("8 copies"));
    assert!(copier.objection(&listed(6 << 30, "1")).unwrap().contains("too large"));
    assert_eq!(server.requests().iter().filter(|line| line.starts_with("PUT")).count(), 8);
    // Another state is another object.
    let error = copier.copy(&listed(10, "2"), &copied(&listed(10, "2"))).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::SourceChanged, "{error}");
}

#[tokio::test]
async fn accounts_do_not_copy_from_each_other() {
    let (_one, store) = azure(|_| Answer::new("200 OK", "")).await;
    let (_other, other) = azure(|_| Answer::new("200 OK", "")).await;
    let (_google, google) = google(|_| Answer::new("200 OK", "{}")).await;
    assert!(store.copier(&other).is_none() && store.copier(&google).is_none());
    assert!(google.copier(&store).is_none());
}

/// An object as Google describes it.
fn resource(crc32c: Option<&str>, fingerprint: &str) -> String {
    let sum = crc32c.map(|sum| format!("\"crc32c\":\"{sum}\",")).unwrap_or_default();
    format!(
        "{{{sum}\"name\":\"x\",\"size\":\"10\",\"generation\":\"1\",\
         \"metadata\":{{\"airlift-source\":\"{fingerprint}\"}}}}"
    )
}

async fn copying_google(
    described: Option<&'static str>,
    copy: String,
) -> (CannedServer, impl Store) {
    let calls = AtomicUsize::new(0);
    google(move |line| {
        if line.contains("/rewriteTo/") {
            // The first answer is that it is not through, as for a large object.
            return match calls.fetch_add(1, Ordering::SeqCst) {
                0 => Answer::new(
                    "200 OK",
                    "{\"done\":false,\"totalBytesRewritten\":\"5\",\"rewriteToken\":\"a/b\"}",
                ),
                _ => Answer::new("200 OK", &format!("{{\"done\":true,\"resource\":{copy}}}")),
            };
        }
        match line.contains("copy") {
            true => Answer::new("404 No", "{}"),
            false => Answer::new("200 OK", &resource(described, "source")),
        }
    })
    .await
}

#[tokio::test]
async fn google_is_asked_until_it_has_copied_all_of_an_object() {
    let (server, store) =
        copying_google(Some("yZRlqg=="), resource(Some("yZRlqg=="), "ours")).await;
    assert_eq!(copy(&store, &store).await.unwrap(), Proof::Proven);
    let calls: Vec<String> =
        server.requests().into_iter().filter(|line| line.contains("/rewriteTo/")).collect();
    assert_eq!(calls.len(), 2, "{calls:?}");
    let path = "POST /storage/v1/b/bucket/o/p%2Fx/rewriteTo/b/bucket/o/p%2Fcopy?";
    for call in &calls {
        assert!(call.starts_with(path), "{call}");
        assert!(call.contains("ifSourceGenerationMatch=1&ifGenerationMatch=0"), "{call}");
    }
    assert!(!calls[0].contains("rewriteToken") && calls[1].contains("&rewriteToken=a%2Fb"));
}

#[tokio::test]
async fn what_google_does_not_prove_is_not_called_copied() {
    for (described, copied) in [
        (None, resource(Some("yZRlqg=="), "ours")),
        (Some("yZRlqg=="), resource(None, "ours")),
        // A server that copies what the source carries in place of what it was told.
        (Some("yZRlqg=="), resource(Some("yZRlqg=="), "source")),
    ] {
        let (_server, store) = copying_google(described, copied.clone()).await;
        let proof = copy(&store, &store).await.unwrap();
        assert!(matches!(proof, Proof::Unproven(_)), "{copied}: {proof:?}");
    }
    let (_server, store) =
        copying_google(Some("yZRlqg=="), resource(Some("AAAAAA=="), "ours")).await;
    let error = copy(&store, &store).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::CorruptTarget, "{error}");
    let copier = store.copier(&store).expect("one service");
    let error = copier.copy(&listed(10, "2"), &copied(&listed(10, "2"))).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::SourceChanged, "{error}");
    // One that never gets on is not asked for ever.
    let (server, store) = google(|line| match line {
        line if line.contains("/rewriteTo/") => {
            Answer::new("200 OK", "{\"done\":false,\"rewriteToken\":\"t\"}")
        }
        line if line.contains("copy") => Answer::new("404 No", "{}"),
        _ => Answer::new("200 OK", &resource(Some("yZRlqg=="), "source")),
    })
    .await;
    let error = copy(&store, &store).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Unavailable, "{error}");
    assert!(server.requests().len() < 200);
}

#[tokio::test]
async fn a_blob_leaves_the_archive_by_one_request_and_is_waited_for() {
    for (tier, status, set, expected, asked) in [
        ("Archive", None, "202 Accepted", Restored::UnderWay, true),
        ("Archive", None, "200 OK", Restored::Readable, true),
        ("Archive", None, "409 BlobBeingRehydrated", Restored::UnderWay, true),
        ("Archive", Some("rehydrate-pending-to-hot"), "500 No", Restored::UnderWay, false),
        ("Cool", None, "500 No", Restored::Readable, false),
    ] {
        let (server, store) = azure(move |line| {
            if line.starts_with("PUT") {
                return match set {
                    "409 BlobBeingRehydrated" => Answer::error("409 No", "BlobBeingRehydrated"),
                    set => Answer::new(set, ""),
                };
            }
            let answer = Answer::new("200 OK", "0123456789").with("etag", "\"1\"");
            let answer = answer.with("x-ms-access-tier", tier);
            match status {
                Some(status) => answer.with("x-ms-archive-status", status),
                None => answer,
            }
        })
        .await;
        let policy = "expedited:cool".parse().unwrap();
        let restored = store.restore(vec![listed(10, "1")], policy).await.remove(0).unwrap();
        assert_eq!(restored, expected, "{tier} {status:?} {set}");
        let heads = server.heads();
        let put = heads.iter().find(|head| head.starts_with("PUT"));
        assert_eq!(put.is_some(), asked, "{heads:?}");
        if let Some(put) = put {
            assert!(put.contains("/p/x?comp=tier "), "{put}");
            assert!(put.contains("x-ms-access-tier: Cool\r\n"), "{put}");
            assert!(put.contains("x-ms-rehydrate-priority: High\r\n"), "{put}");
        }
    }
}

#[test]
fn azurite_gives_back_what_lies_in_its_archive_for_good() {
    let Some(server) = Azurite::shared() else { return };
    let runtime = Runtime::new().unwrap();
    let container = runtime.block_on(server.new_container());
    let archived = [("x-ms-access-tier", "Archive")];
    let blob = format!("{container}/from/cold");
    runtime.block_on(server.put(&blob, &archived, vec![7; 100]));
    let variables = server.environment();
    let airlift = variables
        .iter()
        .fold(Airlift::new(), |airlift, (name, value)| airlift.with_variable(name, value));
    let (from, to) = (format!("az://{container}/from/"), tempfile::tempdir().unwrap());
    let to = to.path().to_str().unwrap();
    let left = airlift.run(["cp", &from, to, "--json"]).expect(1).json();
    assert_eq!(left["archived"]["resting"]["objects"], 1, "{left}");
    // It cannot be had for days.
    let refused = airlift.run(["cp", "--restore", "bulk:7", &from, to]).expect(3);
    assert!(refused.stderr.contains("--restore TIER:hot"), "{}", refused.stderr);
    let flags = ["cp", "--restore", "standard:hot", "--restore-wait", "none"];
    let asked =
        airlift.run(flags.into_iter().chain([from.as_str(), to, "--json"])).expect(1).json();
    assert_eq!(asked["archived"]["restoring"]["objects"], 1, "{asked}");
    // This server has moved it at once.
    let moved =
        airlift.run(["cp", "--restore", "standard:hot", &from, to, "--json"]).expect(0).json();
    assert_eq!(moved["objects"]["done"], 1, "{moved}");
}

/// The emulators have no such copies, or none that carry what they should: all is moved, and arrives.
#[test]
fn with_emulators_that_cannot_copy_all_is_moved() {
    let (Some(azure), Some(google)) = (Azurite::shared(), GcsEmulator::shared()) else { return };
    let runtime = Runtime::new().unwrap();
    let (container, bucket) =
        runtime.block_on(async { (azure.new_container().await, google.new_bucket().await) });
    let variables = azure.environment().into_iter().chain(google.environment());
    let airlift = variables
        .fold(Airlift::new(), |airlift, (name, value)| airlift.with_variable(name, &value));
    let source = tempfile::tempdir().unwrap();
    for (name, size) in [("empty", 0), ("small", 100), ("large", 9 << 20)] {
        tree::write(source.path(), name, &tree::noise(1, size));
    }
    for place in [format!("az://{container}"), format!("gs://{bucket}")] {
        let (from, to) = (format!("{place}/from/"), format!("{place}/to/"));
        let _ = airlift.run(["cp", source.path().to_str().unwrap(), &from]).expect(0);
        let words = ["cp", &from, &to, "--server-side", "auto", "--json"];
        let copied = airlift.run(words).expect(0).json();
        assert_eq!(copied["objects"]["done"], 3, "{copied}");
        assert_eq!(copied["server_side"]["objects"], 0, "{copied}");
        let back = tempfile::tempdir().unwrap();
        let _ = airlift.run(["cp", &to, back.path().to_str().unwrap()]).expect(0);
        assert_eq!(tree::read(source.path()), tree::read(back.path()), "{place}");
        let again = airlift.run(words).expect(0).json();
        assert_eq!(again["objects"]["unchanged"], 3, "{again}");
    }
}

/// By it, the service reads what it copies.
#[test]
fn a_right_to_read_is_shown_to_nobody() {
    let options = AzureOptions {
        endpoint: Some("http://127.0.0.1:1/account".to_owned()),
        environment: AzureEnvironment {
            sas_token: Some("sig=secret".to_owned()),
            ..AzureEnvironment::default()
        },
        ..AzureOptions::new("container", "", JobId([7; 16]))
    };
    let store = AzureStore::open(options).unwrap();
    let copier = store.copier(&store).expect("one service");
    assert!(!format!("{store:?} {copier:?}").contains("secret"));
}
