//! Writing small objects: what may be in the way, and what must never be written through.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use airlift_protocol::limits::CHUNK_BYTES;

use super::*;

#[tokio::test]
async fn nothing_is_written_through_a_link() {
    let tree = Tree::new();
    tree.link("dir", &tree.outside);
    tree.link("deep/dir", "../dir");
    tree.link("file", tree.outside.join("secret"));
    for policy in [LinkPolicy::Skip, LinkPolicy::Copy, LinkPolicy::Follow] {
        let store = tree.store(policy);
        for key in ["dir/secret", "dir/new/file", "deep/dir/secret"] {
            let error = store.put_small(vec![object(key, b"x")]).await.remove(0).unwrap_err();
            assert_eq!(error.code, ErrorCode::Conflict);
            assert!(error.detail().contains("dir is a symbolic link"), "{error}");
        }
        let error = store.put_small(vec![marker("dir/", Kind::Directory)]).await.remove(0);
        assert_eq!(code(error), ErrorCode::Conflict);
        tree.assert_outside_is_untouched();
    }
    let store = tree.store(LinkPolicy::Copy);
    store.put_small(vec![object("file", b"mine")]).await.remove(0).unwrap();
    assert!(!fs::symlink_metadata(tree.path("file")).unwrap().is_symlink());
    tree.assert_outside_is_untouched();
    assert_eq!(tree.staged(), [""; 0]);
}

#[tokio::test]
async fn what_is_in_the_way_is_named_and_spares_the_rest() {
    let tree = Tree::new();
    tree.write("dir/file", "x");
    tree.write("file", "x");
    let store = tree.store(LinkPolicy::Copy);
    let mut objects = vec![
        object("dir", b"a file where a directory is"),
        object("dir/file/below", b"a directory where a file is"),
        marker("file/", Kind::Directory),
        object("../escape", b"x"),
        object("a//b", b"x"),
        object("dir/", b"bytes of a directory"),
        marker("link/", Kind::Symlink(b"dir".to_vec())),
    ];
    objects.extend((0..20).map(|number| object(format!("fine/{number}").as_str(), b"fine")));
    let results = store.put_small(objects).await;
    let codes: Vec<Option<ErrorCode>> =
        results.iter().map(|result| result.as_ref().err().map(|error| error.code)).collect();
    let (conflict, unsupported) = (Some(ErrorCode::Conflict), Some(ErrorCode::KeyUnsupported));
    assert_eq!(
        codes[..7],
        [conflict, conflict, conflict, unsupported, unsupported, unsupported, unsupported],
        "{results:?}"
    );
    assert!(codes[7..].iter().all(Option::is_none), "{results:?}");
    assert_eq!(keys(&store).await.len(), 22);
    assert_eq!(tree.staged(), [""; 0], "nothing is left of what failed");
    tree.assert_outside_is_untouched();
}

#[tokio::test]
async fn zeros_take_no_space() {
    let tree = Tree::new();
    let store = tree.store(LinkPolicy::Copy);
    let size = 4 * CHUNK_BYTES;
    let zeros = (new_object("zeros", Kind::Object, size), verified(Payload::Zero(size)));
    store.put_small(vec![zeros]).await.remove(0).unwrap();
    let status = fs::metadata(tree.path("zeros")).unwrap();
    assert_eq!((status.len(), status.blocks()), (size, 0));
}

#[tokio::test]
async fn a_given_mode_is_kept_and_the_umask_decides_where_none_is() {
    let tree = Tree::new();
    tree.write("by-the-system", "x");
    let mode = |name: &str| fs::metadata(tree.path(name)).unwrap().permissions().mode() & 0o7777;
    let store = tree.store(LinkPolicy::Copy);
    let mut open = object("open", b"x");
    open.0.attributes.mode = Some(0o777);
    let mut odd = object("odd", b"x");
    odd.0.attributes.mode = Some(0o6022);
    for result in store.put_small(vec![open, odd, object("default", b"x")]).await {
        result.unwrap();
    }
    assert_eq!(mode("open"), 0o777);
    assert_eq!(mode("odd"), 0o022, "bits that change the user are never set");
    assert_eq!(mode("default"), mode("by-the-system"));
}

#[tokio::test]
async fn a_listed_time_is_set_where_the_object_has_none_of_its_own() {
    let tree = Tree::new();
    let store = tree.store(LinkPolicy::Copy);
    let mut own = object("own", b"x");
    own.0.attributes.mtime_ns = Some(-5);
    let link = marker("link", Kind::Symlink(b"x".to_vec()));
    for result in store.put_small(vec![object("listed", b"x"), own, link]).await {
        result.unwrap();
    }
    assert_eq!(entry(&store, "listed").await.mtime_ns, Some(MTIME_NS));
    assert_eq!(entry(&store, "own").await.mtime_ns, Some(-5));
    assert_eq!(entry(&store, "link").await.mtime_ns, Some(MTIME_NS));
}

#[tokio::test]
async fn many_batches_at_once_do_not_meet() {
    let tree = Tree::new();
    let stores = [tree.store(LinkPolicy::Copy), tree.store(LinkPolicy::Copy)];
    let batches = (0..8).map(|batch| {
        let objects = (0..40)
            .map(|number| {
                let key = format!("shared/{}/{batch}-{number}", number % 4);
                object(key.as_str(), key.as_bytes())
            })
            .collect();
        stores[batch % 2].put_small(objects)
    });
    for result in futures::future::join_all(batches).await.into_iter().flatten() {
        result.unwrap();
    }
    let found = keys(&stores[0]).await;
    assert_eq!(found.len(), 320);
    for key in found {
        assert_eq!(fs::read(tree.path(&key)).unwrap(), key.as_bytes());
    }
    assert_eq!(tree.staged(), [""; 0]);
}
