//! Connections and rivals on one bottleneck, in virtual time.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use quinn_proto::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn_proto::{ClientConfig, ServerConfig, TransportConfig};

use super::host::Host;
use super::link::{Link, LinkOptions};
use super::rival::{PACKET_BYTES, Rival};

/// What happens next.
#[derive(Debug)]
enum Event {
    Arrives { flow: usize, is_at_server: bool, data: BytesMut },
    Wakes { flow: usize, is_server: bool },
    Begins { flow: usize },
    RivalBegins { rival: usize },
    RivalHears { rival: usize, sent: Instant, is_lost: bool },
    Changes { options: LinkOptions },
    Supplies { flow: usize, bytes: u64 },
}

/// An event in its place: of those at one time, the first that was scheduled comes first.
struct Scheduled {
    at: Instant,
    order: u64,
    event: Event,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

/// A transfer from a client to a server.
struct Flow {
    client: Host,
    server: Host,
    bytes: u64,
    streams: usize,
    is_begun: bool,
    reverse_last: Instant,
    wakes: [Option<Instant>; 2],
}

/// Everything, and what time it is there.
pub(super) struct World {
    start: Instant,
    now: Instant,
    /// What all share.
    pub(super) link: Link,
    flows: Vec<Flow>,
    /// The TCP senders beside the flows.
    pub(super) rivals: Vec<Rival>,
    events: BinaryHeap<Reverse<Scheduled>>,
    order: u64,
    buffer: Vec<u8>,
}

impl World {
    /// An empty world.
    pub(super) fn new(options: LinkOptions, start: Instant, seed: u64) -> Self {
        Self {
            start,
            now: start,
            link: Link::new(options, start, seed),
            flows: Vec::new(),
            rivals: Vec::new(),
            events: BinaryHeap::new(),
            order: 0,
            buffer: Vec::new(),
        }
    }

    fn schedule(&mut self, at: Instant, event: Event) {
        self.order += 1;
        self.events.push(Reverse(Scheduled { at, order: self.order, event }));
    }

    /// Adds a transfer of `bytes` over `streams` streams that dials at `at`. Its number.
    pub(super) fn add_flow(
        &mut self,
        at: Duration,
        transport: TransportConfig,
        bytes: u64,
        streams: usize,
    ) -> usize {
        let (client, server) = configs(transport);
        let flow = self.flows.len();
        let port = 4000 + flow as u16;
        let address = |last: u8| SocketAddr::from(([10, 0, 0, last], port));
        self.flows.push(Flow {
            client: Host::client(client, address(2), self.start + at),
            server: Host::server(server, address(1)),
            bytes,
            streams,
            is_begun: false,
            reverse_last: self.start,
            wakes: [None; 2],
        });
        self.schedule(self.start + at, Event::Begins { flow });
        flow
    }

    /// Adds a TCP sender that begins at `at`.
    pub(super) fn add_rival(&mut self, at: Duration) {
        self.rivals.push(Rival::new());
        self.schedule(self.start + at, Event::RivalBegins { rival: self.rivals.len() - 1 });
    }

    /// Makes the path another at `at`.
    pub(super) fn change(&mut self, at: Duration, options: LinkOptions) {
        self.schedule(self.start + at, Event::Changes { options });
    }

    /// Gives a transfer `bytes` more to send at `at`.
    pub(super) fn supply(&mut self, at: Duration, flow: usize, bytes: u64) {
        self.schedule(self.start + at, Event::Supplies { flow, bytes });
    }

    /// Bytes of a transfer that have arrived.
    pub(super) fn received(&self, flow: usize) -> u64 {
        self.flows[flow].server.received
    }
    /// Whether a transfer has begun.
    pub(super) fn is_connected(&self, flow: usize) -> bool {
        self.flows[flow].is_begun
    }
    /// The sending end of a transfer.
    pub(super) fn sender(&self, flow: usize) -> &quinn_proto::Connection {
        self.flows[flow].client.connection()
    }

