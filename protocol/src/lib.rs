//! The words Airlift's parts use with each other, and their bytes.
//!
//! Identifiers, units, limits, locations, job specifications, manifest pages, shards, chunks and
//! their BLAKE3 subtree values, assignments, reports, error codes and the codec. Everything here is
//! plain data and arithmetic on it.
//!
//! **Architecture Invariant**: this crate never touches a clock, a socket, a file, the environment
//! or randomness, and depends on no crate that does. It therefore cannot fail for any reason but
//! its input.

#![forbid(unsafe_code)]

pub mod access;
pub mod assignment;
pub mod attributes;
pub mod audit;
pub mod bitmap;
mod bounded;
pub mod budget;
pub mod chunk;
pub mod cluster;
pub mod codec;
pub mod control;
pub mod error;
pub mod figures;
pub mod folding;
pub mod frame;
pub mod id;
pub mod job;
pub mod key;
pub mod limits;
pub mod location;
pub mod manifest;
pub mod once;
pub mod pace;
pub mod raft;
pub mod report;
pub mod schedule;
pub mod shard;
mod shared;
pub mod sum;
pub mod time;
pub mod units;
pub mod version;
