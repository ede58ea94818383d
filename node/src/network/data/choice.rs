//! Which carrier takes the streams to a node: QUIC where the way is long, TCP where it is short or
//! where datagrams do not pass.
//!
//! Over a short way nothing is lost, and TCP costs half the work for the CPU: the system cuts and
//! joins segments. Over a long way QUIC holds its rate under loss. What is there is found out by
//! trying both at once when the first stream is opened, and again when it was lost.

use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use airlift_protocol::error::Failure;
use tokio::time::Instant;

use super::carrier::Carrier;

/// Round trips up to which a way is short.
pub(super) const NEAR_RTT: Duration = Duration::from_millis(3);

/// Time for TCP to answer where QUIC has, over a short way.
pub(super) const LINE_GRACE: Duration = Duration::from_millis(250);

/// Time for QUIC to answer where TCP has, over a long way: several round trips.
pub(super) const QUIC_GRACE: Duration = Duration::from_millis(700);

/// Time after which QUIC is tried again where it did not answer.
pub(super) const BLOCKED_FOR: Duration = Duration::from_secs(60);

/// How carriers are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// By trying what is there.
    #[default]
    Auto,
    /// Always QUIC.
    Quic,
    /// Always TCP.
    Tcp,
}

/// Whether a choice still stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stands {
    /// It does.
    Yes,
    /// It does until somebody has tried again.
    TryAgain,
}

#[derive(Clone, Copy, Debug)]
struct Made {
    carrier: Carrier,
    /// When it is to be made again.
    until: Option<Instant>,
}

/// The choice for one node.
#[derive(Debug, Default)]
pub(super) struct Choice {
    made: Mutex<Option<Made>>,
    /// A round trip over TCP, as a dial took it.
    rtt: Mutex<Option<Duration>>,
    /// Held by who tries: how the last try failed, if it did.
    pub(super) trying: tokio::sync::Mutex<Option<Failure>>,
    /// Tries so far: tells who waited for one that the answer is there.
    pub(super) tries: AtomicU64,
}

impl Choice {
    /// What was chosen.
    pub(super) fn get(&self, now: Instant) -> Option<(Carrier, Stands)> {
        let made = (*self.made.lock().unwrap_or_else(PoisonError::into_inner))?;
        let is_over = made.until.is_some_and(|until| until <= now);
        Some((made.carrier, if is_over { Stands::TryAgain } else { Stands::Yes }))
    }

    /// Remembers what was chosen, to be chosen again at `until`.
    pub(super) fn set(&self, carrier: Carrier, until: Option<Instant>) {
        *self.made.lock().unwrap_or_else(PoisonError::into_inner) = Some(Made { carrier, until });
    }

    /// How long a round trip over TCP took, if one was measured.
    pub(super) fn rtt(&self) -> Option<Duration> {
        *self.rtt.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers how long a round trip over TCP took.
    pub(super) fn measured(&self, rtt: Duration) {
        *self.rtt.lock().unwrap_or_else(PoisonError::into_inner) = Some(rtt);
    }

    /// Forgets what was chosen: it does not work any more.
    pub(super) fn forget(&self) {
        *self.made.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::clock;

    #[tokio::test(start_paused = true)]
    async fn a_choice_stands_until_it_is_to_be_made_again_or_is_forgotten() {
        let choice = Choice::default();
        assert_eq!(choice.get(clock::now()), None);
        choice.set(Carrier::Tcp, Some(clock::now() + BLOCKED_FOR));
        assert_eq!(choice.get(clock::now()), Some((Carrier::Tcp, Stands::Yes)));
        tokio::time::sleep(BLOCKED_FOR).await;
        assert_eq!(choice.get(clock::now()), Some((Carrier::Tcp, Stands::TryAgain)));
        choice.set(Carrier::Quic, None);
        tokio::time::sleep(BLOCKED_FOR).await;
        assert_eq!(choice.get(clock::now()), Some((Carrier::Quic, Stands::Yes)));
        choice.forget();
        assert_eq!(choice.get(clock::now()), None);
    }
}
