//! What this node keeps on its own disk: the coordinator's log and the receiver's journal.

pub mod consensus;
pub(crate) mod database;
pub mod journal;
pub mod log;
