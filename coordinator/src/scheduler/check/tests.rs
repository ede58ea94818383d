//! Each fault of a plan is found.

use airlift_protocol::id::{AssignmentId, Epoch, KeyRangeId};
use airlift_protocol::job::Policy;
use airlift_protocol::limits::PAGES_LISTED_MAX;
use airlift_protocol::units::ByteRate;

use super::super::fixture::{Site, bucket, node, on};
use super::super::shares::Pool;
use super::*;
use crate::command::Command;

fn site() -> (Site, JobId) {
    let mut site = Site::new(3);
    let job = site.job([bucket("source"), bucket("target")], Policy::default(), 40);
    (site, job)
}

/// The faults of the plan that is made once `spoil` has had its way with it.
fn faults(spoil: impl FnOnce(&mut Site, &mut Plan)) -> Vec<String> {
    let (mut site, _) = site();
    let mut plan = site.plan();
    spoil(&mut site, &mut plan);
    check(&site.state, &site.inventory, &plan)
}

fn pack(grant: &mut Grant) -> &mut Vec<u16> {
    let Task::Pack(_, indices) = &mut grant.task else { panic!("no pack") };
    indices
}

#[test]
fn each_fault_of_a_grant_is_found() {
    type Spoil = fn(&mut Site, &mut Plan);
    let spoils: [(&str, Spoil); 12] = [
        ("does not exist", |_, plan| plan.grants[0].job = JobId([9; 16])),
        ("does not run", |_, plan| plan.grants[0].run = 7),
        ("does not run", |site, plan| {
            site.apply(Command::Pause { job: plan.grants[0].job });
        }),
        ("is granted twice", |_, plan| plan.grants.push(plan.grants[0].clone())),
        ("entry 1 of", |_, plan| {
            *pack(&mut plan.grants[1]) = vec![1];
        }),
        ("does not live", |_, plan| plan.grants[0].node = node(9)),
        ("does not live", |_, plan| plan.grants[0].source = Some(node(9))),
        ("tasks with 2 slots free", |_, plan| {
            plan.grants.iter_mut().for_each(|grant| grant.node = node(2));
        }),
        ("is leased already", |site, plan| {
            site.grant(plan.grants.clone());
        }),
        ("a delete in phase", |_, plan| plan.grants[0].task = Task::Delete(PageId(0), vec![0])),
        ("to be left alone", |site, plan| {
            let (now, way) = (site.now, Way::Node(plan.grants[0].node));
            site.inventory.observed.backoff.fail(now, way);
        }),
        ("to be left alone", |site, plan| {
            let (now, grant) = (site.now, &mut plan.grants[0]);
            let source = if grant.node == node(1) { node(2) } else { node(1) };
            grant.source = Some(source);
            site.inventory.observed.backoff.fail(now, Way::Link(grant.node, source));
        }),
    ];
    assert_eq!(faults(|_, _| {}), [""; 0]);
    for (expected, spoil) in spoils {
        let found = faults(spoil);
        assert!(found.iter().any(|fault| fault.contains(expected)), "{expected}: {found:?}");
    }
}

#[test]
fn work_goes_to_those_who_reach_its_ends() {
    let mut site = Site::new(3);
    site.job([on(2), on(3)], Policy::default(), 4);
    let plan = site.plan();
    assert_eq!((plan.grants[0].node, plan.grants[0].source), (node(3), Some(node(2))));
    for (place, source) in [(node(1), Some(node(2))), (node(3), Some(node(1))), (node(3), None)] {
        let mut spoilt = plan.clone();
        (spoilt.grants[0].node, spoilt.grants[0].source) = (place, source);
        let found = check(&site.state, &site.inventory, &spoilt);
        assert!(found.iter().any(|fault| fault.contains("does not reach")), "{found:?}");
    }
}

