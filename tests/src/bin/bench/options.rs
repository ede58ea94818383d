//! The words of the command line.

use std::path::PathBuf;

/// What is said when they are not understood.
pub(crate) const USAGE: &str = "bench [--only ROW,...] [--rounds N] [--json FILE] [--smoke] [--list] \
    [--airlift PATH] [--dir DIR] [--keys N]";

/// Rounds when nothing else is said.
const ROUNDS_DEFAULT: usize = 3;

/// What is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// The rows; `None` for all of them.
    pub(crate) only: Option<Vec<String>>,
    pub(crate) rounds: usize,
    pub(crate) json: Option<PathBuf>,
    /// Tiny amounts and one round: whether it works, not how fast.
    pub(crate) is_smoke: bool,
    pub(crate) is_list: bool,
    pub(crate) airlift: Option<PathBuf>,
    pub(crate) directory: Option<PathBuf>,
    /// Keys of the bucket that is listed, in place of a million.
    pub(crate) keys: Option<u64>,
}

/// Reads the words; `rows` are the names that exist.
pub(crate) fn parse(
    mut words: impl Iterator<Item = String>,
    rows: &[&str],
) -> Result<Options, String> {
    let mut options = Options {
        only: None,
        rounds: ROUNDS_DEFAULT,
        json: None,
        is_smoke: false,
        is_list: false,
        airlift: None,
        directory: None,
        keys: None,
    };
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} wants a value"));
        match word.as_str() {
            "--smoke" => options.is_smoke = true,
            "--list" => options.is_list = true,
            "--rounds" => options.rounds = parse_rounds(&value()?)?,
            "--json" => options.json = Some(value()?.into()),
            "--airlift" => options.airlift = Some(value()?.into()),
            "--dir" => options.directory = Some(value()?.into()),
            "--keys" => options.keys = Some(parse_keys(&value()?)?),
            "--only" => options.only = Some(parse_rows(&value()?, rows)?),
            other => return Err(format!("'{other}' is unknown")),
        }
    }
    Ok(options)
}

fn parse_rounds(text: &str) -> Result<usize, String> {
    let rounds = text.parse().ok().filter(|rounds| (1..=100).contains(rounds));
    rounds.ok_or_else(|| format!("'{text}' is no number of rounds"))
}

/// Their numbers have nine digits.
fn parse_keys(text: &str) -> Result<u64, String> {
    let keys = text.parse().ok().filter(|keys| (1..1_000_000_000).contains(keys));
    keys.ok_or_else(|| format!("'{text}' is no number of keys below a billion"))
}

fn parse_rows(text: &str, rows: &[&str]) -> Result<Vec<String>, String> {
    let names = text.split(',').map(|name| match rows.contains(&name) {
        true => Ok(name.to_owned()),
        false => Err(format!("there is no row '{name}': {}", rows.join(", "))),
    });
    names.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Options, String> {
        parse(text.split_whitespace().map(str::to_owned), &["lan", "wan"])
    }

    #[test]
    fn options_are_read() {
        let options = parsed("--only wan,lan --rounds 5 --smoke --json out").expect("options");
        assert_eq!(options.only, Some(vec!["wan".to_owned(), "lan".to_owned()]));
        assert_eq!((options.rounds, options.is_smoke), (5, true));
        assert_eq!(options.json, Some("out".into()));
        assert_eq!(parsed("--keys 100000000").expect("options").keys, Some(100_000_000));
        assert_eq!(parsed("").expect("nothing is said").rounds, ROUNDS_DEFAULT);
    }

    #[test]
    fn what_is_not_understood_runs_nothing() {
        for text in
            ["--help", "lan", "--only", "--only moon", "--rounds 0", "--rounds x", "--keys 0"]
        {
            assert!(parsed(text).is_err(), "{text}");
        }
    }
}
