//! Documents: their links lead somewhere, and the map shows the land.

use crate::finding::{Finding, assert_none};
use crate::source::{self, Source};

const MAP: &str = "ARCHITECTURE.md";

/// Links and images of a line of Markdown, without their anchors.
fn link_targets(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| {
        let target = rest.split_once(')')?.0.split('#').next()?;
        let is_local =
            !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:");
        is_local.then_some(target)
    })
}

fn dead_links(source: &Source) -> Vec<Finding> {
    let path = source::root().join(&source.path);
    let folder = path.parent().expect("a file is in a folder");
    let on_line = |(number, line)| {
        let is_dead = |target: &&str| !folder.join(target).exists();
        link_targets(line).filter(is_dead).map(move |target| {
            Finding::new(&source.path, number, format!("`{target}` does not exist"))
        })
    };
    source.lines().flat_map(on_line).collect()
}

fn missing_on_map(names: impl Iterator<Item = String>) -> Vec<Finding> {
    let map = source::read(MAP);
    names
        .filter(|name| !map.text.contains(&format!("`{name}/`")))
        .map(|name| Finding::new(MAP, 1, format!("says nothing of `{name}/`")))
        .collect()
}

#[test]
fn links_between_documents_lead_somewhere() {
    let documents = source::files("", "md");
    assert_none(&documents.iter().flat_map(dead_links).collect::<Vec<_>>());
}

#[test]
fn the_map_shows_every_crate() {
    assert_none(&missing_on_map(source::members().into_iter()));
}

#[test]
fn the_map_shows_every_folder_of_the_node() {
    let folders = source::folders("node/src").into_iter();
    assert_none(&missing_on_map(folders.map(|name| format!("node/src/{name}"))));
}

#[test]
fn links_are_found_without_their_anchors() {
    let line = "see [a](docs/a.md#part), [b](https://example.org), [c](#here) and ![d](d.png)";
    assert_eq!(link_targets(line).collect::<Vec<_>>(), ["docs/a.md", "d.png"]);
}
