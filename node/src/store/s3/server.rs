//! Copies that S3 makes itself, proven by what it stores of both objects.
//!
//! An ETag that is an MD5 is that of all bytes, and the copy of a single request has the same. The ETag of an
//! object that was put together is the MD5 of those of its parts: a copy that is cut as the source is has
//! the same again. Where ETags are none of that, as with keys of one's own, the sums of the whole that newer
//! objects have are compared. All of these the service computes from the bytes it has.

use std::sync::Arc;

use airlift_protocol::assignment::UploadToken;
use airlift_protocol::error::ErrorCode;
use airlift_protocol::key::Key;
use airlift_protocol::manifest::{Entry, Version};
use airlift_protocol::time::Timestamp;
use airlift_protocol::units::ByteRange;
use async_trait::async_trait;
use aws_sdk_s3::types::{MetadataDirective, Part, TaggingDirective};

use super::attributes::{Headers, source_fingerprint};
use super::client::Bucket;
use super::commit::has_size;
use super::digest::{quoted, unquoted};
use super::list::version_of;
use super::provider::Limits;
use super::tags::tagging;
use super::{PARTS_AT_ONCE, for_each};
use crate::store::http::path::segments;
use crate::store::{Copier, NewObject, OpenedUpload, Proof, StoreError};

/// Most bytes that one request copies.
/// docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html
const COPY_BYTES_MAX: u64 = 5_000_000_000;

/// What a token of a copy says: how the source is cut, and the upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CopyId {
    part_bytes: u64,
    pub(super) id: String,
}

impl CopyId {
    fn to_token(&self) -> UploadToken {
        UploadToken(format!("s{}:{}", self.part_bytes, self.id))
    }

    pub(super) fn parse(token: &UploadToken) -> Option<Self> {
        let (layout, id) = token.0.split_once(':')?;
        let part_bytes: u64 = layout.strip_prefix('s')?.parse().ok()?;
        (part_bytes > 0 && !id.is_empty()).then(|| Self { part_bytes, id: id.to_owned() })
    }

    /// The bytes of every part of an object of `size` bytes, from part 1 on.
    fn parts(&self, size: u64) -> Vec<ByteRange> {
        let count = size.div_ceil(self.part_bytes).max(1);
        let part = |index: u64| {
            let start = index * self.part_bytes;
            ByteRange::new(start, size.min(start.saturating_add(self.part_bytes)))
        };
        (0..count).map(part).collect()
    }
}

/// What an ETag says of how an object came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// By one request.
    Whole,
    /// Put together from so many parts.
    Parts(u64),
}

fn shape(version: &Version) -> Option<(&str, Shape)> {
    let Version::ETag(etag) = version else { return None };
    let (digest, shape) = match etag.split_once('-') {
        None => (&**etag, Shape::Whole),
        Some((digest, count)) => (digest, Shape::Parts(count.parse().ok()?)),
    };
    let is_md5 = digest.len() == 32 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_md5.then_some((&**etag, shape))
}

/// Whether an object of `size` bytes can be put together from parts of so many.
fn is_cut_so(limits: &Limits, size: u64, part_bytes: u64, count: u64) -> bool {
    let is_legal = count == 1 || part_bytes >= limits.part_bytes_min;
    part_bytes > 0
        && is_legal
        && part_bytes <= limits.part_bytes_max
        && count <= limits.parts_max
        && size.div_ceil(part_bytes) == count
}

#[derive(Debug)]
struct S3Copier {
    source: Arc<Bucket>,
    target: Arc<Bucket>,
}

/// The way from one bucket to the other within the service, if it is one and asks for the same credentials.
pub(super) fn copier(target: &Arc<Bucket>, source: &Arc<Bucket>) -> Option<Arc<dyn Copier>> {
    (target.account == source.account)
        .then(|| S3Copier { source: Arc::clone(source), target: Arc::clone(target) })
        .map(|copier| Arc::new(copier) as Arc<dyn Copier>)
}

impl S3Copier {
    /// `bucket/key` of the source, as the header of a copy wants it.
    fn copy_source(&self, key: &Key) -> Result<String, StoreError> {
        let full = self.source.full(key)?;
        Ok(format!("{}/{}", segments(&self.source.name), segments(&full)))
    }

