//! What a voter has on its disk for voters that lack it: states, manifest pages, and what became of
//! objects. `fetch` is the other end.

use std::sync::Arc;

use airlift_protocol::codec;
use airlift_protocol::control::RecordKey;
use airlift_protocol::error::{ErrorCode, Failure};
use airlift_protocol::frame::CatchUp;
use airlift_protocol::id::LogIndex;

use super::directory::Directory;
use super::records::RecordFile;
use crate::network::data::FrameWriter;
use crate::network::data::pieces::{PIECE_BYTES_MAX, PieceWriter};
use crate::runtime::blocking::blocking;
use crate::storage::consensus::ConsensusFile;

/// Bytes of records that are read at once, so that no piece of them is too long.
const RECORDS_BYTES: usize = PIECE_BYTES_MAX as usize / 2;

/// The disk of a voter.
#[derive(Debug)]
pub(super) struct Archive {
    pub(super) directory: Directory,
    pub(super) file: Arc<ConsensusFile>,
    pub(super) records: Arc<RecordFile>,
}

impl Archive {
    /// Writes what is `wanted`.
    pub(super) async fn serve(
        &self,
        wanted: CatchUp,
        frames: &mut FrameWriter,
    ) -> Result<(), Failure> {
        let mut pieces = PieceWriter::new(frames);
        match wanted {
            CatchUp::State { digest, from } => self.state(digest, from, &mut pieces).await,
            CatchUp::Pages(indices) => self.pages(indices, &mut pieces).await,
            CatchUp::Records(after) => self.records(after, &mut pieces).await,
        }
    }

    async fn state(
        &self,
        digest: [u8; 32],
        from: u64,
        pieces: &mut PieceWriter<'_>,
    ) -> Result<(), Failure> {
        let mut offset = from;
        loop {
            let directory = self.directory.clone();
            let read = move || directory.read_snapshot_part(&digest, offset, PIECE_BYTES_MAX);
            let part = blocking(read).await?;
            if part.is_empty() {
                return Ok(());
            }
            offset += part.len() as u64;
            pieces.piece(part.into()).await?;
        }
    }

    async fn pages(
        &self,
        indices: Vec<LogIndex>,
        pieces: &mut PieceWriter<'_>,
    ) -> Result<(), Failure> {
        for index in indices {
            let file = Arc::clone(&self.file);
            match blocking(move || file.find_page(index)).await? {
                Some(page) => pieces.piece(codec::encode(&page).into()).await?,
                None => {
                    let text = format!("the manifest page of entry {} is not here", index.0);
                    pieces.missing(Failure::new(ErrorCode::NotFound, text)).await?;
                }
            }
        }
        Ok(())
    }

    async fn records(
        &self,
        after: Option<RecordKey>,
        pieces: &mut PieceWriter<'_>,
    ) -> Result<(), Failure> {
        let mut after = after;
        loop {
            let records = Arc::clone(&self.records);
            let found = blocking(move || records.after(after, RECORDS_BYTES)).await?;
            let Some((last, _)) = found.last() else { return Ok(()) };
            after = Some(*last);
            pieces.piece(codec::encode(&found).into()).await?;
        }
    }
}
