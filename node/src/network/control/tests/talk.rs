//! Members who mean well.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::FuturesUnordered;

use super::node::{Node, PATIENCE, echo, pair, until};
use crate::network::control::limit::{REQUEST_BYTES_MAX, REQUESTS_IN_FLIGHT_MAX, SMALL_BYTES_MAX};
use crate::network::control::{Lane, RequestError, Transport};

#[tokio::test]
async fn both_ask_over_the_connection_that_one_of_them_can_dial() {
    let (mut a, mut b) = pair().await;
    let (a_id, b_id) = (a.id(), b.id());
    let asked = a.ask(b_id, b"ping");
    let answered = async {
        let request = b.next().await;
        assert_eq!((request.from, request.is_member), (a_id, true));
        assert_eq!(request.body, "ping");
        assert!(request.reply.send(Bytes::from_static(b"pong")));
    };
    assert_eq!(tokio::join!(asked, answered).0.unwrap(), "pong");
    let asked = b.ask(a_id, b"and you?");
    let answered = async {
        let request = a.next().await;
        assert_eq!((request.from, &request.body[..]), (b_id, &b"and you?"[..]));
        request.reply.send(Bytes::new());
    };
    assert_eq!(tokio::join!(asked, answered).0.unwrap(), "");
    let status = a.status_of(b_id);
    assert!(status.is_connected);
    assert_eq!(status.transport, Some(Transport::Quic));
    assert_eq!(status.address, Some(b.address()));
    assert_eq!((status.bytes_sent, status.bytes_received), (4, 12));
    until(|| a.status_of(b_id).rtt.is_some()).await;
}

#[tokio::test]
async fn a_request_waits_for_the_connection() {
    let (a, mut b) = (Node::start().await, Node::start().await);
    let (a_member, b_member, b_id) = (a.hidden_member(), b.member(), b.id());
    a.network.set_members(vec![b_member]);
    b.network.set_members(vec![a_member]);
    let answered = async { b.next().await.reply.send(Bytes::from_static(b"here")) };
    assert_eq!(tokio::join!(a.ask(b_id, b"there?"), answered).0.unwrap(), "here");
}

#[tokio::test]
async fn bodies_up_to_the_limit_arrive_as_they_were_sent() {
    let (a, b) = pair().await;
    let (b_id, incoming) = (b.id(), b.incoming);
    let _echo = echo(incoming);
    for bytes in [0, 1, SMALL_BYTES_MAX, SMALL_BYTES_MAX + 1, REQUEST_BYTES_MAX] {
        let body: Vec<u8> = (0..bytes).map(|index| (index % 251) as u8).collect();
        assert!(a.ask(b_id, &body).await.unwrap() == body, "{bytes} bytes");
    }
    let error = a.ask(b_id, &vec![0; REQUEST_BYTES_MAX + 1]).await.unwrap_err();
    assert!(matches!(error, RequestError::TooLong { .. }), "{error}");
}

#[tokio::test]
async fn a_dropped_reply_is_an_error_and_not_a_wait() {
    let (a, mut b) = pair().await;
    let b_id = b.id();
    let (answer, ()) = tokio::join!(a.ask(b_id, b"?"), async { drop(b.next().await) });
    assert!(matches!(answer, Err(RequestError::Unanswered)), "{answer:?}");
}

#[tokio::test]
async fn requests_to_one_node_are_bounded_and_all_get_their_answers() {
    let (a, mut b) = pair().await;
    let b_id = b.id();
    let a = &a;
    let mut asked: FuturesUnordered<_> = (0..100u8)
        .map(|number| async move {
            assert_eq!(a.ask(b_id, &[number]).await.unwrap(), [number][..]);
        })
        .collect();
    let served = async {
        let mut open = Vec::new();
        let mut served = 0;
        while served < 100 {
            let wanted = REQUESTS_IN_FLIGHT_MAX.min(100 - served);
            while open.len() < wanted {
                open.push(b.next().await);
            }
            // As many as may be under way are here, so no other can come.
            assert!(b.incoming.try_recv().is_err());
            served += open.len();
            for request in open.drain(..) {
                let body = request.body.clone();
                assert!(request.reply.send(body));
            }
        }
    };
    tokio::join!(served, async { while asked.next().await.is_some() {} });
}

#[tokio::test]
async fn a_request_that_is_given_up_makes_room() {
    let (a, mut b) = pair().await;
    let b_id = b.id();
    a.until_connected(b_id).await;
    let short = Duration::from_millis(50);
    let mut kept = Vec::new();
    for _ in 0..REQUESTS_IN_FLIGHT_MAX + 4 {
        let given_up = a.network.request(b_id, Bytes::from_static(b"slow"), short).await;
        assert!(matches!(given_up, Err(RequestError::TimedOut)), "{given_up:?}");
        // It may have been given up before it left.
        kept.extend(b.incoming.try_recv());
    }
    kept.clear();
    let answered = async {
        loop {
            let request = b.next().await;
            if request.body == "last" {
                return request.reply.send(Bytes::new());
            }
        }
    };
    let (answer, _) = tokio::join!(a.ask(b_id, b"last"), answered);
    answer.unwrap();
}

#[tokio::test]
async fn notices_of_a_lane_arrive_in_order() {
    let (a, mut b) = pair().await;
    for number in 0..100u8 {
        a.network.send(b.id(), Bytes::from(vec![number]));
    }
    a.network.send_on(Lane::Bulk, b.id(), Bytes::from_static(b"bulk"));
    let (mut urgent, mut bulk) = (Vec::new(), 0);
    while urgent.len() < 100 || bulk < 1 {
        let notice = b.next().await;
        assert_eq!((notice.from, notice.is_member), (a.id(), true));
        assert!(!notice.reply.is_wanted());
        match notice.body == "bulk" {
            true => bulk += 1,
            false => urgent.push(notice.body[0]),
        }
    }
    assert_eq!(urgent, (0..100).collect::<Vec<u8>>());
    assert_eq!(a.status_of(b.id()).notices_dropped, 0);
}

#[tokio::test]
async fn a_heartbeat_passes_requests_and_pages_that_are_stuck() {
    let (a, mut b) = pair().await;
    let (a_id, b_id) = (a.id(), b.id());
    let body = Bytes::from(vec![0; REQUEST_BYTES_MAX]);
    // Nobody answers: two of them fill the memory that their connection gets, the others wait in
    // the middle of their streams, and so does the page.
    let requests: FuturesUnordered<_> = (0..REQUESTS_IN_FLIGHT_MAX)
        .map(|_| a.network.request(b_id, body.clone(), PATIENCE))
        .collect();
    let beats = async {
        let mut held = vec![b.next().await, b.next().await];
        a.network.send(b_id, body.clone());
        for number in 0..20u8 {
            a.network.send(b_id, Bytes::from(vec![number]));
            let notice = b.next().await;
            assert_eq!((notice.from, &notice.body[..]), (a_id, &[number][..]));
            held.push(notice);
        }
    };
    let mut requests = requests;
    tokio::select! {
        () = beats => {}
        answer = requests.next() => panic!("nobody answered: {answer:?}"),
    }
}
