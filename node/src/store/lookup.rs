//! What stores share that list page by page: handing pages on, and looking up keys. Few keys are asked for by a
//! request each, many by one listing, as long as what lies between them does not make that the dearer way.

use std::collections::{BTreeMap, VecDeque};

use airlift_protocol::key::Key;
use airlift_protocol::manifest::Entry;
use async_trait::async_trait;
use tokio::sync::mpsc;

use super::{ListRequest, Listed, StoreError};

/// Entries that are handed on at a time.
const BATCH_ENTRIES: usize = 1_000;

/// Keys from which one listing may be cheaper than a request for each.
const LISTED_KEYS_MIN: usize = 16;

/// A listing in progress.
#[async_trait]
pub(super) trait Pages: Send {
    /// The entries of the next page, which may be none; `None` at the end.
    async fn page(&mut self) -> Result<Option<Vec<Entry>>, StoreError>;

    /// What was listed so far, with what there are no entries of.
    fn seen(&self) -> u64;
}

/// Hands on what `listing` finds, with one page read ahead, until nobody wants more.
pub(super) async fn list(
    mut listing: impl Pages,
    found: mpsc::Sender<Listed>,
) -> Result<(), StoreError> {
    let mut page = listing.page().await?;
    while let Some(entries) = page {
        let (is_wanted, next) = tokio::join!(hand_on(entries, &found), listing.page());
        if !is_wanted {
            return Ok(());
        }
        page = next?;
    }
    Ok(())
}

/// Hands `entries` on; whether more is wanted.
async fn hand_on(mut entries: Vec<Entry>, found: &mpsc::Sender<Listed>) -> bool {
    while !entries.is_empty() {
        let rest = entries.split_off(entries.len().min(BATCH_ENTRIES));
        if found.send(Listed::Entries(entries)).await.is_err() {
            return false;
        }
        entries = rest;
    }
    !found.is_closed()
}

/// The first key of `listing`.
pub(super) async fn first_key(mut listing: impl Pages) -> Result<Option<Key>, StoreError> {
    while let Some(entries) = listing.page().await? {
        if let Some(entry) = entries.into_iter().next() {
            return Ok(Some(entry.key));
        }
    }
    Ok(None)
}

/// Looks up `keys`, which ascend: by what `listing` begins, or by `describe`, which asks for each key.
pub(super) async fn lookup<P: Pages, F>(
    keys: Vec<Key>,
    listing: impl FnOnce(&ListRequest) -> Result<P, StoreError>,
    describe: impl FnOnce(Vec<Key>) -> F,
) -> Vec<Result<Option<Entry>, StoreError>>
where
    F: Future<Output = Vec<Result<Option<Entry>, StoreError>>>,
{
    if keys.len() < LISTED_KEYS_MIN {
        return describe(keys).await;
    }
    let (mut known, reached) = list_range(&keys, listing).await;
    let rest: Vec<Key> = keys.iter().filter(|key| !is_within(key, &reached)).cloned().collect();
    let mut described: VecDeque<_> = describe(rest).await.into();
    keys.iter()
        .map(|key| match is_within(key, &reached) {
            true => Ok(known.remove(key)),
            false => described.pop_front().unwrap_or(Ok(None)),
        })
        .collect()
}

/// Whether a listing that went from one key to another says all about `key`.
fn is_within(key: &Key, reached: &Option<(Key, Key)>) -> bool {
    reached.as_ref().is_some_and(|(after, until)| key > after && key <= until)
}

