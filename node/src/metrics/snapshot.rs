//! A node at an instant, with everything that its metrics say.

use std::collections::BTreeMap;
use std::time::Duration;

use airlift_protocol::limits::LEASE_MS;

use super::histogram::Reading;
use crate::api::throttle::ThrottleView;
use crate::api::view::{ClusterView, JobList, NodeFigures, Traffic};
use crate::pipeline::meter::Tally;

/// What a node's parts count, without what the control plane knows.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// When the process started, in seconds since 1970.
    pub started_at: f64,
    /// CPU time of the process.
    pub cpu: Duration,
    /// Files and connections that it has open, where the system says so.
    pub descriptors: Option<u64>,
    /// Bytes free where the node's directory is, and bytes of that file system.
    pub disk: Option<(u64, u64)>,
    /// What the pipeline did.
    pub tally: Tally,
    /// Orders in slots.
    pub slots_taken: u64,
    /// How long attempts took, by kind of work.
    pub attempts: Vec<(&'static str, Reading)>,
    /// How long orders waited for a slot.
    pub queue_wait: Reading,
    /// Attempts begun again.
    pub retries: u64,
    /// Failures by error code.
    pub failures: BTreeMap<&'static str, u64>,
    /// The ways to other nodes.
    pub links: Vec<Link>,
    /// Size of the log's file, on a voter.
    pub log_file_bytes: Option<u64>,
    /// How long entries took to be committed, at the leader.
    pub commit: Reading,
    /// How long durable writes of the log took.
    pub sync: Reading,
    /// What came of telling webhooks.
    pub webhooks: Vec<WebhookFigures>,
    /// What the node was asked; the server that shows all this fills it in.
    pub api: Vec<ApiFigures>,
}

/// What became of requests for one thing, since the process started.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ApiFigures {
    /// What was asked: an operation by its name in the description of the API, `console`, or `other`.
    pub operation: String,
    /// Requests by the status of their answers.
    pub statuses: BTreeMap<u16, u64>,
    /// How long the heads of the answers took.
    pub seconds: Reading,
}

/// What came of telling a webhook, since the process started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebhookFigures {
    /// Its name.
    pub name: String,
    /// Events that it took.
    pub delivered: u64,
    /// Attempts that it did not answer well.
    pub failed: u64,
    /// Events that were given up.
    pub given_up: u64,
}

/// What crossed to and from another node on one plane.
#[derive(Clone, Debug)]
pub struct Link {
    /// The other node's id, as the API shows it.
    pub peer: String,
    /// `control` or `data`.
    pub plane: &'static str,
    /// Bytes that crossed.
    pub traffic: Traffic,
    /// Connections now.
    pub connections: u64,
    /// How long the last ping took, where there are pings.
    pub rtt: Option<Duration>,
}

/// A voter's consensus.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Raft {
    /// The term.
    pub term: u64,
    /// The last entry that is known to be committed.
    pub commit_index: u64,
    /// The last entry that was applied.
    pub applied_index: u64,
    /// The last entry of the log.
    pub last_index: u64,
    /// Whether it leads, and knows all that was decided before.
    pub is_leader: bool,
}

/// Whether a node can do what it is there for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// Whether it knows a leader.
    pub has_leader: bool,
    /// Time since the last sign of life of this node that the leader has answered.
    pub heard: Option<Duration>,
}

impl Readiness {
    /// Why it cannot; `None` when it can.
    pub fn refusal(&self) -> Option<String> {
        let lease = Duration::from_millis(LEASE_MS);
        match self.heard {
            _ if !self.has_leader => Some("no leader is known".to_owned()),
            None => Some("the leader has not answered this node yet".to_owned()),
            Some(ago) if ago > lease => Some(format!(
                "the leader last answered {} s ago, and a lease lasts {} s",
                ago.as_secs(),
                lease.as_secs()
            )),
            Some(_) => None,
        }
    }
}

/// A node at an instant.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// What the API shows too.
    pub figures: NodeFigures,
    /// What else its parts count.
    pub measured: Measured,
    /// The cluster as this node sees it.
    pub cluster: ClusterView,
    /// Whether it is ready.
    pub readiness: Readiness,
    /// Its consensus, on a voter.
    pub raft: Option<Raft>,
    /// The jobs, at the leader.
    pub jobs: Option<JobList>,
    /// Buckets that have asked for fewer requests, at the leader.
    pub throttles: Vec<ThrottleView>,
    /// Jobs that rest because a budget has come to its end, at the leader.
    pub over_budget: Option<u64>,
    /// Events that wait to be told to webhooks, at the leader.
    pub events_waiting: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_ready_while_its_leader_answers_within_a_lease() {
        let (lease, second) = (Duration::from_millis(LEASE_MS), Duration::from_secs(1));
        let of = |has_leader, heard| Readiness { has_leader, heard }.refusal();
        assert_eq!(of(true, Some(lease)), None);
        let late = of(true, Some(lease + second)).unwrap();
        assert_eq!(late, "the leader last answered 11 s ago, and a lease lasts 10 s");
        assert!(of(true, None).unwrap().contains("not answered"));
        assert_eq!(of(false, Some(second)).unwrap(), "no leader is known");
    }
}
