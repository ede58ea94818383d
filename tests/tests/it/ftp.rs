//! FTP as a source, against a server that nobody here wrote, and answers that no good server gives.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use airlift_node::store::files::{FileOptions, FileStore};
use airlift_node::store::ftp::{FtpOptions, FtpServer, FtpStore};
use airlift_node::store::{Access, ListRequest, Listed, Store};
use airlift_protocol::error::ErrorCode;
use airlift_protocol::id::JobId;
use airlift_protocol::job::LinkPolicy;
use airlift_protocol::key::Key;
use airlift_protocol::units::ByteRange;
use airlift_tests::airlift::Airlift;
use airlift_tests::conformance;
use airlift_tests::conformance::Place;
use airlift_tests::conformance::fixture::{data, entry, object};
use airlift_tests::ftpd::Ftpd;
use airlift_tests::tree;
use async_trait::async_trait;

fn store(authority: &str, root: &str) -> FtpStore {
    FtpStore::open(FtpOptions {
        server: FtpServer { credentials: None, ..FtpServer::at(authority).expect("a server") },
        root: root.as_bytes().to_vec(),
        place: "ftp://tests/place".to_owned(),
    })
    .expect("a store")
}

/// A directory of the server, which is written to past it.
struct FtpPlace(Ftpd);

impl FtpPlace {
    fn new() -> Option<Self> {
        let server = Ftpd::start()?;
        fs::create_dir(server.root().join("the place")).expect("a directory");
        Some(Self(server))
    }
}

#[async_trait]
impl Place for FtpPlace {
    async fn open(&self) -> Box<dyn Store> {
        Box::new(store(&self.0.authority(), "the place"))
    }

    async fn writer(&self) -> Box<dyn Store> {
        let options = FileOptions { links: LinkPolicy::Copy };
        let store = FileStore::open(&self.0.root().join("the place"), JobId([7; 16]), options);
        Box::new(store.expect("the directory is there"))
    }

    /// Each time in a second of its own: the protocol's times have no less.
    async fn overwrite(&self, key: &Key, bytes: &[u8]) {
        static SECONDS: AtomicU64 = AtomicU64::new(2);
        let path = std::ffi::OsStr::from_bytes(key.as_bytes());
        let path = self.0.root().join("the place").join(path);
        fs::write(&path, bytes).expect("a file");
        let later = Duration::from_secs(2 * SECONDS.fetch_add(1, Ordering::Relaxed));
        let file = File::options().write(true).open(&path).expect("the file");
        file.set_modified(SystemTime::now() + later).expect("a time");
    }

    async fn leftovers(&self) -> Vec<String> {
        Vec::new()
    }
}

conformance!(source ftp, std::future::ready(FtpPlace::new()));

#[tokio::test]
async fn it_is_a_source_only_and_says_why() {
    let store = store("127.0.0.1:1", "");
    let error = store.preflight(Access::Write).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::LocationMissing);
    assert!(error.detail().contains("can be a source only"), "{error}");
    let (new, verified) = object("x", data(1, 9));
    assert!(store.check_key(&new.entry).unwrap().contains("sftp://"));
    assert!(store.open_upload(&new, None, None).await.is_err());
    assert!(store.put_small(vec![(new, verified)]).await.remove(0).is_err());
    let error = store.preflight(Access::Read).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Unreachable, "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_that_is_missing_is_not_taken_for_an_empty_one() {
    let Some(place) = FtpPlace::new() else { return };
    fs::write(place.0.root().join("a file"), "x").unwrap();
    for root in ["none", "the place/none", "a file"] {
        let store = store(&place.0.authority(), root);
        let error = store.preflight(Access::Read).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::LocationMissing, "{root}: {error}");
        let (sender, _found) = tokio::sync::mpsc::channel(4);
        let error = store.list(ListRequest::default(), sender).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::LocationMissing, "{root}: {error}");
    }
    store(&place.0.authority(), "").preflight(Access::Read).await.expect("the server's own root");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_arrive_byte_for_byte_or_are_named() {
    let Some(place) = FtpPlace::new() else { return };
    let root = place.0.root().join("the place");
    let kept = [" blank", "a%2Fb", "blank ", "caf\u{e9}", "in  side", "tilde~", "-rf"];
    for name in kept {
        fs::write(root.join(name), name).unwrap();
    }
    fs::write(root.join("tab\there"), "x").unwrap();
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
    let mut expected = kept.map(Key::from);
    expected.sort();
    assert_eq!(listed, expected);
    assert_eq!(unreadable, [Key::from("tab\there")]);
    for key in listed {
        let found = entry(&*store, key.clone()).await;
        let mut reader = store.read_range(&found, ByteRange::new(0, found.size)).await.unwrap();
        let payload = reader.next().await.unwrap().unwrap();
        let bytes = airlift_node::store::contiguous(&payload);
        assert_eq!(&bytes[..], key.as_bytes(), "it is the bytes of this name");
    }
}

