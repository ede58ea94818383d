//! Requests to the namenode, and to the datanodes that it sends us to.
//!
//! A path that has bytes behind it crosses to a datanode in an address that the namenode writes, and there names
//! get lost: Java composes what is not composed, and datanodes before 3.3 decode a `%` twice. So nothing that
//! goes to a datanode has a name of the user in it: files are named by their numbers, and those that are written by
//! names of ours. The names themselves only the namenode hears.
//!
//! Where one namenode takes over from another, whoever stands by says so, and the other is asked. Nothing else is
//! asked twice.

use std::sync::atomic::{AtomicUsize, Ordering};

use airlift_protocol::error::ErrorCode;
use bytes::Bytes;
use futures::stream;
use reqwest::header::{self, HeaderValue};
use reqwest::{Body, Method, Request, Response, Url};
use serde::de::DeserializeOwned;
use unicode_normalization::is_nfc;

use super::access::{HdfsServer, Right, keeps_secrets};
use super::error::{is_standby, refusal};
use crate::store::StoreError;
use crate::store::http::{Door, Failed, Http, Patience, body, path};

/// Where all paths are.
const BASE: &str = "/webhdfs/v1";

/// Bytes of an answer that is no listing.
const DOCUMENT_BYTES_MAX: usize = 1 << 20;

/// Files by their numbers, which the file system finds whatever they are called.
const INODES: &str = "/.reserved/.inodes";

/// The namenodes of one file system.
#[derive(Debug)]
pub(super) struct Namenode {
    /// One for each namenode.
    places: Vec<Http>,
    /// The one that answered last.
    active: AtomicUsize,
    right: Right,
    /// What every request passes.
    pub(super) door: Door,
}

/// Something to be asked.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    method: Method,
    /// Encoded for a URL.
    path: String,
    query: Vec<(&'static str, String)>,
}

impl Ask {
    fn new(method: Method, op: &str, path: String) -> Self {
        Self { method, path, query: vec![("op", op.to_owned())] }
    }

    /// Asks about `path`, which is encoded already.
    pub(super) fn get(op: &str, path: String) -> Self {
        Self::new(Method::GET, op, path)
    }

    /// Has something done to `path`.
    pub(super) fn put(op: &str, path: String) -> Self {
        Self::new(Method::PUT, op, path)
    }

    /// The same for what the protocol asks for by POST.
    pub(super) fn post(op: &str, path: String) -> Self {
        Self::new(Method::POST, op, path)
    }

    /// Deletes `path`.
    pub(super) fn delete(path: String, depth: Depth) -> Self {
        let ask = Self::new(Method::DELETE, "DELETE", path);
        ask.with("recursive", (depth == Depth::All).to_string())
    }

    /// The same with one more pair in the query.
    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }
}

/// How much of a directory is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// Itself, when there is nothing in it.
    Own,
    /// Whatever is in it.
    All,
}

/// The path of a name, for a URL.
pub(super) fn named(path: &str) -> String {
    path::segments(path)
}

/// Whether `path` is the same for a datanode to which the namenode wrote it into an address: whatever is decoded
/// twice, or composed, or means something in an address, is not.
pub(super) fn survives(path: &str) -> bool {
    !path.contains(['%', '+', ';']) && is_nfc(path)
}

/// The path of the file with number `id`.
pub(super) fn inode(id: u64) -> String {
    format!("{INODES}/{id}")
}

/// The path of `name`, which is one of ours, in the directory with number `id`.
pub(super) fn in_directory(id: u64, name: &str) -> String {
    format!("{INODES}/{id}/{name}")
}

impl Namenode {
    pub(super) fn new(server: &HdfsServer, door: Door) -> Result<Self, StoreError> {
        let places = server.endpoints().map(Http::new).collect::<Result<_, _>>()?;
        Ok(Self { places, active: AtomicUsize::new(0), right: server.right()?, door })
    }

