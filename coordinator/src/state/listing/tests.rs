//! Listings by ranges: what is taken, and that every key comes once.

use airlift_protocol::manifest::{Entry, Kind, Version};
use airlift_protocol::time::Timestamp;
use proptest::prelude::*;

use super::*;

fn key(number: u16) -> Key {
    Key::new(number.to_be_bytes())
}

fn entry(number: u16) -> Entry {
    Entry {
        key: key(number),
        kind: Kind::Object,
        size: 1,
        mtime_ns: None,
        version: Version::None,
        is_archived: false,
    }
}

fn page(listing: &Listing, numbers: &[u16]) -> Page {
    Page { id: listing.next_page(), entries: numbers.iter().copied().map(entry).collect() }
}

fn turn(range: &KeyRange) -> Turn {
    Turn { range: range.id, number: range.next, at: Timestamp(1) }
}

fn take(listing: &mut Listing, turn: &Turn, page: &Page) -> Result<bool, String> {
    let index = LogIndex(u64::from(page.id.0) + 1);
    listing.take_page(index, page, turn, Unreadable::default())
}

fn whole(pages: u32) -> ListingEnd {
    ListingEnd { pages: PageId(pages), unreadable: Vec::new(), unreadable_count: 0 }
}

#[test]
fn what_does_not_follow_is_no_page_of_its_range() {
    let mut listing = Listing::default();
    let first = listing.ranges[0].clone();
    let taken = page(&listing, &[3, 5]);
    assert_eq!(take(&mut listing, &turn(&first), &taken), Ok(true));
    // Again, and out of turn.
    assert_eq!(take(&mut listing, &turn(&first), &taken), Ok(false));
    let now = turn(&listing.ranges[0].clone());
    for numbers in [&[5, 6][..], &[2], &[], &[8, 7], &[7, 7]] {
        let before = listing.clone();
        let wrong = page(&listing, numbers);
        assert!(take(&mut listing, &now, &wrong).is_err(), "{numbers:?}");
        assert_eq!(listing, before);
    }
    assert!(listing.begin(first.id));
    assert_eq!(listing.cut(&now, &[key(9)]), Ok(true));
    let now = turn(&listing.ranges[0].clone());
    let beyond = page(&listing, &[8, 10]);
    assert!(take(&mut listing, &now, &beyond).is_err());
    let within = page(&listing, &[8, 9]);
    assert_eq!(take(&mut listing, &now, &within), Ok(true));
}

#[test]
fn a_cut_is_within_what_is_left_and_within_what_is_allowed() {
    let mut listing = Listing::default();
    let first = page(&listing, &[3, 5]);
    let range = listing.ranges[0].clone();
    assert_eq!(listing.cut(&turn(&range), &[key(9)]), Ok(false), "nobody has the range");
    assert!(listing.begin(range.id));
    assert_eq!(take(&mut listing, &turn(&range), &first), Ok(true));
    assert_eq!(listing.cut(&turn(&range), &[key(9)]), Ok(false), "not its turn");
    let now = turn(&listing.ranges[0].clone());
    let many: Vec<Key> = (10..10 + LIST_RANGES_MAX as u16).map(key).collect();
    for wrong in [&[][..], &[key(5)], &[key(9), key(9)], &[key(9), key(8)], &many] {
        assert!(listing.cut(&now, wrong).is_err(), "{wrong:?}");
    }
    assert_eq!(listing.cut(&now, &many[1..]), Ok(true));
    assert_eq!(listing.open_ranges().count(), LIST_RANGES_MAX);
    let last = listing.ranges.last().unwrap().clone();
    assert_eq!((last.after, last.until), (Some(key(25)), None));
    // There is room for no more.
    assert!(listing.begin(last.id) && listing.open_range(last.id).unwrap().cuts == 0);
}

/// One step of many listers of one set of keys: which range, how many keys, and what else.
type Step = (u8, u8, u8, u16);

/// Steps of listers that begin anew, cut, report twice and are overtaken.
fn step(listing: &mut Listing, keys: &[u16], (which, count, kind, at): Step) {
    let open: Vec<KeyRange> = listing.open_ranges().cloned().collect();
    let Some(range) = open.get(usize::from(which) % open.len().max(1)) else { return };
    let is_within =
        |number: &&u16| range.follows(&key(**number)) && !range.ends_before(&key(**number));
    let left: Vec<u16> = keys.iter().filter(is_within).copied().collect();
    match kind % 9 {
        0 => assert!(listing.begin(range.id)),
        1 => listing.rest(range.id),
        2 => {
            let cuts = [at, at.saturating_add(u16::from(count)), at.saturating_add(300)].map(key);
            let _ = listing.cut(&turn(range), &cuts[..usize::from(count) % 4]);
        }
        3 => {
            let again = Turn { number: PageId(range.next.0.wrapping_sub(1)), ..turn(range) };
            let page = page(listing, &left[..left.len().min(1)]);
            assert_eq!(take(listing, &again, &page), Ok(false));
        }
        // Up to right before its next key.
        4 => {
            let up_to = match left.first() {
                Some(first) => first.wrapping_sub(1),
                None => at,
            };
            let is_possible = is_within(&&up_to);
            let passed = listing.pass(&turn(range), key(up_to), Unreadable::default());
            assert_eq!(passed.is_ok(), is_possible);
        }
        _ if left.is_empty() => {
            listing.end_order(range.id, whole(range.next.0));
            listing.finish(range.id);
        }
        _ => {
            let page = page(listing, &left[..left.len().min(1 + usize::from(count) % 5)]);
            assert_eq!(take(listing, &turn(range), &page), Ok(true));
        }
    }
}

proptest! {
    #[test]
    fn every_key_is_listed_once_however_ranges_are_cut(
        keys in prop_oneof![
            prop::collection::btree_set(any::<u16>(), 0..80),
            // Nearly all in one place.
            prop::collection::btree_set(prop_oneof![9 => 500u16..560, 1 => any::<u16>()], 0..80),
        ],
        steps in prop::collection::vec(any::<Step>(), 0..400),
    ) {
        let keys: Vec<u16> = keys.into_iter().collect();
        let mut listing = Listing::default();
        let mut pages: Vec<Vec<u16>> = Vec::new();
        // In the end each range is listed by somebody to its end.
        let to_the_end = (0u16..).map(|at| (at as u8, 4, 5, 0));
        for each in steps.into_iter().chain(to_the_end.take(1_000)) {
            let before = listing.ranges.clone();
            step(&mut listing, &keys, each);
            prop_assert!(listing.open_ranges().count() <= LIST_RANGES_MAX);
            prop_assert_eq!(listing.end.is_some(), listing.open_ranges().next().is_none());
            if listing.pages.len() > pages.len() {
                let grown = listing.ranges.iter().find(|range| {
                    let earlier = before.iter().find(|it| it.id == range.id);
                    earlier.is_some_and(|it| it.pages.len() < range.pages.len())
                });
                let grown = grown.expect("a range has the page");
                let earlier = before.iter().find(|it| it.id == grown.id).expect("it was there");
                let is_new = |number: &&u16| {
                    earlier.follows(&key(**number)) && grown.after >= Some(key(**number))
                };
                pages.push(keys.iter().filter(is_new).copied().collect());
            }
        }
        let in_order = (0..).map_while(|place| listing.page_at(place));
        let listed: Vec<u16> = in_order.flat_map(|page| pages[page.0 as usize].clone()).collect();
        prop_assert_eq!(listed, keys);
        prop_assert!(listing.end.is_some() && listing.ranges.len() == 1);
        prop_assert_eq!(listing.page_count() as usize, pages.len());
    }
}
