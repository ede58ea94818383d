//! Versions of what is written down, so that a newer build reads an older state and an older build
//! refuses a newer one instead of guessing.

use serde::{Deserialize, Serialize};

/// Version of the durable log's entries. Enums of the log only ever grow at their end.
pub const LOG_FORMAT: FormatVersion = FormatVersion(2);

/// A generation of an encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FormatVersion(pub u16);

impl FormatVersion {
    /// Whether a build that writes `self` can read what carries `other`.
    pub fn reads(self, other: Self) -> bool {
        other == self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_reads_older_formats_only() {
        assert!(FormatVersion(2).reads(FormatVersion(1)));
        assert!(!FormatVersion(1).reads(FormatVersion(2)));
        assert!(!FormatVersion(1).reads(FormatVersion(0)));
    }
}
