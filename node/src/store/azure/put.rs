//! Putting small objects and directory markers, each confirmed by what the service then says it holds.
//!
//! The MD5 goes along, and the service refuses bytes that do not have it; its answer says which MD5
//! it computed. A description would say the one that was sent, and proves nothing. What stands under the name decides how it is written: nothing, or exactly the blob
//! that was seen there, so that an object never takes the place of a directory marker nor a marker
//! that of an object.

use std::sync::Arc;

use airlift_protocol::chunk::Root;
use airlift_protocol::error::ErrorCode;
use airlift_protocol::key::Key;
use airlift_protocol::manifest::{Entry, Kind};
use airlift_protocol::units::ByteRange;
use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::attributes::{headers_of, is_marker, size_of, text_of};
use super::container::{Container, Subject, set};
use super::error::is_condition;
use super::read::{etag, version};
use super::tags;
use crate::pipeline::chunk::VerifiedObject;
use crate::store::digest::{self, base64, md5};
use crate::store::each::for_each;
use crate::store::http::{Body, ChunkReader, Failed, Patience};
use crate::store::{NewObject, RangeReader, StoreError, contiguous};

/// Times that a blob may have changed between a look at it and the write upon it.
const LOOKS_MAX: u32 = 3;

/// What has to stand under the name for a write to take effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Before {
    /// Nothing.
    Nothing,
    /// The blob with this ETag.
    Blob(String),
}

impl Before {
    /// The header that says so.
    pub(super) fn header(&self) -> (&'static str, String) {
        match self {
            Self::Nothing => ("if-none-match", "*".to_owned()),
            Self::Blob(etag) => ("if-match", digest::quoted(etag)),
        }
    }
}

impl Container {
    async fn put_object(
        &self,
        object: &NewObject,
        content: &VerifiedObject,
    ) -> Result<(), StoreError> {
        let key = &object.entry.key;
        if let Some(reason) = self.names.check(&object.entry) {
            let code = match object.entry.kind {
                Kind::Object | Kind::Directory => ErrorCode::KeyUnsupported,
                Kind::Symlink(_) | Kind::Special => ErrorCode::KindUnsupported,
            };
            return Err(self.complaint(code, key, &reason));
        }
        let blob = self.names.blob(&object.entry)?;
        let headers = headers_of(object)?;
        let body = contiguous(content.payload());
        let md5 = base64(&digest::of(&body, md5).await);
        let mut before = Before::Nothing;
        for _ in 0..LOOKS_MAX {
            match self.send_blob(&blob, &headers, &body, &md5, &before).await {
                Ok(answered) => {
                    let proven = async {
                        self.confirm(object, &blob, content, &md5, &answered).await?;
                        self.confirm_tags(key, &blob, &object.attributes.tags).await
                    };
                    return proven.await.map_err(|error| error.unproven(version(&answered)));
                }
                Err(failed) if is_condition(&failed) => {
                    before = self.before(&object.entry, &blob).await?;
                }
                Err(failed) => {
                    let error = self.error("write", key, &failed);
                    return Err(tags::advised(error, &object.attributes.tags));
                }
            }
        }
        let text = "another program writes it at the same time";
        Err(self.complaint(ErrorCode::Unavailable, key, text))
    }

    async fn send_blob(
        &self,
        blob: &str,
        headers: &[(HeaderName, HeaderValue)],
        body: &Bytes,
        md5: &str,
        before: &Before,
    ) -> Result<HeaderMap, Failed> {
        let mut request = self.put(Subject::Blob(blob), &[], body.clone())?;
        request.headers_mut().extend(headers.iter().cloned());
        set(&mut request, "x-ms-blob-type", "BlockBlob")?;
        set(&mut request, "content-md5", md5)?;
        let (name, value) = before.header();
        set(&mut request, name, &value)?;
        Ok(self.send(request, Patience::Normal).await?.headers().clone())
    }

    /// What stands under the name of `blob`, which may be replaced by `entry`.
    pub(super) async fn before(&self, entry: &Entry, blob: &str) -> Result<Before, StoreError> {
        let key = &entry.key;
        let Some(headers) = self.head(key, blob).await? else { return Ok(Before::Nothing) };
        let text = match (is_marker(&headers), entry.kind == Kind::Directory) {
            (true, false) if !blob.ends_with('/') => {
                "a directory marker of this name is in the way: delete it, or choose another prefix"
            }
            (false, true) => {
                "an object of this name is where the directory marker should be: delete it, or \
                 choose another prefix"
            }
            _ => {
                let etag = etag(&headers).ok_or_else(|| {
                    self.complaint(ErrorCode::Protocol, key, "its description has no ETag")
                })?;
                return Ok(Before::Blob(etag));
            }
        };
        Err(self.complaint(ErrorCode::Conflict, key, text))
    }

    /// The MD5 that the answer has decides; where it has none, the bytes themselves.
    async fn confirm(
        &self,
        object: &NewObject,
        blob: &str,
        content: &VerifiedObject,
        md5: &str,
        answered: &HeaderMap,
    ) -> Result<(), StoreError> {
        match answered.get("content-md5").map(text_of) {
            Some(held) if held == md5 => Ok(()),
            Some(_) => Err(self.corrupt(&object.entry.key)),
            None => self.read_back(&object.entry, blob, content.root()).await,
        }
    }

    /// Reads a blob back and compares it with the hash it should have.
    async fn read_back(&self, entry: &Entry, blob: &str, root: Root) -> Result<(), StoreError> {
        let key = &entry.key;
        let asked = async {
            let request = self.request(Method::GET, Subject::Blob(blob), &[])?;
            self.send(request, Patience::Normal).await
        };
        let answer = asked.await.map_err(|failed| self.error("read back", key, &failed))?;
        let size = size_of(answer.headers()).unwrap_or(entry.size);
        let body = Body::new(self.name_of(key), answer);
        let mut reader = ChunkReader::new(body, ByteRange::new(0, size));
        let mut hasher = blake3::Hasher::new();
        while let Some(payload) = reader.next().await? {
            hasher.update(&contiguous(&payload));
        }
        match Root(*hasher.finalize().as_bytes()) == root {
            true => Ok(()),
            false => Err(self.corrupt(key)),
        }
    }

    fn corrupt(&self, key: &Key) -> StoreError {
        let text = "the service holds other bytes than were sent";
        self.complaint(ErrorCode::CorruptTarget, key, text)
    }
}

pub(super) async fn put_small(
    container: &Arc<Container>,
    objects: Vec<(NewObject, VerifiedObject)>,
) -> Vec<Result<(), StoreError>> {
    let put = |(object, content): (NewObject, VerifiedObject)| {
        let container = Arc::clone(container);
        async move { container.put_object(&object, &content).await }
    };
    for_each(container.requests_max, objects, put).await
}
