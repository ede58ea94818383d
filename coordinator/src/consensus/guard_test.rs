//! Every forgery that is known to hurt the library, and many that nobody thought of.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::consensus::{Compaction, Config, Consensus, Durable, Role};

const ME: RaftId = RaftId(1);
const LEADER: RaftId = RaftId(2);

fn at(index: u64, term: u64) -> LogPosition {
    LogPosition { index: LogIndex(index), term }
}

fn configuration(voters: &[u64], learners: &[u64]) -> Configuration {
    Configuration {
        voters: voters.iter().map(|id| RaftId(*id)).collect(),
        learners: learners.iter().map(|id| RaftId(*id)).collect(),
        ..Configuration::default()
    }
}

fn says(from: u64, term: u64, body: RaftBody) -> RaftMessage {
    RaftMessage { from: RaftId(from), to: ME, term, body }
}

fn entry(index: u64, term: u64, bytes: usize) -> LogEntry {
    LogEntry { index: LogIndex(index), term, payload: LogPayload::Command(vec![7; bytes]) }
}

fn append(previous: LogPosition, entries: Vec<LogEntry>) -> RaftBody {
    RaftBody::Append { previous, commit: LogIndex(8), entries }
}

fn vote(last: LogPosition, commit: LogPosition) -> RaftBody {
    RaftBody::Vote(VoteRequest { last, commit, is_transfer: false })
}

fn snapshot(position: LogPosition, configuration: Configuration) -> RaftBody {
    let (configured, digest) = (LogIndex(1), [0; 32]);
    RaftBody::Snapshot(SnapshotRef { position, configuration, configured, digest, bytes: 1 })
}

/// Member 1 follows member 2 in term 5; its log ends at 10, of which 8 are committed.
fn verdict(from: RaftId, message: &RaftMessage, leader: RaftId) -> Result<(), Refusal> {
    let configuration = configuration(&[1, 2, 3], &[4]);
    let introduced = BTreeSet::from([RaftId(9)]);
    let view = View {
        id: ME,
        term: 5,
        term_max: 1000,
        leader: Some(leader),
        configuration: &configuration,
        introduced: &introduced,
        last: LogIndex(10),
        committed: at(8, 5),
        configured: LogIndex(6),
    };
    check(from, message, &view)
}

#[test]
fn what_an_honest_member_says_is_let_through() {
    let group = || configuration(&[1, 2, 3], &[4]);
    for (from, term, body) in [
        (2, 5, append(at(10, 5), vec![entry(11, 5, 1), entry(12, 5, 1)])),
        (2, 5, append(at(10, 5), vec![entry(11, 5, RAFT_COMMAND_BYTES_MAX)])),
        (2, 5, append(LogPosition::default(), vec![entry(1, 1, 1)])),
        (3, 6, append(at(10, 5), vec![entry(11, 6, 1)])),
        (9, 6, append(at(10, 5), vec![])),
        (9, 6, RaftBody::Heartbeat { commit: LogIndex(10), read: Some(1) }),
        (9, 6, snapshot(at(20, 5), group())),
        (2, 5, snapshot(at(8, 5), group())),
        (3, 6, vote(at(10, 5), at(8, 5))),
        (3, 6, vote(at(10, 5), at(6, 5))),
        (2, 5, RaftBody::TimeoutNow),
    ] {
        let message = says(from, term, body);
        assert_eq!(verdict(RaftId(from), &message, LEADER), Ok(()), "{message:?}");
    }
}

