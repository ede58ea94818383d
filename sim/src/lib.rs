//! A deterministic simulator: the coordinator and agent code itself, unchanged, under virtual time,
//! with a simulated network, disks, processes, stores and users.
//!
//! A seed is a whole life of a cluster, or of a process that works alone: which objects there are,
//! what fails, who dies and when, what is asked. The same seed gives the same trace, bit for bit.
//!
//! **Architecture Invariant**: nothing here reads a clock or draws from the system's randomness.

#![forbid(unsafe_code)]

mod check;
pub mod crowd;
pub mod options;
pub mod prng;
mod queue;
mod stores;
pub mod trace;
pub mod whatif;
pub mod world;

pub use self::options::Options;
pub use self::world::{Life, Violation, World};
