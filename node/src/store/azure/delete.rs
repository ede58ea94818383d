//! Deleting what still is as listed: the service itself compares, by `If-Match`.

use std::sync::Arc;

use airlift_protocol::error::ErrorCode;
use airlift_protocol::manifest::{Entry, Version};
use reqwest::Method;

use super::container::{Container, Subject, set};
use super::error::{is_absent, is_condition};
use crate::store::StoreError;
use crate::store::digest::quoted;
use crate::store::each::for_each;
use crate::store::http::Patience;

impl Container {
    async fn delete_listed(&self, entry: &Entry) -> Result<(), StoreError> {
        let key = &entry.key;
        // What this name could not be asked about is not gone.
        self.names.full(key)?;
        let Some(found) = self.find(key).await? else { return Ok(()) };
        let now = self.described(key, &found.headers)?;
        let Version::ETag(etag) = &now.version else {
            return Err(self.complaint(ErrorCode::Protocol, key, "its description has no ETag"));
        };
        if (now.size, &now.version) != (entry.size, &entry.version) {
            return Err(self.changed_before_delete(entry));
        }
        let deleted = async {
            let mut request = self.request(Method::DELETE, Subject::Blob(&found.blob), &[])?;
            set(&mut request, "if-match", &quoted(etag))?;
            self.send(request, Patience::Normal).await
        };
        match deleted.await {
            Ok(_) => Ok(()),
            Err(failed) if is_absent(&failed) => Ok(()),
            Err(failed) if is_condition(&failed) => Err(self.changed_before_delete(entry)),
            Err(failed) => Err(self.error("delete", key, &failed)),
        }
    }

    fn changed_before_delete(&self, entry: &Entry) -> StoreError {
        let text = "it changed since it was listed and was not deleted: run again";
        self.complaint(ErrorCode::SourceChanged, &entry.key, text)
    }
}

pub(super) async fn delete(
    container: &Arc<Container>,
    entries: Vec<Entry>,
) -> Vec<Result<(), StoreError>> {
    let delete = |entry: Entry| {
        let container = Arc::clone(container);
        async move { container.delete_listed(&entry).await }
    };
    for_each(container.requests_max, entries, delete).await
}
