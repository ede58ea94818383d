//! A proxy before an S3 server that makes trouble by rule, and writes down what it saw.
//!
//! It passes requests on as they came, so that signatures hold, and knows nothing of the server: any
//! that speaks HTTP/1.1 on the loopback will do.

mod answer;
mod rule;

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};
use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{Method, Request, header};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use rustix::net::sockopt::set_socket_linger;
use s3s::{Body, HttpResponse};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

use self::answer::Whole;
pub use self::rule::{Fault, Operation, Rule};
use crate::issuer::Issuer;
use crate::s3::Access;

/// Bytes of a body that passes.
const BODY_BYTES_MAX: usize = 64 << 20;

/// How far the time of a signature may be from the clock of S3.
const SKEW_SECONDS_MAX: i64 = 15 * 60;

/// What was seen of one request.
#[derive(Clone, Debug)]
pub struct Seen {
    /// What it was for.
    pub operation: Operation,
    /// Its path with the query.
    pub target: String,
    /// When it came.
    pub arrived: Instant,
    /// What happened to it, if anything.
    pub fault: Option<Fault>,
    /// Status of the answer, if it had one.
    pub status: Option<u16>,
    /// Seconds by which the time of its signature was before its arrival, by the clock of the machine.
    pub signed_seconds_ago: Option<i64>,
    /// The token of temporary credentials that it was signed with.
    pub token: Option<String>,
}

/// A proxy that ends when it is dropped.
#[derive(Debug)]
pub struct Storm {
    access: Access,
    weather: Arc<Weather>,
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
}

#[derive(Debug)]
struct Weather {
    server: SocketAddr,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    rules: Vec<Rule>,
    seen: Vec<Seen>,
    /// Seconds by which the clock of the service is ahead of that of the machine.
    ahead_seconds: i64,
    /// Tokens of temporary credentials that are refused.
    expired: Vec<String>,
    /// First answers to listings, by question.
    first: BTreeMap<String, Whole>,
}

impl Storm {
    /// A proxy before the server that `access` leads to.
    ///
    /// # Panics
    /// When no port or thread is to be had, or the server is not on the loopback.
    pub fn before(access: &Access, rules: Vec<Rule>) -> Self {
        let server = access.endpoint.trim_start_matches("http://");
        let server = server.parse().expect("a server on the loopback");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        listener.set_nonblocking(true).expect("a listener can be made nonblocking");
        let address = listener.local_addr().expect("a listener has an address");
        let state = Mutex::new(State { rules, ..State::default() });
        let weather = Arc::new(Weather { server, state });
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("storm")
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.spawn(blow(listener, Arc::clone(&weather)));
        let access = Access { endpoint: format!("http://{address}"), ..access.clone() };
        Self { access, weather, runtime: Some(runtime) }
    }

    /// How to reach the server through it.
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// Other rules from now on.
    pub fn change(&self, rules: Vec<Rule>) {
        self.weather.lock().rules = rules;
    }

    /// From now on the service has another clock: so many seconds ahead, by which it judges signatures
    /// and dates its answers.
    pub fn set_clock_ahead(&self, seconds: i64) {
        self.weather.lock().ahead_seconds = seconds;
    }

    /// From now on this token of temporary credentials has expired.
    pub fn expire(&self, token: &str) {
        self.weather.lock().expired.push(token.to_owned());
    }

    /// All requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.weather.lock().seen.clone()
    }

    /// How many requests for one thing there were so far.
    pub fn count(&self, operation: Operation) -> usize {
        self.weather.lock().seen.iter().filter(|seen| seen.operation == operation).count()
    }

    /// How many requests were struck so far.
    pub fn struck(&self) -> usize {
        self.weather.lock().seen.iter().filter(|seen| seen.fault.is_some()).count()
    }
}

