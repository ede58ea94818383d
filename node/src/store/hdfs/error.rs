//! The file system's exceptions as codes that decide, with a text that names the thing.

use airlift_protocol::error::ErrorCode;
use reqwest::Response;
use serde_json::Value;

use super::access::WAY_OUT;
use crate::store::StoreError;
use crate::store::http::error::{classify_status, first_line, pause_of};
use crate::store::http::{Failed, Refusal, body};

/// Bytes of an error's document that are read.
const DOCUMENT_BYTES_MAX: usize = 64 << 10;
/// Characters of a message that are shown.
const MESSAGE_CHARS_MAX: usize = 300;

/// What a port for other programs answers to HTTP.
const IPC_PORT: &str = "Hadoop IPC port";
const WRONG_PORT: &str =
    "this is the port of Hadoop's RPC: write the port of HTTP, mostly 9870 (50070 before Hadoop 3)";

/// What an answer says that is no success.
pub(super) async fn refusal(response: Response) -> Refusal {
    let status = response.status().as_u16();
    // Without its document an error still has its status.
    let pause = pause_of(&response);
    let document = body::document(response, DOCUMENT_BYTES_MAX).await.unwrap_or_default();
    Refusal { pause, ..read(status, &document) }
}

fn read(status: u16, document: &[u8]) -> Refusal {
    let exception = match serde_json::from_slice::<Value>(document) {
        Ok(answer) => answer["RemoteException"].clone(),
        Err(_) => Value::Null,
    };
    let shown = |text: &str| first_line(text).chars().take(MESSAGE_CHARS_MAX).collect::<String>();
    let message = exception["message"].as_str().map(shown).filter(|text| !text.is_empty());
    // Java names a class within a class by both.
    let code = exception["exception"].as_str().and_then(|name| name.rsplit('$').next());
    let is_port = code.is_none() && String::from_utf8_lossy(document).contains(IPC_PORT);
    let message = message.or_else(|| is_port.then(|| WRONG_PORT.to_owned()));
    let means = classify(status, code, message.as_deref().unwrap_or_default());
    Refusal { status, code: code.map(str::to_owned), message, means, pause: None }
}

/// The error of `action` on `what`.
pub(super) fn store_error(action: &str, what: &str, failed: &Failed) -> StoreError {
    let reason = match failed {
        Failed::Refused(refusal) => reason(refusal),
        Failed::Other(_, reason) => reason.clone(),
    };
    let way_out = match failed.status() {
        Some(401) => format!(": {WAY_OUT}"),
        _ => String::new(),
    };
    StoreError::new(failed.means(), format!("{action} {what}: {reason}{way_out}"))
}

/// Whether the answer was that there is no such file: the file system's own word, since a plain 404 may be that
/// of whatever else stands behind the port. A file in place of a directory on the way means the same.
pub(super) fn is_absent(failed: &Failed) -> bool {
    let Failed::Refused(refusal) = failed else { return false };
    let message = refusal.message.as_deref().unwrap_or_default();
    match refusal.code.as_deref() {
        Some("FileNotFoundException" | "ParentNotDirectoryException") => true,
        Some("AccessControlException") => {
            message.starts_with('/') && message.ends_with("(is not a directory)")
        }
        _ => false,
    }
}

/// Whether the namenode leaves the work to another one.
pub(super) fn is_standby(failed: &Failed) -> bool {
    failed.code() == Some("StandbyException")
}

/// What the name of the exception, or without one the status, means.
fn classify(status: u16, exception: Option<&str>, message: &str) -> ErrorCode {
    match exception {
        Some("FileNotFoundException") => ErrorCode::NotFound,
        Some("SecurityException" | "InvalidToken" | "AuthenticationException") => {
            ErrorCode::Unauthorized
        }
        Some("AccessControlException" | "AuthorizationException") => ErrorCode::PermissionDenied,
        Some(
            "NSQuotaExceededException" | "DSQuotaExceededException" | "QuotaExceededException",
        ) => ErrorCode::NoSpace,
        Some(
            "FileAlreadyExistsException"
            | "ParentNotDirectoryException"
            | "PathIsNotEmptyDirectoryException"
            | "PathIsNotDirectoryException",
        ) => ErrorCode::Conflict,
        Some(
            "InvalidPathException"
            | "PathComponentTooLongException"
            | "MaxDirectoryItemsExceededException",
        ) => ErrorCode::KeyUnsupported,
        Some("StandbyException" | "RetriableException" | "SafeModeException") => {
            ErrorCode::Unavailable
        }
        Some("UnsupportedOperationException" | "IllegalArgumentException") => ErrorCode::Protocol,
        // A datanode wraps what the namenode told it, and an IOException can be anything.
        Some(_) if is_about_name(message) => ErrorCode::KeyUnsupported,
        Some(_) if message.contains("must both be directories") => ErrorCode::Conflict,
        Some(_) if message.contains("quota") && message.contains("exceeded") => ErrorCode::NoSpace,
        Some(_) => ErrorCode::Unavailable,
        None if status == 404 => ErrorCode::LocationMissing,
        None => classify_status(status),
    }
}

