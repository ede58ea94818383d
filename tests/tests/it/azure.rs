//! What is peculiar to Azure: markers without a slash, staged blocks that belong to a name, names of
//! metadata that have to be identifiers, what the binary says.

use std::sync::Arc;

use airlift_node::store::azure::{AzureOptions, AzureStore};
use airlift_node::store::{Access, AttributeKind, Attributes, Store};
use airlift_protocol::error::ErrorCode;
use airlift_protocol::id::JobId;
use airlift_protocol::key::Key;
use airlift_protocol::manifest::Kind;
use airlift_protocol::units::ByteRange;
use airlift_tests::airlift::Airlift;
use airlift_tests::azurite::Azurite;
use airlift_tests::conformance::fixture::{
    Large, content, data, entry, find, keys, list, marker, object, put,
};
use airlift_tests::corpus::NASTY_KEYS;
use airlift_tests::tree;
use reqwest::Method;
use tokio::runtime::Runtime;

/// A container of its own, and a store on it.
async fn container() -> Option<(Arc<Azurite>, String, AzureStore)> {
    let server = Azurite::shared()?;
    let name = server.new_container().await;
    let store = AzureStore::open(server.options(&name, "")).expect("a store");
    Some((server, name, store))
}

const MARK: (&str, &str) = ("x-ms-meta-hdi_isfolder", "true");

#[tokio::test(flavor = "multi_thread")]
async fn markers_of_other_tools_are_listed_where_their_keys_belong() {
    let Some((server, name, store)) = container().await else { return };
    for blob in ["dir", "dir-x", "dir/a", "empty", "both", "both/"] {
        let is_marker = ["dir", "empty", "both"].contains(&blob);
        let headers = if is_marker { vec![MARK] } else { Vec::new() };
        let bytes = if is_marker { Vec::new() } else { vec![7] };
        server.put(&format!("{name}/{blob}"), &headers, bytes).await;
    }
    let expected = ["both/", "dir-x", "dir/", "dir/a", "empty/"].map(Key::from);
    assert_eq!(keys(&store).await, expected);
    assert_eq!(entry(&store, "empty/").await.kind, Kind::Directory);
    assert_eq!(entry(&store, "both/").await.kind, Kind::Object, "the blob of that very name");
    assert_eq!(find(&store, "dir").await, None, "the marker is not an object");
    let all: Vec<Key> = expected
        .iter()
        .cloned()
        .chain((0..20).map(|n| format!("z{n:02}").as_str().into()))
        .collect();
    let found: Vec<bool> =
        store.lookup(all).await.into_iter().map(|found| found.unwrap().is_some()).collect();
    assert_eq!(found.iter().filter(|found| **found).count(), 5, "{found:?}");
    let listed = list(&store, Default::default()).await;
    for result in store.delete(listed).await {
        result.expect("as listed");
    }
    assert_eq!(keys(&store).await, [Key::from("both/")], "what the other blob hid");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_marker_and_an_object_of_one_name_do_not_replace_each_other() {
    let Some((server, name, store)) = container().await else { return };
    put(&store, vec![marker("a/", Kind::Directory), object("b", data(1, 10))]).await;
    let results = store.put_small(vec![
        object("a", data(2, 10)),
        marker("b/", Kind::Directory),
        marker("a/", Kind::Directory),
    ]);
    let codes: Vec<Option<ErrorCode>> =
        results.await.into_iter().map(|result| result.err().map(|error| error.code)).collect();
    assert_eq!(codes, [Some(ErrorCode::Conflict), Some(ErrorCode::Conflict), None]);
    assert_eq!(keys(&store).await, ["a/", "b"].map(Key::from));
    let large = Large::begin(&store, "a", 3).await;
    large.write_all().await;
    let error = store.commit(&large.object, &large.token, large.root()).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Conflict, "{error}");
    let head = server.ask(Method::HEAD, &format!("{name}/a"), "", &[], Vec::new()).await;
    assert_eq!(head.headers()["x-ms-meta-hdi_isfolder"], "true");
}

