//! One connection to a server: commands and replies (RFC 959), and the connections for data that a command
//! opens (RFC 2428).

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use airlift_protocol::error::ErrorCode;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::FtpServer;
use crate::store::StoreError;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long nothing may come.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes of a reply, all its lines together.
const REPLY_BYTES_MAX: usize = 64 << 10;
/// Bytes that are read from a data connection at a time.
const PIECE_BYTES: usize = 128 << 10;

/// What a server answers to a command.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) code: u16,
    /// Its lines, the first without its code.
    pub(super) lines: Vec<Vec<u8>>,
}

impl Reply {
    /// The words of the first line, for people.
    fn words(&self) -> String {
        let first = self.lines.first().map(Vec::as_slice).unwrap_or_default();
        format!("{} {}", self.code, String::from_utf8_lossy(first).trim())
    }

    /// What it means when it is not what was expected.
    pub(super) fn error(&self, action: &str, shown: &str) -> StoreError {
        let code = match self.code {
            421 | 425 | 426 | 450 | 451 => ErrorCode::Unavailable,
            530 | 532 => ErrorCode::Unauthorized,
            550 => ErrorCode::NotFound,
            _ => ErrorCode::Protocol,
        };
        StoreError::new(code, format!("{action} {shown}: the server says '{}'", self.words()))
    }
}

/// A connection on which somebody is logged in.
#[derive(Debug)]
pub(super) struct Control {
    stream: BufReader<TcpStream>,
    peer: IpAddr,
    name: String,
}

impl Control {
    /// Connects, logs in and sees that the server can say what is needed.
    ///
    /// # Errors
    /// When the server does not answer, lets nobody in, or does not have what pins a read.
    pub(super) async fn connect(server: &FtpServer) -> Result<Self, StoreError> {
        let name = server.name();
        let broken = |error: std::io::Error| {
            StoreError::new(ErrorCode::Unreachable, format!("connect to {name}: {error}"))
        };
        let late =
            |_| StoreError::new(ErrorCode::TimedOut, format!("no answer from {name} in time"));
        let connecting = TcpStream::connect((server.host.as_str(), server.port));
        let stream = timeout(CONNECT_TIMEOUT, connecting).await.map_err(late)?.map_err(broken)?;
        let peer = stream.peer_addr().map_err(broken)?.ip();
        let mut control = Self { stream: BufReader::new(stream), peer, name };
        let mut greeting = control.reply().await?;
        while greeting.code == 120 {
            greeting = control.reply().await?;
        }
        control.expect("greet", greeting, &[220])?;
        control.log_in(server).await?;
        control.agree().await?;
        Ok(control)
    }

    async fn log_in(&mut self, server: &FtpServer) -> Result<(), StoreError> {
        let (user, password) = server.login()?;
        let mut reply = self.ask("USER", user.as_bytes()).await?;
        if reply.code == 331 {
            reply = self.ask("PASS", password.as_bytes()).await?;
        }
        if !matches!(reply.code, 202 | 230) {
            let text = format!(
                "log in to {}: the server says '{}': set FTP_USERNAME and FTP_PASSWORD, which are only sent \
                 to this machine itself",
                self.name,
                reply.words()
            );
            return Err(StoreError::new(ErrorCode::Unauthorized, text));
        }
        Ok(())
    }

