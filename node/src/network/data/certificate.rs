//! Who is at the other end: TLS certificates signed by a node's identity.
//!
//! A `NodeId` is the Ed25519 public key of a node. libp2p's certificates carry that key, so that the
//! data plane and the control plane know a node by the same identity.

use std::sync::Arc;

use airlift_protocol::error::{ErrorCode, Failure};
use airlift_protocol::id::NodeId;
use libp2p::PeerId;
use libp2p::identity::{Keypair, PublicKey, ed25519};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, Connection, ServerConfig, TransportConfig};
use rustls::NoKeyLog;
use rustls::pki_types::CertificateDer;

/// What both ends must speak.
const PROTOCOL: &[u8] = b"airlift-data/1";

/// Connections that may wait for their handshake.
const INCOMING_MAX: usize = 64;

/// Bytes that one of them may send before that.
const INCOMING_BYTES_MAX: u64 = 64 << 10;

/// The id of the node that holds `keypair`.
///
/// # Errors
/// When it is no Ed25519 keypair.
pub(super) fn node_of(keypair: &Keypair) -> Result<NodeId, Failure> {
    let key = keypair.public().try_into_ed25519();
    let key = key.map_err(|_| Failure::new(ErrorCode::Bug, "a node's identity is Ed25519"))?;
    Ok(NodeId(key.to_bytes()))
}

fn peer_id(node: NodeId) -> Result<PeerId, Failure> {
    let key = ed25519::PublicKey::try_from_bytes(&node.0);
    let key = key.map_err(|_| unusable(format!("{node} is not an Ed25519 public key")))?;
    Ok(PublicKey::from(key).to_peer_id())
}

/// The node at the other end of `connection`, or `None` when its certificate names no Ed25519 key.
pub(super) fn node_at(connection: &Connection) -> Option<NodeId> {
    let certificates: Box<Vec<CertificateDer<'static>>> =
        connection.peer_identity()?.downcast().ok()?;
    let certificate = libp2p_tls::certificate::parse(certificates.first()?).ok()?;
    // An Ed25519 PeerId is the key itself, in an identity multihash.
    let peer = certificate.peer_id();
    let key = PublicKey::try_decode_protobuf(peer.as_ref().digest()).ok()?;
    Some(NodeId(key.try_into_ed25519().ok()?.to_bytes()))
}

/// How this node answers who dials it.
pub(super) fn server(
    keypair: &Keypair,
    transport: &Arc<TransportConfig>,
) -> Result<ServerConfig, Failure> {
    let mut tls = libp2p_tls::make_server_config(keypair).map_err(unusable)?;
    tls.alpn_protocols = vec![PROTOCOL.to_vec()];
    // Session keys are not for the environment to ask for.
    tls.key_log = Arc::new(NoKeyLog);
    let tls = QuicServerConfig::try_from(tls).map_err(unusable)?;
    let mut config = ServerConfig::with_crypto(Arc::new(tls));
    config.transport_config(Arc::clone(transport));
    config.max_incoming(INCOMING_MAX);
    config.incoming_buffer_size(INCOMING_BYTES_MAX);
    config.incoming_buffer_size_total(INCOMING_BYTES_MAX * INCOMING_MAX as u64);
    Ok(config)
}

/// How this node dials `to`: the handshake fails when someone else answers.
pub(super) fn client(
    keypair: &Keypair,
    transport: &Arc<TransportConfig>,
    to: NodeId,
) -> Result<ClientConfig, Failure> {
    let mut tls = libp2p_tls::make_client_config(keypair, Some(peer_id(to)?)).map_err(unusable)?;
    tls.alpn_protocols = vec![PROTOCOL.to_vec()];
    tls.key_log = Arc::new(NoKeyLog);
    let tls = QuicClientConfig::try_from(tls).map_err(unusable)?;
    let mut config = ClientConfig::new(Arc::new(tls));
    config.transport_config(Arc::clone(transport));
    Ok(config)
}

fn unusable(error: impl std::fmt::Display) -> Failure {
    Failure::new(ErrorCode::Bug, format!("TLS configuration: {error}"))
}
