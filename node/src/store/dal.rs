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
use std::time::Duration;

use airlift_protocol::error::ErrorCode;
use airlift_protocol::key::Key;
use airlift_protocol::manifest::{Entry, Version};
use airlift_protocol::units::ByteRange;
use async_trait::async_trait;
use futures::FutureExt;
use opendal::services::Webdav;
use opendal::{Metadata, Operator};
use tokio::sync::mpsc;
use tokio::time::timeout;

use self::error::store_error;
use super::readonly::{ReadOnly, capabilities};
use super::settings::WebdavSettings;
use super::{Capabilities, ListRequest, Listed, ObjectInfo, RangeReader, ReadResult, StoreError};

/// Requests for single objects that run at the same time.
const REQUESTS_MAX: usize = 16;

/// How long an answer may take, all of it, that has a few MiB at most.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);

/// The same for one that names all that is in a directory.
const LISTING_TIMEOUT: Duration = Duration::from_secs(15 * 60);

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
        Ok(Self {
            capabilities: capabilities(),
            source: Arc::new(Source { operator, root, place }),
        })
    }
}

/// What OpenDAL makes of an answer. It waits for one without end, and panics at some that no good server gives,
/// such as a name of more than 64 KiB: that is the error of one request here.
async fn answer<T>(
    patience: Duration,
    call: impl Future<Output = opendal::Result<T>>,
) -> opendal::Result<T> {
    let failed = |text| opendal::Error::new(opendal::ErrorKind::Unexpected, text);
    match timeout(patience, AssertUnwindSafe(call).catch_unwind()).await {
        Ok(Ok(answered)) => answered,
        Ok(Err(_)) => Err(failed("the server's answer makes no sense")),
        Err(_) => Err(failed("no answer in time").set_temporary()),
    }
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
impl ReadOnly for DalStore {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn place(&self) -> &str {
        &self.source.place
    }

    fn reason(&self) -> &'static str {
        "WebDAV replaces a file by deleting it first (RFC 4918, 9.9.3); choose sftp:// or a mounted \
         directory as target"
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

    async fn find_root(&self) -> Result<(), StoreError> {
        list::find_root(&self.source).await
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_server_that_says_nothing_is_waited_for_only_so_long() {
        let silent = answer(ANSWER_TIMEOUT, pending::<opendal::Result<()>>());
        let error = store_error("look at", "webdav://h/a", &silent.await.unwrap_err());
        assert_eq!(error.code, ErrorCode::Unavailable, "{error}");
        assert!(error.detail().contains("no answer in time"), "{error}");
    }
}
