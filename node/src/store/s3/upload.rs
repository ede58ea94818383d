//! Multipart uploads: begun, taken up, filled part by part. How they are dropped says `orphan`.
//!
//! The token of an upload carries what must not change while it lives (the size of its parts, the
//! checksum it was begun with), so that any node and any later version can take it up.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use airlift_protocol::assignment::UploadToken;
use airlift_protocol::error::ErrorCode;
use airlift_protocol::key::Key;
use airlift_protocol::sum::{Sum, SumKind};
use airlift_protocol::time::Timestamp;
use airlift_protocol::units::{ByteCount, ByteRange};
use async_trait::async_trait;
use aws_sdk_s3::operation::list_parts::ListPartsOutput;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumType, Part};

use super::Checksums;
use super::attributes::Headers;
use super::client::Bucket;
use super::provider::Limits;
use super::put::{Echo, Sums};
use super::server::CopyId;
use super::tags::tagging;
use crate::pipeline::chunk::VerifiedChunk;
use crate::store::each::joined_summed;
use crate::store::{NewObject, OpenedUpload, StoreError, Upload};

/// Size of a part is `1 << shift`; small objects have parts of 16 MiB.
const PART_SHIFT_MIN: u32 = 24;
/// A part is in memory as a whole: 1 GiB at most, which is enough for 10.7 TB.
pub(super) const PART_SHIFT_MAX: u32 = 30;
/// Least size of a part that S3 allows, as a power of two above it; bounds what a token may say.
const PART_SHIFT_FLOOR: u32 = 20;

/// Pages of a listing of parts or uploads that are asked for before the store is not believed.
pub(super) const PAGES_MAX: usize = 10_000;

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UploadId {
    pub(super) part_shift: u32,
    pub(super) checksums: Checksums,
    pub(super) id: String,
}

impl UploadId {
    fn to_token(&self) -> UploadToken {
        let checksum = match self.checksums {
            Checksums::Crc64Nvme => 'n',
            Checksums::Crc32c => 'c',
            Checksums::Md5 => 'm',
        };
        UploadToken(format!("{}{checksum}:{}", self.part_shift, self.id))
    }

    pub(super) fn parse(token: &UploadToken) -> Option<Self> {
        let (layout, id) = token.0.split_once(':')?;
        let mut shift = layout.chars();
        let checksums = match shift.next_back()? {
            'n' => Checksums::Crc64Nvme,
            'c' => Checksums::Crc32c,
            'm' => Checksums::Md5,
            _ => return None,
        };
        let part_shift = shift.as_str().parse().ok()?;
        let is_legal = (PART_SHIFT_FLOOR..=PART_SHIFT_MAX).contains(&part_shift) && !id.is_empty();
        is_legal.then(|| Self { part_shift, checksums, id: id.to_owned() })
    }

    /// Bytes of every part but the last.
    pub(super) fn part_bytes(&self) -> u64 {
        1 << self.part_shift
    }

    /// Number of parts of an object of `size` bytes.
    pub(super) fn part_count(&self, size: u64) -> u64 {
        size.div_ceil(self.part_bytes()).max(1)
    }

    /// The bytes that part `number` has in an object of `size` bytes, if there is such a part.
    pub(super) fn part_range(&self, number: i32, size: u64) -> Option<ByteRange> {
        let index = u64::try_from(number).ok()?.checked_sub(1)?;
        let start = index.checked_mul(self.part_bytes())?;
        (index < self.part_count(size))
            .then(|| ByteRange::new(start, size.min(start + self.part_bytes())))
    }
}

/// Exponent of the size of the parts of an object of `size` bytes, where a service with these limits takes
/// one. Ranges can be read at any offset, so that only the target has a say.
pub(super) fn part_shift(limits: &Limits, size: u64) -> Option<u32> {
    limits.part_shift(size, PART_SHIFT_MIN, PART_SHIFT_MAX)
}

impl Bucket {
    /// The kind of sum of a whole object in parts that the store says, and that follows from those of
    /// its parts.
    pub(super) fn sum_compared(&self, upload: &UploadId) -> Option<SumKind> {
        match upload.checksums {
            Checksums::Crc64Nvme => Some(SumKind::Crc64Nvme),
            Checksums::Crc32c | Checksums::Md5 => {
                self.service.provider.crc64_header.map(|_| SumKind::Crc64Xz)
            }
        }
    }

