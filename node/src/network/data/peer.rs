//! One other node: its sessions, its share of the streams, its counters.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use airlift_protocol::error::Failure;
use airlift_protocol::id::NodeId;
use quinn::{Connection, VarInt};
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

use super::choice::Choice;
use super::lines::Lines;
use super::tcp::Line;
use super::transport::STREAMS_MAX;
use crate::runtime::clock;

/// Connections with one node: each side may have dialled, and a dead one may not be noticed yet.
const SESSIONS_MAX: usize = 4;

/// First pause after a dial that failed; doubled each time.
const PAUSE: Duration = Duration::from_millis(100);

/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Why a connection is closed, as its other end sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Close {
    /// The node goes down.
    Shutdown = 0,
    /// Whoever is at the other end is not, or no longer, a member.
    NotAMember = 1,
    /// Nothing was asked for a while.
    Idle = 2,
    /// Newer connections took its place.
    Superseded = 3,
}

impl Close {
    pub(super) fn code(self) -> VarInt {
        VarInt::from_u32(self as u32)
    }

    pub(super) fn close(self, connection: &Connection) {
        let reason: &[u8] = match self {
            Self::Shutdown => b"shutdown",
            Self::NotAMember => b"not a member",
            Self::Idle => b"idle",
            Self::Superseded => b"superseded",
        };
        connection.close(self.code(), reason);
    }
}

/// Dials of one node, one after the other.
#[derive(Debug, Default)]
pub(super) struct Dialling {
    failures: u32,
    /// No dial before this.
    pub(super) not_before: Option<Instant>,
    /// How the last dial failed.
    pub(super) failure: Option<Failure>,
}

impl Dialling {
    pub(super) fn on_success(&mut self) {
        *self = Self::default();
    }

    pub(super) fn on_failure(&mut self, now: Instant, failure: Failure) {
        let pause = PAUSE.saturating_mul(1 << self.failures.min(16)).min(PAUSE_MAX);
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(now + pause);
        self.failure = Some(failure);
    }
}

/// Another member, as long as it is one.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) node: NodeId,
    sessions: Mutex<Vec<Connection>>,
    lines: Mutex<Lines>,
    arrival: Notify,
    /// By which carrier streams go to it.
    pub(super) choice: Choice,
    pub(super) dialling: tokio::sync::Mutex<Dialling>,
    /// Dials so far: tells who waited for one that the answer is there.
    pub(super) dials: AtomicU64,
    /// Streams that this node may open at it.
    pub(super) opening: Arc<Semaphore>,
    /// Streams that it may have served here.
    pub(super) serving: Arc<Semaphore>,
    /// Whether its session is kept when nothing is asked on it.
    pub(super) is_kept: AtomicBool,
    pub(super) sent: AtomicU64,
    pub(super) received: AtomicU64,
}

impl Peer {
    pub(super) fn new(node: NodeId) -> Self {
        Self {
            node,
            sessions: Mutex::default(),
            lines: Mutex::default(),
            choice: Choice::default(),
            arrival: Notify::new(),
            dialling: tokio::sync::Mutex::default(),
            dials: AtomicU64::new(0),
            opening: Arc::new(Semaphore::new(STREAMS_MAX as usize)),
            serving: Arc::new(Semaphore::new(STREAMS_MAX as usize)),
            is_kept: AtomicBool::new(false),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
        }
    }

    fn sessions(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest session that is not known to be closed.
    pub(super) fn live(&self) -> Option<Connection> {
        let sessions = self.sessions();
        sessions.iter().rev().find(|session| session.close_reason().is_none()).cloned()
    }

    /// Waits for a session, whoever makes it.
    pub(super) async fn arrived(&self) -> Connection {
        loop {
            let arriving = self.arrival.notified();
            if let Some(connection) = self.live() {
                return connection;
            }
            arriving.await;
        }
    }

    /// Sessions and lines that are not known to be closed.
    pub(super) fn live_count(&self) -> usize {
        let is_live = |session: &&Connection| session.close_reason().is_none();
        self.sessions().iter().filter(is_live).count() + self.line_count()
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of a new line, unless there are too many.
    pub(super) fn add_line(&self, line: &Line) -> bool {
        self.lines().add(line)
    }

    /// Lines that are open.
    pub(super) fn line_count(&self) -> usize {
        self.lines().count()
    }

    /// A line on which nothing is asked.
    pub(super) fn take_line(&self) -> Option<Line> {
        self.lines().take()
    }

    /// Takes in a line on which this node may ask.
    pub(super) fn give_back(&self, mut line: Line) {
        line.idle_since = clock::now();
        self.lines().give_back(line);
        self.arrival.notify_waiters();
    }

    /// Waits for a line that somebody gives back, or that the peer offers.
    pub(super) async fn line_arrived(&self) -> Line {
        loop {
            let arriving = self.arrival.notified();
            if let Some(line) = self.take_line() {
                return line;
            }
            arriving.await;
        }
    }

    /// Closes lines on which nothing was asked for `idle_max`.
    pub(super) fn sweep_lines(&self, idle_max: Duration) {
        self.lines().sweep(clock::now(), idle_max);
    }

    /// Takes in a session; the oldest makes room for it.
    pub(super) fn add(&self, connection: Connection) {
        let mut sessions = self.sessions();
        sessions.retain(|session| session.close_reason().is_none());
        if sessions.len() == SESSIONS_MAX {
            Close::Superseded.close(&sessions.remove(0));
        }
        sessions.push(connection);
        drop(sessions);
        self.arrival.notify_waiters();
    }

    /// Drops sessions that are closed.
    pub(super) fn sweep(&self) {
        self.sessions().retain(|session| session.close_reason().is_none());
    }

    /// Closes every session and line.
    pub(super) fn close(&self, why: Close) {
        self.sessions().drain(..).for_each(|session| why.close(&session));
        self.lines().close();
    }

    /// Whether this node waits for no answer of the peer.
    pub(super) fn asks_nothing(&self) -> bool {
        self.opening.available_permits() == STREAMS_MAX as usize
    }

    /// How long a round trip takes to a peer that is being asked, as far as it is known.
    pub(super) fn way(&self) -> Option<Duration> {
        if self.asks_nothing() {
            return None;
        }
        let session = self.live().map(|session| session.rtt());
        session.into_iter().chain(self.choice.rtt()).min()
    }

    /// Bytes of frames sent and received.
    pub(super) fn bytes(&self) -> (u64, u64) {
        (self.sent.load(Ordering::Relaxed), self.received.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use airlift_protocol::error::ErrorCode;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_between_dials_double_to_a_limit() {
        let mut dialling = Dialling::default();
        let now = clock::now();
        let mut pauses = Vec::new();
        for _ in 0..40 {
            dialling.on_failure(now, Failure::new(ErrorCode::NodeLost, "x"));
            pauses.push(dialling.not_before.unwrap() - now);
        }
        assert_eq!(pauses[..3], [PAUSE, PAUSE * 2, PAUSE * 4]);
        assert_eq!(pauses[39], PAUSE_MAX);
        dialling.on_success();
        assert_eq!(dialling.not_before, None);
    }
}
