//! What is wanted of a run.

use std::time::Duration;

/// How a run is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// For how long jobs are begun and faults are made.
    pub(crate) time: Duration,
    /// Nodes: three voters, the others are workers.
    pub(crate) nodes: usize,
    /// Decides what changes between jobs, and which faults come when.
    pub(crate) seed: u64,
    /// Time between two samples of what nodes hold.
    pub(crate) period: Duration,
    /// MiB a second that each job may move: little, so that faults find jobs at work.
    pub(crate) rate_mib: u64,
    /// Time between two faults, at least; half as much again at most.
    pub(crate) pause: Duration,
}

/// How to write it.
pub(crate) const USAGE: &str = "soak [--minutes N] [--nodes 4|5] [--seed N] [--sample-seconds N] \
                                [--rate-mib N] [--fault-seconds N]";

impl Default for Options {
    fn default() -> Self {
        Self {
            time: Duration::from_secs(300),
            nodes: 5,
            seed: 1,
            period: Duration::from_secs(2),
            rate_mib: 8,
            pause: Duration::from_secs(12),
        }
    }
}

impl Options {
    /// Reads the words of a command line.
    pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self::default();
        while let Some(word) = words.next() {
            let value =
                words.next().ok_or_else(|| format!("{word} wants a value, or is unknown"))?;
            let number = value.parse::<u64>().ok().filter(|number| *number > 0);
            let number = number.ok_or_else(|| format!("'{value}' is no number above 0"))?;
            match word.as_str() {
                "--minutes" => options.time = Duration::from_secs(number * 60),
                "--nodes" if (4..=5).contains(&number) => {
                    options.nodes = usize::try_from(number).expect("a few");
                }
                "--nodes" => return Err("three voters and one or two workers: 4 or 5".to_owned()),
                "--seed" => options.seed = number,
                "--sample-seconds" => options.period = Duration::from_secs(number),
                "--rate-mib" => options.rate_mib = number,
                "--fault-seconds" => options.pause = Duration::from_secs(number),
                other => return Err(format!("'{other}' is unknown")),
            }
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_understood_runs_nothing() {
        let parse = |text: &str| Options::parse(text.split_whitespace().map(str::to_owned));
        assert_eq!(parse(""), Ok(Options::default()));
        let hour = Options { time: Duration::from_secs(3600), nodes: 4, ..Options::default() };
        assert_eq!(parse("--minutes 60 --nodes 4"), Ok(hour));
        for text in ["--help", "--minutes x", "--minutes 0", "--nodes 3", "--speed 3"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
