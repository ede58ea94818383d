//! Questions to a store that no order asks: what a location is, and whether it can be used. They are
//! asked again by the rule that orders go by, so that one broken connection does not end a command
//! before it has begun.

use airlift_coordinator::agent::retry::{Decision, Retry};
use airlift_protocol::error::{Failure, Scope};

use super::clock;
use crate::store::StoreError;

/// What `ask` comes to, at last. Where nobody is there, or nothing may be done, the first answer
/// counts: a user waits for it.
///
/// # Errors
/// The last error.
pub async fn again<T, F>(ask: impl Fn() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut retry = Retry::new(clock::wall().0);
    loop {
        let error = match ask().await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let failure = Failure::new(error.code, error.detail());
        match retry.decide(&failure) {
            Decision::Again { after_ms } if error.code.scope() == Scope::Object => {
                tracing::debug!(%error, after_ms, "asked again");
                tokio::time::sleep(std::time::Duration::from_millis(after_ms)).await;
            }
            Decision::Again { .. } | Decision::GiveUp => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use airlift_protocol::error::ErrorCode;
    use airlift_protocol::limits::ATTEMPTS_MAX;

    use super::*;

    async fn asked(code: ErrorCode, failures: u32) -> (u32, Result<(), StoreError>) {
        let count = AtomicU32::new(0);
        let ask = || async {
            match count.fetch_add(1, Ordering::Relaxed) < failures {
                true => Err(StoreError::new(code, "no")),
                false => Ok(()),
            }
        };
        let answer = again(ask).await;
        (count.load(Ordering::Relaxed), answer)
    }

    #[tokio::test(start_paused = true)]
    async fn what_passes_is_waited_for_and_what_does_not_is_said_at_once() {
        let (count, answer) = asked(ErrorCode::Unavailable, 3).await;
        assert!(count == 4 && answer.is_ok());
        let (count, answer) = asked(ErrorCode::Throttled, u32::MAX).await;
        assert!(count == ATTEMPTS_MAX && answer.is_err());
        for code in [ErrorCode::Unreachable, ErrorCode::Unauthorized, ErrorCode::NotFound] {
            let (count, answer) = asked(code, u32::MAX).await;
            assert_eq!((count, answer.unwrap_err().code), (1, code));
        }
    }
}
