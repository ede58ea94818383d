//! The SDK's errors as codes that decide, with a text that names the thing.

use std::error::Error;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use airlift_protocol::error::ErrorCode;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_types::byte_stream::error::Error as ByteStreamError;

use super::provider::Provider;
use crate::store::StoreError;
use crate::store::http::error::{chain, classify_status, deepest};
use crate::store::skew::{Skew, ahead_ms, words};

/// What errors of a service name.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) provider: &'static Provider,
    /// Where requests go.
    pub(super) endpoint: String,
    /// What the user can do about missing or wrong credentials.
    pub(super) credentials_way_out: String,
    /// How it refused the credentials, once it has.
    pub(super) refusal: Arc<OnceLock<StoreError>>,
    /// Its clock beside ours.
    pub(super) skew: Skew,
}

/// The HTTP response of the SDK.
pub(super) type Response = aws_sdk_s3::config::http::HttpResponse;

/// The code that S3 gave for an error, such as `NoSuchKey`.
pub(super) fn code_of<E: ProvideErrorMetadata>(error: &SdkError<E, Response>) -> Option<&str> {
    error.as_service_error().and_then(ProvideErrorMetadata::code)
}

/// Whether the answer was "there is no such object".
pub(super) fn is_absent<E: ProvideErrorMetadata>(error: &SdkError<E, Response>) -> bool {
    let is_404 = error.raw_response().is_some_and(|response| response.status().as_u16() == 404);
    is_404 && matches!(code_of(error), None | Some("NoSuchKey" | "NotFound" | "NoSuchVersion"))
}

/// The error of `action` on `what`, answered by `service`.
pub(super) fn store_error<E>(
    action: &str,
    what: &str,
    service: &Service,
    error: &SdkError<E, Response>,
) -> StoreError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    if let Some(refusal) = chain(error).find_map(<dyn Error>::downcast_ref::<StoreError>) {
        return refusal.clone();
    }
    let Service { provider, endpoint, credentials_way_out, .. } = service;
    let (code, reason) = match error {
        SdkError::ServiceError(answer) if answer.raw().status().is_success() => {
            // An error inside an answer of status 200, or one that cannot be read.
            match code_of(error) {
                Some(code) => {
                    let reason = reason(Some(code), answer.err().message(), 500, provider);
                    (classify(Some(code), 500), reason)
                }
                None => not_s3(endpoint, error),
            }
        }
        SdkError::ServiceError(answer) => {
            refused(service, answer.raw(), code_of(error), answer.err().message())
        }
        SdkError::TimeoutError(_) => {
            (ErrorCode::TimedOut, format!("no answer from {endpoint} in time"))
        }
        SdkError::ResponseError(_) => not_s3(endpoint, error),
        SdkError::ConstructionFailure(_) if is_about_credentials(error) => {
            no_credentials(service, error)
        }
        SdkError::ConstructionFailure(_) => {
            let text = format!("S3 cannot express this request: {}", deepest(error));
            (ErrorCode::KindUnsupported, text)
        }
        _ if is_about_credentials(error) => no_credentials(service, error),
        SdkError::DispatchFailure(failure) if failure.is_timeout() => {
            (ErrorCode::TimedOut, format!("no answer from {endpoint} in time"))
        }
        _ => transport(endpoint, error),
    };
    let way_out = match code {
        ErrorCode::Unauthorized if !reason.contains(credentials_way_out.as_str()) => {
            format!(": {credentials_way_out}")
        }
        _ => String::new(),
    };
    let pause = error.raw_response().filter(|_| code == ErrorCode::Throttled).and_then(pause_of);
    let error =
        StoreError::new(code, format!("{action} {what}: {reason}{way_out}")).with_pause(pause);
    if code == ErrorCode::Unauthorized {
        // The first one is as good as any other.
        let _ = service.refusal.set(error.clone());
    }
    error
}

/// The error of `action` on `what` that an answer of status 200 tells.
pub(super) fn told(
    action: &str,
    what: &str,
    service: &Service,
    code: Option<&str>,
    message: Option<&str>,
) -> StoreError {
    let reason = reason(code, message, 500, service.provider);
    StoreError::new(classify(code, 500), format!("{action} {what}: {reason}"))
}

/// What a refusal means. One for the time of the request tells that of the service, by which the next one
/// is signed.
fn refused(
    service: &Service,
    raw: &Response,
    code: Option<&str>,
    message: Option<&str>,
) -> (ErrorCode, String) {
    let status = raw.status().as_u16();
    let reason = reason(code, message, status, service.provider);
    match raw.headers().get("date").and_then(ahead_ms) {
        Some(ahead_ms) if code == Some("RequestTimeTooSkewed") => {
            service.skew.set(ahead_ms);
            let clock = format!("the clock of {} is {}", service.endpoint, words(ahead_ms));
            (ErrorCode::Unavailable, format!("{reason}; {clock}"))
        }
        _ => (classify(code, status), reason),
    }
}

