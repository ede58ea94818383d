//! How a stream to another node comes about: by which carrier, and over what is there or is made.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use airlift_protocol::error::Failure;
use bytes::Bytes;
use futures::stream::{FuturesUnordered, StreamExt};
use quinn::Connection;
use tokio::time::timeout;

use super::carrier::{ByteReader, Carrier};
use super::choice::{
    FAR_GRACE, LINE_GRACE, LINE_ROUND_TRIPS, Ride, Stands, TRIED_FOR, TRIED_FOR_MAX, Transport,
    outpaced,
};
use super::peer::Peer;
use super::quic::QuicReader;
use super::session::Dialled;
use super::shared::{ADDRESSES_MAX, BECKON_TIMEOUT, HEAD_START, Shared, no_address, unavailable};
use super::stream::broken;
use super::tcp::{self, Line, Role};
use crate::runtime::clock;

/// Time for a peer that cannot be dialled to offer a line: it is asked to when a dial had no answer,
/// and has a dial of its own to wait for first.
const OFFER_TIMEOUT: Duration =
    HEAD_START.saturating_add(HEAD_START).saturating_add(BECKON_TIMEOUT);

/// Time until a peer allows one more stream.
const OPEN_TIMEOUT: Duration = Duration::from_secs(30);

/// What a round trip is taken to be on a line that was offered, and so not dialled here.
const OFFERED_RTT: Duration = Duration::from_millis(100);

impl Shared {
    /// Opens a stream to `peer` and writes `request`. Returns where the answer arrives.
    pub(super) async fn open(
        &self,
        peer: &Arc<Peer>,
        addresses: &[SocketAddr],
        request: Bytes,
    ) -> Result<(ByteReader, Ride), Failure> {
        let carrier = self.carrier(peer, addresses).await?;
        let opened = tokio::select! {
            opened = self.open_by(carrier, peer, addresses, request.clone()) => opened,
            () = outpaced(peer, carrier) => {
                return self.open_by(carrier.other(), peer, addresses, request).await;
            }
        };
        match opened {
            Err(_) if peer.choice.failed(carrier, clock::now()) => {
                self.open_by(carrier.other(), peer, addresses, request).await
            }
            opened => opened,
        }
    }

    async fn open_by(
        &self,
        carrier: Carrier,
        peer: &Arc<Peer>,
        addresses: &[SocketAddr],
        request: Bytes,
    ) -> Result<(ByteReader, Ride), Failure> {
        let ride = Ride::begin(peer, carrier);
        let reader = match carrier {
            Carrier::Quic => self.open_stream(peer, addresses, request).await?,
            Carrier::Tcp => self.open_line(peer, addresses, request).await?,
        };
        Ok((reader, ride))
    }

    /// How long a round trip takes, as it was measured when the carrier was chosen or, over QUIC,
    /// lately.
    pub(super) async fn round_trip(
        &self,
        peer: &Arc<Peer>,
        addresses: &[SocketAddr],
    ) -> Result<Duration, Failure> {
        match self.carrier(peer, addresses).await? {
            Carrier::Quic => Ok(self.connection(peer, addresses).await?.rtt()),
            Carrier::Tcp => match peer.choice.rtt() {
                Some(rtt) => Ok(rtt),
                None => {
                    peer.give_back(self.line(peer, addresses).await?);
                    Ok(peer.choice.rtt().unwrap_or(OFFERED_RTT))
                }
            },
        }
    }

    async fn open_stream(
        &self,
        peer: &Arc<Peer>,
        addresses: &[SocketAddr],
        request: Bytes,
    ) -> Result<ByteReader, Failure> {
        let connection = self.connection(peer, addresses).await?;
        let opened = async {
            let (mut send, receive) =
                connection.open_bi().await.map_err(|error| broken(peer, error))?;
            send.write_chunk(request).await.map_err(|error| broken(peer, error))?;
            send.finish().map_err(|error| broken(peer, error))?;
            Ok::<_, Failure>(ByteReader::Quic(QuicReader::new(receive, self.reactor.clone())))
        };
        let late = |_| broken(peer, "allows no more streams");
        timeout(OPEN_TIMEOUT, opened).await.map_err(late)?
    }

