//! What a policy promises over time: shares by priority, and budgets that stop a job and lose nothing.

use airlift_protocol::attributes::AttributeSet;
use airlift_protocol::budget::{Budget, Money, Price, Prices, Spent, Usage};
use airlift_protocol::cluster::Boot;
use airlift_protocol::job::JobSpec;
use airlift_protocol::report::ObjectResult;

use super::*;

/// Bytes of a pack.
const PACK: u64 = 4 * OBJECT_BYTES;

/// Follows plans until nothing more is given out.
fn settle(site: &mut Site) {
    while !site.follow().is_empty() {}
}

#[test]
fn over_time_jobs_move_in_proportion_to_their_weights() {
    for (weights, expected) in [([10, 10], 50), ([20, 10], 66), ([50, 10], 83), ([1, 100], 10)] {
        let mut site = Site::new(4);
        let jobs = [job(&mut site, "one", weights[0], 120), job(&mut site, "two", weights[1], 120)];
        let mut moved = [0; 2];
        let mut order: Vec<(usize, AssignmentId)> = Vec::new();
        for _ in 0..100 {
            settle(&mut site);
            for (number, job) in jobs.iter().enumerate() {
                for (_, id) in site.moving(*job) {
                    if !order.contains(&(number, id)) {
                        order.push((number, id));
                    }
                }
            }
            // Whoever has worked longest is done first.
            let (number, id) = order.remove(0);
            site.finish(jobs[number], id);
            moved[number] += 1;
        }
        let share = moved[0];
        // Of eight slots, one is an eighth.
        assert!((expected - 13..=expected + 13).contains(&share), "{weights:?}: {moved:?}");
        assert!(moved.iter().all(|count| *count > 0), "{weights:?}: {moved:?}");
    }
}

fn bounded(site: &mut Site, budget: Budget) -> JobId {
    let policy = Policy { budget, ..Policy::default() };
    site.job([bucket("source"), bucket("target")], policy, 40)
}

#[test]
fn a_budget_of_bytes_stops_a_job_before_it_is_exceeded_and_more_of_it_lets_it_go_on() {
    let mut site = Site::new(3);
    let budget = Budget { bytes: Some(5 * PACK + 1), ..Budget::default() };
    let job = bounded(&mut site, budget);
    let mut finished = 0;
    loop {
        settle(&mut site);
        let Some((_, id)) = site.moving(job).first().copied() else { break };
        assert!(finished + site.moving(job).len() <= 5, "no more is given out than there is");
        // What nodes say of it comes later.
        site.finish(job, id);
        finished += 1;
    }
    assert_eq!(finished, 5);
    let plan = site.plan();
    assert_eq!((plan.grants.len(), &plan.exhausted[..]), (0, &[(job, 1, PACK)][..]));
    let exhaust = Command::Exhaust { job, run: 1, bytes: PACK, at: site.now };
    // The listing, of which nothing can be moved any more, ends as well.
    assert!(site.apply(exhaust).contains(&Fact::Rested(job)));
    let rests = &site.state.jobs[&job];
    let why = rests.paused_by.as_ref().unwrap();
    assert_eq!(why.code, ErrorCode::OverBudget);
    assert!(why.detail().starts_with("1 B of the budget of 160.0 MiB"), "{why}");
    assert!(site.plan().exhausted.is_empty() && site.plan().grants.is_empty());
    // Neither the same budget again nor time changes anything.
    site.apply(Command::TryAgain { job });
    site.apply(Command::SetBudget { job, budget });
    assert!(site.state.jobs[&job].is_paused);
    site.apply(Command::SetBudget { job, budget: Budget::default() });
    settle(&mut site);
    assert!(!site.moving(job).is_empty(), "it goes on where it was");
}

#[test]
fn a_budget_of_money_stops_a_job_by_the_prices_that_came_with_it() {
    let mut site = Site::new(3);
    let source = Price { egress_per_gb: Money(1_000_000), requests_per_1000: Money(1_000_000) };
    let prices = Prices { source, target: Price::default() };
    // Three packs cost 0.10.
    let job =
        bounded(&mut site, Budget { money: Some((Money(105_000), prices)), ..Budget::default() });
    settle(&mut site);
    assert_eq!(site.moving(job).len(), 3);
    // Requests cost as well.
    let usage = Usage { source_requests: 106, ..Usage::default() };
    let words = vec![(node(1), Boot(1), Spent { job, since: Timestamp(1), usage })];
    let facts = site.apply(Command::Spend { words, at: site.now });
    assert!(facts.contains(&Fact::Rested(job)), "{facts:?}");
    assert!(site.moving(job).is_empty(), "what was under way is taken back");
    let why = site.state.jobs[&job].paused_by.clone().unwrap();
    assert!(why.detail().starts_with("0.106 of the budget of 0.105 is used"), "{why}");
}

