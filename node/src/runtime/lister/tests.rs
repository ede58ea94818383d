//! Orders to list, one after the other, as the control plane would give them.

use std::collections::BTreeMap;
use std::time::Duration;

use airlift_protocol::job::{Filters, JobSpec, Mode, Policy};
use airlift_protocol::limits::{LIST_PAGES_MAX, LIST_PASSED_MAX, PAGE_ENTRIES_MAX};
use airlift_protocol::location::Location;

use super::*;
use crate::runtime::executor::HandedIn;
use crate::runtime::filter::Filter;
use crate::store::memory::MemoryStore;

fn executor(store: MemoryStore, outcomes: mpsc::Sender<HandedIn>, filters: Filters) -> Executor {
    let spec = JobSpec {
        mode: Mode::Copy,
        source: Location::Path(b"/a".to_vec()),
        target: Location::Path(b"/b".to_vec()),
        single: None,
        filters,
        policy: Policy::default(),
    };
    let filter = Arc::new(Filter::new(&spec.filters).unwrap());
    let source: Option<Arc<dyn Store>> = Some(Arc::new(store));
    Executor {
        spec: Arc::new(spec),
        transfer: None,
        source,
        inventory: None,
        filter,
        meter: Arc::default(),
        outcomes,
    }
}

fn filled(keys: impl IntoIterator<Item = String>) -> MemoryStore {
    let store = MemoryStore::new();
    keys.into_iter().for_each(|key| store.insert(key.as_str(), "x", 1));
    store
}

/// What one order hands in, and how it ends.
async fn order(executor: &Executor, range: Range) -> (Vec<Completion>, Completion) {
    let (outcomes, mut taken) = mpsc::channel(1);
    let executor = Executor { outcomes, ..executor.clone() };
    let attempt = (AssignmentId(1), 1);
    let list = async move { executor.list(attempt, range).await };
    let take = async {
        let mut turns = Vec::new();
        while let Some(HandedIn { result, recorded, .. }) = taken.recv().await {
            turns.push(result.unwrap());
            // Of the last one nobody waits to hear.
            let _ = recorded.unwrap().send(());
        }
        turns
    };
    let (end, turns) = tokio::join!(list, take);
    (turns, end.unwrap())
}

/// Lists everything, each range by orders for so many pages, and says which keys came and into how many
/// ranges it was cut.
async fn list_all(executor: &Executor, pages: u32) -> (Vec<Key>, usize) {
    type Begin = Option<Key>;
    let mut open: BTreeMap<Begin, (Option<Key>, PageId)> = [(None, (None, PageId(0)))].into();
    let (mut keys, mut ranges) = (Vec::new(), 1);
    while let Some((mut after, (mut until, next))) = open.pop_first() {
        let cuts = if ranges < 12 { 3 } else { 0 };
        let (end, at) = (End::Source, after.clone());
        let range = Range { end, after: at, until: until.clone(), next, cuts, pages };
        let (turns, ended) = order(executor, range).await;
        let mut number = next;
        for turn in turns {
            match turn {
                Completion::Page { page, entries, .. } => {
                    assert_eq!(page, number);
                    assert!(entries.first().map(|it| &it.key) > after.as_ref());
                    after = entries.last().map(|entry| entry.key.clone());
                    assert!(until.is_none() || after <= until);
                    keys.extend(entries.into_iter().map(|entry| entry.key));
                }
                Completion::Cut { page, at } => {
                    assert_eq!(page, number);
                    assert!(at.len() <= 3 && at.first() > after.as_ref());
                    ranges += at.len();
                    let ends = at.iter().skip(1).cloned().map(Some).chain([until.clone()]);
                    let behind = at.iter().cloned().map(Some).zip(ends);
                    open.extend(behind.map(|(begin, end)| (begin, (end, PageId(0)))));
                    until = at.first().cloned();
                }
                Completion::Passed { page, up_to, .. } => {
                    assert_eq!(page, number);
                    assert!(Some(&up_to) > after.as_ref());
                    assert!(until.is_none() || Some(&up_to) <= until.as_ref());
                    after = Some(up_to);
                }
                other => panic!("{other:?}"),
            }
            number = number.next();
        }
        match ended {
            Completion::Listed(end) => assert_eq!(end.pages, number),
            Completion::PartListed(end) => {
                assert_eq!(end.pages, number);
                open.insert(after, (until, number));
            }
            other => panic!("{other:?}"),
        }
    }
    keys.sort_unstable();
    (keys, ranges)
}

#[tokio::test]
async fn ranges_together_have_every_key_once() {
    let names = || (0..60_000).map(|it| format!("{}/{it:06}", it % 7));
    let store = filled(names());
    let keys = store.keys();
    let (outcomes, _taken) = mpsc::channel(1);
    let executor = executor(store, outcomes, Filters::default());
    for pages in [1, 3, LIST_PAGES_MAX] {
        let (listed, ranges) = list_all(&executor, pages).await;
        assert!(listed == keys, "{} of {} keys", listed.len(), keys.len());
        // An order for one page is over before it looks where to cut.
        assert_eq!(ranges > 1, pages > 1, "{ranges} ranges");
    }
}