    async fn open_line(
        &self,
        peer: &Arc<Peer>,
        addresses: &[SocketAddr],
        request: Bytes,
    ) -> Result<ByteReader, Failure> {
        let mut line = self.line(peer, addresses).await?;
        let written = timeout(OPEN_TIMEOUT, line.write(&request)).await;
        let written = written.map_err(|_| broken(peer, "takes no request"))?;
        written.map_err(|error| broken(peer, error))?;
        Ok(ByteReader::Line(Box::new(line)))
    }

    /// A line on which nothing is asked: one that is there, a new one, or one that the peer offers
    /// when it is asked to.
    async fn line(&self, peer: &Arc<Peer>, addresses: &[SocketAddr]) -> Result<Line, Failure> {
        if let Some(line) = peer.take_line() {
            return Ok(line);
        }
        let failure = match self.dial_line(peer, addresses, Role::Ask).await {
            Ok((line, rtt)) => {
                peer.choice.measured(rtt);
                return Ok(line);
            }
            Err(failure) => failure,
        };
        // Each time it is asked the peer offers one line, and others may want one, too.
        let offered = async {
            while self.serve.beckon(peer.node) {
                if let Ok(line) = timeout(HEAD_START, peer.line_arrived()).await {
                    return Some(line);
                }
            }
            None
        };
        timeout(OFFER_TIMEOUT, offered).await.ok().flatten().ok_or(failure)
    }

    /// Dials every address at once; the first that answers as `peer` is taken. Returns the time of a
    /// round trip, too.
    async fn dial_line(
        &self,
        peer: &Arc<Peer>,
        addresses: &[SocketAddr],
        role: Role,
    ) -> Result<(Line, Duration), Failure> {
        let node = peer.node;
        let config = self.identity.client(node)?;
        let mut dials: FuturesUnordered<_> = addresses
            .iter()
            .take(ADDRESSES_MAX)
            .map(|&address| {
                let dial = tcp::dial(config.clone(), address, role);
                async move { (address, dial.await) }
            })
            .collect();
        let mut last = unavailable(no_address(node));
        while let Some((address, dialled)) = dials.next().await {
            match dialled {
                Ok((line, rtt)) => {
                    let adopted = self.adopt_line(&line);
                    let text = "is no member of the cluster, or has too many connections";
                    let refused = || unavailable(format!("{node:?} {text}"));
                    return adopted.map(|_| (line, rtt)).ok_or_else(refused);
                }
                Err(error) => last = unavailable(format!("{node:?} at {address}: {error}")),
            }
        }
        Err(last)
    }

    /// Gives a peer, which cannot dial this node, a line to ask on.
    pub(super) async fn offer(
        &self,
        peer: &Arc<Peer>,
        addresses: &[SocketAddr],
    ) -> Result<(), Failure> {
        let (line, _) = self.dial_line(peer, addresses, Role::Offer).await?;
        let down = |_| unavailable("the data network is going down".to_owned());
        self.dialled.send(Dialled::Line(Arc::clone(peer), Box::new(line))).await.map_err(down)
    }

    /// By which carrier the next stream goes.
    async fn carrier(
        &self,
        peer: &Arc<Peer>,
        addresses: &[SocketAddr],
    ) -> Result<Carrier, Failure> {
        match self.options.transport {
            Transport::Auto => {}
            Transport::Quic => return Ok(Carrier::Quic),
            Transport::Tcp => return Ok(Carrier::Tcp),
        }
        let tries_seen = peer.choice.tries.load(Ordering::Acquire);
        // Whoever comes while another tries again goes by what there is.
        let mut last = match (chosen(peer), peer.choice.trying.try_lock()) {
            (Some((carrier, Stands::Yes)), _) | (Some((carrier, Stands::TryAgain)), Err(_)) => {
                return Ok(carrier);
            }
            (_, Ok(turn)) => turn,
            (None, Err(_)) => peer.choice.trying.lock().await,
        };
        if let Some((carrier, Stands::Yes)) = chosen(peer) {
            return Ok(carrier);
        }
        // Who waited while another tried shares the outcome.
        if peer.choice.tries.load(Ordering::Acquire) != tries_seen
            && let Some(failure) = &*last
        {
            return Err(failure.clone());
        }
        let outcome = self.try_both(peer, addresses).await;
        peer.choice.tries.fetch_add(1, Ordering::AcqRel);
        *last = outcome.as_ref().err().cloned();
        outcome
    }

