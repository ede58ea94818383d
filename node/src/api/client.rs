//! The client of the API: asks one node after the other until one answers.

mod access;
mod error;
mod ready;
mod report;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use airlift_protocol::id::JobId;
use data_encoding::HEXLOWER;
use reqwest::{ClientBuilder, Method, RequestBuilder, Response, Url};
use rustls::crypto::aws_lc_rs::default_provider;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use self::error::{ClientError, ClientErrorKind};
pub use self::ready::readiness;
pub use self::report::RemoteReport;
use super::budget::BudgetRequest;
use super::error::{ApiCode, ApiError, Problem};
use super::request::{KEY_HEADER, LeaderRequest, LimitRequest, SubmitRequest, TokenRequest};
use super::retention::RetentionRequest;
use super::service::JobOrder;
use super::survey::Survey;
use super::tls::{Fingerprint, pinned};
use super::view::{ClusterView, JobList, JobView, JoinToken, NodeFigures, Submitted};
use crate::runtime::clock;

/// URLs of one cluster.
pub const URLS_MAX: usize = 32;
/// Bytes of an answer that is not a report.
const ANSWER_BYTES_MAX: usize = 32 << 20;
/// Time to reach a node.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Time without a byte of an answer.
const SILENCE_MAX: Duration = Duration::from_secs(35);
/// Time for a whole answer to a question.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for a whole answer to an order: longer than a node takes itself.
const ORDER_TIMEOUT: Duration = Duration::from_secs(35);
/// The first pause after no node answered.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(3);

/// A text that stays out of logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// How long a client asks again before it gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// While no node has answered yet: the URL may be wrong.
    pub first: Duration,
    /// While nodes answer that they cannot: the cluster may be electing a leader.
    pub electing: Duration,
    /// After one has served a request.
    pub later: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let [first, electing, later] = [5, 20, 60].map(Duration::from_secs);
        Self { first, electing, later }
    }
}

/// Whether a request may be sent twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Repeat {
    /// Twice is as good as once.
    Freely,
    /// Only when it is certain that nothing was done.
    IfNotDone,
}

/// One request.
#[derive(Debug)]
struct Call {
    method: Method,
    path: Vec<String>,
    query: Option<(&'static str, u64)>,
    /// Tells the cluster that the request may come a second time.
    key: Option<String>,
    body: Option<Vec<u8>>,
    repeat: Repeat,
    timeout: Option<Duration>,
}

impl Call {
    fn read(path: &[&str]) -> Self {
        Self {
            method: Method::GET,
            path: path.iter().map(|&part| part.to_owned()).collect(),
            query: None,
            key: None,
            body: None,
            repeat: Repeat::Freely,
            timeout: Some(ANSWER_TIMEOUT),
        }
    }

    fn order(method: Method, path: &[&str], repeat: Repeat) -> Self {
        Self { method, repeat, timeout: Some(ORDER_TIMEOUT), ..Self::read(path) }
    }

