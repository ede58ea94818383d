//! Rooms: processes in namespaces of their own, for faults that only the system can cause: links
//! that are cut, and file systems that fill up. Nothing outside a room changes, and a room is gone
//! with the process that opened it.
//!
//! Linux, root and `unshare`, `nsenter`, `mount` and `ip` are needed; where they are not there, the
//! reason is said and the caller skips what it wanted to do.

use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// What a room has for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Own {
    /// Mounts.
    Mounts,
    /// Network devices, addresses and routes.
    Network,
}

impl Own {
    fn flag(self) -> &'static str {
        match self {
            Self::Mounts => "--mount",
            Self::Network => "--net",
        }
    }
}

/// A namespace, held open by a process that ends when this is dropped.
#[derive(Debug)]
pub struct Room {
    own: Own,
    holder: Child,
}

impl Room {
    /// Opens a room.
    ///
    /// # Errors
    /// Why this machine does not allow it.
    pub fn open(own: Own) -> Result<Self, String> {
        // It ends when its input does: with this process at the latest, however that ends.
        let mut command = Command::new("unshare");
        command.args([own.flag(), "sh", "-c", "echo open; exec cat"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut holder = command.spawn().map_err(|error| format!("unshare: {error}"))?;
        let said = holder.stdout.take().map(BufReader::new).and_then(|mut output| {
            let mut line = String::new();
            output.read_line(&mut line).is_ok().then_some(line)
        });
        let room = Self { own, holder };
        match said.as_deref() {
            Some("open\n") => Ok(room),
            _ => Err(format!("unshare {} is not allowed here", own.flag())),
        }
    }

    /// The words before a command that is to run in the room.
    pub fn entrance(&self) -> Vec<String> {
        let id = self.holder.id().to_string();
        ["nsenter", "--target", &id, self.own.flag(), "--"].map(str::to_owned).to_vec()
    }

    /// The id of the process that holds the room open.
    pub fn id(&self) -> u32 {
        self.holder.id()
    }

    /// Runs a command in the room.
    ///
    /// # Errors
    /// When it cannot be run, or fails: what it said.
    pub fn run<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Result<(), String> {
        let line: Vec<String> =
            self.entrance().into_iter().chain(words.into_iter().map(str::to_owned)).collect();
        let output = Command::new(&line[0]).args(&line[1..]).stdin(Stdio::null()).output();
        let output = output.map_err(|error| format!("{}: {error}", line[0]))?;
        match output.status.success() {
            true => Ok(()),
            false => {
                let said = String::from_utf8_lossy(&output.stderr);
                Err(format!("{}: {}", line[5..].join(" "), said.trim()))
            }
        }
    }

    /// Mounts a file system in memory of `kib` KiB at `path`, for those in the room only.
    ///
    /// # Errors
    /// When that is not allowed.
    pub fn mount_memory(&self, path: &Path, kib: u64) -> Result<(), String> {
        let size = format!("size={kib}k");
        self.run(["mount", "-t", "tmpfs", "-o", &size, "tmpfs", text(path)])
    }

    /// Gives a file system that [`mount_memory`](Self::mount_memory) made another size.
    ///
    /// # Panics
    /// When it cannot be changed.
    pub fn resize(&self, path: &Path, kib: u64) {
        let size = format!("remount,size={kib}k");
        self.run(["mount", "-o", &size, text(path)]).expect("a mount of our own can be changed");
    }

    /// Where a path of the room is found from outside.
    pub fn outside(&self, path: &Path) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.id()));
        root.join(path.strip_prefix("/").unwrap_or(path))
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        drop(self.holder.kill());
        drop(self.holder.wait());
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("temporary paths are text")
}

/// Sites with a network each, and a router between them that can be told to lose what goes from one
/// to another.
#[derive(Debug)]
pub struct Network {
    router: Room,
    sites: Vec<Room>,
}

impl Network {
    /// `count` sites that all reach each other.
    ///
    /// # Errors
    /// Why this machine does not allow it.
    pub fn open(count: u8) -> Result<Self, String> {
        let router = Room::open(Own::Network)?;
        router.run(["ip", "link", "set", "lo", "up"])?;
        router.run(["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"])?;
        let mut network = Self { router, sites: Vec::new() };
        for site in 0..count {
            network.add(site)?;
        }
        Ok(network)
    }

    fn add(&mut self, site: u8) -> Result<(), String> {
        let room = Room::open(Own::Network)?;
        let id = room.holder.id().to_string();
        let (near, far) = (device(site), "site");
        let (gateway, subnet) = (format!("10.99.{site}.1"), format!("10.99.{site}.1/24"));
        let own = format!("{}/24", address(site));
        let router = |words: &[&str]| self.router.run(words.iter().copied());
        router(&["ip", "link", "add", &near, "type", "veth", "peer", "name", far, "netns", &id])?;
        router(&["ip", "addr", "add", &subnet, "dev", &near])?;
        router(&["ip", "link", "set", &near, "up"])?;
        room.run(["ip", "link", "set", "lo", "up"])?;
        room.run(["ip", "addr", "add", &own, "dev", far])?;
        room.run(["ip", "link", "set", far, "up"])?;
        room.run(["ip", "route", "add", "default", "via", &gateway])?;
        self.sites.push(room);
        Ok(())
    }

    /// The room of a site.
    pub fn site(&self, site: u8) -> &Room {
        &self.sites[usize::from(site)]
    }

    /// The room from which all sites can be reached, whatever is cut.
    pub fn router(&self) -> &Room {
        &self.router
    }

    /// Loses, without a word to the sender, what goes from one site to another; what comes back is
    /// not touched.
    ///
    /// # Panics
    /// When the router does not take the rule.
    pub fn cut(&self, from: u8, to: u8) {
        self.rule("add", from, to);
    }

    /// Ends a [`cut`](Self::cut).
    ///
    /// # Panics
    /// When there was none.
    pub fn heal(&self, from: u8, to: u8) {
        self.rule("del", from, to);
    }

    fn rule(&self, what: &str, from: u8, to: u8) {
        let (device, to) = (device(from), format!("{}/32", address(to)));
        let rule = ["ip", "rule", what, "iif", &device, "to", &to, "blackhole"];
        self.router.run(rule).expect("the router takes the rule");
    }
}

/// The address of a site.
pub fn address(site: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 99, site, 2)
}

fn device(site: u8) -> String {
    format!("site{site}")
}
