//! What a peer may say: everything that could crash or hijack the consensus library stops here.
//!
//! The library trusts its peers. A member with a valid identity could make it panic (a commit
//! beyond the log, a gap between entries, a configuration that contradicts itself), burn the term
//! space, or speak for somebody else. [`check`] is a pure function of one message and of what the
//! receiver knows, and lets through only what an honest member could have sent.
//!
//! It does not make a lying *voter* harmless: consensus tolerates crashes, not lies. Voters belong
//! on hosts that the operator trusts.

use std::collections::BTreeSet;

use airlift_protocol::id::LogIndex;
use airlift_protocol::limits::{RAFT_COMMAND_BYTES_MAX, RAFT_ENTRIES_BYTES_MAX, RAFT_ENTRIES_MAX};
use airlift_protocol::raft::{
    Configuration, ConfigurationError, LogEntry, LogPayload, LogPosition, MembershipChange,
    RaftBody, RaftId, RaftMessage, SnapshotRef, VoteRequest, VoteResponse,
};
use thiserror::Error;

/// No log grows to here; indices beyond would overflow the library's arithmetic.
const INDEX_MAX: u64 = 1 << 62;

/// Why a message is not taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// Not an offence: a snapshot is being installed, or entries are being written. It is sent again.
    #[error("busy with the disk")]
    Busy,
    /// The connection belongs to another member than the message names.
    #[error("the sender is not who it says")]
    Impersonation,
    /// It is for another member.
    #[error("meant for another member")]
    Misrouted,
    /// The sender takes no part, as far as is known here.
    #[error("member {} is not known", .0.0)]
    NotAMember(RaftId),
    /// No message has this term, or nobody gets there in the time.
    #[error("term {0} cannot be")]
    Term(u64),
    /// An index that no log reaches, or one that contradicts its term.
    #[error("position {} of term {} cannot be", .0.index.0, .0.term)]
    Position(LogPosition),
    /// Entries with a gap between them, or of an impossible term or content.
    #[error("entry {} does not follow", .0.0)]
    Entry(LogIndex),
    /// More entries or bytes than a message may have.
    #[error("too much for one message")]
    TooLarge,
    /// It speaks of an entry that is not in this log and should be.
    #[error("entry {} is beyond the log", .0.0)]
    BeyondLog(LogIndex),
    /// The configuration of a snapshot cannot be in effect, or leaves the receiver out.
    #[error("configuration: {0}")]
    Configuration(#[from] ConfigurationError),
    /// A snapshot that does not name the receiver.
    #[error("the snapshot is not for this member")]
    Excluded,
    /// A snapshot that contradicts what is committed here.
    #[error("the snapshot contradicts entry {}", .0.0)]
    Contradiction(LogIndex),
    /// This term has another leader.
    #[error("this term has another leader")]
    SecondLeader,
    /// Only the leader may say this.
    #[error("only the leader may say this")]
    NotTheLeader,
    /// The candidate does not know of a change of membership that is committed: it would count
    /// the votes of members that decide no longer.
    #[error("the candidate does not know the membership as of entry {}", .0.0)]
    StaleConfiguration(LogIndex),
}

/// What the receiver of a message knows.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// Its own number.
    pub id: RaftId,
    /// Its term.
    pub term: u64,
    /// The highest term that it can be moved to now.
    pub term_max: u64,
    /// The leader of its term, itself included.
    pub leader: Option<RaftId>,
    /// Who takes part.
    pub configuration: &'a Configuration,
    /// Members that it does not know from the log yet, and was told of.
    pub introduced: &'a BTreeSet<RaftId>,
    /// Its last entry.
    pub last: LogIndex,
    /// The last entry that it knows to be committed.
    pub committed: LogPosition,
    /// The last change of membership that it knows to be committed.
    pub configured: LogIndex,
}

/// Checks a message that came over the connection of `from`.
///
/// # Errors
/// With the first rule that the message breaks.
pub fn check(from: RaftId, message: &RaftMessage, view: &View<'_>) -> Result<(), Refusal> {
    if message.from != from || from == view.id || from.0 == 0 {
        return Err(Refusal::Impersonation);
    }
    if message.to != view.id {
        return Err(Refusal::Misrouted);
    }
    if message.term == 0 || message.term > view.term_max {
        return Err(Refusal::Term(message.term));
    }
    check_sender(message, view)?;
    match &message.body {
        RaftBody::Append { previous, commit, entries } => {
            check_position(*previous, message.term)?;
            check_index(*commit)?;
            check_entries(*previous, message.term, entries)
        }
        RaftBody::AppendResponse { index, commit, rejection } => {
            check_index(*commit)?;
            check_ack(*index, message, view)?;
            rejection.map_or(Ok(()), |hint| check_ack(hint.index, message, view))
        }
        RaftBody::Heartbeat { commit, .. } if *commit > view.last => {
            Err(Refusal::BeyondLog(*commit))
        }
        RaftBody::Heartbeat { .. } => Ok(()),
        RaftBody::HeartbeatResponse { commit, .. } => check_index(*commit),
        RaftBody::PreVote(request) | RaftBody::Vote(request) => {
            check_request(request, message.term, view)
        }
        RaftBody::PreVoteResponse(response) | RaftBody::VoteResponse(response) => {
            check_response(response, message.term)
        }
        RaftBody::Snapshot(snapshot) => check_snapshot(snapshot, message.term, view),
        RaftBody::TimeoutNow if message.term != view.term || view.leader != Some(from) => {
            Err(Refusal::NotTheLeader)
        }
        RaftBody::TimeoutNow => Ok(()),
    }
}

