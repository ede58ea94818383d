//! Keys in the paths of URLs, byte for byte.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// All that a URL may give a meaning to; what is left stands for itself everywhere.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// The same with `/` left as it is.
const SEGMENTS: &AsciiSet = &SEGMENT.remove(b'/');

/// `text` as one segment of a path, or as a value of a query.
pub(in crate::store) fn segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

/// `text` as segments of a path.
pub(in crate::store) fn segments(text: &str) -> String {
    utf8_percent_encode(text, SEGMENTS).to_string()
}

/// Undoes the percent-encoding of `text`; `None` when it is not UTF-8 then.
pub(in crate::store) fn decoded(text: &str) -> Option<String> {
    percent_decode_str(text).decode_utf8().ok().map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_url_would_take_for_its_own_is_encoded() {
        assert_eq!(segments("a//b c+%?#é/"), "a//b%20c%2B%25%3F%23%C3%A9/");
        assert_eq!(segment("a/b"), "a%2Fb");
        assert_eq!(decoded("a%2Fb%20%c3%a9+").as_deref(), Some("a/b é+"));
        assert_eq!(decoded("%ff"), None);
    }
}
