//! The HTTP port: bodies without end, heads without end, and wrong tokens.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Places;
use super::stranger::connect;

/// Heads that never end, to each node: fewer than the connections that it takes at once.
const SLOW: usize = 100;

/// The time for a head, and what a busy machine adds.
const HEAD_MAX: Duration = Duration::from_secs(40);

async fn answer(stream: &mut TcpStream) -> String {
    let mut bytes = vec![0; 4096];
    let read = timeout(Duration::from_secs(10), stream.read(&mut bytes)).await;
    String::from_utf8_lossy(&bytes[..read.ok().and_then(Result::ok).unwrap_or(0)]).into_owned()
}

fn status(answer: &str) -> Option<u16> {
    answer.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
}

pub(crate) async fn attack(places: &Places, token: &str) {
    let mut slow = Vec::new();
    for address in &places.api {
        for _ in 0..SLOW {
            if let Some(mut stream) = connect(*address).await {
                let _ = stream.write_all(b"GET /api/v1/jobs HTTP/1.1\r\nhost: x\r\nx-").await;
                slow.push(stream);
            }
        }
        large_body(*address, token).await;
        for head in [&b"\0\0\0\0\r\n\r\n"[..], b"GET http:// HTTP/9.9\r\n\r\n", &[b'A'; 70_000]] {
            let Some(mut stream) = connect(*address).await else { continue };
            let _ = stream.write_all(head).await;
            let said = answer(&mut stream).await;
            assert!(status(&said).is_none_or(|status| (400..500).contains(&status)), "{said}");
        }
        wrong_tokens(*address).await;
    }
    // Slow heads are cut off, and do not stay.
    if let Some(mut first) = slow.into_iter().next() {
        let mut rest = Vec::new();
        let ended = timeout(HEAD_MAX, first.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "a head may take for ever");
    }
}

async fn large_body(address: std::net::SocketAddr, token: &str) {
    let Some(mut stream) = connect(address).await else { return };
    let bytes = 64 << 20;
    let head = format!(
        "POST /api/v1/jobs HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-type: \
         application/json\r\ncontent-length: {bytes}\r\n\r\n"
    );
    let _ = stream.write_all(head.as_bytes()).await;
    let piece = vec![b'['; 64 << 10];
    for _ in 0..bytes / piece.len() {
        match timeout(Duration::from_secs(1), stream.write_all(&piece)).await {
            Ok(Ok(())) => {}
            _ => break,
        }
    }
    let said = answer(&mut stream).await;
    assert!(status(&said).is_none_or(|status| (400..500).contains(&status)), "{said}");
}

async fn wrong_tokens(address: std::net::SocketAddr) {
    let mut last = None;
    for _ in 0..30 {
        let Some(mut stream) = connect(address).await else { continue };
        let head = "GET /api/v1/cluster HTTP/1.1\r\nhost: x\r\nauthorization: Bearer airlift-wrong\
                    \r\nconnection: close\r\n\r\n";
        let _ = stream.write_all(head.as_bytes()).await;
        last = status(&answer(&mut stream).await).or(last);
    }
    assert_eq!(last, Some(429), "who guesses is refused without a look");
}
