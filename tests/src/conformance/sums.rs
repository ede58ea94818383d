//! Properties of `stored_sums`, which a store need not have.

use airlift_node::store::{Store, sum};
use airlift_protocol::key::Key;
use airlift_protocol::manifest::Entry;
use airlift_protocol::sum::{StoredSum, SumOrigin};

use super::Place;
use super::fixture::{Large, data, entry, object, put};

async fn sums(store: &dyn Store, entries: Vec<Entry>) -> Vec<Vec<StoredSum>> {
    let sums = store.stored_sums(entries).await.into_iter();
    sums.map(|sums| sums.expect("an answer")).collect()
}

/// What a store says that it computed is the sum of all bytes, of small objects and of large ones.
pub async fn a_sum_that_a_store_keeps_is_that_of_the_bytes(place: &dyn Place) {
    let store = place.open().await;
    let small = data(3, 70_001);
    put(&*place.writer().await, vec![object("sums/small", small.clone())]).await;
    let large = Large::begin(&*store, "sums/large", 4).await;
    large.write_all().await;
    large.commit(&*store).await;
    let entries = vec![entry(&*store, "sums/small").await, entry(&*store, "sums/large").await];
    let stored = sums(&*store, entries).await;
    for (bytes, stored) in [&small, &large.bytes].into_iter().zip(&stored) {
        let mut kinds: Vec<_> = stored.iter().map(|stored| stored.sum.kind()).collect();
        for stored in stored.iter().filter(|stored| stored.origin == SumOrigin::Computed) {
            assert_eq!(stored.sum, sum::of(stored.sum.kind(), bytes));
        }
        kinds.sort_unstable();
        kinds.dedup();
        assert_eq!(kinds.len(), stored.len(), "each kind once: {stored:?}");
    }
}

/// Nothing is said of an object that is not the listed one.
pub async fn an_object_that_changed_has_no_sums_of_the_listed_one(place: &dyn Place) {
    let store = place.open().await;
    let key = Key::from("sums/changed");
    put(&*place.writer().await, vec![object(key.clone(), data(1, 900))]).await;
    let listed = entry(&*store, key.clone()).await;
    place.overwrite(&key, &data(2, 901)).await;
    let gone = Entry { key: Key::from("sums/gone"), ..listed.clone() };
    assert_eq!(sums(&*store, vec![listed, gone]).await, [[], []]);
}