    /// Where requests go at the moment, for people.
    pub(super) fn endpoint(&self) -> &str {
        self.active().1.endpoint()
    }

    fn active(&self) -> (usize, &Http) {
        let index = self.active.load(Ordering::Relaxed) % self.places.len();
        (index, &self.places[index])
    }

    fn request(&self, endpoint: &str, ask: &Ask) -> Result<Request, Failed> {
        let mut text = format!("{endpoint}{BASE}{}", ask.path);
        let right = self.right.query().map(|(name, value)| (name, value.to_owned()));
        let pairs = ask.query.iter().cloned().chain(right);
        for (place, (name, value)) in pairs.enumerate() {
            let mark = if place == 0 { '?' } else { '&' };
            text.push_str(&format!("{mark}{name}={}", path::segment(&value)));
        }
        let url = Url::parse(&text).map_err(|_| Failed::protocol("the path makes no URL"))?;
        let mut request = Request::new(ask.method.clone(), url);
        self.authorize(&mut request)?;
        if ask.method != Method::GET {
            request.headers_mut().insert(header::CONTENT_LENGTH, 0.into());
        }
        Ok(request)
    }

    /// Adds what a gateway wants to see.
    fn authorize(&self, request: &mut Request) -> Result<(), Failed> {
        let text = match &self.right {
            Right::Name(_) | Right::Delegation(_) => return Ok(()),
            Right::Bearer(token) => format!("Bearer {token}"),
            Right::Password(user, password) => {
                format!(
                    "Basic {}",
                    data_encoding::BASE64.encode(format!("{user}:{password}").as_bytes())
                )
            }
        };
        let mut value = HeaderValue::from_str(&text).map_err(|_| {
            Failed::Other(ErrorCode::Unauthorized, "the credentials cannot be sent".to_owned())
        })?;
        value.set_sensitive(true);
        request.headers_mut().insert(header::AUTHORIZATION, value);
        Ok(())
    }

    /// Asks, and gives the answer when it is a success, or leads elsewhere.
    async fn send(&self, ask: &Ask) -> Result<Response, Failed> {
        let mut failed = None;
        for _ in 0..self.places.len() {
            let (index, place) = self.active();
            let answered = self.send_to(place, ask).await;
            match answered {
                Err(error) if is_elsewhere(&error) => {
                    // Whoever finds out first has it said to all.
                    let next = (index + 1) % self.places.len();
                    let _ = self.active.compare_exchange(
                        index,
                        next,
                        Ordering::Relaxed,
                        Ordering::Relaxed,
                    );
                    failed = Some(error);
                }
                answered => return answered,
            }
        }
        Err(failed.unwrap_or_else(|| Failed::protocol("there is no namenode")))
    }

    async fn send_to(&self, place: &Http, ask: &Ask) -> Result<Response, Failed> {
        let request = self.request(place.endpoint(), ask)?;
        let answer = place.send(request, Patience::Normal).await?;
        let is_good = answer.status().is_success() || answer.status() == 307;
        match is_good {
            true => Ok(answer),
            false => Err(Failed::Refused(refusal(answer).await)),
        }
    }

    /// The answer of the namenode, when it may be asked.
    async fn pass(&self, ask: &Ask) -> Result<Response, Failed> {
        self.door.pass(&ask.method, 0, self.send(ask)).await
    }

    /// Asks the namenode alone, and reads the document of its answer.
    pub(super) async fn ask<T: DeserializeOwned>(&self, ask: &Ask) -> Result<T, Failed> {
        let document = body::document(self.pass(ask).await?, DOCUMENT_BYTES_MAX).await?;
        self.parsed(&document)
    }

    fn parsed<T: DeserializeOwned>(&self, document: &[u8]) -> Result<T, Failed> {
        serde_json::from_slice(document).map_err(|error| {
            let text =
                format!("{} answered with something that is not WebHDFS: {error}", self.endpoint());
            Failed::protocol(text)
        })
    }

