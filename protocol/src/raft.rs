//! Consensus between the voters of a cluster: what crosses the wire, and what is kept of it.
//!
//! These are our own structures, not those of the consensus library: what a peer sends is read by
//! [`codec`](crate::codec) and copied field by field after the coordinator's guard has accepted it.
//! Enums are append only.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::bounded;
use crate::id::LogIndex;
use crate::limits::{RAFT_ENTRIES_MAX, RAFT_MEMBERS_MAX};

/// A voter's or learner's number in the log: never 0, never given twice.
///
/// A node whose disk was lost or replaced joins again under a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RaftId(pub u64);

/// A place in the log together with the term of the entry there; both 0 before the first entry.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct LogPosition {
    /// Where.
    pub index: LogIndex,
    /// Term of the leader that wrote the entry there.
    pub term: u64,
}

/// Who takes part in consensus, as of some entry of the log.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Configuration {
    /// Their majority elects and commits.
    #[serde(deserialize_with = "bounded::set::<_, _, RAFT_MEMBERS_MAX>")]
    pub voters: BTreeSet<RaftId>,
    /// They receive the log and have no vote.
    #[serde(deserialize_with = "bounded::set::<_, _, RAFT_MEMBERS_MAX>")]
    pub learners: BTreeSet<RaftId>,
    /// Voters of the configuration that is being left: while there are any, their majority is
    /// needed as well.
    #[serde(deserialize_with = "bounded::set::<_, _, RAFT_MEMBERS_MAX>")]
    pub voters_outgoing: BTreeSet<RaftId>,
    /// Outgoing voters that will be learners.
    #[serde(deserialize_with = "bounded::set::<_, _, RAFT_MEMBERS_MAX>")]
    pub learners_next: BTreeSet<RaftId>,
    /// Whether the leader leaves the joint configuration by itself.
    pub auto_leave: bool,
}

/// Why a configuration cannot be in effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ConfigurationError {
    /// Nobody could elect a leader.
    #[error("there is no voter")]
    NoVoter,
    /// It is never given.
    #[error("a member has the number 0")]
    Zero,
    /// A member cannot be both at once.
    #[error("member {} is in two sets that exclude each other", .0.0)]
    Contradiction(RaftId),
    /// There is nothing to leave.
    #[error("it is to be left, and is not joint")]
    NotJoint,
    /// More members than consensus is meant for.
    #[error("{0} members where at most {RAFT_MEMBERS_MAX} are allowed")]
    TooMany(usize),
}

impl Configuration {
    /// The configuration of a new cluster: one voter.
    pub fn single(voter: RaftId) -> Self {
        Self { voters: BTreeSet::from([voter]), ..Self::default() }
    }

    /// Everybody who takes part, in any role.
    pub fn members(&self) -> BTreeSet<RaftId> {
        let sets = [&self.voters, &self.learners, &self.voters_outgoing, &self.learners_next];
        sets.into_iter().flatten().copied().collect()
    }

    /// Whether `id` takes part, in any role.
    pub fn contains(&self, id: RaftId) -> bool {
        self.is_voter(id) || self.learners.contains(&id)
    }

    /// Whether `id` has a vote.
    pub fn is_voter(&self, id: RaftId) -> bool {
        self.voters.contains(&id) || self.voters_outgoing.contains(&id)
    }

    /// Whether two majorities are needed, because a change is under way.
    pub fn is_joint(&self) -> bool {
        !self.voters_outgoing.is_empty()
    }

    /// Checks that this configuration can be in effect.
    ///
    /// # Errors
    /// When it contradicts itself, is empty or too large.
    pub fn check(&self) -> Result<(), ConfigurationError> {
        if self.voters.is_empty() {
            return Err(ConfigurationError::NoVoter);
        }
        let members = self.members();
        if members.contains(&RaftId(0)) {
            return Err(ConfigurationError::Zero);
        }
        if members.len() > RAFT_MEMBERS_MAX {
            return Err(ConfigurationError::TooMany(members.len()));
        }
        let stray_learner = self.learners.iter().find(|id| self.is_voter(**id));
        let stray_next = self.learners_next.iter().find(|id| {
            !self.voters_outgoing.contains(id)
                || self.voters.contains(id)
                || self.learners.contains(id)
        });
        match stray_learner.or(stray_next) {
            Some(id) => Err(ConfigurationError::Contradiction(*id)),
            None if self.auto_leave && !self.is_joint() => Err(ConfigurationError::NotJoint),
            None => Ok(()),
        }
    }
}

/// One step of who takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MembershipChange {
    /// Begins to receive the log, without a vote.
    AddLearner(RaftId),
    /// A learner becomes a voter.
    Promote(RaftId),
    /// Takes part no longer.
    Remove(RaftId),
    /// The outgoing voters are needed no longer. Written by the leader's own consensus.
    LeaveJoint,
}

/// An entry of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEntry {
    /// Where in the log.
    pub index: LogIndex,
    /// Term of the leader that wrote it.
    pub term: u64,
    /// What it says.
    pub payload: LogPayload,
}

