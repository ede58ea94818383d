//! What becomes of a request that did not succeed.

use std::error::Error;
use std::io;
use std::time::Duration;

use airlift_protocol::error::ErrorCode;
use reqwest::Response;
use reqwest::header::RETRY_AFTER;

use crate::store::StoreError;
use crate::store::pace::Setback;

/// The code that a status alone means, where a service gives none of its own.
pub(in crate::store) fn classify_status(status: u16) -> ErrorCode {
    match status {
        301 | 302 | 307 | 308 => ErrorCode::LocationMissing,
        401 => ErrorCode::Unauthorized,
        403 => ErrorCode::PermissionDenied,
        404 => ErrorCode::NotFound,
        408 => ErrorCode::TimedOut,
        409 => ErrorCode::Conflict,
        412 | 416 => ErrorCode::SourceChanged,
        413 => ErrorCode::TooLarge,
        429 => ErrorCode::Throttled,
        507 => ErrorCode::NoSpace,
        501 => ErrorCode::Protocol,
        500..=599 => ErrorCode::Unavailable,
        _ => ErrorCode::Protocol,
    }
}

/// What a service answered instead of what was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct Refusal {
    /// Status of the answer.
    pub(in crate::store) status: u16,
    /// The service's own word for it.
    pub(in crate::store) code: Option<String>,
    /// Its text, one line.
    pub(in crate::store) message: Option<String>,
    /// What that means.
    pub(in crate::store) means: ErrorCode,
    /// For how long the service wants to be left alone, if it says so.
    pub(in crate::store) pause: Option<Duration>,
}

/// For how long a service wants to be left alone: `Retry-After` in seconds. As a date nobody sends it.
pub(in crate::store) fn pause_of(answer: &Response) -> Option<Duration> {
    let seconds = answer.headers().get(RETRY_AFTER)?.to_str().ok()?;
    seconds.trim().parse().ok().map(Duration::from_secs)
}

/// Why a request came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) enum Failed {
    /// The service refused it.
    Refused(Refusal),
    /// It could not be made, sent or answered.
    Other(ErrorCode, String),
}

impl Failed {
    /// A connection that could not be made reaches the whole job; one that broke, only the request.
    pub(in crate::store) fn transport(endpoint: &str, error: reqwest::Error) -> Self {
        // The URL may have a signature in it.
        let error = error.without_url();
        if error.is_timeout() {
            let text = format!("no answer from {endpoint} in time");
            return Self::Other(ErrorCode::TimedOut, text);
        }
        let cause = deepest(&error);
        match is_unreachable(&error) || error.is_connect() {
            true => {
                let text = format!("cannot connect to {endpoint}: {cause}");
                Self::Other(ErrorCode::Unreachable, text)
            }
            false => {
                let text = format!("the connection to {endpoint} broke: {cause}");
                Self::Other(ErrorCode::Unavailable, text)
            }
        }
    }

    /// An answer that is not of the service's protocol.
    pub(in crate::store) fn protocol(text: impl Into<String>) -> Self {
        Self::Other(ErrorCode::Protocol, text.into())
    }

    /// Status of the answer, when there is one.
    pub(in crate::store) fn status(&self) -> Option<u16> {
        match self {
            Self::Refused(refusal) => Some(refusal.status),
            Self::Other(..) => None,
        }
    }

    /// What it means.
    pub(in crate::store) fn means(&self) -> ErrorCode {
        match self {
            Self::Refused(refusal) => refusal.means,
            Self::Other(code, _) => *code,
        }
    }

    /// The service's own word, when there is one.
    pub(in crate::store) fn code(&self) -> Option<&str> {
        match self {
            Self::Refused(refusal) => refusal.code.as_deref(),
            Self::Other(..) => None,
        }
    }
}

impl Setback for Failed {
    fn code(&self) -> ErrorCode {
        self.means()
    }

