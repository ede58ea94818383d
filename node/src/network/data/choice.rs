//! Which carrier takes the streams to a node: TCP where the way is short or datagrams do not pass,
//! over other ways whichever is faster.
//!
//! Over a short way nothing is lost, and TCP costs half the work for the CPU: the system cuts and
//! joins segments. Over a long way it depends: on what is lost, on what the system does about that,
//! on who is in the way and slows datagrams down. There one is used after the other for a while (see `race`). What
//! is there is found out when the first stream is opened, and again when it was lost.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use airlift_protocol::error::Failure;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::carrier::Carrier;
use super::peer::Peer;
use super::race::{Outcome, Progress, Race};
use crate::runtime::clock;

/// Round trips up to which a way is short.
pub(super) const NEAR_RTT: Duration = Duration::from_millis(3);

/// Time for TCP to answer where QUIC has, over a short way.
pub(super) const LINE_GRACE: Duration = Duration::from_millis(250);

/// Time for the one to answer where the other has, over a long way: several round trips, and machines
/// that are busy.
pub(super) const FAR_GRACE: Duration = Duration::from_millis(700);

/// The same for TCP at least, in round trips: it needs one more than QUIC.
pub(super) const LINE_ROUND_TRIPS: u32 = 3;

/// Time after which both are tried again: ways change.
pub(super) const TRIED_FOR: Duration = Duration::from_secs(60);

/// The same at most, after races that all had one outcome: each costs a part of the rate while it goes on. Also where
/// there is only one carrier, for reasons that may pass.
pub(super) const TRIED_FOR_MAX: Duration = Duration::from_secs(960);

/// The same after a race that had no outcome.
const UNDECIDED_FOR: Duration = Duration::from_secs(10);

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

#[expect(clippy::large_enum_variant, reason = "there is one for each peer")]
#[derive(Clone, Copy, Debug)]
enum Made {
    /// This one, to be chosen again at a time.
    Chosen(Carrier, Option<Instant>),
    /// Both, until it is known which is faster.
    Racing(Race),
}

/// Streams that are open, by carrier.
#[derive(Clone, Copy, Debug, Default)]
struct Open {
    quic: u32,
    tcp: u32,
}

impl Open {
    fn of(&mut self, carrier: Carrier) -> &mut u32 {
        match carrier {
            Carrier::Quic => &mut self.quic,
            Carrier::Tcp => &mut self.tcp,
        }
    }
}

#[derive(Debug, Default)]
struct State {
    made: Option<Made>,
    /// Who won the last race, and for how long that stands.
    won: Option<(Carrier, Duration)>,
    open: Open,
}

impl State {
    /// Takes note of who has won. For how long that stands: twice as long as it did when it was so before.
    fn wins(&mut self, winner: Carrier) -> Duration {
        let before = self.won.filter(|(carrier, _)| *carrier == winner);
        let stands = before.map_or(TRIED_FOR, |(_, stood)| (2 * stood).min(TRIED_FOR_MAX));
        self.won = Some((winner, stands));
        stands
    }
}

/// The choice for one node.
#[derive(Debug)]
pub(super) struct Choice {
    state: Mutex<State>,
    /// Whether there is a race: spares those who count bytes the lock.
    is_racing: AtomicBool,
    /// The carrier whose streams are to go on by the other.
    outpaced: watch::Sender<Option<Carrier>>,
    /// A round trip over TCP, as a dial took it.
    rtt: Mutex<Option<Duration>>,
    /// Held by who tries: how the last try failed, if it did.
    pub(super) trying: tokio::sync::Mutex<Option<Failure>>,
    /// Tries so far: tells who waited for one that the answer is there.
    pub(super) tries: AtomicU64,
}

impl Default for Choice {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            is_racing: AtomicBool::new(false),
            outpaced: watch::Sender::new(None),
            rtt: Mutex::default(),
            trying: tokio::sync::Mutex::default(),
            tries: AtomicU64::new(0),
        }
    }
}

