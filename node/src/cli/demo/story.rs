//! What happens, one after the other: files are made, a cluster is put together and moves them, its
//! leader and then its worker at the target are killed on the way, and what came of it is proven.
//!
//! Files are made and read in place: nothing else runs in this process, and an interrupt waits for the
//! piece in hand.

use std::path::{Path, PathBuf};

use airlift_protocol::key::Key;
use airlift_protocol::units::ByteCount;

use super::cluster::{Cluster, Election};
use super::corpus;
use super::job::{End, Job};
use super::node::TARGET;
use super::tree::{self, Tree};
use super::{Voice, trouble, unproven};
use crate::cli::exit::CliError;
use crate::cli::format::{count, counted, span};

/// A made file that is large enough to be caught half sent.
pub(super) const LARGE: &str = "made/random.bin";
/// Share of the bytes that has arrived when the leader is killed, in percent.
const KILL_LEADER_AT: u64 = 30;
/// The same for the worker at the target, whose death the next leader has to cope with.
const KILL_WORKER_AT: u64 = 75;

/// What was seen to be true.
#[derive(Clone, Debug)]
pub(super) struct Proof {
    /// Objects moved.
    pub(super) objects: u64,
    /// Their bytes.
    pub(super) bytes: u64,
    /// How the leader was replaced.
    pub(super) election: Election,
    /// What the killed worker left.
    pub(super) remains: Remains,
    /// What the cluster says of the bytes.
    pub(super) end: End,
    /// The hash of [`LARGE`], in hex.
    pub(super) root: String,
}

/// What a killed worker left at the target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Remains {
    /// Objects that are visible, each one whole.
    pub(super) complete: u64,
    /// Objects that are not visible.
    pub(super) absent: u64,
}

/// The story, and where it happens.
#[derive(Debug)]
pub(super) struct Story<'a> {
    root: &'a Path,
    voice: &'a Voice,
    source: PathBuf,
    target: PathBuf,
}

impl<'a> Story<'a> {
    pub(super) fn new(root: &'a Path, voice: &'a Voice) -> Self {
        let (source, target) = (root.join("source"), root.join("target"));
        Self { root, voice, source, target }
    }

    /// Tells it; whatever ran has ended when this is over.
    ///
    /// # Errors
    /// When anything is not as it has to be.
    pub(super) async fn tell(self) -> Result<Proof, CliError> {
        let sent = self.prepare()?;
        let cluster = Cluster::assemble(self.root, self.voice).await?;
        let ends = (self.source.as_path(), self.target.as_path());
        let mut job = Job::submit(cluster, ends, sent.allocated, self.voice).await?;
        let election = self.lose_leader(&mut job).await?;
        let remains = self.lose_worker(&mut job, &sent).await?;
        let end = self.finish(&mut job, &sent, &election.dead).await?;
        let root = self.prove(&sent)?;
        Ok(Proof { objects: sent.objects(), bytes: sent.bytes, election, remains, end, root })
    }

