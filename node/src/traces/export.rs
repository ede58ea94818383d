//! The way to a collector: spans are gathered, sent, and dropped when nobody takes them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, StatusCode, Url};
use tokio::sync::{mpsc, watch};

use super::otlp::{Resource, request};
use super::{Span, Tracer, turned};

/// Spans of one request.
const TOGETHER_MAX: usize = 512;

/// Time that spans wait for others.
const GATHER: Duration = Duration::from_secs(2);

/// Time for a collector to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Times that a request is sent, and the pause before the second; each further one is twice as long.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(500);

/// Where spans go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collector(Url);

impl Collector {
    /// Reads the address of a collector; without a path, that of traces is meant.
    ///
    /// # Errors
    /// When it is none: what to write.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || "write the URL of a collector such as http://127.0.0.1:4318".to_owned();
        let mut url: Url = text.parse().map_err(|_| wrong())?;
        if !["http", "https"].contains(&url.scheme()) || !url.has_host() {
            return Err(wrong());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("credentials do not belong into the URL: send to a collector beside this \
                        node, which has them"
                .to_owned());
        }
        if matches!(url.path(), "" | "/") {
            url.set_path("/v1/traces");
        }
        Ok(Self(url))
    }
}

/// Sends spans.
#[derive(Debug)]
pub(crate) struct Exporter {
    http: Client,
    collector: Collector,
    resource: Resource,
    spans: mpsc::Receiver<Span>,
    dropped: Arc<AtomicU64>,
    /// Whether the collector is known not to answer: that is said once.
    is_silent: bool,
}

impl Exporter {
    /// A tracer of a node, and what sends its spans.
    ///
    /// # Errors
    /// When no client is to be had.
    pub(crate) fn new(
        collector: Collector,
        (node, id, key): (String, String, [u8; 32]),
        version: &str,
    ) -> Result<(Tracer, Self), reqwest::Error> {
        let http = Client::builder().timeout(ANSWER_TIMEOUT).build()?;
        let (tracer, spans, dropped) = Tracer::new(key);
        let resource = Resource { version: version.to_owned(), node, id };
        Ok((tracer, Self { http, collector, resource, spans, dropped, is_silent: false }))
    }

    /// Sends until `is_over` turns true, and then what is left.
    pub(crate) async fn run(mut self, mut is_over: watch::Receiver<bool>) {
        let mut batch = Vec::with_capacity(TOGETHER_MAX);
        loop {
            let count = tokio::select! {
                count = self.spans.recv_many(&mut batch, TOGETHER_MAX) => count,
                () = turned(&mut is_over) => {
                    self.spans.close();
                    self.spans.recv_many(&mut batch, TOGETHER_MAX).await
                }
            };
            if count == 0 {
                return;
            }
            self.gather(&mut batch).await;
            self.send(&batch).await;
            batch.clear();
        }
    }

    /// Waits a moment for more.
    async fn gather(&mut self, batch: &mut Vec<Span>) {
        let full = async {
            while batch.len() < TOGETHER_MAX {
                let room = TOGETHER_MAX - batch.len();
                if self.spans.recv_many(batch, room).await == 0 {
                    return;
                }
            }
        };
        // The time is over, or there is nothing more to wait for.
        let _ = tokio::time::timeout(GATHER, full).await;
    }

    async fn send(&mut self, batch: &[Span]) {
        let body = request(&self.resource, batch).to_string();
        for attempt in 0..TRIES {
            match self.post(body.clone()).await {
                Ok(()) => {
                    self.is_silent = false;
                    return self.tell_dropped();
                }
                Err(Refusal { reason, is_final: true }) => return self.give_up(batch, &reason),
                Err(Refusal { reason, .. }) if attempt + 1 == TRIES => {
                    return self.give_up(batch, &reason);
                }
                Err(_) => tokio::time::sleep(PAUSE * 2u32.pow(attempt)).await,
            }
        }
    }

    async fn post(&self, body: String) -> Result<(), Refusal> {
        let request = self.http.post(self.collector.0.clone());
        let request = request.header(CONTENT_TYPE, "application/json").body(body);
        let sent = request.send().await;
        let answer =
            sent.map_err(|error| Refusal { reason: error.to_string(), is_final: false })?;
        let status = answer.status();
        let is_for_a_time = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
        match status.is_success() {
            true => Ok(()),
            false => {
                Err(Refusal { reason: format!("it answers {status}"), is_final: !is_for_a_time })
            }
        }
    }

    fn give_up(&mut self, batch: &[Span], reason: &str) {
        let spans = batch.len();
        match self.is_silent {
            true => tracing::debug!(spans, reason, "spans are dropped"),
            false => tracing::warn!(
                collector = %self.collector.0, spans, reason,
                "the collector does not take spans: they are dropped"
            ),
        }
        self.is_silent = true;
    }

    fn tell_dropped(&self) {
        let spans = self.dropped.swap(0, Ordering::Relaxed);
        if spans > 0 {
            tracing::warn!(
                spans,
                "the collector takes spans more slowly than they come: some are dropped"
            );
        }
    }
}

/// Why a request was not taken.
#[derive(Debug)]
struct Refusal {
    reason: String,
    /// Whether the same request would be refused again.
    is_final: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_a_collector_needs_no_path() {
        for (text, url) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("https://otel.example/", "https://otel.example/v1/traces"),
            ("http://h/other/v1/traces", "http://h/other/v1/traces"),
        ] {
            assert_eq!(Collector::parse(text).unwrap().0.as_str(), url);
        }
        for text in ["", "127.0.0.1:4318", "grpc://h:4317", "http://me:secret@h"] {
            assert!(!Collector::parse(text).unwrap_err().contains("secret"), "{text}");
        }
    }
}
