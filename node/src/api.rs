//! The HTTP API of a node: what a client may ask, the server that answers, and the client.
//!
//! ```text
//!  airlift job … ──▶ Client ──HTTP──▶ ApiServer ──▶ dyn Service (the node)
//! ```

pub mod access;
pub mod budget;
pub mod client;
pub mod error;
pub mod line;
pub mod openapi;
pub mod operation;
pub mod request;
pub mod retention;
pub mod server;
pub mod service;
pub mod survey;
pub mod text;
pub mod throttle;
pub mod tls;
pub mod view;

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod tests;
