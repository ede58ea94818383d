//! Agreement between the voters on one log, as a machine without input or output.
//!
//! ```text
//!  propose, change_membership,  ┌──────────────┐ ──▶ poll_persist    write, then on_persisted
//!  read_index, transfer_to ────▶│  Consensus   │ ──▶ poll_send       what may be said by now
//!  step (from a peer) ─ guard ─▶│   around     │ ──▶ poll_committed  apply, in order, each once
//!  tick, on_persisted, … ──────▶│ the library  │ ──▶ poll_read       reads that may be answered
//!                               └──────────────┘ ──▶ poll_fetch      a snapshot to be fetched
//! ```
//!
//! After every call, drain all five. Nothing is said to a peer before what it depends on is on disk:
//! `poll_send` withholds it until `on_persisted`.
//!
//! The algorithm is the crate `raft`, which panics where it finds itself in an impossible state.
//! [`guard`] keeps peers from bringing it there, [`Durable::check`] the disk. A driver that sees a
//! panic nevertheless stops the control role and restores it from disk; it never goes on with the
//! same value.
//!
//! Beyond the library, three rules:
//! - a change of membership takes effect only when its commitment is on disk, so that no restart
//!   falls back to an older configuration and elects alone;
//! - nobody votes for a candidate that does not know a change of membership that is known here;
//! - the election timeout, the only thing the library draws at random, is overwritten after every
//!   call by a hash of seed, member, term and role: the same inputs give the same outputs.

mod convert;
mod durable;
mod entries;
pub mod guard;
mod membership;
mod ready;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use airlift_protocol::id::LogIndex;
use airlift_protocol::limits::{RAFT_COMMAND_BYTES_MAX, RAFT_TERMS_PER_MINUTE, STATE_BYTES_MAX};
use airlift_protocol::raft::{
    Configuration, HardState, LogEntry, LogPosition, RaftBody, RaftId, RaftMessage, SnapshotRef,
};
use raft::eraftpb::Entry;
use raft::{ProgressState, RawNode, ReadOnlyOption, SnapshotStatus, StateRole};
use thiserror::Error;

pub use self::durable::{CorruptLog, Durable};
use self::entries::Entries;
use self::guard::{Refusal, View};
pub use self::membership::{MembershipError, TransferError};
use self::ready::Waiting;

/// Ticks in a minute; the driver calls [`Consensus::tick`] every 100 ms.
const TICKS_PER_MINUTE: u64 = 600;

const HEARTBEAT_TICKS: usize = 2;
const ELECTION_TICKS_MIN: usize = 10;
const ELECTION_TICKS_MAX: usize = 20;

/// Ticks after which a snapshot that nobody reported on is offered again.
const SNAPSHOT_TICKS: u32 = 100;

/// Reads that may wait for the majority at once.
const READS_MAX: usize = 1024;

const MESSAGE_BYTES: u64 = 1 << 20;
const IN_FLIGHT_MESSAGES: usize = 256;
const UNCOMMITTED_BYTES_MAX: u64 = 64 << 20;
const COMMITTED_BYTES_PER_TURN: u64 = 16 << 20;

/// Who this member is.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Its number.
    pub id: RaftId,
    /// What election timeouts are derived from: drawn at random at each start, fixed in tests.
    pub seed: u64,
    /// When the log is cut.
    pub compaction: Compaction,
}

/// When the log is cut, and how much of it stays: members that are a little behind need no snapshot
/// then.
#[derive(Clone, Copy, Debug)]
pub struct Compaction {
    /// Entries after which it is cut.
    pub entries_max: u64,
    /// Bytes of commands after which it is cut.
    pub bytes_max: u64,
    /// Entries that stay, at most.
    pub entries_kept: u64,
    /// Bytes of commands that stay, at most.
    pub bytes_kept: u64,
    /// Memory that reading the state back may take: a larger one takes no log's place.
    pub state_bytes_max: usize,
}

impl Default for Compaction {
    fn default() -> Self {
        let (entries_max, bytes_max) = (16_384, 64 << 20);
        Self {
            entries_max,
            bytes_max,
            entries_kept: entries_max / 8,
            bytes_kept: bytes_max / 8,
            state_bytes_max: STATE_BYTES_MAX,
        }
    }
}

