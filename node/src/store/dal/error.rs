//! OpenDAL's errors as codes that decide, with a text of one line.

use std::error::Error;

use airlift_protocol::error::ErrorCode;
use opendal::ErrorKind;

use crate::store::StoreError;

/// Longest part of a message that is shown.
const MESSAGE_CHARS_MAX: usize = 200;

/// The error of `action` on `shown`.
pub(super) fn store_error(action: &str, shown: &str, error: &opendal::Error) -> StoreError {
    let cause = deepest(error);
    let is_refused = cause.contains("Connection refused") || cause.contains("dns error");
    let code = match error.kind() {
        ErrorKind::NotFound => ErrorCode::NotFound,
        ErrorKind::PermissionDenied => ErrorCode::PermissionDenied,
        ErrorKind::RateLimited => ErrorCode::Throttled,
        ErrorKind::ConditionNotMatch | ErrorKind::RangeNotSatisfied => ErrorCode::SourceChanged,
        ErrorKind::ConfigInvalid => ErrorCode::LocationMissing,
        ErrorKind::Unsupported => ErrorCode::KindUnsupported,
        ErrorKind::IsADirectory | ErrorKind::NotADirectory => ErrorCode::SourceChanged,
        _ if is_refused => ErrorCode::Unreachable,
        _ if error.is_temporary() => ErrorCode::Unavailable,
        _ => ErrorCode::Io,
    };
    let reason = match code {
        ErrorCode::NotFound => "it does not exist".to_owned(),
        ErrorCode::PermissionDenied => {
            "the server does not allow it: name user and password as credentials = \"env:PREFIX_\""
                .to_owned()
        }
        ErrorCode::SourceChanged => "it changed since it was listed".to_owned(),
        _ => cause,
    };
    StoreError::new(code, format!("{action} {shown}: {reason}"))
}

/// The words of the cause of all causes, on one line.
fn deepest(error: &opendal::Error) -> String {
    let causes = std::iter::successors(error.source(), |&error| error.source());
    let text = match causes.last() {
        Some(cause) => cause.to_string(),
        None => error.message().to_owned(),
    };
    let text = text.chars().take(MESSAGE_CHARS_MAX);
    text.map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_decide_and_texts_are_one_line() {
        for (kind, code) in [
            (ErrorKind::NotFound, ErrorCode::NotFound),
            (ErrorKind::PermissionDenied, ErrorCode::PermissionDenied),
            (ErrorKind::ConditionNotMatch, ErrorCode::SourceChanged),
            (ErrorKind::RateLimited, ErrorCode::Throttled),
            (ErrorKind::Unexpected, ErrorCode::Io),
        ] {
            let error = store_error("read", "x", &opendal::Error::new(kind, "two\nlines"));
            assert_eq!(error.code, code, "{error}");
            assert!(error.detail().starts_with("read x: ") && !error.detail().contains('\n'));
        }
        let error = opendal::Error::new(ErrorKind::Unexpected, "busy").set_temporary();
        assert_eq!(store_error("read", "x", &error).code, ErrorCode::Unavailable);
    }
}
