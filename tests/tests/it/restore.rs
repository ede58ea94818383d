//! Objects in an archive: restored where the job wants that, waited for, and moved. And old versions, which
//! are not.

use std::sync::Arc;
use std::time::{Duration, Instant};

use airlift_tests::airlift::Airlift;
use airlift_tests::moto::Moto;
use aws_sdk_s3::types::{RestoreRequest, StorageClass};
use bytes::Bytes;
use tokio::runtime::Runtime;

struct Shared {
    runtime: Runtime,
    moto: Arc<Moto>,
    bucket: String,
}

impl Shared {
    fn new() -> Option<Self> {
        let runtime = Runtime::new().unwrap();
        let moto = runtime.block_on(Moto::shared())?;
        Some(Self::on(runtime, moto))
    }

    /// A bucket with an object that is at hand and two in archives.
    fn on(runtime: Runtime, moto: Arc<Moto>) -> Self {
        let bucket = runtime.block_on(moto.new_bucket());
        let shared = Self { runtime, moto, bucket };
        shared.put("from/warm", StorageClass::Standard, vec![1; 10]);
        shared.put("from/cold", StorageClass::Glacier, vec![2; 1000]);
        shared.put("from/colder", StorageClass::DeepArchive, vec![3; 9 << 20]);
        shared
    }

    fn put(&self, key: &str, class: StorageClass, bytes: Vec<u8>) {
        let request = self.moto.access().client().put_object().bucket(&self.bucket).key(key);
        let request = request.storage_class(class).body(Bytes::from(bytes).into());
        self.runtime.block_on(request.send()).expect("a put");
    }

    fn has(&self, key: &str) -> bool {
        let request = self.moto.access().client().head_object().bucket(&self.bucket).key(key);
        self.runtime.block_on(request.send()).is_ok()
    }

    fn restore(&self, key: &str, days: i32) {
        let wanted = RestoreRequest::builder().days(days).build();
        let request = self.moto.access().client().restore_object().bucket(&self.bucket).key(key);
        self.runtime.block_on(request.restore_request(wanted).send()).expect("a restore");
    }

    fn restore_of(&self, key: &str) -> Option<String> {
        let request = self.moto.access().client().head_object().bucket(&self.bucket).key(key);
        self.runtime.block_on(request.send()).expect("a description").restore
    }

    fn at(&self, prefix: &str) -> String {
        format!("s3://{}/{prefix}", self.bucket)
    }
}

#[test]
fn what_lies_in_an_archive_is_counted_and_left_there_unless_asked_for() {
    let Some(shared) = Shared::new() else { return };
    let airlift = Airlift::new().with_s3(shared.moto.access());
    let (from, to) = (shared.at("from/"), shared.at("to/"));
    let out = airlift.run(["cp", &from, &to, "--json"]).expect(1).json();
    let bytes = 1000 + (9 << 20);
    assert_eq!(out["archived"]["resting"], serde_json::json!({"objects": 2, "bytes": bytes}));
    assert_eq!(out["archived"]["restoring"]["objects"], 0);
    let shown = airlift.run(["cp", &from, &to]).expect(1).stderr;
    assert!(shown.contains("archived  2 objects, 9.0 MiB: --restore"), "{shown}");
    // A dry run asks for nothing, since that costs.
    let dry = ["cp", "--dry-run", "--restore", "bulk:7", &from, &to, "--json"];
    assert_eq!(airlift.run(dry).expect(1).json()["archived"]["resting"]["objects"], 2);
    assert_eq!(shared.restore_of("from/cold"), None);
}

