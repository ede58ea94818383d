//! A webhook's other end: a server that keeps what it is told, and answers as a test wants it to.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

/// A message as it came.
#[derive(Clone, Debug)]
pub struct Told {
    /// The header with the event's id.
    pub id: String,
    /// The header with the signature.
    pub signature: String,
    /// The body.
    pub body: Value,
    /// What was answered; 0 as long as nothing was, and when whoever asked did not wait for it.
    pub status: u16,
    raw: Vec<u8>,
}

impl Told {
    /// Whether the signature is one by this secret, of the last minute.
    ///
    /// # Panics
    /// When it has not the form of one.
    pub fn is_signed(&self, secret: &str) -> bool {
        let (time, sum) = self.signature.split_once(",v1=").expect("t=…,v1=…");
        let seconds = time.strip_prefix("t=").expect("t=…");
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any key serves");
        mac.update(format!("{seconds}.").as_bytes());
        mac.update(&self.raw);
        let now = std::time::UNIX_EPOCH.elapsed().expect("it is after 1970").as_secs();
        let age = now.abs_diff(seconds.parse().expect("a number"));
        HEXLOWER.encode(&mac.finalize().into_bytes()) == sum && age < 60
    }
}

/// Status, and after what time, of the answer to message number so and so, from 0.
type Rule = dyn Fn(usize) -> (u16, Duration) + Send + Sync;

#[derive(Debug, Default)]
struct Kept {
    told: Mutex<Vec<Told>>,
    news: Condvar,
}

/// The server. Its threads end with the test's process.
#[derive(Debug)]
pub struct Hook {
    port: u16,
    kept: Arc<Kept>,
}

impl Hook {
    /// Begins to listen.
    ///
    /// # Panics
    /// When it cannot.
    pub fn start(rule: impl Fn(usize) -> (u16, Duration) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("a listener has an address").port();
        let (kept, rule): (Arc<Kept>, Arc<Rule>) = (Arc::default(), Arc::new(rule));
        let keep = Arc::clone(&kept);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (kept, rule) = (Arc::clone(&keep), Arc::clone(&rule));
                std::thread::spawn(move || answer_all(stream, &kept, &*rule));
            }
        });
        Self { port, kept }
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook", self.port)
    }

    /// Everything that it was told so far.
    pub fn told(&self) -> Vec<Told> {
        self.kept.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until what it was told is what a test waits for.
    ///
    /// # Panics
    /// When that does not come.
    pub fn wait_until(&self, what: &str, is_there: impl Fn(&[Told]) -> bool) -> Vec<Told> {
        let begun = Instant::now();
        let mut told = self.kept.told.lock().unwrap_or_else(PoisonError::into_inner);
        while !is_there(&told) {
            assert!(begun.elapsed() < Duration::from_secs(60), "not told: {what}: {told:#?}");
            let waited = self.kept.news.wait_timeout(told, Duration::from_millis(500));
            told = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        told.clone()
    }
}

fn answer_all(stream: TcpStream, kept: &Kept, rule: &Rule) {
    let Ok(mut writer) = stream.try_clone() else { return };
    let mut reader = BufReader::new(stream);
    while let Some((id, signature, raw)) = read(&mut reader) {
        let (number, (status, delay)) = {
            let mut told = kept.told.lock().unwrap_or_else(PoisonError::into_inner);
            let number = told.len();
            let body = serde_json::from_slice(&raw).unwrap_or_default();
            told.push(Told { id, signature, body, status: 0, raw });
            kept.news.notify_all();
            (number, rule(number))
        };
        let location = if status == 302 { "location: /elsewhere\r\n" } else { "" };
        let head = format!("HTTP/1.1 {status} x\r\n{location}content-length: 0\r\n\r\n");
        if hangs_up(&writer, delay) || writer.write_all(head.as_bytes()).is_err() {
            return;
        }
        kept.told.lock().unwrap_or_else(PoisonError::into_inner)[number].status = status;
        kept.news.notify_all();
    }
}

/// Waits for so long; whether whoever asked leaves meanwhile. What is written then arrives nowhere, though the
/// system takes it.
fn hangs_up(stream: &TcpStream, delay: Duration) -> bool {
    if delay.is_zero() {
        return false;
    }
    stream.set_read_timeout(Some(delay)).expect("a time that is not 0");
    let peeked = stream.peek(&mut [0]);
    stream.set_read_timeout(None).expect("no time is allowed");
    match peeked {
        Ok(bytes) => bytes == 0,
        Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
    }
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<(String, String, Vec<u8>)> {
    let (mut id, mut signature, mut length) = (String::new(), String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            if line.trim_end().is_empty() {
                break;
            }
            continue;
        };
        match name.to_ascii_lowercase().as_str() {
            "airlift-event-id" => value.clone_into(&mut id),
            "airlift-signature" => value.clone_into(&mut signature),
            "content-length" => length = value.parse().ok()?,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((id, signature, body))
}
