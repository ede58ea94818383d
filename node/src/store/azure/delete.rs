//! Deleting what still is as listed: the service itself compares, by `If-Match`, so that nothing has to be looked
//! at first.

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
        // What cannot be asked about under this name is not gone.
        let name = self.names.full(key)?;
        let Version::ETag(etag) = &entry.version else {
            return Err(self.complaint(ErrorCode::Protocol, key, "its listing has no ETag"));
        };
        // Which blob a directory marker is has to be looked for.
        let blob = match name.ends_with('/') {
            false => name,
            true => match self.find(key).await? {
                Some(found) => found.blob,
                None => return Ok(()),
            },
        };
        let deleted = async {
            let mut request = self.request(Method::DELETE, Subject::Blob(&blob), &[])?;
            set(&mut request, "if-match", &quoted(etag))?;
            self.send(request, Patience::Normal).await
        };
        match deleted.await {
            Ok(_) => Ok(()),
            Err(failed) if is_absent(&failed) => Ok(()),
            // A condition on what is not there may be said not to hold, either.
            Err(failed) if is_condition(&failed) => match self.find(key).await? {
                None => Ok(()),
                Some(_) => {
                    let text = "it changed since it was listed and was not deleted: run again";
                    Err(self.complaint(ErrorCode::SourceChanged, key, text))
                }
            },
            Err(failed) => Err(self.error("delete", key, &failed)),
        }
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
