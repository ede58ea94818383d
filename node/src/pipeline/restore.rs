//! Restoring what lies in an archive of the source, where the job wants that.

use airlift_protocol::manifest::{Entry, Kind};
use airlift_protocol::report::{Comparison, SkipReason};

use super::Transfer;
use crate::store::Restored;

/// Asks that the entries that were left out because they lie in an archive be restored. Those that can be
/// read by now are moved; the others are looked at again by the job's next run, and hold up nothing
/// meanwhile. A dry run asks for nothing: that costs.
pub(super) async fn restore(
    transfer: &Transfer,
    entries: &[Entry],
    comparisons: &mut [Option<Comparison>],
) {
    let policy = &transfer.spec.policy;
    let Some(wanted) = policy.restore.filter(|_| !policy.dry_run) else { return };
    let is_archived = |comparison: &Option<Comparison>| {
        matches!(comparison, Some(Comparison::Skipped(SkipReason::Archived { .. })))
    };
    // Nothing but objects has bytes that could be restored.
    let is_object = |place: usize| entries[place].kind == Kind::Object;
    let places: Vec<usize> = (0..entries.len())
        .filter(|&place| is_archived(&comparisons[place]) && is_object(place))
        .collect();
    if places.is_empty() {
        return;
    }
    let asked = places.iter().map(|&place| entries[place].clone()).collect();
    let answers = transfer.source.restore(asked, wanted).await;
    for (place, answer) in places.into_iter().zip(answers) {
        let bytes = entries[place].size;
        comparisons[place] = Some(match answer {
            Ok(Restored::Readable) => Comparison::Move,
            Ok(Restored::UnderWay) => Comparison::Skipped(SkipReason::Restoring { bytes }),
            Err(error) => Comparison::Failed(error.into()),
        });
    }
}