#[test]
fn every_known_forgery_is_refused() {
    let both = Configuration { learners: BTreeSet::from([ME]), ..configuration(&[1, 2], &[]) };
    let group = || configuration(&[1, 2, 3], &[]);
    let beat = |commit| RaftBody::Heartbeat { commit: LogIndex(commit), read: None };
    let membership =
        |change| LogEntry { index: LogIndex(11), term: 5, payload: LogPayload::Membership(change) };
    let many: Vec<LogEntry> = (11..).take(RAFT_ENTRIES_MAX + 1).map(|i| entry(i, 5, 1)).collect();
    let heavy = vec![entry(11, 5, RAFT_ENTRIES_BYTES_MAX), entry(12, 5, 1)];
    let is_entry = |index| Refusal::Entry(LogIndex(index));
    let is_at = |index, term| Refusal::Position(at(index, term));
    for (from, term, body, expected) in [
        (2, 5, beat(11), Refusal::BeyondLog(LogIndex(11))),
        (2, 5, append(at(10, 5), vec![entry(12, 5, 1)]), is_entry(12)),
        (2, 5, append(at(10, 5), vec![entry(11, 5, 1), entry(13, 5, 1)]), is_entry(13)),
        (2, 5, append(at(10, 5), vec![entry(11, 4, 1)]), is_entry(11)),
        (2, 5, append(at(10, 5), vec![entry(11, 6, 1)]), is_entry(11)),
        (2, 5, append(at(10, 5), vec![entry(11, 5, 0)]), is_entry(11)),
        (
            2,
            5,
            append(at(10, 5), vec![membership(MembershipChange::Remove(RaftId(0)))]),
            is_entry(11),
        ),
        (
            2,
            5,
            append(at(10, 5), vec![entry(11, 5, RAFT_COMMAND_BYTES_MAX + 1)]),
            Refusal::TooLarge,
        ),
        (2, 5, append(at(10, 5), many), Refusal::TooLarge),
        (2, 5, append(at(10, 5), heavy), Refusal::TooLarge),
        // Beyond the log everything has term 0: a gap would match.
        (2, 5, append(at(99, 0), vec![entry(100, 5, 1)]), is_at(99, 0)),
        (2, 5, append(at(10, 6), vec![]), is_at(10, 6)),
        (2, 5, append(at(u64::MAX, 5), vec![]), is_at(u64::MAX, 5)),
        (
            2,
            5,
            snapshot(at(20, 5), both),
            Refusal::Configuration(ConfigurationError::Contradiction(ME)),
        ),
        (
            2,
            5,
            snapshot(at(20, 5), configuration(&[], &[])),
            Refusal::Configuration(ConfigurationError::NoVoter),
        ),
        (2, 5, snapshot(at(20, 5), configuration(&[2, 3], &[])), Refusal::Excluded),
        (2, 5, snapshot(at(20, 6), group()), is_at(20, 6)),
        (2, 5, snapshot(at(8, 4), group()), Refusal::Contradiction(LogIndex(8))),
        (2, 5, snapshot(at(0, 0), group()), is_at(0, 0)),
        (8, 6, append(at(10, 5), vec![]), Refusal::NotAMember(RaftId(8))),
        (8, u64::MAX, vote(at(10, 5), at(8, 5)), Refusal::Term(u64::MAX)),
        (3, 1001, vote(at(10, 5), at(8, 5)), Refusal::Term(1001)),
        (3, 0, append(at(10, 5), vec![]), Refusal::Term(0)),
        (9, 6, vote(at(10, 5), at(8, 5)), Refusal::NotAMember(RaftId(9))),
        (3, 5, append(at(10, 5), vec![]), Refusal::SecondLeader),
        (3, 5, beat(8), Refusal::SecondLeader),
        (3, 5, RaftBody::TimeoutNow, Refusal::NotTheLeader),
        (2, 6, RaftBody::TimeoutNow, Refusal::NotTheLeader),
        (3, 6, vote(at(10, 5), at(5, 5)), Refusal::StaleConfiguration(LogIndex(6))),
        (3, 6, vote(at(7, 5), at(8, 5)), is_at(8, 5)),
        (3, 6, vote(at(7, 7), at(6, 5)), is_at(7, 7)),
    ] {
        let message = says(from, term, body);
        assert_eq!(verdict(RaftId(from), &message, LEADER), Err(expected), "{message:?}");
    }
}

#[test]
fn a_message_counts_for_whom_it_came_from_and_whom_it_is_for() {
    let message = says(2, 5, RaftBody::TimeoutNow);
    assert_eq!(verdict(RaftId(3), &message, LEADER), Err(Refusal::Impersonation));
    let message = RaftMessage { to: RaftId(3), ..message };
    assert_eq!(verdict(LEADER, &message, LEADER), Err(Refusal::Misrouted));
    let own = says(1, 5, RaftBody::TimeoutNow);
    assert_eq!(verdict(ME, &own, LEADER), Err(Refusal::Impersonation));
}

