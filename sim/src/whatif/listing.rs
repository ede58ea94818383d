//! A listing that nobody keeps: each page follows from its number.

use airlift_protocol::codec;
use airlift_protocol::id::PageId;
use airlift_protocol::key::Key;
use airlift_protocol::limits::{PAGE_BYTES_MAX, PAGE_ENTRIES_MAX};
use airlift_protocol::manifest::{Entry, Kind, Page, Version};

use super::scenario::Group;

/// When all objects were written last, in nanoseconds since 1970.
const MTIME_NS: i64 = 1_700_000_000_000_000_000;

/// The objects of a job, in key order.
#[derive(Clone, Debug)]
pub(super) struct Listing {
    groups: Vec<Group>,
    objects: u64,
    page_entries: u64,
}

impl Listing {
    pub(super) fn new(groups: &[Group]) -> Self {
        let groups: Vec<Group> = groups.iter().copied().filter(|group| group.objects > 0).collect();
        let objects = groups.iter().map(|group| group.objects).sum();
        let mut listing = Self { groups, objects, page_entries: 1 };
        // The last entry has the longest numbers.
        let longest = codec::encode(&listing.entry(objects.saturating_sub(1))).len() + 4;
        listing.page_entries = (PAGE_BYTES_MAX / longest).min(PAGE_ENTRIES_MAX) as u64;
        listing
    }

    /// How many objects there are.
    pub(super) fn objects(&self) -> u64 {
        self.objects
    }

    /// How many pages there are.
    pub(super) fn pages(&self) -> PageId {
        PageId(u32::try_from(self.objects.div_ceil(self.page_entries)).unwrap_or(u32::MAX))
    }

    /// How many entries a page has.
    pub(super) fn entries_of(&self, page: PageId) -> u64 {
        let first = self.first_of(page);
        self.objects.min(first.saturating_add(self.page_entries)).saturating_sub(first)
    }

    /// A page; an empty one beyond the end.
    pub(super) fn page(&self, id: PageId) -> Page {
        let first = u64::from(id.0) * self.page_entries;
        let end = self.objects.min(first.saturating_add(self.page_entries));
        Page { id, entries: (first..end).map(|at| self.entry(at)).collect() }
    }

    fn entry(&self, at: u64) -> Entry {
        let (number, at, group) = self.place(at);
        // The first ones take what does not come out even.
        let size = group.bytes / group.objects + u64::from(at < group.bytes % group.objects);
        let mut key = b"00/0000000000".to_vec();
        write_digits(&mut key[..2], number as u64);
        write_digits(&mut key[3..], at);
        let mut tag = [b'0'; 32];
        write_digits(&mut tag[..2], number as u64);
        write_digits(&mut tag[12..], at);
        Entry {
            key: Key::new(key),
            kind: Kind::Object,
            size,
            mtime_ns: Some(MTIME_NS),
            version: Version::ETag(String::from_utf8_lossy(&tag).into()),
            is_archived: false,
        }
    }

    /// The group of an object, and its place there.
    fn place(&self, at: u64) -> (usize, u64, Group) {
        let mut at = at;
        for (number, group) in self.groups.iter().enumerate() {
            if at < group.objects {
                return (number, at, *group);
            }
            at -= group.objects;
        }
        let nothing = Group { objects: 1, bytes: 0, unchanged: 0 };
        (self.groups.len(), at, self.groups.last().copied().unwrap_or(nothing))
    }

    /// Whether the target has an object already.
    pub(super) fn is_unchanged(&self, position: u64) -> bool {
        let (_, at, group) = self.place(position);
        at % 1_000 < group.unchanged
    }

    /// The place of a page's first entry among all.
    pub(super) fn first_of(&self, page: PageId) -> u64 {
        u64::from(page.0) * self.page_entries
    }
}

/// Writes a number with leading zeros. There are billions of them, and formatting takes its time.
fn write_digits(into: &mut [u8], number: u64) {
    let mut rest = number;
    for digit in into.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
}

#[cfg(test)]
mod tests {
    use airlift_protocol::manifest::Page;

    use super::*;

    fn all(listing: &Listing) -> Vec<Entry> {
        let pages = (0..listing.pages().0).map(|page| listing.page(PageId(page)));
        pages.flat_map(|page| page.entries).collect()
    }

    #[test]
    fn pages_have_every_object_once_in_key_order_and_keep_their_limits() {
        let large = Group { objects: 3, bytes: 100, unchanged: 0 };
        let small = Group { objects: 30_000, bytes: 30_001, unchanged: 1 };
        let listing = Listing::new(&[large, small]);
        let entries = all(&listing);
        assert_eq!(entries.len(), 30_003);
        assert!(entries.windows(2).all(|pair| pair[0].key < pair[1].key));
        assert_eq!(entries.iter().map(|entry| entry.size).sum::<u64>(), 30_101);
        assert!(listing.pages().0 > 3);
        for number in 0..listing.pages().0 {
            let page: Page = listing.page(PageId(number));
            assert!(codec::encode(&page).len() <= PAGE_BYTES_MAX);
        }
        assert!(listing.page(listing.pages()).entries.is_empty());
        let unchanged = (0..30_003).filter(|at| listing.is_unchanged(*at)).count();
        assert_eq!(unchanged, 30);
    }
}
