//! What happens on one stream, from its first byte to its last, each as one future.
//!
//! They run in the task of their connection and end with it. Every wait has a bound, except those
//! that cost the other side as much as this one: for the next notice, on either end.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use airlift_protocol::id::NodeId;
use bytes::Bytes;
use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::Stream;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

use super::budget::{Budget, Room};
use super::error::RequestError;
use super::incoming::{Incoming, Reply};
use super::limit::{
    ANSWER_TIMEOUT, READ_TIMEOUT, REQUEST_BYTES_MAX, STRANGER_REQUEST_BYTES_MAX, WRITE_TIMEOUT,
};
use super::peer::{Counters, Lane, Outgoing, Peer};
use super::wire::{Length, Status, read_body, read_length, read_status, write_answer, write_body};

/// What the connections of a node have in common.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) incoming: mpsc::Sender<Incoming>,
    /// Room for requests and notices that come in.
    pub(super) requests: Arc<Semaphore>,
    /// Room for answers. Apart from the other: who serves a request may wait for an answer.
    pub(super) answers: Arc<Semaphore>,
}

/// The other side of one connection, as the streams see it.
#[derive(Clone, Debug)]
pub(super) struct Side {
    pub(super) node: NodeId,
    pub(super) is_member: bool,
    /// Where bytes are counted; strangers have none.
    pub(super) peer: Option<Arc<Peer>>,
    pub(super) budget: Budget,
    pub(super) shared: Arc<Shared>,
}

impl Side {
    fn count_received(&self, bytes: usize) {
        if let Some(peer) = &self.peer {
            Counters::add(&peer.counters.received, bytes);
        }
    }

    fn count_sent(&self, bytes: usize) {
        if let Some(peer) = &self.peer {
            Counters::add(&peer.counters.sent, bytes);
        }
    }

    fn request_bytes_max(&self) -> usize {
        if self.is_member { REQUEST_BYTES_MAX } else { STRANGER_REQUEST_BYTES_MAX }
    }
}

async fn within<T>(limit: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(limit, work).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Sends a request and hands its answer to whoever waits for it; stops when nobody does.
pub(super) async fn ask(mut stream: Stream, outgoing: Outgoing, peer: Arc<Peer>, answers: Budget) {
    let Outgoing { body, mut answer, permit } = outgoing;
    let result = tokio::select! {
        biased;
        () = answer.closed() => return,
        result = exchange(&mut stream, &body, &peer, &answers) => result,
    };
    // The place is free before the answer is known, so that who waits for it finds it free.
    drop(permit);
    // An error means that nobody waits any more.
    let _ = answer.send(result);
}

async fn exchange(
    stream: &mut Stream,
    body: &Bytes,
    peer: &Peer,
    answers: &Budget,
) -> Result<Bytes, RequestError> {
    let written = async {
        write_body(stream, body).await?;
        stream.close().await
    }
    .await;
    if written.is_ok() {
        Counters::add(&peer.counters.sent, body.len());
    }
    // A peer that refuses stops reading, which fails the write; its answer says why.
    let status = read_status(stream).await.map_err(|error| written.err().unwrap_or(error))?;
    match status {
        Status::Answered => {}
        Status::Unanswered => return Err(RequestError::Unanswered),
        Status::Busy => return Err(RequestError::Busy),
        Status::Refused => return Err(RequestError::Refused),
    }
    let length = read_length(stream, REQUEST_BYTES_MAX).await?;
    let bytes = length.ok_or(io::ErrorKind::UnexpectedEof).map_err(io::Error::from)?.allowed()?;
    let _room = answers.room(bytes).await;
    let answer = within(READ_TIMEOUT, read_body(stream, bytes)).await?;
    Counters::add(&peer.counters.received, answer.len());
    Ok(answer)
}

/// Reads a request, has it answered and writes the answer.
pub(super) async fn serve_request(mut stream: Stream, side: Side) -> io::Result<()> {
    let length = within(READ_TIMEOUT, read_length(&mut stream, side.request_bytes_max())).await?;
    let bytes = match length {
        None => return Ok(()),
        Some(Length::TooLong(_)) => return refuse(stream, Status::Refused).await,
        Some(Length::Allowed(bytes)) => bytes,
    };
    let room = side.budget.room(bytes).await;
    let body = within(READ_TIMEOUT, read_body(&mut stream, bytes)).await?;
    side.count_received(bytes);
    let (status, answer) = match answer(&side, body, room).await {
        Some(answer) => (Status::Answered, answer),
        None => (Status::Unanswered, Bytes::new()),
    };
    within(WRITE_TIMEOUT, write_answer(&mut stream, status, &answer)).await?;
    side.count_sent(answer.len());
    Ok(())
}

async fn answer(side: &Side, body: Bytes, room: Room) -> Option<Bytes> {
    let (reply, answered) = Reply::new(room);
    let incoming = Incoming { from: side.node, is_member: side.is_member, body, reply };
    // Errors: this node takes no more requests, or dropped this one, or took too long over it.
    side.shared.incoming.send(incoming).await.ok()?;
    timeout(ANSWER_TIMEOUT, answered).await.ok()?.ok()
}

/// Says why a request is not looked at.
pub(super) async fn refuse(mut stream: Stream, status: Status) -> io::Result<()> {
    within(WRITE_TIMEOUT, write_answer(&mut stream, status, &Bytes::new())).await
}

/// Reads notices until the stream ends.
pub(super) async fn serve_notices(mut stream: Stream, side: Side) -> io::Result<()> {
    while let Some(length) = read_length(&mut stream, REQUEST_BYTES_MAX).await? {
        let bytes = length.allowed()?;
        let room = side.budget.room(bytes).await;
        let body = within(READ_TIMEOUT, read_body(&mut stream, bytes)).await?;
        side.count_received(bytes);
        let reply = Reply::none(room);
        let incoming = Incoming { from: side.node, is_member: side.is_member, body, reply };
        if side.shared.incoming.send(incoming).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// Writes the notices of one lane as they come, until the stream fails or the peer ends it.
pub(super) async fn write_notices(
    mut stream: Stream,
    peer: Arc<Peer>,
    lane: Lane,
) -> io::Result<()> {
    let mut byte = [0];
    loop {
        let body = tokio::select! {
            body = peer.next_notice(lane) => body,
            // Nothing is ever sent this way: whatever comes is the end.
            end = stream.read(&mut byte) => return end.map(drop),
        };
        within(WRITE_TIMEOUT, write_body(&mut stream, &body)).await?;
        Counters::add(&peer.counters.sent, body.len());
    }
}
