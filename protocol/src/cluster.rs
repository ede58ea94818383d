//! The cluster and its members, as every node knows them.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::bounded;
use crate::id::NodeId;
use crate::limits::{ADDRESSES_MAX, NODE_NAME_BYTES_MAX};
use crate::raft::RaftId;
use crate::time::Timestamp;
use crate::version::Formats;

/// A cluster: 16 random bytes, drawn when it is founded.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClusterId(pub [u8; 16]);

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cluster {self}")
    }
}

/// What a node is in its cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Role {
    /// Replicates the log, votes, and moves data.
    Voter,
    /// Moves data.
    Worker,
}

impl Role {
    /// The word that command line and JSON use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Voter => "voter",
            Self::Worker => "worker",
        }
    }
}

/// A `host:port` at which a node listens, as others reach it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Address(pub String);

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a node is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addresses {
    /// Control plane: UDP (QUIC) and TCP on the same port.
    #[serde(deserialize_with = "bounded::list::<_, _, ADDRESSES_MAX>")]
    pub control: Vec<Address>,
    /// Data plane: UDP.
    #[serde(deserialize_with = "bounded::list::<_, _, ADDRESSES_MAX>")]
    pub data: Vec<Address>,
    /// HTTP API of its clients.
    pub api: Option<Address>,
}

/// A node's name: what `NODE:/path` refers to, unique in its cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeName(String);

/// Why a text is no name for a node.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "'{0}' is no name for a node: use 2 to {NODE_NAME_BYTES_MAX} letters, digits, '-', '_' or '.', beginning with a letter"
)]
pub struct BadNodeName(pub String);

impl NodeName {
    /// Reads a name. One letter alone is refused, since other tools read it as a drive.
    ///
    /// # Errors
    /// When the text has other characters than letters, digits, `-`, `_` and `.`, does not begin
    /// with a letter, or is too short or too long.
    pub fn parse(text: &str) -> Result<Self, BadNodeName> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let is_name = (2..=NODE_NAME_BYTES_MAX).contains(&text.len())
            && text.bytes().all(is_allowed)
            && text.as_bytes()[0].is_ascii_alphabetic();
        if is_name { Ok(Self(text.to_owned())) } else { Err(BadNodeName(text.to_owned())) }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for NodeName {
    type Error = BadNodeName;

    fn try_from(text: String) -> Result<Self, BadNodeName> {
        Self::parse(&text)
    }
}

impl From<NodeName> for String {
    fn from(name: NodeName) -> Self {
        name.0
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One start of a node's work: how often its process has started, and below that a number that begins
/// at random, so that two processes with one identity differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Boot(pub u64);

impl Boot {
    /// The start number `start` of a node.
    pub fn new(start: u32, random: u32) -> Self {
        Self(u64::from(start) << 32 | u64::from(random))
    }

    /// The start of the same process that follows when its leases have ended without its doing: what it
    /// was told before may be another's by now.
    pub fn lapsed(self) -> Self {
        let (start, number) = (self.0 >> 32, self.0 as u32);
        Self(start << 32 | u64::from(number.wrapping_add(1)))
    }

    /// Whether the process has started again since, as `other`: what a process that is dead has said may
    /// arrive after what its successor says.
    pub fn is_before(self, other: Self) -> bool {
        self.0 >> 32 < other.0 >> 32
    }
}

/// A member of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its identity.
    pub id: NodeId,
    /// Its name.
    pub name: NodeName,
    /// What it is.
    pub role: Role,
    /// Its number among the voters, when it is one or is to become one.
    pub raft: Option<RaftId>,
    /// Where it is reached.
    pub addresses: Addresses,
    /// Wall-clock time at which it joined.
    pub joined_at: Timestamp,
    /// The formats of its build, as of when its process last started.
    pub formats: Formats,
}

/// The first part of a join token: names it in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TokenId(pub [u8; 8]);

/// 32 random bytes that prove a right. It never enters the log, and prints as nothing.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret(pub [u8; 32]);

impl Secret {
    /// What the log knows of it: a BLAKE3 hash, from which it cannot be found again.
    pub fn hash(&self) -> [u8; 32] {
        blake3::derive_key("airlift 2026-11 token secret", &self.0)
    }

    /// Whether `hash` is this secret's, in the same time whatever it is.
    pub fn has_hash(&self, hash: [u8; 32]) -> bool {
        // `blake3::Hash` compares in constant time.
        blake3::Hash::from_bytes(self.hash()) == blake3::Hash::from_bytes(hash)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a secret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_a_location_can_refer_to() {
        for name in ["eu-1", "Source", "a.b_c", &"n".repeat(NODE_NAME_BYTES_MAX)] {
            assert_eq!(NodeName::parse(name).unwrap().as_str(), name);
        }
        for text in ["", "c", "1a", "-a", "a/b", "a b", "ä1", &"n".repeat(NODE_NAME_BYTES_MAX + 1)]
        {
            assert_eq!(NodeName::parse(text), Err(BadNodeName(text.to_owned())));
        }
    }
}
