//! The client of one bucket: requests, their right, and what all of them share.

use airlift_protocol::error::ErrorCode;
use airlift_protocol::key::Key;
use bytes::Bytes;
use reqwest::header::{self, HeaderValue};
use reqwest::{Body, Method, Request, Response, Url};
use serde::de::DeserializeOwned;

use super::GcsOptions;
use super::access::{Right, endpoint};
use super::error::{is_absent, refusal, store_error};
use super::names::Names;
use super::resource::Resource;
use crate::store::StoreError;
use crate::store::copier::Doubts;
use crate::store::http::{Door, Failed, Http, Patience, body, path};

/// Bytes of a document: a thousand objects with long names and 8 KiB of metadata each.
const DOCUMENT_BYTES_MAX: usize = 64 << 20;

/// A bucket, the prefix within it, and how to talk to it.
#[derive(Debug)]
pub(super) struct Bucket {
    pub(super) name: String,
    pub(super) names: Names,
    /// Requests that are made at once for many objects, as far as the gate lets them.
    pub(super) requests_max: usize,
    /// What every request passes.
    pub(super) door: Door,
    /// Copies by the service that were not proven.
    pub(super) doubts: Doubts,
    http: Http,
    right: Right,
}

/// What a request is about.
#[derive(Clone, Copy, Debug)]
pub(super) enum Subject<'a> {
    /// All objects of the bucket.
    Objects,
    /// The object of that name.
    Object(&'a str),
    /// The object that is composed under that name.
    Composed(&'a str),
    /// An object that comes along.
    Upload,
    /// The object `to`, that is a copy of an object of another bucket.
    Rewritten {
        /// That bucket.
        bucket: &'a str,
        /// Its name there.
        name: &'a str,
        /// Its name here.
        to: &'a str,
    },
}

impl Bucket {
    pub(super) fn open(options: GcsOptions) -> Result<Self, StoreError> {
        let names = Names::new(options.prefix, options.job)?;
        let (set, emulator) = (options.endpoint.as_deref(), options.emulator.as_deref());
        let endpoint = endpoint(&options.bucket, set, emulator)?;
        let place = format!("gs://{} at {endpoint}", options.bucket);
        Ok(Self {
            requests_max: options.paces.requests_max(),
            door: Door::new(options.paces.of(&place), options.fence),
            doubts: Doubts::default(),
            right: Right::of(&endpoint),
            http: Http::new(endpoint)?,
            name: options.bucket,
            names,
        })
    }

    /// Where requests go, for people.
    pub(super) fn endpoint(&self) -> &str {
        self.http.endpoint()
    }

    /// Whether it is the service itself: emulators are reached without any right.
    pub(super) fn is_service(&self) -> bool {
        matches!(self.right, Right::Default(_))
    }

    /// By what right requests are made; a token is asked for.
    pub(super) async fn credentials(&self) -> Result<&'static str, StoreError> {
        let headers = self.right.headers().await;
        headers.map_err(|failed| store_error("use", &self.place(), &failed))?;
        Ok(match self.right {
            Right::Nobody => "none, as for an emulator",
            Right::Default(_) => "found",
        })
    }

    /// A request about `subject`, with the pairs of its query.
    pub(super) fn request(
        &self,
        method: Method,
        subject: Subject<'_>,
        query: &[(&str, &str)],
    ) -> Result<Request, Failed> {
        let bucket = path::segment(&self.name);
        let objects = format!("/storage/v1/b/{bucket}/o");
        let path = match subject {
            Subject::Objects => objects,
            Subject::Object(name) => format!("{objects}/{}", path::segment(name)),
            Subject::Composed(name) => format!("{objects}/{}/compose", path::segment(name)),
            Subject::Upload => format!("/upload{objects}"),
            Subject::Rewritten { bucket: from, name, to } => {
                let (from, name, to) =
                    (path::segment(from), path::segment(name), path::segment(to));
                format!("/storage/v1/b/{from}/o/{name}/rewriteTo/b/{bucket}/o/{to}")
            }
        };
        let mut text = format!("{}{path}", self.endpoint());
        for (place, (name, value)) in query.iter().enumerate() {
            let mark = if place == 0 { '?' } else { '&' };
            text.push_str(&format!("{mark}{name}={}", path::segment(value)));
        }
        let url = Url::parse(&text)
            .map_err(|_| Failed::protocol("the name of the object makes no URL"))?;
        Ok(Request::new(method, url))
    }

    /// The same with a body.
    pub(super) fn post(
        &self,
        subject: Subject<'_>,
        query: &[(&str, &str)],
        content_type: &str,
        body: (Body, u64),
    ) -> Result<Request, Failed> {
        let mut request = self.request(Method::POST, subject, query)?;
        let (body, length) = body;
        let content_type = HeaderValue::from_str(content_type)
            .map_err(|_| Failed::protocol("a media type that is none"))?;
        request.headers_mut().insert(header::CONTENT_TYPE, content_type);
        request.headers_mut().insert(header::CONTENT_LENGTH, length.into());
        *request.body_mut() = Some(body);
        Ok(request)
    }

    /// Sends `request` by right when it may begin, and gives the answer when it is a success.
    pub(super) async fn send(
        &self,
        mut request: Request,
        patience: Patience,
    ) -> Result<Response, Failed> {
        let bytes = request.body().and_then(Body::as_bytes).map_or(0, <[u8]>::len) as u64;
        let method = request.method().clone();
        let exchange = async {
            request.headers_mut().extend(self.right.headers().await?);
            let answer = self.http.send(request, patience).await?;
            match answer.status().is_success() {
                true => Ok(answer),
                false => Err(Failed::Refused(refusal(answer).await)),
            }
        };
        self.door.pass(&method, bytes, exchange).await
    }

    /// Sends `request`, and reads the document of its answer.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        request: Request,
        patience: Patience,
    ) -> Result<T, Failed> {
        let answer = self.send(request, patience).await?;
        let document = body::document(answer, DOCUMENT_BYTES_MAX).await?;
        serde_json::from_slice(&document).map_err(|error| {
            let text = format!(
                "{} answered with something that is not Google Cloud Storage: {error}",
                self.endpoint()
            );
            Failed::protocol(text)
        })
    }

    /// What the service says of the object of that name, or `None` when there is none.
    pub(super) async fn resource(&self, name: &str) -> Result<Option<Resource>, Failed> {
        let request = self.request(Method::GET, Subject::Object(name), &[])?;
        match self.ask(request, Patience::Normal).await {
            Ok(resource) => Ok(Some(resource)),
            Err(failed) if is_absent(&failed) => Ok(None),
            Err(failed) => Err(failed),
        }
    }

    /// Writes an object without attributes; its answer says what was computed of it.
    pub(super) async fn put_plain(&self, name: &str, bytes: Bytes) -> Result<Resource, Failed> {
        let query = [("uploadType", "media"), ("name", name)];
        let length = bytes.len() as u64;
        let body = (Body::from(bytes), length);
        let request = self.post(Subject::Upload, &query, "application/octet-stream", body)?;
        self.ask(request, Patience::Normal).await
    }

    /// Deletes an object, if it is there; with a generation, only that state of it.
    pub(super) async fn remove(&self, name: &str, generation: Option<u64>) -> Result<(), Failed> {
        let generation = generation.map(|generation| generation.to_string());
        let condition = generation.as_deref().map(|generation| ("ifGenerationMatch", generation));
        let query: Vec<(&str, &str)> = condition.into_iter().collect();
        let request = self.request(Method::DELETE, Subject::Object(name), &query)?;
        match self.send(request, Patience::Normal).await {
            Ok(_) => Ok(()),
            Err(failed) if is_absent(&failed) => Ok(()),
            Err(failed) => Err(failed),
        }
    }

    /// `gs://bucket/key`, for people.
    pub(super) fn name_of(&self, key: &Key) -> String {
        format!("gs://{}/{}", self.name, key.with_prefix(self.names.prefix().as_bytes()))
    }

    /// `gs://bucket/prefix`, for people.
    pub(super) fn place(&self) -> String {
        format!("gs://{}/{}", self.name, Key::from(self.names.prefix()))
    }

    /// The error of `action` on `key`.
    pub(super) fn error(&self, action: &str, key: &Key, failed: &Failed) -> StoreError {
        store_error(action, &self.name_of(key), failed)
    }

    /// An error with `text` about `key`.
    pub(super) fn complaint(&self, code: ErrorCode, key: &Key, text: &str) -> StoreError {
        StoreError::new(code, format!("{}: {text}", self.name_of(key)))
    }
}

