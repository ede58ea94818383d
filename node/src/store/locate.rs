//! From locations to stores.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use airlift_protocol::error::ErrorCode;
use airlift_protocol::id::JobId;
use airlift_protocol::job::LinkPolicy;
use airlift_protocol::key::Key;
use airlift_protocol::location::Location;
use tokio::sync::mpsc;

use super::fence::Fence;
use super::files::{FileOptions, FileStore};
use super::pace::Paces;
pub use super::s3::Addressing as S3Addressing;
use super::s3::{S3Options, S3Store};
use super::{Access, ListRequest, Store, StoreError};

/// How stores are reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreOptions {
    /// The gates of the places that this process talks to.
    pub paces: Paces,
    /// S3 and what speaks its protocol.
    pub s3: S3Settings,
}

/// How S3 is reached. What is not set follows the environment and profile, as the AWS tools do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct S3Settings {
    /// URL of the server, when it is not AWS.
    pub endpoint: Option<String>,
    /// Region of the bucket.
    pub region: Option<String>,
    /// Profile of the credentials.
    pub profile: Option<String>,
    /// Where a request names its bucket.
    pub addressing: S3Addressing,
}

/// Whether a build of this version serves locations of `scheme`.
pub fn is_served(scheme: &str) -> bool {
    scheme == "s3"
}

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
        open(&below(Key::default()), no_job, LinkPolicy::Skip, Fence::default(), options).await?;
    whole.preflight(Access::Read).await?;
    let is_written_as_prefix = location.is_written_as_container();
    if !is_written_as_prefix && whole.stat(prefix).await?.is_some() {
        return Ok(Probe::Object);
    }
    let mut directory = prefix.as_bytes().to_vec();
    if !is_written_as_prefix {
        directory.push(b'/');
    }
    let store =
        open(&below(Key::new(directory)), no_job, LinkPolicy::Skip, Fence::default(), options)
            .await?;
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
    links: LinkPolicy,
    fence: Fence,
    options: &StoreOptions,
) -> Result<Arc<dyn Store>, StoreError> {
    match location {
        Location::Path(path) => {
            let path = Path::new(OsStr::from_bytes(path));
            Ok(Arc::new(FileStore::open_fenced(path, job, FileOptions { links }, fence)?))
        }
        Location::Bucket { scheme, bucket, prefix } if is_served(scheme) => {
            let S3Settings { endpoint, region, profile, addressing } = options.s3.clone();
            let s3 = S3Options {
                endpoint,
                region,
                profile,
                addressing,
                fence,
                paces: options.paces.clone(),
                ..S3Options::new(bucket, prefix.as_bytes(), job)
            };
            Ok(Arc::new(S3Store::open(s3).await?))
        }
        Location::Bucket { .. } | Location::Node { .. } => Err(StoreError::new(
            ErrorCode::LocationMissing,
            format!("{location}: this build serves files and s3:// only"),
        )),
    }
}
