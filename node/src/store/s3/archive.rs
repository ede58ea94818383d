//! Which objects lie in an archive, and would have to be restored before they can be read.

use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::types::{Object, ObjectStorageClass, StorageClass};

/// How the header `x-amz-restore` begins for an object that has been restored.
const RESTORED: &str = "ongoing-request=\"false\"";

/// Whether a listing says that the object cannot be read at once. Of tiers that a store chooses by
/// itself a listing says nothing.
pub(super) fn is_listed_archived(object: &Object) -> bool {
    let is_cold = matches!(
        object.storage_class(),
        Some(ObjectStorageClass::Glacier | ObjectStorageClass::DeepArchive)
    );
    let is_restored = object.restore_status().is_some_and(|status| {
        status.is_restore_in_progress() != Some(true) && status.restore_expiry_date().is_some()
    });
    is_cold && !is_restored
}

/// Whether a description says that the object cannot be read at once.
pub(super) fn is_described_archived(answer: &HeadObjectOutput) -> bool {
    let is_cold =
        matches!(answer.storage_class(), Some(StorageClass::Glacier | StorageClass::DeepArchive));
    let is_restored = answer.restore().is_some_and(|text| text.trim_start().starts_with(RESTORED));
    (is_cold || answer.archive_status().is_some()) && !is_restored
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::types::{ArchiveStatus, RestoreStatus};
    use aws_smithy_types::DateTime;

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
            assert_eq!(is_listed_archived(&listed(class.clone(), status)), expected, "{class}");
        }
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
    }
}
