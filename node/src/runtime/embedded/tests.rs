//! Whole jobs between stores in memory.

mod proofs;
mod sums;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use airlift_coordinator::event::{ObjectEnd, Status};
use airlift_coordinator::totals::{ArchivedCounts, Portion};
use airlift_protocol::error::ErrorCode;
use airlift_protocol::folding::{CaseFolding, Folding};
use airlift_protocol::job::{Comparison, DeleteLimit, Filters, Policy, VerifyLevel};
use airlift_protocol::key::Key;
use airlift_protocol::limits::CHUNK_BYTES;
use airlift_protocol::location::Location;
use airlift_protocol::manifest::Kind;
use bytes::Bytes;

use super::*;
use crate::pipeline::chunk::Payload;
use crate::pipeline::compress::{CompressedChunk, Encoding};
use crate::store::memory::MemoryStore;

struct Bench {
    source: MemoryStore,
    target: MemoryStore,
    state: tempfile::TempDir,
    memory_bytes: u64,
    spec: JobSpec,
    faults: Option<Arc<dyn FaultHook>>,
}

impl Bench {
    fn new(mode: Mode) -> Self {
        let location = |name: &str| Location::parse(name.as_bytes()).unwrap();
        Self {
            source: MemoryStore::new(),
            target: MemoryStore::new(),
            state: tempfile::tempdir().unwrap(),
            memory_bytes: 64 << 20,
            spec: JobSpec {
                mode,
                source: location("mem://source"),
                target: location("mem://target"),
                single: None,
                filters: Filters::default(),
                policy: Policy::default(),
            },
            faults: None,
        }
    }

    fn start(
        &self,
    ) -> (impl Future<Output = Result<JobEnd, RunError>> + use<>, mpsc::Receiver<Event>, Arc<Meter>)
    {
        let options = EmbeddedOptions {
            state_dir: self.state.path().to_owned(),
            stores: StoreOptions::default(),
            slots: 3,
            memory_bytes: self.memory_bytes,
            faults: self.faults.clone(),
        };
        let ends =
            Ends { source: Arc::new(self.source.clone()), target: Arc::new(self.target.clone()) };
        let (sender, events) = mpsc::channel(16);
        let meter = Arc::new(Meter::default());
        let (_, stop) = watch::channel(false);
        let job = run_between(ends, self.spec.clone(), options, Arc::clone(&meter), sender, stop);
        (job, events, meter)
    }

    async fn run(&self) -> (JobEnd, BTreeMap<Key, ObjectEnd>) {
        let (job, mut events, _) = self.start();
        let collect = async {
            let mut objects = BTreeMap::new();
            while let Some(event) = events.recv().await {
                if let Event::ObjectFinished { object, .. } = event {
                    let earlier = objects.insert(object.key.clone(), object);
                    assert_eq!(earlier, None, "an object ends once");
                }
            }
            objects
        };
        let (end, objects) = tokio::join!(job, collect);
        (end.unwrap(), objects)
    }

    fn assert_equal_ends(&self) {
        assert_eq!(self.source.keys(), self.target.keys());
        for key in self.source.keys() {
            assert_eq!(self.source.bytes(&key), self.target.bytes(&key), "{key}");
        }
        assert_eq!(self.target.uploads(), []);
    }
}

fn noise(seed: u64, length: u64) -> Bytes {
    let mut bytes = vec![0; length as usize];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    Bytes::from(bytes)
}

