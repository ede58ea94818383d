//! What is at the target and turns out not to be what was wanted: removed, or moved again, and never called
//! unchanged.

use airlift_protocol::job::ServerSide;

use super::*;
use crate::storage::journal::{Doubt, Journal};
use crate::store::memory::Flaws;

const SMALL: &str = "small";
const LARGE: &str = "large";

impl Bench {
    /// A job with a small object and a large one, to `target`.
    fn doubtful(target: MemoryStore) -> Self {
        let bench = Self { target, ..Self::new(Mode::Copy) };
        bench.source.insert(SMALL, noise(1, 1000), 7);
        bench.source.insert(LARGE, noise(2, 9 << 20), 7);
        bench
    }

    /// Runs the job, of which every object fails with `code` and a reason that ends in `end`.
    async fn fails(&self, code: ErrorCode, end: &str) {
        let (_, objects) = self.run().await;
        assert_eq!(objects.len(), 2);
        for object in objects.values() {
            assert_eq!(object.status, Status::Failed, "{object:?}");
            let (found, reason) = object.reason.as_ref().expect("a reason");
            assert_eq!(*found, Some(code), "{reason}");
            assert!(reason.ends_with(end), "{reason}");
        }
    }

    /// Runs the job, which moves both objects, and leaves nothing behind.
    async fn moves_all(&self) {
        let (end, _) = self.run().await;
        assert_eq!((end.totals.objects.done, end.totals.objects.unchanged), (2, 0));
        self.assert_equal_ends();
        assert_eq!(self.states(), 0);
    }

    /// Directories of jobs.
    fn states(&self) -> usize {
        std::fs::read_dir(self.state.path().join("jobs")).unwrap().count()
    }

    fn journal(&self) -> Journal {
        let directory = job_dir(self.state.path(), self.spec.id());
        std::fs::create_dir_all(&directory).unwrap();
        Journal::open(&directory.join("journal.redb")).unwrap()
    }
}

const REMOVED: &str = "it was removed again";
const STAYS: &str = "delete it, or run again";

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_fails_its_proof_is_removed() {
    let bench = Bench::doubtful(MemoryStore::like_a_bucket());
    for key in [SMALL, LARGE] {
        bench.source.tag(&Key::from(key), "team", "red");
    }
    let damages = Flaws { damages: true, ..Flaws::default() };
    let forgets = Flaws { forgets_tags: true, ..Flaws::default() };
    for (flaws, code) in
        [(damages, ErrorCode::CorruptTarget), (forgets, ErrorCode::KindUnsupported)]
    {
        bench.target.set_flaws(flaws);
        bench.fails(code, REMOVED).await;
        assert_eq!(bench.target.keys(), []);
        assert_eq!(bench.states(), 0);
    }
    bench.target.set_flaws(Flaws::default());
    bench.moves_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_fails_its_proof_and_cannot_be_removed_is_moved_again() {
    for (flaws, code) in [
        (Flaws { damages: true, ..Flaws::default() }, ErrorCode::CorruptTarget),
        (Flaws { forgets_tags: true, ..Flaws::default() }, ErrorCode::KindUnsupported),
    ] {
        let bench = Bench::doubtful(MemoryStore::like_a_bucket());
        for key in [SMALL, LARGE] {
            bench.source.tag(&Key::from(key), "team", "red");
        }
        bench.target.set_flaws(Flaws { refuses_deletes: true, ..flaws });
        bench.fails(code, STAYS).await;
        assert_eq!(bench.target.keys().len(), 2);
        let files: Vec<_> = std::fs::read_dir(job_dir(bench.state.path(), bench.spec.id()))
            .unwrap()
            .map(|file| file.unwrap().file_name())
            .collect();
        assert_eq!(files, ["journal.redb"], "what is in doubt is all that is left of the job");
        bench.target.set_flaws(Flaws::default());
        bench.moves_all().await;
        let (end, _) = bench.run().await;
        assert_eq!(end.totals.objects.unchanged, 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_bytes_that_reading_back_finds_are_removed_or_moved_again() {
    for target in [MemoryStore::like_a_bucket, MemoryStore::new] {
        for (refuses_deletes, end) in [(false, REMOVED), (true, STAYS)] {
            let mut bench = Bench::doubtful(target());
            bench.spec.policy.verify = VerifyLevel::ReadBack(100);
            let flaws = Flaws { damages: true, is_blind: true, ..Flaws::default() };
            bench.target.set_flaws(Flaws { refuses_deletes, ..flaws });
            bench.fails(ErrorCode::CorruptTarget, end).await;
            assert_eq!(bench.target.keys().is_empty(), !refuses_deletes);
            bench.target.set_flaws(Flaws::default());
            bench.moves_all().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_by_the_service_that_is_not_proven_does_not_stay() {
    let mut bench = Bench::doubtful(MemoryStore::like_a_bucket());
    bench.spec.policy.server_side = ServerSide::Always;
    bench.target.set_flaws(Flaws { copies_unproven: true, ..Flaws::default() });
    for _ in 0..2 {
        bench.fails(ErrorCode::KindUnsupported, "with --server-side auto it would be moved").await;
        assert_eq!((bench.target.keys(), bench.states()), (vec![], 0));
    }
    bench.target.set_flaws(Flaws {
        copies_unproven: true,
        refuses_deletes: true,
        ..Flaws::default()
    });
    for _ in 0..2 {
        bench.fails(ErrorCode::KindUnsupported, "with --server-side auto it would be moved").await;
        assert_eq!((bench.target.keys().len(), bench.states()), (2, 1));
    }
    bench.spec.policy.server_side = ServerSide::Auto;
    bench.moves_all().await;
}

/// As after a kill between the write and its proof: all that is left of that is what the journal knows.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_run_has_not_proven_is_looked_at_or_moved_again() {
    for (doubt, moved) in [(Doubt::Content, 0), (Doubt::Object, 1)] {
        for is_other in [false, true] {
            let bench = Bench::doubtful(MemoryStore::like_a_bucket());
            bench.moves_all().await;
            let large = Key::from(LARGE);
            if is_other {
                // Written again, and damaged: nobody sees that from outside.
                let flaws = Flaws { damages: true, is_blind: true, ..Flaws::default() };
                bench.target.set_flaws(flaws);
                assert!(bench.target.remove(&large));
                let (end, _) = bench.run().await;
                assert_eq!(end.totals.objects.done, 1);
                bench.target.set_flaws(Flaws::default());
            }
            bench.journal().doubt(vec![(large, doubt)]).unwrap();
            let (end, _) = bench.run().await;
            let expected = if is_other { 1 } else { moved };
            assert_eq!(end.totals.objects.done, expected, "{doubt:?} {is_other}");
            assert_eq!(end.totals.objects.unchanged, 2 - expected);
            bench.assert_equal_ends();
            assert_eq!(bench.states(), 0, "{doubt:?} {is_other}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_moved_and_proven_leaves_no_doubt() {
    for verify in [VerifyLevel::Committed, VerifyLevel::ReadBack(100)] {
        let mut bench = Bench::doubtful(MemoryStore::like_a_bucket());
        bench.spec.policy.verify = verify;
        bench.moves_all().await;
    }
}
