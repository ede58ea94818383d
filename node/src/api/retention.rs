//! What is kept of jobs that have ended, in the API.

use airlift_coordinator::state::Retention;
use airlift_protocol::limits::{JOBS_ENDED_MAX, RETAIN_MS_MIN};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::ApiError;

/// How long jobs that have ended are to stay on record. What is not given is not bounded, but for the 1000 that
/// ended last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RetentionRequest {
    /// Those that ended at most so many seconds ago, 600 at least.
    #[serde(default)]
    pub age_seconds: Option<u64>,
    /// At most so many, beside those that ended in the last 600 seconds.
    #[serde(default)]
    pub count: Option<u32>,
}

impl RetentionRequest {
    /// The retention that is asked for.
    ///
    /// # Errors
    /// When more are to be kept than there ever are, or for less time than any is.
    pub fn retention(self) -> Result<Retention, ApiError> {
        let Self { age_seconds, count } = self;
        if let Some(count) = count.filter(|count| *count as usize > JOBS_ENDED_MAX) {
            return Err(ApiError::invalid(format!(
                "{count} finished jobs cannot be kept: there are {JOBS_ENDED_MAX} at most"
            )));
        }
        let age_ms = age_seconds.map(|seconds| seconds.saturating_mul(1000));
        if age_ms.is_some_and(|age| age < RETAIN_MS_MIN) {
            let minutes = RETAIN_MS_MIN / 60_000;
            return Err(ApiError::invalid(format!(
                "finished jobs are kept for {minutes} minutes at least, so that whoever waited for one finds its \
                 report: write {minutes}m or more"
            )));
        }
        Ok(Retention { age_ms, count })
    }
}

/// How long jobs that have ended stay on record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RetentionView {
    /// Those that ended at most so many seconds ago; all of them without a number.
    pub age_seconds: Option<u64>,
    /// At most so many; as many as there can be without a number.
    pub count: Option<u32>,
}

impl From<Retention> for RetentionView {
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
        let kept = read(r#"{"age_seconds":600,"count":5}"#).unwrap();
        assert_eq!(kept, Retention { age_ms: Some(600_000), count: Some(5) });
        let shown = RetentionView { age_seconds: Some(600), count: Some(5) };
        assert_eq!(RetentionView::from(kept), shown);
        assert!(read(r#"{"count":1001}"#).unwrap_err().detail.contains("1000 at most"));
        let short = read(r#"{"age_seconds":599}"#).unwrap_err().detail;
        assert!(short.contains("for 10 minutes at least"), "{short}");
        assert!(serde_json::from_str::<RetentionRequest>(r#"{"days":1}"#).is_err());
    }
}
