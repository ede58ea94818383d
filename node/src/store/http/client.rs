//! Connections, and how long the head of an answer may take.

use std::time::Duration;

use airlift_protocol::error::ErrorCode;
use reqwest::redirect::Policy;
use reqwest::{Client, Request, Response, Url};

use super::error::Failed;
use crate::store::StoreError;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// To the head of an answer.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// The same for a request with a large body, counted from its begin, and for one that the service
/// may work on for minutes: a part on a slow link takes as long.
const BULK_HEAD_TIMEOUT: Duration = Duration::from_secs(15 * 60);
/// Bytes of a body from which a request counts as bulk.
const BULK_BYTES: usize = 1 << 20;

/// Whether `text` is the URL of a service and nothing more: whatever else a URL can have might be a secret, and
/// this one is shown.
pub(in crate::store) fn is_plain(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| {
        url.has_host()
            && matches!(url.scheme(), "http" | "https")
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    })
}

/// How long an answer may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Patience {
    /// As long as its body suggests.
    Normal,
    /// Minutes.
    Long,
}

/// Connections to one service.
#[derive(Debug)]
pub(in crate::store) struct Http {
    client: Client,
    /// Where requests go, for people.
    endpoint: String,
}

impl Http {
    /// Prepares connections; makes none yet.
    ///
    /// # Errors
    /// When the system's certificates cannot be used.
    pub(in crate::store) fn new(endpoint: impl Into<String>) -> Result<Self, StoreError> {
        let endpoint = endpoint.into();
        let client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(Policy::none())
            .no_gzip()
            .no_brotli()
            .no_zstd()
            .no_deflate()
            .user_agent(concat!("airlift/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| {
                let reason = super::error::deepest(&error);
                let text = format!("prepare connections to {endpoint}: {reason}");
                StoreError::new(ErrorCode::LocationMissing, text)
            })?;
        Ok(Self { client, endpoint })
    }

    /// Where requests go, for people.
    pub(in crate::store) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The same connections, for a request that goes to `endpoint`.
    pub(in crate::store) fn at(&self, endpoint: String) -> Self {
        Self { client: self.client.clone(), endpoint }
    }

    /// Sends `request` and waits for the head of its answer, whatever its status.
    pub(in crate::store) async fn send(
        &self,
        request: Request,
        patience: Patience,
    ) -> Result<Response, Failed> {
        let bytes = request.body().and_then(|body| body.as_bytes()).map_or(0, <[u8]>::len);
        let wait = match patience {
            Patience::Normal if bytes < BULK_BYTES => HEAD_TIMEOUT,
            Patience::Normal | Patience::Long => BULK_HEAD_TIMEOUT,
        };
        let answer = tokio::time::timeout(wait, self.client.execute(request)).await;
        let answer = answer.map_err(|_| {
            let text = format!("no answer from {} in time", self.endpoint);
            Failed::Other(ErrorCode::TimedOut, text)
        })?;
        answer.map_err(|error| Failed::transport(&self.endpoint, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_may_hold_a_secret_is_none_of_a_service() {
        for text in ["https://h", "http://127.0.0.1:1/account", "https://h/a/b"] {
            assert!(is_plain(text), "{text}");
        }
        for text in [
            "h",
            "ftp://h",
            "https://me:secret@h",
            "https://me@h",
            "https://h?sig=x",
            "https://h#x",
        ] {
            assert!(!is_plain(text), "{text}");
        }
    }
}
