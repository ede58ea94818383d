//! The listing of one end: ranges of its keys that are listed beside each other, and the pages that
//! came of them.
//!
//! Each range has one lister at a time. What it reports (pages, cuts, and how far it got) is counted; only what comes in
//! its turn, and has nothing but keys behind those on record and within the range, changes anything. So
//! no key is listed twice and none is left out, whoever lists and however often it is begun anew.

use airlift_protocol::id::{KeyRangeId, LogIndex, PageId};
use airlift_protocol::key::Key;
use airlift_protocol::limits::LIST_RANGES_MAX;
use airlift_protocol::manifest::Page;
use airlift_protocol::report::{ListingEnd, Unreadable};
use serde::{Deserialize, Serialize};

use crate::command::Turn;

/// A range of the keys of one end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRange {
    /// Which.
    pub id: KeyRangeId,
    /// The last of its keys that was looked at; before the first one, the key behind which it begins.
    pub after: Option<Key>,
    /// The last key that can be in it.
    pub until: Option<Key>,
    /// The number of the page or cut that comes next.
    pub next: PageId,
    /// How many other ranges its lister may still make of it.
    pub cuts: u32,
    /// Its pages, in key order.
    pub pages: Vec<PageId>,
    /// Entries listed.
    pub objects: u64,
    /// Whether it was listed to its end.
    pub is_through: bool,
}

/// A listing of one end, as far as it got. The pages themselves are in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// For each page the log entry that holds it.
    pub pages: Vec<LogIndex>,
    /// All keys, cut into ranges, in key order. Neighbours that are through are one.
    ranges: Vec<KeyRange>,
    /// Ranges so far.
    range_count: u32,
    /// Entries listed.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Places that could not be listed, so far.
    unreadable: Unreadable,
    /// Set when all of it was listed.
    pub end: Option<ListingEnd>,
}

impl Default for Listing {
    /// Nothing listed yet: all keys are one range.
    fn default() -> Self {
        Self {
            pages: Vec::new(),
            ranges: vec![KeyRange::default()],
            range_count: 1,
            objects: 0,
            bytes: 0,
            unreadable: Unreadable::default(),
            end: None,
        }
    }
}

impl KeyRange {
    fn follows(&self, key: &Key) -> bool {
        self.after.as_ref().is_none_or(|after| key > after)
    }

    fn ends_before(&self, key: &Key) -> bool {
        self.until.as_ref().is_some_and(|until| key > until)
    }

    /// Why a page cannot be the next one of the range, if so.
    fn fault(&self, page: &Page) -> Option<String> {
        let (Some(first), Some(last)) = (page.entries.first(), page.entries.last()) else {
            return Some("a page has no entries".to_owned());
        };
        let is_ascending = page.entries.is_sorted_by(|one, other| one.key < other.key);
        if self.follows(&first.key) && is_ascending && !self.ends_before(&last.key) {
            return None;
        }
        let (first, last) = (&first.key, &last.key);
        Some(format!("the keys from {first} to {last} were listed out of order"))
    }
}

impl Listing {
    /// The id of the page that would come next.
    pub fn next_page(&self) -> PageId {
        PageId(u32::try_from(self.pages.len()).unwrap_or(u32::MAX))
    }

    /// The log entry that holds a page.
    pub fn entry_of(&self, page: PageId) -> Option<LogIndex> {
        self.pages.get(usize::try_from(page.0).ok()?).copied()
    }

    /// How many pages there are.
    pub fn page_count(&self) -> u32 {
        self.next_page().0
    }

    /// Whether the end was reached and nothing was unreadable on the way.
    pub fn is_whole(&self) -> bool {
        self.end.as_ref().is_some_and(|end| end.unreadable_count == 0)
    }

    /// The page at this place in key order, of what was listed.
    pub fn page_at(&self, place: u32) -> Option<PageId> {
        let pages = self.ranges.iter().flat_map(|range| &range.pages);
        pages.copied().nth(usize::try_from(place).ok()?)
    }

    /// The ranges that are not through, in key order.
    pub fn open_ranges(&self) -> impl Iterator<Item = &KeyRange> {
        self.ranges.iter().filter(|range| !range.is_through)
    }

    /// A range that is not through.
    pub fn open_range(&self, id: KeyRangeId) -> Option<&KeyRange> {
        self.open_ranges().find(|range| range.id == id)
    }

    fn place(&self, id: KeyRangeId) -> Option<usize> {
        self.ranges.iter().position(|range| range.id == id && !range.is_through)
    }

    /// The place of the range that `turn` is of, when it is its turn.
    fn place_of(&self, turn: &Turn) -> Option<usize> {
        self.place(turn.range).filter(|place| self.ranges[*place].next == turn.number)
    }

    /// A range gets a lister, which may cut it into as many as there is room for.
    pub(super) fn begin(&mut self, id: KeyRangeId) -> bool {
        let taken: usize = self.open_ranges().map(|range| 1 + range.cuts as usize).sum();
        let room = LIST_RANGES_MAX.saturating_sub(taken);
        let Some(place) = self.place(id) else { return false };
        self.ranges[place].cuts = u32::try_from(room).unwrap_or(0);
        true
    }

