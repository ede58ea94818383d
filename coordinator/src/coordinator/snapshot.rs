//! Snapshots: how a voter that has just joined comes by the state, and one that was left behind.
//!
//! ```text
//! any      log is long ────▶ SaveSnapshot ─▶ SnapshotSaved ─▶ the log's older part is dropped
//! leader   wants_snapshot ─▶ SaveSnapshot ─▶ SnapshotSaved ─▶ offered to whoever waits for it
//! other    offer ─▶ FetchSnapshot ─▶ SnapshotFetched ─▶ Persist ─▶ Persisted ─▶ becomes the state
//! ```
//!
//! A snapshot's bytes are the encoded [`State`]. Reading it may take no more memory than the codec
//! grants it, [`STATE_BYTES_MAX`]: who saves it reads it back first.
//!
//! Manifest pages are entries of the log. Those that the state still refers to outlive the cut, in a
//! place of their own on the disk of every voter.

use std::collections::BTreeSet;

use airlift_protocol::codec;
use airlift_protocol::id::{JobId, LogIndex};
use airlift_protocol::limits::STATE_BYTES_MAX;
use airlift_protocol::raft::{RaftId, SnapshotRef, snapshot_digest};

use super::Coordinator;
use super::unmoved::Unmoved;
use crate::effect::Effect;
use crate::scheduler::pages::Pages;
use crate::state::State;

/// Entries after which a state that was too large for a snapshot is looked at again.
const TOO_LARGE_ENTRIES: u64 = 1024;

/// Snapshots under way.
#[derive(Debug, Default)]
pub(super) struct Snapshots {
    /// Being written, one at a time, with the last entry that goes when it is.
    saving: Option<(SnapshotRef, LogIndex)>,
    /// Fetched, and being installed by consensus.
    fetched: Option<(SnapshotRef, State)>,
    /// The entry as of which the state was too large.
    too_large: Option<LogIndex>,
    /// Voters that were introduced from outside.
    introduced: BTreeSet<RaftId>,
}

impl Coordinator {
    /// The state as a snapshot has it.
    pub fn snapshot_bytes(&self) -> Vec<u8> {
        codec::encode(&self.state)
    }

    /// Saves a snapshot if somebody waits for one or the log is long, and fetches the one that is
    /// offered.
    pub(super) fn settle_snapshots(&mut self) {
        self.save_snapshot();
        let Some(consensus) = self.log.consensus_mut() else { return };
        while let Some((from, reference)) = consensus.poll_fetch() {
            self.effects.push_back(Effect::FetchSnapshot { from, reference });
        }
    }

    fn save_snapshot(&mut self) {
        // An entry that could not be read counts as handed out, and is not in the state.
        if self.snapshots.saving.is_some() || self.log.is_damaged() {
            return;
        }
        let Some(consensus) = self.log.consensus() else { return };
        let through = consensus.cut();
        if consensus.is_installing()
            || (through <= consensus.compacted() && !consensus.wants_snapshot())
        {
            return;
        }
        let applied = consensus.applied().index;
        let is_soon = |at: LogIndex| applied.0 < at.0 + TOO_LARGE_ENTRIES;
        if self.snapshots.too_large.is_some_and(is_soon) {
            return;
        }
        let state = self.snapshot_bytes();
        let bytes = state.len() as u64;
        let bytes_max = consensus.compaction().state_bytes_max;
        if codec::decode::<State>(&state, bytes_max).is_err() {
            self.snapshots.too_large = Some(applied);
            self.effects.push_back(Effect::SnapshotTooLarge { bytes });
            return;
        }
        let reference = consensus.snapshot_here(snapshot_digest(&state), bytes);
        let pages = self.state.pages();
        self.snapshots.too_large = None;
        self.snapshots.saving = Some((reference.clone(), through));
        self.effects.push_back(Effect::SaveSnapshot { reference, state, through, pages });
    }

    pub(super) fn on_snapshot_saved(&mut self, reference: SnapshotRef) {
        let saved = self.snapshots.saving.take_if(|(saving, _)| *saving == reference);
        let Some((_, through)) = saved else { return };
        let Some(consensus) = self.log.consensus_mut() else { return };
        // Refused only when another snapshot has taken the place of the log meanwhile: it is newer.
        let _ = consensus.compact(through, reference);
    }

    pub(super) fn on_snapshot_fetched(&mut self, reference: SnapshotRef, bytes: Option<&[u8]>) {
        let bytes = bytes.filter(|bytes| reference.is_of(bytes));
        if let Some(format) = bytes.and_then(State::format_of) {
            self.check_format(format);
        }
        let state = bytes.and_then(|bytes| codec::decode(bytes, STATE_BYTES_MAX).ok());
        let Some(consensus) = self.log.consensus_mut() else { return };
        if consensus.on_snapshot_fetched(&reference, state.is_some())
            && let Some(state) = state
        {
            self.snapshots.fetched = Some((reference, state));
        }
    }

    /// Goes on with the state that consensus has installed, if it has.
    pub(super) fn install_snapshot(&mut self) {
        let Some(consensus) = self.log.consensus_mut() else { return };
        let Some(installed) = consensus.poll_installed() else { return };
        let (reference, state) =
            self.snapshots.fetched.take().expect("invariant: only what was fetched is installed");
        assert_eq!(reference, installed, "invariant: one snapshot is installed at a time");
        let gone = self.state.jobs.keys().filter(|job| !state.jobs.contains_key(job));
        let forget = |job: &JobId| Effect::Forget { job: *job, run: state.run_removed(*job) };
        let gone: Vec<Effect> = gone.map(forget).collect();
        self.effects.extend(gone);
        self.state = state;
        self.pages = Pages::default();
        self.unmoved = Unmoved::default();
        self.diffs.clear();
        self.check_format(self.state.format);
        self.introduce_members();
        self.effects.push_back(Effect::MembersChanged);
    }

    pub(super) fn on_snapshot_sent(&mut self, to: RaftId, is_fetched: bool) {
        if let Some(consensus) = self.log.consensus_mut() {
            consensus.report_snapshot(to, is_fetched);
        }
    }

    pub(super) fn on_introduce(&mut self, ids: BTreeSet<RaftId>) {
        self.snapshots.introduced = ids;
        self.introduce_members();
    }

    /// Lets every member lead this voter, and who was introduced from outside.
    pub(super) fn introduce_members(&mut self) {
        let members = self.state.cluster.iter().flat_map(|cluster| cluster.members.values());
        let mut ids: BTreeSet<RaftId> = members.filter_map(|member| member.raft).collect();
        ids.extend(&self.snapshots.introduced);
        if let Some(consensus) = self.log.consensus_mut() {
            consensus.introduce(ids);
        }
    }
}
