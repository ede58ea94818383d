//! Checks of configured stores: whether credentials are found, and whether the service answers.
//!
//! Nothing is listed or written: which bucket a job will want, the configuration does not say.

use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use airlift_protocol::id::JobId;
use airlift_protocol::job::LinkPolicy;
use airlift_protocol::key::Key;

use super::endpoint::answers;
use super::{Check, skew};
use crate::store::azure::AzureStore;
use crate::store::dal::{DalStore, WebdavOptions};
use crate::store::fence::Fence;
use crate::store::gcs::GcsStore;
use crate::store::hdfs::access::HdfsPlace;
use crate::store::hdfs::{BLOCK_BYTES, HdfsOptions, HdfsStore};
use crate::store::locate::s3_options;
use crate::store::pace::Paces;
use crate::store::s3::inspect;
use crate::store::settings::{SftpRoot, StoreOptions, StoreSettings, WebdavPlace};
use crate::store::sftp::{SftpOptions, SftpStore};
use crate::store::{Access, Store};

const NAME: &str = "store";

/// Time for finding credentials, which may ask the network.
const WAIT: Duration = Duration::from_secs(8);

/// One check for each configured store.
pub(super) async fn checks(options: &StoreOptions) -> Vec<Check> {
    let mut checks = Vec::new();
    for (name, settings) in &options.named {
        let file = options.file.as_ref().map(|file| file.display().to_string());
        let advice = format!("see [stores.{name}] in {}", file.unwrap_or_default());
        let looked = tokio::time::timeout(WAIT, look(settings)).await;
        checks.push(match looked {
            Ok(Ok(found)) => Check::ok(NAME, format!("{name}: {found}")),
            Ok(Err(reason)) => Check::fail(NAME, format!("{name}: {reason}"), advice),
            Err(_) => Check::fail(NAME, format!("{name}: no answer in time"), advice),
        });
        if let Some(url) = clock_of(settings) {
            checks.extend(skew::check(name, &url).await);
        }
    }
    checks
}

/// Where a service that judges the times of signatures says what time it is.
fn clock_of(settings: &StoreSettings) -> Option<String> {
    match settings {
        StoreSettings::S3(_, settings) => settings.endpoint.clone(),
        StoreSettings::Azure(settings) => {
            let store = AzureStore::open(settings.options("CONTAINER", b"", JobId([0; 16])));
            store.ok().map(|store| store.endpoint().to_owned())
        }
        // By tokens, not by signatures of ours; or not over HTTP; or without signatures.
        StoreSettings::Gcs(_)
        | StoreSettings::Sftp(_)
        | StoreSettings::Ftp
        | StoreSettings::Hdfs(_)
        | StoreSettings::Webdav(_) => None,
    }
}

/// What there is, or why it cannot be used.
async fn look(settings: &StoreSettings) -> Result<String, String> {
    match settings {
        StoreSettings::S3(provider, settings) => {
            let options =
                s3_options(provider, settings.clone(), "BUCKET", &Key::default(), JobId([0; 16]));
            let endpoint = inspect(&options).await.map_err(|error| error.to_string())?;
            let Some(url) = endpoint else {
                return Ok(format!("{}, credentials found", provider.name));
            };
            answers(&url).await?;
            Ok(format!("{}, credentials found, {url} answers", provider.name))
        }
        StoreSettings::Azure(settings) => {
            let store = AzureStore::open(settings.options("CONTAINER", b"", JobId([0; 16])));
            let store = store.map_err(|error| error.to_string())?;
            let found = store.credentials().await.map_err(|error| error.to_string())?;
            answers(store.endpoint()).await?;
            Ok(format!("Azure Blob Storage, {found}, {} answers", store.endpoint()))
        }
        StoreSettings::Gcs(settings) => {
            let store = GcsStore::open(settings.options("BUCKET", b"", JobId([0; 16])));
            let store = store.map_err(|error| error.to_string())?;
            let found = store.credentials().await.map_err(|error| error.to_string())?;
            answers(store.endpoint()).await?;
            Ok(format!("Google Cloud Storage, {found}, {} answers", store.endpoint()))
        }
        StoreSettings::Sftp(named) => {
            let SftpRoot { server, path } = named.clone().ok_or("it names no server")?;
            let name = server.name();
            let store = SftpStore::open(SftpOptions {
                server,
                root: path.as_os_str().as_bytes().to_vec(),
                place: format!("sftp://{name}{}", path.display()),
                job: JobId([0; 16]),
                links: LinkPolicy::Skip,
                fence: Fence::default(),
            });
            store.map_err(|error| error.to_string())?.greet().await.map_err(|e| e.to_string())?;
            Ok(format!("SFTP, {name} lets us in"))
        }
        StoreSettings::Ftp
        | StoreSettings::Hdfs(HdfsPlace::Location(_))
        | StoreSettings::Webdav(WebdavPlace::Location(_)) => Err("it names no server".to_owned()),
        StoreSettings::Hdfs(HdfsPlace::Server(server)) => {
            let store = HdfsStore::open(HdfsOptions {
                server: server.clone(),
                root: Vec::new(),
                place: server.endpoint.clone(),
                job: JobId([0; 16]),
                fence: Fence::default(),
                paces: Paces::default(),
                block_bytes: BLOCK_BYTES,
            });
            let store = store.map_err(|error| error.to_string())?;
            store.preflight(Access::Read).await.map_err(|error| error.to_string())?;
            Ok(format!("HDFS, {} answers", store.endpoint()))
        }
        StoreSettings::Webdav(WebdavPlace::Url(server)) => {
            let url = server.url.clone();
            let options = WebdavOptions { server: server.clone(), root: Vec::new(), place: url };
            let store = DalStore::webdav(options).map_err(|error| error.to_string())?;
            store.preflight(Access::Read).await.map_err(|error| error.to_string())?;
            Ok(format!("WebDAV, {} answers", server.url))
        }
    }
}
