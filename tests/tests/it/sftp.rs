//! SFTP against OpenSSH's own server: the conformance suite, and what is peculiar to it.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

use airlift_node::store::fence::Fence;
use airlift_node::store::settings::SftpSettings;
use airlift_node::store::sftp::{SftpOptions, SftpStore};
use airlift_node::store::{Access, Store, StoreError};
use airlift_protocol::error::ErrorCode;
use airlift_protocol::folding::{CaseFolding, Folding};
use airlift_protocol::id::JobId;
use airlift_protocol::job::LinkPolicy;
use airlift_protocol::key::Key;
use airlift_tests::airlift::Airlift;
use airlift_tests::conformance;
use airlift_tests::conformance::Place;
use airlift_tests::conformance::fixture::{content, data, keys, object, put};
use airlift_tests::exfat::Exfat;
use airlift_tests::sshd::Sshd;
use airlift_tests::tree;
use async_trait::async_trait;
use tempfile::TempDir;

fn options(server: SftpSettings, root: &Path) -> SftpOptions {
    SftpOptions {
        server,
        root: root.as_os_str().as_bytes().to_vec(),
        place: "sftp://tests/place".to_owned(),
        job: JobId([7; 16]),
        links: LinkPolicy::Copy,
        fence: Fence::default(),
    }
}

struct SftpPlace {
    root: TempDir,
    server: Arc<Sshd>,
}

impl SftpPlace {
    fn new() -> Option<Self> {
        let server = Sshd::shared()?;
        Some(Self { root: tempfile::tempdir().expect("a temporary directory"), server })
    }

    fn store(&self) -> SftpStore {
        SftpStore::open(options(self.server.settings(), self.root.path())).expect("a store")
    }
}

#[async_trait]
impl Place for SftpPlace {
    async fn open(&self) -> Box<dyn Store> {
        Box::new(self.store())
    }

    async fn overwrite(&self, key: &Key, bytes: &[u8]) {
        let path = self.root.path().join(OsStr::from_bytes(key.as_bytes()));
        fs::write(path, bytes).expect("the file can be written");
    }

    async fn leftovers(&self) -> Vec<String> {
        let entries = fs::read_dir(self.root.path()).expect("the directory can be read");
        let names = entries.map(|entry| entry.expect("an entry").file_name());
        names
            .map(|name| name.to_string_lossy().into_owned())
            .filter(|name| name.starts_with(".airlift-"))
            .collect()
    }
}

conformance!(optional sftp, std::future::ready(SftpPlace::new()));