/// What is to be made durable, in one transaction: all of it, or the role stops.
///
/// Several may be polled and written together; then one `on_persisted` with the last will do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Persist {
    /// For [`Consensus::on_persisted`].
    pub sequence: u64,
    /// Replaces the one before.
    pub hard_state: HardState,
    /// Replaces the whole log and state: its bytes were fetched before. Comes before `entries`.
    pub snapshot: Option<SnapshotRef>,
    /// Replace everything from the index of the first of them.
    pub entries: Vec<LogEntry>,
}

/// What a member does in its term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Follows the leader, or waits for one.
    Follower,
    /// Asks whether it would be elected.
    PreCandidate,
    /// Asks for votes.
    Candidate,
    /// Leads.
    Leader,
}

/// What a member knows of the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// What it does.
    pub role: Role,
    /// Its term.
    pub term: u64,
    /// The leader of that term, if it knows one.
    pub leader: Option<RaftId>,
    /// The last entry that it knows to be committed.
    pub committed: LogIndex,
    /// The last entry that `poll_committed` handed out.
    pub applied: LogPosition,
    /// The last entry of its log.
    pub last: LogIndex,
    /// Who takes part, as of `applied`.
    pub configuration: Configuration,
    /// At the leader: the last entry that each member is known to have.
    pub matched: BTreeMap<RaftId, LogIndex>,
}

/// This member does not lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not the leader")]
pub struct NotLeader {
    /// Who does, if that is known.
    pub leader: Option<RaftId>,
}

/// Why a command was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ProposeError {
    /// Another member has to be asked.
    #[error(transparent)]
    NotLeader(#[from] NotLeader),
    /// Too much is waiting for the majority, or the lead is being handed over: try later.
    #[error("too much is waiting for the majority")]
    Congested,
    /// No command is empty, none is longer than an entry.
    #[error("{0} bytes are no command")]
    Size(usize),
}

/// Why a read cannot be confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ReadError {
    /// Another member has to be asked.
    #[error(transparent)]
    NotLeader(#[from] NotLeader),
    /// The leader is new and does not know yet what is committed: try later.
    #[error("the leader has just been elected")]
    NotReady,
    /// Too many reads wait already.
    #[error("too many reads are waiting")]
    Congested,
}

/// Why the log was not compacted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CompactError {
    /// The snapshot is not of what was applied here, or older than the one there is.
    #[error("the snapshot as of entry {} is not of this log", .0.0)]
    Snapshot(LogIndex),
    /// Entries that no snapshot contains cannot go.
    #[error("entry {} is not in the snapshot", .0.0)]
    Through(LogIndex),
}

/// A snapshot that was offered and is not here yet.
#[derive(Debug)]
struct Fetch {
    from: RaftId,
    message: RaftMessage,
    reference: SnapshotRef,
    is_announced: bool,
}

/// One member of the group.
pub struct Consensus {
    raw: RawNode<Entries>,
    id: RaftId,
    seed: u64,
    compaction: Compaction,
    configuration: Configuration,
    /// The entry that brought `configuration` about.
    configured: LogIndex,
    introduced: BTreeSet<RaftId>,
    term_first: u64,
    ticks: u64,
    applied: LogPosition,
    /// How far commitment was looked through for changes of membership, and the last one found.
    commit_seen: u64,
    configured_committed: u64,
    /// The commit index that is on disk.
    commit_durable: u64,
    /// Term and vote as of the last `Persist`.
    voted: (u64, u64),
    fetch: Option<Fetch>,
    /// A snapshot is being written: nothing else happens meanwhile.
    installing: Option<LogPosition>,
    /// A snapshot has taken the place of the state, and nobody has asked yet.
    is_installed: bool,
    waiting: VecDeque<Waiting>,
    persists: VecDeque<Persist>,
    /// The last sequence that was polled.
    polled: u64,
    outbox: VecDeque<(RaftId, RaftMessage)>,
    committed: VecDeque<Entry>,
    reads: VecDeque<(u64, LogIndex)>,
    /// Ticks since each lagging member was offered a snapshot.
    snapshot_ticks: BTreeMap<RaftId, u32>,
}

impl fmt::Debug for Consensus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consensus").field("id", &self.id).field("status", &self.status()).finish()
    }
}

