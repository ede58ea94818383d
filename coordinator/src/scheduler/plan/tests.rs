//! What is given out, to whom, and when.

mod policy;

use airlift_protocol::assignment::UploadToken;
use airlift_protocol::error::{ErrorCode, Failure};
use airlift_protocol::id::AssignmentId;
use airlift_protocol::job::{Policy, Priority};
use airlift_protocol::report::Completion;

use super::super::backoff::Way;
use super::super::fixture::{OBJECT_BYTES, Site, bucket, node, on};
use super::*;
use crate::command::Command;
use crate::state::{Fact, Lease};

/// How many packs each of the nodes `1..=3` gets of a job.
fn packs(plan: &Plan, job: JobId) -> [usize; 3] {
    let is_pack = |grant: &&Grant| grant.job == job && matches!(grant.task, Task::Pack(..));
    [1, 2, 3].map(|number| {
        let grants = plan.grants.iter().filter(is_pack);
        grants.filter(|grant| grant.node == node(number)).count()
    })
}

/// A job from bucket to bucket of that many packs.
fn job(site: &mut Site, name: &str, weight: u8, packs: usize) -> JobId {
    let priority = Priority::of_weight(weight).unwrap();
    let policy = Policy { priority, ..Policy::default() };
    site.job([bucket("source"), bucket(name)], policy, 4 * packs)
}

#[test]
fn slots_are_shared_by_weight_and_nobody_starves() {
    for (weights, expected) in
        [([10, 10], [3, 3]), ([20, 10], [4, 2]), ([10, 50], [1, 5]), ([100, 1], [5, 1])]
    {
        let mut site = Site::new(3);
        let first = job(&mut site, "first", weights[0], 20);
        let second = job(&mut site, "second", weights[1], 20);
        let mut given = [0, 0];
        // Each commit leads to the next plan.
        for _ in 0..3 {
            let plan = site.plan();
            for (sum, job) in given.iter_mut().zip([first, second]) {
                *sum += packs(&plan, job).iter().sum::<usize>();
            }
            site.grant(plan.grants);
        }
        assert_eq!(given, expected, "{weights:?}");
    }
}

#[test]
fn what_one_job_cannot_use_others_get_and_a_slot_that_is_free_goes_to_who_has_least() {
    let mut site = Site::new(3);
    let high = job(&mut site, "high", 100, 1);
    let low = job(&mut site, "low", 1, 20);
    site.follow();
    site.follow();
    assert_eq!((site.moving(high).len(), site.moving(low).len()), (1, 5));
    let late = job(&mut site, "late", 10, 20);
    assert_eq!(site.plan().grants, [], "nothing is taken away");
    let freed = site.moving(low)[0].1;
    site.finish(low, freed);
    site.follow();
    assert_eq!((site.moving(late).len(), site.moving(low).len()), (1, 4));
}

/// Lets nodes 1 and 2 move a job, the second ten times as fast; nobody knows of the third.
fn with_rates(site: &mut Site) {
    let job = site.job([bucket("source"), on(1)], Policy::default(), 40);
    let other = site.job([bucket("source"), on(2)], Policy::default(), 40);
    for _ in 0..4 {
        site.follow();
        site.now = site.now.plus(2_000);
        site.write(1, job, OBJECT_BYTES);
        site.write(2, other, 10 * OBJECT_BYTES);
        (1..=3).for_each(|number| site.beat(number));
    }
    for job in [job, other] {
        site.apply(Command::Pause { job });
    }
}

#[test]
fn work_goes_to_whom_it_would_be_done_by_first() {
    let mut site = Site::new(3);
    with_rates(&mut site);
    let few = job(&mut site, "few", 10, 3);
    let plan = site.plan();
    // The fast one and the unknown one are hoped to be done with two before the slow one with one.
    let [slow, fast, unknown] = packs(&plan, few);
    assert_eq!((slow, fast + unknown), (0, 3), "{plan:?}");
    site.apply(Command::Pause { job: few });
    let many = job(&mut site, "many", 10, 20);
    let given = packs(&site.plan(), many);
    assert!(given[0] > 0, "no slot stays free while there is work: {given:?}");
}