#[test]
fn what_is_restored_is_waited_for_and_moved() {
    let Some(shared) = Shared::new() else { return };
    let airlift = Airlift::new().with_s3(shared.moto.access());
    let (from, to) = (shared.at("from/"), shared.at("to/"));
    let ask = ["cp", "--restore", "bulk:7", "--restore-wait", "none", &from, &to, "--json"];
    let asked = airlift.run(ask).expect(1).json();
    assert_eq!(
        (&asked["objects"]["done"], &asked["archived"]["restoring"]["objects"]),
        (&1.into(), &2.into())
    );
    assert!(asked["errors"][0]["reason"].as_str().unwrap().contains("being restored"), "{asked}");
    assert!(shared.restore_of("from/cold").is_some(), "nobody asked for it");

    // This server restores at once, so that the next look finds all of it.
    let copied = airlift.run(["cp", "--restore", "bulk:7", &from, &to, "--json"]).expect(0).json();
    assert_eq!(
        (&copied["objects"]["done"], &copied["objects"]["unchanged"]),
        (&2.into(), &1.into())
    );

    let other = shared.at("other/");
    shared.put("from/coldest", StorageClass::DeepArchive, vec![4; 10]);
    let waited = airlift.run(["cp", "--restore", "bulk:7", &from, &other]).expect(0);
    assert!(waited.stderr.contains("being restored: 1 object, 10 B"), "{}", waited.stderr);
    assert!(waited.stderr.contains("all done"), "{}", waited.stderr);
}

#[test]
fn an_archive_stands_in_the_way_of_a_preflight_unless_it_is_restored() {
    let Some(shared) = Shared::new() else { return };
    let airlift = Airlift::new().with_s3(shared.moto.access());
    let (from, to) = (shared.at("from/"), shared.at("to/"));
    let looked = airlift.run(["cp", "--preflight", &from, &to]).expect(1);
    assert!(looked.stderr.contains("nothing was moved"), "{}", looked.stderr);
    let _ = airlift.run(["cp", "--preflight", "--restore", "bulk:1", &from, &to]).expect(0);
}

#[test]
fn a_copy_that_will_soon_be_gone_is_asked_for_again() {
    let Some(shared) = Shared::new() else { return };
    // Gone by now: this server believes any number of days.
    shared.restore("from/cold", 0);
    let before = shared.restore_of("from/cold");
    let airlift = Airlift::new().with_s3(shared.moto.access());
    let (from, to) = (shared.at("from/"), shared.at("to/"));
    let flags = ["cp", "--include", "cold", "--restore", "bulk:7", "--restore-wait", "none"];
    let _ = airlift.run(flags.into_iter().chain([from.as_str(), to.as_str()])).expect(0);
    assert_ne!(shared.restore_of("from/cold"), before);
}

#[test]
fn waiting_ends_when_it_is_interrupted_and_goes_on_later() {
    let runtime = Runtime::new().unwrap();
    // Of its own: how long restores take holds for all who use it.
    let Some(moto) = runtime.block_on(Moto::alone()) else { return };
    let own = Shared::on(runtime, Arc::new(moto));
    // Both are under way, and stay so.
    own.runtime.block_on(own.moto.restores_after(1));
    for key in ["from/cold", "from/colder"] {
        own.restore(key, 7);
        assert_eq!(own.restore_of(key).as_deref(), Some("ongoing-request=\"true\""));
    }
    own.runtime.block_on(own.moto.restores_after(u32::MAX));
    let airlift = Airlift::new().with_s3(own.moto.access());
    let (from, to) = (own.at("from/"), own.at("to/"));
    let mut running = airlift.start(["cp", "--restore", "bulk:7", &from, &to]);
    let deadline = Instant::now() + Duration::from_secs(60);
    while !own.has("to/warm") {
        assert!(Instant::now() < deadline && !running.has_ended(), "nothing is moved");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(running.terminate().code(), Some(130));
    assert!(!own.has("to/cold"));
    own.runtime.block_on(own.moto.restores_after(0));
    let _ = airlift.run(["cp", "--restore", "bulk:7", &from, &to]).expect(0);
    assert!(own.has("to/cold") && own.has("to/colder"));
}

#[test]
fn old_versions_are_refused_with_the_reason() {
    let refused = Airlift::new().run(["cp", "--versions", "all", "/a", "/b"]).expect(2);
    assert!(refused.stderr.contains("one entry for each key"), "{}", refused.stderr);
    let (source, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (from, to) = (source.path().to_str().unwrap(), target.path().to_str().unwrap());
    let _ = Airlift::new().run(["cp", "--versions", "latest", from, to]).expect(0);
}
