//! What every request of one kind passes on its way to a store.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use airlift_protocol::error::ErrorCode;
use tokio::sync::{Mutex as Turn, Semaphore};
use tokio::time::Instant;

use super::control::{Control, End, Started};
use crate::pipeline::meter::Stopwatch;
use crate::pipeline::places::{Place, Places};
use crate::pipeline::requests;
use crate::runtime::clock;
use crate::store::StoreError;

/// How a request came to nothing, as far as a gate cares.
pub trait Setback {
    /// What it means.
    fn code(&self) -> ErrorCode;

    /// For how long the store wants to be left alone, if it says so.
    fn pause(&self) -> Option<Duration>;
}

impl Setback for StoreError {
    fn code(&self) -> ErrorCode {
        self.code
    }

    fn pause(&self) -> Option<Duration> {
        self.pause
    }
}

/// Lets requests pass as the control says: so many at once, so many a second, in order of arrival.
///
/// Whoever passes must not wait within for anybody who may have to pass too, other than the store.
#[derive(Debug)]
pub struct Gate {
    /// Names the gate to people.
    name: String,
    places: Places,
    /// Places of all gates that are parts of one, or of it alone.
    all: Arc<All>,
    /// Held while a request waits for the second in which it may begin.
    turn: Turn<()>,
    control: Mutex<Control>,
    begun: Instant,
    /// Time in which a request waited because the store had asked for fewer.
    spared: Stopwatch,
}

/// What may be on its way through the parts of a gate together.
#[derive(Debug)]
struct All {
    limit_max: usize,
    free: Semaphore,
}

/// A gate as it is now, with counts since the process began.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GateFigures {
    /// Requests that may be on their way at once.
    pub limit: usize,
    /// Requests on their way.
    pub in_flight: usize,
    /// Requests that have begun.
    pub requests: u64,
    /// Requests a second that the store is asked for, if it has asked for a bound.
    pub per_second: Option<f64>,
    /// Requests that were too much for the store.
    pub throttled: u64,
    /// Time in which requests waited because of that.
    pub spared: Duration,
    /// Requests a second that are this node's part of what the whole cluster asks for, while the leader
    /// says so.
    pub share: Option<f64>,
}

impl Gate {
    /// A gate for at most `limit_max` requests at once.
    pub(super) fn new(name: String, limit_max: usize) -> Self {
        let free = Semaphore::new(limit_max.clamp(1, Semaphore::MAX_PERMITS));
        Self::within(name, Arc::new(All { limit_max, free }))
    }

    /// A gate for a part of what passes this one: with a rate of its own, and no more at once through both
    /// than may pass this one.
    pub(super) fn part(&self, name: String) -> Self {
        Self::within(name, Arc::clone(&self.all))
    }

    fn within(name: String, all: Arc<All>) -> Self {
        let control = Control::new(all.limit_max);
        Self {
            name,
            places: Places::new(control.limit()),
            all,
            turn: Turn::default(),
            control: Mutex::new(control),
            begun: clock::now(),
            spared: Stopwatch::default(),
        }
    }

    /// Carries out `request` when it may begin. `bytes` is about what its body has, either way: the
    /// time that it takes is compared with that of others of its size.
    ///
    /// # Errors
    /// What the request comes to.
    pub fn pass<T, E: Setback>(
        &self,
        bytes: u64,
        request: impl Future<Output = Result<T, E>>,
    ) -> impl Future<Output = Result<T, E>> {
        // On the heap: what a client library keeps of a request has some twenty kilobytes, which would be
        // part of whatever waits for it, hundreds of times, and be moved about with it.
        let request = Box::pin(request);
        async move {
            let place = self.places.take().await;
            self.wait_for_turn().await;
            // Last, so that nobody has it who waits for a store that wants fewer.
            let free = self.all.free.acquire().await;
            let _one_of_all = free.expect("invariant: the semaphore is never closed");
            requests::count(self);
            let passage = Passage::begin(self, place, bytes);
            let result = request.await;
            let error = result.as_ref().err();
            passage.end(End::of(error.map(Setback::code)));
            if let Some(pause) = error.and_then(Setback::pause) {
                self.lock().rest(self.now(), pause);
            }
            result
        }
    }

    async fn wait_for_turn(&self) {
        if self.lock().rate().is_none() {
            return;
        }
        let _turn = self.turn.lock().await;
        let due = self.lock().turn(self.now());
        let due = self.begun + due;
        if due > clock::now() {
            let _spared = self.spared.enter();
            tokio::time::sleep_until(due).await;
        }
    }

    /// Requests on their way through this gate and all that share its bound.
    #[cfg(test)]
    pub(super) fn on_their_way(&self) -> usize {
        self.all.limit_max - self.all.free.available_permits()
    }

    /// The gate as it is.
    pub fn figures(&self) -> GateFigures {
        let spared = self.spared();
        let control = self.lock();
        GateFigures {
            limit: control.limit(),
            in_flight: control.in_flight(),
            requests: control.requests(),
            per_second: control.rate(),
            throttled: control.throttled(),
            spared,
            share: control.share(self.now()),
        }
    }

    /// Keeps to a part of what the whole cluster asks for, so many requests a second, until then.
    pub fn keep_to(&self, share: f64, until: Instant) {
        let until = until.saturating_duration_since(self.begun);
        self.lock().keep_to(self.now(), share, until);
    }

    /// Time in which requests waited because the store had asked for fewer.
    pub fn spared(&self) -> Duration {
        self.spared.read(clock::now()).any
    }