    async fn send(&self, listed: &Entry, object: &NewObject) -> Result<Option<String>, StoreError> {
        let (target, key) = (&self.target, &object.entry.key);
        let headers = Headers::of(object);
        let acl = target.acl_headers(key, object.attributes.acl.as_ref()).await?;
        let mut request = target
            .patient_client()
            .copy_object()
            .bucket(&target.name)
            .key(target.sendable(key)?)
            .copy_source(self.copy_source(&listed.key)?)
            .metadata_directive(MetadataDirective::Replace)
            .tagging_directive(TaggingDirective::Replace)
            .set_tagging(tagging(&object.attributes.tags))
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
            .set_grant_write_acp(acl.write_acl);
        if let Version::ETag(etag) = &listed.version {
            request = request.copy_source_if_match(quoted(etag));
        }
        let copy = async {
            target.fence.check()?;
            let answer = request.send().await;
            answer.map_err(|error| target.error("have the service copy to", key, &error))
        };
        let answer = target.pace_of(key).writes.pass(0, copy).await?;
        Ok(answer.copy_object_result.and_then(|result| result.e_tag))
    }

    /// How the parts of the source are cut, as far as the first one tells; the ETag of a copy tells whether
    /// that was right.
    async fn part_bytes(&self, listed: &Entry) -> Result<Option<u64>, StoreError> {
        let (source, key) = (&self.source, &listed.key);
        let request = source.client().head_object().bucket(&source.name);
        // Not pinned: some servers compare the ETag of the part then. The copies of the parts are.
        let request = request.key(source.sendable(key)?).part_number(1);
        let describe = async {
            let answer = request.send().await;
            answer.map_err(|error| source.error("describe the first part of", key, &error))
        };
        let answer = source.pace_of(key).reads.pass(0, describe).await?;
        Ok(answer.content_length().and_then(|length| u64::try_from(length).ok()))
    }

    /// Copies one part.
    async fn copy_part(
        &self,
        listed: &Entry,
        key: &Key,
        id: &str,
        (number, range): (i32, ByteRange),
    ) -> Result<(), StoreError> {
        let target = &self.target;
        let mut request = target
            .patient_client()
            .upload_part_copy()
            .bucket(&target.name)
            .key(target.sendable(key)?)
            .upload_id(id)
            .part_number(number)
            .copy_source(self.copy_source(&listed.key)?)
            .copy_source_range(format!("bytes={}-{}", range.start, range.end - 1));
        if let Version::ETag(etag) = &listed.version {
            request = request.copy_source_if_match(quoted(etag));
        }
        let copy = async {
            let answer = request.send().await;
            answer.map_err(|error| target.error("have the service copy a part to", key, &error))
        };
        target.pace_of(key).writes.pass(0, copy).await.map(drop)
    }

    /// Compares what the service says of a copy, with this ETag, with its source; and what it carries with
    /// what it was to carry.
    async fn prove(
        &self,
        listed: &Entry,
        object: &NewObject,
        (etag, is_whole): (Option<&str>, bool),
    ) -> Result<Proof, StoreError> {
        let expected = shape(&listed.version).map(|(etag, _)| etag);
        let proof = match is_whole && etag.map(unquoted) == expected {
            true => self.target.doubts.proven(),
            false => self.prove_by_sums(listed, &object.entry.key, etag).await?,
        };
        self.target.confirm_attributes(object).await?;
        Ok(proof)
    }

    /// Compares the sums of the whole that the service has of both.
    async fn prove_by_sums(
        &self,
        listed: &Entry,
        key: &Key,
        etag: Option<&str>,
    ) -> Result<Proof, StoreError> {
        let source = self.source.describe_sums(&listed.key).await?;
        let target = self.target.describe_sums(key).await?;
        let (Some(source), Some(target)) = (source, target) else {
            let text = "the service copied the object, and then did not know it";
            return Err(self.target.complaint(ErrorCode::CorruptTarget, key, text));
        };
        if source.answer.e_tag().map(unquoted) != shape(&listed.version).map(|(etag, _)| etag) {
            let text = "it changed since it was listed";
            return Err(self.source.complaint(ErrorCode::SourceChanged, &listed.key, text));
        }
        let is_whole = has_size(&target.answer, listed.size);
        match source.agrees(&target).map(|is_same| is_same && is_whole) {
            Some(true) => Ok(self.target.doubts.proven()),
            Some(false) => {
                let text = "the service's copy has other bytes than its source";
                Err(self.target.complaint(ErrorCode::CorruptTarget, key, text))
            }
            None => {
                let why = "the service stores no sum of both ends that could be compared";
                Ok(self.target.doubts.unproven(why, Some(version_of(etag))))
            }
        }
    }

