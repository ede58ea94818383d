//! The data plane's transport: bytes between nodes, over QUIC or TCP, whichever suits the way.
//!
//! ```text
//! target's node                                   source's node
//!  RemoteSource ──open──▶ DataNetwork ═QUIC/TCP═▶ DataNetwork ──Serve──▶ SourceServer ──▶ Source
//!       ▲                                              │
//!       └───────────── frames of one stream ◀──────────┘
//! ```
//!
//! One stream is one request of a target's half to a source's half. Streams are opened by whoever
//! needs data, on whatever session the two nodes have: a node that cannot be dialled serves
//! requests on the session that it made itself. Both ends prove their identity in the handshake;
//! membership decides what a proven identity may do, at the handshake and on every stream.
//!
//! Frames and identities are the same on both carriers: over QUIC a stream is a stream of a
//! connection, over TCP it is a line (see `tcp`).
//!
//! What this never does: look into payloads, decide on retries, write to a store.

mod carrier;
mod certificate;
mod choice;
mod congestion;
mod lines;
mod peer;
pub mod pieces;
mod quic;
mod race;
mod reach;
mod reactor;
pub mod remote;
pub mod serve;
mod session;
mod shared;
mod stream;
mod tcp;
mod timer;
mod transport;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::io;
use std::net::{SocketAddr, TcpListener as StdTcpListener, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use airlift_protocol::error::{ErrorCode, Failure};
use airlift_protocol::frame::{self, RequestHeader};
use airlift_protocol::id::NodeId;
use async_trait::async_trait;
use libp2p::identity::Keypair;
use quinn::{Endpoint, EndpointConfig};
use rustix::net::sockopt;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use self::certificate::Identity;
use self::choice::NEAR_RTT;
pub use self::choice::Transport;
use self::peer::Close;
use self::reactor::Reactor;
use self::session::drive;
use self::shared::{Ends, Shared};
pub use self::stream::{FrameStream, FrameWriter};

/// Sessions that were dialled and are not served yet.
const DIALLED_MAX: usize = 64;

/// Bytes of datagrams that wait in the system: those of 10 ms at 3 Gbit/s. More would arrive while the
/// process is not run, and be lost.
pub(crate) const SOCKET_BYTES: usize = 4 << 20;

/// Ports that are tried until one is free for both carriers.
const PORTS_TRIED: usize = 32;

/// Answers requests of other members.
#[async_trait]
pub trait Serve: Debug + Send + Sync {
    /// Writes the answer of `request`, which `peer` made, but for its end. An error becomes the
    /// end. The future is dropped when the peer wants no more.
    async fn serve(
        &self,
        peer: NodeId,
        request: RequestHeader,
        frames: &mut FrameWriter,
    ) -> Result<(), Failure>;

    /// Asks `peer`, on another way than this network, to [`reach`](DataNetwork::reach) this node:
    /// it does not answer here, and may be one that can only dial. Whether there is such a way.
    fn beckon(&self, peer: NodeId) -> bool;
}

/// How a node takes part in the data plane.
#[derive(Clone, Debug)]
pub struct DataOptions {
    /// Time after which a session on which nothing is asked is closed by who dialled.
    pub session_idle_max: Duration,
    /// The same for a line, of which there may be many.
    pub line_idle_max: Duration,
    /// Streams of others that are served at once.
    pub serving_max: usize,
    /// Which carrier takes the streams that this node opens.
    pub transport: Transport,
    /// Round trips up to which a way is short.
    pub near_rtt: Duration,
}

impl Default for DataOptions {
    fn default() -> Self {
        Self {
            // The next run of a job that follows its source finds what is known of the way.
            session_idle_max: Duration::from_secs(600),
            line_idle_max: Duration::from_secs(60),
            serving_max: 256,
            transport: Transport::Auto,
            near_rtt: NEAR_RTT,
        }
    }
}

/// What has passed between this node and another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// The other node.
    pub node: NodeId,
    /// Sessions with it: connections over QUIC, and over TCP.
    pub sessions: usize,
    /// Bytes of frames and payloads sent to it.
    pub bytes_sent: u64,
    /// Bytes of requests, frames and payloads received from it.
    pub bytes_received: u64,
}

/// What a node's data plane is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataStatus {
    /// Where this node can be dialled.
    pub listen: SocketAddr,
    /// Members that were met, by id.
    pub peers: Vec<PeerStatus>,
}

/// Where connections over TCP come in.
#[derive(Debug)]
struct Listener {
    tcp: TcpListener,
    tls: Arc<rustls::ServerConfig>,
}

/// A node's part of the data plane. Dropping it closes every session.
#[derive(Debug)]
pub struct DataNetwork {
    shared: Arc<Shared>,
    listen: SocketAddr,
    reactor: Reactor,
    /// The one task that owns all others; ends with the network.
    _driver: JoinSet<()>,
}

