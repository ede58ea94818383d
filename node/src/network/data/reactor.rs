//! The thread on which QUIC lives: its sockets, its timers, its protocol.
//!
//! What arrives over a long way comes a few packets at a time. On the runtime that everything else shares,
//! each of them wakes one worker for the socket and another for the connection, and waking costs more
//! than the packets. Here both are one thread, and only who waits for bytes is woken elsewhere.

use std::io;
use std::net::UdpSocket;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn::{AsyncTimer, AsyncUdpSocket, Endpoint, Runtime, TokioRuntime};
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::timer::FineTimer;

/// Time to say goodbye to those at the other ends.
const GOODBYE: Duration = Duration::from_millis(500);

/// The thread. It ends some time after this is dropped.
#[derive(Debug)]
pub(super) struct Reactor {
    handle: Handle,
    end: Option<oneshot::Sender<Endpoint>>,
}

impl Reactor {
    /// Begins the thread.
    ///
    /// # Errors
    /// When the system gives none.
    pub(super) fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (end, ended) = oneshot::channel::<Endpoint>();
        let work = async move {
            if let Ok(endpoint) = ended.await {
                // Who does not answer finds out by itself.
                let _ = timeout(GOODBYE, endpoint.wait_idle()).await;
            }
        };
        let begin = std::thread::Builder::new().name("airlift-quic".to_owned());
        begin.spawn(move || runtime.block_on(work))?;
        Ok(Self { handle, end: Some(end) })
    }

    /// What makes sockets, timers and tasks that live here.
    pub(super) fn runtime(&self) -> Arc<dyn Runtime> {
        Arc::new(OnReactor(self.handle.clone()))
    }

    /// Where tasks for it are spawned.
    pub(super) fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Ends the thread once the connections of `endpoint`, which are closed, are over.
    pub(super) fn end(&mut self, endpoint: Endpoint) {
        if let Some(end) = self.end.take() {
            // It is there until it is told to end.
            drop(end.send(endpoint));
        }
    }
}

#[derive(Debug)]
struct OnReactor(Handle);

impl Runtime for OnReactor {
    fn new_timer(&self, at: Instant) -> Pin<Box<dyn AsyncTimer>> {
        let _here = self.0.enter();
        match FineTimer::new(at) {
            Ok(timer) => Box::pin(timer),
            Err(error) => {
                tracing::warn!(%error, "no exact timer: long ways are slower");
                TokioRuntime.new_timer(at)
            }
        }
    }

    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        let _here = self.0.enter();
        TokioRuntime.spawn(future);
    }

    fn wrap_udp_socket(&self, socket: UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let _here = self.0.enter();
        TokioRuntime.wrap_udp_socket(socket)
    }

    fn now(&self) -> Instant {
        TokioRuntime.now()
    }
}
