//! Copies that Azure makes itself, within one account (`Put Blob From URL`).
//!
//! What proves one is an MD5: the service computes that of the bytes that it copies, refuses others than those it
//! was told, and answers with it; it has to be the one that the source's description has. That one a client may
//! have set, and a wrong one is found out so. Blobs that were committed in blocks mostly have none.

use std::sync::Arc;

use airlift_protocol::error::ErrorCode;
use airlift_protocol::manifest::{Entry, Version};
use async_trait::async_trait;
use bytes::Bytes;
use reqwest::header::{HeaderMap, HeaderValue};

use super::attributes::{headers_of, text_of};
use super::container::{Container, Subject, set};
use super::error::is_condition;
use super::put::Before;
use super::read::version;
use super::tags;
use crate::store::digest::quoted;
use crate::store::http::{Failed, Patience};
use crate::store::{Copier, NewObject, Proof, StoreError};

/// Most bytes that one request copies.
/// learn.microsoft.com/rest/api/storageservices/put-blob-from-url
const COPY_BYTES_MAX: u64 = 5_000 << 20;

/// What the service says when it cannot read a source, or has no such copies.
const UNABLE: [&str; 4] =
    ["CannotVerifyCopySource", "NotImplemented", "APINotImplemented", "UnsupportedHeader"];

#[derive(Debug)]
struct AzureCopier {
    source: Arc<Container>,
    target: Arc<Container>,
}

/// The way from one container to the other within the account, if it is one. Credentials are those of the process.
pub(super) fn copier(target: &Arc<Container>, source: &Arc<Container>) -> Option<Arc<dyn Copier>> {
    (target.endpoint() == source.endpoint())
        .then(|| AzureCopier { source: Arc::clone(source), target: Arc::clone(target) })
        .map(|copier| Arc::new(copier) as Arc<dyn Copier>)
}

impl AzureCopier {
    /// The blob as it was listed, and the MD5 that its description has.
    async fn listed(&self, listed: &Entry) -> Result<(String, Option<HeaderValue>), StoreError> {
        let key = &listed.key;
        let found = self.source.find(key).await?.ok_or_else(|| {
            self.source.complaint(ErrorCode::NotFound, key, "it does not exist any more")
        })?;
        let now = self.source.described(key, &found.headers)?;
        if (now.size, &now.version) != (listed.size, &listed.version) {
            let text = "it changed since it was listed";
            return Err(self.source.complaint(ErrorCode::SourceChanged, key, text));
        }
        Ok((found.blob, found.headers.get("content-md5").cloned()))
    }

    async fn send(
        &self,
        (from, listed, md5): (&str, &Entry, &HeaderValue),
        (blob, object, before): (&str, &NewObject, &Before),
    ) -> Result<HeaderMap, Failed> {
        let mut request = self.target.put(Subject::Blob(blob), &[], Bytes::new())?;
        let headers = request.headers_mut();
        headers.extend(headers_of(object)?);
        headers.extend(self.source.copy_source(from).await?);
        headers.insert("x-ms-source-content-md5", md5.clone());
        set(&mut request, "x-ms-blob-type", "BlockBlob")?;
        set(&mut request, "x-ms-copy-source-blob-properties", "false")?;
        if let Version::ETag(etag) = &listed.version {
            set(&mut request, "x-ms-source-if-match", &quoted(etag))?;
        }
        let (name, value) = before.header();
        set(&mut request, name, &value)?;
        Ok(self.target.send(request, Patience::Long).await?.headers().clone())
    }

    /// What a copy that came to nothing means.
    fn refused(&self, object: &NewObject, failed: &Failed) -> Result<Proof, StoreError> {
        let (target, key) = (&self.target, &object.entry.key);
        if failed.code() == Some("Md5Mismatch") {
            return Ok(target
                .doubts
                .unproven("its bytes do not have the MD5 that it was given", None));
        }
        if failed.status() == Some(501) || failed.code().is_some_and(|code| UNABLE.contains(&code))
        {
            return Ok(target.doubts.unproven("the service does not make such copies", None));
        }
        if is_condition(failed) || failed.code() == Some("SourceConditionNotMet") {
            let text = "it, or its source, was written while the service copied it";
            return Err(target.complaint(ErrorCode::Unavailable, key, text));
        }
        let error = target.error("have the service copy to", key, failed);
        Err(tags::advised(error, &object.attributes.tags))
    }
}

#[async_trait]
impl Copier for AzureCopier {
    fn objection(&self, listed: &Entry) -> Option<String> {
        if listed.size > COPY_BYTES_MAX {
            return Some("it is too large for one request of the service".to_owned());
        }
        self.target.doubts.objection()
    }

    async fn copy(&self, listed: &Entry, object: &NewObject) -> Result<Proof, StoreError> {
        let (target, key) = (&self.target, &object.entry.key);
        if let Some(reason) = target.names.check(&object.entry) {
            return Err(target.complaint(ErrorCode::KeyUnsupported, key, &reason));
        }
        let (from, md5) = self.listed(listed).await?;
        let Some(md5) = md5 else {
            return Ok(Proof::nothing("no MD5 of it is on record"));
        };
        let blob = target.names.blob(&object.entry)?;
        let before = target.before(&object.entry, &blob).await?;
        let sent = self.send((&from, listed, &md5), (&blob, object, &before)).await;
        let answered = match sent {
            Ok(answered) => answered,
            Err(failed) => return self.refused(object, &failed),
        };
        match answered.get("content-md5").map(text_of) {
            Some(held) if held == text_of(&md5) => {}
            Some(_) => {
                let text = "the service's copy has other bytes than its source";
                let error = target.complaint(ErrorCode::CorruptTarget, key, text);
                return Err(error.unproven(version(&answered)));
            }
            None => {
                let why = "the service does not say the MD5 of its copy";
                return Ok(target.doubts.unproven(why, Some(version(&answered))));
            }
        }
        let carried = target.confirm_tags(key, &blob, &object.attributes.tags).await;
        carried.map_err(|error| error.unproven(version(&answered)))?;
        Ok(target.doubts.proven())
    }
}
