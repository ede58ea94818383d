//! A line: one TCP connection between two nodes, under TLS. It carries one request and its answer
//! at a time, and is used again for the next.
//!
//! ```text
//! dialler    role u8 │
//! who asks           │ request │                │ request …
//! who serves                   │ frames … End   │
//! ```
//!
//! Who asks closes the line to say that it wants no more of an answer. A line never knows what a
//! request or a frame is.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream as StdTcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv, sockopt};
use rustls::pki_types::{CertificateDer, ServerName};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use super::certificate::PROTOCOL;
use super::session::HANDSHAKE_TIMEOUT;
use super::shared::SERVER_NAME;
use crate::runtime::clock;

/// Bytes that are read from the socket at once: the TLS library asks for 4 KiB at a time.
const READ_BYTES: usize = 128 << 10;

/// Bytes that wait in the TLS library for the socket, and are written to it at once.
const WRITE_BYTES: usize = 256 << 10;

/// Silence after which the system asks whether the peer is there, time between two such questions,
/// and how many of them may be unanswered: a dead peer is known about as soon as over QUIC.
const PROBE_AFTER: Duration = Duration::from_secs(2);
const PROBE_EVERY: Duration = Duration::from_secs(2);
const PROBES_MAX: u32 = 3;

/// Time after which a request that nobody acknowledges ends the line on which this node asks: the system sends
/// no questions while something is under way. It counts for those, too, whatever their number is; so it is
/// theirs. Where this node serves, a reader may be slow for longer than that.
const UNACKNOWLEDGED_MS_MAX: u32 = 8_000;

/// Bytes that the system takes in of an answer before it has sent them: enough for it to go on while this process
/// waits for its turn. What more it would take, up to 4 MiB on each of many lines, would be memory that
/// nobody counts, and time in which a narrow way does not show.
const UNSENT_BYTES_MAX: u32 = 512 << 10;

/// What a dialled line is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Who dialled asks.
    Ask = 0,
    /// Who dialled answers: it is a node that cannot be dialled.
    Offer = 1,
}

type Stream = TlsStream<BufReader<TcpStream>>;

/// Ends a line from outside, whatever it is being used for.
#[derive(Debug)]
pub(super) struct Handle(StdTcpStream);

