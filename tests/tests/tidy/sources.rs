//! Rules for every Rust file.

use crate::finding::{Finding, assert_none};
use crate::source::{self, Source, has_word};

const LINES_MAX: usize = 800;

/// Words of unfinished work, put together here so that this file does not break its own rule.
const UNFINISHED: [&str; 6] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("dbg", "!"),
    concat!("to", "do!"),
    concat!("unimplemented", "!"),
];

fn findings(rule: impl Fn(&Source) -> Vec<Finding>) -> Vec<Finding> {
    source::files("", "rs").iter().flat_map(rule).collect()
}

fn long_file(source: &Source) -> Vec<Finding> {
    let count = source.text.lines().count();
    let rule = format!("{count} lines, {LINES_MAX} are allowed: split it by subject");
    (count > LINES_MAX)
        .then(|| Finding::new(&source.path, LINES_MAX + 1, rule))
        .into_iter()
        .collect()
}

fn missing_module_doc(source: &Source) -> Vec<Finding> {
    let rule = "a module begins with `//!` and says what it is";
    (!source.text.starts_with("//!"))
        .then(|| Finding::new(&source.path, 1, rule))
        .into_iter()
        .collect()
}

fn unfinished_work(source: &Source) -> Vec<Finding> {
    let on_line = |(number, line)| {
        UNFINISHED.iter().filter(move |word| has_word(line, word)).map(move |word| {
            Finding::new(&source.path, number, format!("`{word}`: finish it or leave it out"))
        })
    };
    source.lines().flat_map(on_line).collect()
}

fn ignored_without_reason(source: &Source) -> Vec<Finding> {
    let bare = concat!("#[", "ignore]");
    let rule = "an ignored test says why: `#[ignore = \"reason\"]`";
    source
        .lines()
        .filter(|(_, line)| line.contains(bare))
        .map(|(number, _)| Finding::new(&source.path, number, rule))
        .collect()
}

fn mod_file(source: &Source) -> Vec<Finding> {
    let rule = "name it after its folder, beside the folder";
    source
        .path
        .ends_with("/mod.rs")
        .then(|| Finding::new(&source.path, 1, rule))
        .into_iter()
        .collect()
}

#[test]
fn files_stay_below_the_limit_of_lines() {
    assert_none(&findings(long_file));
}

#[test]
fn every_module_says_what_it_is() {
    assert_none(&findings(missing_module_doc));
}

#[test]
fn no_file_is_named_mod() {
    assert_none(&findings(mod_file));
}

#[test]
fn nothing_is_left_unfinished() {
    assert_none(&findings(unfinished_work));
}

#[test]
fn every_ignored_test_has_a_reason() {
    assert_none(&findings(ignored_without_reason));
}

#[test]
fn each_rule_finds_what_it_looks_for() {
    let text = format!("fn x() {{}}\n// {}: later\n{}\n", UNFINISHED[0], concat!("#[", "ignore]"));
    let source = Source { path: "a/mod.rs".to_owned(), text: text + &"\n".repeat(LINES_MAX) };
    for (rule, place) in [
        (long_file(&source), "a/mod.rs:801: "),
        (missing_module_doc(&source), "a/mod.rs:1: "),
        (mod_file(&source), "a/mod.rs:1: "),
        (unfinished_work(&source), "a/mod.rs:2: "),
        (ignored_without_reason(&source), "a/mod.rs:3: "),
    ] {
        assert_eq!(rule.len(), 1, "{rule:?}");
        assert!(rule[0].to_string().starts_with(place), "{rule:?}");
    }
}
