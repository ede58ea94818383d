//! Properties of `delete`, `discard` and `clean`.

use airlift_node::store::Access;
use airlift_protocol::key::Key;
use airlift_protocol::manifest::Kind;
use airlift_protocol::time::Timestamp;

use super::Place;
use super::fixture::{Large, content, data, entry, keys, marker, object, put};

/// What was overwritten since stays, and does not keep the rest from being deleted.
pub async fn only_what_still_is_as_listed_is_deleted(place: &dyn Place) {
    let store = place.open().await;
    let objects = vec![
        object("d/changed", data(1, 100)),
        object("d/deleted", data(2, 100)),
        marker("e/", Kind::Directory),
        object("kept", data(3, 100)),
    ];
    put(&*store, objects).await;
    let mut entries = Vec::new();
    for key in ["d/changed", "d/deleted", "e/"] {
        entries.push(entry(&*store, key).await);
    }
    place.overwrite(&Key::from("d/changed"), &data(4, 100)).await;
    let results = store.delete(entries).await;
    let deleted: Vec<bool> = results.iter().map(Result::is_ok).collect();
    assert_eq!(deleted, [false, true, true], "{results:?}");
    assert_eq!(keys(&*store).await, ["d/changed", "kept"].map(Key::from));
    assert_eq!(content(&*store, "d/changed").await, data(4, 100));
}

/// Whoever deleted it.
pub async fn deleting_what_is_gone_is_no_error(place: &dyn Place) {
    let store = place.open().await;
    put(&*store, vec![object("gone", data(1, 100)), marker("gone2/", Kind::Directory)]).await;
    let entries = vec![entry(&*store, "gone").await, entry(&*store, "gone2/").await];
    for _ in 0..2 {
        for result in store.delete(entries.clone()).await {
            result.expect("gone is what it should be");
        }
    }
    assert!(keys(&*store).await.is_empty());
}

/// However often it is discarded.
pub async fn a_discarded_upload_leaves_nothing(place: &dyn Place) {
    let store = place.open().await;
    let large = Large::begin(&*store, "discarded", 1).await;
    large.write(large.parts()[0]).await;
    for _ in 0..2 {
        large.discard(&*store).await;
    }
    store.clean().await.expect("a clean place");
    assert_eq!(place.leftovers().await, [""; 0]);
    assert!(keys(&*store).await.is_empty());
}

/// As after a crash between the begin of an upload and the report of its token.
pub async fn an_upload_that_nobody_remembers_can_be_discarded(place: &dyn Place) {
    let store = place.open().await;
    let mut large = Large::begin(&*store, "forgotten", 1).await;
    let key = large.object.entry.key.clone();
    for _ in 0..2 {
        store.discard(&key, None, Some(Timestamp(0))).await.expect("a discard");
    }
    store.clean().await.expect("a clean place");
    assert_eq!(place.leftovers().await, [""; 0]);

    for _ in 0..2 {
        assert!(!large.reopen(&*store, None, Some(Timestamp(0))).await);
    }
    large.write_all().await;
    large.commit(&*store).await;
    assert_eq!(content(&*store, "forgotten").await, large.bytes);
    store.clean().await.expect("a clean place");
    assert_eq!(place.leftovers().await, [""; 0]);
}

/// And may be repeated.
pub async fn clean_leaves_objects_and_nothing_else(place: &dyn Place) {
    let store = place.open().await;
    store.preflight(Access::Write).await.expect("a place to write to");
    put(&*store, vec![object("object", data(1, 100))]).await;
    for _ in 0..2 {
        store.clean().await.expect("a clean place");
    }
    store.preflight(Access::Read).await.expect("a place to read from");
    assert_eq!(place.leftovers().await, [""; 0]);
    assert_eq!(keys(&*store).await, [Key::from("object")]);
}
