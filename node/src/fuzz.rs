//! Laws of this crate's readers, for any input: fuzz targets and tests share them. Not part of the
//! program.

use futures::FutureExt;

use crate::api::request::{Submission, SubmitRequest};
use crate::network::control::check_stream;
use crate::runtime::cluster::TokenText;
use crate::store::path::check_laws as check_key;

/// What people and clients write; the first byte says what.
pub fn text(data: &[u8]) {
    let Some((kind, bytes)) = data.split_first() else { return };
    if kind % 3 == 0 {
        return check_key(bytes);
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if kind % 3 == 1 {
        if let Ok(token) = TokenText::parse(text) {
            assert_eq!(TokenText::parse(&token.to_text()), Ok(token));
        }
    } else if let Ok(request) = serde_json::from_str::<SubmitRequest>(text)
        && let Ok(submission) = Submission::try_from(request)
    {
        let again = Submission::try_from(SubmitRequest::from(&submission));
        assert!(again.is_ok_and(|again| again == submission), "{text}");
    }
}

/// Bytes as a stream of the control plane brings them.
pub fn stream(data: &[u8]) {
    check_stream(data).now_or_never().expect("everything is here at once");
}

#[cfg(test)]
#[path = "../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::replay;

    #[test]
    fn texts_of_the_corpus_are_read_or_refused() {
        replay::corpus("node_text", super::text);
    }

    #[test]
    fn streams_of_the_corpus_are_read_or_refused() {
        replay::corpus("node_stream", super::stream);
    }
}
