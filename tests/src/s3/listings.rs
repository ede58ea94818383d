//! What a server tells of the keys of its buckets, answer by answer.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Keys of an answer at most, as services have it.
const KEYS_MAX: usize = 1000;

/// An answer to a request for more than one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The key behind which keys were asked for; empty from the first one on.
    pub after: String,
    /// The keys.
    pub keys: Vec<String>,
    /// Whether it goes on from the answer before.
    pub is_next: bool,
}

/// All answers. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Listings {
    keys_max: Arc<AtomicUsize>,
    answers: Arc<Mutex<Vec<Answered>>>,
}

impl Default for Listings {
    fn default() -> Self {
        Self { keys_max: Arc::new(AtomicUsize::new(KEYS_MAX)), answers: Arc::default() }
    }
}

impl Listings {
    fn lock(&self) -> MutexGuard<'_, Vec<Answered>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has answers hold no more than so many keys from now on.
    pub(super) fn answer_with(&self, keys_max: usize) {
        self.keys_max.store(keys_max, Ordering::Relaxed);
    }

    /// How many keys answer a request for so many.
    pub(super) fn limit(&self, asked: Option<i32>) -> usize {
        let most = self.keys_max.load(Ordering::Relaxed);
        asked.map_or(most, |asked| usize::try_from(asked).unwrap_or(0).min(most))
    }

    /// Notes an answer.
    pub(super) fn note(&self, answered: Answered) {
        self.lock().push(answered);
    }

    /// What was answered so far, in order.
    pub(super) fn seen(&self) -> Vec<Answered> {
        self.lock().clone()
    }
}