    fn with(self, body: &impl Serialize) -> Self {
        let body = serde_json::to_vec(body).expect("invariant: requests are plain JSON");
        Self { body: Some(body), ..self }
    }
}

/// Asks a cluster.
#[derive(Debug)]
pub struct Client {
    nodes: Vec<Node>,
    token: Secret,
    patience: Patience,
    /// Index of the URL that answered last.
    current: AtomicUsize,
    has_answered: AtomicBool,
}

/// Reads URLs that are separated by commas.
///
/// # Errors
/// When one of them is not the URL of an API: a line that says what to write.
pub fn parse_urls(text: &str) -> Result<Vec<Url>, String> {
    let urls: Vec<Url> = text.split(',').map(str::trim).map(parse_url).collect::<Result<_, _>>()?;
    match urls.len() <= URLS_MAX {
        true => Ok(urls),
        false => Err(format!("at most {URLS_MAX} URLs are allowed")),
    }
}

fn parse_url(text: &str) -> Result<Url, String> {
    let url: Url = text.parse().ok().filter(|url: &Url| url.has_host()).ok_or_else(|| {
        "write URLs such as http://127.0.0.1:7400, with commas between".to_owned()
    })?;
    match (url.scheme(), url.fragment()) {
        ("http" | "https", None) => {}
        ("https", Some(pin)) => drop(pin.parse::<Fingerprint>()?),
        ("http", Some(_)) => {
            return Err("only https:// has a certificate to be pinned".to_owned());
        }
        (scheme, _) => {
            return Err(format!("'{scheme}://' is not served: write https:// or http://"));
        }
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("credentials do not belong into the URL: use --token-file".to_owned());
    }
    if !matches!(url.path(), "" | "/") || url.query().is_some() {
        return Err("write scheme, host and port only, such as http://127.0.0.1:7400".to_owned());
    }
    Ok(url)
}

/// A node and the way to it.
#[derive(Debug)]
struct Node {
    /// Its URL, without a pin.
    url: Url,
    http: reqwest::Client,
}

impl Node {
    /// The node at `url`, behind which its certificate may be pinned: `https://HOST:PORT#sha256:…`.
    fn at(url: &Url, limit: impl Fn(ClientBuilder) -> ClientBuilder) -> Result<Self, ClientError> {
        let builder = reqwest::Client::builder()
            .user_agent(concat!("airlift/", env!("CARGO_PKG_VERSION")))
            // A token must go where the user said, and nowhere else.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT);
        let builder = match (url.scheme(), url.fragment()) {
            ("https", Some(pin)) => {
                let config = pin.parse().map(pinned).map_err(ClientError::unusable)?;
                let config = config.map_err(|error| ClientError::unusable(error.to_string()))?;
                builder.tls_backend_preconfigured(config)
            }
            // Whom the system's authorities vouch for.
            ("https", None) => builder,
            // It must work where no certificates are installed.
            _ => builder.tls_certs_only([]),
        };
        let http = limit(builder).build();
        let http = http.map_err(|error| ClientError::unusable(error::innermost(&error)))?;
        let mut url = url.clone();
        url.set_fragment(None);
        Ok(Self { url, http })
    }
}

impl Client {
    /// A client of the cluster whose nodes answer at `urls`.
    ///
    /// # Errors
    /// When there is no URL, or the system lacks what is needed.
    pub fn new(urls: Vec<Url>, token: Secret, patience: Patience) -> Result<Self, ClientError> {
        if urls.is_empty() {
            return Err(ClientError::unusable("no URL of the cluster is given"));
        }
        let reached = |url| Node::at(url, |builder| builder.read_timeout(SILENCE_MAX));
        Ok(Self {
            nodes: urls.iter().map(reached).collect::<Result<_, _>>()?,
            token,
            patience,
            current: AtomicUsize::new(0),
            has_answered: AtomicBool::new(false),
        })
    }

    /// Submits a job. However often it has to be sent until it is answered, it begins one run.
    ///
    /// # Errors
    /// When no node answers, or the answer is an error. So for all methods.
    pub async fn submit(&self, request: &SubmitRequest) -> Result<Submitted, ClientError> {
        let mut key = [0; 16];
        let drawn = default_provider().secure_random.fill(&mut key);
        drawn.map_err(|_| ClientError::unusable("the system gives no random numbers"))?;
        let mut call = Call::order(Method::POST, &["jobs"], Repeat::Freely).with(request);
        call.key = Some(HEXLOWER.encode(&key));
        self.ask(&call).await
    }

    /// All jobs.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub async fn jobs(&self) -> Result<JobList, ClientError> {
        self.ask(&Call::read(&["jobs"])).await
    }

