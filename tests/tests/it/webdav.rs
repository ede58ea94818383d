//! WebDAV as a source, against a server that nobody here wrote, and answers that no good server gives.

use std::fs;
use std::os::unix::ffi::OsStrExt;

use airlift_node::store::dal::{DalStore, WebdavOptions};
use airlift_node::store::files::{FileOptions, FileStore};
use airlift_node::store::settings::WebdavSettings;
use airlift_node::store::{Access, ListRequest, Listed, Store};
use airlift_protocol::error::ErrorCode;
use airlift_protocol::id::JobId;
use airlift_protocol::job::LinkPolicy;
use airlift_protocol::key::Key;
use airlift_protocol::units::ByteRange;
use airlift_tests::airlift::Airlift;
use airlift_tests::canned::{Answer, CannedServer};
use airlift_tests::conformance;
use airlift_tests::conformance::Place;
use airlift_tests::conformance::fixture::{data, entry, object};
use airlift_tests::tree;
use airlift_tests::wsgidav::WsgiDav;
use async_trait::async_trait;

fn store(url: &str, root: &str) -> DalStore {
    DalStore::webdav(WebdavOptions {
        server: WebdavSettings { url: url.to_owned(), variables: None },
        root: root.as_bytes().to_vec(),
        place: "webdav://tests/place".to_owned(),
    })
    .expect("a store")
}

/// A directory of the server, which is written to past it.
struct WebdavPlace(WsgiDav);

impl WebdavPlace {
    fn new() -> Option<Self> {
        let server = WsgiDav::start()?;
        fs::create_dir(server.root().join("the place")).expect("a directory");
        Some(Self(server))
    }

    fn url(&self) -> String {
        format!("http://{}", self.0.authority())
    }
}

#[async_trait]
impl Place for WebdavPlace {
    async fn open(&self) -> Box<dyn Store> {
        Box::new(store(&self.url(), "the place"))
    }

    async fn writer(&self) -> Box<dyn Store> {
        let options = FileOptions { links: LinkPolicy::Copy };
        let store = FileStore::open(&self.0.root().join("the place"), JobId([7; 16]), options);
        Box::new(store.expect("the directory is there"))
    }

    async fn overwrite(&self, key: &Key, bytes: &[u8]) {
        let path = std::ffi::OsStr::from_bytes(key.as_bytes());
        fs::write(self.0.root().join("the place").join(path), bytes).expect("a file");
    }

    async fn leftovers(&self) -> Vec<String> {
        Vec::new()
    }
}

conformance!(source webdav, std::future::ready(WebdavPlace::new()));

#[tokio::test]
async fn it_is_a_source_only_and_says_why() {
    let store = store("http://127.0.0.1:1", "");
    let error = store.preflight(Access::Write).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::LocationMissing);
    assert!(error.detail().contains("can be a source only"), "{error}");
    let (new, verified) = object("x", data(1, 9));
    assert!(store.check_key(&new.entry).unwrap().contains("RFC 4918"));
    assert!(store.open_upload(&new, None, None).await.is_err());
    assert!(store.put_small(vec![(new, verified)]).await.remove(0).is_err());
    let error = store.preflight(Access::Read).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Unreachable, "{error}");
}

/// OpenDAL lists what is missing as empty: an empty source is not what a mirror must take it for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_that_is_missing_is_not_taken_for_an_empty_one() {
    let Some(place) = WebdavPlace::new() else { return };
    fs::write(place.0.root().join("a file"), "x").unwrap();
    for root in ["none", "the place/none", "a file"] {
        let store = store(&place.url(), root);
        let error = store.preflight(Access::Read).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::LocationMissing, "{root}: {error}");
        let (sender, _found) = tokio::sync::mpsc::channel(4);
        let error = store.list(ListRequest::default(), sender).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::LocationMissing, "{root}: {error}");
    }
    store(&place.url(), "").preflight(Access::Read).await.expect("the server's own root");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_would_be_lost_on_the_way_are_named() {
    let Some(place) = WebdavPlace::new() else { return };
    let root = place.0.root().join("the place");
    for name in ["good", " blank", "blank ", "in side", "a%2Fb", "a+b", "caf\u{e9}"] {
        fs::write(root.join(name), name).unwrap();
    }
    let store = place.open().await;
    let (sender, mut found) = tokio::sync::mpsc::channel(16);
    store.list(ListRequest::default(), sender).await.unwrap();
    let (mut listed, mut unreadable) = (Vec::new(), Vec::new());
    while let Some(finding) = found.recv().await {
        match finding {
            Listed::Entries(entries) => listed.extend(entries.into_iter().map(|found| found.key)),
            Listed::Unreadable(key, error) => {
                assert_eq!(error.code, ErrorCode::KeyUnsupported, "{error}");
                unreadable.push(key);
            }
        }
    }
    let expected = [" blank", "a%2Fb", "a+b", "caf\u{e9}", "good", "in side"].map(Key::from);
    assert_eq!(listed, expected);
    assert_eq!(unreadable, [Key::from("blank ")]);
    for key in listed {
        let found = entry(&*store, key.clone()).await;
        let mut reader = store.read_range(&found, ByteRange::new(0, found.size)).await.unwrap();
        let payload = reader.next().await.unwrap().unwrap();
        let bytes = airlift_node::store::contiguous(&payload);
        assert_eq!(&bytes[..], key.as_bytes(), "it is the bytes of this name");
    }
}

