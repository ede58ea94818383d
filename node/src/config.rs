//! Configuration: flag over environment over file over default, each value with its origin.
//!
//! Two stages: `layer` reads what was written, as text, and refuses names it does not know;
//! `resolve` turns text into values, checks bounds, and leaves nothing optional that is needed.

mod layer;
mod price;
mod setting;
mod store;
mod webhook;

use std::ffi::OsString;
use std::path::PathBuf;

use airlift_protocol::job::LinkPolicy;
use airlift_protocol::schedule::Bandwidth;
use airlift_protocol::units::ByteCount;
use reqwest::Url;
use thiserror::Error;

pub use self::layer::{Origin, Sources};
pub use self::price::PriceList;
pub use self::setting::{SETTINGS, Setting};
pub use self::store::StoreValue;
use crate::api::client::{Secret, parse_urls};
use crate::api::tls::CertificateFiles;
use crate::network::data::Transport;
use crate::store::pace::Paces;
use crate::store::s3::{Addressing, Checksums};
use crate::store::settings::{AzureSettings, GcsSettings, S3Settings, StoreOptions};
use crate::traces::Collector;
use crate::webhook::Webhook;

/// Entries after which a voter cuts its log: at some hundred bytes each, a few MiB.
const LOG_ENTRIES_DEFAULT: u64 = 16_384;

/// Below it nothing would be kept for members that are a little behind; above, a restart would read
/// for long.
const LOG_ENTRIES_RANGE: (u64, u64) = (16, 1_000_000);

/// Assignments at once when nothing else is said, at most.
pub const SLOTS_DEFAULT: usize = 32;
/// The most assignments at once.
pub const SLOTS_MAX: usize = 256;
/// The most requests to a bucket at once that can be allowed.
const REQUESTS_MAX: usize = 4096;
/// Byte budget of the pipeline when nothing else is said.
pub const MEMORY_BYTES_DEFAULT: u64 = 256 << 20;
/// The smallest byte budget that lets one large part and one pack be in flight.
pub const MEMORY_BYTES_MIN: u64 = 64 << 20;

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgressStyle {
    /// A bar on a terminal, plain lines elsewhere.
    Auto,
    /// A bar.
    Bar,
    /// One line every few seconds.
    Plain,
    /// Nothing.
    None,
}

/// What lines of the log look like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for programs that gather logs.
    Json,
}

/// Where the token for the cluster is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// Nowhere.
    None,
    /// In this file.
    File(PathBuf),
    /// In the environment.
    Text(Secret),
}

/// Everything that can be configured, resolved and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Root of the state that makes jobs resumable.
    pub state_dir: PathBuf,
    /// Bytes per second that a job may move.
    pub bwlimit: Option<Bandwidth>,
    /// Assignments at once, at most.
    pub slots: usize,
    /// Byte budget of the pipeline.
    pub memory_bytes: u64,
    /// What is done with symbolic links.
    pub links: LinkPolicy,
    /// How progress is shown.
    pub progress: ProgressStyle,
    /// Where the cluster answers that runs the jobs; empty for this process.
    pub cluster: Vec<Url>,
    /// Where the token for it is.
    pub token: Token,
    /// Entries after which a cluster's voter cuts its log.
    pub log_entries: u64,
    /// What carries data between nodes.
    pub transport: Transport,
    /// Where a node tells monitoring how it is, as `HOST:PORT`.
    pub metrics: Option<String>,
    /// The operator's certificate for the API of a node.
    pub api_files: Option<CertificateFiles>,
    /// What lines of the log look like.
    pub log_format: LogFormat,
    /// Who is sent traces.
    pub otlp: Option<Collector>,
    /// How stores are reached.
    pub stores: StoreOptions,
    /// What they charge.
    pub prices: PriceList,
    /// Who is told what happens to jobs of a cluster.
    pub webhooks: Vec<Webhook>,
}

/// One setting with the text it has and where that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// Which setting.
    pub setting: &'static Setting,
    /// Its text; `None` when it is not set and has no default.
    pub text: Option<OsString>,
    /// Where the text was written.
    pub origin: Origin,
}

/// A wrong configuration: one line that names the key, where it stands, and the way out.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct ConfigError(String);

impl ConfigError {
    fn new(line: impl Into<String>) -> Self {
        Self(line.into())
    }
}

/// A configuration and the origin of each of its values.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// The values.
    pub config: Config,
    /// The same as text, one for each of [`SETTINGS`], in that order.
    pub values: Vec<Value>,
    /// What the file says of stores that have a name, as text.
    pub stores: Vec<StoreValue>,
}

