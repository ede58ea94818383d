//! Deleting what still is as listed: the service itself compares the generation. Emulators take no notice of
//! that, so that there each object is looked at first.

use std::sync::Arc;

use airlift_protocol::error::ErrorCode;
use airlift_protocol::manifest::{Entry, Version};

use super::bucket::Bucket;
use super::error::is_condition;
use crate::store::StoreError;
use crate::store::each::for_each;

impl Bucket {
    async fn delete_listed(&self, entry: &Entry) -> Result<(), StoreError> {
        let key = &entry.key;
        let changed = || {
            let text = "it changed since it was listed and was not deleted: run again";
            self.complaint(ErrorCode::SourceChanged, key, text)
        };
        // What cannot be asked about under this name is not gone.
        let name = self.names.full(key)?;
        let generation = match &entry.version {
            Version::ETag(generation) if self.is_service() => generation.parse().ok(),
            _ => None,
        };
        let generation = match generation {
            Some(generation) => Some(generation),
            None => {
                let Some(found) = self.find(key).await? else { return Ok(()) };
                let now = self.described(key, &found)?;
                // Without a generation, the time has to tell one state from another.
                let same_time = found.generation().is_some() || now.mtime_ns == entry.mtime_ns;
                if (now.size, &now.version) != (entry.size, &entry.version) || !same_time {
                    return Err(changed());
                }
                found.generation()
            }
        };
        match self.remove(&name, generation).await {
            Ok(()) => Ok(()),
            // A condition on what is not there may be said not to hold, either.
            Err(failed) if is_condition(&failed) => match self.find(key).await? {
                None => Ok(()),
                Some(_) => Err(changed()),
            },
            Err(failed) => Err(self.error("delete", key, &failed)),
        }
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