#[test]
fn each_fault_of_what_is_taken_back_is_found() {
    let check_one = |site: &Site, taken_back: Vec<TakeBack>| {
        check(&site.state, &site.inventory, &Plan { taken_back, ..Plan::default() })
    };
    let (mut site, job) = site();
    let list = site.state.jobs[&job].leases.iter().next().unwrap().0;
    let first = site.follow()[0];
    let take = |site: &Site, assignment| {
        let epoch = site.lease(job, assignment).epoch;
        TakeBack { job, assignment, epoch }
    };
    let good = take(&site, first);
    assert_eq!(check_one(&site, vec![good]), [""; 0]);
    for (expected, taken_back) in [
        ("taken back twice", vec![good, good]),
        ("is no lease", vec![TakeBack { epoch: Epoch(0), ..good }]),
        ("is no lease", vec![TakeBack { assignment: AssignmentId(999), ..good }]),
        ("is no lease", vec![TakeBack { job: JobId([9; 16]), ..good }]),
        ("moves nothing", vec![take(&site, list)]),
    ] {
        let found = check_one(&site, taken_back);
        assert!(found.iter().any(|fault| fault.contains(expected)), "{expected}: {found:?}");
    }
    let lease = site.lease(job, first).clone();
    (0..2).for_each(|_| site.inventory.observed.pace.take(job, &lease));
    let found = check_one(&site, vec![good]);
    assert!(found.iter().any(|fault| fault.contains("too often")), "{found:?}");
}

#[test]
fn each_fault_of_a_listing_that_is_ahead_is_found() {
    let (mut site, job) = site();
    let list = site.state.jobs[&job].leases.iter().next().unwrap().0;
    let pack = site.follow()[0];
    let check_one = |site: &Site, id, epoch| {
        let ahead = vec![TakeBack { job, assignment: id, epoch }];
        check(&site.state, &site.inventory, &Plan { ahead, ..Plan::default() })
    };
    assert_eq!(check_one(&site, list, site.lease(job, list).epoch), [""; 0]);
    for (id, epoch) in [(list, Epoch(0)), (pack, site.lease(job, pack).epoch)] {
        let found = check_one(&site, id, epoch);
        assert!(found.iter().any(|fault| fault.contains("lists no source")), "{found:?}");
    }
    let mut plan = site.plan();
    plan.grants.push(Grant {
        task: Task::List(End::Source, KeyRangeId(1)),
        job,
        run: 1,
        node: node(1),
        source: None,
        bytes: 0,
        at: site.now,
    });
    let faults = |site: &Site| check(&site.state, &site.inventory, &plan);
    assert_eq!(faults(&site), [""; 0]);
    let pages = &mut site.state.jobs.get_mut(&job).unwrap().pages;
    let page = pages.values().next().unwrap().clone();
    pages.extend((0..PAGES_LISTED_MAX as u32).map(|id| (PageId(id), page.clone())));
    let found = faults(&site);
    assert!(found.iter().any(|fault| fault.contains("too far ahead")), "{found:?}");
}

#[test]
fn what_only_its_node_can_do_must_not_be_taken_back() {
    let mut site = Site::new(3);
    let job = site.job([bucket("source"), on(3)], Policy::default(), 4);
    let assignment = site.follow()[0];
    let taken = TakeBack { job, assignment, epoch: site.lease(job, assignment).epoch };
    let plan = Plan { taken_back: vec![taken], ..Plan::default() };
    let found = check(&site.state, &site.inventory, &plan);
    assert!(found.iter().any(|fault| fault.contains("nobody else can do it")), "{found:?}");
}

#[test]
fn shares_beyond_the_limit_are_found() {
    let mut site = Site::new(2);
    let limit = |site: &mut Site, rate| {
        site.apply(Command::Limit { bandwidth: Some(ByteRate(rate).into()) })
    };
    limit(&mut site, 100);
    site.job([bucket("source"), bucket("target")], Policy::default(), 40);
    site.follow();
    let mut shares = Shares::default();
    shares.look(site.now, &site.state);
    let (now, at) = (site.now, site.now);
    let demand = shares.demand(&site.state, at);
    for number in 1..=2 {
        shares.tell(site.now, node(number), None, &demand);
    }
    assert_eq!(shares.used(site.now, Pool::Total), 100);
    assert_eq!(check_shares(&site.state, &shares, (now, at)), [""; 0]);
    // What was told before a limit is lowered is used up first.
    limit(&mut site, 50);
    assert_eq!(check_shares(&site.state, &shares, (now, at)), [""; 0]);
    shares.exceed(node(1), Pool::Total);
    let found = check_shares(&site.state, &shares, (now, at));
    assert!(found.iter().any(|fault| fault.contains("and 100 allowed")), "{found:?}");
}
