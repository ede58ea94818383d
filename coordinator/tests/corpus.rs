//! What fuzzing found worth keeping, as ordinary tests (docs/testing.md).

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

#[path = "corpus/log.rs"]
mod log;
#[path = "corpus/member.rs"]
mod member;
#[path = "corpus/raft.rs"]
mod raft;
#[path = "../../fuzz/replay.rs"]
mod replay;

use airlift_coordinator::state::Phase;
use airlift_protocol::cluster::{Address, Addresses};
use airlift_protocol::control::Heartbeat;
use airlift_protocol::id::{AssignmentId, PageId};
use airlift_protocol::key::Key;
use airlift_protocol::limits::{OBJECT_BYTES_MAX, PACK_OBJECTS_MAX};
use airlift_protocol::manifest::{Entry, Kind, Version};
use airlift_protocol::report::{ChangedObject, Completion, ObjectResult, Unreadable};

use self::member::{World, heartbeat, spec};

#[test]
fn logs_of_the_corpus_are_applied_to_their_end() {
    replay::corpus("log", log::apply);
}

#[test]
fn a_member_of_the_corpus_does_not_stop_the_leader() {
    replay::corpus("member", member::member);
}

#[test]
fn a_voter_of_the_corpus_does_not_stop_its_group() {
    replay::corpus("raft", raft::group);
}

fn entry(size: u64) -> Entry {
    let key = Key::new(vec![b'k'; 2021]);
    Entry {
        key,
        kind: Kind::Object,
        size,
        mtime_ns: None,
        version: Version::None,
        is_archived: false,
    }
}

#[test]
fn a_listing_with_an_object_beyond_the_limit_stops_its_job_and_nothing_else() {
    for size in [OBJECT_BYTES_MAX + 1, 1 << 59, u64::MAX] {
        let mut world = World::new();
        let list = world.orders[0].clone();
        let entries = vec![entry(size); 2];
        world.answer(
            &list,
            Ok(Completion::Page { page: PageId(0), entries, unreadable: Unreadable::default() }),
        );
        let job = &world.leader.state().jobs[&spec().id()];
        assert_eq!(job.phase, Phase::Stopped);
        let failure = job.failure.as_ref().expect("a reason");
        assert!(failure.detail().contains("listed what cannot be"), "{failure}");
        assert_eq!(job.totals.bytes.total, 0);
    }
}

#[test]
fn the_longest_report_that_a_member_can_send_does_not_damage_the_log() {
    let changed = ChangedObject { bytes_before: 1, entry: entry(1) };
    let completion = Completion::PackMoved(vec![ObjectResult::Changed(changed); PACK_OBJECTS_MAX]);
    let mut world = World::new();
    let list = world.orders[0].clone();
    world.answer(&list, Ok(completion));
    assert!(!world.leader.is_damaged(), "an entry of the log cannot be read back");
    assert_eq!(world.leader.state().jobs[&spec().id()].phase, Phase::Stopped, "it was read");
}

#[test]
fn a_node_that_moves_at_every_sign_of_life_writes_the_log_a_few_times_only() {
    let mut world = World::new();
    let last = |world: &World| world.leader.consensus().unwrap().status().last.0;
    let before = last(&world);
    for turn in 0..50 {
        let data = vec![Address(format!("192.0.2.1:{turn}"))];
        world.beat(Heartbeat {
            addresses: Addresses { data, ..Addresses::default() },
            ..heartbeat(1)
        });
    }
    let after = last(&world);
    assert!((before + 1..=before + 8).contains(&after), "from {before} to {after}");
    let data = vec![Address("x".repeat(40_000))];
    world.pass(60_000);
    let after = last(&world).max(after);
    world.beat(Heartbeat { addresses: Addresses { data, ..Addresses::default() }, ..heartbeat(1) });
    assert_eq!(last(&world), after, "addresses that no node has");
}

#[test]
fn orders_that_a_node_only_claims_to_hold_are_taken_back_a_few_at_a_time() {
    let mut world = World::new();
    let held = (1000..11_000).map(AssignmentId).collect();
    world.beat(Heartbeat { held, ..heartbeat(1) });
    assert!((1..=256).contains(&world.revoked), "{} orders", world.revoked);
}

#[test]
fn a_node_has_no_more_slots_than_a_node_can_have() {
    let mut world = World::new();
    world.beat(Heartbeat { slots: u32::MAX, version: "v".repeat(9000), ..heartbeat(1) });
    let views = world.leader.inventory().nodes();
    let most = views.map(|(_, view)| (view.slots, view.version.len())).max().unwrap();
    assert_eq!(most, (256, 64));
}
