//! Who has no valid identity: bytes on every port, and a key that nobody knows.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use airlift_node::network::identity::Identity;
use airlift_protocol::codec;
use airlift_protocol::control::ControlMessage;
use airlift_tests::raw::{Plane, Raw, flood, offer, say};
use airlift_tests::tree;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::time::timeout;

use super::Places;

/// Where the attackers come from: limits by address must not hit the honest, who use another.
const ATTACKER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 66);

/// Half-open connections to each port.
const HALF_OPEN: usize = 96;

/// Datagrams to each port.
const DATAGRAMS: u64 = 500;

pub(crate) async fn connect(address: SocketAddr) -> Option<TcpStream> {
    let socket = TcpSocket::new_v4().ok()?;
    socket.bind(SocketAddr::from((ATTACKER, 0))).ok()?;
    timeout(Duration::from_secs(2), socket.connect(address)).await.ok()?.ok()
}

pub(crate) async fn attack(places: &Places) {
    let tcp: Vec<SocketAddr> = places.control().into_iter().chain(places.api.clone()).collect();
    let mut held = Vec::new();
    for address in &tcp {
        garbage(*address).await;
        for _ in 0..HALF_OPEN {
            if let Some(mut stream) = connect(*address).await {
                // The begin of something, and then nothing.
                let _ = stream.write_all(b"\x13/multi").await;
                held.push(stream);
            }
        }
    }
    for address in places.control().into_iter().chain(places.data()) {
        datagrams(address).await;
    }
    unknown_identity(places).await;
}

async fn garbage(address: SocketAddr) {
    let texts: [&[u8]; 5] = [
        b"\x13/multistream/1.0.0\n\x05/tls\n\xff\xff\xff\xff",
        b"\x16\x03\x01\xff\xff\x01\x00\xff\xff\xff",
        b"GET / HTTP/1.1\r\n\r\n",
        &[0xff; 512],
        &[0; 512],
    ];
    for text in texts {
        let Some(mut stream) = connect(address).await else { continue };
        let _ = stream.write_all(text).await;
        let mut answer = [0; 256];
        let _ = timeout(Duration::from_millis(50), stream.read(&mut answer)).await;
    }
}

async fn datagrams(address: SocketAddr) {
    let socket = UdpSocket::bind((ATTACKER, 0)).await.unwrap();
    for seed in 0..DATAGRAMS {
        let mut bytes = tree::noise(seed, 20 + (seed as usize * 7) % 1300);
        if seed % 2 == 0 {
            // Looks like the first packet of a connection, of QUIC version 1.
            bytes[..6].copy_from_slice(&[0xc3, 0, 0, 0, 1, 8]);
        }
        let _ = socket.send_to(&bytes, address).await;
    }
}

/// Keys that no cluster knows may ask a little, and get nothing of it but who is there.
async fn unknown_identity(places: &Places) {
    let raw = Raw::new(&Identity::generate());
    let question = codec::encode(&ControlMessage::FindJob(airlift_protocol::id::JobId(places.job)));
    let length = u32::try_from(question.len()).unwrap().to_be_bytes();
    let asks = [offer("/airlift/control/1"), length.to_vec(), question].concat();
    for address in places.control() {
        let Some(connection) = raw.connect(Plane::Control, address).await else { continue };
        for text in [&b"\xff"[..], b"\x13/multistream/1.0.0\n\x10/unknown/7.0.0\n", &asks] {
            let answer = say(&connection, text).await;
            let names_source = answer.windows(5).any(|window| window == b"node1");
            assert!(!names_source, "a stranger learns what the job is");
        }
        let long = [offer("/airlift/control/1"), u32::MAX.to_be_bytes().to_vec()].concat();
        let _ = say(&connection, &long).await;
        drop(flood(&connection, &offer("/airlift/notice/1")).await);
        drop(flood(&connection, b"\x13").await);
    }
    for address in places.data() {
        // The handshake proves a key, and nobody knows it: closed before a request is read.
        let Some(connection) = raw.connect(Plane::Data, address).await else { continue };
        let answer = say(&connection, &[1, 0, 0, 0, 16, 0]).await;
        assert_eq!(answer, b"", "a stranger gets no data");
    }
}
