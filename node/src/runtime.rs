//! The shell around the pure state machines: clock, tasks, effects.

pub mod again;
pub(crate) mod blocking;
pub mod clock;
pub mod cluster;
mod cut;
pub mod embedded;
mod executor;
pub(crate) mod filter;
mod lister;
pub(crate) mod memory;
pub(crate) mod process;
