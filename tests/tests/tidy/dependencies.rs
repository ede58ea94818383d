//! The dependency graph is the architecture: what the pure crates depend on, through everything; and
//! no dependency of any crate is there without use and reason.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

use crate::finding::{Finding, assert_none};
use crate::source::{self, PURE_CRATES, has_word};

/// Where each dependency has its reason.
const REASONS: &str = "docs/dependencies.md";

/// What a pure crate may name in its manifest, beside the pure crates before it.
const DIRECT_ALLOWED: [&str; 7] =
    ["bincode", "blake3", "jiff", "raft", "serde", "slog", "thiserror"];

/// What is reached only through these is not looked at, with the reason.
///
/// `raft` needs `rand`, and that the system: its only draw, the election timeout, is overwritten
/// after every call (`coordinator/src/consensus.rs`), and a test compares the traces of two runs.
/// `slog` is here because `raft` asks for a logger of that kind; it gets one that discards, and
/// carries `anyhow` only to be able to log its errors.
const NOT_FOLLOWED: [&str; 2] = ["raft", "slog"];

/// What must not be in a pure crate's graph, at any depth: runtimes, sockets, files, randomness,
/// clocks, threads.
const DENIED: [&str; 35] = [
    "anyhow",
    "async-std",
    "async-trait",
    "aws-config",
    "aws-sdk-s3",
    "cap-std",
    "chrono",
    "crossbeam-channel",
    "dirs",
    "fastrand",
    "figment",
    "fs2",
    "futures",
    "getrandom",
    "hyper",
    "indicatif",
    "libp2p",
    "memmap2",
    "mio",
    "num_cpus",
    "openssl",
    "parking_lot",
    "quinn",
    "rand",
    "rand_core",
    "rayon",
    "redb",
    "reqwest",
    "rustix",
    "rustls",
    "socket2",
    "tempfile",
    "time",
    "tokio",
    "zstd",
];

/// Names of packages and of what each needs to run, without tests and build scripts.
struct Graph {
    names: BTreeMap<String, String>,
    needs: BTreeMap<String, Vec<String>>,
    /// For each package the names by which its sources know what it depends on, tests included.
    externs: BTreeMap<String, Vec<String>>,
}

impl Graph {
    fn of_workspace() -> Self {
        let metadata = metadata();
        let names = array(&metadata["packages"])
            .map(|package| (text(&package["id"]), text(&package["name"])))
            .collect();
        let needs = array(&metadata["resolve"]["nodes"])
            .map(|node| (text(&node["id"]), array(&node["deps"]).filter_map(needed).collect()))
            .collect();
        let externs = array(&metadata["resolve"]["nodes"])
            .map(|node| {
                let names = array(&node["deps"]).map(|dependency| text(&dependency["name"]));
                (text(&node["id"]), names.collect())
            })
            .collect();
        Self { names, needs, externs }
    }

    fn id(&self, name: &str) -> &str {
        let found = self.names.iter().find(|(_, other)| *other == name);
        found.unwrap_or_else(|| panic!("Cargo.toml:1: has no member {name}")).0
    }

    fn direct(&self, name: &str) -> BTreeSet<&str> {
        self.needs[self.id(name)].iter().map(|id| self.names[id].as_str()).collect()
    }

    /// Everything below `name`, each with the package that asks for it; what is only below one of
    /// `not_followed` is left out.
    fn transitive(&self, name: &str, not_followed: &[&str]) -> BTreeMap<&str, &str> {
        let mut found = BTreeMap::new();
        let mut open = vec![self.id(name)];
        while let Some(id) = open.pop() {
            if not_followed.contains(&self.names[id].as_str()) {
                continue;
            }
            for needed in &self.needs[id] {
                let name = self.names[needed].as_str();
                if found.insert(name, self.names[id].as_str()).is_none() {
                    open.push(needed);
                }
            }
        }
        found
    }
}

/// The graph as cargo resolves it for this machine, so that nothing has to be fetched for it.
fn metadata() -> Value {
    let host = output("rustc", &["-vV"]);
    let host = host.lines().find_map(|line| line.strip_prefix("host: ")).expect("rustc has a host");
    let arguments = ["metadata", "--format-version=1", "--locked", "--filter-platform", host];
    serde_json::from_str(&output("cargo", &arguments)).expect("cargo metadata prints JSON")
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(source::root())
        .output()
        .unwrap_or_else(|error| panic!("{program} cannot be run: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?} failed:\n{errors}");
    String::from_utf8(output.stdout).expect("it prints UTF-8")
}

fn needed(dependency: &Value) -> Option<String> {
    let is_normal = array(&dependency["dep_kinds"]).any(|kind| kind["kind"].is_null());
    is_normal.then(|| text(&dependency["pkg"]))
}

fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().expect("cargo metadata keeps its format").iter()
}

fn text(value: &Value) -> String {
    value.as_str().expect("cargo metadata keeps its format").to_owned()
}

