//! Which objects of a page the target already holds.
//!
//! Decided from what the stores say, cheapest first: size; time or ETag as listed; then, only for
//! what is still open, the full attributes with the fingerprint of the source that Airlift records
//! at stores. With `--checksum`, from the content; and so what an earlier run has left unproven.

use airlift_protocol::error::{ErrorCode, Failure};
use airlift_protocol::folding::Folding;
use airlift_protocol::id::Position;
use airlift_protocol::job::{Comparison as By, JobSpec, KeyPolicy, LinkPolicy};
use airlift_protocol::location::Location;
use airlift_protocol::manifest::{Entry, Kind, Page, Version};
use airlift_protocol::report::{Comparison, Completion, SkipReason};
use futures::stream::{self, StreamExt};

use super::equal::Means;
use super::lookup::lookup;
use super::restore::restore;
use super::{Transfer, clash, content, names};
use crate::storage::journal::Doubt;
use crate::store::{Access, MtimeStep, StoreError};

/// Objects whose attributes are asked for at the same time.
const ASKED_AT_ONCE: usize = 32;

/// Says for each entry of `page` whether it has to move.
///
/// # Errors
/// When the target does not say which names it takes for one, or in which steps it keeps times.
pub async fn compare(transfer: &Transfer, page: Page) -> Result<Completion, StoreError> {
    let folding = target_folding(transfer).await?;
    let step = target_step(transfer).await?;
    let (page, entries) = (page.id, page.entries);
    let mut comparisons: Vec<Option<Comparison>> =
        entries.iter().map(|entry| exclude(transfer, entry)).collect();
    clash::exclude(transfer, &entries, &mut comparisons).await;
    clash::exclude_rivals(transfer, folding, &entries, &mut comparisons).await;
    let open: Vec<usize> = (0..entries.len()).filter(|&i| comparisons[i].is_none()).collect();
    let keys = open.iter().map(|&i| transfer.target_key(&entries[i]));
    let found = lookup(transfer, keys.collect()).await;
    // Nearly all is decided at once; only the rest is worth a future each.
    let mut alike: Vec<(usize, Entry)> = Vec::new();
    for (place, found) in open.into_iter().zip(found) {
        match decide(transfer, step, &entries[place], found) {
            Decision::Settled(comparison) => comparisons[place] = Some(comparison),
            Decision::Alike(target) => alike.push((place, target)),
        }
    }
    let decided: Vec<(usize, Comparison)> = stream::iter(alike)
        .map(|(place, target)| {
            let entry = &entries[place];
            let position = Position { page, index: place_in_page(place) };
            async move { (place, look(transfer, step, (position, entry), &target).await) }
        })
        .buffer_unordered(ASKED_AT_ONCE)
        .collect()
        .await;
    for (place, comparison) in decided {
        comparisons[place] = Some(comparison);
    }
    restore(transfer, &entries, &mut comparisons).await;
    let comparisons = comparisons.into_iter();
    let compared = comparisons.map(|entry| entry.unwrap_or(Comparison::Move)).collect();
    Ok(Completion::Compared(compared))
}

/// What is left out, whatever the target holds.
fn exclude(transfer: &Transfer, entry: &Entry) -> Option<Comparison> {
    let target = &transfer.target;
    if transfer.spec.policy.keys == KeyPolicy::Restore
        && names::restore(transfer.spec.target_key(&entry.key), &entry.kind).is_none()
    {
        let why = "no key that --map-keys escape has made".to_owned();
        return Some(Comparison::Skipped(SkipReason::Unrepresentable(why)));
    }
    let reason = match &entry.kind {
        Kind::Special => SkipReason::Special,
        Kind::Symlink(_) if transfer.spec.policy.links == LinkPolicy::Skip => SkipReason::Symlink,
        Kind::Symlink(_) if !target.capabilities().symlinks => SkipReason::Unrepresentable(
            "symbolic link, which the target cannot hold (use --links follow to copy what it \
             points to)"
                .to_owned(),
        ),
        Kind::Symlink(_) | Kind::Object | Kind::Directory => {
            let key = transfer.target_key(entry);
            let largest = target.capabilities().object_bytes_max;
            let at_target = Entry { key, ..entry.clone() };
            let why = target.check_key(&at_target).or_else(|| {
                let is_too_large = entry.size > largest;
                is_too_large.then(|| {
                    format!("{} bytes, and the target holds at most {largest}", entry.size)
                })
            });
            SkipReason::Unrepresentable(why?)
        }
    };
    Some(Comparison::Skipped(reason))
}

