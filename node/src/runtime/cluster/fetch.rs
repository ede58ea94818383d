//! What a voter gets from the leader before it goes on with the leader's state: the state itself,
//! the manifest pages that it refers to, and what became of objects.
//!
//! Whatever has arrived stays: when the leader is lost on the way, the next attempt asks for the
//! rest.

use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};

use airlift_coordinator::state::State;
use airlift_protocol::codec;
use airlift_protocol::control::RecordKey;
use airlift_protocol::error::ErrorCode;
use airlift_protocol::frame::CatchUp;
use airlift_protocol::id::LogIndex;
use airlift_protocol::limits::{LOG_ENTRY_BYTES_MAX, STATE_BYTES_MAX};
use airlift_protocol::manifest::Page;
use airlift_protocol::raft::SnapshotRef;

use super::records::{EncodedRecord, RecordFile};
use crate::network::data::pieces::PieceStream;
use crate::network::data::remote::Route;
use crate::runtime::blocking::blocking;
use crate::storage::consensus::ConsensusFile;
use crate::store::StoreError;

/// Pages that are written at once.
const PAGES_BATCHED: usize = 16;

/// As much of a state as has arrived.
#[derive(Debug, Default)]
pub(super) struct Partial {
    digest: [u8; 32],
    bytes: Vec<u8>,
    /// The last record that was taken over along with it.
    recorded: Option<RecordKey>,
}

/// One attempt.
#[derive(Debug)]
pub(super) struct Fetch {
    pub(super) route: Route,
    pub(super) reference: SnapshotRef,
    pub(super) file: Arc<ConsensusFile>,
    pub(super) records: Arc<RecordFile>,
    pub(super) partial: Arc<Mutex<Partial>>,
}

impl Fetch {
    /// The state, when it and all that belongs to it is here.
    ///
    /// # Errors
    /// When this node's disk refuses.
    pub(super) async fn run(self) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(state) = self.state().await else { return Ok(None) };
        let (file, state) = (Arc::clone(&self.file), state);
        let looked = blocking(move || {
            let missing = missing_pages(&file, &state)?;
            Ok(missing.map(|missing| (state, missing)))
        });
        let Some((state, missing)) = looked.await? else { return Ok(None) };
        for indices in missing.chunks(PAGES_BATCHED) {
            let Some(pages) = self.pages(indices).await else { return Ok(None) };
            let file = Arc::clone(&self.file);
            blocking(move || file.keep_pages(&pages)).await?;
        }
        let has_all = self.records().await?;
        Ok(has_all.then_some(state))
    }

    async fn state(&self) -> Option<Vec<u8>> {
        let digest = self.reference.digest;
        let bytes_max = self.reference.bytes.min(STATE_BYTES_MAX as u64);
        let from = self.arrived();
        if from < bytes_max {
            let mut pieces = self.open(CatchUp::State { digest, from }).await?;
            while self.arrived() < bytes_max {
                let part = heard(pieces.next().await)??;
                self.partial().bytes.extend_from_slice(&part);
            }
        }
        let state = std::mem::take(&mut self.partial().bytes);
        self.reference.is_of(&state).then_some(state)
    }

    /// Bytes that are here; another state's are let go.
    fn arrived(&self) -> u64 {
        let mut partial = self.partial();
        if partial.digest != self.reference.digest {
            *partial = Partial { digest: self.reference.digest, ..Partial::default() };
        }
        partial.bytes.len() as u64
    }

    fn partial(&self) -> std::sync::MutexGuard<'_, Partial> {
        self.partial.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn pages(&self, indices: &[LogIndex]) -> Option<Vec<(LogIndex, Page)>> {
        let mut pieces = self.open(CatchUp::Pages(indices.to_vec())).await?;
        let mut pages = Vec::with_capacity(indices.len());
        for index in indices {
            let piece = heard(pieces.next().await)??;
            let page = codec::decode(&piece, LOG_ENTRY_BYTES_MAX);
            pages.push((*index, heard(page)?));
        }
        Some(pages)
    }

    /// Whether all of the other's records are here.
    async fn records(&self) -> Result<bool, StoreError> {
        let after = self.partial().recorded;
        let Some(mut pieces) = self.open(CatchUp::Records(after)).await else { return Ok(false) };
        loop {
            let Some(piece) = heard(pieces.next().await) else { return Ok(false) };
            let Some(piece) = piece else { return Ok(true) };
            let decoded = codec::decode::<Vec<EncodedRecord>>(&piece, LOG_ENTRY_BYTES_MAX);
            let Some(records) = heard(decoded) else { return Ok(false) };
            let last = records.last().map(|(key, _)| *key);
            // In order, or it would never end.
            if last <= self.partial().recorded {
                return Ok(false);
            }
            let file = Arc::clone(&self.records);
            match blocking(move || file.adopt(&records)).await {
                Err(error) if error.code == ErrorCode::Protocol => {
                    tracing::warn!(%error, "records of another voter");
                    return Ok(false);
                }
                adopted => adopted?,
            }
            self.partial().recorded = last;
        }
    }

    async fn open(&self, wanted: CatchUp) -> Option<PieceStream> {
        heard(PieceStream::open(&self.route, wanted).await)
    }
}

