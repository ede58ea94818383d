//! Who may connect, how sessions begin and end.

use std::sync::atomic::{AtomicU64, Ordering};

use airlift_protocol::frame::Frame;

use super::*;
use crate::network::data::FrameStream;
use crate::pipeline::compress::CompressedChunk;
use crate::runtime::clock;

/// The same for each carrier.
macro_rules! over_both_carriers {
    ($($name:ident),* $(,)?) => {
        mod quic {
            use super::Transport;
            $(#[tokio::test] async fn $name() { super::$name(Transport::Quic).await })*
        }
        mod tcp {
            use super::Transport;
            $(#[tokio::test] async fn $name() { super::$name(Transport::Tcp).await })*
        }
    };
}

over_both_carriers!(
    a_stranger_is_refused,
    who_answers_under_another_identity_is_refused,
    jobs_that_the_node_does_not_know_are_refused,
    a_member_that_is_removed_is_cut_off_at_once,
    a_peer_that_dies_in_the_middle_is_a_transient_failure,
    dropping_a_stream_stops_the_sender_and_frees_its_budget,
    a_slow_reader_slows_only_its_own_stream,
    idle_sessions_end_and_begin_again,
);

/// A source with one object under `a`, larger than all windows and queues of a stream.
async fn large() -> (LocalSource, Entry) {
    let store = MemoryStore::new();
    store.insert("a", bytes(24 * MIB), 1);
    let entry = entry_of(&store, "a").await;
    (local(store), entry)
}

async fn take_chunk(stream: &mut FrameStream, entry: &Entry) -> Result<(), Failure> {
    match stream.next().await? {
        Frame::Chunk(head) => stream.payload(entry.size, &head).await.map(drop),
        frame => panic!("{frame:?}"),
    }
}

fn whole(entry: &Entry) -> Request {
    Request::Range { entry: entry.clone(), range: ByteRange::new(0, entry.size) }
}

async fn a_stranger_is_refused(transport: Transport) {
    let (source, entry) = large().await;
    let (target, node) = pair_over(transport, source);
    let stranger = Node::over(transport);
    // The stranger takes the others for members; they do not know it.
    stranger.network.set_members([stranger.id(), target.id(), node.id()].into());
    let failure = stranger.remote(&node).stat(&entry.key).await.unwrap_err();
    assert_eq!(failure.code.class(), Class::Transient);
    assert!(stranger.network.status().peers.iter().all(|peer| peer.bytes_received == 0));
    assert!(node.network.status().peers.iter().all(|peer| peer.node != stranger.id()));
    // And it is not dialled either.
    let failure = target.remote(&stranger).stat(&entry.key).await.unwrap_err();
    assert!(failure.detail().contains("no member"), "{failure}");
}

async fn who_answers_under_another_identity_is_refused(transport: Transport) {
    let (source, entry) = large().await;
    let (target, node) = pair_over(transport, source);
    let other = Node::over(transport);
    introduce(&[&target, &node, &other]);
    let failure =
        target.remote_at(&other, vec![node.address()]).stat(&entry.key).await.unwrap_err();
    assert_eq!(failure.code, ErrorCode::NodeLost);
    // The address that is right is found among those that are not.
    let addresses = vec![other.address(), node.address()];
    let info = target.remote_at(&node, addresses).stat(&entry.key).await;
    // The failed dial of `other` does not hold up the one of `node`.
    assert_eq!(info.unwrap().unwrap().entry, entry);
}

async fn jobs_that_the_node_does_not_know_are_refused(transport: Transport) {
    let (source, entry) = large().await;
    let (target, node) = pair_over(transport, source);
    let order = Order { job: JobId([9; 16]), ..order() };
    let header = RequestHeader { order, request: whole(&entry) };
    let mut stream = target.network.open(node.id(), &[node.address()], &header).await.unwrap();
    assert_eq!(stream.next().await.unwrap_err().code, ErrorCode::Unauthorized);
}

async fn a_member_that_is_removed_is_cut_off_at_once(transport: Transport) {
    let (source, entry) = large().await;
    let (target, node) = pair_over(transport, source);
    let request = header(whole(&entry));
    let mut stream = target.network.open(node.id(), &[node.address()], &request).await.unwrap();
    take_chunk(&mut stream, &entry).await.unwrap();
    node.network.set_members([node.id()].into());
    let rest = async {
        loop {
            if let Err(failure) = take_chunk(&mut stream, &entry).await {
                return failure;
            }
        }
    };
    // At once, and not when an idle session would end; a busy machine may take its time.
    let failure = tokio::time::timeout(Duration::from_secs(10), rest).await.unwrap();
    assert_eq!(failure.code, ErrorCode::NodeLost);
    assert!(target.remote(&node).stat(&entry.key).await.is_err());
    // Taken back in, it is served again.
    introduce(&[&target, &node]);
    assert!(target.remote(&node).stat(&entry.key).await.unwrap().is_some());
}

#[tokio::test]
async fn a_node_that_only_dials_out_serves_on_its_own_session() {
    let (source, entry) = large().await;
    let (target, node) = pair(source);
    let nowhere = target.remote_at(&node, Vec::new());
    assert_eq!(nowhere.stat(&entry.key).await.unwrap_err().code, ErrorCode::NodeLost);
    node.network.set_kept([(target.id(), vec![target.address()])].into());
    let has_session = || target.network.status().peers.iter().any(|peer| peer.sessions == 1);
    eventually("the node dials", has_session).await;
    let range = ByteRange::new(0, entry.size);
    let (read, _) = read_range(&nowhere, &entry, range).await.unwrap();
    assert!(read == bytes(entry.size));
    // And it dials again when the session is lost.
    target.network.set_members([target.id()].into());
    introduce(&[&target, &node]);
    eventually("the node dials again", has_session).await;
    assert!(nowhere.stat(&entry.key).await.unwrap().is_some());
}

#[tokio::test]
async fn a_session_that_is_used_now_and_then_is_no_idle_one() {
    let (source, entry) = large().await;
    let idle = Duration::from_millis(1_500);
    let transport = Transport::Quic;
    let options = DataOptions { session_idle_max: idle, transport, ..DataOptions::default() };
    let target = Node::with_options(Arc::new(local(MemoryStore::new())), options);
    let node = Node::start(Arc::new(source));
    introduce(&[&target, &node]);
    let remote = target.remote(&node);
    let session = || target.network.shared.peer(node.id()).unwrap().live().map(|it| it.stable_id());
    assert!(remote.stat(&entry.key).await.unwrap().is_some());
    let (begun, first) = (clock::now(), session());
    // Each question is answered long before anybody looks whether one is open.
    while begun.elapsed() < 2 * idle {
        tokio::time::sleep(idle / 25).await;
        assert!(remote.stat(&entry.key).await.unwrap().is_some());
    }
    assert_eq!(session(), first);
    eventually("idle", || session().is_none()).await;
}

async fn idle_sessions_end_and_begin_again(transport: Transport) {
    let (source, entry) = large().await;
    let idle = Duration::from_millis(40);
    let options = DataOptions {
        session_idle_max: idle,
        line_idle_max: idle,
        transport,
        ..DataOptions::default()
    };
    let target = Node::with_options(Arc::new(local(MemoryStore::new())), options);
    let node = Node::start(Arc::new(source));
    introduce(&[&target, &node]);
    let remote = target.remote(&node);
    for _ in 0..2 {
        assert!(remote.stat(&entry.key).await.unwrap().is_some());
        eventually("idle", || target.network.status().peers[0].sessions == 0).await;
        eventually("idle", || node.network.status().peers[0].sessions == 0).await;
    }
}

async fn a_peer_that_dies_in_the_middle_is_a_transient_failure(transport: Transport) {
    let (source, entry) = large().await;
    let (target, node) = pair_over(transport, source);
    let remote = target.remote(&node);
    let (link, mut arrived) = mpsc::channel(1);
    let mut node = Some(node);
    let kill = async {
        arrived.recv().await.unwrap();
        node.take();
        while arrived.recv().await.is_some() {}
    };
    let range = ByteRange::new(0, entry.size);
    let (outcome, ()) = tokio::join!(remote.read_range(&entry, range, MIB, link), kill);
    let error = outcome.unwrap_err();
    assert_eq!(error.code, ErrorCode::NodeLost);
    assert_eq!(error.code.class(), Class::Transient);
}

#[derive(Debug, Default)]
struct Count(AtomicU64);

impl FaultHook for Count {
    fn on_link(&self, _: &mut CompressedChunk) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

async fn dropping_a_stream_stops_the_sender_and_frees_its_budget(transport: Transport) {
    let (source, entry) = large().await;
    let count = Arc::new(Count::default());
    let source = LocalSource { faults: Some(count.clone()), encoder: plain(), ..source };
    let budget = source.bounds.budget.clone();
    let (target, node) = pair_over(transport, source);
    let request = header(whole(&entry));
    let mut stream = target.network.open(node.id(), &[node.address()], &request).await.unwrap();
    stream.next().await.unwrap();
    drop(stream);
    let all = tokio::time::timeout(Duration::from_secs(5), budget.take(BUDGET)).await;
    drop(all.expect("the sender gives back what it holds"));
    let sent = count.0.load(Ordering::Relaxed);
    assert!(sent < 16, "{sent} of 24 chunks were read for a stream that was dropped");
}

async fn a_slow_reader_slows_only_its_own_stream(transport: Transport) {
    let (source, entry) = large().await;
    let (target, node) = pair_over(transport, source);
    let mut idle = Vec::new();
    for _ in 0..4 {
        let request = header(whole(&entry));
        idle.push(target.network.open(node.id(), &[node.address()], &request).await.unwrap());
    }
    let remote = target.remote(&node);
    let read = read_range(&remote, &entry, ByteRange::new(0, entry.size));
    let (read, _) = tokio::time::timeout(Duration::from_secs(20), read).await.unwrap().unwrap();
    assert_eq!(read.len() as u64, entry.size);
}

/// A node behind a router that forwards nothing: it advertises an address, and nobody can dial it.
#[tokio::test]
async fn a_node_that_can_only_dial_is_asked_to() {
    let (source, entry) = large().await;
    let (asked, mut beckoned) = mpsc::channel(8);
    let job = OneJob(Arc::new(local(MemoryStore::new())), Some(asked));
    let target = Node::with_job(job, DataOptions::default());
    let hidden = Node::start(Arc::new(source));
    introduce(&[&target, &hidden]);
    // A socket that takes in everything and says nothing.
    let silent = std::net::UdpSocket::bind(LOOPBACK).unwrap();
    for addresses in [vec![silent.local_addr().unwrap()], Vec::new()] {
        let network = Arc::clone(&hidden.network);
        let (id, at) = (target.id(), target.address());
        let dial = async {
            assert_eq!(beckoned.recv().await, Some(hidden.id()));
            network.reach(id, &[at]).await.unwrap();
            // Asked again, it has nothing to do.
            network.reach(id, &[at]).await.unwrap();
        };
        let remote = target.remote_at(&hidden, addresses);
        let (info, ()) = tokio::join!(remote.stat(&entry.key), dial);
        assert_eq!(info.unwrap().unwrap().entry, entry);
        // The session serves whatever comes next.
        let range = ByteRange::new(0, entry.size);
        let (read, _) = read_range(&remote, &entry, range).await.unwrap();
        assert_eq!(read.len() as u64, entry.size);
        assert!(beckoned.try_recv().is_err());
        let sessions =
            |node: &Node| node.network.status().peers.iter().map(|it| it.sessions).sum::<usize>();
        assert_eq!((sessions(&target), sessions(&hidden)), (1, 1));
        // For the next round.
        introduce(&[&target]);
        eventually("the session ends", || sessions(&hidden) == 0).await;
        introduce(&[&target, &hidden]);
    }
}

#[tokio::test]
async fn who_is_asked_to_dial_and_is_gone_is_given_up() {
    let (asked, mut beckoned) = mpsc::channel(8);
    let job = OneJob(Arc::new(local(MemoryStore::new())), Some(asked));
    let target = Node::with_job(job, DataOptions::default());
    let gone = Node::start(Arc::new(local(MemoryStore::new())));
    introduce(&[&target, &gone]);
    let remote = target.remote_at(&gone, Vec::new());
    let failure = remote.stat(&Key::from("a")).await.unwrap_err();
    assert_eq!(failure.code.class(), Class::Transient);
    assert_eq!(beckoned.recv().await, Some(gone.id()));
}
