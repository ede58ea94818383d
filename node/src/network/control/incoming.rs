//! What other nodes say to this one.

use airlift_protocol::id::NodeId;
use bytes::Bytes;
use tokio::sync::oneshot;

use super::budget::Room;
use super::limit::REQUEST_BYTES_MAX;

/// A request or a notice of another node.
#[derive(Debug)]
pub struct Incoming {
    /// Who sent it, as proven by the handshake.
    pub from: NodeId,
    /// Whether that was a member when it was read. What waited in the queue while the members
    /// changed is worth another look.
    pub is_member: bool,
    /// What it says.
    pub body: Bytes,
    /// The way to answer; it also holds the room that the body has in the budget, so drop or use it
    /// when the body is dealt with.
    pub reply: Reply,
}

/// The way to answer one request. Dropping it tells the requester that there is no answer.
#[derive(Debug)]
pub struct Reply {
    answer: Option<oneshot::Sender<Bytes>>,
    _room: Room,
}

impl Reply {
    pub(super) fn new(room: Room) -> (Self, oneshot::Receiver<Bytes>) {
        let (answer, answered) = oneshot::channel();
        (Self { answer: Some(answer), _room: room }, answered)
    }

    /// For what wants no answer.
    pub(super) fn none(room: Room) -> Self {
        Self { answer: None, _room: room }
    }

    /// Whether anybody waits for an answer: false for notices.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.answer.as_ref().is_some_and(|answer| !answer.is_closed())
    }

    /// Answers; false when nobody waits any more, or `body` is longer than [`REQUEST_BYTES_MAX`]
    /// and is not sent.
    pub fn send(self, body: Bytes) -> bool {
        body.len() <= REQUEST_BYTES_MAX
            && self.answer.is_some_and(|answer| answer.send(body).is_ok())
    }
}
