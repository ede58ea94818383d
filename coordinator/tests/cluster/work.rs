//! What nodes do, without doing it: a source with a few pages of small objects.

use airlift_coordinator::command::{self, Command};
use airlift_protocol::assignment::{End, Work};
use airlift_protocol::attributes::AttributeSet;
use airlift_protocol::chunk::Root;
use airlift_protocol::codec;
use airlift_protocol::id::PageId;
use airlift_protocol::key::Key;
use airlift_protocol::limits::LOG_ENTRY_BYTES_MAX;
use airlift_protocol::manifest::{Entry, Kind, Page, Version};
use airlift_protocol::raft::LogPayload;
use airlift_protocol::report::{Comparison, Completion, ListingEnd, ObjectResult, Unreadable};

pub(crate) const PAGES: u32 = 3;
pub(crate) const PAGE_OBJECTS: u64 = 60;
pub(crate) const OBJECTS: u64 = PAGES as u64 * PAGE_OBJECTS;
pub(crate) const OBJECT_BYTES: u64 = 10;

/// Objects that only the target has.
pub(crate) const EXTRA: u64 = OBJECTS / 4;

fn entry(key: &str, size: u64) -> Entry {
    Entry {
        key: Key::from(key),
        kind: Kind::Object,
        size,
        mtime_ns: Some(1),
        version: Version::None,
        is_archived: false,
    }
}

fn entries(end: End, page: PageId, size: u64) -> Vec<Entry> {
    let keys = (0..PAGE_OBJECTS).flat_map(|object| {
        let key = format!("{:02}-{object:04}", page.0);
        let is_extra = end == End::Target && object % 4 == 1;
        let extra = is_extra.then(|| format!("{key}-extra"));
        [Some(key), extra]
    });
    keys.flatten().map(|key| entry(&key, size)).collect()
}

/// Bytes that an order moves.
pub(crate) fn bytes(work: &Work) -> u64 {
    match work {
        Work::MovePack { objects } => objects.iter().map(|object| object.entry.size).sum(),
        _ => 0,
    }
}

/// What comes of an order, in order; the source's objects have `size` bytes each.
pub(crate) fn outcomes(work: &Work, size: u64) -> Vec<Completion> {
    match work {
        Work::List { end: of, next, .. } => {
            let pages = (next.0..PAGES).map(PageId);
            let pages = pages.map(|page| Completion::Page {
                page,
                entries: entries(*of, page, size),
                unreadable: Unreadable::default(),
            });
            let (unreadable, unreadable_count) = (Vec::new(), 0);
            let end = ListingEnd { pages: PageId(PAGES), unreadable, unreadable_count };
            pages.chain([Completion::Listed(end)]).collect()
        }
        Work::Compare { page } => {
            assert_eq!(
                page.entries,
                entries(End::Source, page.id, size),
                "the page as it was listed"
            );
            vec![Completion::Compared(vec![Comparison::Move; page.entries.len()])]
        }
        Work::MovePack { objects } => {
            let done = ObjectResult::Done {
                root: Root([9; 32]),
                bytes: size,
                dropped: AttributeSet::NONE,
            };
            vec![Completion::PackMoved(vec![done; objects.len()])]
        }
        Work::Delete { entries } => {
            let is_extra = |entry: &Entry| entry.key.as_bytes().ends_with(b"-extra");
            assert!(entries.iter().all(is_extra), "the source has it");
            vec![Completion::Deleted(vec![None; entries.len()])]
        }
        Work::Clean => vec![Completion::Cleaned],
        work => panic!("no job here asks for this: {work:?}"),
    }
}

/// The page that a log entry holds.
pub(crate) fn page_of(payload: &LogPayload) -> Page {
    let LogPayload::Command(bytes) = payload else { panic!("no page: {payload:?}") };
    let entry: command::Entry = codec::decode(bytes, LOG_ENTRY_BYTES_MAX).unwrap();
    match entry.command {
        Command::Page { page, .. } => page,
        command => panic!("no page: {command:?}"),
    }
}