#[tokio::test(flavor = "multi_thread")]
async fn staged_blocks_of_others_are_left_alone_or_named() {
    let Some((server, name, store)) = container().await else { return };
    let other_job = AzureOptions { job: JobId([9; 16]), ..server.options(&name, "") };
    let other = AzureStore::open(other_job).expect("a store");
    let mut ours = Large::begin(&store, "shared", 1).await;
    let theirs = Large::begin(&other, "shared", 2).await;
    ours.write_all().await;
    theirs.write_all().await;
    // What one job drops, orphans too, is not the other's.
    store
        .discard(&"shared".into(), None, Some(airlift_protocol::time::Timestamp(0)))
        .await
        .unwrap();
    theirs.commit(&other).await;
    assert_eq!(content(&store, "shared").await, theirs.bytes);
    // With a commit all staged blocks go: the upload is lost, and says so.
    assert!(!ours.reopen(&store, Some(&ours.token.clone()), None).await);
    ours.write(ours.parts()[0]).await;
    server.put(&format!("{name}/shared"), &[], b"by somebody else".to_vec()).await;
    let error = store.commit(&ours.object, &ours.token, ours.root()).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::UploadLost, "{error}");
    assert_eq!(content(&store, "shared").await, &b"by somebody else"[..]);

    // Blocks of one blob have names of one length.
    let staged = server
        .ask(Method::PUT, &format!("{name}/foreign"), "comp=block&blockid=MDAx", &[], vec![1])
        .await;
    assert_eq!(staged.status(), 201);
    let object = airlift_tests::conformance::fixture::new_object("foreign", Kind::Object, 9 << 20);
    let error = store.open_upload(&object, None, None).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Conflict, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn staging_and_dropping_never_touch_the_visible_blob() {
    let Some((_server, _, store)) = container().await else { return };
    put(&store, vec![object("kept", data(1, 5000))]).await;
    let before = entry(&store, "kept").await;
    let large = Large::begin(&store, "kept", 2).await;
    large.write(large.parts()[0]).await;
    assert_eq!(entry(&store, "kept").await, before);
    assert_eq!(large.upload.present().await.unwrap(), [large.parts()[0]]);
    large.discard(&store).await;
    assert_eq!(entry(&store, "kept").await, before);
    assert_eq!(large.upload.present().await.unwrap(), [] as [ByteRange; 0]);
    assert_eq!(content(&store, "kept").await, data(1, 5000));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_is_not_there_and_a_wrong_key_are_named() {
    let Some((server, name, _)) = container().await else { return };
    let nowhere = AzureStore::open(server.options("nowhere", "")).expect("a store");
    let error = nowhere.preflight(Access::Write).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::LocationMissing);
    assert!(error.detail().contains("container 'nowhere' does not exist"), "{error}");
    let mut wrong = server.options(&name, "");
    wrong.environment.key = Some("d3Jvbmc=".to_owned());
    let error = AzureStore::open(wrong).unwrap().preflight(Access::Read).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Unauthorized, "{error}");
    assert!(error.detail().contains("AZURE_STORAGE_KEY"), "{error}");
}

#[test]
fn nasty_keys_arrive_exactly_or_are_named() {
    let runtime = Runtime::new().unwrap();
    let Some((server, name, store)) = runtime.block_on(container()) else { return };
    let source = tempfile::tempdir().unwrap();
    let mut names: Vec<&str> = Vec::new();
    for (i, key) in NASTY_KEYS.iter().enumerate() {
        // What a file system can hold: the rest cannot come from there.
        let is_path = !key.split('/').any(|part| matches!(part, "" | "." | ".."));
        if is_path {
            tree::write(source.path(), key, &tree::noise(i as u64, 100 + i));
            names.push(key);
        }
    }
    let airlift = with_azure(&server);
    let target = format!("az://{name}/to");
    let copied = airlift.run(["cp", source.path().to_str().unwrap(), &target, "--json"]);
    let copied = copied.expect(1).json();
    let listed = runtime.block_on(keys(&store));
    let (done, skipped) = (&copied["objects"]["done"], &copied["objects"]["skipped"]);
    assert_eq!(done, listed.len(), "{copied}");
    assert_eq!(skipped.as_u64().unwrap() as usize, names.len() - listed.len());
    assert!(listed.len() > 30, "{} names can be held", listed.len());
    for key in &listed {
        let key = key.as_str().unwrap().strip_prefix("to/").unwrap();
        assert!(names.contains(&key), "{key:?} is another name");
    }
    let back = tempfile::tempdir().unwrap();
    let _ = airlift.run(["cp", &target, back.path().to_str().unwrap()]).expect(0);
    let there: Vec<_> = tree::read(back.path()).into_iter().collect();
    let here = tree::read(source.path());
    assert!(there.iter().all(|(path, node)| here.get(path) == Some(node)));
}

fn with_azure(server: &Azurite) -> Airlift {
    server
        .environment()
        .iter()
        .fold(Airlift::new(), |airlift, (name, value)| airlift.with_variable(name, value))
}

