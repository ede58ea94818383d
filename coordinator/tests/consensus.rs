//! Groups of members under faults, each run repeatable from its seed.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

#[path = "consensus/cluster.rs"]
mod cluster;
#[path = "cluster/random.rs"]
mod random;

use airlift_coordinator::consensus::{
    Compaction, Config, Consensus, CorruptLog, Durable, MembershipError, ProposeError, ReadError,
    Role,
};
use airlift_protocol::id::LogIndex;
use airlift_protocol::limits::RAFT_COMMAND_BYTES_MAX;
use airlift_protocol::raft::{LogPayload, MembershipChange, RaftId};

use self::cluster::{Cluster, Faults};

fn config(seed: u64) -> Config {
    Config { id: RaftId(1), seed, compaction: Compaction::default() }
}

const SEEDS: u64 = 100;
const TURNS: u64 = 300;

/// A group under faults, then healed. Clients propose and read all the time.
fn run(seed: u64, voters: u64) -> Cluster {
    let mut cluster = Cluster::new(seed, voters);
    cluster.faults = Faults::MANY;
    for _ in 0..TURNS {
        cluster.turn();
        let id = RaftId(1 + cluster.random.below(voters));
        if cluster.nodes[&id].machine.is_some() {
            cluster.propose(id);
            cluster.read(id);
        }
    }
    cluster.heal();
    cluster
}

/// Brings the membership step by step to `wanted`, by asking whoever leads.
fn operate(cluster: &mut Cluster, wanted: &[u64]) -> bool {
    let Some(leader) = cluster.leader() else { return false };
    let configuration = cluster.machine(leader).status().configuration;
    let wanted: Vec<RaftId> = wanted.iter().map(|id| RaftId(*id)).collect();
    let missing = wanted.iter().find(|id| !configuration.contains(**id));
    let learner = configuration.learners.iter().find(|id| wanted.contains(id));
    let surplus = configuration.members().into_iter().find(|id| !wanted.contains(id));
    let change = match (missing, learner, surplus) {
        (Some(id), _, _) => MembershipChange::AddLearner(*id),
        (_, Some(id), _) => MembershipChange::Promote(*id),
        (_, _, Some(id)) => MembershipChange::Remove(id),
        (None, None, None) => return !configuration.is_joint(),
    };
    let result = cluster.machine(leader).change_membership(change);
    if result == Err(MembershipError::Leads) {
        let heir = *configuration.voters.iter().find(|id| wanted.contains(id)).unwrap();
        let _ = cluster.machine(leader).transfer_to(heir);
    }
    cluster.drain(leader);
    false
}

#[test]
fn three_members_agree_whatever_happens() {
    let (mut commits, mut reads) = (0, 0);
    for seed in 0..SEEDS {
        let cluster = run(seed, 3);
        commits += cluster.committed.len();
        reads += cluster.reads_answered;
    }
    // Most of the time there is a leader, faults or not.
    assert!(commits > 3000 && reads > 1500, "{commits} commits, {reads} reads");
}

#[test]
fn five_members_agree_whatever_happens() {
    let commits: usize = (1000..1000 + SEEDS).map(|seed| run(seed, 5).committed.len()).sum();
    assert!(commits > 1500, "{commits} commits");
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in 0..5 {
        assert_eq!(run(seed, 3).trace, run(seed, 3).trace, "seed {seed}");
    }
    assert_ne!(run(1, 3).trace, run(2, 3).trace);
}

#[test]
fn members_come_and_go_under_faults() {
    for seed in 0..60 {
        let mut cluster = Cluster::new(seed, 1);
        for id in 2..=6 {
            cluster.add(RaftId(id), Durable::joining());
        }
        cluster.faults = Faults::MANY;
        // One after the other, also through memberships that have nothing in common.
        for wanted in [&[1, 2, 3][..], &[2, 3, 4], &[4, 5, 6], &[1, 4, 6]] {
            for _ in 0..200 {
                cluster.turn();
                if let Some(leader) = cluster.leader() {
                    cluster.propose(leader);
                    cluster.read(leader);
                }
                operate(&mut cluster, wanted);
            }
        }
        cluster.faults = Faults::NONE;
        let is_done = (0..2000).any(|_| {
            cluster.turn();
            operate(&mut cluster, &[1, 4, 6])
        });
        assert!(is_done, "seed {seed}: the membership has not changed");
        cluster.heal();
    }
}

