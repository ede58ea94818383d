//! The client of one container: requests, their right, and what all of them share.

use airlift_protocol::error::ErrorCode;
use airlift_protocol::id::JobId;
use airlift_protocol::job::TagPolicy;
use airlift_protocol::key::Key;
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use bytes::Bytes;
use reqwest::header::{self, HeaderName, HeaderValue};
use reqwest::{Body, Method, Request, Response, Url};

use super::AzureOptions;
use super::access::{Access, Right};
use super::error::{refusal, store_error};
use super::identity::Identity;
use super::names::Names;
use crate::store::StoreError;
use crate::store::copier::Doubts;
use crate::store::http::{Door, Failed, Http, Patience, path};
use crate::store::skew::{Skew, words};

/// The version of the protocol that requests are made in: large blocks, encoded names in listings.
pub(super) const VERSION: &str = "2021-12-02";

const NS_PER_SECOND: i64 = 1_000_000_000;

/// Seconds for which the service itself is given the right to read a blob that it is to copy.
const COPY_SECONDS: i64 = 3_600;

/// A container, the prefix within it, and how to talk to it.
#[derive(Debug)]
pub(super) struct Container {
    pub(super) name: String,
    pub(super) names: Names,
    pub(super) job: JobId,
    /// Entries that are asked for in one page of a listing.
    pub(super) page_entries: u32,
    /// Whether tags are read with the other attributes.
    pub(super) tags: TagPolicy,
    /// Whether tiers are read with the other attributes.
    pub(super) tiers: bool,
    /// Requests that are made at once for many blobs, as far as the gate lets them.
    pub(super) requests_max: usize,
    /// What every request passes.
    pub(super) door: Door,
    /// Copies by the service that were not proven.
    pub(super) doubts: Doubts,
    http: Http,
    /// URL of the container, without a slash at its end.
    url: String,
    right: Right,
    identity: Option<Identity>,
    /// The service's clock beside ours.
    skew: Skew,
}

/// What a request is about.
#[derive(Clone, Copy, Debug)]
pub(super) enum Subject<'a> {
    /// The container itself.
    Container,
    /// The blob of that name.
    Blob(&'a str),
}

impl Container {
    pub(super) fn open(options: AzureOptions) -> Result<Self, StoreError> {
        let names = Names::new(options.prefix)?;
        let (account, endpoint) = (options.account.as_deref(), options.endpoint.as_deref());
        let access = Access::resolve(&options.container, account, endpoint, &options.environment)?;
        let identity = match &access.right {
            Right::Entra(principal) => Some(Identity::new(principal)),
            Right::Key(_) | Right::Sas(_) => None,
        };
        let place = format!("az://{} at {}", options.container, access.endpoint);
        let pace = options.paces.of(&place);
        Ok(Self {
            requests_max: options.paces.requests_max(),
            skew: pace.skew(),
            door: Door::new(pace, options.fence),
            doubts: Doubts::default(),
            url: format!("{}/{}", access.endpoint, path::segment(&options.container)),
            http: Http::new(access.endpoint)?,
            name: options.container,
            names,
            job: options.job,
            page_entries: options.page_entries,
            tags: options.tags,
            tiers: options.tiers,
            right: access.right,
            identity,
        })
    }

    /// Where requests go, for people.
    pub(super) fn endpoint(&self) -> &str {
        self.http.endpoint()
    }

