//! Clusters of coordinators and agents: what must come out whatever the network, the disks and
//! sudden deaths do.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

#[path = "cluster/random.rs"]
mod random;
#[path = "cluster/work.rs"]
mod work;
#[path = "cluster/world.rs"]
mod world;

use std::collections::BTreeSet;

use airlift_coordinator::command::Founding;
use airlift_coordinator::consensus::TransferError;
use airlift_coordinator::state::{JoinToken, Phase};
use airlift_coordinator::{Answer, Request};
use airlift_protocol::cluster::{Addresses, ClusterId, Member, NodeName, Role, Secret, TokenId};
use airlift_protocol::control::JoinRequest;
use airlift_protocol::error::{ErrorCode, Failure};
use airlift_protocol::id::{JobId, NodeId};
use airlift_protocol::job::{DeleteLimit, Filters, JobSpec, Mode, Policy, Priority};
use airlift_protocol::key::Key;
use airlift_protocol::location::Location;
use airlift_protocol::once::SubmitKey;
use airlift_protocol::raft::RaftId;
use airlift_protocol::time::Timestamp;
use airlift_protocol::version::Formats;

use self::work::{EXTRA, OBJECTS};
use self::world::{Faults, Process, SLOW_MS, World};

const CLUSTER: ClusterId = ClusterId([3; 16]);
const WALL_START: u64 = 1_700_000_000_000;

fn node(number: u8) -> NodeId {
    NodeId([number; 32])
}

fn name(number: u8) -> NodeName {
    NodeName::parse(&format!("n{number}")).unwrap()
}

fn founding(cluster: ClusterId) -> Request {
    let founder = Member {
        id: node(1),
        name: name(1),
        role: Role::Voter,
        raft: Some(RaftId(1)),
        addresses: Addresses::default(),
        joined_at: Timestamp(WALL_START),
        formats: Formats::BUILD,
    };
    Request::Found(Box::new(Founding { cluster, founder, admin: [0; 32] }))
}

fn founded(seed: u64) -> World {
    let mut world = World::new(seed);
    world.add(node(1), RaftId(1), true);
    assert_eq!(world.ask(&founding(CLUSTER)), Answer::Done);
    world
}

/// Lets a node join; it is a voter when it has caught up.
fn join(world: &mut World, number: u8) {
    let (id, secret) = (TokenId([number; 8]), Secret([number; 32]));
    let token = JoinToken {
        secret_hash: secret.hash(),
        role: Role::Voter,
        expires_at: Timestamp(WALL_START + 3_600_000),
        used_by: None,
    };
    assert_eq!(world.ask(&Request::IssueToken(id, token)), Answer::Done);
    let request = JoinRequest {
        cluster: CLUSTER,
        token: id,
        secret,
        name: name(number),
        addresses: Addresses::default(),
        at: Timestamp(WALL_START + world.now),
        version: String::new(),
        formats: Formats::BUILD,
    };
    assert_eq!(world.ask(&Request::Join(node(number), Box::new(request))), Answer::Done);
    world.run_until(60_000, "a leader", |world| world.leader().is_some());
    let leader = world.process(world.leader().unwrap()).unwrap();
    let cluster = leader.coordinator.state().cluster.as_ref().unwrap();
    let raft = cluster.members[&node(number)].raft.unwrap();
    world.add(node(number), raft, false);
}

/// The voters as the leader knows them, unless they are changing.
fn voters(world: &World) -> Option<BTreeSet<RaftId>> {
    let leader = world.process(world.leader()?)?;
    let configuration = leader.coordinator.consensus()?.status().configuration;
    (!configuration.is_joint()).then_some(configuration.voters)
}

fn run_until_voters(world: &mut World, expected: &[u64]) {
    let expected: BTreeSet<RaftId> = expected.iter().copied().map(RaftId).collect();
    world.run_until(120_000, "the voters are as they should be", |world| {
        voters(world).as_ref() == Some(&expected)
    });
}

fn three(seed: u64) -> World {
    three_with(seed, Faults::NONE)
}

fn three_with(seed: u64, faults: Faults) -> World {
    let mut world = founded(seed);
    world.faults = faults;
    join(&mut world, 2);
    join(&mut world, 3);
    run_until_voters(&mut world, &[1, 2, 3]);
    world
}