impl Drop for Storm {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Weather {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers a request; an error has the connection reset.
    async fn pass(&self, request: Request<Incoming>) -> io::Result<HttpResponse> {
        let (parts, body) = request.into_parts();
        let mut body = Body::from(body);
        let body = body.store_all_limited(BODY_BYTES_MAX).await.map_err(io::Error::other)?;
        let asked = Asked::of(&parts);
        let (place, fault) = self.note(&asked);
        let answered =
            self.answer(&asked, fault, Request::from_parts(parts, Body::from(body))).await;
        let mut state = self.lock();
        state.seen[place].status = answered.as_ref().ok().map(|answer| answer.status().as_u16());
        let now = unix_now() + state.ahead_seconds;
        answered.map(|mut answer| {
            let date = DateTime::from_secs(now).fmt(DateTimeFormat::HttpDate);
            let date = date.ok().and_then(|date| date.parse().ok());
            answer.headers_mut().insert(header::DATE, date.expect("the time is a date"));
            answer
        })
    }

    /// Writes a request down, and decides what happens to it.
    fn note(&self, asked: &Asked) -> (usize, Option<Fault>) {
        let mut state = self.lock();
        let ahead = state.ahead_seconds;
        let skew = asked.signed_seconds_ago.map(|ago| (ago + ahead).abs());
        let fault = if skew.is_some_and(|skew| skew > SKEW_SECONDS_MAX) {
            Some(Fault::Refuse(403, "RequestTimeTooSkewed"))
        } else if asked.token.as_ref().is_some_and(|token| state.expired.contains(token))
            || asked.token.as_deref().is_some_and(Issuer::has_expired)
        {
            Some(Fault::Refuse(400, "ExpiredToken"))
        } else {
            let strikes = |rule: &mut &mut Rule| rule.strikes(asked.operation, &asked.target);
            state.rules.iter_mut().find_map(|mut rule| strikes(&mut rule).then_some(rule.fault))
        };
        state.seen.push(Seen {
            operation: asked.operation,
            target: asked.target.clone(),
            arrived: Instant::now(),
            fault,
            status: None,
            signed_seconds_ago: asked.signed_seconds_ago,
            token: asked.token.clone(),
        });
        (state.seen.len() - 1, fault)
    }

    async fn answer(
        &self,
        asked: &Asked,
        fault: Option<Fault>,
        request: Request<Body>,
    ) -> io::Result<HttpResponse> {
        let made_up = match fault {
            Some(Fault::ResetBefore) => return Err(reset()),
            Some(Fault::SlowDown { retry_after }) => {
                let answer = Whole::error(503, "SlowDown", asked.is_head);
                Some(match retry_after {
                    Some(seconds) => answer.with(header::RETRY_AFTER, &seconds.to_string()),
                    None => answer,
                })
            }
            Some(Fault::TooMany) => Some(Whole::bare(429)),
            Some(Fault::Refuse(status, code)) => Some(Whole::error(status, code, asked.is_head)),
            Some(Fault::ErrorInSuccess { code, is_applied: false }) => {
                Some(Whole::error(200, code, asked.is_head))
            }
            Some(Fault::Nothing) => Some(Whole::nothing(false)),
            Some(Fault::EmptyFirst) if !asked.target.contains("continuation-token=") => {
                Some(Whole::nothing(true))
            }
            _ => None,
        };
        if let Some(made_up) = made_up {
            return Ok(made_up.send());
        }
        let answer = forward(self.server, request).await?;
        let answer = self.kept(asked, answer, fault == Some(Fault::Stale));
        match fault {
            Some(Fault::ResetAfter) => return Err(reset()),
            Some(Fault::BreakOff) => return Ok(answer.send_half()),
            Some(Fault::Slow(pause)) => tokio::time::sleep(pause).await,
            _ => {}
        }
        let answer = match fault {
            Some(Fault::ErrorInSuccess { code, .. }) => Whole::error(200, code, asked.is_head),
            Some(Fault::CutShort) => answer.cut_short(),
            Some(Fault::WrongSum) => answer.with_wrong_sums(),
            Some(Fault::Gzip) => answer.compressed(),
            _ => answer,
        };
        Ok(answer.send())
    }

