//! Whether both ends hold the same bytes, by as little reading as shows it.
//!
//! | sums that the stores keep | read |
//! |---|---|
//! | of one kind at both ends | nothing |
//! | at one end, or of other kinds | one end, once, for its hash and that sum |
//! | none | both ends |
//!
//! A sum that agrees shows that the bytes are the same. One that disagrees shows that they differ where
//! the store computed it itself; where it only may be a sum of the bytes, the other end is read too.

use airlift_protocol::assignment::End;
use airlift_protocol::chunk::Root;
use airlift_protocol::error::{Class, ErrorCode};
use airlift_protocol::frame::{Digest, ToDigest};
use airlift_protocol::manifest::Entry;
use airlift_protocol::sum::{StoredSum, SumKind, SumOrigin};

use super::Transfer;
use super::content::{both, digests_of};
use crate::store::StoreError;

/// Which sum is taken where there is a choice: those that a CPU computes fast first, the longer ones
/// before the shorter ones.
const PREFERRED: [SumKind; 6] = [
    SumKind::Crc64Nvme,
    SumKind::Crc64Xz,
    SumKind::Crc32c,
    SumKind::Sha256,
    SumKind::Md5,
    SumKind::Crc32,
];

/// By what means equality is to be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Means {
    /// By sums that stores keep, where there are such.
    Sums,
    /// By reading both ends, whatever the stores say.
    Reading,
}

impl Means {
    /// What the job wants for an object that it samples or does not.
    pub(super) fn of(is_sampled: bool) -> Self {
        if is_sampled { Self::Reading } else { Self::Sums }
    }
}

/// Objects of the same size that are to be compared.
#[derive(Debug)]
pub(super) struct Pair {
    /// As listed at the source.
    pub(super) source: Entry,
    /// As found at the target.
    pub(super) target: Entry,
    /// How.
    pub(super) means: Means,
}

impl Pair {
    fn entry(&self, end: End) -> &Entry {
        match end {
            End::Source => &self.source,
            End::Target => &self.target,
        }
    }
}

/// What a comparison found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Equality {
    /// The same bytes, as the hashes of both ends show.
    ByReading(Root),
    /// The same bytes, as a sum that a store keeps shows; with the hash of an end that was read.
    BySum(SumKind, Option<Root>),
    /// Other bytes; the text says how that is known.
    Differs(String),
}

/// What has to be read before more can be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// Both ends.
    Both,
    /// This end, to compare its sum with the one that the other end's store keeps.
    One(End, StoredSum),
}

/// Compares the objects of each pair; results in order.
pub(super) async fn compare(
    transfer: &Transfer,
    pairs: &[Pair],
) -> Vec<Result<Equality, StoreError>> {
    let looks = look(transfer, pairs).await;
    let needed = |end| {
        let reads = looks.iter().zip(pairs);
        let reads = reads.filter_map(move |(look, pair)| match look {
            Look::Open(reading) => reading.at(end, pair),
            Look::Settled(_) => None,
        });
        reads.collect::<Vec<ToDigest>>()
    };
    let spared = looks.iter().zip(pairs).filter(|(look, pair)| look.spares_target(pair));
    let spared: u64 = spared.map(|(_, pair)| pair.target.size).sum();
    let (source, target) = read(transfer, needed(End::Source), needed(End::Target)).await;
    transfer.meter.add_shown(spared);
    let (mut source, mut target) = (source.into_iter(), target.into_iter());
    let judged: Vec<Judged> = looks
        .into_iter()
        .map(|look| match look {
            Look::Settled(result) => Judged::Settled(result),
            Look::Open(Reading::Both) => {
                Judged::Settled(by_reading(next(&mut source), next(&mut target)))
            }
            Look::Open(Reading::One(end @ End::Source, stored)) => {
                by_one(end, stored, next(&mut source))
            }
            Look::Open(Reading::One(end @ End::Target, stored)) => {
                by_one(end, stored, next(&mut target))
            }
        })
        .collect();
    read_other_ends(transfer, pairs, judged).await
}

/// What can be said of a pair before anything is read.
enum Look {
    Settled(Result<Equality, StoreError>),
    Open(Reading),
}

impl Look {
    /// Whether the target of `pair` need not be read.
    fn spares_target(&self, pair: &Pair) -> bool {
        match self {
            Self::Settled(result) => result.is_ok(),
            Self::Open(reading) => reading.at(End::Target, pair).is_none(),
        }
    }
}

/// What can be said of a pair when one end was read, or both.
enum Judged {
    Settled(Result<Equality, StoreError>),
    /// The end that was not read has to be compared with this.
    Other(End, Root),
}

/// Asks the stores what they know.
async fn look(transfer: &Transfer, pairs: &[Pair]) -> Vec<Look> {
    let asked = |end| {
        let asked = pairs.iter().filter(|pair| pair.means == Means::Sums);
        asked.map(move |pair| pair.entry(end).clone()).collect::<Vec<Entry>>()
    };
    if pairs.iter().all(|pair| pair.means == Means::Reading) {
        return pairs.iter().map(|_| Look::Open(Reading::Both)).collect();
    }
    let at_target = transfer.at_target(transfer.target.stored_sums(asked(End::Target)));
    let (source, target) = tokio::join!(transfer.source.stored_sums(asked(End::Source)), at_target);
    let (mut source, mut target) = (source.into_iter(), target.into_iter());
    pairs
        .iter()
        .map(|pair| match pair.means {
            Means::Reading => Look::Open(Reading::Both),
            Means::Sums => match (known(next(&mut source)), known(next(&mut target))) {
                (Ok(source), Ok(target)) => by_sums(&source, &target),
                (Err(error), _) | (_, Err(error)) => Look::Settled(Err(error)),
            },
        })
        .collect()
}

