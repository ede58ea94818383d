//! What follows from sums, before and after one end was read.

use airlift_protocol::sum::Sum;

use super::*;
use crate::store::sum;

fn computed(kind: SumKind, bytes: &[u8]) -> StoredSum {
    StoredSum::computed(sum::of(kind, bytes))
}

fn claimed(kind: SumKind, bytes: &[u8]) -> StoredSum {
    StoredSum::claimed(sum::of(kind, bytes))
}

/// What a look at the sums of both stores comes to, in words.
fn look_at(source: &[StoredSum], target: &[StoredSum]) -> String {
    match by_sums(source, target) {
        Look::Settled(Ok(Equality::BySum(kind, None))) => format!("equal by {kind}"),
        Look::Settled(Ok(Equality::Differs(how))) => how,
        Look::Settled(other) => format!("{other:?}"),
        Look::Open(Reading::Both) => "read both".to_owned(),
        Look::Open(Reading::One(end, stored)) => {
            format!("read the {end:?} for {}", stored.sum.kind())
        }
    }
}

#[test]
fn as_little_is_read_as_the_sums_allow() {
    use SumKind::{Crc32, Crc32c, Crc64Nvme, Crc64Xz, Md5, Sha256};
    let x = |kind| computed(kind, b"x");
    let y = |kind| computed(kind, b"y");
    let differ = "same size, other content by the CRC32C of both stores";
    let cases: &[(&[StoredSum], &[StoredSum], &str)] = &[
        (&[], &[], "read both"),
        (&[], &[x(Crc32c)], "read the Source for CRC32C"),
        (&[x(Md5)], &[], "read the Target for MD5"),
        (&[x(Crc32c)], &[x(Crc32c)], "equal by CRC32C"),
        (&[x(Crc32c)], &[y(Crc32c)], differ),
        (&[x(Crc32c), x(Crc64Nvme)], &[x(Crc64Nvme), x(Crc32c)], "equal by CRC64-NVME"),
        // Of other kinds: the end whose sum is the better one is not read.
        (&[x(Crc64Xz)], &[x(Crc64Nvme)], "read the Source for CRC64-NVME"),
        (&[x(Crc64Xz)], &[x(Crc32c)], "read the Target for CRC64-XZ"),
        (&[x(Crc32)], &[claimed(Sha256, b"x")], "read the Target for CRC32"),
        (&[x(Crc32)], &[x(Md5), x(Sha256)], "read the Source for SHA-256"),
        // What may be no sum at all can agree, and cannot disagree.
        (&[claimed(Md5, b"x")], &[claimed(Md5, b"x")], "equal by MD5"),
        (&[claimed(Md5, b"x")], &[x(Md5)], "equal by MD5"),
        (&[claimed(Md5, b"y")], &[x(Md5)], "read the Source for MD5"),
        (&[x(Crc32c), claimed(Md5, b"y")], &[x(Crc32c), x(Md5)], "equal by CRC32C"),
        // Two sums of one store that contradict each other.
        (&[x(Crc32c), x(Md5)], &[x(Crc32c), y(Md5)], "read both"),
    ];
    for (source, target, expected) in cases {
        assert_eq!(look_at(source, target), *expected, "{source:?} {target:?}");
    }
}

#[test]
fn every_kind_has_its_place_in_the_order_of_preference() {
    for kind in SumKind::ALL {
        assert!(PREFERRED.contains(&kind), "{kind}");
    }
}

#[test]
fn a_sum_that_disagrees_condemns_only_where_the_store_computed_it() {
    let digest = Digest { root: Root::of(b"x"), sum: Some(sum::of(SumKind::Crc32c, b"x")) };
    let by = |stored| by_one(End::Source, stored, Ok(digest));
    let agrees = by(computed(SumKind::Crc32c, b"x"));
    assert!(matches!(agrees, Judged::Settled(Ok(Equality::BySum(SumKind::Crc32c, Some(root))))
        if root == digest.root));
    match by(computed(SumKind::Crc32c, b"y")) {
        Judged::Settled(Ok(Equality::Differs(how))) => {
            assert_eq!(how, "same size, other content by the CRC32C that the target's store keeps");
        }
        _ => panic!("the store holds other bytes"),
    }
    let unsure = by(StoredSum::claimed(Sum::Crc32c(1)));
    assert!(matches!(unsure, Judged::Other(End::Source, root) if root == digest.root));
}

#[test]
fn a_store_that_never_says_more_is_read_and_one_that_is_busy_is_asked_again() {
    let failed = |code| known(Err(StoreError::new(code, "x")));
    assert_eq!(failed(ErrorCode::PermissionDenied).unwrap(), []);
    assert_eq!(failed(ErrorCode::Throttled).unwrap_err().code, ErrorCode::Throttled);
    assert_eq!(failed(ErrorCode::Unavailable).unwrap_err().code, ErrorCode::Unavailable);
}
