//! One connection: the system's `ssh` with the server's SFTP subsystem behind it.
//!
//! The program does what users and administrators have set up for it: keys and agents, known hosts,
//! names and jumps of `~/.ssh/config`. It may ask nobody anything here: a host that is not known, or
//! a password that would have to be typed, is an error.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use airlift_protocol::error::ErrorCode;
use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use super::wire::{self, PACKET_BYTES_MAX, Reply, Request};
use crate::store::StoreError;
use crate::store::settings::SftpSettings;

/// The program.
const PROGRAM: &str = "ssh";

/// Time to an open connection, with all its handshakes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// Time without any answer.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);
/// Time for the program to say why it ended.
const LAST_WORDS_TIMEOUT: Duration = Duration::from_secs(2);
/// Bytes of what the program says that are looked at.
const LAST_WORDS_BYTES: u64 = 4096;
/// Bytes of requests that are put together before they are sent.
const SEND_BYTES: usize = 128 << 10;

/// Where `ssh` goes: its words but the program's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Destination {
    /// For people: `user@host:port`.
    pub(super) name: String,
    arguments: Vec<String>,
}

impl Destination {
    /// The destination that `settings` describe.
    pub(super) fn new(settings: &SftpSettings) -> Result<Self, StoreError> {
        let SftpSettings { host, port, user, identity, known_hosts } = settings;
        let name = settings.name();
        let wrong = |what: &str| {
            let text = format!("sftp: '{}' is no {what}", name.escape_debug());
            StoreError::new(ErrorCode::LocationMissing, text)
        };
        if !is_host(host) {
            return Err(wrong("host: write [user@]host[:port]"));
        }
        let mut arguments: Vec<String> = Vec::new();
        let mut option = |text: String| arguments.extend(["-o".to_owned(), text]);
        for text in [
            "BatchMode=yes",
            "StrictHostKeyChecking=yes",
            "ConnectTimeout=15",
            "ServerAliveInterval=15",
            "ServerAliveCountMax=3",
            "ClearAllForwardings=yes",
            "ForwardAgent=no",
            "ForwardX11=no",
            "PermitLocalCommand=no",
            "LogLevel=ERROR",
        ] {
            option(text.to_owned());
        }
        if let Some(port) = port {
            option(format!("Port={port}"));
        }
        if let Some(user) = user {
            if !is_user(user) {
                return Err(wrong("user: write [user@]host[:port]"));
            }
            option(format!("User={user}"));
        }
        if let Some(path) = identity {
            option(format!("IdentityFile={}", quoted(path)?));
            option("IdentitiesOnly=yes".to_owned());
        }
        if let Some(path) = known_hosts {
            option(format!("UserKnownHostsFile={}", quoted(path)?));
            option("GlobalKnownHostsFile=none".to_owned());
        }
        arguments.extend(["-s", "--", host.trim_matches(['[', ']']), "sftp"].map(str::to_owned));
        Ok(Self { name, arguments })
    }
}

/// A name or address, which cannot be taken for an option.
fn is_host(host: &str) -> bool {
    !host.is_empty()
        && !host.starts_with('-')
        && host.chars().all(|c| c.is_ascii_alphanumeric() || "._-:[]%".contains(c))
}

fn is_user(user: &str) -> bool {
    !user.is_empty()
        && !user.starts_with('-')
        && user.chars().all(|c| c.is_alphanumeric() || "._-@+\\$".contains(c))
}

/// A path as a value of one of the program's options.
fn quoted(path: &std::path::Path) -> Result<String, StoreError> {
    let text = path.to_str().filter(|text| !text.contains(['"', '\n', '$']));
    match text {
        Some(text) => Ok(format!("\"{}\"", text.replace('%', "%%"))),
        None => {
            let text = format!("ssh cannot be given the path {}: use another", path.display());
            Err(StoreError::new(ErrorCode::LocationMissing, text))
        }
    }
}

/// A connection. It ends when it is dropped.
#[derive(Debug)]
pub(super) struct Connection {
    name: String,
    child: Child,
    stdin: ChildStdin,
    stdout: ChildStdout,
    next_id: u32,
    extensions: Vec<Bytes>,
    /// Whether an exchange was begun and has not come to its end: what the server says next may be
    /// the answer to what nobody asks any more.
    is_midway: bool,
}