/// A place in a page, which has no more entries than such a number can count.
fn place_in_page(place: usize) -> u16 {
    u16::try_from(place).expect("invariant: a page has at most 10,000 entries")
}

/// What can be said by what the target has under a key.
enum Decision {
    Settled(Comparison),
    /// An object of the same size: this one, which may be the same.
    Alike(Entry),
}

fn decide(
    transfer: &Transfer,
    step: MtimeStep,
    source: &Entry,
    found: Result<Option<Entry>, StoreError>,
) -> Decision {
    let target = match found {
        Err(error) if !is_absence(&transfer.spec, &error) => {
            return Decision::Settled(Comparison::Failed(error.into()));
        }
        Err(_) | Ok(None) => return Decision::Settled(move_or_skip(source)),
        Ok(Some(target)) => target,
    };
    let unchanged = Comparison::Unchanged { bytes: source.size };
    Decision::Settled(match (&source.kind, &target.kind) {
        (Kind::Directory, Kind::Directory) => unchanged,
        (Kind::Symlink(here), Kind::Symlink(there)) if here == there => unchanged,
        (Kind::Object, Kind::Object) if source.size == target.size => {
            let is_in_doubt = transfer.journal.doubt_of(&target.key).is_some();
            if is_in_doubt || !is_equal_at_a_glance(transfer, step, source, &target) {
                return Decision::Alike(target);
            }
            unchanged
        }
        _ => move_or_skip(source),
    })
}

/// Looks whether two objects of one size are the same.
async fn look(
    transfer: &Transfer,
    step: MtimeStep,
    (position, source): (Position, &Entry),
    target: &Entry,
) -> Comparison {
    let means = Means::of(transfer.spec.policy.verify.is_sampled(position));
    let is_equal = match transfer.journal.doubt_of(&target.key) {
        None => is_equal(transfer, step, source, target, means).await,
        Some(doubt) => is_proven(transfer, step, source, target, (means, doubt)).await,
    };
    match is_equal {
        Ok(true) => Comparison::Unchanged { bytes: source.size },
        Ok(false) => move_or_skip(source),
        Err(failure) => Comparison::Failed(failure),
    }
}

/// Which names the target takes for one; a directory that is yet to be made may be asked when it is.
async fn target_folding(transfer: &Transfer) -> Result<Folding, StoreError> {
    let access = target_access(transfer);
    match transfer.at_target(transfer.target.folding(access)).await {
        Err(error) if is_absence(&transfer.spec, &error) => Ok(Folding::NONE),
        folding => folding,
    }
}

/// In which steps the target keeps times.
pub(super) async fn target_step(transfer: &Transfer) -> Result<MtimeStep, StoreError> {
    transfer.at_target(transfer.target.mtime_step(target_access(transfer))).await
}

/// What may be done at the target to find out how it keeps things.
fn target_access(transfer: &Transfer) -> Access {
    if transfer.spec.policy.dry_run { Access::Read } else { Access::Write }
}

/// Whether what went wrong at the target says only that a directory is not there, which the job would
/// have made if it were not a dry run. A bucket is made by nobody.
pub fn is_absence(spec: &JobSpec, error: &StoreError) -> bool {
    let is_directory = matches!(spec.target, Location::Path(_) | Location::Node { .. });
    spec.policy.dry_run && is_directory && error.code == ErrorCode::LocationMissing
}

/// What is to become of an object that the target does not hold.
fn move_or_skip(source: &Entry) -> Comparison {
    match source.is_archived {
        true => Comparison::Skipped(SkipReason::Archived { bytes: source.size }),
        false => Comparison::Move,
    }
}

/// Whether two objects are told by their content. What is in an archive is told by its description.
fn is_by_content(transfer: &Transfer, source: &Entry, target: &Entry) -> bool {
    let is_readable = !source.is_archived && !target.is_archived;
    transfer.spec.policy.comparison == By::Content && is_readable
}

