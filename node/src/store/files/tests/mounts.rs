//! File systems that are full, read-only, or begin in the middle of a target.

use airlift_protocol::limits::CHUNK_BYTES;

use super::super::directories::Directories;
use super::super::root::Root;
use super::*;
use crate::mount::Mount;
use crate::pipeline::chunk::ReceivedChunk;
use crate::store::fence::Fence;

fn bytes(length: u64) -> Vec<u8> {
    (0..length).map(|byte| byte as u8 | 1).collect()
}

#[tokio::test]
async fn a_full_target_is_named_and_nothing_partial_is_left() {
    let tree = Tree::new();
    let Some(mount) = Mount::new(tree.path("full"), "size=3m") else { return };
    let store =
        FileStore::open(mount.path(), JOB, FileOptions { links: LinkPolicy::Copy }).unwrap();
    store.preflight(Access::Write).await.unwrap();
    store.put_small(vec![object("old", b"the old object")]).await.remove(0).unwrap();
    let objects =
        vec![object("first", &bytes(CHUNK_BYTES)), object("old", &bytes(4 * CHUNK_BYTES))];
    let results = store.put_small(objects).await;
    assert!(results[0].is_ok());
    let error = results[1].as_ref().unwrap_err();
    assert_eq!(error.code, ErrorCode::NoSpace);
    assert!(error.detail().contains("free"), "{error}");
    assert_eq!(fs::read(mount.path().join("old")).unwrap(), b"the old object");
    assert_eq!(keys(&store).await, ["first", "old"]);
    let results = store.put_small(vec![object("again", &bytes(CHUNK_BYTES))]).await;
    assert!(results[0].is_ok(), "what failed has given its space back: {results:?}");
}

#[tokio::test]
async fn a_full_target_stops_an_upload_that_goes_on_when_there_is_room() {
    let tree = Tree::new();
    let Some(mount) = Mount::new(tree.path("full"), "size=3m") else { return };
    let store =
        FileStore::open(mount.path(), JOB, FileOptions { links: LinkPolicy::Copy }).unwrap();
    let size = 2 * CHUNK_BYTES;
    fs::write(mount.path().join("in the way"), bytes(CHUNK_BYTES + 1)).unwrap();
    let object = new_object("large", Kind::Object, size);
    let content = bytes(size);
    let token = store.open_upload(&object, None, None).await.unwrap().token;
    let upload = store.upload(&object, &token).await.unwrap();
    let chunk = |offset: u64| {
        let payload =
            Bytes::copy_from_slice(&content[offset as usize..(offset + CHUNK_BYTES) as usize]);
        let hashed = hash::hash(size, offset, Payload::Bytes(payload));
        let received = ReceivedChunk::new(size, offset, hashed.value, hashed.payload);
        vec![crate::pipeline::verify::verify(received).unwrap()]
    };
    upload.write(chunk(0)).await.unwrap();
    assert_eq!(code(upload.write(chunk(CHUNK_BYTES)).await), ErrorCode::NoSpace);
    assert_eq!(keys(&store).await, ["in the way"]);
    fs::remove_file(mount.path().join("in the way")).unwrap();
    upload.write(chunk(CHUNK_BYTES)).await.unwrap();
    drop(upload);
    let root = airlift_protocol::chunk::Root::of(&content);
    store.commit(&object, &token, root).await.unwrap();
    assert_eq!(fs::read(mount.path().join("large")).unwrap(), content);
}

#[tokio::test]
async fn a_read_only_target_is_named() {
    let tree = Tree::new();
    let Some(mount) = Mount::new(tree.path("fixed"), "ro") else { return };
    for path in [mount.path().to_owned(), mount.path().join("below")] {
        let store = FileStore::open(&path, JOB, FileOptions { links: LinkPolicy::Copy }).unwrap();
        let error = store.preflight(Access::Write).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::ReadOnly);
        assert!(error.detail().contains(path.to_str().unwrap()), "{error}");
    }
}

#[tokio::test]
async fn a_mount_point_in_the_middle_of_a_target_is_named() {
    let tree = Tree::new();
    let Some(mount) = Mount::new(tree.path("other"), "size=1m") else { return };
    let store = tree.store(LinkPolicy::Copy);
    let results = store.put_small(vec![object("here", b"x"), object("other/there", b"x")]).await;
    assert!(results[0].is_ok());
    let error = results[1].as_ref().unwrap_err();
    assert_eq!(error.code, ErrorCode::Conflict);
    assert!(error.detail().contains("other/there is on another file system"), "{error}");
    assert_eq!(tree.staged(), [""; 0]);
    assert_eq!(fs::read_dir(mount.path()).unwrap().count(), 0);
}

/// A file system of `/proc` is told of no sync, and its directories cannot be synced at all.
#[test]
fn many_files_are_synced_together_only_where_their_file_system_is_known_for_it() {
    let root = |path: &Path| Root::new(path, JOB, LinkPolicy::Skip, Fence::default(), 1);
    let unknown = root(Path::new("/proc"));
    let mut directories = Directories::for_writing(&unknown).unwrap();
    assert!(!directories.syncs_together(1_000));
    directories.mark(b"");
    directories.sync().unwrap();
    let tree = Tree::new();
    let Some(mount) = Mount::new(tree.path("known"), "size=1m") else { return };
    let known = root(mount.path());
    let directories = Directories::for_writing(&known).unwrap();
    assert!(directories.syncs_together(9) && !directories.syncs_together(8));
}
