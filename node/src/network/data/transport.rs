//! Numbers of the transport, each with its reason.

use std::sync::Arc;
use std::time::Duration;

use quinn::{TransportConfig, VarInt};

/// Streams that one node may have open at another, in each direction.
pub(super) const STREAMS_MAX: u32 = 32;

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

const _: () = {
    assert!(STREAM_WINDOW_BYTES <= 1024 * 1280);
    assert!(KEEP_ALIVE.as_millis() * 3 < IDLE_TIMEOUT.as_millis());
};

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
        .datagram_receive_buffer_size(None);
    Arc::new(transport)
}
