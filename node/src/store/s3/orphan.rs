//! Dropping uploads: those on record, and those of a crash before their token was on record. Never an
//! upload of somebody else.
//!
//! A listing of uploads says nothing that would tell whose one is: same key, same account, and no room
//! for a mark. What tells them apart is the order of events: a part is only ever sent after the
//! token of its upload is on record. So an upload of ours that nobody remembers has no part, and one
//! that has some is in use by another program, or by another job.

use airlift_protocol::assignment::UploadToken;
use airlift_protocol::error::ErrorCode;
use airlift_protocol::key::Key;
use airlift_protocol::time::Timestamp;
use aws_sdk_s3::operation::list_multipart_uploads::ListMultipartUploadsOutput;
use aws_sdk_s3::types::{ChecksumAlgorithm, EncodingType, MultipartUpload};

use super::Checksums;
use super::client::Bucket;
use super::keys::url_decode;
use super::server::CopyId;
use super::upload::{PAGES_MAX, UploadId};
use crate::store::StoreError;

/// Milliseconds by which the clocks of this machine and of the store may differ.
const CLOCK_SKEW_MS: i64 = 5 * 60 * 1_000;

/// Times that an upload is dropped before it is said to be left over.
const DROPS_MAX: u32 = 4;

impl Bucket {
    pub(super) async fn discard(
        &self,
        key: &Key,
        token: Option<&UploadToken>,
        orphan_since: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        // A token that was not made here names nothing that could be dropped.
        let moved = token.and_then(UploadId::parse).map(|upload| upload.id);
        let copied = token.and_then(CopyId::parse).map(|upload| upload.id);
        if let Some(id) = moved.or(copied) {
            self.drop_upload(key, &id).await?;
        }
        match orphan_since {
            Some(since) => self.drop_orphans(key, since, None).await,
            None => Ok(()),
        }
    }

    /// Drops uploads of exactly `key` that were begun since `since` and have no part, but not `keep`.
    pub(super) async fn drop_orphans(
        &self,
        key: &Key,
        since: Timestamp,
        keep: Option<&str>,
    ) -> Result<(), StoreError> {
        let earliest = i64::try_from(since.0).unwrap_or(i64::MAX).saturating_sub(CLOCK_SKEW_MS);
        for upload in self.uploads(key).await? {
            let Some(id) = upload.upload_id().filter(|id| Some(*id) != keep) else { continue };
            if self.may_be_ours(&upload, earliest) && self.has_no_part(key, id).await? {
                self.drop_upload(key, id).await?;
            }
        }
        Ok(())
    }

    /// Whether this job may have begun an upload, as far as the listing says.
    fn may_be_ours(&self, upload: &MultipartUpload, earliest: i64) -> bool {
        let begun = upload.initiated().and_then(|time| time.to_millis().ok());
        let is_as_ours_are = match (self.checksums, upload.checksum_algorithm()) {
            (Checksums::Crc32c, Some(listed)) => *listed == ChecksumAlgorithm::Crc32C,
            (Checksums::Crc64Nvme, Some(listed)) => *listed == ChecksumAlgorithm::Crc64Nvme,
            // Where none was asked for, a store may say one of its own choice.
            _ => true,
        };
        is_as_ours_are && begun.is_none_or(|begun| begun >= earliest)
    }

    /// Whether an upload is there and no part of it was ever sent.
    async fn has_no_part(&self, key: &Key, id: &str) -> Result<bool, StoreError> {
        match self.parts_page(key, id, None).await {
            Ok(page) => Ok(page.parts().is_empty()),
            Err(gone) if is_gone(&gone) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Drops an upload until nothing is left of it: a part that is on its way meanwhile may arrive after
    /// it, and is kept, and paid for, until the upload is dropped again.
    pub(super) async fn drop_upload(&self, key: &Key, id: &str) -> Result<(), StoreError> {
        for _ in 0..DROPS_MAX {
            self.abort(key, id).await?;
            match self.parts_page(key, id, None).await {
                Ok(page) if page.parts().is_empty() => return Ok(()),
                Ok(_) => {}
                Err(gone) if is_gone(&gone) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        let text = "the store keeps parts of an upload that was dropped";
        Err(self.complaint(ErrorCode::Unavailable, key, text))
    }

    async fn abort(&self, key: &Key, id: &str) -> Result<(), StoreError> {
        let request = self
            .client()
            .abort_multipart_upload()
            .bucket(&self.name)
            .key(self.sendable(key)?)
            .upload_id(id);
        let drop = async {
            // It may be the one that another node fills by now.
            self.fence.check()?;
            let dropped = request.send().await;
            dropped.map_err(|error| self.error("drop the upload of", key, &error))
        };
        match self.pace_of(key).writes.pass(0, drop).await {
            Ok(_) => Ok(()),
            Err(gone) if is_gone(&gone) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// All uploads of exactly `key`.
    async fn uploads(&self, key: &Key) -> Result<Vec<MultipartUpload>, StoreError> {
        let full = self.full(key)?;
        let mut uploads = Vec::new();
        let (mut key_marker, mut id_marker) = (None, None);
        for _ in 0..PAGES_MAX {
            let request = self
                .client()
                .list_multipart_uploads()
                .bucket(&self.name)
                .prefix(&full)
                .encoding_type(EncodingType::Url)
                .set_key_marker(key_marker.clone())
                .set_upload_id_marker(id_marker.clone());
            let list = async {
                request.send().await.map_err(|error| self.error("list the uploads of", key, &error))
            };
            let page = self.pace_of(key).reads.pass(0, list).await?;
            let next = (decoded(&page, page.next_key_marker()), page.next_upload_id_marker.clone());
            let is_last = page.is_truncated != Some(true)
                || next.0.is_none()
                || next.0.as_ref().is_some_and(|next| *next > full);
            let of_key = |upload: &MultipartUpload| {
                decoded_is(page.encoding_type.as_ref(), upload.key(), &full)
            };
            uploads.extend(page.uploads().iter().filter(|upload| of_key(upload)).cloned());
            if is_last {
                return Ok(uploads);
            }
            if next == (key_marker, id_marker) {
                break;
            }
            (key_marker, id_marker) = next;
        }
        let text = "the listing of its uploads does not end";
        Err(self.complaint(ErrorCode::Protocol, key, text))
    }
}

fn is_gone(error: &StoreError) -> bool {
    matches!(error.code, ErrorCode::UploadLost | ErrorCode::NotFound)
}

fn decoded(page: &ListMultipartUploadsOutput, text: Option<&str>) -> Option<String> {
    match page.encoding_type() {
        Some(EncodingType::Url) => url_decode(text?),
        _ => text.map(str::to_owned),
    }
}

fn decoded_is(encoding: Option<&EncodingType>, listed: Option<&str>, full: &str) -> bool {
    match encoding {
        Some(EncodingType::Url) => listed.and_then(url_decode).as_deref() == Some(full),
        _ => listed == Some(full),
    }
}
