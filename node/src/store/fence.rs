//! The right to change what a location shows. It lasts for as long as the node's leases do.
//!
//! A process that was frozen or cut off goes on with orders that others may have been given
//! meanwhile. What it was about to make visible or to delete is held back: a store asks its fence
//! right before, and a fence of an earlier term never opens again. Between the question and the
//! call to the system or the request to the service lies an instant that nobody can close from here.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use airlift_protocol::error::ErrorCode;
use airlift_protocol::limits::TERM_MS;

use super::StoreError;
use crate::runtime::clock;

/// The term of a node's leases: extended by each word of the leader. By default it has ended.
#[derive(Debug, Default)]
pub struct Term {
    /// Milliseconds since the machine started.
    until: AtomicU64,
    /// Counts the times that it lapsed.
    number: AtomicU64,
}

impl Term {
    /// The first term of a process. It needs no word of the leader: what is given to this start of it
    /// cannot be given to others earlier than what follows the leader's first word of it.
    pub fn begin() -> Self {
        let until = Self::now() + Duration::from_millis(TERM_MS);
        Self { until: AtomicU64::new(milliseconds(until)), number: AtomicU64::new(0) }
    }

    /// The time that terms are told in: it goes on while the machine sleeps.
    pub fn now() -> Duration {
        clock::since_boot()
    }

    /// The term lasts until `until`, if that is later. Returns whether it had lapsed: fences given
    /// out before stay closed.
    pub fn extend(&self, until: Duration) -> bool {
        let has_lapsed = !self.lasts();
        if has_lapsed {
            self.number.fetch_add(1, Ordering::AcqRel);
        }
        self.until.fetch_max(milliseconds(until), Ordering::AcqRel);
        has_lapsed
    }

    fn lasts(&self) -> bool {
        milliseconds(Self::now()) < self.until.load(Ordering::Acquire)
    }

    /// A fence that is open for as long as the term lasts without a gap.
    pub fn fence(self: &Arc<Self>) -> Fence {
        Fence(Some((Arc::clone(self), self.number.load(Ordering::Acquire))))
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// What stands between an order and its visible effect. The default is always open: that of a
/// process that works alone.
#[derive(Clone, Debug, Default)]
pub struct Fence(Option<(Arc<Term>, u64)>);

impl Fence {
    /// Whether what the order asks for may be made visible now.
    ///
    /// # Errors
    /// [`ErrorCode::LeaseLost`] when another node may have the order.
    pub fn check(&self) -> Result<(), StoreError> {
        let Some((term, number)) = &self.0 else { return Ok(()) };
        if term.lasts() && term.number.load(Ordering::Acquire) == *number {
            return Ok(());
        }
        let text = "this node was not heard by the leader for too long: another may do it";
        Err(StoreError::new(ErrorCode::LeaseLost, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fence_is_open_for_its_term_and_never_again() {
        let term = Arc::new(Term::default());
        assert!(term.fence().check().is_err(), "it has ended");
        let hour = Duration::from_secs(3600);
        assert!(term.extend(Term::now() + hour));
        let fence = term.fence();
        assert!(fence.check().is_ok());
        assert!(!term.extend(Term::now() + 2 * hour));
        assert!(fence.check().is_ok(), "the term has grown");
        term.until.store(0, Ordering::Release);
        assert_eq!(fence.check().unwrap_err().code, ErrorCode::LeaseLost);
        assert!(term.extend(Term::now() + hour), "the leader was heard again");
        assert!(fence.check().is_err(), "what was given out before stays closed");
        assert!(term.fence().check().is_ok());
        assert!(Fence::default().check().is_ok());
    }

    #[test]
    fn a_process_begins_with_a_term() {
        let term = Arc::new(Term::begin());
        let fence = term.fence();
        assert!(fence.check().is_ok());
        assert!(!term.extend(Term::now() + Duration::from_secs(3600)));
        assert!(fence.check().is_ok(), "nothing has ended");
    }

    #[test]
    fn a_word_that_took_too_long_opens_nothing() {
        let term = Arc::new(Term::default());
        assert!(term.extend(Duration::ZERO));
        assert!(term.fence().check().is_err());
    }
}