const FILE: &str = "<?xml version=\"1.0\"?><D:multistatus xmlns:D=\"DAV:\"><D:response>\
    <D:href>/file</D:href><D:propstat><D:prop><D:getcontentlength>3000000</D:getcontentlength>\
    <D:getlastmodified>Tue, 14 Nov 2023 22:13:20 GMT</D:getlastmodified><D:resourcetype/></D:prop>\
    <D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response></D:multistatus>";

/// A server that does not know ranges answers with all of the object: its first bytes must not be
/// taken for those in the middle.
#[tokio::test]
async fn an_answer_that_is_not_the_range_is_not_taken_for_it() {
    let server = CannedServer::start(|line| match line.split(' ').next() {
        Some("GET") => Answer::new("200 OK", &"x".repeat(3_000_000)),
        _ => Answer::new("207 Multi-Status", FILE).with("Content-Type", "application/xml"),
    });
    let server = server.await;
    let store = store(&server.access().endpoint, "");
    let found = entry(&store, "file").await;
    assert_eq!(found.size, 3_000_000);
    let range = ByteRange::new(1 << 20, 2 << 20);
    let mut reader = store.read_range(&found, range).await.unwrap();
    let error = reader.next().await.expect_err("these are other bytes");
    assert!(error.detail().contains("read webdav://tests/place/file"), "{error}");
}

/// OpenDAL panics at such a name.
#[tokio::test]
async fn an_answer_that_no_good_server_gives_is_an_error() {
    let server = CannedServer::start(|_| {
        let long = "n".repeat(70_000);
        let two = FILE.replace("</D:multistatus>", "").replace("/file", "/")
            + &FILE[FILE.find("<D:response>").unwrap()..].replace("file", &long);
        Answer::new("207 Multi-Status", &two).with("Content-Type", "application/xml")
    });
    let server = server.await;
    let store = store(&server.access().endpoint, "");
    let error = store.preflight(Access::Read).await.expect_err("nothing can be made of it");
    assert!(error.detail().contains("webdav://tests/place"), "{error}");
}

#[test]
fn a_tree_comes_from_a_server() {
    let Some(place) = WebdavPlace::new() else { return };
    let root = place.0.root().join("the place");
    for number in 0..40u64 {
        tree::write(&root, format!("small/{number}"), &tree::noise(number, 300));
    }
    tree::write(&root, "large", &tree::noise(9, (20 << 20) + 7));
    fs::create_dir(root.join("hollow")).unwrap();
    let target = tempfile::tempdir().unwrap();
    let to = target.path().to_str().unwrap();
    let from = format!("webdav://{}/the place", place.0.authority());
    let airlift = Airlift::new();
    let done = airlift.run(["cp", "--json", &from, to]).expect(0).json();
    assert_eq!(done["objects"]["done"], 42);
    assert_eq!(
        fs::read(target.path().join("large")).unwrap(),
        fs::read(root.join("large")).unwrap()
    );
    let again = airlift.run(["cp", "--json", &from, to]).expect(0).json();
    assert_eq!(again["objects"]["unchanged"], 42);
    let _ = airlift.run(["verify", &from, to]).expect(0);
    let refused = airlift.run(["cp", to, &from]).expect(3);
    assert!(refused.stderr.contains("can be a source only"), "{}", refused.stderr);
}