    /// Has the namenode do something that has no answer but that it was done.
    pub(super) async fn done(&self, ask: &Ask) -> Result<(), Failed> {
        let document = body::document(self.pass(ask).await?, DOCUMENT_BYTES_MAX).await?;
        match document.is_empty() {
            true => Ok(()),
            // A server that does not know an option leaves it out, and answers as it did before there was one.
            false => Err(Failed::protocol("the server does something else than it was asked for")),
        }
    }

    /// What the namenode answers, as it arrives.
    pub(super) async fn stream(&self, ask: &Ask) -> Result<Response, Failed> {
        let answer = self.pass(ask).await?;
        match answer.status().is_success() {
            true => Ok(answer),
            false => Err(Failed::protocol("the server sends elsewhere for a listing")),
        }
    }

    /// Asks for what a datanode has; a gateway may answer by itself.
    pub(super) async fn read(&self, ask: &Ask) -> Result<Response, Failed> {
        let exchange = async {
            let answer = self.send(ask).await?;
            match self.location(&answer)? {
                None => Ok(answer),
                Some(url) => {
                    self.send_on(Request::new(ask.method.clone(), url), Patience::Normal).await
                }
            }
        };
        self.door.pass(&ask.method, 0, exchange).await
    }

    /// The same, where the answer is a document.
    pub(super) async fn read_document<T: DeserializeOwned>(&self, ask: &Ask) -> Result<T, Failed> {
        let document = body::document(self.read(ask).await?, DOCUMENT_BYTES_MAX).await?;
        self.parsed(&document)
    }

    /// Sends `pieces` to the datanode that the namenode names.
    pub(super) async fn write(&self, ask: &Ask, pieces: &[Bytes]) -> Result<(), Failed> {
        let length: u64 = pieces.iter().map(|piece| piece.len() as u64).sum();
        let exchange = async {
            let answer = self.send(ask).await?;
            let url = self.location(&answer)?;
            let url =
                url.ok_or_else(|| Failed::protocol("the server does not say where bytes go"))?;
            let (body, patience) = body_of(pieces);
            let mut request = Request::new(ask.method.clone(), url);
            let headers = request.headers_mut();
            headers.insert(header::CONTENT_LENGTH, length.into());
            let media_type = HeaderValue::from_static("application/octet-stream");
            headers.insert(header::CONTENT_TYPE, media_type);
            *request.body_mut() = Some(body);
            self.send_on(request, patience).await.map(drop)
        };
        self.door.pass(&ask.method, length, exchange).await
    }

    /// Where an answer leads; `None` when it is the answer itself.
    fn location(&self, answer: &Response) -> Result<Option<Url>, Failed> {
        if answer.status().is_success() {
            return Ok(None);
        }
        let location = answer.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
        let url = location
            .and_then(|text| Url::parse(text).ok())
            .filter(|url| url.has_host() && matches!(url.scheme(), "http" | "https"));
        let url =
            url.ok_or_else(|| Failed::protocol("the server sends to a place that is no URL"))?;
        if self.right.is_secret() && !keeps_secrets(url.as_str()) {
            let text = format!(
                "a datanode would get the credentials for everybody on the way to read ({}): let it speak HTTPS \
                 (dfs.http.policy)",
                host_of(&url)
            );
            return Err(Failed::Other(ErrorCode::Unauthorized, text));
        }
        Ok(Some(url))
    }

    /// Sends `request` where the namenode said. What a gateway wants to see goes to that gateway only.
    async fn send_on(&self, mut request: Request, patience: Patience) -> Result<Response, Failed> {
        let (_, place) = self.active();
        let is_own =
            Url::parse(place.endpoint()).is_ok_and(|own| own.origin() == request.url().origin());
        if is_own {
            self.authorize(&mut request)?;
        }
        let datanode = place.at(host_of(request.url()));
        let answer = match datanode.send(request, patience).await {
            // It is one of many: the next request may be sent to another.
            Err(Failed::Other(ErrorCode::Unreachable, text)) => {
                let text = format!("the namenode sends to a datanode, and we {text}");
                return Err(Failed::Other(ErrorCode::Unavailable, text));
            }
            answer => answer?,
        };
        match answer.status().is_success() {
            true => Ok(answer),
            false => Err(Failed::Refused(refusal(answer).await)),
        }
    }
}

