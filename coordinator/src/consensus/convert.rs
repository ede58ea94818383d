//! Between our structures and the library's, field by field.
//!
//! No bytes in the library's own encoding are ever read that came from a peer or from disk: what it
//! treats as opaque (a snapshot's data, an entry's context) holds our encoding, written here.

use std::collections::BTreeSet;

use airlift_protocol::codec;
use airlift_protocol::id::LogIndex;
use airlift_protocol::limits::RAFT_MESSAGE_BYTES_MAX;
use airlift_protocol::raft::{
    Configuration, HardState, LogEntry, LogPayload, LogPosition, MembershipChange, RaftBody,
    RaftId, RaftMessage, SnapshotRef, VoteRequest, VoteResponse,
};
use raft::eraftpb::{
    self, ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2, ConfState, Entry,
    EntryType, Message, MessageType, Snapshot,
};

/// What the library puts into a vote request that skips the lease.
const TRANSFER: &[u8] = b"CampaignTransfer";

/// A member, where 0 means nobody.
pub(super) fn member(id: u64) -> Option<RaftId> {
    (id != 0).then_some(RaftId(id))
}

fn position(index: u64, term: u64) -> LogPosition {
    LogPosition { index: LogIndex(index), term }
}

/// The encoding of a change that travels in the context of its entry.
pub(super) fn change_context(change: MembershipChange) -> Vec<u8> {
    match change {
        // The library writes this entry itself, without a context.
        MembershipChange::LeaveJoint => Vec::new(),
        change => codec::encode(&change),
    }
}

/// The library's form of a change.
pub(super) fn to_change(change: MembershipChange) -> ConfChangeV2 {
    let mut converted = ConfChangeV2::default();
    let (id, kind) = match change {
        MembershipChange::AddLearner(id) => (id, ConfChangeType::AddLearnerNode),
        MembershipChange::Promote(id) => (id, ConfChangeType::AddNode),
        MembershipChange::Remove(id) => (id, ConfChangeType::RemoveNode),
        MembershipChange::LeaveJoint => return converted,
    };
    let mut single = ConfChangeSingle::default();
    single.set_change_type(kind);
    single.node_id = id.0;
    converted.set_changes(vec![single].into());
    // A new learner changes no majority. Whatever does goes through both majorities.
    if !matches!(change, MembershipChange::AddLearner(_)) {
        converted.set_transition(ConfChangeTransition::Implicit);
    }
    converted
}

pub(super) fn to_entry(entry: LogEntry) -> Entry {
    let mut converted = Entry { index: entry.index.0, term: entry.term, ..Entry::default() };
    match entry.payload {
        LogPayload::Empty => {}
        LogPayload::Command(command) => converted.data = command.into(),
        LogPayload::Membership(change) => {
            converted.set_entry_type(EntryType::EntryConfChangeV2);
            converted.context = change_context(change).into();
        }
    }
    converted
}

/// The change that an entry holds, if it is one.
pub(super) fn change_of(entry: &Entry) -> Option<MembershipChange> {
    match entry.get_entry_type() {
        EntryType::EntryNormal => None,
        EntryType::EntryConfChange | EntryType::EntryConfChangeV2 if entry.context.is_empty() => {
            Some(MembershipChange::LeaveJoint)
        }
        EntryType::EntryConfChange | EntryType::EntryConfChangeV2 => Some(
            codec::decode(&entry.context, RAFT_MESSAGE_BYTES_MAX)
                .expect("invariant: contexts are written by this module only"),
        ),
    }
}

pub(super) fn from_entry(entry: &Entry) -> LogEntry {
    let payload = match change_of(entry) {
        Some(change) => LogPayload::Membership(change),
        None if entry.data.is_empty() => LogPayload::Empty,
        None => LogPayload::Command(entry.data.to_vec()),
    };
    LogEntry { index: LogIndex(entry.index), term: entry.term, payload }
}