    /// Keeps the first answer to each question about a listing, and gives it again when asked to.
    fn kept(&self, asked: &Asked, answer: Whole, is_stale: bool) -> Whole {
        if asked.operation != Operation::List {
            return answer;
        }
        let mut state = self.lock();
        let first = state.first.entry(asked.target.clone()).or_insert_with(|| answer.clone());
        if is_stale { first.clone() } else { answer }
    }
}

/// What decides about a request.
#[derive(Debug)]
struct Asked {
    operation: Operation,
    target: String,
    is_head: bool,
    signed_seconds_ago: Option<i64>,
    token: Option<String>,
}

impl Asked {
    fn of(parts: &Parts) -> Self {
        let text = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let target = parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
        let is_copy = text("x-amz-copy-source").is_some();
        Self {
            operation: Operation::of(&parts.method, &target, is_copy),
            is_head: parts.method == Method::HEAD,
            target,
            signed_seconds_ago: text("x-amz-date").and_then(signed_at).map(|at| unix_now() - at),
            token: text("x-amz-security-token").map(str::to_owned),
        }
    }
}

/// Seconds since 1970 of a time such as `20260131T235959Z`.
fn signed_at(text: &str) -> Option<i64> {
    let digits = |range: std::ops::Range<usize>| text.get(range);
    let date = [digits(0..4)?, digits(4..6)?, digits(6..8)?].join("-");
    let time = [digits(9..11)?, digits(11..13)?, digits(13..15)?].join(":");
    let time = DateTime::from_str(&format!("{date}T{time}Z"), DateTimeFormat::DateTime);
    time.ok().map(|time| time.secs())
}

fn unix_now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

fn reset() -> io::Error {
    io::Error::from(io::ErrorKind::ConnectionReset)
}

/// Has the server carry a request out, whether anybody waits for the answer or not.
async fn forward(server: SocketAddr, mut request: Request<Body>) -> io::Result<Whole> {
    // Both are about one connection, and the body is whole by now.
    request.headers_mut().remove(header::EXPECT);
    request.headers_mut().remove(header::TRANSFER_ENCODING);
    let carried_out = tokio::spawn(async move {
        let socket = TokioIo::new(TcpStream::connect(server).await?);
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(socket).await.map_err(io::Error::other)?;
        let answer = async {
            let answer = sender.send_request(request).await.map_err(io::Error::other)?;
            let (mut parts, body) = answer.into_parts();
            let mut body = Body::from(body);
            let body = body.store_all_limited(BODY_BYTES_MAX).await.map_err(io::Error::other)?;
            parts.headers.remove(header::TRANSFER_ENCODING);
            parts.headers.remove(header::CONNECTION);
            Ok(Whole { parts, body })
        };
        tokio::pin!(answer);
        tokio::select! {
            answer = &mut answer => answer,
            // The server may close the connection before the body was taken.
            ended = connection => match ended {
                Ok(()) => answer.await,
                Err(error) => Err(io::Error::other(error)),
            },
        }
    });
    carried_out.await.map_err(io::Error::other)?
}

async fn blow(listener: TcpListener, weather: Arc<Weather>) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a nonblocking listener");
    let http = Builder::new(TokioExecutor::new());
    // The listener fails only when the process runs out of files: the test sees that by itself.
    while let Ok((socket, _)) = listener.accept().await {
        // A second handle, to have the connection reset when the first one is closed.
        let Ok((socket, handle)) = twice(socket) else { continue };
        let (weather, handle) = (Arc::clone(&weather), Arc::new(handle));
        let service = service_fn(move |request| {
            let (weather, handle) = (Arc::clone(&weather), Arc::clone(&handle));
            async move {
                let answered = weather.pass(request).await;
                if answered.is_err() {
                    // Without it the connection would end in order, which is a fault as well.
                    let _ = set_socket_linger(&*handle, Some(Duration::ZERO));
                }
                answered
            }
        });
        let connection = http.serve_connection(TokioIo::new(socket), service).into_owned();
        // A connection that either end breaks off is its affair.
        tokio::spawn(async move { drop(connection.await) });
    }
}

fn twice(socket: TcpStream) -> io::Result<(TcpStream, std::net::TcpStream)> {
    let socket = socket.into_std()?;
    let handle = socket.try_clone()?;
    Ok((TcpStream::from_std(socket)?, handle))
}
