//! The commands, with a made-up node.

use std::path::Path;

use clap::Parser;

use super::*;
use crate::api::access::lines;
use crate::api::client::{Patience, Secret, parse_urls};
use crate::api::fake::{Fake, TOKEN};
use crate::api::server::{ApiServer, Limits};
use crate::cli::args::Cli;

fn global(words: &[&str]) -> Global {
    let words = ["airlift", "doctor"].iter().chain(words);
    Cli::try_parse_from(words).unwrap().global
}

fn client_of(server: &ApiServer) -> Client {
    let urls = parse_urls(&format!("http://{}", server.address())).unwrap();
    Client::new(urls, Secret::new(TOKEN), Patience::default()).unwrap()
}

fn cluster() -> ClusterArgs {
    ClusterArgs { cluster: None, token_file: None }
}

/// Exports into `path`: the exit code, and what was printed.
async fn exported(client: &Client, path: &Path) -> (ExitCode, String) {
    let console = Console::capturing();
    let args = ExportArgs { file: path.to_owned(), cluster: cluster() };
    let exit = export(&args, client, &global(&["-q"]), &console).await.unwrap();
    (exit, console.captured().out.join("\n"))
}

#[tokio::test]
async fn an_export_goes_on_with_its_file_and_refuses_what_does_not_follow() {
    let fake = Fake::default();
    let server = fake.serve(Limits::default()).await;
    let client = client_of(&server);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    let have = |lines: &[AuditLine]| *fake.0.audit.lock().unwrap() = lines.to_vec();
    let all = lines(7);
    have(&all[..3]);
    let (exit, said) = exported(&client, &path).await;
    assert_eq!(exit, ExitCode::Done, "{said}");
    assert!(said.starts_with("entries 1 to 3 are whole"), "{said}");
    have(&all[1..7]);
    let (exit, said) = exported(&client, &path).await;
    assert_eq!((exit, said.starts_with("entries 1 to 7 are whole")), (ExitCode::Done, true));
    let whole = std::fs::read_to_string(&path).unwrap();
    assert_eq!(whole.lines().count(), 7);

    have(&all[..2]);
    let (exit, said) = exported(&client, &path).await;
    assert_eq!(exit, ExitCode::Trouble);
    assert!(said.contains("BROKEN: the cluster has 2 entries"), "{said}");
    std::fs::write(
        &path,
        whole.lines().take(2).map(|line| format!("{line}\n")).collect::<String>(),
    )
    .unwrap();
    have(&all[4..]);
    let (exit, said) = exported(&client, &path).await;
    assert_eq!(exit, ExitCode::Trouble);
    assert!(said.contains("entry 5 stands where entry 3 should"), "{said}");
    assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 2);
}

#[tokio::test]
async fn what_the_cluster_keeps_is_followed_to_the_entry_that_it_names() {
    let fake = Fake::default();
    let server = fake.serve(Limits::default()).await;
    let client = client_of(&server);
    let none = verify_cluster(&client).await.unwrap();
    assert_eq!((none.is_whole, none.last), (true, 0));
    *fake.0.audit.lock().unwrap() = lines(6).split_off(2);
    let verdict = verify_cluster(&client).await.unwrap();
    assert_eq!((verdict.is_whole, verdict.first, verdict.last), (true, 3, 6));
    fake.0.audit.lock().unwrap()[2].subject = "another".to_owned();
    let verdict = verify_cluster(&client).await.unwrap();
    assert!(verdict.broken.unwrap().starts_with("entry 5 does not have the hash"));
}

#[tokio::test]
async fn entries_are_shown_from_the_first_or_the_last_on() {
    let fake = Fake::default();
    *fake.0.audit.lock().unwrap() = lines(5);
    let server = fake.serve(Limits::default()).await;
    let client = client_of(&server);
    for (from, last, json, expected) in
        [(0, None, false, 5), (4, None, false, 2), (0, Some(3), false, 3), (0, Some(9), true, 5)]
    {
        let console = Console::capturing();
        let args = ShowArgs { from, last, cluster: cluster() };
        let words: &[&str] = if json { &["--json"] } else { &[] };
        show(&args, &client, &global(words), &console).await.unwrap();
        let shown = console.captured().out.join("\n");
        let heads = usize::from(!json);
        assert_eq!(shown.lines().count() - heads, expected, "{from} {last:?}: {shown}");
    }
}
