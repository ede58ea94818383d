//! `scp`, `tar` and `rsync` through OpenSSH, with the fastest cipher that it has.

use std::path::{Path, PathBuf};

use crate::contest::Run;
use crate::network::{ADDRESSES, Network};
use crate::peer::served;
use crate::process::{Daemon, Task, need, run, text};

/// In a network that nobody else is in.
const PORT: u16 = 2222;

const CIPHER: &str = "aes128-gcm@openssh.com";

/// A server at the far site, with keys made for it.
#[derive(Debug)]
pub(crate) struct Ssh<'a> {
    network: &'a Network,
    key: PathBuf,
    daemon: Daemon,
}

impl<'a> Ssh<'a> {
    pub(crate) fn start(network: &'a Network, directory: &Path) -> Result<Self, String> {
        let (server, keygen) = (need("sshd")?, need("ssh-keygen")?);
        need("ssh")?;
        let [host, key] = ["ssh_host_key", "ssh_user_key"].map(|name| directory.join(name));
        for key in [&host, &key] {
            run([&keygen, "-q", "-t", "ed25519", "-N", "", "-f", text(key)])?;
        }
        let settings = directory.join("sshd_config");
        let lines = format!(
            "Port {PORT}\nListenAddress {}\nHostKey {}\nAuthorizedKeysFile {}.pub\nStrictModes no\n\
             PermitRootLogin yes\nUsePAM no\nPasswordAuthentication no\nPidFile none\n\
             Subsystem sftp internal-sftp\nMaxStartups 100\n",
            ADDRESSES[1],
            host.display(),
            key.display(),
        );
        std::fs::write(&settings, lines).map_err(|error| error.to_string())?;
        // The server wants this directory, which the system's own start makes.
        std::fs::create_dir_all("/run/sshd").map_err(|error| format!("/run/sshd: {error}"))?;
        let words = [&server, "-D", "-e", "-f", text(&settings)];
        let task = Task::new(words).within(network.rooms()[1]);
        let mut daemon = Daemon::start("sshd", &task, directory)?;
        daemon.wait_for_port(PORT)?;
        Ok(Self { network, key, daemon })
    }

    /// What the clients share.
    fn options(&self) -> Vec<String> {
        let mut options: Vec<String> = Vec::new();
        for option in [
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "IdentitiesOnly=yes",
            "BatchMode=yes",
            "LogLevel=ERROR",
            &format!("Port={PORT}"),
        ] {
            options.extend(["-o".to_owned(), option.to_owned()]);
        }
        let rest = ["-F", "none", "-i", text(&self.key), "-c", CIPHER];
        options.extend(rest.map(str::to_owned));
        options
    }

    fn run(&self, words: Vec<String>) -> Result<Run, String> {
        served(&Task::new(words).within(self.network.rooms()[0]), &self.daemon)
    }

    /// Copies one file.
    pub(crate) fn scp(&self, source: &Path, place: &str) -> Result<Run, String> {
        let mut words = vec![need("scp")?, "-q".to_owned()];
        words.extend(self.options());
        let target = format!("root@{}:{place}/", ADDRESSES[1]);
        words.extend([text(&source.join("large")).to_owned(), target]);
        self.run(words)
    }

    /// Packs here and unpacks there.
    pub(crate) fn tar(&self, source: &Path, place: &str) -> Result<Run, String> {
        need("tar")?;
        let script = "source=$1; shift; tar -C \"$source\" -cf - . | \"$@\"";
        let mut words: Vec<String> =
            ["sh", "-c", script, "sh", text(source)].map(str::to_owned).into();
        words.push(need("ssh")?);
        words.extend(self.options());
        words.extend([format!("root@{}", ADDRESSES[1]), format!("tar -C {place} -xf -")]);
        self.run(words)
    }

    /// `rsync` with a shell at the far end.
    pub(crate) fn rsync(&self, source: &Path, place: &str) -> Result<Run, String> {
        let shell = format!("ssh {}", self.options().join(" "));
        let (from, to) = (format!("{}/", text(source)), format!("root@{}:{place}/", ADDRESSES[1]));
        let program = need("rsync")?;
        self.run([&program, "-a", "-e", &shell, &from, &to].map(str::to_owned).into())
    }

    /// The server and the key, for other clients of it.
    pub(crate) fn access(&self) -> (&Daemon, &Path, u16) {
        (&self.daemon, &self.key, PORT)
    }
}
