//! `rclone` over SFTP.

use std::path::Path;

use crate::contest::Run;
use crate::network::{ADDRESSES, Network};
use crate::peer::{Ssh, served};
use crate::process::{Task, need, text};

/// It uses the server that `scp` uses.
#[derive(Debug)]
pub(crate) struct RcloneSftp;

impl RcloneSftp {
    /// Copies what `source` contains.
    pub(crate) fn copy(
        network: &Network,
        ssh: &Ssh<'_>,
        source: &Path,
        place: &str,
    ) -> Result<Run, String> {
        let program = need("rclone")?;
        let (daemon, key, port) = ssh.access();
        let (port, to) = (port.to_string(), format!(":sftp:{place}"));
        let words = [&program, "copy", "--config", "", text(source), &to];
        let server = ["--sftp-host", ADDRESSES[1], "--sftp-port", &port, "--sftp-user", "root"];
        let rest = ["--sftp-key-file", text(key)];
        let task = Task::new(words.into_iter().chain(server).chain(rest));
        served(&task.within(network.rooms()[0]), daemon)
    }
}
