//! A broken rule, with its place.

use std::fmt;

/// A broken rule.
#[derive(Debug)]
pub(crate) struct Finding {
    path: String,
    line: usize,
    rule: String,
}

impl Finding {
    /// A finding at a line, counted from 1, of a path below the root.
    pub(crate) fn new(path: &str, line: usize, rule: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, rule: rule.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.rule)
    }
}

/// Fails with every finding, if there is one.
#[track_caller]
pub(crate) fn assert_none(findings: &[Finding]) {
    let lines: Vec<String> = findings.iter().map(Finding::to_string).collect();
    assert!(lines.is_empty(), "broken rules:\n{}", lines.join("\n"));
}
