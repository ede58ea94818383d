//! From locations to stores.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use airlift_protocol::error::ErrorCode;
use airlift_protocol::id::JobId;
use airlift_protocol::job::{RestorePolicy, RestoreTo};
use airlift_protocol::key::Key;
use airlift_protocol::location::Location;
use tokio::sync::mpsc;

use super::azure::{AzureOptions, AzureStore};
use super::dal::{DalStore, WebdavOptions};
use super::fence::Fence;
use super::files::{FileOptions, FileStore};
use super::ftp::{FtpOptions, FtpServer, FtpStore};
use super::gcs::{GcsOptions, GcsStore};
use super::hdfs::access::{HdfsPlace, HdfsServer};
use super::hdfs::{BLOCK_BYTES, HdfsOptions, HdfsStore};
use super::pace::Paces;
use super::path::KeyPath;
use super::s3::provider::Provider;
use super::s3::{S3Options, S3Store};
use super::settings::{
    S3Settings, SftpRoot, SftpSettings, StoreOptions, StoreSettings, WebdavPlace, WebdavSettings,
};
use super::sftp::{SftpOptions, SftpStore};
use super::{Access, Handling, ListRequest, Store, StoreError};

/// What a location of a store turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// One object: its key exists exactly as written.
    Object,
    /// A prefix with something below it.
    Container,
    /// Nothing.
    Missing,
}

/// Asks the store what `location`, a key or prefix of a bucket, is. A key that exists wins over a
/// prefix of the same name, unless the location is written with a `/` at its end.
///
/// # Errors
/// When the store does not answer, or the bucket does not exist.
pub async fn probe(location: &Location, options: &StoreOptions) -> Result<Probe, StoreError> {
    let Location::Bucket { scheme, bucket, prefix } = location else { return Ok(Probe::Missing) };
    let below =
        |prefix: Key| Location::Bucket { scheme: scheme.clone(), bucket: bucket.clone(), prefix };
    let no_job = JobId([0; 16]);
    let whole =
        open(&below(Key::default()), no_job, Handling::of_target(), Fence::default(), options)
            .await?;
    let is_tree = whole.capabilities().directories;
    if !is_tree {
        whole.preflight(Access::Read).await?;
    }
    let is_written_as_prefix = location.is_written_as_container();
    if !is_written_as_prefix && whole.stat(prefix).await?.is_some() {
        return Ok(Probe::Object);
    }
    let mut directory = prefix.as_bytes().to_vec();
    if !is_written_as_prefix {
        directory.push(b'/');
    }
    let store =
        open(&below(Key::new(directory)), no_job, Handling::of_target(), Fence::default(), options)
            .await?;
    if is_tree {
        // Where directories exist by themselves, an empty one is a place too.
        return match store.preflight(Access::Read).await {
            Ok(()) => Ok(Probe::Container),
            Err(error) if error.code == ErrorCode::LocationMissing => Ok(Probe::Missing),
            Err(error) => Err(error),
        };
    }
    let (sender, mut found) = mpsc::channel(1);
    let first = async {
        let first = found.recv().await;
        // One finding is enough: without a receiver, the listing ends.
        found.close();
        first.is_some()
    };
    let (listed, is_there) = tokio::join!(store.list(ListRequest::default(), sender), first);
    listed?;
    Ok(if is_there { Probe::Container } else { Probe::Missing })
}

/// The absolute path without links and dots, whether it exists already or not: the part that exists
/// is resolved, the rest is appended. The same place so has the same path before and after it was
/// made.
///
/// # Errors
/// When the system does not say where the path leads, as for a link to nothing.
pub fn settle(path: &Path) -> io::Result<PathBuf> {
    let is_link =
        |path: &Path| fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink());
    let mut existing = std::path::absolute(path)?;
    let mut missing = Vec::new();
    loop {
        match fs::canonicalize(&existing) {
            Ok(real) => return Ok(missing.iter().rev().fold(real, |path, name| path.join(name))),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !is_link(&existing) => {
                let Some(name) = existing.file_name() else { return Err(error) };
                missing.push(name.to_owned());
                existing.pop();
            }
            Err(error) => return Err(error),
        }
    }
}

