//! The commands that the README prints are the commands that CI runs.

use std::process::Command;

use crate::source;

/// Prints the commands of the README's first block, one a line; CI runs what it prints.
const READER: &str = ".ci/readme-commands";

#[test]
fn the_readme_prints_the_two_commands_that_ci_runs() {
    let output = Command::new(source::root().join(READER)).output().expect("it can be run");
    assert!(output.status.success(), "{READER}:1: {}", String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8(output.stdout).expect("the README is UTF-8");
    let commands: Vec<&str> = printed.lines().collect();
    let [main, test] = commands[..] else {
        panic!("README.md:1: its first block has {commands:?}, not two commands")
    };
    assert!(main.starts_with("cargo run -- "), "README.md:1: first command is `{main}`");
    assert_eq!(test, "cargo test --workspace", "README.md:1: second command");
    let ci = source::read(".ci/run");
    assert!(ci.text.contains(READER), "{}:1: does not run {READER}", ci.path);
}