async fn refusal(server: SftpSettings, root: &Path, access: Access) -> StoreError {
    let store = SftpStore::open(options(server, root)).expect("a store");
    store.preflight(access).await.expect_err("the place cannot be used")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_is_not_the_known_one_and_a_key_that_is_not_known_are_refused() {
    let Some(place) = SftpPlace::new() else { return };
    let (good, root) = (place.server.settings(), place.root.path());
    for known_hosts in [place.server.wrong_known_hosts(), root.join("none")] {
        let settings = SftpSettings { known_hosts: Some(known_hosts), ..good.clone() };
        let error = refusal(settings, root, Access::Read).await;
        assert_eq!(error.code, ErrorCode::Unauthorized, "{error}");
        assert!(error.detail().contains("compare its fingerprint"), "{error}");
    }
    let identity = Some(place.server.strange_identity());
    let error = refusal(SftpSettings { identity, ..good.clone() }, root, Access::Read).await;
    assert_eq!(error.code, ErrorCode::Unauthorized, "{error}");
    assert!(error.detail().contains("file:/path"), "{error}");
    let closed = SftpSettings { port: Some(1), ..good.clone() };
    let error = refusal(closed, root, Access::Read).await;
    assert_eq!(error.code, ErrorCode::Unreachable, "{error}");
    let error = refusal(good, &root.join("none"), Access::Read).await;
    assert_eq!(error.code, ErrorCode::LocationMissing, "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_cannot_replace_in_one_step_is_a_source_only() {
    for (lacks, what) in [("posix-rename", "replace a file"), ("fsync", "make a file durable")] {
        let Some(server) = Sshd::start(&format!("-P {lacks}")) else { return };
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("file"), "bytes").unwrap();
        let error = refusal(server.settings(), root.path(), Access::Write).await;
        assert_eq!(error.code, ErrorCode::LocationMissing, "{error}");
        assert!(error.detail().contains(what) && error.detail().contains("can be a source"));
        let store = SftpStore::open(options(server.settings(), root.path())).unwrap();
        store.preflight(Access::Read).await.expect("it can be read");
        assert_eq!(&content(&store, "file").await[..], b"bytes");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_read_or_written_through_a_link() {
    let Some(place) = SftpPlace::new() else { return };
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("file"), "outside").unwrap();
    symlink(outside.path(), place.root.path().join("link")).unwrap();
    let store = place.store();
    let results = store.put_small(vec![object("link/new", data(1, 9)), object("in", data(2, 9))]);
    let results = results.await;
    assert_eq!(results[0].as_ref().unwrap_err().code, ErrorCode::Conflict);
    assert!(results[1].is_ok() && !outside.path().join("new").exists());
    let found = store.lookup(vec![Key::from("link/file")]).await.remove(0).unwrap();
    assert_eq!(found, None, "what lies behind a link is not below the root");
    assert_eq!(keys(&store).await, ["in", "link"].map(Key::from));
    let follow = SftpOptions {
        links: LinkPolicy::Follow,
        ..options(place.server.settings(), place.root.path())
    };
    let error = SftpStore::open(follow).unwrap_err();
    assert!(error.detail().contains("--links copy"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_small_files_go_in_batches() {
    let Some(place) = SftpPlace::new() else { return };
    let store = place.store();
    let names: Vec<String> = (0..300).map(|number| format!("d/{number:03}")).collect();
    let large = data(7, 3 << 20);
    let mut objects: Vec<_> = names.iter().map(|name| object(name.as_str(), data(1, 99))).collect();
    objects.extend(["x", "y", "z"].map(|name| object(name, large.clone())));
    put(&store, objects).await;
    assert_eq!(keys(&store).await.len(), 303);
    assert_eq!(content(&store, "y").await, large);
}

/// A configuration with a store `nas` whose buckets are in `root`.
fn configured(server: &Sshd, root: &Path) -> (TempDir, OsString) {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("airlift.toml");
    fs::write(&config, server.table("nas", root)).unwrap();
    (directory, config.into_os_string())
}

/// Bytes of every file below `root`, without times.
fn bytes_of(root: &Path) -> BTreeMap<OsString, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap().as_os_str().to_owned();
                found.insert(name, fs::read(path).unwrap());
            }
        }
    }
    found
}

#[test]
fn a_tree_goes_to_a_server_and_comes_back_and_is_mirrored() {
    let Some(server) = Sshd::shared() else { return };
    let (source, root, back) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for number in 0..150u64 {
        tree::write(source.path(), format!("small/{number}"), &tree::noise(number, 97));
    }
    tree::write(source.path(), "large", &tree::noise(7, (20 << 20) + 5));
    for name in [&b"latin-\xe9"[..], b" blank ", b"new\nline", b"a+b%2F"] {
        fs::write(source.path().join(OsString::from_vec(name.to_vec())), name).unwrap();
    }
    let (_guard, config) = configured(&server, root.path());
    let user = Airlift::new();
    let from = source.path().as_os_str();
    let run = |words: &[&OsStr], code: i32| {
        let words = words.iter().copied().chain([OsStr::new("--config"), &config]);
        user.run(words.chain([OsStr::new("--json")])).expect(code).json()
    };
    let (cp, up) = (OsStr::new("cp"), OsStr::new("nas://up/a tree"));
    assert_eq!(run(&[cp, from, up], 0)["objects"]["done"], 155);
    let there = root.path().join("up/a tree");
    assert_eq!(bytes_of(source.path()), bytes_of(&there), "and nothing was left behind");
    assert_eq!(run(&[cp, from, up], 0)["objects"]["unchanged"], 155, "times are known again");
    let down = run(&[cp, up, back.path().as_os_str()], 0);
    assert_eq!(down["objects"]["done"], 155);
    assert_eq!(bytes_of(source.path()), bytes_of(back.path()));
    assert_eq!(run(&[OsStr::new("verify"), from, up], 0)["objects"]["equal"], 155);
    fs::remove_file(source.path().join("small/3")).unwrap();
    assert_eq!(run(&[OsStr::new("sync"), from, up], 0)["objects"]["deleted"], 1);
    assert!(!there.join("small/3").exists());
    let one =
        run(&[cp, OsStr::new("nas://up/a tree/large"), back.path().join("one").as_os_str()], 0);
    assert_eq!(one["objects"]["done"], 1);
}

#[test]
fn a_killed_job_goes_on_where_it_stopped() {
    let Some(server) = Sshd::shared() else { return };
    let (source, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    tree::write(source.path(), "large", &tree::noise(1, 80 << 20));
    let (_guard, config) = configured(&server, root.path());
    let user = Airlift::new();
    let words = |limit: &'static [&'static str]| {
        let ends = ["cp".into(), source.path().as_os_str().to_owned(), "nas://b/".into()];
        let config = ["--config".into(), config.clone(), "--json".into()];
        ends.into_iter().chain(config).chain(limit.iter().map(OsString::from)).collect::<Vec<_>>()
    };
    let mut running = user.start(words(&["--bwlimit", "16M"]));
    std::thread::sleep(std::time::Duration::from_secs(4));
    assert!(!running.has_ended(), "the limit makes it last");
    running.kill();
    assert_eq!(bytes_of(&root.path().join("b")).keys().filter(|name| *name == "large").count(), 0);
    let done = user.run(words(&[])).expect(0).json();
    assert_eq!(done["objects"]["done"], 1);
    let (sent, size) = (done["bytes"]["sent"].as_u64().unwrap(), 80 << 20);
    assert!(sent < size, "{sent} bytes were sent again of {size}");
    assert_eq!(bytes_of(source.path()), bytes_of(&root.path().join("b")));
}

#[test]
fn doctor_looks_at_a_configured_server() {
    let Some(server) = Sshd::shared() else { return };
    let root = tempfile::tempdir().unwrap();
    let (_guard, config) = configured(&server, root.path());
    let doctor = Airlift::new().run([OsStr::new("doctor"), OsStr::new("--config"), &config]);
    assert!(doctor.stdout.contains("store: nas: SFTP, "), "{}", doctor.stdout);
    assert!(doctor.stdout.contains("lets us in"), "{}", doctor.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_names_fold_is_known_as_such() {
    let (Some(exfat), Some(server)) = (Exfat::mount(), Sshd::shared()) else { return };
    let root = exfat.path().join("root");
    fs::create_dir(&root).unwrap();
    tree::write(&root, "Dir/Readme", b"1");
    let store = SftpStore::open(options(server.settings(), &root)).expect("a store");
    assert_eq!(store.folding(Access::Read).await.unwrap(), Folding::NONE, "not without writing");
    let folding = Folding { case: CaseFolding::Simple, ignores_form: false };
    assert_eq!(store.folding(Access::Write).await.unwrap(), folding);
    let wanted = ["Dir/Readme", "Dir/readme", "dir/Readme", "dir/new"].map(Key::from);
    let found: Vec<Result<bool, ErrorCode>> = store
        .lookup(wanted.into())
        .await
        .into_iter()
        .map(|found| found.map(|entry| entry.is_some()).map_err(|error| error.code))
        .collect();
    let conflict = Err(ErrorCode::Conflict);
    assert_eq!(found, [Ok(true), conflict, conflict, conflict]);
    store.clean().await.unwrap();
    assert_eq!(fs::read_dir(&root).unwrap().count(), 1, "nothing stays of the trial");
}
