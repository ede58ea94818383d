//! The jobs: each lane does its own, one after the other, and checks what came of each.

use std::fs;
use std::path::Path;

use airlift_tests::trial::on;
use serde_json::Value;

use crate::chance::Chance;
use crate::content::{compare, compare_bucket, damage, evolve};
use crate::ground::{BUCKET, Ended, Ground};

/// Targets that copies take in turn.
const COPIES: u64 = 3;

/// From a worker's disk to a voter's: copies, mirrors, comparisons.
pub(crate) fn files(ground: &Ground, seed: u64) -> Result<(), String> {
    let (reader, writer) = (3, 1);
    let mut chance = Chance::new(seed);
    let (source, mirror) = (ground.directory("files/source")?, ground.directory("files/mirror")?);
    let (from, to) = (on(reader, &source), on(writer, &mirror));
    let run = |words: &[&str]| ground.run("files", words);
    let mut round = 0;
    while !ground.is_over() {
        evolve(&source, &mut chance)?;
        let copy = ground.directory(&format!("files/copy{}", round % COPIES))?;
        empty(&copy)?;
        let ended = run(&["cp", &from, &on(writer, &copy)])?;
        settled(&ended, &source, "done")?;
        compare(ground, &source, &copy)?;

        let ended = run(&["sync", &from, &to])?;
        settled(&ended, &source, "unchanged")?;
        compare(ground, &source, &mirror)?;

        let ended = run(&["verify", &from, &to])?;
        settled(&ended, &source, "equal")?;
        if round % 4 == 3 {
            let damaged = damage(&mirror, &mut chance)?;
            let ended = run(&["verify", &from, &to])?;
            found(&ended, &damaged)?;
            let ended = run(&["sync", "--checksum", &from, &to])?;
            settled(&ended, &source, "unchanged")?;
            compare(ground, &source, &mirror)?;
        }
        round += 1;
    }
    Ok(())
}

/// From a voter's disk to a bucket, and from there to another worker's disk.
pub(crate) fn bucket(ground: &Ground, seed: u64) -> Result<(), String> {
    let (reader, writer) = (2, ground.nodes - 1);
    let mut chance = Chance::new(seed);
    let (source, back) = (ground.directory("bucket/source")?, ground.directory("bucket/back")?);
    let (from, to) = (on(reader, &source), on(writer, &back));
    let between = format!("s3://{BUCKET}/mirror");
    let run = |words: &[&str]| ground.run("bucket", words);
    while !ground.is_over() {
        evolve(&source, &mut chance)?;
        let ended = run(&["sync", &from, &between])?;
        settled(&ended, &source, "unchanged")?;
        compare_bucket(ground, &source, "mirror/")?;
        let uploads = ground.server.uploads(BUCKET);
        if !uploads.is_empty() {
            return Err(ended.complaint(&format!("left uploads: {uploads:?}")));
        }
        let ended = run(&["sync", &between, &to])?;
        settled(&ended, &source, "unchanged")?;
        compare(ground, &source, &back)?;
        let ended = run(&["verify", &between, &to])?;
        settled(&ended, &source, "equal")?;
    }
    Ok(())
}

/// Checks that a job ended well, and that its numbers account for every object of the source.
/// `else_done` is how those end that it did not move.
fn settled(ended: &Ended, source: &Path, else_done: &str) -> Result<(), String> {
    let summary = ended.expect(0)?;
    let count = |what: &str| summary["objects"][what].as_u64().unwrap_or(0);
    let moved = if else_done == "done" { 0 } else { count("done") };
    let (here, told) = (airlift_tests::tree::read(source).len(), moved + count(else_done));
    match u64::try_from(here).is_ok_and(|here| here == told) {
        true => Ok(()),
        false => Err(ended.complaint(&format!("accounts for {told} objects of {here}"))),
    }
}

/// Checks that a comparison has found the one difference that there is.
fn found(ended: &Ended, damaged: &str) -> Result<(), String> {
    ended.expect(1)?;
    let differs = |line: &&Value| line["status"] == "differs";
    let named: Vec<&Value> = ended.lines.iter().filter(differs).collect();
    match named[..] {
        [line] if line["key"] == damaged => Ok(()),
        _ => Err(ended.complaint(&format!("should have named {damaged}, and named {named:?}"))),
    }
}

fn empty(directory: &Path) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", directory.display());
    fs::remove_dir_all(directory).map_err(failed)?;
    fs::create_dir(directory).map_err(failed)
}
