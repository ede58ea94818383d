//! The task that owns the swarm: it takes commands and events, and dials.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use airlift_protocol::id::NodeId;
use futures::StreamExt;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Swarm, identify, mdns, ping};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::Member;
use super::address::{Transport, is_worth_learning, multiaddr, parse};
use super::dialer::{Dial, Dialer, Race};
use super::error::JoinError;
use super::limit::{CLOSE_TIMEOUT, PING_FAILURES_MAX};
use super::peer::Registry;
use super::swarm::{Behaviour, BehaviourEvent, innermost, listening};
use crate::network::identity::{node_id, peer_id};
use crate::runtime::clock;

/// What the network's task is asked for.
#[derive(Debug)]
pub(super) enum Command {
    Join { address: SocketAddr, answer: oneshot::Sender<Result<NodeId, JoinError>> },
    Shutdown,
}

/// An address at which some node is looked for.
struct Join {
    address: SocketAddr,
    answer: oneshot::Sender<Result<NodeId, JoinError>>,
    race: Race,
    reason: String,
}

/// The owner of the swarm.
pub(super) struct Driver {
    swarm: Swarm<Behaviour>,
    dialer: Dialer,
    joins: Vec<Join>,
    registry: Arc<Registry>,
    commands: mpsc::Receiver<Command>,
    members: watch::Receiver<Vec<Member>>,
    listening: watch::Sender<Vec<SocketAddr>>,
    /// Pings in a row that had no answer.
    silent: BTreeMap<ConnectionId, u32>,
}

/// The other ends of the driver's channels.
pub(super) struct Ends {
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) members: watch::Receiver<Vec<Member>>,
    pub(super) listening: watch::Sender<Vec<SocketAddr>>,
}

impl Driver {
    pub(super) fn new(
        swarm: Swarm<Behaviour>,
        dialer: Dialer,
        registry: Arc<Registry>,
        ends: Ends,
    ) -> Self {
        Self {
            swarm,
            dialer,
            joins: Vec::new(),
            registry,
            commands: ends.commands,
            members: ends.members,
            listening: ends.listening,
            silent: BTreeMap::new(),
        }
    }

    /// Runs until it is told to stop, or nobody is left to tell it.
    pub(super) async fn run(mut self) {
        loop {
            self.begin_dials();
            let deadline = self.deadline();
            tokio::select! {
                event = self.swarm.select_next_some() => self.on_event(event),
                command = self.commands.recv() => match command {
                    Some(Command::Join { address, answer }) => self.join(address, answer),
                    Some(Command::Shutdown) | None => break,
                },
                Ok(()) = self.members.changed() => self.on_members(),
                () = reach(deadline) => self.exchange().expire(clock::now()),
            }
        }
        self.close().await;
    }

    fn exchange(&mut self) -> &mut super::exchange::Exchange {
        &mut self.swarm.behaviour_mut().exchange
    }

    fn deadline(&mut self) -> Option<Instant> {
        let joins = self.joins.iter().filter_map(|join| join.race.deadline());
        let first = joins.chain(self.dialer.deadline()).min();
        first.into_iter().chain(self.exchange().deadline()).min()
    }

    fn on_members(&mut self) {
        let local = node_id(self.swarm.local_peer_id());
        let members: Vec<Member> = self
            .members
            .borrow_and_update()
            .iter()
            .filter(|member| Some(member.node) != local)
            .cloned()
            .collect();
        let nodes: BTreeSet<NodeId> = members.iter().map(|member| member.node).collect();
        let connected = nodes
            .iter()
            .filter(|node| self.swarm.is_connected(&peer_id(**node)))
            .copied()
            .collect();
        self.exchange().set_members(nodes);
        let targets = members.into_iter().map(|member| (member.node, member.addresses));
        self.dialer.set_members(clock::now(), targets, &connected);
    }

    fn begin_dials(&mut self) {
        while let Some(dial) = self.dialer.poll(clock::now()) {
            let Dial { node, transport, addresses } = dial;
            let addresses = addresses.iter().map(|address| multiaddr(*address, transport));
            // A TCP connection from the listening port could meet one that just ended.
            let options = match transport {
                Transport::Quic => DialOpts::peer_id(peer_id(node)),
                Transport::Tcp => DialOpts::peer_id(peer_id(node)).allocate_new_port(),
            };
            let options = options.condition(PeerCondition::Always).addresses(addresses.collect());
            let id = self.dial(options.build()).ok();
            self.dialer.handle_begun(clock::now(), node, id);
        }
        self.begin_joins();
    }

    fn dial(&mut self, options: DialOpts) -> Result<ConnectionId, String> {
        let id = options.connection_id();
        self.swarm.dial(options).map(|()| id).map_err(|error| {
            tracing::debug!(%error, "dial could not begin");
            innermost(&error)
        })
    }

    fn join(&mut self, address: SocketAddr, answer: oneshot::Sender<Result<NodeId, JoinError>>) {
        if self.exchange().has_room_for_contact() {
            let race = Race::new(clock::now());
            self.joins.push(Join { address, answer, race, reason: String::new() });
        } else {
            // An error means that nobody waits any more, here and below.
            let _ = answer.send(Err(JoinError::Busy));
        }
    }

    fn begin_joins(&mut self) {
        self.joins.retain(|join| !join.answer.is_closed());
        let mut joins = std::mem::take(&mut self.joins);
        for join in &mut joins {
            while let Some(transport) = join.race.poll(clock::now()) {
                self.begin_join(join, transport);
            }
        }
        for join in joins {
            if join.race.is_lost() {
                let Join { address, reason, .. } = join;
                let _ = join.answer.send(Err(JoinError::Unreachable { address, reason }));
            } else {
                self.joins.push(join);
            }
        }
    }

