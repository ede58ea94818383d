//! One shard of a large object: from the source, chunk by chunk, into the upload at the target.
//!
//! Parts that the journal and the store both know are not sent again. A chunk is recorded in the
//! journal only after its bytes are durable, so what an interrupted run loses is what was in flight,
//! and what was written since the last checkpoint: one is begun after `CHECKPOINT_BYTES`, or after
//! `CHECKPOINT_AGE` on a slow way, and reading waits when two of them lie behind.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use airlift_protocol::assignment::{Object, UploadToken};
use airlift_protocol::chunk::{self, SpanValue};
use airlift_protocol::figures::Stage;
use airlift_protocol::limits::CHUNK_BYTES;
use airlift_protocol::manifest::Entry;
use airlift_protocol::report::Completion;
use airlift_protocol::shard;
use airlift_protocol::sum::Sum;
use airlift_protocol::units::ByteRange;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::budget::Permit;
use super::chunk::VerifiedChunk;
use super::compress::decompress;
use super::source::InFlight;
use super::{Transfer, Trouble, blocking, corrupt, verify};
use crate::runtime::clock;
use crate::store::{Attributes, StoreError, Upload, sum};

/// Bytes after which what was written is made durable and recorded.
const CHECKPOINT_BYTES: u64 = 16 << 20;

/// Time after which what was written is made durable and recorded, however little it is.
const CHECKPOINT_AGE: Duration = Duration::from_secs(1);

/// Chunks on the link at once, per shard.
const LINK_CHUNKS: usize = 4;

/// Moves `range` of `object` into its upload.
///
/// # Errors
/// When the source changed or vanished, or either store fails.
pub async fn move_range(
    transfer: &Transfer,
    object: &Object,
    token: &UploadToken,
    range: ByteRange,
) -> Result<Completion, airlift_protocol::error::Failure> {
    match try_move(transfer, &object.entry, token, range).await {
        Ok(completion) => Ok(completion),
        Err(error) => match transfer.trouble(&object.entry, error).await {
            Trouble::Changed(changed) => Ok(Completion::Changed(changed)),
            Trouble::Failed(failure) => Err(failure),
        },
    }
}

async fn try_move(
    transfer: &Transfer,
    entry: &Entry,
    token: &UploadToken,
    range: ByteRange,
) -> Result<Completion, StoreError> {
    let (new_object, _) = transfer.adapt(entry, Attributes::default());
    let upload = transfer.at_target(transfer.target.upload(&new_object, token)).await?;
    let upload: Arc<dyn Upload> = upload.into();
    let (mut values, mut sums) = held(transfer, upload.as_ref(), token, range).await?;
    let mut bytes_sent = 0;
    for gap in gaps(range, upload.part_bytes(), &values) {
        bytes_sent += gap.len();
        let receiver = Receiver::new(transfer, entry, Arc::clone(&upload), token);
        let written = copy(transfer, entry, gap, receiver).await?;
        values.extend(written.values);
        sums.extend(written.sums);
    }
    let sum = sum_of(range, upload.part_bytes(), &sums);
    let values: Vec<SpanValue> = values.into_values().collect();
    let value = chunk::merge(entry.size, range, CHUNK_BYTES, &values);
    Ok(Completion::RangeMoved { value, bytes_sent, sum })
}

/// The sum of `range`, from those of its parts by where they begin; `None` when one has none.
fn sum_of(range: ByteRange, part_bytes: u64, sums: &BTreeMap<u64, Sum>) -> Option<Sum> {
    let parts = parts(range, part_bytes).map(|part| Some((*sums.get(&part.start)?, part.len())));
    sum::composed(parts.collect::<Option<Vec<_>>>()?.into_iter())
}

