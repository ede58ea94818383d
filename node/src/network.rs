//! How nodes reach each other: who they are, the control plane and the data plane between them.

pub mod control;
pub mod data;
pub mod identity;
pub(crate) mod party;
