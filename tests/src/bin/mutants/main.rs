//! Shows that the simulator would notice: makes one mistake at a time in a copy of the source, and
//! lives until an invariant breaks.
//!
//! ```text
//! mutants [--seeds N] [--threads T] [--only NAME] [--list]
//! ```
//!
//! Exit code 1 when a mutant survives all its lives. Builds below `target/mutants`.

#![expect(clippy::print_stdout, reason = "a command line tool speaks on its standard output")]

mod table;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;
use std::{fs, io};

use self::table::{MUTANTS, Mutant};

/// Lives within which a mutant must be caught.
const SEEDS: &str = "2000";

/// Crates that a simulated life is made of.
const CRATES: [&str; 3] = ["protocol", "coordinator", "sim"];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| {
        let at = words.iter().position(|word| word == name)?;
        words.get(at + 1).cloned()
    };
    if words.iter().any(|word| word == "--list") {
        MUTANTS.iter().for_each(|mutant| println!("{}", mutant.name));
        return ExitCode::SUCCESS;
    }
    let only = value("--only");
    let seeds = value("--seeds").unwrap_or_else(|| SEEDS.to_owned());
    let threads = value("--threads").unwrap_or_else(|| "1".to_owned());
    let known = ["--only", "--seeds", "--threads"];
    if words.iter().step_by(2).any(|word| !known.contains(&word.as_str())) {
        println!("mutants [--seeds N] [--threads T] [--only NAME] | --list");
        return ExitCode::from(2);
    }
    let is_wanted =
        |mutant: &&Mutant| only.as_ref().is_none_or(|only| mutant.name.starts_with(only.as_str()));
    let mut survivors = 0;
    for mutant in MUTANTS.iter().filter(is_wanted) {
        match trial(mutant, &seeds, &threads) {
            Ok(Some(caught)) => println!("caught    {}\n          {caught}", mutant.name),
            Ok(None) => {
                survivors += 1;
                println!("SURVIVES  {}", mutant.name);
            }
            Err(error) => {
                survivors += 1;
                println!("FAILS     {}: {error}", mutant.name);
            }
        }
    }
    println!("{survivors} of the mutants survive");
    if survivors == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The root of the source tree.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Lives with one mistake made. Returns what was noticed, and when.
fn trial(mutant: &Mutant, seeds: &str, threads: &str) -> io::Result<Option<String>> {
    let begun = Instant::now();
    let base = root().join("target/mutants");
    let tree = base.join("tree");
    plant(&tree)?;
    let file = tree.join(mutant.file);
    let text = fs::read_to_string(&file)?;
    if text.matches(mutant.find).count() != 1 {
        let text = format!("{} does not have the text once", mutant.file);
        return Err(io::Error::other(text));
    }
    fs::write(&file, text.replacen(mutant.find, mutant.replace, 1))?;
    let target = base.join("target");
    let built = Command::new(env!("CARGO"))
        .args(["build", "--offline", "--quiet", "--profile", "sim", "--bin", "sim"])
        .args(["--package", "airlift-sim", "--target-dir"])
        .arg(&target)
        .current_dir(&tree)
        .env("RUSTFLAGS", "-Awarnings")
        .output()?;
    if !built.status.success() {
        return Err(io::Error::other(String::from_utf8_lossy(&built.stderr).into_owned()));
    }
    let built_in = begun.elapsed().as_secs();
    let lived = Command::new(target.join("sim/sim"))
        .args(["--seeds", seeds, "--threads", threads])
        .output()?;
    let said = String::from_utf8_lossy(&lived.stdout);
    let noticed = said.lines().find(|line| line.contains("breaks an invariant"));
    let panicked = String::from_utf8_lossy(&lived.stderr);
    let panicked = panicked.lines().find(|line| line.contains("panicked")).map(str::to_owned);
    let lived_for = begun.elapsed().as_secs() - built_in;
    Ok(match lived.status.success() {
        true => None,
        false => {
            let what = noticed.map(str::to_owned).or(panicked).unwrap_or_default();
            Some(format!("{what} (built in {built_in} s, lived {lived_for} s)"))
        }
    })
}

/// Copies the crates to `tree`, as a workspace of their own. What has not changed keeps its time, so
/// that it is not built again.
fn plant(tree: &Path) -> io::Result<()> {
    let root = root();
    for name in CRATES {
        let to = tree.join(name);
        copy(&root.join(name), &to)?;
    }
    let manifest = fs::read_to_string(root.join("Cargo.toml"))?;
    let manifest = manifest
        .lines()
        .filter(|line| !line.starts_with("default-members"))
        .map(|line| match line.starts_with("members =") {
            true => "members = [\"protocol\", \"coordinator\", \"sim\"]".to_owned(),
            false => line.to_owned(),
        })
        .collect::<Vec<_>>()
        .join("\n");
    write_if_changed(&tree.join("Cargo.toml"), manifest.as_bytes())?;
    if !tree.join("Cargo.lock").exists() {
        fs::copy(root.join("Cargo.lock"), tree.join("Cargo.lock"))?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            write_if_changed(&target, &fs::read(entry.path())?)?;
        }
    }
    Ok(())
}

fn write_if_changed(to: &Path, bytes: &[u8]) -> io::Result<()> {
    if fs::read(to).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    fs::write(to, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mistake_can_still_be_made() {
        for mutant in MUTANTS {
            let text = fs::read_to_string(root().join(mutant.file)).unwrap();
            assert_eq!(text.matches(mutant.find).count(), 1, "{}", mutant.name);
            assert_ne!(mutant.find, mutant.replace, "{}", mutant.name);
        }
    }
}
