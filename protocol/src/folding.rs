//! Which names a target takes for one and the same.

use serde::{Deserialize, Serialize};

/// Which differences between names a place does not see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Folding {
    /// What becomes of capitals.
    pub case: CaseFolding,
    /// Whether composed and decomposed characters (NFC and NFD of Unicode) are the same.
    pub ignores_form: bool,
}

/// What a place does with capitals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CaseFolding {
    /// Tells them from small letters.
    #[default]
    None,
    /// Takes a letter for its other case.
    Simple,
    /// As well a letter for several: `ß` and `SS` are the same.
    Full,
}

impl Folding {
    /// Every name is another one.
    pub const NONE: Self = Self { case: CaseFolding::None, ignores_form: false };

    /// Whether two names may be the same at all.
    pub fn folds(self) -> bool {
        self != Self::NONE
    }

    /// What is not seen there, in words.
    pub fn describe(self) -> &'static str {
        match (self.case, self.ignores_form) {
            (CaseFolding::None, false) => "every name is another one",
            (CaseFolding::None, true) => "composed and decomposed characters are the same",
            (_, false) => "capitals and small letters are the same",
            (_, true) => {
                "capitals and small letters, and composed and decomposed characters, are the same"
            }
        }
    }
}
