//! What processes used, as the system counts it: processor time of a process and of the children
//! that it has waited for, and the peak of its memory.

use std::ops::{Add, Sub};

/// Ticks a second in `/proc/PID/stat`: the same on every Linux.
const TICKS: f64 = 100.0;

/// Processor time in seconds, of the user and of the system.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Usage {
    pub(crate) user: f64,
    pub(crate) system: f64,
}

impl Usage {
    /// Both together.
    pub(crate) fn seconds(self) -> f64 {
        self.user + self.system
    }
}

impl Add for Usage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { user: self.user + other.user, system: self.system + other.system }
    }
}

impl Sub for Usage {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self { user: self.user - other.user, system: self.system - other.system }
    }
}

/// What a process has used so far, with its children that have ended; nothing when it is gone. One
/// that has ended and was not waited for counts too.
pub(crate) fn usage(id: u32) -> Usage {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    parse_stat(&stat).unwrap_or_default()
}

fn parse_stat(stat: &str) -> Option<Usage> {
    // The name may contain anything, parentheses and spaces included.
    let (_, rest) = stat.rsplit_once(')')?;
    let ticks: Vec<f64> =
        rest.split_whitespace().skip(11).take(4).filter_map(|word| word.parse().ok()).collect();
    let [user, system, waited_user, waited_system] = ticks[..] else { return None };
    Some(Usage { user: (user + waited_user) / TICKS, system: (system + waited_system) / TICKS })
}

/// The most memory that a process has held; 0 when it is gone.
pub(crate) fn peak_bytes(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    parse_peak(&status).unwrap_or(0)
}

fn parse_peak(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? << 10)
}

/// Lets the peak of a process begin anew with what it holds now.
pub(crate) fn reset_peak(id: u32) {
    // Where this is not allowed the peak is that of all runs, which is no less.
    drop(std::fs::write(format!("/proc/{id}/clear_refs"), "5"));
}

/// Children of a process that have not ended.
pub(crate) fn children(id: u32) -> Vec<u32> {
    let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
    children.unwrap_or_default().split_whitespace().filter_map(|id| id.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_read_past_any_name() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 1 2 3 4 150 50 25 75 20 0 1 0 9 1 1";
        assert_eq!(parse_stat(stat), Some(Usage { user: 1.75, system: 1.25 }));
        assert_eq!(parse_stat("7 (a) S 1"), None);
        assert_eq!(parse_stat(""), None);
    }

    #[test]
    fn this_process_has_a_peak() {
        assert!(peak_bytes(std::process::id()) > 1 << 16);
        assert_eq!(parse_peak("VmHWM:\t  2048 kB\n"), Some(2 << 20));
        assert_eq!(parse_peak("VmRSS: 1 kB"), None);
    }
}