/// Values of the chunks of `range` that lie in parts which the target holds, verified, and what sums of
/// such parts are known.
async fn held(
    transfer: &Transfer,
    upload: &dyn Upload,
    token: &UploadToken,
    range: ByteRange,
) -> Result<(BTreeMap<u64, SpanValue>, BTreeMap<u64, Sum>), StoreError> {
    let (journal, of) = (Arc::clone(&transfer.journal), token.clone());
    let read = move || Ok::<_, StoreError>((journal.held(&of, range)?, journal.sums(&of, range)?));
    let (recorded, sums) = blocking(read).await?;
    if recorded.is_empty() {
        return Ok((recorded, BTreeMap::new()));
    }
    let present = transfer.at_target(upload.present()).await?;
    let is_held = |part: ByteRange| {
        present.iter().any(|range| range.contains(part))
            && shard::chunks(part).all(|chunk| recorded.contains_key(&chunk.start))
    };
    let parts = parts(range, upload.part_bytes()).filter(|part| is_held(*part));
    let chunks = parts.flat_map(shard::chunks);
    Ok((chunks.map(|chunk| (chunk.start, recorded[&chunk.start])).collect(), sums))
}

fn parts(range: ByteRange, part_bytes: u64) -> impl Iterator<Item = ByteRange> {
    let starts =
        (range.start..range.end).step_by(usize::try_from(part_bytes).unwrap_or(usize::MAX));
    starts.map(move |start| ByteRange::new(start, range.end.min(start + part_bytes)))
}

/// The runs of parts that have no value yet.
fn gaps(range: ByteRange, part_bytes: u64, held: &BTreeMap<u64, SpanValue>) -> Vec<ByteRange> {
    let mut gaps: Vec<ByteRange> = Vec::new();
    for part in parts(range, part_bytes).filter(|part| !held.contains_key(&part.start)) {
        match gaps.last_mut() {
            Some(gap) if gap.end == part.start => gap.end = part.end,
            _ => gaps.push(part),
        }
    }
    gaps
}

/// The source reads, hashes and compresses; here it is decompressed, verified and written, with a
/// bounded link between the two.
async fn copy(
    transfer: &Transfer,
    entry: &Entry,
    range: ByteRange,
    receiver: Receiver<'_>,
) -> Result<Moved, StoreError> {
    let (link, arrived) = mpsc::channel(LINK_CHUNKS);
    let part_bytes = receiver.upload.part_bytes();
    let send = transfer.source.read_range(entry, range, part_bytes, link);
    let (sent, received) = tokio::join!(send, receiver.receive(range, arrived));
    // When the target fails, the link closes and the source ends without error of its own.
    let moved = received?;
    sent?;
    Ok(moved)
}

/// What is known of bytes that were written.
#[derive(Debug, Default)]
struct Moved {
    /// Values of chunks.
    values: BTreeMap<u64, SpanValue>,
    /// Sums of parts, where the store has a use for them.
    sums: BTreeMap<u64, Sum>,
}

/// What a finished write or checkpoint leaves to be done.
enum Finished {
    /// These chunks are written, a part whose sum may be known.
    Written(Vec<(u64, SpanValue, u64)>, Option<Sum>),
    /// A checkpoint is recorded.
    Recorded,
}

/// The target's half of a shard.
struct Receiver<'a> {
    transfer: &'a Transfer,
    entry: &'a Entry,
    upload: Arc<dyn Upload>,
    token: UploadToken,
    /// Chunks of the part that is being filled, with their shares of the budget.
    part: Vec<(VerifiedChunk, Permit)>,
    part_filled: u64,
    running: FuturesUnordered<BoxFuture<'a, Result<Finished, StoreError>>>,
    writes: usize,
    is_recording: bool,
    recorded_at: Instant,
    /// Chunks that are written and not recorded.
    unrecorded: Moved,
    unrecorded_bytes: u64,
    moved: Moved,
}

impl<'a> Receiver<'a> {
    fn new(
        transfer: &'a Transfer,
        entry: &'a Entry,
        upload: Arc<dyn Upload>,
        token: &UploadToken,
    ) -> Self {
        Self {
            transfer,
            entry,
            upload,
            token: token.clone(),
            part: Vec::new(),
            part_filled: 0,
            running: FuturesUnordered::new(),
            writes: 0,
            is_recording: false,
            recorded_at: clock::now(),
            unrecorded: Moved::default(),
            unrecorded_bytes: 0,
            moved: Moved::default(),
        }
    }