#[test]
fn rates_are_forgotten() {
    let mut site = Site::new(3);
    with_rates(&mut site);
    site.now = site.now.plus(70_000);
    (1..=3).for_each(|number| site.beat(number));
    let few = job(&mut site, "few", 10, 3);
    assert_eq!(packs(&site.plan(), few), [1, 1, 1]);
}

#[test]
fn ways_that_failed_are_left_alone_until_their_pause_is_over() {
    for (way, paused) in [
        (Way::Node(node(1)), [0, 2, 2]),
        (Way::Link(node(1), node(2)), [0, 2, 2]),
        (Way::Link(node(3), node(2)), [2, 2, 0]),
        // Nobody reads from the first.
        (Way::Link(node(3), node(1)), [2, 2, 2]),
    ] {
        let mut site = Site::new(3);
        let id = site.job([on(2), bucket("target")], Policy::default(), 80);
        site.inventory.observed.backoff.fail(site.now, way);
        assert_eq!(packs(&site.plan(), id), paused, "{way:?}");
        site.now = site.now.plus(1_000);
        assert_eq!(packs(&site.plan(), id), [2, 2, 2], "{way:?}");
    }
}

#[test]
fn reports_of_failed_routes_lead_to_pauses_and_others_take_over() {
    let mut site = Site::new(3);
    let id = site.job([on(2), bucket("target")], Policy::default(), 80);
    site.follow();
    let fail = |site: &mut Site, assignment: AssignmentId| {
        site.answer(id, assignment, Err(Failure::new(ErrorCode::NodeLost, "gone")));
    };
    let held = site.moving(id);
    for (holder, assignment) in &held {
        match *holder == node(1) {
            true => fail(&mut site, *assignment),
            false => site.finish(id, *assignment),
        }
    }
    assert_eq!(packs(&site.plan(), id), [0, 2, 2], "its work goes to others");
    site.inventory.observed.started(node(2));
    assert_eq!(packs(&site.plan(), id), [2, 2, 2], "the other end has started anew");
}

#[test]
fn what_a_removed_node_holds_is_nobody_elses_before_it_was_silent_long_enough() {
    let mut site = Site::new(3);
    let id = job(&mut site, "target", 10, 12);
    site.follow();
    let removed = node(3);
    let held = |site: &Site| site.moving(id).iter().filter(|(of, _)| *of == removed).count();
    let before = held(&site);
    assert!(before > 0);
    site.apply(Command::RemoveMember { node: removed });
    assert_eq!(held(&site), before, "it goes on until it knows");
    assert_eq!(packs(&site.plan(), id)[2], 0, "it gets nothing new");
    site.apply(Command::VoidLeases { node: removed });
    assert_eq!(held(&site), 0);
}

#[test]
fn a_job_is_submitted_again_when_it_is_cancelled_and_not_before() {
    let mut site = Site::new(2);
    let id = job(&mut site, "target", 10, 1);
    let again = |site: &mut Site| {
        let spec = Box::new(site.state.jobs[&id].spec.clone());
        site.apply(Command::Submit { spec, at: Timestamp(9) })
    };
    assert_eq!(again(&mut site), [], "it runs");
    site.apply(Command::Cancel { job: id });
    let facts = again(&mut site);
    let [Fact::Refused(failure)] = &facts[..] else { panic!("{facts:?}") };
    assert!(failure.detail().contains("being cancelled"), "{failure}");
    let (run, from, at) = (1, Phase::Cleaning, Timestamp(9));
    site.apply(Command::Advance { job: id, run, from, at });
    assert!(again(&mut site).contains(&Fact::Started(id, 2)));
}

/// Tasks of a plan that open uploads.
fn opens(plan: &Plan) -> usize {
    plan.grants.iter().filter(|grant| matches!(grant.task, Task::Open(..))).count()
}

#[test]
fn as_many_objects_are_opened_as_keep_all_slots_busy_and_of_huge_ones_few() {
    // Ten nodes have twenty slots; an object of a GiB has sixteen shards.
    let cases = [(9 << 20, 20), (1 << 30, OBJECTS_OPEN_MIN), (70 << 20, 10)];
    for (size, expected) in cases {
        let mut site = Site::new(10);
        let ends = [bucket("source"), bucket("target")];
        let job = site.job_of(ends, Policy::default(), &[size; 100]);
        let plan = site.plan();
        assert_eq!(opens(&plan), expected, "{size}");
        for id in site.grant(plan.grants) {
            let token = UploadToken(id.0.to_string());
            site.report(job, id, Completion::Opened(token));
        }
        let plan = site.plan();
        let ranges = plan.grants.iter().filter(|grant| matches!(grant.task, Task::Range(..)));
        assert_eq!((opens(&plan), ranges.count()), (0, 20), "{size}");
    }
}

