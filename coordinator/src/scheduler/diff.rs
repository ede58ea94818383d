//! Which keys of the target the source does not have: a merge of two listings in key order, page
//! by page, with one page of each in memory.

use airlift_protocol::bitmap::Bitmap;
use airlift_protocol::manifest::Page;

/// The place up to which the two listings were merged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    source_place: u32,
    source_index: usize,
    target_index: usize,
    extraneous: Bitmap,
}

/// What a step of the merge came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The source's next page is needed to go on.
    NeedSource,
    /// The target's page is through; these of its entries the source does not have.
    Done(Bitmap),
}

impl Diff {
    /// The place, in key order, of the source page needed next.
    pub fn source_place(&self) -> u32 {
        self.source_place
    }

    /// Merges as far as possible. `source` is the page at [`source_place`](Self::source_place), or
    /// `None` when the source's listing has no such page.
    pub fn step(&mut self, source: Option<&Page>, target: &Page) -> Step {
        while let Some(wanted) = target.entries.get(self.target_index) {
            let candidate = source.and_then(|page| page.entries.get(self.source_index));
            match candidate {
                Some(entry) if entry.key < wanted.key => self.source_index += 1,
                Some(entry) if entry.key == wanted.key => {
                    self.source_index += 1;
                    self.target_index += 1;
                }
                None if source.is_some() => {
                    self.source_place += 1;
                    self.source_index = 0;
                    return Step::NeedSource;
                }
                Some(_) | None => {
                    self.extraneous.extend(u16::try_from(self.target_index).ok());
                    self.target_index += 1;
                }
            }
        }
        self.target_index = 0;
        Step::Done(std::mem::take(&mut self.extraneous))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use airlift_protocol::id::PageId;
    use airlift_protocol::key::Key;
    use airlift_protocol::manifest::{Entry, Kind, Version};
    use proptest::prelude::*;

    use super::*;

    fn pages(keys: &BTreeSet<u8>, page_entries: usize) -> Vec<Page> {
        let keys: Vec<u8> = keys.iter().copied().collect();
        keys.chunks(page_entries)
            .zip(0..)
            .map(|(keys, id)| Page {
                id: PageId(id),
                entries: keys
                    .iter()
                    .map(|&key| Entry {
                        key: Key::new([key]),
                        kind: Kind::Object,
                        size: 0,
                        mtime_ns: None,
                        version: Version::None,
                        is_archived: false,
                    })
                    .collect(),
            })
            .collect()
    }

    proptest! {
        #[test]
        fn finds_what_the_source_does_not_have(
            source in prop::collection::btree_set(any::<u8>(), 0..60),
            target in prop::collection::btree_set(any::<u8>(), 0..60),
            source_entries in 1usize..9,
            target_entries in 1usize..9,
        ) {
            let source_pages = pages(&source, source_entries);
            let mut diff = Diff::default();
            let mut found = BTreeSet::new();
            for page in pages(&target, target_entries) {
                let extraneous = loop {
                    let source_page = source_pages.get(diff.source_place() as usize);
                    if let Step::Done(extraneous) = diff.step(source_page, &page) {
                        break extraneous;
                    }
                };
                found.extend(
                    extraneous.iter().map(|index| page.entries[usize::from(index)].key.as_bytes()[0]),
                );
            }
            prop_assert_eq!(found, target.difference(&source).copied().collect::<BTreeSet<_>>());
        }
    }
}