    /// What is left to be copied into an upload, and what it has.
    async fn missing(
        &self,
        key: &Key,
        upload: &CopyId,
        size: u64,
    ) -> Result<(Vec<(i32, ByteRange)>, Vec<Part>), StoreError> {
        let held = self.target.parts(key, &upload.id).await?;
        let is_held = |number: i32, range: ByteRange| {
            held.iter().any(|part| {
                let bytes = part.size().and_then(|size| u64::try_from(size).ok());
                part.part_number() == Some(number) && bytes == Some(range.len())
            })
        };
        let missing = (1..).zip(upload.parts(size));
        let missing = missing.filter(|(number, range)| !is_held(*number, *range)).collect();
        Ok((missing, held))
    }

    /// Copies every part that the upload does not have, and makes it visible.
    async fn assemble(&self, listed: &Entry, key: &Key, upload: &CopyId) -> Result<(), StoreError> {
        let (missing, _) = self.missing(key, upload, listed.size).await?;
        let copy = |part| self.copy_part(listed, key, &upload.id, part);
        for copied in for_each(PARTS_AT_ONCE, missing, copy).await {
            copied?;
        }
        let (missing, parts) = self.missing(key, upload, listed.size).await?;
        if let Some((number, _)) = missing.first() {
            let text = format!("part {number} of the upload is not there as it was copied");
            return Err(self.target.complaint(ErrorCode::UploadLost, key, &text));
        }
        self.target.complete(key, &upload.id, &parts, (listed.size, None)).await.map(drop)
    }
}

#[async_trait]
impl Copier for S3Copier {
    fn objection(&self, listed: &Entry) -> Option<String> {
        let Some((_, shape)) = shape(&listed.version) else {
            return Some("its ETag is no MD5, so that a copy could not be proven".to_owned());
        };
        if shape == Shape::Whole && listed.size > COPY_BYTES_MAX {
            return Some("it is too large for one request of the service".to_owned());
        }
        self.target.doubts.objection()
    }

    fn wants_upload(&self, listed: &Entry) -> bool {
        matches!(shape(&listed.version), Some((_, Shape::Parts(_))))
    }

    async fn copy(&self, listed: &Entry, object: &NewObject) -> Result<Proof, StoreError> {
        let key = &object.entry.key;
        if let Some(reason) = self.target.names.check(&object.entry) {
            return Err(self.target.complaint(ErrorCode::KeyUnsupported, key, &reason));
        }
        let etag = self.send(listed, object).await?;
        let etag = etag.as_deref();
        let proof = self.prove(listed, object, (etag, true)).await;
        proof.map_err(|error| error.unproven(version_of(etag)))
    }

    async fn open_upload(
        &self,
        listed: &Entry,
        object: &NewObject,
        resume: Option<&UploadToken>,
        orphan_since: Option<Timestamp>,
    ) -> Result<Option<OpenedUpload>, StoreError> {
        let (target, key) = (&self.target, &object.entry.key);
        let Some((_, Shape::Parts(count))) = shape(&listed.version) else { return Ok(None) };
        let limits = &target.service.provider.limits;
        let part_bytes = self.part_bytes(listed).await?.unwrap_or(0);
        if !is_cut_so(limits, listed.size, part_bytes, count) {
            return Ok(None);
        }
        if let Some(reason) = target.names.check(&object.entry) {
            return Err(target.complaint(ErrorCode::KeyUnsupported, key, &reason));
        }
        let known = resume.and_then(CopyId::parse);
        let known = known.filter(|upload| upload.part_bytes == part_bytes);
        if let Some(since) = orphan_since {
            target.drop_orphans(key, since, known.as_ref().map(|upload| &*upload.id)).await?;
        }
        if let Some(upload) = known {
            match target.parts_page(key, &upload.id, None).await {
                Ok(_) => {
                    let token = upload.to_token();
                    return Ok(Some(OpenedUpload { token, is_resumed: true }));
                }
                Err(error) if error.code == ErrorCode::UploadLost => {}
                Err(error) => return Err(error),
            }
        } else {
            // One that bytes were moved into, or that was cut in another way.
            target.discard(key, resume, None).await?;
        }
        let upload = CopyId { part_bytes, id: target.create(object, None).await? };
        Ok(Some(OpenedUpload { token: upload.to_token(), is_resumed: false }))
    }

