//! What all rows are given: the program under test, a place to work, and how much of it there is.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::contest::{Act, Kind, Run, Tool};
use crate::flight::Flight;
use crate::ground::Directories;
use crate::link::Shape;
use crate::network::Network;
use crate::options::Options;
use crate::process::text;

/// The place and the measure of one invocation.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) airlift: PathBuf,
    pub(crate) rounds: usize,
    pub(crate) is_smoke: bool,
    /// Keys of the bucket that is listed.
    pub(crate) keys: Option<u64>,
    root: TempDir,
}

impl Bench {
    pub(crate) fn new(options: &Options) -> Result<Self, String> {
        let beside =
            std::env::current_exe().ok().and_then(|path| Some(path.parent()?.join("airlift")));
        let airlift = options.airlift.clone().or(beside).unwrap_or_default();
        if !airlift.is_file() {
            return Err(format!("no airlift at {}: build the workspace", airlift.display()));
        }
        let airlift = std::fs::canonicalize(airlift).map_err(|error| error.to_string())?;
        let memory = Path::new("/dev/shm");
        let fast = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let below = options.directory.clone().unwrap_or(fast);
        let root = tempfile::Builder::new().prefix("airlift-bench-").tempdir_in(&below);
        let root = root.map_err(|error| format!("{}: {error}", below.display()))?;
        let rounds = if options.is_smoke { 1 } else { options.rounds };
        Ok(Self { airlift, rounds, is_smoke: options.is_smoke, keys: options.keys, root })
    }

    /// An amount: the whole one, or that of a smoke test.
    pub(crate) fn amount(&self, whole: u64, smoke: u64) -> u64 {
        if self.is_smoke { smoke } else { whole }
    }

    /// A link: as it is, or sixteen times shorter for a smoke test, which counts no figures.
    pub(crate) fn link(&self, shape: Shape) -> Shape {
        let delay = if self.is_smoke { shape.delay / 16 } else { shape.delay };
        Shape { delay, ..shape }
    }

    /// An empty directory, removed when it is dropped.
    pub(crate) fn room(&self) -> Result<TempDir, String> {
        let made = tempfile::Builder::new().prefix("row-").tempdir_in(self.root.path());
        made.map_err(|error| format!("{}: {error}", self.root.path().display()))
    }
}

/// One row's directories, with what was planted in it.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) ground: Directories,
    directory: TempDir,
}

impl Field {
    /// Plants a source; once more before, so that the first tool is not the first to touch the memory
    /// of a virtual machine, which takes several times as long.
    pub(crate) fn plant(
        bench: &Bench,
        plant: impl Fn(&Path) -> Result<(), String>,
    ) -> Result<Self, String> {
        let directory = bench.room()?;
        let (warm, source) = (directory.path().join("warm"), directory.path().join("source"));
        plant(&warm)?;
        plant(&source)?;
        std::fs::remove_dir_all(&warm).map_err(|error| format!("{}: {error}", warm.display()))?;
        let ground = Directories::new(&source, &directory.path().join("targets"))?;
        Ok(Self { ground, directory })
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn source(&self) -> &Path {
        self.ground.source()
    }
}

/// A tool that needs something to be started, which may not be possible here.
pub(crate) fn tool<'a, T>(
    name: &'static str,
    kind: Kind,
    needed: &'a Result<T, String>,
    act: impl Fn(&T, &str) -> Result<Run, String> + 'a,
) -> Tool<'a> {
    let act =
        needed.as_ref().map(|needed| -> Act<'a> { Box::new(move |place| act(needed, place)) });
    Tool { name, kind, act: act.map_err(Clone::clone) }
}

/// A tool that is one program, if it is installed.
pub(crate) fn program<'a>(
    name: &'static str,
    kind: Kind,
    program: &str,
    act: impl Fn(&str) -> Result<Run, String> + 'a,
) -> Tool<'a> {
    Tool { name, kind, act: Ok(Box::new(act)) }.with(program)
}

/// Airlift between two nodes.
pub(crate) fn airlift<'a>(flight: &'a Flight<'_>, source: &'a Path) -> Tool<'a> {
    let act = |place: &str| flight.copy(source, place);
    Tool { name: "airlift", kind: Kind::Airlift, act: Ok(Box::new(act)) }
}

/// Airlift in one process.
pub(crate) fn airlift_alone<'a>(bench: &'a Bench, field: &'a Field) -> Tool<'a> {
    let act = |place: &str| {
        let state = field.directory().join("state");
        let (from, state) = (text(field.source()), text(&state));
        let quiet = ["-q", "--progress", "none", "--state-dir", state];
        let words = [text(&bench.airlift), "cp", from, place];
        let ended = crate::process::Task::new(words.into_iter().chain(quiet)).run()?;
        let peaks = [("airlift".to_owned(), ended.peak_bytes)].into();
        let cpu_seconds = ended.usage.seconds();
        Ok(Run { seconds: ended.seconds, cpu_seconds, peaks, notes: [].into() })
    };
    Tool { name: "airlift", kind: Kind::Airlift, act: Ok(Box::new(act)) }
}

/// Nodes of a row, which keep what they know in the row's directory.
pub(crate) fn flight<'a>(
    bench: &Bench,
    network: &'a Network,
    field: &Field,
) -> Result<Flight<'a>, String> {
    let directory = field.directory().join("nodes");
    std::fs::create_dir_all(&directory).map_err(|error| error.to_string())?;
    Flight::start(&bench.airlift, network, &directory)
}
