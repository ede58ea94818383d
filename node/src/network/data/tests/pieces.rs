//! Pieces: what voters lack, on the data plane.

use airlift_protocol::id::LogIndex;

use super::super::pieces::{PIECE_BYTES_MAX, PieceStream, PieceWriter};
use super::*;

/// A state of these bytes; pages with an even index; no record, but one that is too long.
pub(super) async fn serve(wanted: CatchUp, frames: &mut FrameWriter) -> Result<(), Failure> {
    let mut pieces = PieceWriter::new(frames);
    match wanted {
        CatchUp::State { from, .. } => {
            for part in state()[from as usize..].chunks(PIECE_BYTES_MAX as usize) {
                pieces.piece(part.to_vec().into()).await?;
            }
        }
        CatchUp::Pages(indices) => {
            for LogIndex(index) in indices {
                match index % 2 {
                    0 => pieces.piece(index.to_le_bytes().to_vec().into()).await?,
                    _ => pieces.missing(Failure::new(ErrorCode::NotFound, "no page")).await?,
                }
            }
        }
        CatchUp::Records(_) => {
            pieces.piece(vec![1; PIECE_BYTES_MAX as usize + 1].into()).await?;
        }
    }
    Ok(())
}

fn state() -> Vec<u8> {
    let mut bytes = vec![0; 5 * (MIB / 2) as usize + 7];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    // A part that shrinks.
    bytes[MIB as usize..2 * MIB as usize].fill(9);
    bytes
}

async fn ask(target: &Node, source: &Node, wanted: CatchUp) -> PieceStream {
    let network = Arc::clone(&target.network);
    let route = Route { network, node: source.id(), addresses: vec![source.address()] };
    PieceStream::open(&route, wanted).await.unwrap()
}

#[tokio::test]
async fn a_state_arrives_whole_and_from_any_byte_on() {
    let (target, source) = pair(local(MemoryStore::new()));
    for from in [0, 1, MIB, 2 * MIB + 3, state().len() as u64] {
        let mut stream = ask(&target, &source, CatchUp::State { digest: [0; 32], from }).await;
        let mut arrived = Vec::new();
        while let Some(piece) = stream.next().await.unwrap() {
            arrived.extend_from_slice(&piece);
        }
        assert_eq!(arrived, state()[from as usize..], "from {from}");
    }
    let sent = source.network.status().peers[0].bytes_sent;
    assert!(sent < 4 * state().len() as u64 - 3 * MIB, "what shrinks crosses compressed: {sent}");
}

#[tokio::test]
async fn a_piece_that_is_not_there_says_so_and_a_long_one_is_not_sent() {
    let (target, source) = pair(local(MemoryStore::new()));
    let indices = [2, 3].map(LogIndex).to_vec();
    let mut stream = ask(&target, &source, CatchUp::Pages(indices)).await;
    assert_eq!(stream.next().await.unwrap().unwrap()[..], 2u64.to_le_bytes());
    assert_eq!(stream.next().await.unwrap_err().code, ErrorCode::NotFound);
    let mut stream = ask(&target, &source, CatchUp::Records(None)).await;
    assert_eq!(stream.next().await.unwrap_err().code, ErrorCode::TooLarge);
}
