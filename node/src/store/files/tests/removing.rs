//! Deleting, and cleaning up.

use super::*;

#[tokio::test]
async fn a_directory_that_a_delete_empties_stays_until_it_is_deleted_itself() {
    let tree = Tree::new();
    for key in ["a/b/1", "a/b/2", "a/3"] {
        tree.write(key, key);
    }
    let store = tree.store(LinkPolicy::Copy);
    for result in store.delete(entries(&store).await).await {
        result.unwrap();
    }
    assert_eq!(keys(&store).await, ["a/b/"]);
    let mut directories = Vec::new();
    for key in ["a/b/", "a/"] {
        directories.push(entry(&store, key).await);
    }
    for result in store.delete(directories).await {
        result.unwrap();
    }
    assert_eq!(keys(&store).await, [""; 0]);
    assert!(tree.root.is_dir());
}

#[tokio::test]
async fn a_directory_that_is_not_empty_any_more_stays() {
    let tree = Tree::new();
    fs::create_dir(tree.path("dir")).unwrap();
    let store = tree.store(LinkPolicy::Copy);
    let listed = entry(&store, "dir/").await;
    tree.write("dir/new", "new");
    assert_eq!(code(store.delete(vec![listed]).await.remove(0)), ErrorCode::Conflict);
    assert_eq!(keys(&store).await, ["dir/new"]);
}

#[tokio::test]
async fn a_link_is_deleted_and_not_what_it_leads_to() {
    let tree = Tree::new();
    tree.link("link", &tree.outside);
    tree.link("changed", "before");
    let store = tree.store(LinkPolicy::Copy);
    let changed = entry(&store, "changed").await;
    fs::remove_file(tree.path("changed")).unwrap();
    tree.link("changed", "after");
    let results = store.delete(vec![changed, entry(&store, "link").await]).await;
    assert!(results[0].is_err() && results[1].is_ok(), "{results:?}");
    assert_eq!(keys(&store).await, ["changed"]);
    tree.assert_outside_is_untouched();
}

#[tokio::test]
async fn nothing_is_deleted_through_a_link() {
    let tree = Tree::new();
    tree.write("dir/secret", "secret");
    for policy in [LinkPolicy::Copy, LinkPolicy::Follow] {
        let store = tree.store(policy);
        let listed = entry(&store, "dir/secret").await;
        fs::rename(tree.path("dir"), tree.path("moved")).unwrap();
        tree.link("dir", &tree.outside);
        store.delete(vec![listed]).await.remove(0).unwrap();
        tree.assert_outside_is_untouched();
        fs::remove_file(tree.path("dir")).unwrap();
        fs::rename(tree.path("moved"), tree.path("dir")).unwrap();
    }
}

#[tokio::test]
async fn clean_removes_what_this_job_left_and_no_other_job() {
    let tree = Tree::new();
    let staging = format!(".airlift-{JOB}");
    let other = ".airlift-00000000000000000000000000000000/upload-x";
    tree.write(format!("{staging}/small-dead-1"), "left by a process that died");
    tree.write(format!("{staging}/lane-dead-2/small-dead-3"), "the same, of a batch");
    tree.link(format!("{staging}/lane-dead-2/link"), &tree.outside);
    tree.link(format!("{staging}/link"), &tree.outside);
    tree.write(other, "of another job");
    let store = tree.store(LinkPolicy::Copy);
    store.clean().await.unwrap();
    assert!(!tree.path(&staging).exists());
    assert!(tree.path(other).exists());
    tree.assert_outside_is_untouched();
}

#[tokio::test]
async fn batches_go_on_after_what_they_stage_in_was_removed() {
    let tree = Tree::new();
    let staging = format!(".airlift-{JOB}");
    let store = tree.store(LinkPolicy::Copy);
    for key in ["a", "b", "c"] {
        store.put_small(vec![object(key, b"bytes")]).await.remove(0).unwrap();
        assert_eq!(fs::read_dir(tree.path(&staging)).unwrap().count(), 1, "one lane, used again");
        fs::remove_dir_all(tree.path(&staging)).unwrap();
    }
    store.put_small(vec![object("d", b"bytes"), object("e", b"bytes")]).await.remove(1).unwrap();
    store.clean().await.unwrap();
    assert_eq!(fs::read_dir(&tree.root).unwrap().count(), 5);
}

#[tokio::test]
async fn clean_does_not_descend_into_what_it_did_not_make() {
    let tree = Tree::new();
    let staging = format!(".airlift-{JOB}");
    tree.write(format!("{staging}/dir/file"), "not ours");
    let store = tree.store(LinkPolicy::Copy);
    assert_eq!(code(store.clean().await), ErrorCode::Conflict);
    assert!(tree.path(format!("{staging}/dir/file")).exists());
    fs::remove_dir_all(tree.path(&staging)).unwrap();
    tree.link(&staging, &tree.outside);
    assert_eq!(code(store.clean().await), ErrorCode::Conflict);
    assert_eq!(code(store.preflight(Access::Write).await), ErrorCode::Conflict);
    let put = store.put_small(vec![object("a", b"a")]).await.remove(0);
    assert_eq!(code(put), ErrorCode::Conflict);
    tree.assert_outside_is_untouched();
}