fn status(objects: &BTreeMap<Key, ObjectEnd>, key: &str) -> Status {
    objects[&Key::from(key)].status
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_moves_everything_and_a_second_one_nothing() {
    let bench = Bench::new(Mode::Copy);
    for i in 0..300 {
        bench.source.insert(format!("small/{i:04}").as_str(), noise(i, i * 37), i as i64);
    }
    for (i, size) in [(8 << 20) + 1, 70 << 20, 64 << 20].into_iter().enumerate() {
        bench.source.insert(format!("large/{i}").as_str(), noise(1000 + i as u64, size), 7);
    }
    let (end, objects) = bench.run().await;
    assert_eq!(end.outcome, Outcome::Completed { incomplete: false });
    assert_eq!(end.totals.objects.done, 303);
    assert_eq!(end.totals.bytes.sent, end.totals.bytes.total);
    bench.assert_equal_ends();
    let root = objects[&Key::from("large/1")].root.unwrap();
    let bytes = bench.source.bytes(&Key::from("large/1")).unwrap();
    assert_eq!(root.0, *blake3::hash(&bytes).as_bytes());
    let (end, _) = bench.run().await;
    assert_eq!((end.totals.objects.unchanged, end.totals.objects.done), (303, 0));
    assert_eq!(end.totals.bytes.sent, 0);
    let jobs = bench.state.path().join("jobs");
    assert_eq!(std::fs::read_dir(jobs).unwrap().count(), 0, "a complete job leaves no state");
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_that_do_not_fit_memory_together_are_moved_one_after_the_other() {
    // Three orders at once: with a part each, and with parts that no budget has room for.
    for part_bytes in [4 << 20, 16 << 20] {
        let mut bench = Bench::new(Mode::Copy);
        (bench.target, bench.memory_bytes) = (MemoryStore::with_part_bytes(part_bytes), 6 << 20);
        for (i, size) in [9 << 20, (16 << 20) + 3, 70 << 20].into_iter().enumerate() {
            bench.source.insert(format!("{i}").as_str(), noise(i as u64, size), 7);
        }
        let job = tokio::time::timeout(Duration::from_secs(60), bench.run());
        let (end, _) = job.await.expect("no order waits for the memory of another for ever");
        assert_eq!(end.totals.objects.done, 3);
        bench.assert_equal_ends();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_object_goes_on_where_a_killed_run_stopped() {
    let bench = Bench::new(Mode::Copy);
    let size: u64 = 200 << 20;
    bench.source.insert("large", noise(1, size), 7);
    let (job, _events, meter) = bench.start();
    let running = tokio::spawn(job);
    while meter.sent.load(Ordering::Relaxed) < 100 << 20 {
        tokio::task::yield_now().await;
    }
    running.abort();
    assert!(running.await.is_err(), "the first run was killed");
    assert_eq!(bench.target.keys(), [], "nothing partial is visible");
    let end = loop {
        // Work that was on another thread when the run was killed still holds the log open.
        let (job, _events, _) = bench.start();
        match job.await {
            Err(error) if error.message.contains("another airlift process") => {
                tokio::task::yield_now().await;
            }
            end => break end.unwrap(),
        }
    };
    assert_eq!(end.totals.objects.done, 1);
    assert!(end.totals.bytes.sent <= size - (40 << 20), "sent {}", end.totals.bytes.sent);
    assert!(end.totals.bytes.resent <= end.totals.bytes.sent);
    bench.assert_equal_ends();
}

#[derive(Debug)]
struct FlipBits {
    /// Every how many chunks one bit is flipped.
    every: u64,
    chunks: AtomicU64,
    flipped: AtomicU64,
}

impl FaultHook for FlipBits {
    fn on_link(&self, chunk: &mut CompressedChunk) {
        let count = self.chunks.fetch_add(1, Ordering::Relaxed);
        if let Encoding::Kept(Payload::Bytes(bytes)) = &chunk.encoding
            && !bytes.is_empty()
            && count % self.every == self.every - 1
        {
            let mut altered = bytes.to_vec();
            let at = (count as usize * 7919) % altered.len();
            altered[at] ^= 1 << (count % 8);
            // As if it had left the memory in which it was hashed.
            chunk.encoding = Encoding::Plain(altered.into());
            self.flipped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_is_caught_before_the_write_and_read_again() {
    let mut bench = Bench::new(Mode::Copy);
    for i in 1..100 {
        bench.source.insert(format!("small/{i:04}").as_str(), noise(i, i * 1000), 1);
    }
    bench.source.insert("large", noise(5, 90 << 20), 7);
    let flip =
        |every| Arc::new(FlipBits { every, chunks: AtomicU64::new(0), flipped: AtomicU64::new(0) });
    let some = flip(71);
    bench.faults = Some(Arc::clone(&some) as Arc<dyn FaultHook>);
    let (end, _) = bench.run().await;
    assert_eq!(end.totals.objects.failed, 0);
    assert!(some.flipped.load(Ordering::Relaxed) >= 2);
    bench.assert_equal_ends();

    let mut bench = Bench::new(Mode::Copy);
    bench.source.insert("small", noise(1, 1000), 1);
    bench.source.insert("large", noise(2, 20 << 20), 1);
    bench.faults = Some(flip(1));
    let (end, objects) = bench.run().await;
    assert_eq!(end.totals.objects.failed, 2);
    assert_eq!(bench.target.keys(), [], "not one altered byte became visible");
    assert_eq!(
        objects[&Key::from("small")].reason.as_ref().unwrap().0,
        Some(ErrorCode::CorruptChunk)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_deletes_what_the_source_does_not_have_within_its_guards() {
    let mut bench = Bench::new(Mode::Sync);
    for i in 0..20 {
        bench.target.insert(format!("old/{i}").as_str(), noise(i, 10), 1);
    }
    // An empty source deletes nothing.
    let (end, _) = bench.run().await;
    assert_eq!(end.outcome, Outcome::Completed { incomplete: true });
    assert_eq!(bench.target.keys().len(), 20);
    bench.source.insert("new", noise(1, 10), 1);
    bench.spec.policy.max_delete = Some(DeleteLimit::Count(19));
    let (end, _) = bench.run().await;
    assert_eq!(end.outcome, Outcome::Completed { incomplete: true });
    assert_eq!((bench.target.keys().len(), end.totals.objects.deleted), (21, 0));
    bench.spec.policy.max_delete = Some(DeleteLimit::Percent(96));
    bench.spec.policy.dry_run = true;
    let (end, objects) = bench.run().await;
    assert_eq!((bench.target.keys().len(), end.totals.objects.deleted), (21, 20));
    assert_eq!(status(&objects, "old/3"), Status::WouldDelete);
    bench.spec.policy.dry_run = false;
    let (end, objects) = bench.run().await;
    assert_eq!(end.outcome, Outcome::Completed { incomplete: false });
    assert_eq!(end.totals.objects.deleted, 20);
    assert_eq!(status(&objects, "old/3"), Status::Deleted);
    bench.assert_equal_ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_names_what_differs_is_missing_or_extra_and_changes_nothing() {
    let mut bench = Bench::new(Mode::Verify);
    for i in 0..50 {
        bench.source.insert(format!("equal/{i}").as_str(), noise(i, i * 1000), 1);
        bench.target.insert(format!("equal/{i}").as_str(), noise(i, i * 1000), 2);
    }
    bench.source.insert("large", noise(1, 9 << 20), 1);
    let mut altered = noise(1, 9 << 20).to_vec();
    altered[(5 << 20) + 3] ^= 1;
    bench.target.insert("large", altered, 1);
    bench.source.insert("size", noise(1, 5), 1);
    bench.target.insert("size", noise(1, 6), 1);
    bench.source.insert("only-source", noise(1, 5), 1);
    bench.target.insert("only-target", noise(1, 5), 1);
    bench.source.insert_kind("link", Kind::Symlink(b"x".to_vec()));
    let before = bench.target.keys();
    let (end, objects) = bench.run().await;
    assert_eq!(bench.target.keys(), before);
    let objects_counted = end.totals.objects;
    assert_eq!((objects_counted.equal, objects_counted.differs), (50, 2));
    assert_eq!(
        (objects_counted.missing, objects_counted.extra, objects_counted.skipped),
        (1, 1, 1)
    );
    for (key, expected) in [
        ("large", Status::Differs),
        ("size", Status::Differs),
        ("only-source", Status::Missing),
        ("only-target", Status::Extra),
        ("link", Status::Skipped),
        ("equal/7", Status::Equal),
    ] {
        assert_eq!(status(&objects, key), expected, "{key}");
    }
    bench.spec.filters.include = vec!["equal/*".to_owned()];
    let (end, _) = bench.run().await;
    assert_eq!((end.totals.objects.total, end.totals.objects.equal), (50, 50));
}

#[tokio::test(flavor = "multi_thread")]
async fn checksum_and_read_back_look_at_content() {
    let mut bench = Bench::new(Mode::Copy);
    bench.source.insert("a", noise(1, 3 * CHUNK_BYTES), 1);
    bench.target.insert("a", noise(2, 3 * CHUNK_BYTES), 1);
    let (end, _) = bench.run().await;
    assert_eq!(end.totals.objects.unchanged, 1, "same size and time");
    bench.spec.policy.comparison = Comparison::Content;
    bench.spec.policy.verify = VerifyLevel::ReadBack(100);
    let (end, _) = bench.run().await;
    assert_eq!((end.totals.objects.done, end.totals.objects.unchanged), (1, 0));
    bench.assert_equal_ends();
    let (end, _) = bench.run().await;
    assert_eq!(end.totals.objects.unchanged, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_the_target_takes_for_one_are_left_out_together() {
    let folding = Folding { case: CaseFolding::Full, ignores_form: true };
    for dry_run in [false, true] {
        let mut bench = Bench::new(Mode::Sync);
        bench.target = MemoryStore::with_folding(folding);
        bench.spec.policy.dry_run = dry_run;
        bench.spec.filters.exclude = vec!["*.tmp".to_owned()];
        let rivals = ["B/1", "a", "b/2", "cafe\u{301}", "caf\u{e9}", "large", "A", "LARGE"];
        // A second page of the listing has those that the first one has rivals in.
        for number in 0..12_000 {
            bench.source.insert(format!("m/{number:06}").as_str(), noise(1, 1), 7);
        }
        for key in rivals {
            bench.source.insert(key, noise(2, 9 << 20), 7);
        }
        bench.source.insert("only", noise(3, 5), 7);
        bench.source.insert("ONLY.tmp", noise(3, 5), 7);
        bench.source.insert("only.tmp", noise(3, 5), 7);
        let (end, objects) = bench.run().await;
        assert_eq!((end.totals.objects.done, end.totals.objects.skipped), (12_001, 8));
        for key in rivals {
            assert_eq!(status(&objects, key), Status::Skipped, "{key}");
            assert_eq!(bench.target.bytes(&Key::from(key)), None, "{key}");
        }
        let reason = &objects[&Key::from("LARGE")].reason.as_ref().unwrap().1;
        assert!(reason.contains("'large'"), "{reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_keeps_what_the_target_takes_for_a_name_of_the_source() {
    let mut bench = Bench::new(Mode::Sync);
    bench.target =
        MemoryStore::with_folding(Folding { case: CaseFolding::Simple, ignores_form: false });
    for key in ["readme", "dir/x", "plain"] {
        bench.source.insert(key, noise(1, 10), 7);
    }
    for key in ["README", "Dir/x", "Dir/y", "EXTRA"] {
        bench.target.insert(key, noise(2, 10), 7);
    }
    let (end, objects) = bench.run().await;
    assert_eq!((end.totals.objects.failed, end.totals.objects.deleted), (3, 1));
    for (key, other) in [("README", "readme"), ("Dir/x", "dir"), ("Dir/y", "dir")] {
        assert!(bench.target.bytes(&Key::from(key)).is_some(), "{key}");
        let (code, reason) = objects[&Key::from(key)].reason.clone().unwrap();
        assert_eq!(code, Some(ErrorCode::Conflict));
        assert!(reason.contains(&format!("'{other}'")), "{reason}");
    }
    assert_eq!(status(&objects, "EXTRA"), Status::Deleted);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_in_an_archive_is_restored_by_one_run_and_moved_by_the_next() {
    let mut bench = Bench::new(Mode::Copy);
    let (small, large) = (Key::from("small"), Key::from("large"));
    bench.source.insert(small.clone(), noise(1, 1000), 7);
    bench.source.insert(large.clone(), noise(2, 9 << 20), 7);
    bench.source.insert("at hand", noise(3, 10), 7);
    for key in [&small, &large] {
        bench.source.archive(key);
    }
    let both = Portion { objects: 2, bytes: 1000 + (9 << 20) };
    let (end, _) = bench.run().await;
    assert_eq!((end.totals.archived.resting, end.totals.objects.done), (both, 1));
    bench.spec.policy.restore = Some("bulk:7".parse().unwrap());
    bench.spec.policy.dry_run = true;
    let (end, _) = bench.run().await;
    assert_eq!(end.totals.archived.resting, both, "a dry run asks for nothing");
    bench.spec.policy.dry_run = false;
    let (end, objects) = bench.run().await;
    assert_eq!(end.totals.archived, ArchivedCounts { restoring: both, ..Default::default() });
    assert_eq!(status(&objects, "small"), Status::Skipped);
    let (end, _) = bench.run().await;
    assert_eq!((end.totals.objects.done, end.totals.objects.unchanged), (2, 1));
    assert_eq!(end.totals.archived, ArchivedCounts::default());
    bench.assert_equal_ends();
}
