//! A bucket of any number of keys, none of which is kept anywhere: it answers listings as S3 does, from
//! any key on, as fast as one process writes XML; each object is the text of its key. Beside it, a bucket
//! that keeps nothing but which of these have arrived, and when the first one did.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use data_encoding::HEXLOWER;
use hyper::body::{Body, Incoming};
use hyper::header::{CONTENT_TYPE, ETAG, HeaderValue, LAST_MODIFIED};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use md5::{Digest, Md5};
use reqwest::Url;
use tokio::runtime::Runtime;

use crate::s3::Access;

/// The bucket with the keys, and the one without.
pub const SOURCE: &str = "keys";
/// See [`SOURCE`].
pub const TARGET: &str = "nothing";

/// Keys of one answer, at most.
const PAGE_KEYS: u64 = 1_000;

/// Directories into which the keys are divided.
const DIRECTORIES: u64 = 100;

/// The server; it stops when it is dropped.
#[derive(Debug)]
pub struct KeyServer {
    address: SocketAddr,
    bucket: Arc<Bucket>,
    _runtime: Runtime,
}

#[derive(Debug)]
struct Bucket {
    keys: u64,
    first_put: OnceLock<Instant>,
    /// How often each has arrived.
    arrived: Vec<AtomicU8>,
    wrong: AtomicU64,
}

/// What has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrivals {
    /// Objects that arrived as they are.
    pub objects: u64,
    /// Those of them that arrived more than once.
    pub again: u64,
    /// What arrived with other bytes, or under another key.
    pub wrong: u64,
}

impl KeyServer {
    /// Starts a server with so many keys.
    ///
    /// # Errors
    /// When there is no port or thread for it.
    pub fn start(keys: u64) -> Result<Self, std::io::Error> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let arrived = (0..keys).map(|_| AtomicU8::new(0)).collect();
        let (first_put, wrong) = (OnceLock::new(), AtomicU64::new(0));
        let bucket = Arc::new(Bucket { keys, first_put, arrived, wrong });
        runtime.spawn(serve(listener, Arc::clone(&bucket)));
        Ok(Self { address, bucket, _runtime: runtime })
    }

    /// How to reach it.
    pub fn access(&self) -> Access {
        Access {
            endpoint: format!("http://{}", self.address),
            access_key: "keys".to_owned(),
            secret_key: "keys".to_owned(),
        }
    }

    /// When the first object was sent to the other bucket.
    pub fn first_put(&self) -> Option<Instant> {
        self.bucket.first_put.get().copied()
    }

    /// What was sent to the other bucket.
    pub fn arrivals(&self) -> Arrivals {
        let counts = self.bucket.arrived.iter().map(|count| count.load(Ordering::Relaxed));
        let empty = Arrivals { objects: 0, again: 0, wrong: 0 };
        let sum = counts.fold(empty, |sum, count| Arrivals {
            objects: sum.objects + u64::from(count > 0),
            again: sum.again + u64::from(count > 1),
            ..sum
        });
        Arrivals { wrong: self.bucket.wrong.load(Ordering::Relaxed), ..sum }
    }
}

async fn serve(listener: TcpListener, bucket: Arc<Bucket>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    while let Ok((socket, _)) = listener.accept().await {
        let bucket = Arc::clone(&bucket);
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let bucket = Arc::clone(&bucket);
                async move { Ok::<_, Infallible>(bucket.answer(request).await) }
            });
            let builder = Builder::new(TokioExecutor::new());
            // A client that went away has nothing more to say.
            drop(builder.serve_connection(TokioIo::new(socket), service).await);
        });
    }
}

impl Bucket {
    async fn answer(&self, request: Request<Incoming>) -> Response<String> {
        let Ok(url) = Url::parse(&format!("http://keys{}", request.uri())) else {
            return status(400);
        };
        let (bucket, object) =
            url.path().trim_start_matches('/').split_once('/').unwrap_or_default();
        if request.method() != Method::PUT || object.is_empty() {
            return self.look(request.method(), &url);
        }
        let is_target = bucket == TARGET;
        match read(request.into_body()).await {
            Some(body) if is_target => self.take(object, &body),
            _ => status(400),
        }
    }

    /// Takes an object in.
    fn take(&self, object: &str, body: &[u8]) -> Response<String> {
        self.first_put.get_or_init(Instant::now);
        let count = self.number(object).and_then(|number| self.arrived.get(number as usize));
        match count.filter(|_| body == object.as_bytes()) {
            Some(count) => {
                count.fetch_add(1, Ordering::Relaxed);
            }
            None => {
                self.wrong.fetch_add(1, Ordering::Relaxed);
            }
        }
        tagged(&format!("\"{}\"", HEXLOWER.encode(&Md5::digest(body))), "")
    }

