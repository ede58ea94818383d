//! Buckets that have asked for fewer requests, as the API shows them.

use airlift_coordinator::scheduler::throttle::Throttled;
use airlift_protocol::pace::RequestKind;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How hard all nodes together work a bucket that has asked for fewer requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ThrottleView {
    /// Which one, and where.
    pub store: String,
    /// `reads` or `writes`.
    pub kind: String,
    /// Requests a second that it is asked for at most.
    pub requests_per_second: u64,
    /// Requests a second that it has lately answered.
    pub answered_per_second: u64,
    /// Nodes that have a part in it.
    pub nodes: u64,
}

impl From<Throttled<'_>> for ThrottleView {
    fn from(throttled: Throttled<'_>) -> Self {
        let kind = match throttled.gate.kind {
            RequestKind::Read => "reads",
            RequestKind::Write => "writes",
        };
        Self {
            store: throttled.gate.place.clone(),
            kind: kind.to_owned(),
            requests_per_second: throttled.rate.per_second().round() as u64,
            answered_per_second: throttled.passed.per_second().round() as u64,
            nodes: throttled.nodes.len() as u64,
        }
    }
}
