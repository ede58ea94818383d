//! A peer that speaks QUIC, shows whatever identity it has, and for the rest does as it likes.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use airlift_node::network::identity::Identity;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, Endpoint, RecvStream, SendStream};
use tokio::time::timeout;

/// Time for anything that a node may refuse.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Which port of a node is talked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plane {
    /// That of the control plane.
    Control,
    /// That of the data plane.
    Data,
}

/// A peer with an identity and without manners.
#[derive(Debug)]
pub struct Raw {
    endpoint: Endpoint,
    control: ClientConfig,
    data: ClientConfig,
}

impl Raw {
    /// A peer at an address of its own. Must be called within a runtime.
    ///
    /// # Panics
    /// When the system has no port for it.
    pub fn new(identity: &Identity) -> Self {
        let config = |protocol: Option<&[u8]>| {
            let tls = libp2p_tls::make_client_config(identity.keypair(), None);
            let mut tls = tls.expect("an identity makes a certificate");
            if let Some(protocol) = protocol {
                tls.alpn_protocols = vec![protocol.to_vec()];
            }
            let tls = QuicClientConfig::try_from(tls).expect("TLS 1.3 is there");
            ClientConfig::new(Arc::new(tls))
        };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let endpoint = Endpoint::client(address).expect("a free port");
        Self { endpoint, control: config(None), data: config(Some(b"airlift-data/1")) }
    }

    /// A connection, if the node takes it.
    pub async fn connect(&self, plane: Plane, address: SocketAddr) -> Option<Connection> {
        let config = match plane {
            Plane::Control => self.control.clone(),
            Plane::Data => self.data.clone(),
        };
        let connecting = self.endpoint.connect_with(config, address, "l").ok()?;
        timeout(PATIENCE, connecting).await.ok()?.ok()
    }
}

/// What offers `protocol` on a stream of the control plane.
pub fn offer(protocol: &str) -> Vec<u8> {
    let line = |text: &str| {
        let length = u8::try_from(text.len() + 1).unwrap_or(u8::MAX);
        [&[length], text.as_bytes(), b"\n"].concat()
    };
    [line("/multistream/1.0.0"), line(protocol)].concat()
}

/// Writes `bytes` on a stream of its own, and reads what comes back, if that is soon.
pub async fn say(connection: &Connection, bytes: &[u8]) -> Vec<u8> {
    let exchanged = async {
        let (mut send, mut receive) = connection.open_bi().await.ok()?;
        // A refusal may come before everything was taken.
        let _ = send.write_all(bytes).await;
        let _ = send.finish();
        receive.read_to_end(1 << 20).await.ok()
    };
    timeout(Duration::from_millis(500), exchanged).await.ok().flatten().unwrap_or_default()
}

/// Opens streams until no more can be opened, says `bytes` on each, and keeps them.
pub async fn flood(connection: &Connection, bytes: &[u8]) -> Vec<(SendStream, RecvStream)> {
    let mut streams = Vec::new();
    while let Ok(Ok((mut send, receive))) =
        timeout(Duration::from_millis(100), connection.open_bi()).await
    {
        if send.write_all(bytes).await.is_err() || streams.len() >= 4096 {
            break;
        }
        streams.push((send, receive));
    }
    streams
}
