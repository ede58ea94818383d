//! Which carrier streams take, and what is special about lines.

use std::net::UdpSocket;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::*;
use crate::pipeline::source::InFlight;

async fn small() -> (LocalSource, Entry) {
    let store = MemoryStore::new();
    store.insert("a", bytes(3 * MIB), 1);
    let entry = entry_of(&store, "a").await;
    (local(store), entry)
}

fn sessions(node: &Node) -> usize {
    node.network.status().peers.iter().map(|peer| peer.sessions).sum()
}

async fn read_whole(remote: &RemoteSource, entry: &Entry) {
    let (read, _) = read_range(remote, entry, ByteRange::new(0, entry.size)).await.unwrap();
    assert!(read == bytes(entry.size));
}

#[tokio::test]
async fn a_line_carries_one_request_after_the_other() {
    let (source, entry) = small().await;
    let (target, node) = pair_over(Transport::Tcp, source);
    let remote = target.remote(&node);
    for _ in 0..10 {
        read_whole(&remote, &entry).await;
        // What is refused does not end the line either.
        assert!(remote.stat(&Key::from("none")).await.unwrap().is_none());
    }
    // Two pieces at a time.
    assert_eq!((sessions(&target), sessions(&node)), (2, 2));
}

#[tokio::test]
async fn a_line_that_the_peer_has_closed_is_not_used_again() {
    let (source, entry) = small().await;
    let (target, node) = pair_over(Transport::Tcp, source);
    let remote = target.remote(&node);
    read_whole(&remote, &entry).await;
    // The peer forgets this node for a moment, and with it the line.
    node.network.set_members([node.id()].into());
    introduce(&[&target, &node]);
    read_whole(&remote, &entry).await;
}

#[tokio::test]
async fn a_short_way_is_taken_over_tcp() {
    let (source, entry) = small().await;
    let (target, node) = pair(source);
    read_whole(&target.remote(&node), &entry).await;
    let has_line = |peer: &Arc<super::super::peer::Peer>| peer.line_count() > 0;
    assert!(target.network.shared.peers().iter().any(has_line));
}

/// Forwards connections to `to`, and nothing that is no connection.
async fn forward_tcp(listener: TcpListener, to: SocketAddr) {
    let mut connections = JoinSet::new();
    loop {
        let (mut from, _) = listener.accept().await.unwrap();
        let mut to = TcpStream::connect(to).await.unwrap();
        connections.spawn(async move { tokio::io::copy_bidirectional(&mut from, &mut to).await });
    }
}

#[tokio::test]
async fn where_datagrams_do_not_pass_tcp_is_used() {
    let (source, entry) = small().await;
    let (target, node) = pair(source);
    let listener = TcpListener::bind(LOOPBACK).await.unwrap();
    let gate = listener.local_addr().unwrap();
    // Takes in datagrams, and says nothing.
    let _silent = UdpSocket::bind(gate).unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(forward_tcp(listener, node.address()));
    read_whole(&target.remote_at(&node, vec![gate]), &entry).await;
}

#[tokio::test]
async fn where_nobody_listens_for_connections_quic_is_used() {
    let (source, entry) = small().await;
    let node = Node::with_options(Arc::new(source), DataOptions::default());
    let target = Node::over(Transport::Quic);
    introduce(&[&target, &node]);
    read_whole(&target.remote(&node), &entry).await;
    assert!(target.network.shared.peers().iter().all(|peer| peer.line_count() == 0));
}

#[tokio::test]
async fn who_cannot_be_dialled_by_datagrams_either_offers_a_line() {
    let (source, entry) = small().await;
    let (asked, mut beckoned) = mpsc::channel(8);
    let job = OneJob(Arc::new(local(MemoryStore::new())), Some(asked));
    let target = Node::with_job(job, DataOptions::default());
    let hidden = Node::start(Arc::new(source));
    introduce(&[&target, &hidden]);
    // The way to the target: connections pass, datagrams do not.
    let listener = TcpListener::bind(LOOPBACK).await.unwrap();
    let gate = listener.local_addr().unwrap();
    let _silent = UdpSocket::bind(gate).unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(forward_tcp(listener, target.address()));
    let network = Arc::clone(&hidden.network);
    let id = target.id();
    tasks.spawn(async move {
        while let Some(peer) = beckoned.recv().await {
            assert_eq!(peer, network.node());
            network.reach(id, &[gate]).await.unwrap();
        }
    });
    read_whole(&target.remote_at(&hidden, Vec::new()), &entry).await;
}

#[tokio::test]
async fn a_removed_member_cannot_open_lines() {
    let (source, entry) = small().await;
    let (target, node) = pair_over(Transport::Tcp, source);
    let remote = target.remote(&node);
    node.network.set_members([node.id()].into());
    let error = remote.stat(&entry.key).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::NodeLost);
    assert_eq!(sessions(&node), 0);
}

