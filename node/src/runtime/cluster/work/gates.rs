//! What this node asks buckets for, as it tells the leader; and what the leader makes of it.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use airlift_protocol::id::JobId;
use airlift_protocol::limits::{GATE_JOBS_MAX, GATES_TOLD_MAX, PLACE_BYTES_MAX, SHARE_MS};
use airlift_protocol::pace::{GateId, GateReport, GateShare, RequestKind, RequestRate};
use tokio::time::Instant;

use super::{Workshop, locked};
use crate::store::pace::{Gate, Pace, Paces};

impl Workshop {
    /// What passed the gates of the buckets at the ends of jobs: of those that were throttled first, then
    /// of the busiest.
    pub(in crate::runtime::cluster) fn gates(&self) -> Vec<GateReport> {
        let jobs = locked(&self.jobs);
        let users = |pace: &Arc<Pace>| {
            let uses = jobs.iter().filter(|(_, job)| {
                job.meters.moving.watches(pace) || job.meters.serving.watches(pace)
            });
            uses.map(|(id, _)| *id).take(GATE_JOBS_MAX).collect::<Vec<JobId>>()
        };
        let places = self.paces().places().into_iter();
        let used = places.map(|(place, pace)| (place, users(&pace), pace));
        told(used.filter(|(place, jobs, _)| !jobs.is_empty() && place.len() <= PLACE_BYTES_MAX))
    }

    /// The leader has answered the sign of life that went out at `sent`.
    pub(in crate::runtime::cluster) fn keep_to(&self, shares: &[GateShare], sent: Instant) {
        keep_to(self.paces(), shares, sent);
    }
}

fn gate(pace: &Pace, kind: RequestKind) -> &Gate {
    match kind {
        RequestKind::Read => &pace.reads,
        RequestKind::Write => &pace.writes,
    }
}

fn told<P: AsRef<Pace>>(used: impl Iterator<Item = (String, Vec<JobId>, P)>) -> Vec<GateReport> {
    let reports = used.flat_map(|(place, jobs, pace)| {
        [RequestKind::Read, RequestKind::Write].map(|kind| {
            let figures = gate(pace.as_ref(), kind).figures();
            let rate = |share: f64| RequestRate((share * 1000.0) as u64);
            GateReport {
                gate: GateId { place: place.clone(), kind },
                requests: figures.requests,
                throttled: figures.throttled,
                spared_us: u64::try_from(figures.spared.as_micros()).unwrap_or(u64::MAX),
                held: figures.share.map(rate),
                jobs: jobs.clone(),
            }
        })
    });
    let mut reports: Vec<GateReport> = reports.filter(|report| report.requests > 0).collect();
    let is_minor = |report: &GateReport| report.throttled == 0 && report.held.is_none();
    reports.sort_by_key(|report| (is_minor(report), Reverse(report.requests)));
    reports.truncate(GATES_TOLD_MAX);
    reports
}

fn keep_to(paces: &Paces, shares: &[GateShare], sent: Instant) {
    for GateShare { gate: id, rate } in shares {
        if let Some(pace) = paces.find(&id.place) {
            let until = sent + Duration::from_millis(SHARE_MS);
            gate(&pace, id.kind).keep_to(rate.per_second(), until);
        }
    }
}

#[cfg(test)]
mod tests {
    use airlift_protocol::error::ErrorCode;

    use super::*;
    use crate::runtime::clock;
    use crate::store::StoreError;

    #[tokio::test(start_paused = true)]
    async fn what_was_throttled_is_told_first_and_kept_to_for_as_long_as_it_holds() {
        let paces = Paces::default();
        let job = JobId([1; 16]);
        for number in 0..GATES_TOLD_MAX {
            let pace = paces.of(&format!("s3://{number:02}"));
            for _ in 0..3 {
                pace.reads.pass(0, async { Ok::<_, StoreError>(()) }).await.unwrap();
            }
        }
        let busy = paces.of("s3://busy");
        let refused = async { Err::<(), _>(StoreError::new(ErrorCode::Throttled, "less")) };
        assert!(busy.writes.pass(0, refused).await.is_err());
        let tell = || {
            let places = paces.places().into_iter();
            told(places.map(|(place, pace)| (place, vec![job], pace)))
        };
        let reports = tell();
        assert_eq!(reports.len(), GATES_TOLD_MAX);
        let first = &reports[0];
        assert_eq!((first.gate.place.as_str(), first.gate.kind), ("s3://busy", RequestKind::Write));
        assert_eq!((first.requests, first.throttled, first.held), (1, 1, None));
        assert_eq!((reports[1].requests, reports[1].gate.kind), (3, RequestKind::Read));

        let gate = |place: &str| GateId { place: place.to_owned(), kind: RequestKind::Read };
        let rate = RequestRate(2500);
        let share = |place| GateShare { gate: gate(place), rate };
        keep_to(&paces, &[share("s3://00"), share("s3://unknown")], clock::now());
        assert_eq!(paces.find("s3://unknown").map(drop), None);
        let reads = || paces.of("s3://00").reads.figures();
        assert_eq!((reads().share, reads().per_second), (Some(2.5), Some(2.5)));
        let told = tell().into_iter().find(|report| report.gate == gate("s3://00"));
        assert_eq!(told.and_then(|report| report.held), Some(rate));
        let begun = clock::now();
        for _ in 0..6 {
            paces.of("s3://00").reads.pass(0, async { Ok::<_, StoreError>(()) }).await.unwrap();
        }
        let took = begun.elapsed().as_secs_f64();
        assert!((1.9..2.5).contains(&took), "{took}");
        tokio::time::sleep(Duration::from_millis(SHARE_MS)).await;
        assert_eq!(reads().share, None);
    }
}