#[test]
fn a_single_voter_leads_when_its_vote_is_durable_and_not_before() {
    let durable = Durable::found(RaftId(1), [0; 32], 0);
    let mut machine = Consensus::restore(config(7), durable).unwrap();
    machine.campaign();
    machine.propose(b"x".to_vec()).unwrap();
    assert_eq!(machine.poll_committed(), None);
    let first = machine.poll_persist().unwrap();
    assert_eq!(first.hard_state.vote, Some(RaftId(1)));
    let second = machine.poll_persist().unwrap();
    assert!(second.sequence > first.sequence);
    machine.on_persisted(first.sequence);
    assert_eq!(machine.poll_committed().unwrap().payload, LogPayload::Empty);
    assert_eq!(machine.poll_committed(), None);
    machine.on_persisted(second.sequence);
    assert_eq!(machine.poll_committed().unwrap().payload, LogPayload::Command(b"x".to_vec()));
    assert_eq!(machine.log_bytes(), 1);
}

#[test]
fn a_change_of_membership_is_in_effect_only_when_its_commitment_is_durable() {
    let durable = Durable::found(RaftId(1), [0; 32], 0);
    let mut machine = Consensus::restore(config(7), durable).unwrap();
    machine.campaign();
    let elected = machine.poll_persist().unwrap();
    machine.on_persisted(elected.sequence);
    assert_eq!(machine.poll_committed().unwrap().payload, LogPayload::Empty);
    let change = MembershipChange::AddLearner(RaftId(2));
    machine.change_membership(change).unwrap();
    let proposed = machine.poll_persist().unwrap();
    assert_eq!(proposed.entries.len(), 1);
    machine.on_persisted(proposed.sequence);
    // It is committed, and a restart would not know.
    assert_eq!(machine.status().committed, proposed.entries[0].index);
    assert_eq!(machine.poll_committed(), None);
    assert!(!machine.status().configuration.contains(RaftId(2)));
    let committed = machine.poll_persist().unwrap();
    assert_eq!(committed.hard_state.commit, proposed.entries[0].index);
    machine.on_persisted(committed.sequence);
    assert_eq!(machine.poll_committed().unwrap().payload, LogPayload::Membership(change));
    assert!(machine.status().configuration.contains(RaftId(2)));
}

#[test]
fn a_single_voter_says_nothing_to_its_learner_before_its_term_is_durable() {
    let mut cluster = Cluster::new(3, 1);
    cluster.add(RaftId(2), Durable::joining());
    while !cluster.leader().is_some_and(|leader| {
        let _ = cluster.machine(leader).change_membership(MembershipChange::AddLearner(RaftId(2)));
        cluster.drain(leader);
        cluster.machine(leader).status().configuration.contains(RaftId(2))
    }) {
        cluster.turn();
    }
    cluster.crash(RaftId(1));
    let disk = cluster.nodes[&RaftId(1)].disk.clone();
    let mut machine = Consensus::restore(config(1), disk).unwrap();
    while machine.poll_committed().is_some() {}
    machine.campaign();
    assert_eq!(machine.status().role, Role::Leader);
    assert_eq!(machine.poll_send(), None);
    let mut last = 0;
    while let Some(persist) = machine.poll_persist() {
        last = persist.sequence;
    }
    machine.on_persisted(last);
    assert!(machine.poll_send().is_some());
}

#[test]
fn a_restarted_voter_does_not_fall_back_to_an_older_membership() {
    let mut cluster = Cluster::new(5, 1);
    for id in [2, 3] {
        cluster.add(RaftId(id), Durable::joining());
    }
    while !operate(&mut cluster, &[1, 2, 3]) {
        cluster.turn();
    }
    cluster.turns(10);
    // The founder restarts alone. Its snapshot still says that it is the only voter.
    cluster.crash(RaftId(2));
    cluster.crash(RaftId(3));
    cluster.crash(RaftId(1));
    cluster.faults.restart = 0;
    cluster.start(RaftId(1));
    cluster.turns(100);
    let status = cluster.machine(RaftId(1)).status();
    assert_ne!(status.role, Role::Leader);
    assert_eq!(status.configuration.voters.len(), 3);
}

