//! The sums that the store keeps of objects, as its descriptions have them.

use std::sync::Arc;

use airlift_protocol::key::Key;
use airlift_protocol::manifest::Entry;
use airlift_protocol::sum::{StoredSum, Sum, SumKind};
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::types::{ChecksumMode, ChecksumType, ServerSideEncryption};

use super::client::Bucket;
use super::digest::unquoted;
use super::error::is_absent;
use super::header::TakeHeader;
use crate::store::each::for_each;
use crate::store::{StoreError, is_still, sum};

/// A description with the sums that the store keeps.
#[derive(Debug)]
pub(super) struct Described {
    pub(super) answer: HeadObjectOutput,
    /// A CRC64-XZ that is said in a header of the service's own.
    crc64_xz: Option<Sum>,
}

impl Bucket {
    /// A description with the checksums, where the store has some.
    pub(super) async fn describe_sums(&self, key: &Key) -> Result<Option<Described>, StoreError> {
        // No key that cannot be held is there.
        let Ok(sendable) = self.sendable(key) else { return Ok(None) };
        let request = self
            .client()
            .head_object()
            .bucket(&self.name)
            .key(sendable)
            .checksum_mode(ChecksumMode::Enabled)
            .customize();
        let header = self.service.provider.crc64_header.map(TakeHeader::new);
        let request = match header.clone() {
            Some(header) => request.interceptor(header),
            None => request,
        };
        let describe = async {
            match request.send().await {
                Ok(answer) => Ok(Some(answer)),
                Err(error) if is_absent(&error) => Ok(None),
                Err(error) => Err(self.undescribed(key, &error).await),
            }
        };
        let answer = self.pace_of(key).reads.pass(0, describe).await?;
        let crc64_xz = header.and_then(|header| header.value()?.parse().ok()).map(Sum::Crc64Xz);
        Ok(answer.map(|answer| Described { answer, crc64_xz }))
    }

    /// The sums of the object that `entry` describes; none when it is another one now.
    async fn sums_of(&self, entry: &Entry) -> Result<Vec<StoredSum>, StoreError> {
        let Some(found) = self.describe_sums(&entry.key).await? else { return Ok(Vec::new()) };
        let now = self.described(&entry.key, &found.answer)?;
        let is_listed = is_still(entry, &now);
        Ok(if is_listed { found.sums() } else { Vec::new() })
    }
}

impl Described {
    /// The sums of all bytes.
    fn sums(&self) -> Vec<StoredSum> {
        self.computed().map(StoredSum::computed).chain(md5_in(&self.answer)).collect()
    }

    /// The sums of all bytes that the store has computed or checked.
    fn computed(&self) -> impl Iterator<Item = Sum> {
        let answer = &self.answer;
        let checksums = [
            (SumKind::Crc64Nvme, answer.checksum_crc64_nvme()),
            (SumKind::Crc32c, answer.checksum_crc32_c()),
            (SumKind::Crc32, answer.checksum_crc32()),
            (SumKind::Sha256, answer.checksum_sha256()),
        ];
        let found = checksums.into_iter().filter(|_| is_of_whole(answer));
        let found = found.filter_map(|(kind, text)| sum::from_base64(kind, text?));
        found.chain(self.crc64_xz)
    }

    /// The sum of all bytes of that kind.
    pub(super) fn sum(&self, kind: SumKind) -> Option<Sum> {
        self.computed().find(|sum| sum.kind() == kind)
    }

    /// Whether the store has the same sums of this object and of another one; `None` where it has no
    /// kind of both.
    pub(super) fn agrees(&self, other: &Self) -> Option<bool> {
        let compared = self.computed().filter_map(|sum| Some(other.sum(sum.kind())? == sum));
        compared.reduce(|all, is_same| all && is_same)
    }
}

/// Whether the checksums are of the object itself, and not of those of its parts. Where the store does
/// not say so, an object in parts is known by its ETag.
fn is_of_whole(answer: &HeadObjectOutput) -> bool {
    match answer.checksum_type() {
        Some(kind) => *kind == ChecksumType::FullObject,
        None => answer.e_tag().is_some_and(|etag| !etag.contains('-')),
    }
}

