//! The conformance suite, run for each store.

use std::os::unix::ffi::OsStrExt;

use airlift_node::store::Store;
use airlift_node::store::files::{FileOptions, FileStore};
use airlift_node::store::memory::MemoryStore;
use airlift_protocol::id::JobId;
use airlift_protocol::job::LinkPolicy;
use airlift_protocol::key::Key;
use airlift_tests::conformance;
use airlift_tests::conformance::Place;
use async_trait::async_trait;
use tempfile::TempDir;

struct MemoryPlace(MemoryStore);

#[async_trait]
impl Place for MemoryPlace {
    async fn open(&self) -> Box<dyn Store> {
        Box::new(self.0.clone())
    }

    async fn overwrite(&self, key: &Key, bytes: &[u8]) {
        self.0.insert(key.clone(), bytes.to_vec(), 1);
    }

    async fn leftovers(&self) -> Vec<String> {
        self.0.uploads().into_iter().map(|token| token.0).collect()
    }
}

conformance!(memory, std::future::ready(MemoryPlace(MemoryStore::new())));

struct FilesPlace(TempDir);

impl FilesPlace {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }
}

#[async_trait]
impl Place for FilesPlace {
    async fn open(&self) -> Box<dyn Store> {
        let options = FileOptions { links: LinkPolicy::Copy };
        let store = FileStore::open(self.0.path(), JobId([7; 16]), options);
        Box::new(store.expect("the directory is there"))
    }

    async fn overwrite(&self, key: &Key, bytes: &[u8]) {
        let path = self.0.path().join(std::ffi::OsStr::from_bytes(key.as_bytes()));
        std::fs::write(path, bytes).expect("the file can be written");
    }

    async fn leftovers(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path()).expect("the directory can be read");
        let names = entries.map(|entry| entry.expect("an entry").file_name());
        names
            .map(|name| name.to_string_lossy().into_owned())
            .filter(|name| name.starts_with(".airlift-"))
            .collect()
    }
}

conformance!(files, std::future::ready(FilesPlace::new()));
