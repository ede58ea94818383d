//! Copies that the service of both ends makes itself: no byte of them is asked for, what is not proven is
//! moved, and everything that objects carry arrives.

use std::path::{Path, PathBuf};

use airlift_node::store::s3::S3Store;
use airlift_node::store::{Attributes, NewObject, Proof, Store};
use airlift_protocol::error::ErrorCode;
use airlift_protocol::key::Key;
use airlift_protocol::manifest::Entry;
use airlift_tests::airlift::{Airlift, fast_directory};
use airlift_tests::conformance::fixture::{content, entry, object, put};
use airlift_tests::moto::Moto;
use airlift_tests::s3::{Access, S3Server};
use airlift_tests::tree;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::ResponseChecksumValidation;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

const BUCKET: &str = "bucket";
const MIB: usize = 1 << 20;

/// A server, and how it tells that bytes of objects were asked for.
struct Place {
    runtime: Runtime,
    access: Access,
    client: Client,
    asked: Box<dyn Fn() -> usize>,
}

impl Place {
    fn s3s(server: &'static S3Server) -> Self {
        let asked = || usize::try_from(server.gets()).unwrap();
        Self::new(Runtime::new().unwrap(), server.access(), Box::new(asked))
    }

    /// Moto, if it is installed, with the log that it writes.
    fn moto(directory: &Path) -> Option<(Self, Moto)> {
        let runtime = Runtime::new().unwrap();
        let log: PathBuf = directory.join("requests");
        let moto = runtime.block_on(Moto::watched(log.clone()))?;
        let asked = move || {
            let lines = std::fs::read_to_string(&log).unwrap();
            assert!(lines.contains("\"HEAD /"), "requests are in its log");
            lines.matches("x-id=GetObject ").count()
        };
        let place = Self::new(runtime, moto.access(), Box::new(asked));
        let request = place.client.create_bucket().bucket(BUCKET);
        place.runtime.block_on(request.send()).expect("a bucket");
        Some((place, moto))
    }

    fn new(runtime: Runtime, access: &Access, asked: Box<dyn Fn() -> usize>) -> Self {
        let client = runtime.block_on(async { access.client() });
        Self { runtime, access: access.clone(), client, asked }
    }

    fn airlift(&self) -> Airlift {
        Airlift::new().with_s3(&self.access)
    }

    /// Puts an object by one request, with things that it carries.
    fn put(&self, key: &str, bytes: &[u8], with_tags: bool) {
        let request = self
            .client
            .put_object()
            .bucket(BUCKET)
            .key(key)
            .content_type("text/x-test")
            .cache_control("max-age=60")
            .metadata("colour", "blue")
            .set_tagging(with_tags.then(|| "team=red".to_owned()))
            .body(ByteStream::from(bytes.to_vec()));
        self.runtime.block_on(request.send()).expect("an object");
    }

    /// Puts an object together from parts of these sizes.
    fn put_in_parts(&self, key: &str, bytes: &[u8], sizes: &[usize]) {
        self.runtime.block_on(async {
            let begin = self.client.create_multipart_upload().bucket(BUCKET).key(key);
            let id = begin.send().await.expect("an upload").upload_id.expect("its id");
            let (mut parts, mut at) = (Vec::new(), 0);
            for (size, number) in sizes.iter().zip(1..) {
                let body = ByteStream::from(bytes[at..at + size].to_vec());
                at += size;
                let part = self.client.upload_part().bucket(BUCKET).key(key).upload_id(&id);
                let sent = part.part_number(number).body(body).send().await.expect("a part");
                let part = CompletedPart::builder().part_number(number);
                parts.push(part.set_e_tag(sent.e_tag).build());
            }
            assert_eq!(at, bytes.len());
            let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
            let commit = self.client.complete_multipart_upload().bucket(BUCKET).key(key);
            commit.upload_id(id).multipart_upload(parts).send().await.expect("an object");
        });
    }

    /// An object's bytes, asked for past Airlift.
    fn bytes(&self, key: &str) -> Option<Vec<u8>> {
        self.runtime.block_on(async {
            // Moto says the sum of parts as if it were of the whole, which the SDK would hold it to.
            let trusting = aws_sdk_s3::config::Config::builder()
                .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
            let request = self.client.get_object().bucket(BUCKET).key(key);
            let answer = request.customize().config_override(trusting).send().await.ok()?;
            Some(answer.body.collect().await.expect("bytes").to_vec())
        })
    }

    fn etag(&self, key: &str) -> String {
        let request = self.client.head_object().bucket(BUCKET).key(key);
        self.runtime.block_on(request.send()).expect("an object").e_tag.expect("an ETag")
    }

    fn uploads(&self) -> usize {
        let request = self.client.list_multipart_uploads().bucket(BUCKET);
        self.runtime.block_on(request.send()).expect("a listing of uploads").uploads().len()
    }
}

