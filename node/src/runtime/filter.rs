//! Which keys take part: globs of the job's filters, compiled.

use airlift_protocol::job::Filters;
use airlift_protocol::key::Key;
use globset::{Candidate, GlobBuilder, GlobSet, GlobSetBuilder};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// Compiled filters.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    include: Option<GlobSet>,
    exclude: GlobSet,
}

impl Filter {
    /// Compiles `filters`.
    ///
    /// # Errors
    /// When a pattern is malformed: a text that names it.
    pub(crate) fn new(filters: &Filters) -> Result<Self, String> {
        let include = match filters.include.is_empty() {
            true => None,
            false => Some(compile(&filters.include)?),
        };
        Ok(Self { include, exclude: compile(&filters.exclude)? })
    }

    /// Whether `key` takes part.
    pub(crate) fn accepts(&self, key: &Key) -> bool {
        // Most jobs have none, and many keys.
        if self.include.is_none() && self.exclude.is_empty() {
            return true;
        }
        let candidate = Candidate::new(OsStr::from_bytes(key.as_bytes()));
        self.include.as_ref().is_none_or(|set| set.is_match_candidate(&candidate))
            && !self.exclude.is_match_candidate(&candidate)
    }
}

fn compile(patterns: &[String]) -> Result<GlobSet, String> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        let glob = GlobBuilder::new(&anchored(pattern)).literal_separator(true).build();
        set.add(
            glob.map_err(|error| format!("the filter '{pattern}' is malformed: {}", error.kind()))?,
        );
    }
    set.build().map_err(|error| format!("the filters cannot be used together: {error}"))
}

/// A pattern without a slash is about names, at any depth; one with a slash is about whole keys;
/// one that ends in a slash is about everything below.
fn anchored(pattern: &str) -> String {
    let (pattern, below) = match pattern.strip_suffix('/') {
        Some(directory) => (directory, "/**"),
        None => (pattern, ""),
    };
    match pattern.strip_prefix('/') {
        Some(whole) => format!("{whole}{below}"),
        None if pattern.contains('/') => format!("{pattern}{below}"),
        None => format!("**/{pattern}{below}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(include: &[&str], exclude: &[&str], key: &str) -> bool {
        let own = |patterns: &[&str]| patterns.iter().map(|&p| p.to_owned()).collect();
        let filters = Filters { include: own(include), exclude: own(exclude) };
        Filter::new(&filters).unwrap().accepts(&Key::from(key))
    }

    #[test]
    fn patterns_are_about_names_keys_or_everything_below() {
        for (include, exclude, key, expected) in [
            (vec![], vec![], "a/b", true),
            (vec!["*.txt"], vec![], "a/b/c.txt", true),
            (vec!["*.txt"], vec![], "c.txt", true),
            (vec!["/*.txt"], vec![], "a/c.txt", false),
            (vec!["a/*.txt"], vec![], "a/c.txt", true),
            (vec!["a/*.txt"], vec![], "a/b/c.txt", false),
            (vec!["a/**"], vec![], "a/b/c.txt", true),
            (vec!["a/"], vec![], "a/b/c.txt", true),
            (vec!["a/"], vec![], "x/a/c", true),
            (vec!["/a/"], vec![], "x/a/c", false),
            (vec!["*.txt"], vec!["secret*"], "a/secret.txt", false),
            (vec![], vec![".git/"], ".git/config", false),
            (vec![], vec!["*.{o,d}"], "x/y.o", false),
        ] {
            assert_eq!(accepts(&include, &exclude, key), expected, "{include:?} {exclude:?} {key}");
        }
    }

    #[test]
    fn keys_outside_utf_8_match_too() {
        let filters = Filters { include: vec!["*.bin".to_owned()], exclude: Vec::new() };
        assert!(Filter::new(&filters).unwrap().accepts(&Key::new(b"\xff/\xfe.bin".as_slice())));
    }

    #[test]
    fn a_malformed_pattern_is_named() {
        let filters = Filters { include: vec!["a[".to_owned()], exclude: Vec::new() };
        assert!(Filter::new(&filters).unwrap_err().contains("a["));
    }
}
