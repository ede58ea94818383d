//! Decisions: what is to be done next, by whom.
//!
//! [`plan`](plan::plan) is the only place that decides. It is a pure function of the state, the
//! nodes that live and the pages in memory; the same arguments give the same plan.

mod ahead;
mod backoff;
pub mod bottleneck;
pub mod check;
pub mod diff;
mod fair;
pub mod figures;
#[cfg(test)]
mod fixture;
pub mod inventory;
mod load;
mod observed;
pub mod pages;
pub mod plan;
mod rates;
mod route;
pub mod shares;
pub mod stragglers;
pub mod throttle;
pub mod work;
