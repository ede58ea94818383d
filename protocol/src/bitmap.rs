//! A set of small indices, kept as bits: completion over the entries of a page.

use serde::{Deserialize, Serialize};

/// Indices below `len`, one bit each.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Bitmap {
    words: Vec<u64>,
}

impl Bitmap {
    /// No index.
    pub fn new() -> Self {
        Self::default()
    }

    /// Every index below `len`.
    pub fn full(len: u16) -> Self {
        (0..len).collect()
    }

    /// Adds `index`; whether it was new.
    pub fn insert(&mut self, index: u16) -> bool {
        let (word, bit) = place(index);
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        let is_new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        is_new
    }

    /// Removes `index`; whether it was there.
    pub fn remove(&mut self, index: u16) -> bool {
        let (word, bit) = place(index);
        let Some(word) = self.words.get_mut(word) else { return false };
        let was_there = *word & bit != 0;
        *word &= !bit;
        was_there
    }

    /// Whether `index` is in the set.
    pub fn contains(&self, index: u16) -> bool {
        let (word, bit) = place(index);
        self.words.get(word).is_some_and(|word| word & bit != 0)
    }

    /// Whether the set has no index.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|&word| word == 0)
    }

    /// Indices in the set.
    pub fn count(&self) -> u32 {
        self.words.iter().map(|word| word.count_ones()).sum()
    }

    /// The indices that both have.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let words = self.words.iter().zip(&other.words).map(|(a, b)| a & b);
        Self { words: words.collect() }
    }

    /// The indices that `other` does not have.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        let others = other.words.iter().copied().chain(std::iter::repeat(0));
        Self { words: self.words.iter().zip(others).map(|(a, b)| a & !b).collect() }
    }

    /// The indices, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        self.words.iter().enumerate().flat_map(|(place, &word)| {
            let base = (place * 64) as u16;
            let mut rest = word;
            std::iter::from_fn(move || {
                if rest == 0 {
                    return None;
                }
                let bit = rest.trailing_zeros() as u16;
                rest &= rest - 1;
                Some(base + bit)
            })
        })
    }
}

impl Extend<u16> for Bitmap {
    fn extend<I: IntoIterator<Item = u16>>(&mut self, indices: I) {
        for index in indices {
            self.insert(index);
        }
    }
}

impl FromIterator<u16> for Bitmap {
    fn from_iter<I: IntoIterator<Item = u16>>(indices: I) -> Self {
        let mut bitmap = Self::new();
        bitmap.extend(indices);
        bitmap
    }
}

fn place(index: u16) -> (usize, u64) {
    (usize::from(index / 64), 1 << (index % 64))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn behaves_as_a_set(inserts in prop::collection::vec(any::<u16>(), 0..200),
                            removes in prop::collection::vec(any::<u16>(), 0..200)) {
            let mut set: BTreeSet<u16> = inserts.iter().copied().collect();
            let mut bitmap: Bitmap = inserts.into_iter().collect();
            for index in removes {
                prop_assert_eq!(bitmap.remove(index), set.remove(&index));
            }
            prop_assert_eq!(bitmap.count() as usize, set.len());
            prop_assert_eq!(bitmap.iter().collect::<Vec<_>>(), set.into_iter().collect::<Vec<_>>());
        }
    }
}
