//! One request to a webhook, and what came of it. It is not repeated here.

use std::fmt;
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

/// Why a message did not arrive, in one line without the secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undelivered {
    /// It was not sent: this machine could not sign it.
    Unsigned(String),
    /// The other end did not take it.
    NotTaken(String),
}

impl fmt::Display for Undelivered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsigned(why) | Self::NotTaken(why) => f.write_str(why),
        }
    }
}

/// Sends messages to one webhook.
#[derive(Clone, Debug)]
pub struct Sender {
    client: Client,
    to: Webhook,
}

impl Sender {
    /// A sender that follows no redirect: where a message goes stands in the file, and nowhere else.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(to: Webhook) -> Result<Self, String> {
        let builder = Client::builder()
            .redirect(Policy::none())
            .connect_timeout(CONNECT_LIMIT)
            .timeout(ANSWER_LIMIT)
            .user_agent(concat!("airlift/", env!("CARGO_PKG_VERSION")));
        let builder = match (to.is_here(), to.url.scheme()) {
            // It must work where no certificates are installed.
            (true, "http") => builder.no_proxy().tls_certs_only([]),
            // A proxy would carry elsewhere what is to stay on the machine.
            (true, _) => builder.no_proxy(),
            (false, _) => builder,
        };
        let client = builder.build().map_err(|error| format!("make an HTTP client: {error}"))?;
        Ok(Self { client, to })
    }

    /// Where messages go.
    pub fn webhook(&self) -> &Webhook {
        &self.to
    }

    /// Sends a message once. Of the answer, only the status counts.
    ///
    /// # Errors
    /// Why it did not arrive.
    pub async fn send(&self, message: &Message) -> Result<StatusCode, Undelivered> {
        let place = self.to.secret.clone();
        let secret = blocking(move || place.read()).await.map_err(Undelivered::Unsigned)?;
        let body = message.body();
        let signed = signature(&secret, clock::wall(), &body);
        let request = self
            .client
            .post(self.to.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(ID_HEADER, &message.id)
            .header(SIGNATURE_HEADER, signed)
            .body(body);
        let answer = request.send().await;
        let answer = answer.map_err(|error| Undelivered::NotTaken(describe(&error)))?;
        match answer.status() {
            status if status.is_success() => Ok(status),
            status if status.is_redirection() => Err(Undelivered::NotTaken(format!(
                "answered {status}: redirects are not followed, so write where it leads"
            ))),
            status => Err(Undelivered::NotTaken(format!("answered {status}"))),
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

/// Since when a webhook has not taken a message.
#[derive(Clone, Copy, Debug, Default)]
pub struct Patience(Option<Timestamp>);

impl Patience {
    /// Whether the message is given up that did not arrive at `now`. Of what fails on this machine the webhook
    /// knows nothing, and another leader may do better: that is tried for as long as the message waits.
    pub fn is_over(&mut self, error: &Undelivered, now: Timestamp) -> bool {
        const PATIENCE_MS: u64 = 60 * 60 * 1000;
        match error {
            Undelivered::Unsigned(_) => false,
            Undelivered::NotTaken(_) => now.since(*self.0.get_or_insert(now)) >= PATIENCE_MS,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhook::{Kind, SecretPlace};

    #[test]
    fn pauses_double_up_to_a_bound() {
        let seconds: Vec<u64> = (1..13).map(|number| pause_before(number).as_secs()).collect();
        assert_eq!(seconds, [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(pause_before(u32::MAX).as_secs(), 300);
    }

    #[test]
    fn what_a_webhook_does_not_take_for_an_hour_is_given_up_and_what_cannot_be_signed_is_not() {
        let (local, remote) = (
            Undelivered::Unsigned("read x: permission denied".to_owned()),
            Undelivered::NotTaken("answered 500".to_owned()),
        );
        let hour = 3_600_000;
        let mut patience = Patience::default();
        assert!(!patience.is_over(&local, Timestamp(1)));
        assert!(!patience.is_over(&remote, Timestamp(5 + hour)), "it was asked for the first time");
        assert!(!patience.is_over(&remote, Timestamp(4 + 2 * hour)));
        assert!(!patience.is_over(&local, Timestamp(5 + 2 * hour)));
        assert!(patience.is_over(&remote, Timestamp(5 + 2 * hour)));
    }

    #[tokio::test]
    async fn a_message_that_cannot_be_signed_is_not_sent() {
        let to = Webhook {
            name: "chat".to_owned(),
            url: "http://127.0.0.1:9/x".parse().unwrap(),
            secret: SecretPlace::Variable("AIRLIFT_TEST_NO_SUCH_SECRET".to_owned()),
            kinds: Kind::ALL.into(),
        };
        let message = Message::test("abc".to_owned(), Timestamp(0));
        let sent = Sender::new(to).unwrap().send(&message).await;
        let why = "the variable AIRLIFT_TEST_NO_SUCH_SECRET is not set".to_owned();
        assert_eq!(sent, Err(Undelivered::Unsigned(why)));
    }
}
