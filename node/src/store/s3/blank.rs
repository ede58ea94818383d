//! Keys of nothing but blanks, which S3 holds and the SDK refuses to send.
//!
//! The SDK takes a key for missing when nothing is left of it after trimming. Such a key is given
//! to it behind a mark, and the mark is taken out of the request again before it is signed.

use aws_sdk_s3::config::interceptors::BeforeTransmitInterceptorContextMut;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;

/// Stands before a key of blanks. It has a character that is assigned to nobody.
const MARK: &str = "\u{10ffff}airlift-blanks:";

/// The mark as it stands in the path of a request.
const MARK_IN_PATH: &str = "/%F4%8F%BF%BFairlift-blanks%3A";

/// `full` as the SDK takes it.
pub(super) fn marked(full: String) -> String {
    if full.trim().is_empty() { format!("{MARK}{full}") } else { full }
}

/// Whether `full` looks as if it were marked, and so cannot be sent.
pub(super) fn is_ambiguous(full: &str) -> bool {
    full.strip_prefix(MARK).is_some_and(|rest| rest.trim().is_empty())
}

fn unmarked(uri: &str) -> Option<String> {
    uri.contains(MARK_IN_PATH).then(|| uri.replacen(MARK_IN_PATH, "/", 1))
}

/// Takes the mark out of requests.
#[derive(Debug)]
pub(super) struct TakeOutMark;

impl Intercept for TakeOutMark {
    fn name(&self) -> &'static str {
        "TakeOutMark"
    }

    fn modify_before_signing(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request_mut();
        if let Some(uri) = unmarked(request.uri()) {
            request.set_uri(uri)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_keys_of_blanks_are_marked() {
        assert_eq!(marked("a ".to_owned()), "a ");
        assert_eq!(marked(" ".to_owned()), format!("{MARK} "));
        assert!(is_ambiguous(&marked("\t".to_owned())));
        assert!(!is_ambiguous(" ") && !is_ambiguous(&format!("{MARK}x")));
    }

    #[test]
    fn the_mark_is_taken_out_of_the_path_only() {
        let uri = format!("http://host/bucket{MARK_IN_PATH}%20?x=1");
        assert_eq!(unmarked(&uri).as_deref(), Some("http://host/bucket/%20?x=1"));
        assert_eq!(unmarked("http://host/bucket/%20"), None);
    }
}
