//! The server of the API: a listener, its connections, and an orderly end.

mod access;
mod connections;
mod console;
mod events;
mod failures;
mod guard;
mod meter;
mod monitor;
mod patient;
mod routes;
mod secure;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::connections::Door;
use self::guard::Guard;
use self::meter::Requests;
use self::secure::Tls;
use super::service::Service;
use super::tls::{Certificate, TlsError};

/// Bounds of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once; more wait in the system's queue.
    pub connections_max: usize,
    /// Requests that are worked on at once; more are refused.
    pub requests_max: usize,
    /// Bytes of a request's body.
    pub body_bytes_max: usize,
    /// Time for a request's head, and for the next one on a connection kept open.
    pub head_timeout: Duration,
    /// Time from a request's head to that of its answer.
    pub request_timeout: Duration,
    /// Time in which a client has to take at least a byte of what is sent to it.
    pub write_timeout: Duration,
    /// Wrong tokens from one address in [`failure_window`](Self::failure_window), after which it is
    /// refused without a look at its token.
    pub failures_max: u32,
    /// The time after which wrong tokens are forgotten.
    pub failure_window: Duration,
    /// Clients that look on at once, by way of events; more are refused.
    pub watchers_max: usize,
    /// Pause between two looks for one of them.
    pub watch_interval: Duration,
    /// Time after which such a client has to ask, and show its token, again.
    pub watch_time: Duration,
    /// Pause between two looks at the files of a certificate.
    pub renewal_interval: Duration,
    /// Time that requests have to end when the server is stopped.
    pub drain_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 256,
            requests_max: 64,
            body_bytes_max: 1 << 20,
            head_timeout: Duration::from_secs(15),
            request_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            failures_max: 20,
            failure_window: Duration::from_secs(10),
            watchers_max: 32,
            watch_interval: Duration::from_secs(1),
            watch_time: Duration::from_secs(600),
            renewal_interval: Duration::from_secs(5),
            drain_timeout: Duration::from_secs(5),
        }
    }
}

/// Where and how a server listens.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Address and port; port 0 lets the system choose one.
    pub address: SocketAddr,
    /// The certificate to show; nothing is encrypted without one.
    pub certificate: Option<Certificate>,
    /// Whether an address that other machines reach is allowed although nothing is encrypted.
    pub allow_insecure: bool,
    /// Bounds.
    pub limits: Limits,
}

/// Why a server could not begin.
#[derive(Debug, Error)]
pub enum StartError {
    /// Tokens would cross the network in plain text.
    #[error(
        "the API at {address} would send tokens over the network in plain text: leave --api-insecure out, or listen on 127.0.0.1"
    )]
    Insecure {
        /// The address asked for.
        address: SocketAddr,
    },
    /// The certificate cannot be shown.
    #[error("TLS of the API: {0}")]
    Tls(#[from] TlsError),
    /// The address cannot be listened on.
    #[error("listen on {address} for clients: {error}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
}

/// Whether other machines reach an address, so that what is said there has to be encrypted.
pub fn is_exposed(address: SocketAddr) -> bool {
    !address.ip().to_canonical().is_loopback()
}

/// A running server. Dropped, it ends at once.
#[derive(Debug)]
pub struct ApiServer {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
    drain_timeout: Duration,
    requests: Arc<Requests>,
}

impl ApiServer {
    /// Listens, and answers for `service` from now on.
    ///
    /// # Errors
    /// When the address is refused or taken.
    pub async fn start(
        options: ServerOptions,
        service: Arc<dyn Service>,
    ) -> Result<Self, StartError> {
        let ServerOptions { address, certificate, allow_insecure, limits } = options;
        if certificate.is_none() && !allow_insecure && is_exposed(address) {
            return Err(StartError::Insecure { address });
        }
        let tls = certificate.map(Tls::of).transpose()?;
        Self::listen(address, service, limits, tls, routes::router, Arc::default()).await
    }

    /// Listens beside this server for monitoring, which needs no token and learns nothing that opens
    /// anything: metrics, and whether the node lives and is ready. Requests to both are counted together.
    ///
    /// # Errors
    /// When the address is taken.
    pub async fn start_monitoring(
        &self,
        address: SocketAddr,
        service: Arc<dyn Service>,
    ) -> Result<Self, StartError> {
        let (limits, requests) = (Limits::default(), Arc::clone(&self.requests));
        Self::listen(address, service, limits, None, monitor::router, requests).await
    }

    async fn listen(
        address: SocketAddr,
        service: Arc<dyn Service>,
        limits: Limits,
        tls: Option<Tls>,
        router: fn(Arc<Guard>) -> Router,
        requests: Arc<Requests>,
    ) -> Result<Self, StartError> {
        let failed = |error| StartError::Listen { address, error };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let (stop, stopped) = watch::channel(false);
        let guard = Guard::new(service, limits, Arc::clone(&requests), stopped.clone());
        let router = router(Arc::new(guard));
        let mut tasks = JoinSet::new();
        tasks.spawn(connections::accept(listener, Door { router, tls, limits }, stopped));
        Ok(Self { address, stop, tasks, drain_timeout: limits.drain_timeout, requests })
    }

    /// Where the server listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more requests, lets those under way end within the limit, and ends.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        let ended = tokio::time::timeout(self.drain_timeout, self.tasks.join_next()).await;
        if ended.is_err() {
            tracing::warn!(address = %self.address, "API requests were cut off at the end");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_other_machines_reach_is_exposed() {
        for (address, is_reached) in [
            ("127.0.0.1:1", false),
            ("127.8.0.1:1", false),
            ("[::1]:1", false),
            ("[::ffff:127.0.0.1]:1", false),
            ("0.0.0.0:1", true),
            ("[::]:1", true),
            ("192.0.2.1:1", true),
            ("[::ffff:192.0.2.1]:1", true),
        ] {
            assert_eq!(is_exposed(address.parse().unwrap()), is_reached, "{address}");
        }
    }

    #[tokio::test]
    async fn nothing_is_said_in_plain_text_to_other_machines_unless_that_is_accepted() {
        let fake = || Arc::new(crate::api::fake::Fake::default());
        let options = ServerOptions {
            address: "0.0.0.0:0".parse().unwrap(),
            certificate: None,
            allow_insecure: false,
            limits: Limits::default(),
        };
        let refused = ApiServer::start(options.clone(), fake()).await;
        assert!(matches!(refused, Err(StartError::Insecure { .. })));
        let options = ServerOptions { allow_insecure: true, ..options };
        assert!(ApiServer::start(options, fake()).await.is_ok());
    }
}
