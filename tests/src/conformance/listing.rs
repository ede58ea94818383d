//! Properties of `list` and `lookup`.

use std::time::Duration;

use airlift_node::store::{ListRequest, Listed};
use airlift_protocol::key::Key;
use airlift_protocol::manifest::Entry;
use bytes::Bytes;
use tokio::sync::mpsc;

use super::Place;
use super::fixture::{find, keys, list, object, put};

/// Keys whose byte order is not the order in which a tree walk meets them, sorted.
const TREE: [&str; 9] = ["a-b", "a.txt", "a/b", "a/b.c", "a/c/d", "a0", "b/a/a", "b/a0", "é/ü"];

async fn put_all(place: &dyn Place, names: impl IntoIterator<Item = &str>) {
    let store = place.writer().await;
    let objects =
        names.into_iter().map(|name| object(name, Bytes::copy_from_slice(name.as_bytes())));
    put(&*store, objects.collect()).await;
}

/// Strictly ascending, and everything is there.
pub async fn a_listing_has_every_key_in_byte_order(place: &dyn Place) {
    let store = place.open().await;
    assert!(keys(&*store).await.is_empty(), "the place is empty at first");
    put_all(place, TREE.into_iter().rev()).await;
    let expected: Vec<Key> = TREE.into_iter().map(Key::from).collect();
    assert!(expected.is_sorted());
    assert_eq!(keys(&*store).await, expected);
}

/// `after` is excluded, `until` included, whether or not there are such keys.
pub async fn a_listing_honours_its_bounds(place: &dyn Place) {
    put_all(place, TREE).await;
    let store = place.open().await;
    let bounds = TREE.into_iter().chain(["", "a", "a/", "a/b/x", "a/c", "a/c/", "b", "b/a/", "zz"]);
    let bounds: Vec<Option<Key>> =
        bounds.map(|bound| Some(Key::from(bound))).chain([None]).collect();
    for after in bounds.iter().flatten() {
        let next = store.next_key(after).await.expect("the place can be asked");
        let expected = TREE.into_iter().map(Key::from).find(|key| key > after);
        assert_eq!(next, expected, "behind {after}");
    }
    for after in &bounds {
        for until in &bounds {
            let request = ListRequest { after: after.clone(), until: until.clone() };
            let listed: Vec<Key> =
                list(&*store, request).await.into_iter().map(|entry| entry.key).collect();
            let expected: Vec<Key> = TREE
                .into_iter()
                .map(Key::from)
                .filter(|key| after.as_ref().is_none_or(|after| key > after))
                .filter(|key| until.as_ref().is_none_or(|until| key <= until))
                .collect();
            assert_eq!(listed, expected, "after {after:?} until {until:?}");
        }
    }
}

/// More keys than any store lists in one answer.
pub async fn a_long_listing_comes_in_batches_and_loses_nothing(place: &dyn Place) {
    let names: Vec<String> =
        (0..place.many()).map(|number| format!("{}/{number:04}", number % 3)).collect();
    put_all(place, names.iter().map(String::as_str)).await;
    let mut expected: Vec<Key> = names.iter().map(|name| Key::from(name.as_str())).collect();
    expected.sort();
    let store = place.open().await;
    let (sender, mut found) = mpsc::channel(1);
    let collect = async {
        let mut listed = Vec::new();
        while let Some(batch) = found.recv().await {
            let Listed::Entries(batch) = batch else { panic!("unreadable: {batch:?}") };
            assert!(batch.len() <= 1000, "a batch has {} entries", batch.len());
            listed.extend(batch.into_iter().map(|entry| entry.key));
        }
        listed
    };
    let (result, listed) = futures::join!(store.list(ListRequest::default(), sender), collect);
    result.expect("the place can be listed");
    assert_eq!(listed, expected);
}

/// A receiver that is dropped ends the listing without error, and soon.
pub async fn a_listing_ends_when_nobody_listens(place: &dyn Place) {
    put_all(place, TREE).await;
    let store = place.open().await;
    let (sender, found) = mpsc::channel(1);
    drop(found);
    let listing = store.list(ListRequest::default(), sender);
    tokio::time::timeout(Duration::from_secs(20), listing)
        .await
        .expect("the listing ends")
        .expect("that nobody listens is no error");
}

/// The same entries; keys that are not there are `None`, also below and above objects.
pub async fn a_lookup_says_what_a_listing_says(place: &dyn Place) {
    put_all(place, TREE).await;
    let store = place.open().await;
    let listed = list(&*store, ListRequest::default()).await;
    let known: Vec<Key> = listed.iter().map(|entry| entry.key.clone()).collect();
    let found = store.lookup(known).await;
    let found: Vec<Option<Entry>> =
        found.into_iter().map(|result| result.expect("the key can be looked up")).collect();
    assert_eq!(found, listed.into_iter().map(Some).collect::<Vec<_>>());
    for missing in ["a", "a.txt/below", "a/b/below/it", "nothing", "nothing/here", "é"] {
        assert_eq!(find(&*store, missing).await, None, "{missing}");
    }
    assert!(store.lookup(Vec::new()).await.is_empty());
}