    /// Binary transfers, and a server that lists for machines and goes on in the middle of a file.
    async fn agree(&mut self) -> Result<(), StoreError> {
        let reply = self.ask("FEAT", b"").await?;
        let features: Vec<String> = reply
            .lines
            .iter()
            .map(|line| String::from_utf8_lossy(line).trim().to_ascii_uppercase())
            .collect();
        let facts = features.iter().find_map(|feature| feature.strip_prefix("MLST"));
        let has_facts = facts.is_some_and(|all| all.contains("SIZE") && all.contains("MODIFY"));
        let can_go_on = features.iter().any(|feature| feature == "REST STREAM");
        if reply.code != 211 || !has_facts || !can_go_on {
            let text = format!(
                "{} has no MLSD with size and time, or no REST STREAM (RFC 3659): times of older listings are \
                 of minutes, by which a file that changes meanwhile is not noticed; use sftp:// or a mounted \
                 directory",
                self.name
            );
            return Err(StoreError::new(ErrorCode::LocationMissing, text));
        }
        if features.iter().any(|feature| feature == "UTF8") {
            // Servers that have it also have it on; some refuse the option.
            self.ask("OPTS UTF8", b"ON").await?;
        }
        let options = self.ask("OPTS MLST", b"type;size;modify;").await?;
        self.expect("ask for facts of", options, &[200])?;
        let binary = self.ask("TYPE", b"I").await?;
        self.expect("ask for binary transfers of", binary, &[200])
    }

    fn expect(&self, action: &str, reply: Reply, codes: &[u16]) -> Result<(), StoreError> {
        match codes.contains(&reply.code) {
            true => Ok(()),
            false => Err(reply.error(action, &self.name)),
        }
    }

    /// Sends a command and reads its reply. What `argument` is was checked: it has no end of a line in it.
    pub(super) async fn ask(
        &mut self,
        command: &str,
        argument: &[u8],
    ) -> Result<Reply, StoreError> {
        self.send(command, argument).await?;
        self.reply().await
    }

    async fn send(&mut self, command: &str, argument: &[u8]) -> Result<(), StoreError> {
        let mut line = command.as_bytes().to_vec();
        if !argument.is_empty() {
            line.push(b' ');
            line.extend_from_slice(argument);
        }
        line.extend_from_slice(b"\r\n");
        let sent = timeout(STALL_TIMEOUT, self.stream.get_mut().write_all(&line)).await;
        sent.map_err(|_| self.late())?.map_err(|error| self.broken(&error))
    }

    pub(super) async fn reply(&mut self) -> Result<Reply, StoreError> {
        let first = self.line().await?;
        let code = |line: &[u8]| std::str::from_utf8(line.get(..3)?).ok()?.parse::<u16>().ok();
        let Some(number) = code(&first) else {
            let text = format!("{} answers with something that is not FTP", self.name);
            return Err(StoreError::new(ErrorCode::Protocol, text));
        };
        let mut lines = vec![first.get(4..).unwrap_or_default().to_vec()];
        let mut bytes = first.len();
        if first.get(3) == Some(&b'-') {
            loop {
                let line = self.line().await?;
                bytes += line.len();
                if bytes > REPLY_BYTES_MAX {
                    let text = format!("{} answers without an end", self.name);
                    return Err(StoreError::new(ErrorCode::Protocol, text));
                }
                if code(&line) == Some(number) && line.get(3) == Some(&b' ') {
                    break;
                }
                lines.push(line);
            }
        }
        Ok(Reply { code: number, lines })
    }

