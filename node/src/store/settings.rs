//! How stores are reached: by the scheme of a location, or by the name of a configured store.
//!
//! Settings name credentials and never have any. Each node of a cluster resolves names with its own
//! configuration, so that credentials do not leave it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use airlift_protocol::error::ErrorCode;
use airlift_protocol::id::JobId;

use super::StoreError;
use super::azure::{AzureEnvironment, AzureOptions};
use super::gcs::GcsOptions;
use super::hdfs::access::{HdfsPlace, HdfsTransport};
use super::pace::Paces;
use super::s3::credentials::CredentialSource;
use super::s3::provider::{PROVIDERS, Provider};
use super::s3::{Addressing, Checksums};

/// Scheme of servers that speak SFTP, and the kind of their configured stores.
pub const SFTP: &str = "sftp";

/// Scheme of servers that speak FTP.
pub const FTP: &str = "ftp";

/// Scheme of servers that speak WebDAV, and the kind of their configured stores.
pub const WEBDAV: &str = "webdav";
/// The same over TLS.
pub const WEBDAVS: &str = "webdavs";

/// Scheme of files in HDFS, and the kind of their configured stores.
pub const HDFS: &str = "hdfs";
/// The same as Hadoop's own tools write it for the protocol in use.
pub const WEBHDFS: &str = "webhdfs";
/// The same over TLS.
pub const SWEBHDFS: &str = "swebhdfs";

/// What the variables of a server that a location names begin with.
const WEBDAV_VARIABLES: &str = "WEBDAV_";

/// How stores are reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreOptions {
    /// The gates of the places that this process talks to.
    pub paces: Paces,
    /// S3, as far as it is not a store with a name.
    pub s3: S3Settings,
    /// Azure Blob Storage, as far as it is not a store with a name.
    pub azure: AzureSettings,
    /// Google Cloud Storage, as far as it is not a store with a name.
    pub gcs: GcsSettings,
    /// The configured stores by name.
    pub named: BTreeMap<String, StoreSettings>,
    /// The file in which they are configured, when there is one.
    pub file: Option<PathBuf>,
    /// The node of a cluster that these are the options of, for messages.
    pub node: Option<String>,
}

/// How one store is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreSettings {
    /// A service that speaks S3.
    S3(&'static Provider, S3Settings),
    /// Azure Blob Storage.
    Azure(AzureSettings),
    /// Google Cloud Storage.
    Gcs(GcsSettings),
    /// A server that speaks SFTP; `None` when the location itself names it, as its bucket.
    Sftp(Option<SftpRoot>),
    /// A server that speaks WebDAV.
    Webdav(WebdavPlace),
    /// A server that speaks FTP, which the location itself names, as its bucket.
    Ftp,
    /// Files in HDFS.
    Hdfs(HdfsPlace),
}

/// Where a server that speaks WebDAV is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WebdavPlace {
    /// The location itself names it, as its bucket, and says by its scheme whether TLS is spoken.
    Location(Transport),
    /// At a configured URL: the buckets of the store are below it.
    Url(WebdavSettings),
}

/// What WebDAV is spoken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Plain text.
    Http,
    /// TLS.
    Https,
}

/// How a server that speaks WebDAV is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebdavSettings {
    /// Its URL, without a `/` at the end.
    pub url: String,
    /// What the variables with user and password begin with; without it nobody logs in.
    pub variables: Option<String>,
}

/// A directory of a server that speaks SFTP: the buckets of the store are in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SftpRoot {
    /// The server.
    pub server: SftpSettings,
    /// Absolute path of the directory.
    pub path: PathBuf,
}

/// How a server that speaks SFTP is reached. What is not set is as `~/.ssh/config` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SftpSettings {
    /// Name of the server, or of an entry of `~/.ssh/config`.
    pub host: String,
    /// Its port.
    pub port: Option<u16>,
    /// Who logs in.
    pub user: Option<String>,
    /// File of the private key; by default what the agent and `~/.ssh/config` have.
    pub identity: Option<PathBuf>,
    /// File of known host keys, in place of the user's and the system's.
    pub known_hosts: Option<PathBuf>,
}

impl WebdavSettings {
    /// The server that a location names as `host[:port]`. Who logs in say `WEBDAV_USERNAME` and
    /// `WEBDAV_PASSWORD`, where they are set.
    pub fn at(authority: &str, transport: Transport) -> Self {
        let scheme = match transport {
            Transport::Http => "http",
            Transport::Https => "https",
        };
        let is_set = std::env::var_os(format!("{WEBDAV_VARIABLES}USERNAME")).is_some();
        let variables = is_set.then(|| WEBDAV_VARIABLES.to_owned());
        Self { url: format!("{scheme}://{authority}"), variables }
    }

