//! Who is at the other end, and by which cipher: the TLS 1.3 of every session, over QUIC and TCP.
//!
//! A `NodeId` is the Ed25519 public key of a node. libp2p's certificates carry that key, so that the
//! data plane and the control plane know a node by the same identity.

mod verifier;

use std::sync::Arc;

use airlift_protocol::error::{ErrorCode, Failure};
use airlift_protocol::id::NodeId;
use libp2p::identity::{Keypair, PublicKey};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::crypto::{CryptoProvider, aws_lc_rs, ring};
use rustls::pki_types::CertificateDer;
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::TLS13;
use rustls::{NoKeyLog, SupportedCipherSuite};

use self::verifier::Verifier;

/// What both ends must speak.
pub(super) const PROTOCOL: &[u8] = b"airlift-data/1";

/// What a node proves its identity with.
#[derive(Debug)]
pub(super) struct Identity {
    node: NodeId,
    /// Presented whoever asks. It is not looked at here: its extension is one that only nodes know.
    certificate: Arc<SingleCertAndKey>,
    provider: Arc<CryptoProvider>,
}

impl Identity {
    /// The identity of the node that holds `keypair`.
    ///
    /// # Errors
    /// When it is no Ed25519 keypair.
    pub(super) fn new(keypair: &Keypair) -> Result<Self, Failure> {
        let public = keypair.public().try_into_ed25519();
        let public = public.map_err(|_| unusable("a node's identity is Ed25519"))?;
        let (certificate, key) = libp2p_tls::certificate::generate(keypair).map_err(unusable)?;
        let provider = CryptoProvider { cipher_suites: cipher_suites(), ..default_provider() };
        let key = provider.key_provider.load_private_key(key).map_err(unusable)?;
        let certificate = SingleCertAndKey::from(CertifiedKey::new(vec![certificate], key));
        let node = NodeId(public.to_bytes());
        Ok(Self { node, certificate: Arc::new(certificate), provider: Arc::new(provider) })
    }

    /// Whose identity it is.
    pub(super) fn node(&self) -> NodeId {
        self.node
    }

    /// How this node answers who dials it.
    pub(super) fn server(&self) -> Result<rustls::ServerConfig, Failure> {
        let mut config = rustls::ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&TLS13])
            .map_err(unusable)?
            .with_client_cert_verifier(Arc::new(Verifier::of_anyone()))
            .with_cert_resolver(Arc::clone(&self.certificate) as _);
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        // Where this node has no instructions for AES, a peer that has them is not followed.
        config.ignore_client_order = !has_aes();
        // A session is resumed by nobody: each proves who takes part in it.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        // Session keys are not for the environment to ask for.
        config.key_log = Arc::new(NoKeyLog);
        Ok(config)
    }

    /// How this node dials `to`: the handshake fails when someone else answers.
    pub(super) fn client(&self, to: NodeId) -> Result<rustls::ClientConfig, Failure> {
        let mut config = rustls::ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&TLS13])
            .map_err(unusable)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Verifier::of(to)))
            .with_client_cert_resolver(Arc::clone(&self.certificate) as _);
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        config.resumption = rustls::client::Resumption::disabled();
        config.key_log = Arc::new(NoKeyLog);
        Ok(config)
    }
}

/// The node that presented `certificates`, or `None` when they name no Ed25519 key.
pub(super) fn node_of(certificates: &[CertificateDer<'static>]) -> Option<NodeId> {
    let certificate = libp2p_tls::certificate::parse(certificates.first()?).ok()?;
    // An Ed25519 PeerId is the key itself, in an identity multihash.
    let peer = certificate.peer_id();
    let key = PublicKey::try_decode_protobuf(peer.as_ref().digest()).ok()?;
    Some(NodeId(key.try_into_ed25519().ok()?.to_bytes()))
}

/// The node at the other end of a QUIC connection.
pub(super) fn node_at(connection: &quinn::Connection) -> Option<NodeId> {
    let certificates: Box<Vec<CertificateDer<'static>>> =
        connection.peer_identity()?.downcast().ok()?;
    node_of(&certificates)
}

/// Ciphers, the fastest on this machine first: with instructions for AES it takes a third of the time
/// of ChaCha20, without them several times as much.
fn cipher_suites() -> Vec<SupportedCipherSuite> {
    let mut suites = if is_ring_faster() {
        use ring::cipher_suite as suite;
        vec![
            suite::TLS13_AES_128_GCM_SHA256,
            suite::TLS13_AES_256_GCM_SHA384,
            suite::TLS13_CHACHA20_POLY1305_SHA256,
        ]
    } else {
        use aws_lc_rs::cipher_suite as suite;
        vec![
            suite::TLS13_AES_128_GCM_SHA256,
            suite::TLS13_AES_256_GCM_SHA384,
            suite::TLS13_CHACHA20_POLY1305_SHA256,
        ]
    };
    if !has_aes() {
        suites.rotate_right(1);
    }
    suites
}

/// Whether ring's AES-GCM is the faster one: it uses instructions for AES over 256 bits, which AWS-LC
/// does only together with AVX-512. Half the time where they stand alone.
#[cfg(target_arch = "x86_64")]
fn is_ring_faster() -> bool {
    std::arch::is_x86_feature_detected!("avx2")
        && std::arch::is_x86_feature_detected!("vaes")
        && std::arch::is_x86_feature_detected!("vpclmulqdq")
        && !std::arch::is_x86_feature_detected!("avx512f")
}

/// Whether ring's AES-GCM is the faster one.
#[cfg(not(target_arch = "x86_64"))]
fn is_ring_faster() -> bool {
    false
}

/// Whether this machine has instructions for AES.
#[cfg(target_arch = "x86_64")]
fn has_aes() -> bool {
    std::arch::is_x86_feature_detected!("aes") && std::arch::is_x86_feature_detected!("pclmulqdq")
}

/// Whether this machine has instructions for AES.
#[cfg(target_arch = "aarch64")]
fn has_aes() -> bool {
    std::arch::is_aarch64_feature_detected!("aes")
}

/// Whether this machine has instructions for AES.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn has_aes() -> bool {
    false
}

pub(super) fn unusable(error: impl std::fmt::Display) -> Failure {
    Failure::new(ErrorCode::Bug, format!("TLS configuration: {error}"))
}
