//! One connection: which streams are opened and accepted on it.
//!
//! Of the connections with one node, one *carries* what this node sends; any serves what the other
//! side asks. What the other side may ask depends on its standing, which changes while the
//! connection lasts.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io;
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll};

use airlift_protocol::id::NodeId;
use futures::FutureExt;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use libp2p::core::upgrade::{InboundUpgrade, OutboundUpgrade, UpgradeInfo};
use libp2p::swarm::handler::{
    ConnectionEvent, ConnectionHandlerEvent, DialUpgradeError, FullyNegotiatedInbound,
    FullyNegotiatedOutbound,
};
use libp2p::swarm::{ConnectionHandler, StreamUpgradeError, SubstreamProtocol};
use libp2p::{Stream, StreamProtocol};

use super::budget::Budget;
use super::error::RequestError;
use super::limit::{
    NOTICE_STREAMS_MAX, NOTICES_PAUSE, OPEN_TIMEOUT, REQUESTS_SERVED_MAX, STRANGER_REQUESTS_MAX,
    STRANGER_REQUESTS_SERVED_MAX,
};
use super::peer::{Lane, Outgoing, Peer};
use super::stream::{Shared, Side, ask, refuse, serve_notices, serve_request, write_notices};
use super::wire::{NOTICE_PROTOCOL, REQUEST_PROTOCOL, Status};

/// What the other side of a connection is to this node.
#[derive(Clone, Debug)]
pub(super) enum Standing {
    /// Nobody: may ask little, and gets nothing unasked.
    Stranger,
    /// Reached by address, to join: is asked, and may ask as a stranger.
    Contact(Arc<Peer>),
    /// A member.
    Member(Arc<Peer>),
}

impl Standing {
    pub(super) fn peer(&self) -> Option<&Arc<Peer>> {
        match self {
            Self::Stranger => None,
            Self::Contact(peer) | Self::Member(peer) => Some(peer),
        }
    }

    pub(super) fn is_member(&self) -> bool {
        matches!(self, Self::Member(_))
    }

    /// A node that was removed and added again is the same node, but nothing that waited for it
    /// is left.
    fn is_same(&self, other: &Self) -> bool {
        self.is_member() == other.is_member()
            && match (self.peer(), other.peer()) {
                (Some(peer), Some(other)) => Arc::ptr_eq(peer, other),
                (None, None) => true,
                _ => false,
            }
    }
}

/// What the network tells a connection.
#[derive(Debug)]
pub(super) struct Direction {
    pub(super) standing: Standing,
    pub(super) is_carrier: bool,
}

/// What a stream is opened for.
pub(super) enum Opening {
    Request(Outgoing),
    Notices(Lane),
}

/// The protocols that a stream may speak.
#[derive(Clone, Debug)]
pub(super) struct Protocols(&'static [&'static str]);

impl UpgradeInfo for Protocols {
    type Info = StreamProtocol;
    type InfoIter = std::vec::IntoIter<StreamProtocol>;

    fn protocol_info(&self) -> Self::InfoIter {
        let protocols: Vec<_> = self.0.iter().map(|name| StreamProtocol::new(name)).collect();
        protocols.into_iter()
    }
}

impl InboundUpgrade<Stream> for Protocols {
    type Output = (Stream, StreamProtocol);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_inbound(self, stream: Stream, protocol: StreamProtocol) -> Self::Future {
        ready(Ok((stream, protocol)))
    }
}

impl OutboundUpgrade<Stream> for Protocols {
    type Output = Stream;
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_outbound(self, stream: Stream, _: StreamProtocol) -> Self::Future {
        ready(Ok(stream))
    }
}

