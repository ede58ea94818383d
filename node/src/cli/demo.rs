//! `demo`: real files, a job that is killed on its way and resumed, and a result that is proven by
//! comparing both trees byte for byte, without the code that moved them.

mod child;
mod corpus;
mod tree;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use airlift_protocol::key::Key;
use airlift_protocol::units::ByteCount;
use serde_json::json;

use self::child::Airlift;
use self::tree::Tree;
use super::args::{DemoArgs, Global};
use super::console::{Console, unless_closed, words};
use super::exit::{CliError, ExitCode};
use super::format::{count, counted};

/// Bytes per second of the run that is killed, slow enough to be caught on its way.
const BWLIMIT: &str = "32M";
/// Share of the bytes that has arrived when the process is killed, in percent.
const KILL_AT_PERCENT: u64 = 65;
/// A made file that is large enough to be caught half sent.
const LARGE: &str = "made/random.bin";

/// Tells and proves the story.
///
/// # Errors
/// When anything was not as it has to be.
pub(super) fn run(
    args: &DemoArgs,
    global: &Global,
    console: &Console,
) -> Result<ExitCode, CliError> {
    let base = args.dir.clone().unwrap_or_else(std::env::temp_dir);
    let root = base.join(format!("airlift-demo-{}", std::process::id()));
    let made = fs::create_dir_all(&base).and_then(|()| fs::create_dir(&root));
    made.map_err(|error| trouble("make", &root, &error))?;
    let root = fs::canonicalize(&root).map_err(|error| trouble("find", &root, &error))?;
    let story = Story { root: root.clone(), is_json: global.json, console: console.clone() };
    match story.tell() {
        Ok(()) if args.keep => story.say(&format!("Everything is left in {}.", root.display()))?,
        Ok(()) => fs::remove_dir_all(&root).map_err(|error| trouble("remove", &root, &error))?,
        Err(error) => {
            let message = format!("not proven: {error} (everything is left in {})", root.display());
            return Err(CliError { message, ..error });
        }
    }
    Ok(ExitCode::Done)
}

#[derive(Debug)]
struct Story {
    root: PathBuf,
    is_json: bool,
    console: Console,
}

/// What the killed run left at the target.
#[derive(Debug)]
struct Remains {
    complete: u64,
    absent: u64,
    absent_bytes: u64,
}

impl Story {
    fn tell(&self) -> Result<(), CliError> {
        let (source, target) = (self.root.join("source"), self.root.join("target"));
        let airlift = Airlift::new(&self.root)?;
        let sent = self.prepare(&source)?;
        self.say(&format!(
            "2. Copy {} to {} at {BWLIMIT}/s, and kill -9 the process on its way.",
            source.display(),
            target.display()
        ))?;
        let arrived = airlift.copy_and_kill(&source, &target, BWLIMIT, |arrived| {
            arrived * 100 >= sent.allocated * KILL_AT_PERCENT
        })?;
        self.say(&format!("   killed after about {} had arrived", ByteCount(arrived)))?;
        let remains = self.inspect(&sent, &target)?;
        let resumed = self.resume(&airlift, &source, &target, &remains)?;
        let verified = self.verify(&airlift, &source, &target, &sent)?;
        let root = self.prove(&sent, &target)?;
        self.say("Proven: killed on its way, resumed, and every name and byte is right.")?;
        match self.is_json {
            true => self.print(&json!({
                "proven": true,
                "objects": sent.objects(),
                "bytes": sent.bytes,
                "visible_after_kill": remains.complete,
                "partial_after_kill": 0,
                "absent_after_kill": remains.absent,
                "resumed": resumed,
                "verified": verified,
                "blake3": { LARGE: root },
            })),
            false => Ok(()),
        }
    }

    fn prepare(&self, source: &Path) -> Result<Tree, CliError> {
        let made = source.join("made");
        let refused = corpus::make(&made).map_err(|error| trouble("fill", &made, &error))?;
        let here =
            std::env::current_dir().map_err(|error| trouble("find", Path::new("."), &error))?;
        let copied = match corpus::is_checkout(&here) {
            true => corpus::copy_checkout(&here, &source.join("checkout"))
                .map_err(|error| trouble("copy the checkout to", source, &error))?,
            false => 0,
        };
        let tree = tree::read(source).map_err(|error| trouble("read", source, &error))?;
        self.say(&format!(
            "1. Made {} of {}: text, noise, holes, {} tiny files, an empty directory, odd names{}.",
            counted(tree.objects(), "object"),
            ByteCount(tree.bytes),
            count(corpus::TINY_COUNT),
            match copied {
                0 => String::new(),
                _ => format!(", and {} of this checkout", counted(copied, "file")),
            }
        ))?;
        for name in refused {
            let name = Key::new(name);
            self.say(&format!("   this file system cannot hold the name {name}; left out"))?;
        }
        Ok(tree)
    }

