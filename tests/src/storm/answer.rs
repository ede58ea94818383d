//! Answers that are made up, and answers that are spoilt.

use std::io::{self, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::stream;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::http::response::Parts;
use hyper::{Response, StatusCode};
use s3s::{Body, HttpResponse};

/// Leads on from a first page that is empty. It comes before all keys that tests have.
const NEXT: &str = "!";

/// An answer of the server, with all of its body.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) parts: Parts,
    pub(super) body: Bytes,
}

impl Clone for Whole {
    fn clone(&self) -> Self {
        let mut parts = Response::new(()).into_parts().0;
        parts.status = self.parts.status;
        parts.headers = self.parts.headers.clone();
        Self { parts, body: self.body.clone() }
    }
}

impl Whole {
    fn new(status: u16, body: String) -> Self {
        let mut parts = Response::new(()).into_parts().0;
        parts.status = StatusCode::from_u16(status).expect("a status of HTTP");
        parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
        Self { parts, body: Bytes::from(body) }.with_length()
    }

    /// Nothing but a status.
    pub(super) fn bare(status: u16) -> Self {
        Self::new(status, String::new())
    }

    /// An error as S3 writes it; an answer to HEAD has no body.
    pub(super) fn error(status: u16, code: &str, is_head: bool) -> Self {
        let text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
        let document = format!("<Error><Code>{code}</Code><Message>A storm.</Message></Error>");
        Self::new(status, if is_head { String::new() } else { format!("{text}{document}") })
    }

    /// A page of a listing with nothing on it: the last one, or the first.
    pub(super) fn nothing(goes_on: bool) -> Self {
        let next = match goes_on {
            true => format!("<NextContinuationToken>{NEXT}</NextContinuationToken>"),
            false => String::new(),
        };
        let body = format!(
            "<ListBucketResult><KeyCount>0</KeyCount><IsTruncated>{goes_on}</IsTruncated>{next}\
             </ListBucketResult>"
        );
        Self::new(200, body)
    }

    /// The same with one header more.
    pub(super) fn with(mut self, name: HeaderName, value: &str) -> Self {
        let value = HeaderValue::from_str(value).expect("the value of a header");
        self.parts.headers.insert(name, value);
        self
    }

    fn with_length(mut self) -> Self {
        self.parts.headers.insert(header::CONTENT_LENGTH, self.body.len().into());
        self
    }

    /// Half of the body, which is said to be all.
    pub(super) fn cut_short(mut self) -> Self {
        self.body.truncate(self.body.len() / 2);
        self.with_length()
    }

    /// The body compressed, and said to be.
    pub(super) fn compressed(mut self) -> Self {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        let written = encoder.write_all(&self.body).and_then(|()| encoder.finish());
        self.body = Bytes::from(written.expect("memory can be written to"));
        self.with_length().with(header::CONTENT_ENCODING, "gzip")
    }

    /// Sums that are not those of the body.
    pub(super) fn with_wrong_sums(mut self) -> Self {
        let crc = HeaderValue::from_static("AAAAAA==");
        let etag = HeaderValue::from_static("\"00000000000000000000000000000000\"");
        self.parts.headers.insert(HeaderName::from_static("x-amz-checksum-crc32c"), crc);
        if let Some(held) = self.parts.headers.get_mut(header::ETAG) {
            *held = etag;
        }
        self
    }

    /// What is sent.
    pub(super) fn send(self) -> HttpResponse {
        Response::from_parts(self.parts, Body::from(self.body))
    }

    /// What is sent, broken off in the middle of the body.
    pub(super) fn send_half(self) -> HttpResponse {
        let half = self.body.slice(..self.body.len() / 2);
        let broken = io::Error::from(io::ErrorKind::ConnectionReset);
        let pieces = stream::iter([Ok(half), Err(broken)]);
        let body = Body::http_body_unsync(reqwest::Body::wrap_stream(pieces));
        Response::from_parts(self.parts, body)
    }
}
