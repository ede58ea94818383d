//! A bucket of any number of keys, none of which is kept anywhere: it answers listings as S3 does, from
//! any key on, as fast as one process writes XML. Beside it, an empty bucket that notes when the first
//! object arrives.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, ETAG, LAST_MODIFIED};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use reqwest::Url;
use tokio::runtime::Runtime;

use crate::s3::Access;

/// The bucket with the keys, and the one without.
pub const SOURCE: &str = "keys";
/// See [`SOURCE`].
pub const TARGET: &str = "nothing";

/// Keys of one answer, at most.
const PAGE_KEYS: u64 = 1_000;

/// What every object is: `x`.
const TAG: &str = "\"9dd4e461268c8034f5c8564e155c67a6\"";

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
        let bucket = Arc::new(Bucket { keys, first_put: OnceLock::new() });
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

    /// When the first object was sent to the empty bucket.
    pub fn first_put(&self) -> Option<Instant> {
        self.bucket.first_put.get().copied()
    }
}

async fn serve(listener: TcpListener, bucket: Arc<Bucket>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    while let Ok((socket, _)) = listener.accept().await {
        let bucket = Arc::clone(&bucket);
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let answer = bucket.answer(&request);
                async move { Ok::<_, Infallible>(answer) }
            });
            let builder = Builder::new(TokioExecutor::new());
            // A client that went away has nothing more to say.
            drop(builder.serve_connection(TokioIo::new(socket), service).await);
        });
    }
}

impl Bucket {
    fn answer(&self, request: &Request<Incoming>) -> Response<String> {
        let Ok(url) = Url::parse(&format!("http://keys{}", request.uri())) else {
            return status(400);
        };
        let mut path = url.path().trim_start_matches('/').splitn(2, '/');
        let bucket = path.next().unwrap_or_default();
        let object = path.next().unwrap_or_default();
        let queried = |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|it| it.1);
        match (request.method(), object) {
            (&Method::PUT, object) if !object.is_empty() => {
                self.first_put.get_or_init(Instant::now);
                tagged("")
            }
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
            (&Method::GET | &Method::HEAD, object) if bucket == SOURCE && !object.is_empty() => {
                tagged("x")
            }
            _ => status(404),
        }
    }
}

fn list(keys: u64, after: Option<&str>, most: u64) -> Response<String> {
    let first = after.map_or(0, |after| first_behind(keys, after));
    let end = keys.min(first + most);
    let mut body = String::with_capacity(256 * most as usize);
    body.push_str("<ListBucketResult><EncodingType>url</EncodingType>");
    for number in first..end {
        body.push_str("<Contents><Key>");
        body.push_str(&key(keys, number));
        body.push_str("</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>");
        body.push_str("&quot;9dd4e461268c8034f5c8564e155c67a6&quot;</ETag><Size>1</Size>");
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
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/xml"));
    answer
}

fn tagged(body: &str) -> Response<String> {
    let mut answer = Response::new(body.to_owned());
    let headers = answer.headers_mut();
    headers.insert(ETAG, hyper::header::HeaderValue::from_static(TAG));
    let time = hyper::header::HeaderValue::from_static("Thu, 01 Jan 2026 00:00:00 GMT");
    headers.insert(LAST_MODIFIED, time);
    answer
}

fn status(code: u16) -> Response<String> {
    let mut answer = Response::new(String::new());
    *answer.status_mut() = hyper::StatusCode::from_u16(code).unwrap_or_default();
    answer
}
