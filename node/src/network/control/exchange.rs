//! All connections: who may have one, which one carries, and when it ends.
//!
//! This is the part of the swarm that is the control plane's own. It holds no clock: deadlines are
//! given out, and `expire` is called when one has passed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::convert::Infallible;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use airlift_protocol::id::NodeId;
use libp2p::core::transport::PortUse;
use libp2p::core::{ConnectedPoint, Endpoint};
use libp2p::swarm::behaviour::{ConnectionClosed, ConnectionEstablished};
use libp2p::swarm::{
    CloseConnection, ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, NotifyHandler,
    ToSwarm,
};
use libp2p::{Multiaddr, PeerId};
use tokio::time::Instant;

use super::address::{self, Transport};
use super::handler::{Direction, Handler, Standing};
use super::limit::{CONTACTS_MAX, PENDING_FROM_ONE_MAX, STRANGER_LIFETIME, STRANGERS_MAX};
use super::peer::{Link, Registry};
use super::stream::Shared;
use crate::network::identity::{node_id, peer_id};
use crate::network::party::party;
use crate::runtime::clock;

/// Why a connection is not accepted.
#[derive(Clone, Copy, Debug)]
enum Denial {
    NoNode,
    Strangers,
    Unasked,
    Handshakes,
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoNode => "its key is not Ed25519",
            Self::Strangers => "enough strangers are connected",
            Self::Unasked => "it is no member any more",
            Self::Handshakes => "enough handshakes with its address are under way",
        })
    }
}

impl std::error::Error for Denial {}

/// An established connection.
struct Connection {
    id: ConnectionId,
    address: SocketAddr,
    transport: Transport,
    is_dialled: bool,
    is_carrier: bool,
    /// When it ends, unless its node has become a member.
    until: Option<Instant>,
}

/// The control plane's part of the swarm.
pub(super) struct Exchange {
    registry: Arc<Registry>,
    shared: Arc<Shared>,
    members: BTreeSet<NodeId>,
    connections: BTreeMap<NodeId, Vec<Connection>>,
    /// Dials to addresses whose node is not known yet.
    joins: BTreeSet<ConnectionId>,
    /// Handshakes of others, by where they come from: nobody may have all that there may be.
    pending: BTreeMap<ConnectionId, IpAddr>,
    actions: VecDeque<ToSwarm<Infallible, Direction>>,
    waker: Option<Waker>,
}

impl Exchange {
    pub(super) fn new(registry: Arc<Registry>, shared: Arc<Shared>) -> Self {
        Self {
            registry,
            shared,
            members: BTreeSet::new(),
            connections: BTreeMap::new(),
            joins: BTreeSet::new(),
            pending: BTreeMap::new(),
            actions: VecDeque::new(),
            waker: None,
        }
    }

    fn act(&mut self, action: ToSwarm<Infallible, Direction>) {
        self.actions.push_back(action);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn close(&mut self, node: NodeId, connection: CloseConnection) {
        self.act(ToSwarm::CloseConnection { peer_id: peer_id(node), connection });
    }

    /// Cuts off who is no member any more, and tells the connections of those who became one.
    pub(super) fn set_members(&mut self, members: BTreeSet<NodeId>) {
        let before = std::mem::replace(&mut self.members, members);
        let connected: Vec<_> = self.connections.keys().copied().collect();
        for node in connected {
            if self.members.contains(&node) {
                for connection in self.connections.get_mut(&node).into_iter().flatten() {
                    connection.until = None;
                }
                self.direct(node);
            } else if before.contains(&node) {
                self.close(node, CloseConnection::All);
            }
        }
    }

    fn standing(&self, node: NodeId) -> Standing {
        match self.registry.find(node) {
            Some(peer) if self.members.contains(&node) => Standing::Member(peer),
            // Removed or added a moment ago: the news has not reached this task.
            Some(peer) => Standing::Contact(peer),
            None => Standing::Stranger,
        }
    }

    /// Whether another node may be reached by address now.
    pub(super) fn has_room_for_contact(&self) -> bool {
        let is_contact = |node: &&NodeId| !self.members.contains(node);
        let outbound = |connections: &&Vec<Connection>| connections.iter().any(|c| c.is_dialled);
        let contacts = self
            .connections
            .iter()
            .filter(|(node, connections)| is_contact(node) && outbound(connections))
            .count();
        contacts + self.joins.len() < CONTACTS_MAX
    }

    pub(super) fn expect_join(&mut self, connection: ConnectionId) {
        self.joins.insert(connection);
    }

    /// Whether a dial that has come to an end was to an address only.
    pub(super) fn end_join(&mut self, connection: ConnectionId) {
        self.joins.remove(&connection);
    }

    /// When [`Self::expire`] has something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.connections.values().flatten().filter_map(|connection| connection.until).min()
    }

