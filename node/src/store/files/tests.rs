//! Tests of what is peculiar to files; what every store promises is in the conformance suite.

mod listing;
mod mounts;
mod reading;
mod removing;
mod uploads;
mod writing;

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use airlift_protocol::error::ErrorCode;
use airlift_protocol::id::JobId;
use airlift_protocol::job::LinkPolicy;
use airlift_protocol::key::Key;
use airlift_protocol::manifest::{Entry, Kind, Version};
use bytes::Bytes;
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::{FileOptions, FileStore};
use crate::pipeline::chunk::{Payload, VerifiedObject};
use crate::pipeline::hash;
use crate::pipeline::verify::verify_object;
use crate::store::{Access, Attributes, ListRequest, Listed, NewObject, Store, StoreError};

const JOB: JobId = JobId([0xab; 16]);
const MTIME_NS: i64 = 1_600_000_000_000_000_007;

/// A root with a neighbour that must never be touched.
struct Tree {
    _all: TempDir,
    root: PathBuf,
    outside: PathBuf,
}

impl Tree {
    fn new() -> Self {
        let all = tempfile::tempdir().unwrap();
        let (root, outside) = (all.path().join("root"), all.path().join("outside"));
        fs::create_dir(&root).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("secret"), "secret").unwrap();
        Self { _all: all, root, outside }
    }

    fn path(&self, key: impl AsRef<[u8]>) -> PathBuf {
        self.root.join(std::ffi::OsStr::from_bytes(key.as_ref()))
    }

    fn write(&self, key: impl AsRef<[u8]>, bytes: impl AsRef<[u8]>) {
        let path = self.path(key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn link(&self, key: impl AsRef<[u8]>, text: impl AsRef<Path>) {
        let path = self.path(key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(text, path).unwrap();
    }

    fn store(&self, links: LinkPolicy) -> FileStore {
        FileStore::open(&self.root, JOB, FileOptions { links }).unwrap()
    }

    /// Names of what is staged, whether in a lane or beside them.
    fn staged(&self) -> Vec<String> {
        let names_in = |directory: &Path| -> Vec<String> {
            let found = fs::read_dir(directory).into_iter().flatten();
            found.map(|name| name.unwrap().file_name().to_string_lossy().into_owned()).collect()
        };
        let staging = self.root.join(format!(".airlift-{JOB}"));
        let (lanes, mut staged): (Vec<String>, Vec<String>) =
            names_in(&staging).into_iter().partition(|name| name.starts_with("lane-"));
        staged.extend(lanes.iter().flat_map(|lane| names_in(&staging.join(lane))));
        staged
    }

    fn assert_outside_is_untouched(&self) {
        let names: Vec<_> = fs::read_dir(&self.outside)
            .unwrap()
            .map(|name| name.unwrap().file_name().into_string().unwrap())
            .collect();
        assert_eq!(names, ["secret"]);
        assert_eq!(fs::read(self.outside.join("secret")).unwrap(), b"secret");
    }
}

fn new_object(key: impl Into<Key>, kind: Kind, size: u64) -> NewObject {
    let key = key.into();
    let entry = Entry {
        key,
        kind,
        size,
        mtime_ns: Some(MTIME_NS),
        version: Version::None,
        is_archived: false,
    };
    NewObject { entry, attributes: Attributes::default() }
}

fn verified(payload: Payload) -> VerifiedObject {
    verify_object(hash::root(&payload), payload).unwrap()
}

fn object(key: impl Into<Key>, bytes: &[u8]) -> (NewObject, VerifiedObject) {
    let payload = Payload::Bytes(Bytes::copy_from_slice(bytes));
    (new_object(key, Kind::Object, bytes.len() as u64), verified(payload))
}

fn marker(key: &str, kind: Kind) -> (NewObject, VerifiedObject) {
    (new_object(key, kind, 0), verified(Payload::Bytes(Bytes::new())))
}

/// Entries and what was unreadable, by key, in the order of the listing.
async fn listed(store: &FileStore, request: ListRequest) -> Vec<Result<Entry, (Key, StoreError)>> {
    let (sender, mut found) = mpsc::channel(1);
    let collect = async {
        let mut all = Vec::new();
        while let Some(listed) = found.recv().await {
            match listed {
                Listed::Entries(entries) => all.extend(entries.into_iter().map(Ok)),
                Listed::Unreadable(key, error) => all.push(Err((key, error))),
            }
        }
        all
    };
    let (result, all) = futures::join!(store.list(request, sender), collect);
    result.unwrap();
    all
}

async fn entries(store: &FileStore) -> Vec<Entry> {
    let all = listed(store, ListRequest::default()).await;
    all.into_iter().map(|found| found.unwrap()).collect()
}

async fn keys(store: &FileStore) -> Vec<String> {
    entries(store).await.into_iter().map(|entry| entry.key.to_string()).collect()
}

async fn entry(store: &FileStore, key: &str) -> Entry {
    store.lookup(vec![Key::from(key)]).await.remove(0).unwrap().unwrap()
}

async fn read_small(store: &FileStore, entry: Entry) -> Result<Payload, StoreError> {
    let (sender, mut found) = mpsc::channel(1);
    store.read_small(vec![entry], sender).await;
    found.recv().await.unwrap().1.map(|(payload, _)| payload)
}

fn code<T: std::fmt::Debug>(result: Result<T, StoreError>) -> ErrorCode {
    result.unwrap_err().code
}

#[tokio::test]
async fn a_missing_source_is_named() {
    let tree = Tree::new();
    let path = tree.path("none");
    let store = FileStore::open(&path, JOB, FileOptions { links: LinkPolicy::Skip }).unwrap();
    let error = store.preflight(Access::Read).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::LocationMissing);
    assert!(error.detail().contains(path.to_str().unwrap()), "{error}");
    assert_eq!(
        code(store.lookup(vec![Key::from("a")]).await.remove(0)),
        ErrorCode::LocationMissing
    );
    store.clean().await.unwrap();
    assert!(!path.exists());
}

#[tokio::test]
async fn a_missing_target_is_created() {
    let tree = Tree::new();
    let path = tree.path("new/and/deeper");
    let store = FileStore::open(&path, JOB, FileOptions { links: LinkPolicy::Skip }).unwrap();
    store.preflight(Access::Write).await.unwrap();
    assert!(path.is_dir());
    store.put_small(vec![object("a", b"a")]).await.remove(0).unwrap();
    store.clean().await.unwrap();
    assert_eq!(keys(&store).await, ["a"]);
    store.preflight(Access::Read).await.unwrap();
}

#[tokio::test]
async fn a_file_in_the_place_of_a_root_is_named() {
    let tree = Tree::new();
    tree.write("file", "x");
    let options = FileOptions { links: LinkPolicy::Skip };
    let error = FileStore::open(&tree.path("file"), JOB, options).unwrap_err();
    assert_eq!(error.code, ErrorCode::Conflict);
    let below = tree.path("file/below");
    let below = match FileStore::open(&below, JOB, options) {
        Ok(store) => store.preflight(Access::Write).await,
        Err(error) => Err(error),
    };
    assert_eq!(code(below), ErrorCode::Conflict);
}
