//! What every request of a store passes on its way to the service, in this order: the gate of the place,
//! credentials that were refused before, and for one that changes something the fence.

use std::sync::{Arc, OnceLock};

use airlift_protocol::error::ErrorCode;
use reqwest::Method;

use super::error::Failed;
use crate::store::fence::Fence;
use crate::store::pace::Pace;

/// The way of one store to its service.
#[derive(Debug)]
pub(in crate::store) struct Door {
    pace: Arc<Pace>,
    fence: Fence,
    /// How the service refused the credentials, once it has. They are not shown for every object: that would
    /// be refused too, and some services lock out who goes on trying.
    refusal: OnceLock<Failed>,
}

impl Door {
    /// The way past the gates of `pace`. What changes something asks `fence`.
    pub(in crate::store) fn new(pace: Arc<Pace>, fence: Fence) -> Self {
        Self { pace, fence, refusal: OnceLock::new() }
    }

    /// The gates.
    pub(in crate::store) fn pace(&self) -> &Arc<Pace> {
        &self.pace
    }

    /// Whether the service was seen to refuse the credentials.
    pub(in crate::store) fn is_refused(&self) -> bool {
        self.refusal.get().is_some()
    }

    /// Carries out a request of `method`, with a body of so many bytes, when it may begin.
    pub(in crate::store) async fn pass<T>(
        &self,
        method: &Method,
        bytes: u64,
        request: impl Future<Output = Result<T, Failed>>,
    ) -> Result<T, Failed> {
        let is_read = matches!(*method, Method::GET | Method::HEAD);
        let gate = if is_read { &self.pace.reads } else { &self.pace.writes };
        let guarded = async {
            if let Some(refusal) = self.refusal.get() {
                return Err(refusal.clone());
            }
            if !is_read {
                self.fence.check()?;
            }
            request.await
        };
        let result = gate.pass(bytes, guarded).await;
        if let Err(failed) = &result
            && failed.means() == ErrorCode::Unauthorized
        {
            // The first one is as good as any other.
            let _ = self.refusal.set(failed.clone());
        }
        result
    }
}
