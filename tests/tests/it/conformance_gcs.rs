//! The conformance suite on Google Cloud Storage: on an emulator that nobody here wrote.

use std::sync::Arc;

use airlift_node::store::Store;
use airlift_node::store::gcs::GcsStore;
use airlift_protocol::key::Key;
use airlift_tests::conformance;
use airlift_tests::conformance::Place;
use airlift_tests::gcs::GcsEmulator;
use async_trait::async_trait;

/// Below a prefix that is no directory, so that nothing is taken for granted about slashes.
const PREFIX: &str = "a prefix/with-";
/// The same as a query has it.
const PREFIX_IN_QUERY: &str = "a%20prefix%2Fwith-";

/// A bucket of the emulator, which runs as long as this.
struct Bucket {
    server: Arc<GcsEmulator>,
    name: String,
}

impl Bucket {
    async fn new() -> Option<Self> {
        let server = GcsEmulator::shared()?;
        let name = server.new_bucket().await;
        Some(Self { server, name })
    }
}

#[async_trait]
impl Place for Bucket {
    async fn open(&self) -> Box<dyn Store> {
        Box::new(GcsStore::open(self.server.options(&self.name, PREFIX)).expect("a store"))
    }

    async fn overwrite(&self, key: &Key, bytes: &[u8]) {
        let key = key.as_str().expect("a key of Google").replace('/', "%2F");
        self.server.put(&self.name, &format!("{PREFIX_IN_QUERY}{key}"), bytes.to_vec()).await;
    }

    async fn leftovers(&self) -> Vec<String> {
        let objects = self.server.objects(&self.name).await;
        let names = objects.iter().filter_map(|object| object["name"].as_str());
        names.filter(|name| name.contains(".airlift-")).map(str::to_owned).collect()
    }

    /// It keeps each object in a file of that path, and breaks off where the path leads back. The
    /// service has no paths: only the whole names `.` and `..` are refused.
    fn refuses(&self, key: &Key) -> bool {
        key.as_bytes().split(|byte| *byte == b'/').any(|part| part == b"..")
    }
}

conformance!(optional gcs_emulator, Bucket::new());
