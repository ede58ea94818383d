//! Bad input: one line that names the thing and the way out, the right exit code, nothing lost.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use airlift_tests::airlift::{Airlift, Outcome};
use airlift_tests::canned::{Answer, CannedServer};
use airlift_tests::s3::S3Server;
use airlift_tests::tree;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

fn directory() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

/// The one line that says what is wrong, and no panic.
fn error_line(outcome: &Outcome) -> String {
    let all = &outcome.stderr;
    assert!(!all.contains("panicked"), "{all}");
    let lines: Vec<&str> = all
        .lines()
        .filter(|line| {
            ["airlift: ", "error: "].iter().any(|start| line.starts_with(start))
                || line.contains(": stopped: ")
        })
        .collect();
    assert_eq!(lines.len(), 1, "one error line in: {all}");
    lines[0].to_owned()
}

fn check(airlift: &Airlift, arguments: &[&str], code: i32, words: &[&str]) {
    let outcome = airlift.run(arguments);
    assert_eq!(outcome.code, Some(code), "{arguments:?}: {outcome:?}");
    let line = error_line(&outcome);
    for word in words {
        assert!(line.contains(word), "'{word}' is not in: {line}");
    }
}

#[test]
fn wrong_requests_are_refused_before_anything_moves() {
    let source = directory();
    tree::write(source.path(), "sub/file", b"x");
    let root = source.path().to_str().unwrap();
    let sub = format!("{root}/sub");
    let airlift = Airlift::new();
    for (arguments, code, words) in [
        (vec!["cp", "gopher://host/x", root], 2, vec!["gopher", "serves files and s3,"]),
        (vec!["cp", root, "nfs://bucket/x"], 2, vec!["nfs"]),
        (vec!["cp", "node:/abs", root], 2, vec!["node", "cluster"]),
        (vec!["cp", "/does/not/exist", root], 3, vec!["/does/not/exist"]),
        (vec!["cp", root, root], 2, vec![root]),
        (vec!["cp", root, &sub], 2, vec!["sub"]),
        (vec!["cp", &sub, root, "--include", "a["], 2, vec!["a["]),
        (vec!["cp", &sub, root, "--bwlimit", "fast"], 2, vec!["fast"]),
        (vec!["sync", &sub, root, "--max-delete", "110%"], 2, vec!["110%"]),
    ] {
        check(&airlift, &arguments, code, &words);
    }
    assert_eq!(tree::read(source.path()).len(), 1, "nothing was written");
}

#[test]
fn an_unknown_configuration_key_is_an_error_that_names_it() {
    let home = directory();
    let file = home.path().join("airlift.toml");
    fs::write(&file, "bwlimt = \"10M\"\n").unwrap();
    let outcome =
        Airlift::new().run(["config", "show", "--config", file.to_str().unwrap()]).expect(2);
    let line = error_line(&outcome);
    assert!(line.contains("bwlimt") && line.contains("airlift.toml"), "{line}");
}

#[test]
fn s3_problems_name_the_bucket_the_credentials_or_the_endpoint() {
    let server = S3Server::with_bucket("bucket");
    let target = directory();
    let target = target.path().to_str().unwrap();
    let airlift = Airlift::new().with_s3(server.access());
    check(&airlift, &["cp", "s3://missing/x/", target], 3, &["missing"]);
    check(&airlift, &["cp", target, "s3://missing/x/"], 3, &["missing"]);
    let mut wrong = server.access().clone();
    wrong.secret_key = "wrong".to_owned();
    let airlift = Airlift::new().with_s3(&wrong);
    check(&airlift, &["cp", "s3://bucket/", target], 3, &["AWS_SECRET_ACCESS_KEY"]);
    let mut nobody = server.access().clone();
    nobody.endpoint = "http://127.0.0.1:9".to_owned();
    let airlift = Airlift::new().with_s3(&nobody);
    check(&airlift, &["cp", "s3://bucket/", target], 3, &["127.0.0.1:9"]);
}

