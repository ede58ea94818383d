//! Connections: two clients that differ in how long they wait.

use std::time::Duration;

use airlift_protocol::error::ErrorCode;
use reqwest::redirect::Policy;
use reqwest::{Client, Request, Response};

use super::error::Failed;
use crate::store::StoreError;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// To the first byte of an answer, and from each piece of it to the next.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// The same for a request with a large body, counted from its begin, and for one that the service
/// may work on for minutes: a part on a slow link takes as long.
const BULK_READ_TIMEOUT: Duration = Duration::from_secs(15 * 60);
/// Bytes of a body from which a request counts as bulk.
const BULK_BYTES: usize = 1 << 20;

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
    bulk_client: Client,
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
        let client = |read_timeout| {
            Client::builder()
                .connect_timeout(CONNECT_TIMEOUT)
                .read_timeout(read_timeout)
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
                })
        };
        let (client, bulk_client) = (client(READ_TIMEOUT)?, client(BULK_READ_TIMEOUT)?);
        Ok(Self { client, bulk_client, endpoint })
    }

    /// Where requests go, for people.
    pub(in crate::store) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Sends `request` and waits for the head of its answer, whatever its status.
    pub(in crate::store) async fn send(
        &self,
        request: Request,
        patience: Patience,
    ) -> Result<Response, Failed> {
        let bytes = request.body().and_then(|body| body.as_bytes()).map_or(0, <[u8]>::len);
        let client = match patience {
            Patience::Normal if bytes < BULK_BYTES => &self.client,
            Patience::Normal | Patience::Long => &self.bulk_client,
        };
        client.execute(request).await.map_err(|error| Failed::transport(&self.endpoint, error))
    }
}
