//! Keys that are two at the source and could only be one at the target.

use std::collections::{BTreeMap, BTreeSet};

use airlift_protocol::folding::Folding;
use airlift_protocol::job::KeyPolicy;
use airlift_protocol::key::Key;
use airlift_protocol::manifest::{Entry, Kind};
use airlift_protocol::report::{Comparison, SkipReason};

use super::{Transfer, names};
use crate::store::StoreError;

/// Leaves out, of the entries that nothing was decided about, those that clash with another key of the
/// source. Costs nothing where no key can: where keys are exact, unless a dry run looks at a target with
/// directories.
pub(super) async fn exclude(
    transfer: &Transfer,
    entries: &[Entry],
    comparisons: &mut [Option<Comparison>],
) {
    let policy = &transfer.spec.policy;
    let can_clash = match policy.keys {
        KeyPolicy::Restore => true,
        KeyPolicy::Exact => policy.dry_run && transfer.target.capabilities().directories,
        KeyPolicy::Escape => false,
    };
    if !can_clash {
        return;
    }
    let clashes: Vec<(usize, Vec<Key>, &str)> = (0..entries.len())
        .filter(|&place| comparisons[place].is_none())
        .filter_map(|place| {
            let entry = &entries[place];
            if policy.keys == KeyPolicy::Restore {
                let twin = names::twin(&entry.key, &entry.kind)?;
                return Some((place, vec![twin], "stands for the same key"));
            }
            let above = ancestors(&entry.key);
            let how = "would be a file where a directory has to be";
            (!above.is_empty()).then_some((place, above, how))
        })
        .collect();
    if clashes.is_empty() {
        return;
    }
    let keys: BTreeSet<Key> = clashes.iter().flat_map(|(_, keys, _)| keys).cloned().collect();
    let keys: Vec<Key> = keys.into_iter().collect();
    let found = transfer.source.lookup(keys.clone()).await;
    let found: BTreeMap<Key, Result<Option<Entry>, StoreError>> =
        keys.into_iter().zip(found).collect();
    for (place, keys, how) in clashes {
        comparisons[place] = keys.iter().find_map(|key| match found.get(key)? {
            Ok(Some(other)) if other.kind != Kind::Directory => {
                let why = format!("the source also has '{key}', which {how}");
                Some(Comparison::Skipped(SkipReason::Unrepresentable(why)))
            }
            Ok(_) => None,
            Err(error) => Some(Comparison::Failed(error.clone().into())),
        });
    }
}

/// Leaves out, of the entries that nothing was decided about, those that the target would take for
/// others: all of them, since which is the right one nobody can know.
pub(super) async fn exclude_rivals(
    transfer: &Transfer,
    folding: Folding,
    entries: &[Entry],
    comparisons: &mut [Option<Comparison>],
) {
    if !folding.folds() || transfer.spec.single.is_some() {
        return;
    }
    let open: Vec<usize> = (0..entries.len()).filter(|&at| comparisons[at].is_none()).collect();
    let keys = open.iter().map(|&place| entries[place].key.clone()).collect();
    let found = transfer.source.rivals(folding, keys).await;
    for (place, rivals) in open.into_iter().zip(found) {
        comparisons[place] = match rivals {
            Ok(rivals) if rivals.is_empty() => None,
            Ok(rivals) => {
                let why = taken_for_one(folding, &entries[place].key, &rivals);
                Some(Comparison::Skipped(SkipReason::Unrepresentable(why)))
            }
            Err(error) => Some(Comparison::Failed(error.into())),
        };
    }
}

/// Names `key`, or the directory above it that has `rivals`, and those.
fn taken_for_one(folding: Folding, key: &Key, rivals: &[Key]) -> String {
    let bytes = key.as_bytes();
    let depth = |name: &Key| name.as_bytes().iter().filter(|byte| **byte == b'/').count();
    let wanted = rivals.first().map_or(0, depth);
    let slashes = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
    let end = slashes.chain([bytes.len()]).nth(wanted).unwrap_or(bytes.len());
    let names: Vec<String> = rivals.iter().map(|name| format!("'{name}'")).collect();
    let (own, names) = (Key::new(&bytes[..end]), names.join(" and "));
    let how = folding.describe();
    format!(
        "the source also has {names}, and for the target that is the same name as '{own}': {how} there \
         (rename one, or leave one out)"
    )
}

/// What would have to be directories for a file to have this key.
fn ancestors(key: &Key) -> Vec<Key> {
    let bytes = key.as_bytes();
    let slashes = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    let above = slashes.map(|(at, _)| Key::new(&bytes[..at]));
    above
        .filter(|above| !above.as_bytes().is_empty() && above.as_bytes().len() + 1 < bytes.len())
        .collect()
}

#[cfg(test)]
mod tests {
    use airlift_protocol::folding::CaseFolding;

    use super::*;

    #[test]
    fn rivals_are_named_with_the_rule() {
        let case = CaseFolding::Simple;
        let folding = Folding { case, ignores_form: false };
        let text = |key: &str, rivals: &[&str]| {
            let rivals: Vec<Key> = rivals.iter().map(|name| Key::from(*name)).collect();
            taken_for_one(folding, &Key::from(key), &rivals)
        };
        let both = text("a/x", &["a/X", "A/X"]);
        assert!(both.contains("'a/X' and 'A/X'") && both.contains("'a/x'"), "{both}");
        assert!(both.contains("capitals and small letters are the same"), "{both}");
        assert!(text("a/b/c", &["A"]).contains("as 'a':"));
        assert!(text("a/b/", &["a/B"]).contains("as 'a/b':"));
    }

    #[test]
    fn the_ancestors_of_a_key_are_its_directories() {
        let of = |key: &str| -> Vec<String> {
            ancestors(&Key::from(key)).iter().map(ToString::to_string).collect()
        };
        assert_eq!(of("a/b/c"), ["a", "a/b"]);
        assert_eq!(of("a/b/"), ["a"]);
        assert!(of("a").is_empty() && of("a/").is_empty() && of("/a").is_empty());
    }
}