    /// One job.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub async fn job(&self, job: JobId) -> Result<JobView, ClientError> {
        self.ask(&Call::read(&["jobs", &job.to_string()])).await
    }

    /// Gives an order about a job.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub async fn order(&self, job: JobId, order: JobOrder) -> Result<JobView, ClientError> {
        let path = ["jobs", &job.to_string(), order.as_str()];
        self.ask(&Call::order(Method::POST, &path, Repeat::Freely)).await
    }

    /// The report of a job.
    pub fn report(&self, job: JobId) -> RemoteReport<'_> {
        RemoteReport::new(self, job)
    }

    /// The cluster.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub async fn cluster(&self) -> Result<ClusterView, ClientError> {
        self.ask(&Call::read(&["cluster"])).await
    }

    /// What the node that answers has done.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub async fn node(&self) -> Result<NodeFigures, ClientError> {
        self.ask(&Call::read(&["node"])).await
    }

    /// What every node says of itself.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub async fn nodes(&self) -> Result<Survey, ClientError> {
        self.ask(&Call::read(&["nodes"])).await
    }

    /// Makes a token by which one node may join.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub async fn create_token(&self, request: &TokenRequest) -> Result<JoinToken, ClientError> {
        let path = ["cluster", "tokens"];
        self.ask(&Call::order(Method::POST, &path, Repeat::IfNotDone).with(request)).await
    }

    /// Removes a node.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub async fn remove_node(&self, node: &str) -> Result<ClusterView, ClientError> {
        let path = ["cluster", "nodes", node];
        self.ask(&Call::order(Method::DELETE, &path, Repeat::IfNotDone)).await
    }

    /// Hands over the lead.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub async fn transfer_leader(
        &self,
        request: &LeaderRequest,
    ) -> Result<ClusterView, ClientError> {
        let path = ["cluster", "leader"];
        self.ask(&Call::order(Method::POST, &path, Repeat::IfNotDone).with(request)).await
    }

    /// Gives a job another budget.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub async fn set_budget(
        &self,
        job: JobId,
        request: &BudgetRequest,
    ) -> Result<JobView, ClientError> {
        let id = job.to_string();
        let path = ["jobs", &id, "budget"];
        self.ask(&Call::order(Method::POST, &path, Repeat::Freely).with(request)).await
    }

    /// Says how long jobs that have ended stay on record.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub async fn set_retention(
        &self,
        request: &RetentionRequest,
    ) -> Result<ClusterView, ClientError> {
        let path = ["cluster", "retention"];
        self.ask(&Call::order(Method::POST, &path, Repeat::Freely).with(request)).await
    }

    /// Limits what all jobs together move, or lifts that limit.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub async fn limit(&self, request: &LimitRequest) -> Result<ClusterView, ClientError> {
        let path = ["cluster", "limit"];
        self.ask(&Call::order(Method::POST, &path, Repeat::Freely).with(request)).await
    }

    async fn ask<T: DeserializeOwned>(&self, call: &Call) -> Result<T, ClientError> {
        self.retry(call, async |node| {
            let response = self.send(node, call).await?;
            let bytes = body(&node.url, response).await?;
            serde_json::from_slice(&bytes)
                .map_err(|error| ClientError::malformed(&node.url, &error.to_string()))
        })
        .await
    }

    /// The head of an answer; its body is read as it comes.
    async fn open(&self, call: &Call) -> Result<(Url, Response), ClientError> {
        let attempt = async |node: &Node| Ok((node.url.clone(), self.send(node, call).await?));
        self.retry(call, attempt).await
    }

    /// Tries one URL after the other, that which answered last first, until patience ends.
    async fn retry<T>(
        &self,
        call: &Call,
        attempt: impl AsyncFn(&Node) -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        let started = clock::now();
        let mut pause = PAUSE_MIN;
        loop {
            let first = self.current.load(Ordering::Relaxed);
            let mut advice = Duration::ZERO;
            let mut last: Option<ClientError> = None;
            for turn in 0..self.nodes.len() {
                let index = (first + turn) % self.nodes.len();
                match attempt(&self.nodes[index]).await {
                    Ok(answer) => {
                        self.current.store(index, Ordering::Relaxed);
                        self.has_answered.store(true, Ordering::Relaxed);
                        return Ok(answer);
                    }
                    Err(error) if !error.may_repeat(call.repeat) => return Err(error),
                    Err(error) => {
                        tracing::debug!(%error, "a node did not serve a request");
                        advice = advice.max(error.retry_after.unwrap_or_default());
                        // Of several errors, that of a node that is there says most.
                        if last.as_ref().is_none_or(|last| !last.is_answer()) {
                            last = Some(error);
                        }
                    }
                }
            }
            let is_known = self.has_answered.load(Ordering::Relaxed);
            let is_there = matches!(&last, Some(error) if error.is_answer());
            let patience = match (is_known, is_there) {
                (true, _) => self.patience.later,
                (false, true) => self.patience.electing,
                (false, false) => self.patience.first,
            };
            let wait = pause.max(advice.min(PAUSE_MAX));
            if let Some(error) = last
                && started.elapsed() + wait > patience
            {
                return Err(error);
            }
            tokio::time::sleep(wait).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Sends a request to one node; an answer that is an error is one.
    async fn send(&self, node: &Node, call: &Call) -> Result<Response, ClientError> {
        let url = &node.url;
        let sent = self.request(node, call).send().await;
        let response = sent.map_err(|error| ClientError::sent(url, &error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let bytes = body(url, response).await?;
        let error = match serde_json::from_slice::<Problem>(&bytes) {
            Ok(problem) => ApiError::from(problem),
            Err(_) => {
                let code = ApiCode::of_status(status.as_u16());
                ApiError::new(code, format!("it answers {status}, which is not of this API"))
            }
        };
        Err(ClientError::answered(url, error))
    }

    fn request(&self, node: &Node, call: &Call) -> RequestBuilder {
        let mut url = node.url.clone();
        url.path_segments_mut()
            .expect("invariant: an http URL has a path")
            .pop_if_empty()
            .extend(["api", "v1"])
            .extend(&call.path);
        if let Some((name, value)) = call.query {
            url.query_pairs_mut().append_pair(name, &value.to_string());
        }
        let mut request = node.http.request(call.method.clone(), url);
        request = request.bearer_auth(self.token.reveal());
        if let Some(timeout) = call.timeout {
            request = request.timeout(timeout);
        }
        if let Some(key) = &call.key {
            request = request.header(KEY_HEADER, key);
        }
        match &call.body {
            Some(body) => {
                request.header(reqwest::header::CONTENT_TYPE, "application/json").body(body.clone())
            }
            None => request,
        }
    }
}

/// The whole body of an answer, as far as that is allowed.
async fn body(url: &Url, mut response: Response) -> Result<Vec<u8>, ClientError> {
    let mut bytes = Vec::new();
    while let Some(piece) =
        response.chunk().await.map_err(|error| ClientError::sent(url, &error))?
    {
        if bytes.len() + piece.len() > ANSWER_BYTES_MAX {
            return Err(ClientError::malformed(url, "it is too long"));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_with_commas_between() {
        let urls = parse_urls("http://127.0.0.1:7400, http://[::1]:7401/").unwrap();
        let texts: Vec<&str> = urls.iter().map(Url::as_str).collect();
        assert_eq!(texts, ["http://127.0.0.1:7400/", "http://[::1]:7401/"]);
        let pinned = format!("https://a:7400#sha256:{}", "ab".repeat(32));
        let urls = parse_urls(&format!("{pinned},https://b")).unwrap();
        assert_eq!((urls.len(), urls[0].fragment().unwrap().len()), (2, 71));
    }

    #[test]
    fn urls_that_lead_nowhere_say_what_to_write() {
        for (text, part) in [
            ("", "write URLs such as"),
            ("127.0.0.1:7400", "write URLs such as"),
            ("http://a,,http://b", "write URLs such as"),
            ("ftp://a", "'ftp://' is not served"),
            ("https://a#sha256:00", "a fingerprint is written sha256:"),
            ("http://a#sha256:00", "only https:// has a certificate"),
            ("http://me:secret@a", "use --token-file"),
            ("http://a/api/v1", "scheme, host and port only"),
            ("http://a?x=1", "scheme, host and port only"),
        ] {
            let error = parse_urls(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
        assert!(parse_urls(&vec!["http://a"; URLS_MAX + 1].join(",")).is_err());
    }

    #[test]
    fn secrets_are_not_printed() {
        assert_eq!(format!("{:?}", Secret::new("hidden")), "Secret(…)");
    }
}