/// Reads all layers and resolves them.
///
/// # Errors
/// When a file cannot be read, a name is not known, or a value is not allowed.
pub fn load(sources: &Sources) -> Result<Resolved, ConfigError> {
    let layer::Merged { values, stores: tables, prices, webhooks, file } = layer::merge(sources)?;
    let mut config = resolve(&values)?;
    (config.prices, config.webhooks) = (prices, webhooks);
    config.token = find_token(&values, sources)?;
    let mut stores = Vec::new();
    if let Some(file) = file {
        stores = store::values(&tables, &file);
        config.stores.named = store::resolve(&tables, &file)?;
        config.stores.file = Some(file);
    }
    Ok(Resolved { config, values, stores })
}

/// The flag that names a file wins over the token in the environment, and that over all other files.
fn find_token(values: &[Value], sources: &Sources) -> Result<Token, ConfigError> {
    let file = values.iter().find(|value| value.setting.key == "token_file");
    let file = file.and_then(|value| Some((value.text.as_ref()?, &value.origin)));
    match (file, sources.token()) {
        (Some((path, Origin::Flag(_))), _) | (Some((path, _)), None) => {
            Ok(Token::File(PathBuf::from(path)))
        }
        (_, Some(text)) => match text.to_str() {
            Some(text) => Ok(Token::Text(Secret::new(text.trim()))),
            None => Err(ConfigError::new("AIRLIFT_TOKEN is not a token: it is not UTF-8 text")),
        },
        (None, None) => Ok(Token::None),
    }
}

/// Turns merged text into values.
fn resolve(values: &[Value]) -> Result<Config, ConfigError> {
    let value = |key: &str| -> &Value {
        values.iter().find(|value| value.setting.key == key).expect("invariant: every key merged")
    };
    let state_dir = value("state_dir").text.as_ref().ok_or_else(|| {
        ConfigError::new(
            "no place for the state: HOME is not set, so give --state-dir DIR or AIRLIFT_STATE_DIR",
        )
    })?;
    Ok(Config {
        state_dir: PathBuf::from(state_dir),
        bwlimit: value("bwlimit").parse(|text| text.parse().map_err(|e| format!("{e}")))?,
        slots: value("slots").parse(parse_slots)?.unwrap_or(SLOTS_DEFAULT),
        memory_bytes: value("memory").parse(parse_memory)?.unwrap_or(MEMORY_BYTES_DEFAULT),
        links: value("links").parse(parse_links)?.unwrap_or(LinkPolicy::Skip),
        cluster: value("cluster").parse(parse_cluster)?.unwrap_or_default(),
        token: Token::None,
        progress: value("progress").parse(parse_progress)?.unwrap_or(ProgressStyle::Auto),
        log_entries: value("log_entries").parse(parse_entries)?.unwrap_or(LOG_ENTRIES_DEFAULT),
        transport: value("transport").parse(parse_transport)?.unwrap_or_default(),
        metrics: value("metrics").parse(parse_plain)?,
        api_files: api_files(value("api_cert"), value("api_key"))?,
        log_format: value("log_format").parse(parse_log_format)?.unwrap_or_default(),
        otlp: value("otlp").parse(Collector::parse)?,
        stores: StoreOptions {
            paces: value("requests_max").parse(parse_requests)?.map(Paces::new).unwrap_or_default(),
            s3: S3Settings {
                endpoint: value("s3.endpoint").parse(parse_endpoint)?,
                region: value("s3.region").parse(parse_plain)?,
                profile: value("s3.profile").parse(parse_plain)?,
                addressing: value("s3.addressing").parse(parse_addressing)?.unwrap_or_default(),
                ..S3Settings::default()
            },
            azure: AzureSettings {
                account: value("azure.account").parse(parse_plain)?,
                endpoint: value("azure.endpoint").parse(parse_endpoint)?,
            },
            gcs: GcsSettings { endpoint: value("gcs.endpoint").parse(parse_endpoint)? },
            ..StoreOptions::default()
        },
        prices: PriceList::new(),
        webhooks: Vec::new(),
    })
}