/// Whether the sender takes part, and may say this kind of thing.
fn check_sender(message: &RaftMessage, view: &View<'_>) -> Result<(), Refusal> {
    let is_leaders = matches!(
        message.body,
        RaftBody::Append { .. } | RaftBody::Heartbeat { .. } | RaftBody::Snapshot(_)
    );
    // Whoever is only introduced may lead, and nothing else: a joining member merely receives.
    let is_introduced = is_leaders && view.introduced.contains(&message.from);
    if !view.configuration.contains(message.from) && !is_introduced {
        return Err(Refusal::NotAMember(message.from));
    }
    let is_second = message.term == view.term && view.leader.is_some_and(|id| id != message.from);
    if is_leaders && is_second { Err(Refusal::SecondLeader) } else { Ok(()) }
}

fn check_index(index: LogIndex) -> Result<(), Refusal> {
    match index.0 <= INDEX_MAX {
        true => Ok(()),
        false => Err(Refusal::Position(LogPosition { index, term: 0 })),
    }
}

/// An entry of a term up to `term_max`, or the place before the first one.
fn check_position(position: LogPosition, term_max: u64) -> Result<(), Refusal> {
    let is_start = position == LogPosition::default();
    let is_entry =
        (1..=INDEX_MAX).contains(&position.index.0) && (1..=term_max).contains(&position.term);
    if is_start || is_entry { Ok(()) } else { Err(Refusal::Position(position)) }
}

/// Acknowledgements concern the log of the leader that is told: it cannot lack the entry.
fn check_ack(index: LogIndex, message: &RaftMessage, view: &View<'_>) -> Result<(), Refusal> {
    check_index(index)?;
    let is_told = view.leader == Some(view.id) && message.term == view.term;
    if is_told && index > view.last { Err(Refusal::BeyondLog(index)) } else { Ok(()) }
}

fn check_entries(
    previous: LogPosition,
    term_max: u64,
    entries: &[LogEntry],
) -> Result<(), Refusal> {
    let bytes: usize = entries.iter().map(LogEntry::bytes).sum();
    let bytes_max =
        if entries.len() == 1 { RAFT_COMMAND_BYTES_MAX } else { RAFT_ENTRIES_BYTES_MAX };
    if entries.len() > RAFT_ENTRIES_MAX || bytes > bytes_max {
        return Err(Refusal::TooLarge);
    }
    let mut before = previous;
    for entry in entries {
        let follows = entry.index == before.index.next()
            && (before.term.max(1)..=term_max).contains(&entry.term);
        let is_sound = match &entry.payload {
            LogPayload::Empty => true,
            LogPayload::Command(command) => !command.is_empty(),
            LogPayload::Membership(change) => match change {
                MembershipChange::AddLearner(id)
                | MembershipChange::Promote(id)
                | MembershipChange::Remove(id) => id.0 != 0,
                MembershipChange::LeaveJoint => true,
            },
        };
        if !follows || !is_sound {
            return Err(Refusal::Entry(entry.index));
        }
        before = entry.position();
    }
    Ok(())
}

fn check_request(request: &VoteRequest, term: u64, view: &View<'_>) -> Result<(), Refusal> {
    check_position(request.last, term)?;
    check_position(request.commit, request.last.term)?;
    if request.commit.index > request.last.index {
        return Err(Refusal::Position(request.commit));
    }
    // Changes of membership take effect when they are applied. A candidate that missed two of them
    // could gather a majority of an old configuration that has nothing in common with one of the
    // present: so whoever knows of a change votes only for those who know of it too.
    if request.commit.index < view.configured {
        return Err(Refusal::StaleConfiguration(view.configured));
    }
    Ok(())
}

fn check_response(response: &VoteResponse, term: u64) -> Result<(), Refusal> {
    check_position(response.commit, term)
}

fn check_snapshot(snapshot: &SnapshotRef, term: u64, view: &View<'_>) -> Result<(), Refusal> {
    let SnapshotRef { position, configuration, configured, .. } = snapshot;
    check_position(*position, term)?;
    if *position == LogPosition::default() || *configured > position.index {
        return Err(Refusal::Position(*position));
    }
    configuration.check()?;
    if !configuration.contains(view.id) {
        return Err(Refusal::Excluded);
    }
    if position.index == view.committed.index && *position != view.committed {
        return Err(Refusal::Contradiction(position.index));
    }
    Ok(())
}

#[cfg(test)]
#[path = "guard_test.rs"]
mod tests;
