//! Who is slow, and what is taken back from it.

use airlift_protocol::job::Policy;
use airlift_protocol::location::Location;
use airlift_protocol::units::ByteRate;

use super::super::fixture::{OBJECT_BYTES, Site, bucket, node, on};
use super::*;
use crate::command::Command;

/// Milliseconds between signs of life.
const BEAT_MS: u64 = 2_000;

fn buckets() -> [Location; 2] {
    [bucket("source"), bucket("target")]
}

/// Three nodes move a job; the first one writes `slow` bytes between two signs of life, the others
/// four packs, until nothing is left but what the first one holds.
fn with_a_slow_node(ends: [Location; 2], policy: Policy, slow: u64) -> (Site, JobId) {
    let mut site = Site::new(3);
    let job = site.job(ends, policy, 120);
    site.follow();
    for _ in 0..40 {
        site.now = site.now.plus(BEAT_MS);
        site.write(1, job, slow);
        for number in 2..=3 {
            site.write(number, job, 8 * OBJECT_BYTES);
        }
        (1..=3).for_each(|number| site.beat(number));
        for (holder, id) in site.moving(job) {
            if holder != node(1) {
                site.finish(job, id);
            }
        }
        let plan = site.plan();
        if plan.taken_back.is_empty() {
            site.grant(plan.grants);
        } else {
            break;
        }
    }
    (site, job)
}

#[test]
fn a_slow_node_loses_its_work_to_others_and_only_its_own() {
    let (mut site, job) = with_a_slow_node(buckets(), Policy::default(), 1000);
    let held = site.moving(job);
    let plan = site.plan();
    let [taken] = plan.taken_back[..] else { panic!("nothing is taken back: {plan:?}") };
    assert_eq!(site.lease(job, taken.assignment).node, node(1));
    assert_eq!(site.lease(job, taken.assignment).epoch, taken.epoch);
    assert!(held.iter().all(|(holder, _)| *holder == node(1)), "others had work left");
    take(&mut site, taken);
    let again = site.follow();
    let [again] = again[..] else { panic!("one task, one new lease") };
    assert_ne!(site.lease(job, again).node, node(1), "not to the slow one");
    assert!(site.lease(job, again).epoch > taken.epoch);
}

fn take(site: &mut Site, taken: TakeBack) {
    let lease = site.lease(taken.job, taken.assignment).clone();
    site.inventory.observed.take_back(&taken, &lease);
    let TakeBack { job, assignment, epoch } = taken;
    site.apply(Command::TakeBack { job, assignment, epoch });
}

#[test]
fn nothing_is_taken_back_that_only_its_node_can_do_or_that_goes_well() {
    let mib = 1 << 20;
    let limited = Policy { bandwidth: Some(ByteRate(1 << 30).into()), ..Policy::default() };
    for (ends, policy, slow, is_taken) in [
        (buckets(), Policy::default(), 1000, true),
        // A node's disk is reached there only.
        ([bucket("source"), on(1)], Policy::default(), 1000, false),
        ([on(2), bucket("target")], Policy::default(), 1000, true),
        // A third of what others do with one lease is slow, and no more.
        (buckets(), Policy::default(), 12 * mib, false),
        (buckets(), Policy::default(), 10 * mib, true),
        // Under a limit, somebody has to be seen to be faster.
        (buckets(), limited, 1000, true),
    ] {
        let (mut site, _) = with_a_slow_node(ends.clone(), policy, slow);
        let plan = site.plan();
        assert_eq!(!plan.taken_back.is_empty(), is_taken, "{ends:?} {slow}");
    }
}

#[test]
fn what_is_taken_back_is_bounded() {
    let (mut site, job) = with_a_slow_node(buckets(), Policy::default(), 1000);
    let total = site.state.jobs[&job].totals.bytes.total;
    let mut taken_bytes = 0;
    for _ in 0..200 {
        let plan = site.plan();
        for taken in plan.taken_back {
            taken_bytes += site.lease(job, taken.assignment).bytes;
            take(&mut site, taken);
        }
        site.follow();
        // Nobody gets anything done any more.
        site.now = site.now.plus(BEAT_MS);
        (1..=3).for_each(|number| site.beat(number));
    }
    assert!(taken_bytes > 0);
    assert!(taken_bytes <= (total / TAKEN_PART).max(TAKEN_BYTES), "{taken_bytes} of {total}");
    let taken = &site.inventory.observed.pace.taken[&job];
    assert!(taken.tasks.values().all(|times| *times <= TAKEN_MAX));
}

#[test]
fn a_lease_that_is_another_by_now_is_left_alone() {
    let (mut site, job) = with_a_slow_node(buckets(), Policy::default(), 1000);
    let taken = site.plan().taken_back[0];
    let stale = TakeBack { epoch: Epoch(taken.epoch.0 - 1), ..taken };
    let before = site.state.clone();
    for TakeBack { job, assignment, epoch } in [
        stale,
        TakeBack { assignment: AssignmentId(999), ..taken },
        TakeBack { job: JobId([9; 16]), ..taken },
    ] {
        assert_eq!(site.apply(Command::TakeBack { job, assignment, epoch }), []);
        assert_eq!(site.state, before);
    }
    let id = taken.assignment;
    take(&mut site, taken);
    assert!(site.state.jobs[&job].leases.get(id).is_none());
}

#[test]
fn memory_does_not_grow_with_what_was_done() {
    let (mut site, job) = with_a_slow_node(buckets(), Policy::default(), 1000);
    let pace = &site.inventory.observed.pace;
    assert!(pace.samples.values().all(|samples| samples.len() <= SAMPLES_MAX));
    let leases = site.state.jobs[&job].leases.len();
    assert!(pace.begun.len() <= BEGUN_SPARE + 2 * leases);
    site.apply(Command::Cancel { job });
    site.plan();
    let pace = &site.inventory.observed.pace;
    assert!(pace.begun.len() <= BEGUN_SPARE);
}