/// The line of a crate's manifest that names a dependency, as its package or as the sources do.
fn line_of(manifest: &str, dependency: &str) -> usize {
    let source = source::read(manifest);
    let package = dependency.replace('_', "-");
    let found = source.lines().find(|(_, line)| {
        let names = [dependency, &package];
        names.iter().any(|name| {
            line.strip_prefix(*name).is_some_and(|rest| rest.starts_with(['.', ' ', '=']))
        })
    });
    found.map_or(1, |(number, _)| number)
}

/// Names in the section `[workspace.dependencies]`, our own crates left out, with their lines.
fn shared_dependencies() -> Vec<(usize, String)> {
    let manifest = source::read("Cargo.toml");
    manifest
        .lines()
        .skip_while(|(_, line)| *line != "[workspace.dependencies]")
        .skip(1)
        .take_while(|(_, line)| !line.starts_with('['))
        .filter_map(|(number, line)| Some((number, line.split_once(" = ")?.0.to_owned())))
        .filter(|(_, name)| !name.starts_with("airlift-"))
        .collect()
}

#[test]
fn no_crate_names_a_dependency_that_it_does_not_use() {
    let graph = Graph::of_workspace();
    let mut findings = Vec::new();
    for name in source::members() {
        let sources = source::files(&name, "rs");
        for dependency in &graph.externs[graph.id(&format!("airlift-{name}"))] {
            if !sources.iter().any(|source| has_word(&source.text, dependency)) {
                let manifest = format!("{name}/Cargo.toml");
                let rule = format!("no source of the crate uses `{dependency}`");
                findings.push(Finding::new(&manifest, line_of(&manifest, dependency), rule));
            }
        }
    }
    assert_none(&findings);
}

#[test]
fn every_shared_dependency_is_used_and_has_a_reason() {
    let reasons = source::read(REASONS);
    let manifests: Vec<_> =
        source::members().iter().map(|name| source::read(&format!("{name}/Cargo.toml"))).collect();
    let mut findings = Vec::new();
    for (line, name) in shared_dependencies() {
        let by_workspace = format!("\n{name}.workspace");
        if !manifests.iter().any(|manifest| manifest.text.contains(&by_workspace)) {
            findings.push(Finding::new("Cargo.toml", line, format!("no crate names `{name}`")));
        }
        if !reasons.text.contains(&format!("`{name}`")) {
            let rule = format!("`{name}` has no reason in {REASONS}");
            findings.push(Finding::new("Cargo.toml", line, rule));
        }
    }
    assert_none(&findings);
}

#[test]
fn pure_crates_depend_on_nothing_that_does_input_or_output() {
    let graph = Graph::of_workspace();
    let mut findings = Vec::new();
    for name in PURE_CRATES {
        let manifest = format!("{name}/Cargo.toml");
        let needed = graph.transitive(&format!("airlift-{name}"), &NOT_FOLLOWED);
        for (denied, by) in needed.iter().filter(|(name, _)| DENIED.contains(name)) {
            let line = line_of(&manifest, denied).max(line_of(&manifest, by));
            let rule = format!("`{denied}`, asked for by `{by}`, is not for a pure crate");
            findings.push(Finding::new(&manifest, line, rule));
        }
    }
    assert_none(&findings);
}

#[test]
fn pure_crates_name_only_dependencies_that_were_agreed() {
    let graph = Graph::of_workspace();
    let mut findings = Vec::new();
    for (index, name) in PURE_CRATES.iter().enumerate() {
        let manifest = format!("{name}/Cargo.toml");
        for direct in graph.direct(&format!("airlift-{name}")) {
            let is_before = PURE_CRATES[..index]
                .iter()
                .any(|before| direct.strip_prefix("airlift-").is_some_and(|rest| rest == *before));
            if !is_before && !DIRECT_ALLOWED.contains(&direct) {
                let rule = format!("`{direct}` is not on the list of this test");
                findings.push(Finding::new(&manifest, line_of(&manifest, direct), rule));
            }
        }
    }
    assert_none(&findings);
}

#[test]
fn the_graph_is_followed_through_everything() {
    let graph = Graph::of_workspace();
    let needed = graph.transitive("airlift-node", &[]);
    for name in ["tokio", "mio", "rustls", "airlift-protocol"] {
        assert!(needed.contains_key(name), "{name} is not found below the node");
    }
    assert!(!needed.contains_key("proptest"), "tests are not what a crate needs to run");
}

#[test]
fn what_is_only_below_a_dependency_that_is_not_followed_is_left_out() {
    let graph = Graph::of_workspace();
    let all = graph.transitive("airlift-coordinator", &[]);
    assert!(all.contains_key("rand"), "raft draws no more: NOT_FOLLOWED can go");
    let needed = graph.transitive("airlift-coordinator", &NOT_FOLLOWED);
    assert!(needed.contains_key("raft") && !needed.contains_key("rand"));
    assert!(needed.contains_key("slog"), "what is not followed is itself looked at");
}
