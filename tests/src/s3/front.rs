//! What stands before a server in tests: it refuses what is too much, takes its time, and counts.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};
use s3s::HttpResponse;

/// Requests that a bound lets through at once when it has let through less before, as a part of those of
/// a second.
const BURST_PART: f64 = 0.05;

/// How requests of one kind are treated. By default, they just pass.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rule {
    /// Requests a second; others are told to slow down.
    pub per_second: Option<u32>,
    /// Time that each takes before it is carried out.
    pub delay: Duration,
    /// Bytes a second of each one's body, as the length of a put says.
    pub body_rate: Option<u64>,
}

/// What was seen of requests of one kind.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Of each request in order, whether it was told to slow down.
    pub refused: Vec<bool>,
    /// The most that had bytes to move at once: puts and gets.
    pub at_once_max: usize,
    /// Requests for the bytes of an object, or of a range of one.
    pub bodies: usize,
    /// When the last one was let through.
    pub last: Option<Instant>,
}

/// Stands before a server. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Front {
    reads: Arc<Lane>,
    writes: Arc<Lane>,
    /// Writes below a path that have a rule of their own.
    below: Option<(String, Arc<Lane>)>,
}

#[derive(Debug, Default)]
struct Lane {
    rule: Rule,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    seen: Seen,
    at_once: usize,
    /// When what was let through so far was due; `None` before the first.
    due: Option<Instant>,
}

impl Front {
    /// Treats what reads, lists or describes by one rule, and what changes something by the other.
    pub fn new(reads: Rule, writes: Rule) -> Self {
        let lane = |rule| Arc::new(Lane { rule, state: Mutex::default() });
        Self { reads: lane(reads), writes: lane(writes), below: None }
    }

    /// Treats what changes something below `path`, such as `/bucket/prefix/`, by a rule of its own.
    #[must_use]
    pub fn with_writes_below(self, path: &str, rule: Rule) -> Self {
        let lane = Arc::new(Lane { rule, state: Mutex::default() });
        Self { below: Some((path.to_owned(), lane)), ..self }
    }

    /// What was seen of requests that read, list or describe.
    pub fn reads(&self) -> Seen {
        self.reads.lock().seen.clone()
    }

    /// What was seen of requests that change something.
    pub fn writes(&self) -> Seen {
        self.writes.lock().seen.clone()
    }

    /// What was seen of those that change something below the path with a rule of its own.
    ///
    /// # Panics
    /// When there is none.
    pub fn writes_below(&self) -> Seen {
        let (_, lane) = self.below.as_ref().expect("a path with a rule of its own");
        lane.lock().seen.clone()
    }

    fn lane(&self, request: &Request<Incoming>) -> &Arc<Lane> {
        if [Method::GET, Method::HEAD].contains(request.method()) {
            return &self.reads;
        }
        match &self.below {
            Some((path, lane)) if request.uri().path().starts_with(path.as_str()) => lane,
            _ => &self.writes,
        }
    }

    /// Lets a request pass when its time has come, or answers it. It is on its way until what this
    /// returns is dropped.
    pub(super) async fn admit(
        &self,
        request: &Request<Incoming>,
    ) -> Result<OnItsWay, HttpResponse> {
        let lane = Arc::clone(self.lane(request));
        if !lane.lets_pass() {
            return Err(slow_down());
        }
        lane.lock().seen.bodies += usize::from(asks_for_bytes(request));
        lane.lock().seen.last = Some(Instant::now());
        let has_bytes = [Method::GET, Method::PUT].contains(request.method());
        let on_its_way = OnItsWay::begin(&lane, has_bytes);
        let length = request.headers().get("content-length");
        let length = length.and_then(|length| length.to_str().ok()?.parse::<f64>().ok());
        let carrying = lane.rule.body_rate.map_or(0.0, |rate| length.unwrap_or(0.0) / rate as f64);
        tokio::time::sleep(lane.rule.delay + Duration::from_secs_f64(carrying)).await;
        Ok(on_its_way)
    }
}

/// Whether it is the bytes of an object that a request is about, and not a listing or tags.
fn asks_for_bytes(request: &Request<Incoming>) -> bool {
    let is_of_object = request.uri().path().trim_matches('/').contains('/');
    let query = request.uri().query().unwrap_or_default();
    let lists = ["list-type=", "uploads", "uploadId=", "tagging"];
    let is_about_else = lists.iter().any(|part| query.contains(part));
    request.method() == Method::GET && is_of_object && !is_about_else
}

impl Lane {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether one more request is within the bound.
    fn lets_pass(&self) -> bool {
        let mut state = self.lock();
        let passes = self.rule.per_second.is_none_or(|per_second| {
            let now = Instant::now();
            let burst = Duration::from_secs_f64(BURST_PART);
            let due = state.due.map_or(now - burst, |due| due.max(now - burst));
            let passes = due <= now;
            state.due = Some(if passes { due + Duration::from_secs(1) / per_second } else { due });
            passes
        });
        state.seen.refused.push(!passes);
        passes
    }
}

/// A request that is carried out.
pub(super) struct OnItsWay(Option<Arc<Lane>>);

impl OnItsWay {
    fn begin(lane: &Arc<Lane>, has_bytes: bool) -> Self {
        if !has_bytes {
            return Self(None);
        }
        let mut state = lane.lock();
        state.at_once += 1;
        state.seen.at_once_max = state.seen.at_once_max.max(state.at_once);
        Self(Some(Arc::clone(lane)))
    }
}

impl Drop for OnItsWay {
    fn drop(&mut self) {
        if let Some(lane) = &self.0 {
            lane.lock().at_once -= 1;
        }
    }
}

fn slow_down() -> HttpResponse {
    let text =
        "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>";
    let mut answer = HttpResponse::new(s3s::Body::from(text.to_owned()));
    *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    answer
}
