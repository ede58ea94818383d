//! HDFS against Apache's own namenode and datanode: the conformance suite, and what is peculiar to it.

use std::fs;
use std::sync::Arc;

use airlift_node::pipeline::chunk::Payload;
use airlift_node::store::hdfs::access::{HdfsCredentials, HdfsServer};
use airlift_node::store::hdfs::{HdfsOptions, HdfsStore};
use airlift_node::store::{Access, ListRequest, Listed, Store, StoreError};
use airlift_protocol::chunk::Root;
use airlift_protocol::error::ErrorCode;
use airlift_protocol::key::Key;
use airlift_protocol::manifest::Kind;
use airlift_protocol::shard;
use airlift_protocol::units::ByteRange;
use airlift_tests::airlift::Airlift;
use airlift_tests::canned::{Answer, CannedServer};
use airlift_tests::conformance;
use airlift_tests::conformance::Place;
use airlift_tests::conformance::fixture::{
    Large, content, data, entry, keys, new_object, object, put, verified_chunks,
};
use airlift_tests::hdfs::Hdfs;
use airlift_tests::tree;
use async_trait::async_trait;
use reqwest::Method;
use tempfile::TempDir;

struct HdfsPlace {
    server: Arc<Hdfs>,
    root: String,
}

impl HdfsPlace {
    fn new() -> Option<Self> {
        let server = Hdfs::shared()?;
        let root = server.new_place();
        Some(Self { server, root })
    }

    fn store(&self) -> HdfsStore {
        self.store_at(&self.root)
    }

    fn store_at(&self, root: &str) -> HdfsStore {
        HdfsStore::open(self.server.options(root)).expect("a store")
    }

    async fn ready(&self) -> HdfsStore {
        let store = self.store();
        store.preflight(Access::Write).await.expect("a place to write to");
        store
    }
}

#[async_trait]
impl Place for HdfsPlace {
    async fn open(&self) -> Box<dyn Store> {
        Box::new(self.ready().await)
    }

    async fn overwrite(&self, key: &Key, bytes: &[u8]) {
        let path = format!("{}/{key}", self.root);
        self.server.ask(Method::PUT, &path, "op=CREATE&overwrite=true", bytes).await;
    }

    /// Each costs this datanode a quarter of a second.
    fn many(&self) -> usize {
        1100
    }

    async fn leftovers(&self) -> Vec<String> {
        let names = self.server.names(&self.root).await;
        names.into_iter().filter(|name| name.starts_with(".airlift-")).collect()
    }
}

conformance!(optional hdfs, async { HdfsPlace::new() });

async fn refusal(store: &HdfsStore, access: Access) -> StoreError {
    store.preflight(access).await.expect_err("the place cannot be used")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_that_cannot_be_used_is_named_with_the_way_out() {
    let Some(place) = HdfsPlace::new() else { return };
    put(&place.ready().await, vec![object("file", data(1, 9))]).await;
    for (root, access, words) in [
        (format!("{}/none", place.root), Access::Read, "does not exist"),
        (format!("{}/file", place.root), Access::Read, "is no directory"),
        (format!("{}/file", place.root), Access::Write, "not a directory"),
        (format!("{}/a,b", place.root), Access::Write, "commas"),
    ] {
        let error = refusal(&place.store_at(&root), access).await;
        assert!(error.detail().contains(words), "{root}: {error}");
    }
    let stranger = HdfsServer { user: Some("stranger".to_owned()), ..place.server.server() };
    let options = HdfsOptions { server: stranger, ..place.server.options(&place.root) };
    let error = refusal(&HdfsStore::open(options).unwrap(), Access::Write).await;
    assert!(error.detail().contains("user=stranger"), "{error}");
    let nobody = HdfsServer { endpoint: "http://127.0.0.1:1".to_owned(), ..place.server.server() };
    let options = HdfsOptions { server: nobody, ..place.server.options(&place.root) };
    let error = refusal(&HdfsStore::open(options).unwrap(), Access::Read).await;
    assert_eq!(error.code, ErrorCode::Unreachable, "{error}");
}

/// A namenode that writes names into the address of a datanode composes them, and the datanode decodes them twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_get_lost_on_the_way_to_a_datanode_arrive() {
    let Some(place) = HdfsPlace::new() else { return };
    let store = place.store_at(&format!("{}/ro%2Fot cafe\u{301}", place.root));
    store.preflight(Access::Write).await.expect("a place to write to");
    let names = ["cafe\u{301}", "caf\u{e9}", "a%2Fb", "50%", "a+b", "d%41/x"].map(Key::from);
    let objects =
        names.iter().enumerate().map(|(at, key)| object(key.clone(), data(at as u64, 50)));
    put(&store, objects.collect()).await;
    let large = Large::begin(&store, "lar%67e\u{308}", 9).await;
    large.write_all().await;
    large.commit(&store).await;
    store.clean().await.unwrap();
    let mut expected = [&names[..], &[Key::from("lar%67e\u{308}")]].concat();
    expected.sort();
    assert_eq!(keys(&store).await, expected);
    for (at, key) in names.iter().enumerate() {
        assert_eq!(content(&store, key.clone()).await, data(at as u64, 50), "{key}");
    }
    assert_eq!(content(&store, "lar%67e\u{308}").await, large.bytes);
    let mut below = place.server.names(&place.root).await;
    below.retain(|name| name != "ro%2Fot cafe\u{301}");
    assert_eq!(below, [""; 0], "nothing went elsewhere");
}