impl Handle {
    pub(super) fn close(&self) {
        // It may be closed already.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

/// A TCP connection whose other end has proven an identity.
#[derive(Debug)]
pub(super) struct Line {
    stream: Stream,
    handle: Arc<Handle>,
    /// Since when nothing is asked on it.
    pub(super) idle_since: Instant,
}

impl Line {
    fn new(stream: Stream) -> io::Result<Self> {
        if stream.get_ref().1.alpn_protocol() != Some(PROTOCOL) {
            return Err(io::Error::other("speaks another protocol"));
        }
        let socket = stream.get_ref().0.get_ref().as_fd().try_clone_to_owned()?;
        let handle = Arc::new(Handle(StdTcpStream::from(socket)));
        Ok(Self { stream, handle, idle_since: clock::now() })
    }

    pub(super) fn handle(&self) -> &Arc<Handle> {
        &self.handle
    }

    /// What the other end presented in the handshake.
    pub(super) fn certificates(&self) -> &[CertificateDer<'static>] {
        self.stream.get_ref().1.peer_certificates().unwrap_or_default()
    }

    /// Whether the other end has neither closed the line nor said anything out of turn.
    pub(super) fn is_quiet(&self) -> bool {
        // The system is asked: what it has not told the runtime yet counts, too.
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        let is_silent = matches!(recv(&self.handle.0, &mut [0; 1], flags), Err(Errno::AGAIN));
        is_silent && self.stream.get_ref().0.buffer().is_empty()
    }

    /// For how long the system waits for an acknowledgement.
    #[cfg(test)]
    pub(super) fn unacknowledged_max(&self) -> Duration {
        Duration::from_millis(sockopt::tcp_user_timeout(&self.handle.0).unwrap().into())
    }

    /// Writes all of `bytes`, to the socket.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// Fills `into`.
    pub(super) async fn read(&mut self, into: &mut [u8]) -> io::Result<()> {
        self.stream.read_exact(into).await.map(drop)
    }

    /// Where the answer arrives.
    pub(super) fn arriving(&mut self) -> &mut TlsStream<BufReader<TcpStream>> {
        &mut self.stream
    }

    /// Its two directions, for who serves.
    pub(super) fn split(self) -> (LineReader, LineWriter) {
        let (reader, writer) = tokio::io::split(self.stream);
        (LineReader { reader, _handle: self.handle }, LineWriter(writer))
    }
}

/// What arrives on a line.
#[derive(Debug)]
pub(super) struct LineReader {
    reader: ReadHalf<Stream>,
    _handle: Arc<Handle>,
}

impl LineReader {
    /// Fills `into`.
    pub(super) async fn read(&mut self, into: &mut [u8]) -> io::Result<()> {
        self.reader.read_exact(into).await.map(drop)
    }

    /// Ends when the other end has closed the line, or says anything out of turn.
    pub(super) async fn stopped(&mut self) {
        // Whatever comes of it, the answer is not waited for any more.
        let _ = self.reader.read(&mut [0]).await;
    }
}

/// What is sent on a line.
#[derive(Debug)]
pub(super) struct LineWriter(WriteHalf<Stream>);

impl LineWriter {
    /// Writes all of `bytes`, to the socket.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes).await?;
        self.0.flush().await
    }
}

/// Dials `address`. Returns the line, and the time that one round trip took.
pub(super) async fn dial(
    config: rustls::ClientConfig,
    address: SocketAddr,
    role: Role,
) -> io::Result<(Line, Duration)> {
    let dialled = async {
        let begun = clock::now();
        let socket = TcpStream::connect(address).await?;
        let rtt = clock::now() - begun;
        prepare(&socket)?;
        if role == Role::Ask {
            expect_answers(&socket)?;
        }
        let name = ServerName::try_from(SERVER_NAME).map_err(io::Error::other)?;
        let connector = TlsConnector::from(Arc::new(config));
        let mut stream = connector
            .connect_with(name, BufReader::with_capacity(READ_BYTES, socket), |session| {
                session.set_buffer_limit(Some(WRITE_BYTES));
            })
            .await?;
        stream.write_all(&[role as u8]).await?;
        stream.flush().await?;
        Ok((Line::new(stream.into())?, rtt))
    };
    in_time(dialled).await
}

/// Finishes the handshake of someone who dialled. Returns the line, and what it is for.
pub(super) async fn accept(acceptor: TlsAcceptor, socket: TcpStream) -> io::Result<(Line, Role)> {
    let accepted = async {
        prepare(&socket)?;
        let socket = BufReader::with_capacity(READ_BYTES, socket);
        let stream = acceptor
            .accept_with(socket, |session| session.set_buffer_limit(Some(WRITE_BYTES)))
            .await?;
        let mut line = Line::new(stream.into())?;
        let mut role = [0];
        line.read(&mut role).await?;
        match role {
            [0] => Ok((line, Role::Ask)),
            [1] => {
                expect_answers(&line.handle.0)?;
                Ok((line, Role::Offer))
            }
            [other] => Err(io::Error::other(format!("{other} is no role"))),
        }
    };
    in_time(accepted).await
}

async fn in_time<T>(handshake: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(HANDSHAKE_TIMEOUT, handshake).await.unwrap_or_else(|_| {
        Err(io::Error::new(io::ErrorKind::TimedOut, "the handshake took too long"))
    })
}

/// Prepares the end of a line on which this node asks.
fn expect_answers(socket: &impl AsFd) -> io::Result<()> {
    Ok(sockopt::set_tcp_user_timeout(socket, UNACKNOWLEDGED_MS_MAX)?)
}

fn prepare(socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    sockopt::set_socket_keepalive(socket, true)?;
    sockopt::set_tcp_keepidle(socket, PROBE_AFTER)?;
    sockopt::set_tcp_keepintvl(socket, PROBE_EVERY)?;
    sockopt::set_tcp_keepcnt(socket, PROBES_MAX)?;
    SockRef::from(socket).set_tcp_notsent_lowat(UNSENT_BYTES_MAX)
}