    async fn commit(
        &self,
        listed: &Entry,
        object: &NewObject,
        token: &UploadToken,
    ) -> Result<Proof, StoreError> {
        let (target, key) = (&self.target, &object.entry.key);
        let upload = CopyId::parse(token).ok_or_else(|| {
            let text = "the upload was not begun for a copy by the service";
            target.complaint(ErrorCode::UploadLost, key, text)
        })?;
        let lost = match self.assemble(listed, key, &upload).await {
            Ok(()) => None,
            Err(error) if error.code == ErrorCode::UploadLost => Some(error),
            Err(error) => return Err(error),
        };
        let Some(held) = target.head(key).await? else {
            let text = "the service committed the upload, and then did not know the object";
            let unknown = || target.complaint(ErrorCode::CorruptTarget, key, text);
            return Err(lost.unwrap_or_else(|| unknown().unproven(Version::None)));
        };
        let fingerprint = object.attributes.source_fingerprint.as_deref();
        if let Some(lost) = lost {
            // Gone: it was committed before, or it is lost.
            if source_fingerprint(held.metadata()) != fingerprint {
                target.discard(key, Some(token), None).await?;
                return Err(lost);
            }
        }
        let is_whole = has_size(&held, listed.size);
        let proof = self.prove(listed, object, (held.e_tag(), is_whole)).await;
        proof.map_err(|error| error.unproven(version_of(held.e_tag())))
    }
}

#[cfg(test)]
mod tests {
    use super::super::provider::Provider;
    use super::super::upload::UploadId;
    use super::*;

    const MIB: u64 = 1 << 20;

    fn version(etag: &str) -> Version {
        Version::ETag(etag.into())
    }

    #[test]
    fn an_etag_says_how_an_object_came_to_be() {
        let md5 = "0123456789abcdef0123456789abcdef";
        assert_eq!(shape(&version(md5)), Some((md5, Shape::Whole)));
        let parts = format!("{md5}-17");
        assert_eq!(shape(&version(&parts)), Some((parts.as_str(), Shape::Parts(17))));
        for other in ["", "x", &md5[1..], "W/0123", &format!("{md5}-"), &format!("{md5}-x")] {
            assert_eq!(shape(&version(other)), None, "{other}");
        }
        assert_eq!(shape(&Version::None), None);
    }

    #[test]
    fn a_cut_has_to_fit_the_number_of_parts_and_the_service() {
        let limits = &Provider::s3().limits;
        assert!(is_cut_so(limits, 20 * MIB, 8 * MIB, 3));
        assert!(is_cut_so(limits, 100, 100, 1), "a single part may be small");
        assert!(!is_cut_so(limits, 20 * MIB, 8 * MIB, 4), "parts of several sizes");
        assert!(!is_cut_so(limits, 20 * MIB, 20 * MIB, 3), "a store that describes the whole");
        assert!(!is_cut_so(limits, 20 * MIB, 0, 3));
        assert!(!is_cut_so(limits, 8 * MIB, 4 * MIB, 2), "less than a part may have");
    }

    #[test]
    fn tokens_of_copies_come_back_and_are_no_others() {
        let upload = CopyId { part_bytes: 15 << 20, id: "a:b".to_owned() };
        let token = upload.to_token();
        assert_eq!(CopyId::parse(&token), Some(upload.clone()));
        assert_eq!(UploadId::parse(&token), None);
        for token in ["24c:id", "s0:id", "s5:", "s:id", "sx:id", "s5"] {
            assert_eq!(CopyId::parse(&UploadToken(token.to_owned())), None, "{token}");
        }
        let parts = upload.parts(40 << 20);
        assert_eq!(parts.len(), 3);
        assert_eq!(parts[2], ByteRange::new(30 << 20, 40 << 20));
    }
}
