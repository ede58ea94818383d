//! What waits for one node, and what is known about it: shared by those who send, the network's
//! task and the connections.
//!
//! Everything waits here rather than in a connection, so that it survives a reconnect, and so that
//! bounds are per node whatever its connections do.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use airlift_protocol::id::NodeId;
use bytes::Bytes;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};

use super::address::Transport;
use super::error::RequestError;
use super::limit::{
    BULK_NOTICE_BYTES_MAX, BULK_NOTICES_MAX, REQUESTS_IN_FLIGHT_MAX, SMALL_BYTES_MAX,
    URGENT_NOTICE_BYTES_MAX, URGENT_NOTICES_MAX,
};

/// One of the two ways of a notice, each a stream of its own: order holds within a lane while a
/// connection lasts, and between lanes never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Small and pressing: heartbeats, votes, acknowledgements.
    Urgent,
    /// Pages and other large things.
    Bulk,
}

impl Lane {
    pub(super) const ALL: [Self; 2] = [Self::Urgent, Self::Bulk];

    pub(super) fn for_length(bytes: usize) -> Self {
        if bytes <= SMALL_BYTES_MAX { Self::Urgent } else { Self::Bulk }
    }

    fn notices_max(self) -> usize {
        match self {
            Self::Urgent => URGENT_NOTICES_MAX,
            Self::Bulk => BULK_NOTICES_MAX,
        }
    }

    fn bytes_max(self) -> usize {
        match self {
            Self::Urgent => URGENT_NOTICE_BYTES_MAX,
            Self::Bulk => BULK_NOTICE_BYTES_MAX,
        }
    }
}

/// A request on its way.
pub(super) struct Outgoing {
    pub(super) body: Bytes,
    pub(super) answer: oneshot::Sender<Result<Bytes, RequestError>>,
    /// One of the requests that may be in flight; free again when this is dropped.
    pub(super) permit: OwnedSemaphorePermit,
}

/// The connection that carries what is sent to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) address: SocketAddr,
    pub(super) transport: Transport,
    pub(super) rtt: Option<Duration>,
}

#[derive(Default)]
struct NoticeQueue {
    bodies: VecDeque<Bytes>,
    bytes: usize,
}

#[derive(Default)]
struct State {
    requests: VecDeque<Outgoing>,
    notices: [NoticeQueue; 2],
    link: Option<Link>,
    is_closed: bool,
}

/// Bytes and notices, counted.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) sent: AtomicU64,
    pub(super) received: AtomicU64,
    pub(super) dropped: AtomicU64,
}

impl Counters {
    pub(super) fn add(counter: &AtomicU64, bytes: usize) {
        counter.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// What waits for one node.
pub(super) struct Peer {
    state: Mutex<State>,
    request_waits: Notify,
    notice_waits: [Notify; 2],
    in_flight: Arc<Semaphore>,
    pub(super) counters: Counters,
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer").field("counters", &self.counters).finish_non_exhaustive()
    }
}

/// Takes requests back from the queue when those who wait for their answers are gone.
struct Withdrawal<'a>(&'a Peer);

impl Drop for Withdrawal<'_> {
    fn drop(&mut self) {
        self.0.lock().requests.retain(|outgoing| !outgoing.answer.is_closed());
    }
}

