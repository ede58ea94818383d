//! Hostile bytes from members: streams end, nothing else does.

use airlift_protocol::chunk::Root;
use airlift_protocol::frame::{self, ChunkHead, Digest, EncodingKind, Frame, ToDigest};
use airlift_protocol::sum::{Sum, SumKind};
use tokio::task::JoinSet;

use super::*;
use crate::network::data::certificate::Identity;
use crate::network::data::transport;

/// Sends `bytes` where a request should be, and returns what is answered.
async fn answer_to(target: &Node, node: &Node, bytes: &[u8]) -> Vec<u8> {
    let shared = &target.network.shared;
    let peer = shared.peer(node.id()).unwrap();
    let connection = shared.connection(&peer, &[node.address()]).await.unwrap();
    let (mut send, mut receive) = connection.open_bi().await.unwrap();
    // The other side may stop reading before everything is sent.
    let _ = send.write_all(bytes).await;
    let _ = send.finish();
    receive.read_to_end(1 << 20).await.unwrap()
}

#[tokio::test]
async fn requests_that_are_none_end_their_stream_and_nothing_else() {
    let store = MemoryStore::new();
    store.insert("a", bytes(10), 1);
    let (target, node) = pair_over(Transport::Quic, local(store));
    let good = frame::encode_request(&header(Request::Stat { key: Key::from("a") })).unwrap();
    let mut longer = good.clone();
    longer[2] += 1;
    let mut garbled = good.clone();
    garbled[6..].fill(0xff);
    let mut other_version = good.clone();
    other_version[0] = 9;
    let cases: [&[u8]; 6] = [
        b"GET / HTTP/1.1\r\n\r\n",
        &[1, 0, 255, 255, 255, 255],
        &longer,
        &garbled,
        &other_version,
        &[],
    ];
    for case in cases {
        let answer = answer_to(&target, &node, case).await;
        let prefix: [u8; 4] = answer[..4].try_into().unwrap();
        assert_eq!(frame::frame_length(prefix).unwrap(), answer.len() - 4);
        let last = frame::decode_frame(&answer[4..]).unwrap();
        assert!(
            matches!(&last, Frame::Error(failure)
            if failure.code.class() == Class::Transient),
            "{last:?}"
        );
    }
    assert!(target.remote(&node).stat(&Key::from("a")).await.unwrap().is_some());
    assert_eq!(target.network.status().peers[0].sessions, 1);
}

/// A member that answers every request with `answer`, whatever was asked.
fn liar(answer: Vec<u8>) -> (NodeId, quinn::Endpoint, JoinSet<()>) {
    let identity = Identity::new(&Keypair::generate_ed25519()).unwrap();
    let config = transport::server(identity.server().unwrap(), &transport::config()).unwrap();
    let endpoint = quinn::Endpoint::server(config, LOOPBACK).unwrap();
    let accepting = endpoint.clone();
    let mut task = JoinSet::new();
    task.spawn(async move {
        while let Some(incoming) = accepting.accept().await {
            let connection = incoming.await.unwrap();
            while let Ok((mut send, mut receive)) = connection.accept_bi().await {
                let _ = receive.read_to_end(1 << 20).await;
                let _ = send.write_all(&answer).await;
                let _ = send.finish();
            }
        }
    });
    (identity.node(), endpoint, task)
}

fn frames(frames: &[Frame]) -> Vec<u8> {
    let mut bytes = Vec::new();
    frames.iter().for_each(|frame| frame::encode_frame(frame, &mut bytes).unwrap());
    bytes
}

fn chunk(offset: u64, bytes: u32) -> Frame {
    Frame::Chunk(ChunkHead {
        place: 0,
        offset,
        value: SpanValue([0; 32]),
        plain_bytes: bytes,
        encoding: EncodingKind::Zero,
        payload_bytes: 0,
    })
}

#[tokio::test]
async fn answers_that_do_not_fit_the_request_are_refused() {
    let store = MemoryStore::new();
    store.insert("a", bytes(2 * MIB), 1);
    let entry = entry_of(&store, "a").await;
    let full = MIB as u32;
    let object = |place, bytes| {
        let attributes = Attributes::default();
        Frame::ObjectHead { place, attributes, root: Root([0; 32]), bytes }
    };
    let digest =
        |place, sum| Frame::ObjectDigest { place, digest: Digest { root: Root([0; 32]), sum } };
    let answers = [
        vec![255; 100],
        vec![0, 0, 1, 0],
        Vec::new(),
        frames(&[Frame::End]),
        frames(&[chunk(MIB, full)]),
        frames(&[chunk(0, 1)]),
        frames(&[chunk(0, full), chunk(0, full)]),
        frames(&[chunk(0, full), Frame::End]),
        frames(&[chunk(0, full), chunk(MIB, full), chunk(2 * MIB, full)]),
        frames(&[object(1, 2 * MIB)]),
        frames(&[object(0, 1)]),
        frames(&[object(0, 2 * MIB), chunk(MIB, full)]),
        frames(&[Frame::Found { place: 0, entry: None }]),
        frames(&[digest(7, None)]),
        frames(&[digest(0, Some(Sum::Crc32(5)))]),
        frames(&[Frame::ObjectSums { place: 1, sums: Vec::new() }]),
    ];
    for answer in answers {
        let (node, endpoint, _task) = liar(answer.clone());
        let target = Node::start(Arc::new(local(store.clone())));
        target.network.set_members([target.id(), node].into());
        let addresses = vec![endpoint.local_addr().unwrap()];
        let route = Route { network: Arc::clone(&target.network), node, addresses };
        let remote = RemoteSource::new(route, order(), bounds());
        let is_refused = |code: ErrorCode| code.class() == Class::Transient;
        let (link, mut arrived) = mpsc::channel(4);
        let drain = async { while arrived.recv().await.is_some() {} };
        let range = ByteRange::new(0, 2 * MIB);
        let (outcome, ()) = tokio::join!(remote.read_range(&entry, range, MIB, link), drain);
        assert!(is_refused(outcome.unwrap_err().code), "{answer:?}");
        let objects = read_pack(&remote, std::slice::from_ref(&entry)).await;
        assert!(is_refused(objects[0].as_ref().unwrap_err().code), "{answer:?}");
        let asked = ToDigest { entry: entry.clone(), sum: Some(SumKind::Crc32c) };
        let digests = remote.digests(vec![asked]).await;
        assert!(is_refused(digests[0].as_ref().unwrap_err().code), "{answer:?}");
        let stored = remote.stored_sums(vec![entry.clone()]).await;
        assert!(is_refused(stored[0].as_ref().unwrap_err().code), "{answer:?}");
        assert!(is_refused(remote.stat(&entry.key).await.unwrap_err().code), "{answer:?}");
        assert!(is_refused(remote.keeps_mtime().await.unwrap_err().code), "{answer:?}");
    }
}