    /// Closes the connections whose time is over.
    pub(super) fn expire(&mut self, now: Instant) {
        let mut over = Vec::new();
        for (node, connections) in &mut self.connections {
            for connection in connections {
                if connection.until.is_some_and(|until| until <= now) {
                    connection.until = None;
                    over.push((*node, connection.id));
                }
            }
        }
        for (node, id) in over {
            self.close(node, CloseConnection::One(id));
        }
    }

    /// The connection that carries what is sent to `node`.
    pub(super) fn carrier(&self, node: NodeId) -> Option<ConnectionId> {
        let connections = self.connections.get(&node)?;
        Some(connections.iter().find(|connection| connection.is_carrier)?.id)
    }

    /// Where `node` is seen on its connection `id`.
    pub(super) fn observed(&self, node: NodeId, id: ConnectionId) -> Option<SocketAddr> {
        let connections = self.connections.get(&node)?;
        Some(connections.iter().find(|connection| connection.id == id)?.address)
    }

    /// How many connections are open.
    pub(super) fn count(&self) -> usize {
        self.connections.values().map(Vec::len).sum()
    }

    /// Chooses the connection that carries: QUIC before TCP, then the newest, since an old one may
    /// be dead without being known to be. Tells all connections of `node` where they stand.
    fn direct(&mut self, node: NodeId) {
        let standing = self.standing(node);
        let Some(connections) = self.connections.get_mut(&node) else { return };
        let transport = connections.iter().map(|connection| connection.transport).min();
        let chosen = connections.iter().rposition(|c| Some(c.transport) == transport);
        let mut directions = Vec::new();
        for (index, connection) in connections.iter_mut().enumerate() {
            let is_carrier = chosen == Some(index);
            if is_carrier && let Some(peer) = standing.peer() {
                let before = peer.link().filter(|_| connection.is_carrier);
                peer.set_link(Some(Link {
                    address: connection.address,
                    transport: connection.transport,
                    rtt: before.and_then(|link| link.rtt),
                }));
            }
            connection.is_carrier = is_carrier;
            directions.push((connection.id, Direction { standing: standing.clone(), is_carrier }));
        }
        for (id, event) in directions {
            let handler = NotifyHandler::One(id);
            self.act(ToSwarm::NotifyHandler { peer_id: peer_id(node), handler, event });
        }
    }

    fn on_established(&mut self, event: ConnectionEstablished<'_>) {
        let ConnectionEstablished { peer_id, connection_id, endpoint, .. } = event;
        self.joins.remove(&connection_id);
        self.pending.remove(&connection_id);
        let (Some(node), Some((address, transport))) =
            (node_id(&peer_id), address::parse(endpoint.get_remote_address()))
        else {
            // Accepted by no `handle_established_…` of this file.
            return;
        };
        let is_dialled = matches!(endpoint, ConnectedPoint::Dialer { .. });
        let is_member = self.members.contains(&node);
        let connection = Connection {
            id: connection_id,
            address,
            transport,
            is_dialled,
            is_carrier: false,
            until: (!is_member).then(|| clock::now() + STRANGER_LIFETIME),
        };
        tracing::debug!(?node, %address, %transport, is_dialled, is_member, "connected");
        let connections = self.connections.entry(node).or_default();
        connections.push(connection);
        // Both transports of one dial came up: the second best goes.
        let dialled = || connections.iter().filter(|connection| connection.is_dialled);
        let spare = match dialled().count() {
            0 | 1 => None,
            _ => dialled().max_by_key(|connection| connection.transport).map(|spare| spare.id),
        };
        self.direct(node);
        if let Some(spare) = spare {
            self.close(node, CloseConnection::One(spare));
        }
    }

