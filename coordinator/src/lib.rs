//! The control plane of Airlift, both ends, as state machines without input or output.
//!
//! ```text
//!            Input                                                   Effect
//!  request ──────────┐   ┌─────────────────────────────────┐   ┌──▶ Persist  (durable log)
//!  report ───────────┼──▶│ Coordinator                     │───┼──▶ LoadPage (manifest on disk)
//!  heartbeat ────────┤   │  propose ─▶ log ─▶ apply ─▶ plan │   ├──▶ Order ──▶ Agent
//!  persisted, loaded ┘   └─────────────────────────────────┘   └──▶ Answer, Emit (facts)
//!
//!  order ────────────┐   ┌─────────────────────────────────┐   ┌──▶ Start / Cancel ──▶ pipeline
//!  outcome ──────────┼──▶│ Agent: attempts and retries     │───┤
//!  timeout ──────────┘   └─────────────────────────────────┘   └──▶ Report, Heartbeat ──▶ Coordinator
//! ```
//!
//! Both machines have the same four methods: `new`, `handle(now, input)`, `poll_effect()` and
//! `poll_timeout()`. After every `handle`, drain `poll_effect` and carry the effects out in order;
//! then wait for the next input, or until `poll_timeout`.
//!
//! **Architecture Invariant**: nothing here reads a clock, draws a random number, or performs an
//! effect. The same inputs give the same effects, always; the simulator depends on it.

#![forbid(unsafe_code)]

pub mod agent;
pub mod command;
pub mod consensus;
pub mod coordinator;
pub mod effect;
pub mod event;
pub mod input;
pub mod log;
pub mod origin;
pub mod scheduler;
pub mod state;
pub mod totals;

pub use self::agent::{Agent, AgentEffect, AgentInput};
pub use self::coordinator::Coordinator;
pub use self::effect::{Answer, Effect};
pub use self::input::{Input, Request, RequestId};