    pub(super) fn upload_id(&self, key: &Key, token: &UploadToken) -> Result<UploadId, StoreError> {
        UploadId::parse(token).ok_or_else(|| {
            let text = "the upload was begun by another store, and is not known here";
            self.complaint(ErrorCode::UploadLost, key, text)
        })
    }

    pub(super) async fn open_upload(
        &self,
        object: &NewObject,
        resume: Option<&UploadToken>,
        orphan_since: Option<Timestamp>,
    ) -> Result<OpenedUpload, StoreError> {
        let key = &object.entry.key;
        let known = resume.and_then(UploadId::parse);
        if let Some(copy) = resume.and_then(CopyId::parse) {
            // An earlier run had the service copy into it: nobody finishes that one.
            self.drop_upload(key, &copy.id).await?;
        }
        if let Some(since) = orphan_since {
            self.drop_orphans(key, since, known.as_ref().map(|upload| upload.id.as_str())).await?;
        }
        if let Some(upload) = known {
            match self.parts_page(key, &upload.id, None).await {
                Ok(_) => return Ok(OpenedUpload { token: upload.to_token(), is_resumed: true }),
                Err(error) if error.code == ErrorCode::UploadLost => {}
                Err(error) => return Err(error),
            }
        }
        Ok(OpenedUpload { token: self.begin(object).await?, is_resumed: false })
    }

    async fn begin(&self, object: &NewObject) -> Result<UploadToken, StoreError> {
        let key = &object.entry.key;
        if let Some(reason) = self.names.check(&object.entry) {
            return Err(self.complaint(ErrorCode::KeyUnsupported, key, &reason));
        }
        let (limits, size) = (&self.service.provider.limits, object.entry.size);
        let Some(part_shift) = part_shift(limits, size) else {
            let text = format!(
                "it has {}, and at most {} can be uploaded",
                ByteCount(size),
                ByteCount(limits.object_bytes_max(PART_SHIFT_MAX))
            );
            return Err(self.complaint(ErrorCode::TooLarge, key, &text));
        };
        let checksums = self.checksums;
        let id = self.create(object, Some(checksums)).await?;
        Ok(UploadId { part_shift, checksums, id }.to_token())
    }

    /// Has the store begin an upload, each part of which comes with a sum if `checksums` says so, and
    /// gives its name there.
    pub(super) async fn create(
        &self,
        object: &NewObject,
        checksums: Option<Checksums>,
    ) -> Result<String, StoreError> {
        let key = &object.entry.key;
        let (algorithm, kind) = match checksums {
            Some(Checksums::Crc64Nvme) => {
                (Some(ChecksumAlgorithm::Crc64Nvme), Some(ChecksumType::FullObject))
            }
            Some(Checksums::Crc32c) => (Some(ChecksumAlgorithm::Crc32C), None),
            Some(Checksums::Md5) | None => (None, None),
        };
        let headers = Headers::of(object);
        let acl = self.acl_headers(key, object.attributes.acl.as_ref()).await?;
        let request = self
            .client()
            .create_multipart_upload()
            .bucket(&self.name)
            .key(self.sendable(key)?)
            .set_checksum_algorithm(algorithm)
            .set_checksum_type(kind)
            .set_content_type(headers.content_type)
            .set_content_encoding(headers.content_encoding)
            .set_content_disposition(headers.content_disposition)
            .set_content_language(headers.content_language)
            .set_cache_control(headers.cache_control)
            .set_metadata(Some(headers.metadata))
            .set_storage_class(headers.storage_class)
            .set_acl(acl.canned)
            .set_grant_full_control(acl.full_control)
            .set_grant_read(acl.read)
            .set_grant_read_acp(acl.read_acl)
            .set_grant_write_acp(acl.write_acl)
            .set_tagging(tagging(&object.attributes.tags));
        let begin = async {
            // An upload that a node begins which lost its lease is dropped by nobody.
            self.fence.check()?;
            request.send().await.map_err(|error| self.error("begin the upload of", key, &error))
        };
        let answer = self.pace_of(key).writes.pass(0, begin).await?;
        match answer.upload_id {
            Some(id) if !id.is_empty() => Ok(id),
            _ => {
                let text = "the store began an upload without naming it";
                Err(self.complaint(ErrorCode::Protocol, key, text))
            }
        }
    }

