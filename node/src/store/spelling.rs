//! How the names of a file are really spelled, where its place finds it under other spellings.
//!
//! A file that is found under another name is not the one that was asked for: what is written to it
//! would arrive under a name that the source does not have, and a sync would delete it as such.

use std::collections::BTreeSet;

use airlift_protocol::error::ErrorCode;
use airlift_protocol::folding::Folding;
use airlift_protocol::key::Key;

use super::StoreError;
use super::folding::fold;

/// The names in the directories on the way to what was asked for last.
#[derive(Debug)]
pub(super) struct Spelling {
    folding: Folding,
    /// Path and names of each, from the top down.
    open: Vec<(Vec<u8>, BTreeSet<Vec<u8>>)>,
}

impl Spelling {
    /// `None` where every name is another one, as far as that was found out.
    pub(super) fn new(folding: Option<Folding>) -> Option<Self> {
        let folding = folding.filter(|folding| folding.folds())?;
        Some(Self { folding, open: Vec::new() })
    }

    /// Whether the names in the directory `path` are known. Those that are not on the way there are
    /// forgotten.
    pub(super) fn knows(&mut self, path: &[u8]) -> bool {
        let is_on_the_way = |above: &[u8]| {
            above.is_empty()
                || path.strip_prefix(above).is_some_and(|rest| matches!(rest, [] | [b'/', ..]))
        };
        let kept = self.open.iter().take_while(|(above, _)| is_on_the_way(above)).count();
        self.open.truncate(kept);
        self.open.last().is_some_and(|(last, _)| last == path)
    }

    /// Learns the names in the directory `path`, which is where is looked next.
    pub(super) fn learn(&mut self, path: &[u8], names: BTreeSet<Vec<u8>>) {
        self.open.push((path.to_vec(), names));
    }

    /// What `name` is called in the directory that was asked for last, if it is called otherwise. What
    /// is not there is called nothing.
    pub(super) fn other(&self, name: &[u8]) -> Option<Key> {
        let (_, names) = self.open.last()?;
        if names.contains(name) {
            return None;
        }
        let folded = fold(self.folding, name);
        names.iter().find(|there| fold(self.folding, there) == folded).map(Key::new)
    }
}

/// What is called `there` would be taken for `shown`.
pub(super) fn taken_for(shown: &str, there: &Key) -> StoreError {
    let text = format!(
        "{shown}: the target has it as '{there}', which it takes for the same name: rename one of the two"
    );
    StoreError::new(ErrorCode::Conflict, text)
}

#[cfg(test)]
mod tests {
    use airlift_protocol::folding::CaseFolding;

    use super::*;

    #[test]
    fn another_spelling_is_found_and_the_same_is_not() {
        let folding = Folding { case: CaseFolding::Simple, ignores_form: false };
        assert!(Spelling::new(None).is_none() && Spelling::new(Some(Folding::NONE)).is_none());
        let mut spelling = Spelling::new(Some(folding)).expect("names fold");
        let names = |names: &[&str]| names.iter().map(|name| name.as_bytes().to_vec()).collect();
        assert!(!spelling.knows(b""));
        spelling.learn(b"", names(&["Dir", "dir2"]));
        assert!(spelling.knows(b""));
        assert_eq!(spelling.other(b"dir"), Some(Key::from("Dir")));
        assert!(!spelling.knows(b"Dir"));
        spelling.learn(b"Dir", names(&["Read", "a"]));
        assert_eq!(spelling.other(b"READ"), Some(Key::from("Read")));
        assert_eq!((spelling.other(b"Read"), spelling.other(b"b")), (None, None));
        assert!(spelling.knows(b"") && !spelling.knows(b"Dir"), "left behind");
    }
}
