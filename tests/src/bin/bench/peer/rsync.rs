//! `rsync` with a daemon at the far site: nothing is encrypted.

use std::path::Path;

use crate::contest::Run;
use crate::network::{ADDRESSES, Network};
use crate::peer::served;
use crate::process::{Daemon, Task, need, text};

/// In a network that nobody else is in.
const PORT: u16 = 8730;

/// A daemon that serves the root of the targets.
#[derive(Debug)]
pub(crate) struct RsyncDaemon<'a> {
    network: &'a Network,
    program: String,
    daemon: Daemon,
}

impl<'a> RsyncDaemon<'a> {
    pub(crate) fn start(
        network: &'a Network,
        targets: &Path,
        directory: &Path,
    ) -> Result<Self, String> {
        let program = need("rsync")?;
        let settings = directory.join("rsyncd.conf");
        let lines = format!(
            "use chroot = no\nuid = root\ngid = root\n[targets]\npath = {}\nread only = no\n",
            targets.display()
        );
        std::fs::write(&settings, lines).map_err(|error| error.to_string())?;
        let (config, port) = (format!("--config={}", text(&settings)), format!("--port={PORT}"));
        let address = format!("--address={}", ADDRESSES[1]);
        let words = [&program, "--daemon", "--no-detach", &config, &port, &address];
        let task = Task::new(words).within(network.rooms()[1]);
        let mut daemon = Daemon::start("rsync", &task, directory)?;
        daemon.wait_for_port(PORT)?;
        Ok(Self { network, program, daemon })
    }

    /// Copies what `source` contains into `place`, with more words if need be.
    pub(crate) fn copy(&self, source: &Path, place: &str, more: &[&str]) -> Result<Run, String> {
        let name = place.rsplit('/').next().unwrap_or(place);
        let from = format!("{}/", text(source));
        let to = format!("rsync://{}:{PORT}/targets/{name}/", ADDRESSES[1]);
        let words = [&self.program, "-a"].into_iter().chain(more.iter().copied());
        let task = Task::new(words.chain([&*from, &*to])).within(self.network.rooms()[0]);
        served(&task, &self.daemon)
    }
}