pub(super) fn to_configuration(configuration: &Configuration) -> ConfState {
    let ids = |set: &BTreeSet<RaftId>| set.iter().map(|id| id.0).collect::<Vec<u64>>();
    let mut converted = ConfState::default();
    converted.set_voters(ids(&configuration.voters));
    converted.set_learners(ids(&configuration.learners));
    converted.set_voters_outgoing(ids(&configuration.voters_outgoing));
    converted.set_learners_next(ids(&configuration.learners_next));
    converted.auto_leave = configuration.auto_leave;
    converted
}

pub(super) fn from_configuration(configuration: &ConfState) -> Configuration {
    let set = |ids: &[u64]| ids.iter().map(|id| RaftId(*id)).collect::<BTreeSet<RaftId>>();
    Configuration {
        voters: set(configuration.get_voters()),
        learners: set(configuration.get_learners()),
        voters_outgoing: set(configuration.get_voters_outgoing()),
        learners_next: set(configuration.get_learners_next()),
        auto_leave: configuration.auto_leave,
    }
}

pub(super) fn to_hard_state(state: HardState) -> eraftpb::HardState {
    eraftpb::HardState {
        term: state.term,
        vote: state.vote.map_or(0, |id| id.0),
        commit: state.commit.0,
        ..eraftpb::HardState::default()
    }
}

pub(super) fn from_hard_state(state: &eraftpb::HardState) -> HardState {
    HardState { term: state.term, vote: member(state.vote), commit: LogIndex(state.commit) }
}

pub(super) fn to_snapshot(snapshot: &SnapshotRef) -> Snapshot {
    let mut converted = Snapshot { data: codec::encode(snapshot).into(), ..Snapshot::default() };
    let metadata = converted.mut_metadata();
    metadata.index = snapshot.position.index.0;
    metadata.term = snapshot.position.term;
    metadata.set_conf_state(to_configuration(&snapshot.configuration));
    converted
}

pub(super) fn from_snapshot(snapshot: &Snapshot) -> SnapshotRef {
    codec::decode(&snapshot.data, RAFT_MESSAGE_BYTES_MAX)
        .expect("invariant: a snapshot's data is written by this module only")
}

fn read_context(read: Option<u64>) -> Vec<u8> {
    read.map_or_else(Vec::new, |request| request.to_le_bytes().to_vec())
}

/// The read that a context stands for.
pub(super) fn read_of(context: &[u8]) -> Option<u64> {
    context.try_into().ok().map(u64::from_le_bytes)
}

/// A message that has passed the guard, for the library.
pub(super) fn to_message(message: RaftMessage) -> Message {
    let mut converted = Message {
        from: message.from.0,
        to: message.to.0,
        term: message.term,
        ..Message::default()
    };
    match message.body {
        RaftBody::Append { previous, commit, entries } => {
            converted.set_msg_type(MessageType::MsgAppend);
            converted.index = previous.index.0;
            converted.log_term = previous.term;
            converted.commit = commit.0;
            let entries: Vec<Entry> = entries.into_iter().map(to_entry).collect();
            converted.set_entries(entries.into());
        }
        RaftBody::AppendResponse { index, commit, rejection } => {
            converted.set_msg_type(MessageType::MsgAppendResponse);
            converted.index = index.0;
            converted.commit = commit.0;
            if let Some(hint) = rejection {
                converted.reject = true;
                converted.reject_hint = hint.index.0;
                converted.log_term = hint.term;
            }
        }
        RaftBody::Heartbeat { commit, read } => {
            converted.set_msg_type(MessageType::MsgHeartbeat);
            converted.commit = commit.0;
            converted.context = read_context(read).into();
        }
        RaftBody::HeartbeatResponse { commit, read } => {
            converted.set_msg_type(MessageType::MsgHeartbeatResponse);
            converted.commit = commit.0;
            converted.context = read_context(read).into();
        }
        RaftBody::PreVote(request) => {
            to_request(&mut converted, MessageType::MsgRequestPreVote, request);
        }
        RaftBody::Vote(request) => to_request(&mut converted, MessageType::MsgRequestVote, request),
        RaftBody::PreVoteResponse(response) => {
            to_response(&mut converted, MessageType::MsgRequestPreVoteResponse, response);
        }
        RaftBody::VoteResponse(response) => {
            to_response(&mut converted, MessageType::MsgRequestVoteResponse, response);
        }
        RaftBody::Snapshot(snapshot) => {
            converted.set_msg_type(MessageType::MsgSnapshot);
            converted.set_snapshot(to_snapshot(&snapshot));
        }
        RaftBody::TimeoutNow => converted.set_msg_type(MessageType::MsgTimeoutNow),
    }
    converted
}

