//! What a client says when the cluster could not serve it.

use std::error::Error;
use std::time::Duration;

use reqwest::Url;

use super::Repeat;
use crate::api::error::{ApiCode, ApiError};

/// What kind of trouble it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientErrorKind {
    /// No connection could be made: nothing was asked.
    Unreachable,
    /// Somebody answered whose certificate is not one to trust: nothing was asked.
    Distrusted,
    /// The connection broke, or there was no answer in time: it may have been done.
    Broken,
    /// The answer is an error.
    Answered(ApiCode),
    /// The answer is not of this API, or of another version.
    Malformed,
    /// The client itself cannot be used.
    Unusable,
}

/// An error of a client: one line that names the URL and the way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientError {
    /// What kind of trouble it is.
    pub kind: ClientErrorKind,
    /// When it is worth asking again.
    pub retry_after: Option<Duration>,
    message: String,
}

impl std::fmt::Display for ClientError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for ClientError {}

impl ClientError {
    fn new(kind: ClientErrorKind, message: String) -> Self {
        // Servers choose part of the text: it must not reach into the terminal.
        let message = message.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        Self { kind, retry_after: None, message }
    }

    /// Whether a node answered.
    pub(super) fn is_answer(&self) -> bool {
        matches!(self.kind, ClientErrorKind::Answered(_))
    }

    /// The client itself cannot be used.
    pub(super) fn unusable(reason: impl Into<String>) -> Self {
        Self::new(ClientErrorKind::Unusable, reason.into())
    }

    /// A request to `url` did not get through.
    pub(super) fn sent(url: &Url, error: &reqwest::Error) -> Self {
        let (kind, what) = match error {
            error if error.is_connect() => (ClientErrorKind::Unreachable, "cannot be reached"),
            error if error.is_timeout() => (ClientErrorKind::Broken, "does not answer in time"),
            _ => (ClientErrorKind::Broken, "broke off"),
        };
        let (place, reason) = (place(url), innermost(error));
        if is_distrust(error) {
            return Self::new(
                ClientErrorKind::Distrusted,
                format!(
                    "the certificate of the cluster at {place} is not trusted: {reason}; a node's own is named in the URL, https://HOST:PORT#sha256:… (see api.url in its data directory)"
                ),
            );
        }
        Self::new(
            kind,
            format!(
                "the cluster at {place} {what}: {reason}; check that a node runs there, or name another"
            ),
        )
    }

    /// `url` answered with an error.
    pub(super) fn answered(url: &Url, error: ApiError) -> Self {
        let (place, detail) = (place(url), &error.detail);
        let message = match error.code {
            ApiCode::Unauthorized => format!(
                "the cluster at {place} does not accept the token: {detail}; give the right one with --token-file FILE or AIRLIFT_TOKEN"
            ),
            ApiCode::Forbidden => {
                format!("the cluster at {place} refuses: {detail}; use a token that may")
            }
            ApiCode::NotLeader | ApiCode::Unavailable | ApiCode::TimedOut => {
                format!("the cluster at {place} cannot answer now: {detail}; try again later")
            }
            ApiCode::Internal => {
                format!("the node at {place} has met a defect: {detail}; see its log")
            }
            ApiCode::TooMany
            | ApiCode::Invalid
            | ApiCode::NotFound
            | ApiCode::MethodNotAllowed
            | ApiCode::Conflict
            | ApiCode::TooLarge => format!("the cluster at {place}: {detail}"),
        };
        let retry_after = error.retry_after;
        Self { retry_after, ..Self::new(ClientErrorKind::Answered(error.code), message) }
    }

    /// `url` answered something that this version does not understand.
    pub(super) fn malformed(url: &Url, reason: &str) -> Self {
        let place = place(url);
        Self::new(
            ClientErrorKind::Malformed,
            format!(
                "the answer of {place} is not understood: {reason}; is that an airlift node, and of this version?"
            ),
        )
    }

    /// Whether to ask the next node, or the same one later.
    pub(super) fn may_repeat(&self, repeat: Repeat) -> bool {
        match self.kind {
            ClientErrorKind::Unreachable
            | ClientErrorKind::Distrusted
            | ClientErrorKind::Answered(ApiCode::NotLeader | ApiCode::TooMany) => true,
            ClientErrorKind::Broken
            | ClientErrorKind::Answered(ApiCode::Unavailable | ApiCode::TimedOut) => {
                repeat == Repeat::Freely
            }
            ClientErrorKind::Answered(_)
            | ClientErrorKind::Malformed
            | ClientErrorKind::Unusable => false,
        }
    }
}

/// Whether the other end showed a certificate that was not accepted.
fn is_distrust(error: &reqwest::Error) -> bool {
    error.is_connect() && innermost(error).contains("certificate")
}

fn place(url: &Url) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}

/// The error below all others, in lower case and without the system's number for it.
pub(super) fn innermost(error: &dyn Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    text.trim_start_matches("unexpected error: ").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_certainly_not_done_is_asked_twice_where_twice_matters() {
        let url: Url = "http://a".parse().unwrap();
        let answered = |code| ClientError::answered(&url, ApiError::new(code, "x"));
        for (error, freely, if_not_done) in [
            (answered(ApiCode::NotLeader), true, true),
            (answered(ApiCode::TooMany), true, true),
            (answered(ApiCode::Unavailable), true, false),
            (answered(ApiCode::TimedOut), true, false),
            (answered(ApiCode::Unauthorized), false, false),
            (answered(ApiCode::Conflict), false, false),
            (answered(ApiCode::Internal), false, false),
            (ClientError::malformed(&url, "x"), false, false),
        ] {
            assert_eq!(error.may_repeat(Repeat::Freely), freely, "{error}");
            assert_eq!(error.may_repeat(Repeat::IfNotDone), if_not_done, "{error}");
        }
    }

    #[test]
    fn what_a_server_says_stays_on_one_line() {
        let url: Url = "http://a:1".parse().unwrap();
        let error = ApiError::new(ApiCode::Conflict, "a\nb\x1b[2J");
        assert_eq!(
            ClientError::answered(&url, error).to_string(),
            "the cluster at http://a:1: a b [2J"
        );
    }
}