fn submit(world: &mut World, target: &str) -> JobId {
    submit_with(world, target, Mode::Copy, Filters::default())
}

fn submit_with(world: &mut World, target: &str, mode: Mode, filters: Filters) -> JobId {
    let spec = spec(target, mode, filters);
    let id = spec.id();
    assert_eq!(world.ask(&Request::Submit(Box::new(spec))), Answer::Done);
    id
}

fn spec(target: &str, mode: Mode, filters: Filters) -> JobSpec {
    let bucket = |bucket: &str| Location::Bucket {
        scheme: "s3".to_owned(),
        bucket: bucket.to_owned(),
        prefix: Key::default(),
    };
    JobSpec {
        mode,
        source: bucket("source"),
        target: bucket(target),
        single: None,
        filters,
        policy: Policy::default(),
    }
}

fn has_ended(world: &World, job: JobId) -> bool {
    world.job(job).is_some_and(|job| !job.is_running())
}

/// Every object came to its end once, and every replica says so.
fn check_whole(world: &mut World, job: JobId) {
    world.run_until(60_000, "all replicas agree", |world| {
        let states = world
            .nodes
            .values()
            .filter_map(|node| Some(node.process.as_ref()?.coordinator.state()));
        let states: Vec<_> = states.collect();
        states.windows(2).all(|pair| pair[0] == pair[1])
    });
    let ended = world.job(job).unwrap();
    assert_eq!((ended.phase, &ended.failure), (Phase::Ended, &None));
    let (objects, bytes) = (ended.totals.objects, ended.totals.bytes);
    assert_eq!((objects.total, objects.done), (OBJECTS, OBJECTS));
    let deleted = if ended.spec.mode == Mode::Sync { EXTRA } else { 0 };
    assert_eq!((objects.deleted, ended.deletes_refused), (deleted, false));
    let expected = OBJECTS * world.object_bytes;
    assert_eq!((bytes.total, bytes.done), (expected, expected));
    assert!(ended.leases.is_empty());
    // What is on disk may lag behind by a write.
    world.run_for(1_000);
    world.assert_pages_are_everywhere();
}

#[test]
fn a_cluster_grows_from_one_voter_by_snapshots() {
    for seed in 0..20 {
        let mut world = three(seed);
        assert!(world.snapshots_saved >= 1 && world.snapshots_fetched >= 2);
        let job = submit(&mut world, "target");
        let over = |world: &World| {
            let leader = world.process(world.leader().unwrap()).unwrap();
            leader.coordinator.over([job, JobId([9; 16])])
        };
        assert!(over(&world).is_empty());
        world.run_until(60_000, "the job ends", |world| has_ended(world, job));
        check_whole(&mut world, job);
        assert_eq!(over(&world), [(job, 1)]);
        let refused = world.ask(&founding(ClusterId([4; 16])));
        assert!(matches!(refused, Answer::Refused(failure) if failure.code == ErrorCode::Conflict));
    }
}

#[test]
fn who_dies_while_it_joins_joins_when_it_is_back() {
    for seed in 600..650 {
        let mut world = founded(seed);
        world.faults = Faults::MANY;
        for number in 2..=3 {
            join(&mut world, number);
            for _ in 0..3 {
                let pause = world.random.below(1_500);
                world.run_for(pause);
                let victim = node(1 + u8::try_from(world.random.below(number.into())).unwrap());
                world.crash(victim);
                let pause = world.random.below(500);
                world.run_for(pause);
                world.start(victim);
            }
        }
        run_until_voters(&mut world, &[1, 2, 3]);
        let job = submit(&mut world, "target");
        world.run_until(180_000, "the job ends", |world| has_ended(world, job));
        check_whole(&mut world, job);
    }
}

#[test]
fn a_state_that_nobody_could_read_is_not_saved() {
    let mut world = founded(700);
    world.compaction.state_bytes_max = 8 << 20;
    world.crash(node(1));
    world.start(node(1));
    for number in 0..9 {
        let filters = Filters { exclude: vec!["x".repeat(1 << 20)], ..Filters::default() };
        submit_with(&mut world, &format!("target-{number}"), Mode::Copy, filters);
    }
    join(&mut world, 2);
    world.run_for(3_000);
    assert_eq!((world.snapshots_too_large, world.snapshots_saved), (1, 0));
    assert_eq!(voters(&world), Some(BTreeSet::from([RaftId(1)])));
}

