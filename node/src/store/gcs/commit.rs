//! Making an upload visible: its parts are put together by the service, and the result is held to the
//! CRC32C that follows from theirs.

use airlift_protocol::assignment::UploadToken;
use airlift_protocol::chunk::Root;
use airlift_protocol::error::ErrorCode;
use airlift_protocol::key::Key;
use airlift_protocol::units::ByteRange;
use reqwest::Body;
use serde_json::{Map, Value, json};

use super::bucket::{Bucket, Subject};
use super::error::{is_absent, is_condition};
use super::part::{self, UploadId, composed_crc32c};
use super::resource::{Resource, description};
use crate::runtime::blocking::blocking;
use crate::store::each::for_each;
use crate::store::http::{Failed, Patience};
use crate::store::{NewObject, StoreError};

/// Objects that one request can put together.
const SOURCES_MAX: usize = 32;

impl Bucket {
    pub(super) async fn commit(
        &self,
        object: &NewObject,
        token: &UploadToken,
        root: Root,
    ) -> Result<(), StoreError> {
        let key = &object.entry.key;
        let upload = self.upload_id(key, token)?;
        let folder = self.folder(key, &upload);
        let staged = self.staged(&folder).await?;
        if !staged.iter().any(|object| object.name == part::mark(&folder)) {
            return self.check_committed_before(object, root).await;
        }
        let parts = self.check_complete(object, &upload, &folder, &staged)?;
        let sum = self.sum_of(key, &parts).await?;
        let mut sources = parts;
        let mut level = 0;
        while sources.len() > SOURCES_MAX {
            level += 1;
            sources = self.compose_level(key, &folder, level, &sources).await?;
        }
        let whole = self.compose_whole(object, &sources).await?;
        let proven = match whole.size() == Some(object.entry.size) {
            true => self.confirm(key, &whole, &sum, root).await,
            false => Err(self.corrupt(key)),
        };
        proven.map_err(|error| error.unproven(whole.version()))?;
        if let Err(error) = self.remove_staged(&folder, None).await {
            // The object is there and proven. What is left of the upload is no part of it, and the end
            // of the job removes it, or says that it could not.
            tracing::debug!(%error, "parts of a committed upload are left for the end of the job");
        }
        Ok(())
    }

    /// Every part has to be there in its full size. Returns the parts in order.
    fn check_complete(
        &self,
        object: &NewObject,
        upload: &UploadId,
        folder: &str,
        staged: &[Resource],
    ) -> Result<Vec<Resource>, StoreError> {
        let size = object.entry.size;
        let mut parts: Vec<Resource> = Vec::new();
        for index in 0..upload.part_count(size) {
            let name = part::part(folder, index);
            let length = upload.part_range(index, size).map(ByteRange::len);
            let found = staged.binary_search_by(|object| object.name.as_str().cmp(&name));
            let found = found.ok().map(|place| &staged[place]);
            let Some(found) = found.filter(|found| found.size() == length) else {
                let text = format!("part {index} of the upload is not there as it was written");
                return Err(self.complaint(ErrorCode::UploadLost, &object.entry.key, &text));
            };
            parts.push(found.clone());
        }
        Ok(parts)
    }

    /// The CRC32C of the whole, which follows from those that the service says of its parts.
    async fn sum_of(&self, key: &Key, parts: &[Resource]) -> Result<String, StoreError> {
        let sum_of = |part: &Resource| (part.crc32c.clone(), part.size());
        let parts: Vec<(Option<String>, Option<u64>)> = parts.iter().map(sum_of).collect();
        // Ten thousand of them take a while.
        let sum = blocking(move || {
            let parts = parts
                .iter()
                .map(|(sum, size)| (sum.as_deref().unwrap_or_default(), size.unwrap_or_default()));
            composed_crc32c(parts)
        });
        sum.await.ok_or_else(|| {
            let text = "the service does not say the CRC32C of a part";
            self.complaint(ErrorCode::Protocol, key, text)
        })
    }