#[test]
fn a_member_that_was_away_for_long_gets_a_snapshot() {
    let mut cluster = Cluster::new(11, 3);
    cluster.turns(60);
    let leader = cluster.leader().unwrap();
    let away = RaftId(if leader.0 == 1 { 2 } else { 1 });
    cluster.crash(away);
    cluster.faults.restart = 0;
    for _ in 0..40 {
        cluster.propose(leader);
        cluster.turn();
    }
    cluster.turns(5);
    cluster.snapshot(leader);
    let applied = cluster.machine(leader).status().applied;
    cluster.start(away);
    cluster.turns(60);
    assert_eq!(cluster.machine(away).status().applied, applied);
    let snapshot = cluster.nodes[&away].disk.snapshot.as_ref().unwrap();
    assert_eq!(snapshot.position, applied, "it did not get there entry by entry");
    cluster.heal();
}

#[test]
fn the_lead_is_handed_over() {
    let mut cluster = Cluster::new(13, 3);
    cluster.turns(60);
    let leader = cluster.leader().unwrap();
    let heir = RaftId(1 + leader.0 % 3);
    cluster.machine(leader).transfer_to(heir).unwrap();
    cluster.drain(leader);
    cluster.turns(5);
    assert_eq!(cluster.leader(), Some(heir));
    assert_eq!(cluster.machine(leader).status().leader, Some(heir));
}

#[test]
fn who_does_not_lead_says_who_does() {
    let mut cluster = Cluster::new(17, 3);
    cluster.turns(60);
    let leader = cluster.leader().unwrap();
    let other = cluster.machine(RaftId(1 + leader.0 % 3));
    let error = other.propose(b"x".to_vec()).unwrap_err();
    assert!(matches!(error, ProposeError::NotLeader(it) if it.leader == Some(leader)));
    assert!(matches!(other.read_index(1).unwrap_err(), ReadError::NotLeader(_)));
    let change = MembershipChange::Remove(RaftId(1));
    assert!(matches!(other.change_membership(change), Err(MembershipError::NotLeader(_))));
    let machine = cluster.machine(leader);
    assert_eq!(machine.propose(Vec::new()), Err(ProposeError::Size(0)));
    let size = RAFT_COMMAND_BYTES_MAX + 1;
    assert_eq!(machine.propose(vec![0; size]), Err(ProposeError::Size(size)));
}

#[test]
fn a_disk_that_no_honest_member_wrote_is_refused() {
    let mut cluster = Cluster::new(19, 3);
    cluster.turns(60);
    let sound = cluster.nodes[&RaftId(1)].disk.clone();
    let restore = |durable: Durable| Consensus::restore(config(0), durable).map(|_| ());
    assert_eq!(restore(sound.clone()), Ok(()));
    let first = sound.entries[0].index;
    let damage = |change: fn(&mut Durable)| {
        let mut durable = sound.clone();
        change(&mut durable);
        restore(durable).unwrap_err()
    };
    assert_eq!(damage(|it| it.entries[0].index = LogIndex(9)), CorruptLog::Entry(LogIndex(9)));
    assert_eq!(damage(|it| it.entries[0].term = 0), CorruptLog::Entry(first));
    assert_eq!(damage(|it| it.hard_state.term = 0), CorruptLog::Term(0));
    assert_eq!(damage(|it| it.hard_state.term = u64::MAX), CorruptLog::Term(u64::MAX));
    let beyond = LogIndex(99);
    assert_eq!(damage(|it| it.hard_state.commit = LogIndex(99)), CorruptLog::Commit(beyond));
    assert_eq!(damage(|it| it.snapshot = None), CorruptLog::NoSnapshot);
    let moved = damage(|it| it.snapshot.as_mut().unwrap().position.term = 9);
    assert_eq!(moved, CorruptLog::Snapshot(LogIndex(1)));
    assert!(matches!(
        damage(|it| it.snapshot.as_mut().unwrap().configuration.voters.clear()),
        CorruptLog::Configuration(_)
    ));
}