    fn now(&self) -> Duration {
        clock::now().saturating_duration_since(self.begun)
    }

    fn lock(&self) -> MutexGuard<'_, Control> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of an end, and of how many may be on their way now.
    fn end(&self, started: Started, end: End) {
        let mut control = self.lock();
        let before = control.rate();
        control.end(self.now(), started, end);
        if end == End::Throttled {
            self.say(before, &control);
        }
        self.places.set(control.limit());
    }

    /// Says that the store wants fewer requests, the first time to everybody who wants to know.
    fn say(&self, before: Option<f64>, control: &Control) {
        let (name, limit) = (&self.name, control.limit());
        let per_second = control.rate().unwrap_or_default().round();
        match before {
            None => tracing::info!("{name}: throttled: {per_second} a second, {limit} at once"),
            Some(_) => tracing::debug!(name, limit, per_second, "throttled"),
        }
    }
}

/// A request on its way; one that is given up leaves nothing behind.
struct Passage<'a> {
    gate: &'a Gate,
    started: Option<Started>,
    /// Given back last: there may be fewer by then.
    _place: Place<'a>,
}

impl<'a> Passage<'a> {
    fn begin(gate: &'a Gate, place: Place<'a>, bytes: u64) -> Self {
        let started = gate.lock().begin(gate.now(), bytes);
        Self { gate, started: Some(started), _place: place }
    }

    fn end(mut self, end: End) {
        if let Some(started) = self.started.take() {
            self.gate.end(started, end);
        }
    }
}

impl Drop for Passage<'_> {
    fn drop(&mut self) {
        if let Some(started) = self.started.take() {
            self.gate.end(started, End::Void);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use airlift_protocol::error::ErrorCode;
    use futures::future::join_all;

    use super::*;

    const LATENCY: Duration = Duration::from_millis(20);

    async fn answer() -> Result<(), StoreError> {
        tokio::time::sleep(LATENCY).await;
        Ok(())
    }

    #[tokio::test(start_paused = true)]
    async fn as_many_are_on_their_way_as_pay_and_no_more_than_may_be() {
        let gate = Gate::new("store".to_owned(), 40);
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let request = async || {
            most.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            let answered = answer().await;
            now.fetch_sub(1, Ordering::Relaxed);
            answered
        };
        let begun = clock::now();
        let results = join_all((0..1000).map(|_| gate.pass(0, request()))).await;
        assert!(results.iter().all(Result::is_ok));
        assert_eq!(most.load(Ordering::Relaxed), 40);
        let figures = gate.figures();
        assert_eq!((figures.limit, figures.in_flight), (40, 0));
        assert_eq!((figures.per_second, figures.throttled), (None, 0));
        // With 16 at once it would have taken 63 times the latency.
        assert!(begun.elapsed() < LATENCY * 30, "{:?}", begun.elapsed());
        assert_eq!(gate.places.taken(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn after_too_much_requests_are_spread_and_the_waiting_is_counted() {
        let gate = Gate::new("store".to_owned(), 64);
        let busy = || async {
            tokio::time::sleep(LATENCY).await;
            Err::<(), _>(StoreError::new(ErrorCode::Throttled, "slow down"))
        };
        let _ = join_all((0..16).map(|_| gate.pass(0, answer()))).await;
        assert!(gate.pass(0, busy()).await.is_err());
        let cut = gate.figures();
        assert_eq!((cut.throttled, cut.spared), (1, Duration::ZERO));
        let rate = cut.per_second.unwrap();
        let begun = clock::now();
        let results = join_all((0..2000).map(|_| gate.pass(0, answer()))).await;
        assert!(results.iter().all(Result::is_ok));
        let took = begun.elapsed().as_secs_f64();
        assert!(took > 2000.0 / (2.5 * rate), "{took} s at {rate} a second");
        let spared = gate.figures().spared.as_secs_f64();
        assert!(spared > took * 0.5, "{spared} of {took} s");
        let settled = gate.figures();
        assert_eq!((settled.in_flight, gate.places.taken()), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_wants_to_be_left_alone_is_and_then_goes_on_as_before() {
        let gate = Gate::new("store".to_owned(), 64);
        let _ = join_all((0..64).map(|_| gate.pass(0, answer()))).await;
        for (asked, granted) in [(5, 5), (3600, 30)] {
            let busy = async {
                let error = StoreError::new(ErrorCode::Throttled, "slow down");
                Err::<(), _>(error.with_pause(Some(Duration::from_secs(asked))))
            };
            let begun = clock::now();
            assert!(gate.pass(0, busy).await.is_err());
            let rate = gate.figures().per_second.unwrap();
            gate.pass(0, answer()).await.unwrap();
            let waited = begun.elapsed().as_secs_f64();
            let granted = f64::from(granted);
            assert!((granted..granted + 2.0).contains(&waited), "{waited} s of {asked} s");
            let later = gate.figures().per_second.unwrap();
            assert!(later < 2.1 * rate, "{rate} a second before, {later} after");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_is_given_up_gives_its_place_back() {
        let gate = Arc::new(Gate::new("store".to_owned(), 1));
        let stuck = tokio::spawn({
            let gate = Arc::clone(&gate);
            async move { gate.pass(0, std::future::pending::<Result<(), StoreError>>()).await }
        });
        tokio::task::yield_now().await;
        assert_eq!(gate.figures().in_flight, 1);
        stuck.abort();
        assert!(stuck.await.unwrap_err().is_cancelled());
        assert_eq!(gate.figures().in_flight, 0);
        gate.pass(0, answer()).await.unwrap();
    }
}
