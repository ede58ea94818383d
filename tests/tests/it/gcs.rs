//! What is peculiar to Google: temporary objects that nobody sees, parts put together by the service,
//! what the binary says.

use std::sync::Arc;

use airlift_node::pipeline::chunk::Payload;
use airlift_node::store::gcs::{GcsOptions, GcsStore};
use airlift_node::store::{Access, Store};
use airlift_protocol::chunk::Root;
use airlift_protocol::error::ErrorCode;
use airlift_protocol::id::JobId;
use airlift_protocol::key::Key;
use airlift_protocol::manifest::Kind;
use airlift_protocol::shard;
use airlift_protocol::units::ByteRange;
use airlift_tests::airlift::Airlift;
use airlift_tests::conformance::fixture::{
    Large, content, data, entry, keys, new_object, object, put, verified_chunks,
};
use airlift_tests::gcs::GcsEmulator;
use airlift_tests::tree;
use tokio::runtime::Runtime;

/// A bucket of its own, and a store on it.
async fn bucket() -> Option<(Arc<GcsEmulator>, String, GcsStore)> {
    let server = GcsEmulator::shared()?;
    let name = server.new_bucket().await;
    let store = GcsStore::open(server.options(&name, "")).expect("a store");
    Some((server, name, store))
}

#[tokio::test(flavor = "multi_thread")]
async fn temporary_objects_of_any_job_are_listed_nowhere() {
    let Some((server, name, store)) = bucket().await else { return };
    let other_job = GcsOptions { job: JobId([9; 16]), ..server.options(&name, "below/") };
    let other = GcsStore::open(other_job).expect("a store");
    put(&store, vec![object("below/kept", data(1, 10))]).await;
    let large = Large::begin(&store, "below/large", 1).await;
    let theirs = Large::begin(&other, "large", 2).await;
    large.write(large.parts()[0]).await;
    theirs.write_all().await;
    assert_eq!(keys(&store).await, [Key::from("below/kept")]);
    assert_eq!(keys(&other).await, [Key::from("kept")]);
    assert_eq!(server.objects(&name).await.len(), 1 + 2 + 4);
    // What one job cleans is not the other's.
    store.clean().await.expect("a clean place");
    theirs.commit(&other).await;
    other.clean().await.expect("a clean place");
    assert_eq!(keys(&store).await, ["below/kept", "below/large"].map(Key::from));
    assert_eq!(content(&store, "below/large").await, theirs.bytes);
    assert_eq!(server.objects(&name).await.len(), 2);
}

/// More parts than one request can put together, so that they go through objects in between.
#[tokio::test(flavor = "multi_thread")]
async fn many_parts_are_put_together_in_levels() {
    let Some((server, name, store)) = bucket().await else { return };
    let opened = {
        let probe = new_object("many", Kind::Object, 9 << 20);
        let opened = store.open_upload(&probe, None, None).await.unwrap();
        opened.token
    };
    let part_bytes = 16 << 20;
    assert!(opened.0.starts_with("24:"), "parts of {part_bytes}");
    // The token says how large a part is: a smaller one makes many parts of few bytes.
    let token = airlift_protocol::assignment::UploadToken(opened.0.replace("24:", "20:"));
    let size = (70 << 20) + 5;
    let object = new_object("many", Kind::Object, size);
    let bytes = data(3, size);
    let upload = store.upload(&object, &token).await.unwrap();
    for part in
        (0..size).step_by(1 << 20).map(|start| ByteRange::new(start, size.min(start + (1 << 20))))
    {
        let payloads = shard::chunks(part).map(|chunk| {
            (chunk.start, Payload::Bytes(bytes.slice(chunk.start as usize..chunk.end as usize)))
        });
        upload.write(verified_chunks(size, payloads)).await.unwrap();
    }
    store.commit(&object, &token, Root::of(&bytes)).await.unwrap();
    assert_eq!(content(&store, "many").await, bytes);
    assert_eq!(server.objects(&name).await.len(), 1, "nothing in between is left");
    assert_eq!(entry(&store, "many").await.size, size);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_is_not_there_is_named() {
    let Some((server, _, _)) = bucket().await else { return };
    let nowhere = GcsStore::open(server.options("nowhere", "")).expect("a store");
    let error = nowhere.preflight(Access::Write).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::LocationMissing);
    assert!(error.detail().contains("bucket 'nowhere' does not exist"), "{error}");
}

#[test]
fn a_tree_goes_to_google_and_comes_back_the_same() {
    let runtime = Runtime::new().unwrap();
    let Some((server, name, store)) = runtime.block_on(bucket()) else { return };
    let airlift = server
        .environment()
        .iter()
        .fold(Airlift::new(), |airlift, (name, value)| airlift.with_variable(name, value));
    let (source, back) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for i in 0..100u64 {
        tree::write(source.path(), format!("small/{i}"), &tree::noise(i, i as usize * 97));
    }
    tree::write(source.path(), "large", &tree::noise(7, (40 << 20) + 5));
    tree::write(source.path(), "percent%2F and+plus", b"x");
    std::fs::create_dir(source.path().join("hollow")).unwrap();
    let path = source.path().to_str().unwrap();
    let target = format!("gs://{name}/up");
    let up = airlift.run(["cp", path, &target, "--json"]).expect(0).json();
    assert_eq!(up["objects"]["done"], 103);
    let again = airlift.run(["cp", path, &target, "--json"]).expect(0).json();
    assert_eq!(again["objects"]["unchanged"], 103);
    let _ = airlift.run(["verify", path, &target]).expect(0);
    let listed = airlift.run(["ls", &target]).expect(0);
    assert_eq!(listed.stdout.lines().count(), 103, "{}", listed.stdout);
    let down = airlift.run(["cp", &target, back.path().to_str().unwrap(), "--json"]);
    assert_eq!(down.expect(0).json()["objects"]["done"], 103);
    assert_eq!(tree::read(source.path()), tree::read(back.path()), "times and modes come back too");
    for i in 50..100 {
        std::fs::remove_file(source.path().join(format!("small/{i}"))).unwrap();
    }
    let synced = airlift.run(["sync", path, &target, "--json"]).expect(0).json();
    assert_eq!(synced["objects"]["deleted"], 50);
    assert_eq!(runtime.block_on(keys(&store)).len(), 53);
    assert_eq!(runtime.block_on(server.objects(&name)).len(), 53, "nothing hidden is left");
    let single = format!("{target}/percent%2F and+plus");
    let file = back.path().join("single");
    let _ = airlift.run(["cp", &single, file.to_str().unwrap()]).expect(0);
    assert_eq!(std::fs::read(file).unwrap(), b"x");
    let doctor = airlift.run(["doctor"]);
    assert!(
        doctor.stdout.contains("Google credentials: none, as for an emulator"),
        "{}",
        doctor.stdout
    );
}
