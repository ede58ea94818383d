//! What this node may move of bandwidths that it shares with others, as the leader lends it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use airlift_protocol::assignment::Assignment;
use airlift_protocol::control::Shares;
use airlift_protocol::id::JobId;
use airlift_protocol::limits::SHARE_MS;
use airlift_protocol::units::ByteRate;
use tokio::time::Instant;

use crate::pipeline::limit::{Flow, RateLimit};

/// Between two signs of life that are given early because an order waits for its share.
const EARLY_PAUSE: Duration = Duration::from_millis(500);

/// Nothing passes.
const CLOSED: Flow = Flow::At { rate: ByteRate(0), until: None };

/// Whose limits hold for the bytes of an order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limited {
    job: JobId,
    /// The job has one.
    own: bool,
    /// All jobs together have one.
    total: bool,
}

impl From<&Assignment> for Limited {
    fn from(order: &Assignment) -> Self {
        Self { job: order.job, own: order.is_limited, total: order.is_total_limited }
    }
}

/// The limits of this node, and what they are set by.
#[derive(Debug)]
pub(super) struct ShareBook(Mutex<Book>);

#[derive(Debug)]
struct Book {
    /// The limit of all jobs together: open while the cluster has none.
    total: Arc<RateLimit>,
    /// Limits of jobs that have one of their own.
    jobs: BTreeMap<JobId, Arc<RateLimit>>,
    /// What the leader said last.
    held: Shares,
    /// When that ends.
    until: Option<Instant>,
    /// When a sign of life was last given early.
    early: Option<Instant>,
}

impl ShareBook {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Book {
            total: Arc::new(RateLimit::with(Flow::Open, None)),
            jobs: BTreeMap::new(),
            held: Shares::default(),
            until: None,
            early: None,
        }))
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a sign of life that goes out `now` says of shares in use.
    pub(super) fn held(&self, now: Instant) -> Option<Shares> {
        let book = self.book();
        if book.until.is_some_and(|until| now < until) {
            return Some(book.held.clone());
        }
        // Without this, a leader that has lent nothing and knows no limit would say nothing, and
        // nothing would pass here any more.
        let is_closed = book.total.flow() != Flow::Open;
        let nothing = Some(ByteRate(0));
        is_closed.then(|| Shares { number: book.held.number, jobs: Vec::new(), total: nothing })
    }

    /// The leader answered the sign of life that went out at `sent`: that is from when it holds. What
    /// is older than what is held changes nothing.
    pub(super) fn hear(&self, shares: Shares, sent: Instant) {
        let mut book = self.book();
        if shares.number <= book.held.number {
            return;
        }
        let until = sent + Duration::from_millis(SHARE_MS);
        book.until = Some(until);
        let lent = |rate: ByteRate| Flow::At { rate, until: Some(until) };
        book.total.set(shares.total.map_or(Flow::Open, lent));
        book.jobs.retain(|id, limit| {
            let share = shares.jobs.iter().find(|(job, _)| job == id);
            limit.set(share.map_or(CLOSED, |(_, rate)| lent(*rate)));
            // Whoever works under it has it too.
            share.is_some() || Arc::strong_count(limit) > 1
        });
        for (id, rate) in &shares.jobs {
            let limit = book.limit(*id);
            limit.set(lent(*rate));
        }
        book.held = shares;
    }

    /// The limit for the work of an order.
    pub(super) fn limit(&self, order: Limited) -> Arc<RateLimit> {
        let mut book = self.book();
        book.expect(order);
        if order.own { book.limit(order.job) } else { Arc::clone(&book.total) }
    }

    /// Whether the leader is to be asked at once, since nothing of the job can pass before.
    pub(super) fn is_to_be_asked(&self, now: Instant, order: Limited) -> bool {
        let mut book = self.book();
        book.expect(order);
        let is_closed = |limit: &RateLimit| match limit.flow() {
            Flow::Open => false,
            Flow::At { rate, until } => rate.0 == 0 || until.is_some_and(|until| until <= now),
        };
        let is_waiting = is_closed(&book.total) || (order.own && is_closed(&book.limit(order.job)));
        let is_time = book.early.is_none_or(|early| now.duration_since(early) >= EARLY_PAUSE);
        if is_waiting && is_time {
            book.early = Some(now);
        }
        is_waiting && is_time
    }
}

impl Book {
    /// Closes what has a limit that the leader has not told this node of yet: right after its start,
    /// or right after the first limit was set.
    fn expect(&self, order: Limited) {
        if order.total && self.held.number == 0 {
            self.total.set(CLOSED);
        }
    }

