//! Kills at random instants, again and again: after each nothing partial is visible, and the same
//! command ends with equal content and nothing left over.

use std::path::Path;
use std::time::{Duration, Instant};

use airlift_tests::airlift::{Airlift, can_trace, fast_directory};
use airlift_tests::s3::S3Server;
use airlift_tests::tree::{self, Node};
use tempfile::TempDir;

/// Kills of each route. Together with the other routes: more than a hundred.
const KILLS: u64 = 36;

/// Rounds in which these are to happen: a job may be faster than it was when it was timed.
const ROUNDS_MAX: u64 = 200;

/// Kills in a row before the job may end.
const KILLS_IN_A_ROW: u64 = 3;

/// Bytes that a kill may cost: of the shard of 64 MiB a window of 4 chunks on the link and 4 in writing, and
/// what was written since the last checkpoint of 16 MiB, with as much again while it is recorded; the
/// other shard, of 6 MiB; and the small objects.
const AGAIN_MAX: u64 = (8 + 2 * 16 + 6 + 2) << 20;

fn plant(root: &Path, seed: u64) {
    for i in 0..150u64 {
        tree::write(root, format!("d{}/{i}", i % 7), &tree::noise(seed + i, (i * i) as usize));
    }
    tree::write(root, "large", &tree::noise(seed + 1000, (70 << 20) + 4711));
}

/// Numbers that differ from kill to kill and are the same in every run of the test.
fn random(seed: u64, below: u64) -> u64 {
    let hash = blake3::hash(&seed.to_le_bytes());
    u64::from_le_bytes(*hash.as_bytes().first_chunk().unwrap()) % below
}

/// One way from source to target.
struct Route<'a> {
    airlift: &'a Airlift,
    arguments: [String; 3],
    /// Fails the test when something partial is visible.
    check_visible: Box<dyn Fn() + 'a>,
    /// Fails the test unless the target equals the source and nothing is left over.
    check_end: Box<dyn Fn() + 'a>,
    /// Makes the target empty.
    reset: Box<dyn Fn() + 'a>,
    /// Bytes that were moved and are at the target, visible or not, as far as one can see.
    bytes_there: Box<dyn Fn() -> Option<u64> + 'a>,
}

impl Route<'_> {
    /// Kills and resumes until there were enough kills; returns the most bytes sent again.
    fn run(&self, salt: u64) -> u64 {
        let begun = Instant::now();
        let _ = self.airlift.run(&self.arguments).expect(0);
        let whole = begun.elapsed();
        (self.check_end)();
        let (mut kills, mut most_again) = (0, 0);
        for round in 0.. {
            if kills >= KILLS {
                break;
            }
            assert!(round < ROUNDS_MAX, "{kills} kills in {round} rounds: they come too late");
            (self.reset)();
            for in_a_row in 0..KILLS_IN_A_ROW {
                let mut running = self.airlift.start(&self.arguments);
                let micros = u64::try_from(whole.as_micros()).unwrap();
                let wait = random(salt + round * 10 + in_a_row, micros);
                std::thread::sleep(Duration::from_micros(wait));
                if running.kill().code().is_none() {
                    kills += 1;
                }
                (self.check_visible)();
            }
            let before = (self.bytes_there)();
            let end = self.airlift.run(self.arguments.iter().map(String::as_str).chain(["--json"]));
            let end = end.expect(0).json();
            (self.check_end)();
            let (sent, total) =
                (end["bytes"]["sent"].as_u64().unwrap(), end["bytes"]["total"].as_u64().unwrap());
            if let Some(there) = before {
                most_again = most_again.max((sent + there).saturating_sub(total));
            }
        }
        most_again
    }
}

fn is_staging(path: &std::ffi::OsStr) -> bool {
    path.to_string_lossy().starts_with(".airlift-")
}

/// Everything visible at the target is a whole object of the source, or a directory in which the first
/// one was about to appear.
fn check_visible(source: &Path, target: &Path) {
    let at_source = tree::read(source);
    for (path, node) in tree::read(target) {
        let is_on_its_way = node == Node::EmptyDirectory && source.join(&path).is_dir();
        if !is_staging(&path) && !is_on_its_way {
            assert_eq!(at_source.get(&path), Some(&node), "{path:?}");
        }
    }
}

fn empty(directory: &Path) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            std::fs::remove_dir_all(path).unwrap();
        } else {
            std::fs::remove_file(path).unwrap();
        }
    }
}

/// Bytes of visible files, and data of staged uploads.
fn bytes_there(target: &Path) -> u64 {
    let visible: u64 = tree::read(target)
        .iter()
        .filter(|(path, _)| !is_staging(path))
        .map(|(_, node)| if let Node::File { bytes, .. } = node { *bytes } else { 0 })
        .sum();
    let staged = std::fs::read_dir(target).unwrap().map(|entry| entry.unwrap().path());
    let staged = staged.filter(|path| is_staging(path.file_name().unwrap()));
    let files = staged.flat_map(|path| std::fs::read_dir(path).unwrap());
    let uploads = files.filter(|file| file.as_ref().unwrap().metadata().unwrap().len() > 8 << 20);
    let data: u64 = uploads
        .map(|file| {
            use std::os::unix::fs::MetadataExt;
            file.unwrap().metadata().unwrap().blocks() * 512
        })
        .sum();
    visible + data
}

