//! Tags of blobs: read with a request of their own, written with the blob, and confirmed, because accounts
//! of some kinds have none.

use std::collections::BTreeMap;

use airlift_protocol::error::ErrorCode;
use airlift_protocol::job::TagPolicy;
use airlift_protocol::key::Key;
use form_urlencoded::Serializer;
use reqwest::Method;
use reqwest::header::HeaderMap;

use super::attributes::text_of;
use super::container::{Container, Subject};
use super::xml::Element;
use crate::store::StoreError;
use crate::store::http::{Patience, body};

/// How to go on without tags.
const WAY_OUT: &str = "use --tags skip to leave tags out";

/// Tags of one blob, and characters of their names and values, at most (Microsoft's "Set Blob Tags").
const TAGS_MAX: usize = 10;
const NAME_MAX: usize = 128;
const VALUE_MAX: usize = 256;

/// Bytes of a document with tags that are read.
const DOCUMENT_BYTES_MAX: usize = 64 << 10;

/// Whether the service takes `tags`: it has rules that others do not have.
pub(super) fn are_held(tags: &BTreeMap<String, String>) -> bool {
    let is_plain = |text: &str| {
        text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b" +-./:=_".contains(&byte))
    };
    tags.len() <= TAGS_MAX
        && tags.iter().all(|(name, value)| {
            (1..=NAME_MAX).contains(&name.len())
                && value.len() <= VALUE_MAX
                && is_plain(name)
                && is_plain(value)
        })
}

/// The header that gives a blob its tags; `None` without any.
pub(super) fn tagging(tags: &BTreeMap<String, String>) -> Option<String> {
    let encoded = || Serializer::new(String::new()).extend_pairs(tags).finish();
    // A plus sign of a tag is encoded, so that those that are left are blanks.
    (!tags.is_empty()).then(|| encoded().replace('+', "%20"))
}

/// `error` of a write with `tags`, with what to do about it where a right may be missing.
pub(super) fn advised(error: StoreError, tags: &BTreeMap<String, String>) -> StoreError {
    match error.code {
        ErrorCode::PermissionDenied if !tags.is_empty() => {
            let text = format!("{}: allow to write tags too, or {WAY_OUT}", error.detail());
            StoreError::new(error.code, text)
        }
        _ => error,
    }
}

impl Container {
    /// The tags of the blob that `headers` describe: none are asked for where it has none, or the job
    /// does not want them.
    pub(super) async fn tags_of(
        &self,
        key: &Key,
        blob: &str,
        headers: &HeaderMap,
    ) -> Result<BTreeMap<String, String>, StoreError> {
        let count = headers.get("x-ms-tag-count").and_then(|count| text_of(count).parse().ok());
        if self.tags == TagPolicy::Skip || count.is_none_or(|count: u32| count == 0) {
            return Ok(BTreeMap::new());
        }
        self.read_tags(key, blob).await.map_err(|error| match error.code {
            ErrorCode::PermissionDenied => {
                let text = format!("{}: allow to read tags, or {WAY_OUT}", error.detail());
                StoreError::new(error.code, text)
            }
            _ => error,
        })
    }

    async fn read_tags(
        &self,
        key: &Key,
        blob: &str,
    ) -> Result<BTreeMap<String, String>, StoreError> {
        let asked = async {
            let request = self.request(Method::GET, Subject::Blob(blob), &[("comp", "tags")])?;
            body::document(self.send(request, Patience::Normal).await?, DOCUMENT_BYTES_MAX).await
        };
        let document =
            asked.await.map_err(|failed| self.error("read the tags of", key, &failed))?;
        let root = Element::parse(&document).ok();
        root.as_ref().and_then(tags_in).ok_or_else(|| {
            let text = "the document with its tags cannot be read";
            self.complaint(ErrorCode::Protocol, key, text)
        })
    }

    /// Fails when a blob that was written with `tags` does not have them. Where these credentials may
    /// write tags and not read them, the service is believed.
    pub(super) async fn confirm_tags(
        &self,
        key: &Key,
        blob: &str,
        tags: &BTreeMap<String, String>,
    ) -> Result<(), StoreError> {
        if tags.is_empty() {
            return Ok(());
        }
        match self.read_tags(key, blob).await {
            Ok(held) if held == *tags => Ok(()),
            Ok(_) => {
                let text = format!("the service did not keep the blob's tags: {WAY_OUT}");
                Err(self.complaint(ErrorCode::KindUnsupported, key, &text))
            }
            Err(error) if error.code == ErrorCode::PermissionDenied => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// The tags of a document; `None` when it is none with tags.
fn tags_in(root: &Element) -> Option<BTreeMap<String, String>> {
    let set = root.child("TagSet").filter(|_| root.name == "Tags")?;
    let pair = |tag: &Element| {
        let text = |name: &str| tag.child(name).map(|child| child.text.clone());
        Some((text("Key")?, text("Value")?))
    };
    set.all("Tag").map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn tags_are_encoded_as_a_query_with_blanks_in_hex() {
        assert_eq!(tagging(&BTreeMap::new()), None);
        let text = tagging(&tags(&[("a b", "c+d"), ("empty", "")])).unwrap();
        assert_eq!(text, "a%20b=c%2Bd&empty=");
    }

    #[test]
    fn what_the_service_refuses_is_not_held() {
        assert!(are_held(&tags(&[("Team 1", "a+b-c./:=_"), ("empty", "")])));
        let long = "x".repeat(VALUE_MAX + 1);
        for (name, value) in [("", "x"), ("caf\u{e9}", "x"), ("a", "b&c"), ("a", long.as_str())] {
            assert!(!are_held(&tags(&[(name, value)])), "{name}={value}");
        }
        let many: BTreeMap<String, String> =
            (0..=TAGS_MAX).map(|number| (format!("t{number}"), String::new())).collect();
        assert!(!are_held(&many));
    }

    #[test]
    fn a_missing_right_is_named_where_there_are_tags() {
        let denied = || StoreError::new(ErrorCode::PermissionDenied, "write a: no");
        assert_eq!(advised(denied(), &BTreeMap::new()).detail(), "write a: no");
        let advice = advised(denied(), &tags(&[("a", "b")]));
        assert!(advice.detail().ends_with("use --tags skip to leave tags out"), "{advice}");
    }

    #[test]
    fn a_document_has_its_tags() {
        let document = "<?xml version=\"1.0\"?><Tags><TagSet><Tag><Key>a</Key><Value>b</Value></Tag>\
                        <Tag><Key>c</Key><Value /></Tag></TagSet></Tags>";
        let root = Element::parse(document.as_bytes()).unwrap();
        assert_eq!(tags_in(&root), Some(tags(&[("a", "b"), ("c", "")])));
        let other = Element::parse(b"<Error><Code>x</Code></Error>").unwrap();
        assert_eq!(tags_in(&other), None);
    }
}