#[test]
fn logs_stay_short_and_lose_no_page() {
    for seed in (900..960).filter(|seed| seed % 3 == 0) {
        let mut world = three_with(seed, if seed % 2 == 0 { Faults::NONE } else { Faults::MANY });
        let mut jobs = Vec::new();
        for number in 0..6 {
            let job = submit(&mut world, &format!("target-{number}"));
            // One that misses much of it needs a snapshot, and the pages with it.
            let victim = node(1 + u8::try_from(world.random.below(3)).unwrap());
            world.crash(victim);
            world.run_until(180_000, "the job ends", |world| has_ended(world, job));
            world.start(victim);
            jobs.push(job);
        }
        for job in jobs {
            check_whole(&mut world, job);
        }
        assert!(world.longest_log() < 40, "seed {seed}: {} entries", world.longest_log());
    }
}

#[test]
fn who_joins_while_a_job_runs_goes_on_from_the_middle_of_it() {
    for seed in 100..110 {
        let mut world = founded(seed);
        join(&mut world, 2);
        let job = submit(&mut world, "target");
        let delay = world.random.below(1_500);
        world.run_for(delay);
        join(&mut world, 3);
        run_until_voters(&mut world, &[1, 2, 3]);
        // Until the others know that as well, they need a majority of the two that were before.
        world.run_for(1_000);
        world.crash(node(1));
        world.run_until(90_000, "the job ends", |world| has_ended(world, job));
        world.start(node(1));
        check_whole(&mut world, job);
    }
}

#[test]
fn a_new_leader_goes_on_with_the_leases_of_the_old_one() {
    for seed in 200..220 {
        let mut world = three(seed);
        world.faults.work_ms = 4_000;
        // Agents that were heard by the leader get work; let all of them be.
        world.run_for(5_000);
        let job = submit(&mut world, "target");
        let delay = 100 + world.random.below(6_000);
        world.run_for(delay);
        if has_ended(&world, job) {
            continue;
        }
        let old = world.leader().unwrap();
        world.crash(old);
        world.run_until(30_000, "a new leader", |world| world.leader().is_some());
        world.run_until(90_000, "the job ends", |world| has_ended(world, job));
        for (id, node) in &world.nodes {
            assert!(*id == old || node.cancelled == 0, "seed {seed}: a lease was lost");
        }
        world.start(old);
        check_whole(&mut world, job);
    }
}

#[test]
fn jobs_end_whole_whatever_happens_on_the_way() {
    for seed in 300..350 {
        let mut world = three_with(seed, Faults::MANY);
        let mode = if seed % 2 == 0 { Mode::Copy } else { Mode::Sync };
        let mut job = submit_with(&mut world, "target", mode, Filters::default());
        for round in 0..6 {
            let pause = 200 + world.random.below(3_000);
            world.run_for(pause);
            let victim = match world.leader() {
                Some(leader) if world.random.per_mille(600) => leader,
                _ => node(1 + u8::try_from(world.random.below(3)).unwrap()),
            };
            let outage = world.random.below(6_000);
            if world.random.per_mille(400) {
                world.crash(victim);
                world.run_for(outage);
                world.start(victim);
            } else if world.random.per_mille(400) {
                world.frozen = Some((victim, world.now + outage));
                world.run_for(outage);
            } else {
                world.island = Some(victim);
                world.run_for(outage);
                world.island = None;
            }
            if has_ended(&world, job) {
                check_whole(&mut world, job);
                let target = format!("target-{round}");
                job = submit_with(&mut world, &target, mode, Filters::default());
            }
        }
        world.run_until(180_000, "the job ends", |world| has_ended(world, job));
        check_whole(&mut world, job);
    }
}

