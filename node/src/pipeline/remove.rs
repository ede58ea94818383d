//! Deletes of a sync: only what is as it was listed, and what the source still does not have, under no
//! spelling that the target takes for the same.

use std::collections::BTreeSet;

use airlift_protocol::error::{ErrorCode, Failure};
use airlift_protocol::key::Key;
use airlift_protocol::manifest::{Entry, Kind, Version};
use airlift_protocol::report::Completion;
use futures::{StreamExt, stream};

use super::Transfer;
use crate::store::{Access, StoreError};

/// Keys that the source is asked about in one question. Stores answer about so few of them one by one:
/// no listing, which might be empty or old, speaks for what is to be deleted.
const KEYS_ASKED: usize = 8;

/// Such questions at once.
const QUESTIONS_MAX: usize = 16;

/// Deletes `entries` from the target, and the directories that this leaves empty.
pub async fn delete(transfer: &Transfer, entries: Vec<Entry>) -> Completion {
    let keys: Vec<Key> = entries.iter().map(|entry| entry.key.clone()).collect();
    let at_source = look_again(transfer, &keys).await;
    let spellings = other_spellings(transfer, keys).await;
    let mut results: Vec<Option<Failure>> = Vec::with_capacity(entries.len());
    let mut doomed: Vec<(usize, Entry)> = Vec::new();
    let found = at_source.into_iter().zip(spellings);
    let has_directories = transfer.target.capabilities().directories;
    for (place, (entry, (found, others))) in entries.into_iter().zip(found).enumerate() {
        let is_marker = entry.kind == Kind::Directory && !has_directories;
        let failure = reason_to_keep(&entry.key, is_marker, found, others).err();
        if failure.is_none() {
            doomed.push((place, entry));
        }
        results.push(failure);
    }
    let deleted: Vec<Entry> = doomed.iter().map(|(_, entry)| entry.clone()).collect();
    let outcomes = transfer.at_target(transfer.target.delete(deleted)).await;
    for ((place, _), outcome) in doomed.iter().zip(outcomes) {
        results[*place] = outcome.err().map(Failure::from);
    }
    let gone = doomed.iter().filter(|(place, _)| results[*place].is_none());
    transfer.settle(gone.map(|(_, entry)| entry.key.clone()).collect()).await;
    if has_directories {
        remove_emptied(transfer, doomed.iter().map(|(_, entry)| &entry.key)).await;
    }
    Completion::Deleted(results)
}

/// Why `key` is not deleted, by what the source has under it now and what names it has that the target
/// takes for it. A marker in a bucket says that a directory is empty: what is a directory at the source and was
/// not listed has entries, and needs none. (Should it have lost them since, the next sync makes the marker
/// again.)
fn reason_to_keep(
    key: &Key,
    is_marker: bool,
    found: Result<Option<Entry>, StoreError>,
    others: Result<Vec<Key>, StoreError>,
) -> Result<(), Failure> {
    let found = found?.filter(|found| !is_marker || found.kind != Kind::Directory);
    if found.is_some() {
        let text = format!("{key}: kept, since the source has it again");
        return Err(Failure::new(ErrorCode::SourceChanged, text));
    }
    match others?.first() {
        None => Ok(()),
        Some(other) => {
            let text = format!(
                "{key}: kept, since the source has '{other}', which the target takes for the same name: \
                 rename one of the two"
            );
            Err(Failure::new(ErrorCode::Conflict, text))
        }
    }
}

/// For each of `keys` the names of the source that the target takes for it, or for a directory above it.
async fn other_spellings(transfer: &Transfer, keys: Vec<Key>) -> Vec<Result<Vec<Key>, StoreError>> {
    match transfer.at_target(transfer.target.folding(Access::Write)).await {
        Ok(folding) if folding.folds() => transfer.source.rivals(folding, keys).await,
        Ok(_) => keys.iter().map(|_| Ok(Vec::new())).collect(),
        Err(error) => keys.iter().map(|_| Err(error.clone())).collect(),
    }
}

/// What the source has of `keys` now, each looked at by itself.
async fn look_again(transfer: &Transfer, keys: &[Key]) -> Vec<Result<Option<Entry>, StoreError>> {
    let questions: Vec<Vec<Key>> = keys.chunks(KEYS_ASKED).map(<[Key]>::to_vec).collect();
    let answers = stream::iter(questions).map(|few| transfer.source.lookup(few));
    let answers: Vec<Vec<_>> = answers.buffered(QUESTIONS_MAX).collect().await;
    answers.into_iter().flatten().collect()
}

/// Removes directories above `keys` that are empty now and that the source does not have. A
/// directory that stays is no failure: it holds something.
async fn remove_emptied(transfer: &Transfer, keys: impl Iterator<Item = &Key>) {
    let mut directories: BTreeSet<Key> = BTreeSet::new();
    for key in keys {
        let bytes = key.as_bytes();
        let ends = (0..bytes.len().saturating_sub(1)).filter(|&at| bytes[at] == b'/');
        directories.extend(ends.map(|at| Key::from(&bytes[..=at])));
    }
    let directories: Vec<Key> = directories.into_iter().collect();
    let at_source = look_again(transfer, &directories).await;
    // Deepest first: a parent may be empty only once its children are gone.
    let gone = directories.into_iter().zip(at_source).rev();
    let gone = gone.filter(|(_, found)| matches!(found, Ok(None))).map(|(key, _)| Entry {
        key,
        kind: Kind::Directory,
        size: 0,
        mtime_ns: None,
        version: Version::None,
        is_archived: false,
    });
    for (entry, outcome) in {
        let entries: Vec<Entry> = gone.collect();
        let outcomes = transfer.target.delete(entries.clone()).await;
        entries.into_iter().zip(outcomes)
    } {
        if let Err(error) = outcome
            && error.code != ErrorCode::Conflict
        {
            tracing::warn!(key = %entry.key, %error, "an empty directory could not be removed");
        }
    }
}