/// Orders for one page each, so that every key is looked at by one order only where all say how far they got.
#[tokio::test]
async fn where_nearly_all_is_left_out_each_order_says_how_far_it_got() {
    let count = 5 * LIST_PASSED_MAX / 2;
    let (outcomes, _taken) = mpsc::channel(1);
    for include in ["none", "*00000"] {
        let filters = Filters { include: vec![include.to_owned()], exclude: Vec::new() };
        let store = filled((0..count).map(|it| format!("{it:06}")));
        let executor = executor(store, outcomes.clone(), filters);
        let (mut after, mut next) = (None, PageId(0));
        let mut orders = Vec::new();
        let listed = loop {
            let (end, at) = (End::Source, after.clone());
            let range = Range { end, after: at, until: None, next, cuts: 0, pages: 1 };
            let (turns, ended) = order(&executor, range).await;
            orders.push(turns.len());
            let Completion::PartListed(end) = ended else { break turns };
            after = match turns.last() {
                Some(Completion::Passed { up_to, .. }) => Some(up_to.clone()),
                Some(Completion::Page { entries, .. }) => Some(entries[0].key.clone()),
                other => panic!("{other:?}"),
            };
            next = end.pages;
        };
        let last = Key::from(format!("{:06}", count / 100_000 * 100_000).as_str());
        match include {
            "none" => assert_eq!((orders, listed.len()), (vec![1, 1, 0], 0)),
            _ => assert!(orders.len() > 2 && after >= Some(last), "{orders:?}, {after:?}"),
        }
    }
}

#[tokio::test]
async fn what_is_left_out_is_cut_nevertheless_and_the_first_page_does_not_wait() {
    let store = filled((0..20_000).map(|it| format!("{it:06}")));
    let (outcomes, _taken) = mpsc::channel(1);
    let filters = Filters { include: Vec::new(), exclude: vec!["01*".to_owned()] };
    let executor = executor(store, outcomes, filters);
    let end = End::Source;
    let range = Range { end, after: None, until: None, next: PageId(0), cuts: 1, pages: 9 };
    let (turns, _) = order(&executor, range).await;
    let Some(Completion::Page { entries, .. }) = turns.first() else { panic!("{turns:?}") };
    assert!(entries.len() < PAGE_ENTRIES_MAX / 2, "{} entries", entries.len());
    let (listed, _) = list_all(&executor, 9).await;
    assert_eq!(listed.len(), 10_000);
}

/// The log may be as slow as it likes: nothing that would have to be listed again is taken in meanwhile.
#[tokio::test(start_paused = true)]
async fn a_page_waits_until_the_one_before_is_on_record() {
    let count = 5 * PAGE_ENTRIES_MAX;
    let store = filled((0..count).map(|it| format!("{it:06}")));
    let (outcomes, mut taken) = mpsc::channel(100);
    let executor = executor(store, outcomes, Filters::default());
    let end = End::Source;
    let range = Range { end, after: None, until: None, next: PageId(0), cuts: 3, pages: 9 };
    let list = async move { executor.list((AssignmentId(1), 1), range).await.unwrap() };
    let take = async {
        let mut keys = 0;
        while let Some(HandedIn { result, recorded, .. }) = taken.recv().await {
            if let Completion::Page { entries, .. } = result.unwrap() {
                keys += entries.len();
            }
            // Longer than anything that goes on by itself takes, since time is not what it waits for.
            tokio::time::sleep(Duration::from_secs(60)).await;
            let next = taken.try_recv();
            assert!(next.is_err(), "behind {keys} keys that are on no record: {next:?}");
            let _ = recorded.unwrap().send(());
        }
        keys
    };
    let (ended, keys) = tokio::join!(list, take);
    assert!(matches!(ended, Completion::Listed(_)), "{ended:?}");
    assert!(keys < count, "the range was cut");
}

/// A slow log must not keep others from listing beside it.
#[tokio::test(start_paused = true)]
async fn where_to_cut_is_found_out_while_a_page_waits() {
    let count = 20 * PAGE_ENTRIES_MAX;
    let store = filled((0..count).map(|it| format!("{it:06}")));
    let store = store.answering_after(Duration::from_millis(10));
    let (outcomes, mut taken) = mpsc::channel(1);
    let executor = executor(store, outcomes, Filters::default());
    let end = End::Source;
    let range = Range { end, after: None, until: None, next: PageId(0), cuts: 3, pages: 16 };
    let list = async move { executor.list((AssignmentId(1), 1), range).await };
    let take = async {
        let mut pages = 0;
        while let Some(HandedIn { result, recorded, .. }) = taken.recv().await {
            if let Completion::Cut { .. } = result.unwrap() {
                break;
            }
            pages += 1;
            tokio::time::sleep(Duration::from_secs(1)).await;
            let _ = recorded.unwrap().send(());
        }
        pages
    };
    let (_, pages) = tokio::join!(list, take);
    // Behind the first, which has a thousand keys, and the second, during which it begins to look.
    assert_eq!(pages, 2);
}

#[tokio::test]
async fn a_listing_whose_order_is_taken_back_ends_without_an_end() {
    let store = filled((0..2 * PAGE_ENTRIES_MAX).map(|it| format!("{it:06}")));
    let (outcomes, mut taken) = mpsc::channel(1);
    let executor = executor(store, outcomes, Filters::default());
    let end = End::Source;
    let range = Range { end, after: None, until: None, next: PageId(0), cuts: 0, pages: 9 };
    let list = async move { executor.list((AssignmentId(1), 1), range).await };
    let take = async {
        let first = taken.recv().await;
        drop(first);
        taken.recv().await
    };
    let (ended, second) = tokio::join!(list, take);
    assert!(second.is_none(), "{second:?}");
    assert_eq!(ended.unwrap_err().code, ErrorCode::LeaseLost);
}
