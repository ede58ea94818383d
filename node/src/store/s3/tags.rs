//! Tags of objects: read with a request of their own, written with the object, and confirmed, because
//! stores that do not know tags ignore them.

use std::collections::BTreeMap;

use airlift_protocol::error::ErrorCode;
use airlift_protocol::job::TagPolicy;
use airlift_protocol::key::Key;
use form_urlencoded::Serializer;

use super::client::Bucket;
use crate::store::StoreError;

/// How to go on without tags.
const WAY_OUT: &str = "use --tags skip to leave tags out";

/// The header that gives an object its tags; `None` without any.
pub(super) fn tagging(tags: &BTreeMap<String, String>) -> Option<String> {
    (!tags.is_empty()).then(|| Serializer::new(String::new()).extend_pairs(tags).finish())
}

impl Bucket {
    /// The tags of an object whose description says that it has `count`: none are asked for where the
    /// job does not want them.
    pub(super) async fn tags_of(
        &self,
        key: &Key,
        count: Option<i32>,
    ) -> Result<BTreeMap<String, String>, StoreError> {
        if self.tags == TagPolicy::Skip || count.is_none_or(|count| count <= 0) {
            return Ok(BTreeMap::new());
        }
        self.read_tags(key).await.map_err(|error| match error.code {
            ErrorCode::PermissionDenied => {
                let text = format!("{}: allow s3:GetObjectTagging, or {WAY_OUT}", error.detail());
                StoreError::new(error.code, text)
            }
            _ => error,
        })
    }

    async fn read_tags(&self, key: &Key) -> Result<BTreeMap<String, String>, StoreError> {
        let request = self.client().get_object_tagging().bucket(&self.name);
        let answer = request.key(self.sendable(key)?).send().await;
        let answer = answer.map_err(|error| self.error("read the tags of", key, &error))?;
        Ok(answer.tag_set.into_iter().map(|tag| (tag.key, tag.value)).collect())
    }

    /// Fails when an object that was written with `tags` does not have them. Where these credentials
    /// may write tags and not read them, the store is believed.
    pub(super) async fn confirm_tags(
        &self,
        key: &Key,
        tags: &BTreeMap<String, String>,
    ) -> Result<(), StoreError> {
        if tags.is_empty() {
            return Ok(());
        }
        match self.pace_of(key).reads.pass(0, self.read_tags(key)).await {
            Ok(held) if held == *tags => Ok(()),
            Ok(_) => {
                let text = format!("the store did not keep the object's tags: {WAY_OUT}");
                Err(self.complaint(ErrorCode::KindUnsupported, key, &text))
            }
            Err(error) if error.code == ErrorCode::PermissionDenied => Ok(()),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_encoded_as_a_query() {
        assert_eq!(tagging(&BTreeMap::new()), None);
        let tags = [("team", "a&b=c"), ("ort", "Zürich 1"), ("empty", "")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let text = tagging(&tags.into()).unwrap();
        assert_eq!(text, "empty=&ort=Z%C3%BCrich+1&team=a%26b%3Dc");
    }
}
