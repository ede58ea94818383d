//! A job under trial: what it moves, how far it is, and whether it came to a good end.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::airlift::Running;
use crate::cluster::Cluster;
use crate::tree;

/// Time for a job to go on after what was wrong is over.
const FLOW_MAX: Duration = Duration::from_secs(60);

const POLL: Duration = Duration::from_millis(50);

/// Small objects that [`plant`] makes.
pub const SMALL_COUNT: u64 = 300;

/// Writes many small files, and a large one of `mib` MiB and a bit.
///
/// # Panics
/// When they cannot be written.
pub fn plant(root: &Path, mib: usize) {
    for i in 0..SMALL_COUNT {
        let bytes = tree::noise(i, 500 + usize::try_from(i).expect("a small number"));
        tree::write(root, format!("small/{}/{i}", i % 7), &bytes);
    }
    tree::write(root, "large", &tree::noise(SMALL_COUNT, (mib << 20) + 5));
}

/// `NODE:/path`.
///
/// # Panics
/// When the path is no text.
pub fn on(index: usize, path: &Path) -> String {
    format!("node{index}:{}", path.to_str().expect("temporary paths are text"))
}

/// Bytes that are on disk below `root`, visible or not: Airlift writes none that it has not
/// verified.
pub fn bytes_at(root: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(root) else { return 0 };
    // What is being renamed or removed at this moment is counted the next time.
    let entries = entries.flatten().map(|entry| entry.path());
    let bytes = entries.map(|path| match std::fs::symlink_metadata(&path) {
        Ok(metadata) if metadata.is_dir() => bytes_at(&path),
        Ok(metadata) => metadata.blocks() * 512,
        Err(_) => 0,
    });
    bytes.sum()
}

/// Waits until bytes arrive below `root`, or the job has ended; answers how long that took.
///
/// # Panics
/// When none do in time.
pub fn wait_for_flow(root: &Path, job: &mut Running) -> Duration {
    let (begun, before) = (Instant::now(), bytes_at(root));
    while bytes_at(root) <= before && !job.has_ended() {
        assert!(begun.elapsed() < FLOW_MAX, "nothing arrives any more: {before} bytes");
        std::thread::sleep(POLL);
    }
    begun.elapsed()
}

/// Checks that the last job of a cluster is done, that its counts add up, and that what is at the
/// target is what is at the source and nothing else.
///
/// # Panics
/// When something is not as it should be.
pub fn check_end(cluster: &Cluster, source: &Path, target: &Path) -> Value {
    let job = cluster.job();
    assert_eq!(job["outcome"], "done", "{job}");
    let count = |what: &str| job["objects"][what].as_u64().expect("a count");
    let ended: u64 = ["done", "unchanged", "failed", "skipped"].into_iter().map(count).sum();
    assert_eq!(ended, count("total"), "the counts do not add up: {job}");
    assert_eq!(job["bytes"]["done"], job["bytes"]["total"], "{job}");
    assert!(tree::read(source) == tree::read(target), "the target is not what the source is");
    let entries = std::fs::read_dir(target).expect("the target can be listed");
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    let left: Vec<_> =
        names.filter(|name| name.to_string_lossy().starts_with(".airlift")).collect();
    assert!(left.is_empty(), "{left:?} was left at the target");
    job
}