#[cfg(test)]
mod tests {
    use airlift_protocol::id::JobId;

    use super::*;

    #[test]
    fn a_name_is_one_segment_of_the_path_byte_for_byte() {
        let endpoint = Some("http://127.0.0.1:1/".to_owned());
        let options = GcsOptions { endpoint, ..GcsOptions::new("b", "", JobId([0; 16])) };
        let bucket = Bucket::open(options).unwrap();
        let url = |subject| {
            let request = bucket.request(Method::GET, subject, &[("a", "b&c/")]).unwrap();
            request.url().as_str().trim_start_matches("http://127.0.0.1:1").to_owned()
        };
        let expected = "/storage/v1/b/b/o/..%2Fa%2F%2Fb%20%3F%23%25?a=b%26c%2F";
        assert_eq!(url(Subject::Object("../a//b ?#%")), expected);
        assert_eq!(url(Subject::Composed("x/")), "/storage/v1/b/b/o/x%2F/compose?a=b%26c%2F");
        assert_eq!(url(Subject::Upload), "/upload/storage/v1/b/b/o?a=b%26c%2F");
        let copied = Subject::Rewritten { bucket: "other", name: "x/y", to: "z" };
        let expected = "/storage/v1/b/other/o/x%2Fy/rewriteTo/b/b/o/z?a=b%26c%2F";
        assert_eq!(url(copied), expected);
    }
}
