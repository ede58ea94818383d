//! One request to a webhook, and what came of it. It is not repeated here.

use std::time::Duration;

use airlift_protocol::time::Timestamp;
use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode};

use super::Webhook;
use super::message::{ID_HEADER, Message, SIGNATURE_HEADER, signature};
use crate::runtime::blocking::blocking;
use crate::runtime::clock;

/// How long a connection, and an answer, may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// Sends messages.
#[derive(Clone, Debug)]
pub struct Sender(Client);

impl Sender {
    /// A sender that follows no redirect: where a message goes stands in the file, and nowhere else.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new() -> Result<Self, String> {
        let builder = Client::builder()
            .redirect(Policy::none())
            .connect_timeout(CONNECT_LIMIT)
            .timeout(ANSWER_LIMIT)
            .user_agent(concat!("airlift/", env!("CARGO_PKG_VERSION")));
        builder.build().map(Self).map_err(|error| format!("make an HTTP client: {error}"))
    }

    /// Sends a message once. Of the answer, only the status counts.
    ///
    /// # Errors
    /// Why it did not arrive, in one line without the secret.
    pub async fn send(&self, to: &Webhook, message: &Message) -> Result<StatusCode, String> {
        let place = to.secret.clone();
        let secret = blocking(move || place.read()).await?;
        let body = message.body();
        let signed = signature(&secret, clock::wall(), &body);
        let request = self
            .0
            .post(to.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(ID_HEADER, &message.id)
            .header(SIGNATURE_HEADER, signed)
            .body(body);
        let answer = request.send().await.map_err(|error| describe(&error))?;
        match answer.status() {
            status if status.is_success() => Ok(status),
            status if status.is_redirection() => Err(format!(
                "answered {status}: redirects are not followed, so write where it leads"
            )),
            status => Err(format!("answered {status}")),
        }
    }
}

/// What went wrong, with its cause and without the URL: that is said beside it.
fn describe(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("no answer within {} s", ANSWER_LIMIT.as_secs());
    }
    let mut text = if error.is_connect() { "cannot connect" } else { "cannot be asked" }.to_owned();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if error.source().is_none() {
            text = format!("{text}: {error}");
        }
        cause = error.source();
    }
    text
}

/// How long to wait before attempt `number`, counted from 1: a second, then twice as long each time, up to
/// five minutes.
pub fn pause_before(number: u32) -> Duration {
    const LONGEST: Duration = Duration::from_secs(300);
    match number {
        0 | 1 => Duration::ZERO,
        more => Duration::from_secs(1 << (more - 2).min(10)).min(LONGEST),
    }
}

/// Whether a message that was first tried at `first` is given up.
pub fn is_hopeless(first: Timestamp, now: Timestamp) -> bool {
    const PATIENCE_MS: u64 = 60 * 60 * 1000;
    now.since(first) >= PATIENCE_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound() {
        let seconds: Vec<u64> = (1..13).map(|number| pause_before(number).as_secs()).collect();
        assert_eq!(seconds, [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(pause_before(u32::MAX).as_secs(), 300);
        assert!(is_hopeless(Timestamp(5), Timestamp(5 + 3_600_000)));
        assert!(!is_hopeless(Timestamp(5), Timestamp(4 + 3_600_000)));
    }
}
