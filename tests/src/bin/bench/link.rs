//! An emulated link: a rate, a delay, a queue and losses between two namespaces, in user space over
//! two TUN devices, for kernels that have no `netem`. It sees whole IP packets and changes none.

pub(crate) mod command;
mod gauge;
mod model;
mod pipe;
mod priority;
mod proof;
pub(crate) mod shape;
mod wire;

pub(crate) use self::gauge::Reading;
pub(crate) use self::shape::Shape;
pub(crate) use self::wire::Wire;
