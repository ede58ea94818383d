//! Uploads: holes, and staged files that are not what a token says.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::sync::Arc;

use airlift_protocol::assignment::UploadToken;
use airlift_protocol::chunk::Root;
use airlift_protocol::limits::CHUNK_BYTES;
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

use super::*;
use crate::pipeline::chunk::{ReceivedChunk, VerifiedChunk};
use crate::pipeline::verify::verify;
use crate::store::Upload;
use crate::store::fence::Term;

const SIZE: u64 = 4 * CHUNK_BYTES + 11;

fn chunk(offset: u64, payload: Payload) -> Vec<VerifiedChunk> {
    let hashed = hash::hash(SIZE, offset, payload);
    let received = ReceivedChunk::new(SIZE, offset, hashed.value, hashed.payload);
    vec![verify(received).unwrap()]
}

fn ones(length: u64) -> Payload {
    Payload::Bytes(Bytes::from(vec![1; length as usize]))
}

async fn begin(store: &FileStore, object: &NewObject) -> (UploadToken, Box<dyn Upload>) {
    let token = store.open_upload(object, None, None).await.unwrap().token;
    let upload = store.upload(object, &token).await.unwrap();
    (token, upload)
}

#[tokio::test]
async fn zeros_stay_holes_and_make_holes_of_data() {
    let tree = Tree::new();
    let store = tree.store(LinkPolicy::Copy);
    let object = new_object("large", Kind::Object, SIZE);
    let (token, upload) = begin(&store, &object).await;
    for offset in [0, CHUNK_BYTES] {
        upload.write(chunk(offset, ones(CHUNK_BYTES))).await.unwrap();
    }
    upload.write(chunk(4 * CHUNK_BYTES, ones(11))).await.unwrap();
    for offset in [CHUNK_BYTES, 2 * CHUNK_BYTES] {
        upload.write(chunk(offset, Payload::Zero(CHUNK_BYTES))).await.unwrap();
    }
    let mut expected = vec![0; SIZE as usize];
    expected[..CHUNK_BYTES as usize].fill(1);
    expected[4 * CHUNK_BYTES as usize..].fill(1);
    store.commit(&object, &token, Root::of(&expected)).await.unwrap();
    assert_eq!(fs::read(tree.path("large")).unwrap(), expected);
    let blocks = fs::metadata(tree.path("large")).unwrap().blocks();
    assert!(blocks * 512 < 2 * CHUNK_BYTES, "{blocks} blocks");
}

#[tokio::test]
async fn a_staged_file_of_another_length_is_begun_anew() {
    let tree = Tree::new();
    let store = tree.store(LinkPolicy::Copy);
    let object = new_object("large", Kind::Object, SIZE);
    let (token, upload) = begin(&store, &object).await;
    upload.write(chunk(0, ones(CHUNK_BYTES))).await.unwrap();
    let staged = tree.path(format!(".airlift-{JOB}")).join(&tree.staged()[0]);
    fs::File::options().write(true).open(&staged).unwrap().set_len(SIZE - 1).unwrap();
    assert_eq!(code(store.upload(&object, &token).await), ErrorCode::UploadLost);
    assert_eq!(code(store.commit(&object, &token, Root::of(b"")).await), ErrorCode::UploadLost);
    let opened = store.open_upload(&object, Some(&token), None).await.unwrap();
    assert!(!opened.is_resumed && opened.token != token);
    let [name] = &tree.staged()[..] else { panic!("{:?}", tree.staged()) };
    let begun = tree.path(format!(".airlift-{JOB}")).join(name);
    let status = fs::metadata(begun).unwrap();
    assert_eq!((status.len(), status.blocks()), (SIZE, 0), "nothing of the first is left");
}

#[tokio::test]
async fn another_state_of_the_source_is_another_upload_and_drops_the_first() {
    let tree = Tree::new();
    let store = tree.store(LinkPolicy::Copy);
    let first = new_object("large", Kind::Object, SIZE);
    let neighbour = new_object("larger", Kind::Object, SIZE);
    let mut second = first.clone();
    second.entry.mtime_ns = Some(MTIME_NS + 1);
    let (token, _) = begin(&store, &first).await;
    begin(&store, &neighbour).await;
    let later = store.open_upload(&second, Some(&token), None).await.unwrap();
    assert!(!later.is_resumed);
    assert_eq!(tree.staged().len(), 2, "{:?}", tree.staged());
    assert_eq!(code(store.upload(&first, &token).await), ErrorCode::UploadLost);
    assert_eq!(code(store.upload(&second, &token).await), ErrorCode::UploadLost);
    store.discard(&second.entry.key, None, None).await.unwrap();
    assert_eq!(tree.staged().len(), 1, "the neighbour's is left");
}

#[tokio::test]
async fn a_token_of_someone_else_reaches_nothing() {
    let tree = Tree::new();
    tree.write("victim", "mine");
    let store = tree.store(LinkPolicy::Copy);
    let object = new_object("large", Kind::Object, SIZE);
    let other = new_object("other", Kind::Object, SIZE);
    let (mine, _) = begin(&store, &object).await;
    for token in ["", ".", "..", "../victim", "/etc/passwd", "upload-", &mine.0] {
        let token = UploadToken(token.to_owned());
        assert_eq!(code(store.upload(&other, &token).await), ErrorCode::UploadLost);
        let commit = store.commit(&other, &token, Root::of(b"")).await;
        assert_eq!(code(commit), ErrorCode::UploadLost);
        store.discard(&other.entry.key, Some(&token), None).await.unwrap();
    }
    let climbing = UploadToken(format!("{}/../../victim", mine.0));
    store.discard(&object.entry.key, Some(&climbing), None).await.unwrap();
    assert_eq!(fs::read(tree.path("victim")).unwrap(), b"mine");
    store.upload(&object, &mine).await.unwrap();
}