impl Connection {
    /// Connects.
    pub(super) async fn open(destination: &Destination) -> Result<Self, StoreError> {
        let name = destination.name.clone();
        let spawned = Command::new(PROGRAM)
            .args(&destination.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn();
        let mut child = spawned.map_err(|error| {
            let text =
                format!("run {PROGRAM} for sftp://{name}: {error}: install OpenSSH's client");
            StoreError::new(ErrorCode::LocationMissing, text)
        })?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            let text = format!("run {PROGRAM} for sftp://{name}: it has no input or output");
            return Err(StoreError::new(ErrorCode::Bug, text));
        };
        let mut connection = Self {
            name,
            child,
            stdin,
            stdout,
            next_id: 0,
            extensions: Vec::new(),
            is_midway: true,
        };
        let greeted = timeout(CONNECT_TIMEOUT, connection.greet()).await;
        match greeted.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(()) => connection.is_midway = false,
            Err(error) => return Err(connection.broken(&error).await),
        }
        Ok(connection)
    }

    async fn greet(&mut self) -> io::Result<()> {
        self.stdin.write_all(&wire::hello()).await?;
        self.stdin.flush().await?;
        let packet = receive(&mut self.stdout).await?;
        let (version, extensions) = wire::decode_hello(packet).map_err(|_| malformed())?;
        if version != wire::VERSION {
            return Err(malformed());
        }
        self.extensions = extensions;
        Ok(())
    }

    /// Whether the server has the extension of this name.
    pub(super) fn has(&self, extension: &[u8]) -> bool {
        self.extensions.iter().any(|known| known == extension)
    }

    /// Whether it can be used for something else: no exchange broke off, and the program runs.
    pub(super) fn is_sound(&mut self) -> bool {
        !self.is_midway && matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends all requests without waiting in between; the answers in order of the requests.
    pub(super) async fn exchange(
        &mut self,
        requests: &[Request],
    ) -> Result<Vec<Reply>, StoreError> {
        if self.is_midway {
            // The next answer would be to what nobody asks any more.
            let text = format!("the connection to sftp://{} broke off before", self.name);
            return Err(StoreError::new(ErrorCode::Unavailable, text));
        }
        self.is_midway = true;
        let first = self.next_id;
        let count = u32::try_from(requests.len()).unwrap_or(u32::MAX);
        self.next_id = first.wrapping_add(count);
        let (stdin, stdout) = (&mut self.stdin, &mut self.stdout);
        let both = async {
            tokio::try_join!(send(stdin, first, requests), collect(stdout, first, requests.len()))
        };
        match both.await {
            Ok(((), replies)) => {
                self.is_midway = false;
                Ok(replies)
            }
            Err(error) => Err(self.broken(&error).await),
        }
    }

    /// The error of a connection that ended, with what the program said last.
    async fn broken(&mut self, error: &io::Error) -> StoreError {
        let mut words = Vec::new();
        if let Some(stderr) = self.child.stderr.take() {
            let mut stderr = stderr.take(LAST_WORDS_BYTES);
            // It may have nothing to say, and go on: what came so far is what there is.
            let _ = timeout(LAST_WORDS_TIMEOUT, stderr.read_to_end(&mut words)).await;
        }
        let words = String::from_utf8_lossy(&words);
        let (code, reason) = explain(error, &words, &self.name);
        StoreError::new(code, format!("sftp://{}: {reason}", self.name))
    }
}

async fn send(stdin: &mut ChildStdin, first: u32, requests: &[Request]) -> io::Result<()> {
    let mut packets = BytesMut::new();
    let mut id = first;
    for request in requests {
        request.encode(id, &mut packets);
        id = id.wrapping_add(1);
        if packets.len() >= SEND_BYTES {
            stdin.write_all(&packets).await?;
            packets.clear();
        }
    }
    stdin.write_all(&packets).await?;
    stdin.flush().await
}

async fn collect(stdout: &mut ChildStdout, first: u32, count: usize) -> io::Result<Vec<Reply>> {
    let mut replies: Vec<Option<Reply>> = std::iter::repeat_with(|| None).take(count).collect();
    for _ in 0..count {
        let packet = timeout(STALL_TIMEOUT, receive(stdout)).await;
        let packet = packet.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
        let (id, reply) = wire::decode_reply(packet).map_err(|_| malformed())?;
        let place = replies.get_mut(id.wrapping_sub(first) as usize).ok_or_else(malformed)?;
        if place.replace(reply).is_some() {
            return Err(malformed());
        }
    }
    // Each of `count` answers had a place of its own.
    Ok(replies.into_iter().flatten().collect())
}

