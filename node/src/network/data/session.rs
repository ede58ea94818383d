//! What runs as long as the network does: takes in connections, serves their streams, keeps those
//! that are to be kept, and closes what is idle.
//!
//! ```text
//! drive ─┬─ handshake ──▶ serve_session ─┬─ serve_stream
//!        ├─ dialled ────▶ serve_session  └─ serve_stream
//!        ├─ accept_line, offered ──▶ serve_line
//!        └─ keep
//! ```
//!
//! Every task is owned by the one to its left, and the first by the network itself.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use airlift_protocol::error::Failure;
use airlift_protocol::frame::{Frame, RequestHeader};
use airlift_protocol::id::NodeId;
use quinn::{Connection, Incoming, RecvStream, SendStream};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::carrier::{ByteReader, ByteWriter};
use super::peer::{Close, Peer};
use super::quic::QuicReader;
use super::shared::Shared;
use super::stream::{FrameWriter, in_time, read_preamble, read_request};
use super::tcp::{self, Line, Role};
use super::{Listener, certificate};
use crate::runtime::clock;

/// Time for a handshake.
pub(super) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// Handshakes of others that run at once, over each carrier.
const HANDSHAKES_MAX: usize = 64;

/// Pause after a connection could not be taken in, for want of file descriptors above all.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Time between looks at the sessions that are to be kept.
const KEEP_INTERVAL: Duration = Duration::from_millis(500);

/// Longest time between two looks whether a session is used.
const CHECK_EVERY_MAX: Duration = Duration::from_secs(15);

/// A connection whose other end is known to be a member.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) peer: Arc<Peer>,
    pub(super) connection: Connection,
    /// Whether this node dialled: who dialled closes what is idle.
    pub(super) is_dialled: bool,
}

/// What is to be served from now on.
#[derive(Debug)]
pub(super) enum Dialled {
    /// A connection.
    Session(Session),
    /// A line on which the other end asks.
    Line(Arc<Peer>, Box<Line>),
}

/// Runs until the endpoint is closed.
pub(super) async fn drive(
    shared: Arc<Shared>,
    listener: Listener,
    mut dialled: mpsc::Receiver<Dialled>,
) {
    let mut handshakes: JoinSet<Option<Dialled>> = JoinSet::new();
    // Apart, so that strangers on one carrier do not keep members out of the other.
    let mut lines: JoinSet<Option<Dialled>> = JoinSet::new();
    let mut sessions: JoinSet<()> = JoinSet::new();
    let mut dials: JoinSet<()> = JoinSet::new();
    let mut keep = interval(KEEP_INTERVAL);
    keep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            incoming = shared.endpoint.accept() => match incoming {
                None => return,
                Some(incoming) if handshakes.len() < HANDSHAKES_MAX => {
                    handshakes.spawn(handshake(Arc::clone(&shared), incoming));
                }
                Some(incoming) => incoming.refuse(),
            },
            Some(done) = handshakes.join_next(), if !handshakes.is_empty() => {
                if let Some(session) = finished(done).flatten() {
                    sessions.spawn(serve(Arc::clone(&shared), session));
                }
            }
            Some(done) = lines.join_next(), if !lines.is_empty() => {
                if let Some(session) = finished(done).flatten() {
                    sessions.spawn(serve(Arc::clone(&shared), session));
                }
            }
            accepted = listener.tcp.accept() => match accepted {
                Ok((socket, address)) if lines.len() < HANDSHAKES_MAX => {
                    let acceptor = TlsAcceptor::from(Arc::clone(&listener.tls));
                    let shared = Arc::clone(&shared);
                    lines.spawn(accept_line(shared, acceptor, socket, address));
                }
                // Dropped, and so closed.
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot take in a connection");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(session) = dialled.recv() => {
                sessions.spawn(serve(Arc::clone(&shared), session));
            }
            Some(done) = sessions.join_next(), if !sessions.is_empty() => {
                finished(done);
            }
            Some(done) = dials.join_next(), if !dials.is_empty() => {
                finished(done);
            }
            _ = keep.tick(), if dials.is_empty() => {
                let idle_max = shared.options.line_idle_max;
                shared.peers().iter().for_each(|peer| peer.sweep_lines(idle_max));
                for (node, addresses) in shared.kept() {
                    dials.spawn(keep_session(Arc::clone(&shared), node, addresses));
                }
            }
        }
    }
}

/// What a task left, unless it panicked: that ends the one session, not the network.
fn finished<T>(done: Result<T, JoinError>) -> Option<T> {
    done.inspect_err(|error| tracing::error!(%error, "a task of the data plane panicked")).ok()
}

/// Finishes the handshake of someone who dialled, and takes in who is a member.
async fn handshake(shared: Arc<Shared>, incoming: Incoming) -> Option<Dialled> {
    let address = incoming.remote_address();
    let connecting = incoming.accept().ok()?;
    let connection = match timeout(HANDSHAKE_TIMEOUT, connecting).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => {
            tracing::debug!(%address, %error, "a handshake failed");
            return None;
        }
        Err(_) => {
            tracing::debug!(%address, "a handshake took too long");
            return None;
        }
    };
    let node = certificate::node_at(&connection);
    let peer = node.and_then(|node| shared.adopt(node, &connection));
    let Some(peer) = peer else {
        tracing::warn!(%address, ?node, "refused a connection from who is no member");
        Close::NotAMember.close(&connection);
        return None;
    };
    Some(Dialled::Session(Session { peer, connection, is_dialled: false }))
}

