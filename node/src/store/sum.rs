//! Computing the sums that stores keep of objects, and composing them of those of their parts.
//!
//! CRCs of consecutive bytes compose: that of the whole follows from the values and lengths of the
//! parts. Digests such as MD5 do not.

use airlift_protocol::sum::{Sum, SumKind};
use crc_fast::CrcAlgorithm;
use data_encoding::BASE64;
use md5::{Digest as _, Md5};
use sha2::Sha256;

/// A CRC: how it is computed, and what its value is as a sum.
struct Crc {
    algorithm: CrcAlgorithm,
    sum: fn(u64) -> Sum,
}

/// The CRC that `kind` is; `None` for other kinds.
fn crc(kind: SumKind) -> Option<Crc> {
    let crc = |algorithm: CrcAlgorithm, sum: fn(u64) -> Sum| Some(Crc { algorithm, sum });
    match kind {
        SumKind::Crc32 => crc(CrcAlgorithm::Crc32IsoHdlc, |value| Sum::Crc32(narrow(value))),
        SumKind::Crc32c => crc(CrcAlgorithm::Crc32Iscsi, |value| Sum::Crc32c(narrow(value))),
        SumKind::Crc64Nvme => crc(CrcAlgorithm::Crc64Nvme, Sum::Crc64Nvme),
        SumKind::Crc64Xz => crc(CrcAlgorithm::Crc64Xz, Sum::Crc64Xz),
        SumKind::Md5 | SumKind::Sha256 => None,
    }
}

fn narrow(value: u64) -> u32 {
    u32::try_from(value).expect("invariant: a CRC32 has 32 bits")
}

/// The value of a CRC.
fn crc_value(sum: Sum) -> Option<u64> {
    match sum {
        Sum::Crc32(value) | Sum::Crc32c(value) => Some(u64::from(value)),
        Sum::Crc64Nvme(value) | Sum::Crc64Xz(value) => Some(value),
        Sum::Md5(_) | Sum::Sha256(_) => None,
    }
}

/// A sum of bytes that come in pieces.
#[derive(Debug)]
pub(crate) struct Summer(State);

#[derive(Debug)]
enum State {
    Crc(fn(u64) -> Sum, Box<crc_fast::Digest>),
    Md5(Box<Md5>),
    Sha256(Box<Sha256>),
}

impl Summer {
    /// A sum of no bytes yet.
    pub(crate) fn new(kind: SumKind) -> Self {
        Self(match (crc(kind), kind) {
            (Some(Crc { algorithm, sum }), _) => {
                State::Crc(sum, Box::new(crc_fast::Digest::new(algorithm)))
            }
            (None, SumKind::Sha256) => State::Sha256(Box::default()),
            (None, _) => State::Md5(Box::default()),
        })
    }

    /// Takes the next bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Crc(_, digest) => digest.update(bytes),
            State::Md5(digest) => digest.update(bytes),
            State::Sha256(digest) => digest.update(bytes),
        }
    }

    /// The sum of all that was taken.
    pub(crate) fn finish(self) -> Sum {
        match self.0 {
            State::Crc(sum, digest) => sum(digest.finalize()),
            State::Md5(digest) => Sum::Md5(digest.finalize().into()),
            State::Sha256(digest) => Sum::Sha256(digest.finalize().into()),
        }
    }
}

/// Bytes that several sums take one after the other: few enough to be in the cache of the CPU still.
const STEP_BYTES: usize = 128 << 10;

/// Has each of several sums take the next bytes.
pub(crate) fn update_all(summers: &mut [Summer], bytes: &[u8]) {
    for step in bytes.chunks(STEP_BYTES) {
        summers.iter_mut().for_each(|summer| summer.update(step));
    }
}

/// Sums of some bytes, of each of `kinds`.
pub(crate) fn each_of(kinds: &[SumKind], bytes: &[u8]) -> Vec<Sum> {
    let mut summers: Vec<Summer> = kinds.iter().copied().map(Summer::new).collect();
    update_all(&mut summers, bytes);
    summers.into_iter().map(Summer::finish).collect()
}

/// The sum of some bytes.
pub fn of(kind: SumKind, bytes: &[u8]) -> Sum {
    let mut summer = Summer::new(kind);
    summer.update(bytes);
    summer.finish()
}

/// The sum of a whole, from those of its parts in order with their lengths; `None` when it does not
/// follow from them.
pub(crate) fn composed(parts: impl Iterator<Item = (Sum, u64)>) -> Option<Sum> {
    let mut whole: Option<Sum> = None;
    for (part, length) in parts {
        whole = Some(match whole {
            None => part,
            Some(before) if before.kind() == part.kind() => {
                let Crc { algorithm, sum } = crc(part.kind())?;
                let (before, value) = (crc_value(before)?, crc_value(part)?);
                sum(crc_fast::checksum_combine(algorithm, before, value, length))
            }
            Some(_) => return None,
        });
    }
    whole
}

