//! `gcp-storage-emulator`, an emulator of Google Cloud Storage that nobody here wrote, when it is
//! installed.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use airlift_node::store::gcs::GcsOptions;
use airlift_protocol::id::JobId;
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};

use crate::gate::Gate;
use crate::server::{self, Server};

/// A server that stops when the last test lets go of it.
#[derive(Debug)]
pub struct GcsEmulator {
    endpoint: String,
    _gate: Gate,
    _server: Server,
}

/// Lets go of a server that nobody uses, so that none outlives the tests.
static SHARED: Mutex<Weak<GcsEmulator>> = Mutex::new(Weak::new());

impl GcsEmulator {
    /// The server that tests share at the moment, started if need be. `None`, said aloud, when
    /// `gcp-storage-emulator` is neither named by `AIRLIFT_TEST_GCS_EMULATOR` nor on the path.
    ///
    /// # Panics
    /// When it is installed and does not start.
    pub fn shared() -> Option<Arc<Self>> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = shared.upgrade() {
            return Some(running);
        }
        let way_out = "pip install gcp-storage-emulator";
        let name = "gcp-storage-emulator";
        let program = server::program("AIRLIFT_TEST_GCS_EMULATOR", name, way_out)?;
        let started = Arc::new(Self::start(&program));
        *shared = Arc::downgrade(&started);
        Some(started)
    }

    fn start(program: &PathBuf) -> Self {
        let server = Server::start(program, |port| {
            let port = port.to_string();
            let words = ["start", "--host", "127.0.0.1", "--port", &port, "--in-memory", "--quiet"];
            words.map(str::to_owned).to_vec()
        });
        let gate = Gate::before(server.port());
        Self { endpoint: format!("http://{}", gate.address()), _gate: gate, _server: server }
    }

    /// Makes a bucket that no other test uses, and returns its name.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn new_bucket(&self) -> String {
        static BUCKETS: AtomicUsize = AtomicUsize::new(0);
        let name = format!("bucket-{}", BUCKETS.fetch_add(1, Ordering::Relaxed));
        let document = json!({ "name": name }).to_string().into_bytes();
        let answer = self.ask(Method::POST, "/storage/v1/b", "application/json", document).await;
        assert_eq!(answer.status(), 200, "a new bucket");
        name
    }

    /// Options for a store on `bucket` below `prefix`.
    pub fn options(&self, bucket: &str, prefix: &str) -> GcsOptions {
        GcsOptions {
            endpoint: Some(self.endpoint.clone()),
            ..GcsOptions::new(bucket, prefix, JobId([7; 16]))
        }
    }

    /// The environment for a process that is to use the server.
    pub fn environment(&self) -> [(&'static str, String); 1] {
        [("STORAGE_EMULATOR_HOST", self.endpoint.clone())]
    }

    /// Asks the server past Airlift; `path` is encoded as URLs are.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: Vec<u8>,
    ) -> Response {
        let url = format!("{}{path}", self.endpoint);
        let request = Client::new().request(method, url).header("content-type", content_type);
        request.header("content-length", body.len()).body(body).send().await.expect("an answer")
    }

    /// Puts an object as another program would; `name` is encoded as URLs are.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn put(&self, bucket: &str, name: &str, body: Vec<u8>) {
        let path = format!("/upload/storage/v1/b/{bucket}/o?uploadType=media&name={name}");
        let answer = self.ask(Method::POST, &path, "text/x-nasty", body).await;
        assert_eq!(answer.status(), 200, "put {name}");
    }

    /// What the server says of all objects of a bucket.
    ///
    /// # Panics
    /// When it says nothing.
    pub async fn objects(&self, bucket: &str) -> Vec<Value> {
        let path = format!("/storage/v1/b/{bucket}/o");
        let answer = self.ask(Method::GET, &path, "application/json", Vec::new()).await;
        let text = answer.text().await.expect("a document");
        let document: Value = serde_json::from_str(&text).expect("a document");
        document["items"].as_array().cloned().unwrap_or_default()
    }
}
