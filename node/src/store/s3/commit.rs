//! Making an upload visible, and holding the store to what its parts were.

use airlift_protocol::assignment::UploadToken;
use airlift_protocol::chunk::Root;
use airlift_protocol::error::ErrorCode;
use airlift_protocol::key::Key;
use airlift_protocol::manifest::Version;
use airlift_protocol::sum::{Sum, SumKind};
use airlift_protocol::units::ByteRange;
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::types::{ChecksumType, CompletedMultipartUpload, CompletedPart, Part};

use super::Checksums;
use super::attributes::source_fingerprint;
use super::client::Bucket;
use super::composite::{composite_crc32c, composite_etag};
use super::digest::unquoted;
use super::error::code_of;
use super::list::version_of;
use super::stored::Described;
use super::upload::UploadId;
use crate::runtime::blocking::blocking;
use crate::store::{NewObject, StoreError, sum};

impl Bucket {
    pub(super) async fn commit(
        &self,
        object: &NewObject,
        token: &UploadToken,
        root: Root,
        sum: Option<Sum>,
    ) -> Result<(), StoreError> {
        let upload = self.upload_id(&object.entry.key, token)?;
        let sum = sum.filter(|sum| self.sum_compared(&upload) == Some(sum.kind()));
        let written = self.assemble(object, &upload, Whole { root, sum }).await?;
        let carried = self.confirm_attributes(object).await;
        carried.map_err(|error| error.unproven(written))
    }

    /// Puts an upload together, or finds that it was; what holds the bytes is in the state that is answered.
    async fn assemble(
        &self,
        object: &NewObject,
        upload: &UploadId,
        whole: Whole,
    ) -> Result<Version, StoreError> {
        let key = &object.entry.key;
        let parts = match self.parts(key, &upload.id).await {
            Ok(parts) => parts,
            Err(error) if error.code == ErrorCode::UploadLost => {
                return self.check_committed_before(object, whole, error).await;
            }
            Err(error) => return Err(error),
        };
        self.check_complete(object, upload, &parts)?;
        let sum = match whole.sum {
            Some(sum) => Some(sum),
            None => composed_sum(&parts).await,
        };
        // The store computes it of all bytes and refuses another one.
        let sent = sum.filter(|_| upload.checksums == Checksums::Crc64Nvme);
        match self.complete(key, &upload.id, &parts, (object.entry.size, sent)).await {
            Ok(written) => {
                let checked = self.check_committed(object, &parts, Whole { sum, ..whole }).await;
                match checked {
                    Ok(()) => Ok(written),
                    Err(error) => Err(error.unproven(written)),
                }
            }
            Err(error) if error.code == ErrorCode::UploadLost => {
                self.check_committed_before(object, whole, error).await
            }
            Err(error) => Err(error),
        }
    }

    /// Every part has to be there in its full size.
    fn check_complete(
        &self,
        object: &NewObject,
        upload: &UploadId,
        parts: &[Part],
    ) -> Result<(), StoreError> {
        let Some(number) = first_missing(upload, object.entry.size, parts) else { return Ok(()) };
        let text = format!("part {number} of the upload is not there as it was written");
        Err(self.complaint(ErrorCode::UploadLost, &object.entry.key, &text))
    }

    /// Asks the store to assemble the parts; answers the state of what it has made. An error inside an
    /// answer of status 200 is an error to the SDK, and what the store assembled is checked in any case.
    pub(super) async fn complete(
        &self,
        key: &Key,
        id: &str,
        parts: &[Part],
        (bytes, sent): (u64, Option<Sum>),
    ) -> Result<Version, StoreError> {
        let completed = parts.iter().map(|part| {
            CompletedPart::builder()
                .set_part_number(part.part_number)
                .set_e_tag(part.e_tag.clone())
                .set_checksum_crc64_nvme(part.checksum_crc64_nvme.clone())
                .set_checksum_crc32_c(part.checksum_crc32_c.clone())
                .build()
        });
        let assembled =
            CompletedMultipartUpload::builder().set_parts(Some(completed.collect())).build();
        let request = self
            .patient_client()
            .complete_multipart_upload()
            .bucket(&self.name)
            .key(self.sendable(key)?)
            .upload_id(id)
            .set_checksum_crc64_nvme(sent.map(sum::to_base64))
            .set_checksum_type(sent.map(|_| ChecksumType::FullObject))
            .multipart_upload(assembled);
        let commit = async {
            self.fence.check()?;
            match request.send().await {
                Ok(answer) => Ok(version_of(answer.e_tag())),
                Err(error) if code_of(&error) == Some("InvalidPart") => {
                    let text = "the store lost a part between its listing and the commit";
                    Err(self.complaint(ErrorCode::UploadLost, key, text))
                }
                Err(error) => Err(self.error("commit the upload of", key, &error)),
            }
        };
        // The store goes through all of it.
        self.pace_of(key).writes.pass(bytes, commit).await
    }

    /// Compares what the store now holds with the sum of the whole, or with its parts, each of which was
    /// confirmed when it was written; where it says nothing comparable, reads the object back.
    async fn check_committed(
        &self,
        object: &NewObject,
        parts: &[Part],
        whole: Whole,
    ) -> Result<(), StoreError> {
        let key = &object.entry.key;
        let Some(found) = self.describe_sums(key).await? else {
            let text = "the store committed the upload, and then did not know the object";
            return Err(self.complaint(ErrorCode::CorruptTarget, key, text));
        };
        if !has_size(&found.answer, object.entry.size) {
            return Err(self.corrupt(key));
        }
        match whole.is_held(&found) {
            Some(true) => Ok(()),
            Some(false) => Err(self.corrupt(key)),
            None if is_proven(&found.answer, parts) => Ok(()),
            None => self.read_back(key, whole.root).await,
        }
    }