#[test]
fn a_damaged_state_says_what_to_delete() {
    let (source, target) = (directory(), directory());
    tree::write(source.path(), "large", &tree::noise(1, 40 << 20));
    let ends = [source.path().to_str().unwrap(), target.path().to_str().unwrap()];
    let airlift = Airlift::new();
    let mut running = airlift.start(["cp", ends[0], ends[1], "--bwlimit", "4M"]);
    while airlift.jobs().is_empty() {
        assert!(!running.has_ended());
        std::thread::yield_now();
    }
    std::thread::sleep(Duration::from_millis(300));
    running.kill();
    let log = airlift.jobs()[0].join("log.redb");
    let sound = fs::read(&log).unwrap();
    let mut truncated = sound.clone();
    truncated.truncate(sound.len() / 2);
    let garbage = vec![0x5a; sound.len()];
    for damaged in [truncated, garbage] {
        fs::write(&log, damaged).unwrap();
        check(&airlift, &["cp", ends[0], ends[1]], 3, &["delete", "state"]);
    }
    fs::remove_dir_all(&airlift.jobs()[0]).unwrap();
    let _ = airlift.run(["cp", ends[0], ends[1]]).expect(0);
    assert_eq!(tree::read(source.path()), tree::read(target.path()));
}

/// The second of two runs that overlap was refused, and had emptied the report of the first by then.
#[test]
fn a_run_that_is_refused_leaves_reports_as_they_are() {
    let (source, target, reports) = (directory(), directory(), directory());
    for i in 0..20 {
        tree::write(source.path(), format!("small/{i}"), &tree::noise(i, 1000));
    }
    tree::write(source.path(), "large", &tree::noise(99, 40 << 20));
    let (first, other) = (reports.path().join("first"), reports.path().join("other"));
    let [first_name, other_name] = [&first, &other].map(|path| path.to_str().unwrap());
    fs::write(&first, "yesterday\n".repeat(1000)).unwrap();
    fs::write(&other, "yesterday\n").unwrap();
    let ends = [source.path().to_str().unwrap(), target.path().to_str().unwrap()];
    let words = |report| ["cp", ends[0], ends[1], "--bwlimit", "8M", "--report", report];
    let airlift = Airlift::new();
    let mut running = airlift.start(words(first_name));
    // A line is there once the job has its state, and the small files are at the target.
    while !fs::read_to_string(&first).unwrap().contains("small/") {
        assert!(!running.has_ended());
        std::thread::yield_now();
    }
    check(&airlift, &words(first_name), 3, &["report", first_name]);
    check(&airlift, &words(other_name), 3, &["another airlift process works on this job"]);
    assert_eq!(fs::read_to_string(&other).unwrap(), "yesterday\n");
    assert!(!running.has_ended(), "they did not overlap");
    assert_eq!(running.wait().code(), Some(0));
    let text = fs::read_to_string(&first).unwrap();
    let line = |line| serde_json::from_str::<Value>(line).unwrap_or_default();
    let lines: Vec<_> = text.lines().map(line).collect();
    assert!(lines.iter().all(Value::is_object), "{text}");
    assert_eq!(lines.len(), 22, "21 files and a summary: {text}");
    assert_eq!(lines[21]["summary"]["objects"]["done"], 21);
}

/// A cluster that runs the job of a preflight, and has no leader for the next one.
async fn cluster_without_a_second_job() -> CannedServer {
    let counts = ["total", "done", "unchanged", "failed", "skipped", "deleted"];
    let counts = counts.into_iter().chain(["equal", "differs", "missing", "extra"]);
    let job = "ab".repeat(16);
    let view = json!({
        "id": job, "run": 1, "mode": "cp", "state": "completed", "outcome": "done",
        "source": "berlin:/data", "target": "s3://bucket/data/", "dry_run": true,
        "objects": counts.map(|name| (name, 0)).collect::<BTreeMap<_, _>>(),
        "bytes": { "total": 0, "done": 0, "sent": 0, "resent": 0, "wire": 0 },
        "is_listed": true, "rate_bytes_per_second": 0, "eta_seconds": null,
        "submitted_at": "2026-11-30T12:00:00Z", "ended_at": "2026-11-30T12:00:01Z",
        "elapsed_ms": 1000, "single": null, "nodes": [], "errors": [], "error_count": 0,
        "deletes_refused": [], "failure": null, "bandwidth_bytes_per_second": null,
    });
    let submitted = json!({ "id": job, "run": 1, "cannot_hold": [] });
    let submissions = AtomicUsize::new(0);
    CannedServer::start(move |line| match line.starts_with("POST ") {
        true if submissions.fetch_add(1, Ordering::Relaxed) > 0 => {
            Answer::new("503 Service Unavailable", "")
        }
        true => Answer::new("200 OK", &submitted.to_string()),
        false => Answer::new("200 OK", &view.to_string()),
    })
    .await
}

