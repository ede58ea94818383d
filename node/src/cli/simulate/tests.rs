//! What `simulate` reads and says.

use std::path::Path;

use clap::Parser;

use super::*;
use crate::cli::args::{Cli, Command};

const SMALL: &str = r#"
title = "small"
[[objects]]
count = 10
bytes = "10G"
[[site]]
name = "here"
nodes = 2
bandwidth = "8Gbit"
usd_per_node_hour = 1.0
[source]
site = "here"
[target]
site = "here"
request_ms = 5
usd_per_million_requests = 5.0
"#;

fn simulated(text: &str, is_json: bool) -> (Result<ExitCode, CliError>, Vec<String>) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("scenario.toml");
    std::fs::write(&path, text).unwrap();
    let console = Console::capturing();
    let line = ["airlift", "simulate", path.to_str().unwrap(), "--quiet"];
    let cli = Cli::try_parse_from(line.into_iter().chain(is_json.then_some("--json"))).unwrap();
    let Command::Simulate(args) = &cli.command else { panic!("{cli:?}") };
    let ended = run(args, &cli.global, &console);
    (ended, console.captured().out)
}

#[test]
fn a_scenario_is_answered_in_words_and_in_json() {
    let (ended, out) = simulated(SMALL, false);
    assert_eq!(ended.unwrap(), ExitCode::Done);
    for text in
        ["small", "held up by", "10 objects, 10.0 GiB; 0 unchanged, 0 failed", "network of here-"]
    {
        assert!(out[0].contains(text), "{text}: {}", out[0]);
    }
    let (_, out) = simulated(SMALL, true);
    let document: serde_json::Value = serde_json::from_str(&out[0]).unwrap();
    assert_eq!(document["objects"]["done"], 10);
    assert_eq!(document["bytes"], 10u64 << 30);
    // Two nodes of 1 GB a second each.
    let seconds = document["seconds"].as_f64().unwrap();
    assert!((5.3..9.0).contains(&seconds), "{seconds}");
    assert!(document["usd"]["nodes"].as_f64().unwrap() > 2.0 * 5.3 / 3600.0);
}

#[test]
fn what_is_wrong_with_a_file_is_named() {
    let cases = [
        ("count = 10", "cuont = 10", "cuont"),
        ("\"10G\"", "\"ten\"", "objects.bytes: 'ten' is not a size"),
        ("\"8Gbit\"", "\"0Gbit\"", "site.bandwidth of 'here': '0Gbit' must be more than 0"),
        ("\"8Gbit\"", "\"fast\"", "or 10Gbit"),
        ("usd_per_node_hour = 1.0", "usd_per_node_hour = -1.0", "-1 is no price"),
        ("bytes = \"10G\"", "bytes = \"10G\"\nunchanged_percent = 101.0", "between 0 and 100"),
        (
            "[target]\nsite = \"here\"",
            "[target]\nsite = \"there\"",
            "'there' is the name of no site",
        ),
        ("nodes = 2", "nodes = 0", "no node"),
    ];
    for (from, to, expected) in cases {
        let error = simulated(&SMALL.replace(from, to), false).0.unwrap_err();
        assert!(error.message.contains(expected), "{expected}: {}", error.message);
        assert!(error.message.contains("scenario.toml"), "{}", error.message);
        assert_eq!(error.exit, ExitCode::Usage);
    }
}

#[test]
fn the_scenarios_that_come_along_can_be_read() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sim/scenarios");
    let mut count = 0;
    for file in std::fs::read_dir(directory).unwrap() {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let scenario = file::parse(&text).unwrap().scenario();
        let scenario = scenario.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        scenario.check().unwrap();
        count += 1;
    }
    assert!(count >= 5, "{count}");
}
