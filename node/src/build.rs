//! Which build of the program runs: what it says of itself to others, and what it can read.

use airlift_protocol::version::{FormatVersion, Formats};

use crate::storage::consensus::LAYOUT;

/// A build, as it takes part in a cluster.
///
/// It is a value and not a set of constants, so that a cluster of two builds can be run from one
/// source: the tests of upgrades do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Build {
    /// Its version.
    pub version: &'static str,
    /// The formats that it reads and writes.
    pub formats: Formats,
    /// How it lays out the file of a voter's log.
    pub layout: FormatVersion,
}

impl Build {
    /// This one.
    pub const THIS: Self =
        Self { version: env!("CARGO_PKG_VERSION"), formats: Formats::BUILD, layout: LAYOUT };
}