/// Nobody listened between the preflight and the job: Ctrl-C did nothing, and the job was submitted.
#[test]
fn an_interrupt_after_the_preflight_ends_the_command() {
    let runtime = Runtime::new().unwrap();
    let server = runtime.block_on(cluster_without_a_second_job());
    let airlift = Airlift::new().with_variable("AIRLIFT_TOKEN", "x");
    let cluster = server.access().endpoint.as_str();
    let words = ["cp", "--preflight", "berlin:/data", "s3://bucket/data", "--cluster", cluster];
    let child = airlift.command(words).stderr(Stdio::piped()).spawn().unwrap();
    let is_submission = |line: &String| line.starts_with("POST ");
    let deadline = Instant::now() + Duration::from_secs(60);
    while server.requests().into_iter().filter(is_submission).count() < 2 {
        assert!(Instant::now() < deadline, "the job did not follow: {:?}", server.requests());
        std::thread::sleep(Duration::from_millis(10));
    }
    let id = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{text}");
    assert!(text.contains("airlift job list"), "{text}");
}

/// A file system of a few MiB, if this user may make one.
struct Mount(TempDir);

impl Mount {
    fn tmpfs(options: &str) -> Option<Self> {
        let point = directory();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(point.path())
            .output()
            .is_ok_and(|output| output.status.success());
        mounted.then_some(Self(point))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        drop(Command::new("umount").arg(self.0.path()).output());
    }
}

#[expect(clippy::print_stderr, reason = "a test that tests nothing has to say so")]
fn skip(why: &str) {
    eprintln!("skipped: {why}");
}

#[test]
fn a_full_target_stops_the_job_with_nothing_partial_and_it_resumes() {
    let Some(mount) = Mount::tmpfs("size=12m") else {
        return skip("a full target needs the right to mount a tmpfs");
    };
    let source = directory();
    for i in 0..40 {
        tree::write(source.path(), format!("small/{i}"), &tree::noise(i, 300_000));
    }
    tree::write(source.path(), "large", &tree::noise(99, 20 << 20));
    let target = mount.path().join("target");
    let ends = [source.path().to_str().unwrap(), target.to_str().unwrap()];
    let airlift = Airlift::new();
    let outcome = airlift.run(["cp", ends[0], ends[1]]).expect(3);
    let line = error_line(&outcome);
    assert!(line.contains("space"), "{line}");
    for (path, node) in tree::read(&target) {
        if !path.to_string_lossy().starts_with(".airlift-") {
            assert_eq!(tree::read(source.path()).get(&path), Some(&node), "{path:?}");
        }
    }
    let grown = Command::new("mount").args(["-o", "remount,size=100m"]).arg(mount.path()).status();
    assert!(grown.unwrap().success());
    let _ = airlift.run(["cp", ends[0], ends[1]]).expect(0);
    assert_eq!(tree::read(source.path()), tree::read(&target));
}

#[test]
fn a_read_only_target_is_named() {
    let Some(mount) = Mount::tmpfs("size=1m,ro") else {
        return skip("a read-only target needs the right to mount a tmpfs");
    };
    let source = directory();
    tree::write(source.path(), "a", b"x");
    let target = mount.path().to_str().unwrap();
    check(
        &Airlift::new(),
        &["cp", source.path().to_str().unwrap(), target],
        3,
        &[target, "read-only"],
    );
}

#[test]
fn an_interrupt_stops_cleanly_and_says_how_to_resume() {
    let (source, target) = (directory(), directory());
    tree::write(source.path(), "large", &tree::noise(1, 40 << 20));
    let ends = [source.path().to_str().unwrap(), target.path().to_str().unwrap()];
    let airlift = Airlift::new();
    let child = airlift
        .command(["cp", ends[0], ends[1], "--bwlimit", "8M"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while airlift.jobs().is_empty() {
        std::thread::yield_now();
    }
    std::thread::sleep(Duration::from_millis(3000));
    let id = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("again") && text.contains("resume"), "{text}");
    assert!(!target.path().join("large").exists(), "nothing partial is visible");
    let resumed = airlift.run(["cp", ends[0], ends[1], "--json"]).expect(0).json();
    assert!(resumed["bytes"]["sent"].as_u64().unwrap() < 40 << 20, "{resumed}");
    assert_eq!(tree::read(source.path()), tree::read(target.path()));
}