    /// User and password, when somebody logs in.
    ///
    /// # Errors
    /// When they are named and not there, or would be sent for everybody to read.
    pub fn login(&self) -> Result<Option<(String, String)>, StoreError> {
        let Some(prefix) = &self.variables else { return Ok(None) };
        if !self.keeps_secrets() {
            let text = format!(
                "{} would send the password for everybody on the way to read: use webdavs:// or an \
                 https:// URL",
                self.url
            );
            return Err(StoreError::new(ErrorCode::Unauthorized, text));
        }
        let [user, password] = ["USERNAME", "PASSWORD"].map(|name| format!("{prefix}{name}"));
        match (std::env::var(&user), std::env::var(&password)) {
            (Ok(user), Ok(password)) => Ok(Some((user, password))),
            _ => {
                let text = format!("no credentials were found: set {user} and {password}");
                Err(StoreError::new(ErrorCode::Unauthorized, text))
            }
        }
    }

    /// Whether what is sent crosses no network in plain text.
    fn keeps_secrets(&self) -> bool {
        let Some(rest) = self.url.strip_prefix("http://") else { return true };
        let authority = rest.split('/').next().unwrap_or_default();
        let host = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => host,
            _ => authority,
        };
        let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    }
}

impl SftpSettings {
    /// The server that a location names as `[user@]host[:port]`.
    ///
    /// # Errors
    /// When the port is no number.
    pub fn parse(authority: &str) -> Result<Self, StoreError> {
        let (user, rest) = match authority.rsplit_once('@') {
            Some((user, rest)) => (Some(user.to_owned()), rest),
            None => (None, authority),
        };
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, Some(port)),
            _ => (rest, None),
        };
        let port = port.map(str::parse).transpose().map_err(|_| {
            let text =
                format!("sftp://{authority}: the port is no number: write [user@]host[:port]");
            StoreError::new(ErrorCode::LocationMissing, text)
        })?;
        Ok(Self { host: host.to_owned(), port, user, ..Self::default() })
    }

    /// `user@host:port`, for people.
    pub fn name(&self) -> String {
        let user = self.user.as_ref().map_or_else(String::new, |user| format!("{user}@"));
        let port = self.port.map_or_else(String::new, |port| format!(":{port}"));
        format!("{user}{}{port}", self.host)
    }
}

/// How a service that speaks S3 is reached. What is not set follows the service's profile, and the
/// environment and shared files as the AWS tools do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct S3Settings {
    /// URL of the server.
    pub endpoint: Option<String>,
    /// Region of the bucket.
    pub region: Option<String>,
    /// Account at the service, where its URL names one.
    pub account: Option<String>,
    /// Profile of the AWS tools' files.
    pub profile: Option<String>,
    /// Where a request names its bucket.
    pub addressing: Addressing,
    /// Which checksum goes with the bytes that are written.
    pub checksums: Option<Checksums>,
    /// Where the credentials come from.
    pub credentials: CredentialSource,
}

/// How Google Cloud Storage is reached. Credentials follow the environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GcsSettings {
    /// URL of the service, when it is not Google's own.
    pub endpoint: Option<String>,
}

impl GcsSettings {
    /// Options for a bucket, as the environment of this process configures it.
    pub fn options(&self, bucket: &str, prefix: &[u8], job: JobId) -> GcsOptions {
        let emulator = std::env::var("STORAGE_EMULATOR_HOST").ok();
        GcsOptions {
            endpoint: self.endpoint.clone(),
            emulator: emulator.filter(|host| !host.is_empty()),
            ..GcsOptions::new(bucket, prefix, job)
        }
    }
}

/// How Azure is reached. Credentials, and what is not set, follow the environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AzureSettings {
    /// Name of the storage account.
    pub account: Option<String>,
    /// URL of the account, when it is not of the public cloud.
    pub endpoint: Option<String>,
}

impl AzureSettings {
    /// Options for a container, with credentials from the environment of this process.
    pub fn options(&self, container: &str, prefix: &[u8], job: JobId) -> AzureOptions {
        AzureOptions {
            account: self.account.clone(),
            endpoint: self.endpoint.clone(),
            environment: AzureEnvironment::of_process(),
            ..AzureOptions::new(container, prefix, job)
        }
    }
}

/// Scheme of Azure Blob Storage.
pub const AZURE: &str = "az";
/// Scheme of Google Cloud Storage.
pub const GCS: &str = "gs";

/// Schemes that this build serves without any configuration.
pub fn schemes() -> impl Iterator<Item = &'static str> {
    let others = [AZURE, GCS, SFTP, HDFS, WEBHDFS, SWEBHDFS, WEBDAV, WEBDAVS, FTP];
    PROVIDERS.iter().map(|provider| provider.scheme).chain(others)
}

/// Whether this build serves locations of `scheme` without any configuration.
pub fn is_served(scheme: &str) -> bool {
    schemes().any(|served| served == scheme)
}

impl StoreOptions {
    /// Whether locations of `scheme` are served: by this build, or as a configured store.
    pub fn serves(&self, scheme: &str) -> bool {
        self.named.contains_key(scheme) || is_served(scheme)
    }

