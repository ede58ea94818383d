//! QUIC: its numbers, each with its reason.

use std::sync::Arc;
use std::time::Duration;

use airlift_protocol::error::Failure;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{AckFrequencyConfig, ClientConfig, ServerConfig, TransportConfig, VarInt};

use super::certificate::unusable;
use super::congestion::MeasuredFactory;

/// Connections that may wait for their handshake.
const INCOMING_MAX: usize = 64;

/// Bytes that one of them may send before that.
const INCOMING_BYTES_MAX: u64 = 64 << 10;

/// Streams that one node may have open at another, in each direction.
pub(super) const STREAMS_MAX: u32 = 64;

/// Bytes that may be under way on one stream. A stream's reassembly buffer holds 1,024 pieces that
/// cannot be merged, and more of them close the whole connection: with packets of 1,200 bytes and
/// more this window cannot get there. One stream is therefore limited to a window per round trip;
/// routes are filled by many streams.
const STREAM_WINDOW_BYTES: u32 = 1280 << 10;

/// Bytes that may be under way on one connection: all streams at once, so that readers that pause
/// do not stop the others.
const CONNECTION_WINDOW_BYTES: u32 = STREAM_WINDOW_BYTES * STREAMS_MAX;

/// Time after which a peer that says nothing is taken to be gone.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(8);

/// Time between signs of life: several may be lost before a peer is taken to be gone.
const KEEP_ALIVE: Duration = Duration::from_secs(2);

/// Packets that are acknowledged together. One that is missing is told at once.
const ACKED_EVERY: VarInt = VarInt::from_u32(64);

/// How long one waits for that at most. With 8 ms, ways of 50 Mbit/s lost a fifth of their rate: what waits to be
/// acknowledged is a part of the window.
const ACKED_AFTER: Duration = Duration::from_millis(1);

const _: () = {
    assert!(STREAM_WINDOW_BYTES <= 1024 * 1280);
    assert!(KEEP_ALIVE.as_millis() * 3 < IDLE_TIMEOUT.as_millis());
};

/// How often the other end is asked to acknowledge. Where each round trip brings thousands of packets, one in
/// so many says as much as every other one, and both ends have less to do.
pub(super) fn acks() -> AckFrequencyConfig {
    let mut acks = AckFrequencyConfig::default();
    acks.ack_eliciting_threshold(ACKED_EVERY).max_ack_delay(Some(ACKED_AFTER));
    acks
}

/// The transport of every session. Segmentation offload and MTU discovery are on by default.
pub(super) fn config() -> Arc<TransportConfig> {
    let mut transport = TransportConfig::default();
    let idle = IDLE_TIMEOUT.try_into().expect("invariant: seconds fit");
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(STREAMS_MAX))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW_BYTES))
        .send_window(u64::from(CONNECTION_WINDOW_BYTES))
        .max_idle_timeout(Some(idle))
        .keep_alive_interval(Some(KEEP_ALIVE))
        .ack_frequency_config(Some(acks()))
        .congestion_controller_factory(Arc::new(MeasuredFactory))
        .datagram_receive_buffer_size(None);
    Arc::new(transport)
}

/// How this node answers who dials it.
pub(super) fn server(
    tls: rustls::ServerConfig,
    transport: &Arc<TransportConfig>,
) -> Result<ServerConfig, Failure> {
    let tls = QuicServerConfig::try_from(tls).map_err(unusable)?;
    let mut config = ServerConfig::with_crypto(Arc::new(tls));
    config.transport_config(Arc::clone(transport));
    config.max_incoming(INCOMING_MAX);
    config.incoming_buffer_size(INCOMING_BYTES_MAX);
    config.incoming_buffer_size_total(INCOMING_BYTES_MAX * INCOMING_MAX as u64);
    Ok(config)
}

/// How this node dials another.
pub(super) fn client(
    tls: rustls::ClientConfig,
    transport: &Arc<TransportConfig>,
) -> Result<ClientConfig, Failure> {
    let tls = QuicClientConfig::try_from(tls).map_err(unusable)?;
    let mut config = ClientConfig::new(Arc::new(tls));
    config.transport_config(Arc::clone(transport));
    Ok(config)
}