/// Opens the store of `location` for `job`; its keys are those below the location.
///
/// # Errors
/// When no store serves it, or it cannot be reached.
pub async fn open(
    location: &Location,
    job: JobId,
    handling: Handling,
    fence: Fence,
    options: &StoreOptions,
) -> Result<Arc<dyn Store>, StoreError> {
    match location {
        Location::Path(path) => {
            let path = Path::new(OsStr::from_bytes(path));
            let options = FileOptions { links: handling.links };
            Ok(Arc::new(FileStore::open_fenced(path, job, options, fence)?))
        }
        Location::Bucket { scheme, bucket, prefix } => {
            let settings = options.settings(scheme)?;
            check_restore(location, handling.restore, &settings)?;
            let paces = options.paces.clone();
            let wanted = Wanted { location, scheme, bucket, prefix, job, handling, fence, paces };
            open_bucket(wanted, settings).await
        }
        Location::Node { .. } => {
            let text = format!("{location}: only the node itself opens its paths");
            Err(StoreError::new(ErrorCode::LocationMissing, text))
        }
    }
}

/// A location of a service or a server, and what it is opened for.
struct Wanted<'a> {
    location: &'a Location,
    scheme: &'a str,
    bucket: &'a str,
    prefix: &'a Key,
    job: JobId,
    handling: Handling,
    fence: Fence,
    paces: Paces,
}

async fn open_bucket(
    wanted: Wanted<'_>,
    settings: StoreSettings,
) -> Result<Arc<dyn Store>, StoreError> {
    let Wanted { location, scheme, bucket, prefix, job, handling, fence, paces } = wanted;
    match settings {
        StoreSettings::S3(provider, settings) => {
            let s3 = S3Options {
                scheme: scheme.to_owned(),
                tags: handling.tags,
                acl: handling.acl,
                restore: handling.restore,
                fence,
                paces,
                ..s3_options(provider, settings, bucket, prefix, job)
            };
            Ok(Arc::new(S3Store::open(s3).await?))
        }
        StoreSettings::Azure(settings) => {
            let azure = settings.options(bucket, prefix.as_bytes(), job);
            let Handling { tags, has_classes: tiers, .. } = handling;
            let azure = AzureOptions { tags, tiers, fence, paces, ..azure };
            Ok(Arc::new(AzureStore::open(azure)?))
        }
        StoreSettings::Gcs(settings) => {
            let gcs = settings.options(bucket, prefix.as_bytes(), job);
            Ok(Arc::new(GcsStore::open(GcsOptions { fence, paces, ..gcs })?))
        }
        StoreSettings::Sftp(named) => {
            let (server, root) = sftp_root(named, bucket, prefix, location)?;
            let place = location.to_string();
            let links = handling.links;
            let options = SftpOptions { server, root, place, job, links, fence };
            Ok(Arc::new(SftpStore::open(options)?))
        }
        StoreSettings::Ftp => {
            let root = path_below(prefix, location)?;
            let root = root.strip_prefix(b"/").unwrap_or_default().to_vec();
            let (server, place) = (FtpServer::at(bucket)?, location.to_string());
            Ok(Arc::new(FtpStore::open(FtpOptions { server, root, place })?))
        }
        StoreSettings::Hdfs(place) => {
            let (server, root) = hdfs_root(place, bucket, prefix, location)?;
            let (place, block_bytes) = (location.to_string(), BLOCK_BYTES);
            let options = HdfsOptions { server, root, place, job, fence, paces, block_bytes };
            Ok(Arc::new(HdfsStore::open(options)?))
        }
        StoreSettings::Webdav(place) => {
            let (server, root) = webdav_root(place, bucket, prefix, location)?;
            let root = root.strip_prefix(b"/").unwrap_or_default().to_vec();
            let options = WebdavOptions { server, root, place: location.to_string() };
            Ok(Arc::new(DalStore::webdav(options)?))
        }
    }
}

