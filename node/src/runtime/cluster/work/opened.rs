//! A store that stays open until the service refuses its credentials. Then it is opened again for whoever
//! needs it next, with what is found by then: a user may have put them right meanwhile.

use std::sync::Arc;
use std::time::Duration;

use airlift_protocol::error::ErrorCode;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::runtime::clock;
use crate::store::{Store, StoreError};

/// Time after a refusal in which whoever needs the store is told of it and the service is not asked: all
/// orders of a job come at once, and services lock out who shows wrong credentials that often.
const REFUSAL_HOLDS: Duration = Duration::from_secs(1);

/// A store, once it was needed.
#[derive(Debug, Default)]
pub(super) struct Opened(Mutex<Found>);

/// What came of opening it.
#[derive(Debug, Default)]
struct Found {
    store: Option<Arc<dyn Store>>,
    refusal: Option<(Instant, StoreError)>,
}

impl Opened {
    /// The store. Whoever comes while it is being opened waits for that.
    ///
    /// # Errors
    /// When it cannot be opened; the next one tries again, after a refusal a moment later.
    pub(super) async fn get_or_open<F>(
        &self,
        open: impl FnOnce() -> F,
    ) -> Result<Arc<dyn Store>, StoreError>
    where
        F: Future<Output = Result<Arc<dyn Store>, StoreError>>,
    {
        let mut found = self.0.lock().await;
        if let Some(store) = found.store.as_ref().filter(|store| !store.is_refused()) {
            return Ok(Arc::clone(store));
        }
        if let Some((at, refusal)) = &found.refusal
            && at.elapsed() < REFUSAL_HOLDS
        {
            return Err(refusal.clone());
        }
        let opened = open().await;
        let is_refused = |error: &&StoreError| error.code == ErrorCode::Unauthorized;
        let refusal = opened.as_ref().err().filter(is_refused);
        found.refusal = refusal.map(|refusal| (clock::now(), refusal.clone()));
        let store = opened?;
        found.store = Some(Arc::clone(&store));
        Ok(store)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures::future::join_all;

    use super::*;
    use crate::store::memory::MemoryStore;

    #[tokio::test(start_paused = true)]
    async fn wrong_credentials_are_shown_once_for_all_who_wait() {
        for (code, expected) in [(ErrorCode::Unauthorized, 1), (ErrorCode::Unavailable, 16)] {
            let (opened, asked) = (Opened::default(), AtomicU32::new(0));
            let refuse = || async {
                asked.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(50)).await;
                Err(StoreError::new(code, "no"))
            };
            let orders = join_all((0..16).map(|_| opened.get_or_open(refuse))).await;
            assert!(orders.iter().all(|order| order.as_ref().is_err_and(|it| it.code == code)));
            assert_eq!(asked.load(Ordering::Relaxed), expected);
            tokio::time::sleep(REFUSAL_HOLDS).await;
            let right = || async { Ok(Arc::new(MemoryStore::new()) as Arc<dyn Store>) };
            assert!(opened.get_or_open(right).await.is_ok());
            assert!(opened.get_or_open(refuse).await.is_ok(), "it is open");
        }
    }
}
