//! Reading: holes, and files that change on the way.

use std::os::unix::fs::FileExt;

use airlift_protocol::limits::CHUNK_BYTES;
use airlift_protocol::units::ByteRange;

use super::*;

async fn read(store: &FileStore, entry: &Entry) -> Result<Vec<Payload>, StoreError> {
    let mut reader = store.read_range(entry, ByteRange::new(0, entry.size)).await?;
    let mut payloads = Vec::new();
    while let Some(payload) = reader.next().await? {
        payloads.push(payload);
    }
    Ok(payloads)
}

#[tokio::test]
async fn holes_are_zeros_that_are_not_read() {
    let tree = Tree::new();
    let file = fs::File::create(tree.path("sparse")).unwrap();
    file.set_len(8 * CHUNK_BYTES + 5).unwrap();
    file.write_all_at(b"data", 3 * CHUNK_BYTES + 100).unwrap();
    fs::File::create(tree.path("hole")).unwrap().set_len(5 * CHUNK_BYTES).unwrap();
    let store = tree.store(LinkPolicy::Skip);
    let payloads = read(&store, &entry(&store, "sparse").await).await.unwrap();
    assert_eq!(payloads.len(), 9);
    for (index, payload) in payloads.iter().enumerate() {
        match (index, payload) {
            (3, Payload::Bytes(bytes)) => assert_eq!(&bytes[100..104], b"data"),
            (8, payload) => assert_eq!(*payload, Payload::Zero(5)),
            (_, payload) => assert_eq!(*payload, Payload::Zero(CHUNK_BYTES), "{index}"),
        }
    }
    let hole = read_small(&store, entry(&store, "hole").await).await.unwrap();
    assert_eq!(hole, Payload::Zero(5 * CHUNK_BYTES));
    let small = read_small(&store, entry(&store, "sparse").await).await.unwrap();
    assert!(matches!(small, Payload::Bytes(bytes) if bytes.len() as u64 == 8 * CHUNK_BYTES + 5));
}

#[tokio::test]
async fn another_file_of_the_same_size_and_time_is_not_the_listed_one() {
    let tree = Tree::new();
    tree.write("file", "first");
    let store = tree.store(LinkPolicy::Skip);
    let listed = entry(&store, "file").await;
    tree.write("other", "other");
    let time = fs::metadata(tree.path("file")).unwrap().modified().unwrap();
    fs::File::options().write(true).open(tree.path("other")).unwrap().set_modified(time).unwrap();
    fs::rename(tree.path("other"), tree.path("file")).unwrap();
    assert_eq!(entry(&store, "file").await.mtime_ns, listed.mtime_ns);
    assert_eq!(code(read_small(&store, listed.clone()).await), ErrorCode::SourceChanged);
    assert_eq!(code(read(&store, &listed).await), ErrorCode::SourceChanged);
}

#[tokio::test]
async fn a_file_that_changes_while_it_is_read_is_not_taken_for_whole() {
    let tree = Tree::new();
    tree.write("file", vec![1; 3 * CHUNK_BYTES as usize]);
    let store = tree.store(LinkPolicy::Skip);
    for is_cut in [false, true] {
        let listed = entry(&store, "file").await;
        let mut reader = store.read_range(&listed, ByteRange::new(0, listed.size)).await.unwrap();
        reader.next().await.unwrap();
        let file = fs::File::options().write(true).open(tree.path("file")).unwrap();
        if is_cut {
            file.set_len(CHUNK_BYTES).unwrap();
        } else {
            file.write_all_at(b"changed", 2 * CHUNK_BYTES).unwrap();
            file.set_modified(std::time::UNIX_EPOCH).unwrap();
        }
        let error = loop {
            match reader.next().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the end was reported although the file changed"),
                Err(error) => break error,
            }
        };
        assert_eq!(error.code, ErrorCode::SourceChanged);
    }
}

#[tokio::test]
async fn a_link_in_the_place_of_a_file_or_directory_is_not_followed() {
    let tree = Tree::new();
    tree.write("dir/secret", "mine");
    tree.write("secret", "mine");
    for policy in [LinkPolicy::Skip, LinkPolicy::Copy, LinkPolicy::Follow] {
        let store = tree.store(policy);
        let listed = [entry(&store, "dir/secret").await, entry(&store, "secret").await];
        fs::rename(tree.path("dir"), tree.path("moved")).unwrap();
        tree.link("dir", &tree.outside);
        fs::rename(tree.path("secret"), tree.path("moved-secret")).unwrap();
        tree.link("secret", tree.outside.join("secret"));
        for entry in listed {
            assert!(read_small(&store, entry.clone()).await.is_err());
            assert!(read(&store, &entry).await.is_err());
        }
        for (moved, name) in [("moved", "dir"), ("moved-secret", "secret")] {
            fs::remove_file(tree.path(name)).unwrap();
            fs::rename(tree.path(moved), tree.path(name)).unwrap();
        }
    }
}

#[tokio::test]
async fn keys_that_are_no_paths_reach_nothing() {
    let tree = Tree::new();
    let store = tree.store(LinkPolicy::Follow);
    for key in ["../outside/secret", "/etc/passwd", "a/../../outside/secret", ".", "..", ""] {
        assert_eq!(store.lookup(vec![Key::from(key)]).await.remove(0).unwrap(), None, "{key}");
        assert_eq!(store.stat(&Key::from(key)).await.unwrap(), None, "{key}");
        let entry = new_object(key, Kind::Object, 6).entry;
        assert_eq!(code(read_small(&store, entry.clone()).await), ErrorCode::KeyUnsupported);
        assert_eq!(code(read(&store, &entry).await), ErrorCode::KeyUnsupported);
    }
}
