//! The control plane's network: requests, answers and notices between nodes, opaque to it.
//!
//! ```text
//! request, send ──► Peer (what waits for a node) ◄── Handler (one connection) ◄──► streams
//! set_members ────► Driver ──► Exchange (all connections), Dialer (when to dial)
//! Receiver<Incoming> ◄── Handler
//! ```
//!
//! Both ends of a connection have proven their Ed25519 keys in the TLS handshake. A member may ask
//! and say anything within the limits; a stranger may ask a little, for a short time, so that it
//! can join. All limits stand in [`limit`].
//!
//! **Guarantees.** A request is answered at most once, and is not repeated: an error other than
//! `Unknown`, `TooLong`, `Busy` and `Refused` leaves open whether the peer acted on it. Requests are
//! in no order. Notices may be lost, and are in order within a lane while a connection lasts.
//! Nothing arrives damaged, cut short or from somebody else.
//!
//! **Small before large.** Small notices have a stream of their own, and each request has one.
//! QUIC sends all streams of a connection in turn and gives each its own window, so a heartbeat
//! does not wait behind a page, whatever the page waits for. On TCP, where this falls back to when
//! UDP does not get through, frames of the streams still alternate, but a lost packet stops all.
//!
//! It never looks into a body, and never decides who is a member.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use airlift_protocol::id::NodeId;
use bytes::Bytes;
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::network::identity::Identity;

mod address;
mod budget;
mod dialer;
mod driver;
mod error;
mod exchange;
mod handler;
mod incoming;
pub mod limit;
mod peer;
mod stream;
mod swarm;
#[cfg(test)]
mod tests;
mod wire;

pub use address::Transport;
pub use error::{JoinError, NetworkError, RequestError};
pub use incoming::{Incoming, Reply};
pub use peer::Lane;
#[cfg(any(test, fuzzing))]
pub use wire::check_stream;

use budget::Budget;
use dialer::Dialer;
use driver::{Command, Driver, Ends};
use exchange::Exchange;
use limit::{COMMANDS_MAX, INCOMING_MAX, JOIN_TIMEOUT, REQUEST_BYTES_MAX};
use peer::Registry;
use stream::Shared;

/// How a node takes part in the control plane.
#[derive(Clone, Debug)]
pub struct ControlOptions {
    /// Where to listen: UDP for QUIC, and TCP, on the same port. Port 0 means any that is free.
    pub listen: SocketAddr,
    /// Whether to look for the members' addresses by multicast in the local network.
    pub mdns: bool,
    /// Addresses at which others reach this node, where they differ from those it listens on.
    pub external: Vec<SocketAddr>,
}

impl ControlOptions {
    /// Listens on `listen`, and leaves the rest as it is for most.
    #[must_use]
    pub fn new(listen: SocketAddr) -> Self {
        Self { listen, mdns: false, external: Vec::new() }
    }
}

/// A node that may take part, and where it may be found; without addresses it has to dial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub node: NodeId,
    /// Where, at most eight; each by QUIC and TCP.
    pub addresses: Vec<SocketAddr>,
}

/// What is known about the way to one member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// The member.
    pub node: NodeId,
    /// Whether there is a connection.
    pub is_connected: bool,
    /// The other end of the connection in use.
    pub address: Option<SocketAddr>,
    /// What carries it.
    pub transport: Option<Transport>,
    /// How long the last ping took to come back.
    pub rtt: Option<Duration>,
    /// Bytes of requests, answers and notices that were handed to the connection.
    pub bytes_sent: u64,
    /// Bytes of requests, answers and notices that arrived.
    pub bytes_received: u64,
    /// Notices that made room for newer ones.
    pub notices_dropped: u64,
}

/// A running network. Dropping it ends its task and, with that, all connections.
pub struct ControlNetwork {
    node: NodeId,
    registry: Arc<Registry>,
    commands: mpsc::Sender<Command>,
    members: watch::Sender<Vec<Member>>,
    listening: watch::Receiver<Vec<SocketAddr>>,
    /// Notices to nodes that are no members, or too long to send.
    unsendable: AtomicU64,
    tasks: Mutex<JoinSet<()>>,
}

impl fmt::Debug for ControlNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ControlNetwork").field("node", &self.node).finish_non_exhaustive()
    }
}

impl ControlNetwork {
    /// Listens, and begins to serve. Nobody is a member until [`Self::set_members`].
    ///
    /// What comes in must be taken from the receiver: the queue is short, and when it is full the
    /// others wait.
    ///
    /// # Errors
    /// When an address cannot be listened on.
    pub async fn start(
        identity: &Identity,
        options: ControlOptions,
    ) -> Result<(Self, mpsc::Receiver<Incoming>), NetworkError> {
        let registry = Arc::new(Registry::default());
        let (incoming, received) = mpsc::channel(INCOMING_MAX);
        let shared =
            Arc::new(Shared { incoming, requests: Budget::of_node(), answers: Budget::of_node() });
        let exchange = Exchange::new(Arc::clone(&registry), shared);
        let mut swarm = swarm::build(identity, &options, exchange)?;
        swarm::listen(&mut swarm, options.listen).await?;
        for external in &options.external {
            for transport in [Transport::Quic, Transport::Tcp] {
                swarm.add_external_address(address::multiaddr(*external, transport));
            }
        }
        let (commands, commanded) = mpsc::channel(COMMANDS_MAX);
        let (members, members_seen) = watch::channel(Vec::new());
        let (listening_now, listening) = watch::channel(swarm::listening(&swarm));
        let ends = Ends { commands: commanded, members: members_seen, listening: listening_now };
        let dialer = Dialer::new(identity.node(), RandomState::new().hash_one(identity.node()));
        let mut tasks = JoinSet::new();
        tasks.spawn(Driver::new(swarm, dialer, Arc::clone(&registry), ends).run());
        let network = Self {
            node: identity.node(),
            registry,
            commands,
            members,
            listening,
            unsendable: AtomicU64::new(0),
            tasks: Mutex::new(tasks),
        };
        Ok((network, received))
    }

