//! What passed one direction of a link, and how exact the emulation was.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

/// Counters that two threads write and anybody reads.
#[derive(Debug, Default)]
pub(crate) struct Gauge {
    packets: AtomicU64,
    bytes: AtomicU64,
    dropped: AtomicU64,
    lost: AtomicU64,
    delivered: AtomicU64,
    refused: AtomicU64,
    late_ns: AtomicU64,
    late_ns_max: AtomicU64,
    late_count: AtomicU64,
}

/// Later than this is counted.
const LATE_NS: u64 = 1_000_000;

impl Gauge {
    pub(crate) fn came(&self, bytes: usize) {
        self.packets.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(crate) fn dropped(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn lost(&self) {
        self.lost.fetch_add(1, Ordering::Relaxed);
    }

    /// A packet was handed over, so much later than the model said.
    pub(crate) fn delivered(&self, late_ns: u64) {
        self.delivered.fetch_add(1, Ordering::Relaxed);
        self.late_ns.fetch_add(late_ns, Ordering::Relaxed);
        self.late_ns_max.fetch_max(late_ns, Ordering::Relaxed);
        if late_ns > LATE_NS {
            self.late_count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The system did not take a packet that should have arrived.
    pub(crate) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// The counts now; the greatest lateness begins anew.
    pub(crate) fn read(&self) -> Reading {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Reading {
            packets: read(&self.packets),
            bytes: read(&self.bytes),
            dropped: read(&self.dropped),
            lost: read(&self.lost),
            delivered: read(&self.delivered),
            refused: read(&self.refused),
            late_ns: read(&self.late_ns),
            late_ns_max: self.late_ns_max.swap(0, Ordering::Relaxed),
            late_count: read(&self.late_count),
        }
    }
}

/// Counts at one moment, or between two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reading {
    /// What came to the link.
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    /// Found the queue full.
    pub(crate) dropped: u64,
    /// Lost on the wire.
    pub(crate) lost: u64,
    pub(crate) delivered: u64,
    /// Not taken by the system at the far end.
    pub(crate) refused: u64,
    /// Sum, greatest and number of times that a packet was handed over late.
    pub(crate) late_ns: u64,
    pub(crate) late_ns_max: u64,
    pub(crate) late_count: u64,
}

impl Reading {
    /// What came since `earlier`.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        Self {
            packets: self.packets - earlier.packets,
            bytes: self.bytes - earlier.bytes,
            dropped: self.dropped - earlier.dropped,
            lost: self.lost - earlier.lost,
            delivered: self.delivered - earlier.delivered,
            refused: self.refused - earlier.refused,
            late_ns: self.late_ns - earlier.late_ns,
            late_ns_max: self.late_ns_max,
            late_count: self.late_count - earlier.late_count,
        }
    }

    /// The share of packets that the queue dropped.
    pub(crate) fn dropped_share(&self) -> f64 {
        self.dropped as f64 / self.packets.max(1) as f64
    }

    /// The mean lateness in microseconds.
    pub(crate) fn late_us(&self) -> f64 {
        self.late_ns as f64 / 1e3 / self.delivered.max(1) as f64
    }

    /// For the report.
    pub(crate) fn json(&self) -> Value {
        json!({
            "packets": self.packets,
            "bytes": self.bytes,
            "dropped_by_queue": self.dropped,
            "lost": self.lost,
            "delivered": self.delivered,
            "refused": self.refused,
            "late_us_mean": (self.late_us() * 10.0).round() / 10.0,
            "late_us_max": self.late_ns_max / 1_000,
            "late_over_1ms": self.late_count,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_since_another_holds_what_came_between() {
        let gauge = Gauge::default();
        gauge.came(100);
        gauge.dropped();
        let before = gauge.read();
        gauge.came(1500);
        gauge.delivered(2_000_000);
        let reading = gauge.read().since(&before);
        assert_eq!((reading.packets, reading.bytes, reading.dropped), (1, 1500, 0));
        assert_eq!((reading.late_count, reading.late_ns_max), (1, 2_000_000));
        assert!((reading.late_us() - 2_000.0).abs() < 1e-9);
    }
}