    /// Puts `sources` together, as many at a time as one request can.
    async fn compose_level(
        &self,
        key: &Key,
        folder: &str,
        level: u32,
        sources: &[Resource],
    ) -> Result<Vec<Resource>, StoreError> {
        let groups: Vec<(usize, &[Resource])> = sources.chunks(SOURCES_MAX).enumerate().collect();
        let compose = |(index, group): (usize, &[Resource])| {
            let name = part::composed(folder, level, index);
            let sources = list_of(group);
            async move { self.compose(&name, sources, Map::new(), None).await }
        };
        let composed: Result<Vec<Resource>, Failed> =
            for_each(self.requests_max, groups, compose).await.into_iter().collect();
        composed.map_err(|failed| self.compose_error(key, &failed))
    }

    /// Puts the object itself together, if what is under its name is what is there now.
    async fn compose_whole(
        &self,
        object: &NewObject,
        sources: &[Resource],
    ) -> Result<Resource, StoreError> {
        let key = &object.entry.key;
        let name = self.names.full(key)?;
        let before = self.find(key).await?.and_then(|found| found.generation()).unwrap_or(0);
        let composed =
            self.compose(&name, list_of(sources), description(object), Some(before)).await;
        composed.map_err(|failed| self.compose_error(key, &failed))
    }

    async fn compose(
        &self,
        name: &str,
        sources: Value,
        destination: Map<String, Value>,
        before: Option<u64>,
    ) -> Result<Resource, Failed> {
        let before = before.map(|generation| generation.to_string());
        let condition = before.as_deref().map(|generation| ("ifGenerationMatch", generation));
        let query: Vec<(&str, &str)> = condition.into_iter().collect();
        let document = json!({ "sourceObjects": sources, "destination": destination }).to_string();
        let length = document.len() as u64;
        let body = (Body::from(document), length);
        let request = self.post(Subject::Composed(name), &query, "application/json", body)?;
        self.ask(request, Patience::Long).await
    }

    /// A source that is gone was dropped meanwhile. A condition is on what is there under the object's name or
    /// on a part, which an attempt that was given up may have written late: nothing of it is about the source
    /// of the job, and another attempt looks at what is there then.
    fn compose_error(&self, key: &Key, failed: &Failed) -> StoreError {
        if is_absent(failed) {
            return self.lost(key);
        }
        if is_condition(failed) {
            let text = "another program wrote it, or a part, while it was being committed";
            return self.complaint(ErrorCode::Unavailable, key, text);
        }
        self.error("commit the upload of", key, failed)
    }

    /// The upload is gone: either it was committed before, and the object with our fingerprint is
    /// there, or it is lost. Its parts are gone too, so the bytes themselves have to prove it.
    async fn check_committed_before(
        &self,
        object: &NewObject,
        root: Root,
    ) -> Result<(), StoreError> {
        let key = &object.entry.key;
        let Some(found) = self.find(key).await? else { return Err(self.lost(key)) };
        let expected = object.attributes.source_fingerprint.as_deref();
        let is_ours = found.source_fingerprint() == expected;
        if !is_ours || found.size() != Some(object.entry.size) {
            return Err(self.lost(key));
        }
        let proven = self.read_back(key, root).await;
        proven.map_err(|error| error.unproven(found.version()))
    }
}

/// The sources of a request, each in exactly the state that was listed.
fn list_of(sources: &[Resource]) -> Value {
    let source = |object: &Resource| {
        let mut source = json!({ "name": object.name });
        if let Some(generation) = object.generation() {
            let generation = generation.to_string();
            source["generation"] = json!(generation);
            source["objectPreconditions"] = json!({ "ifGenerationMatch": generation });
        }
        source
    };
    sources.iter().map(source).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_named_in_the_state_that_was_listed() {
        let part: Resource =
            serde_json::from_value(json!({ "name": "a/part-00000", "generation": "12" })).unwrap();
        let bare: Resource = serde_json::from_value(json!({ "name": "b" })).unwrap();
        let expected = json!([
            {
                "name": "a/part-00000",
                "generation": "12",
                "objectPreconditions": { "ifGenerationMatch": "12" }
            },
            { "name": "b" },
        ]);
        assert_eq!(list_of(&[part, bare]), expected);
    }
}