    /// One page of the parts that the store holds of an upload.
    pub(super) async fn parts_page(
        &self,
        key: &Key,
        id: &str,
        marker: Option<String>,
    ) -> Result<ListPartsOutput, StoreError> {
        let request = self
            .client()
            .list_parts()
            .bucket(&self.name)
            .key(self.sendable(key)?)
            .upload_id(id)
            .set_part_number_marker(marker);
        let list = async {
            request.send().await.map_err(|error| self.error("list the parts of", key, &error))
        };
        self.pace_of(key).reads.pass(0, list).await
    }

    /// The parts that the store holds of an upload, by number.
    pub(super) async fn parts(&self, key: &Key, id: &str) -> Result<Vec<Part>, StoreError> {
        let mut parts = Vec::new();
        let mut marker = None;
        for _ in 0..PAGES_MAX {
            let page = self.parts_page(key, id, marker.clone()).await?;
            parts.extend(page.parts.unwrap_or_default());
            if page.is_truncated != Some(true) {
                parts.sort_by_key(|part| part.part_number);
                return Ok(parts);
            }
            if page.next_part_number_marker.is_none() || page.next_part_number_marker == marker {
                break;
            }
            marker = page.next_part_number_marker;
        }
        let text = "the listing of its parts does not end";
        Err(self.complaint(ErrorCode::Protocol, key, text))
    }
}

/// Access to an upload that the store still knows.
pub(super) async fn take_up(
    bucket: &Arc<Bucket>,
    object: &NewObject,
    token: &UploadToken,
) -> Result<Box<dyn Upload>, StoreError> {
    let key = &object.entry.key;
    let upload = bucket.upload_id(key, token)?;
    bucket.parts_page(key, &upload.id, None).await?;
    let (key, size) = (key.clone(), object.entry.size);
    let (bucket, sums) = (Arc::clone(bucket), Mutex::default());
    Ok(Box::new(S3Upload { bucket, key, size, upload, sums }))
}

#[derive(Debug)]
struct S3Upload {
    bucket: Arc<Bucket>,
    key: Key,
    size: u64,
    upload: UploadId,
    /// The sums of parts that were written, by where they begin: those of the kind that the commit
    /// compares.
    sums: Mutex<BTreeMap<u64, Sum>>,
}

impl S3Upload {
    fn sums(&self) -> MutexGuard<'_, BTreeMap<u64, Sum>> {
        self.sums.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The sums to compute of a part: those that are sent, and the one that the commit compares.
    fn kinds(&self) -> Vec<SumKind> {
        let mut kinds = self.bucket.sums_sent(self.upload.checksums);
        let compared = self.bucket.sum_compared(&self.upload);
        kinds.extend(compared.filter(|kind| !kinds.contains(kind)));
        kinds
    }

    /// The number of the part that begins at `offset` and has `length` bytes.
    fn part_number(&self, offset: u64, length: u64) -> Result<i32, StoreError> {
        let number = i32::try_from(offset / self.upload.part_bytes() + 1).unwrap_or(i32::MAX);
        let range = self.upload.part_range(number, self.size);
        match range.is_some_and(|range| (range.start, range.len()) == (offset, length)) {
            true => Ok(number),
            false => {
                let text = format!("{length} bytes at {offset} are no part of the upload");
                Err(self.bucket.complaint(ErrorCode::Bug, &self.key, &text))
            }
        }
    }
}

#[async_trait]
impl Upload for S3Upload {
    fn part_bytes(&self) -> u64 {
        self.upload.part_bytes()
    }

    async fn present(&self) -> Result<Vec<ByteRange>, StoreError> {
        let parts = self.bucket.parts(&self.key, &self.upload.id).await?;
        let mut ranges: Vec<ByteRange> = Vec::new();
        for part in parts {
            let range = part.part_number.and_then(|n| self.upload.part_range(n, self.size));
            let held = part.size.and_then(|size| u64::try_from(size).ok());
            let Some(range) = range.filter(|range| Some(range.len()) == held) else { continue };
            match ranges.last_mut() {
                Some(last) if last.end == range.start => last.end = range.end,
                _ => ranges.push(range),
            }
        }
        Ok(ranges)
    }