fn is_about_name(message: &str) -> bool {
    ["Invalid path name", "Invalid file name", "maximum path component name limit"]
        .iter()
        .any(|words| message.contains(words))
}

fn reason(refusal: &Refusal) -> String {
    let status = refusal.status;
    match (&refusal.message, &refusal.code) {
        (Some(message), _) => message.clone(),
        (None, Some(name)) => format!("the server refused it ({name})"),
        (None, None) if status == 404 => {
            "there is no WebHDFS behind this port (dfs.webhdfs.enabled)".to_owned()
        }
        (None, None) => format!("the server answered with status {status}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, exception: &str, message: &str) -> Failed {
        let document = serde_json::json!({
            "RemoteException": { "exception": exception, "javaClassName": "x", "message": message }
        });
        Failed::Refused(read(status, document.to_string().as_bytes()))
    }

    #[test]
    fn exceptions_are_codes_and_texts_are_one_line() {
        let component = "The maximum path component name limit of yyy exceeded: limit=255 length=256\n\tat org.x";
        for (status, exception, message, code) in [
            (404, "FileNotFoundException", "File does not exist: /x", ErrorCode::NotFound),
            (
                403,
                "AccessControlException",
                "Permission denied: user=bob",
                ErrorCode::PermissionDenied,
            ),
            (403, "SecretManager$InvalidToken", "token is expired", ErrorCode::Unauthorized),
            (403, "StandbyException", "not supported in state standby", ErrorCode::Unavailable),
            (403, "SafeModeException", "Name node is in safe mode.", ErrorCode::Unavailable),
            (403, "DSQuotaExceededException", "The quota is exceeded", ErrorCode::NoSpace),
            (403, "RemoteException", component, ErrorCode::KeyUnsupported),
            (
                403,
                "IOException",
                "Source /a and destination /b must both be directories",
                ErrorCode::Conflict,
            ),
            (403, "IOException", "could only be replicated to 0 nodes", ErrorCode::Unavailable),
            (400, "IllegalArgumentException", "Invalid value", ErrorCode::Protocol),
        ] {
            let error = store_error("write", "hdfs://h/x", &refused(status, exception, message));
            assert_eq!(error.code, code, "{error}");
            assert!(error.detail().starts_with("write hdfs://h/x: "), "{error}");
            assert!(!error.detail().contains('\n'), "{error}");
        }
    }

    #[test]
    fn only_the_file_system_itself_says_that_something_is_absent() {
        assert!(is_absent(&refused(404, "FileNotFoundException", "File does not exist: /x")));
        assert!(is_absent(&refused(403, "AccessControlException", "/a/b (is not a directory)")));
        assert!(!is_absent(&refused(403, "AccessControlException", "Permission denied: user=x")));
        let html = Failed::Refused(read(404, b"<html>not here</html>"));
        assert!(!is_absent(&html));
        let error = store_error("look at", "x", &html);
        assert_eq!(error.code, ErrorCode::LocationMissing);
        assert!(error.detail().contains("no WebHDFS"), "{error}");
    }

    #[test]
    fn the_wrong_port_and_kerberos_have_a_way_out() {
        let text =
            b"It looks like you are making an HTTP request to a Hadoop IPC port. This is not";
        let error = store_error("look at", "x", &Failed::Refused(read(404, text)));
        assert!(error.detail().contains("9870"), "{error}");
        let error = store_error("look at", "x", &Failed::Refused(read(401, b"<html>")));
        assert_eq!(error.code, ErrorCode::Unauthorized);
        assert!(error.detail().contains("GETDELEGATIONTOKEN"), "{error}");
    }
}