    /// Takes in `range`, or as much of it as comes.
    async fn receive(
        mut self,
        range: ByteRange,
        mut link: mpsc::Receiver<InFlight>,
    ) -> Result<Moved, StoreError> {
        let concurrent = self.transfer.target.capabilities().concurrent_parts;
        let meter = Arc::clone(&self.transfer.meter);
        loop {
            let has_room = self.has_room(concurrent);
            // Either nothing is there to be written, or the target takes no more.
            let waits = meter.wait(if has_room { Stage::Target } else { Stage::Decode });
            tokio::select! {
                biased;
                Some(finished) = self.running.next() => self.on_finished(finished?),
                arrived = link.recv(), if has_room => match arrived {
                    Some(chunk) => {
                        drop(waits);
                        self.on_chunk(chunk).await?;
                    }
                    None => break,
                },
            }
        }
        let _held_up = meter.wait(Stage::Decode);
        // When the source fails, a part ends before its end: no store takes such a part, and why there is no
        // more of it the source says.
        let end = self.part.last().map(|(chunk, _)| chunk.offset() + chunk.payload().len());
        if end == Some(range.end) {
            self.write_part();
        }
        while let Some(finished) = self.running.next().await {
            self.on_finished(finished?);
        }
        self.record();
        while let Some(finished) = self.running.next().await {
            self.on_finished(finished?);
        }
        Ok(self.moved)
    }

    /// Whether more may be taken in: what a kill would lose is bounded.
    fn has_room(&self, concurrent: usize) -> bool {
        self.writes < concurrent && self.unrecorded_bytes < 2 * CHECKPOINT_BYTES
    }

    async fn on_chunk(&mut self, (chunk, permit): InFlight) -> Result<(), StoreError> {
        let meter = &self.transfer.meter;
        let decoding = meter.busy(Stage::Decode);
        meter.add_bytes(Stage::Decode, chunk.plain_bytes);
        let is_kept = chunk.is_kept();
        let decode = move || {
            let received = decompress(chunk).map_err(|error| error.to_string())?;
            verify::verify(received).map_err(|error| error.to_string())
        };
        let verified = if is_kept { decode() } else { blocking(decode).await };
        let verified = verified.map_err(|error| corrupt(self.entry, error))?;
        drop(decoding);
        self.part_filled += verified.payload().len();
        self.part.push((verified, permit));
        if self.part_filled >= self.upload.part_bytes() {
            self.write_part();
        }
        Ok(())
    }

    fn write_part(&mut self) {
        if self.part.is_empty() {
            return;
        }
        self.part_filled = 0;
        let (chunks, permits): (Vec<VerifiedChunk>, Vec<Permit>) =
            std::mem::take(&mut self.part).into_iter().unzip();
        let written: Vec<(u64, SpanValue, u64)> = chunks
            .iter()
            .map(|chunk| (chunk.offset(), chunk.value(), chunk.payload().len()))
            .collect();
        let (upload, meter) = (Arc::clone(&self.upload), &self.transfer.meter);
        self.writes += 1;
        self.running.push(Box::pin(async move {
            let _busy = meter.busy(Stage::Target);
            upload.write(chunks).await?;
            drop(permits);
            let sum = written.first().and_then(|(offset, ..)| upload.sum_at(*offset));
            Ok(Finished::Written(written, sum))
        }));
    }

    fn on_finished(&mut self, finished: Finished) {
        match finished {
            Finished::Recorded => self.is_recording = false,
            Finished::Written(chunks, sum) => {
                self.writes -= 1;
                if let Some((sum, (start, ..))) = sum.zip(chunks.first()) {
                    self.unrecorded.sums.insert(*start, sum);
                    self.moved.sums.insert(*start, sum);
                }
                for (offset, value, bytes) in chunks {
                    self.unrecorded.values.insert(offset, value);
                    self.unrecorded_bytes += bytes;
                    self.moved.values.insert(offset, value);
                    self.transfer.meter.add_sent(bytes);
                }
            }
        }
        if self.unrecorded_bytes >= CHECKPOINT_BYTES
            || clock::now() - self.recorded_at >= CHECKPOINT_AGE
        {
            self.record();
        }
    }

    /// Begins a checkpoint, unless one is under way or nothing is there to be recorded.
    fn record(&mut self) {
        if self.is_recording || self.unrecorded.values.is_empty() {
            return;
        }
        self.is_recording = true;
        self.recorded_at = clock::now();
        self.unrecorded_bytes = 0;
        let Moved { values, sums } = std::mem::take(&mut self.unrecorded);
        let upload = Arc::clone(&self.upload);
        let (journal, token) = (Arc::clone(&self.transfer.journal), self.token.clone());
        let meter = &self.transfer.meter;
        self.running.push(Box::pin(async move {
            let _busy = meter.busy(Stage::Target);
            upload.sync().await?;
            blocking(move || journal.record(&token, &values, &sums)).await?;
            Ok(Finished::Recorded)
        }));
    }
}

