//! What a job costs a voter: entries of the log, bytes written and syncs, by file, as `strace` sees
//! them on a voter that moves no bytes itself.
//!
//! ```text
//! log_cost [--gib N] [--objects N]
//! ```

#![expect(clippy::print_stdout, reason = "a command line tool speaks on its standard output")]

use std::collections::BTreeMap;
use std::path::Path;

use airlift_tests::airlift::fast_directory;
use airlift_tests::cluster::{Cluster, Role};
use airlift_tests::tree;
use airlift_tests::trial::{check_end, on};

/// What one file of the voter was written.
#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    bytes: u64,
    syncs: u64,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1)?.parse::<u64>().ok()
    };
    let (gib, objects) = (number("--gib").unwrap_or(4), number("--objects").unwrap_or(10_000));
    let block = tree::noise(1, 1 << 20);
    let large = fast_directory();
    for file in 0..4 * gib {
        let mut bytes = block.repeat(256);
        bytes[..8].copy_from_slice(&file.to_le_bytes());
        tree::write(large.path(), format!("{file}"), &bytes);
    }
    measure(&format!("{gib} GiB in files of 256 MiB"), large.path(), gib, "GiB");
    drop(large);
    let small = fast_directory();
    for file in 0..objects {
        tree::write(small.path(), format!("{}/{file}", file / 1000), &block[..4096]);
    }
    let title = format!("{objects} files of 4 KiB");
    measure(&title, small.path(), objects / 1000, "1,000 objects");
}

/// Copies `source` in a cluster of three voters and two workers, and prints the cost for each unit.
fn measure(title: &str, source: &Path, units: u64, unit: &str) {
    let record = fast_directory();
    let trace = record.path().join("trace");
    let mut cluster = Cluster::start(&[Role::Voter, Role::Voter, Role::Worker, Role::Worker]);
    // The tracer is the node's child, so that whoever ends the node ends the node.
    let words = ["strace", "-D", "-f", "--seccomp-bpf", "-qq", "-y", "-o"];
    let what = ["-e", "trace=fsync,fdatasync,pwrite64,write"];
    let words = words.iter().copied().chain(trace.to_str()).chain(what);
    cluster.join_after(words.map(str::to_owned).collect(), Role::Voter);
    cluster.wait_until_whole();
    let committed = |cluster: &Cluster| cluster.view()["commit_index"].as_u64().expect("an index");
    let (entries, before) = (committed(&cluster), costs(&trace));
    let target = fast_directory();
    let (from, to) = (on(2, source), on(3, target.path()));
    let _ = cluster.ask(["cp", &from, &to]).expect(0);
    check_end(&cluster, source, target.path());
    let entries = committed(&cluster) - entries;
    let per_unit = |number: u64| number as f64 / units.max(1) as f64;
    println!("{title}: {entries} entries of the log, {:.1} per {unit}", per_unit(entries));
    for (file, after) in costs(&trace) {
        let earlier = before.get(&file).copied().unwrap_or_default();
        let (bytes, syncs) = (after.bytes - earlier.bytes, after.syncs - earlier.syncs);
        if bytes + syncs == 0 {
            continue;
        }
        println!(
            "  {file}: {:.1} KiB written and {:.1} syncs per {unit}",
            per_unit(bytes) / 1024.0,
            per_unit(syncs)
        );
    }
}

/// Bytes and syncs so far, by the file's name.
fn costs(trace: &Path) -> BTreeMap<String, Cost> {
    let text = std::fs::read_to_string(trace).unwrap_or_default();
    let mut costs: BTreeMap<String, Cost> = BTreeMap::new();
    for line in text.lines() {
        // 123 pwrite64(7</dev/shm/x/node4/consensus.redb>, "...", 4096, 0) = 4096
        let Some((call, rest)) = line.split_once('(') else { continue };
        let path = rest.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
        let Some((path, _)) = path.filter(|(path, _)| path.starts_with('/')) else { continue };
        let name = path.rsplit('/').next().unwrap_or(path);
        // A call may be shown in two halves, and only the first one names the file.
        let length =
            line.rsplit_once('"').map(|(_, rest)| rest.trim_start_matches([',', '.', ' ']));
        let length = length.and_then(|rest| rest.split(',').next()?.parse::<u64>().ok());
        let cost = costs.entry(name.to_owned()).or_default();
        match call.rsplit(' ').next() {
            Some("pwrite64" | "write") => cost.bytes += length.unwrap_or(0),
            Some("fsync" | "fdatasync") => cost.syncs += 1,
            _ => {}
        }
    }
    costs
}
