//! Versions of what is written down, so that a newer build reads an older state and an older build
//! refuses a newer one instead of guessing.

use serde::{Deserialize, Serialize};

/// Version of the durable log's entries. Enums of the log only ever grow at their end.
pub const LOG_FORMAT: FormatVersion = FormatVersion(4);

/// The oldest format that is still read. What came before was in no release.
const LOG_FORMAT_OLDEST: FormatVersion = FormatVersion(4);

/// A generation of an encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FormatVersion(pub u16);

impl FormatVersion {
    /// Whether a build that writes `self` can read what carries `other`.
    pub fn reads(self, other: Self) -> bool {
        (LOG_FORMAT_OLDEST..=self).contains(&other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_reads_older_formats_only() {
        assert!(FormatVersion(5).reads(FormatVersion(4)));
        assert!(FormatVersion(4).reads(FormatVersion(4)));
        assert!(!FormatVersion(4).reads(FormatVersion(5)));
        assert!(!FormatVersion(4).reads(FormatVersion(3)));
    }
}