#[test]
fn what_a_node_that_died_had_to_do_counts_as_read() {
    let mut site = Site::new(3);
    let job = bounded(&mut site, Budget { bytes: Some(10 * PACK), ..Budget::default() });
    settle(&mut site);
    let held = site.moving(job).iter().filter(|(of, _)| *of == node(2)).count() as u64;
    assert!(held > 0);
    site.apply(Command::VoidLeases { node: node(2) });
    assert_eq!(site.state.jobs[&job].used().source_bytes, held * PACK);
    // It was not dead, and says what it has read: it counts twice rather than never.
    let usage = Usage { source_bytes: 7, ..Usage::default() };
    let words = vec![(node(2), Boot(1), Spent { job, since: Timestamp(1), usage })];
    site.apply(Command::Spend { words, at: site.now });
    assert_eq!(site.state.jobs[&job].used().source_bytes, held * PACK + 7);
}

fn spend(site: &mut Site, job: JobId, usage: Usage) -> Vec<Fact> {
    let words = vec![(node(1), Boot(1), Spent { job, since: Timestamp(1), usage })];
    site.apply(Command::Spend { words, at: site.now })
}

#[test]
fn a_job_that_used_its_budget_goes_on_with_more_of_it_only() {
    let mut site = Site::new(3);
    let job = bounded(&mut site, Budget { requests: Some(10), ..Budget::default() });
    spend(&mut site, job, Usage { source_requests: 10, ..Usage::default() });
    assert!(site.state.jobs[&job].is_over_budget());
    let facts = site.apply(Command::Resume { job });
    let [Fact::Refused(failure)] = &facts[..] else { panic!("{facts:?}") };
    assert!(failure.detail().contains("raise the budget first"), "{failure}");
    // Who only wants to watch it, or to know what it would do, lifts nothing.
    let spec = site.state.jobs[&job].spec.clone();
    let bare = JobSpec { policy: Policy::default(), ..spec.clone() };
    let mut dry = spec.clone();
    dry.policy.budget.requests = Some(999);
    dry.policy.dry_run = true;
    for watcher in [bare, dry] {
        site.apply(Command::Submit { spec: Box::new(watcher), at: site.now });
        assert!(site.state.jobs[&job].is_over_budget());
        assert_eq!(site.state.jobs[&job].spec, spec);
    }
    let mut raised = spec;
    raised.policy.budget.requests = Some(11);
    site.apply(Command::Submit { spec: Box::new(raised), at: site.now });
    assert!(site.state.jobs[&job].is_active());
}

#[test]
fn the_next_run_of_a_job_that_used_its_budget_is_given_nothing() {
    let mut site = Site::new(3);
    let job = bounded(&mut site, Budget { requests: Some(10), ..Budget::default() });
    spend(&mut site, job, Usage { source_requests: 10, ..Usage::default() });
    let failure = Failure::new(ErrorCode::Bug, "broken");
    site.apply(Command::Stop { job, failure, at: site.now });
    let spec = Box::new(site.state.jobs[&job].spec.clone());
    site.apply(Command::Submit { spec, at: site.now });
    let plan = site.plan();
    assert_eq!((plan.grants.len(), &plan.exhausted[..]), (0, &[(job, 2, 0)][..]));
    let exhaust = Command::Exhaust { job, run: 2, bytes: 0, at: site.now };
    assert_eq!(site.apply(exhaust), [Fact::Rested(job)]);
}

#[test]
fn what_a_service_copies_by_itself_counts_as_read() {
    let mut site = Site::new(3);
    let job = bounded(&mut site, Budget { bytes: Some(100 * PACK), ..Budget::default() });
    settle(&mut site);
    let (_, id) = site.moving(job)[0];
    let Task::Pack(_, indices) = &site.lease(job, id).task else { panic!("a pack") };
    let copied = ObjectResult::Copied { bytes: OBJECT_BYTES, dropped: AttributeSet::NONE };
    let results = vec![copied; indices.len()];
    let bytes = OBJECT_BYTES * indices.len() as u64;
    site.report(job, id, Completion::PackMoved(results));
    assert_eq!(site.state.jobs[&job].used().source_bytes, bytes);
}

#[test]
fn shards_are_given_out_in_order_whatever_the_budget_has_room_for() {
    let mut site = Site::new(3);
    let budget = Budget { bytes: Some(60 << 20), ..Budget::default() };
    let policy = Policy { budget, ..Policy::default() };
    // Of its shards only the third, of 50 MiB, is within what is left.
    let job = site.job_of([bucket("source"), bucket("target")], policy, &[178 << 20]);
    for id in site.follow() {
        assert!(matches!(site.lease(job, id).task, Task::Open(..)));
        site.report(job, id, Completion::Opened(UploadToken("upload".into())));
    }
    assert!(site.follow().is_empty());
    assert_eq!(site.plan().exhausted, [(job, 1, 64 << 20)]);
}
