//! `azurite-blob`, Microsoft's emulator of Azure Blob Storage, when it is installed.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use airlift_node::store::azure::{AzureEnvironment, AzureOptions};
use airlift_protocol::id::JobId;
use reqwest::{Client, Method, Response};

use crate::server::{self, Server};

/// The emulator's account and its key, which are public.
const ACCOUNT: &str = "devstoreaccount1";
const KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// A signature for everything in that account, made by another program than the one under test, and
/// good until 2099.
pub const SAS: &str = "sv=2021-12-02&ss=b&srt=sco&sp=rwdlacxt&se=2099-01-01T00%3A00%3A00Z\
    &spr=https%2Chttp&sig=TBqkqR%2BMzxSPqLbTlWeiKFdpTEmfvOqiHqpSejKv9Uo%3D";

/// Blobs in a page of a listing, so that few make several pages.
const PAGE_ENTRIES: u32 = 700;

/// A server that stops when the last test lets go of it.
#[derive(Debug)]
pub struct Azurite {
    endpoint: String,
    _server: Server,
}

/// Lets go of a server that nobody uses, so that none outlives the tests.
static SHARED: Mutex<Weak<Azurite>> = Mutex::new(Weak::new());

impl Azurite {
    /// The server that tests share at the moment, started if need be. `None`, said aloud, when
    /// `azurite-blob` is neither named by `AIRLIFT_TEST_AZURITE` nor on the path.
    ///
    /// # Panics
    /// When it is installed and does not start.
    pub fn shared() -> Option<Arc<Self>> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = shared.upgrade() {
            return Some(running);
        }
        let way_out = "npm install azurite";
        let program = server::program("AIRLIFT_TEST_AZURITE", "azurite-blob", way_out)?;
        let started = Arc::new(Self::start(&program));
        *shared = Arc::downgrade(&started);
        Some(started)
    }

    fn start(program: &PathBuf) -> Self {
        let server = Server::start(program, |port| {
            let port = port.to_string();
            let words = ["--blobHost", "127.0.0.1", "--blobPort", &port, "--silent"];
            let rest = ["--inMemoryPersistence", "--disableTelemetry"];
            words.into_iter().chain(rest).map(str::to_owned).collect()
        });
        let endpoint = format!("http://127.0.0.1:{}/{ACCOUNT}", server.port());
        Self { endpoint, _server: server }
    }

    /// Makes a container that no other test uses, and returns its name.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn new_container(&self) -> String {
        static CONTAINERS: AtomicUsize = AtomicUsize::new(0);
        let name = format!("container-{}", CONTAINERS.fetch_add(1, Ordering::Relaxed));
        let answer = self.ask(Method::PUT, &name, "restype=container", &[], Vec::new()).await;
        assert_eq!(answer.status(), 201, "a new container");
        name
    }

    /// Options for a store on `container` below `prefix`, by the account's key.
    pub fn options(&self, container: &str, prefix: &str) -> AzureOptions {
        AzureOptions {
            account: Some(ACCOUNT.to_owned()),
            endpoint: Some(self.endpoint.clone()),
            environment: AzureEnvironment {
                key: Some(KEY.to_owned()),
                ..AzureEnvironment::default()
            },
            page_entries: PAGE_ENTRIES,
            ..AzureOptions::new(container, prefix, JobId([7; 16]))
        }
    }

    /// The environment for a process that is to use the server.
    pub fn environment(&self) -> [(&'static str, String); 3] {
        [
            ("AIRLIFT_AZURE_ENDPOINT", self.endpoint.clone()),
            ("AZURE_STORAGE_ACCOUNT", ACCOUNT.to_owned()),
            ("AZURE_STORAGE_KEY", KEY.to_owned()),
        ]
    }

    /// Asks the server past Airlift; `path` is encoded as URLs are.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        query: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Response {
        let url = format!("{}/{path}?{query}&{SAS}", self.endpoint);
        let mut request = Client::new().request(method, url).header("content-length", body.len());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(body).send().await.expect("an answer")
    }

    /// Puts a blob as another program would.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn put(&self, path: &str, headers: &[(&str, &str)], body: Vec<u8>) {
        let kind = ("x-ms-blob-type", "BlockBlob");
        let headers: Vec<_> = headers.iter().copied().chain([kind]).collect();
        let answer = self.ask(Method::PUT, path, "", &headers, body).await;
        assert_eq!(answer.status(), 201, "put {path}");
    }

    /// A document of the server.
    ///
    /// # Panics
    /// When it refuses.
    pub async fn document(&self, path: &str, query: &str) -> String {
        let answer = self.ask(Method::GET, path, query, &[], Vec::new()).await;
        assert_eq!(answer.status(), 200, "{path}?{query}");
        answer.text().await.expect("a document")
    }

    /// Names of blobs with staged blocks that still have bytes: what is dropped is emptied, since blocks
    /// cannot be deleted without touching the blob.
    ///
    /// # Panics
    /// When the server does not say.
    pub async fn staged(&self, container: &str) -> Vec<String> {
        let query = "restype=container&comp=list&include=uncommittedblobs";
        let listed = self.document(container, query).await;
        let mut staged = Vec::new();
        for name in texts(&listed, "Name") {
            let path = format!("{container}/{}", name.replace(' ', "%20"));
            let blocks = self.document(&path, "comp=blocklist&blocklisttype=uncommitted").await;
            if texts(&blocks, "Size").any(|size| size != "1") {
                staged.push(name.to_owned());
            }
        }
        staged
    }
}

/// The texts of all elements of a name.
fn texts<'a>(document: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let parts: Vec<&str> = document.split(&open).skip(1).collect();
    parts.into_iter().filter_map(move |part| part.split(&close).next())
}