/// The body that has all `pieces`, and how long its answer may take.
fn body_of(pieces: &[Bytes]) -> (Body, Patience) {
    match pieces {
        [] => (Body::from(Bytes::new()), Patience::Normal),
        [piece] => (Body::from(piece.clone()), Patience::Normal),
        pieces => {
            let pieces: Vec<std::io::Result<Bytes>> = pieces.iter().cloned().map(Ok).collect();
            (Body::wrap_stream(stream::iter(pieces)), Patience::Long)
        }
    }
}

/// Whether another namenode may do what this one does not.
fn is_elsewhere(failed: &Failed) -> bool {
    matches!(failed, Failed::Other(ErrorCode::Unreachable, _)) || is_standby(failed)
}

/// `host:port` of `url`, for people; what else is in it may be a secret.
fn host_of(url: &Url) -> String {
    let port = url.port_or_known_default().map_or_else(String::new, |port| format!(":{port}"));
    format!("{}{port}", url.host_str().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::fence::Fence;
    use crate::store::hdfs::access::HdfsCredentials;
    use crate::store::pace::Paces;

    fn namenode(right: Right) -> Namenode {
        let endpoint = "http://127.0.0.1:1".to_owned();
        let server = HdfsServer {
            endpoint,
            standby: None,
            user: Some("me".to_owned()),
            credentials: HdfsCredentials::None,
        };
        let door = Door::new(Paces::default().of("tests"), Fence::default());
        Namenode { right, ..Namenode::new(&server, door).unwrap() }
    }

    #[test]
    fn a_name_reaches_the_namenode_byte_for_byte() {
        let named = named("/a b/%2F+cafe\u{301}?#;");
        let ask = Ask::put("RENAME", named).with("destination", "/x,y&z=%+ ");
        let own = namenode(Right::Name(Some("m&e".to_owned())));
        let request = own.request("http://127.0.0.1:1", &ask).unwrap();
        let expected = "http://127.0.0.1:1/webhdfs/v1/a%20b/%252F%2Bcafe%CC%81%3F%23%3B\
            ?op=RENAME&destination=%2Fx%2Cy%26z%3D%25%2B%20&user.name=m%26e";
        assert_eq!(request.url().as_str(), expected);
    }

    #[test]
    fn names_that_an_address_would_change_are_known() {
        for path in ["/a b/\u{e9}", "/a&b=c?#\n"] {
            assert!(survives(path), "{path}");
        }
        for path in ["/50%", "/a+b", "/a;b", "/cafe\u{301}"] {
            assert!(!survives(path), "{path}");
        }
    }

    #[test]
    fn secrets_stand_where_they_belong() {
        let ask = Ask::get("GETFILESTATUS", inode(7));
        let request = |right| namenode(right).request("http://127.0.0.1:1", &ask).unwrap();
        let delegation = request(Right::Delegation("T-1".to_owned()));
        assert!(delegation.url().as_str().ends_with("&delegation=T-1"));
        let password = request(Right::Password("u".to_owned(), "p".to_owned()));
        assert_eq!(password.headers()[header::AUTHORIZATION], "Basic dTpw");
        assert!(password.url().as_str().ends_with("/.reserved/.inodes/7?op=GETFILESTATUS"));
        let bearer = request(Right::Bearer("b".to_owned()));
        assert_eq!(bearer.headers()[header::AUTHORIZATION], "Bearer b");
    }

    #[test]
    fn a_datanode_is_named_without_what_is_secret() {
        let url = Url::parse("https://dn:9865/webhdfs/v1/x?delegation=secret").unwrap();
        assert_eq!(host_of(&url), "dn:9865");
    }
}
