//! What the integration tests share.

pub mod airlift;
pub mod azurite;
pub mod browser;
pub mod canned;
pub mod cluster;
pub mod conformance;
pub mod corpus;
pub mod exfat;
pub mod ftpd;
pub mod gate;
pub mod gcs;
pub mod hdfs;
pub mod hook;
pub mod issuer;
pub mod keys;
pub mod moto;
pub mod narrow;
pub mod raw;
pub mod room;
pub mod s3;
pub mod server;
pub mod sshd;
pub mod storm;
pub mod tree;
pub mod trial;
pub mod wsgidav;
