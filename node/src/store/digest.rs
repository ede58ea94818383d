//! Checksums and entity tags, as headers write them: what a store can be held to.

use std::fmt::Write as _;

use bytes::Bytes;
use crc_fast::CrcAlgorithm;
use data_encoding::BASE64;
use md5::{Digest, Md5};

/// Bytes from which a digest is computed off the reactor.
const OFFLOAD_BYTES: usize = 1 << 20;

/// CRC32C as S3 and Google write it: base64 of the big-endian value.
pub(super) fn crc32c(bytes: &[u8]) -> String {
    let value = crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, bytes);
    let value = u32::try_from(value).expect("invariant: a CRC32C has 32 bits");
    BASE64.encode(&value.to_be_bytes())
}

/// MD5 of some bytes.
pub(super) fn md5(bytes: &[u8]) -> [u8; 16] {
    Md5::digest(bytes).into()
}

/// MD5 as `Content-MD5` wants it.
pub(super) fn base64(digest: &[u8]) -> String {
    BASE64.encode(digest)
}

/// MD5 as an ETag writes it.
pub(super) fn hex(digest: &[u8]) -> String {
    digest.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Computes `digest` of `bytes`, off the reactor when they are many.
pub(super) async fn of<T: Send + 'static>(
    bytes: &Bytes,
    digest: impl FnOnce(&[u8]) -> T + Send + 'static,
) -> T {
    if bytes.len() < OFFLOAD_BYTES {
        return digest(bytes);
    }
    let bytes = bytes.clone();
    match tokio::task::spawn_blocking(move || digest(&bytes)).await {
        Ok(value) => value,
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}

/// An ETag without its quotes; a weak one stays as it is.
pub(super) fn unquoted(etag: &str) -> &str {
    etag.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(etag)
}

/// An ETag as a header wants it.
pub(super) fn quoted(etag: &str) -> String {
    if etag.starts_with("W/") { etag.to_owned() } else { format!("\"{etag}\"") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_written_as_headers_have_them() {
        assert_eq!(crc32c(b"123456789"), BASE64.encode(&0xe306_9283_u32.to_be_bytes()));
        assert_eq!(hex(&md5(b"")), "d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!(base64(&md5(b"")), "1B2M2Y8AsgTpgAmY7PhCfg==");
    }

    #[test]
    fn etags_lose_and_gain_their_quotes() {
        assert_eq!(unquoted("\"abc-2\""), "abc-2");
        assert_eq!(unquoted("abc"), "abc");
        assert_eq!(quoted("abc"), "\"abc\"");
        assert_eq!(quoted(unquoted("W/\"abc\"")), "W/\"abc\"");
    }
}
