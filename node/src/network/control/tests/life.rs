//! Nodes that come, go, move and are cut off.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::node::{Node, PATIENCE, echo, pair, until};
use crate::network::control::{
    ControlNetwork, ControlOptions, Member, NetworkError, RequestError, Transport,
};
use crate::network::identity::Identity;

#[tokio::test]
async fn a_removed_member_is_cut_within_a_second() {
    let (mut a, b) = pair().await;
    let (a_id, b_id) = (a.id(), b.id());
    let asked = b.ask(a_id, b"unanswered");
    let cut = async {
        let _held = a.next().await;
        a.network.set_members(Vec::new());
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    let cut = tokio::select! {
        result = asked => result,
        () = cut => panic!("it is not cut within a second"),
    };
    assert!(matches!(cut, Err(RequestError::Disconnected | RequestError::Stream(_))), "{cut:?}");
    let gone = a.ask(b_id, b"?").await;
    assert!(matches!(gone, Err(RequestError::Unknown(_))), "{gone:?}");
}

#[tokio::test]
async fn a_member_that_is_removed_and_added_again_can_be_asked() {
    let (a, b) = pair().await;
    let b_id = b.id();
    let b_member = b.member();
    let _echo = echo(b.incoming);
    a.ask(b_id, b"1").await.unwrap();
    for _ in 0..3 {
        a.network.set_members(Vec::new());
        a.network.set_members(vec![b_member.clone()]);
        assert_eq!(a.ask(b_id, b"2").await.unwrap(), "2");
    }
}

#[tokio::test]
async fn a_peer_that_comes_back_elsewhere_is_found_at_its_new_address() {
    let (a, b) = pair().await;
    let (b_identity, b_id, old) = (b.identity.clone(), b.id(), b.address());
    a.until_connected(b_id).await;
    b.network.shutdown().await;
    drop(b);
    until(|| !a.status_of(b_id).is_connected).await;

    let b = Node::with(b_identity).await;
    assert_ne!(b.address(), old);
    b.network.set_members(vec![a.hidden_member()]);
    a.network.set_members(vec![b.member()]);
    let _echo = echo(b.incoming);
    assert_eq!(a.ask(b_id, b"back?").await.unwrap(), "back?");
}

/// A port where TCP leads to `to` and UDP nowhere.
async fn without_udp(to: SocketAddr, tasks: &mut JoinSet<()>) -> SocketAddr {
    let (listener, socket) = loop {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        if let Ok(socket) = UdpSocket::bind(listener.local_addr().unwrap()).await {
            break (listener, socket);
        }
    };
    let address = listener.local_addr().unwrap();
    tasks.spawn(async move {
        let _silent = socket;
        let mut copies = JoinSet::new();
        while let Ok((mut from, _)) = listener.accept().await {
            let mut to = TcpStream::connect(to).await.unwrap();
            copies.spawn(async move {
                // Whichever side ends it: the test looks at the nodes.
                let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
            });
        }
    });
    address
}

#[tokio::test]
async fn where_udp_leads_nowhere_tcp_takes_over() {
    let (a, b) = (Node::start().await, Node::start().await);
    let b_id = b.id();
    let mut tasks = JoinSet::new();
    let address = without_udp(b.address(), &mut tasks).await;
    b.network.set_members(vec![a.hidden_member()]);
    a.network.set_members(vec![Member { node: b_id, addresses: vec![address] }]);
    let _echo = echo(b.incoming);
    let body = vec![3; 1 << 20];
    assert!(a.ask(b_id, &body).await.unwrap() == body);
    let status = a.status_of(b_id);
    assert_eq!((status.transport, status.address), (Some(Transport::Tcp), Some(address)));
    a.network.send(b_id, Bytes::from_static(b"beat"));
    until(|| a.status_of(b_id).bytes_sent == (1 << 20) + 4).await;
}

#[tokio::test]
async fn a_dead_peer_costs_its_requests_their_time_and_notices_nothing() {
    let a = Node::start().await;
    let dead = Identity::generate().node();
    let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = silent.local_addr().unwrap();
    a.network.set_members(vec![Member { node: dead, addresses: vec![address] }]);
    for _ in 0..1000 {
        a.network.send(dead, Bytes::from_static(b"beat"));
    }
    assert!(a.status_of(dead).notices_dropped >= 1000 - 256);
    let limit = Duration::from_millis(100);
    let result = timeout(PATIENCE, a.network.request(dead, Bytes::new(), limit)).await.unwrap();
    assert!(matches!(result, Err(RequestError::TimedOut)), "{result:?}");
    assert!(!a.status_of(dead).is_connected);
}

#[tokio::test]
async fn somebody_else_at_a_members_address_gets_nothing() {
    let (a, mut other) = (Node::start().await, Node::start().await);
    let absent = Identity::generate().node();
    a.network.set_members(vec![Member { node: absent, addresses: vec![other.address()] }]);
    let limit = Duration::from_millis(500);
    let result = a.network.request(absent, Bytes::from_static(b"secret"), limit).await;
    assert!(matches!(result, Err(RequestError::TimedOut)), "{result:?}");
    assert!(other.incoming.try_recv().is_err());
}

#[tokio::test]
async fn nodes_that_share_an_identity_are_both_served() {
    let node = Node::start().await;
    let identity = Identity::generate();
    let (first, second) = (Node::with(identity.clone()).await, Node::with(identity).await);
    let node_id = node.id();
    let member = node.member();
    node.network.set_members(vec![first.hidden_member()]);
    let _echo = echo(node.incoming);
    for clone in [&first, &second, &first] {
        clone.network.set_members(vec![member.clone()]);
        assert_eq!(clone.ask(node_id, b"one of two").await.unwrap(), "one of two");
    }
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = socket.local_addr().unwrap();
    let options = ControlOptions::new(address);
    let error = ControlNetwork::start(&Identity::generate(), options).await.unwrap_err();
    assert!(matches!(error, NetworkError::Listen { transport: "udp", .. }), "{error}");
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}

#[tokio::test]
async fn after_shutdown_nothing_is_accepted_and_the_queue_ends() {
    let (a, mut b) = pair().await;
    let (a_id, b_id) = (a.id(), b.id());
    a.until_connected(b_id).await;
    b.network.shutdown().await;
    assert!(timeout(PATIENCE, b.incoming.recv()).await.unwrap().is_none());
    assert!(matches!(b.ask(a_id, b"?").await, Err(RequestError::Unknown(_))));
    until(|| !a.status_of(b_id).is_connected).await;
    b.network.shutdown().await;
}

/// An address of this machine from which a multicast comes back to it.
async fn multicasting() -> Option<Ipv4Addr> {
    const GROUP: Ipv4Addr = Ipv4Addr::new(239, 255, 74, 1);
    // Nothing is sent: the system only says from where it would be.
    let asked = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await.ok()?;
    asked.connect((GROUP, 9)).await.ok()?;
    let SocketAddr::V4(own) = asked.local_addr().ok()? else { return None };
    let own = *own.ip();
    let receiver = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await.ok()?;
    receiver.join_multicast_v4(GROUP, own).ok()?;
    let sender = UdpSocket::bind((own, 0)).await.ok()?;
    sender.send_to(b"airlift", (GROUP, receiver.local_addr().ok()?.port())).await.ok()?;
    let mut buffer = [0; 16];
    let received = timeout(Duration::from_secs(1), receiver.recv(&mut buffer)).await;
    (!own.is_loopback() && received.is_ok_and(|result| result.is_ok())).then_some(own)
}

#[tokio::test]
async fn members_find_each_other_by_multicast() {
    let Some(own) = multicasting().await else {
        eprintln!("skipped: no multicast comes back to this machine");
        return;
    };
    let mut nodes = Vec::new();
    for _ in 0..2 {
        let identity = Identity::generate();
        let listen = SocketAddr::from((own, 0));
        let options = ControlOptions { mdns: true, ..ControlOptions::new(listen) };
        let (network, incoming) = ControlNetwork::start(&identity, options).await.unwrap();
        nodes.push(Node { identity, network, incoming });
    }
    let [a, b] = nodes.try_into().ok().unwrap();
    // Neither knows an address of the other.
    a.network.set_members(vec![b.hidden_member()]);
    b.network.set_members(vec![a.hidden_member()]);
    a.until_connected(b.id()).await;
    b.until_connected(a.id()).await;
}