#[tokio::test]
async fn an_older_file_of_the_same_length_and_time_is_no_commit() {
    let tree = Tree::new();
    let store = tree.store(LinkPolicy::Copy);
    let content = vec![2; SIZE as usize];
    let object = new_object("large", Kind::Object, SIZE);
    let older = super::object("large", &vec![1; SIZE as usize]);
    store.put_small(vec![older]).await.remove(0).unwrap();
    let (token, _) = begin(&store, &object).await;
    store.discard(&object.entry.key, Some(&token), None).await.unwrap();
    let commit = store.commit(&object, &token, Root::of(&content)).await;
    assert_eq!(code(commit), ErrorCode::UploadLost);
}

#[tokio::test]
async fn an_upload_of_a_read_only_object_can_be_taken_up() {
    let tree = Tree::new();
    let store = tree.store(LinkPolicy::Copy);
    let mut object = new_object("large", Kind::Object, SIZE);
    object.attributes.mode = Some(0o400);
    let (token, _) = begin(&store, &object).await;
    let staged = tree.path(format!(".airlift-{JOB}")).join(&tree.staged()[0]);
    assert_eq!(fs::metadata(&staged).unwrap().mode() & 0o777, 0o600);
    let again = store.open_upload(&object, Some(&token), None).await.unwrap();
    assert!(again.is_resumed && again.token == token);
    store.commit(&object, &token, Root::of(&[])).await.unwrap();
    assert_eq!(fs::metadata(tree.path("large")).unwrap().mode() & 0o777, 0o400);
}

/// Does `work` as somebody whom the bits of a file bind, also when the tests run as root.
fn bound_by_bits<F: Future<Output = ()>>(work: impl FnOnce() -> F + Send) {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut sets = capabilities(None).unwrap();
            sets.effective -= CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH;
            set_capabilities(None, sets).unwrap();
            // Its blocking threads are begun by this one, and have what it has.
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(work());
        });
    });
}

/// The mode is set before the file is synced and renamed, and either may fail or never be reached.
#[test]
fn a_commit_that_came_to_nothing_takes_no_staged_bytes_with_it() {
    for mode in [0o444, 0o040, 0] {
        bound_by_bits(|| async move {
            let tree = Tree::new();
            let options = FileOptions { links: LinkPolicy::Copy };
            let closed = Arc::new(Term::default()).fence();
            let late = FileStore::open_fenced(&tree.root, JOB, options, closed).unwrap();
            let store = tree.store(LinkPolicy::Copy);
            let mut object = new_object("large", Kind::Object, SIZE);
            object.attributes.mode = Some(mode);
            let (token, upload) = begin(&store, &object).await;
            upload.write(chunk(0, ones(CHUNK_BYTES))).await.unwrap();
            drop(upload);
            let mut expected = vec![0; SIZE as usize];
            expected[..CHUNK_BYTES as usize].fill(1);
            let root = Root::of(&expected);
            let staged = tree.path(format!(".airlift-{JOB}")).join(&tree.staged()[0]);
            let fail = async || {
                assert_eq!(code(late.commit(&object, &token, root).await), ErrorCode::LeaseLost);
                assert_eq!(fs::metadata(&staged).unwrap().mode() & 0o777, mode);
                let denied = fs::File::options().write(true).open(&staged).unwrap_err();
                assert_eq!(denied.kind(), std::io::ErrorKind::PermissionDenied);
            };
            fail().await;
            let again = store.open_upload(&object, Some(&token), None).await.unwrap();
            assert!(again.is_resumed && again.token == token, "mode {mode:o}");
            fail().await;
            store.commit(&object, &token, root).await.unwrap();
            let path = tree.path("large");
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, mode);
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            assert_eq!(fs::read(&path).unwrap(), expected);
        });
    }
}

#[tokio::test]
async fn a_node_without_its_lease_begins_drops_and_cleans_nothing() {
    let tree = Tree::new();
    let closed = Arc::new(Term::default()).fence();
    let late =
        FileStore::open_fenced(&tree.root, JOB, FileOptions { links: LinkPolicy::Copy }, closed)
            .unwrap();
    let object = new_object("large", Kind::Object, SIZE);
    let lost = |error: StoreError| assert_eq!(error.code, ErrorCode::LeaseLost);
    lost(late.open_upload(&object, None, None).await.unwrap_err());
    assert!(!tree.path(format!(".airlift-{JOB}")).exists(), "nothing is left to be cleaned up");
    let store = tree.store(LinkPolicy::Copy);
    let (token, _upload) = begin(&store, &object).await;
    let staged = tree.staged();
    lost(late.discard(&object.entry.key, Some(&token), None).await.unwrap_err());
    lost(late.discard(&object.entry.key, None, None).await.unwrap_err());
    lost(late.clean().await.unwrap_err());
    assert_eq!(tree.staged(), staged);
    store.discard(&object.entry.key, Some(&token), None).await.unwrap();
    assert!(tree.staged().is_empty());
}
