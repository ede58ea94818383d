//! What the injections of one fault came to.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

/// Counts and times.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Faults that were injected.
    pub(crate) injections: usize,
    /// Seconds by what was timed.
    times: BTreeMap<&'static str, Vec<f64>>,
    /// For each leader that was killed: by how many percent fewer bytes moved in 30 seconds.
    pub(crate) dips: Vec<f64>,
    /// Bytes that were sent, and those that had been sent before, as the jobs counted them.
    pub(crate) sent: u64,
    pub(crate) resent: u64,
    /// Objects that were listed and did not come to an end.
    pub(crate) lost: u64,
    /// Objects that were called done and are not, or not as they should be.
    pub(crate) false_done: u64,
}

impl Tally {
    /// Takes note of a time.
    pub(crate) fn add(&mut self, what: &'static str, time: Duration) {
        self.times.entry(what).or_default().push(time.as_secs_f64());
    }

    /// The times, and the dips, for the table.
    pub(crate) fn measures(&self) -> String {
        let times = self.times.iter().map(|(what, times)| {
            format!("{what} {:.1} s / {:.1} s", quantile(times, 50), quantile(times, 99))
        });
        let dips = (!self.dips.is_empty()).then(|| {
            let (half, most) = (quantile(&self.dips, 50), quantile(&self.dips, 99));
            format!("dip over 30 s {half:.1} % / {most:.1} %")
        });
        times.chain(dips).collect::<Vec<_>>().join("; ")
    }

    /// Bytes that were sent again, a fault.
    pub(crate) fn sent_again(&self) -> String {
        let faults = u64::try_from(self.injections.max(1)).unwrap_or(u64::MAX);
        format!("{:.1} MiB a fault", (self.resent / faults) as f64 / f64::from(1 << 20))
    }

    /// Everything.
    pub(crate) fn json(&self) -> Value {
        json!({
            "injections": self.injections, "seconds": self.times, "dip_percent": self.dips,
            "bytes_sent": self.sent, "bytes_resent": self.resent,
            "lost": self.lost, "false_done": self.false_done,
        })
    }
}

/// The smallest value that `percent` of the values do not exceed; 0 of none.
fn quantile(values: &[f64], percent: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_were_measured() {
        let values: Vec<f64> = (1..=10).rev().map(f64::from).collect();
        assert_eq!((quantile(&values, 50), quantile(&values, 99)), (5.0, 10.0));
        assert_eq!((quantile(&[7.0], 50), quantile(&[], 99)), (7.0, 0.0));
    }
}