    async fn write(&self, chunks: Vec<VerifiedChunk>) -> Result<(), StoreError> {
        let offset = chunks.first().map_or(0, VerifiedChunk::offset);
        let (body, sums) = joined_summed(chunks, self.kinds()).await;
        let (sums, length) = (Sums(sums), body.len() as u64);
        let number = self.part_number(offset, length)?;
        let bucket = &self.bucket;
        let request = bucket
            .client_for(length)
            .upload_part()
            .bucket(&bucket.name)
            .key(bucket.sendable(&self.key)?)
            .upload_id(&self.upload.id)
            .part_number(number)
            .body(ByteStream::from(body.clone()))
            .content_length(i64::try_from(length).unwrap_or(i64::MAX))
            .set_content_md5(sums.header(SumKind::Md5))
            .set_checksum_crc64_nvme(sums.header(SumKind::Crc64Nvme))
            .set_checksum_crc32_c(sums.header(SumKind::Crc32c));
        let write = async {
            let sent = match bucket.is_encrypted {
                true => request.customize().disable_payload_signing().send().await,
                false => request.send().await,
            };
            sent.map_err(|error| bucket.error("write a part of", &self.key, &error))
        };
        let answer = bucket.pace_of(&self.key).writes.pass(length, write).await?;
        let echo = Echo {
            crc64_nvme: answer.checksum_crc64_nvme(),
            crc32c: answer.checksum_crc32_c(),
            etag: answer.e_tag(),
        };
        if bucket.proof(&body, &sums, echo).await == Some(false) {
            return Err(bucket.corrupt(&self.key));
        }
        // A part cannot be read back: without proof here, the commit has to find one of the whole.
        let compared = bucket.sum_compared(&self.upload).and_then(|kind| sums.find(kind));
        if let Some(sum) = compared {
            self.sums().insert(offset, sum);
        }
        Ok(())
    }

    fn sum_at(&self, offset: u64) -> Option<Sum> {
        self.sums().get(&offset).copied()
    }

    async fn sync(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use airlift_protocol::shard;

    use super::super::provider::{PROVIDERS, Provider};
    use super::*;

    const LIMITS: Limits = Provider::s3().limits;

    #[test]
    fn parts_grow_with_the_object_until_it_is_too_large() {
        let most = LIMITS.object_bytes_max(PART_SHIFT_MAX);
        assert_eq!(most, 10_000 << 30);
        for (size, shift) in [
            (0, Some(24)),
            (10_000 << 24, Some(24)),
            ((10_000 << 24) + 1, Some(25)),
            (most, Some(30)),
            (most + 1, None),
        ] {
            assert_eq!(part_shift(&LIMITS, size), shift, "{size}");
        }
    }

    /// Also where a service allows fewer or smaller parts than AWS.
    #[test]
    fn a_shard_is_a_number_of_whole_parts() {
        for provider in PROVIDERS {
            let limits = &provider.limits;
            let sizes = (24..=PART_SHIFT_MAX)
                .flat_map(|shift| [limits.parts_max << shift, (limits.parts_max << shift) + 1]);
            for size in sizes {
                let Some(part_shift) = part_shift(limits, size) else { continue };
                let (checksums, id) = (Checksums::Crc32c, String::new());
                let upload = UploadId { part_shift, checksums, id };
                for index in [0, 1, shard::count(size) - 1] {
                    let shard = shard::range(size, index);
                    let number = i32::try_from(shard.start / upload.part_bytes() + 1).unwrap();
                    let part = upload.part_range(number, size).unwrap();
                    assert_eq!((part.start, part.end <= shard.end), (shard.start, true), "{size}");
                }
            }
        }
    }

    #[test]
    fn tokens_come_back_and_foreign_ones_are_refused() {
        for checksums in [Checksums::Crc64Nvme, Checksums::Crc32c, Checksums::Md5] {
            let upload = UploadId { part_shift: 25, checksums, id: "a:b/c".to_owned() };
            assert_eq!(UploadId::parse(&upload.to_token()), Some(upload));
        }
        for token in ["", "24c", "24c:", ":x", "24:x", "c:x", "99c:x", "3c:x", "24x:y", "24é:y"] {
            assert_eq!(UploadId::parse(&UploadToken(token.to_owned())), None, "{token}");
        }
    }

    #[test]
    fn every_part_has_its_range() {
        let upload = UploadId { part_shift: 20, checksums: Checksums::Crc32c, id: "x".to_owned() };
        let size = (2 << 20) + 5;
        assert_eq!(upload.part_count(size), 3);
        assert_eq!(upload.part_range(1, size), Some(ByteRange::new(0, 1 << 20)));
        assert_eq!(upload.part_range(3, size), Some(ByteRange::new(2 << 20, size)));
        for number in [-1, 0, 4] {
            assert_eq!(upload.part_range(number, size), None);
        }
        assert_eq!(upload.part_range(1, 0), Some(ByteRange::new(0, 0)));
    }
}
