//! The conformance suite on S3 stores: the server of the tests, and one that nobody here wrote.

use std::sync::Arc;

use airlift_node::store::s3::{S3Options, S3Store};
use airlift_node::store::{AttributeKind, AttributeSet, Store};
use airlift_protocol::job::AclPolicy;
use airlift_protocol::key::Key;
use airlift_tests::conformance;
use airlift_tests::conformance::Place;
use airlift_tests::moto::Moto;
use airlift_tests::s3::{Access, S3Server};
use async_trait::async_trait;
use bytes::Bytes;

/// Below a prefix that is no directory, so that nothing is taken for granted about slashes.
const PREFIX: &str = "a prefix/with-";

/// A bucket of some server, which runs as long as this.
struct Bucket<T> {
    access: Access,
    name: String,
    /// Whether the server takes keys with line feeds.
    takes_line_feeds: bool,
    /// What the server does not keep.
    forgets: AttributeSet,
    _server: T,
}

impl Bucket<S3Server> {
    fn of_tests() -> Self {
        let server = S3Server::with_bucket("bucket");
        let (access, name) = (server.access().clone(), "bucket".to_owned());
        let forgets = [AttributeKind::Tags, AttributeKind::StorageClass, AttributeKind::Acl];
        let forgets = forgets.into_iter().collect();
        Self { access, name, takes_line_feeds: true, forgets, _server: server }
    }
}

impl Bucket<Arc<Moto>> {
    async fn of_moto() -> Option<Self> {
        let server = Moto::shared().await?;
        let name = server.new_bucket().await;
        let access = server.access().clone();
        let forgets = AttributeSet::NONE;
        Some(Self { access, name, takes_line_feeds: false, forgets, _server: server })
    }
}

#[async_trait]
impl<T: Send + Sync> Place for Bucket<T> {
    async fn open(&self) -> Box<dyn Store> {
        // Who does not keep grants does not tell them either.
        let acl = match self.forgets.contains(AttributeKind::Acl) {
            true => AclPolicy::None,
            false => AclPolicy::Copy,
        };
        let options = S3Options { acl, ..self.access.options(&self.name, PREFIX) };
        Box::new(S3Store::open(options).await.expect("a store"))
    }

    async fn overwrite(&self, key: &Key, bytes: &[u8]) {
        let key = format!("{PREFIX}{}", key.as_str().expect("a key of S3"));
        let request = self.access.client().put_object().bucket(&self.name).key(key);
        request.body(Bytes::copy_from_slice(bytes).into()).send().await.expect("a put");
    }

    async fn leftovers(&self) -> Vec<String> {
        let request = self.access.client().list_multipart_uploads().bucket(&self.name);
        let uploads = request.send().await.expect("a listing").uploads.unwrap_or_default();
        uploads.into_iter().filter_map(|upload| upload.key).collect()
    }

    fn refuses(&self, key: &Key) -> bool {
        !self.takes_line_feeds && key.as_bytes().contains(&b'\n')
    }

    fn forgets(&self) -> AttributeSet {
        self.forgets
    }
}

conformance!(s3, std::future::ready(Bucket::of_tests()));
conformance!(optional moto, Bucket::of_moto());
