//! Stores of the long tail, through OpenDAL: WebDAV, and as a source only.
//!
//! ```text
//! keys   which keys OpenDAL leaves as they are    list   listing in byte order, looking up
//! read   small objects and ranges, pinned         error  OpenDAL's errors as ours
//! ```
//!
//! OpenDAL cleans paths: it takes blanks from their ends, and slashes that it thinks are too many. A
//! key that it would change is named as unreadable, and never asked for under another name.
//!
//! Nothing is written. WebDAV replaces a file by deleting it first (RFC 4918, 9.9.3), and OpenDAL
//! sends a file from one piece of memory: neither lets a key be the old object or the complete new one.

mod error;
mod keys;
mod list;
mod read;

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};

use airlift_protocol::assignment::UploadToken;
use airlift_protocol::chunk::Root;
use airlift_protocol::error::ErrorCode;
use airlift_protocol::key::Key;
use airlift_protocol::manifest::{Entry, Version};
use airlift_protocol::time::Timestamp;
use airlift_protocol::units::ByteRange;
use async_trait::async_trait;
use futures::FutureExt;
use opendal::services::Webdav;
use opendal::{Metadata, Operator};
use tokio::sync::mpsc;

use self::error::store_error;
use super::settings::WebdavSettings;
use super::{
    Access, AttributeSet, Capabilities, Classes, ListRequest, Listed, NewObject, ObjectInfo,
    OpenedUpload, RangeReader, ReadResult, Store, StoreError, Upload,
};
use crate::pipeline::chunk::VerifiedObject;

/// Requests for single objects that run at the same time.
const REQUESTS_MAX: usize = 16;

/// How to reach a directory of a server.
#[derive(Clone, Debug)]
pub struct WebdavOptions {
    /// The server.
    pub server: WebdavSettings,
    /// Path of the directory below the server's URL, without slashes at its ends; empty for the URL's
    /// own.
    pub root: Vec<u8>,
    /// The location, for people.
    pub place: String,
}

/// The files below one directory of a WebDAV server, as a source.
#[derive(Clone, Debug)]
pub struct DalStore {
    capabilities: Capabilities,
    source: Arc<Source>,
}

/// Where objects are read.
#[derive(Debug)]
struct Source {
    /// Its own root is the server's: OpenDAL says of its root that it is there without asking, and
    /// cuts it from what the server names without looking.
    operator: Operator,
    /// What stands before every key: empty, or ending in `/`.
    root: String,
    place: String,
}

impl Source {
    /// The path of `key` at the server, which OpenDAL sends as it is.
    fn path(&self, key: &Key) -> Result<String, &'static str> {
        let full = key.with_prefix(self.root.as_bytes());
        keys::kept(&full).map(str::to_owned)
    }

    /// What `key` is called in messages.
    fn show(&self, key: &Key) -> String {
        format!("{}/{key}", self.place.trim_end_matches('/'))
    }
}

impl DalStore {
    /// Prepares a store; talks to nobody yet.
    ///
    /// # Errors
    /// When the root is one that OpenDAL would change, or credentials are named and not there.
    pub fn webdav(options: WebdavOptions) -> Result<Self, StoreError> {
        /// Whether there can be the client that all operators share: without certificates of
        /// authorities there is none, for plain text neither, and OpenDAL would panic.
        static HAS_CLIENT: OnceLock<bool> = OnceLock::new();
        let has_client = HAS_CLIENT.get_or_init(|| {
            opendal::install_default();
            reqwest::Client::builder().build().is_ok()
        });
        let WebdavOptions { server, root, place } = options;
        let wrong = |reason: &str| {
            StoreError::new(ErrorCode::LocationMissing, format!("{place}: {reason}"))
        };
        if !has_client {
            return Err(wrong("this machine has no certificates of authorities: install them"));
        }
        let root = match root.is_empty() {
            true => String::new(),
            false => format!("{}/", keys::kept(&Key::new(root)).map_err(wrong)?),
        };
        let mut builder = Webdav::default().endpoint(&server.url).root("/");
        if let Some((user, password)) = server
            .login()
            .map_err(|error| StoreError::new(error.code, format!("{place}: {error}")))?
        {
            builder = builder.username(&user).password(&password);
        }
        let operator =
            Operator::new(builder).map_err(|error| store_error("use", &place, &error))?;
        let capabilities = Capabilities {
            concurrent_parts: 1,
            lists_ranges: false,
            writes_are_durable: false,
            symlinks: false,
            keeps_mtime: false,
            directories: true,
            object_bytes_max: 0,
            keeps: AttributeSet::NONE,
            classes: Classes::None,
        };
        Ok(Self { capabilities, source: Arc::new(Source { operator, root, place }) })
    }

