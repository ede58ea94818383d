//! One end of a real QUIC connection, driven by hand.
//!
//! It never asks for the time and never opens a socket.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use quinn_proto::{
    ClientConfig, Connection, ConnectionHandle, DatagramEvent, Dir, Endpoint, EndpointConfig,
    Event, ServerConfig, StreamEvent, StreamId,
};

/// What the sender hands over at a time.
const PIECE: usize = 64 << 10;

/// An endpoint with one connection.
pub(super) struct Host {
    endpoint: Endpoint,
    connection: Option<(ConnectionHandle, Connection)>,
    peer: SocketAddr,
    streams: Vec<StreamId>,
    writable: Vec<StreamId>,
    supply: u64,
    /// Bytes that the application has read.
    pub(super) received: u64,
    /// Whether the handshake is done.
    pub(super) is_connected: bool,
    /// When it wants to be driven again.
    pub(super) wake: Option<Instant>,
}

impl Host {
    /// The end that answers `peer`.
    pub(super) fn server(config: ServerConfig, peer: SocketAddr) -> Self {
        let endpoint =
            Endpoint::new(Arc::new(endpoint_config()), Some(Arc::new(config)), true, None);
        Self::new(endpoint, None, peer)
    }

    /// The end that dials `peer`.
    pub(super) fn client(config: ClientConfig, peer: SocketAddr, now: Instant) -> Self {
        let mut endpoint = Endpoint::new(Arc::new(endpoint_config()), None, true, None);
        let connection = endpoint.connect(now, config, peer, "l").unwrap();
        Self::new(endpoint, Some(connection), peer)
    }

    fn new(
        endpoint: Endpoint,
        connection: Option<(ConnectionHandle, Connection)>,
        peer: SocketAddr,
    ) -> Self {
        Self {
            endpoint,
            connection,
            peer,
            streams: Vec::new(),
            writable: Vec::new(),
            supply: 0,
            received: 0,
            is_connected: false,
            wake: None,
        }
    }

    /// Its connection, once there is one.
    pub(super) fn connection(&self) -> &Connection {
        &self.connection.as_ref().unwrap().1
    }

    /// A datagram arrives. What the endpoint itself answers is never needed here.
    pub(super) fn receive(&mut self, now: Instant, data: BytesMut) {
        let mut answer = Vec::new();
        match self.endpoint.handle(now, self.peer, None, None, data, &mut answer) {
            Some(DatagramEvent::NewConnection(incoming)) => {
                let accepted = self.endpoint.accept(incoming, now, &mut answer, None);
                self.connection = accepted.ok();
                assert!(self.connection.is_some(), "a handshake is taken");
            }
            Some(DatagramEvent::ConnectionEvent(_, event)) => {
                self.connection.as_mut().unwrap().1.handle_event(event);
            }
            Some(DatagramEvent::Response(_)) | None => {}
        }
    }

    /// Gives the application `bytes` more to send, over `streams` streams.
    pub(super) fn supply(&mut self, bytes: u64, streams: usize) {
        self.supply += bytes;
        let connection = &mut self.connection.as_mut().unwrap().1;
        while self.streams.len() < streams {
            let stream = connection.streams().open(Dir::Uni).unwrap();
            self.streams.push(stream);
        }
        self.writable.clone_from(&self.streams);
    }

    fn write(&mut self) {
        static ZEROS: [u8; PIECE] = [0; PIECE];
        let connection = &mut self.connection.as_mut().unwrap().1;
        while self.supply > 0 && !self.writable.is_empty() {
            let mut index = 0;
            while index < self.writable.len() && self.supply > 0 {
                let most = self.supply.min(PIECE as u64) as usize;
                let mut pieces = [Bytes::from_static(&ZEROS[..most])];
                let written =
                    connection.send_stream(self.writable[index]).write_chunks(&mut pieces);
                match written {
                    Ok(written) => {
                        self.supply -= written.bytes as u64;
                        index += 1;
                    }
                    Err(_) => {
                        self.writable.swap_remove(index);
                    }
                }
            }
        }
    }

    fn read(&mut self, stream: StreamId) {
        let connection = &mut self.connection.as_mut().unwrap().1;
        let mut receive = connection.recv_stream(stream);
        let Ok(mut chunks) = receive.read(true) else { return };
        while let Ok(Some(chunk)) = chunks.next(usize::MAX) {
            self.received += chunk.bytes.len() as u64;
        }
        // Whether there is something to transmit is found out by driving.
        let _ = chunks.finalize();
    }

    fn handle_events(&mut self) {
        while let Some(event) =
            self.connection.as_mut().and_then(|(_, connection)| connection.poll())
        {
            match event {
                Event::Connected => self.is_connected = true,
                Event::ConnectionLost { reason } => panic!("connection lost: {reason}"),
                Event::Stream(StreamEvent::Opened { dir }) => {
                    while let Some(stream) =
                        self.connection.as_mut().unwrap().1.streams().accept(dir)
                    {
                        self.read(stream);
                    }
                }
                Event::Stream(StreamEvent::Readable { id }) => self.read(id),
                Event::Stream(StreamEvent::Writable { id }) => self.writable.push(id),
                _ => {}
            }
        }
    }

    /// Does what is due at `now`; gives each datagram to `send`.
    pub(super) fn drive(
        &mut self,
        now: Instant,
        buffer: &mut Vec<u8>,
        mut send: impl FnMut(&[u8]),
    ) {
        if self.connection.is_none() {
            return;
        }
        self.handle_events();
        if self.supply > 0 {
            self.write();
        }
        let (handle, connection) = self.connection.as_mut().unwrap();
        if connection.poll_timeout().is_some_and(|at| at <= now) {
            connection.handle_timeout(now);
        }
        while let Some(event) = connection.poll_endpoint_events() {
            if let Some(event) = self.endpoint.handle_event(*handle, event) {
                connection.handle_event(event);
            }
        }
        loop {
            buffer.clear();
            let Some(transmit) = connection.poll_transmit(now, 10, buffer) else { break };
            let size = transmit.segment_size.unwrap_or(transmit.size);
            buffer[..transmit.size].chunks(size).for_each(&mut send);
        }
        self.wake = connection.poll_timeout();
    }
}

fn endpoint_config() -> EndpointConfig {
    let mut config = EndpointConfig::default();
    config.rng_seed(Some([7; 32]));
    config
}