impl Consensus {
    /// The member whose disk holds `durable`.
    ///
    /// # Errors
    /// When an honest member could not have written that.
    pub fn restore(config: Config, durable: Durable) -> Result<Self, CorruptLog> {
        if config.id.0 == 0 {
            return Err(CorruptLog::NoId);
        }
        durable.check()?;
        let Durable { mut hard_state, compacted, snapshot, entries } = durable;
        let applied = snapshot.as_ref().map_or(compacted, |snapshot| snapshot.position);
        let configured = snapshot.as_ref().map_or(LogIndex(0), |snapshot| snapshot.configured);
        let configuration =
            snapshot.as_ref().map(|snapshot| snapshot.configuration.clone()).unwrap_or_default();
        // What a snapshot contains is committed, whether or not the commit index got to the disk.
        hard_state.commit = hard_state.commit.max(applied.index);
        let raft_state = convert::to_hard_state(hard_state);
        let voted = (raft_state.term, raft_state.vote);
        let conf_state = convert::to_configuration(&configuration);
        let mut log = Entries::new(raft_state, conf_state, compacted, snapshot);
        let entries: Vec<Entry> = entries.into_iter().map(convert::to_entry).collect();
        log.append(&entries);
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let raw = RawNode::new(&library_config(config.id, applied.index), log, &logger)
            .expect("invariant: the configuration is valid, and the storage has no other errors");
        let mut consensus = Self {
            raw,
            id: config.id,
            seed: config.seed,
            compaction: config.compaction,
            configuration,
            configured,
            introduced: BTreeSet::new(),
            term_first: hard_state.term,
            ticks: 0,
            applied,
            commit_seen: applied.index.0,
            configured_committed: configured.0,
            commit_durable: hard_state.commit.0,
            voted,
            fetch: None,
            installing: None,
            is_installed: false,
            waiting: VecDeque::new(),
            persists: VecDeque::new(),
            polled: 0,
            outbox: VecDeque::new(),
            committed: VecDeque::new(),
            reads: VecDeque::new(),
            snapshot_ticks: BTreeMap::new(),
        };
        consensus.settle();
        Ok(consensus)
    }

    /// A tenth of a second has passed.
    pub fn tick(&mut self) {
        self.ticks += 1;
        if self.installing.is_some() || self.is_election_held() {
            return;
        }
        self.raw.tick();
        self.age_snapshots();
        self.settle();
    }

    /// Asks to be elected now. The only voter of a group is elected by that alone.
    pub fn campaign(&mut self) {
        if self.installing.is_some() || !self.raw.raft.promotable() || self.is_behind_disk() {
            return;
        }
        // The library refuses nothing here: it ignores the request where it cannot be met.
        if self.raw.campaign().is_ok() {
            self.settle();
        }
    }

    /// Takes in what a peer said over a connection that is known to be that of `from`.
    ///
    /// # Errors
    /// When an honest member would not have said it, or when it has to be said again later.
    pub fn step(&mut self, from: RaftId, message: RaftMessage) -> Result<(), Refusal> {
        if self.installing.is_some() {
            return Err(Refusal::Busy);
        }
        guard::check(from, &message, &self.view())?;
        match &message.body {
            RaftBody::Snapshot(snapshot) if self.is_wanted(message.term, snapshot) => {
                let reference = snapshot.clone();
                self.offer(from, message, reference);
                return Ok(());
            }
            RaftBody::TimeoutNow if self.is_behind_disk() => return Err(Refusal::Busy),
            _ => {}
        }
        self.feed(message)
    }

    /// Appends a command to the log, once a majority has it.
    ///
    /// # Errors
    /// When this member does not lead, or cannot take more. Success is no promise: only what
    /// `poll_committed` hands out has happened.
    pub fn propose(&mut self, command: Vec<u8>) -> Result<(), ProposeError> {
        self.leads()?;
        if command.is_empty() || command.len() > RAFT_COMMAND_BYTES_MAX {
            return Err(ProposeError::Size(command.len()));
        }
        let result = self.raw.propose(Vec::new(), command);
        self.settle();
        result.map_err(|_| ProposeError::Congested)
    }

