//! Targets on a driver in user space, and on a file system that keeps times in steps: exFAT is both.

use std::fs;
use std::fs::File;
use std::path::Path;
use std::time::{Duration, SystemTime};

use airlift_node::store::files::{FileOptions, FileStore};
use airlift_node::store::{Access, MtimeStep, Store};
use airlift_protocol::id::JobId;
use airlift_protocol::job::LinkPolicy;
use airlift_tests::airlift::{Airlift, can_trace};
use airlift_tests::conformance::fixture::{Large, MTIME_NS, content, entry};
use airlift_tests::exfat::Exfat;
use airlift_tests::tree;

const LARGE_BYTES: usize = (9 << 20) + 11;

fn set_time(path: &Path, seconds: u64) {
    let time = SystemTime::UNIX_EPOCH + Duration::new(seconds, 987_654_321);
    File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

#[test]
fn what_was_copied_is_unchanged_though_times_are_kept_in_steps() {
    let Some(exfat) = Exfat::mount() else { return };
    let source = tempfile::tempdir().unwrap();
    let small = tree::write(source.path(), "dir/small", b"small");
    let large = tree::write(source.path(), "large", &tree::noise(1, LARGE_BYTES));
    for path in [&small, &large] {
        set_time(path, 1_700_000_001);
    }
    let (airlift, target) = (Airlift::new(), exfat.path().join("into"));
    let copy = || {
        let words = ["cp", "--json", source.path().to_str().unwrap(), target.to_str().unwrap()];
        let out = airlift.run(words).expect(0).json();
        let count = |what: &str| out["objects"][what].as_u64().unwrap();
        (count("done"), count("unchanged"))
    };
    assert_eq!(copy(), (2, 0));
    assert_eq!(copy(), (0, 2));
    // As long as the longest step that is known.
    set_time(&small, 1_700_000_003);
    assert_eq!(copy(), (1, 1));
    assert_eq!(fs::read_dir(&target).unwrap().count(), 2, "nothing stays of what was tried");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_may_be_repeated_though_times_are_kept_in_steps() {
    let Some(exfat) = Exfat::mount() else { return };
    let open = || {
        let options = FileOptions { links: LinkPolicy::Copy };
        FileStore::open(exfat.path(), JobId([7; 16]), options).expect("a store")
    };
    let large = Large::begin(&open(), "twice", 1).await;
    large.write_all().await;
    large.commit(&open()).await;
    large.commit(&open()).await;
    let store = open();
    assert_eq!(content(&store, "twice").await, large.bytes);
    let step = store.mtime_step(Access::Write).await.expect("an answer");
    assert_ne!(step, MtimeStep::EXACT);
    assert_eq!(entry(&store, "twice").await.mtime_ns, Some(step.kept(MTIME_NS)));
    store.clean().await.unwrap();
}

/// One sync for all never reaches such a driver.
#[test]
fn each_of_many_small_files_is_synced_at_a_driver_in_user_space() {
    let Some(exfat) = Exfat::mount() else { return };
    if !can_trace() {
        return;
    }
    let (source, record) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for number in 0..24u64 {
        let name = format!("{}/{number}", number % 12);
        tree::write(source.path(), name, &tree::noise(number, 1000));
    }
    let (target, trace) = (exfat.path().join("into"), record.path().join("trace"));
    let words = ["strace", "-f", "-qq", "-y", "-e", "trace=fsync,syncfs", "-o"];
    let words: Vec<String> = words.into_iter().chain(trace.to_str()).map(str::to_owned).collect();
    let ends = [source.path(), &target].map(|path| path.to_str().unwrap().to_owned());
    let arguments = ["cp".to_owned()].into_iter().chain(ends);
    let _ = Airlift::new().run_after(&words, arguments).expect(0);
    let calls = fs::read_to_string(trace).unwrap();
    let of = |what: &str| calls.lines().filter(|line| line.contains(what)).count();
    assert_eq!(of("syncfs("), 0, "{calls}");
    assert_eq!(of("/small-"), 24, "{calls}");
    let is_directory = |line: &&str| (0..12).any(|name| line.contains(&format!("/into/{name}>")));
    assert!(calls.lines().filter(is_directory).count() >= 12, "{calls}");
    assert_eq!(tree::read(&target).len(), 24);
}