#[cfg(test)]
mod tests {
    use airlift_protocol::id::{PageId, Position};
    use airlift_protocol::sum::SumKind;

    use super::*;
    use crate::pipeline::fixture::transfer;
    use crate::store::memory::MemoryStore;
    use crate::store::{NewObject, Store};

    const PART: u64 = 4 * CHUNK_BYTES;

    /// What of an object of two parts is there when its source says no more after `sent` bytes, and what the
    /// second attempt, which gets all, sends of it.
    async fn cut_short(sent: u64) -> (u64, u64) {
        let (source, target) = (MemoryStore::new(), MemoryStore::with_part_bytes(PART));
        let bytes: Vec<u8> = (0..2 * PART + 5).map(|i| (i % 251) as u8).collect();
        source.insert("a", bytes.clone(), 1);
        let directory = tempfile::tempdir().unwrap();
        let transfer = transfer(&source, &target, directory.path());
        let entry = source.stat(&"a".into()).await.unwrap().unwrap().entry;
        let new = NewObject { entry: entry.clone(), attributes: Attributes::default() };
        let token = target.open_upload(&new, None, None).await.unwrap().token;
        let upload: Arc<dyn Upload> = target.upload(&new, &token).await.unwrap().into();
        let receiver = Receiver::new(&transfer, &entry, upload, &token);
        let (link, arrived) = mpsc::channel(LINK_CHUNKS);
        let all = ByteRange::new(0, entry.size);
        let part = transfer.source.read_range(&entry, ByteRange::new(0, sent), PART, link);
        let (read, received) = tokio::join!(part, receiver.receive(all, arrived));
        read.unwrap();
        let written: Vec<u64> = received.unwrap().values.into_keys().collect();
        let object = Object { position: Position { page: PageId(0), index: 0 }, entry };
        let moved = move_range(&transfer, &object, &token, all).await.unwrap();
        let Completion::RangeMoved { bytes_sent, .. } = moved else { panic!("{moved:?}") };
        (written.len() as u64 * CHUNK_BYTES, bytes_sent)
    }

    #[tokio::test]
    async fn of_a_source_that_fails_whole_parts_are_kept_and_nothing_else_is_written() {
        for (sent, kept) in [(CHUNK_BYTES, 0), (PART, PART), (PART + CHUNK_BYTES, PART)] {
            assert_eq!(cut_short(sent).await, (kept, 2 * PART + 5 - kept), "{sent}");
        }
    }

    #[test]
    fn the_sum_of_a_range_needs_that_of_every_part() {
        let mib = CHUNK_BYTES;
        let bytes = vec![7; 3 * mib as usize + 5];
        let range = ByteRange::new(mib, mib + bytes.len() as u64);
        let summed = |part: ByteRange| {
            let part = &bytes[(part.start - mib) as usize..(part.end - mib) as usize];
            sum::of(SumKind::Crc64Xz, part)
        };
        let mut sums: BTreeMap<u64, Sum> =
            parts(range, mib).map(|part| (part.start, summed(part))).collect();
        assert_eq!(sum_of(range, mib, &sums), Some(sum::of(SumKind::Crc64Xz, &bytes)));
        sums.remove(&(2 * mib));
        assert_eq!(sum_of(range, mib, &sums), None);
    }

    #[test]
    fn gaps_are_runs_of_whole_parts() {
        let mib = CHUNK_BYTES;
        let range = ByteRange::new(0, 10 * mib + 5);
        let held: BTreeMap<u64, SpanValue> =
            [0, 1, 4, 5].iter().map(|&i| (i * mib, SpanValue([0; 32]))).collect();
        let expected = [ByteRange::new(2 * mib, 4 * mib), ByteRange::new(6 * mib, 10 * mib + 5)];
        assert_eq!(gaps(range, mib, &held), expected);
        assert_eq!(gaps(range, 2 * mib, &held), expected);
        assert_eq!(gaps(range, mib, &BTreeMap::new()), [range]);
    }
}
