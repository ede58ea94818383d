//! Every bound of the control plane's network in one place.

use std::time::Duration;

/// Bytes of one request, answer or notice: the largest log entry, and room for what goes with it.
pub const REQUEST_BYTES_MAX: usize = (8 << 20) + (64 << 10);

/// Bytes of a request from a node that is no member.
pub const STRANGER_REQUEST_BYTES_MAX: usize = 4 << 10;

/// Bytes up to which a notice travels on the urgent lane, and up to which a body needs no budget.
pub const SMALL_BYTES_MAX: usize = 64 << 10;

/// Bytes by which a buffer grows while a body arrives.
pub(super) const PIECE_BYTES: usize = 64 << 10;

/// Requests to one node that wait for an answer; more wait for their turn.
pub const REQUESTS_IN_FLIGHT_MAX: usize = 16;

/// Requests of one connection that are served at once. More than a peer may have in flight, because
/// the end of a request that was given up arrives later than its successor.
pub(super) const REQUESTS_SERVED_MAX: usize = 24;

/// Requests of a stranger that are served at once, and altogether.
pub(super) const STRANGER_REQUESTS_SERVED_MAX: usize = 2;
pub(super) const STRANGER_REQUESTS_MAX: usize = 32;

/// Streams of notices that a peer may have open: one for each lane, and those that just ended.
pub(super) const NOTICE_STREAMS_MAX: usize = 4;

/// Notices that wait for one node, on each lane.
pub(super) const URGENT_NOTICES_MAX: usize = 256;
pub(super) const URGENT_NOTICE_BYTES_MAX: usize = 4 << 20;
pub(super) const BULK_NOTICES_MAX: usize = 128;
pub(super) const BULK_NOTICE_BYTES_MAX: usize = 32 << 20;

/// What came in and waits for this node to take it.
pub(super) const INCOMING_MAX: usize = 256;

/// Bytes of bodies above [`SMALL_BYTES_MAX`] that are in memory: of one connection, and of all.
pub(super) const CONNECTION_BYTES_MAX: usize = 2 * REQUEST_BYTES_MAX;
pub(super) const NODE_BYTES_MAX: usize = 64 << 20;

/// Connections with one node: each may dial the other at the same time.
pub const CONNECTIONS_PER_NODE_MAX: u32 = 2;

/// Connections that strangers may have to this node, and how long.
pub const STRANGERS_MAX: usize = 8;
pub(super) const STRANGER_LIFETIME: Duration = Duration::from_secs(30);

/// Nodes that are reached by address only, to join; each as long as a stranger.
pub(super) const CONTACTS_MAX: usize = 8;

/// How long joining may look for a node at an address.
pub(super) const JOIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Handshakes that are under way at once: those of others, those of others from one address, and our
/// own.
pub(super) const PENDING_INCOMING_MAX: u32 = 64;
pub(super) const PENDING_FROM_ONE_MAX: usize = 16;
pub(super) const PENDING_OUTGOING_MAX: u32 = 160;

/// Members that are dialled at once, each by at most two transports.
pub(super) const DIALS_MAX: usize = 64;

/// Addresses of one node: as configured, and as learnt from it.
pub(super) const ADDRESSES_MAX: usize = 8;
pub(super) const ADDRESSES_LEARNT_MAX: usize = 8;

/// What QUIC gets before TCP is tried as well.
pub(super) const QUIC_HEAD_START: Duration = Duration::from_secs(2);

/// How long a handshake may take.
pub(super) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// Pauses between dials: the first, the longest.
pub(super) const PAUSE_MIN: Duration = Duration::from_millis(200);
pub(super) const PAUSE_MAX: Duration = Duration::from_secs(10);

/// The node with the greater id lets the other one dial first, so that one connection is the rule.
pub(super) const FIRST_DIAL_DELAY: Duration = Duration::from_millis(300);

/// A connection that lasted this long makes pauses short again. Longer than a stranger's life: a
/// node that takes us for a stranger must not be dialled twice a second.
pub(super) const STABLE_AFTER: Duration = Duration::from_secs(45);

/// Silence after which a connection is over, and what keeps it alive.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(6);
pub(super) const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(2);
pub(super) const PING_INTERVAL: Duration = Duration::from_secs(2);
pub(super) const PING_TIMEOUT: Duration = Duration::from_secs(3);

/// Pings in a row without an answer after which a connection is closed.
pub(super) const PING_FAILURES_MAX: u32 = 2;

/// Streams of one connection that the other side may have open.
pub(super) const STREAMS_MAX: usize = 40;

/// Bytes that a peer may send ahead of what was read: on one stream, on one connection. All the
/// requests that a member may have in flight fit, so that a full one does not stop the notices.
pub(super) const STREAM_WINDOW_BYTES: u32 = 256 << 10;
pub(super) const CONNECTION_WINDOW_BYTES: u32 = 6 << 20;

/// How long a stream may take to open, a body to arrive, an answer to be thought out, a body to be
/// taken.
pub(super) const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
pub(super) const READ_TIMEOUT: Duration = Duration::from_secs(30);
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
pub(super) const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// Pause before a stream of notices that ended is opened again.
pub(super) const NOTICES_PAUSE: Duration = Duration::from_millis(200);

/// Commands that wait for the network's task.
pub(super) const COMMANDS_MAX: usize = 16;

/// How often another port is tried when TCP is taken where UDP was free.
pub(super) const PORT_ATTEMPTS_MAX: u32 = 8;

/// How long the sockets may take to listen, and the connections to close.
pub(super) const LISTEN_TIMEOUT: Duration = Duration::from_secs(5);
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

const _: () = {
    assert!(REQUESTS_IN_FLIGHT_MAX < REQUESTS_SERVED_MAX);
    assert!(REQUESTS_SERVED_MAX + NOTICE_STREAMS_MAX + 8 <= STREAMS_MAX);
    let in_flight = (REQUESTS_IN_FLIGHT_MAX + NOTICE_STREAMS_MAX) as u64;
    assert!(in_flight * (STREAM_WINDOW_BYTES as u64) < CONNECTION_WINDOW_BYTES as u64);
    assert!(REQUEST_BYTES_MAX <= CONNECTION_BYTES_MAX && CONNECTION_BYTES_MAX <= NODE_BYTES_MAX);
    assert!(STRANGER_REQUEST_BYTES_MAX <= SMALL_BYTES_MAX);
    assert!(REQUEST_BYTES_MAX <= BULK_NOTICE_BYTES_MAX);
    assert!(STRANGER_LIFETIME.as_millis() < STABLE_AFTER.as_millis());
    assert!(DIALS_MAX * 2 + CONTACTS_MAX * 2 <= PENDING_OUTGOING_MAX as usize);
};
