//! Nodes that are no members, or not yet.

use bytes::Bytes;

use super::node::{Node, PATIENCE, until};
use super::raw::{Raw, open};
use crate::network::control::limit::{STRANGER_REQUEST_BYTES_MAX, STRANGERS_MAX};
use crate::network::control::{JoinError, RequestError};

#[tokio::test]
async fn a_joiner_asks_a_little_and_becomes_a_member_on_the_same_connection() {
    let (joiner, mut member) = (Node::start().await, Node::start().await);
    let (joiner_id, member_id) = (joiner.id(), member.id());
    assert_eq!(joiner.network.dial_join(member.address()).await.unwrap(), member_id);

    let most = vec![7; STRANGER_REQUEST_BYTES_MAX];
    let answered = async {
        let request = member.next().await;
        assert_eq!((request.from, request.is_member), (joiner_id, false));
        request.reply.send(request.body);
    };
    assert_eq!(tokio::join!(joiner.ask(member_id, &most), answered).0.unwrap(), most);

    let more = vec![7; STRANGER_REQUEST_BYTES_MAX + 1];
    let refused = joiner.ask(member_id, &more).await;
    assert!(matches!(refused, Err(RequestError::Refused)), "{refused:?}");
    let unknown = member.ask(joiner_id, b"who?").await;
    assert!(matches!(unknown, Err(RequestError::Unknown(_))), "{unknown:?}");

    joiner.network.set_members(vec![member.member()]);
    member.network.set_members(vec![joiner.hidden_member()]);
    member.until_connected(joiner_id).await;
    let answered = async {
        let request = member.next().await;
        assert!(request.is_member);
        request.reply.send(Bytes::new());
    };
    tokio::join!(joiner.ask(member_id, &more), answered).0.unwrap();
    joiner.network.send(member_id, Bytes::from_static(b"beat"));
    assert_eq!(member.next().await.body, "beat");
}

#[tokio::test]
async fn notices_of_a_stranger_are_not_read() {
    let mut node = Node::start().await;
    let stranger = Raw::new();
    let connection = stranger.connect(node.address()).await;
    let (mut send, mut recv) = open(&connection, "/airlift/notice/1").await;
    // The stream is refused before or after these bytes leave.
    let _ = send.write_all(&[0, 0, 0, 1, 9]).await;
    assert!(recv.read(&mut [0; 1]).await.map_or(true, |read| read.is_none()));
    assert!(node.incoming.try_recv().is_err());
}

#[tokio::test]
async fn strangers_beyond_the_quota_are_turned_away_and_members_are_not() {
    let node = Node::start().await;
    let strangers: Vec<Raw> = (0..=STRANGERS_MAX).map(|_| Raw::new()).collect();
    let mut connections = Vec::new();
    for stranger in &strangers {
        connections.push(stranger.connect(node.address()).await);
    }
    // The handshake is over before the quota is looked at; then the connection is closed.
    until(|| connections.iter().any(|connection| connection.close_reason().is_some())).await;
    let member = Node::start().await;
    node.network.set_members(vec![member.hidden_member()]);
    member.network.set_members(vec![node.member()]);
    member.until_connected(node.id()).await;
    node.until_connected(member.id()).await;
    let open = connections.iter().filter(|connection| connection.close_reason().is_none());
    assert_eq!(open.count(), STRANGERS_MAX);
}

#[tokio::test]
async fn a_stranger_that_asks_much_at_once_is_told_to_wait() {
    let mut node = Node::start().await;
    let stranger = Raw::new();
    let connection = stranger.connect(node.address()).await;
    let mut streams = Vec::new();
    for _ in 0..3 {
        let (mut send, recv) = open(&connection, "/airlift/control/1").await;
        // The third is refused, perhaps before it was written.
        let _ = send.write_all(&[0, 0, 0, 1, 5]).await;
        streams.push((send, recv));
    }
    let first = node.next().await;
    let second = node.next().await;
    let mut busy = [0; 5];
    streams[2].1.read_exact(&mut busy).await.unwrap();
    assert_eq!(busy, [2, 0, 0, 0, 0]);
    drop((first, second));
}

#[tokio::test]
async fn joining_at_an_address_without_a_node_fails_with_it() {
    let joiner = Node::start().await;
    let own = joiner.network.dial_join(joiner.address()).await.unwrap_err();
    assert!(matches!(own, JoinError::Unreachable { .. }), "{own}");

    // Nothing listens on TCP there, and what arrives by UDP is not answered.
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let joined = tokio::time::timeout(PATIENCE, joiner.network.dial_join(address)).await;
    let error = joined.unwrap().unwrap_err();
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}
