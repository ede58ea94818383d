//! Connections: so many at once, each with a time for its heads, all ended when the server is.

use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Limits;
use super::patient::Patient;
use super::secure::{Opened, Tls};

/// Pause after the system refused a connection, for want of descriptors for example.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Headers of one request.
const HEADERS_MAX: usize = 64;
/// Bytes of one head, and of what is read ahead.
const BUFFER_BYTES_MAX: usize = 64 << 10;

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub SocketAddr);

/// What is behind a listener.
#[derive(Clone)]
pub(super) struct Door {
    /// Who answers.
    pub(super) router: Router,
    /// What connections are encrypted with, if at all.
    pub(super) tls: Option<Tls>,
    /// Bounds.
    pub(super) limits: Limits,
}

/// Takes connections until `stop` turns true, then waits for those that are open.
pub(super) async fn accept(listener: TcpListener, door: Door, mut stop: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    let renewal = async {
        match &door.tls {
            Some(tls) => tls.renew_again_and_again(door.limits.renewal_interval).await,
            None => std::future::pending().await,
        }
    };
    let mut renewal = pin!(renewal);
    loop {
        tokio::select! {
            () = stopped(&mut stop) => break,
            () = renewal.as_mut() => {}
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < door.limits.connections_max => {
                match accepted {
                    Ok((stream, peer)) => {
                        let router = door.router.clone().layer(Extension(Peer(peer)));
                        let door = Door { router, ..door.clone() };
                        connections.spawn(serve(stream, door, stop.clone()));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "an API connection could not be taken");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Waits until the server is to end; when nobody can say so any more, that is an end as well.
pub(super) async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn serve(stream: TcpStream, door: Door, mut stop: watch::Receiver<bool>) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "an API connection keeps its delay");
    }
    let Door { router, tls, limits } = door;
    let Some(tls) = tls else {
        return talk(Patient::new(stream, limits.write_timeout), router, limits, stop).await;
    };
    let opened = tokio::select! {
        opened = tokio::time::timeout(limits.head_timeout, tls.open(stream, &limits)) => opened,
        () = stopped(&mut stop) => return,
    };
    match opened {
        Ok(Ok(Opened::Secure(stream))) => talk(*stream, router, limits, stop).await,
        Ok(Ok(Opened::Plain)) => {}
        Ok(Err(error)) => tracing::debug!(%error, "an API connection was not opened"),
        Err(_) => tracing::debug!("an API connection was not opened in time"),
    }
}

async fn talk(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    router: Router,
    limits: Limits,
    mut stop: watch::Receiver<bool>,
) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_headers(HEADERS_MAX)
        .max_buf_size(BUFFER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an API connection broke");
    }
}