#[test]
fn a_tree_goes_to_azure_and_comes_back_the_same() {
    let runtime = Runtime::new().unwrap();
    let Some((server, name, store)) = runtime.block_on(container()) else { return };
    let airlift = with_azure(&server);
    let (source, back) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for i in 0..200u64 {
        tree::write(source.path(), format!("small/{i}"), &tree::noise(i, i as usize * 97));
    }
    tree::write(source.path(), "large", &tree::noise(7, (40 << 20) + 5));
    tree::write(source.path(), "percent%2F and+plus", b"x");
    std::fs::create_dir(source.path().join("hollow")).unwrap();
    let path = source.path().to_str().unwrap();
    let target = format!("az://{name}/up");
    let up = airlift.run(["cp", path, &target, "--json"]).expect(0).json();
    assert_eq!(up["objects"]["done"], 203);
    let again = airlift.run(["cp", path, &target, "--json"]).expect(0).json();
    assert_eq!(again["objects"]["unchanged"], 203);
    let _ = airlift.run(["verify", path, &target]).expect(0);
    let listed = airlift.run(["ls", &target]).expect(0);
    assert_eq!(listed.stdout.lines().count(), 203, "{}", listed.stdout);
    let down = airlift.run(["cp", &target, back.path().to_str().unwrap(), "--json"]);
    assert_eq!(down.expect(0).json()["objects"]["done"], 203);
    assert_eq!(tree::read(source.path()), tree::read(back.path()), "times and modes come back too");

    for i in 100..200 {
        std::fs::remove_file(source.path().join(format!("small/{i}"))).unwrap();
    }
    let synced = airlift.run(["sync", path, &target, "--json"]).expect(0).json();
    assert_eq!(synced["objects"]["deleted"], 100);
    assert_eq!(runtime.block_on(keys(&store)).len(), 103);
    let single = format!("{target}/percent%2F and+plus");
    let file = back.path().join("single");
    let _ = airlift.run(["cp", &single, file.to_str().unwrap()]).expect(0);
    assert_eq!(std::fs::read(file).unwrap(), b"x");
    let doctor = airlift.run(["doctor"]);
    assert!(doctor.stdout.contains("Azure credentials: the account's key"), "{}", doctor.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_that_the_service_refuses_are_not_held() {
    let Some((_server, _name, store)) = container().await else { return };
    let carried = |value: &str| {
        let tags = [("team".to_owned(), value.to_owned())].into();
        Attributes { tags, ..Attributes::default() }
    };
    assert!(store.holds(&carried("a b")).contains(AttributeKind::Tags));
    assert!(!store.holds(&carried("Z\u{fc}rich")).contains(AttributeKind::Tags));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_blob_goes_into_the_archive_once_its_blocks_were_compared() {
    let Some((server, name, store)) = container().await else { return };
    let class = Some("Archive".to_owned());
    let carried = Attributes { storage_class: class, ..Attributes::default() };
    let large = Large::begin_with(&store, "large", 2, &carried).await;
    large.write_all().await;
    large.commit(&store).await;
    let head = server.ask(Method::HEAD, &format!("{name}/large"), "", &[], Vec::new()).await;
    assert_eq!(head.headers()["x-ms-access-tier"], "Archive");
    assert!(entry(&store, "large").await.is_archived);
}

/// As copies by other tools were once damaged: the service keeps the MD5 that a client says of blocks, and
/// never looks whether it is theirs.
#[tokio::test(flavor = "multi_thread")]
async fn an_md5_that_a_client_has_said_of_blocks_proves_nothing() {
    let Some((server, name, store)) = container().await else { return };
    let md5 = ("x-ms-blob-content-md5", "kAFQmDzST7DWlj99KOF/cg==");
    server.put(&format!("{name}/whole"), &[], b"abc".to_vec()).await;
    let blob = format!("{name}/blocks");
    let staged = server.ask(Method::PUT, &blob, "comp=block&blockid=MDAx", &[], b"xyz".to_vec());
    assert_eq!(staged.await.status(), 201);
    let list = b"<BlockList><Latest>MDAx</Latest></BlockList>".to_vec();
    let committed = server.ask(Method::PUT, &blob, "comp=blocklist", &[md5], list).await;
    assert_eq!(committed.status(), 201);
    let head = server.ask(Method::HEAD, &blob, "", &[], Vec::new()).await;
    assert_eq!(head.headers()["content-md5"], md5.1, "it is kept as it was said");

    let entries = vec![entry(&store, "blocks").await, entry(&store, "whole").await];
    let sums = store.stored_sums(entries).await;
    let counts: Vec<usize> = sums.into_iter().map(|sums| sums.unwrap().len()).collect();
    assert_eq!(counts, [0, 0]);

    let source = tempfile::tempdir().unwrap();
    tree::write(source.path(), "blocks", b"abc");
    tree::write(source.path(), "whole", b"abc");
    let (airlift, to) = (with_azure(&server), format!("az://{name}"));
    let path = source.path().to_str().unwrap();
    let said = airlift.run(["verify", path, &to, "--json"]).expect(1).json();
    assert_eq!((&said["objects"]["differs"], &said["objects"]["equal"]), (&1.into(), &1.into()));
    assert_eq!(said["errors"][0]["key"], "blocks", "{said}");
}
