//! Checksums and ETags of objects that were assembled from parts.

use data_encoding::BASE64;
use md5::{Digest, Md5};

use super::digest::{crc32c, hex, unquoted};

/// The ETag of an object assembled from parts with these ETags: the MD5 of their MD5s. `None` when
/// one of them is not an MD5.
pub(super) fn composite_etag<'a>(parts: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut hasher = Md5::new();
    let mut count = 0_u32;
    for part in parts {
        let digest = data_encoding::HEXLOWER_PERMISSIVE.decode(unquoted(part).as_bytes()).ok()?;
        if digest.len() != 16 {
            return None;
        }
        hasher.update(&digest);
        count += 1;
    }
    Some(format!("{}-{count}", hex(&hasher.finalize())))
}

/// The CRC32C of an object assembled from parts with these: the CRC32C of their values, and their
/// number. `None` when one of them is none.
pub(super) fn composite_crc32c<'a>(parts: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut values = Vec::new();
    let mut count = 0_u32;
    for part in parts {
        let value = BASE64.decode(part.as_bytes()).ok().filter(|value| value.len() == 4)?;
        values.extend_from_slice(&value);
        count += 1;
    }
    Some(format!("{}-{count}", crc32c(&values)))
}

#[cfg(test)]
mod tests {
    use super::super::digest::{md5, quoted};
    use super::*;

    #[test]
    fn composite_values_need_every_part() {
        let etag = hex(&md5(b"part"));
        let expected = format!("{}-2", hex(&md5(&[md5(b"part"), md5(b"part")].concat())));
        let quoted = quoted(&etag);
        assert_eq!(composite_etag([etag.as_str(), &quoted].into_iter()), Some(expected));
        assert_eq!(composite_etag([etag.as_str(), "not-md5"].into_iter()), None);
        let crc = crc32c(b"part");
        assert!(composite_crc32c([crc.as_str(); 3].into_iter()).unwrap().ends_with("==-3"));
        assert_eq!(composite_crc32c([crc.as_str(), "?"].into_iter()), None);
    }
}