    fn begin_join(&mut self, join: &mut Join, transport: Transport) {
        let options = DialOpts::unknown_peer_id().address(multiaddr(join.address, transport));
        let options = match transport {
            Transport::Quic => options.build(),
            Transport::Tcp => options.allocate_new_port().build(),
        };
        let id = options.connection_id();
        self.exchange().expect_join(id);
        match self.dial(options) {
            Ok(id) => join.race.handle_begun(id),
            Err(reason) => {
                self.exchange().end_join(id);
                join.reason = reason;
                join.race.handle_nothing_begun(clock::now());
            }
        }
    }

    fn on_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        let now = clock::now();
        match event {
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, .. } => {
                if let Some(node) = node_id(&peer_id) {
                    self.dialer.handle_connected(now, node);
                    self.on_joined(connection_id, node);
                }
            }
            SwarmEvent::ConnectionClosed { peer_id, connection_id, num_established, .. } => {
                self.silent.remove(&connection_id);
                if let Some(node) = node_id(&peer_id).filter(|_| num_established == 0) {
                    self.dialer.handle_disconnected(now, node);
                }
            }
            SwarmEvent::OutgoingConnectionError { connection_id, error, .. } => {
                tracing::debug!(%error, "dial failed");
                self.dialer.handle_failed(now, connection_id);
                self.exchange().end_join(connection_id);
                for join in &mut self.joins {
                    if join.race.handle_failed(connection_id, now) {
                        join.reason = innermost(&error);
                    }
                }
            }
            SwarmEvent::NewListenAddr { .. } | SwarmEvent::ExpiredListenAddr { .. } => {
                self.listening.send_replace(listening(&self.swarm));
            }
            SwarmEvent::ListenerClosed { addresses, reason, .. } => {
                tracing::error!(?addresses, ?reason, "the control plane no longer listens");
                self.listening.send_replace(listening(&self.swarm));
            }
            SwarmEvent::ListenerError { error, .. } => {
                tracing::warn!(%error, "the control plane failed to accept a connection");
            }
            SwarmEvent::IncomingConnectionError { error, send_back_addr, .. } => {
                tracing::debug!(%error, %send_back_addr, "incoming connection failed");
            }
            SwarmEvent::Behaviour(event) => self.on_behaviour(event),
            _ => {}
        }
    }

    fn on_joined(&mut self, id: ConnectionId, node: NodeId) {
        if let Some(index) = self.joins.iter().position(|join| join.race.has(id)) {
            let _ = self.joins.swap_remove(index).answer.send(Ok(node));
        }
    }

    fn on_behaviour(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Limits(never) => match never {},
            BehaviourEvent::Exchange(never) => match never {},
            BehaviourEvent::Ping(ping::Event { peer, connection, result }) => {
                self.on_ping(peer, connection, result);
            }
            BehaviourEvent::Identify(identify::Event::Received {
                connection_id,
                peer_id,
                info,
            }) => self.on_identified(&peer_id, connection_id, &info.listen_addrs),
            BehaviourEvent::Identify(_) | BehaviourEvent::Mdns(mdns::Event::Expired(_)) => {}
            BehaviourEvent::Mdns(mdns::Event::Discovered(found)) => {
                for (peer, address) in found {
                    let address = parse_with_peer(&address);
                    if let (Some(node), Some(address)) = (node_id(&peer), address) {
                        self.dialer.learn(node, address);
                    }
                }
            }
        }
    }

    /// The dialer takes addresses of members only; theirs is the connection that this came by.
    fn on_identified(&mut self, peer: &PeerId, id: ConnectionId, addresses: &[Multiaddr]) {
        let Some(node) = node_id(peer) else { return };
        let Some(observed) = self.exchange().observed(node, id) else { return };
        for (address, _) in addresses.iter().filter_map(parse) {
            if is_worth_learning(address, observed) {
                self.dialer.learn(node, address);
            }
        }
    }

    fn on_ping(
        &mut self,
        peer: PeerId,
        id: ConnectionId,
        result: Result<std::time::Duration, ping::Failure>,
    ) {
        match result {
            Ok(rtt) => {
                self.silent.remove(&id);
                let Some(node) = node_id(&peer) else { return };
                if self.exchange().carrier(node) == Some(id)
                    && let Some(peer) = self.registry.find(node)
                {
                    peer.set_rtt(rtt);
                }
            }
            Err(error) => {
                let failures = self.silent.entry(id).or_default();
                *failures += 1;
                if *failures >= PING_FAILURES_MAX {
                    tracing::debug!(%error, "connection closed for its silence");
                    self.swarm.close_connection(id);
                }
            }
        }
    }

    /// Says goodbye to everybody, so that nobody has to find out.
    async fn close(mut self) {
        let peers: Vec<PeerId> = self.swarm.connected_peers().copied().collect();
        for peer in peers {
            // An error means that it is not connected any more.
            let _ = self.swarm.disconnect_peer_id(peer);
        }
        let goodbye = async {
            while self.exchange().count() > 0 {
                self.swarm.select_next_some().await;
            }
        };
        if timeout(CLOSE_TIMEOUT, goodbye).await.is_err() {
            tracing::debug!("some connections did not close in time");
        }
    }
}

fn parse_with_peer(address: &Multiaddr) -> Option<SocketAddr> {
    parse(address).map(|(address, _)| address)
}

async fn reach(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