    /// What asks and changes nothing.
    fn look(&self, method: &Method, url: &Url) -> Response<String> {
        let mut path = url.path().trim_start_matches('/').splitn(2, '/');
        let bucket = path.next().unwrap_or_default();
        let object = path.next().unwrap_or_default();
        let queried = |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|it| it.1);
        match (method, object) {
            (&Method::GET, "") if queried("list-type").is_some() => {
                let after = queried("continuation-token").or_else(|| queried("start-after"));
                let most = queried("max-keys").and_then(|most| most.parse().ok());
                let keys = if bucket == SOURCE { self.keys } else { 0 };
                list(keys, after.as_deref(), most.unwrap_or(PAGE_KEYS).min(PAGE_KEYS))
            }
            (&Method::GET, "") if queried("uploads").is_some() => xml(
                "<ListMultipartUploadsResult><IsTruncated>false</IsTruncated></ListMultipartUploadsResult>"
                    .to_owned(),
            ),
            (&Method::HEAD, "") => status(200),
            (&Method::GET | &Method::HEAD, object) if bucket == SOURCE => {
                match self.number(object) {
                    Some(number) => tagged(&format!("\"{}\"", tag(number)), object),
                    None => status(404),
                }
            }
            _ => status(404),
        }
    }

    /// Which key this is.
    fn number(&self, object: &str) -> Option<u64> {
        let number = object.rsplit('/').next()?.parse().ok()?;
        (number < self.keys && key(self.keys, number) == object).then_some(number)
    }
}

/// All of a body; `None` when it does not come to its end.
async fn read(mut body: Incoming) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        // Trailers have no data.
        if let Ok(data) = frame.ok()?.into_data() {
            bytes.extend_from_slice(&data);
        }
    }
    Some(bytes)
}

fn list(keys: u64, after: Option<&str>, most: u64) -> Response<String> {
    let first = after.map_or(0, |after| first_behind(keys, after));
    let end = keys.min(first + most);
    let mut body = String::with_capacity(256 * most as usize);
    body.push_str("<ListBucketResult><EncodingType>url</EncodingType>");
    for number in first..end {
        let name = key(keys, number);
        body.push_str("<Contents><Key>");
        body.push_str(&name);
        body.push_str("</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>&quot;");
        body.push_str(&tag(number));
        body.push_str(&format!("&quot;</ETag><Size>{}</Size>", name.len()));
        body.push_str("<StorageClass>STANDARD</StorageClass></Contents>");
    }
    let is_truncated = end < keys && first < end;
    body.push_str(&format!("<IsTruncated>{is_truncated}</IsTruncated>"));
    if is_truncated {
        let token = key(keys, end - 1);
        body.push_str(&format!("<NextContinuationToken>{token}</NextContinuationToken>"));
    }
    body.push_str("</ListBucketResult>");
    xml(body)
}

/// The key with this number, of so many: in key order.
fn key(keys: u64, number: u64) -> String {
    format!("data/{:02}/{number:09}", number * DIRECTORIES / keys.max(1))
}

/// What tells its object from others: of the length that entity tags have, and no MD5.
fn tag(number: u64) -> String {
    format!("object-{number:025}")
}

/// The first of so many keys that is behind `after`.
fn first_behind(keys: u64, after: &str) -> u64 {
    let (mut low, mut high) = (0, keys);
    while low < high {
        let middle = low + (high - low) / 2;
        match key(keys, middle).as_str() > after {
            true => high = middle,
            false => low = middle + 1,
        }
    }
    low
}

fn xml(body: String) -> Response<String> {
    let mut answer = Response::new(body);
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    answer
}

fn tagged(tag: &str, body: &str) -> Response<String> {
    let mut answer = Response::new(body.to_owned());
    let headers = answer.headers_mut();
    headers.extend(HeaderValue::from_str(tag).map(|tag| (ETAG, tag)));
    let time = HeaderValue::from_static("Thu, 01 Jan 2026 00:00:00 GMT");
    headers.insert(LAST_MODIFIED, time);
    answer
}

fn status(code: u16) -> Response<String> {
    let mut answer = Response::new(String::new());
    *answer.status_mut() = hyper::StatusCode::from_u16(code).unwrap_or_default();
    answer
}