async fn receive(stdout: &mut ChildStdout) -> io::Result<Bytes> {
    let mut length = [0; 4];
    stdout.read_exact(&mut length).await?;
    let length = (&length[..]).get_u32() as usize;
    if length > PACKET_BYTES_MAX {
        return Err(malformed());
    }
    let mut packet = BytesMut::zeroed(length);
    stdout.read_exact(&mut packet).await?;
    Ok(packet.freeze())
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the server does not speak SFTP version 3")
}

/// What went wrong, by what `ssh` said about it.
fn explain(error: &io::Error, words: &str, name: &str) -> (ErrorCode, String) {
    let said = words.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
    let said: String = said.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let has = |part: &str| words.contains(part);
    if has("Host key verification failed") || has("host key is known") {
        let text = "its host key is not the known one, or none is known: compare its fingerprint, \
                    and add it with ssh, or name a file by known_hosts";
        return (ErrorCode::Unauthorized, text.to_owned());
    }
    if has("Permission denied") || has("Too many authentication failures") {
        let text = format!(
            "{said}: add a key to the agent, or name one as credentials = \"file:/path\" (passwords \
             are not asked for)"
        );
        return (ErrorCode::Unauthorized, text);
    }
    let unreachable = [
        "Could not resolve hostname",
        "Connection refused",
        "Connection timed out",
        "No route to host",
        "Network is unreachable",
    ];
    if unreachable.iter().any(|part| has(part)) {
        return (ErrorCode::Unreachable, said);
    }
    if has("subsystem request failed") {
        return (ErrorCode::LocationMissing, format!("{name} offers no SFTP"));
    }
    let code = match error.kind() {
        io::ErrorKind::TimedOut => ErrorCode::TimedOut,
        io::ErrorKind::InvalidData => ErrorCode::Protocol,
        _ => ErrorCode::Unavailable,
    };
    let reason = match (error.kind(), said.is_empty()) {
        (io::ErrorKind::TimedOut, _) => "no answer in time".to_owned(),
        (io::ErrorKind::InvalidData, _) => error.to_string(),
        (_, true) => "the connection ended".to_owned(),
        (_, false) => format!("the connection ended: {said}"),
    };
    (code, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(host: &str) -> SftpSettings {
        SftpSettings { host: host.to_owned(), ..SftpSettings::default() }
    }

    #[test]
    fn a_destination_cannot_be_taken_for_an_option() {
        let destination = Destination::new(&SftpSettings {
            port: Some(2222),
            user: Some("me".to_owned()),
            identity: Some("/k %h".into()),
            ..settings("[::1]")
        });
        let words = destination.unwrap().arguments.join(" ");
        assert!(words.ends_with("-s -- ::1 sftp"), "{words}");
        assert!(words.contains("-o Port=2222 -o User=me -o IdentityFile=\"/k %%h\""), "{words}");
        assert!(words.contains("StrictHostKeyChecking=yes"), "{words}");
        for host in ["", "-oProxyCommand=x", "a b", "a;b", "h\n"] {
            assert!(Destination::new(&settings(host)).is_err(), "{host:?}");
        }
        let user = SftpSettings { user: Some("-x".to_owned()), ..settings("h") };
        assert!(Destination::new(&user).is_err());
        let known = SftpSettings { known_hosts: Some("/a\"b".into()), ..settings("h") };
        assert!(Destination::new(&known).is_err());
    }

    #[test]
    fn what_ssh_says_decides_what_can_be_done() {
        let ended = io::Error::from(io::ErrorKind::UnexpectedEof);
        for (words, code, part) in [
            ("Host key verification failed.\r\n", ErrorCode::Unauthorized, "fingerprint"),
            ("me@h: Permission denied (publickey).\r\n", ErrorCode::Unauthorized, "file:/path"),
            (
                "ssh: connect to host h port 22: Connection refused",
                ErrorCode::Unreachable,
                "port 22",
            ),
            ("subsystem request failed on channel 0", ErrorCode::LocationMissing, "no SFTP"),
            ("client_loop: send disconnect: Broken pipe", ErrorCode::Unavailable, "Broken pipe"),
            ("", ErrorCode::Unavailable, "the connection ended"),
        ] {
            let (found, text) = explain(&ended, words, "h");
            assert_eq!(found, code, "{words}");
            assert!(text.contains(part) && !text.contains(['\r', '\n']), "{text}");
        }
        assert_eq!(explain(&malformed(), "", "h").0, ErrorCode::Protocol);
        assert_eq!(explain(&io::ErrorKind::TimedOut.into(), "", "h").0, ErrorCode::TimedOut);
    }
}
