//! `cluster keep-finished`: how long finished jobs stay on record.

use clap::Args;

use super::connect::ClusterArgs;
use super::duration;
use super::format::count;
use crate::api::retention::{RetentionRequest, RetentionView};

pub(super) const KEEP_EXAMPLES: &str = "\
What is known of a finished job goes after that time, or when that many have finished since: its listing, its
report, its entry in the list, what it has used of a budget, and the keys by which a submission that is sent
again is known. None goes in the first 10 minutes. A job that runs or is paused stays, and so does one that
stopped with a large object half done.

Examples:
  airlift cluster keep-finished 30d
  airlift cluster keep-finished 30d,200
  airlift cluster keep-finished off";

/// `cluster keep-finished`.
#[derive(Clone, Debug, Args)]
pub struct KeepArgs {
    /// A time such as 30d, from 10m on, a number of jobs, or both; or off for as many as there can be, 1000
    #[arg(value_name = "TIME|N|off", value_parser = parse)]
    pub keep: Keep,
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// What is to be kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    age_seconds: Option<u64>,
    count: Option<u32>,
}

impl Keep {
    pub(super) fn request(self) -> RetentionRequest {
        let Self { age_seconds, count } = self;
        RetentionRequest { age_seconds, count }
    }
}

fn parse(text: &str) -> Result<Keep, String> {
    let mut keep = Keep::default();
    if text == "off" {
        return Ok(keep);
    }
    for part in text.split(',') {
        let is_number = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let is_twice = match is_number {
            true => {
                let number = part.parse().map_err(|_| format!("'{part}' is too large"))?;
                keep.count.replace(number).is_some()
            }
            false => {
                let age = duration::parse(part);
                let age =
                    age.map_err(|why| format!("'{part}': {why}; a number of jobs; or off"))?;
                keep.age_seconds.replace(age.as_secs()).is_some()
            }
        };
        if is_twice {
            return Err(format!("'{text}' says two times or two numbers: write one of each"));
        }
    }
    keep.request().retention().map_err(|error| error.detail)?;
    Ok(keep)
}

/// What is kept, in words.
pub(super) fn describe(retention: RetentionView) -> String {
    let age = retention.age_seconds.map(|seconds| {
        let units = [(86_400, "d"), (3600, "h"), (60, "m"), (1, "s")];
        let fitting = units.into_iter().find(|(unit, _)| seconds > 0 && seconds % unit == 0);
        fitting.map_or_else(|| "0s".to_owned(), |(unit, name)| format!("{}{name}", seconds / unit))
    });
    match (age, retention.count) {
        (None, None) => "the 1000 jobs that finished last".to_owned(),
        (Some(age), None) => format!("finished jobs for {age}"),
        (None, Some(most)) => format!("the {} jobs that finished last", count(u64::from(most))),
        (Some(age), Some(most)) => {
            format!("finished jobs for {age}, the last {} of them", count(u64::from(most)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_a_time_a_number_or_both() {
        let day = 86_400;
        for (text, age_seconds, count, words) in [
            ("off", None, None, "the 1000 jobs that finished last"),
            ("30d", Some(30 * day), None, "finished jobs for 30d"),
            ("601s", Some(601), None, "finished jobs for 601s"),
            ("10m", Some(600), None, "finished jobs for 10m"),
            ("200", None, Some(200), "the 200 jobs that finished last"),
            ("12h,5", Some(day / 2), Some(5), "finished jobs for 12h, the last 5 of them"),
            ("0,1d", Some(day), Some(0), "finished jobs for 1d, the last 0 of them"),
        ] {
            let keep = parse(text).unwrap();
            assert_eq!(keep, Keep { age_seconds, count }, "{text}");
            let kept = RetentionView::from(keep.request().retention().unwrap());
            assert_eq!(describe(kept), words);
        }
        for (text, expected) in [
            ("", "write a whole number with a unit"),
            ("30d,", "or off"),
            ("30 days", "or off"),
            ("5,6", "two numbers"),
            ("1d,1h", "two times"),
            ("9m", "10 minutes at least"),
            ("599s,5", "10 minutes at least"),
            ("1001", "1000 at most"),
            ("99999999999", "too large"),
        ] {
            assert!(parse(text).unwrap_err().contains(expected), "{text}");
        }
    }
}