impl DataNetwork {
    /// Listens on `listen`, with nobody as a member yet. Must be called within a runtime.
    ///
    /// # Errors
    /// When the address cannot be bound, or the keypair is no Ed25519 keypair.
    pub fn start(
        keypair: &Keypair,
        listen: SocketAddr,
        serve: Arc<dyn Serve>,
        options: DataOptions,
    ) -> Result<Self, Failure> {
        let identity = Identity::new(keypair)?;
        let transport = transport::config();
        let server = transport::server(identity.server()?, &transport)?;
        let cannot = |error: io::Error| {
            Failure::new(ErrorCode::Io, format!("listen on {listen} for the data plane: {error}"))
        };
        let (socket, tcp) = bind(listen).map_err(cannot)?;
        let reactor = Reactor::start().map_err(cannot)?;
        let runtime = reactor.runtime();
        let endpoint = Endpoint::new(EndpointConfig::default(), Some(server), socket, runtime)
            .map_err(cannot)?;
        let listen = endpoint.local_addr().map_err(cannot)?;
        let tls = Arc::new(identity.server()?);
        let listener = Listener { tcp: TcpListener::from_std(tcp).map_err(cannot)?, tls };
        let (dialled, sessions) = mpsc::channel(DIALLED_MAX);
        let ends = Ends { identity, transport, endpoint, reactor: reactor.handle(), dialled };
        let shared = Arc::new(Shared::new(ends, serve, options));
        let mut driver = JoinSet::new();
        driver.spawn(drive(Arc::clone(&shared), listener, sessions));
        Ok(Self { shared, listen, reactor, _driver: driver })
    }

    /// This node's id.
    pub fn node(&self) -> NodeId {
        self.shared.own
    }

    /// Where this node can be dialled, with the port that the system gave.
    pub fn listen_address(&self) -> SocketAddr {
        self.listen
    }

    /// Says who is a member from now on. Sessions of all others are closed at once.
    pub fn set_members(&self, members: BTreeSet<NodeId>) {
        self.shared.set_members(members);
    }

    /// Says to which members a session is kept though nothing is asked on it: for a node that
    /// cannot be dialled and is to serve. Lost sessions are dialled again.
    pub fn set_kept(&self, kept: BTreeMap<NodeId, Vec<SocketAddr>>) {
        self.shared.set_kept(kept);
    }

    /// Dials a member that asks for it because it cannot dial this node, unless there is a session
    /// already or a dial is under way.
    ///
    /// # Errors
    /// When it cannot be reached, or is no member now.
    pub async fn reach(&self, node: NodeId, addresses: &[SocketAddr]) -> Result<(), Failure> {
        let peer = self.shared.peer(node)?;
        self.shared.reach(&peer, addresses).await
    }

    /// How long a round trip to `to` takes, about; makes sure that there is a way.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn round_trip(
        &self,
        to: NodeId,
        addresses: &[SocketAddr],
    ) -> Result<Duration, Failure> {
        let peer = self.shared.peer(to)?;
        self.shared.round_trip(&peer, addresses).await
    }

    /// Opens a stream to `to` with `request`: on a session that is there, by dialling `addresses`,
    /// or on the session that `to` makes when it is asked to.
    ///
    /// # Errors
    /// Transient when `to` cannot be reached or is no member now.
    pub async fn open(
        &self,
        to: NodeId,
        addresses: &[SocketAddr],
        request: &RequestHeader,
    ) -> Result<FrameStream, Failure> {
        let refused = |error| Failure::new(ErrorCode::Bug, format!("a request: {error}"));
        let bytes = frame::encode_request(request).map_err(refused)?;
        let peer = self.shared.peer(to)?;
        let permit = Arc::clone(&peer.opening).acquire_owned().await;
        let permit = permit.expect("invariant: the semaphore is never closed");
        let opened = self.shared.open(&peer, addresses, bytes.into()).await?;
        Ok(FrameStream::new(opened, peer, permit))
    }

    /// How long a round trip takes to the farthest of those who are being asked for something now.
    pub fn farthest(&self) -> Option<Duration> {
        self.shared.peers().iter().filter_map(|peer| peer.way()).max()
    }

    /// What is going on.
    pub fn status(&self) -> DataStatus {
        let peers = self.shared.peers().into_iter().map(|peer| {
            let (bytes_sent, bytes_received) = peer.bytes();
            PeerStatus { node: peer.node, sessions: peer.live_count(), bytes_sent, bytes_received }
        });
        DataStatus { listen: self.listen, peers: peers.collect() }
    }
}

/// Sockets for both carriers, on one port.
fn bind(listen: SocketAddr) -> io::Result<(UdpSocket, StdTcpListener)> {
    for _ in 1..PORTS_TRIED {
        match bind_once(listen) {
            // The port that the system gave for one is taken for the other.
            Err(error) if listen.port() == 0 && error.kind() == io::ErrorKind::AddrInUse => {}
            bound => return bound,
        }
    }
    bind_once(listen)
}

fn bind_once(listen: SocketAddr) -> io::Result<(UdpSocket, StdTcpListener)> {
    let udp = UdpSocket::bind(listen)?;
    // The system gives what it allows; `airlift doctor` says so where that is little.
    sockopt::set_socket_recv_buffer_size(&udp, SOCKET_BYTES)?;
    sockopt::set_socket_send_buffer_size(&udp, SOCKET_BYTES)?;
    let tcp = StdTcpListener::bind(udp.local_addr()?)?;
    tcp.set_nonblocking(true)?;
    Ok((udp, tcp))
}

impl Drop for DataNetwork {
    fn drop(&mut self) {
        self.shared.endpoint.close(Close::Shutdown.code(), b"shutdown");
        self.shared.peers().iter().for_each(|peer| peer.close(Close::Shutdown));
        self.reactor.end(self.shared.endpoint.clone());
    }
}
