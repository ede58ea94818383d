//! What all parts of the data network share: who is a member, and the sessions with them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use airlift_protocol::error::{ErrorCode, Failure};
use airlift_protocol::id::NodeId;
use futures::stream::{FuturesUnordered, StreamExt};
use quinn::{Connection, Endpoint, TransportConfig};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{sleep_until, timeout};

use super::certificate::Identity;
use super::peer::{Close, Peer};
use super::session::{Dialled, HANDSHAKE_TIMEOUT, Session};
use super::tcp::Line;
use super::{DataOptions, Serve, certificate, transport};
use crate::runtime::clock;

/// Addresses of one node that are tried.
pub(super) const ADDRESSES_MAX: usize = 8;

/// Time for a peer to answer before it is asked to dial by itself.
pub(super) const HEAD_START: Duration = Duration::from_millis(500);

/// Time for a peer that was asked to dial once this node's own dial has failed.
pub(super) const BECKON_TIMEOUT: Duration = Duration::from_secs(2);

/// The name in the handshake. It means nothing: who answers is known by the key.
pub(super) const SERVER_NAME: &str = "airlift";

#[derive(Debug, Default)]
struct Membership {
    members: BTreeSet<NodeId>,
    /// Members that were met.
    peers: BTreeMap<NodeId, Arc<Peer>>,
    /// Members to which a session is kept, with their addresses.
    kept: BTreeMap<NodeId, Vec<SocketAddr>>,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) own: NodeId,
    pub(super) identity: Identity,
    transport: Arc<TransportConfig>,
    pub(super) endpoint: Endpoint,
    /// The runtime on which it lives.
    pub(super) reactor: Handle,
    pub(super) serve: Arc<dyn Serve>,
    pub(super) options: DataOptions,
    /// Streams that are served at once, over all peers.
    pub(super) serving: Semaphore,
    membership: Mutex<Membership>,
    /// Sessions that this node made, to be served as those that others made.
    pub(super) dialled: mpsc::Sender<Dialled>,
}

pub(super) fn unavailable(text: String) -> Failure {
    Failure::new(ErrorCode::NodeLost, text)
}

pub(super) fn no_address(node: NodeId) -> String {
    format!("{node:?} has not connected, and its address is not known")
}

/// How a [`Shared`] reaches the world.
pub(super) struct Ends {
    pub(super) identity: Identity,
    pub(super) transport: Arc<TransportConfig>,
    pub(super) endpoint: Endpoint,
    pub(super) reactor: Handle,
    pub(super) dialled: mpsc::Sender<Dialled>,
}

impl Shared {
    pub(super) fn new(ends: Ends, serve: Arc<dyn Serve>, options: DataOptions) -> Self {
        let Ends { identity, transport, endpoint, reactor, dialled } = ends;
        let own = identity.node();
        let serving = Semaphore::new(options.serving_max);
        let membership = Mutex::default();
        Self {
            own,
            identity,
            transport,
            endpoint,
            reactor,
            serve,
            options,
            serving,
            membership,
            dialled,
        }
    }

    fn membership(&self) -> MutexGuard<'_, Membership> {
        self.membership.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_member(&self, node: NodeId) -> bool {
        self.membership().members.contains(&node)
    }

    pub(super) fn set_members(&self, members: BTreeSet<NodeId>) {
        let mut membership = self.membership();
        membership.members = members;
        let Membership { members, peers, .. } = &mut *membership;
        peers.retain(|node, peer| {
            let stays = members.contains(node);
            if !stays {
                peer.close(Close::NotAMember);
            }
            stays
        });
    }

    pub(super) fn set_kept(&self, kept: BTreeMap<NodeId, Vec<SocketAddr>>) {
        let mut membership = self.membership();
        for (node, peer) in &membership.peers {
            peer.is_kept.store(kept.contains_key(node), Ordering::Relaxed);
        }
        membership.kept = kept;
    }

    /// Members to which a session is to be kept and is not there.
    pub(super) fn kept(&self) -> Vec<(NodeId, Vec<SocketAddr>)> {
        let membership = self.membership();
        let is_missing = |node: &NodeId| {
            let peer = membership.peers.get(node);
            membership.members.contains(node) && peer.is_none_or(|peer| peer.live().is_none())
        };
        let missing = membership.kept.iter().filter(|(node, _)| is_missing(node));
        missing.map(|(node, addresses)| (*node, addresses.clone())).collect()
    }

    pub(super) fn peers(&self) -> Vec<Arc<Peer>> {
        self.membership().peers.values().cloned().collect()
    }

    /// What is known of a member.
    pub(super) fn peer(&self, node: NodeId) -> Result<Arc<Peer>, Failure> {
        let peer = self.met(&mut self.membership(), node);
        peer.ok_or_else(|| unavailable(format!("{node:?} is no member of the cluster")))
    }

    /// Takes in a connection with `node`, if that is a member. Under the lock of the membership:
    /// a node that is removed at the same time loses this connection, too.
    pub(super) fn adopt(&self, node: NodeId, connection: &Connection) -> Option<Arc<Peer>> {
        let mut membership = self.membership();
        let peer = self.met(&mut membership, node)?;
        peer.add(connection.clone());
        Some(peer)
    }

    /// The same of a line, unless there are too many with that node.
    pub(super) fn adopt_line(&self, line: &Line) -> Option<Arc<Peer>> {
        let node = certificate::node_of(line.certificates())?;
        let mut membership = self.membership();
        let peer = self.met(&mut membership, node)?;
        peer.add_line(line).then_some(peer)
    }

