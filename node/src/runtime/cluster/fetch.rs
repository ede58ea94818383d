//! What a voter gets from the leader before it goes on with the leader's state: the state itself,
//! the manifest pages that it refers to, and what became of objects.
//!
//! Whatever has arrived stays: when the leader is lost on the way, the next attempt asks for the
//! rest.

use std::sync::{Arc, Mutex, PoisonError};

use airlift_coordinator::state::State;
use airlift_protocol::codec;
use airlift_protocol::control::{ControlAnswer, ControlMessage};
use airlift_protocol::id::{LogIndex, NodeId};
use airlift_protocol::limits::STATE_BYTES_MAX;
use airlift_protocol::manifest::Page;
use airlift_protocol::raft::SnapshotRef;

use super::records::RecordFile;
use super::talk::{self, FETCH_TIMEOUT};
use crate::network::control::ControlNetwork;
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
}

/// One attempt.
#[derive(Debug)]
pub(super) struct Fetch {
    pub(super) control: Arc<ControlNetwork>,
    pub(super) from: NodeId,
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
            let Ok(decoded) = codec::decode::<State>(&state, STATE_BYTES_MAX) else {
                return Ok(None);
            };
            file.adopt_pages(&decoded.pages()).map(|missing| Some((state, missing)))
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
        loop {
            let offset = self.arrived();
            if offset >= self.reference.bytes.min(STATE_BYTES_MAX as u64) {
                break;
            }
            let question = ControlMessage::FindSnapshot(digest, offset);
            let ControlAnswer::Snapshot(Some(part)) = self.ask(&question).await? else {
                return None;
            };
            if part.is_empty() {
                return None;
            }
            self.partial().bytes.extend(part);
        }
        let state = std::mem::take(&mut self.partial().bytes);
        self.reference.is_of(&state).then_some(state)
    }

    /// Bytes that are here; another state's are let go.
    fn arrived(&self) -> u64 {
        let mut partial = self.partial();
        if partial.digest != self.reference.digest {
            *partial = Partial { digest: self.reference.digest, bytes: Vec::new() };
        }
        partial.bytes.len() as u64
    }

    fn partial(&self) -> std::sync::MutexGuard<'_, Partial> {
        self.partial.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn pages(&self, indices: &[LogIndex]) -> Option<Vec<(LogIndex, Page)>> {
        let mut pages = Vec::with_capacity(indices.len());
        for index in indices {
            let answer = self.ask(&ControlMessage::FindPage(*index)).await?;
            let ControlAnswer::Page(Some(page)) = answer else { return None };
            pages.push((*index, *page));
        }
        Some(pages)
    }

    /// Whether all of the other's records are here.
    async fn records(&self) -> Result<bool, StoreError> {
        let mut after = None;
        loop {
            let question = ControlMessage::FindRecords(after);
            let Some(ControlAnswer::Records(records)) = self.ask(&question).await else {
                return Ok(false);
            };
            let Some((last, _)) = records.last() else { return Ok(true) };
            // In order, or it would never end.
            if after.is_some_and(|after| *last <= after) {
                return Ok(false);
            }
            after = Some(*last);
            let file = Arc::clone(&self.records);
            blocking(move || file.adopt(&records)).await?;
        }
    }

    async fn ask(&self, question: &ControlMessage) -> Option<ControlAnswer> {
        let answer = talk::ask(&self.control, self.from, question, FETCH_TIMEOUT).await;
        answer.inspect_err(|error| tracing::debug!(%error, "the state of another voter")).ok()
    }
}
