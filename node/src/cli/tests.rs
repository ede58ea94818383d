//! Commands of a cluster, from the command line to a made-up node and back.

use serde_json::Value;
use tokio::runtime::Runtime;

use super::*;
use crate::api::fake::{self, Fake, JOB, TOKEN};
use crate::api::server::{ApiServer, Limits};
use crate::api::view::{JobMode, JobOutcome, JobState, JobView};
use crate::cli::console::Captured;

struct Bench {
    fake: Fake,
    server: ApiServer,
    directory: tempfile::TempDir,
    /// Dropped last: the server's tasks run in it.
    _runtime: Runtime,
}

fn bench(views: Vec<JobView>) -> Bench {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let fake = Fake::showing(views);
    let server = runtime.block_on(fake.serve(Limits::default()));
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("token"), format!("{TOKEN}\n")).unwrap();
    Bench { fake, server, directory, _runtime: runtime }
}

fn run_line(line: &str) -> (u8, Captured) {
    let cli = Cli::try_parse_from(line.split(' ')).unwrap();
    let (console, is_json) = (Console::capturing(), cli.global.json);
    let exit =
        run(cli, Build::THIS, &console).unwrap_or_else(|error| fail(&error, is_json, &console));
    (exit.number(), console.captured())
}

impl Bench {
    /// Runs a command against the made-up node.
    fn run(&self, line: &str) -> (u8, Captured) {
        let (address, directory) = (self.server.address(), self.directory.path().display());
        run_line(&format!(
            "airlift {line} --cluster http://{address} --token-file {directory}/token --state-dir {directory}"
        ))
    }

    fn json(&self, line: &str) -> (u8, Value) {
        let (exit, captured) = self.run(&format!("{line} --json"));
        assert_eq!(captured.out.len(), 1, "{captured:?}");
        (exit, serde_json::from_str(&captured.out[0]).unwrap())
    }
}

#[test]
fn a_copy_is_submitted_watched_and_summed_up() {
    let bench = bench(vec![fake::begun(), fake::ended()]);
    let (exit, said) = bench.run("cp --exclude *.tmp berlin:/data s3://bucket/data");
    assert_eq!(exit, 0, "{said:?}");
    let submitted = bench.fake.0.submitted.lock().unwrap().remove(0);
    assert_eq!(submitted.filters.exclude, ["*.tmp"]);
    assert_eq!(submitted.source.to_string(), "berlin:/data");
    assert_eq!(said.notes[0], "airlift cp: berlin:/data → s3://bucket/data/");
    assert_eq!(said.notes[1], format!("job {JOB}"));
    let summary = said.notes.last().unwrap();
    assert!(summary.starts_with("airlift cp: all done\n  objects   3: 3 copied\n"), "{summary}");
    assert!(summary.contains("2.9 KiB in 3.0 s; 2.9 KiB moved"), "{summary}");
}

#[test]
fn every_end_has_the_exit_code_of_an_embedded_run() {
    let mut cancelled = fake::ended();
    cancelled.job.state = JobState::Cancelled;
    cancelled.job.outcome = Some(JobOutcome::Cancelled);
    for (view, number, outcome) in [
        (fake::ended(), 0, "done"),
        (fake::ended_badly(), 1, "incomplete"),
        (fake::stopped(), 3, "stopped"),
        (cancelled, 130, "interrupted"),
    ] {
        let (exit, json) = bench(vec![view]).json("cp berlin:/data s3://bucket/data");
        assert_eq!((exit, &json["outcome"]), (number, &outcome.into()), "{json}");
        assert_eq!(json["exit_code"], number);
        assert_eq!(json["bytes"]["sent"], 3000);
    }
}

#[test]
fn troubles_are_named_with_their_keys() {
    let bench = bench(vec![fake::ended_badly()]);
    let (_, json) = bench.json("cp berlin:/data s3://bucket/data");
    assert_eq!(json["errors"][0]["key_base64"], "Yv8=");
    assert_eq!(json["errors"][0]["code"], "permission_denied");
    let (_, said) = bench.run("cp berlin:/data s3://bucket/data");
    let summary = said.notes.last().unwrap();
    assert!(summary.contains("failed    b\\xff: open b: permission denied"), "{summary}");
}

#[test]
fn an_earlier_run_is_not_taken_for_this_one() {
    let mut earlier = fake::ended();
    earlier.job.run = 1;
    let bench = bench(vec![earlier, fake::ended_badly()]);
    assert_eq!(bench.run("cp berlin:/data s3://bucket/data").0, 1);
}

#[test]
fn the_report_has_the_lines_of_the_cluster_and_a_summary() {
    let bench = bench(vec![fake::ended()]);
    *bench.fake.0.lines.lock().unwrap() = vec!["{\"key\":\"a\"}".into(), "{\"key\":\"b\"}".into()];
    let path = bench.directory.path().join("report");
    for command in ["cp berlin:/data s3://bucket/data --report", &format!("job report {JOB} -o")] {
        let (exit, _) = bench.run(&format!("{command} {}", path.display()));
        assert_eq!(exit, 0);
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[..2], ["{\"key\":\"a\"}", "{\"key\":\"b\"}"]);
        let summary: Value = serde_json::from_str(lines[2]).unwrap();
        assert_eq!(summary["summary"]["outcome"], "done");
        std::fs::remove_file(&path).unwrap();
    }
    let (exit, _) = bench.run("cp berlin:/data s3://bucket/data --report /nowhere/report");
    assert_eq!(exit, 3);
    assert_eq!(bench.fake.0.submitted.lock().unwrap().len(), 1, "nothing begins without it");
}