/// The ETag, where it may be the MD5 of the bytes: it never is for objects in parts, nor for those that
/// are encrypted with other keys than the store's own.
fn md5_in(answer: &HeadObjectOutput) -> Option<StoredSum> {
    let is_plain = answer.sse_customer_algorithm().is_none()
        && answer.server_side_encryption().is_none_or(|it| *it == ServerSideEncryption::Aes256);
    let md5 = sum::from_etag(unquoted(answer.e_tag()?)).filter(|_| is_plain)?;
    Some(StoredSum::claimed(md5))
}

pub(super) async fn stored_sums(
    bucket: &Arc<Bucket>,
    objects: Vec<Entry>,
) -> Vec<Result<Vec<StoredSum>, StoreError>> {
    let ask = |entry: Entry| {
        let bucket = Arc::clone(bucket);
        async move { bucket.sums_of(&entry).await }
    };
    for_each(bucket.requests_max, objects, ask).await
}

#[cfg(test)]
mod tests {
    use super::*;

    const MD5: &str = "\"900150983cd24fb0d6963f7d28e17f72\"";
    const IN_PARTS: &str = "\"900150983cd24fb0d6963f7d28e17f72-2\"";

    fn described(etag: &str, kind: Option<ChecksumType>) -> Described {
        let answer = HeadObjectOutput::builder()
            .e_tag(etag)
            .checksum_crc64_nvme(sum::to_base64(Sum::Crc64Nvme(7)))
            .set_checksum_type(kind);
        Described { answer: answer.build(), crc64_xz: None }
    }

    #[test]
    fn a_checksum_of_checksums_is_no_sum_of_the_object() {
        let crc = StoredSum::computed(Sum::Crc64Nvme(7));
        let md5 = StoredSum::claimed(sum::of(SumKind::Md5, b"abc"));
        let (full, composite) = (Some(ChecksumType::FullObject), Some(ChecksumType::Composite));
        for (etag, kind, expected) in [
            (MD5, full.clone(), vec![crc, md5]),
            (MD5, None, vec![crc, md5]),
            (IN_PARTS, full.clone(), vec![crc]),
            (IN_PARTS, composite.clone(), vec![]),
            (IN_PARTS, None, vec![]),
            (MD5, composite, vec![md5]),
            ("\"not an md5\"", full, vec![crc]),
        ] {
            assert_eq!(described(etag, kind.clone()).sums(), expected, "{etag} {kind:?}");
        }
        let answer = HeadObjectOutput::builder().e_tag(MD5).checksum_crc32_c("4waSgw==-3").build();
        assert_eq!(Described { answer, crc64_xz: None }.sums(), [md5]);
        // A header of the service's own is of the whole whatever the ETag is.
        let answer = HeadObjectOutput::builder().e_tag(IN_PARTS).build();
        let found = Described { answer, crc64_xz: Some(Sum::Crc64Xz(3)) };
        assert_eq!(found.sums(), [StoredSum::computed(Sum::Crc64Xz(3))]);
    }

    #[test]
    fn an_etag_of_an_encrypted_object_is_no_md5() {
        let described = |encryption| {
            let answer = HeadObjectOutput::builder().e_tag(MD5);
            md5_in(&answer.server_side_encryption(encryption).build()).is_some()
        };
        assert!(described(ServerSideEncryption::Aes256));
        assert!(!described(ServerSideEncryption::AwsKms));
        let own_key = HeadObjectOutput::builder().e_tag(MD5).sse_customer_algorithm("AES256");
        assert_eq!(md5_in(&own_key.build()), None);
    }

    #[test]
    fn objects_agree_by_all_the_sums_that_both_have() {
        let of = |crc32c: Option<u32>, sha256: Option<&[u8]>| {
            let text = |sum: Option<Sum>| sum.map(sum::to_base64);
            let answer = HeadObjectOutput::builder()
                .set_checksum_crc32_c(text(crc32c.map(Sum::Crc32c)))
                .set_checksum_sha256(text(sha256.map(|bytes| sum::of(SumKind::Sha256, bytes))))
                .checksum_type(ChecksumType::FullObject);
            Described { answer: answer.build(), crc64_xz: None }
        };
        for (one, other, expected) in [
            (of(Some(1), None), of(Some(1), Some(b"x")), Some(true)),
            (of(Some(1), None), of(Some(2), None), Some(false)),
            (of(Some(1), Some(b"x")), of(Some(1), Some(b"y")), Some(false)),
            (of(Some(1), None), of(None, Some(b"x")), None),
            (of(None, None), of(None, None), None),
        ] {
            assert_eq!(one.agrees(&other), expected, "{one:?} {other:?}");
        }
    }
}
