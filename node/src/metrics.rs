//! Metrics: what monitoring reads of a node, as the text format of Prometheus.
//!
//! ```text
//!  pipeline, stores, driver ──count──▶ Snapshot ──render──▶ text ──▶ GET /metrics
//! ```
//!
//! Nothing is counted here: a snapshot is taken of what the parts of the node count anyway, when it is
//! asked for; requests are counted by the server that shows it. Only [`Histogram`] is a counter of its
//! own. Labels come from closed sets, from the cluster's members, and from lists that are cut at a bound.

pub mod exposition;
pub mod family;
pub mod histogram;
mod render;
pub mod snapshot;

pub use self::exposition::CONTENT_TYPE;
pub use self::family::{FAMILIES, Family, Kind};
pub use self::histogram::Histogram;
pub use self::render::render;
pub use self::snapshot::{Readiness, Snapshot};