    fn prepare(&self) -> Result<Tree, CliError> {
        let made = self.source.join("made");
        let refused = corpus::make(&made).map_err(|error| trouble("fill", &made, &error))?;
        let here =
            std::env::current_dir().map_err(|error| trouble("find", Path::new("."), &error))?;
        let copied = match corpus::is_checkout(&here) {
            true => corpus::copy_checkout(&here, &self.source.join("checkout"))
                .map_err(|error| trouble("copy the checkout to", &self.source, &error))?,
            false => 0,
        };
        let tree = self.read(&self.source)?;
        self.voice.say(&format!(
            "{} of {} made: text, noise, holes, {} tiny files, an empty directory, odd names{}",
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
            self.voice.say(&format!("this file system cannot hold the name {name}; left out"))?;
        }
        Ok(tree)
    }

    /// Kills the leader for good, and sees another one elected.
    async fn lose_leader(&self, job: &mut Job) -> Result<Election, CliError> {
        job.reach(KILL_LEADER_AT, "the leader is killed").await?;
        let arrived = || tree::allocated(&self.target);
        let election = job.cluster.kill_leader(self.voice, arrived).await?;
        self.voice.say(&format!(
            "{} leads after {}; meanwhile {} arrived; {} stays dead",
            election.leader,
            span(election.took),
            ByteCount(election.arrived),
            election.dead
        ))?;
        Ok(election)
    }

    /// Kills the worker at the target, looks at what it left there, and starts it again.
    async fn lose_worker(&self, job: &mut Job, sent: &Tree) -> Result<Remains, CliError> {
        job.reach(KILL_WORKER_AT, &format!("{TARGET} is killed")).await?;
        job.cluster.node(TARGET)?.kill()?;
        let arrived = ByteCount(tree::allocated(&self.target));
        self.voice.say(&format!("kill -9 {TARGET}, which writes: about {arrived} had arrived"))?;
        let remains = remains(sent, &self.read(&self.target)?)?;
        self.voice.say(&format!(
            "what it left: {} visible, each one complete; {} absent; 0 partial",
            counted(remains.complete, "object"),
            count(remains.absent)
        ))?;
        job.cluster.node(TARGET)?.start()?;
        self.voice.say(&format!("{TARGET} is started again"))?;
        Ok(remains)
    }

    async fn finish(&self, job: &mut Job, sent: &Tree, dead: &str) -> Result<End, CliError> {
        let end = job.end(sent.objects()).await?;
        self.voice.say(&format!(
            "the job is done, without {dead}: of {}, {} were taken over from what {TARGET} had when it died, and at most {} sent again",
            ByteCount(sent.bytes),
            ByteCount(end.kept),
            ByteCount(end.resent)
        ))?;
        Ok(end)
    }

    /// Reads both trees again, here, and compares names, kinds, bits and bytes.
    fn prove(&self, sent: &Tree) -> Result<String, CliError> {
        if let Some(difference) = sent.first_difference(&self.read(&self.source)?) {
            return Err(unproven(format!("the source was changed: {difference}")));
        }
        let found = self.read(&self.target)?;
        if let Some(difference) = sent.first_difference(&found) {
            return Err(unproven(difference));
        }
        let entries = counted(found.items.len() as u64, "entry").replace("entrys", "entries");
        self.voice.say(&format!(
            "read here, not by the cluster: {entries} on both sides, same names, same bytes, same permissions and times; no leftovers"
        ))?;
        let root = found.root_of(LARGE.as_bytes()).unwrap_or_default();
        self.voice.say(&format!("{root}  {LARGE}   (as b3sum prints it)"))?;
        Ok(root)
    }

    fn read(&self, folder: &Path) -> Result<Tree, CliError> {
        tree::read(folder).map_err(|error| trouble("read", folder, &error))
    }
}

/// What of `sent` is visible in `found`: whole objects, but never a part of one.
fn remains(sent: &Tree, found: &Tree) -> Result<Remains, CliError> {
    let mut remains = Remains::default();
    for (name, item) in sent.files() {
        match found.items.get(name) {
            None => remains.absent += 1,
            Some(there) if there.content == item.content => remains.complete += 1,
            Some(_) => {
                let name = Key::from(name.as_slice());
                return Err(unproven(format!("{name} is visible at the target, but partial")));
            }
        }
    }
    match remains.absent {
        0 => Err(unproven("the worker was killed too late to prove anything")),
        _ => Ok(remains),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree of files with these names and texts.
    fn tree(files: &[(&str, &str)]) -> Tree {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        tree::read(folder.path()).unwrap()
    }

    #[test]
    fn what_is_visible_is_whole_or_nothing_is_proven() {
        let sent = tree(&[("a", "first"), ("b", "second")]);
        let left = |files: &[(&str, &str)]| remains(&sent, &tree(files));
        assert_eq!(left(&[("a", "first")]), Ok(Remains { complete: 1, absent: 1 }));
        assert_eq!(left(&[(".staged", "sec")]), Ok(Remains { complete: 0, absent: 2 }));
        let partial = left(&[("a", "first"), ("b", "sec")]).unwrap_err();
        assert_eq!(partial.message, "b is visible at the target, but partial");
        let late = left(&[("a", "first"), ("b", "second")]).unwrap_err();
        assert!(late.message.contains("too late"), "{late}");
    }
}
