//! The layers of a configuration as text: flags, environment, file, defaults.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::price::{self, PriceList};
use super::setting::{SETTINGS, Setting, advice};
use super::store::{self, StoreTable};
use super::webhook;
use super::{ConfigError, Value};
use crate::webhook::Webhook;

/// Name of the file that is looked for.
const FILE_NAME: &str = "airlift.toml";
const PREFIX: &str = "AIRLIFT_";
/// The table of the file whose tables are configured stores.
const STORES: &str = "stores";
/// The table of the file whose tables are what stores charge.
const PRICES: &str = "prices";
/// The table of the file whose tables are webhooks.
const WEBHOOKS: &str = "webhooks";
/// Names the file; itself not a setting.
const FILE_ENV: &str = "AIRLIFT_CONFIG";
/// Holds the token for the cluster; a secret, and so not a setting that is shown.
const TOKEN_ENV: &str = "AIRLIFT_TOKEN";
/// Settings that are paths.
const PATHS: [&str; 4] = ["state_dir", "token_file", "api_cert", "api_key"];
/// Names that tests give to their own switches.
const TEST_PREFIX: &str = "AIRLIFT_TEST_";

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// On the command line, with this flag.
    Flag(&'static str),
    /// In the environment, under this name.
    Env(&'static str),
    /// In this file.
    File(PathBuf),
    /// Nowhere: the default.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(f, "flag {name}"),
            Self::Env(name) => write!(f, "env {name}"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// What the layers are read from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Key, flag and text of each flag that sets something.
    pub flags: Vec<(&'static str, &'static str, OsString)>,
    /// The file named by `--config`.
    pub file: Option<PathBuf>,
    /// The environment, all of it.
    pub env: BTreeMap<OsString, OsString>,
    /// The working directory.
    pub directory: PathBuf,
}

impl Sources {
    /// The environment and working directory of this process.
    ///
    /// # Errors
    /// When the working directory is gone.
    pub fn of_process() -> Result<Self, ConfigError> {
        let directory = std::env::current_dir().map_err(|error| {
            ConfigError::new(format!("the working directory cannot be found: {error}"))
        })?;
        Ok(Self { env: std::env::vars_os().collect(), directory, ..Self::default() })
    }

    /// The token for the cluster, when the environment has one.
    pub(super) fn token(&self) -> Option<&OsStr> {
        self.var(TOKEN_ENV)
    }

    /// A variable that is set and not empty.
    fn var(&self, name: &str) -> Option<&OsStr> {
        self.env.get(OsStr::new(name)).map(OsString::as_os_str).filter(|text| !text.is_empty())
    }
}

/// What all layers say together.
#[derive(Debug, Default)]
pub(super) struct Merged {
    /// One value for every setting, from the highest layer that has it.
    pub(super) values: Vec<Value>,
    /// The configured stores, which only a file can have.
    pub(super) stores: Vec<StoreTable>,
    /// What stores charge, which only a file can say.
    pub(super) prices: PriceList,
    /// Who is told what happens, which only a file can say.
    pub(super) webhooks: Vec<Webhook>,
    /// The file that was read.
    pub(super) file: Option<PathBuf>,
}

/// Reads every layer.
pub(super) fn merge(sources: &Sources) -> Result<Merged, ConfigError> {
    refuse_unknown_variables(sources)?;
    let file = read_file(sources)?;
    let value = |setting: &'static Setting| {
        let flag = sources.flags.iter().find(|(key, _, _)| *key == setting.key);
        if let Some((_, name, text)) = flag {
            return Value { setting, text: Some(text.clone()), origin: Origin::Flag(name) };
        }
        if let Some(text) = sources.var(setting.env) {
            let text = Some(text.to_owned());
            return Value { setting, text, origin: Origin::Env(setting.env) };
        }
        if let Some((path, text)) = file.as_ref().and_then(|file| file.get(setting.key)) {
            return Value { setting, text: Some(text), origin: Origin::File(path.to_owned()) };
        }
        Value { setting, text: default_text(setting, sources), origin: Origin::Default }
    };
    let mut values: Vec<Value> = SETTINGS.iter().map(value).collect();
    anchor_paths(&mut values, sources);
    let Some(File { path, stores, prices, webhooks, .. }) = file else {
        return Ok(Merged { values, ..Merged::default() });
    };
    Ok(Merged { values, stores, prices, webhooks, file: Some(path) })
}

fn default_text(setting: &Setting, sources: &Sources) -> Option<OsString> {
    if setting.key != "state_dir" {
        return setting.default.map(OsString::from);
    }
    let base = sources.var("XDG_STATE_HOME").map(PathBuf::from);
    let base = base.filter(|path| path.is_absolute());
    let base = base.or_else(|| Some(Path::new(sources.var("HOME")?).join(".local/state")))?;
    Some(base.join("airlift").into_os_string())
}

/// A relative path is relative to the file that names it, else to the working directory.
fn anchor_paths(values: &mut [Value], sources: &Sources) {
    for value in values.iter_mut().filter(|value| PATHS.contains(&value.setting.key)) {
        let anchor = match &value.origin {
            Origin::File(path) => path.parent().unwrap_or(&sources.directory).to_owned(),
            Origin::Flag(_) | Origin::Env(_) | Origin::Default => sources.directory.clone(),
        };
        value.text = value.text.take().map(|text| anchor.join(text).into_os_string());
    }
}

fn refuse_unknown_variables(sources: &Sources) -> Result<(), ConfigError> {
    for (name, text) in &sources.env {
        let name = name.to_string_lossy();
        if !name.starts_with(PREFIX) || text.is_empty() || name.starts_with(TEST_PREFIX) {
            continue;
        }
        let known = SETTINGS.iter().map(|setting| setting.env).chain([FILE_ENV, TOKEN_ENV]);
        if !known.clone().any(|known| known == name) {
            let name = name.escape_debug();
            let advice = advice(&name.to_string(), known);
            return Err(ConfigError::new(format!("unknown environment variable {name}: {advice}")));
        }
    }
    Ok(())
}

/// The settings of one file, as text.
#[derive(Debug)]
struct File {
    path: PathBuf,
    texts: BTreeMap<&'static str, String>,
    stores: Vec<StoreTable>,
    prices: PriceList,
    webhooks: Vec<Webhook>,
}

impl File {
    fn get(&self, key: &str) -> Option<(&Path, OsString)> {
        self.texts.get(key).map(|text| (self.path.as_path(), OsString::from(text)))
    }
}

/// Finds and reads the file: a named one must be there, the others may be.
fn read_file(sources: &Sources) -> Result<Option<File>, ConfigError> {
    let named = sources.file.clone().or_else(|| sources.var(FILE_ENV).map(PathBuf::from));
    if let Some(path) = named {
        let path = sources.directory.join(path);
        return read(&path)?.map(Some).ok_or_else(|| {
            ConfigError::new(format!("the configuration file {} does not exist", path.display()))
        });
    }
    let home = sources.var("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = home.or_else(|| Some(Path::new(sources.var("HOME")?).join(".config")));
    let places = [
        Some(sources.directory.join(FILE_NAME)),
        home.map(|home| home.join("airlift/airlift.toml")),
    ];
    for path in places.into_iter().flatten() {
        if let Some(file) = read(&path)? {
            return Ok(Some(file));
        }
    }
    Ok(None)
}

fn read(path: &Path) -> Result<Option<File>, ConfigError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(ConfigError::new(format!("read {}: {error}", path.display())));
        }
    };
    let table: toml::Table = toml::from_str(&text).map_err(|error| {
        let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
        let message = error.message().replace('\n', " ");
        ConfigError::new(format!("{} line {line}: {message}", path.display()))
    })?;
    let (mut texts, mut stores) = (BTreeMap::new(), Vec::new());
    let (mut prices, mut webhooks) = (PriceList::new(), Vec::new());
    for (name, value) in table {
        match value {
            value if name == STORES => stores = store::read(value, path)?,
            value if name == PRICES => prices = price::read(value, path)?,
            value if name == WEBHOOKS => webhooks = webhook::read(value, path)?,
            toml::Value::Table(inner) => {
                for (inner, value) in inner {
                    add(&mut texts, path, &format!("{name}.{inner}"), &value)?;
                }
            }
            value => add(&mut texts, path, &name, &value)?,
        }
    }
    Ok(Some(File { path: path.to_owned(), texts, stores, prices, webhooks }))
}

fn add(
    texts: &mut BTreeMap<&'static str, String>,
    path: &Path,
    name: &str,
    value: &toml::Value,
) -> Result<(), ConfigError> {
    let known = SETTINGS.iter().map(|setting| setting.key);
    let Some(key) = known.clone().find(|key| *key == name) else {
        let (name, advice) = (name.escape_debug(), advice(name, known));
        return Err(ConfigError::new(format!(
            "unknown key '{name}' in {}: {advice}",
            path.display()
        )));
    };
    let text = match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Integer(number) => number.to_string(),
        other => {
            return Err(ConfigError::new(format!(
                "'{key}' in {} is a {}: write a text or a whole number",
                path.display(),
                other.type_str()
            )));
        }
    };
    texts.insert(key, text);
    Ok(())
}
