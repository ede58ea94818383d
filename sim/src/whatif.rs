//! A user's question, answered by the control plane itself: so many objects, these nodes, links, prices
//! and failure rates — how long does it take, what holds it up, what does it cost?
//!
//! ```text
//! Scenario ─▶ World ──▶ coordinator, one agent a node ─▶ orders
//!               ▲                                          │ how long each takes: `work`
//!               └── queue of virtual time ◀── resources ◀──┘
//! ```
//!
//! The coordinator and the agents are the ones that nodes run. What is estimated is the work: nodes,
//! stores and links are resources, each with so many bytes or requests a second. Nothing is moved,
//! and no listing is kept: pages follow from their numbers.

mod listing;
mod outcome;
mod resource;
mod scenario;
mod site;
mod work;
mod world;

#[cfg(test)]
mod tests;

pub use self::outcome::{Bill, Control, Load, Outcome};
pub use self::scenario::{
    Failures, Group, Link, NodeShape, Scenario, ScenarioError, Site, StoreShape,
};
pub use self::world::{Moment, simulate};