    /// The upload is gone: either it was committed before, and the object with our fingerprint is
    /// there, or it is lost. Its parts are gone too, so the sum of the whole or the bytes themselves
    /// have to prove it.
    async fn check_committed_before(
        &self,
        object: &NewObject,
        whole: Whole,
        lost: StoreError,
    ) -> Result<Version, StoreError> {
        let key = &object.entry.key;
        let Some(found) = self.describe_sums(key).await? else { return Err(lost) };
        let expected = object.attributes.source_fingerprint.as_deref();
        let is_ours = source_fingerprint(found.answer.metadata()) == expected;
        if !is_ours || !has_size(&found.answer, object.entry.size) {
            return Err(lost);
        }
        let written = version_of(found.answer.e_tag());
        let held = match whole.is_held(&found) {
            Some(true) => Ok(()),
            Some(false) => Err(self.corrupt(key)),
            None => self.read_back(key, whole.root).await,
        };
        match held {
            Ok(()) => Ok(written),
            Err(error) => Err(error.unproven(written)),
        }
    }
}

/// The number of the first part that is not there in its full size, or that no object of `size` bytes
/// has.
pub(super) fn first_missing(upload: &UploadId, size: u64, parts: &[Part]) -> Option<u64> {
    let is_whole = |part: &Part, number: i32| {
        let range = upload.part_range(number, size);
        let held = part.size.and_then(|size| u64::try_from(size).ok());
        part.part_number == Some(number) && range.map(ByteRange::len) == held
    };
    let whole = parts.iter().zip(1..).take_while(|(part, number)| is_whole(part, *number));
    let whole = whole.count() as u64;
    let is_complete = whole == upload.part_count(size) && parts.len() as u64 == whole;
    (!is_complete).then_some(whole + 1)
}

/// What an object is to come to.
#[derive(Clone, Copy, Debug)]
struct Whole {
    root: Root,
    /// The sum that the store can be held to, where it is known.
    sum: Option<Sum>,
}

impl Whole {
    /// Whether the store's own sum of all bytes is this one; `None` where either is not known.
    fn is_held(&self, found: &Described) -> Option<bool> {
        let sum = self.sum?;
        Some(found.sum(sum.kind())? == sum)
    }
}

/// The CRC64-NVME of the whole, as that of each part that the store lists has it.
async fn composed_sum(parts: &[Part]) -> Option<Sum> {
    let sums = parts.iter().map(|part| {
        let sum = sum::from_base64(SumKind::Crc64Nvme, part.checksum_crc64_nvme()?)?;
        Some((sum, part.size().and_then(|size| u64::try_from(size).ok())?))
    });
    let sums: Vec<(Sum, u64)> = sums.collect::<Option<_>>()?;
    blocking(move || sum::composed(sums.into_iter())).await
}

pub(super) fn has_size(answer: &HeadObjectOutput, size: u64) -> bool {
    answer.content_length().and_then(|length| u64::try_from(length).ok()) == Some(size)
}

/// Whether the checksum or the ETag of an object is the one that its parts compose to.
pub(super) fn is_proven(answer: &HeadObjectOutput, parts: &[Part]) -> bool {
    let crcs: Option<Vec<&str>> = parts.iter().map(Part::checksum_crc32_c).collect();
    let composed = crcs.and_then(|crcs| composite_crc32c(crcs.into_iter()));
    if composed.is_some() && composed.as_deref() == answer.checksum_crc32_c() {
        return true;
    }
    let etags: Option<Vec<&str>> = parts.iter().map(Part::e_tag).collect();
    let composed = etags.and_then(|etags| composite_etag(etags.into_iter()));
    composed.is_some() && composed.as_deref() == answer.e_tag().map(unquoted)
}

#[cfg(test)]
mod tests {
    use super::super::digest::{crc32c, hex, md5};
    use super::*;

    fn part(bytes: &[u8]) -> Part {
        Part::builder().e_tag(hex(&md5(bytes))).checksum_crc32_c(crc32c(bytes)).build()
    }

    fn described(etag: Option<String>, crc: Option<String>) -> HeadObjectOutput {
        HeadObjectOutput::builder().set_e_tag(etag).set_checksum_crc32_c(crc).build()
    }

    #[test]
    fn an_object_is_proven_by_either_sum_of_its_parts() {
        let parts = [part(b"one"), part(b"two")];
        let etag = composite_etag(parts.iter().filter_map(Part::e_tag)).unwrap();
        let crc = composite_crc32c(parts.iter().filter_map(Part::checksum_crc32_c)).unwrap();
        assert!(is_proven(&described(Some(format!("\"{etag}\"")), None), &parts));
        assert!(is_proven(&described(Some("encrypted".into()), Some(crc.clone())), &parts));
        assert!(!is_proven(&described(Some(etag), None), &parts[..1]));
        assert!(!is_proven(&described(None, None), &parts));
        let bare = [Part::builder().build()];
        assert!(!is_proven(&described(None, Some(crc)), &bare));
    }

    #[tokio::test]
    async fn the_sum_of_the_whole_follows_from_those_that_are_listed() {
        let part = |bytes: &[u8]| {
            let sum = sum::to_base64(sum::of(SumKind::Crc64Nvme, bytes));
            Part::builder().checksum_crc64_nvme(sum).size(bytes.len() as i64).build()
        };
        let sum = sum::of(SumKind::Crc64Nvme, b"onetwo");
        assert_eq!(composed_sum(&[part(b"one"), part(b"two")]).await, Some(sum));
        let without = Part::builder().size(3).build();
        assert_eq!(composed_sum(&[part(b"one"), without]).await, None);
    }
}