#[test]
fn a_member_that_is_removed_is_out_even_if_it_leads() {
    for seed in 400..420 {
        let mut world = three(seed);
        world.run_for(5_000);
        let leader = world.leader().unwrap();
        let removed = if seed % 2 == 0 { leader } else { node(3) };
        let job = submit(&mut world, "target");
        assert_eq!(world.ask(&Request::RemoveMember(removed)), Answer::Done);
        let rest = world.nodes.iter().filter(|(id, _)| **id != removed);
        let rest: Vec<u64> = rest.map(|(_, node)| node.raft.0).collect();
        world.run_until(30_000, "the removed one does not lead", |world| {
            world.leader().is_some_and(|leader| leader != removed)
        });
        run_until_voters(&mut world, &rest);
        let orders = world.nodes[&removed].orders;
        world.run_until(90_000, "the job ends", |world| has_ended(world, job));
        let second = submit(&mut world, "second");
        world.run_until(90_000, "the job ends", |world| has_ended(world, second));
        assert_eq!(world.nodes[&removed].orders, orders, "it gets no orders");
        world.crash(removed);
        check_whole(&mut world, job);
        check_whole(&mut world, second);
    }
}

/// Two voters are a majority only together, as are three of four: also to agree that one goes.
#[test]
fn a_voter_that_is_removed_votes_until_it_is_out() {
    for seed in 1000..1030 {
        let mut world = founded(seed);
        let count = if seed % 3 == 0 { 4 } else { 2 };
        (2..=count).for_each(|number| join(&mut world, number));
        let all: Vec<u64> = (1..=u64::from(count)).collect();
        run_until_voters(&mut world, &all);
        world.run_for(5_000);
        let leader = world.leader().unwrap();
        let others: Vec<NodeId> = (1..=count).map(node).filter(|id| *id != leader).collect();
        let dead = (count == 4).then(|| others[1]);
        dead.into_iter().for_each(|dead| world.crash(dead));
        let removed = if seed % 2 == 0 { leader } else { others[0] };
        assert_eq!(world.ask(&Request::RemoveMember(removed)), Answer::Done);
        let rest = world.nodes.iter().filter(|(id, _)| **id != removed);
        let rest: Vec<u64> = rest.map(|(_, node)| node.raft.0).collect();
        run_until_voters(&mut world, &rest);
        // Until the others know that as well, they need the majority that there was before.
        world.run_for(1_000);
        world.crash(removed);
        let job = submit(&mut world, "target");
        world.run_until(90_000, "the job ends", |world| has_ended(world, job));
        dead.into_iter().for_each(|dead| world.start(dead));
        check_whole(&mut world, job);
    }
}

#[test]
fn a_leader_that_was_held_up_does_not_lead_when_it_wakes() {
    for seed in 970..990 {
        let mut world = three(seed);
        let old = world.leader().unwrap();
        let pause = 2_500 + world.random.below(20_000);
        world.frozen = Some((old, world.now + pause));
        world.run_for(pause - 1);
        let term = |world: &World, id| {
            let process: &Process = world.process(id).unwrap();
            (process.coordinator.is_deciding(), process.coordinator.consensus().unwrap().term())
        };
        let (was_deciding, before) = term(&world, old);
        assert!(was_deciding, "it does not know yet");
        // Whatever it hears first, it must not decide in its old term.
        while term(&world, old) == (true, before) {
            let now = world.now;
            world.run_for(1);
            assert!(world.now <= now + 1 && world.now < pause + 120_000);
            assert!(world.now < world.frozen.unwrap().1 + 10, "seed {seed}: it still leads");
        }
    }
}