/// For how long the store wants to be left alone: `Retry-After` in seconds. As a date nobody sends it.
fn pause_of(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get("retry-after")?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// The error of a body that broke off while it was read.
pub(super) fn body_error(what: &str, error: &ByteStreamError) -> StoreError {
    let cause = deepest(error);
    let code = match cause.contains("minimum throughput") || cause.contains("timed out") {
        true => ErrorCode::TimedOut,
        false => ErrorCode::Unavailable,
    };
    StoreError::new(code, format!("read {what}: the connection broke: {cause}"))
}

fn not_s3(endpoint: &str, error: &(dyn Error + 'static)) -> (ErrorCode, String) {
    let text = format!("{endpoint} answered with something that is not S3: {}", deepest(error));
    (ErrorCode::Protocol, text)
}

/// What S3's code, or without one the status, means.
fn classify(code: Option<&str>, status: u16) -> ErrorCode {
    match code.unwrap_or_default() {
        "NoSuchKey" | "NoSuchVersion" => ErrorCode::NotFound,
        "NoSuchUpload" => ErrorCode::UploadLost,
        "NoSuchBucket"
        | "PermanentRedirect"
        | "TemporaryRedirect"
        | "AuthorizationHeaderMalformed"
        | "IllegalLocationConstraintException" => ErrorCode::LocationMissing,
        "PreconditionFailed" | "InvalidRange" => ErrorCode::SourceChanged,
        "SlowDown"
        | "Throttling"
        | "ThrottlingException"
        | "RequestThrottled"
        | "RequestLimitExceeded"
        | "TooManyRequests"
        | "BandwidthLimitExceeded"
        | "SlowDownRead"
        | "SlowDownWrite" => ErrorCode::Throttled,
        "ServiceUnavailable" => ErrorCode::Unavailable,
        "RequestTimeout" => ErrorCode::TimedOut,
        "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "ExpiredToken"
        | "InvalidToken"
        | "TokenRefreshRequired"
        | "RequestTimeTooSkewed"
        | "NotSignedUp"
        | "AccountProblem"
        | "AllAccessDisabled"
        | "InvalidSecurity"
        | "InvalidClientTokenId"
        | "UnrecognizedClientException"
        | "RequestExpired"
        | "MissingAuthenticationToken"
        // Of temporary credentials at OSS.
        | "SecurityTokenExpired"
        | "InvalidSecurityToken"
        | "AccessKeyIdAndSecurityTokenNotMatch" => ErrorCode::Unauthorized,
        "AccessDenied" | "InvalidObjectState" => ErrorCode::PermissionDenied,
        "InvalidTag"
        | "InvalidStorageClass"
        | "NotImplemented"
        | "AccessControlListNotSupported"
        | "UnresolvableGrantByEmailAddress" => ErrorCode::KindUnsupported,
        "KeyTooLongError" | "InvalidURI" | "XMinioInvalidObjectName" => ErrorCode::KeyUnsupported,
        "EntityTooLarge" | "MetadataTooLarge" => ErrorCode::TooLarge,
        "QuotaExceeded" | "XMinioStorageFull" | "InsufficientStorage" => ErrorCode::NoSpace,
        "BadDigest" | "XAmzContentSHA256Mismatch" | "XAmzContentChecksumMismatch" => {
            ErrorCode::CorruptTarget
        }
        "IncompleteBody" | "OperationAborted" | "ConditionalRequestConflict" => {
            ErrorCode::Unavailable
        }
        // Answers without a body, as to HEAD, cannot say SlowDown.
        _ if status == 503 => ErrorCode::Throttled,
        _ => classify_status(status),
    }
}

fn reason(code: Option<&str>, message: Option<&str>, status: u16, provider: &Provider) -> String {
    let advice = match code.unwrap_or_default() {
        "PermanentRedirect"
        | "AuthorizationHeaderMalformed"
        | "IllegalLocationConstraintException" => format!("; {}", provider.region_way_out()),
        "RequestTimeTooSkewed" => "; set the clock of this machine".to_owned(),
        "ExpiredToken" | "SecurityTokenExpired" | "TokenRefreshRequired" | "RequestExpired" => {
            "; they have expired, get new ones".to_owned()
        }
        "InvalidObjectState" => "; the object is archived, restore it first".to_owned(),
        "InvalidTag" => "; use --tags skip to leave tags out".to_owned(),
        "AccessControlListNotSupported" => "; use --acl none".to_owned(),
        "InvalidStorageClass" => "; --storage-class has to name a class of the target".to_owned(),
        _ => String::new(),
    };
    match (code, message) {
        (Some(code), Some(message)) => {
            format!("{} ({code}){advice}", message.trim_end_matches('.'))
        }
        (Some(code), None) => format!("{code}{advice}"),
        (None, _) => match status {
            403 => "access denied".to_owned(),
            404 => "it does not exist".to_owned(),
            412 => "it changed".to_owned(),
            status => format!("the store answered with status {status}"),
        },
    }
}

fn no_credentials(service: &Service, error: &(dyn Error + 'static)) -> (ErrorCode, String) {
    let is = |is_it: fn(&CredentialsError) -> bool| {
        chain(error).any(|cause| cause.downcast_ref().is_some_and(is_it))
    };
    if is(|cause| matches!(cause, CredentialsError::CredentialsNotLoaded(_))) {
        let text = format!("no credentials were found: {}", service.credentials_way_out);
        return (ErrorCode::Unauthorized, text);
    }
    if is(|cause| matches!(cause, CredentialsError::ProviderTimedOut(_))) {
        // Whoever gives them was slow, which says nothing of them.
        return (ErrorCode::TimedOut, "the credentials could not be loaded in time".to_owned());
    }
    (ErrorCode::Unauthorized, format!("the credentials could not be loaded: {}", deepest(error)))
}

fn is_about_credentials(error: &(dyn Error + 'static)) -> bool {
    chain(error).any(|cause| cause.is::<CredentialsError>())
}

/// A connection that could not be made reaches the whole job; one that broke, only the request.
fn transport(endpoint: &str, error: &(dyn Error + 'static)) -> (ErrorCode, String) {
    let is_unreachable = chain(error).any(|cause| {
        let kind = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        let is_refused = matches!(
            kind,
            Some(
                io::ErrorKind::ConnectionRefused
                    | io::ErrorKind::HostUnreachable
                    | io::ErrorKind::NetworkUnreachable
                    | io::ErrorKind::AddrNotAvailable
                    | io::ErrorKind::InvalidData
            )
        );
        is_refused || cause.to_string().starts_with("dns error")
    });
    let cause = deepest(error);
    match is_unreachable {
        true => (ErrorCode::Unreachable, format!("cannot connect to {endpoint}: {cause}")),
        false => (ErrorCode::Unavailable, format!("the connection to {endpoint} broke: {cause}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_come_before_the_status() {
        for (code, status, expected) in [
            (Some("NoSuchKey"), 404, ErrorCode::NotFound),
            (Some("NoSuchBucket"), 404, ErrorCode::LocationMissing),
            (Some("NoSuchUpload"), 404, ErrorCode::UploadLost),
            (Some("SlowDown"), 503, ErrorCode::Throttled),
            (None, 503, ErrorCode::Throttled),
            (Some("ServiceUnavailable"), 503, ErrorCode::Unavailable),
            (Some("InternalError"), 500, ErrorCode::Unavailable),
            (None, 429, ErrorCode::Throttled),
            (Some("ExpiredToken"), 400, ErrorCode::Unauthorized),
            (Some("SecurityTokenExpired"), 403, ErrorCode::Unauthorized),
            (Some("InvalidSecurityToken"), 403, ErrorCode::Unauthorized),
            (Some("AccessKeyIdAndSecurityTokenNotMatch"), 403, ErrorCode::Unauthorized),
            (Some("SignatureDoesNotMatch"), 403, ErrorCode::Unauthorized),
            (Some("AccessDenied"), 403, ErrorCode::PermissionDenied),
            (None, 412, ErrorCode::SourceChanged),
            (None, 416, ErrorCode::SourceChanged),
            (Some("BadDigest"), 400, ErrorCode::CorruptTarget),
            (Some("Teapot"), 418, ErrorCode::Protocol),
        ] {
            assert_eq!(classify(code, status), expected, "{code:?} {status}");
        }
    }

    #[test]
    fn credentials_that_have_expired_are_called_so_at_every_service() {
        for code in ["ExpiredToken", "SecurityTokenExpired", "RequestExpired"] {
            let text = reason(Some(code), None, 403, Provider::s3());
            assert!(text.contains("get new ones"), "{text}");
        }
    }

    #[test]
    fn a_refused_connection_is_unreachable_and_a_reset_one_is_not() {
        for (kind, expected) in [
            (io::ErrorKind::ConnectionRefused, ErrorCode::Unreachable),
            (io::ErrorKind::ConnectionReset, ErrorCode::Unavailable),
            (io::ErrorKind::UnexpectedEof, ErrorCode::Unavailable),
        ] {
            let (code, text) = transport("http://host:1", &io::Error::from(kind));
            assert_eq!(code, expected);
            assert!(text.contains("http://host:1"), "{text}");
        }
    }

    #[test]
    fn missing_credentials_are_told_from_broken_ones() {
        let provider = Provider::s3();
        let service = Service {
            provider,
            endpoint: "http://host:1".to_owned(),
            credentials_way_out: provider.credentials_way_out(),
            refusal: Arc::default(),
            skew: Skew::default(),
        };
        let (code, text) = no_credentials(&service, &CredentialsError::not_loaded("none"));
        assert_eq!(code, ErrorCode::Unauthorized);
        assert!(text.contains("AWS_ACCESS_KEY_ID") && text.contains("AWS_PROFILE"), "{text}");
        let slow = CredentialsError::provider_timed_out(Duration::from_secs(5));
        assert_eq!(no_credentials(&service, &slow).0, ErrorCode::TimedOut, "it may be there later");
        let (_, text) = no_credentials(&service, &CredentialsError::provider_error("sts is down"));
        assert!(text.contains("sts is down"), "{text}");
    }
}
