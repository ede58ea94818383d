//! One node of Garage, set up as its documentation says.

use std::path::{Path, PathBuf};

use airlift_tests::cluster::free_port;
use airlift_tests::s3::Access;

use crate::process::{Daemon, Task, need, text};

/// The server and its command line.
pub(crate) const PROGRAM: &str = "garage";

/// For nodes to know each other; there is only one, on the loopback.
const SECRET: &str = "0000000000000000000000000000000000000000000000000000000000000001";

/// A running node.
#[derive(Debug)]
pub(crate) struct Garage {
    program: String,
    settings: PathBuf,
    access: Access,
    _daemon: Daemon,
}

impl Garage {
    /// Starts a node with these buckets.
    pub(super) fn start(directory: &Path, buckets: [&str; 2]) -> Result<Self, String> {
        let program = need(PROGRAM)?;
        let settings = directory.join("garage.toml");
        let (rpc, api) = (free_port(), free_port());
        let lines = format!(
            "metadata_dir = \"{0}/meta\"\ndata_dir = \"{0}/data\"\nreplication_factor = 1\n\
             rpc_bind_addr = \"127.0.0.1:{rpc}\"\nrpc_public_addr = \"127.0.0.1:{rpc}\"\n\
             rpc_secret = \"{SECRET}\"\n[s3_api]\ns3_region = \"us-east-1\"\n\
             api_bind_addr = \"127.0.0.1:{api}\"\nroot_domain = \".localhost\"\n",
            directory.display()
        );
        std::fs::write(&settings, lines).map_err(|error| error.to_string())?;
        let task = Task::new([&program, "-c", text(&settings), "server"]);
        let mut daemon = Daemon::start(PROGRAM, &task, directory)?;
        daemon.wait_for_port(rpc)?;
        daemon.wait_for_port(api)?;
        let endpoint = format!("http://127.0.0.1:{api}");
        let access = Access { endpoint, access_key: String::new(), secret_key: String::new() };
        let mut garage = Self { program, settings, access, _daemon: daemon };
        garage.set_up(buckets)?;
        Ok(garage)
    }

    pub(super) fn access(&self) -> &Access {
        &self.access
    }

    fn ask(&self, words: &[&str]) -> Result<String, String> {
        let program = [&*self.program, "-c", text(&self.settings)];
        Task::new(program.iter().chain(words).copied()).run().map(|ended| ended.stdout)
    }

    /// Gives the node its part, makes a key, and buckets that the key may use.
    fn set_up(&mut self, buckets: [&str; 2]) -> Result<(), String> {
        let id = self.ask(&["node", "id", "-q"])?;
        let id = id.trim().split('@').next().unwrap_or_default();
        self.ask(&["layout", "assign", "-z", "here", "-c", "100G", id])?;
        self.ask(&["layout", "apply", "--version", "1"])?;
        let key = self.ask(&["key", "create", "bench"])?;
        self.access.access_key = field(&key, "Key ID")?;
        self.access.secret_key = field(&key, "Secret key")?;
        for bucket in buckets {
            self.ask(&["bucket", "create", bucket])?;
            let rights = ["--read", "--write", "--owner", bucket, "--key", "bench"];
            let words: Vec<&str> = ["bucket", "allow"].into_iter().chain(rights).collect();
            self.ask(&words)?;
        }
        Ok(())
    }
}

/// The value of a line `NAME: VALUE`.
fn field(text: &str, name: &str) -> Result<String, String> {
    let line = text.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(':'));
    line.map(|value| value.trim().to_owned()).ok_or_else(|| format!("garage names no {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_read_whatever_stands_around_it() {
        let text = "==== ACCESS KEY ====\nKey ID:              GK1\n Secret key:  ab:c\n";
        assert_eq!(field(text, "Key ID"), Ok("GK1".to_owned()));
        assert_eq!(field(text, "Secret key"), Ok("ab:c".to_owned()));
        assert!(field(text, "Nothing").is_err());
    }
}
