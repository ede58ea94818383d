//! What the command line asks for.

/// What `--help` prints.
pub(crate) const HELP: &str = "\
sim: simulated lives of Airlift's control plane

  sim [--seeds N] [--first-seed S] [--seconds T] [--threads T]
        live N lives (500), or as many as fit into T seconds; exit 1 at a violation
  sim --seed S [--hours H] [--trace]
        live one life; --trace tells all that happens in it
  sim --hours H [--seeds N] [--first-seed S]
        live N lives (1) of H hours each: jobs again and again, and what nodes hold must not grow
  sim --hashes [--seeds N] [--first-seed S]
        print the hash of each life's trace: equal wherever and whenever it is lived
  sim --keys N
        list and plan a source of N keys; print keys a second, and the memory that it took";

/// Which lives, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lives {
    pub(crate) first: u64,
    pub(crate) count: u64,
    pub(crate) seconds: Option<u64>,
    pub(crate) hours: Option<u64>,
    pub(crate) threads: u64,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arguments {
    Help,
    One { seed: u64, is_traced: bool, hours: Option<u64> },
    Hashes(Lives),
    Many(Lives),
    Keys(u64),
}

impl Arguments {
    /// Reads the command line; `Err` says what is wrong with it.
    pub(crate) fn parse(words: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut words = words.into_iter();
        let (mut one, mut is_traced, mut wants_hashes) = (None, false, false);
        let (mut count, mut seconds, mut keys) = (None, None, None);
        let mut lives = Lives { first: 0, count: 0, seconds: None, hours: None, threads: 1 };
        while let Some(word) = words.next() {
            let mut number = || {
                let text = words.next().ok_or_else(|| format!("{word} wants a number"))?;
                text.parse::<u64>().map_err(|_| format!("{word}: '{text}' is no number"))
            };
            match word.as_str() {
                "--help" | "-h" => return Ok(Self::Help),
                "--seed" => one = Some(number()?),
                "--seeds" => count = Some(number()?),
                "--first-seed" => lives.first = number()?,
                "--seconds" => seconds = Some(number()?),
                "--hours" => lives.hours = Some(number()?),
                "--keys" => keys = Some(number()?),
                "--threads" => lives.threads = number()?,
                "--trace" => is_traced = true,
                "--hashes" => wants_hashes = true,
                other => return Err(format!("'{other}' is unknown; --help says what there is")),
            }
        }
        lives.seconds = seconds;
        let count_default = match (seconds, lives.hours) {
            (Some(_), _) => u64::MAX >> 1,
            (None, Some(_)) => 1,
            (None, None) => 500,
        };
        lives.count = count.unwrap_or(count_default);
        Ok(match (one, keys) {
            (Some(seed), _) => Self::One { seed, is_traced, hours: lives.hours },
            (None, Some(keys)) => Self::Keys(keys),
            (None, None) if wants_hashes => Self::Hashes(lives),
            (None, None) => Self::Many(lives),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Arguments, String> {
        Arguments::parse(text.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn lives_are_asked_for_in_words() {
        let lives = Lives { first: 7, count: 9, seconds: None, hours: None, threads: 2 };
        assert_eq!(parse("--seeds 9 --first-seed 7 --threads 2"), Ok(Arguments::Many(lives)));
        assert_eq!(
            parse("--seed 3 --trace"),
            Ok(Arguments::One { seed: 3, is_traced: true, hours: None })
        );
        let day = Lives { first: 0, count: 1, hours: Some(24), threads: 1, ..lives };
        assert_eq!(parse("--hours 24"), Ok(Arguments::Many(day)));
        assert_eq!(parse("--keys 5"), Ok(Arguments::Keys(5)));
        assert!(parse("--seeds").is_err_and(|text| text.contains("wants a number")));
        assert!(parse("--seeds x").is_err_and(|text| text.contains("no number")));
        assert!(parse("--sed 3").is_err_and(|text| text.contains("unknown")));
    }
}
