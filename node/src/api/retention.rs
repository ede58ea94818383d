//! What is kept of jobs that have ended, in the API.

use airlift_coordinator::state::Retention;
use airlift_protocol::limits::JOBS_ENDED_MAX;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::ApiError;

/// How long jobs that have ended stay on record: asked for, and shown. What is not given is not bounded,
/// but for the 1000 that ended last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RetentionRequest {
    /// Those that ended at most so many seconds ago.
    #[serde(default)]
    pub age_seconds: Option<u64>,
    /// At most so many.
    #[serde(default)]
    pub count: Option<u32>,
}

impl RetentionRequest {
    /// The retention that is asked for.
    ///
    /// # Errors
    /// When more are to be kept than there ever are.
    pub fn retention(self) -> Result<Retention, ApiError> {
        let Self { age_seconds, count } = self;
        if let Some(count) = count.filter(|count| *count as usize > JOBS_ENDED_MAX) {
            return Err(ApiError::invalid(format!(
                "{count} finished jobs cannot be kept: there are {JOBS_ENDED_MAX} at most"
            )));
        }
        let age_ms = age_seconds.map(|seconds| seconds.saturating_mul(1000));
        Ok(Retention { age_ms, count })
    }
}

impl From<Retention> for RetentionRequest {
    fn from(retention: Retention) -> Self {
        let age_seconds = retention.age_ms.map(|age| age / 1000);
        Self { age_seconds, count: retention.count }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retention_is_what_was_asked_for_within_bounds() {
        let read = |text: &str| serde_json::from_str::<RetentionRequest>(text).unwrap().retention();
        assert_eq!(read("{}"), Ok(Retention::default()));
        let kept = read(r#"{"age_seconds":60,"count":5}"#).unwrap();
        assert_eq!(kept, Retention { age_ms: Some(60_000), count: Some(5) });
        assert_eq!(RetentionRequest::from(kept).retention(), Ok(kept));
        assert!(read(r#"{"count":1001}"#).unwrap_err().detail.contains("1000 at most"));
        assert!(serde_json::from_str::<RetentionRequest>(r#"{"days":1}"#).is_err());
    }
}