    /// By what right requests are made, found out as far as that goes without a request.
    pub(super) async fn credentials(&self) -> Result<&'static str, StoreError> {
        match (&self.right, &self.identity) {
            (Right::Key(_), _) => Ok("the account's key"),
            (Right::Sas(_), _) => Ok("a shared access signature"),
            (Right::Entra(_), identity) => {
                if let Some(identity) = identity {
                    let asked = identity.token().await;
                    asked.map_err(|failed| store_error("use", &self.place(), &failed))?;
                }
                let way = identity.as_ref().and_then(Identity::chosen);
                Ok(way.unwrap_or("Entra ID"))
            }
        }
    }

    /// A request about `subject`, with the pairs of its query.
    pub(super) fn request(
        &self,
        method: Method,
        subject: Subject<'_>,
        query: &[(&str, &str)],
    ) -> Result<Request, Failed> {
        let mut text = self.url.clone();
        if let Subject::Blob(name) = subject {
            text.push('/');
            text.push_str(&path::segments(name));
        }
        let signature = match &self.right {
            Right::Sas(pairs) => pairs.as_slice(),
            Right::Key(_) | Right::Entra(_) => &[],
        };
        let signature = signature.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (place, (name, value)) in query.iter().copied().chain(signature).enumerate() {
            let mark = if place == 0 { '?' } else { '&' };
            text.push_str(&format!("{mark}{}={}", path::segment(name), path::segment(value)));
        }
        let url = Url::parse(&text)
            .map_err(|_| Failed::protocol("the name of the blob makes no URL".to_owned()))?;
        Ok(Request::new(method, url))
    }

    /// The same with a body.
    pub(super) fn put(
        &self,
        subject: Subject<'_>,
        query: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Request, Failed> {
        let mut request = self.request(Method::PUT, subject, query)?;
        request.headers_mut().insert(header::CONTENT_LENGTH, body.len().into());
        *request.body_mut() = Some(Body::from(body));
        Ok(request)
    }

    /// Sends `request` by right when it may begin, and gives the answer when it is a success.
    pub(super) async fn send(
        &self,
        request: Request,
        patience: Patience,
    ) -> Result<Response, Failed> {
        let bytes = request.body().and_then(Body::as_bytes).map_or(0, <[u8]>::len) as u64;
        let method = request.method().clone();
        self.door.pass(&method, bytes, self.exchange(request, patience)).await
    }

    async fn exchange(&self, mut request: Request, patience: Patience) -> Result<Response, Failed> {
        let headers = request.headers_mut();
        headers.insert("x-ms-version", HeaderValue::from_static(VERSION));
        headers.insert("x-ms-date", date(self.skew.seconds())?);
        if let Right::Key(key) = &self.right {
            let authorization = secret(&key.authorization(&request))?;
            request.headers_mut().insert(header::AUTHORIZATION, authorization);
        }
        if let Some(identity) = &self.identity {
            let authorization = secret(&format!("Bearer {}", identity.token().await?))?;
            request.headers_mut().insert(header::AUTHORIZATION, authorization);
        }
        let answer = self.http.send(request, patience).await?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status().as_u16();
        let is_ours = answer.headers().contains_key("x-ms-request-id");
        if !is_ours && matches!(status, 200..=400 | 402 | 404..=428) {
            let text = format!(
                "{} answered with status {status} and with something that is not Azure Blob Storage",
                self.endpoint()
            );
            return Err(Failed::protocol(text));
        }
        let date = answer.headers().get(header::DATE).and_then(|date| date.to_str().ok());
        let date = date.map(str::to_owned);
        let refusal = refusal(answer).await;
        let is_signed = matches!(self.right, Right::Key(_));
        if is_signed
            && refusal.code.as_deref() == Some("AuthenticationFailed")
            && let Some(ahead_ms) = date.and_then(|date| self.skew.correct(&date))
        {
            let text = format!(
                "the clock of {} is {}: requests are signed by it from now on",
                self.endpoint(),
                words(ahead_ms)
            );
            return Err(Failed::Other(ErrorCode::Unavailable, text));
        }
        Err(Failed::Refused(refusal))
    }

    /// The headers by which the service reads the blob itself, to copy it.
    pub(super) async fn copy_source(
        &self,
        blob: &str,
    ) -> Result<Vec<(HeaderName, HeaderValue)>, Failed> {
        let mut url = self.request(Method::GET, Subject::Blob(blob), &[])?.url().to_string();
        if let Right::Key(key) = &self.right {
            let pairs = key.right_to_read(&self.name, blob, self.skew.seconds() + COPY_SECONDS);
            for (place, (name, value)) in pairs.iter().enumerate() {
                let mark = if place == 0 { '?' } else { '&' };
                url.push_str(&format!("{mark}{name}={}", path::segment(value)));
            }
        }
        let source = HeaderName::from_static("x-ms-copy-source");
        let mut headers = vec![(source, secret(&url)?)];
        if let Some(identity) = &self.identity {
            let bearer = format!("Bearer {}", identity.token().await?);
            let name = HeaderName::from_static("x-ms-copy-source-authorization");
            headers.push((name, secret(&bearer)?));
        }
        Ok(headers)
    }

    /// `az://container/key`, for people.
    pub(super) fn name_of(&self, key: &Key) -> String {
        format!("az://{}/{}", self.name, key.with_prefix(self.names.prefix().as_bytes()))
    }

    /// `az://container/prefix`, for people.
    pub(super) fn place(&self) -> String {
        format!("az://{}/{}", self.name, Key::from(self.names.prefix()))
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

/// Adds a header whose value was made here.
pub(super) fn set(request: &mut Request, name: &'static str, value: &str) -> Result<(), Failed> {
    let value = HeaderValue::from_str(value)
        .map_err(|_| Failed::protocol(format!("{name} cannot be '{}'", Key::from(value))))?;
    request.headers_mut().insert(HeaderName::from_static(name), value);
    Ok(())
}

/// A value that is never shown.
fn secret(text: &str) -> Result<HeaderValue, Failed> {
    let mut value = HeaderValue::from_str(text).map_err(|_| {
        let text = "the credentials have characters that no header can carry";
        Failed::Other(ErrorCode::Unauthorized, text.to_owned())
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// A time in seconds since 1970 as requests carry it.
fn date(seconds: i64) -> Result<HeaderValue, Failed> {
    let text = DateTime::from_secs(seconds).fmt(Format::HttpDate).unwrap_or_default();
    HeaderValue::from_str(&text).map_err(|_| {
        Failed::Other(ErrorCode::Unauthorized, "the clock of this machine has no date".to_owned())
    })
}

/// Nanoseconds of a time as the service writes it, in whole seconds; `None` when it is none.
pub(super) fn parse_date(text: &str) -> Option<i64> {
    DateTime::from_str(text, Format::HttpDate).ok()?.secs().checked_mul(NS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::azure::AzureEnvironment;

    fn container(environment: AzureEnvironment) -> Container {
        let options = AzureOptions {
            account: Some("acc".to_owned()),
            endpoint: Some("http://127.0.0.1:1/acc/".to_owned()),
            environment,
            ..AzureOptions::new("c", "p/", JobId([0; 16]))
        };
        Container::open(options).unwrap()
    }

    #[test]
    fn urls_have_names_byte_for_byte_and_the_signature_at_their_end() {
        let key = Some("a2V5".to_owned());
        let keyed = container(AzureEnvironment { key, ..AzureEnvironment::default() });
        let request = keyed.request(Method::GET, Subject::Blob("p//a b?#%/é"), &[]).unwrap();
        let expected = "http://127.0.0.1:1/acc/c/p//a%20b%3F%23%25/%C3%A9";
        assert_eq!(request.url().as_str(), expected);
        let sas_token = Some("sv=1&sig=a%2Bb%3D".to_owned());
        let signed = container(AzureEnvironment { sas_token, ..AzureEnvironment::default() });
        let query = [("comp", "list"), ("prefix", "p/&")];
        let request = signed.request(Method::GET, Subject::Container, &query).unwrap();
        let expected = "http://127.0.0.1:1/acc/c?comp=list&prefix=p%2F%26&sv=1&sig=a%2Bb%3D";
        assert_eq!(request.url().as_str(), expected);
        assert!(!format!("{keyed:?} {signed:?}").contains("a+b="));
    }

    #[test]
    fn times_are_read_in_whole_seconds() {
        assert_eq!(parse_date("Thu, 01 Jan 1970 00:00:05 GMT"), Some(5_000_000_000));
        assert_eq!(parse_date("yesterday"), None);
    }
}
