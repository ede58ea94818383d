//! Putting small objects, each confirmed by what the store then says it holds.
//!
//! The cheapest evidence that the store gives decides: a CRC that it echoes, else an ETag that
//! is the MD5 of the body, else the bytes themselves, read back.

use std::sync::Arc;

use airlift_protocol::chunk::Root;
use airlift_protocol::error::ErrorCode;
use airlift_protocol::key::Key;
use airlift_protocol::manifest::Kind;
use airlift_protocol::sum::{Sum, SumKind};
use aws_sdk_s3::operation::put_object::PutObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;

use super::acl::AclHeaders;
use super::attributes::Headers;
use super::client::Bucket;
use super::digest::{self, unquoted};
use super::error::body_error;
use super::list::version_of;
use super::tags::tagging;
use super::{Checksums, for_each};
use crate::pipeline::chunk::VerifiedObject;
use crate::store::{NewObject, StoreError, contiguous, sum};

/// Bytes of a body that is read back which are hashed at a time.
const HASH_BYTES: usize = 128 << 10;

/// What was computed from a body before it was sent.
#[derive(Debug)]
pub(super) struct Sums(pub(super) Vec<Sum>);

impl Sums {
    /// The sum of a kind.
    pub(super) fn find(&self, kind: SumKind) -> Option<Sum> {
        self.0.iter().find(|sum| sum.kind() == kind).copied()
    }

    /// The same as a header has it.
    pub(super) fn header(&self, kind: SumKind) -> Option<String> {
        self.find(kind).map(sum::to_base64)
    }
}

/// What a store's answer says of what it wrote.
#[derive(Debug)]
pub(super) struct Echo<'a> {
    pub(super) crc64_nvme: Option<&'a str>,
    pub(super) crc32c: Option<&'a str>,
    pub(super) etag: Option<&'a str>,
}

impl Bucket {
    /// The sums that go with a body: the checksum unless switched off, and MD5 as long as the store has
    /// not shown that it confirms the other.
    pub(super) fn sums_sent(&self, checksums: Checksums) -> Vec<SumKind> {
        let checksum = checksums.kind();
        let needs_md5 = checksum.is_none() || !self.echoes_checksums();
        checksum.into_iter().chain(needs_md5.then_some(SumKind::Md5)).collect()
    }

    /// Whether the store's answer proves that it holds `body`: `None` when it proves nothing.
    pub(super) async fn proof(&self, body: &Bytes, sums: &Sums, echo: Echo<'_>) -> Option<bool> {
        let crcs = [(SumKind::Crc64Nvme, echo.crc64_nvme), (SumKind::Crc32c, echo.crc32c)];
        let mut echoed = crcs.into_iter().filter_map(|(kind, text)| sums.header(kind).zip(text));
        if let Some((sent, echoed)) = echoed.next() {
            self.saw_checksum();
            return Some(sent == echoed);
        }
        let sent = match sums.find(SumKind::Md5) {
            Some(sent) => sent,
            None => digest::of(body, |bytes| sum::of(SumKind::Md5, bytes)).await,
        };
        // An ETag that is not the MD5 may stand for encrypted bytes: it proves nothing.
        echo.etag.filter(|etag| sum::from_etag(unquoted(etag)) == Some(sent)).map(|_| true)
    }

    async fn put(&self, object: &NewObject, content: &VerifiedObject) -> Result<(), StoreError> {
        let key = &object.entry.key;
        if let Some(reason) = self.names.check(&object.entry) {
            let code = match object.entry.kind {
                Kind::Object | Kind::Directory => ErrorCode::KeyUnsupported,
                Kind::Symlink(_) | Kind::Special => ErrorCode::KindUnsupported,
            };
            return Err(self.complaint(code, key, &reason));
        }
        let body = contiguous(content.payload());
        let kinds = self.sums_sent(self.checksums);
        let sums = Sums(digest::of(&body, move |bytes| sum::each_of(&kinds, bytes)).await);
        let acl = self.acl_headers(key, object.attributes.acl.as_ref()).await?;
        let answer = self.send(object, acl, &body, &sums).await?;
        let proven = async {
            let echo = Echo {
                crc64_nvme: answer.checksum_crc64_nvme(),
                crc32c: answer.checksum_crc32_c(),
                etag: answer.e_tag(),
            };
            match self.proof(&body, &sums, echo).await {
                Some(true) => {}
                Some(false) => return Err(self.corrupt(key)),
                None => self.read_back(key, content.root()).await?,
            }
            self.confirm_attributes(object).await
        };
        proven.await.map_err(|error| error.unproven(version_of(answer.e_tag())))
    }

    /// Fails when an object that was written does not carry what it was written with.
    pub(super) async fn confirm_attributes(&self, object: &NewObject) -> Result<(), StoreError> {
        let key = &object.entry.key;
        self.confirm_tags(key, &object.attributes.tags).await?;
        self.confirm_acl(key, object.attributes.acl.as_ref()).await
    }

    async fn send(
        &self,
        object: &NewObject,
        acl: AclHeaders,
        body: &Bytes,
        sums: &Sums,
    ) -> Result<PutObjectOutput, StoreError> {
        let key = &object.entry.key;
        let headers = Headers::of(object);
        let request = self
            .client_for(body.len() as u64)
            .put_object()
            .bucket(&self.name)
            .key(self.sendable(key)?)
            .body(ByteStream::from(body.clone()))
            .content_length(i64::try_from(body.len()).unwrap_or(i64::MAX))
            .set_content_md5(sums.header(SumKind::Md5))
            .set_checksum_crc64_nvme(sums.header(SumKind::Crc64Nvme))
            .set_checksum_crc32_c(sums.header(SumKind::Crc32c))
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
        let write = async {
            self.fence.check()?;
            let sent = match self.is_encrypted {
                true => request.customize().disable_payload_signing().send().await,
                false => request.send().await,
            };
            sent.map_err(|error| self.error("write", key, &error))
        };
        self.pace_of(key).writes.pass(body.len() as u64, write).await
    }

    /// Reads an object back and compares it with the hash it should have.
    pub(super) async fn read_back(&self, key: &Key, root: Root) -> Result<(), StoreError> {
        let request = self.client().get_object().bucket(&self.name).key(self.sendable(key)?);
        let read =
            async { request.send().await.map_err(|error| self.error("read back", key, &error)) };
        let answer = self.pace_of(key).reads.pass(0, read).await?;
        let mut body = answer.body;
        let mut hasher = blake3::Hasher::new();
        let mut pending = Vec::with_capacity(2 * HASH_BYTES);
        while let Some(piece) = body.next().await {
            let piece = piece.map_err(|error| body_error(&self.name_of(key), &error))?;
            pending.extend_from_slice(&piece);
            if pending.len() >= HASH_BYTES {
                hasher.update(&pending);
                pending.clear();
            }
        }
        hasher.update(&pending);
        match Root(*hasher.finalize().as_bytes()) == root {
            true => Ok(()),
            false => Err(self.corrupt(key)),
        }
    }

    pub(super) fn corrupt(&self, key: &Key) -> StoreError {
        let text = "the store holds other bytes than were sent";
        self.complaint(ErrorCode::CorruptTarget, key, text)
    }
}

pub(super) async fn put_small(
    bucket: &Arc<Bucket>,
    objects: Vec<(NewObject, VerifiedObject)>,
) -> Vec<Result<(), StoreError>> {
    let put = |(object, content): (NewObject, VerifiedObject)| {
        let bucket = Arc::clone(bucket);
        async move { bucket.put(&object, &content).await }
    };
    for_each(bucket.requests_max, objects, put).await
}