#[tokio::test]
async fn garbage_on_the_port_for_connections_ends_only_itself() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (source, entry) = small().await;
    let (target, node) = pair_over(Transport::Tcp, source);
    let mut stranger = TcpStream::connect(node.address()).await.unwrap();
    stranger.write_all(&[0x5a; 4096]).await.unwrap();
    let mut rest = Vec::new();
    // Closed by the node, with or without a word; never left open.
    let closed = stranger.read_to_end(&mut rest);
    drop(tokio::time::timeout(Duration::from_secs(10), closed).await.unwrap());
    read_whole(&target.remote(&node), &entry).await;
}

/// Reads as a target that holds a part until it is whole.
async fn read_by_parts(remote: &RemoteSource, entry: &Entry, part_bytes: u64) -> Vec<u8> {
    let (link, mut arrived) = mpsc::channel::<InFlight>(4);
    let receive = async move {
        let (mut read, mut held) = (Vec::new(), Vec::new());
        while let Some((chunk, permit)) = arrived.recv().await {
            assert_eq!(chunk.offset, read.len() as u64);
            held.push(permit);
            let verified = verify(decompress(chunk).unwrap()).unwrap();
            read.extend_from_slice(&contiguous(verified.payload()));
            if (read.len() as u64).is_multiple_of(part_bytes) {
                held.clear();
            }
        }
        read
    };
    let whole = ByteRange::new(0, entry.size);
    let (sent, read) = tokio::join!(remote.read_range(entry, whole, part_bytes, link), receive);
    sent.unwrap();
    read
}

/// Orders for one object, of which each may hold as much as all of them.
async fn share_memory(transport: Transport, receiving: u64, serving: u64, parts: &[u64]) {
    let store = MemoryStore::new();
    let content = bytes(24 * MIB + 5);
    store.insert("a", content.clone(), 1);
    let entry = entry_of(&store, "a").await;
    let serving = Bounds { budget: Budget::new(serving), ..bounds() };
    let (target, node) = pair_over(transport, LocalSource { bounds: serving, ..local(store) });
    let route = Route {
        network: Arc::clone(&target.network),
        node: node.id(),
        addresses: vec![node.address()],
    };
    let receiving = Bounds { budget: Budget::new(receiving), ..bounds() };
    let remote = RemoteSource::new(route, order(), receiving);
    for &part_bytes in parts {
        let orders = (0..5).map(|_| read_by_parts(&remote, &entry, part_bytes));
        let orders = futures::future::join_all(orders);
        let read = tokio::time::timeout(Duration::from_secs(60), orders).await;
        assert!(read.expect("nobody waits for ever").iter().all(|read| *read == content));
    }
}

#[tokio::test]
async fn orders_with_many_pieces_each_share_little_memory() {
    // Room for two pieces, and five times two that want some.
    share_memory(Transport::Auto, 8 * MIB, BUDGET, &[MIB, 4 * MIB, 8 * MIB, 16 * MIB]).await;
}

#[tokio::test]
async fn orders_that_wait_for_memory_leave_that_of_the_source_to_others() {
    share_memory(Transport::Quic, 8 * MIB, 12 * MIB, &[8 * MIB]).await;
    share_memory(Transport::Tcp, 8 * MIB, 4 * MIB, &[8 * MIB]).await;
}

#[tokio::test]
async fn lines_on_which_a_node_asks_end_soon_without_acknowledgements() {
    let (source, entry) = small().await;
    let (target, node) = pair_over(Transport::Tcp, source);
    read_whole(&target.remote(&node), &entry).await;
    let peer = target.network.shared.peer(node.id()).unwrap();
    let line = peer.take_line().unwrap();
    assert_eq!(line.unacknowledged_max(), Duration::from_secs(8));
}

#[tokio::test]
async fn all_who_wait_for_a_dead_node_are_told_at_once() {
    let target = Node::start(Arc::new(local(MemoryStore::new())));
    let dead = Node::start(Arc::new(local(MemoryStore::new())));
    introduce(&[&target, &dead]);
    // Takes in datagrams and says nothing; nobody listens for connections.
    let silent = UdpSocket::bind(LOOPBACK).unwrap();
    let remote = target.remote_at(&dead, vec![silent.local_addr().unwrap()]);
    let key = Key::from("a");
    let asks = futures::future::join_all((0..12).map(|_| remote.stat(&key)));
    // One handshake after the other would take twelve times five seconds.
    let told = tokio::time::timeout(Duration::from_secs(20), asks).await.unwrap();
    assert!(told.iter().all(|it| it.as_ref().is_err_and(|it| it.code == ErrorCode::NodeLost)));
}
