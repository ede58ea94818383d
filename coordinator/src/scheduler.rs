//! Decisions: what is to be done next, by whom.
//!
//! [`plan`](plan::plan) is the only place that decides. It is a pure function of the state, the
//! nodes that live and the pages in memory; the same arguments give the same plan.

pub mod bottleneck;
pub mod check;
pub mod diff;
pub mod figures;
pub mod inventory;
pub mod pages;
pub mod plan;
pub(crate) mod route;
pub mod work;
