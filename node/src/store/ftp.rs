//! FTP, as a source only, from servers that list for machines (MLSD, RFC 3659).
//!
//! ```text
//! control  one connection: commands, replies, data     facts  what a server says of a file
//! list     directories, descriptions                   read   small objects and ranges, pinned
//! ```
//!
//! A file is pinned by its size and its time in seconds or less: MLSD says both, LIST says times of minutes,
//! so that servers without MLSD are refused. Nothing is written: an upload has no name of its own and no
//! checksum, a rename may replace what is there or not, as the server likes, and nothing says when bytes are on
//! its disk.

mod control;
mod facts;
mod list;
mod read;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use airlift_protocol::error::ErrorCode;
use airlift_protocol::key::Key;
use airlift_protocol::manifest::Entry;
use airlift_protocol::units::ByteRange;
use async_trait::async_trait;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;

use self::control::Control;
use super::readonly::{ReadOnly, capabilities};
use super::{Capabilities, ListRequest, Listed, ObjectInfo, RangeReader, ReadResult, StoreError};
use crate::runtime::clock;

/// Connections to one server at the same time: many servers let an address have few.
const CONNECTIONS_MAX: usize = 4;

/// How many of them readers of ranges have at most. A reader keeps its own while it waits for memory, which may
/// all be with those who wait for a connection: one is left to operations that wait for nothing while they have it.
const READERS_MAX: usize = CONNECTIONS_MAX - 1;

/// How long a connection may rest and be used again: servers close those that rest for minutes.
const IDLE_MAX: Duration = Duration::from_secs(30);

const PORT: u16 = 21;

/// A server, and who logs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FtpServer {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// User and password; without them whoever logs in is anonymous.
    pub credentials: Option<(String, String)>,
}

impl FtpServer {
    /// The server that a location names as `host[:port]`, with the credentials of the environment.
    ///
    /// # Errors
    /// When it names a user, or the port is no number.
    pub fn at(authority: &str) -> Result<Self, StoreError> {
        let wrong = |text: &str| {
            let text = format!("ftp://{authority}: {text}");
            StoreError::new(ErrorCode::LocationMissing, text)
        };
        if authority.contains('@') {
            return Err(wrong("write ftp://host[:port], and set FTP_USERNAME and FTP_PASSWORD"));
        }
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => {
                (host, port.parse().map_err(|_| wrong("the port is no number"))?)
            }
            _ => (authority, PORT),
        };
        let host = host.trim_matches(['[', ']']).to_owned();
        let variable = |name| std::env::var(name).ok().filter(|text: &String| !text.is_empty());
        let credentials = variable("FTP_USERNAME").zip(variable("FTP_PASSWORD"));
        Ok(Self { host, port, credentials })
    }

    fn name(&self) -> String {
        format!("ftp://{}:{}", self.host, self.port)
    }

    /// Who logs in, and with what.
    ///
    /// # Errors
    /// When a password would cross a network in plain text.
    fn login(&self) -> Result<(String, String), StoreError> {
        let Some(credentials) = &self.credentials else {
            return Ok(("anonymous".to_owned(), "airlift@".to_owned()));
        };
        let address = self.host.parse::<std::net::IpAddr>();
        if self.host == "localhost" || address.is_ok_and(|address| address.is_loopback()) {
            return Ok(credentials.clone());
        }
        let text = format!(
            "{} would get the password for everybody on the way to read: unset FTP_USERNAME to be anonymous, \
             or use sftp://",
            self.name()
        );
        Err(StoreError::new(ErrorCode::Unauthorized, text))
    }
}

/// How to reach a directory of a server.
#[derive(Clone, Debug)]
pub struct FtpOptions {
    /// The server.
    pub server: FtpServer,
    /// Path of the directory below the server's root, without slashes at its ends; empty for the root.
    pub root: Vec<u8>,
    /// The location, for people.
    pub place: String,
}

/// The files below one directory of an FTP server, as a source.
#[derive(Clone, Debug)]
pub struct FtpStore {
    capabilities: Capabilities,
    source: Arc<Source>,
}

/// Where objects are read.
#[derive(Debug)]
struct Source {
    server: FtpServer,
    /// What stands before every key: `/`, or a path that ends in one.
    root: String,
    place: String,
    /// Connections that rest, and since when.
    resting: Mutex<Vec<(Control, Instant)>>,
    permits: Arc<Semaphore>,
    readers: Arc<Semaphore>,
}

/// A connection, for one who gives it back, or drops it where it cannot be used again.
#[derive(Debug)]
struct Lease {
    control: Control,
    _permit: OwnedSemaphorePermit,
    _reader: Option<OwnedSemaphorePermit>,
}

/// Waits for one of the places of `all`.
async fn place(all: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    Arc::clone(all).acquire_owned().await.expect("invariant: nobody closes the semaphore")
}

impl Source {
    /// A connection for one operation, which waits for nobody but the server while it has it.
    async fn connection(&self) -> Result<Lease, StoreError> {
        let permit = place(&self.permits).await;
        let rested = {
            let mut resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
            resting.retain(|(_, since)| clock::now().duration_since(*since) < IDLE_MAX);
            resting.pop()
        };
        let control = match rested {
            Some((control, _)) => control,
            None => Control::connect(&self.server).await?,
        };
        Ok(Lease { control, _permit: permit, _reader: None })
    }

