//! What every node of a cluster says of itself when it is asked.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The answer: one report for each member, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Survey {
    /// The nodes.
    pub nodes: Vec<NodeReport>,
}

/// What one node says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodeReport {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: String,
    /// What it said; none when it did not answer.
    pub said: Option<NodeWord>,
}

/// What a node says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodeWord {
    /// The version of its program.
    pub version: String,
    /// The oldest format that its build reads.
    pub format_oldest: u16,
    /// The newest.
    pub format_newest: u16,
    /// How its build lays out the file of a voter's log.
    pub layout: u16,
    /// Seconds since its process started.
    pub uptime_seconds: u64,
    /// Bytes that are free to it where its directory is, where the system says so.
    pub disk_free_bytes: Option<u64>,
    /// Bytes of that file system.
    pub disk_size_bytes: Option<u64>,
}