#[test]
fn a_slow_nodes_work_is_done_by_others_and_what_it_reports_late_changes_nothing() {
    for seed in 800..803 {
        let mut world = three(seed);
        world.faults.work_ms = 400;
        // Many packs of few objects.
        world.object_bytes = 8 << 20;
        world.run_for(5_000);
        let leader = world.leader().unwrap();
        let slow = node(if leader == node(3) { 2 } else { 3 });
        world.slow = Some(slow);
        let begun = world.now;
        let job = submit(&mut world, "target");
        world.run_until(SLOW_MS * 2 / 3, "the job ends", |world| has_ended(world, job));
        assert!(world.now - begun < SLOW_MS, "seed {seed}: nobody waits for the slow one");
        check_whole(&mut world, job);
        let bytes = world.job(job).unwrap().totals.bytes;
        assert!(bytes.resent > 0, "seed {seed}: nothing was taken back");
        assert!(bytes.resent * 20 <= bytes.total, "seed {seed}: {bytes:?}");

        let (before, reports) = (world.job(job).unwrap().clone(), world.nodes[&slow].reports);
        world.run_for(SLOW_MS);
        let late = world.nodes[&slow].reports;
        assert!(late > reports, "seed {seed}: it has reported");
        world.run_for(10_000);
        assert_eq!(world.nodes[&slow].reports, late, "seed {seed}: what it reported is settled");
        assert_eq!(world.job(job).unwrap(), &before);
        // It is not lost for good.
        world.slow = None;
        let orders = world.nodes[&slow].orders;
        let next = submit(&mut world, "next");
        world.run_until(60_000, "the job ends", |world| has_ended(world, next));
        assert!(world.nodes[&slow].orders > orders, "seed {seed}: it gets work again");
        check_whole(&mut world, next);
    }
}

/// Its leases stay on record. What was ordered because of them would be reported, and settled by nothing.
#[test]
fn nothing_is_written_any_more_once_every_job_has_ended_or_stopped() {
    for seed in 1_000..1_010 {
        let mut world = three_with(seed, if seed % 2 == 0 { Faults::NONE } else { Faults::MANY });
        world.faults.work_ms = 4_000;
        world.run_for(5_000);
        let other = submit(&mut world, "other");
        let stopped = submit(&mut world, "stopped");
        let delay = world.random.below(6_000);
        world.run_for(delay);
        let failure = Failure::new(ErrorCode::NoSpace, "full");
        assert_eq!(world.ask(&Request::Stop(stopped, failure)), Answer::Done);
        world.run_until(180_000, "the other ends", |world| has_ended(world, other));
        // Whoever has not heard of it yet, and what is on its way.
        world.run_for(10_000);
        let last = |world: &World| {
            let consensus = world.process(world.leader()?)?.coordinator.consensus()?;
            Some((consensus.term(), consensus.last()))
        };
        let before = last(&world);
        world.run_for(60_000);
        assert_eq!(last(&world), before, "seed {seed}");
    }
}

#[test]
fn the_only_voter_cannot_leave() {
    let mut world = founded(500);
    let answer = world.ask(&Request::RemoveMember(node(1)));
    assert!(matches!(answer, Answer::Refused(failure) if failure.code == ErrorCode::Conflict));
}

#[test]
fn a_leader_that_ends_hands_over_to_a_voter_that_lives() {
    for seed in 800..820 {
        let mut world = three(seed);
        world.run_for(5_000);
        let leader = world.leader().unwrap();
        let others: Vec<NodeId> = (1..=3).map(node).filter(|id| *id != leader).collect();
        let (dead, alive) = match seed % 2 {
            0 => (others[0], others[1]),
            _ => (others[1], others[0]),
        };
        world.crash(dead);
        // Nothing was written meanwhile: by its log the dead one would do as well.
        world.run_for(6_000);
        let raft = world.nodes[&alive].raft;
        assert_eq!(world.hand_over(leader, &BTreeSet::new()), Ok(raft));
        // Without being handed over, the lead would be missed after a second at the earliest.
        world.run_until(500, "another one leads", |world| world.leader() == Some(alive));
        let refused = world.hand_over(leader, &BTreeSet::new());
        assert!(matches!(refused, Err(TransferError::NotLeader(_))), "{refused:?}");
    }
}

#[test]
fn nobody_takes_the_lead_of_the_only_voter() {
    let mut world = founded(820);
    assert_eq!(world.hand_over(node(1), &BTreeSet::new()), Err(TransferError::Nobody));
    let mut world = three(821);
    let leader = world.leader().unwrap();
    let tried = [1, 2, 3].map(RaftId).into();
    assert_eq!(world.hand_over(leader, &tried), Err(TransferError::Nobody));
}

#[test]
fn a_read_writes_nothing_and_any_number_share_a_question() {
    for seed in 830..834 {
        let mut world = if seed % 2 == 0 { three(seed) } else { founded(seed) };
        world.run_for(5_000);
        let leader = world.leader().unwrap();
        let last = |world: &World| {
            let consensus = world.process(leader).unwrap().coordinator.consensus().unwrap();
            consensus.status().last
        };
        let before = last(&world);
        // More than consensus takes at once.
        let reads: Vec<_> = (0..2_000).map(|_| world.request(leader, Request::Read)).collect();
        world.run_for(100);
        assert!(reads.iter().all(|id| world.answer(*id) == Some(&Answer::Done)));
        assert_eq!(last(&world), before);
    }
}

