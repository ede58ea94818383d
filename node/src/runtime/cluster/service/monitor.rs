//! What monitoring asks of a node: whether it is ready, and all that it counts.
//!
//! It is answered from what this node knows itself, so that it is answered at once whatever has become
//! of the others.

use std::sync::Arc;

use airlift_coordinator::Coordinator;

use super::{ClusterService, jobs};
use crate::api::error::ApiError;
use crate::api::throttle::ThrottleView;
use crate::api::view::JobList;
use crate::metrics::snapshot::{Raft, Readiness, Snapshot};
use crate::runtime::blocking::blocking;
use crate::runtime::clock;
use crate::runtime::cluster::ask::Sight;

/// What the driver knows.
struct Inside {
    readiness: Readiness,
    raft: Option<Raft>,
    jobs: Option<JobList>,
    throttles: Vec<ThrottleView>,
    over_budget: Option<u64>,
    events_waiting: Option<u64>,
}

impl Inside {
    fn of(sight: &Sight<'_>) -> Self {
        let is_deciding = sight.coordinator.is_some_and(Coordinator::is_deciding);
        let status = sight.coordinator.and_then(Coordinator::consensus).map(|it| it.status());
        let leading = sight.coordinator.filter(|_| is_deciding);
        Self {
            readiness: readiness(sight),
            raft: status.map(|status| Raft {
                term: status.term,
                commit_index: status.committed.0,
                applied_index: status.applied.index.0,
                last_index: status.last.0,
                is_leader: is_deciding,
            }),
            jobs: leading.map(|leading| jobs::list(leading, clock::wall(), |_| true)),
            throttles: leading.map_or_else(Vec::new, |leading| {
                leading.throttles().throttled().map(ThrottleView::from).collect()
            }),
            over_budget: leading.map(|leading| {
                let jobs = leading.state().jobs.values();
                jobs.filter(|job| job.is_running() && job.is_over_budget()).count() as u64
            }),
            events_waiting: leading.map(|leading| leading.state().outbox.len() as u64),
        }
    }
}

/// A leader that does not decide yet hears nobody.
fn readiness(sight: &Sight<'_>) -> Readiness {
    let is_deciding = sight.coordinator.is_some_and(Coordinator::is_deciding);
    let leads_undecided = sight.leader == Some(sight.node) && !is_deciding;
    Readiness {
        has_leader: is_deciding || (sight.leader.is_some() && !leads_undecided),
        heard: sight.heard,
    }
}

impl ClusterService {
    pub(super) async fn readiness_here(&self) -> Result<Readiness, ApiError> {
        self.look(|sight| readiness(&sight)).await
    }

    pub(super) async fn snapshot_here(&self) -> Result<Snapshot, ApiError> {
        let meters = Arc::clone(&self.meters);
        let (figures, measured) = blocking(move || (meters.read(), meters.measure())).await;
        let cluster = self.known().await?.view();
        let inside = self.look(|sight| Inside::of(&sight)).await?;
        let Inside { readiness, raft, jobs, throttles, over_budget, events_waiting } = inside;
        Ok(Snapshot {
            figures,
            measured,
            cluster,
            readiness,
            raft,
            jobs,
            throttles,
            over_budget,
            events_waiting,
        })
    }
}