/// Whether what was listed of two objects of one size is enough to say that they are the same.
fn is_equal_at_a_glance(
    transfer: &Transfer,
    step: MtimeStep,
    source: &Entry,
    target: &Entry,
) -> bool {
    !is_by_content(transfer, source, target) && is_listed_alike(transfer, step, source, target)
}

/// Whether what was listed says that two objects of one size are the same.
fn is_listed_alike(transfer: &Transfer, step: MtimeStep, source: &Entry, target: &Entry) -> bool {
    if transfer.target.capabilities().keeps_mtime {
        return is_same_time(source.mtime_ns, target.mtime_ns, step);
    }
    matches!((&source.version, &target.version), (Version::ETag(here), Version::ETag(there))
        if here == there && is_md5(here))
}

/// Whether two objects of one size are the same that a glance has not shown to be.
async fn is_equal(
    transfer: &Transfer,
    step: MtimeStep,
    source: &Entry,
    target: &Entry,
    means: Means,
) -> Result<bool, Failure> {
    if is_by_content(transfer, source, target) {
        // Rare, and large.
        return Box::pin(content::is_equal(transfer, source, target, means)).await;
    }
    is_recorded(transfer, step, source, target).await
}

/// Whether an object that was left in doubt, of the size of its source, is the wanted one after all.
async fn is_proven(
    transfer: &Transfer,
    step: MtimeStep,
    source: &Entry,
    target: &Entry,
    (means, doubt): (Means, Doubt),
) -> Result<bool, Failure> {
    let is_readable = !source.is_archived && !target.is_archived;
    if doubt == Doubt::Object
        || !is_readable
        || !is_recorded(transfer, step, source, target).await?
    {
        return Ok(false);
    }
    let is_equal = Box::pin(content::is_equal(transfer, source, target, means)).await?;
    if is_equal {
        transfer.settle(vec![target.key.clone()]).await;
    }
    Ok(is_equal)
}

/// Whether an object of the target counts as what `source` is, by what was recorded of it there, whatever
/// its content.
pub(super) async fn is_recorded(
    transfer: &Transfer,
    step: MtimeStep,
    source: &Entry,
    target: &Entry,
) -> Result<bool, Failure> {
    if is_listed_alike(transfer, step, source, target) {
        return Ok(true);
    }
    if transfer.target.capabilities().keeps_mtime {
        return is_equal_by_time(transfer, step, source, target).await;
    }
    let info = transfer.target.stat(&target.key).await?;
    let recorded = info.and_then(|info| info.attributes.source_fingerprint);
    Ok(recorded.is_some_and(|fingerprint| fingerprint == source.fingerprint()))
}

/// At a store that keeps times, which differ: the time that the source's attributes say, which for an
/// object that was copied from a file is the file's.
async fn is_equal_by_time(
    transfer: &Transfer,
    step: MtimeStep,
    source: &Entry,
    target: &Entry,
) -> Result<bool, Failure> {
    if transfer.source.keeps_mtime().await? {
        return Ok(false);
    }
    let info = transfer.source.stat(&source.key).await?;
    let mtime = info.and_then(|info| info.attributes.mtime_ns);
    Ok(is_same_time(mtime, target.mtime_ns, step))
}

/// Whether two times are known, and one at a place that keeps them in such steps.
fn is_same_time(one: Option<i64>, other: Option<i64>, step: MtimeStep) -> bool {
    one.zip(other).is_some_and(|(one, other)| step.is_same(one, other))
}

/// Whether an ETag is the MD5 of the content: stores give other values to multipart objects.
fn is_md5(tag: &str) -> bool {
    tag.len() == 32 && tag.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_compared_in_the_steps_that_the_target_keeps() {
        let second = MtimeStep::down(1_000_000_000);
        assert!(is_same_time(Some(1_500_000_000), Some(1_000_000_000), second));
        assert!(!is_same_time(Some(1_500_000_000), Some(1_000_000_000), MtimeStep::EXACT));
        for step in [MtimeStep::EXACT, second] {
            assert!(!is_same_time(None, None, step) && !is_same_time(Some(1), None, step));
        }
    }
}