/// A sum as headers of S3 and documents of Google have it: base64 of the value, the highest byte
/// first.
pub(crate) fn to_base64(sum: Sum) -> String {
    match sum {
        Sum::Crc32(value) | Sum::Crc32c(value) => BASE64.encode(&value.to_be_bytes()),
        Sum::Crc64Nvme(value) | Sum::Crc64Xz(value) => BASE64.encode(&value.to_be_bytes()),
        Sum::Md5(value) => BASE64.encode(&value),
        Sum::Sha256(value) => BASE64.encode(&value),
    }
}

/// The sum that such a text is; `None` when it is none of that kind, such as a checksum of checksums
/// with its number of parts.
pub(crate) fn from_base64(kind: SumKind, text: &str) -> Option<Sum> {
    let bytes = BASE64.decode(text.as_bytes()).ok()?;
    from_bytes(kind, &bytes)
}

/// The MD5 that an entity tag is; `None` when it has not the form of one.
pub(crate) fn from_etag(etag: &str) -> Option<Sum> {
    let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(etag.as_bytes()).ok()?;
    from_bytes(SumKind::Md5, &bytes)
}

fn from_bytes(kind: SumKind, bytes: &[u8]) -> Option<Sum> {
    Some(match kind {
        SumKind::Crc32 => Sum::Crc32(u32::from_be_bytes(bytes.try_into().ok()?)),
        SumKind::Crc32c => Sum::Crc32c(u32::from_be_bytes(bytes.try_into().ok()?)),
        SumKind::Crc64Nvme => Sum::Crc64Nvme(u64::from_be_bytes(bytes.try_into().ok()?)),
        SumKind::Crc64Xz => Sum::Crc64Xz(u64::from_be_bytes(bytes.try_into().ok()?)),
        SumKind::Md5 => Sum::Md5(bytes.try_into().ok()?),
        SumKind::Sha256 => Sum::Sha256(bytes.try_into().ok()?),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CRCS: [SumKind; 4] =
        [SumKind::Crc32, SumKind::Crc32c, SumKind::Crc64Nvme, SumKind::Crc64Xz];

    /// The check values are those of the catalogue of parametrised CRC algorithms
    /// (reveng.sourceforge.io/crc-catalogue); the digests those of RFC 1321 and FIPS 180-4.
    #[test]
    fn each_kind_has_its_check_value() {
        for (kind, sum) in [
            (SumKind::Crc32, Sum::Crc32(0xcbf4_3926)),
            (SumKind::Crc32c, Sum::Crc32c(0xe306_9283)),
            (SumKind::Crc64Nvme, Sum::Crc64Nvme(0xae8b_1486_0a79_9888)),
            (SumKind::Crc64Xz, Sum::Crc64Xz(0x995d_c9bb_df19_39fa)),
        ] {
            assert_eq!(of(kind, b"123456789"), sum);
        }
        let md5 = from_etag("900150983cd24fb0d6963f7d28e17f72");
        assert_eq!(Some(of(SumKind::Md5, b"abc")), md5);
        let sha = "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=";
        assert_eq!(to_base64(of(SumKind::Sha256, b"abc")), sha);
    }

    #[test]
    fn what_is_no_sum_of_a_kind_is_none() {
        for text in ["", "AAAA", "4waSgw==-3", "?"] {
            assert_eq!(from_base64(SumKind::Crc32c, text), None, "{text}");
        }
        assert_eq!(from_base64(SumKind::Crc64Nvme, "4waSgw=="), None, "too short");
        for etag in ["", "9001509-2", "900150983cd24fb0d6963f7d28e17f72-1", "x"] {
            assert_eq!(from_etag(etag), None, "{etag}");
        }
    }

    #[test]
    fn digests_and_unlike_sums_do_not_compose() {
        let one = |kind| (of(kind, b"a"), 1);
        assert_eq!(composed(std::iter::empty()), None);
        assert_eq!(composed([one(SumKind::Md5)].into_iter()), Some(of(SumKind::Md5, b"a")));
        assert_eq!(composed([one(SumKind::Md5), one(SumKind::Md5)].into_iter()), None);
        assert_eq!(composed([one(SumKind::Crc32), one(SumKind::Crc32c)].into_iter()), None);
    }

    proptest! {
        #[test]
        fn the_sum_of_a_whole_follows_from_those_of_its_parts(
            bytes in prop::collection::vec(any::<u8>(), 0..400),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..5),
        ) {
            let mut cuts: Vec<usize> =
                cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            for kind in CRCS {
                let parts = cuts.windows(2).map(|cut| {
                    let part = &bytes[cut[0]..cut[1]];
                    (of(kind, part), part.len() as u64)
                });
                prop_assert_eq!(composed(parts), Some(of(kind, &bytes)));
            }
        }

        #[test]
        fn bytes_in_pieces_have_the_sum_of_the_whole(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..90), 0..5),
        ) {
            for kind in SumKind::ALL {
                let mut summer = Summer::new(kind);
                pieces.iter().for_each(|piece| summer.update(piece));
                prop_assert_eq!(summer.finish(), of(kind, &pieces.concat()));
            }
        }

        #[test]
        fn sums_come_back_from_their_text(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            for kind in SumKind::ALL {
                let sum = of(kind, &bytes);
                prop_assert_eq!(from_base64(kind, &to_base64(sum)), Some(sum));
            }
        }
    }
}