/// A store that will never say more is read; one that may say more in a while is asked again then.
fn known(sums: Result<Vec<StoredSum>, StoreError>) -> Result<Vec<StoredSum>, StoreError> {
    match sums {
        Err(error) if error.code.class() == Class::Permanent => {
            tracing::debug!(%error, "a store does not say what sums it has");
            Ok(Vec::new())
        }
        sums => sums,
    }
}

/// What the sums that both stores keep say.
fn by_sums(source: &[StoredSum], target: &[StoredSum]) -> Look {
    let of = |sums: &[StoredSum], kind| sums.iter().find(|it| it.sum.kind() == kind).copied();
    let common = PREFERRED.iter().filter_map(|&kind| Some((of(source, kind)?, of(target, kind)?)));
    let (agree, disagree): (Vec<_>, Vec<_>) = common.partition(|(one, other)| one.sum == other.sum);
    let is_sure = |stored: &StoredSum| stored.origin == SumOrigin::Computed;
    let refutes = disagree.iter().find(|(one, other)| is_sure(one) && is_sure(other));
    match (agree.first(), refutes) {
        (Some((sum, _)), None) => Look::Settled(Ok(Equality::BySum(sum.sum.kind(), None))),
        (None, Some((sum, _))) => {
            let kind = sum.sum.kind();
            let text = format!("same size, other content by the {kind} of both stores");
            Look::Settled(Ok(Equality::Differs(text)))
        }
        // One of them is wrong, and only the bytes say which.
        (Some(_), Some(_)) => Look::Open(Reading::Both),
        (None, None) => Look::Open(least(source, target)),
    }
}

/// What has to be read when the sums themselves cannot be compared.
fn least(source: &[StoredSum], target: &[StoredSum]) -> Reading {
    let rank = |kind| PREFERRED.iter().position(|it| *it == kind);
    let of_target = target.iter().map(|stored| (End::Source, stored));
    let of_source = source.iter().map(|stored| (End::Target, stored));
    let best = of_target
        .chain(of_source)
        .min_by_key(|(_, stored)| (stored.origin == SumOrigin::Claimed, rank(stored.sum.kind())));
    best.map_or(Reading::Both, |(end, stored)| Reading::One(end, *stored))
}

impl Reading {
    /// What it means for one end of `pair`.
    fn at(self, end: End, pair: &Pair) -> Option<ToDigest> {
        let sum = match self {
            Self::Both => None,
            Self::One(of, stored) if of == end => Some(stored.sum.kind()),
            Self::One(..) => return None,
        };
        Some(ToDigest { entry: pair.entry(end).clone(), sum })
    }
}

/// Reads what is wanted at each end; results in order.
async fn read(
    transfer: &Transfer,
    source: Vec<ToDigest>,
    target: Vec<ToDigest>,
) -> (Vec<Result<Digest, StoreError>>, Vec<Result<Digest, StoreError>>) {
    let source = transfer.source.digests(source);
    let target = digests_of(&transfer.bounds, End::Target, &transfer.target, target);
    both(&transfer.meter, source, target).await
}

fn next<T>(results: &mut impl Iterator<Item = Result<T, StoreError>>) -> Result<T, StoreError> {
    let lost = || Err(StoreError::new(ErrorCode::Bug, "no result for an object"));
    results.next().unwrap_or_else(lost)
}

fn by_reading(
    source: Result<Digest, StoreError>,
    target: Result<Digest, StoreError>,
) -> Result<Equality, StoreError> {
    Ok(by_roots(source?.root, target?.root))
}

fn by_roots(source: Root, target: Root) -> Equality {
    match source == target {
        true => Equality::ByReading(source),
        false => Equality::Differs("same size, other content".to_owned()),
    }
}

/// What follows from what was read at one end, and the sum that the other end's store keeps.
fn by_one(end: End, stored: StoredSum, read: Result<Digest, StoreError>) -> Judged {
    let digest = match read {
        Ok(digest) => digest,
        Err(error) => return Judged::Settled(Err(error)),
    };
    let kind = stored.sum.kind();
    if digest.sum == Some(stored.sum) {
        return Judged::Settled(Ok(Equality::BySum(kind, Some(digest.root))));
    }
    if stored.origin == SumOrigin::Claimed {
        return Judged::Other(end, digest.root);
    }
    let keeper = match end {
        End::Source => "target",
        End::Target => "source",
    };
    let text = format!("same size, other content by the {kind} that the {keeper}'s store keeps");
    Judged::Settled(Ok(Equality::Differs(text)))
}

/// Reads the other end too, where the one that was read could not settle it.
async fn read_other_ends(
    transfer: &Transfer,
    pairs: &[Pair],
    judged: Vec<Judged>,
) -> Vec<Result<Equality, StoreError>> {
    let needed = |end| {
        let open = judged.iter().zip(pairs).filter_map(move |(judged, pair)| match judged {
            Judged::Other(of, _) if *of != end => {
                Some(ToDigest { entry: pair.entry(end).clone(), sum: None })
            }
            Judged::Other(..) | Judged::Settled(_) => None,
        });
        open.collect::<Vec<ToDigest>>()
    };
    let (source, target) = read(transfer, needed(End::Source), needed(End::Target)).await;
    let (mut source, mut target) = (source.into_iter(), target.into_iter());
    judged
        .into_iter()
        .map(|judged| match judged {
            Judged::Settled(result) => result,
            Judged::Other(End::Source, root) => Ok(by_roots(root, next(&mut target)?.root)),
            Judged::Other(End::Target, root) => Ok(by_roots(next(&mut source)?.root, root)),
        })
        .collect()
}

#[cfg(test)]
mod tests;
