//! Where a range of keys is cut, so that it can be listed by many at once, without knowing the keys.
//!
//! ```text
//! logs/2024/03/17/0093    the last key listed
//! logs/2024/              what all that is left has in common with it, found by halving
//!           03 │ 06 │ 09 │ 12    the characters behind that, spread evenly, and keys that have them
//! ```
//!
//! Each question is for the first key behind a given one: one request. What comes of it is never wrong,
//! only more or less even: a range that turns out long is cut again, further down in its keys.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use airlift_protocol::key::Key;
use futures::future::try_join_all;

use crate::store::StoreError;

/// The largest character that most keys have.
const ASCII_LAST: char = '\u{7f}';

/// Times that what lies between characters is halved: an alphabet of digits and letters has few gaps that
/// are wider than 2 to this power.
const ROUNDS_MAX: usize = 4;

/// Keys at which the range behind `after` and up to `until` can be cut, at most `count`, ascending, all
/// of them within it. None, where what is left is not known to go on. `next_key` finds the first key
/// behind one.
pub(super) async fn find<F>(
    after: &Key,
    until: Option<&Key>,
    count: usize,
    next_key: impl Fn(Key) -> F,
) -> Result<Vec<Key>, StoreError>
where
    F: Future<Output = Result<Option<Key>, StoreError>>,
{
    let Some(text) = after.as_str() else { return Ok(Vec::new()) };
    let search = Search { text: text.chars().collect(), after, until, next_key };
    let Some((depth, first)) = search.branch().await? else { return Ok(Vec::new()) };
    let last = search.last(depth, first).await?;
    search.spread(depth, last, count).await
}

struct Search<'a, N> {
    /// The characters of `after`.
    text: Vec<char>,
    after: &'a Key,
    until: Option<&'a Key>,
    next_key: N,
}

impl<N, F> Search<'_, N>
where
    N: Fn(Key) -> F,
    F: Future<Output = Result<Option<Key>, StoreError>>,
{
    /// The first key of the range that has the first `depth` characters of `after` and then `next` or a
    /// later one (but for the key that ends there), with that character.
    async fn behind(&self, depth: usize, next: char) -> Result<Option<(char, Key)>, StoreError> {
        let from: String = self.text[..depth].iter().copied().chain([next]).collect();
        let Some(key) = (self.next_key)(Key::from(from.as_str())).await? else { return Ok(None) };
        if key <= *self.after || self.until.is_some_and(|until| key >= *until) {
            return Ok(None);
        }
        let found = key.as_str().and_then(|key| {
            let mut characters = key.chars();
            let has_prefix = self.text[..depth].iter().all(|it| characters.next() == Some(*it));
            characters.next().filter(|_| has_prefix)
        });
        Ok(found.map(|character| (character, key)))
    }

    /// How many characters all keys that are left have in common with `after`, but for those that have
    /// even more; and the least character that follows there in one of them.
    async fn branch(&self) -> Result<Option<(usize, char)>, StoreError> {
        let until = self.until.and_then(Key::as_str).unwrap_or_default();
        let shared = self.text.iter().zip(until.chars()).take_while(|(a, b)| **a == *b).count();
        let (mut low, mut high) = (shared, self.text.len());
        let mut found = None;
        // What is behind a longer beginning of `after` is all that is behind a shorter one, and more.
        while low < high {
            let depth = low + (high - low) / 2;
            let next = successor(self.text[depth]);
            let from: String = self.text[..depth].iter().copied().chain(next).collect();
            let key = match next {
                Some(_) => (self.next_key)(Key::from(from.as_str())).await?,
                None => None,
            };
            match key.filter(|key| self.until.is_none_or(|until| key < until)) {
                Some(key) => (found, high) = (Some(key), depth),
                None => low = depth + 1,
            }
        }
        let character = found.and_then(|key| key.as_str()?.chars().nth(high));
        Ok(character.map(|character| (high, character)))
    }

    /// The last character that follows the common ones, of which `known` is one.
    async fn last(&self, depth: usize, known: char) -> Result<char, StoreError> {
        let until = self.until.and_then(Key::as_str).unwrap_or_default();
        let is_shared = until.chars().take(depth).eq(self.text[..depth].iter().copied());
        let end = until.chars().nth(depth).filter(|_| is_shared);
        let (mut low, mut high) = (known, end.unwrap_or(char::MAX).max(known));
        while low < high {
            let middle = match (low..high).contains(&ASCII_LAST) {
                true => ASCII_LAST,
                false => between(low, high),
            };
            let Some(next) = successor(middle) else { break };
            match self.behind(depth, next).await? {
                Some((found, _)) => low = found.clamp(low, high),
                None => high = middle,
            }
        }
        Ok(low)
    }

    /// Keys that begin with characters spread evenly behind that of `after`, up to `last`: first by their
    /// numbers, and then, since few characters of an alphabet follow each other without a gap, between
    /// those that were found.
    async fn spread(&self, depth: usize, last: char, count: usize) -> Result<Vec<Key>, StoreError> {
        let first = self.text[depth];
        let width = u64::from(u32::from(last)).saturating_sub(u64::from(u32::from(first)));
        let parts = (count as u64 + 1).min(width + 1).max(1);
        let number = |part: u64| u64::from(u32::from(first)) + (width + 1) * part / parts;
        let places = (1..parts).filter_map(|part| character(number(part).try_into().ok()?));
        let mut asked: Vec<char> = places.collect();
        let mut found: BTreeMap<char, Key> = BTreeMap::new();
        // Characters between which there may be others.
        let mut gaps: Vec<(char, char)> = Vec::new();
        let mut low = first;
        let answers = try_join_all(asked.iter().map(|next| self.behind(depth, *next))).await?;
        for (next, answer) in asked.drain(..).zip(answers) {
            let Some((character, key)) = answer else { continue };
            if next > low {
                gaps.push((low, next));
            }
            low = low.max(character);
            found.entry(character).or_insert(key);
        }
        gaps.extend(successor(last).map(|end| (low, end)));
        for _ in 0..ROUNDS_MAX {
            gaps.retain(|(low, high)| successor(*low).is_some_and(|next| next < *high));
            gaps.sort_by_key(|(low, high)| Reverse(u32::from(*high) - u32::from(*low)));
            let chosen = gaps.len().min(count.saturating_sub(found.len()));
            let halved: Vec<(char, char, char)> =
                gaps.drain(..chosen).map(|(low, high)| (low, between(low, high), high)).collect();
            let ask = halved.iter().map(|(_, middle, _)| self.behind(depth, *middle));
            let answers = try_join_all(ask).await?;
            for ((low, middle, high), answer) in halved.into_iter().zip(answers) {
                gaps.push((low, middle));
                if let Some((character, key)) = answer.filter(|(character, _)| *character < high) {
                    gaps.push((character, high));
                    found.insert(character, key);
                }
            }
        }
        // Of one character the key may be the same as of the next one.
        let keys: BTreeSet<Key> = found.into_values().collect();
        Ok(keys.into_iter().take(count).collect())
    }
}

/// The character with this number, or the next one there is.
fn character(number: u32) -> Option<char> {
    char::from_u32(number).or_else(|| (number <= u32::from(char::MAX)).then_some('\u{e000}'))
}

fn successor(of: char) -> Option<char> {
    character(u32::from(of) + 1)
}

/// A character from `low` to below `high`.
fn between(low: char, high: char) -> char {
    let (from, to) = (u32::from(low), u32::from(high));
    character(from + (to - from) / 2).filter(|middle| *middle < high).unwrap_or(low)
}

#[cfg(test)]
mod tests;
