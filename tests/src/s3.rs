//! An S3 server within the test process, on a free loopback port.
//!
//! `s3s` speaks the protocol and checks signatures, `s3s-fs` keeps the bytes in a temporary
//! directory, and `ledger` between them keeps keys apart from file names, so that every key that S3
//! allows can be held.

pub mod front;
mod ledger;
pub mod listings;
pub mod sums;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;

use airlift_node::store::s3::S3Options;
use airlift_node::store::s3::credentials::CredentialSource;
use airlift_protocol::id::JobId;
use aws_credential_types::Credentials;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Region};
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{HttpError, HttpResponse};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use self::front::Front;
use self::ledger::Ledger;
use self::listings::Answered;

const REGION: &str = "us-east-1";

/// How to reach a server, as a user would be told.
#[derive(Clone, Debug)]
pub struct Access {
    /// URL of the server.
    pub endpoint: String,
    /// Name of the credentials.
    pub access_key: String,
    /// Secret of the credentials.
    pub secret_key: String,
}

impl Access {
    /// The credentials.
    pub fn credentials(&self) -> Credentials {
        Credentials::new(&self.access_key, &self.secret_key, None, None, "tests")
    }

    /// Options for a store on `bucket` below `prefix`.
    pub fn options(&self, bucket: &str, prefix: &str) -> S3Options {
        S3Options {
            endpoint: Some(self.endpoint.clone()),
            credentials: CredentialSource::Given(self.credentials()),
            ..S3Options::new(bucket, prefix, JobId([7; 16]))
        }
    }

    /// The environment for a process that is to use the server.
    pub fn environment(&self) -> [(&'static str, String); 4] {
        [
            ("AWS_ENDPOINT_URL", self.endpoint.clone()),
            ("AWS_ACCESS_KEY_ID", self.access_key.clone()),
            ("AWS_SECRET_ACCESS_KEY", self.secret_key.clone()),
            ("AWS_REGION", REGION.to_owned()),
        ]
    }

    /// The SDK's own client, to look at a bucket past Airlift.
    pub fn client(&self) -> Client {
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static(REGION))
            .endpoint_url(&self.endpoint)
            .credentials_provider(self.credentials())
            .force_path_style(true)
            .build();
        Client::from_conf(config)
    }
}

/// A server that stops when it is dropped.
#[derive(Debug)]
pub struct S3Server {
    access: Access,
    root: TempDir,
    ledger: Ledger,
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
}

impl S3Server {
    /// Starts a server without buckets. It runs on threads of its own, so that tests without a
    /// runtime can use it too.
    ///
    /// # Panics
    /// When no directory, port or thread is to be had.
    pub fn start() -> Self {
        Self::start_behind(Front::default())
    }

    fn start_behind(front: Front) -> Self {
        let root = crate::airlift::fast_directory();
        let ledger = Ledger::new(root.path());
        let access = |address: SocketAddr| Access {
            endpoint: format!("http://{address}"),
            access_key: "AIRLIFTTESTS".to_owned(),
            secret_key: "airlift-tests-secret".to_owned(),
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        listener.set_nonblocking(true).expect("a listener can be made nonblocking");
        let access = access(listener.local_addr().expect("a listener has an address"));
        let mut builder = S3ServiceBuilder::new(ledger.clone());
        builder.set_auth(SimpleAuth::from_single(&*access.access_key, &*access.secret_key));
        let service = builder.build();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("s3-server")
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.spawn(serve(listener, service, front));
        Self { access, root, ledger, runtime: Some(runtime) }
    }

    /// Starts a server with one bucket.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub fn with_bucket(bucket: &str) -> Self {
        let server = Self::start();
        server.create_bucket(bucket);
        server
    }

    /// Starts a server with one bucket, behind a front.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub fn with_bucket_behind(front: &Front, bucket: &str) -> Self {
        let server = Self::start_behind(front.clone());
        server.create_bucket(bucket);
        server
    }

    /// Makes an empty bucket.
    ///
    /// # Panics
    /// When there is one of that name.
    pub fn create_bucket(&self, bucket: &str) {
        std::fs::create_dir(self.root.path().join(bucket)).expect("a new bucket");
    }

    /// How to reach the server.
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// Has a bucket name objects of one byte of which there is nothing else: enough to be listed.
    pub fn name(&self, bucket: &str, keys: impl IntoIterator<Item = String>) {
        self.ledger.name(bucket, keys);
    }

    /// Has answers to listings hold no more than so many keys from now on.
    pub fn list_with(&self, keys_max: usize) {
        self.ledger.listings.answer_with(keys_max);
    }

    /// What was answered to listings so far, in order, but for those of a number of keys.
    pub fn listed(&self) -> Vec<Answered> {
        self.ledger.listings.seen()
    }

    /// Keys of a bucket, ascending.
    pub fn keys(&self, bucket: &str) -> Vec<String> {
        self.ledger.keys(bucket)
    }

    /// Bytes of an object, if there is one.
    pub fn content(&self, bucket: &str, key: &str) -> Option<Vec<u8>> {
        self.ledger.content(bucket, key)
    }

    /// Has the server say the CRC64-XZ of each object in a header of this name from now on, as some
    /// services do.
    ///
    /// # Panics
    /// When it says one already.
    pub fn say_crc64(&self, header: &'static str) {
        self.ledger.say_crc64(header);
    }

    /// Flips a bit of each object that is put together of parts from now on, as a disk would, and before
    /// anything is said of the object.
    pub fn damage_what_is_assembled(&self) {
        self.ledger.damage_what_is_assembled();
    }

    /// The same, after all that is said of the object was found out.
    pub fn spoil_what_is_assembled(&self) {
        self.ledger.spoil_what_is_assembled();
    }

    /// Flips a bit of an object on disk, as a disk would: nothing that the server knows of it changes.
    ///
    /// # Panics
    /// When there is no such object, or it has no bytes.
    pub fn damage(&self, bucket: &str, key: &str) {
        let path = self.ledger.path(bucket, key).expect("an object of that key");
        ledger::flip(&path).expect("bytes can be changed");
    }

    /// Keys of uploads of a bucket that were begun and neither committed nor dropped.
    pub fn uploads(&self, bucket: &str) -> Vec<String> {
        self.ledger.uploads(bucket)
    }

    /// Requests for the bytes of an object so far.
    pub fn gets(&self) -> u64 {
        self.ledger.gets()
    }

    /// The directory that holds the bytes.
    pub fn root(&self) -> &Path {
        self.root.path()
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Carries a request out even if the client is gone by then, as real servers do: a commit that was
/// asked for is not left half done.
async fn to_its_end(
    service: S3Service,
    front: Front,
    request: Request<Incoming>,
) -> Result<HttpResponse, HttpError> {
    let _on_its_way = match front.admit(&request).await {
        Ok(on_its_way) => on_its_way,
        Err(refusal) => return Ok(refusal),
    };
    let answer = tokio::spawn(hyper::service::Service::call(&service, request));
    answer.await.expect("the server answers without a panic")
}

async fn serve(listener: TcpListener, service: S3Service, front: Front) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a nonblocking listener");
    let http = Builder::new(TokioExecutor::new());
    // The listener fails only when the process runs out of files: the test sees that by itself.
    while let Ok((socket, _)) = listener.accept().await {
        let service = service_fn({
            let (service, front) = (service.clone(), front.clone());
            move |request| to_its_end(service.clone(), front.clone(), request)
        });
        let connection = http.serve_connection(TokioIo::new(socket), service).into_owned();
        // A connection that the client breaks off is the client's affair.
        tokio::spawn(async move { drop(connection.await) });
    }
}