    /// Asks a majority to confirm that this member still leads; `poll_read` hands out `request`
    /// when a read of the applied state is as good as one of the log. `request` must differ from
    /// those that wait. When the lead is lost, so is the request: whoever waits gives up in time.
    ///
    /// # Errors
    /// When this member does not lead, or cannot know yet what is committed.
    pub fn read_index(&mut self, request: u64) -> Result<(), ReadError> {
        self.leads()?;
        if !self.raw.raft.commit_to_current_term() {
            return Err(ReadError::NotReady);
        }
        if self.raw.raft.pending_read_count() + self.reads.len() >= READS_MAX {
            return Err(ReadError::Congested);
        }
        self.raw.read_index(request.to_le_bytes().to_vec());
        self.settle();
        Ok(())
    }

    /// Lets `id` lead this member before the log says that it takes part: a joining member needs
    /// that, and one that missed the change. The caller vouches that `id` belongs to the cluster.
    pub fn introduce(&mut self, ids: BTreeSet<RaftId>) {
        self.introduced = ids;
    }

    /// Stops leading: the others have not heard this member for so long that one of them may lead.
    pub fn step_down(&mut self) {
        let raft = &mut self.raw.raft;
        if raft.state == StateRole::Leader {
            let term = raft.term;
            raft.become_follower(term, 0);
            self.settle();
        }
    }

    /// Messages to `id` are getting lost.
    pub fn report_unreachable(&mut self, id: RaftId) {
        self.raw.report_unreachable(id.0);
        self.settle();
    }

    /// `id` has fetched the snapshot that it was offered, or cannot.
    pub fn report_snapshot(&mut self, id: RaftId, is_fetched: bool) {
        let status = if is_fetched { SnapshotStatus::Finish } else { SnapshotStatus::Failure };
        self.raw.report_snapshot(id.0, status);
        self.settle();
    }

    /// The snapshot of `poll_fetch` is here, verified, or cannot be had from whom it was offered.
    /// Returns whether it is being installed now: a `Persist` has it, and once that is durable,
    /// `poll_installed`.
    pub fn on_snapshot_fetched(&mut self, reference: &SnapshotRef, is_fetched: bool) -> bool {
        let Some(fetch) = self.fetch.take_if(|fetch| fetch.reference == *reference) else {
            return false;
        };
        // Much may have happened meanwhile: it has to pass the guard again, or is out of date.
        let is_current = self.installing.is_none()
            && self.is_wanted(fetch.message.term, reference)
            && guard::check(fetch.from, &fetch.message, &self.view()).is_ok();
        if is_fetched && is_current {
            self.feed(fetch.message).expect("invariant: it passed the guard just now");
            return self.installing == Some(reference.position);
        }
        false
    }

    /// The snapshot that has become the state, once: from here on entries apply on top of it.
    pub fn poll_installed(&mut self) -> Option<SnapshotRef> {
        let is_installed = std::mem::take(&mut self.is_installed);
        self.raw.store().snapshot().filter(|_| is_installed).cloned()
    }

    /// The next snapshot to fetch, and from whom. A newer one takes the place of one under way.
    pub fn poll_fetch(&mut self) -> Option<(RaftId, SnapshotRef)> {
        let fetch = self.fetch.as_mut().filter(|fetch| !fetch.is_announced)?;
        fetch.is_announced = true;
        Some((fetch.from, fetch.reference.clone()))
    }

    /// The next message that may be sent. It may get lost.
    pub fn poll_send(&mut self) -> Option<(RaftId, RaftMessage)> {
        self.outbox.pop_front()
    }

    /// The next read whose answer the applied state has, with the index that it was waiting for.
    pub fn poll_read(&mut self) -> Option<(u64, LogIndex)> {
        self.reads.pop_front_if(|(_, index)| *index <= self.applied.index)
    }

    /// The last entry that was handed out.
    pub fn applied(&self) -> LogPosition {
        self.applied
    }

    /// A reference to the state as of the last entry that was handed out.
    pub fn snapshot_here(&self, digest: [u8; 32], bytes: u64) -> SnapshotRef {
        SnapshotRef {
            position: self.applied,
            configuration: self.configuration.clone(),
            configured: self.configured,
            digest,
            bytes,
        }
    }

    /// The last entry that is no longer kept.
    pub fn compacted(&self) -> LogIndex {
        LogIndex(self.raw.store().first() - 1)
    }

