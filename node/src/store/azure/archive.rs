//! Which blobs lie in the archive tier, and asking that they leave it: for another tier, for good. Until they have,
//! which takes hours, they are still of this one.

use std::sync::Arc;

use airlift_protocol::error::ErrorCode;
use airlift_protocol::job::{RestorePolicy, RestoreTier, RestoreTo};
use airlift_protocol::manifest::Entry;
use bytes::Bytes;
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderValue};

use super::attributes::TIER;
use super::container::{Container, Subject, set};
use crate::store::each::for_each;
use crate::store::http::Patience;
use crate::store::{Restored, StoreError};

/// The tier whose blobs cannot be read.
pub(super) const ARCHIVE: &str = "Archive";

/// Says where to a blob is on its way from the archive.
const STATUS: &str = "x-ms-archive-status";

/// How it stands with a blob that may lie in the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Readiness {
    Readable,
    UnderWay,
    Archived,
}

impl Readiness {
    /// What a description says.
    fn of(headers: &HeaderMap) -> Self {
        match (is_archived(headers), headers.contains_key(STATUS)) {
            (false, _) => Self::Readable,
            (true, true) => Self::UnderWay,
            (true, false) => Self::Archived,
        }
    }
}

/// Whether a description says that the blob cannot be read.
pub(super) fn is_archived(headers: &HeaderMap) -> bool {
    headers.get(TIER).map(HeaderValue::as_bytes) == Some(ARCHIVE.as_bytes())
}

/// Asks for each of `entries` what is missing, and says how it stands with it.
pub(super) async fn restore(
    container: &Arc<Container>,
    entries: Vec<Entry>,
    policy: RestorePolicy,
) -> Vec<Result<Restored, StoreError>> {
    let restore = |entry: Entry| {
        let container = Arc::clone(container);
        async move { container.restore(&entry, policy).await }
    };
    for_each(container.requests_max, entries, restore).await
}

impl Container {
    async fn restore(&self, entry: &Entry, policy: RestorePolicy) -> Result<Restored, StoreError> {
        let found = self.find(&entry.key).await?.ok_or_else(|| {
            let text = "it was deleted at the source after it was listed";
            self.complaint(ErrorCode::NotFound, &entry.key, text)
        })?;
        match Readiness::of(&found.headers) {
            Readiness::Readable => Ok(Restored::Readable),
            Readiness::UnderWay => Ok(Restored::UnderWay),
            Readiness::Archived => self.move_out(entry, &found.blob, policy).await,
        }
    }

    /// Has the service move a blob out of the archive.
    async fn move_out(
        &self,
        entry: &Entry,
        blob: &str,
        policy: RestorePolicy,
    ) -> Result<Restored, StoreError> {
        let key = &entry.key;
        let tier = match policy.to {
            RestoreTo::Hot => "Hot",
            RestoreTo::Cool => "Cool",
            RestoreTo::Cold => "Cold",
            RestoreTo::Days(_) => {
                let text = "Azure moves blobs out of the archive for good: write --restore TIER:hot, \
                            TIER:cool or TIER:cold";
                return Err(self.complaint(ErrorCode::KindUnsupported, key, text));
            }
        };
        let priority = match policy.tier {
            RestoreTier::Expedited => "High",
            // There is none that is slower.
            RestoreTier::Standard | RestoreTier::Bulk => "Standard",
        };
        let asked = async {
            let mut request = self.put(Subject::Blob(blob), &[("comp", "tier")], Bytes::new())?;
            set(&mut request, TIER, tier)?;
            set(&mut request, "x-ms-rehydrate-priority", priority)?;
            self.send(request, Patience::Normal).await
        };
        match asked.await {
            // What takes its time is accepted only.
            Ok(answer) if answer.status() == StatusCode::OK => Ok(Restored::Readable),
            Ok(_) => Ok(Restored::UnderWay),
            Err(failed) if failed.code() == Some("BlobBeingRehydrated") => Ok(Restored::UnderWay),
            Err(failed) => Err(self.error("restore", key, &failed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leaves_the_archive_is_in_it_until_it_has() {
        for (tier, status, expected) in [
            (None, None, Readiness::Readable),
            (Some("Cool"), None, Readiness::Readable),
            (Some("Archive"), None, Readiness::Archived),
            (Some("Archive"), Some("rehydrate-pending-to-hot"), Readiness::UnderWay),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in [(TIER, tier), (STATUS, status)] {
                if let Some(value) = value {
                    headers.insert(name, HeaderValue::from_static(value));
                }
            }
            assert_eq!(Readiness::of(&headers), expected, "{tier:?} {status:?}");
        }
    }
}
