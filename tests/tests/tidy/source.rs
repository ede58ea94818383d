//! The files of the checkout, and the lines of Rust that are not tests.

use std::fs;
use std::path::{Path, PathBuf};

/// Crates that must not do input or output.
pub(crate) const PURE_CRATES: [&str; 3] = ["protocol", "coordinator", "sim"];

/// A text file of the checkout.
#[derive(Debug)]
pub(crate) struct Source {
    /// Path below the root, with `/` between its parts.
    pub(crate) path: String,
    /// All of it.
    pub(crate) text: String,
}

impl Source {
    /// Lines with their numbers, counted from 1.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.text.lines())
    }

    /// Lines that are neither comments nor below `#[cfg(test)]`, with their numbers.
    ///
    /// Relies on rustfmt: an item ends at the first closing bracket that is indented as its
    /// attribute is, or on its own line.
    pub(crate) fn production_lines(&self) -> Vec<(usize, &str)> {
        let mut lines = self.lines();
        let mut kept = Vec::new();
        while let Some((number, line)) = lines.next() {
            if line.trim() == "#[cfg(test)]" {
                skip_item(indent(line), &mut lines);
            } else if !line.trim_start().starts_with("//") {
                kept.push((number, line));
            }
        }
        kept
    }
}

fn skip_item<'a>(indent_of_item: usize, lines: &mut impl Iterator<Item = (usize, &'a str)>) {
    for (_, line) in lines {
        if indent(line) == indent_of_item
            && (line.ends_with(';') || line.trim_end_matches(',').ends_with('}'))
        {
            return;
        }
    }
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// Whether `line` has `word` with no letter, digit or `_` on either side of it.
pub(crate) fn has_word(line: &str, word: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(start, _)| {
        !line[..start].ends_with(is_word) && !line[start + word.len()..].starts_with(is_word)
    })
}

/// The root of the checkout.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a crate has a parent").to_owned()
}

/// The folders of the workspace's crates.
pub(crate) fn members() -> Vec<String> {
    let manifest = read("Cargo.toml");
    let list = manifest.text.split_once("members = [").and_then(|(_, rest)| rest.split_once(']'));
    let (names, _) = list.expect("Cargo.toml:1: has no list of members");
    names.split(',').map(|name| name.trim().trim_matches('"').to_owned()).collect()
}

/// One file, by its path below the root.
pub(crate) fn read(path: &str) -> Source {
    let text = fs::read_to_string(root().join(path))
        .unwrap_or_else(|error| panic!("{path}:1: cannot be read: {error}"));
    Source { path: path.to_owned(), text }
}

/// All files below `folder` (empty for the root) that end in `extension`, in order of their paths.
pub(crate) fn files(folder: &str, extension: &str) -> Vec<Source> {
    let mut paths = Vec::new();
    walk(&root().join(folder), &mut paths);
    let mut sources: Vec<Source> = paths
        .iter()
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .map(|path| path.strip_prefix(root()).expect("the walk starts at the root"))
        .map(|path| read(&path.to_string_lossy()))
        .collect();
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    sources
}

/// Names of the folders directly below `folder`, in order.
pub(crate) fn folders(folder: &str) -> Vec<String> {
    let mut names: Vec<String> = entries(&root().join(folder))
        .into_iter()
        .filter(|path| path.is_dir())
        .filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
        .collect();
    names.sort();
    names
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for path in entries(folder) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_symlink() || name.starts_with('.') || name == "target" {
            continue;
        }
        if path.is_dir() {
            walk(&path, found);
        } else {
            found.push(path);
        }
    }
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}:1: cannot be listed: {error}", folder.display()))
        .map(|entry| entry.expect("a listed entry can be read").path())
        .collect()
}

#[test]
fn lines_below_cfg_test_and_comments_are_not_production() {
    let text = "\
//! doc
use a;
#[cfg(test)]
mod tests;
fn kept() {
    #[cfg(test)]
    let hidden = {
        1
    };
    last();
}
#[cfg(test)]
#[path = \"x.rs\"]
mod other {
    fn gone() {}
}
fn end() {}
";
    let source = Source { path: "x.rs".to_owned(), text: text.to_owned() };
    let kept: Vec<&str> = source.production_lines().into_iter().map(|(_, line)| line).collect();
    assert_eq!(kept, ["use a;", "fn kept() {", "    last();", "}", "fn end() {}"]);
}

#[test]
fn words_end_where_letters_do() {
    assert!(has_word("let x: f64 = 0.0;", "f64"));
    assert!(has_word("x(todo_(y))", "todo_"));
    assert!(!has_word("let f64_like = 1;", "f64"));
    assert!(!has_word("BTreeMapHashMap::new()", "HashMap"));
}
