//! What this node says to other nodes.

pub mod data;
