//! A member that sends what it likes.

use quinn::Connection;

use super::node::{Node, echo};
use super::raw::{Raw, open};
use crate::network::control::Member;
use crate::network::control::limit::REQUEST_BYTES_MAX;

async fn hostile(node: &Node) -> (Raw, Connection) {
    let raw = Raw::new();
    node.network.set_members(vec![Member { node: raw.id(), addresses: Vec::new() }]);
    let connection = raw.connect(node.address()).await;
    node.until_connected(raw.id()).await;
    (raw, connection)
}

/// The answer to one request, byte by byte.
async fn ask(connection: &Connection, request: &[u8]) -> Vec<u8> {
    let (mut send, mut recv) = open(connection, "/airlift/control/1").await;
    // A refusal may come before everything was taken.
    let _ = send.write_all(request).await;
    let _ = send.finish();
    recv.read_to_end(1 << 20).await.unwrap_or_default()
}

#[tokio::test]
async fn a_declared_length_beyond_the_limit_is_refused() {
    let node = Node::start().await;
    let (_raw, connection) = hostile(&node).await;
    for bytes in [u32::try_from(REQUEST_BYTES_MAX).unwrap() + 1, u32::MAX] {
        let answer = ask(&connection, &bytes.to_be_bytes()).await;
        assert_eq!(answer, [3, 0, 0, 0, 0], "{bytes}");
    }
}

#[tokio::test]
async fn garbage_ends_its_stream_and_nothing_else() {
    let node = Node::start().await;
    let (_raw, connection) = hostile(&node).await;
    let _echo = echo(node.incoming);
    for garbage in [&b""[..], b"\0", b"\0\0\0\x05four", b"\0\x10\0\0", &[0xff; 64]] {
        // Instead of a negotiation, of a request, of a notice.
        let (mut send, mut recv) = connection.open_bi().await.unwrap();
        let _ = send.write_all(garbage).await;
        let _ = send.finish();
        let _ = recv.read_to_end(1 << 10).await;
        let answer = ask(&connection, garbage).await;
        assert!(answer.is_empty() || answer == [3, 0, 0, 0, 0], "{answer:?}");
        let (mut send, mut recv) = open(&connection, "/airlift/notice/1").await;
        let _ = send.write_all(garbage).await;
        let _ = send.finish();
        let _ = recv.read_to_end(1 << 10).await;
    }
    let answer = ask(&connection, b"\0\0\0\x02hi").await;
    assert_eq!(answer, b"\0\0\0\0\x02hi");
}

#[tokio::test]
async fn a_flood_of_streams_stops_at_the_limit_and_spares_the_others() {
    let node = Node::start().await;
    let (raw, connection) = hostile(&node).await;
    let honest = Node::start().await;
    node.network.set_members(vec![
        Member { node: raw.id(), addresses: Vec::new() },
        honest.hidden_member(),
    ]);
    honest.network.set_members(vec![node.member()]);
    let node_id = node.id();
    let _echo = echo(node.incoming);
    // Streams that say nothing, until no more can be opened.
    let mut silent = Vec::new();
    while let Some(stream) = futures::FutureExt::now_or_never(connection.open_bi()) {
        let (mut send, recv) = stream.unwrap();
        send.write_all(b"\x13").await.unwrap();
        silent.push((send, recv));
        assert!(silent.len() < 1000);
    }
    assert_eq!(honest.ask(node_id, b"still here?").await.unwrap(), "still here?");
}
