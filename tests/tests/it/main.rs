//! The integration tests, in one binary.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

mod acl;
mod across;
mod azure;
mod canned_clouds;
mod changes;
mod cloud;
mod cluster;
mod conformance;
mod conformance_azure;
mod conformance_gcs;
mod conformance_s3;
mod console;
mod copy;
mod crash;
mod demo;
mod deploy;
mod errors;
mod explain;
mod faults;
mod figures;
mod folding;
mod ftp;
mod gcs;
mod hostile;
mod hygiene;
mod inventory;
mod keys;
mod killed_clouds;
mod monitor;
mod pace;
mod pitfalls;
mod policy;
mod providers;
mod restore;
mod s3;
mod scale;
mod server_side;
mod sftp;
mod storm;
mod sums;
mod webdav;
