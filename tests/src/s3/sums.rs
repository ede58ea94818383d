//! What Amazon S3 does with the CRC64-NVME of objects in parts, and others with sums of their own.

use std::path::Path;

use bytes::{Bytes, BytesMut};
use crc_fast::CrcAlgorithm;
use data_encoding::BASE64;
use futures::StreamExt;
use s3s::dto::{StreamingBlob, UploadPartInput};
use s3s::{Body, S3Result, s3_error};

/// CRC64-NVME of some bytes, as headers have it.
pub fn crc64_nvme(bytes: &[u8]) -> String {
    BASE64.encode(&crc_fast::checksum(CrcAlgorithm::Crc64Nvme, bytes).to_be_bytes())
}

/// CRC64-XZ of a file, as OSS and COS have it in a header of their own.
pub(super) fn crc64_xz(path: &Path) -> S3Result<String> {
    let bytes = std::fs::read(path).map_err(|_| s3_error!(InternalError, "no file"))?;
    Ok(crc_fast::checksum(CrcAlgorithm::Crc64Xz, &bytes).to_string())
}

/// Reads the body of a part, which has to have the CRC64-NVME that goes with it; returns that.
pub(super) async fn check_part(input: &mut UploadPartInput) -> S3Result<String> {
    let mut body = input.body.take().ok_or_else(|| s3_error!(IncompleteBody))?;
    let mut bytes = BytesMut::new();
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(|_| s3_error!(IncompleteBody, "the body broke off"))?;
        bytes.extend_from_slice(&piece);
    }
    let bytes: Bytes = bytes.freeze();
    let sum = crc64_nvme(&bytes);
    input.body = Some(StreamingBlob::from(Body::from(bytes)));
    match input.checksum_crc64nvme.as_ref() {
        Some(sent) if *sent != sum => Err(s3_error!(BadDigest, "other bytes than were summed")),
        Some(_) => Ok(sum),
        None => Err(s3_error!(InvalidRequest, "a part of this upload needs its checksum")),
    }
}

/// The CRC64-NVME of a whole, from those of its parts with their sizes.
pub(super) fn composed<'a>(parts: impl Iterator<Item = (&'a str, u64)>) -> Option<String> {
    let mut whole: Option<u64> = None;
    for (text, size) in parts {
        let value = u64::from_be_bytes(BASE64.decode(text.as_bytes()).ok()?.try_into().ok()?);
        whole = Some(match whole {
            None => value,
            Some(before) => {
                crc_fast::checksum_combine(CrcAlgorithm::Crc64Nvme, before, value, size)
            }
        });
    }
    Some(BASE64.encode(&whole?.to_be_bytes()))
}
