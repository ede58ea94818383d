//! Listings are whole: in key order, with every key once, however ranges were cut, begun anew and listed
//! beside each other.

use airlift_coordinator::state::Listing;
use airlift_protocol::assignment::End;
use airlift_protocol::id::PageId;
use airlift_protocol::key::Key;
use airlift_protocol::limits::LIST_RANGES_MAX;
use airlift_protocol::manifest::Page;

use super::{Found, broken};
use crate::stores::Stores;

/// Looks at a listing that has grown or reached its end, whose pages `page` finds.
pub(crate) fn look<'a>(
    end: End,
    listing: &Listing,
    page: impl Fn(PageId) -> Option<&'a Page>,
    stores: &Stores,
) -> Found {
    let open = listing.open_ranges().count();
    if open > LIST_RANGES_MAX || (open == 0) != listing.end.is_some() {
        let text = format!("a listing of the {end:?} has {open} open ranges: {:?}", listing.end);
        return broken("listings are whole", text, vec![]);
    }
    if listing.end.is_none() {
        return Ok(());
    }
    let places = (0..).map_while(|place| listing.page_at(place));
    let keys: Vec<&Key> = places
        .filter_map(page)
        .flat_map(|page| page.entries.iter().map(|entry| &entry.key))
        .collect();
    if let Some(pair) = keys.windows(2).find(|pair| pair[0] >= pair[1]) {
        let text = format!("{} of the {end:?} is listed before {}", pair[0], pair[1]);
        return broken("listings are whole", text, vec![pair[0].to_string()]);
    }
    if keys.len() as u64 != listing.objects {
        let text = format!("{} keys of the {end:?} of {} counted", keys.len(), listing.objects);
        return broken("listings are whole", text, vec![]);
    }
    // The keys of the source stay as they are all the time.
    let missing = stores.source.keys().find(|key| keys.binary_search(key).is_err());
    match missing.filter(|_| end == End::Source) {
        Some(key) => {
            let text = format!("{key} is at the source and not in its listing");
            broken("listings are whole", text, vec![key.to_string()])
        }
        None => Ok(()),
    }
}