/// The file was emptied before the cluster was asked: a wrong token cost yesterday's report.
#[test]
fn a_report_outlives_a_command_that_the_cluster_refuses() {
    let bench = bench(vec![fake::ended()]);
    std::fs::write(bench.directory.path().join("token"), "unknown").unwrap();
    let path = bench.directory.path().join("report");
    std::fs::write(&path, "yesterday\n").unwrap();
    for command in ["cp berlin:/data s3://bucket/data --report", &format!("job report {JOB} -o")] {
        let (exit, said) = bench.run(&format!("{command} {}", path.display()));
        assert_eq!(exit, 3, "{said:?}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "yesterday\n", "{command}");
    }
}

#[test]
fn differences_are_printed_as_the_result() {
    let mut view = fake::ended();
    view.job.mode = JobMode::Verify;
    view.job.objects.differs = 1;
    view.job.outcome = Some(JobOutcome::Incomplete);
    let bench = bench(vec![view]);
    let line = |key: &str, status: &str| {
        format!(
            r#"{{{key},"status":"{status}","bytes":1,"blake3":null,"reason":null,"code":null}}"#
        )
    };
    *bench.fake.0.lines.lock().unwrap() = vec![
        line(r#""key":"a""#, "equal"),
        line(r#""key":"b\\xff","key_base64":"Yv8=""#, "differs"),
    ];
    let (exit, said) = bench.run("verify berlin:/data s3://bucket/data");
    assert_eq!((exit, said.out), (1, vec!["differs  b\\xff".to_owned()]));
}

#[test]
fn what_no_error_names_is_counted_and_the_report_has_it() {
    let mut view = fake::ended();
    view.job.outcome = Some(JobOutcome::Incomplete);
    (view.job.objects.done, view.job.objects.skipped) = (0, 3);
    view.error_count = 3;
    let bench = bench(vec![view]);
    let (exit, json) = bench.json("cp berlin:/data s3://bucket/data");
    assert_eq!((exit, &json["trouble_count"]), (1, &3.into()), "{json}");
    let line = format!("  3 are not well and not named here; airlift job report {JOB} names all");
    let (_, said) = bench.run("cp berlin:/data s3://bucket/data");
    assert_eq!(said.notes.last().unwrap().lines().last(), Some(line.as_str()));
    let (_, said) = bench.run(&format!("job show {JOB}"));
    assert_eq!(said.out[0].lines().last(), Some(line.as_str()));
}

#[test]
fn failures_are_named_and_counted_beside_differences() {
    let mut view = fake::ended_badly();
    view.job.mode = JobMode::Verify;
    (view.job.objects.failed, view.job.objects.differs) = (30, 25);
    view.errors = vec![view.errors[0].clone(); 30];
    // The second one is as an older node says it.
    for error_count in [55, 30] {
        view.error_count = error_count;
        let bench = bench(vec![view.clone()]);
        let (_, said) = bench.run("verify berlin:/data s3://bucket/data");
        let summary = said.notes.last().unwrap();
        let named = summary.lines().filter(|line| line.starts_with("  failed  "));
        assert_eq!(named.count(), 10, "{summary}");
        let rest = format!("  and 20 more; airlift job report {JOB} names all");
        assert_eq!(summary.lines().last(), Some(rest.as_str()));
        let (_, json) = bench.json("verify berlin:/data s3://bucket/data");
        assert_eq!(json["trouble_count"], 55);
    }
}

#[test]
fn what_the_service_copied_is_said_of_a_cluster_too() {
    let mut view = fake::ended();
    let summary = |view: &JobView| {
        let (_, said) = bench(vec![view.clone()]).run("cp berlin:/data s3://bucket/data");
        said.notes.last().unwrap().clone()
    };
    assert!(!summary(&view).contains("  service "));
    (view.job.copied.objects, view.job.copied.bytes) = (2, 2048);
    let text = summary(&view);
    assert!(text.contains("\n  service   2 copied by it, 2.0 KiB; 1 moved: "), "{text}");
}

#[test]
fn wrong_usage_says_what_to_write() {
    let bench = bench(vec![fake::ended()]);
    for (line, part) in [
        ("cp ./a s3://b/c", "write NODE:/path"),
        ("cp berlin:/a /c", "write NODE:/path"),
        ("sync --include [ berlin:/a s3://b", "is not a glob"),
        ("cp --json --report - berlin:/a s3://b", "both want standard output"),
        ("job submit --max-delete 1 berlin:/a s3://b", "only --mode sync deletes"),
        ("job submit --mode verify --checksum berlin:/a s3://b", "changes nothing"),
    ] {
        let (exit, said) = bench.run(line);
        assert_eq!(exit, 2, "{line}: {said:?}");
        assert!(said.notes.last().unwrap().contains(part), "{line}: {said:?}");
    }
    assert!(bench.fake.0.submitted.lock().unwrap().is_empty());
    for (line, part) in [
        ("airlift job list --cluster  --state-dir /x", "give --cluster URL"),
        ("airlift job list --cluster http://127.0.0.1:1 --state-dir /x", "give --token-file FILE"),
        ("airlift job list --cluster x --state-dir /x", "write URLs such as"),
        ("airlift cp berlin:/a /b --state-dir /x", "name it with --cluster URL"),
        ("airlift ls berlin:/a --state-dir /x", "run it there, with the path alone (a local path"),
    ] {
        let (exit, said) = run_line(line);
        assert_eq!(exit, 2, "{line}: {said:?}");
        assert!(said.notes.last().unwrap().contains(part), "{line}: {said:?}");
    }
    for line in ["job show xyz", "cluster token", "cluster token --role voter --ttl 2h"] {
        let words = format!("airlift {line}");
        assert_eq!(Cli::try_parse_from(words.split(' ')).unwrap_err().exit_code(), 2, "{line}");
    }
}

#[test]
fn jobs_are_listed_shown_and_ordered() {
    let bench = bench(vec![fake::begun()]);
    let (_, said) = bench.run("job list");
    let lines: Vec<&str> = said.out[0].lines().collect();
    assert!(lines[0].starts_with("JOB "), "{lines:?}");
    assert!(lines[1].ends_with("berlin:/data → s3://bucket/data/"), "{lines:?}");
    assert_eq!(bench.json("job list").1["jobs"][0]["id"], JOB.to_string());
    let (_, said) = bench.run(&format!("job show {JOB}"));
    assert!(said.out[0].contains("\nrate        1000 B/s, ETA 0:03\n"), "{said:?}");
    assert!(said.out[0].contains("\nbottleneck  link\n"), "{said:?}");
    let node = "\nnode        berlin  reads 1000 B/s  2 at once  mostly source";
    assert!(said.out[0].contains(node), "{said:?}");
    let (exit, json) = bench.json("job submit --mode sync berlin:/data s3://bucket/data");
    let submitted = serde_json::json!({ "id": JOB.to_string(), "run": 2, "cannot_hold": [] });
    assert_eq!((exit, json), (0, submitted));
    for order in ["pause", "resume", "cancel"] {
        assert_eq!(bench.run(&format!("job {order} {JOB}")).0, 0);
    }
    assert_eq!(*bench.fake.0.orders.lock().unwrap(), ["pause", "resume", "cancel"]);
    let (exit, said) = bench.run("job show 00000000000000000000000000000000");
    assert_eq!(exit, 3);
    assert!(said.notes[0].contains("does not exist"), "{said:?}");
}

/// The command asked for figures that such a token may not see, and ended with exit code 3.
#[test]
fn a_token_for_some_locations_shows_the_cluster_without_figures_of_a_node() {
    let bench = bench(Vec::new());
    assert_eq!(bench.json("cluster status").1["self"]["name"], "berlin");
    std::fs::write(bench.directory.path().join("token"), "limited").unwrap();
    let (exit, json) = bench.json("cluster status");
    assert_eq!((exit, &json["leader"], &json["self"]), (0, &"berlin".into(), &Value::Null));
    let (exit, said) = bench.run("cluster status");
    assert_eq!(exit, 0, "{said:?}");
    assert!(said.out[0].contains("\nNODE ") && !said.out[0].contains("\nasked "), "{said:?}");
}

#[test]
fn a_list_and_top_count_the_same_objects_as_finished() {
    let bench = bench(vec![fake::mixed()]);
    let (_, said) = bench.run("job list");
    assert!(said.out[0].contains("  7/9  "), "{said:?}");
    let (_, said) = bench.run("top --once");
    let row = said.out[0].lines().find(|line| line.starts_with("abababab ")).unwrap();
    assert!(row.contains("  7 of 9   5       "), "{row}");
}

#[test]
fn a_cluster_is_shown_and_changed() {
    let bench = bench(Vec::new());
    let (exit, said) = bench.run("cluster status");
    assert_eq!(exit, 0);
    assert!(said.out[0].contains("quorum   yes (1 of 1 voters alive)"), "{said:?}");
    assert!(said.out[0].contains("voter, leads  alive"), "{said:?}");
    assert_eq!(bench.json("cluster status").1["leader"], "berlin");
    let (_, said) = bench.run("cluster token --role worker --ttl 10m");
    assert_eq!(said.out, ["airlift1.c.v.i.s.a"]);
    let hint = "until 2026-11-21T13:00:00Z: airlift node --join-file FILE";
    assert!(said.notes[0].ends_with(hint), "a token on the command line is no secret: {said:?}");
    assert_eq!(bench.run("cluster remove paris").0, 0);
    assert_eq!(bench.run("cluster transfer-leader").0, 0);
    assert_eq!(
        *bench.fake.0.orders.lock().unwrap(),
        ["token 600", "remove paris", "transfer None"]
    );
}