    /// Why nothing is written here.
    fn refusal(&self) -> StoreError {
        let text = format!(
            "{} can be a source only: WebDAV replaces a file by deleting it first (RFC 4918, 9.9.3); \
             choose sftp:// or a mounted directory as target",
            self.source.place
        );
        StoreError::new(ErrorCode::LocationMissing, text)
    }
}

/// What OpenDAL makes of an answer. It panics at some answers that no good server gives, such as a name
/// of more than 64 KiB: that is the error of one request here.
async fn answer<T>(call: impl Future<Output = opendal::Result<T>>) -> opendal::Result<T> {
    let caught = AssertUnwindSafe(call).catch_unwind().await;
    caught.unwrap_or_else(|_| {
        let text = "the server's answer makes no sense";
        Err(opendal::Error::new(opendal::ErrorKind::Unexpected, text))
    })
}

/// Whether `metadata` is of the state that `listed` describes.
fn is_as_listed(metadata: &Metadata, listed: &Entry) -> bool {
    let now = list::object_entry(listed.key.clone(), metadata);
    let is_same_state = match (&listed.version, &now.version) {
        (Version::ETag(listed), Version::ETag(now)) => listed == now,
        _ => listed.mtime_ns == now.mtime_ns,
    };
    metadata.is_file() && now.size == listed.size && is_same_state
}

#[async_trait]
impl Store for DalStore {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn check_key(&self, _entry: &Entry) -> Option<String> {
        Some(self.refusal().to_string())
    }

    async fn list(
        &self,
        request: ListRequest,
        found: mpsc::Sender<Listed>,
    ) -> Result<(), StoreError> {
        list::list(&self.source, request, found).await
    }

    async fn lookup(&self, keys: Vec<Key>) -> Vec<Result<Option<Entry>, StoreError>> {
        list::lookup(&self.source, keys).await
    }

    async fn stat(&self, key: &Key) -> Result<Option<ObjectInfo>, StoreError> {
        list::stat(&self.source, key).await
    }

    async fn read_small(&self, objects: Vec<Entry>, found: mpsc::Sender<ReadResult>) {
        read::read_small(&self.source, objects, found).await;
    }

    async fn read_range(
        &self,
        object: &Entry,
        range: ByteRange,
    ) -> Result<Box<dyn RangeReader>, StoreError> {
        Ok(Box::new(read::ObjectReader::open(&self.source, object, range).await?))
    }

    async fn put_small(
        &self,
        objects: Vec<(NewObject, VerifiedObject)>,
    ) -> Vec<Result<(), StoreError>> {
        objects.iter().map(|_| Err(self.refusal())).collect()
    }

    async fn open_upload(
        &self,
        _object: &NewObject,
        _resume: Option<&UploadToken>,
        _orphan_since: Option<Timestamp>,
    ) -> Result<OpenedUpload, StoreError> {
        Err(self.refusal())
    }

    async fn upload(
        &self,
        _object: &NewObject,
        _token: &UploadToken,
    ) -> Result<Box<dyn Upload>, StoreError> {
        Err(self.refusal())
    }

    async fn commit(
        &self,
        _object: &NewObject,
        _token: &UploadToken,
        _root: Root,
    ) -> Result<(), StoreError> {
        Err(self.refusal())
    }

    /// There is never an upload that could be dropped.
    async fn discard(
        &self,
        _key: &Key,
        _token: Option<&UploadToken>,
        _orphan_since: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        Ok(())
    }

    async fn delete(&self, entries: Vec<Entry>) -> Vec<Result<(), StoreError>> {
        entries.iter().map(|_| Err(self.refusal())).collect()
    }

    /// Nothing is ever left here.
    async fn clean(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn preflight(&self, access: Access) -> Result<(), StoreError> {
        match access {
            Access::Write => Err(self.refusal()),
            Access::Read => list::find_root(&self.source).await,
        }
    }
}
