//! How hard nodes work the buckets that they have to do with, as they tell the leader, and how hard they may.
//!
//! Append only: variants and fields are added at the end, never moved.

use serde::{Deserialize, Serialize};

use crate::bounded;
use crate::id::JobId;
use crate::limits::GATE_JOBS_MAX;

/// Requests in a thousand seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RequestRate(pub u64);

impl RequestRate {
    /// Requests a second.
    pub fn per_second(self) -> f64 {
        self.0 as f64 / 1000.0
    }
}

/// What services count apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RequestKind {
    /// What reads, lists or describes.
    Read,
    /// What changes something.
    Write,
}

/// What all requests of one kind to one bucket pass, on every node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct GateId {
    /// Which bucket, and where, at most [`PLACE_BYTES_MAX`](crate::limits::PLACE_BYTES_MAX) bytes.
    pub place: String,
    /// Which requests.
    pub kind: RequestKind,
}

/// What passed a gate on one node. Numbers grow from the start of its process on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateReport {
    /// Which gate.
    pub gate: GateId,
    /// Requests that have begun.
    pub requests: u64,
    /// Those of them that were too much for the service.
    pub throttled: u64,
    /// Microseconds in which requests waited because it had asked for fewer, however many at once.
    pub spared_us: u64,
    /// What the node may ask for, as it was told last, while that holds.
    pub held: Option<RequestRate>,
    /// Jobs whose requests pass it.
    #[serde(deserialize_with = "bounded::list::<_, _, GATE_JOBS_MAX>")]
    pub jobs: Vec<JobId>,
}

/// What a node may ask for at a gate from now on, for [`SHARE_MS`](crate::limits::SHARE_MS).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateShare {
    /// Which gate.
    pub gate: GateId,
    /// Its part of what all nodes together ask for.
    pub rate: RequestRate,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec;

    #[test]
    fn gates_have_the_bytes_they_always_had() {
        let gate = GateId { place: "b".to_owned(), kind: RequestKind::Write };
        let share = GateShare { gate: gate.clone(), rate: RequestRate(300) };
        assert_eq!(codec::encode(&share), [1, b'b', 1, 251, 44, 1]);
        let held = Some(RequestRate(5));
        let jobs = vec![JobId([9; 16])];
        let report = GateReport { gate, requests: 2, throttled: 3, spared_us: 4, held, jobs };
        let mut golden = vec![1, b'b', 1, 2, 3, 4, 1, 5, 1]; // gate, numbers, held, jobs
        golden.extend_from_slice(&[9; 16]);
        assert_eq!(codec::encode(&report), golden);
        assert_eq!(codec::decode::<GateReport>(&golden, 64).unwrap(), report);
    }
}