/// The manifest pages that an encoded state refers to and this node does not have; `None` when it is no
/// state.
///
/// # Errors
/// When this node's disk refuses.
pub(super) fn missing_pages(
    file: &ConsensusFile,
    state: &[u8],
) -> Result<Option<Vec<LogIndex>>, StoreError> {
    let Ok(decoded) = codec::decode::<State>(state, STATE_BYTES_MAX) else { return Ok(None) };
    file.adopt_pages(&decoded.pages()).map(Some)
}

/// What has come of the other voter, if it is any good: whatever is wrong, another attempt follows.
fn heard<T>(come: Result<T, impl Display>) -> Option<T> {
    come.inspect_err(|error| tracing::debug!(%error, "the state of another voter")).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use airlift_coordinator::command::{Command, Turn};
    use airlift_coordinator::consensus::Durable;
    use airlift_protocol::assignment::End;
    use airlift_protocol::id::{KeyRangeId, PageId};
    use airlift_protocol::job::{Filters, JobSpec, Mode, Policy};
    use airlift_protocol::key::Key;
    use airlift_protocol::location::Location;
    use airlift_protocol::manifest::{Entry, Kind, Version};
    use airlift_protocol::raft::RaftId;
    use airlift_protocol::report::Unreadable;
    use airlift_protocol::time::Timestamp;

    use super::*;
    use crate::storage::consensus::{LAYOUT, MemberIdentity};

    fn page() -> Page {
        let entry = Entry {
            key: Key::from("k"),
            kind: Kind::Object,
            size: 1,
            mtime_ns: None,
            version: Version::None,
            is_archived: false,
        };
        Page { id: PageId(0), entries: vec![entry] }
    }

    /// A state that refers to the page of entry 12.
    fn state() -> Vec<u8> {
        let spec = JobSpec {
            mode: Mode::Copy,
            source: Location::Path(b"/source".to_vec()),
            target: Location::Path(b"/target".to_vec()),
            single: None,
            filters: Filters::default(),
            policy: Policy::default(),
        };
        let (job, at) = (spec.id(), Timestamp(1));
        let mut state = State::default();
        state.apply(LogIndex(2), Command::Submit { spec: Box::new(spec), at });
        let turn = Turn { range: KeyRangeId(0), number: PageId(0), at };
        let (end, page, unreadable) = (End::Source, page(), Unreadable::default());
        state.apply(LogIndex(12), Command::Page { job, run: 1, end, page, turn, unreadable });
        assert_eq!(state.pages(), [LogIndex(12)].into());
        codec::encode(&state)
    }

    /// A snapshot of this node's own, begun before, keeps the pages of its state, and no others.
    #[test]
    fn pages_that_a_late_snapshot_took_away_are_missed() {
        let directory = tempfile::tempdir().unwrap();
        let id = RaftId(1);
        let identity =
            MemberIdentity { layout: LAYOUT, cluster: [7; 16], id, incarnation: [9; 16] };
        let durable = Durable::found(id, [3; 32], 5);
        let path = directory.path().join("consensus.redb");
        let file = ConsensusFile::create(&path, &identity, &durable).unwrap();
        let state = state();
        assert_eq!(missing_pages(&file, &state).unwrap(), Some(vec![LogIndex(12)]));
        file.keep_pages(&[(LogIndex(12), page())]).unwrap();
        assert_eq!(missing_pages(&file, &state).unwrap(), Some(Vec::new()));
        let snapshot = durable.snapshot.unwrap();
        file.compact(durable.compacted.index, &snapshot, &BTreeSet::new()).unwrap();
        assert_eq!(missing_pages(&file, &state).unwrap(), Some(vec![LogIndex(12)]));
        assert_eq!(missing_pages(&file, &[0xff; 9]).unwrap(), None);
    }
}