/// What an entry of the log says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogPayload {
    /// Nothing: a new leader's first entry.
    Empty,
    /// An encoded command for the state machine.
    Command(Vec<u8>),
    /// Who takes part changes.
    Membership(MembershipChange),
}

impl LogEntry {
    /// Where it stands, with its term.
    pub fn position(&self) -> LogPosition {
        LogPosition { index: self.index, term: self.term }
    }

    /// Bytes of its command, 0 when it has none.
    pub fn bytes(&self) -> usize {
        match &self.payload {
            LogPayload::Command(command) => command.len(),
            LogPayload::Empty | LogPayload::Membership(_) => 0,
        }
    }
}

/// What a voter must not forget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HardState {
    /// The latest term that it has seen.
    pub term: u64,
    /// Whom it voted for in that term.
    pub vote: Option<RaftId>,
    /// The last entry that it knows to be committed. May be behind, but never behind a change of
    /// membership that is in effect here.
    pub commit: LogIndex,
}

/// A snapshot of the state machine, without its bytes: those are fetched from whoever offers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotRef {
    /// The last entry that it contains.
    pub position: LogPosition,
    /// Who takes part as of that entry.
    pub configuration: Configuration,
    /// The entry that brought this configuration about; 0 when the cluster began with it.
    pub configured: LogIndex,
    /// BLAKE3 of its bytes.
    pub digest: [u8; 32],
    /// How many bytes it has.
    pub bytes: u64,
}

impl SnapshotRef {
    /// Whether these are its bytes.
    pub fn is_of(&self, bytes: &[u8]) -> bool {
        self.bytes == bytes.len() as u64 && self.digest == snapshot_digest(bytes)
    }
}

/// What a [`SnapshotRef`] knows of its bytes.
pub fn snapshot_digest(bytes: &[u8]) -> [u8; 32] {
    *blake3::hash(bytes).as_bytes()
}

/// A message between two members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RaftMessage {
    /// Who sent it. Must be who the connection says it is.
    pub from: RaftId,
    /// For whom it is.
    pub to: RaftId,
    /// The sender's term; for a pre-vote the term that it would campaign in.
    pub term: u64,
    /// What it says.
    pub body: RaftBody,
}

/// What a message between two members says. Append only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RaftBody {
    /// The leader's entries after `previous`, which the receiver must have.
    Append {
        /// The entry before the first of `entries`.
        previous: LogPosition,
        /// The last entry that the leader knows to be committed.
        commit: LogIndex,
        /// Entries in order, without gaps; none to tell `commit` or to find where the logs part.
        #[serde(deserialize_with = "bounded::list::<_, _, RAFT_ENTRIES_MAX>")]
        entries: Vec<LogEntry>,
    },
    /// The answer to `Append` and `Snapshot`.
    AppendResponse {
        /// The last entry that both have; when refused, the index of `previous`.
        index: LogIndex,
        /// The last entry that the sender knows to be committed.
        commit: LogIndex,
        /// Set when the sender does not have `previous`: where the logs may still agree.
        rejection: Option<LogPosition>,
    },
    /// The leader is there.
    Heartbeat {
        /// The last entry that is committed and that the receiver has acknowledged.
        commit: LogIndex,
        /// A read that waits for a majority to confirm the leader.
        read: Option<u64>,
    },
    /// The answer to `Heartbeat`.
    HeartbeatResponse {
        /// The last entry that the sender knows to be committed.
        commit: LogIndex,
        /// The read of the heartbeat.
        read: Option<u64>,
    },
    /// Would the receiver vote for the sender? Changes nothing at the receiver.
    PreVote(VoteRequest),
    /// The answer to `PreVote`.
    PreVoteResponse(VoteResponse),
    /// The sender asks for the receiver's vote.
    Vote(VoteRequest),
    /// The answer to `Vote`.
    VoteResponse(VoteResponse),
    /// The entries that the receiver lacks are gone; it has to fetch this.
    Snapshot(SnapshotRef),
    /// The leader asks the receiver to campaign at once.
    TimeoutNow,
}

/// A candidate's claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoteRequest {
    /// The candidate's last entry.
    pub last: LogPosition,
    /// The last entry that it knows to be committed.
    pub commit: LogPosition,
    /// Whether the leader asked it to campaign: the voter's lease does not count then.
    pub is_transfer: bool,
}