fn remove_all(server: &S3Server) {
    let client = server.access().client();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for key in server.keys("bucket") {
        let request = client.delete_object().bucket("bucket").key(key);
        runtime.block_on(request.send()).expect("a delete");
    }
}

#[test]
fn files_to_files() {
    let (source, target) = (fast_directory(), fast_directory());
    plant(source.path(), 1);
    let airlift = Airlift::new();
    let path = |directory: &TempDir| directory.path().to_str().unwrap().to_owned();
    let route = Route {
        airlift: &airlift,
        arguments: ["cp".to_owned(), path(&source), path(&target)],
        check_visible: Box::new(|| check_visible(source.path(), target.path())),
        check_end: Box::new(|| {
            assert_eq!(tree::read(source.path()), tree::read(target.path()));
            assert!(airlift.jobs().is_empty());
        }),
        reset: Box::new(|| empty(target.path())),
        bytes_there: Box::new(|| Some(bytes_there(target.path()))),
    };
    let most = route.run(1);
    assert!(most <= AGAIN_MAX, "{most} bytes were sent again");
}

#[test]
fn files_to_s3() {
    let source = fast_directory();
    plant(source.path(), 2);
    let server = S3Server::with_bucket("bucket");
    let airlift = Airlift::new().with_s3(server.access());
    let expected = |key: &str| std::fs::read(source.path().join(key)).ok();
    let route = Route {
        airlift: &airlift,
        arguments: ["cp", source.path().to_str().unwrap(), "s3://bucket/"].map(str::to_owned),
        check_visible: Box::new(|| {
            for key in server.keys("bucket") {
                assert!(server.content("bucket", &key) == expected(&key), "{key} is partial");
            }
        }),
        check_end: Box::new(|| {
            assert_eq!(server.keys("bucket").len(), 151);
            for key in server.keys("bucket") {
                assert!(server.content("bucket", &key) == expected(&key), "{key} differs");
            }
            assert_eq!(server.uploads("bucket"), [] as [&str; 0]);
            assert!(airlift.jobs().is_empty());
        }),
        reset: Box::new(|| remove_all(&server)),
        bytes_there: Box::new(|| None),
    };
    route.run(1_000_000);
}

#[test]
fn s3_to_files() {
    let (origin, target) = (fast_directory(), fast_directory());
    plant(origin.path(), 3);
    let server = S3Server::with_bucket("bucket");
    let airlift = Airlift::new().with_s3(server.access());
    let _ = airlift.run(["cp", origin.path().to_str().unwrap(), "s3://bucket/"]).expect(0);
    let route = Route {
        airlift: &airlift,
        arguments: ["cp", "s3://bucket/", target.path().to_str().unwrap()].map(str::to_owned),
        check_visible: Box::new(|| check_visible(origin.path(), target.path())),
        check_end: Box::new(|| {
            assert_eq!(tree::read(origin.path()), tree::read(target.path()));
            assert!(airlift.jobs().is_empty());
        }),
        reset: Box::new(|| empty(target.path())),
        bytes_there: Box::new(|| Some(bytes_there(target.path()))),
    };
    let most = route.run(2_000_000);
    assert!(most <= AGAIN_MAX, "{most} bytes were sent again");
}

/// Calls that change what is on a disk.
const CALLS: [&str; 8] = [
    "openat",
    "pwrite64",
    "rename,renameat,renameat2",
    "unlink,unlinkat,rmdir",
    "mkdir,mkdirat",
    "fsync,fdatasync",
    "ftruncate,fallocate",
    "utimensat,fchmod",
];

/// The process dies instead of its first, second, third … call of a kind, as far as it makes so many.
#[test]
fn files_to_files_at_every_call() {
    if !can_trace() {
        return;
    }
    let (source, target) = (fast_directory(), fast_directory());
    for i in 0..9u64 {
        tree::write(source.path(), format!("d{}/{i}", i % 3), &tree::noise(i, (i * 1000) as usize));
    }
    tree::write(source.path(), "large", &tree::noise(1000, (9 << 20) + 4711));
    let airlift = Airlift::new();
    let arguments = ["cp", source.path().to_str().unwrap(), target.path().to_str().unwrap()];
    let mut kills = 0;
    for calls in CALLS {
        for nth in [1, 2, 3, 4, 5, 6, 8, 10, 13, 17, 22, 28] {
            let words = ["strace", "-f", "-qq", "-o", "/dev/null", "-e"].map(str::to_owned);
            let (trace, inject) =
                (format!("trace={calls}"), format!("inject={calls}:signal=KILL:when={nth}"));
            let words: Vec<String> =
                words.into_iter().chain([trace, "-e".to_owned(), inject]).collect();
            let end = airlift.run_after(&words, arguments);
            check_visible(source.path(), target.path());
            match end.code {
                None => kills += 1,
                Some(_) => drop(end.expect(0)),
            }
            let again = airlift.run(arguments);
            assert_eq!(again.code, Some(0), "after death at {calls} {nth}: {again:?}");
            assert_eq!(tree::read(source.path()), tree::read(target.path()), "{calls} {nth}");
            assert!(airlift.jobs().is_empty(), "{calls} {nth}");
            empty(target.path());
        }
    }
    assert!(kills >= 40, "only {kills} processes died");
}