    fn pause(&self) -> Option<Duration> {
        match self {
            Self::Refused(refusal) => {
                refusal.pause.filter(|_| refusal.means == ErrorCode::Throttled)
            }
            Self::Other(..) => None,
        }
    }
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::Other(error.code, error.detail().to_owned())
    }
}

/// The code of a body that broke off while it was read.
pub(in crate::store) fn body_failed(error: reqwest::Error) -> (ErrorCode, String) {
    let error = error.without_url();
    let code = match error.is_timeout() {
        true => ErrorCode::TimedOut,
        false => ErrorCode::Unavailable,
    };
    (code, format!("the connection broke: {}", deepest(&error)))
}

fn is_unreachable(error: &(dyn Error + 'static)) -> bool {
    chain(error).any(|cause| {
        let kind = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        matches!(
            kind,
            Some(
                io::ErrorKind::ConnectionRefused
                    | io::ErrorKind::HostUnreachable
                    | io::ErrorKind::NetworkUnreachable
                    | io::ErrorKind::AddrNotAvailable
            )
        )
    })
}

/// An error, what caused it, and so on.
pub(in crate::store) fn chain<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// The text of the cause of all causes, without the number that Rust appends.
pub(in crate::store) fn deepest(error: &(dyn Error + 'static)) -> String {
    let text = chain(error).last().map(ToString::to_string).unwrap_or_default();
    match text.find(" (os error") {
        Some(end) => text[..end].to_lowercase(),
        None => text.trim_end_matches('.').to_owned(),
    }
}

/// The first line of `text`, without the full stop and without what would let somebody in.
pub(in crate::store) fn first_line(text: &str) -> String {
    masked(text.lines().next().unwrap_or_default().trim().trim_end_matches('.'))
}

/// What stands before a signature or token of a URL.
const SIGNED: [&str; 3] = ["sig=", "signature=", "token="];

/// A service may repeat in an error what it was sent: a signature of a URL is good for whoever reads it.
fn masked(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let mut masked = String::with_capacity(text.len());
    let mut done = 0;
    for (begin, _) in text.char_indices() {
        let Some(name) = SIGNED.iter().find(|name| lower[begin..].starts_with(**name)) else {
            continue;
        };
        if begin < done {
            continue;
        }
        let value = begin + name.len();
        let is_end = |char: char| char.is_whitespace() || "&\"'<>,;)".contains(char);
        let end = text[value..].find(is_end).map_or(text.len(), |length| value + length);
        masked.push_str(&text[done..value]);
        masked.push('…');
        done = end;
    }
    masked.push_str(&text[done..]);
    masked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_there_is_unreachable_and_no_url_is_told() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let url = format!("http://{address}/container?sig=secret");
        let error = reqwest::Client::new().get(url).send().await.unwrap_err();
        let Failed::Other(code, text) = Failed::transport("the endpoint", error) else {
            panic!("nobody answered")
        };
        assert_eq!(code, ErrorCode::Unreachable, "{text}");
        assert!(text.contains("the endpoint") && !text.contains("secret"), "{text}");
    }

    #[test]
    fn signatures_that_a_service_repeats_are_not_told() {
        for (text, told) in [
            ("GET /c?sv=2&sig=a%2Fb&se=9 is refused", "GET /c?sv=2&sig=…&se=9 is refused"),
            ("X-Amz-Signature=00ff", "X-Amz-Signature=…"),
            ("x-amz-security-token=a,sig=b", "x-amz-security-token=…,sig=…"),
            ("ä sig=ü\"ö", "ä sig=…\"ö"),
            ("the signature does not match", "the signature does not match"),
        ] {
            assert_eq!(first_line(text), told);
        }
    }

    #[test]
    fn a_text_is_cut_to_its_first_line() {
        assert_eq!(first_line("The blob is gone.\nRequestId:1\n"), "The blob is gone");
        assert_eq!(first_line(""), "");
    }
}