    /// This node.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// The addresses that are listened on, with the real port; one for each interface when the
    /// address asked for was unspecified.
    #[must_use]
    pub fn listen_addresses(&self) -> Vec<SocketAddr> {
        self.listening.borrow().clone()
    }

    /// Asks a node and waits for its answer, for a connection too if there is none.
    ///
    /// At most [`limit::REQUESTS_IN_FLIGHT_MAX`] requests to one node are under way; the others
    /// wait for their turn within their `limit` of time. Dropping the future gives the request up.
    ///
    /// # Errors
    /// When there is no answer, see [`RequestError`].
    pub async fn request(
        &self,
        to: NodeId,
        body: Bytes,
        limit: Duration,
    ) -> Result<Bytes, RequestError> {
        if body.len() > REQUEST_BYTES_MAX {
            return Err(RequestError::TooLong { bytes: body.len() });
        }
        let peer = self.registry.find(to).ok_or(RequestError::Unknown(to))?;
        timeout(limit, peer.request(body)).await.unwrap_or(Err(RequestError::TimedOut))
    }

    /// Sends a notice, which may be lost: on the urgent lane if it is short
    /// ([`limit::SMALL_BYTES_MAX`]), else on the other. Never waits.
    pub fn send(&self, to: NodeId, body: Bytes) {
        self.send_on(Lane::for_length(body.len()), to, body);
    }

    /// Sends a notice on the given lane: those of one lane do not overtake each other. When the
    /// lane is full, its oldest notices are dropped and counted.
    pub fn send_on(&self, lane: Lane, to: NodeId, body: Bytes) {
        match self.registry.find(to) {
            Some(peer) if body.len() <= REQUEST_BYTES_MAX => peer.notify(lane, body),
            _ => {
                tracing::debug!(node = ?to, bytes = body.len(), "notice cannot be sent");
                self.unsendable.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Notices that could not be sent: to nodes that are no members, or too long.
    #[must_use]
    pub fn notices_unsendable(&self) -> u64 {
        self.unsendable.load(Ordering::Relaxed)
    }

    /// Says who may take part, and where they are. This node itself is left out.
    ///
    /// Requests to members are accepted from now on. Connections of a node that is no longer named
    /// are closed, and what waits for it fails.
    pub fn set_members(&self, members: Vec<Member>) {
        // Within the watch's lock, so that registry and list change in the same order.
        self.members.send_modify(|current| {
            let nodes = members.iter().map(|member| member.node);
            self.registry.set_members(nodes.filter(|node| *node != self.node));
            *current = members;
        });
    }

    /// Reaches a node of which only the address is known, and says which one it is. For half a
    /// minute it can be asked, and sees this node as no member until it decides otherwise.
    ///
    /// Whoever needs to know beforehand that it is the right one compares the answer.
    ///
    /// # Errors
    /// When no node answers there.
    pub async fn dial_join(&self, address: SocketAddr) -> Result<NodeId, JoinError> {
        let (answer, answered) = oneshot::channel();
        let joined = async {
            let command = Command::Join { address, answer };
            self.commands.send(command).await.map_err(|_| JoinError::Stopped)?;
            answered.await.unwrap_or(Err(JoinError::Stopped))
        };
        timeout(JOIN_TIMEOUT, joined).await.unwrap_or(Err(JoinError::TimedOut(address)))
    }

    /// What is known about the way to each member.
    #[must_use]
    pub fn status(&self) -> Vec<PeerStatus> {
        let status = |(node, peer): (NodeId, Arc<peer::Peer>)| {
            let link = peer.link();
            let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
            PeerStatus {
                node,
                is_connected: link.is_some(),
                address: link.map(|link| link.address),
                transport: link.map(|link| link.transport),
                rtt: link.and_then(|link| link.rtt),
                bytes_sent: count(&peer.counters.sent),
                bytes_received: count(&peer.counters.received),
                notices_dropped: count(&peer.counters.dropped),
            }
        };
        self.registry.members().into_iter().map(status).collect()
    }

    /// Closes all connections, and waits until the network's task has ended.
    pub async fn shutdown(&self) {
        // An error means that the task has ended already.
        let _ = self.commands.send(Command::Shutdown).await;
        let mut tasks = self.tasks.lock().await;
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "the network's task failed");
            }
        }
        self.registry.set_members(std::iter::empty());
    }
}