    /// Whether a member waits for a snapshot that is new enough to name it.
    pub fn wants_snapshot(&self) -> bool {
        let known = self.raw.store().snapshot().map(|snapshot| &snapshot.configuration);
        let is_cut_off = |matched: u64| matched + 1 < self.raw.store().first();
        self.raw.raft.state == StateRole::Leader
            && self.raw.raft.prs().iter().any(|(id, progress)| {
                is_cut_off(progress.matched)
                    && known.is_none_or(|known| !known.contains(RaftId(*id)))
            })
    }

    /// When the log is cut.
    pub fn compaction(&self) -> &Compaction {
        &self.compaction
    }

    /// The last entry that may go when the log is to be cut; the one that is gone already when it
    /// need not be, or cannot.
    pub fn cut(&self) -> LogIndex {
        let log = self.raw.store();
        let Compaction { entries_max, bytes_max, entries_kept, bytes_kept, .. } = self.compaction;
        let is_long = log.len() >= entries_max || log.bytes() >= bytes_max;
        match is_long && !self.is_installing() {
            true => log.all_but_last(entries_kept, bytes_kept).min(self.applied.index),
            false => self.compacted(),
        }
    }

    /// Whether a snapshot from elsewhere is about to take the place of the log, or just doing so:
    /// it is not cut meanwhile, since what the other needs may be among what would go.
    pub fn is_installing(&self) -> bool {
        self.installing.is_some() || self.fetch.is_some()
    }

    /// Drops entries up to `through`, after the same was made durable.
    ///
    /// # Errors
    /// When `snapshot` is not of the applied state, or does not contain `through`.
    pub fn compact(
        &mut self,
        through: LogIndex,
        snapshot: SnapshotRef,
    ) -> Result<(), CompactError> {
        let at = snapshot.position;
        let is_newer =
            self.raw.store().snapshot().is_some_and(|now| now.position.index <= at.index);
        let is_ours = self.raw.raft.raft_log.match_term(at.index.0, at.term);
        if !is_newer || !is_ours || at.index > self.applied.index || self.installing.is_some() {
            return Err(CompactError::Snapshot(at.index));
        }
        if through > at.index {
            return Err(CompactError::Through(through));
        }
        self.raw.mut_store().compact(through, snapshot);
        Ok(())
    }

    /// Bytes of the commands that are kept in memory.
    pub fn log_bytes(&self) -> u64 {
        self.raw.store().bytes()
    }

    /// What this member does in its term.
    pub fn role(&self) -> Role {
        match self.raw.raft.state {
            StateRole::Follower => Role::Follower,
            StateRole::PreCandidate => Role::PreCandidate,
            StateRole::Candidate => Role::Candidate,
            StateRole::Leader => Role::Leader,
        }
    }

    /// Its term.
    pub fn term(&self) -> u64 {
        self.raw.raft.term
    }

    /// The leader of that term, if it knows one.
    pub fn leader(&self) -> Option<RaftId> {
        convert::member(self.raw.raft.leader_id)
    }

    /// Who takes part, as of the last entry that was handed out.
    pub fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    /// The last entry of its log.
    pub fn last(&self) -> LogIndex {
        LogIndex(self.raw.raft.raft_log.last_index())
    }

    /// The last entry that this member knows to be committed.
    pub fn committed(&self) -> LogIndex {
        LogIndex(self.raw.raft.raft_log.committed)
    }

    /// What this member knows of the group.
    pub fn status(&self) -> Status {
        let raft = &self.raw.raft;
        let role = self.role();
        let matched = match role {
            Role::Leader => {
                raft.prs().iter().map(|(id, it)| (RaftId(*id), LogIndex(it.matched))).collect()
            }
            Role::Follower | Role::PreCandidate | Role::Candidate => BTreeMap::new(),
        };
        Status {
            role,
            term: self.term(),
            leader: self.leader(),
            committed: self.committed(),
            applied: self.applied,
            last: self.last(),
            configuration: self.configuration.clone(),
            matched,
        }
    }

    fn leads(&self) -> Result<(), NotLeader> {
        match self.raw.raft.state {
            StateRole::Leader => Ok(()),
            _ => Err(NotLeader { leader: convert::member(self.raw.raft.leader_id) }),
        }
    }