fn to_request(converted: &mut Message, kind: MessageType, request: VoteRequest) {
    converted.set_msg_type(kind);
    converted.index = request.last.index.0;
    converted.log_term = request.last.term;
    converted.commit = request.commit.index.0;
    converted.commit_term = request.commit.term;
    if request.is_transfer {
        converted.context = TRANSFER.into();
    }
}

fn to_response(converted: &mut Message, kind: MessageType, response: VoteResponse) {
    converted.set_msg_type(kind);
    converted.reject = !response.is_granted;
    converted.commit = response.commit.index.0;
    converted.commit_term = response.commit.term;
}

/// A message of the library, for the wire; `None` for kinds that stay at home.
///
/// Proposals and reads that a follower would pass on are refused before they reach the library, so
/// that nothing but its own local kinds is left out here.
pub(super) fn from_message(message: &Message) -> Option<RaftMessage> {
    let commit = LogIndex(message.commit);
    let body = match message.get_msg_type() {
        MessageType::MsgAppend => RaftBody::Append {
            previous: position(message.index, message.log_term),
            commit,
            entries: message.get_entries().iter().map(from_entry).collect(),
        },
        MessageType::MsgAppendResponse => RaftBody::AppendResponse {
            index: LogIndex(message.index),
            commit,
            rejection: message.reject.then(|| position(message.reject_hint, message.log_term)),
        },
        MessageType::MsgHeartbeat => {
            RaftBody::Heartbeat { commit, read: read_of(&message.context) }
        }
        MessageType::MsgHeartbeatResponse => {
            RaftBody::HeartbeatResponse { commit, read: read_of(&message.context) }
        }
        MessageType::MsgRequestPreVote => RaftBody::PreVote(from_request(message)),
        MessageType::MsgRequestVote => RaftBody::Vote(from_request(message)),
        MessageType::MsgRequestPreVoteResponse => RaftBody::PreVoteResponse(from_response(message)),
        MessageType::MsgRequestVoteResponse => RaftBody::VoteResponse(from_response(message)),
        MessageType::MsgSnapshot => RaftBody::Snapshot(from_snapshot(message.get_snapshot())),
        MessageType::MsgTimeoutNow => RaftBody::TimeoutNow,
        MessageType::MsgHup
        | MessageType::MsgBeat
        | MessageType::MsgPropose
        | MessageType::MsgUnreachable
        | MessageType::MsgSnapStatus
        | MessageType::MsgCheckQuorum
        | MessageType::MsgTransferLeader
        | MessageType::MsgReadIndex
        | MessageType::MsgReadIndexResp => return None,
    };
    let (from, to) = (RaftId(message.from), RaftId(message.to));
    Some(RaftMessage { from, to, term: message.term, body })
}

fn from_request(message: &Message) -> VoteRequest {
    VoteRequest {
        last: position(message.index, message.log_term),
        commit: position(message.commit, message.commit_term),
        is_transfer: message.context == TRANSFER,
    }
}

fn from_response(message: &Message) -> VoteResponse {
    VoteResponse {
        is_granted: !message.reject,
        commit: position(message.commit, message.commit_term),
    }
}
