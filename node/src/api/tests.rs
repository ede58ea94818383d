//! Tests of server and client together, over real sockets.

mod client;
mod console;
mod events;
mod monitor;
mod server;
mod tls;