    fn view(&self) -> View<'_> {
        let raft = &self.raw.raft;
        let (commit, commit_term) = raft.raft_log.commit_info();
        let minutes = self.ticks / TICKS_PER_MINUTE;
        View {
            id: self.id,
            term: raft.term,
            term_max: self.term_first.saturating_add((minutes + 1) * RAFT_TERMS_PER_MINUTE),
            leader: convert::member(raft.leader_id),
            configuration: &self.configuration,
            introduced: &self.introduced,
            last: LogIndex(raft.raft_log.last_index()),
            committed: LogPosition { index: LogIndex(commit), term: commit_term },
            configured: LogIndex(self.configured_committed),
        }
    }

    /// Whether entries wait for the disk.
    fn is_behind_disk(&self) -> bool {
        self.raw.raft.raft_log.persisted < self.raw.raft.raft_log.last_index()
    }

    /// An election begins only when the log is on disk: the library relies on it.
    fn is_election_held(&self) -> bool {
        let raft = &self.raw.raft;
        raft.state != StateRole::Leader
            && raft.election_elapsed + 1 >= raft.randomized_election_timeout()
            && self.is_behind_disk()
    }

    /// Whether a snapshot has anything that this log does not.
    fn is_wanted(&self, term: u64, snapshot: &SnapshotRef) -> bool {
        let log = &self.raw.raft.raft_log;
        let at = snapshot.position;
        term >= self.raw.raft.term
            && at.index.0 > log.committed
            && !log.match_term(at.index.0, at.term)
    }

    fn offer(&mut self, from: RaftId, message: RaftMessage, reference: SnapshotRef) {
        let is_announced = self.fetch.as_ref().is_some_and(|fetch| {
            fetch.is_announced && fetch.reference == reference && fetch.from == from
        });
        self.fetch = Some(Fetch { from, message, reference, is_announced });
    }

    fn feed(&mut self, message: RaftMessage) -> Result<(), Refusal> {
        let from = RaftId(message.from.0);
        // The library's only complaint about what passed the guard is an answer of a stranger.
        let result = self.raw.step(convert::to_message(message));
        self.settle();
        result.map_err(|_| Refusal::NotAMember(from))
    }

    /// Offers a snapshot again that nobody reported on: the offer may have got lost.
    fn age_snapshots(&mut self) {
        let raft = &self.raw.raft;
        let is_leader = raft.state == StateRole::Leader;
        let offered: BTreeSet<RaftId> = raft
            .prs()
            .iter()
            .filter(|(_, progress)| is_leader && progress.state == ProgressState::Snapshot)
            .map(|(id, _)| RaftId(*id))
            .collect();
        self.snapshot_ticks.retain(|id, _| offered.contains(id));
        for id in offered {
            let ticks = self.snapshot_ticks.entry(id).or_default();
            *ticks += 1;
            if *ticks >= SNAPSHOT_TICKS {
                *ticks = 0;
                self.raw.report_snapshot(id.0, SnapshotStatus::Failure);
            }
        }
    }

    /// Overwrites the only thing that the library draws at random.
    fn fix_timeout(&mut self) {
        let raft = &mut self.raw.raft;
        let mut hash = self.seed;
        for word in [raft.id, raft.term, raft.state as u64] {
            hash = mix(hash ^ word);
        }
        let span = (ELECTION_TICKS_MAX - ELECTION_TICKS_MIN) as u64;
        let ticks = usize::try_from(hash % span).expect("invariant: the span is small");
        raft.set_randomized_election_timeout(ELECTION_TICKS_MIN + ticks);
    }
}

fn library_config(id: RaftId, applied: LogIndex) -> raft::Config {
    raft::Config {
        id: id.0,
        applied: applied.0,
        election_tick: ELECTION_TICKS_MIN,
        heartbeat_tick: HEARTBEAT_TICKS,
        min_election_tick: ELECTION_TICKS_MIN,
        max_election_tick: ELECTION_TICKS_MAX,
        max_size_per_msg: MESSAGE_BYTES,
        max_inflight_msgs: IN_FLIGHT_MESSAGES,
        check_quorum: true,
        pre_vote: true,
        read_only_option: ReadOnlyOption::Safe,
        max_uncommitted_size: UNCOMMITTED_BYTES_MAX,
        max_committed_size_per_ready: COMMITTED_BYTES_PER_TURN,
        ..raft::Config::default()
    }
}

/// The finaliser of SplitMix64.
fn mix(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}
