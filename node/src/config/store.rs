//! Configured stores: `[stores.NAME]` tables, from text to settings.
//!
//! Credentials are named in them and never written: a value that looks like a secret is refused.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::setting::advice;
use super::{ConfigError, parse_addressing, parse_checksum, parse_endpoint, parse_plain};
use crate::store::hdfs::access::{HdfsCredentials, HdfsPlace, HdfsServer};
use crate::store::s3::credentials::CredentialSource;
use crate::store::s3::provider::Provider;
use crate::store::settings::{
    AZURE, AzureSettings, FTP, GCS, GcsSettings, HDFS, S3Settings, SFTP, SWEBHDFS, SftpRoot,
    SftpSettings, StoreSettings, WEBDAV, WEBDAVS, WEBHDFS, WebdavPlace, WebdavSettings, schemes,
};

/// Schemes that are no names of stores, although this build serves nothing by them.
const RESERVED: [&str; 4] = ["file", "http", "https", "local"];

/// Longest name of a store.
const NAME_BYTES_MAX: usize = 64;

/// What fields are called that would hold a secret.
const SECRETS: [&str; 10] = [
    "access_key",
    "access_key_id",
    "key",
    "password",
    "passphrase",
    "secret",
    "secret_access_key",
    "secret_key",
    "session_token",
    "token",
];

const S3_FIELDS: [&str; 7] =
    ["kind", "endpoint", "region", "account", "addressing", "checksum", "credentials"];

const SFTP_FIELDS: [&str; 7] =
    ["kind", "host", "port", "user", "root", "known_hosts", "credentials"];

const WEBDAV_FIELDS: [&str; 3] = ["kind", "endpoint", "credentials"];

const HDFS_FIELDS: [&str; 5] = ["kind", "endpoint", "standby", "user", "credentials"];

/// One `[stores.NAME]` table, its values as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StoreTable {
    pub(super) name: String,
    pub(super) fields: BTreeMap<String, String>,
}

/// One value of a configured store, with the file it stands in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreValue {
    /// `stores.NAME.field`.
    pub key: String,
    /// Its text.
    pub text: String,
    /// The file.
    pub file: PathBuf,
}

/// Reads the tables below `[stores]` of the file at `path`.
pub(super) fn read(value: toml::Value, path: &Path) -> Result<Vec<StoreTable>, ConfigError> {
    let toml::Value::Table(tables) = value else {
        let path = path.display();
        return Err(ConfigError(format!("'stores' in {path} is no table: write [stores.NAME]")));
    };
    tables.into_iter().map(|(name, table)| read_table(name, table, path)).collect()
}

fn read_table(name: String, table: toml::Value, path: &Path) -> Result<StoreTable, ConfigError> {
    let at = |text: String| ConfigError(format!("[stores.{name}] in {}: {text}", path.display()));
    check_name(&name).map_err(at)?;
    let toml::Value::Table(table) = table else {
        return Err(at("it is no table: write [stores.NAME], then kind = \"…\"".to_owned()));
    };
    let mut fields = BTreeMap::new();
    for (field, value) in table {
        let text = match value {
            toml::Value::String(text) => text,
            toml::Value::Integer(number) => number.to_string(),
            other => {
                let kind = other.type_str();
                return Err(at(format!("'{field}' is a {kind}: write a text or a whole number")));
            }
        };
        fields.insert(field, text);
    }
    Ok(StoreTable { name, fields })
}

/// A name has to be one that a location can begin with, and mean nothing else there.
fn check_name(name: &str) -> Result<(), String> {
    let is_word = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.len() <= NAME_BYTES_MAX
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "+.-_".contains(c));
    if !is_word {
        return Err(format!(
            "a store's name is a small letter, then small letters, digits and any of + . - _, at \
             most {NAME_BYTES_MAX} in all"
        ));
    }
    if schemes().any(|scheme| scheme == name) || RESERVED.contains(&name) {
        return Err(format!("'{name}://' means something already: choose another name"));
    }
    Ok(())
}

/// The values of `tables` as they stand in `file`.
pub(super) fn values(tables: &[StoreTable], file: &Path) -> Vec<StoreValue> {
    let value = |name: &str, field: &str, text: &str| StoreValue {
        key: format!("stores.{name}.{field}"),
        text: text.to_owned(),
        file: file.to_owned(),
    };
    let rows = tables
        .iter()
        .flat_map(|table| table.fields.iter().map(|(field, text)| value(&table.name, field, text)));
    rows.collect()
}

