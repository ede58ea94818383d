//! The service's errors as codes that decide, with a text that names the thing.

use airlift_protocol::error::ErrorCode;
use reqwest::Response;

use super::identity::WAY_OUT;
use super::xml::Element;
use crate::store::StoreError;
use crate::store::http::error::{classify_status, first_line, pause_of};
use crate::store::http::{Failed, Refusal, body};
use crate::store::pace::Setback;

/// Bytes of an error's document that are read.
const DOCUMENT_BYTES_MAX: usize = 64 << 10;

/// What an answer says that is no success: the code is a header, the text a document.
pub(super) async fn refusal(response: Response) -> Refusal {
    let (status, pause) = (response.status().as_u16(), pause_of(&response));
    let header = response.headers().get("x-ms-error-code");
    let header = header.and_then(|code| code.to_str().ok()).map(str::to_owned);
    // Without its document an error still has its status.
    let document = body::document(response, DOCUMENT_BYTES_MAX).await.unwrap_or_default();
    let document = Element::parse(&document).ok();
    let text = |name: &str| document.as_ref().and_then(|root| root.text_of(name));
    let code = header.or_else(|| text("Code").map(str::to_owned));
    let means = classify(status, code.as_deref());
    Refusal { status, code, message: text("Message").map(first_line), means, pause }
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

/// Whether the answer was "there is no such blob".
pub(super) fn is_absent(failed: &Failed) -> bool {
    // An answer to HEAD has no document, and some servers give no header.
    failed.status() == Some(404) && matches!(failed.code(), None | Some("BlobNotFound"))
}

/// Whether a condition on what is there did not hold.
pub(super) fn is_condition(failed: &Failed) -> bool {
    match failed.status() {
        // A lease that somebody else holds is a 412 too.
        Some(412) => {
            matches!(failed.code(), None | Some("ConditionNotMet" | "TargetConditionNotMet"))
        }
        Some(409) => matches!(failed.code(), Some("BlobAlreadyExists")),
        _ => false,
    }
}

/// Whether somebody else's blocks of the same blob are in the way: all have names of one length.
pub(super) fn is_foreign_block(failed: &Failed) -> bool {
    failed.status() == Some(400)
        && matches!(failed.code(), Some("InvalidBlobOrBlock" | "InvalidBlockId"))
}

/// What the service's code, or without one the status, means.
fn classify(status: u16, code: Option<&str>) -> ErrorCode {
    match code.unwrap_or_default() {
        "BlobNotFound" => ErrorCode::NotFound,
        "ContainerNotFound"
        | "ResourceNotFound"
        | "ContainerBeingDeleted"
        | "ContainerDisabled"
        | "AccountIsDisabled"
        | "HostInformationNotPresent" => ErrorCode::LocationMissing,
        "ConditionNotMet" | "InvalidRange" => ErrorCode::SourceChanged,
        "ServerBusy" | "TooManyRequests" => ErrorCode::Throttled,
        "OperationTimedOut" => ErrorCode::TimedOut,
        "AuthenticationFailed"
        | "InvalidAuthenticationInfo"
        | "NoAuthenticationInformation"
        | "KeyBasedAuthenticationNotPermitted" => ErrorCode::Unauthorized,
        "AuthorizationFailure"
        | "AuthorizationPermissionMismatch"
        | "AuthorizationProtocolMismatch"
        | "AuthorizationResourceTypeMismatch"
        | "AuthorizationServiceMismatch"
        | "AuthorizationSourceIPMismatch"
        | "InsufficientAccountPermissions"
        | "PublicAccessNotPermitted"
        | "BlobArchived"
        | "BlobBeingRehydrated"
        | "BlobImmutableDueToPolicy"
        // Of what is to be copied, whatever the status.
        | "CannotVerifyCopySource"
        | "LeaseIdMissing" => ErrorCode::PermissionDenied,
        "InvalidResourceName" | "InvalidUri" | "RequestUrlFailedToParse" => {
            ErrorCode::KeyUnsupported
        }
        "RequestBodyTooLarge" | "MetadataTooLarge" | "BlockCountExceedsLimit" => {
            ErrorCode::TooLarge
        }
        "InvalidMetadata" | "EmptyMetadataKey" => ErrorCode::KindUnsupported,
        "Md5Mismatch" | "Crc64Mismatch" => ErrorCode::CorruptTarget,
        "InvalidBlockList" => ErrorCode::UploadLost,
        "BlobAlreadyExists"
        | "SnapshotsPresent"
        | "InvalidBlobType"
        | "DirectoryIsNotEmpty"
        | "ResourceTypeMismatch"
        | "PathConflict" => ErrorCode::Conflict,
        "UnsupportedHttpVerb" | "UnsupportedHeader" | "InvalidHeaderValue" => ErrorCode::Protocol,
        _ => classify_status(status),
    }
}

fn reason(refusal: &Refusal) -> String {
    let advice = match refusal.code.as_deref().unwrap_or_default() {
        "BlobArchived" => "; the blob is archived, rehydrate it first",
        "BlobBeingRehydrated" => "; the blob is being rehydrated, try again later",
        "BlobImmutableDueToPolicy" => "; a policy of the container keeps it as it is",
        "LeaseIdMissing" => "; another program has leased it",
        "SnapshotsPresent" => "; it has snapshots, which are not deleted with it",
        "KeyBasedAuthenticationNotPermitted" => "; the account allows Entra ID only",
        "AuthenticationFailed" => "; check the key or signature, and the clock of this machine",
        "AuthorizationPermissionMismatch" => {
            "; the roles 'Storage Blob Data Reader' and 'Storage Blob Data Contributor' allow it"
        }
        _ => "",
    };
    match (&refusal.code, &refusal.message, refusal.status) {
        (Some(code), Some(message), _) => format!("{message} ({code}){advice}"),
        (Some(code), None, _) => format!("{code}{advice}"),
        (None, Some(message), status) => format!("{message} (status {status})"),
        (None, None, 403) => "access denied".to_owned(),
        (None, None, 404) => "it does not exist".to_owned(),
        (None, None, 412) => "it changed".to_owned(),
        (None, None, status) => format!("the service answered with status {status}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, code: Option<&str>) -> Refusal {
        let means = classify(status, code);
        Refusal { status, code: code.map(str::to_owned), message: None, means, pause: None }
    }

    #[test]
    fn codes_come_before_the_status() {
        for (code, status, expected) in [
            (Some("BlobNotFound"), 404, ErrorCode::NotFound),
            (Some("ContainerNotFound"), 404, ErrorCode::LocationMissing),
            (None, 404, ErrorCode::NotFound),
            (Some("ServerBusy"), 503, ErrorCode::Throttled),
            (None, 503, ErrorCode::Unavailable),
            (None, 429, ErrorCode::Throttled),
            (Some("OperationTimedOut"), 500, ErrorCode::TimedOut),
            (Some("InternalError"), 500, ErrorCode::Unavailable),
            (Some("AuthenticationFailed"), 403, ErrorCode::Unauthorized),
            (Some("AuthorizationPermissionMismatch"), 403, ErrorCode::PermissionDenied),
            (Some("ConditionNotMet"), 412, ErrorCode::SourceChanged),
            (Some("Md5Mismatch"), 400, ErrorCode::CorruptTarget),
            (Some("InvalidBlockList"), 400, ErrorCode::UploadLost),
            (Some("BlobArchived"), 409, ErrorCode::PermissionDenied),
            (Some("CannotVerifyCopySource"), 401, ErrorCode::PermissionDenied),
            (Some("SnapshotsPresent"), 409, ErrorCode::Conflict),
            (Some("Teapot"), 418, ErrorCode::Protocol),
        ] {
            assert_eq!(classify(status, code), expected, "{code:?} {status}");
        }
    }

    #[test]
    fn what_to_do_about_credentials_is_said_once() {
        let failed = Failed::Refused(refused(403, Some("AuthenticationFailed")));
        let error = store_error("list", "az://c/", &failed);
        assert_eq!(error.code, ErrorCode::Unauthorized);
        assert_eq!(error.detail().matches("AZURE_STORAGE_KEY").count(), 1, "{error}");
        let failed = Failed::Other(ErrorCode::Unauthorized, format!("none: {WAY_OUT}"));
        let error = store_error("list", "az://c/", &failed);
        assert_eq!(error.detail().matches("AZURE_STORAGE_KEY").count(), 1, "{error}");
    }

    #[test]
    fn conditions_and_absence_are_told_from_other_answers() {
        let failed = |status, code| Failed::Refused(refused(status, code));
        assert!(is_absent(&failed(404, None)) && is_absent(&failed(404, Some("BlobNotFound"))));
        assert!(!is_absent(&failed(404, Some("ContainerNotFound"))));
        assert!(is_condition(&failed(412, None)));
        assert!(!is_condition(&failed(412, Some("LeaseIdMissing"))));
        assert!(is_condition(&failed(409, Some("BlobAlreadyExists"))));
        assert!(!is_condition(&failed(409, Some("LeaseIdMissing"))));
        assert!(is_foreign_block(&failed(400, Some("InvalidBlobOrBlock"))));
    }
}