    /// A line without its end.
    async fn line(&mut self) -> Result<Vec<u8>, StoreError> {
        let mut line = Vec::new();
        let mut limited = (&mut self.stream).take(REPLY_BYTES_MAX as u64);
        let read = timeout(STALL_TIMEOUT, limited.read_until(b'\n', &mut line)).await;
        read.map_err(|_| self.late())?.map_err(|error| self.broken(&error))?;
        if line.pop() != Some(b'\n') {
            let text = format!("{} closed the connection", self.name);
            return Err(StoreError::new(ErrorCode::Unavailable, text));
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Ok(line)
    }

    /// Opens a connection for data and has `command` fill it, from byte `start` on.
    ///
    /// # Errors
    /// The server's, said of `shown`.
    pub(super) async fn open(
        &mut self,
        command: &str,
        path: &str,
        start: u64,
        shown: &str,
    ) -> Result<Data, StoreError> {
        let passive = self.ask("EPSV", b"").await?;
        let port = match passive.code {
            229 => extended_port(&passive),
            _ => {
                let passive = self.ask("PASV", b"").await?;
                if passive.code != 227 {
                    return Err(passive.error("open a connection for", shown));
                }
                old_port(&passive)
            }
        };
        let port = port.ok_or_else(|| {
            let text = format!("{} names no port for data", self.name);
            StoreError::new(ErrorCode::Protocol, text)
        })?;
        // Whatever address the server names: data comes from where it is itself.
        let connecting = TcpStream::connect(SocketAddr::new(self.peer, port));
        let stream = timeout(CONNECT_TIMEOUT, connecting).await.map_err(|_| self.late())?;
        let stream = stream.map_err(|error| self.broken(&error))?;
        if start > 0 {
            let reply = self.ask("REST", start.to_string().as_bytes()).await?;
            if reply.code != 350 {
                return Err(reply.error("go on in", shown));
            }
        }
        let reply = self.ask(command, path.as_bytes()).await?;
        match reply.code {
            125 | 150 => Ok(Data { stream, shown: shown.to_owned() }),
            _ => Err(reply.error("read", shown)),
        }
    }

    /// Takes the server's word that all of the data was sent.
    pub(super) async fn close(&mut self, data: Data) -> Result<(), StoreError> {
        let shown = data.shown.clone();
        drop(data);
        let reply = self.reply().await?;
        match reply.code {
            226 | 250 => Ok(()),
            _ => Err(reply.error("read", &shown)),
        }
    }

    fn late(&self) -> StoreError {
        StoreError::new(ErrorCode::TimedOut, format!("no answer from {} in time", self.name))
    }

    fn broken(&self, error: &std::io::Error) -> StoreError {
        let text = format!("the connection to {} broke: {error}", self.name);
        StoreError::new(ErrorCode::Unavailable, text)
    }
}

/// The port of `229 … (|||port|)`.
fn extended_port(reply: &Reply) -> Option<u16> {
    let text = std::str::from_utf8(reply.lines.first()?).ok()?;
    let inner = text.rsplit_once('(')?.1.split_once(')')?.0;
    inner.trim_matches('|').parse().ok()
}

/// The port of `227 … (h1,h2,h3,h4,p1,p2)`.
fn old_port(reply: &Reply) -> Option<u16> {
    let text = std::str::from_utf8(reply.lines.first()?).ok()?;
    let inner = text.rsplit_once('(')?.1.split_once(')')?.0;
    let numbers: Vec<u8> = inner.split(',').map(str::parse).collect::<Result<_, _>>().ok()?;
    let [_, _, _, _, high, low] = numbers[..] else { return None };
    Some(u16::from_be_bytes([high, low]))
}

/// Data on its way.
#[derive(Debug)]
pub(super) struct Data {
    stream: TcpStream,
    shown: String,
}

impl Data {
    /// Reads into `bytes` what is there; whether it was the end.
    pub(super) async fn read(&mut self, bytes: &mut Vec<u8>) -> Result<bool, StoreError> {
        bytes.reserve(PIECE_BYTES);
        let read = timeout(STALL_TIMEOUT, self.stream.read_buf(bytes)).await;
        let shown = &self.shown;
        let late =
            |_| StoreError::new(ErrorCode::TimedOut, format!("read {shown}: it stands still"));
        let broken = |error| {
            StoreError::new(ErrorCode::Unavailable, format!("read {shown}: it broke off: {error}"))
        };
        Ok(read.map_err(late)?.map_err(broken)? == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_in_both_forms() {
        let reply = |text: &str| Reply { code: 0, lines: vec![text.as_bytes().to_vec()] };
        assert_eq!(extended_port(&reply("Entering (|||40123|).")), Some(40_123));
        assert_eq!(old_port(&reply("Entering (127,0,0,1,156,187).")), Some(40_123));
        for text in ["", "(", "(|||x|)", "(1,2,3)", "(1,2,3,4,5,6,7)", "(1,2,3,4,256,0)"] {
            assert_eq!(
                (extended_port(&reply(text)), old_port(&reply(text))),
                (None, None),
                "{text}"
            );
        }
    }
}
