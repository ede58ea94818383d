//! Nodes that talk over real sockets of the loopback.

mod hostile;
mod life;
mod node;
mod raw;
mod stranger;
mod talk;