impl Choice {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// By what the next stream goes.
    pub(super) fn get(&self, now: Instant) -> Option<(Carrier, Stands)> {
        let mut state = self.state();
        self.advance(&mut state, now);
        match state.made? {
            Made::Chosen(carrier, until) => {
                let is_over = until.is_some_and(|until| until <= now);
                Some((carrier, if is_over { Stands::TryAgain } else { Stands::Yes }))
            }
            Made::Racing(race) => Some((race.next(), Stands::Yes)),
        }
    }

    fn make(&self, state: &mut State, made: Option<Made>, outpaced: Option<Carrier>) {
        state.made = made;
        self.is_racing.store(matches!(made, Some(Made::Racing(_))), Ordering::Relaxed);
        self.outpaced.send_replace(outpaced);
    }

    /// Lets a race go on to what `now` brings.
    fn advance(&self, state: &mut State, now: Instant) {
        let Some(Made::Racing(race)) = &mut state.made else { return };
        match race.advance(now) {
            Progress::GoesOn => {}
            Progress::Second { is_slow } => {
                self.outpaced.send_replace(is_slow.then_some(Carrier::Quic));
            }
            Progress::Over(outcome) => {
                tracing::debug!(?race, ?outcome, "a race of carriers has ended");
                self.end_race(state, outcome, now);
            }
        }
    }

    fn end_race(&self, state: &mut State, outcome: Option<Outcome>, now: Instant) {
        let (winner, outpaced, stands_for) = match outcome {
            Some(end) => {
                (end.winner, end.is_clear.then(|| end.winner.other()), state.wins(end.winner))
            }
            None => (Carrier::Quic, None, UNDECIDED_FOR),
        };
        self.make(state, Some(Made::Chosen(winner, Some(now + stands_for))), outpaced);
    }

    /// Remembers what was chosen, to be chosen again at `until`.
    pub(super) fn set(&self, carrier: Carrier, until: Option<Instant>) {
        self.make(&mut self.state(), Some(Made::Chosen(carrier, until)), None);
    }

    /// Both carriers are there, over a way of `rtt`: which of them is faster is to be seen.
    pub(super) fn race(&self, now: Instant, rtt: Duration) {
        let mut state = self.state();
        let Open { quic, tcp } = state.open;
        self.make(&mut state, Some(Made::Racing(Race::new(now, (quic, tcp), rtt))), None);
    }

    /// No stream could be opened by `carrier`: what was chosen is forgotten. Whether the other one,
    /// which raced against it, has won by that.
    pub(super) fn failed(&self, carrier: Carrier, now: Instant) -> bool {
        let mut state = self.state();
        let is_racing = matches!(state.made, Some(Made::Racing(_)));
        state.won = None;
        let made = is_racing.then(|| Made::Chosen(carrier.other(), Some(now + TRIED_FOR)));
        self.make(&mut state, made, None);
        is_racing
    }

    /// Takes note of bytes that arrived by `carrier`.
    pub(super) fn arrived(&self, carrier: Carrier, bytes: u64) {
        if !self.is_racing.load(Ordering::Relaxed) {
            return;
        }
        let (mut state, now) = (self.state(), clock::now());
        self.advance(&mut state, now);
        if let Some(Made::Racing(race)) = &mut state.made
            && race.arrived(carrier, bytes, now)
        {
            // Who waits for its end learns when that is.
            self.outpaced.send_modify(|_| {});
        }
    }

    /// When what goes on of a race is over.
    fn race_ends(&self) -> Option<Instant> {
        if !self.is_racing.load(Ordering::Relaxed) {
            return None;
        }
        match self.state().made? {
            Made::Racing(race) => Some(race.ends()),
            Made::Chosen(..) => None,
        }
    }

