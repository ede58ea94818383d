//! A long way between two nodes: what passes is late, and no faster than its carrier may be.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::LOOPBACK;
use crate::runtime::clock;

/// Time for one direction.
pub(super) const DELAY: Duration = Duration::from_millis(25);

/// Datagrams that wait; others are lost.
const QUEUE_MAX: usize = 200;

/// Pieces of a connection that are under way in one direction.
const PIECES_MAX: usize = 512;

/// One carrier, from the source to the target.
#[derive(Debug)]
pub(super) struct Lane {
    bytes_per_second: f64,
    free_at: Mutex<Instant>,
    carried: AtomicU64,
}

impl Lane {
    fn new(bytes_per_second: f64) -> Arc<Self> {
        let (free_at, carried) = (Mutex::new(clock::now()), AtomicU64::new(0));
        Arc::new(Self { bytes_per_second, free_at, carried })
    }

    /// Bytes that went over it.
    pub(super) fn carried(&self) -> u64 {
        self.carried.load(Ordering::Relaxed)
    }

    /// When so many bytes arrive that set out now.
    fn due(&self, bytes: usize) -> Instant {
        self.carried.fetch_add(bytes as u64, Ordering::Relaxed);
        let takes = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second);
        let mut free_at = self.free_at.lock().unwrap();
        *free_at = clock::now().max(*free_at) + takes;
        *free_at + DELAY
    }
}

/// The way to a node.
#[derive(Debug)]
pub(super) struct Way {
    /// Where it begins.
    pub(super) gate: SocketAddr,
    pub(super) quic: Arc<Lane>,
    pub(super) tcp: Arc<Lane>,
    _tasks: JoinSet<()>,
}

impl Way {
    /// A way to `node` with these bytes a second for each carrier.
    pub(super) async fn to(node: SocketAddr, quic: f64, tcp: f64) -> Self {
        let (listener, datagrams) = loop {
            let listener = TcpListener::bind(LOOPBACK).await.unwrap();
            // Its port may be taken by datagrams of somebody else.
            if let Ok(datagrams) = UdpSocket::bind(listener.local_addr().unwrap()).await {
                break (listener, datagrams);
            }
        };
        let gate = listener.local_addr().unwrap();
        let (quic, tcp) = (Lane::new(quic), Lane::new(tcp));
        let mut tasks = JoinSet::new();
        tasks.spawn(pass_datagrams(datagrams, node, Arc::clone(&quic)));
        tasks.spawn(pass_connections(listener, node, Arc::clone(&tcp)));
        Self { gate, quic, tcp, _tasks: tasks }
    }
}

async fn pass_datagrams(front: UdpSocket, node: SocketAddr, lane: Arc<Lane>) {
    let back = UdpSocket::bind(LOOPBACK).await.unwrap();
    back.connect(node).await.unwrap();
    let (mut there, mut here) = (VecDeque::new(), VecDeque::new());
    let (mut out, mut inward) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let mut client = None;
    loop {
        let due = |queue: &VecDeque<(Instant, Vec<u8>)>| queue.front().map(|(due, _)| *due);
        let (to_node, to_client) = (due(&there), due(&here));
        let wait = |due: Option<Instant>| sleep_until(due.unwrap_or_else(clock::now));
        tokio::select! {
            got = front.recv_from(&mut out) => {
                let Ok((length, from)) = got else { continue };
                client = Some(from);
                there.push_back((clock::now() + DELAY, out[..length].to_vec()));
            }
            got = back.recv(&mut inward) => {
                let Ok(length) = got else { continue };
                if here.len() < QUEUE_MAX {
                    here.push_back((lane.due(length), inward[..length].to_vec()));
                }
            }
            () = wait(to_node), if to_node.is_some() => {
                let (_, bytes) = there.pop_front().unwrap();
                let _ = back.send(&bytes).await;
            }
            () = wait(to_client), if to_client.is_some() => {
                let (_, bytes) = here.pop_front().unwrap();
                let _ = front.send_to(&bytes, client.unwrap()).await;
            }
        }
    }
}

async fn pass_connections(listener: TcpListener, node: SocketAddr, lane: Arc<Lane>) {
    let mut connections = JoinSet::new();
    loop {
        let (front, _) = listener.accept().await.unwrap();
        let back = TcpStream::connect(node).await.unwrap();
        let (from_client, to_client) = front.into_split();
        let (from_node, to_node) = back.into_split();
        let lane = Arc::clone(&lane);
        connections.spawn(pass(from_client, to_node, |_| clock::now() + DELAY));
        connections.spawn(pass(from_node, to_client, move |bytes| lane.due(bytes)));
    }
}

async fn pass(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    due: impl Fn(usize) -> Instant,
) {
    let (pieces, mut arrived) = mpsc::channel::<(Instant, Vec<u8>)>(PIECES_MAX);
    let read = async move {
        let mut buffer = vec![0; 4096];
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            if pieces.send((due(length), buffer[..length].to_vec())).await.is_err() {
                return;
            }
        }
    };
    let write = async move {
        while let Some((due, bytes)) = arrived.recv().await {
            sleep_until(due).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
        let _ = to.shutdown().await;
    };
    tokio::join!(read, write);
}
