//! What the integration tests share.

pub mod airlift;
pub mod canned;
pub mod cluster;
pub mod conformance;
pub mod corpus;
pub mod moto;
pub mod raw;
pub mod room;
pub mod s3;
pub mod sshd;
pub mod tree;
pub mod trial;
pub mod wsgidav;