    /// How long a round trip over TCP took, if one was measured.
    pub(super) fn rtt(&self) -> Option<Duration> {
        *self.rtt.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers how long a round trip over TCP took.
    pub(super) fn measured(&self, rtt: Duration) {
        *self.rtt.lock().unwrap_or_else(PoisonError::into_inner) = Some(rtt);
    }
}

/// Waits until streams of `peer` that go by `carrier` are to go on by the other, for ever where it is
/// fast enough. Ends a race in its time: what is very slow lets nothing arrive that would.
pub(super) fn outpaced(peer: &Arc<Peer>, carrier: Carrier) -> impl Future<Output = ()> + use<> {
    let peer = Arc::clone(peer);
    let mut outpaced = peer.choice.outpaced.subscribe();
    async move {
        while *outpaced.borrow_and_update() != Some(carrier) {
            let ends = peer.choice.race_ends();
            let ended = async {
                match ends {
                    Some(ends) => sleep_until(ends).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = outpaced.changed() => changed.expect("invariant: the peer is held here"),
                () = ended => drop(peer.choice.get(clock::now())),
            }
        }
    }
}

/// A stream that goes by one of the carriers, as long as it is open.
#[derive(Debug)]
pub(super) struct Ride {
    peer: Arc<Peer>,
    pub(super) carrier: Carrier,
}

impl Ride {
    pub(super) fn begin(peer: &Arc<Peer>, carrier: Carrier) -> Self {
        let mut state = peer.choice.state();
        *state.open.of(carrier) += 1;
        if let Some(Made::Racing(race)) = &mut state.made {
            race.opened(carrier, clock::now());
        }
        drop(state);
        Self { peer: Arc::clone(peer), carrier }
    }
}

impl Drop for Ride {
    fn drop(&mut self) {
        let mut state = self.peer.choice.state();
        *state.open.of(self.carrier) -= 1;
        if let Some(Made::Racing(race)) = &mut state.made {
            race.closed(self.carrier, clock::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use airlift_protocol::id::NodeId;

    use super::super::race::{LEG, SLOW, START_BYTES, UNUSED};
    use super::*;

    fn peer() -> Arc<Peer> {
        Arc::new(Peer::new(NodeId([1; 32])))
    }

    fn is_outpaced(peer: &Arc<Peer>, carrier: Carrier) -> bool {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        std::pin::pin!(outpaced(peer, carrier)).poll(&mut context).is_ready()
    }

    #[tokio::test(start_paused = true)]
    async fn a_choice_stands_until_it_is_to_be_made_again_or_is_forgotten() {
        let choice = Choice::default();
        assert_eq!(choice.get(clock::now()), None);
        choice.set(Carrier::Tcp, Some(clock::now() + TRIED_FOR));
        assert_eq!(choice.get(clock::now()), Some((Carrier::Tcp, Stands::Yes)));
        tokio::time::sleep(TRIED_FOR).await;
        assert_eq!(choice.get(clock::now()), Some((Carrier::Tcp, Stands::TryAgain)));
        choice.set(Carrier::Quic, None);
        tokio::time::sleep(TRIED_FOR).await;
        assert_eq!(choice.get(clock::now()), Some((Carrier::Quic, Stands::Yes)));
        assert!(!choice.failed(Carrier::Quic, clock::now()));
        assert_eq!(choice.get(clock::now()), None);
    }

    const MIB: u64 = 1 << 20;

    /// A leg in which `carrier`, whose turn it is, brings so much.
    async fn leg(peer: &Arc<Peer>, carrier: Carrier, bytes: u64) {
        assert_eq!(peer.choice.get(clock::now()), Some((carrier, Stands::Yes)));
        peer.choice.arrived(carrier, START_BYTES);
        tokio::time::sleep(LEG * 3 / 4).await;
        peer.choice.arrived(carrier, bytes);
        tokio::time::sleep(LEG / 4).await;
    }

    #[tokio::test(start_paused = true)]
    async fn one_carrier_is_used_after_the_other_and_then_the_faster_one() {
        for (tcp, winner) in [(120 * MIB, Carrier::Quic), (140 * MIB, Carrier::Tcp)] {
            let peer = peer();
            peer.choice.race(clock::now(), Duration::ZERO);
            let _rides = [Carrier::Quic, Carrier::Tcp].map(|it| Ride::begin(&peer, it));
            leg(&peer, Carrier::Quic, 100 * MIB).await;
            leg(&peer, Carrier::Tcp, tcp).await;
            assert_eq!(peer.choice.get(clock::now()), Some((winner, Stands::Yes)));
            assert!(!is_outpaced(&peer, winner.other()), "the difference is small");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_winner_of_a_race_takes_what_is_under_way_when_it_is_much_faster() {
        let peer = peer();
        peer.choice.race(clock::now(), Duration::ZERO);
        let _rides = [Carrier::Quic, Carrier::Tcp].map(|it| Ride::begin(&peer, it));
        leg(&peer, Carrier::Quic, 100 * MIB).await;
        assert!(!is_outpaced(&peer, Carrier::Quic));
        leg(&peer, Carrier::Tcp, 200 * MIB).await;
        assert_eq!(peer.choice.get(clock::now()), Some((Carrier::Tcp, Stands::Yes)));
        assert!(is_outpaced(&peer, Carrier::Quic));
        assert!(!is_outpaced(&peer, Carrier::Tcp));
        // After another try nothing of that is true any more.
        peer.choice.set(Carrier::Quic, None);
        assert!(!is_outpaced(&peer, Carrier::Quic));
    }

    #[tokio::test(start_paused = true)]
    async fn a_leg_ends_in_its_time_even_when_nothing_arrives_any_more() {
        let peer = peer();
        peer.choice.race(clock::now(), Duration::ZERO);
        let _slow = Ride::begin(&peer, Carrier::Quic);
        let waits = tokio::spawn(outpaced(&peer, Carrier::Quic));
        let begun = clock::now();
        tokio::time::timeout(2 * SLOW, waits).await.unwrap().unwrap();
        assert_eq!(clock::now().duration_since(begun), SLOW);
        // Those who come after it use the other one.
        let _ride = Ride::begin(&peer, Carrier::Tcp);
        leg(&peer, Carrier::Tcp, MIB).await;
        assert_eq!(peer.choice.get(clock::now()), Some((Carrier::Tcp, Stands::Yes)));
        assert!(is_outpaced(&peer, Carrier::Quic));
    }

    #[tokio::test(start_paused = true)]
    async fn a_race_without_an_outcome_is_run_again_soon() {
        let peer = peer();
        peer.choice.race(clock::now(), Duration::ZERO);
        let _ride = Ride::begin(&peer, Carrier::Quic);
        leg(&peer, Carrier::Quic, 100 * MIB).await;
        assert_eq!(peer.choice.get(clock::now()), Some((Carrier::Tcp, Stands::Yes)));
        tokio::time::sleep(UNUSED).await;
        assert_eq!(peer.choice.get(clock::now()), Some((Carrier::Quic, Stands::Yes)));
        tokio::time::sleep(UNDECIDED_FOR).await;
        assert_eq!(peer.choice.get(clock::now()), Some((Carrier::Quic, Stands::TryAgain)));
    }

    /// Runs a race that `winner` wins. Seconds until there is another.
    async fn race(peer: &Arc<Peer>, winner: Carrier) -> u64 {
        peer.choice.race(clock::now(), Duration::ZERO);
        let _rides = [Carrier::Quic, Carrier::Tcp].map(|it| Ride::begin(peer, it));
        for carrier in [Carrier::Quic, Carrier::Tcp] {
            leg(peer, carrier, if carrier == winner { 100 * MIB } else { MIB }).await;
        }
        let ended = clock::now();
        while peer.choice.get(clock::now()) == Some((winner, Stands::Yes)) {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(peer.choice.get(clock::now()), Some((winner, Stands::TryAgain)));
        clock::now().duration_since(ended).as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn what_races_show_again_and_again_stands_longer() {
        let peer = peer();
        for stands in [60, 120, 240, 480, 960, 960] {
            assert_eq!(race(&peer, Carrier::Quic).await, stands);
        }
        // The other one wins, and fails.
        assert_eq!(race(&peer, Carrier::Tcp).await, 60);
        assert_eq!(race(&peer, Carrier::Tcp).await, 120);
        peer.choice.failed(Carrier::Tcp, clock::now());
        assert_eq!(race(&peer, Carrier::Tcp).await, 60);
    }

    #[tokio::test(start_paused = true)]
    async fn who_cannot_be_used_has_lost() {
        let choice = Choice::default();
        choice.race(clock::now(), Duration::ZERO);
        assert!(choice.failed(Carrier::Tcp, clock::now()));
        assert_eq!(choice.get(clock::now()), Some((Carrier::Quic, Stands::Yes)));
        assert!(!choice.failed(Carrier::Quic, clock::now()));
        assert_eq!(choice.get(clock::now()), None);
    }
}
