//! How the libp2p swarm is put together: transports, behaviours, and every limit of theirs.

use std::net::SocketAddr;
use std::num::NonZeroU8;

use futures::StreamExt;
use libp2p::core::transport::ListenerId;
use libp2p::core::upgrade::Version;
use libp2p::swarm::NetworkBehaviour;
use libp2p::swarm::SwarmEvent;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::{
    Multiaddr, Swarm, SwarmBuilder, connection_limits, identify, mdns, ping, quic, tcp, tls, yamux,
};
use tokio::time::timeout;

use super::ControlOptions;
use super::address::{Transport, multiaddr, parse};
use super::error::NetworkError;
use super::exchange::Exchange;
use super::limit::{
    CONNECTION_WINDOW_BYTES, CONNECTIONS_PER_NODE_MAX, HANDSHAKE_TIMEOUT, IDLE_TIMEOUT,
    KEEP_ALIVE_INTERVAL, LISTEN_TIMEOUT, PENDING_INCOMING_MAX, PENDING_OUTGOING_MAX, PING_INTERVAL,
    PING_TIMEOUT, PORT_ATTEMPTS_MAX, STREAM_WINDOW_BYTES, STREAMS_MAX,
};
use super::wire::REQUEST_PROTOCOL;
use crate::network::identity::Identity;

/// How many addresses of a node are tried at the same time.
const DIAL_CONCURRENCY: NonZeroU8 = NonZeroU8::new(8).expect("invariant: eight is not zero");

/// What runs over the connections.
#[derive(NetworkBehaviour)]
pub(super) struct Behaviour {
    limits: connection_limits::Behaviour,
    pub(super) exchange: Exchange,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    mdns: Toggle<mdns::tokio::Behaviour>,
}

/// Builds the swarm; it does nothing yet.
pub(super) fn build(
    identity: &Identity,
    options: &ControlOptions,
    exchange: Exchange,
) -> Result<Swarm<Behaviour>, NetworkError> {
    let behaviour = behaviour(identity, options, exchange)?;
    let swarm = SwarmBuilder::with_existing_identity(identity.keypair().clone())
        .with_tokio()
        .with_tcp(tcp::Config::new().nodelay(true), tls::Config::new, yamux_config)
        .map_err(|error| NetworkError::Tls(error.to_string()))?
        .with_quic_config(quic_config)
        .with_behaviour(|_| behaviour)
        .unwrap_or_else(|never| match never {})
        .with_swarm_config(|config| {
            config
                .with_dial_concurrency_factor(DIAL_CONCURRENCY)
                .with_max_negotiating_inbound_streams(STREAMS_MAX)
                // A request needs no round trip of its own to agree on the protocol.
                .with_substream_upgrade_protocol_override(Version::V1Lazy)
                .with_idle_connection_timeout(IDLE_TIMEOUT)
        })
        .with_connection_timeout(HANDSHAKE_TIMEOUT)
        .build();
    Ok(swarm)
}

fn behaviour(
    identity: &Identity,
    options: &ControlOptions,
    exchange: Exchange,
) -> Result<Behaviour, NetworkError> {
    let public = identity.keypair().public();
    let limits = connection_limits::ConnectionLimits::default()
        .with_max_established_per_peer(Some(CONNECTIONS_PER_NODE_MAX))
        .with_max_pending_incoming(Some(PENDING_INCOMING_MAX))
        .with_max_pending_outgoing(Some(PENDING_OUTGOING_MAX));
    let identify = identify::Config::new(REQUEST_PROTOCOL.to_owned(), public.clone())
        .with_agent_version("airlift".to_owned())
        .with_cache_size(0);
    let ping = ping::Config::new().with_interval(PING_INTERVAL).with_timeout(PING_TIMEOUT);
    let mdns = match options.mdns {
        true => Some(mdns::tokio::Behaviour::new(mdns::Config::default(), public.to_peer_id())?),
        false => None,
    };
    Ok(Behaviour {
        limits: connection_limits::Behaviour::new(limits),
        exchange,
        identify: identify::Behaviour::new(identify),
        ping: ping::Behaviour::new(ping),
        mdns: Toggle::from(mdns),
    })
}