impl Peer {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::default(),
            request_waits: Notify::new(),
            notice_waits: [Notify::new(), Notify::new()],
            in_flight: Arc::new(Semaphore::new(REQUESTS_IN_FLIGHT_MAX)),
            counters: Counters::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("invariant: nothing panics while it holds this lock")
    }

    /// Waits for its turn, for a connection and for the answer. The caller bounds the time; what is
    /// given up frees its place at once.
    pub(super) async fn request(&self, body: Bytes) -> Result<Bytes, RequestError> {
        let permit = Arc::clone(&self.in_flight).acquire_owned().await;
        let permit = permit.map_err(|_| RequestError::Removed)?;
        // Declared before the receiver, so that it is dropped after it and finds it gone.
        let _withdrawal = Withdrawal(self);
        let (answer, answered) = oneshot::channel();
        {
            let mut state = self.lock();
            if state.is_closed {
                return Err(RequestError::Removed);
            }
            state.requests.push_back(Outgoing { body, answer, permit });
        }
        self.request_waits.notify_one();
        answered.await.unwrap_or(Err(RequestError::Disconnected))
    }

    /// The next request to open a stream for.
    pub(super) async fn next_request(&self) -> Outgoing {
        loop {
            let waiting = self.request_waits.notified();
            if let Some(outgoing) = self.lock().requests.pop_front() {
                return outgoing;
            }
            waiting.await;
        }
    }

    /// Puts a notice on a lane; the oldest ones there make room for it.
    pub(super) fn notify(&self, lane: Lane, body: Bytes) {
        let mut dropped = 0;
        {
            let mut state = self.lock();
            if state.is_closed {
                return;
            }
            let queue = &mut state.notices[lane as usize];
            queue.bytes += body.len();
            queue.bodies.push_back(body);
            while queue.bodies.len() > lane.notices_max() || queue.bytes > lane.bytes_max() {
                queue.bytes -= queue.bodies.pop_front().map_or(0, |oldest| oldest.len());
                dropped += 1;
            }
        }
        Counters::add(&self.counters.dropped, dropped);
        self.notice_waits[lane as usize].notify_one();
    }

    /// Waits until a notice waits.
    pub(super) async fn notice_waits(&self, lane: Lane) {
        loop {
            let waiting = self.notice_waits[lane as usize].notified();
            if !self.lock().notices[lane as usize].bodies.is_empty() {
                return;
            }
            waiting.await;
        }
    }

    /// The next notice to write.
    pub(super) async fn next_notice(&self, lane: Lane) -> Bytes {
        loop {
            let waiting = self.notice_waits[lane as usize].notified();
            {
                let mut state = self.lock();
                let queue = &mut state.notices[lane as usize];
                if let Some(body) = queue.bodies.pop_front() {
                    queue.bytes -= body.len();
                    return body;
                }
            }
            waiting.await;
        }
    }

    /// Lets go of everything: the node is no longer talked to.
    pub(super) fn close(&self) {
        self.in_flight.close();
        let requests = {
            let mut state = self.lock();
            state.is_closed = true;
            state.notices = Default::default();
            state.link = None;
            std::mem::take(&mut state.requests)
        };
        for outgoing in requests {
            // An error means that nobody waits for this one any more.
            let _ = outgoing.answer.send(Err(RequestError::Removed));
        }
    }

    pub(super) fn set_link(&self, link: Option<Link>) {
        self.lock().link = link;
    }

    pub(super) fn set_rtt(&self, rtt: Duration) {
        if let Some(link) = &mut self.lock().link {
            link.rtt = Some(rtt);
        }
    }

    pub(super) fn link(&self) -> Option<Link> {
        self.lock().link
    }
}

/// The nodes that this one talks to on its own account.
#[derive(Debug, Default)]
pub(super) struct Registry {
    nodes: Mutex<Nodes>,
}

#[derive(Debug, Default)]
struct Nodes {
    members: BTreeMap<NodeId, Arc<Peer>>,
    /// Reached by address only, not members yet.
    contacts: BTreeMap<NodeId, Arc<Peer>>,
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, Nodes> {
        self.nodes.lock().expect("invariant: nothing panics while it holds this lock")
    }

    /// Makes `nodes` the members; those that are no longer among them are closed.
    pub(super) fn set_members(&self, nodes: impl Iterator<Item = NodeId>) {
        let mut held = self.lock();
        let mut before = std::mem::take(&mut held.members);
        for node in nodes {
            let contact = held.contacts.remove(&node);
            if let Some(peer) = before.remove(&node).or(contact) {
                held.members.insert(node, peer);
            }
            held.members.entry(node).or_insert_with(|| Arc::new(Peer::new()));
        }
        before.into_values().for_each(|removed| removed.close());
    }

    pub(super) fn find(&self, node: NodeId) -> Option<Arc<Peer>> {
        let nodes = self.lock();
        nodes.members.get(&node).or_else(|| nodes.contacts.get(&node)).cloned()
    }

    pub(super) fn members(&self) -> BTreeMap<NodeId, Arc<Peer>> {
        self.lock().members.clone()
    }

