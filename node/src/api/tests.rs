//! Tests of server and client together, over real sockets.

mod client;
mod monitor;
mod server;
