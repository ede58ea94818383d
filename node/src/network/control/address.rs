//! Socket addresses as libp2p writes them, and back.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;

/// What carries a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Transport {
    /// UDP: streams do not wait for each other.
    Quic,
    /// Where UDP does not get through.
    Tcp,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Quic => "quic",
            Self::Tcp => "tcp",
        })
    }
}

pub(super) fn multiaddr(address: SocketAddr, transport: Transport) -> Multiaddr {
    let host = Multiaddr::from(address.ip());
    match transport {
        Transport::Quic => host.with(Protocol::Udp(address.port())).with(Protocol::QuicV1),
        Transport::Tcp => host.with(Protocol::Tcp(address.port())),
    }
}

/// Reads what [`multiaddr`] writes, with or without the peer's id after it.
pub(super) fn parse(address: &Multiaddr) -> Option<(SocketAddr, Transport)> {
    let mut parts = address.iter();
    let ip = match parts.next()? {
        Protocol::Ip4(ip) => IpAddr::V4(ip),
        Protocol::Ip6(ip) => IpAddr::V6(ip),
        _ => return None,
    };
    let (port, transport) = match parts.next()? {
        Protocol::Tcp(port) => (port, Transport::Tcp),
        Protocol::Udp(port) if parts.next()? == Protocol::QuicV1 => (port, Transport::Quic),
        _ => return None,
    };
    match (parts.next(), parts.next()) {
        (None | Some(Protocol::P2p(_)), None) => Some((SocketAddr::new(ip, port), transport)),
        _ => None,
    }
}

/// Whether a peer that is seen at `observed` may be reachable at `address`, which it names itself.
///
/// Its loopback is not ours, unless it is on this machine.
pub(super) fn is_worth_learning(address: SocketAddr, observed: SocketAddr) -> bool {
    let ip = address.ip();
    !ip.is_unspecified()
        && !ip.is_multicast()
        && address.port() != 0
        && (!ip.is_loopback() || observed.ip().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_they_were_written() {
        for text in ["127.0.0.1:1", "[::1]:65535", "10.1.2.3:4400"] {
            let address: SocketAddr = text.parse().unwrap();
            for transport in [Transport::Quic, Transport::Tcp] {
                let written = multiaddr(address, transport);
                assert_eq!(parse(&written), Some((address, transport)));
            }
        }
    }

    #[test]
    fn other_protocols_are_not_addresses() {
        for text in [
            "/ip4/1.2.3.4",
            "/ip4/1.2.3.4/udp/5",
            "/ip4/1.2.3.4/udp/5/quic",
            "/dns4/host/tcp/5",
            "/ip4/1.2.3.4/tcp/5/ws",
            "/ip4/1.2.3.4/tcp/5/p2p-circuit",
        ] {
            assert_eq!(parse(&text.parse().unwrap()), None, "{text}");
        }
    }

    #[test]
    fn loopback_is_learnt_from_this_machine_only() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        assert!(is_worth_learning(at("127.0.0.1:5"), at("127.0.0.1:6")));
        assert!(!is_worth_learning(at("127.0.0.1:5"), at("10.0.0.1:6")));
        assert!(is_worth_learning(at("10.0.0.2:5"), at("10.0.0.1:6")));
        assert!(!is_worth_learning(at("0.0.0.0:5"), at("127.0.0.1:6")));
        assert!(!is_worth_learning(at("10.0.0.2:0"), at("127.0.0.1:6")));
    }
}