    /// Sets out by both carriers, and remembers which it is to be.
    async fn try_both(
        &self,
        peer: &Arc<Peer>,
        addresses: &[SocketAddr],
    ) -> Result<Carrier, Failure> {
        let mut quic = pin!(self.connection(peer, addresses));
        let mut line = pin!(self.first_line(peer, addresses));
        let both = |connection: &Connection, line: FirstLine| {
            let rtt = connection.rtt().min(line.rtt);
            match (rtt <= self.options.near_rtt, line.is_offered) {
                (true, _) => Found::Near,
                (false, true) => Found::QuicOnly,
                (false, false) => Found::Far(rtt),
            }
        };
        let found = tokio::select! {
            connection = &mut quic => match connection {
                // A peer that was asked to dial has had its time.
                Err(failure) => match timeout(LINE_GRACE, line).await {
                    Ok(Ok(_)) => Found::TcpOnly,
                    Ok(Err(_)) | Err(_) => return Err(failure),
                },
                Ok(connection) => {
                    let rtt = connection.rtt();
                    let is_near = rtt <= self.options.near_rtt;
                    let grace = if is_near { LINE_GRACE } else { FAR_GRACE };
                    match timeout(grace.max(rtt * LINE_ROUND_TRIPS), line).await {
                        Ok(Ok(line)) => both(&connection, line),
                        Ok(Err(_)) => Found::QuicOnly,
                        Err(_) => Found::QuicFirst,
                    }
                }
            },
            line = &mut line => match line {
                Err(_) => quic.await.map(|_| Found::QuicOnly)?,
                Ok(line) if line.rtt <= self.options.near_rtt => Found::Near,
                Ok(line) => match timeout(FAR_GRACE, quic).await {
                    Ok(Ok(connection)) => both(&connection, line),
                    Ok(Err(_)) | Err(_) => Found::TcpOnly,
                },
            },
        };
        tracing::debug!(peer = ?peer.node, ?found, "tried both carriers");
        let now = clock::now();
        match found {
            Found::Near => peer.choice.set(Carrier::Tcp, None),
            Found::QuicOnly => peer.choice.set(Carrier::Quic, Some(now + TRIED_FOR_MAX)),
            Found::QuicFirst => peer.choice.set(Carrier::Quic, Some(now + TRIED_FOR)),
            Found::TcpOnly => peer.choice.set(Carrier::Tcp, Some(now + TRIED_FOR)),
            Found::Far(rtt) => peer.choice.race(now, rtt),
        }
        Ok(peer.choice.get(now).map_or(Carrier::Quic, |(carrier, _)| carrier))
    }

    /// Makes a line that waits for a request.
    async fn first_line(
        &self,
        peer: &Arc<Peer>,
        addresses: &[SocketAddr],
    ) -> Result<FirstLine, Failure> {
        let mut is_offered = false;
        let (line, rtt) = match self.dial_line(peer, addresses, Role::Ask).await {
            Ok(dialled) => dialled,
            // Who cannot be dialled may offer one, when the other carrier has asked it to.
            Err(failure) => {
                let offered = timeout(OFFER_TIMEOUT, peer.line_arrived()).await;
                is_offered = true;
                (offered.map_err(|_| failure)?, OFFERED_RTT)
            }
        };
        peer.choice.measured(rtt);
        peer.give_back(line);
        Ok(FirstLine { rtt, is_offered })
    }
}

/// A line that was made to see whether there can be one.
#[derive(Clone, Copy, Debug)]
struct FirstLine {
    /// Time of a round trip.
    rtt: Duration,
    /// Whether the peer made it: it cannot be dialled, and the next one would take as long.
    is_offered: bool,
}

/// What is there between two nodes.
#[derive(Debug)]
enum Found {
    /// A short way.
    Near,
    /// A long way, with QUIC and without lines that could be dialled.
    QuicOnly,
    /// QUIC, and lines have not answered yet: perhaps they are let through nowhere, perhaps a machine is
    /// busy.
    QuicFirst,
    /// A long way over which datagrams do not pass.
    TcpOnly,
    /// A long way with both, and the time of a round trip.
    Far(Duration),
}

/// What was chosen before, if what it was chosen for is still there.
fn chosen(peer: &Peer) -> Option<(Carrier, Stands)> {
    peer.choice.get(clock::now()).filter(|(carrier, _)| match carrier {
        Carrier::Quic => peer.live().is_some(),
        Carrier::Tcp => peer.line_count() > 0,
    })
}
