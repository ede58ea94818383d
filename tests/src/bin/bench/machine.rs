//! What the figures were measured on, and with which versions.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use crate::process::find;

/// Programs that take part, with what makes them say their version.
const PROGRAMS: [(&str, &[&str]); 8] = [
    ("rsync", &["--version"]),
    ("ssh", &["-V"]),
    ("rclone", &["version"]),
    ("iperf3", &["--version"]),
    ("s5cmd", &["version"]),
    ("garage", &["--version"]),
    ("cp", &["--version"]),
    ("tar", &["--version"]),
];

/// Everything.
pub(crate) fn describe(airlift: &Path) -> Value {
    let mut versions = Map::new();
    versions.insert("airlift".to_owned(), json!(first_line(airlift, &["--version"])));
    for (program, words) in PROGRAMS {
        let version = find(program).and_then(|path| first_line(&path, words));
        versions.insert(program.to_owned(), json!(version));
    }
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let read = |path: &str| {
        std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned()).unwrap_or_default()
    };
    json!({
        "date": date(now()),
        "unix_seconds": now(),
        "cpu": field(&info, "model name"),
        "cores": std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        "kernel": read("/proc/sys/kernel/osrelease"),
        "memory_kib": field(&read("/proc/meminfo"), "MemTotal"),
        "load": read("/proc/loadavg"),
        "tcp": read("/proc/sys/net/ipv4/tcp_congestion_control"),
        "versions": versions,
    })
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

fn first_line(program: &Path, words: &[&str]) -> Option<String> {
    let output = Command::new(program).args(words).stdin(Stdio::null()).output().ok()?;
    // Some say it on standard error.
    let said = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    let said = String::from_utf8_lossy(&said);
    Some(said.lines().next()?.trim().to_owned())
}

/// The value of the first line `NAME: VALUE`.
fn field(text: &str, name: &str) -> String {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let value = line.and_then(|rest| rest.split_once(':'));
    value.map(|(_, value)| value.trim().trim_end_matches(" kB").to_owned()).unwrap_or_default()
}

/// `YYYY-MM-DD` of seconds since 1970, by the calendar of 400 years.
fn date(seconds: u64) -> String {
    let days = seconds / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_told_as_days() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(951_782_400), "2000-02-29");
        assert_eq!(date(1_767_225_599), "2025-12-31");
        assert_eq!(date(1_767_225_600), "2026-01-01");
    }

    #[test]
    fn a_field_is_read_by_its_name() {
        assert_eq!(field("MemTotal:   12 kB\nMemFree: 3 kB", "MemTotal"), "12");
        assert_eq!(field("model name\t: A B\n", "model name"), "A B");
        assert_eq!(field("", "x"), "");
    }
}
