//! OpenSSH's server on a free port of the loopback, when it is installed.

use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use airlift_node::store::settings::SftpSettings;
use tempfile::TempDir;

use crate::cluster::free_port;

const STARTS_MAX: usize = 5;
const READY_TIMEOUT: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);

/// Where the server of a system wants a directory of its own, when it is started by the administrator.
const PRIVILEGE_SEPARATION: &str = "/run/sshd";

/// A server for the user of the tests, who has a key. It stops when the last test lets go of it.
#[derive(Debug)]
pub struct Sshd {
    process: Child,
    directory: TempDir,
    port: u16,
    user: String,
}

/// Lets go of a server that nobody uses, so that none outlives the tests.
static SHARED: Mutex<Weak<Sshd>> = Mutex::new(Weak::new());

impl Sshd {
    /// The server that tests share at the moment, started if need be. `None`, said aloud, when `sshd`
    /// is neither named by `AIRLIFT_TEST_SSHD` nor installed.
    ///
    /// # Panics
    /// When it is installed and does not start.
    pub fn shared() -> Option<Arc<Self>> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = shared.upgrade() {
            return Some(running);
        }
        let started = Arc::new(Self::start("")?);
        *shared = Arc::downgrade(&started);
        Some(started)
    }

    /// A server of its own, whose SFTP subsystem is given `options`.
    ///
    /// # Panics
    /// When it is installed and does not start.
    pub fn start(options: &str) -> Option<Self> {
        let Some(program) = program() else {
            say("skipped: sshd is not installed (apt-get install openssh-server)");
            return None;
        };
        let needs_directory = rustix::process::geteuid().is_root();
        if needs_directory && std::fs::create_dir_all(PRIVILEGE_SEPARATION).is_err() {
            say("skipped: sshd needs /run/sshd, which is not there");
            return None;
        }
        let directory = tempfile::tempdir().expect("a temporary directory");
        for name in ["host", "user", "stranger"] {
            make_key(&directory.path().join(name));
        }
        let own = |name: &str| directory.path().join(name);
        std::fs::copy(own("user.pub"), own("authorized")).expect("a list of keys");
        for _ in 0..STARTS_MAX {
            let port = free_port();
            let mut process = run(&program, directory.path(), port, options);
            if is_ready(&mut process, port) {
                write_known_host(directory.path(), "host", port);
                return Some(Self { process, directory, port, user: user() });
            }
            stop(&mut process);
        }
        let log = std::fs::read_to_string(own("log")).unwrap_or_default();
        panic!("{} did not start {STARTS_MAX} times: {log}", program.display());
    }

    /// How to reach the server, as somebody who has the key and knows the host.
    pub fn settings(&self) -> SftpSettings {
        SftpSettings {
            host: Ipv4Addr::LOCALHOST.to_string(),
            port: Some(self.port),
            user: Some(self.user.clone()),
            identity: Some(self.directory.path().join("user")),
            known_hosts: Some(self.directory.path().join("known_hosts")),
        }
    }

    /// A file of known hosts that has another key for the server.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn wrong_known_hosts(&self) -> PathBuf {
        let folder = self.directory.path().join("wrong");
        std::fs::create_dir_all(&folder).expect("a directory");
        let key = self.directory.path().join("stranger.pub");
        std::fs::copy(key, folder.join("host.pub")).expect("a key");
        write_known_host(&folder, "host", self.port);
        folder.join("known_hosts")
    }

    /// A private key that the server does not know.
    pub fn strange_identity(&self) -> PathBuf {
        self.directory.path().join("stranger")
    }

    /// The same as a table of `airlift.toml`, with buckets in `root`.
    ///
    /// # Panics
    /// When a path of the tests is not UTF-8.
    pub fn table(&self, name: &str, root: &Path) -> String {
        let directory = self.directory.path().display();
        format!(
            "[stores.{name}]\nkind = 'sftp'\nhost = '127.0.0.1'\nport = {}\nuser = '{}'\n\
             root = '{}'\ncredentials = 'file:{directory}/user'\n\
             known_hosts = '{directory}/known_hosts'\n",
            self.port,
            self.user,
            root.to_str().expect("a path in UTF-8")
        )
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        stop(&mut self.process);
    }
}

fn make_key(path: &Path) {
    let status = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(path)
        .stdin(Stdio::null())
        .status()
        .expect("ssh-keygen can be run");
    assert!(status.success(), "ssh-keygen makes a key");
    let private = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(path, private).expect("the key's mode can be set");
}

fn write_known_host(folder: &Path, name: &str, port: u16) {
    let key = std::fs::read_to_string(folder.join(format!("{name}.pub"))).expect("a public key");
    let line = format!("[127.0.0.1]:{port} {key}");
    std::fs::write(folder.join("known_hosts"), line).expect("a list of hosts");
}

fn run(program: &Path, folder: &Path, port: u16, options: &str) -> Child {
    let shown = folder.display();
    let config = format!(
        "Port {port}\nListenAddress 127.0.0.1\nHostKey {shown}/host\nPidFile none\n\
         AuthorizedKeysFile {shown}/authorized\nStrictModes no\nUsePAM no\n\
         PasswordAuthentication no\nKbdInteractiveAuthentication no\n\
         PermitRootLogin prohibit-password\nMaxStartups 100\nMaxSessions 100\n\
         Subsystem sftp internal-sftp {options}\n"
    );
    std::fs::write(folder.join("config"), config).expect("a configuration");
    let log = std::fs::File::create(folder.join("log")).expect("a file for what it says");
    Command::new(program)
        .args(["-D", "-e", "-f"])
        .arg(folder.join("config"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("sshd can be run")
}

fn user() -> String {
    let output = Command::new("id").arg("-un").output().expect("id can be run");
    String::from_utf8(output.stdout).expect("a name").trim().to_owned()
}

fn stop(process: &mut Child) {
    // It may have ended by itself, which is as well.
    drop(process.kill());
    drop(process.wait());
}

fn is_ready(process: &mut Child, port: u16) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < READY_TIMEOUT {
        if process.try_wait().ok().flatten().is_some() {
            return false;
        }
        if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return true;
        }
        std::thread::sleep(POLL);
    }
    false
}

/// The server wants to be run by its absolute path.
fn program() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("AIRLIFT_TEST_SSHD") {
        return Some(PathBuf::from(named));
    }
    let path = std::env::var_os("PATH")?;
    let places = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    places.map(|folder| folder.join("sshd")).find(|file| file.is_file())
}

#[expect(clippy::print_stderr, reason = "a test that tests nothing has to say so")]
fn say(text: &str) {
    eprintln!("{text}");
}
