//! How long orders take: by the requests that the stores of a node make for them, and the bytes.

use airlift_protocol::assignment::{Object, Work};
use airlift_protocol::attributes::AttributeSet;
use airlift_protocol::chunk::{Root, SpanValue};
use airlift_protocol::manifest::{Entry, Page};
use airlift_protocol::report::{Comparison, Completion, ObjectResult};

use super::listing::Listing;
use super::site::Plant;

/// Keys that one request for a listing brings.
pub(super) const KEYS_LISTED: u64 = 1_000;

/// Small objects of one order that are on their way at once.
const AT_ONCE: u64 = 64;

/// Bytes of a part of a multipart upload.
const PART_BYTES: u64 = 16 << 20;

/// Carries out an order: when it is done, in microseconds, and what it comes to. Listings are not
/// of this kind.
pub(super) fn carry_out(
    plant: &mut Plant,
    listing: &Listing,
    (now_us, node): (u64, usize),
    work: &Work,
) -> (u64, Completion) {
    match work {
        Work::Compare { page } => {
            let count = (page.entries.len() as u64).div_ceil(KEYS_LISTED);
            let done = plant.ask_target(now_us, node, count, count);
            (done, Completion::Compared(compared(listing, page)))
        }
        Work::MovePack { objects } => (move_pack(plant, now_us, node, objects), moved(objects)),
        Work::MoveRange { range, .. } => {
            let bytes = range.len();
            let asked = plant.ask_source(now_us, node, 1, 1);
            let parts = bytes.div_ceil(PART_BYTES);
            let answered = plant.ask_target(asked, node, parts, 1);
            let done = plant.carry(now_us, node, bytes).max(answered);
            (
                done,
                Completion::RangeMoved { value: SpanValue([0; 32]), bytes_sent: bytes, sum: None },
            )
        }
        Work::Open { object, .. } => {
            let token = format!("{}", object.position.index);
            let done = plant.ask_target(now_us, node, 1, 1);
            (done, Completion::Opened(airlift_protocol::assignment::UploadToken(token)))
        }
        // The store is asked what it holds afterwards.
        Work::Commit { .. } => (
            plant.ask_target(now_us, node, 2, 2),
            Completion::Committed { dropped: AttributeSet::NONE },
        ),
        Work::ReadBack { .. } => (plant.ask_target(now_us, node, 1, 1), Completion::ReadBack),
        Work::Discard { .. } => (plant.ask_target(now_us, node, 1, 1), Completion::Discarded),
        Work::Clean => (now_us, Completion::Cleaned),
        Work::Delete { entries } => {
            let count = entries.len() as u64;
            let done = plant.ask_target(now_us, node, count, count.div_ceil(KEYS_LISTED));
            (done, Completion::Deleted(vec![None; entries.len()]))
        }
        Work::List { .. } | Work::Verify { .. } => {
            unreachable!("invariant: a copy verifies nothing, and its listing is the world's")
        }
    }
}

fn move_pack(plant: &mut Plant, now_us: u64, node: usize, objects: &[Object]) -> u64 {
    let count = objects.len() as u64;
    let rounds = count.div_ceil(AT_ONCE);
    let bytes = objects.iter().map(|object| object.entry.size).sum();
    let read = plant.ask_source(now_us, node, count, rounds);
    let written = plant.ask_target(read, node, count, rounds);
    plant.carry(now_us, node, bytes).max(written)
}

fn moved(objects: &[Object]) -> Completion {
    let done = |object: &Object| ObjectResult::Done {
        root: Root([0; 32]),
        bytes: object.entry.size,
        dropped: AttributeSet::NONE,
    };
    Completion::PackMoved(objects.iter().map(done).collect())
}

fn compared(listing: &Listing, page: &Page) -> Vec<Comparison> {
    let compare = |(at, entry): (u64, &Entry)| match listing.is_unchanged(at) {
        true => Comparison::Unchanged { bytes: entry.size },
        false => Comparison::Move,
    };
    (listing.first_of(page.id)..).zip(&page.entries).map(compare).collect()
}

/// Bytes that an order brings to the target.
pub(super) fn bytes_of(completion: &Completion) -> u64 {
    match completion {
        Completion::RangeMoved { bytes_sent, .. } => *bytes_sent,
        Completion::PackMoved(results) => {
            let bytes = |result: &ObjectResult| match result {
                ObjectResult::Done { bytes, .. } => *bytes,
                _ => 0,
            };
            results.iter().map(bytes).sum()
        }
        _ => 0,
    }
}
