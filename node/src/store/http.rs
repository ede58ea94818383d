//! What stores share that speak HTTP without a client library of their service: connections with
//! limits of time, what each request passes on its way, errors as codes, bodies as chunks, keys in paths.
//!
//! Nothing here knows a service, retries, follows redirects or decompresses: bytes arrive as they
//! are stored. A URL may carry a signature, so none is ever in a text for people.

pub(super) mod body;
pub(super) mod client;
pub(super) mod door;
pub(super) mod error;
pub(super) mod path;

pub(super) use self::body::{Body, ChunkReader, total_of};
pub(super) use self::client::{Http, Patience, is_plain};
pub(super) use self::door::Door;
pub(super) use self::error::{Failed, Refusal};