#[test]
fn a_leader_is_told_only_of_entries_that_it_has() {
    let ack = |index, rejection| RaftBody::AppendResponse {
        index: LogIndex(index),
        commit: LogIndex(8),
        rejection,
    };
    let beyond = Err(Refusal::BeyondLog(LogIndex(11)));
    assert_eq!(verdict(RaftId(3), &says(3, 5, ack(10, None)), ME), Ok(()));
    assert_eq!(verdict(RaftId(3), &says(3, 5, ack(11, None)), ME), beyond);
    assert_eq!(verdict(RaftId(3), &says(3, 5, ack(9, Some(at(11, 4)))), ME), beyond);
    assert!(verdict(RaftId(3), &says(3, 5, ack(9, Some(at(u64::MAX, 4)))), LEADER).is_err());
}

fn index() -> impl Strategy<Value = u64> {
    prop_oneof![8 => 0..12u64, 1 => Just(u64::MAX), 1 => any::<u64>()]
}

fn term() -> impl Strategy<Value = u64> {
    prop_oneof![12 => 0..6u64, 1 => Just(u64::MAX), 1 => 0..(1u64 << 22)]
}

fn position() -> impl Strategy<Value = LogPosition> {
    (index(), term()).prop_map(|(index, term)| at(index, term))
}

fn change() -> impl Strategy<Value = MembershipChange> {
    let id = || (0..6u64).prop_map(RaftId);
    prop_oneof![
        id().prop_map(MembershipChange::AddLearner),
        id().prop_map(MembershipChange::Promote),
        id().prop_map(MembershipChange::Remove),
        Just(MembershipChange::LeaveJoint),
    ]
}

fn payload() -> impl Strategy<Value = LogPayload> {
    prop_oneof![
        Just(LogPayload::Empty),
        proptest::collection::vec(any::<u8>(), 0..3).prop_map(LogPayload::Command),
        change().prop_map(LogPayload::Membership),
    ]
}

/// Mostly contiguous: random indices alone would hardly ever get past the guard.
fn entries() -> impl Strategy<Value = (LogPosition, Vec<LogEntry>)> {
    let entries = proptest::collection::vec((payload(), 0..2u64, any::<bool>()), 0..4);
    (position(), entries, index()).prop_map(|(previous, payloads, odd)| {
        let mut before = previous;
        let mut found = Vec::new();
        for (payload, more, is_odd) in payloads {
            let index = if is_odd && odd > 10 { odd } else { before.index.0.wrapping_add(1) };
            let term = before.term.max(1).saturating_add(more);
            found.push(LogEntry { index: LogIndex(index), term, payload });
            before = at(index, term);
        }
        (previous, found)
    })
}

fn ids() -> impl Strategy<Value = BTreeSet<RaftId>> {
    proptest::collection::btree_set((0..6u64).prop_map(RaftId), 0..4)
}

fn snapshots() -> impl Strategy<Value = SnapshotRef> {
    (position(), ids(), ids(), ids(), ids(), any::<bool>(), index()).prop_map(
        |(position, voters, learners, voters_outgoing, learners_next, auto_leave, configured)| {
            let configuration =
                Configuration { voters, learners, voters_outgoing, learners_next, auto_leave };
            let configured = LogIndex(configured);
            SnapshotRef { position, configuration, configured, digest: [0; 32], bytes: 1 }
        },
    )
}