    /// Looks at what the killed process left: whole objects, or none, but never a part of one.
    fn inspect(&self, sent: &Tree, target: &Path) -> Result<Remains, CliError> {
        let found = tree::read(target).map_err(|error| trouble("read", target, &error))?;
        let mut remains = Remains { complete: 0, absent: 0, absent_bytes: 0 };
        for (name, item) in sent.files() {
            match found.items.get(name) {
                None => {
                    remains.absent += 1;
                    remains.absent_bytes += item.bytes();
                }
                Some(there) if there.content == item.content => remains.complete += 1,
                Some(_) => {
                    let name = Key::from(name.as_slice());
                    return Err(unproven(format!("{name} is visible at the target, but partial")));
                }
            }
        }
        self.say(&format!(
            "3. At the target {} visible, each one complete; {} absent; 0 partial.",
            count(remains.complete),
            count(remains.absent)
        ))?;
        match remains.absent {
            0 => Err(unproven("the copy was killed too late to prove anything")),
            _ => Ok(remains),
        }
    }

    fn resume(
        &self,
        airlift: &Airlift,
        source: &Path,
        target: &Path,
        remains: &Remains,
    ) -> Result<serde_json::Value, CliError> {
        self.say("4. Run the same command again.")?;
        let ends = [source.as_os_str(), target.as_os_str()];
        let result = airlift.result("cp", &["--links", "copy"], &ends)?;
        let number = |pointer: &str| result.pointer(pointer).and_then(|value| value.as_u64());
        let (Some(done), Some(unchanged), Some(moved), Some(again)) = (
            number("/objects/done"),
            number("/objects/unchanged"),
            number("/bytes/sent"),
            number("/bytes/resent"),
        ) else {
            return Err(unproven(format!("the result lacks its counts: {result}")));
        };
        self.say(&format!(
            "   {} unchanged, {} copied: of their {}, {} were there from the killed run, verified, and {} moved now (at most {} of it for the second time)",
            count(unchanged),
            count(done),
            ByteCount(remains.absent_bytes),
            ByteCount(remains.absent_bytes.saturating_sub(moved)),
            ByteCount(moved),
            ByteCount(again)
        ))?;
        if moved >= remains.absent_bytes {
            return Err(unproven("nothing of the half-sent objects was taken over"));
        }
        if done + unchanged < remains.complete + remains.absent {
            return Err(unproven("the counts do not add up to all objects"));
        }
        Ok(json!({ "done": done, "unchanged": unchanged, "sent": moved, "resent": again }))
    }

    fn verify(
        &self,
        airlift: &Airlift,
        source: &Path,
        target: &Path,
        sent: &Tree,
    ) -> Result<serde_json::Value, CliError> {
        let ends = [source.as_os_str(), target.as_os_str()];
        let result = airlift.result("verify", &["--links", "copy"], &ends)?;
        let equal = result.pointer("/objects/equal").and_then(|value| value.as_u64()).unwrap_or(0);
        self.say(&format!("5. airlift verify: {} equal, nothing else.", count(equal)))?;
        match equal >= sent.files().count() as u64 {
            true => Ok(json!({ "equal": equal })),
            false => Err(unproven("verify did not see all objects")),
        }
    }

    /// Reads both trees again, here, and compares names, kinds, bits and bytes.
    fn prove(&self, sent: &Tree, target: &Path) -> Result<String, CliError> {
        let found = tree::read(target).map_err(|error| trouble("read", target, &error))?;
        if let Some(difference) = sent.first_difference(&found) {
            return Err(unproven(difference));
        }
        self.say(&format!(
            "6. Read by hand: {} on both sides, same names, same bytes, same permissions and times; no leftovers.",
            counted(found.items.len() as u64, "entry").replace("entrys", "entries")
        ))?;
        let root = found.root_of(LARGE.as_bytes()).unwrap_or_default();
        self.say(&format!("   {root}  {}   (as b3sum prints it)", target.join(LARGE).display()))?;
        Ok(root)
    }

    /// A line of the story: on standard output, unless that is for the JSON document.
    fn say(&self, line: &str) -> Result<(), CliError> {
        match self.is_json {
            true => self.console.note(line),
            false => unless_closed(self.console.print(line))?,
        }
        Ok(())
    }

    fn print(&self, document: &serde_json::Value) -> Result<(), CliError> {
        unless_closed(self.console.print(&document.to_string()))
    }
}

fn trouble(action: &str, path: &Path, error: &io::Error) -> CliError {
    CliError::cannot_run(format!("{action} {}: {}", path.display(), words(error)))
}

fn unproven(reason: impl Into<String>) -> CliError {
    CliError { exit: ExitCode::Trouble, message: reason.into() }
}
