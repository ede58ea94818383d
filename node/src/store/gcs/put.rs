//! Putting small objects, each confirmed by what the service then says it holds.
//!
//! Attributes and bytes go in one request, with the CRC32C of the bytes: the service refuses others, and
//! answers with the CRC32C that it computed.

use std::sync::Arc;

use airlift_protocol::chunk::Root;
use airlift_protocol::error::ErrorCode;
use airlift_protocol::key::Key;
use airlift_protocol::manifest::Kind;
use airlift_protocol::units::ByteRange;
use bytes::Bytes;
use data_encoding::HEXLOWER;
use reqwest::Body;
use serde_json::Value;

use super::bucket::{Bucket, Subject};
use super::resource::{Resource, description};
use crate::pipeline::chunk::VerifiedObject;
use crate::store::chance::nonce;
use crate::store::digest::{self, crc32c};
use crate::store::each::for_each;
use crate::store::http::{self, ChunkReader, Failed, Patience};
use crate::store::{NewObject, RangeReader, StoreError, contiguous};

impl Bucket {
    async fn put(&self, object: &NewObject, content: &VerifiedObject) -> Result<(), StoreError> {
        let key = &object.entry.key;
        if let Some(reason) = self.names.check(&object.entry) {
            let code = match object.entry.kind {
                Kind::Object | Kind::Directory => ErrorCode::KeyUnsupported,
                Kind::Symlink(_) | Kind::Special => ErrorCode::KindUnsupported,
            };
            return Err(self.complaint(code, key, &reason));
        }
        let bytes = contiguous(content.payload());
        let sum = digest::of(&bytes, crc32c).await;
        let sent = self.send_object(object, bytes, &sum).await;
        let answered = sent.map_err(|failed| self.error("write", key, &failed))?;
        let proven = self.confirm(key, &answered, &sum, content.root()).await;
        proven.map_err(|error| error.unproven(answered.version()))
    }

    async fn send_object(
        &self,
        object: &NewObject,
        bytes: Bytes,
        sum: &str,
    ) -> Result<Resource, Failed> {
        let name = self.names.full(&object.entry.key)?;
        let mut description = description(object);
        description.insert("name".to_owned(), Value::from(name));
        description.insert("crc32c".to_owned(), Value::from(sum));
        let (content_type, body) = multipart(&Value::Object(description), bytes);
        let query = [("uploadType", "multipart")];
        let request = self.post(Subject::Upload, &query, &content_type, body)?;
        self.ask(request, Patience::Normal).await
    }

    /// The CRC32C that the answer has decides; where it has none, the bytes themselves.
    pub(super) async fn confirm(
        &self,
        key: &Key,
        answered: &Resource,
        sum: &str,
        root: Root,
    ) -> Result<(), StoreError> {
        match &answered.crc32c {
            Some(held) if held == sum => Ok(()),
            Some(_) => Err(self.corrupt(key)),
            None => self.read_back(key, root).await,
        }
    }

    /// Reads an object back and compares it with the hash it should have.
    pub(super) async fn read_back(&self, key: &Key, root: Root) -> Result<(), StoreError> {
        let found = self.find(key).await?.and_then(|found| found.size());
        let size = found.ok_or_else(|| self.corrupt(key))?;
        let name = self.names.full(key)?;
        let asked = async { self.send(self.media(&name, &[])?, Patience::Normal).await };
        let answer = asked.await.map_err(|failed| self.error("read back", key, &failed))?;
        let body = http::Body::new(self.name_of(key), answer);
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

    pub(super) fn corrupt(&self, key: &Key) -> StoreError {
        let text = "the service holds other bytes than were sent";
        self.complaint(ErrorCode::CorruptTarget, key, text)
    }
}

/// A description and bytes as one body of two parts: its media type, itself and its length.
fn multipart(description: &Value, bytes: Bytes) -> (String, (Body, u64)) {
    // Bytes of chance, so that no content can have been made to contain it.
    let boundary = format!("airlift-{}{}", HEXLOWER.encode(&nonce()), HEXLOWER.encode(&nonce()));
    let head = format!(
        "--{boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n{description}\r\n\
         --{boundary}\r\nContent-Type: application/octet-stream\r\n\r\n"
    );
    let tail = format!("\r\n--{boundary}--\r\n");
    let body = [head.as_bytes(), &bytes, tail.as_bytes()].concat();
    let length = body.len() as u64;
    (format!("multipart/related; boundary={boundary}"), (Body::from(body), length))
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn description_and_bytes_are_two_parts_of_one_body() {
        let content = Bytes::from_static(b"\r\n--\0\xff");
        let (content_type, (body, length)) = multipart(&json!({ "name": "é" }), content.clone());
        let boundary = content_type.strip_prefix("multipart/related; boundary=").unwrap();
        let body = body.as_bytes().unwrap();
        assert_eq!(body.len() as u64, length);
        let mut expected = format!("--{boundary}\r\n").into_bytes();
        expected.extend_from_slice(b"Content-Type: application/json; charset=UTF-8\r\n\r\n");
        expected.extend_from_slice("{\"name\":\"é\"}".as_bytes());
        expected.extend_from_slice(format!("\r\n--{boundary}\r\n").as_bytes());
        expected.extend_from_slice(b"Content-Type: application/octet-stream\r\n\r\n");
        expected.extend_from_slice(&content);
        expected.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        assert_eq!(body, expected);
    }
}