/// Refuses a wish to restore that the service has no way to fulfil, before anything is asked for.
fn check_restore(
    location: &Location,
    wanted: Option<RestorePolicy>,
    settings: &StoreSettings,
) -> Result<(), StoreError> {
    let Some(RestorePolicy { to, .. }) = wanted else { return Ok(()) };
    let text = match (settings, matches!(to, RestoreTo::Days(_))) {
        (StoreSettings::S3(..), false) => {
            "its archives give copies for days: write --restore TIER:DAYS, such as bulk:7"
        }
        (StoreSettings::Azure(_), true) => {
            "its blobs leave the archive for good: write --restore TIER:hot, TIER:cool or TIER:cold"
        }
        _ => return Ok(()),
    };
    Err(StoreError::new(ErrorCode::LocationMissing, format!("{location}: {text}")))
}

/// What follows a root for `key`: nothing, or a `/` and a path that leads nowhere else.
fn path_below(key: &Key, location: &Location) -> Result<Vec<u8>, StoreError> {
    if key.as_bytes().is_empty() {
        return Ok(Vec::new());
    }
    let path = KeyPath::parse(key).map(|path| [b"/", path.whole].concat());
    path.map_err(|reason| {
        StoreError::new(ErrorCode::LocationMissing, format!("{location}: {reason}"))
    })
}

/// The server of a location and the directory there: of a configured store one below its root, else
/// the location's path on the server that it names.
fn sftp_root(
    named: Option<SftpRoot>,
    bucket: &str,
    prefix: &Key,
    location: &Location,
) -> Result<(SftpSettings, Vec<u8>), StoreError> {
    let below = path_below(prefix, location)?;
    match named {
        None => Ok((SftpSettings::parse(bucket)?, below)),
        Some(SftpRoot { server, path: root }) => {
            let root = root.as_os_str().as_bytes().to_vec();
            let first = path_below(&Key::from(bucket), location)?;
            Ok((server, [root, first, below].concat()))
        }
    }
}

/// The namenodes of a location and the directory there: of a configured store below the file system's root, else
/// the location's path.
fn hdfs_root(
    place: HdfsPlace,
    bucket: &str,
    prefix: &Key,
    location: &Location,
) -> Result<(HdfsServer, Vec<u8>), StoreError> {
    let below = path_below(prefix, location)?;
    match place {
        HdfsPlace::Location(transport) => Ok((HdfsServer::at(bucket, transport)?, below)),
        HdfsPlace::Server(server) => {
            let first = path_below(&Key::from(bucket), location)?;
            Ok((server, [first, below].concat()))
        }
    }
}

/// The server of a location and the directory there: of a configured store one below its URL, else the
/// location's path.
fn webdav_root(
    place: WebdavPlace,
    bucket: &str,
    prefix: &Key,
    location: &Location,
) -> Result<(WebdavSettings, Vec<u8>), StoreError> {
    let below = path_below(prefix, location)?;
    match place {
        WebdavPlace::Location(transport) => Ok((WebdavSettings::at(bucket, transport), below)),
        WebdavPlace::Url(server) => {
            let first = path_below(&Key::from(bucket), location)?;
            Ok((server, [first, below].concat()))
        }
    }
}

/// Options for `bucket` of a service that speaks S3, reached by `settings`.
pub fn s3_options(
    provider: &'static Provider,
    settings: S3Settings,
    bucket: &str,
    prefix: &Key,
    job: JobId,
) -> S3Options {
    let S3Settings { endpoint, region, account, profile, addressing, checksums, credentials } =
        settings;
    S3Options {
        scheme: provider.scheme.to_owned(),
        provider,
        endpoint,
        region,
        account,
        profile,
        addressing,
        checksums,
        credentials,
        ..S3Options::new(bucket, prefix.as_bytes(), job)
    }
}