    /// The contact with `node`, made if need be; the member, if it is one.
    pub(super) fn contact(&self, node: NodeId) -> Arc<Peer> {
        let mut nodes = self.lock();
        match nodes.members.get(&node) {
            Some(member) => Arc::clone(member),
            None => Arc::clone(nodes.contacts.entry(node).or_insert_with(|| Arc::new(Peer::new()))),
        }
    }

    /// Ends the contact with `node`; a member stays what it is.
    pub(super) fn forget_contact(&self, node: NodeId) {
        if let Some(contact) = self.lock().contacts.remove(&node) {
            contact.close();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::poll;

    use super::*;

    fn node(byte: u8) -> NodeId {
        NodeId([byte; 32])
    }

    #[tokio::test]
    async fn the_oldest_notice_makes_room_and_is_counted() {
        let peer = Peer::new();
        for index in 0..u64::try_from(URGENT_NOTICES_MAX).unwrap() + 2 {
            peer.notify(Lane::Urgent, Bytes::from(index.to_be_bytes().to_vec()));
        }
        assert_eq!(peer.counters.dropped.load(Ordering::Relaxed), 2);
        assert_eq!(peer.next_notice(Lane::Urgent).await, 2u64.to_be_bytes().to_vec());
    }

    #[tokio::test]
    async fn a_lane_is_bounded_in_bytes() {
        let peer = Peer::new();
        let body = Bytes::from(vec![0; BULK_NOTICE_BYTES_MAX / 4]);
        for _ in 0..6 {
            peer.notify(Lane::Bulk, body.clone());
        }
        assert_eq!(peer.counters.dropped.load(Ordering::Relaxed), 2);
        peer.notify(Lane::Urgent, Bytes::from_static(b"beat"));
        assert_eq!(peer.next_notice(Lane::Urgent).await, "beat");
    }

    #[tokio::test]
    async fn a_request_that_is_given_up_leaves_no_trace() {
        let peer = Peer::new();
        for _ in 0..2 * REQUESTS_IN_FLIGHT_MAX {
            let mut request = Box::pin(peer.request(Bytes::new()));
            assert!(poll!(&mut request).is_pending());
        }
        assert!(peer.lock().requests.is_empty());
        assert_eq!(peer.in_flight.available_permits(), REQUESTS_IN_FLIGHT_MAX);
    }

    #[tokio::test]
    async fn requests_beyond_the_bound_wait_for_their_turn() {
        let peer = Peer::new();
        let mut requests: Vec<_> =
            (0..=REQUESTS_IN_FLIGHT_MAX).map(|_| Box::pin(peer.request(Bytes::new()))).collect();
        for request in &mut requests {
            assert!(poll!(request).is_pending());
        }
        assert_eq!(peer.lock().requests.len(), REQUESTS_IN_FLIGHT_MAX);
        let first = peer.next_request().await;
        first.answer.send(Ok(Bytes::from_static(b"a"))).unwrap();
        drop(first.permit);
        assert_eq!(requests.remove(0).await.unwrap(), "a");
        assert!(poll!(requests.last_mut().unwrap()).is_pending());
        assert_eq!(peer.lock().requests.len(), REQUESTS_IN_FLIGHT_MAX);
    }

    #[tokio::test]
    async fn removal_ends_what_waits() {
        let registry = Registry::default();
        registry.set_members([node(1), node(2)].into_iter());
        let kept = registry.find(node(1)).unwrap();
        let removed = registry.find(node(2)).unwrap();
        let mut request = Box::pin(removed.request(Bytes::new()));
        assert!(poll!(&mut request).is_pending());
        registry.set_members([node(1)].into_iter());
        assert!(matches!(request.await, Err(RequestError::Removed)));
        assert!(matches!(removed.request(Bytes::new()).await, Err(RequestError::Removed)));
        assert!(registry.find(node(2)).is_none());
        assert!(Arc::ptr_eq(&kept, &registry.find(node(1)).unwrap()));
    }

    #[test]
    fn a_contact_that_becomes_a_member_keeps_what_waits_for_it() {
        let registry = Registry::default();
        let contact = registry.contact(node(1));
        registry.set_members([node(1)].into_iter());
        registry.forget_contact(node(1));
        assert!(Arc::ptr_eq(&contact, &registry.find(node(1)).unwrap()));
        assert!(Arc::ptr_eq(&contact, &registry.contact(node(1))));
    }
}