    /// Another member.
    fn met(&self, membership: &mut Membership, node: NodeId) -> Option<Arc<Peer>> {
        if !membership.members.contains(&node) || node == self.own {
            return None;
        }
        let is_kept = membership.kept.contains_key(&node);
        let peer = membership.peers.entry(node).or_insert_with(|| Arc::new(Peer::new(node)));
        peer.is_kept.store(is_kept, Ordering::Relaxed);
        Some(Arc::clone(peer))
    }

    /// A session with `peer`: one that is there, or a new one. Who waits while another dials
    /// shares the outcome.
    pub(super) async fn connection(
        &self,
        peer: &Arc<Peer>,
        addresses: &[SocketAddr],
    ) -> Result<Connection, Failure> {
        if let Some(connection) = peer.live() {
            return Ok(connection);
        }
        let dials_seen = peer.dials.load(Ordering::Acquire);
        let mut dialling = peer.dialling.lock().await;
        if let Some(connection) = peer.live() {
            return Ok(connection);
        }
        if peer.dials.load(Ordering::Acquire) != dials_seen
            && let Some(failure) = &dialling.failure
        {
            return Err(failure.clone());
        }
        if let Some(not_before) = dialling.not_before {
            tokio::select! {
                () = sleep_until(not_before) => {}
                connection = peer.arrived() => return Ok(connection),
            }
        }
        let outcome = self.meet(peer, addresses).await;
        peer.dials.fetch_add(1, Ordering::AcqRel);
        match &outcome {
            Ok(_) => dialling.on_success(),
            Err(failure) => dialling.on_failure(clock::now(), failure.clone()),
        }
        outcome
    }

    /// Dials, and asks the peer to dial when it does not answer soon: between two nodes of which one
    /// can only dial, the session is always made by that one.
    async fn meet(
        &self,
        peer: &Arc<Peer>,
        addresses: &[SocketAddr],
    ) -> Result<Connection, Failure> {
        let mut dial = pin!(self.dial(peer.node, addresses));
        let failure = match timeout(HEAD_START, &mut dial).await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(failure)) => Some(failure),
            Err(_) => None,
        };
        let is_asked = self.serve.beckon(peer.node);
        let failure = match failure {
            Some(failure) => failure,
            None => tokio::select! {
                // What this node has dialled is served from the moment at which it is there.
                biased;
                dialled = &mut dial => match dialled {
                    Ok(connection) => return Ok(connection),
                    Err(failure) => failure,
                },
                connection = peer.arrived() => return Ok(connection),
            },
        };
        if !is_asked {
            return Err(failure);
        }
        timeout(BECKON_TIMEOUT, peer.arrived()).await.map_err(|_| failure)
    }

    /// Dials a peer that asked for it.
    pub(super) async fn reach(
        &self,
        peer: &Arc<Peer>,
        addresses: &[SocketAddr],
    ) -> Result<(), Failure> {
        if peer.live().is_some() {
            return Ok(());
        }
        // Otherwise this node is dialling it anyway.
        let Ok(mut dialling) = peer.dialling.try_lock() else { return Ok(()) };
        let mut dial = pin!(self.dial(peer.node, addresses));
        let dialled = match timeout(HEAD_START, &mut dial).await {
            Ok(dialled) => dialled,
            // Datagrams may not pass.
            Err(_) if self.offer(peer, addresses).await.is_ok() => return Ok(()),
            Err(_) => dial.await,
        };
        dialled?;
        dialling.on_success();
        Ok(())
    }

    /// Dials every address at once; the first that answers as `node` is taken.
    async fn dial(&self, node: NodeId, addresses: &[SocketAddr]) -> Result<Connection, Failure> {
        let config = transport::client(self.identity.client(node)?, &self.transport)?;
        let mut dials = FuturesUnordered::new();
        for &address in addresses.iter().take(ADDRESSES_MAX) {
            let config = config.clone();
            dials.push(async move {
                let failed = |why: &dyn std::fmt::Display| {
                    unavailable(format!("{node:?} at {address}: {why}"))
                };
                let connecting = self.endpoint.connect_with(config, address, SERVER_NAME);
                let connecting = connecting.map_err(|error| failed(&error))?;
                let connected = timeout(HANDSHAKE_TIMEOUT, connecting).await;
                connected.map_err(|_| failed(&"no answer"))?.map_err(|error| failed(&error))
            });
        }
        let mut last = unavailable(no_address(node));
        while let Some(outcome) = dials.next().await {
            match outcome {
                Ok(connection) => return self.take_in(node, connection).await,
                Err(failure) => last = failure,
            }
        }
        Err(last)
    }

    async fn take_in(&self, node: NodeId, connection: Connection) -> Result<Connection, Failure> {
        if certificate::node_at(&connection) != Some(node) {
            Close::NotAMember.close(&connection);
            return Err(unavailable(format!("{node:?}: someone else answered")));
        }
        // Taken before: a session that is known is served, even if nobody waits for the dial by then.
        let Ok(place) = self.dialled.reserve().await else {
            return Err(unavailable("the data network is going down".to_owned()));
        };
        let Some(peer) = self.adopt(node, &connection) else {
            Close::NotAMember.close(&connection);
            return Err(unavailable(format!("{node:?} is no member of the cluster")));
        };
        let session = Session { peer, connection: connection.clone(), is_dialled: true };
        place.send(Dialled::Session(session));
        Ok(connection)
    }
}
