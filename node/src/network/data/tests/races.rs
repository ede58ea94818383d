//! Over a long way the faster carrier is found, and takes over.

use super::super::carrier::Carrier;
use super::way::{DELAY, Way};
use super::*;
use crate::runtime::clock;
use tokio::time::timeout;

/// Bytes a second.
const FAST: f64 = 30e6;
const SLOW: f64 = 1e6;
/// So little that the other one is ahead by as much as counts, whatever else the machine does.
const CRAWL: f64 = 60e3;

fn chosen(target: &Node) -> Option<Carrier> {
    let peer = target.network.shared.peers().pop()?;
    peer.choice.get(clock::now()).map(|(carrier, _)| carrier)
}

async fn read_ranges(remote: &RemoteSource, entry: &Entry) {
    let half = entry.size / 2;
    let halves = [ByteRange::new(0, half), ByteRange::new(half, entry.size)];
    let [first, second] = halves.map(|range| read_range(remote, entry, range));
    let (first, second) = tokio::join!(first, second);
    let (first, second) = (first.unwrap().0, second.unwrap().0);
    assert!([first, second].concat() == bytes(entry.size));
}

/// Two nodes between which no way is short.
fn far_pair(source: LocalSource) -> (Node, Node) {
    let options = DataOptions { near_rtt: Duration::ZERO, ..DataOptions::default() };
    let target = Node::with_options(Arc::new(local(MemoryStore::new())), options.clone());
    let source = Node::with_options(Arc::new(source), options);
    introduce(&[&target, &source]);
    (target, source)
}

/// A file that takes longer than a race, over a way where one carrier is slow.
async fn file_over(quic: f64, tcp: f64) -> (Node, Way) {
    let store = MemoryStore::new();
    store.insert("a", bytes(128 * MIB), 1);
    let entry = entry_of(&store, "a").await;
    let (target, node) = far_pair(local(store));
    let way = Way::to(node.address(), quic, tcp).await;
    read_ranges(&target.remote_at(&node, vec![way.gate]), &entry).await;
    (target, way)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_datagrams_are_slow_tcp_takes_over() {
    let (target, way) = file_over(SLOW, FAST).await;
    assert_eq!(chosen(&target), Some(Carrier::Tcp));
    // Of 64 megabytes: what it brought in its turn, and what was on its way.
    let carried = way.quic.carried();
    assert!((MIB..7 * MIB).contains(&carried), "{carried}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_connections_are_slow_quic_takes_over() {
    let (target, way) = file_over(FAST, SLOW).await;
    assert_eq!(chosen(&target), Some(Carrier::Quic));
    // The same, and two megabytes wait in the queue of each connection.
    let carried = way.tcp.carried();
    assert!((MIB..16 * MIB).contains(&carried), "{carried}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_of_a_pack_that_are_under_way_by_the_slow_one_are_asked_for_anew() {
    let store = MemoryStore::new();
    let content = bytes(MIB);
    let mut entries = Vec::new();
    for index in 0..40 {
        let key = format!("{index:03}");
        store.insert(key.as_str(), content.clone(), 1);
        entries.push(entry_of(&store, &key).await);
    }
    let (target, node) = far_pair(local(store));
    let way = Way::to(node.address(), CRAWL, FAST).await;
    let remote = target.remote_at(&node, vec![way.gate]);
    // Two at once, which fit into the memory of the source together.
    let (first, second) = entries.split_at(entries.len() / 2);
    let packs = async { tokio::join!(read_pack(&remote, first), read_pack(&remote, second)) };
    let (first, second) = timeout(Duration::from_secs(60), packs).await.expect("TCP takes over");
    let objects: Vec<_> = first.into_iter().chain(second).collect();
    assert_eq!(objects.len(), entries.len());
    for object in objects {
        assert!(object.unwrap().0 == content);
    }
    assert_eq!(chosen(&target), Some(Carrier::Tcp));
    let carried = way.quic.carried();
    assert!((MIB / 64..12 * MIB).contains(&carried), "{carried}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_farthest_node_is_one_that_is_asked_now() {
    let store = MemoryStore::new();
    store.insert("a", bytes(24 * MIB), 1);
    let entry = entry_of(&store, "a").await;
    // The way answers itself who connects by TCP.
    let (target, node) = pair_over(Transport::Quic, local(store));
    let way = Way::to(node.address(), FAST, FAST).await;
    assert_eq!(target.network.farthest(), None, "nobody is asked");
    let request = header(Request::Range { range: ByteRange::new(0, entry.size), entry });
    let stream = target.network.open(node.id(), &[way.gate], &request).await.unwrap();
    let farthest = target.network.farthest().unwrap();
    assert!(farthest >= DELAY * 2, "{farthest:?}");
    drop(stream);
    assert_eq!(target.network.farthest(), None, "no more");
    assert_eq!(node.network.farthest(), None, "who answers asks nothing");
}
