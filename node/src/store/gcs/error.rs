//! The service's errors as codes that decide, with a text that names the thing.

use airlift_protocol::error::ErrorCode;
use reqwest::Response;
use serde_json::Value;

use super::access::WAY_OUT;
use crate::store::StoreError;
use crate::store::http::error::{classify_status, first_line, pause_of};
use crate::store::http::{Failed, Refusal, body};
use crate::store::pace::Setback;

/// Bytes of an error's document that are read.
const DOCUMENT_BYTES_MAX: usize = 64 << 10;

/// What an answer says that is no success.
pub(super) async fn refusal(response: Response) -> Refusal {
    let (status, pause) = (response.status().as_u16(), pause_of(&response));
    // Without its document an error still has its status.
    let document = body::document(response, DOCUMENT_BYTES_MAX).await.unwrap_or_default();
    Refusal { pause, ..read(status, &document) }
}

fn read(status: u16, document: &[u8]) -> Refusal {
    let document: Value = serde_json::from_slice(document).unwrap_or_default();
    let error = &document["error"];
    let code = error["errors"][0]["reason"].as_str().map(str::to_owned);
    let message = error["message"].as_str().map(first_line).filter(|text| !text.is_empty());
    let means = classify(status, code.as_deref(), message.as_deref());
    Refusal { status, code, message, means, pause: None }
}

/// The error of `action` on `what`.
pub(super) fn store_error(action: &str, what: &str, failed: &Failed) -> StoreError {
    let (code, reason) = match failed {
        Failed::Refused(refusal) => (refusal.means, reason(refusal)),
        Failed::Other(code, reason) => (*code, reason.clone()),
    };
    let way_out = match code {
        ErrorCode::Unauthorized if !reason.contains(WAY_OUT) => format!(": {WAY_OUT}"),
        _ => String::new(),
    };
    StoreError::new(code, format!("{action} {what}: {reason}{way_out}")).with_pause(failed.pause())
}

/// Whether the answer was "there is no such object". A bucket that is not there says the same; every
/// job asks for a listing first, where it can mean nothing else.
pub(super) fn is_absent(failed: &Failed) -> bool {
    failed.status() == Some(404)
}

/// Whether a condition on what is there did not hold.
pub(super) fn is_condition(failed: &Failed) -> bool {
    failed.status() == Some(412)
}

/// What the service's reason, or without one the status, means.
fn classify(status: u16, code: Option<&str>, message: Option<&str>) -> ErrorCode {
    let is_about_checksum = message.is_some_and(|text| text.contains("doesn't match calculated"));
    match code.unwrap_or_default() {
        "rateLimitExceeded" | "userRateLimitExceeded" | "quotaExceeded" | "dailyLimitExceeded" => {
            ErrorCode::Throttled
        }
        "authError" | "required" | "expired" | "userProjectMissing" if status == 401 => {
            ErrorCode::Unauthorized
        }
        "conditionNotMet" | "requestedRangeNotSatisfiable" => ErrorCode::SourceChanged,
        "uploadTooLarge" | "responseTooLarge" => ErrorCode::TooLarge,
        "retentionPolicyNotMet"
        | "objectUnderActiveHold"
        | "insufficientPermissions"
        | "forbidden"
        | "userProjectAccessDenied" => ErrorCode::PermissionDenied,
        // Of everything that the account has, not of one object.
        "accountDisabled" => ErrorCode::Unauthorized,
        "backendError" | "internalError" => ErrorCode::Unavailable,
        _ if status == 400 && is_about_checksum => ErrorCode::CorruptTarget,
        _ => classify_status(status),
    }
}

fn reason(refusal: &Refusal) -> String {
    let advice = match refusal.code.as_deref().unwrap_or_default() {
        "retentionPolicyNotMet" => "; a retention policy of the bucket keeps it",
        "objectUnderActiveHold" => "; a hold keeps it",
        "userProjectMissing" => "; buckets whose readers pay are not supported",
        "forbidden" | "insufficientPermissions" => {
            "; the roles 'Storage Object Viewer' and 'Storage Object User' allow it"
        }
        _ => "",
    };
    match (&refusal.code, &refusal.message, refusal.status) {
        (Some(code), Some(message), _) => format!("{message} ({code}){advice}"),
        (Some(code), None, _) => format!("{code}{advice}"),
        (None, Some(message), status) => format!("{message} (status {status})"),
        (None, None, 401) => "the service wants credentials".to_owned(),
        (None, None, 403) => "access denied".to_owned(),
        (None, None, 404) => "it does not exist".to_owned(),
        (None, None, 412) => "it changed".to_owned(),
        (None, None, status) => format!("the service answered with status {status}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_come_before_the_status() {
        for (reason, status, expected) in [
            (Some("notFound"), 404, ErrorCode::NotFound),
            (Some("rateLimitExceeded"), 429, ErrorCode::Throttled),
            (Some("rateLimitExceeded"), 403, ErrorCode::Throttled),
            (None, 429, ErrorCode::Throttled),
            (Some("backendError"), 503, ErrorCode::Unavailable),
            (None, 503, ErrorCode::Unavailable),
            (None, 408, ErrorCode::TimedOut),
            (Some("authError"), 401, ErrorCode::Unauthorized),
            (Some("forbidden"), 403, ErrorCode::PermissionDenied),
            (Some("conditionNotMet"), 412, ErrorCode::SourceChanged),
            (Some("retentionPolicyNotMet"), 403, ErrorCode::PermissionDenied),
            (Some("teapot"), 418, ErrorCode::Protocol),
        ] {
            assert_eq!(classify(status, reason, None), expected, "{reason:?} {status}");
        }
    }

    #[test]
    fn a_document_says_reason_and_text() {
        let text = br#"{"error":{"code":400,"message":"Provided CRC32C \"x\" doesn't match calculated CRC32C \"y\".","errors":[{"reason":"invalid"}]}}"#;
        let refusal = read(400, text);
        assert_eq!(refusal.code.as_deref(), Some("invalid"));
        assert_eq!(refusal.means, ErrorCode::CorruptTarget);
        let error = store_error("write", "gs://b/x", &Failed::Refused(refusal));
        assert!(error.detail().starts_with("write gs://b/x: Provided CRC32C"), "{error}");
        let expected = Refusal {
            status: 502,
            code: None,
            message: None,
            means: ErrorCode::Unavailable,
            pause: None,
        };
        assert_eq!(read(502, b"<html>"), expected);
    }
}
