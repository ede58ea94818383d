//! Deleting what still is as listed.
//!
//! Amazon compares ETags itself, of a thousand objects in one request. Other services may take no notice of a
//! condition and delete: there each object is looked at first, right before a request for it alone.

use std::sync::Arc;

use airlift_protocol::error::ErrorCode;
use airlift_protocol::manifest::{Entry, Version};
use aws_sdk_s3::operation::delete_objects::DeleteObjectsOutput;
use aws_sdk_s3::types::{Delete, ObjectIdentifier};

use super::client::Bucket;
use super::digest::quoted;
use super::error::{is_absent, told};
use super::for_each;
use crate::store::StoreError;

/// Objects of one request, at most.
/// docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html
const BATCH_KEYS: usize = 1_000;

/// What became of an object of a batch.
type Outcome = Result<(), StoreError>;

impl Bucket {
    /// Deletes one object by requests for it alone.
    async fn delete_listed(&self, entry: &Entry) -> Outcome {
        let key = &entry.key;
        // What this name could not be asked about is not gone.
        let sendable = self.sendable(key)?;
        let Some(answer) = self.head(key).await? else { return Ok(()) };
        let now = self.described(key, &answer)?;
        // Without an ETag, the time has to tell one state from another.
        let same_time = now.version != Version::None || now.mtime_ns == entry.mtime_ns;
        if (now.size, &now.version) != (entry.size, &entry.version) || !same_time {
            let text = "it changed since it was listed and was not deleted: run again";
            return Err(self.complaint(ErrorCode::SourceChanged, key, text));
        }
        let condition = match &entry.version {
            Version::ETag(etag) if self.compares_deletes => Some(quoted(etag)),
            _ => None,
        };
        let request = self.client().delete_object().bucket(&self.name).key(sendable);
        let request = request.set_if_match(condition);
        let delete = async {
            self.fence.check()?;
            match request.send().await {
                Ok(_) => Ok(()),
                Err(error) if is_absent(&error) => Ok(()),
                Err(error) => Err(self.error("delete", key, &error)),
            }
        };
        self.pace_of(key).writes.pass(0, delete).await
    }

    /// How a batch names `entry`; `None` where it cannot, or where nothing could be compared.
    fn identified(&self, entry: &Entry) -> Option<ObjectIdentifier> {
        let Version::ETag(etag) = &entry.version else { return None };
        let full = self.full(&entry.key).ok()?;
        let is_blank = full.trim().is_empty();
        let is_said = |c: char| !c.is_control() && !matches!(c, '\u{fffe}' | '\u{ffff}');
        let is_named = !is_blank && full.chars().all(is_said);
        let named = ObjectIdentifier::builder().key(full).e_tag(quoted(etag));
        is_named.then(|| named.build().ok())?
    }

    /// Deletes objects by one request; `None` for each that has to be looked at.
    async fn delete_batch(&self, batch: &[(Entry, ObjectIdentifier)]) -> Vec<Option<Outcome>> {
        let objects = batch.iter().map(|(_, object)| object.clone()).collect();
        let all = match Delete::builder().set_objects(Some(objects)).build() {
            Ok(all) => all,
            Err(error) => {
                let text = format!("a request to delete: {error}");
                let failed = |entry: &Entry| self.complaint(ErrorCode::Bug, &entry.key, &text);
                return batch.iter().map(|(entry, _)| Some(Err(failed(entry)))).collect();
            }
        };
        let request = self.client().delete_objects().bucket(&self.name).delete(all);
        let (first, _) = &batch[0];
        let delete = async {
            self.fence.check()?;
            let answer = request.send().await;
            answer.map_err(|error| self.error("delete", &first.key, &error))
        };
        match self.pace_of(&first.key).writes.pass(0, delete).await {
            Ok(answer) => batch.iter().map(|each| self.outcome(each, &answer)).collect(),
            Err(error) => batch.iter().map(|_| Some(Err(error.clone()))).collect(),
        }
    }

    /// What the answer to a batch says of one of its objects.
    fn outcome(
        &self,
        (entry, object): &(Entry, ObjectIdentifier),
        answer: &DeleteObjectsOutput,
    ) -> Option<Outcome> {
        let is_it = |key: Option<&str>| key == Some(object.key());
        if let Some(error) = answer.errors().iter().find(|error| is_it(error.key())) {
            return match error.code() {
                Some("NoSuchKey") => Some(Ok(())),
                Some("PreconditionFailed") => None,
                code => {
                    let name = self.name_of(&entry.key);
                    Some(Err(told("delete", &name, &self.service, code, error.message())))
                }
            };
        }
        if answer.deleted().iter().any(|deleted| is_it(deleted.key())) {
            return Some(Ok(()));
        }
        let text = "the store does not say whether it was deleted";
        Some(Err(self.complaint(ErrorCode::Unavailable, &entry.key, text)))
    }
}

pub(super) async fn delete(bucket: &Arc<Bucket>, entries: Vec<Entry>) -> Vec<Outcome> {
    let mut outcomes: Vec<Option<Outcome>> = entries.iter().map(|_| None).collect();
    if bucket.compares_deletes {
        let named = entries.iter().enumerate();
        let named = named
            .filter_map(|(place, entry)| Some((place, (entry.clone(), bucket.identified(entry)?))));
        let (places, named): (Vec<usize>, Vec<(Entry, ObjectIdentifier)>) = named.unzip();
        let batches = named.chunks(BATCH_KEYS).map(<[_]>::to_vec).collect();
        let delete = |batch: Vec<(Entry, ObjectIdentifier)>| {
            let bucket = Arc::clone(bucket);
            async move { bucket.delete_batch(&batch).await }
        };
        let deleted = for_each(bucket.requests_max, batches, delete).await;
        for (place, outcome) in places.into_iter().zip(deleted.into_iter().flatten()) {
            outcomes[place] = outcome;
        }
    }
    let open = entries.into_iter().zip(&outcomes).filter(|(_, outcome)| outcome.is_none());
    let open: Vec<Entry> = open.map(|(entry, _)| entry).collect();
    let delete = |entry: Entry| {
        let bucket = Arc::clone(bucket);
        async move { bucket.delete_listed(&entry).await }
    };
    let mut looked_at = for_each(bucket.requests_max, open, delete).await.into_iter();
    let lost = || Err(StoreError::new(ErrorCode::Bug, "no result for an object"));
    let outcome =
        |outcome: Option<Outcome>| outcome.or_else(|| looked_at.next()).unwrap_or_else(lost);
    outcomes.into_iter().map(outcome).collect()
}
