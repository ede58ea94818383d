//! The integration tests, in one binary.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

mod changes;
mod cloud;
mod cluster;
mod conformance;
mod conformance_s3;
mod copy;
mod crash;
mod demo;
mod errors;
mod faults;
mod figures;
mod hostile;
mod providers;
mod s3;
mod scale;
mod sftp;
mod webdav;