    /// A connection for as long as a reader of a range wants it.
    async fn connection_of_reader(&self) -> Result<Lease, StoreError> {
        let reader = place(&self.readers).await;
        let lease = self.connection().await?;
        Ok(Lease { _reader: Some(reader), ..lease })
    }

    fn give_back(&self, lease: Lease) {
        let mut resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        resting.push((lease.control, clock::now()));
    }

    /// The path of `key` at the server, without a slash at its end.
    fn path(&self, key: &Key) -> Result<String, &'static str> {
        let path = format!("{}{}", self.root, kept(key)?);
        let path = path.strip_suffix('/').unwrap_or(&path);
        Ok(if path.is_empty() { "/".to_owned() } else { path.to_owned() })
    }

    /// What `key` is called in messages.
    fn show(&self, key: &Key) -> String {
        format!("{}/{key}", self.place.trim_end_matches('/'))
    }
}

/// `key` as a part of a path that no server takes for another one.
///
/// # Errors
/// Why it might.
fn kept(key: &Key) -> Result<&str, &'static str> {
    let Some(text) = key.as_str() else {
        return Err("the name is not UTF-8, which this protocol requires");
    };
    if text.chars().any(char::is_control) {
        return Err("the name has control characters, which this protocol cannot carry");
    }
    let path = text.strip_suffix('/').unwrap_or(text);
    match path.split('/').find(|name| matches!(*name, "" | "." | "..")) {
        Some(_) if text.is_empty() => Ok(text),
        Some("") => {
            Err("an empty name (`//`, or `/` at the begin) stands for nothing at the server")
        }
        Some(_) => Err("`.` and `..` between slashes lead elsewhere at the server"),
        None => Ok(text),
    }
}

impl FtpStore {
    /// Prepares a store; talks to nobody yet.
    ///
    /// # Errors
    /// When the root cannot be a path of the server.
    pub fn open(options: FtpOptions) -> Result<Self, StoreError> {
        let FtpOptions { server, root, place } = options;
        let key = Key::new(root);
        let root = kept(&key).map_err(|reason| {
            StoreError::new(ErrorCode::LocationMissing, format!("{place}: {reason}"))
        })?;
        let root = if root.is_empty() { "/".to_owned() } else { format!("/{root}/") };
        let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let readers = Arc::new(Semaphore::new(READERS_MAX));
        let source = Source { server, root, place, resting: Mutex::default(), permits, readers };
        Ok(Self { capabilities: capabilities(), source: Arc::new(source) })
    }
}

#[async_trait]
impl ReadOnly for FtpStore {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn place(&self) -> &str {
        &self.source.place
    }

    fn reason(&self) -> &'static str {
        "FTP promises neither that a file replaces another at once nor that it is on the disk; choose \
         sftp:// or a mounted directory as target"
    }

    async fn list(
        &self,
        request: ListRequest,
        found: mpsc::Sender<Listed>,
    ) -> Result<(), StoreError> {
        list::list(&self.source, request, found).await
    }

    async fn lookup(&self, keys: Vec<Key>) -> Vec<Result<Option<Entry>, StoreError>> {
        list::lookup(&self.source, keys).await
    }

    async fn stat(&self, key: &Key) -> Result<Option<ObjectInfo>, StoreError> {
        list::stat(&self.source, key).await
    }

    async fn read_small(&self, objects: Vec<Entry>, found: mpsc::Sender<ReadResult>) {
        read::read_small(&self.source, objects, found).await;
    }

    async fn read_range(
        &self,
        object: &Entry,
        range: ByteRange,
    ) -> Result<Box<dyn RangeReader>, StoreError> {
        Ok(Box::new(read::ObjectReader::open(&self.source, object, range).await?))
    }

    async fn find_root(&self) -> Result<(), StoreError> {
        list::find_root(&self.source).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_lead_elsewhere_are_named() {
        for key in [&b"/"[..], b"/a", b"a//b", b"a/../b", b".", b"\xff", b"a\r\nDELE b", b"a\0"] {
            assert!(kept(&Key::new(key)).is_err(), "{}", Key::new(key));
        }
        for key in ["", "a", "a/b/", " a ", "...", "\u{e9}"] {
            assert_eq!(kept(&Key::from(key)), Ok(key));
        }
    }

    #[test]
    fn a_server_is_named_without_a_user_and_passwords_stay_on_the_machine() {
        let server = FtpServer::at("ftp.example.org").unwrap();
        assert_eq!((server.host.as_str(), server.port), ("ftp.example.org", 21));
        let server = FtpServer::at("[::1]:2121").unwrap();
        assert_eq!((server.host.as_str(), server.port), ("::1", 2121));
        assert!(FtpServer::at("me@h").is_err() && FtpServer::at("h:x").is_err());
        for (host, is_sent) in [("127.0.0.1", true), ("::1", true), ("h", false)] {
            let credentials = Some(("me".to_owned(), "secret".to_owned()));
            let server = FtpServer { host: host.to_owned(), port: 21, credentials };
            assert_eq!(server.login().is_ok(), is_sent, "{host}");
        }
    }
}
