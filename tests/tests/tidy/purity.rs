//! The pure crates do no input or output, and the node leaves no task and no thread to itself: their
//! sources do not name what would.

use crate::finding::{Finding, assert_none};
use crate::source::{self, PURE_CRATES, Source, has_word};

/// What a pure crate must not name, and what takes its place.
const FORBIDDEN: [(&str, &str); 13] = [
    ("std::env", "configuration is an argument"),
    ("std::fs", "files belong to the node"),
    ("std::io", "input and output belong to the node"),
    ("std::net", "sockets belong to the node"),
    ("std::os", "the system belongs to the node"),
    ("std::process", "processes belong to the node"),
    ("std::thread", "one owner drives each machine"),
    ("Instant", "time enters as `now: Timestamp`"),
    ("SystemTime", "time enters as `now: Timestamp`"),
    ("HashMap", "its order differs from run to run: use BTreeMap"),
    ("HashSet", "its order differs from run to run: use BTreeSet"),
    ("f32", "floats round differently from place to place: count in integers"),
    ("f64", "floats round differently from place to place: count in integers"),
];

/// Where tasks are begun and ended; everything else waits for its own work in place.
const OWNER: &str = "node/src/runtime/";

/// What the node must not name elsewhere, but for tests. Clippy bans the rest, in tests too.
const UNOWNED: [(&str, &str); 3] = [
    ("tokio::spawn", "tasks belong to the runtime: join futures instead"),
    ("task::spawn", "tasks belong to the runtime: join futures instead"),
    ("thread::spawn", "a thread needs an owner that waits for it: use thread::scope"),
];

/// A list of modules of `std` would hide which ones are used from the rules above.
const GROUPED: &str = "std::{";

fn forbidden(source: &Source, words: &[(&str, &str)]) -> Vec<Finding> {
    let on_line = |(number, line)| {
        let named = words.iter().filter(move |(word, _)| has_word(line, word));
        named.map(move |(word, reason)| {
            Finding::new(&source.path, number, format!("`{word}`: {reason}"))
        })
    };
    source.production_lines().into_iter().flat_map(on_line).collect()
}

fn impure(source: &Source) -> Vec<Finding> {
    let rule = "name each module of std in its own `use`";
    let lines = source.production_lines();
    let grouped = lines.iter().filter(|(_, line)| line.contains(GROUPED));
    let grouped = grouped.map(|(number, _)| Finding::new(&source.path, *number, rule));
    forbidden(source, &FORBIDDEN).into_iter().chain(grouped).collect()
}

/// Files with tests only, and the command line of a binary: what is run, not what is called.
fn is_shell(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.ends_with("_test.rs") || path.ends_with("/main.rs")
}

#[test]
fn pure_crates_name_nothing_that_does_input_or_output() {
    for name in PURE_CRATES {
        let sources = source::files(&format!("{name}/src"), "rs");
        assert!(!sources.is_empty(), "{name}/src:1: has no sources");
        let findings: Vec<Finding> =
            sources.iter().filter(|source| !is_shell(&source.path)).flat_map(impure).collect();
        assert_none(&findings);
    }
}

#[test]
fn every_task_of_the_node_has_an_owner() {
    let sources = source::files("node/src", "rs");
    let findings =
        sources.iter().filter(|source| !is_shell(&source.path) && !source.path.starts_with(OWNER));
    assert_none(&findings.flat_map(|source| forbidden(source, &UNOWNED)).collect::<Vec<_>>());
}

#[test]
fn pure_crates_have_the_same_clippy_configuration() {
    let first = source::read(&format!("{}/clippy.toml", PURE_CRATES[0]));
    let mut findings = Vec::new();
    for name in &PURE_CRATES[1..] {
        let other = source::read(&format!("{name}/clippy.toml"));
        let rule = format!("differs from {}", first.path);
        let mut pairs = first.lines().zip(other.lines());
        if let Some((_, (number, _))) = pairs.find(|(a, b)| a != b) {
            findings.push(Finding::new(&other.path, number, rule));
        } else if first.text != other.text {
            findings.push(Finding::new(&other.path, other.text.lines().count(), rule));
        }
    }
    assert_none(&findings);
}

#[test]
fn impure_names_are_found() {
    let text = "use std::time::{Duration, Instant};\nuse std::{fmt, fs};\n// HashMap\n";
    let source = Source { path: "x.rs".to_owned(), text: text.to_owned() };
    let found: Vec<String> = impure(&source).iter().map(Finding::to_string).collect();
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("x.rs:1: `Instant`"), "{found:?}");
    assert!(found[1].starts_with("x.rs:2: "), "{found:?}");
}