fn lines(report: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(report).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

const WORDS: [&str; 5] = ["cp", "s3://bucket/from/", "s3://bucket/to/", "--json", "--server-side"];

/// Copies `keys` below `from/`, which all can be proven, and looks at what came of it.
fn all_is_copied_by_the_service(place: &Place, keys: &[&str], with_tags: bool) {
    let airlift = place.airlift();
    let directory = fast_directory();
    let report = directory.path().join("report");
    let words = WORDS.into_iter().chain(["auto", "--report", report.to_str().unwrap()]);
    let asked = (place.asked)();
    let end = airlift.run(words.clone()).expect(0).json();
    assert_eq!((place.asked)(), asked, "no byte crosses this machine");
    assert_eq!(end["server_side"]["objects"], keys.len(), "{end}");
    assert_eq!((&end["bytes"]["sent"], place.uploads()), (&0.into(), 0), "{end}");
    let said = lines(&report);
    for key in keys {
        let line = said.iter().find(|line| line["key"] == *key).expect("a line for each");
        assert_eq!((&line["server_side"], &line["blake3"]), (&true.into(), &Value::Null), "{line}");
        let (from, to) = (format!("from/{key}"), format!("to/{key}"));
        assert_eq!(place.etag(&from), place.etag(&to), "{key}");
        assert!(place.bytes(&from) == place.bytes(&to), "{key}");
    }
    place.runtime.block_on(async {
        let store = S3Store::open(place.access.options(BUCKET, "to/")).await.expect("a store");
        let info = store.stat(&Key::from("small")).await.expect("an answer").expect("an object");
        let Attributes { content_type, cache_control, metadata, tags, .. } = info.attributes;
        assert_eq!(content_type.as_deref(), Some("text/x-test"));
        assert_eq!(cache_control.as_deref(), Some("max-age=60"));
        assert_eq!(metadata["colour"], "blue");
        assert_eq!(tags.get("team").map(String::as_str), with_tags.then_some("red"));
    });
    let again = airlift.run(words).expect(0).json();
    assert_eq!(again["objects"]["unchanged"], again["objects"]["total"], "{again}");
}

fn plant(place: &Place, with_tags: bool) {
    place.put("from/small", b"small", with_tags);
    place.put("from/empty", b"", false);
    place.put("from/a b+c%2F\u{e9}//d", b"a key that has to be encoded", false);
    place.put("from/medium", &tree::noise(1, 9 * MIB), with_tags);
    let large = tree::noise(2, 17 * MIB + 3);
    place.put_in_parts("from/large", &large, &[6 * MIB, 6 * MIB, 5 * MIB + 3]);
}

const KEYS: [&str; 5] = ["small", "empty", "a b+c%2F\u{e9}//d", "medium", "large"];

/// A server for as long as the process: a place refers to it.
fn s3s() -> Place {
    Place::s3s(Box::leak(Box::new(S3Server::with_bucket(BUCKET))))
}

#[test]
fn s3_copies_without_a_byte_for_us() {
    let place = s3s();
    plant(&place, false);
    all_is_copied_by_the_service(&place, &KEYS, false);
}

#[test]
fn moto_copies_without_a_byte_for_us() {
    let directory = fast_directory();
    let Some((place, _moto)) = Place::moto(directory.path()) else { return };
    plant(&place, true);
    assert!(place.etag("from/large").contains("-3"), "it was put together from parts");
    all_is_copied_by_the_service(&place, &KEYS, true);
}

/// Parts of several sizes: a copy that is cut in the same way cannot be asked for.
#[test]
fn what_cannot_be_proven_is_moved_or_fails_by_name() {
    let directory = fast_directory();
    let Some((place, _moto)) = Place::moto(directory.path()) else { return };
    let uneven = tree::noise(3, 18 * MIB);
    place.put_in_parts("from/uneven", &uneven, &[5 * MIB, 7 * MIB, 6 * MIB]);
    place.put("from/small", b"small", false);
    let airlift = place.airlift();
    let always = airlift.run(WORDS.into_iter().chain(["always"])).expect(1).json();
    let failed = &always["errors"][0];
    assert_eq!(failed["code"], "kind_unsupported", "{always}");
    assert!(failed["reason"].as_str().unwrap().contains("--server-side auto"), "{always}");
    assert_eq!(place.bytes("to/uneven"), None);
    assert_eq!(place.uploads(), 0);

    let asked = (place.asked)();
    let auto = airlift.run(WORDS.into_iter().chain(["auto"])).expect(0).json();
    assert!((place.asked)() > asked, "its bytes are read");
    assert_eq!(auto["bytes"]["sent"], uneven.len(), "{auto}");
    assert!(place.bytes("to/uneven") == Some(uneven));
    assert_eq!(place.uploads(), 0);
}

#[test]
fn bytes_are_moved_unless_the_service_is_asked_for_and_when_they_are_read_back() {
    let place = s3s();
    place.put("from/small", b"small", false);
    let airlift = place.airlift();
    for words in [["never"].as_slice(), &["auto", "--verify", "full"]] {
        let asked = (place.asked)();
        let words = WORDS.into_iter().chain(words.iter().copied());
        let end = airlift.run(words).expect(0).json();
        assert_eq!((&end["server_side"]["objects"], &end["bytes"]["sent"]), (&0.into(), &5.into()));
        assert!((place.asked)() > asked);
        let store = S3Store::open(place.access.options(BUCKET, "to/"));
        place.runtime.block_on(async {
            let store = store.await.expect("a store");
            let gone = store.delete(vec![entry(&store, "small").await]).await;
            gone.into_iter().for_each(|gone| gone.expect("it is deleted"));
        });
    }
}

#[test]
fn always_is_refused_where_no_service_has_both_ends() {
    let place = s3s();
    let source: TempDir = fast_directory();
    tree::write(source.path(), "file", b"bytes");
    let words = ["cp", source.path().to_str().unwrap(), "s3://bucket/to/", "--server-side"];
    let refused = place.airlift().run(words.into_iter().chain(["always"])).expect(3);
    assert!(refused.stderr.contains("both ends in one service"), "{refused:?}");
    let _ = place.airlift().run(words.into_iter().chain(["auto"])).expect(0);
    assert_eq!(place.bytes("to/file").as_deref(), Some(b"bytes".as_slice()));

    // It is refused before a directory is made, and before anything is said about what would be lost.
    let target = source.path().with_extension("target");
    let words = ["cp", "s3://bucket/to/", target.to_str().unwrap(), "--server-side", "always"];
    let refused = place.airlift().run(words).expect(3);
    assert!(refused.stderr.contains("both ends in one service"), "{refused:?}");
    assert!(!target.exists() && !refused.stderr.contains("cannot hold"), "{refused:?}");
}

fn copied(listed: &Entry) -> NewObject {
    let attributes =
        Attributes { source_fingerprint: Some(listed.fingerprint()), ..Attributes::default() };
    NewObject { entry: Entry { key: Key::from("copy"), ..listed.clone() }, attributes }
}

/// As after a kill in the middle: what is there is not copied again, and a commit may be repeated.
#[test]
fn a_copy_into_an_upload_goes_on_where_it_stopped() {
    let directory = fast_directory();
    let Some((place, _moto)) = Place::moto(directory.path()) else { return };
    plant(&place, false);
    let large = place.bytes("from/large").unwrap();
    place.runtime.block_on(async {
        let source = S3Store::open(place.access.options(BUCKET, "from/")).await.expect("a store");
        let target = S3Store::open(place.access.options(BUCKET, "to/")).await.expect("a store");
        let copier = target.copier(&source).expect("one service");
        let listed = entry(&source, "large").await;
        let new_object = copied(&listed);
        assert!(copier.wants_upload(&listed) && copier.objection(&listed).is_none());
        let opened = copier.open_upload(&listed, &new_object, None, None).await;
        let token = opened.expect("an answer").expect("an upload").token;
        let id = token.0.split_once(':').expect("an id").1;
        let part = place.client.upload_part_copy().bucket(BUCKET).key("to/copy").upload_id(id);
        let part = part.part_number(2).copy_source("bucket/from/large");
        let part = part.copy_source_range(format!("bytes={}-{}", 6 * MIB, 12 * MIB - 1));
        part.send().await.expect("a part");

        let opened = copier.open_upload(&listed, &new_object, Some(&token), None).await;
        let opened = opened.expect("an answer").expect("an upload");
        assert_eq!((opened.is_resumed, &opened.token), (true, &token));
        for _ in 0..2 {
            let proof = copier.commit(&listed, &new_object, &token).await;
            assert_eq!(proof.expect("an answer"), Proof::Proven);
        }
        assert!(content(&target, "copy").await == large);

        let opened = copier.open_upload(&listed, &new_object, None, None).await;
        let token = opened.expect("an answer").expect("an upload").token;
        target.discard(&Key::from("copy"), Some(&token), None).await.expect("a discard");
        let opened = copier.open_upload(&listed, &new_object, None, None).await;
        let token = opened.expect("an answer").expect("an upload").token;
        // The next run is to move the bytes.
        target.open_upload(&new_object, Some(&token), None).await.expect("an upload");
    });
    assert_eq!(place.uploads(), 1, "that of the next run");
}

fn a_source_that_changed_is_noticed(place: &Place) {
    place.runtime.block_on(async {
        let source = S3Store::open(place.access.options(BUCKET, "from/")).await.expect("a store");
        let target = S3Store::open(place.access.options(BUCKET, "to/")).await.expect("a store");
        put(&source, vec![object("changes", "before".into())]).await;
        let listed = entry(&source, "changes").await;
        put(&source, vec![object("changes", "after!".into())]).await;
        let copier = target.copier(&source).expect("one service");
        let error = copier.copy(&listed, &copied(&listed)).await.expect_err("it is another object");
        assert_eq!(error.code, ErrorCode::SourceChanged, "{error}");
    });
}

#[test]
fn a_source_that_changed_is_noticed_by_s3() {
    a_source_that_changed_is_noticed(&s3s());
}

#[test]
fn a_source_that_changed_is_noticed_with_moto() {
    let directory = fast_directory();
    let Some((place, _moto)) = Place::moto(directory.path()) else { return };
    a_source_that_changed_is_noticed(&place);
}
