//! Any log can be applied: each entry to its end, and the state that it leads to is a snapshot.

use airlift_coordinator::command::{Command, Entry, Founding, Grant};
use airlift_coordinator::state::State;
use airlift_protocol::cluster::{Addresses, Boot, ClusterId, Member, NodeName, Role};
use airlift_protocol::codec;
use airlift_protocol::id::{JobId, LogIndex, NodeId};
use airlift_protocol::job::{Filters, JobSpec, Mode, Policy};
use airlift_protocol::limits::LOG_ENTRY_BYTES_MAX;
use airlift_protocol::location::Location;
use airlift_protocol::raft::RaftId;
use airlift_protocol::report::Report;
use airlift_protocol::time::Timestamp;
use airlift_protocol::version::Formats;

const NODE: NodeId = NodeId([1; 32]);

/// Entries of a log, each a byte that says how it is meant, a length of two bytes and a command.
///
/// A command that is `aimed` is about the job that there is, in its present run: identifiers are
/// hashes, which nobody hits by trying.
pub(crate) fn apply(data: &[u8]) {
    let mut state = State::default();
    let mut index = LogIndex(0);
    let mut next = |state: &mut State, entry: Entry| {
        index = index.next();
        state.apply(index, entry);
    };
    let job = spec(Mode::Sync);
    let id = job.id();
    next(&mut state, found().into());
    next(&mut state, started().into());
    next(&mut state, Command::Submit { spec: Box::new(job), at: Timestamp(1) }.into());
    let mut rest = data;
    while let Some(([aim, low, high], after)) = rest.split_first_chunk::<3>() {
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(after.len());
        let (bytes, after) = after.split_at(length);
        rest = after;
        let Ok(entry) = codec::decode::<Entry>(bytes, LOG_ENTRY_BYTES_MAX) else { continue };
        let again = codec::encode(&entry);
        assert!(codec::decode::<Entry>(&again, LOG_ENTRY_BYTES_MAX).is_ok_and(|it| it == entry));
        let Entry { command, origin } = entry;
        let command = if aim % 2 == 0 { aimed(command, &state, id) } else { command };
        next(&mut state, Entry { command, origin });
    }
    let mut chain = state.audit.before();
    let followed = state.audit.entries().try_for_each(|entry| chain.follow(entry));
    assert!(followed.is_ok() && chain == state.audit.head(), "the audit log is no chain");
    let snapshot = codec::encode(&state);
    if snapshot.len() <= LOG_ENTRY_BYTES_MAX {
        let back = codec::decode::<State>(&snapshot, LOG_ENTRY_BYTES_MAX);
        assert!(back.expect("a state is read back") == state, "read back as another state");
    }
}

fn found() -> Command {
    let founder = Member {
        id: NODE,
        name: NodeName::parse("node0").unwrap(),
        role: Role::Voter,
        raft: Some(RaftId(1)),
        addresses: Addresses::default(),
        joined_at: Timestamp(0),
        formats: Formats::BUILD,
    };
    let cluster = ClusterId([3; 16]);
    Command::Found(Box::new(Founding { cluster, founder, admin: [4; 32] }))
}

fn started() -> Command {
    Command::NodeStarted {
        node: NODE,
        boot: Boot(1),
        addresses: Addresses::default(),
        formats: Formats::BUILD,
    }
}

fn spec(mode: Mode) -> JobSpec {
    let at = |path: &[u8]| Location::Node { node: "node0".to_owned(), path: path.to_vec() };
    JobSpec {
        mode,
        source: at(b"/a"),
        target: at(b"/b"),
        single: None,
        filters: Filters::default(),
        policy: Policy::default(),
    }
}

/// The same command about the job `id`, its run, and the leases that it has.
fn aimed(command: Command, state: &State, id: JobId) -> Command {
    let run_now = state.jobs.get(&id).map_or(0, |job| job.run);
    match command {
        Command::Page { end, page, turn, unreadable, .. } => {
            Command::Page { job: id, run: run_now, end, page, turn, unreadable }
        }
        Command::Cut { end, turn, at, .. } => Command::Cut { job: id, run: run_now, end, turn, at },
        Command::Passed { end, turn, up_to, unreadable, .. } => {
            Command::Passed { job: id, run: run_now, end, turn, up_to, unreadable }
        }
        Command::Grant { grants } => {
            let aim = |grant| Grant { job: id, run: run_now, node: NODE, ..grant };
            Command::Grant { grants: grants.into_iter().map(aim).collect() }
        }
        Command::Reports { reports, at } => {
            let aim = |report: Report| {
                let leases = state.jobs.get(&id).map(|job| &job.leases);
                let lease = leases.and_then(|leases| leases.get(report.assignment));
                let epoch = lease.map_or(report.epoch, |lease| lease.epoch);
                Report { job: id, epoch, ..report }
            };
            Command::Reports { reports: reports.into_iter().map(aim).collect(), at }
        }
        Command::Extraneous { page, entries, .. } => {
            Command::Extraneous { job: id, run: run_now, page, entries }
        }
        Command::Advance { at, .. } => {
            let from = state.jobs[&id].phase;
            Command::Advance { job: id, run: run_now, from, at }
        }
        Command::Stop { failure, at, .. } => Command::Stop { job: id, failure, at },
        Command::Pause { .. } => Command::Pause { job: id },
        Command::Resume { .. } => Command::Resume { job: id },
        Command::TryAgain { .. } => Command::TryAgain { job: id },
        Command::Cancel { .. } => Command::Cancel { job: id },
        Command::Submit { at, .. } => Command::Submit { spec: Box::new(spec(Mode::Sync)), at },
        other => other,
    }
}
