//! What no honest member says: every forgery that is known to crash or hijack consensus, and lists
//! that declare more than there is.

use std::collections::BTreeSet;

use airlift_protocol::attributes::AttributeSet;
use airlift_protocol::cluster::{Address, Addresses, Boot};
use airlift_protocol::codec;
use airlift_protocol::control::{ControlMessage, Heartbeat};
use airlift_protocol::error::Failure;
use airlift_protocol::id::{AssignmentId, Epoch, JobId, LogIndex, PageId};
use airlift_protocol::key::Key;
use airlift_protocol::manifest::{Entry, Kind, Version};
use airlift_protocol::raft::{
    Configuration, LogEntry, LogPayload, LogPosition, RaftBody, RaftId, RaftMessage, SnapshotRef,
    VoteRequest,
};
use airlift_protocol::report::{Completion, Report, Unreadable};
use airlift_protocol::version::Formats;

fn at(index: u64, term: u64) -> LogPosition {
    LogPosition { index: LogIndex(index), term }
}

fn bodies(term: u64) -> Vec<RaftBody> {
    let entry = |index, payload| LogEntry { index: LogIndex(index), term, payload };
    let gap = vec![entry(2, LogPayload::Empty), entry(99, LogPayload::Command(vec![1]))];
    let set = |ids: &[u64]| ids.iter().map(|id| RaftId(*id)).collect::<BTreeSet<_>>();
    let both = Configuration {
        voters: set(&[1, 2, 3, 4]),
        learners: set(&[1]),
        ..Configuration::default()
    };
    let beyond = 1 << 40;
    let request =
        VoteRequest { last: at(beyond, term), commit: at(beyond, term), is_transfer: true };
    vec![
        RaftBody::Heartbeat { commit: LogIndex(beyond), read: Some(u64::MAX) },
        RaftBody::Append { previous: at(1, 1), commit: LogIndex(beyond), entries: gap },
        RaftBody::Append { previous: at(u64::MAX, term), commit: LogIndex(0), entries: vec![] },
        RaftBody::AppendResponse {
            index: LogIndex(beyond),
            commit: LogIndex(u64::MAX),
            rejection: Some(at(u64::MAX, term)),
        },
        RaftBody::Snapshot(SnapshotRef {
            position: at(beyond, term),
            configuration: both,
            configured: LogIndex(0),
            digest: [1; 32],
            bytes: u64::MAX,
        }),
        RaftBody::PreVote(request),
        RaftBody::Vote(request),
        RaftBody::TimeoutNow,
    ]
}

/// Every forgery, under each name and in each term, for the voter `to`.
pub(super) fn raft(to: RaftId, term: u64) -> Vec<Vec<u8>> {
    let mut forged = Vec::new();
    for from in [1, 2, 3, 99] {
        for term in [term, term + 1, u64::MAX] {
            for body in bodies(term) {
                let message = RaftMessage { from: RaftId(from), to, term, body };
                forged.push(codec::encode(&ControlMessage::Raft(message)));
            }
        }
    }
    // The last byte is the kind: of none, and of those that must not cross a wire there is none.
    let message = RaftMessage { from: RaftId(4), to, term, body: RaftBody::TimeoutNow };
    let bytes = codec::encode(&ControlMessage::Raft(message));
    for kind in [10, 77, 250] {
        forged.push([&bytes[..bytes.len() - 1], &[kind]].concat());
    }
    forged
}

/// Messages that are small to send, and would be large to have, or to act upon.
pub(super) fn bombs(job: JobId) -> Vec<Vec<u8>> {
    let orders = codec::encode(&ControlMessage::Orders(Vec::new()));
    let deleted = codec::encode(&said(job, 1, Ok(Completion::Deleted(Vec::new()))));
    // Its last field is a text.
    let beat = codec::encode(&ControlMessage::Heartbeat(heartbeat(7, Vec::new())));
    let declares = |bytes: &[u8], count: u32| {
        [&bytes[..bytes.len() - 1], &[252], &count.to_le_bytes()].concat()
    };
    let million = 7_000_000;
    vec![
        declares(&orders, u32::MAX),
        declares(&deleted, u32::MAX),
        // As many as there is room for, each one byte on the wire.
        [declares(&deleted, million), vec![0; million as usize]].concat(),
        declares(&beat, u32::MAX),
        declares(&beat, 60 << 20),
        vec![0xff; 64 << 10],
        vec![0; 8 << 20],
    ]
}

/// Signs of life and answers to orders that were given to others, or to nobody.
pub(super) fn lies(job: JobId) -> Vec<Vec<u8>> {
    let many = (0..10_000).map(AssignmentId).collect();
    let crowded =
        Addresses { control: vec![Address("x".repeat(10_000)); 200], data: Vec::new(), api: None };
    let mut messages = vec![
        ControlMessage::Heartbeat(heartbeat(1, many)),
        ControlMessage::Heartbeat(Heartbeat { addresses: crowded, ..heartbeat(2, Vec::new()) }),
        ControlMessage::Heartbeat(Heartbeat { slots: u32::MAX, ..heartbeat(3, Vec::new()) }),
    ];
    let endless = Entry {
        key: Key::from("endless"),
        kind: Kind::Object,
        size: u64::MAX,
        mtime_ns: None,
        version: Version::None,
        is_archived: false,
    };
    for id in 0..40 {
        let entries = vec![endless.clone(), endless.clone()];
        messages.push(said(
            job,
            id,
            Ok(Completion::Page { page: PageId(1), entries, unreadable: Unreadable::default() }),
        ));
        messages.push(said(job, id, Ok(Completion::Committed { dropped: AttributeSet::NONE })));
        messages.push(said(job, id, Ok(Completion::Cleaned)));
    }
    messages.iter().map(codec::encode).collect()
}

fn said(job: JobId, id: u64, result: Result<Completion, Failure>) -> ControlMessage {
    let (assignment, epoch) = (AssignmentId(id), Epoch(id));
    ControlMessage::Report(Box::new(Report { assignment, job, epoch, result, wire_bytes: 0 }))
}

pub(super) fn heartbeat(boot: u64, held: Vec<AssignmentId>) -> Heartbeat {
    Heartbeat {
        boot: Boot(boot),
        addresses: Addresses::default(),
        slots: 1,
        held,
        written: Vec::new(),
        members_version: 0,
        version: String::new(),
        figures: Vec::new(),
        shares: None,
        gates: Vec::new(),
        formats: Formats::BUILD,
        spent: Vec::new(),
    }
}