/// A server that answers each command as `answer` says; its port.
fn canned(answer: impl Fn(&str) -> String + Send + 'static) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.expect("a connection");
            let lines = BufReader::new(socket.try_clone().expect("a handle")).lines();
            // A client that goes away is what ends each of these.
            let mut say = |text: String| write!(socket, "{text}\r\n").is_ok();
            let mut goes_on = say("220 here".to_owned());
            for line in lines.map_while(Result::ok) {
                goes_on = goes_on && say(answer(&line));
            }
        }
    });
    port
}

const FEATURES: &str = "211-Features\r\n MLST type*;size*;modify*;\r\n REST STREAM\r\n211 End";

fn answers(command: &str, features: &str) -> String {
    match command.split(' ').next().unwrap_or_default() {
        "USER" => "230 in".to_owned(),
        "FEAT" => features.to_owned(),
        _ => "200 fine".to_owned(),
    }
}

#[tokio::test]
async fn a_server_without_exact_listings_is_refused_by_name() {
    for features in [
        "500 what?",
        "211-Features\r\n REST STREAM\r\n211 End",
        "211-Features\r\n MLST type*;size*;\r\n REST STREAM\r\n211 End",
        "211-Features\r\n MLST type*;size*;modify*;\r\n211 End",
    ] {
        let port = canned(move |command| answers(command, features));
        let store = store(&format!("127.0.0.1:{port}"), "");
        let error = store.preflight(Access::Read).await.expect_err("nothing would pin a read");
        assert_eq!(error.code, ErrorCode::LocationMissing, "{error}");
        assert!(
            error.detail().contains("RFC 3659") && error.detail().contains("sftp://"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn answers_that_no_good_server_gives_are_errors() {
    for (described, code) in [
        (
            "250-\r\n type=file;size=1;modify=20231114221320; /other\r\n250 End",
            ErrorCode::KeyUnsupported,
        ),
        ("250-\r\n nonsense\r\n250 End", ErrorCode::Protocol),
        ("250 nothing", ErrorCode::Protocol),
        ("451 later", ErrorCode::Unavailable),
        ("hello", ErrorCode::Protocol),
    ] {
        let port = canned(move |command| match command.starts_with("MLST") {
            true => described.to_owned(),
            false => answers(command, FEATURES),
        });
        let store = store(&format!("127.0.0.1:{port}"), "");
        let error = store.lookup(vec![Key::from("file")]).await.remove(0).expect_err(described);
        assert_eq!(error.code, code, "{described}: {error}");
    }
}

#[test]
fn a_tree_comes_from_a_server() {
    let Some(place) = FtpPlace::new() else { return };
    let root = place.0.root().join("the place");
    for number in 0..40u64 {
        tree::write(&root, format!("small/{number}"), &tree::noise(number, 300));
    }
    tree::write(&root, "large", &tree::noise(9, (70 << 20) + 7));
    fs::create_dir(root.join("hollow")).unwrap();
    let target = tempfile::tempdir().unwrap();
    let to = target.path().to_str().unwrap();
    let from = format!("ftp://{}/the place", place.0.authority());
    let airlift = Airlift::new();
    let done = airlift.run(["cp", "--json", &from, to]).expect(0).json();
    assert_eq!(done["objects"]["done"], 42);
    let same =
        fs::read(target.path().join("large")).unwrap() == fs::read(root.join("large")).unwrap();
    assert!(same);
    let again = airlift.run(["cp", "--json", &from, to]).expect(0).json();
    assert_eq!(again["objects"]["unchanged"], 42);
    let _ = airlift.run(["verify", &from, to]).expect(0);
    let refused = airlift.run(["cp", to, &from]).expect(3);
    assert!(refused.stderr.contains("can be a source only"), "{}", refused.stderr);
}