    fn on_closed(&mut self, event: ConnectionClosed<'_>) {
        let Some(node) = node_id(&event.peer_id) else { return };
        let Some(connections) = self.connections.get_mut(&node) else { return };
        tracing::debug!(?node, cause = ?event.cause, "disconnected");
        connections.retain(|connection| connection.id != event.connection_id);
        if !connections.is_empty() {
            self.direct(node);
            return;
        }
        self.connections.remove(&node);
        if let Some(peer) = self.registry.find(node) {
            peer.set_link(None);
        }
        if !self.members.contains(&node) {
            self.registry.forget_contact(node);
        }
    }

    fn strangers(&self) -> usize {
        let accepted = |connection: &&Connection| !connection.is_dialled;
        self.connections
            .iter()
            .filter(|(node, _)| !self.members.contains(node))
            .map(|(_, connections)| connections.iter().filter(accepted).count())
            .sum()
    }
}

impl NetworkBehaviour for Exchange {
    type ConnectionHandler = Handler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        let Some((address, _)) = address::parse(remote) else { return Ok(()) };
        let from = party(address.ip());
        let pending = self.pending.values().filter(|other| **other == from).count();
        if pending >= PENDING_FROM_ONE_MAX {
            return Err(ConnectionDenied::new(Denial::Handshakes));
        }
        self.pending.insert(connection, from);
        Ok(())
    }

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<Handler, ConnectionDenied> {
        let node = node_id(&peer).ok_or_else(|| ConnectionDenied::new(Denial::NoNode))?;
        if !self.members.contains(&node) && self.strangers() >= STRANGERS_MAX {
            return Err(ConnectionDenied::new(Denial::Strangers));
        }
        Ok(Handler::new(node, self.standing(node), &self.shared))
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<Handler, ConnectionDenied> {
        let node = node_id(&peer).ok_or_else(|| ConnectionDenied::new(Denial::NoNode))?;
        let is_join = self.joins.remove(&connection);
        if !is_join && !self.members.contains(&node) {
            return Err(ConnectionDenied::new(Denial::Unasked));
        }
        if is_join {
            self.registry.contact(node);
        }
        Ok(Handler::new(node, self.standing(node), &self.shared))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(event) => self.on_established(event),
            FromSwarm::ConnectionClosed(event) => self.on_closed(event),
            FromSwarm::ListenFailure(event) => {
                self.pending.remove(&event.connection_id);
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: Infallible) {
        match event {}
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Infallible, Direction>> {
        match self.actions.pop_front() {
            Some(action) => Poll::Ready(action),
            None => {
                self.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::task::noop_waker;
    use libp2p::swarm::behaviour::ListenFailure;
    use tokio::sync::mpsc;

    use super::*;
    use crate::network::control::budget::Budget;

    fn exchange() -> Exchange {
        let (incoming, _) = mpsc::channel(1);
        let shared = Shared { incoming, requests: Budget::of_node(), answers: Budget::of_node() };
        Exchange::new(Arc::default(), Arc::new(shared))
    }

    fn accept(exchange: &mut Exchange, byte: u8, id: usize) -> bool {
        let (peer, id) = (peer_id(NodeId([byte; 32])), ConnectionId::new_unchecked(id));
        let address: Multiaddr = "/ip4/127.0.0.1/udp/9/quic-v1".parse().unwrap();
        if exchange.handle_established_inbound_connection(id, peer, &address, &address).is_err() {
            return false;
        }
        let endpoint =
            ConnectedPoint::Listener { local_addr: address.clone(), send_back_addr: address };
        exchange.on_swarm_event(FromSwarm::ConnectionEstablished(ConnectionEstablished {
            peer_id: peer,
            connection_id: id,
            endpoint: &endpoint,
            failed_addresses: &[],
            other_established: 0,
        }));
        true
    }

    /// The connections that are to be closed.
    fn closed(exchange: &mut Exchange) -> Vec<PeerId> {
        let waker = noop_waker();
        let mut closed = Vec::new();
        while let Poll::Ready(action) = exchange.poll(&mut Context::from_waker(&waker)) {
            if let ToSwarm::CloseConnection { peer_id, .. } = action {
                closed.push(peer_id);
            }
        }
        closed
    }

    #[test]
    fn strangers_are_few_and_do_not_stay() {
        let mut exchange = exchange();
        for byte in 0..u8::try_from(STRANGERS_MAX).unwrap() {
            assert!(accept(&mut exchange, byte, usize::from(byte)));
        }
        assert!(!accept(&mut exchange, 100, 100));
        exchange.registry.set_members([NodeId([101; 32]), NodeId([0; 32])].into_iter());
        exchange.set_members(BTreeSet::from([NodeId([101; 32]), NodeId([0; 32])]));
        assert!(accept(&mut exchange, 101, 101));
        let deadline = exchange.deadline().unwrap();
        exchange.expire(clock::now());
        assert_eq!(closed(&mut exchange), []);
        exchange.expire(deadline + STRANGER_LIFETIME);
        assert_eq!(closed(&mut exchange).len(), STRANGERS_MAX - 1);
        assert_eq!(exchange.deadline(), None);
    }

    #[test]
    fn handshakes_from_one_address_leave_room_for_others() {
        let mut exchange = exchange();
        let local: Multiaddr = "/ip4/127.0.0.1/tcp/9".parse().unwrap();
        let begin = |exchange: &mut Exchange, from: &str, id: usize| {
            let (id, from) = (ConnectionId::new_unchecked(id), from.parse().unwrap());
            exchange.handle_pending_inbound_connection(id, &local, &from).is_ok()
        };
        for id in 0..PENDING_FROM_ONE_MAX {
            assert!(begin(&mut exchange, &format!("/ip4/192.0.2.1/tcp/{}", 1000 + id), id));
        }
        assert!(!begin(&mut exchange, "/ip4/192.0.2.1/tcp/7", 100));
        assert!(!begin(&mut exchange, "/ip4/192.0.2.1/udp/7/quic-v1", 101));
        assert!(begin(&mut exchange, "/ip4/192.0.2.2/tcp/7", 102));
        let send_back: Multiaddr = "/ip4/192.0.2.1/tcp/1000".parse().unwrap();
        exchange.on_swarm_event(FromSwarm::ListenFailure(ListenFailure {
            local_addr: &local,
            send_back_addr: &send_back,
            error: &libp2p::swarm::ListenError::Aborted,
            connection_id: ConnectionId::new_unchecked(0),
            peer_id: None,
        }));
        assert!(begin(&mut exchange, "/ip4/192.0.2.1/tcp/8", 103), "one of them has failed");
    }

    #[test]
    fn a_removed_member_is_cut_off() {
        let mut exchange = exchange();
        let node = NodeId([1; 32]);
        exchange.registry.set_members([node].into_iter());
        exchange.set_members(BTreeSet::from([node]));
        assert!(accept(&mut exchange, 1, 1));
        assert_eq!(closed(&mut exchange), []);
        exchange.set_members(BTreeSet::new());
        assert_eq!(closed(&mut exchange), [peer_id(node)]);
    }

    #[test]
    fn a_dial_that_nobody_wants_any_more_is_given_up() {
        let mut exchange = exchange();
        let (peer, id) = (peer_id(NodeId([1; 32])), ConnectionId::new_unchecked(1));
        let address = Multiaddr::empty();
        let dial = |exchange: &mut Exchange| {
            let role = Endpoint::Dialer;
            let port = PortUse::Reuse;
            exchange.handle_established_outbound_connection(id, peer, &address, role, port).is_ok()
        };
        assert!(!dial(&mut exchange));
        exchange.expect_join(id);
        assert!(dial(&mut exchange));
        assert!(!dial(&mut exchange));
    }
}
