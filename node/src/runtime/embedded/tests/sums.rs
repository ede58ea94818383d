//! Comparing content by the sums that stores keep: what is shown by them, and what is read.

use airlift_protocol::figures::Stage;
use airlift_protocol::sum::{StoredSum, SumKind};

use super::*;
use crate::store::sum;

const SIZE: u64 = 5_000;
const LARGE: u64 = (9 << 20) + 5;

/// What a job came to, and the bytes that it read at the source and at the target.
struct Outcome {
    objects: BTreeMap<Key, ObjectEnd>,
    totals: Totals,
    read: (u64, u64),
}

impl Bench {
    /// An object of the same bytes at both ends.
    fn put_both(&self, key: &str, size: u64) {
        self.source.insert(key, noise(1, size), 1);
        self.target.insert(key, noise(1, size), 2);
    }

    /// The sum of what is under `key`, as its store would compute it.
    fn sum_of(store: &MemoryStore, key: &str, kind: SumKind) -> StoredSum {
        StoredSum::computed(sum::of(kind, &store.bytes(&Key::from(key)).unwrap()))
    }

    fn keep_right(&self, store: &MemoryStore, key: &str, kind: SumKind) {
        store.keep_sums(&Key::from(key), vec![Self::sum_of(store, key, kind)]);
    }

    async fn outcome(&self) -> Outcome {
        let (job, mut events, meter) = self.start();
        let collect = async {
            let mut objects = BTreeMap::new();
            while let Some(event) = events.recv().await {
                if let Event::ObjectFinished { object, .. } = event {
                    objects.insert(object.key.clone(), object);
                }
            }
            objects
        };
        let (end, objects) = tokio::join!(job, collect);
        let figures = meter.of_job(self.spec.id()).moving;
        let read = (figures[Stage::Source].bytes, figures[Stage::Decode].bytes);
        Outcome { objects, totals: end.unwrap().totals, read }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_whose_store_keeps_a_sum_is_not_read() {
    let bench = Bench::new(Mode::Verify);
    for (key, size) in [("source", SIZE), ("target", LARGE), ("both", LARGE), ("none", SIZE)] {
        bench.put_both(key, size);
    }
    bench.keep_right(&bench.source, "source", SumKind::Md5);
    bench.keep_right(&bench.target, "target", SumKind::Crc64Nvme);
    bench.keep_right(&bench.source, "both", SumKind::Crc32c);
    bench.keep_right(&bench.target, "both", SumKind::Crc32c);
    let outcome = bench.outcome().await;
    assert_eq!((outcome.totals.objects.equal, outcome.totals.objects.equal_by_sum), (4, 3));
    assert_eq!(outcome.read, (LARGE + SIZE, 2 * SIZE));
    let shown = |key: &str| {
        let object = &outcome.objects[&Key::from(key)];
        assert_eq!(object.status, Status::Equal, "{key}");
        (object.sum, object.root.is_some())
    };
    assert_eq!(shown("source"), (Some(SumKind::Md5), true));
    assert_eq!(shown("target"), (Some(SumKind::Crc64Nvme), true));
    assert_eq!(shown("both"), (Some(SumKind::Crc32c), false));
    assert_eq!(shown("none"), (None, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sum_that_disagrees_is_a_difference_and_a_doubtful_one_is_looked_into() {
    let bench = Bench::new(Mode::Verify);
    for key in ["wrong", "doubtful", "doubtful-differs", "changed"] {
        bench.put_both(key, SIZE);
    }
    let other = |kind| sum::of(kind, b"other");
    let keep = |key: &str, stored| bench.target.keep_sums(&Key::from(key), vec![stored]);
    keep("wrong", StoredSum::computed(other(SumKind::Crc64Nvme)));
    keep("doubtful", StoredSum::claimed(other(SumKind::Md5)));
    bench.target.insert("doubtful-differs", noise(2, SIZE), 2);
    keep("doubtful-differs", StoredSum::claimed(other(SumKind::Md5)));
    let outcome = bench.outcome().await;
    let object = |key: &str| &outcome.objects[&Key::from(key)];
    assert_eq!(object("wrong").status, Status::Differs);
    let reason = object("wrong").reason.clone().unwrap().1;
    assert!(reason.contains("by the CRC64-NVME that the target's store keeps"), "{reason}");
    assert_eq!((object("doubtful").status, object("doubtful").sum), (Status::Equal, None));
    assert_eq!(object("doubtful-differs").status, Status::Differs);
    // Each once at the source, and at the target only what its sum left open or had none.
    assert_eq!(outcome.read, (4 * SIZE, 3 * SIZE));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_wants_the_bytes_read_gets_them_read() {
    let mut bench = Bench::new(Mode::Verify);
    for i in 0..200 {
        bench.put_both(&format!("{i:03}"), 100);
        bench.keep_right(&bench.source, &format!("{i:03}"), SumKind::Crc32c);
        bench.keep_right(&bench.target, &format!("{i:03}"), SumKind::Crc32c);
    }
    assert_eq!(bench.outcome().await.read, (0, 0));
    bench.spec.policy.verify = VerifyLevel::ReadBack(100);
    let full = bench.outcome().await;
    assert_eq!((full.read, full.totals.objects.equal_by_sum), ((20_000, 20_000), 0));
    bench.spec.policy.verify = VerifyLevel::ReadBack(20);
    let sample = bench.outcome().await;
    let by_sum = sample.totals.objects.equal_by_sum;
    assert!((120..=190).contains(&by_sum), "{by_sum}");
    assert_eq!(sample.read, ((200 - by_sum) * 100, (200 - by_sum) * 100));
    // Silent damage, which no sum of the store shows.
    bench.spec.policy.verify = VerifyLevel::ReadBack(100);
    bench.target.insert("007", noise(7, 100), 2);
    let before = Bench::sum_of(&bench.source, "007", SumKind::Crc32c);
    bench.target.keep_sums(&Key::from("007"), vec![before]);
    assert_eq!(bench.outcome().await.objects[&Key::from("007")].status, Status::Differs);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_by_checksum_does_not_read_what_sums_show() {
    let mut bench = Bench::new(Mode::Copy);
    bench.spec.policy.comparison = Comparison::Content;
    bench.put_both("same", SIZE);
    bench.put_both("other", SIZE);
    bench.target.insert("other", noise(2, SIZE), 1);
    for key in ["same", "other"] {
        bench.keep_right(&bench.target, key, SumKind::Crc64Xz);
    }
    let outcome = bench.outcome().await;
    assert_eq!((outcome.totals.objects.unchanged, outcome.totals.objects.done), (1, 1));
    bench.assert_equal_ends();
    // Each was read for its sum, and what differs once more to be moved.
    assert_eq!(outcome.read, (3 * SIZE, SIZE));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_gets_the_sum_of_all_parts_also_after_a_stop() {
    let mut bench = Bench::new(Mode::Copy);
    bench.target = MemoryStore::with_sums(SumKind::Crc64Xz);
    let bytes = noise(1, (200 << 20) + 7);
    bench.source.insert("large", bytes.clone(), 7);
    let (job, _events, meter) = bench.start();
    let running = tokio::spawn(job);
    while meter.sent.load(Ordering::Relaxed) < 90 << 20 {
        tokio::task::yield_now().await;
    }
    running.abort();
    assert!(running.await.is_err(), "the first run was killed");
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
    assert!(end.totals.bytes.sent < 200 << 20, "nothing was there already");
    bench.assert_equal_ends();
    assert_eq!(bench.target.sums_at_commits(), [sum::of(SumKind::Crc64Xz, &bytes)]);
}
