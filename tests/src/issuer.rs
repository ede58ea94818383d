//! Whoever issues temporary credentials: an endpoint such as containers have, on the loopback.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};
use tokio::runtime::Runtime;

use crate::canned::{Answer, CannedServer};
use crate::s3::Access;

/// Seconds that a request with a token may take to its server beyond the token's end.
const GRACE_SECONDS: i64 = 1;

/// An endpoint that ends when it is dropped.
#[derive(Debug)]
pub struct Issuer {
    server: CannedServer,
    issued: Arc<AtomicU64>,
    _runtime: Runtime,
}

impl Issuer {
    /// Issues credentials like those of `access`, with tokens that end after so many seconds.
    ///
    /// # Panics
    /// When no port or thread is to be had.
    pub fn of(access: &Access, seconds: i64) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let issued = Arc::new(AtomicU64::new(0));
        let (access, count) = (access.clone(), Arc::clone(&issued));
        let issue = move |_: &str| {
            let number = count.fetch_add(1, Ordering::Relaxed);
            let end = unix_now() + seconds;
            let expiration = DateTime::from_secs(end).fmt(DateTimeFormat::DateTime);
            let document = serde_json::json!({
                "AccessKeyId": access.access_key,
                "SecretAccessKey": access.secret_key,
                "Token": format!("issued-{number}-{end}"),
                "Expiration": expiration.expect("a time of our days"),
            });
            Answer::new("200 OK", &document.to_string()).with("content-type", "application/json")
        };
        let server = runtime.block_on(CannedServer::start(issue));
        Self { server, issued, _runtime: runtime }
    }

    /// What a process is told in its environment to find it.
    pub fn variable(&self) -> (&'static str, String) {
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("{}/keys", self.server.access().endpoint))
    }

    /// How many were issued.
    pub fn issued(&self) -> u64 {
        self.issued.load(Ordering::Relaxed)
    }

    /// Whether a token of an issuer has come to its end.
    pub(crate) fn has_expired(token: &str) -> bool {
        let end = token.strip_prefix("issued-").and_then(|rest| rest.split_once('-'));
        let end = end.and_then(|(_, end)| end.parse::<i64>().ok());
        end.is_some_and(|end| unix_now() > end + GRACE_SECONDS)
    }
}

fn unix_now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
