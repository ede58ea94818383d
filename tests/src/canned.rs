//! A server that gives prepared answers, to show how a store takes answers that good servers never
//! give.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::s3::Access;

/// Makes the answer to a request from its first line, such as `GET /bucket/key HTTP/1.1`.
type Answerer = dyn Fn(&str) -> Answer + Send + Sync;

/// What is sent back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status and headers that are not about length, each line ended by `\r\n`.
    pub head: String,
    /// The body.
    pub body: String,
    /// Bytes that the head promises beyond the body, after which the connection ends.
    pub missing_bytes: usize,
    /// Whether the head says how long the body is; without that it is as long as the connection lasts.
    pub has_length: bool,
}

impl Answer {
    /// An answer with a status such as `200 OK`, and a body.
    pub fn new(status: &str, body: &str) -> Self {
        let head = format!("HTTP/1.1 {status}\r\n");
        Self { head, body: body.to_owned(), missing_bytes: 0, has_length: true }
    }

    /// An error as S3 writes it.
    pub fn error(status: &str, code: &str) -> Self {
        let body = format!("<Error><Code>{code}</Code><Message>Some words.</Message></Error>");
        Self::new(status, &body)
    }

    /// The same with one header more.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.head.push_str(&format!("{name}: {value}\r\n"));
        self
    }

    /// The same, without a word of how long it is.
    #[must_use]
    pub fn without_length(mut self) -> Self {
        self.has_length = false;
        self
    }

    /// The same, broken off so many bytes before its end.
    #[must_use]
    pub fn broken_off(mut self, missing_bytes: usize) -> Self {
        self.missing_bytes = missing_bytes;
        self
    }
}

/// Requests so far: first line with headers, and body.
type Seen = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// A server that stops when it is dropped.
#[derive(Debug)]
pub struct CannedServer {
    access: Access,
    seen: Seen,
    task: JoinHandle<()>,
}

impl CannedServer {
    /// Starts a server that answers as `answer` says.
    ///
    /// # Panics
    /// When no port is free.
    pub async fn start(answer: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("a listener has an address");
        let seen = Seen::default();
        let (answer, noted): (Arc<Answerer>, _) = (Arc::new(answer), Arc::clone(&seen));
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(converse(socket, Arc::clone(&answer), Arc::clone(&noted)));
            }
        });
        let access = Access {
            endpoint: format!("http://{address}"),
            access_key: "canned".to_owned(),
            secret_key: "canned".to_owned(),
        };
        Self { access, seen, task }
    }

    /// How to reach the server.
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// First lines of the requests so far.
    pub fn requests(&self) -> Vec<String> {
        let first = |head: String| head.lines().next().unwrap_or_default().to_owned();
        self.heads().into_iter().map(first).collect()
    }

    /// First lines and headers of the requests so far.
    pub fn heads(&self) -> Vec<String> {
        self.seen().into_iter().map(|(head, _)| head).collect()
    }

    /// Bodies of the requests so far.
    pub fn bodies(&self) -> Vec<Vec<u8>> {
        self.seen().into_iter().map(|(_, body)| body).collect()
    }

    fn seen(&self) -> Vec<(String, Vec<u8>)> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for CannedServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Answers the one request of a connection and closes it.
async fn converse(mut socket: TcpStream, answer: Arc<Answerer>, seen: Seen) {
    let Some((head, body)) = read_request(&mut socket).await else { return };
    let first_line = head.lines().next().unwrap_or_default();
    let answer = answer(first_line);
    seen.lock().unwrap_or_else(PoisonError::into_inner).push((head.clone(), body));
    let length = answer.body.len() + answer.missing_bytes;
    let body = if first_line.starts_with("HEAD") { "" } else { &answer.body };
    let length = match answer.has_length {
        true => format!("content-length: {length}\r\n"),
        false => String::new(),
    };
    let text = format!("{}{length}connection: close\r\n\r\n{body}", answer.head);
    // A client that went away needs no answer.
    drop(socket.write_all(text.as_bytes()).await);
    drop(socket.shutdown().await);
}

/// Reads a request: its first line with headers, and its body.
async fn read_request(socket: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if socket.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..head_end]).into_owned();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    let end = head_end + length.unwrap_or(0_usize);
    while bytes.len() < end {
        if socket.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    Some((head, bytes.split_off(head_end)))
}