impl Value {
    /// The value that `parse` makes of the text; an error names the key and where it stands.
    fn parse<T>(
        &self,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, ConfigError> {
        let Some(text) = &self.text else { return Ok(None) };
        text.to_str()
            .ok_or_else(|| "the value is not UTF-8 text".to_owned())
            .and_then(parse)
            .map(Some)
            .map_err(|reason| ConfigError(format!("{} ({}): {reason}", self.name(), self.origin)))
    }

    fn name(&self) -> String {
        let text = self.text.as_deref().unwrap_or_default();
        format!("{} = '{}'", self.setting.key, text.to_string_lossy().escape_debug())
    }
}

/// A certificate is of no use without its key.
fn api_files(certificate: &Value, key: &Value) -> Result<Option<CertificateFiles>, ConfigError> {
    match (&certificate.text, &key.text) {
        (Some(certificate), Some(key)) => Ok(Some(CertificateFiles {
            certificate: PathBuf::from(certificate),
            key: PathBuf::from(key),
        })),
        (None, None) => Ok(None),
        (Some(_), None) => Err(ConfigError(format!(
            "{} ({}): set api_key too",
            certificate.name(),
            certificate.origin
        ))),
        (None, Some(_)) => {
            Err(ConfigError(format!("{} ({}): set api_cert too", key.name(), key.origin)))
        }
    }
}

/// An empty text, on the command line, undoes what other layers say.
fn parse_cluster(text: &str) -> Result<Vec<Url>, String> {
    if text.is_empty() { Ok(Vec::new()) } else { parse_urls(text) }
}

fn parse_slots(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(slots) if (1..=SLOTS_MAX).contains(&slots) => Ok(slots),
        _ => Err(format!("write a whole number from 1 to {SLOTS_MAX}")),
    }
}

fn parse_requests(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(requests) if (1..=REQUESTS_MAX).contains(&requests) => Ok(requests),
        _ => Err(format!("write a whole number from 1 to {REQUESTS_MAX}")),
    }
}

fn parse_transport(text: &str) -> Result<Transport, String> {
    choose(text, &[("auto", Transport::Auto), ("quic", Transport::Quic), ("tcp", Transport::Tcp)])
}

fn parse_log_format(text: &str) -> Result<LogFormat, String> {
    choose(text, &[("text", LogFormat::Text), ("json", LogFormat::Json)])
}

fn parse_entries(text: &str) -> Result<u64, String> {
    let (least, most) = LOG_ENTRIES_RANGE;
    match text.parse() {
        Ok(entries) if (least..=most).contains(&entries) => Ok(entries),
        _ => Err(format!("write a whole number from {least} to {most}")),
    }
}

fn parse_memory(text: &str) -> Result<u64, String> {
    let ByteCount(bytes) = text.parse().map_err(|error| format!("{error}"))?;
    if bytes < MEMORY_BYTES_MIN {
        return Err(format!("at least {} are needed", ByteCount(MEMORY_BYTES_MIN)));
    }
    Ok(bytes)
}

fn parse_links(text: &str) -> Result<LinkPolicy, String> {
    choose(
        text,
        &[("skip", LinkPolicy::Skip), ("copy", LinkPolicy::Copy), ("follow", LinkPolicy::Follow)],
    )
}

fn parse_progress(text: &str) -> Result<ProgressStyle, String> {
    choose(
        text,
        &[
            ("auto", ProgressStyle::Auto),
            ("bar", ProgressStyle::Bar),
            ("plain", ProgressStyle::Plain),
            ("none", ProgressStyle::None),
        ],
    )
}

fn parse_addressing(text: &str) -> Result<Addressing, String> {
    choose(
        text,
        &[("auto", Addressing::Auto), ("path", Addressing::Path), ("virtual", Addressing::Virtual)],
    )
}

fn parse_checksum(text: &str) -> Result<Checksums, String> {
    choose(
        text,
        &[
            ("crc64nvme", Checksums::Crc64Nvme),
            ("crc32c", Checksums::Crc32c),
            ("md5", Checksums::Md5),
        ],
    )
}

fn parse_endpoint(text: &str) -> Result<String, String> {
    let host = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    match host {
        Some(host) if host.split('/').next().is_some_and(|host| host.contains('@')) => Err(
            "credentials do not belong into the URL: they come from a profile or the environment"
                .to_owned(),
        ),
        Some(host) if !host.is_empty() && !host.starts_with('/') => Ok(text.to_owned()),
        _ => Err("write a URL such as https://s3.example.org or http://127.0.0.1:9000".to_owned()),
    }
}

fn parse_plain(text: &str) -> Result<String, String> {
    if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err("blanks and control characters are not allowed".to_owned());
    }
    Ok(text.to_owned())
}

fn choose<T: Copy>(text: &str, choices: &[(&str, T)]) -> Result<T, String> {
    choices.iter().find(|(name, _)| *name == text).map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        format!("write one of {}", names.join(", "))
    })
}

#[cfg(test)]
mod tests;
