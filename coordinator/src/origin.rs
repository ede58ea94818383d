//! Who asked for a command. It stands in the log beside the command, so that every replica judges by the
//! same state whether it was allowed, and knows whom to name in the audit log.

use airlift_protocol::access::ApiTokenId;
use airlift_protocol::id::NodeId;
use airlift_protocol::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Whoever asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Actor {
    /// Whoever has the token that the cluster was founded with; or the user of a process that works
    /// alone.
    Root,
    /// Whoever has this API token.
    Token(ApiTokenId),
    /// A node, for itself.
    Node(NodeId),
}

/// Who asked for a command, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Who.
    pub by: Actor,
    /// Wall-clock time of the leader that took the request.
    pub at: Timestamp,
}