/// A lane on the connection that carries it.
enum Channel {
    /// For a notice to write.
    Waiting(BoxFuture<'static, ()>),
    /// For a stream.
    Opening,
    Writing(BoxFuture<'static, io::Result<()>>),
    /// After a stream that ended.
    Pausing(BoxFuture<'static, ()>),
}

impl Channel {
    fn waiting(peer: &Arc<Peer>, lane: Lane) -> Self {
        let peer = Arc::clone(peer);
        Self::Waiting(async move { peer.notice_waits(lane).await }.boxed())
    }

    fn pausing() -> Self {
        Self::Pausing(tokio::time::sleep(NOTICES_PAUSE).boxed())
    }

    /// Whether a stream is to be opened now.
    fn poll(&mut self, peer: &Arc<Peer>, lane: Lane, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            *self = match self {
                Self::Opening => return Poll::Pending,
                Self::Waiting(notice) => match notice.poll_unpin(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(()) => {
                        *self = Self::Opening;
                        return Poll::Ready(());
                    }
                },
                Self::Writing(stream) => match stream.poll_unpin(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(result) => {
                        tracing::debug!(?lane, ?result, "stream of notices ended");
                        Self::pausing()
                    }
                },
                Self::Pausing(pause) => match pause.poll_unpin(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(()) => Self::waiting(peer, lane),
                },
            };
        }
    }
}

/// What the carrying connection does for its peer.
struct Carrier {
    peer: Arc<Peer>,
    next_request: BoxFuture<'static, Outgoing>,
    /// None for contacts: notices are for members.
    channels: Option<[Channel; 2]>,
}

impl Carrier {
    fn new(standing: &Standing) -> Option<Self> {
        let peer = standing.peer()?;
        let channels = Lane::ALL.map(|lane| Channel::waiting(peer, lane));
        Some(Self {
            peer: Arc::clone(peer),
            next_request: next_request(peer),
            channels: standing.is_member().then_some(channels),
        })
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Opening> {
        if let Some(channels) = &mut self.channels {
            for (lane, channel) in Lane::ALL.into_iter().zip(channels) {
                if channel.poll(&self.peer, lane, cx).is_ready() {
                    return Poll::Ready(Opening::Notices(lane));
                }
            }
        }
        let outgoing = futures::ready!(self.next_request.poll_unpin(cx));
        self.next_request = next_request(&self.peer);
        Poll::Ready(Opening::Request(outgoing))
    }

    fn channel(&mut self, lane: Lane) -> Option<&mut Channel> {
        Some(&mut self.channels.as_mut()?[lane as usize])
    }
}

fn next_request(peer: &Arc<Peer>) -> BoxFuture<'static, Outgoing> {
    let peer = Arc::clone(peer);
    async move { peer.next_request().await }.boxed()
}

/// What a stream was, when it has ended.
enum Ended {
    Asked,
    ServedRequest,
    ServedNotices,
}

/// The streams of one connection.
pub(super) struct Handler {
    node: NodeId,
    shared: Arc<Shared>,
    standing: Standing,
    carrier: Option<Carrier>,
    streams: FuturesUnordered<BoxFuture<'static, Ended>>,
    requests_served: usize,
    requests_total: usize,
    notices_served: usize,
    requests: Budget,
    answers: Budget,
}

impl Handler {
    pub(super) fn new(node: NodeId, standing: Standing, shared: &Arc<Shared>) -> Self {
        Self {
            node,
            standing,
            carrier: None,
            streams: FuturesUnordered::new(),
            requests_served: 0,
            requests_total: 0,
            notices_served: 0,
            requests: Budget::of_connection(&shared.requests),
            answers: Budget::of_connection(&shared.answers),
            shared: Arc::clone(shared),
        }
    }

    fn side(&self) -> Side {
        Side {
            node: self.node,
            is_member: self.standing.is_member(),
            peer: self.standing.peer().cloned(),
            budget: self.requests.clone(),
            shared: Arc::clone(&self.shared),
        }
    }

    fn on_inbound(&mut self, stream: Stream, protocol: &StreamProtocol) {
        if protocol.as_ref() == NOTICE_PROTOCOL {
            self.on_notices(stream);
        } else {
            self.on_request(stream);
        }
    }

    /// Dropping a stream is the refusal.
    fn on_notices(&mut self, stream: Stream) {
        if !self.standing.is_member() || self.notices_served >= NOTICE_STREAMS_MAX {
            tracing::debug!(node = ?self.node, "stream of notices refused");
            return;
        }
        self.notices_served += 1;
        let side = self.side();
        let node = self.node;
        self.streams.push(
            async move {
                if let Err(error) = serve_notices(stream, side).await {
                    tracing::debug!(?node, %error, "stream of notices failed");
                }
                Ended::ServedNotices
            }
            .boxed(),
        );
    }

    fn on_request(&mut self, stream: Stream) {
        self.requests_total = self.requests_total.saturating_add(1);
        let is_member = self.standing.is_member();
        if !is_member && self.requests_total > STRANGER_REQUESTS_MAX {
            tracing::debug!(node = ?self.node, "stranger asks too often");
            return;
        }
        let served_max = if is_member { REQUESTS_SERVED_MAX } else { STRANGER_REQUESTS_SERVED_MAX };
        let is_busy = self.requests_served >= served_max;
        self.requests_served += 1;
        let side = self.side();
        let node = self.node;
        self.streams.push(
            async move {
                let result = match is_busy {
                    true => refuse(stream, Status::Busy).await,
                    false => serve_request(stream, side).await,
                };
                if let Err(error) = result {
                    tracing::debug!(?node, %error, "request failed");
                }
                Ended::ServedRequest
            }
            .boxed(),
        );
    }

    fn on_opened(&mut self, stream: Stream, opening: Opening) {
        // Who became a stranger meanwhile is about to be cut off.
        let Some(peer) = self.standing.peer().cloned() else { return };
        match opening {
            Opening::Request(outgoing) => {
                let answers = self.answers.clone();
                let asked = async move {
                    ask(stream, outgoing, peer, answers).await;
                    Ended::Asked
                };
                self.streams.push(asked.boxed());
            }
            Opening::Notices(lane) => {
                // None when another connection carries by now.
                let channel = self.carrier.as_mut().and_then(|carrier| carrier.channel(lane));
                if let Some(channel) = channel {
                    *channel = Channel::Writing(write_notices(stream, peer, lane).boxed());
                }
            }
        }
    }

    fn on_not_opened(&mut self, opening: Opening, error: StreamUpgradeError<Infallible>) {
        match opening {
            Opening::Request(outgoing) => {
                let error = io::Error::other(error);
                // An error means that nobody waits any more.
                let _ = outgoing.answer.send(Err(RequestError::Stream(error)));
            }
            Opening::Notices(lane) => {
                tracing::debug!(node = ?self.node, %error, "no stream for notices");
                let channel = self.carrier.as_mut().and_then(|carrier| carrier.channel(lane));
                if let Some(channel) = channel {
                    *channel = Channel::pausing();
                }
            }
        }
    }

    fn poll_streams(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready(Some(ended)) = self.streams.poll_next_unpin(cx) {
            match ended {
                Ended::Asked => {}
                Ended::ServedRequest => self.requests_served -= 1,
                Ended::ServedNotices => self.notices_served -= 1,
            }
        }
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Direction;
    type ToBehaviour = Infallible;
    type InboundProtocol = Protocols;
    type OutboundProtocol = Protocols;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Opening;

    fn listen_protocol(&self) -> SubstreamProtocol<Protocols> {
        SubstreamProtocol::new(Protocols(&[REQUEST_PROTOCOL, NOTICE_PROTOCOL]), ())
    }

    /// Connections end by decision, not by being idle.
    fn connection_keep_alive(&self) -> bool {
        true
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Protocols, Opening, Infallible>> {
        self.poll_streams(cx);
        let Some(carrier) = &mut self.carrier else { return Poll::Pending };
        let opening = futures::ready!(carrier.poll(cx));
        let protocols: &[&str] = match opening {
            Opening::Request(_) => &[REQUEST_PROTOCOL],
            Opening::Notices(_) => &[NOTICE_PROTOCOL],
        };
        let protocol = SubstreamProtocol::new(Protocols(protocols), opening);
        Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest {
            protocol: protocol.with_timeout(OPEN_TIMEOUT),
        })
    }

    fn on_behaviour_event(&mut self, direction: Direction) {
        let before = mem::replace(&mut self.standing, direction.standing);
        if !direction.is_carrier {
            self.carrier = None;
        } else if self.carrier.is_none() || !before.is_same(&self.standing) {
            self.carrier = Carrier::new(&self.standing);
        }
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<'_, Protocols, Protocols, (), Opening>,
    ) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol: (stream, protocol),
                ..
            }) => self.on_inbound(stream, &protocol),
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol,
                info,
            }) => self.on_opened(protocol, info),
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info, error }) => {
                self.on_not_opened(info, error);
            }
            _ => {}
        }
    }
}
