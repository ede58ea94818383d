//! A gate before a server that serves one connection after the other and lets few wait: the system drops
//! what it has no room for, and whoever was dropped tries again too late.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

/// Connections that are let through at the same time.
const OPEN_MAX: usize = 3;

/// A gate that closes when it is dropped.
#[derive(Debug)]
pub struct Gate {
    address: SocketAddr,
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
}

impl Gate {
    /// Opens a gate before `port` of the loopback.
    ///
    /// # Panics
    /// When no port or thread is to be had.
    pub fn before(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        listener.set_nonblocking(true).expect("a listener can be made nonblocking");
        let address = listener.local_addr().expect("a listener has an address");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("gate")
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.spawn(keep(listener, port));
        Self { address, runtime: Some(runtime) }
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn keep(listener: TcpListener, port: u16) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a nonblocking listener");
    let open = Arc::new(Semaphore::new(OPEN_MAX));
    while let Ok((mut client, _)) = listener.accept().await {
        let open = Arc::clone(&open);
        tokio::spawn(async move {
            // In the order in which they came.
            let Ok(_permit) = open.acquire_owned().await else { return };
            if let Ok(mut server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await {
                // A connection that either end breaks off is its affair.
                drop(tokio::io::copy_bidirectional(&mut client, &mut server).await);
            }
        });
    }
}
