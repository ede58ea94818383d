//! A peer that has an identity and speaks QUIC, and for the rest does as it likes.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use airlift_protocol::id::NodeId;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, Endpoint, RecvStream, SendStream};
use tokio::time::timeout;

use super::node::PATIENCE;
use crate::network::identity::Identity;

pub(super) struct Raw {
    identity: Identity,
    endpoint: Endpoint,
}

/// A frame of multistream-select.
fn line(text: &str) -> Vec<u8> {
    let mut frame = vec![u8::try_from(text.len() + 1).unwrap()];
    frame.extend_from_slice(text.as_bytes());
    frame.push(b'\n');
    frame
}

impl Raw {
    pub(super) fn new() -> Self {
        let identity = Identity::generate();
        let tls = libp2p_tls::make_client_config(identity.keypair(), None).unwrap();
        let config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
        let mut endpoint = Endpoint::client(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        endpoint.set_default_client_config(config);
        Self { identity, endpoint }
    }

    pub(super) fn id(&self) -> NodeId {
        self.identity.node()
    }

    pub(super) async fn connect(&self, address: SocketAddr) -> Connection {
        // The name is not looked at: the certificate carries the node's key.
        let connecting = self.endpoint.connect(address, "l").unwrap();
        timeout(PATIENCE, connecting).await.unwrap().unwrap()
    }
}

/// A stream on which `protocol` was agreed.
pub(super) async fn open(connection: &Connection, protocol: &str) -> (SendStream, RecvStream) {
    let (mut send, mut recv) = connection.open_bi().await.unwrap();
    let offer = [line("/multistream/1.0.0"), line(protocol)].concat();
    send.write_all(&offer).await.unwrap();
    let mut agreed = vec![0; offer.len()];
    timeout(PATIENCE, recv.read_exact(&mut agreed)).await.unwrap().unwrap();
    assert_eq!(agreed, offer);
    (send, recv)
}
