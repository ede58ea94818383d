//! What can go wrong between nodes.

use std::io;
use std::net::SocketAddr;

use airlift_protocol::id::NodeId;
use thiserror::Error;

use super::limit::REQUEST_BYTES_MAX;

/// Why the network of the control plane could not start.
#[derive(Debug, Error)]
pub enum NetworkError {
    /// The handshakes could not be set up with this identity.
    #[error("cannot set up TLS with the identity of this node: {0}")]
    Tls(String),
    /// The address cannot be listened on.
    #[error("cannot listen on {address} ({transport}): {reason}")]
    Listen {
        /// What was asked for.
        address: SocketAddr,
        /// UDP or TCP.
        transport: &'static str,
        /// Why not.
        reason: String,
    },
    /// Multicast discovery was asked for and does not work here.
    #[error("cannot look for nodes by mDNS: {0}")]
    Discovery(#[from] io::Error),
}

/// Why a request has no answer. Whether the peer acted on it is known only where it says so.
#[derive(Debug, Error)]
pub enum RequestError {
    /// The node is no member and was not reached by address either; nothing was sent.
    #[error("{0:?} is no member")]
    Unknown(NodeId),
    /// The body is longer than a request may be; nothing was sent.
    #[error("request of {bytes} bytes where at most {REQUEST_BYTES_MAX} are allowed")]
    TooLong {
        /// Bytes of the body.
        bytes: usize,
    },
    /// No answer in time; the peer may have acted on it.
    #[error("no answer in time")]
    TimedOut,
    /// The connection ended before the answer came; the peer may have acted on it.
    #[error("connection lost")]
    Disconnected,
    /// The node was removed from the members.
    #[error("node was removed")]
    Removed,
    /// The peer gave no answer on purpose, or had none in time.
    #[error("peer gave no answer")]
    Unanswered,
    /// The peer serves too many requests; it did not act on this one.
    #[error("peer is busy")]
    Busy,
    /// The peer does not take so long a request from this node; it did not act on it.
    #[error("peer refused a request of this length")]
    Refused,
    /// The stream failed or the peer broke the protocol.
    #[error("stream failed: {0}")]
    Stream(#[from] io::Error),
}

/// Why no node was reached at an address.
#[derive(Debug, Error)]
pub enum JoinError {
    /// Nobody answered, or not as a node does.
    #[error("cannot reach a node at {address}: {reason}")]
    Unreachable {
        /// The address.
        address: SocketAddr,
        /// The last error of the last transport.
        reason: String,
    },
    /// No handshake came to its end in time.
    #[error("no node answers at {0}")]
    TimedOut(SocketAddr),
    /// Too many nodes are being reached by address at once.
    #[error("too many nodes are being joined at once")]
    Busy,
    /// The network was shut down.
    #[error("the network is shut down")]
    Stopped,
}
