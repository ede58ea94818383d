//! What nodes do, without doing it: a source with a few pages of small objects.

use airlift_coordinator::command::Command;
use airlift_protocol::assignment::Work;
use airlift_protocol::chunk::Root;
use airlift_protocol::codec;
use airlift_protocol::id::PageId;
use airlift_protocol::key::Key;
use airlift_protocol::limits::LOG_ENTRY_BYTES_MAX;
use airlift_protocol::manifest::{Entry, Kind, Page, Version};
use airlift_protocol::raft::LogPayload;
use airlift_protocol::report::{Comparison, Completion, ListingEnd, ObjectResult};

pub(crate) const PAGES: u32 = 3;
pub(crate) const PAGE_OBJECTS: u64 = 40;
pub(crate) const OBJECTS: u64 = PAGES as u64 * PAGE_OBJECTS;
pub(crate) const OBJECT_BYTES: u64 = 10;

fn entries(page: PageId) -> Vec<Entry> {
    let entry = |object: u64| Entry {
        key: Key::from(format!("{:02}-{object:04}", page.0).as_str()),
        kind: Kind::Object,
        size: OBJECT_BYTES,
        mtime_ns: Some(1),
        version: Version::None,
    };
    (0..PAGE_OBJECTS).map(entry).collect()
}

/// What comes of an order, in order.
pub(crate) fn outcomes(work: &Work) -> Vec<Completion> {
    match work {
        Work::List { next, .. } => {
            let pages = (next.0..PAGES).map(PageId);
            let pages = pages.map(|page| Completion::Page { page, entries: entries(page) });
            let (unreadable, unreadable_count) = (Vec::new(), 0);
            let end = ListingEnd { pages: PageId(PAGES), unreadable, unreadable_count };
            pages.chain([Completion::Listed(end)]).collect()
        }
        Work::Compare { page } => {
            assert_eq!(page.entries, entries(page.id), "the page as it was listed");
            vec![Completion::Compared(vec![Comparison::Move; page.entries.len()])]
        }
        Work::MovePack { objects } => {
            let done = ObjectResult::Done { root: Root([9; 32]), bytes: OBJECT_BYTES };
            vec![Completion::PackMoved(vec![done; objects.len()])]
        }
        Work::Clean => vec![Completion::Cleaned],
        work => panic!("no job here asks for this: {work:?}"),
    }
}

/// The page that a log entry holds.
pub(crate) fn page_of(payload: &LogPayload) -> Page {
    let LogPayload::Command(bytes) = payload else { panic!("no page: {payload:?}") };
    match codec::decode(bytes, LOG_ENTRY_BYTES_MAX).unwrap() {
        Command::Page { page, .. } => page,
        command => panic!("no page: {command:?}"),
    }
}