/// Long names, so that what one request can carry is less than all parts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_parts_are_joined_also_when_that_was_begun_before() {
    let Some(place) = HdfsPlace::new() else { return };
    let store =
        place.store_at(&format!("{}/{}", place.root, ["long".repeat(60).as_str(); 8].join("/")));
    store.preflight(Access::Write).await.expect("a place to write to");
    let size = (9 << 20) + 5;
    let object = new_object("many", Kind::Object, size);
    let bytes = data(3, size);
    let token = store.open_upload(&object, None, None).await.unwrap().token;
    let upload = store.upload(&object, &token).await.unwrap();
    let part = |range: ByteRange| {
        let chunk = |chunk: ByteRange| {
            (chunk.start, Payload::Bytes(bytes.slice(chunk.start as usize..chunk.end as usize)))
        };
        verified_chunks(size, shard::chunks(range).map(chunk))
    };
    for start in (0..size).step_by(1 << 20) {
        upload.write(part(ByteRange::new(start, size.min(start + (1 << 20))))).await.unwrap();
    }
    let folder = format!(
        "{}/{}/.airlift-{}/{}",
        place.root,
        ["long".repeat(60).as_str(); 8].join("/"),
        "07".repeat(16),
        token.0
    );
    let sources = format!("op=CONCAT&sources={folder}/{:016x},{folder}/{:016x}", 1 << 20, 2 << 20);
    place.server.ask(Method::POST, &format!("{folder}/{:016x}", 0), &sources, b"").await;
    let held = store.upload(&object, &token).await.unwrap().present().await.unwrap();
    assert_eq!(held[0], ByteRange::new(0, 3 << 20));
    store.commit(&object, &token, Root::of(&bytes)).await.expect("a commit");
    assert_eq!(content(&store, "many").await, bytes);
}

/// In a snapshot a file has the number of the one that there is now.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_is_read_as_it_was() {
    let Some(place) = HdfsPlace::new() else { return };
    let store = place.ready().await;
    put(&store, vec![object("file", data(1, 900)), object("50%", data(2, 9))]).await;
    store.clean().await.unwrap();
    place.server.allow_snapshots(&place.root);
    let ask = |method, path: &str, query: &str, body| {
        let (server, path, query) = (Arc::clone(&place.server), path.to_owned(), query.to_owned());
        async move { server.ask(method, &path, &query, body).await }
    };
    ask(Method::PUT, &place.root, "op=CREATESNAPSHOT&snapshotname=then", &b""[..]).await;
    ask(Method::POST, &format!("{}/file", place.root), "op=APPEND", b"more").await;
    let then = place.store_at(&format!("{}/.snapshot/then", place.root));
    assert_eq!(content(&then, "file").await, data(1, 900));
    assert_eq!(content(&store, "file").await.len(), 904);
    let (sender, mut found) = tokio::sync::mpsc::channel(4);
    then.list(ListRequest::default(), sender).await.unwrap();
    let Some(Listed::Unreadable(key, error)) = found.recv().await else { panic!("it is named") };
    assert_eq!(key, Key::from("50%"));
    assert!(error.detail().contains("snapshot"), "{error}");
    refusal(&then, Access::Write).await;
    let (new, _) = object("a/.snapshot/b", data(1, 1));
    assert!(store.check_key(&new.entry).unwrap().contains(".snapshot"));
}

