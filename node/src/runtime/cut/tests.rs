//! Cuts of sets of keys: how even they are, and how many requests they take.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::ops::Bound;

use proptest::prelude::*;

use super::*;

/// Requests that a search may take with 15 cuts: keys of 64 characters are halved six times, and ASCII
/// is eight times; then there are one for each cut, and those between.
const REQUESTS_MAX: usize = 6 + 8 + 15 + 15;

struct Place {
    keys: BTreeSet<Key>,
    requests: Cell<usize>,
}

impl Place {
    fn new(keys: impl IntoIterator<Item = String>) -> Self {
        let keys = keys.into_iter().map(|key| Key::from(key.as_str())).collect();
        Self { keys, requests: Cell::new(0) }
    }

    fn nth(&self, place: usize) -> Key {
        self.keys.iter().nth(place).unwrap().clone()
    }

    fn cut(&self, after: &Key, until: Option<&Key>, count: usize) -> Vec<Key> {
        let next_key = async |after: Key| {
            self.requests.set(self.requests.get() + 1);
            let behind = (Bound::Excluded(after), Bound::Unbounded);
            Ok(self.keys.range(behind).next().cloned())
        };
        futures::executor::block_on(find(after, until, count, next_key)).unwrap()
    }

    /// Keys in each of the ranges that cuts behind `after` make.
    fn sizes(&self, after: &Key, cuts: &[Key]) -> Vec<usize> {
        let ends = cuts.iter().map(Some).chain([None]);
        let begins = [after].into_iter().chain(cuts);
        let count = |(begin, end): (&Key, Option<&Key>)| {
            let is_within = |key: &&Key| *key > begin && end.is_none_or(|end| *key <= end);
            self.keys.iter().filter(is_within).count()
        };
        begins.zip(ends).map(count).collect()
    }
}

#[test]
fn what_is_evenly_spread_is_cut_evenly() {
    let hex = (0..40_000u64).map(|it| format!("{:016x}", it.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    let deep = (0..40_000).map(|it| format!("data/2024/a long way down/obj-{it:06}.parquet"));
    for (keys, parts) in [(hex.collect::<Vec<_>>(), 16), (deep.collect(), 4)] {
        let place = Place::new(keys);
        let after = place.nth(50);
        let cuts = place.cut(&after, None, 15);
        assert_eq!(cuts.len() + 1, parts, "{cuts:?}");
        let sizes = place.sizes(&after, &cuts);
        assert_eq!(sizes.iter().sum::<usize>(), 40_000 - 51);
        assert!(*sizes.iter().max().unwrap() < 2 * 40_000 / parts, "{sizes:?}");
        assert!(place.requests.get() <= REQUESTS_MAX, "{} requests", place.requests.get());
    }
}

#[test]
fn a_few_cuts_are_spread_over_all_characters() {
    let letters = ('a'..='z').flat_map(|one| (0..100).map(move |it| format!("x/{one}{it:02}")));
    let place = Place::new(letters);
    let after = place.nth(10);
    let cuts = place.cut(&after, None, 3);
    let sizes = place.sizes(&after, &cuts);
    assert_eq!(cuts.len(), 3);
    assert!(sizes.iter().all(|size| (400..1_000).contains(size)), "{sizes:?}");
}

#[test]
fn where_nothing_is_left_nothing_is_cut() {
    let place = Place::new((0..100).map(|it| format!("k{it:02}")));
    let (last, before) = (place.nth(99), place.nth(9));
    assert_eq!(place.cut(&last, None, 15), []);
    assert_eq!(place.cut(&before, Some(&place.nth(9)), 15), []);
    // Names that are not text are in no store that is asked for ranges.
    assert_eq!(place.cut(&Key::new([0xff]), None, 15), []);
}

/// The longest time in which `listers` are through with all keys, where each range is cut when there is
/// room, as the control plane has it: in keys that one of them lists.
fn time(place: &Place, ranges_max: usize, order: usize) -> usize {
    // Ranges: begin, end, keys until the order ends.
    let mut open = vec![(Key::default(), None::<Key>)];
    let mut time = 0;
    while !open.is_empty() {
        time += order;
        let mut next = Vec::new();
        let mut room = ranges_max - open.len();
        for (begin, end) in open {
            let is_within =
                |key: &&Key| **key > begin && end.as_ref().is_none_or(|end| *key <= end);
            let left: Vec<&Key> = place.keys.iter().filter(is_within).take(order).collect();
            if left.len() < order {
                continue;
            }
            let after = left[order / 4].clone();
            let cuts = if room > 0 { place.cut(&after, end.as_ref(), room) } else { Vec::new() };
            room -= cuts.len();
            let reached = left[order - 1].clone();
            let first = cuts.first().cloned().or_else(|| end.clone());
            if first.as_ref().is_none_or(|first| reached < *first) {
                next.push((reached, first));
            }
            let ends = cuts.iter().skip(1).cloned().map(Some).chain([end]);
            next.extend(cuts.iter().cloned().zip(ends));
        }
        open = next;
    }
    time
}

#[test]
fn a_skewed_source_is_shared_in_the_end() {
    // Nine of ten keys are in one directory of many, at the end of a long way.
    let hot = (0..36_000).map(|it| format!("m/hot/2024/part-{it:05}"));
    let cold = (0..4_000).map(|it| format!("{}/{it:04}", (b'a' + (it % 26) as u8) as char));
    let place = Place::new(hot.chain(cold));
    let alone = time(&place, 1, 500);
    let shared = time(&place, 16, 500);
    assert!(alone >= 40_000, "{alone}");
    assert!(shared < alone / 4, "{shared} of {alone}");
}

proptest! {
    #[test]
    fn cuts_are_keys_within_the_range(
        keys in prop::collection::btree_set("[a-cé/𝄞]{0,6}", 1..60),
        after in "[a-cé/𝄞]{0,6}",
        until in prop::option::of("[a-cé/𝄞]{0,6}"),
        count in 1usize..20,
    ) {
        let place = Place::new(keys);
        let (after, until) = (Key::from(after.as_str()), until.map(|it| Key::from(it.as_str())));
        let cuts = place.cut(&after, until.as_ref(), count);
        prop_assert!(cuts.len() <= count);
        prop_assert!(cuts.is_sorted_by(|one, other| one < other));
        for key in &cuts {
            prop_assert!(*key > after && until.as_ref().is_none_or(|until| key < until));
            prop_assert!(place.keys.contains(key));
        }
    }
}
