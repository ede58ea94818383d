//! Asking for a copy that can be read of what lies in an archive.

use std::sync::Arc;

use airlift_protocol::error::ErrorCode;
use airlift_protocol::job::{RestorePolicy, RestoreTier, RestoreTo};
use airlift_protocol::manifest::Entry;
use aws_sdk_s3::types::{GlacierJobParameters, RestoreRequest, Tier};

use super::archive::{Readiness, is_soon};
use super::client::Bucket;
use super::error::code_of;
use super::for_each;
use crate::store::{Restored, StoreError};

/// Asks for each of `entries` what is missing, and says how it stands with it.
pub(super) async fn restore(
    bucket: &Arc<Bucket>,
    entries: Vec<Entry>,
    policy: RestorePolicy,
) -> Vec<Result<Restored, StoreError>> {
    let restore = |entry: Entry| {
        let bucket = Arc::clone(bucket);
        async move { bucket.restore(&entry, policy).await }
    };
    for_each(bucket.requests_max, entries, restore).await
}

impl Bucket {
    async fn restore(&self, entry: &Entry, policy: RestorePolicy) -> Result<Restored, StoreError> {
        let Some(answer) = self.head(&entry.key).await? else {
            let text = "it was deleted at the source after it was listed";
            return Err(self.complaint(ErrorCode::NotFound, &entry.key, text));
        };
        match Readiness::of(&answer) {
            Readiness::Readable => Ok(Restored::Readable),
            Readiness::Until(expiry) if !is_soon(expiry) => Ok(Restored::Readable),
            Readiness::Until(_) => {
                // Asking again for what is there makes it stay. Whatever comes of that, it can be read now.
                if let Err(error) = self.ask(entry, policy, true).await {
                    tracing::warn!(key = %entry.key, %error, "a restored copy expires soon");
                }
                Ok(Restored::Readable)
            }
            Readiness::UnderWay => Ok(Restored::UnderWay),
            Readiness::Archived { has_expiry } => {
                self.ask(entry, policy, has_expiry).await.map(|()| Restored::UnderWay)
            }
        }
    }

    /// Tiers that a store chooses by itself give objects back for good.
    async fn ask(
        &self,
        entry: &Entry,
        policy: RestorePolicy,
        has_expiry: bool,
    ) -> Result<(), StoreError> {
        let tier = match policy.tier {
            RestoreTier::Expedited => Tier::Expedited,
            RestoreTier::Standard => Tier::Standard,
            RestoreTier::Bulk => Tier::Bulk,
        };
        let key = &entry.key;
        let job = GlacierJobParameters::builder().tier(tier).build().map_err(|error| {
            self.complaint(ErrorCode::Bug, key, &format!("a request to restore: {error}"))
        })?;
        let days = match policy.to {
            RestoreTo::Days(days) => i32::from(days),
            RestoreTo::Hot | RestoreTo::Cool | RestoreTo::Cold => {
                let text =
                    "the store gives copies for days: write --restore TIER:DAYS, such as bulk:7";
                return Err(self.complaint(ErrorCode::KindUnsupported, key, text));
            }
        };
        let wanted = RestoreRequest::builder()
            .set_days(has_expiry.then_some(days))
            .glacier_job_parameters(job)
            .build();
        let request = self.client().restore_object().bucket(&self.name);
        let request = request.key(self.sendable(key)?).restore_request(wanted);
        let ask = async {
            match request.send().await {
                Ok(_) => Ok(()),
                Err(error) if code_of(&error) == Some("RestoreAlreadyInProgress") => Ok(()),
                Err(error) => Err(self.error("restore", key, &error)),
            }
        };
        self.pace_of(key).writes.pass(0, ask).await
    }
}
