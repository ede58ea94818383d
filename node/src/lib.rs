//! The only crate of Airlift with input and output: stores, pipeline, durable log, HTTP API, command line.

pub mod api;
pub mod build;
pub mod cli;
pub mod config;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod inventory;
pub mod metrics;
#[cfg(test)]
mod mount;
pub mod network;
pub mod pipeline;
pub mod runtime;
pub mod storage;
pub mod store;
pub mod traces;
pub mod webhook;
