//! A deterministic simulator: the coordinator and agent code itself, unchanged, under virtual time,
//! with simulated stores and a simulated disk for the log.
//!
//! A seed is a whole life of a job: which objects there are, what fails, when the process is killed
//! and when it is run again. The same seed gives the same trace, bit for bit.
//!
//! **Architecture Invariant**: nothing here reads a clock or draws from the system's randomness.

#![forbid(unsafe_code)]

pub mod options;
pub mod oracle;
pub mod prng;
pub mod stores;
pub mod world;

pub use self::options::Options;
pub use self::world::{Life, World};