    fn limit(&mut self, job: JobId) -> Arc<RateLimit> {
        let total = &self.total;
        let fresh = || Arc::new(RateLimit::with(CLOSED, Some(Arc::clone(total))));
        Arc::clone(self.jobs.entry(job).or_insert_with(fresh))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::clock;

    const JOB: JobId = JobId([1; 16]);
    const OWN: Limited = Limited { job: JOB, own: true, total: false };
    const FREE: Limited = Limited { job: JOB, own: false, total: false };
    const TOTAL: Limited = Limited { job: JOB, own: false, total: true };

    fn shares(number: u64, job: u64, total: Option<u64>) -> Shares {
        Shares { number, jobs: vec![(JOB, ByteRate(job))], total: total.map(ByteRate) }
    }

    fn rate(limit: &RateLimit) -> Option<u64> {
        match limit.flow() {
            Flow::Open => None,
            Flow::At { rate, .. } => Some(rate.0),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_share_holds_from_when_it_was_asked_for() {
        let book = ShareBook::new();
        let limit = book.limit(OWN);
        assert_eq!((rate(&limit), rate(&book.limit(FREE))), (Some(0), None));
        let sent = clock::now();
        assert_eq!(book.held(sent), None);
        tokio::time::sleep(Duration::from_secs(1)).await;
        book.hear(shares(3, 100, Some(7)), sent);
        let until = Some(sent + Duration::from_millis(SHARE_MS));
        assert_eq!(limit.flow(), Flow::At { rate: ByteRate(100), until });
        assert_eq!(rate(&book.limit(FREE)), Some(7));
        assert_eq!(book.held(clock::now()), Some(shares(3, 100, Some(7))));
        book.hear(shares(2, 900, None), clock::now());
        assert_eq!(rate(&limit), Some(100), "an earlier word");
        book.hear(Shares { number: 4, ..Shares::default() }, clock::now());
        assert_eq!((rate(&limit), rate(&book.limit(FREE))), (Some(0), None));
        tokio::time::sleep(Duration::from_millis(SHARE_MS)).await;
        assert_eq!(book.held(clock::now()), None, "its time is over, and no limit closes the node");
    }

    #[tokio::test(start_paused = true)]
    async fn limits_that_nobody_uses_are_forgotten() {
        let book = ShareBook::new();
        let limit = book.limit(OWN);
        book.hear(Shares { number: 1, ..Shares::default() }, clock::now());
        assert_eq!(book.book().jobs.len(), 1);
        drop(limit);
        book.hear(Shares { number: 2, ..Shares::default() }, clock::now());
        assert!(book.book().jobs.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn the_leader_is_asked_early_by_who_has_no_share_and_not_all_the_time() {
        let book = ShareBook::new();
        let now = clock::now();
        assert!(!book.is_to_be_asked(now, FREE));
        assert!(book.is_to_be_asked(now, OWN));
        assert!(!book.is_to_be_asked(now, OWN));
        assert!(book.is_to_be_asked(now + EARLY_PAUSE, OWN));
        book.hear(shares(1, 5, None), now);
        assert!(!book.is_to_be_asked(now + 2 * EARLY_PAUSE, OWN));
        assert!(book.is_to_be_asked(now + Duration::from_millis(SHARE_MS), OWN));
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_was_told_nothing_moves_nothing_under_the_limit_of_all_jobs() {
        let book = ShareBook::new();
        assert_eq!((book.held(clock::now()), rate(&book.limit(FREE))), (None, None));
        let limit = book.limit(TOTAL);
        assert_eq!(rate(&limit), Some(0));
        assert!(book.is_to_be_asked(clock::now(), TOTAL));
        let nothing = Shares { number: 0, jobs: Vec::new(), total: Some(ByteRate(0)) };
        assert_eq!(book.held(clock::now()), Some(nothing), "so that the leader answers");
        book.hear(Shares { number: 1, ..Shares::default() }, clock::now());
        assert_eq!(rate(&limit), None, "the limit was lifted meanwhile");
        assert_eq!(rate(&book.limit(TOTAL)), None, "an order of before");
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_whose_share_is_over_says_that_it_moves_nothing() {
        let book = ShareBook::new();
        book.hear(shares(3, 100, Some(7)), clock::now());
        tokio::time::sleep(Duration::from_millis(SHARE_MS)).await;
        let nothing = Shares { number: 3, jobs: Vec::new(), total: Some(ByteRate(0)) };
        assert_eq!(book.held(clock::now()), Some(nothing));
    }
}
