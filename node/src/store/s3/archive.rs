//! Which objects lie in an archive, and would have to be restored before they can be read.

use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::types::{Object, ObjectStorageClass, RestoreStatus, StorageClass};
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;

use crate::runtime::clock;

/// How the header `x-amz-restore` begins for an object that has been restored.
const RESTORED: &str = "ongoing-request=\"false\"";
/// How it begins as long as that is under way.
const RESTORING: &str = "ongoing-request=\"true\"";
/// What stands before the end of the time for which a restored copy is there.
const EXPIRY: &str = "expiry-date=\"";

/// Seconds before a restored copy is gone from which on a job that restores asks for it again: enough to
/// read a large object.
const SOON_SECONDS: i64 = 12 * 3600;

/// How it stands with an object that may lie in an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Readiness {
    /// It lies in none.
    Readable,
    /// A copy can be read until then, in seconds since 1970.
    Until(i64),
    /// A copy was asked for.
    UnderWay,
    /// Nobody has asked for a copy. A tier that the store chose by itself gives it back for good.
    Archived { has_expiry: bool },
}

impl Readiness {
    /// What a description says.
    pub(super) fn of(answer: &HeadObjectOutput) -> Self {
        let is_cold = matches!(
            answer.storage_class(),
            Some(StorageClass::Glacier | StorageClass::DeepArchive)
        );
        if !is_cold && answer.archive_status().is_none() {
            return Self::Readable;
        }
        match answer.restore().map(str::trim_start) {
            Some(text) if text.starts_with(RESTORED) => Self::Until(expiry_of(text)),
            Some(text) if text.starts_with(RESTORING) => Self::UnderWay,
            _ => Self::Archived { has_expiry: is_cold },
        }
    }
}

/// When the copy is gone of which `x-amz-restore` says `text`; far away where it does not say.
fn expiry_of(text: &str) -> i64 {
    let date = text.split_once(EXPIRY).and_then(|(_, rest)| Some(rest.split_once('"')?.0));
    let date = date.and_then(|date| DateTime::from_str(date, Format::HttpDate).ok());
    date.map_or(i64::MAX, |date| date.secs())
}

/// Whether a copy that is there until `expiry` will soon be gone.
pub(super) fn is_soon(expiry: i64) -> bool {
    let now = i64::try_from(clock::wall().0 / 1000).unwrap_or(i64::MAX);
    expiry.saturating_sub(now) < SOON_SECONDS
}

/// Whether a listing says that the object cannot be read at once, or where the job `restores`, that it
/// soon cannot. Of tiers that a store chooses by itself a listing says nothing.
pub(super) fn is_listed_archived(object: &Object, restores: bool) -> bool {
    let is_cold = matches!(
        object.storage_class(),
        Some(ObjectStorageClass::Glacier | ObjectStorageClass::DeepArchive)
    );
    let expiry = object
        .restore_status()
        .filter(|status| status.is_restore_in_progress() != Some(true))
        .and_then(RestoreStatus::restore_expiry_date);
    is_cold && expiry.is_none_or(|expiry| restores && is_soon(expiry.secs()))
}

/// Whether a description says that the object cannot be read at once.
pub(super) fn is_described_archived(answer: &HeadObjectOutput) -> bool {
    matches!(Readiness::of(answer), Readiness::UnderWay | Readiness::Archived { .. })
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::types::ArchiveStatus;

    use super::*;

    #[test]
    fn a_listing_tells_what_is_archived_and_what_was_restored() {
        let listed = |class, status| {
            Object::builder().storage_class(class).set_restore_status(status).build()
        };
        let restored = RestoreStatus::builder()
            .is_restore_in_progress(false)
            .restore_expiry_date(DateTime::from_secs(1))
            .build();
        let restoring = RestoreStatus::builder().is_restore_in_progress(true).build();
        for (class, status, expected) in [
            (ObjectStorageClass::Standard, None, false),
            (ObjectStorageClass::GlacierIr, None, false),
            (ObjectStorageClass::Glacier, None, true),
            (ObjectStorageClass::DeepArchive, Some(restoring), true),
            (ObjectStorageClass::Glacier, Some(restored), false),
        ] {
            let object = listed(class.clone(), status);
            assert_eq!(is_listed_archived(&object, false), expected, "{class}");
        }
        let until = |seconds: i64| {
            let status = RestoreStatus::builder().restore_expiry_date(DateTime::from_secs(seconds));
            is_listed_archived(&listed(ObjectStorageClass::Glacier, Some(status.build())), true)
        };
        let now = i64::try_from(clock::wall().0 / 1000).unwrap();
        assert!(
            until(now - 1) && until(now + SOON_SECONDS - 60) && !until(now + SOON_SECONDS + 60)
        );
    }

    #[test]
    fn a_description_tells_the_same() {
        let described =
            |class: Option<StorageClass>, tier: Option<ArchiveStatus>, restore: &str| {
                let restore = (!restore.is_empty()).then(|| restore.to_owned());
                let answer = HeadObjectOutput::builder().set_storage_class(class);
                is_described_archived(&answer.set_archive_status(tier).set_restore(restore).build())
            };
        assert!(!described(None, None, ""));
        assert!(described(Some(StorageClass::DeepArchive), None, ""));
        assert!(described(Some(StorageClass::Glacier), None, "ongoing-request=\"true\""));
        let date = "ongoing-request=\"false\", expiry-date=\"Fri, 21 Dec 2040 00:00:00 GMT\"";
        assert!(!described(Some(StorageClass::Glacier), None, date));
        let tiering = Some(StorageClass::IntelligentTiering);
        assert!(!described(tiering.clone(), None, ""));
        assert!(described(tiering, Some(ArchiveStatus::ArchiveAccess), ""));
        assert_eq!(expiry_of(date), 2_239_660_800);
        assert_eq!(expiry_of(RESTORED), i64::MAX);
    }
}