#[test]
fn who_cannot_reach_a_majority_answers_no_read() {
    for seed in 840..860 {
        let mut world = three(seed);
        world.run_for(5_000);
        let old = world.leader().unwrap();
        world.island = Some(old);
        // It leads, as far as it knows.
        assert!(world.process(old).unwrap().coordinator.is_deciding());
        let delay = world.random.below(900);
        world.run_for(delay);
        let read = world.request(old, Request::Read);
        assert_eq!(world.answer(read), None);
        world.run_until(10_000, "the others have a leader", |world| world.leader().is_some());
        submit(&mut world, "target");
        world.run_for(5_000);
        assert_eq!(world.answer(read), Some(&Answer::NotLeader), "seed {seed}");
        let late = world.request(old, Request::Read);
        assert_eq!(world.answer(late), Some(&Answer::NotLeader));
    }
}

/// Whatever happens: a read that is confirmed sees every job that was acknowledged before it was
/// asked.
#[test]
fn no_read_is_stale() {
    let mut confirmed = 0;
    for seed in 860..880 {
        let mut world = three_with(seed, Faults::MANY);
        let mut jobs = Vec::new();
        for round in 0..8 {
            let victim = node(1 + u8::try_from(world.random.below(3)).unwrap());
            world.island = world.random.per_mille(700).then_some(victim);
            jobs.push(submit(&mut world, &format!("target-{round}")));
            let reads =
                [1, 2, 3].map(|number| (node(number), world.request(node(number), Request::Read)));
            for _ in 0..300 {
                world.run_for(10);
                for (id, read) in reads {
                    if world.answer(read) == Some(&Answer::Done) {
                        confirmed += 1;
                        let state = world.process(id).unwrap().coordinator.state();
                        assert!(jobs.iter().all(|job| state.jobs.contains_key(job)), "seed {seed}");
                    }
                }
            }
        }
    }
    assert!(confirmed > 0);
}

#[test]
fn a_job_that_has_not_ended_takes_no_other_options() {
    let mut world = founded(1);
    let wanted = spec("target", Mode::Sync, Filters::default());
    let submit = |spec: &JobSpec| Request::Submit(Box::new(spec.clone()));
    assert_eq!(world.ask(&submit(&wanted)), Answer::Done);
    let mut other = wanted.clone();
    other.policy.max_delete = Some(DeleteLimit::Count(1));
    other.policy.priority = Priority::LOW;
    let once = |key| Request::SubmitOnce(Box::new(other.clone()), key);
    let key = SubmitKey { name: [1; 16], of: [2; 16] };
    for request in [submit(&other), once(key)] {
        let Answer::Refused(failure) = world.ask(&request) else { panic!("{request:?}") };
        assert_eq!(failure.code, ErrorCode::Conflict);
        assert!(failure.detail().contains("(deletions, priority)"), "{failure}");
    }
    assert_eq!(world.job(wanted.id()).unwrap().spec.policy.max_delete, None);
    // The same is watched, and a budget is the job's from then on.
    assert_eq!(world.ask(&submit(&wanted)), Answer::Done);
    let mut bounded = wanted.clone();
    bounded.policy.budget.bytes = Some(1 << 40);
    assert_eq!(world.ask(&submit(&bounded)), Answer::Done);
    assert_eq!(world.job(wanted.id()).unwrap().spec.policy.budget.bytes, Some(1 << 40));
    // Once it has ended, its next run is another matter; and whoever repeats that is told what came of it.
    assert_eq!(world.ask(&Request::Cancel(wanted.id())), Answer::Done);
    world.run_until(60_000, "the job is cancelled", |world| has_ended(world, wanted.id()));
    assert_eq!(world.ask(&once(key)), Answer::Done);
    assert_eq!(world.ask(&once(key)), Answer::Done);
    assert_eq!(world.job(wanted.id()).unwrap().run, 2);
}
