//! Multipart uploads at the server: whatever becomes of a job, none of its own stays, and none of
//! somebody else's goes. What is left is asked of the server, past Airlift.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use airlift_node::store::Store;
use airlift_node::store::s3::S3Store;
use airlift_protocol::assignment::UploadToken;
use airlift_protocol::error::ErrorCode;
use airlift_protocol::key::Key;
use airlift_protocol::time::Timestamp;
use airlift_tests::airlift::{Airlift, fast_directory};
use airlift_tests::canned::{Answer, CannedServer};
use airlift_tests::cluster::{Cluster, Role};
use airlift_tests::conformance::fixture::Large;
use airlift_tests::moto::Moto;
use airlift_tests::s3::{Access, S3Server};
use airlift_tests::tree;
use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use tempfile::TempDir;
use tokio::runtime::Runtime;

const LARGE: usize = 40 << 20;

/// A bucket as its server shows it.
struct Bucket {
    runtime: Runtime,
    access: Access,
    client: Client,
    name: String,
    /// Whether the server says when an upload was begun. To moto, that was in 2010: an upload whose token was
    /// not on record yet is not known for one of ours there.
    says_when: bool,
}

impl Bucket {
    fn of_s3s(server: &S3Server) -> Self {
        let runtime = Runtime::new().unwrap();
        Self::new(runtime, server.access(), "bucket".to_owned(), true)
    }

    /// A bucket of moto, if that is installed, with the server that has to live as long.
    fn of_moto() -> Option<(Self, std::sync::Arc<Moto>)> {
        let runtime = Runtime::new().unwrap();
        let moto = runtime.block_on(Moto::shared())?;
        let name = runtime.block_on(moto.new_bucket());
        Some((Self::new(runtime, moto.access(), name, false), moto))
    }

    fn new(runtime: Runtime, access: &Access, name: String, says_when: bool) -> Self {
        let client = runtime.block_on(async { access.client() });
        Self { runtime, access: access.clone(), client, name, says_when }
    }

    fn location(&self) -> String {
        format!("s3://{}/", self.name)
    }

    /// Key and id of every upload that was begun and neither completed nor dropped.
    fn uploads(&self) -> Vec<(String, String)> {
        let request = self.client.list_multipart_uploads().bucket(&self.name);
        let answer = self.runtime.block_on(request.send()).expect("a listing of uploads");
        let mut uploads: Vec<(String, String)> = answer
            .uploads()
            .iter()
            .map(|it| (it.key().unwrap().to_owned(), it.upload_id().unwrap().to_owned()))
            .collect();
        uploads.sort();
        uploads
    }

    /// Begins an upload as another program would, and sends one part of it.
    fn begin_foreign(&self, key: &str) -> (String, String) {
        self.runtime.block_on(async {
            let begun = self.client.create_multipart_upload().bucket(&self.name).key(key);
            let id = begun.send().await.expect("an upload").upload_id.expect("its id");
            let part = self.client.upload_part().bucket(&self.name).key(key).upload_id(&id);
            let body = ByteStream::from_static(b"a part of somebody else");
            part.part_number(1).body(body).send().await.expect("a part");
            (key.to_owned(), id)
        })
    }

    /// Whether something was sent into an upload, so that its token is on record.
    fn has_part(&self, (key, id): &(String, String)) -> bool {
        let request = self.client.list_parts().bucket(&self.name).key(key).upload_id(id);
        // It may be gone by now.
        self.runtime.block_on(request.send()).is_ok_and(|answer| !answer.parts().is_empty())
    }