    /// How the store of `scheme`, or of that name, is reached.
    ///
    /// # Errors
    /// [`ErrorCode::LocationMissing`] when there is none: with the file that would have to name it.
    pub fn settings(&self, scheme: &str) -> Result<StoreSettings, StoreError> {
        if let Some(settings) = self.named.get(scheme) {
            return Ok(settings.clone());
        }
        match scheme {
            AZURE => return Ok(StoreSettings::Azure(self.azure.clone())),
            GCS => return Ok(StoreSettings::Gcs(self.gcs.clone())),
            SFTP => return Ok(StoreSettings::Sftp(None)),
            FTP => return Ok(StoreSettings::Ftp),
            HDFS | WEBHDFS => {
                return Ok(StoreSettings::Hdfs(HdfsPlace::Location(HdfsTransport::Http)));
            }
            SWEBHDFS => {
                return Ok(StoreSettings::Hdfs(HdfsPlace::Location(HdfsTransport::Https)));
            }
            WEBDAV => {
                return Ok(StoreSettings::Webdav(WebdavPlace::Location(Transport::Http)));
            }
            WEBDAVS => {
                return Ok(StoreSettings::Webdav(WebdavPlace::Location(Transport::Https)));
            }
            _ => {}
        }
        match Provider::of(scheme) {
            Some(provider) if provider.scheme == "s3" => {
                Ok(StoreSettings::S3(provider, self.s3.clone()))
            }
            Some(provider) => Ok(StoreSettings::S3(provider, S3Settings::default())),
            None => Err(StoreError::new(ErrorCode::LocationMissing, self.unknown(scheme))),
        }
    }

    /// Whether two schemes lead to the same service, so that equal buckets are the same bucket.
    pub fn is_same_service(&self, one: &str, other: &str) -> bool {
        match (self.settings(one), self.settings(other)) {
            (Ok(StoreSettings::S3(one, here)), Ok(StoreSettings::S3(other, there))) => {
                one.scheme == other.scheme
                    && here.endpoint == there.endpoint
                    && here.account == there.account
            }
            (Ok(one), Ok(other)) => one == other,
            _ => one == other,
        }
    }

    fn unknown(&self, scheme: &str) -> String {
        let node = self.node.as_ref().map_or_else(String::new, |node| format!("node {node}: "));
        let served: Vec<&str> = schemes().collect();
        let place = match &self.file {
            Some(file) => format!("and {} has no [stores.{scheme}]", file.display()),
            None => format!("and no configuration file was found that has [stores.{scheme}]"),
        };
        format!(
            "{node}unknown scheme '{scheme}://': this build serves files and {}, {place}",
            served.join(", ")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_not_configured_is_an_error_with_file_and_node() {
        let mut options = StoreOptions::default();
        let text = options.settings("backup").unwrap_err().to_string();
        assert!(
            text.contains("no configuration file was found that has [stores.backup]"),
            "{text}"
        );
        options.file = Some("/etc/airlift.toml".into());
        options.node = Some("paris".to_owned());
        let text = options.settings("backup").unwrap_err().to_string();
        assert!(text.starts_with("node paris: unknown scheme 'backup://'"), "{text}");
        assert!(text.ends_with("/etc/airlift.toml has no [stores.backup]"), "{text}");
        assert!(options.settings("oss").is_ok() && !options.serves("backup"));
    }

    #[test]
    fn a_server_is_named_with_user_and_port() {
        for (text, host, port, user) in [
            ("h", "h", None, None),
            ("me@h:2222", "h", Some(2222), Some("me")),
            ("me@corp@h", "h", None, Some("me@corp")),
            ("[::1]:22", "[::1]", Some(22), None),
            ("[::1]", "[::1]", None, None),
        ] {
            let found = SftpSettings::parse(text).unwrap();
            assert_eq!(
                (found.host.as_str(), found.port, found.user.as_deref()),
                (host, port, user)
            );
            assert_eq!(found.name(), text);
        }
        assert!(SftpSettings::parse("h:x").is_err() && SftpSettings::parse("h:70000").is_err());
    }

    #[test]
    fn passwords_are_not_sent_in_plain_text_over_a_network() {
        for (url, is_kept) in [
            ("https://h/x", true),
            ("http://h", false),
            ("http://127.0.0.1:80/x", true),
            ("http://[::1]:8080", true),
            ("http://localhost", true),
            ("http://127.0.0.1.example.org", false),
        ] {
            let variables = Some("AIRLIFT_TEST_NOBODY_".to_owned());
            let error = WebdavSettings { url: url.to_owned(), variables }.login().unwrap_err();
            assert_eq!(error.detail().contains("everybody"), !is_kept, "{url}: {error}");
        }
        let nobody = WebdavSettings { url: "http://h".to_owned(), variables: None };
        assert_eq!(nobody.login().unwrap(), None);
    }

    #[test]
    fn two_names_of_one_service_are_told() {
        let mut options = StoreOptions::default();
        let at = |endpoint: Option<&str>| {
            let endpoint = endpoint.map(str::to_owned);
            StoreSettings::S3(Provider::s3(), S3Settings { endpoint, ..S3Settings::default() })
        };
        options.named.insert("plain".to_owned(), at(None));
        options.named.insert("lab".to_owned(), at(Some("http://lab:9000")));
        assert!(options.is_same_service("s3", "plain"));
        assert!(!options.is_same_service("s3", "lab"));
        assert!(!options.is_same_service("s3", "oss"));
        assert!(options.is_same_service("lab", "lab"));
    }
}