/// The same over TCP. A line that is offered goes to those on which this node asks.
async fn accept_line(
    shared: Arc<Shared>,
    acceptor: TlsAcceptor,
    socket: TcpStream,
    address: SocketAddr,
) -> Option<Dialled> {
    let accepted = tcp::accept(acceptor, socket).await;
    let failed = |error| tracing::debug!(%address, %error, "a handshake failed");
    let (line, role) = accepted.map_err(failed).ok()?;
    let Some(peer) = shared.adopt_line(&line) else {
        tracing::warn!(%address, "refused a connection from who is no member, or has too many");
        return None;
    };
    match role {
        Role::Ask => Some(Dialled::Line(peer, Box::new(line))),
        Role::Offer => {
            peer.give_back(line);
            None
        }
    }
}

async fn keep_session(shared: Arc<Shared>, node: NodeId, addresses: Vec<SocketAddr>) {
    let Ok(peer) = shared.peer(node) else { return };
    if let Err(failure) = shared.connection(&peer, &addresses).await {
        tracing::debug!(?node, %failure, "a session that is to be kept could not be made");
    }
}

async fn serve(shared: Arc<Shared>, session: Dialled) {
    match session {
        Dialled::Session(session) => serve_session(shared, session).await,
        Dialled::Line(peer, line) => serve_line(shared, peer, *line).await,
    }
}

/// Serves the streams that the other end opens, until the connection is closed.
async fn serve_session(shared: Arc<Shared>, session: Session) {
    let Session { peer, connection, is_dialled } = session;
    let mut streams: JoinSet<()> = JoinSet::new();
    let idle_max = shared.options.session_idle_max;
    let mut check = interval((idle_max / 4).clamp(Duration::from_millis(10), CHECK_EVERY_MAX));
    check.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut busy_at, mut passed) = (clock::now(), peer.bytes());
    loop {
        tokio::select! {
            opened = connection.accept_bi() => {
                let Ok((send, receive)) = opened else { break };
                if !shared.is_member(peer.node) {
                    Close::NotAMember.close(&connection);
                    break;
                }
                streams.spawn(serve_stream(Arc::clone(&shared), Arc::clone(&peer), send, receive));
            }
            Some(done) = streams.join_next(), if !streams.is_empty() => {
                finished(done);
            }
            _ = check.tick() => {
                let before = std::mem::replace(&mut passed, peer.bytes());
                let is_quiet = streams.is_empty() && peer.asks_nothing() && passed == before;
                if !(is_dialled && is_quiet) || peer.is_kept.load(Ordering::Relaxed) {
                    busy_at = clock::now();
                } else if clock::now() - busy_at >= idle_max {
                    Close::Idle.close(&connection);
                    break;
                }
            }
        }
    }
    peer.sweep();
}

async fn serve_stream(shared: Arc<Shared>, peer: Arc<Peer>, send: SendStream, receive: RecvStream) {
    // The peer's own share first: who waits for it must not hold what others could use.
    let own = peer.serving.acquire().await;
    let all = shared.serving.acquire().await;
    let mut reader = ByteReader::Quic(QuicReader::new(receive, shared.reactor.clone()));
    let request = async {
        let preamble = in_time(&peer, read_preamble(&peer, &mut reader)).await?;
        read_request(&peer, &mut reader, preamble).await
    };
    let request = request.await;
    let stopped = send.stopped();
    // A peer that is gone wants no more either.
    let stopped = async move { drop(stopped.await) };
    let answered = answer(&shared, &peer, request, ByteWriter::Quic(send), stopped).await;
    if let Some(ByteWriter::Quic(mut send)) = answered {
        // Fails only for a stream that was ended before, which nobody has done.
        let _ = send.finish();
    }
    drop((own, all));
}

/// Serves one request after the other, until the line is closed.
async fn serve_line(shared: Arc<Shared>, peer: Arc<Peer>, line: Line) {
    let (reader, writer) = line.split();
    let (mut reader, mut writer) = (ByteReader::Served(reader), ByteWriter::Line(writer));
    loop {
        // However long that takes: who asks closes what is idle.
        let Ok(preamble) = read_preamble(&peer, &mut reader).await else { return };
        if !shared.is_member(peer.node) {
            return;
        }
        let own = peer.serving.acquire().await;
        let all = shared.serving.acquire().await;
        let request = read_request(&peer, &mut reader, preamble).await;
        let is_understood = request.is_ok();
        let stopped = stopped(&mut reader);
        let Some(next) = answer(&shared, &peer, request, writer, stopped).await else { return };
        if !is_understood {
            // Nobody knows where the next one would begin.
            return;
        }
        writer = next;
        drop((own, all));
    }
}

async fn stopped(reader: &mut ByteReader) {
    match reader {
        ByteReader::Served(line) => line.stopped().await,
        ByteReader::Quic(..) | ByteReader::Line(_) | ByteReader::Ended => {}
    }
}

/// Answers a request, unless it is `stopped`. Gives back what carried the answer, if that has ended
/// as it should.
async fn answer(
    shared: &Shared,
    peer: &Arc<Peer>,
    request: Result<RequestHeader, Failure>,
    writer: ByteWriter,
    stopped: impl Future<Output = ()>,
) -> Option<ByteWriter> {
    let mut frames = FrameWriter::new(writer, Arc::clone(peer));
    let outcome = match request {
        Ok(header) => tokio::select! {
            outcome = shared.serve.serve(peer.node, header, &mut frames) => outcome,
            () = stopped => return None,
        },
        Err(failure) => {
            tracing::warn!(peer = ?peer.node, %failure, "refused a request");
            Err(failure)
        }
    };
    let last = match outcome {
        Ok(()) => Frame::End,
        Err(failure) => Frame::Error(failure),
    };
    frames.end(&last).await
}
