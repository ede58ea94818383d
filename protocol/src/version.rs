//! Versions of what nodes write to disk and say to each other, so that builds of different age work
//! together while a cluster is upgraded, and none guesses at what it does not know.
//!
//! One number stands for all of it. A build knows a range of formats, and writes the one that is in
//! force: that of the cluster's state. The leader raises it once every member runs a build that
//! reads the next. Until then nothing is written that an older build could not read, and each node
//! can go back.
//!
//! Within a format, structs never change and enums only grow at their end; what is new is used from
//! the format on that brought it.

use serde::{Deserialize, Serialize};

/// A generation of encodings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FormatVersion(pub u16);

/// A new cluster begins with the newest format of the build that founds it.
impl Default for FormatVersion {
    fn default() -> Self {
        Formats::BUILD.newest
    }
}

/// The formats that a build reads and writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Formats {
    /// The first.
    pub oldest: FormatVersion,
    /// The last.
    pub newest: FormatVersion,
}

impl Formats {
    /// Those of this build. What came before the oldest was in no release.
    pub const BUILD: Self = Self { oldest: FormatVersion(10), newest: FormatVersion(10) };

    /// Whether it reads and writes `format`.
    pub fn has(self, format: FormatVersion) -> bool {
        (self.oldest..=self.newest).contains(&format)
    }

    /// What to tell the user of a build that does not have `format`.
    pub fn refusal(self, format: FormatVersion) -> String {
        let (oldest, newest) = (self.oldest.0, self.newest.0);
        let advice = match format > self.newest {
            true => "run a newer build",
            false => "run an older build first, and upgrade step by step",
        };
        format!(
            "format {} is in force, and this build knows the formats {oldest} to {newest}: {advice}",
            format.0
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_knows_what_lies_in_its_range_and_says_which_way_to_go() {
        let formats = Formats { oldest: FormatVersion(4), newest: FormatVersion(5) };
        let known: Vec<u16> = (0..9).filter(|format| formats.has(FormatVersion(*format))).collect();
        assert_eq!(known, [4, 5]);
        assert!(formats.refusal(FormatVersion(6)).ends_with("run a newer build"));
        assert!(formats.refusal(FormatVersion(3)).contains("an older build first"));
        assert!(Formats::BUILD.has(FormatVersion::default()));
    }
}