fn quic_config(mut config: quic::Config) -> quic::Config {
    config.handshake_timeout = HANDSHAKE_TIMEOUT;
    config.max_idle_timeout = u32::try_from(IDLE_TIMEOUT.as_millis()).unwrap_or(u32::MAX);
    config.keep_alive_interval = KEEP_ALIVE_INTERVAL;
    config.max_concurrent_stream_limit = u32::try_from(STREAMS_MAX).unwrap_or(u32::MAX);
    config.max_stream_data = STREAM_WINDOW_BYTES;
    config.max_connection_data = CONNECTION_WINDOW_BYTES;
    config
}

/// Each stream begins with a window of 256 KiB; only the number of streams can be set.
fn yamux_config() -> yamux::Config {
    let mut config = yamux::Config::default();
    // Yamux counts the streams of both sides together.
    config.set_max_num_streams(2 * STREAMS_MAX);
    config
}

/// Listens on UDP and TCP, on one port. With port 0, one that is free for both.
pub(super) async fn listen(
    swarm: &mut Swarm<Behaviour>,
    address: SocketAddr,
) -> Result<(), NetworkError> {
    let attempts = if address.port() == 0 { PORT_ATTEMPTS_MAX } else { 1 };
    let mut attempt = 1;
    loop {
        let (udp, bound) = bind(swarm, address, Transport::Quic).await?;
        match bind(swarm, SocketAddr::new(address.ip(), bound.port()), Transport::Tcp).await {
            Ok(_) => return Ok(()),
            Err(error) if attempt >= attempts => return Err(error),
            Err(error) => {
                tracing::debug!(%error, "another port is tried");
                swarm.remove_listener(udp);
                attempt += 1;
            }
        }
    }
}

async fn bind(
    swarm: &mut Swarm<Behaviour>,
    address: SocketAddr,
    transport: Transport,
) -> Result<(ListenerId, SocketAddr), NetworkError> {
    let failed = |reason: String| NetworkError::Listen {
        address,
        transport: match transport {
            Transport::Quic => "udp",
            Transport::Tcp => "tcp",
        },
        reason,
    };
    let listener = swarm
        .listen_on(multiaddr(address, transport))
        .map_err(|error| failed(innermost(&error)))?;
    let first = timeout(LISTEN_TIMEOUT, first_address(swarm, listener)).await;
    match first {
        Ok(Ok(bound)) => Ok((listener, bound)),
        Ok(Err(reason)) => Err(failed(reason)),
        Err(_) => Err(failed("no interface has such an address".to_owned())),
    }
}

async fn first_address(
    swarm: &mut Swarm<Behaviour>,
    listener: ListenerId,
) -> Result<SocketAddr, String> {
    loop {
        match swarm.select_next_some().await {
            SwarmEvent::NewListenAddr { listener_id, address } if listener_id == listener => {
                return parse_listening(&address).ok_or_else(|| format!("bound to {address}"));
            }
            SwarmEvent::ListenerClosed { listener_id, reason, .. } if listener_id == listener => {
                return Err(reason.err().map_or_else(String::new, |error| error.to_string()));
            }
            // Nobody is a member yet: what comes in meanwhile is a stranger's and has its limits.
            _ => {}
        }
    }
}

fn parse_listening(address: &Multiaddr) -> Option<SocketAddr> {
    parse(address).map(|(address, _)| address)
}

/// The addresses that the swarm listens on; UDP and TCP are one.
pub(super) fn listening(swarm: &Swarm<Behaviour>) -> Vec<SocketAddr> {
    let mut addresses: Vec<_> = swarm.listeners().filter_map(parse_listening).collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

/// The error that the others wrap: libp2p's own say only "Other".
pub(super) fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