#[test]
fn more_slots_have_more_pages_in_work() {
    assert_eq!([0, 16, 128, 160, 1_000, 100_000].map(pages::active_max), [4, 4, 4, 5, 31, 64]);
}

#[test]
fn an_object_that_has_grown_is_opened_and_not_packed() {
    let mut site = Site::new(1);
    let ends = [bucket("source"), bucket("target")];
    let job = site.job_of(ends, Policy::default(), &[1_000, 1_000]);
    let page = PageKey { job, end: End::Source, page: PageId(0) };
    let mut grown = site.pages.find(page).unwrap().entries[1].clone();
    grown.size = 9 << 20;
    let position = Position { page: PageId(0), index: 1 };
    site.state.jobs.get_mut(&job).unwrap().changed.insert(position, grown);
    let plan = site.plan();
    let tasks: Vec<&Task> = plan.grants.iter().map(|grant| &grant.task).collect();
    assert!(tasks.contains(&&Task::Pack(PageId(0), vec![0])), "{tasks:?}");
    assert!(tasks.iter().any(|task| matches!(task, Task::Open(at, ..) if *at == position)));
}

/// The one lease of a job after the next plan.
fn only_lease(site: &mut Site, job: JobId) -> (AssignmentId, Task) {
    site.follow();
    let leases = &site.state.jobs[&job].leases;
    assert_eq!(leases.len(), 1);
    leases.iter().map(|(id, lease)| (id, lease.task.clone())).next().unwrap()
}

#[test]
fn an_upload_that_could_not_be_removed_is_told_and_tried_again_by_the_next_run() {
    let mut site = Site::new(1);
    let ends = || [bucket("source"), bucket("target")];
    let job = site.job_of(ends(), Policy::default(), &[64 << 20]);
    site.follow();
    let is_open = |lease: &Lease| matches!(lease.task, Task::Open(..));
    let open = site.state.jobs[&job].leases.iter().find(|(_, lease)| is_open(lease)).unwrap().0;
    site.report(job, open, Completion::Opened(UploadToken("u".to_owned())));
    for (told, result) in [
        (1, Err(Failure::new(ErrorCode::PermissionDenied, "not you"))),
        (1, Err(Failure::new(ErrorCode::PermissionDenied, "not you"))),
        (0, Ok(Completion::Discarded)),
    ] {
        let is_removed = result.is_ok();
        site.apply(Command::Cancel { job });
        let (discard, task) = only_lease(&mut site, job);
        assert!(matches!(task, Task::Discard(_)), "{task:?}");
        site.answer(job, discard, result);
        let (clean, task) = only_lease(&mut site, job);
        assert_eq!(task, Task::Clean);
        site.report(job, clean, Completion::Cleaned);
        let (_, run, from) = site.plan().advances[0];
        site.apply(Command::Advance { job, run, from, at: site.now });
        let ended = &site.state.jobs[&job];
        assert_eq!((ended.phase, ended.left_over.count), (Phase::Stopped, told));
        assert_eq!(ended.uploads.is_empty(), is_removed);
        let spec = Box::new(ended.spec.clone());
        site.apply(Command::Submit { spec, at: site.now });
    }
}

#[test]
fn what_a_stopped_job_had_given_out_is_no_load() {
    let mut site = Site::new(2);
    let stopped = site.job([bucket("source"), on(1)], Policy::default(), 40);
    site.follow();
    assert_eq!(site.moving(stopped).len(), 2);
    let failure = Failure::new(ErrorCode::NoSpace, "full");
    site.apply(Command::Stop { job: stopped, failure, at: site.now });
    assert_eq!(site.moving(stopped).len(), 2, "on record");
    let next = job(&mut site, "next", 10, 2);
    assert_eq!(packs(&site.plan(), next)[..2], [1, 1], "both are idle");
}