fn store_of(endpoint: &str) -> HdfsStore {
    HdfsStore::open(options_of(endpoint)).expect("a store")
}

fn options_of(endpoint: &str) -> HdfsOptions {
    HdfsOptions {
        server: HdfsServer {
            endpoint: endpoint.to_owned(),
            standby: None,
            user: Some("me".to_owned()),
            credentials: HdfsCredentials::None,
        },
        root: b"/place".to_vec(),
        place: "hdfs://tests/place".to_owned(),
        job: airlift_protocol::id::JobId([7; 16]),
        fence: airlift_node::store::fence::Fence::default(),
        paces: airlift_node::store::pace::Paces::default(),
        block_bytes: 1 << 20,
    }
}

fn exception(status: &str, name: &str, message: &str) -> Answer {
    let text = serde_json::json!({ "RemoteException": { "exception": name, "message": message } });
    Answer::new(status, &text.to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_namenode_that_stands_by_leads_to_the_other() {
    let Some(place) = HdfsPlace::new() else { return };
    put(&place.ready().await, vec![object("file", data(1, 9))]).await;
    let standby = CannedServer::start(|_| {
        exception("403 Forbidden", "StandbyException", "not supported in state standby")
    });
    let standby = standby.await;
    for first in [standby.access().endpoint.clone(), "http://127.0.0.1:1".to_owned()] {
        let server = place.server.server();
        let server =
            HdfsServer { standby: Some(server.endpoint.clone()), endpoint: first, ..server };
        let options = HdfsOptions { server, ..place.server.options(&place.root) };
        let store = HdfsStore::open(options).unwrap();
        assert_eq!(content(&store, "file").await, data(1, 9));
    }
    let error = refusal(&store_of(&standby.access().endpoint), Access::Read).await;
    assert!(error.detail().contains("state standby"), "{error}");
}

#[tokio::test]
async fn a_listing_that_breaks_off_is_not_the_whole_directory() {
    let server = CannedServer::start(|_| {
        let file = "{\"pathSuffix\":\"a\",\"type\":\"FILE\",\"length\":1,\"modificationTime\":1,\"fileId\":5}";
        Answer::new("200 OK", &format!("{{\"FileStatuses\":{{\"FileStatus\":[{file},"))
    });
    let server = server.await;
    let (sender, _found) = tokio::sync::mpsc::channel(4);
    let store = store_of(&server.access().endpoint);
    let error = store.list(ListRequest::default(), sender).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Protocol);
    assert!(error.detail().contains("breaks off"), "{error}");
}

/// A server whose datanode has `held` of a file, and says `checksum` of it.
fn forgetful(checksum: &'static str, held: &'static str) -> impl Fn(&str) -> Answer + Send + Sync {
    move |line| {
        let has = |op: &str| line.contains(op);
        let directory = "{\"FileStatus\":{\"type\":\"DIRECTORY\",\"length\":0,\"modificationTime\":1,\"fileId\":5}}";
        match () {
            () if has("op=MKDIRS") => Answer::new("200 OK", "{\"boolean\":true}"),
            () if has("op=GETFILESTATUS") => Answer::new("200 OK", directory),
            () if has("op=GETFILECHECKSUM") => Answer::new("200 OK", checksum),
            () if has("op=OPEN") => Answer::new("200 OK", held),
            () if has("step=2") => Answer::new("201 Created", ""),
            () if has("op=CREATE") => {
                let host = "http://127.0.0.1:PORT/webhdfs/v1/x?step=2";
                Answer::new("307 Temporary Redirect", "").with("Location", host)
            }
            () => Answer::new("200 OK", ""),
        }
    }
}

/// Only a whole server has a port that its answers can name.
async fn forgetful_server(
    checksum: &'static str,
    held: &'static str,
) -> (CannedServer, CannedServer) {
    let datanode = CannedServer::start(forgetful(checksum, held)).await;
    let endpoint = datanode.access().endpoint.clone();
    let answer = forgetful(checksum, held);
    let namenode = CannedServer::start(move |line| {
        let mut answer = answer(line);
        answer.head = answer.head.replace("http://127.0.0.1:PORT", &endpoint);
        answer
    });
    (namenode.await, datanode)
}

#[tokio::test]
async fn what_the_datanode_does_not_hold_is_never_renamed() {
    let hello = "{\"FileChecksum\":{\"algorithm\":\"MD5-of-0MD5-of-512CRC32C\",\"length\":28,\
        \"bytes\":\"0000020000000000000000002ebac5fafc444475c9720587791d741200000000\"}}";
    let unknown = "{\"FileChecksum\":{\"algorithm\":\"SHA-1\",\"length\":1,\"bytes\":\"00\"}}";
    for (checksum, held, bytes, is_good) in [
        (hello, "unread", "hello", true),
        (hello, "help!", "help!", false),
        (unknown, "hello", "hello", true),
        (unknown, "hellp", "hello", false),
        (unknown, "hell", "hello", false),
        (unknown, "hello!", "hello", false),
    ] {
        let (namenode, _datanode) = forgetful_server(checksum, held).await;
        let store = store_of(&namenode.access().endpoint);
        let put = store.put_small(vec![object("key", bytes::Bytes::from(bytes))]).await.remove(0);
        assert_eq!(put.is_ok(), is_good, "{checksum} {held} {bytes}: {put:?}");
        let heads = namenode.heads();
        assert_eq!(heads.iter().any(|head| head.contains("op=RENAME")), is_good, "{heads:?}");
        if let Err(error) = put {
            assert_eq!(error.code, ErrorCode::CorruptTarget, "{error}");
        }
    }
}

/// Such a server knows no option of a rename, and answers as one did before there were any.
#[tokio::test]
async fn a_server_that_does_not_replace_in_one_step_is_a_source_only() {
    let x = "{\"FileChecksum\":{\"algorithm\":\"COMPOSITE-CRC32C\",\"length\":4,\"bytes\":\"a93c5f93\"}}";
    let datanode = CannedServer::start(forgetful(x, "x")).await;
    let endpoint = datanode.access().endpoint.clone();
    let answer = forgetful(x, "x");
    let namenode = CannedServer::start(move |line| {
        let mut answer = match line.contains("op=RENAME") {
            true => Answer::new("200 OK", "{\"boolean\":true}"),
            false => answer(line),
        };
        answer.head = answer.head.replace("http://127.0.0.1:PORT", &endpoint);
        answer
    });
    let namenode = namenode.await;
    let store = store_of(&namenode.access().endpoint);
    let error = refusal(&store, Access::Write).await;
    assert_eq!(error.code, ErrorCode::LocationMissing, "{error}");
    assert!(
        error.detail().contains("replace a file") && error.detail().contains("can be a source"),
        "{error}"
    );
    store.preflight(Access::Read).await.expect("it can be read");
}

#[tokio::test]
async fn a_token_does_not_follow_into_a_network_in_plain_text() {
    let namenode = CannedServer::start(|line| match line.contains("op=OPEN") {
        true => Answer::new("307 Temporary Redirect", "")
            .with("Location", "http://datanode.example:9864/webhdfs/v1/x?delegation=T"),
        false => Answer::new(
            "200 OK",
            "{\"FileStatus\":{\"type\":\"FILE\",\"length\":3,\"modificationTime\":1,\"fileId\":5}}",
        ),
    });
    let namenode = namenode.await;
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    fs::write(&token, "TOKEN-1\n").unwrap();
    let options = options_of(&namenode.access().endpoint);
    let server = HdfsServer { credentials: HdfsCredentials::File(token), ..options.server.clone() };
    let store = HdfsStore::open(HdfsOptions { server, ..options }).unwrap();
    let found = entry(&store, "file").await;
    let error = store.read_range(&found, ByteRange::new(0, 3)).await.expect_err("it is not asked");
    assert_eq!(error.code, ErrorCode::Unauthorized, "{error}");
    assert!(
        error.detail().contains("dfs.http.policy") && !error.detail().contains("TOKEN"),
        "{error}"
    );
    let heads = namenode.heads();
    assert!(
        heads.iter().all(|head| head.contains("delegation=TOKEN-1") && !head.contains("user.name"))
    );
}

#[tokio::test]
async fn who_wants_kerberos_is_told_apart() {
    let namenode = CannedServer::start(|_| {
        Answer::new("401 Authentication required", "<html>").with("WWW-Authenticate", "Negotiate")
    });
    let namenode = namenode.await;
    let store = store_of(&namenode.access().endpoint);
    let error = refusal(&store, Access::Read).await;
    assert_eq!(error.code, ErrorCode::Unauthorized, "{error}");
    assert!(error.detail().contains("GETDELEGATIONTOKEN") && store.is_refused(), "{error}");
}

/// A configuration with a store `lake` of the whole file system.
fn configured(server: &Hdfs) -> (TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("airlift.toml");
    let HdfsServer { endpoint, user, .. } = server.server();
    let user = user.unwrap_or_default();
    let text = format!("[stores.lake]\nkind = 'hdfs'\nendpoint = '{endpoint}'\nuser = '{user}'\n");
    fs::write(&config, text).unwrap();
    (directory, config.to_str().unwrap().to_owned())
}

#[test]
fn a_tree_goes_to_a_server_and_comes_back_and_is_mirrored() {
    let Some(server) = Hdfs::shared() else { return };
    let (source, back) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for number in 0..60u64 {
        tree::write(source.path(), format!("small/{number}"), &tree::noise(number, 97));
    }
    tree::write(source.path(), "large", &tree::noise(7, (20 << 20) + 5));
    for name in ["cafe\u{301}", " blank ", "a+b%2F", "empty"] {
        tree::write(source.path(), name, name.as_bytes());
    }
    fs::write(source.path().join("empty"), "").unwrap();
    let (_guard, config) = configured(&server);
    let user = Airlift::new();
    let from = source.path().to_str().unwrap();
    let run = |words: &[&str], code: i32| {
        let words = words.iter().copied().chain(["--config", &config, "--json"]);
        user.run(words).expect(code).json()
    };
    let up = format!("lake:/{}/a tree", server.new_place());
    assert_eq!(run(&["cp", from, &up], 0)["objects"]["done"], 65);
    assert_eq!(run(&["cp", from, &up], 0)["objects"]["unchanged"], 65, "times are known again");
    assert_eq!(run(&["verify", from, &up], 0)["objects"]["equal"], 65);
    let to = back.path().to_str().unwrap();
    assert_eq!(run(&["cp", &up, to], 0)["objects"]["done"], 65);
    assert_eq!(run(&["verify", from, to], 0)["objects"]["equal"], 65);
    fs::remove_file(source.path().join("small/3")).unwrap();
    assert_eq!(run(&["sync", from, &up], 0)["objects"]["deleted"], 1);
    assert_eq!(run(&["sync", &up, to], 0)["objects"]["deleted"], 1);
    assert!(!back.path().join("small/3").exists());
    let below = up.strip_prefix("lake:/").unwrap();
    let location = format!("hdfs://{}{below}/large", server.authority());
    let one = back.path().join("one");
    assert_eq!(run(&["cp", &location, one.to_str().unwrap()], 0)["objects"]["done"], 1);
    let odd = source.path().join("a:b");
    fs::write(&odd, "x").unwrap();
    let refused = user.run(["cp", from, &up, "--config", &config]).expect(1);
    assert!(
        refused.stdout.contains("HDFS allows no `:`")
            || refused.stderr.contains("HDFS allows no `:`"),
        "{}{}",
        refused.stdout,
        refused.stderr
    );
    let doctor = user.run(["doctor", "--config", &config]);
    assert!(doctor.stdout.contains("store: lake: HDFS, "), "{}", doctor.stdout);
}
