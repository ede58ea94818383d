//! The demonstration: it proves what it says, and leaves neither files nor processes.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use airlift_tests::airlift::{Airlift, fast_directory};
use rustix::process::{Pid, Signal, kill_process};

/// Time for the demonstration to come to what a test waits for.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// A demonstration below `base`, in an empty folder and in an environment that is none of its business.
fn start(user: &Airlift, base: &Path) -> Child {
    let mut command = user.command(["demo", "--json", "--dir", base.to_str().unwrap()]);
    command.env("AIRLIFT_CLUSTER", "http://127.0.0.1:1").env("AIRLIFT_NONSENSE", "1");
    command.current_dir(base).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// Processes whose command line names `path`, but for the demonstration itself.
fn processes(path: &Path, but: Pid) -> Vec<(Pid, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap() {
        let entry = entry.unwrap();
        let number = entry.file_name().to_string_lossy().parse().ok();
        let Some(pid) = number.and_then(Pid::from_raw).filter(|pid| *pid != but) else { continue };
        // A process may end while it is looked at.
        let words = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let path = path.as_os_str().as_bytes();
        if words.windows(path.len()).any(|part| part == path) {
            found.push((pid, String::from_utf8_lossy(&words).replace('\0', " ")));
        }
    }
    found
}

/// Waits until a node of this name runs, and answers its process.
fn wait_for_node(base: &Path, demo: Pid, name: &str) -> Pid {
    let begun = Instant::now();
    let directory = format!("nodes/{name} ");
    loop {
        let found = processes(base, demo);
        if let Some((pid, _)) = found.iter().find(|(_, words)| words.contains(&directory)) {
            return *pid;
        }
        assert!(begun.elapsed() < WAIT_MAX, "no node {name}: {found:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn left(base: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(base).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn a_cluster_that_loses_nodes_on_the_way_is_demonstrated_and_proven() {
    let (user, base) = (Airlift::new(), fast_directory());
    let demo = start(&user, base.path());
    let pid = Pid::from_child(&demo);
    let output = demo.wait_with_output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{told}");
    let proof: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(proof["proven"], true, "{proof}");
    assert_eq!(proof["worker_killed"], "paris-2");
    assert_ne!(proof["leader_killed"], proof["leader_elected"], "{proof}");
    let number = |name: &str| proof[name].as_u64().unwrap_or_else(|| panic!("{name}: {proof}"));
    assert!(number("visible_after_kill") + number("absent_after_kill") <= number("objects"));
    assert!(number("absent_after_kill") > 0 && number("kept") > 0, "{proof}");
    assert_eq!(number("sent") + number("kept"), number("bytes"), "{proof}");
    assert!((1..=30_000).contains(&number("election_ms")), "{proof}");
    assert_eq!(proof["blake3"]["made/random.bin"].as_str().map(str::len), Some(64));
    for event in ["kill -9 paris-2", "paris-2 is started again", " leads after ", "proven: "] {
        assert_eq!(told.lines().filter(|line| line.contains(event)).count(), 1, "{event}: {told}");
    }
    assert_eq!(processes(base.path(), pid), []);
    assert_eq!(left(base.path()), [] as [PathBuf; 0]);
}

#[test]
fn an_interrupted_demonstration_ends_its_nodes_and_removes_its_files() {
    let (user, base) = (Airlift::new(), fast_directory());
    let demo = start(&user, base.path());
    let pid = Pid::from_child(&demo);
    let _ = wait_for_node(base.path(), pid, "oslo");
    kill_process(pid, Signal::INT).unwrap();
    let ended = demo.wait_with_output().unwrap();
    let told = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(130), "{told}");
    assert!(told.ends_with("airlift: interrupted; all nodes have ended\n"), "{told}");
    assert_eq!(processes(base.path(), pid), []);
    assert_eq!(left(base.path()), [] as [PathBuf; 0]);
}

#[test]
fn a_demonstration_that_fails_says_what_did_not_happen_and_keeps_what_there_is() {
    let (user, base) = (Airlift::new(), fast_directory());
    let demo = start(&user, base.path());
    let pid = Pid::from_child(&demo);
    kill_process(wait_for_node(base.path(), pid, "oslo"), Signal::KILL).unwrap();
    let ended = demo.wait_with_output().unwrap();
    let told = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(1), "{told}");
    assert_eq!(processes(base.path(), pid), []);
    let [kept] = &left(base.path())[..] else { panic!("one directory is kept: {told}") };
    let last = told.lines().last().unwrap();
    assert!(last.starts_with("airlift: not proven: the node oslo ended by itself"), "{last}");
    assert!(last.contains(kept.to_str().unwrap()), "{last}");
    let log = std::fs::read_to_string(kept.join("logs/berlin-1.log")).unwrap();
    assert!(log.contains("runs name=\"berlin-1\""), "{log}");
}