fn body() -> impl Strategy<Value = RaftBody> {
    let commit = || index().prop_map(LogIndex);
    let read = || proptest::option::of(0..3u64);
    let request = || {
        (position(), position(), any::<bool>())
            .prop_map(|(last, commit, is_transfer)| VoteRequest { last, commit, is_transfer })
    };
    let response = || {
        (any::<bool>(), position())
            .prop_map(|(is_granted, commit)| VoteResponse { is_granted, commit })
    };
    prop_oneof![
        4 => (entries(), commit()).prop_map(|((previous, entries), commit)| {
            RaftBody::Append { previous, commit, entries }
        }),
        2 => (commit(), commit(), proptest::option::of(position())).prop_map(
            |(index, commit, rejection)| RaftBody::AppendResponse { index, commit, rejection }
        ),
        2 => (commit(), read()).prop_map(|(commit, read)| RaftBody::Heartbeat { commit, read }),
        1 => (commit(), read())
            .prop_map(|(commit, read)| RaftBody::HeartbeatResponse { commit, read }),
        1 => request().prop_map(RaftBody::PreVote),
        1 => response().prop_map(RaftBody::PreVoteResponse),
        1 => request().prop_map(RaftBody::Vote),
        1 => response().prop_map(RaftBody::VoteResponse),
        1 => snapshots().prop_map(RaftBody::Snapshot),
        1 => Just(RaftBody::TimeoutNow),
    ]
}

/// Something that happens to a group.
#[derive(Clone, Debug)]
enum Step {
    /// A forged message; the term is added to the receiver's when it is `relative`.
    Forged { from: u64, to: u64, term: u64, is_relative: bool, body: RaftBody },
    /// Time passes, disks write and messages arrive.
    Honest { ticks: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let forged = (1..5u64, 1..4u64, term(), any::<bool>(), body()).prop_map(
        |(from, to, term, is_relative, body)| Step::Forged { from, to, term, is_relative, body },
    );
    prop_oneof![5 => forged, 1 => (0..15usize).prop_map(|ticks| Step::Honest { ticks })]
}

fn group() -> BTreeMap<RaftId, Consensus> {
    let mut durable = Durable::found(ME, [0; 32], 0);
    durable.snapshot.as_mut().unwrap().configuration = configuration(&[1, 2, 3], &[4]);
    let member = |id| {
        let config = Config { id: RaftId(id), seed: 1, compaction: Compaction::default() };
        (RaftId(id), Consensus::restore(config, durable.clone()).unwrap())
    };
    (1..4).map(member).collect()
}

/// Writes, applies and fetches whatever a member wants; what it says.
fn drain(member: &mut Consensus) -> Vec<(RaftId, RaftMessage)> {
    let mut sent = Vec::new();
    loop {
        let mut is_idle = true;
        while let Some(persist) = member.poll_persist() {
            member.on_persisted(persist.sequence);
            is_idle = false;
        }
        while member.poll_committed().is_some() {
            is_idle = false;
        }
        while let Some((_, reference)) = member.poll_fetch() {
            member.on_snapshot_fetched(&reference, true);
            is_idle = false;
        }
        while let Some(message) = member.poll_send() {
            sent.push(message);
            is_idle = false;
        }
        if is_idle {
            return sent;
        }
    }
}

fn honest(group: &mut BTreeMap<RaftId, Consensus>, ticks: usize) {
    for _ in 0..ticks {
        let mut sent = Vec::new();
        for member in group.values_mut() {
            member.tick();
            if member.status().role == Role::Leader {
                // Congestion is no failure here.
                let _ = member.propose(vec![1]);
            }
            sent.extend(drain(member));
        }
        for (to, message) in sent {
            if let Some(member) = group.get_mut(&to) {
                let _ = member.step(message.from, message);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Nothing that peers say makes a member panic, or moves its term faster than allowed. That a
    /// lying voter can make members disagree is not at issue here.
    #[test]
    fn no_message_brings_a_member_down(steps in proptest::collection::vec(step(), 1..60)) {
        let mut group = group();
        honest(&mut group, 40);
        let first = group.values().map(|member| member.status().term).max().unwrap();
        let term_max = first + airlift_protocol::limits::RAFT_TERMS_PER_MINUTE + 1000;
        for step in steps {
            match step {
                Step::Honest { ticks } => honest(&mut group, ticks),
                Step::Forged { from, to, term, is_relative, body } => {
                    let member = group.get_mut(&RaftId(to)).unwrap();
                    let now = member.status().term;
                    let term = if is_relative { now.wrapping_add(term) } else { term };
                    let from = RaftId(from);
                    let message = RaftMessage { from, to: RaftId(to), term, body };
                    let _ = member.step(from, message);
                    drain(member);
                    prop_assert!(member.status().term <= term_max);
                }
            }
        }
    }
}