/// The answer to a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoteResponse {
    /// Whether the vote is given.
    pub is_granted: bool,
    /// When it is not: the last entry that the sender knows to be committed.
    pub commit: LogPosition,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec;
    use crate::limits::{RAFT_COMMAND_BYTES_MAX, RAFT_ENTRIES_BYTES_MAX, RAFT_MESSAGE_BYTES_MAX};

    fn position(index: u64, term: u64) -> LogPosition {
        LogPosition { index: LogIndex(index), term }
    }

    fn message(body: RaftBody) -> RaftMessage {
        RaftMessage { from: RaftId(1), to: RaftId(2), term: 3, body }
    }

    #[track_caller]
    fn check(body: RaftBody, golden: &[u8]) {
        let message = message(body);
        let bytes = codec::encode(&message);
        assert_eq!(bytes[..3], [1, 2, 3], "from, to, term");
        assert_eq!(&bytes[3..], golden);
        let decoded = codec::decode::<RaftMessage>(&bytes, RAFT_MESSAGE_BYTES_MAX).unwrap();
        assert_eq!(decoded, message);
    }

    #[test]
    fn messages_have_the_bytes_they_always_had() {
        let entry = |index, payload| LogEntry { index: LogIndex(index), term: 3, payload };
        let entries = vec![
            entry(8, LogPayload::Empty),
            entry(9, LogPayload::Command(vec![0xaa])),
            entry(10, LogPayload::Membership(MembershipChange::Promote(RaftId(5)))),
        ];
        check(
            RaftBody::Append { previous: position(7, 2), commit: LogIndex(6), entries },
            &[0, 7, 2, 6, 3, 8, 3, 0, 9, 3, 1, 1, 0xaa, 10, 3, 2, 1, 5],
        );
        check(
            RaftBody::AppendResponse {
                index: LogIndex(7),
                commit: LogIndex(6),
                rejection: Some(position(5, 2)),
            },
            &[1, 7, 6, 1, 5, 2],
        );
        check(RaftBody::Heartbeat { commit: LogIndex(6), read: Some(300) }, &[2, 6, 1, 251, 44, 1]);
        check(RaftBody::HeartbeatResponse { commit: LogIndex(6), read: None }, &[3, 6, 0]);
        let request =
            VoteRequest { last: position(7, 2), commit: position(6, 2), is_transfer: true };
        check(RaftBody::PreVote(request), &[4, 7, 2, 6, 2, 1]);
        let response = VoteResponse { is_granted: false, commit: position(6, 2) };
        check(RaftBody::VoteResponse(response), &[7, 0, 6, 2]);
        check(RaftBody::TimeoutNow, &[9]);
    }

    #[test]
    fn a_snapshot_has_the_bytes_it_always_had() {
        let snapshot = SnapshotRef {
            position: position(7, 2),
            configuration: Configuration {
                voters: BTreeSet::from([RaftId(1), RaftId(2)]),
                learners: BTreeSet::from([RaftId(3)]),
                ..Configuration::default()
            },
            configured: LogIndex(4),
            digest: [9; 32],
            bytes: 5,
        };
        let mut golden = vec![8, 7, 2, 2, 1, 2, 1, 3, 0, 0, 0, 4];
        golden.extend_from_slice(&[9; 32]);
        golden.push(5);
        check(RaftBody::Snapshot(snapshot), &golden);
    }

    #[test]
    fn the_largest_messages_can_be_read() {
        let append = |count: usize, bytes: usize| {
            let payload = LogPayload::Command(vec![7; bytes]);
            let entry = LogEntry { index: LogIndex(u64::MAX), term: u64::MAX, payload };
            let previous = position(u64::MAX, u64::MAX);
            let (commit, entries) = (LogIndex(u64::MAX), vec![entry; count]);
            message(RaftBody::Append { previous, commit, entries })
        };
        let share = RAFT_ENTRIES_BYTES_MAX / RAFT_ENTRIES_MAX;
        for message in [append(1, RAFT_COMMAND_BYTES_MAX), append(RAFT_ENTRIES_MAX, share)] {
            let bytes = codec::encode(&message);
            let decoded = codec::decode::<RaftMessage>(&bytes, RAFT_MESSAGE_BYTES_MAX).unwrap();
            assert!(decoded == message);
        }
    }

    #[test]
    fn a_configuration_that_contradicts_itself_is_refused() {
        let set = |ids: &[u64]| ids.iter().map(|id| RaftId(*id)).collect::<BTreeSet<_>>();
        let of = |voters: &[u64], learners: &[u64], outgoing: &[u64], next: &[u64]| Configuration {
            voters: set(voters),
            learners: set(learners),
            voters_outgoing: set(outgoing),
            learners_next: set(next),
            auto_leave: false,
        };
        let contradiction = |id| Err(ConfigurationError::Contradiction(RaftId(id)));
        let many: Vec<u64> = (1..=RAFT_MEMBERS_MAX as u64 + 1).collect();
        for (configuration, expected) in [
            (of(&[1, 2, 3], &[4], &[1, 2, 5], &[5]), Ok(())),
            (of(&[], &[1], &[], &[]), Err(ConfigurationError::NoVoter)),
            (of(&[0], &[], &[], &[]), Err(ConfigurationError::Zero)),
            (of(&[1], &[1], &[], &[]), contradiction(1)),
            (of(&[1], &[2], &[2], &[]), contradiction(2)),
            (of(&[1], &[], &[2], &[3]), contradiction(3)),
            (of(&[1, 2], &[], &[2], &[2]), contradiction(2)),
            (of(&many, &[], &[], &[]), Err(ConfigurationError::TooMany(many.len()))),
            (
                Configuration { auto_leave: true, ..of(&[1], &[], &[], &[]) },
                Err(ConfigurationError::NotJoint),
            ),
        ] {
            assert_eq!(configuration.check(), expected, "{configuration:?}");
        }
    }
}
