//! How nodes reach each other: who they are, and the control plane between them.

pub mod control;
pub mod identity;
