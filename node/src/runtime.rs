//! The shell around the pure state machines: clock, tasks, effects.

pub(crate) mod blocking;
pub mod clock;
pub mod cluster;
pub mod embedded;
mod executor;
mod filter;
pub(crate) mod memory;
pub(crate) mod process;