    /// Lets time pass until `deadline`, or until `is_done`. The time since the beginning.
    pub(super) fn run(
        &mut self,
        deadline: Duration,
        mut is_done: impl FnMut(&Self) -> bool,
    ) -> Duration {
        let deadline = self.start + deadline;
        while !is_done(self) {
            match self.events.peek() {
                Some(Reverse(next)) if next.at <= deadline => {}
                _ => {
                    self.now = deadline;
                    break;
                }
            }
            let Reverse(next) = self.events.pop().unwrap();
            self.now = next.at;
            self.handle(next.event);
        }
        self.now - self.start
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Arrives { flow, is_at_server, data } => {
                let now = self.now;
                self.host(flow, is_at_server).receive(now, data);
                self.drive(flow, is_at_server);
            }
            Event::Wakes { flow, is_server } => {
                if self.flows[flow].wakes[usize::from(is_server)] == Some(self.now) {
                    self.flows[flow].wakes[usize::from(is_server)] = None;
                    self.drive(flow, is_server);
                }
            }
            Event::Begins { flow } => self.drive(flow, false),
            Event::RivalBegins { rival } => self.drive_rival(rival),
            Event::RivalHears { rival, sent, is_lost } => {
                if is_lost {
                    self.rivals[rival].lost(self.now, sent)
                } else {
                    self.rivals[rival].acknowledged(self.now, sent)
                }
                self.drive_rival(rival);
            }
            Event::Changes { options } => self.link.change(self.now, options),
            Event::Supplies { flow, bytes } => {
                let streams = self.flows[flow].streams;
                self.flows[flow].client.supply(bytes, streams);
                self.drive(flow, false);
            }
        }
    }

    fn host(&mut self, flow: usize, is_server: bool) -> &mut Host {
        if is_server { &mut self.flows[flow].server } else { &mut self.flows[flow].client }
    }

    fn drive(&mut self, flow: usize, is_server: bool) {
        let now = self.now;
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut sent = Vec::new();
        let host = self.host(flow, is_server);
        host.drive(now, &mut buffer, |datagram| sent.push(BytesMut::from(datagram)));
        self.buffer = buffer;
        for data in sent {
            let arrival = if is_server {
                let at =
                    (now + self.link.options.round_trip / 2).max(self.flows[flow].reverse_last);
                self.flows[flow].reverse_last = at;
                Some(at)
            } else {
                self.link.pass(now, data.len())
            };
            if let Some(at) = arrival {
                self.schedule(at, Event::Arrives { flow, is_at_server: !is_server, data });
            }
        }
        if !is_server && self.flows[flow].client.is_connected && !self.flows[flow].is_begun {
            self.flows[flow].is_begun = true;
            let (bytes, streams) = (self.flows[flow].bytes, self.flows[flow].streams);
            self.flows[flow].client.supply(bytes, streams);
            self.drive(flow, false);
        }
        let wake = self.host(flow, is_server).wake.map(|at| at.max(now));
        let known = &mut self.flows[flow].wakes[usize::from(is_server)];
        if let Some(at) = wake
            && known.is_none_or(|known| at < known || known < now)
        {
            *known = Some(at);
            self.schedule(at, Event::Wakes { flow, is_server });
        }
    }

    fn drive_rival(&mut self, rival: usize) {
        while self.rivals[rival].may_send() {
            self.rivals[rival].in_flight += 1.0;
            let sent = self.now;
            let back = self.link.options.round_trip / 2;
            let (at, is_lost) = match self.link.pass(sent, PACKET_BYTES) {
                Some(arrival) => (arrival + back, false),
                None => (sent + self.rivals[rival].round_trip, true),
            };
            self.schedule(at, Event::RivalHears { rival, sent, is_lost });
        }
    }
}

fn configs(transport: TransportConfig) -> (ClientConfig, ServerConfig) {
    let transport = Arc::new(transport);
    let identity = libp2p::identity::Keypair::generate_ed25519();
    let tls = libp2p_tls::make_server_config(&identity).unwrap();
    let mut server = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).unwrap()));
    server.transport_config(Arc::clone(&transport));
    let tls = libp2p_tls::make_client_config(&identity, None).unwrap();
    let mut client = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    client.transport_config(transport);
    (client, server)
}