/// Lists from the first key (which the listing itself leaves out) to the last. Returns the entries
/// of keys asked for, and the range within which they are all. A listing that fails or finds too
/// much, before the keys or between them, just ends early.
async fn list_range<P: Pages>(
    keys: &[Key],
    listing: impl FnOnce(&ListRequest) -> Result<P, StoreError>,
) -> (BTreeMap<Key, Entry>, Option<(Key, Key)>) {
    let mut known = BTreeMap::new();
    let (Some(first), Some(last)) = (keys.first(), keys.last()) else { return (known, None) };
    let request = ListRequest { after: Some(first.clone()), until: Some(last.clone()) };
    let Ok(mut listing) = listing(&request) else { return (known, None) };
    let seen_max = 4 * keys.len() as u64 + 1_000;
    let mut reached = first.clone();
    while listing.seen() <= seen_max {
        match listing.page().await {
            Ok(Some(entries)) => {
                if let Some(entry) = entries.last() {
                    reached = entry.key.clone();
                }
                let asked = entries
                    .into_iter()
                    .filter(|entry| keys.binary_search(&entry.key).is_ok())
                    .map(|entry| (entry.key.clone(), entry));
                known.extend(asked);
            }
            Ok(None) => {
                reached = last.clone();
                break;
            }
            Err(error) => {
                // The requests for the remaining keys meet the same trouble, and report it by key.
                tracing::debug!(%error, "a listing for a lookup ended early");
                break;
            }
        }
    }
    (known, Some((first.clone(), reached)))
}

#[cfg(test)]
mod tests {
    use airlift_protocol::error::ErrorCode;

    use super::super::walk::directory_entry;
    use super::*;

    /// Pages of these keys, and then the end, or an error.
    struct Prepared {
        pages: VecDeque<Vec<Key>>,
        fails: bool,
        seen: u64,
    }

    #[async_trait]
    impl Pages for Prepared {
        async fn page(&mut self) -> Result<Option<Vec<Entry>>, StoreError> {
            match self.pages.pop_front() {
                Some(keys) => {
                    self.seen += keys.len() as u64;
                    Ok(Some(keys.into_iter().map(directory_entry).collect()))
                }
                None if self.fails => Err(StoreError::new(ErrorCode::Unavailable, "")),
                None => Ok(None),
            }
        }

        fn seen(&self) -> u64 {
            self.seen
        }
    }

    fn key(number: usize) -> Key {
        Key::from(format!("{number:05}").as_str())
    }

    /// Asks for every tenth of 200 keys, of which the store has every twentieth; what was asked for one by one.
    async fn asked_one_by_one(pages: Vec<Vec<Key>>, fails: bool) -> Vec<Key> {
        let keys: Vec<Key> = (0..20).map(|number| key(number * 10)).collect();
        let mut asked = Vec::new();
        let listing = |request: &ListRequest| {
            assert_eq!((&request.after, &request.until), (&Some(key(0)), &Some(key(190))));
            Ok(Prepared { pages: pages.into(), fails, seen: 0 })
        };
        let has = |key: &Key| key.as_str().unwrap().parse::<u32>().unwrap() % 20 == 0;
        let describe = |keys: Vec<Key>| {
            asked.clone_from(&keys);
            let describe = |key: Key| Ok(has(&key).then(|| directory_entry(key)));
            std::future::ready(keys.into_iter().map(describe).collect())
        };
        let found = lookup(keys.clone(), listing, describe).await;
        for (key, found) in keys.iter().zip(found) {
            assert_eq!(found.unwrap().map(|entry| entry.key).as_ref(), has(key).then_some(key));
        }
        asked
    }

    #[tokio::test]
    async fn what_a_listing_has_not_reached_is_asked_for() {
        let page = |from: usize, to: usize| (from..to).filter(|it| it % 20 == 0).map(key).collect();
        let whole = vec![page(1, 100), Vec::new(), page(100, 200)];
        assert_eq!(asked_one_by_one(whole.clone(), false).await, [key(0)], "it leaves that out");
        let broken = asked_one_by_one(whole[..1].to_vec(), true).await;
        assert_eq!(broken.len(), 1 + 11, "what comes after the last key that was listed");
        let between: Vec<Key> = (1..10)
            .flat_map(|it| (0..300).map(move |sub| (it, sub)))
            .map(|(it, sub)| Key::from(format!("{it:05}x{sub:03}").as_str()))
            .collect();
        let crowded = asked_one_by_one(vec![between, page(10, 200)], false).await;
        assert_eq!(crowded.len(), 1 + 19, "too much lies between them");
    }
}