    fn wait_for_upload(&self, besides: &[(String, String)]) {
        let begun = Instant::now();
        let is_there = |upload: &(String, String)| {
            !besides.contains(upload) && (self.says_when || self.has_part(upload))
        };
        while !self.uploads().iter().any(is_there) {
            assert!(begun.elapsed() < Duration::from_secs(60), "no upload was begun");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Uploads of others, one of them of the key that the job writes.
    fn plant(&self) -> Vec<(String, String)> {
        let mut foreign = vec![self.begin_foreign("large"), self.begin_foreign("another")];
        foreign.sort();
        foreign
    }
}

fn source() -> TempDir {
    let source = fast_directory();
    tree::write(source.path(), "large", &tree::noise(7, LARGE));
    tree::write(source.path(), "small", b"small");
    source
}

/// Kills a job in the middle of its upload; what was at the server before, and the job's words.
fn killed(
    airlift: &Airlift,
    bucket: &Bucket,
    source: &TempDir,
) -> (Vec<(String, String)>, [String; 3]) {
    let foreign = bucket.plant();
    let words = ["cp".to_owned(), source.path().to_str().unwrap().to_owned(), bucket.location()];
    let slow = ["--bwlimit", "8M"].map(str::to_owned);
    let mut running = airlift.start(words.iter().chain(&slow));
    bucket.wait_for_upload(&foreign);
    assert_eq!(running.kill().code(), None, "it was killed on its way");
    assert_eq!(bucket.uploads().len(), foreign.len() + 1, "what a kill leaves");
    (foreign, words)
}

fn a_killed_job_that_runs_again_leaves_none(bucket: &Bucket) {
    let airlift = Airlift::new().with_s3(&bucket.access);
    let source = source();
    let (foreign, words) = killed(&airlift, bucket, &source);
    let _ = airlift.run(&words).expect(0);
    assert_eq!(bucket.uploads(), foreign);
}

/// Nothing opens that upload again, and nothing of its object is listed.
fn a_killed_job_whose_object_is_gone_leaves_none(bucket: &Bucket) {
    let airlift = Airlift::new().with_s3(&bucket.access);
    let source = source();
    let (foreign, words) = killed(&airlift, bucket, &source);
    std::fs::remove_file(source.path().join("large")).unwrap();
    let _ = airlift.run(&words).expect(0);
    assert_eq!(bucket.uploads(), foreign);
}

fn a_cancelled_job_leaves_none(bucket: &Bucket) {
    let airlift = Airlift::new().with_s3(&bucket.access);
    let cluster = Cluster::start_with(airlift, &[Role::Voter, Role::Worker]);
    let source = source();
    let foreign = bucket.plant();
    let from = format!("node0:{}", source.path().to_str().unwrap());
    let words = ["job", "submit", &from, &bucket.location(), "--bwlimit", "8M", "--json"];
    let submitted = cluster.ask(words).expect(0).json();
    let id = submitted["id"].as_str().unwrap();
    bucket.wait_for_upload(&foreign);
    let _ = cluster.ask(["job", "cancel", id]).expect(0);
    let begun = Instant::now();
    while cluster.ask(["job", "show", "--json", id]).expect(0).json()["outcome"].is_null() {
        assert!(begun.elapsed() < Duration::from_secs(60), "the job does not end");
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(bucket.uploads(), foreign);
}

/// As after a crash between the begin of an upload and the record of its token: what has no part.
fn only_an_upload_without_parts_is_an_orphan(bucket: &Bucket) {
    let foreign = bucket.plant();
    bucket.runtime.block_on(async {
        let store = S3Store::open(bucket.access.options(&bucket.name, "")).await.expect("a store");
        let forgotten = Large::begin(&store, "large", 1).await;
        let since = Some(Timestamp(0));
        store.discard(&Key::from("large"), None, since).await.expect("a discard");
        let lost = store.upload(&forgotten.object, &forgotten.token).await.expect_err("dropped");
        assert_eq!(lost.code, ErrorCode::UploadLost, "{lost}");

        let mut kept = Large::begin(&store, "large", 1).await;
        kept.write(kept.parts()[0]).await;
        let token = kept.token.clone();
        assert!(kept.reopen(&store, Some(&token), since).await, "what is on record stays");
        kept.discard(&store).await;
    });
    assert_eq!(bucket.uploads(), foreign);
}

#[test]
fn s3_keeps_no_upload_of_a_killed_job_that_ran_again() {
    a_killed_job_that_runs_again_leaves_none(&Bucket::of_s3s(&S3Server::with_bucket("bucket")));
}

#[test]
fn moto_keeps_no_upload_of_a_killed_job_that_ran_again() {
    let Some((bucket, _moto)) = Bucket::of_moto() else { return };
    a_killed_job_that_runs_again_leaves_none(&bucket);
}

#[test]
fn s3_keeps_no_upload_of_an_object_that_is_gone() {
    let server = S3Server::with_bucket("bucket");
    a_killed_job_whose_object_is_gone_leaves_none(&Bucket::of_s3s(&server));
}

#[test]
fn moto_keeps_no_upload_of_an_object_that_is_gone() {
    let Some((bucket, _moto)) = Bucket::of_moto() else { return };
    a_killed_job_whose_object_is_gone_leaves_none(&bucket);
}

#[test]
fn s3_keeps_no_upload_of_a_cancelled_job() {
    a_cancelled_job_leaves_none(&Bucket::of_s3s(&S3Server::with_bucket("bucket")));
}

#[test]
fn moto_keeps_no_upload_of_a_cancelled_job() {
    let Some((bucket, _moto)) = Bucket::of_moto() else { return };
    a_cancelled_job_leaves_none(&bucket);
}

#[test]
fn s3_keeps_uploads_of_others_of_the_same_key() {
    only_an_upload_without_parts_is_an_orphan(&Bucket::of_s3s(&S3Server::with_bucket("bucket")));
}

#[test]
fn moto_keeps_uploads_of_others_of_the_same_key() {
    let Some((bucket, _moto)) = Bucket::of_moto() else { return };
    only_an_upload_without_parts_is_an_orphan(&bucket);
}

/// A server on which parts that were on their way arrive after each of the first `late` drops. How often
/// the upload is dropped, and what becomes of the discard.
async fn dropped_while_parts_arrive(late: usize) -> (usize, Option<ErrorCode>) {
    let drops = std::sync::Arc::new(AtomicUsize::new(0));
    let seen = std::sync::Arc::clone(&drops);
    let server = CannedServer::start(move |request| match request.split(' ').next() {
        Some("DELETE") => {
            seen.fetch_add(1, Ordering::Relaxed);
            Answer::new("204 No Content", "")
        }
        _ if seen.load(Ordering::Relaxed) > late => Answer::error("404 Not Found", "NoSuchUpload"),
        _ => {
            let part = "<Part><PartNumber>1</PartNumber><ETag>\"x\"</ETag><Size>5</Size></Part>";
            Answer::new("200 OK", &format!("<ListPartsResult>{part}</ListPartsResult>"))
        }
    })
    .await;
    let store = S3Store::open(server.access().options("bucket", "")).await.expect("a store");
    let token = UploadToken("24c:id".to_owned());
    let discarded = store.discard(&Key::from("key"), Some(&token), None).await;
    (drops.load(Ordering::Relaxed), discarded.err().map(|error| error.code))
}

#[tokio::test]
async fn an_upload_is_dropped_until_no_part_is_left() {
    assert_eq!(dropped_while_parts_arrive(0).await, (1, None));
    assert_eq!(dropped_while_parts_arrive(2).await, (3, None));
    let (drops, code) = dropped_while_parts_arrive(usize::MAX).await;
    assert_eq!(
        (drops > 1, code),
        (true, Some(ErrorCode::Unavailable)),
        "it is said, not forgotten"
    );
}