/// The settings of each table of `file`.
pub(super) fn resolve(
    tables: &[StoreTable],
    file: &Path,
) -> Result<BTreeMap<String, StoreSettings>, ConfigError> {
    let named = |table: &StoreTable| {
        let settings = Fields { table, file }.settings();
        settings.map(|settings| (table.name.clone(), settings)).map_err(|text| {
            ConfigError(format!("[stores.{}] in {}: {text}", table.name, file.display()))
        })
    };
    tables.iter().map(named).collect()
}

/// The fields of one table.
struct Fields<'a> {
    table: &'a StoreTable,
    file: &'a Path,
}

impl Fields<'_> {
    fn settings(&self) -> Result<StoreSettings, String> {
        self.refuse_secrets()?;
        let kinds = schemes().collect::<Vec<_>>();
        let Some(kind) = self.get("kind") else {
            return Err(format!("it has no kind: write one of {}", kinds.join(", ")));
        };
        match (kind, Provider::of(kind)) {
            (AZURE, _) => self.azure(),
            (GCS, _) => self.gcs(),
            (SFTP, _) => Ok(StoreSettings::Sftp(Some(self.sftp()?))),
            (WEBDAV | WEBDAVS, _) => Ok(StoreSettings::Webdav(WebdavPlace::Url(self.webdav()?))),
            (HDFS | WEBHDFS | SWEBHDFS, _) => {
                Ok(StoreSettings::Hdfs(HdfsPlace::Server(self.hdfs()?)))
            }
            (FTP, _) => {
                Err("servers that speak FTP have no settings: write ftp://host/path".to_owned())
            }
            (_, Some(provider)) => Ok(StoreSettings::S3(provider, self.s3()?)),
            (_, None) => {
                Err(format!("unknown kind '{kind}': {}", advice(kind, kinds.iter().copied())))
            }
        }
    }

    fn azure(&self) -> Result<StoreSettings, String> {
        self.refuse_unknown(&["kind", "account", "endpoint"])?;
        Ok(StoreSettings::Azure(AzureSettings {
            account: self.parse("account", parse_plain)?,
            endpoint: self.parse("endpoint", parse_endpoint)?,
        }))
    }

    fn gcs(&self) -> Result<StoreSettings, String> {
        self.refuse_unknown(&["kind", "endpoint"])?;
        let endpoint = self.parse("endpoint", parse_endpoint)?;
        Ok(StoreSettings::Gcs(GcsSettings { endpoint }))
    }

    fn s3(&self) -> Result<S3Settings, String> {
        self.refuse_unknown(&S3_FIELDS)?;
        let credentials = match self.get("credentials") {
            None => CredentialSource::Standard,
            Some(text) => match Reference::parse(text)? {
                Reference::Variables(prefix) => CredentialSource::Variables(prefix.to_owned()),
                Reference::Profile(name) => CredentialSource::Profile(name.to_owned()),
                Reference::File(path) => CredentialSource::File(self.beside(path)),
            },
        };
        Ok(S3Settings {
            endpoint: self.parse("endpoint", parse_endpoint)?,
            region: self.parse("region", parse_plain)?,
            account: self.parse("account", parse_plain)?,
            profile: None,
            addressing: self.parse("addressing", parse_addressing)?.unwrap_or_default(),
            checksums: self.parse("checksum", parse_checksum)?,
            credentials,
        })
    }

    fn sftp(&self) -> Result<SftpRoot, String> {
        self.refuse_unknown(&SFTP_FIELDS)?;
        let host = self.parse("host", parse_plain)?;
        let host = host.ok_or("it has no host: write the server's name, as for ssh")?;
        let identity = match self.get("credentials").map(Reference::parse).transpose()? {
            None => None,
            Some(Reference::File(path)) => Some(self.beside(path)),
            Some(Reference::Variables(_) | Reference::Profile(_)) => {
                return Err(
                    "credentials of sftp are a private key: write \"file:/path\", or leave \
                            it to ssh and its agent"
                        .to_owned(),
                );
            }
        };
        let server = SftpSettings {
            host,
            port: self.parse("port", |text| text.parse().map_err(|_| "write a port".to_owned()))?,
            user: self.parse("user", parse_plain)?,
            identity,
            known_hosts: self.get("known_hosts").map(|path| self.beside(path)),
        };
        let path = PathBuf::from(self.get("root").unwrap_or("/"));
        if !path.is_absolute() {
            return Err("root is no absolute path: write it from / on".to_owned());
        }
        Ok(SftpRoot { server, path })
    }

    fn hdfs(&self) -> Result<HdfsServer, String> {
        self.refuse_unknown(&HDFS_FIELDS)?;
        let endpoint = self.parse("endpoint", parse_endpoint)?;
        let credentials = match self.get("credentials").map(Reference::parse).transpose()? {
            None => HdfsCredentials::None,
            Some(Reference::Variables(prefix)) => HdfsCredentials::Variables(prefix.to_owned()),
            Some(Reference::File(path)) => HdfsCredentials::File(self.beside(path)),
            Some(Reference::Profile(_)) => {
                return Err(
                    "HDFS has no profiles: write \"env:PREFIX_\" or \"file:/path\"".to_owned()
                );
            }
        };
        let without_slash = |url: String| url.trim_end_matches('/').to_owned();
        let endpoint =
            endpoint.ok_or("it has no endpoint: write the namenode's URL, as http://host:9870")?;
        Ok(HdfsServer {
            endpoint: without_slash(endpoint),
            standby: self.parse("standby", parse_endpoint)?.map(without_slash),
            user: self.parse("user", parse_plain)?,
            credentials,
        })
    }

    fn webdav(&self) -> Result<WebdavSettings, String> {
        self.refuse_unknown(&WEBDAV_FIELDS)?;
        let url = self.parse("endpoint", parse_endpoint)?;
        let url = url.ok_or("it has no endpoint: write the URL below which its directories are")?;
        let variables = match self.get("credentials").map(Reference::parse).transpose()? {
            None => None,
            Some(Reference::Variables(prefix)) => Some(prefix.to_owned()),
            Some(Reference::Profile(_) | Reference::File(_)) => {
                return Err(
                    "credentials of webdav are a user and a password: write \"env:PREFIX_\" \
                            for PREFIX_USERNAME and PREFIX_PASSWORD"
                        .to_owned(),
                );
            }
        };
        Ok(WebdavSettings { url: url.trim_end_matches('/').to_owned(), variables })
    }

    fn get(&self, field: &str) -> Option<&str> {
        self.table.fields.get(field).map(String::as_str)
    }

    fn parse<T>(
        &self,
        field: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, String> {
        let parsed = self.get(field).map(|text| {
            parse(text).map_err(|why| format!("{field} = '{}': {why}", text.escape_debug()))
        });
        parsed.transpose()
    }

    /// A path of the file; a relative one begins where the file is.
    fn beside(&self, path: &str) -> PathBuf {
        self.file.parent().unwrap_or_else(|| Path::new("")).join(path)
    }

    fn refuse_unknown(&self, known: &[&str]) -> Result<(), String> {
        let unknown = self.table.fields.keys().find(|field| !known.contains(&field.as_str()));
        match unknown {
            None => Ok(()),
            Some(field) => {
                let advice = advice(field, known.iter().copied());
                Err(format!("unknown key '{}': {advice}", field.escape_debug()))
            }
        }
    }

    fn refuse_secrets(&self) -> Result<(), String> {
        match self.table.fields.keys().find(|field| SECRETS.contains(&field.as_str())) {
            None => Ok(()),
            Some(field) => {
                Err(format!("'{field}' would be a secret in a file: {}", Reference::WAY_OUT))
            }
        }
    }
}

/// What `credentials` says.
enum Reference<'a> {
    Variables(&'a str),
    Profile(&'a str),
    File(&'a str),
}

impl<'a> Reference<'a> {
    const WAY_OUT: &'static str = "write where it is, as credentials = \"env:PREFIX_\", \
                                   \"profile:NAME\" or \"file:/path\"";

    /// An error never repeats the text: it may be the secret itself.
    fn parse(text: &'a str) -> Result<Self, String> {
        let is_word = |name: &str| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        match text.split_once(':') {
            Some(("env", prefix)) if is_word(prefix) => Ok(Self::Variables(prefix)),
            Some(("profile", name)) if !name.is_empty() => Ok(Self::Profile(name)),
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(path)),
            _ => Err(format!("credentials are not written into the file: {}", Self::WAY_OUT)),
        }
    }
}