    /// A range has no lister any more: others may use what room it had.
    pub(super) fn rest(&mut self, id: KeyRangeId) {
        if let Some(place) = self.place(id) {
            self.ranges[place].cuts = 0;
        }
    }

    /// Takes in a page, which entry `index` holds; whether it was its turn. An error says why it cannot
    /// be the next page of its range.
    pub(super) fn take_page(
        &mut self,
        index: LogIndex,
        page: &Page,
        turn: &Turn,
        unreadable: Unreadable,
    ) -> Result<bool, String> {
        // By another number the entry that holds the page could not be found again.
        let Some(place) = self.place_of(turn).filter(|_| page.id == self.next_page()) else {
            return Ok(false);
        };
        let range = &mut self.ranges[place];
        if let Some(fault) = range.fault(page) {
            return Err(fault);
        }
        let count = page.entries.len() as u64;
        range.after = page.entries.last().map(|entry| entry.key.clone());
        range.next = turn.number.next();
        range.pages.push(page.id);
        range.objects += count;
        self.pages.push(index);
        self.objects += count;
        self.bytes = self.bytes.saturating_add(page.bytes());
        self.unreadable.merge(unreadable);
        Ok(true)
    }

    /// A range was looked at up to a key, without a page; whether that was its turn. An error says why it
    /// cannot be.
    pub(super) fn pass(
        &mut self,
        turn: &Turn,
        up_to: Key,
        unreadable: Unreadable,
    ) -> Result<bool, String> {
        let Some(place) = self.place_of(turn) else { return Ok(false) };
        let range = &mut self.ranges[place];
        if !range.follows(&up_to) || range.ends_before(&up_to) {
            return Err(format!("{up_to} was listed out of order"));
        }
        (range.after, range.next) = (Some(up_to), turn.number.next());
        self.unreadable.merge(unreadable);
        Ok(true)
    }

    /// Cuts what is left of a range; whether that was its turn, and still for its lister to do. An error
    /// says why it cannot be: the lister would say it for ever.
    pub(super) fn cut(&mut self, turn: &Turn, at: &[Key]) -> Result<bool, String> {
        let place = self.place_of(turn).filter(|place| self.ranges[*place].cuts > 0);
        let Some(place) = place else { return Ok(false) };
        let range = &self.ranges[place];
        let is_within = at.first().is_some_and(|first| range.follows(first))
            && at.last().is_some_and(|last| range.until.as_ref().is_none_or(|until| last < until))
            && at.is_sorted_by(|one, other| one < other);
        if at.len() > range.cuts as usize || !is_within {
            return Err(format!("{} cuts are too many, or not within their range", at.len()));
        }
        let ends = at.iter().skip(1).cloned().map(Some).chain([range.until.clone()]);
        let ids = self.range_count..;
        let behind = ids.zip(at.iter().zip(ends)).map(|(id, (after, until))| KeyRange {
            id: KeyRangeId(id),
            after: Some(after.clone()),
            until,
            ..KeyRange::default()
        });
        let behind: Vec<KeyRange> = behind.collect();
        self.range_count = self.range_count.saturating_add(at.len() as u32);
        let range = &mut self.ranges[place];
        (range.until, range.next, range.cuts) = (at.first().cloned(), turn.number.next(), 0);
        self.ranges.splice(place + 1..place + 1, behind);
        Ok(true)
    }

    /// Takes in what an order says of a range at its end: places that no page has told.
    pub(super) fn end_order(&mut self, id: KeyRangeId, end: ListingEnd) {
        self.rest(id);
        let ListingEnd { pages: _, unreadable: named, unreadable_count: count } = end;
        self.unreadable.merge(Unreadable { named, count });
    }

    /// A range was listed to its end; the listing has reached its own when it was the last one.
    pub(super) fn finish(&mut self, id: KeyRangeId) {
        let Some(place) = self.place(id) else { return };
        self.ranges[place].is_through = true;
        self.join(place + 1);
        self.join(place);
        if self.open_ranges().next().is_none() {
            let Unreadable { named, count } = std::mem::take(&mut self.unreadable);
            let pages = self.next_page();
            self.end = Some(ListingEnd { pages, unreadable: named, unreadable_count: count });
        }
    }

    /// Makes one range of the one at `place` and the one before it, if both are through.
    fn join(&mut self, place: usize) {
        let is_through = |place: usize| self.ranges.get(place).is_some_and(|it| it.is_through);
        if place == 0 || !is_through(place) || !is_through(place - 1) {
            return;
        }
        let later = self.ranges.remove(place);
        let earlier = &mut self.ranges[place - 1];
        (earlier.after, earlier.until) = (later.after, later.until);
        earlier.objects += later.objects;
        earlier.pages.extend(later.pages);
    }
}

#[cfg(test)]
mod tests;
