//! Deleting what still is as listed.

use std::sync::Arc;

use airlift_protocol::error::ErrorCode;
use airlift_protocol::manifest::{Entry, Version};

use super::client::Bucket;
use super::error::is_absent;
use super::for_each;
use crate::store::StoreError;

impl Bucket {
    /// Deletes one object, one request for it alone: deleting many at once needs a digest that
    /// stores do not agree upon.
    async fn delete_listed(&self, entry: &Entry) -> Result<(), StoreError> {
        let key = &entry.key;
        let Some(answer) = self.head(key).await? else { return Ok(()) };
        let now = self.described(key, &answer)?;
        // Without an ETag, the time has to tell one state from another.
        let same_time = now.version != Version::None || now.mtime_ns == entry.mtime_ns;
        if (now.size, &now.version) != (entry.size, &entry.version) || !same_time {
            let text = "it changed since it was listed and was not deleted: run again";
            return Err(self.complaint(ErrorCode::SourceChanged, key, text));
        }
        let request = self.client().delete_object().bucket(&self.name).key(self.sendable(key)?);
        let delete = async {
            self.fence.check()?;
            match request.send().await {
                Ok(_) => Ok(()),
                Err(error) if is_absent(&error) => Ok(()),
                Err(error) => Err(self.error("delete", key, &error)),
            }
        };
        self.pace.writes.pass(0, delete).await
    }
}

pub(super) async fn delete(
    bucket: &Arc<Bucket>,
    entries: Vec<Entry>,
) -> Vec<Result<(), StoreError>> {
    let delete = |entry: Entry| {
        let bucket = Arc::clone(bucket);
        async move { bucket.delete_listed(&entry).await }
    };
    for_each(bucket.requests_max, entries, delete).await
}
