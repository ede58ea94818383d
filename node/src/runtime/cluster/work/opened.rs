//! A store that stays open until the service refuses its credentials. Then it is opened again for whoever
//! needs it next, with what is found by then: a user may have put them right meanwhile.

use std::sync::Arc;

use tokio::sync::Mutex;

use crate::store::{Store, StoreError};

/// A store, once it was needed.
#[derive(Debug, Default)]
pub(super) struct Opened(Mutex<Option<Arc<dyn Store>>>);

impl Opened {
    /// The store. Whoever comes while it is being opened waits for that.
    ///
    /// # Errors
    /// When it cannot be opened; the next one tries again.
    pub(super) async fn get_or_open<F>(
        &self,
        open: impl FnOnce() -> F,
    ) -> Result<Arc<dyn Store>, StoreError>
    where
        F: Future<Output = Result<Arc<dyn Store>, StoreError>>,
    {
        let mut kept = self.0.lock().await;
        if let Some(store) = kept.as_ref().filter(|store| !store.is_refused()) {
            return Ok(Arc::clone(store));
        }
        let store = open().await?;
        *kept = Some(Arc::clone(&store));
        Ok(store)
    }
}
