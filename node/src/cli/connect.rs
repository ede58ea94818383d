//! The way to a cluster: which one, with which token.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use airlift_protocol::job::InventoryFile;
use airlift_protocol::location::Location;
use clap::{Args, ValueHint};

use super::args::{FlagSetting, given};
use super::console::words;
use super::exit::CliError;
use super::resolve::Request;
use crate::api::client::{Client, ClientError, ClientErrorKind, Patience, Secret};
use crate::api::error::{ApiCode, ApiError};
use crate::api::request::{Submission, SubmitRequest, parse_location};
use crate::api::view::Submitted;
use crate::config::{Config, Token};

/// Bytes of a file with a token.
const TOKEN_FILE_BYTES_MAX: u64 = 4096;

/// Flags that say which cluster.
#[derive(Clone, Debug, Default, Args)]
pub struct ClusterArgs {
    /// URL of any node's API, or several with commas between (AIRLIFT_CLUSTER)
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url, help_heading = "Cluster")]
    pub cluster: Option<OsString>,
    /// File with the token for the cluster (or the token itself in AIRLIFT_TOKEN)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Cluster")]
    pub token_file: Option<OsString>,
}

impl ClusterArgs {
    /// Key, flag and text of each flag that sets something.
    pub fn settings(&self) -> Vec<FlagSetting> {
        given([
            ("cluster", "--cluster", self.cluster.clone()),
            ("token_file", "--token-file", self.token_file.clone()),
        ])
    }
}

/// The cluster that commands are about.
#[derive(Debug)]
pub(super) struct Cluster {
    /// Its client.
    pub client: Client,
}

impl Cluster {
    /// The configured cluster; `None` when jobs run in this process.
    ///
    /// # Errors
    /// When there is no token for it.
    pub(super) fn of(config: &Config) -> Result<Option<Self>, CliError> {
        if config.cluster.is_empty() {
            return Ok(None);
        }
        let token = token(&config.token)?;
        let client = Client::new(config.cluster.clone(), token, Patience::default())?;
        Ok(Some(Self { client }))
    }

    /// The configured cluster, for commands that make no sense without one.
    ///
    /// # Errors
    /// When none is configured, or there is no token for it.
    pub(super) fn require(config: &Config) -> Result<Self, CliError> {
        Self::of(config)?.ok_or_else(|| {
            CliError::usage(
                "no cluster is named: give --cluster URL with the URL of any node's API, or set AIRLIFT_CLUSTER",
            )
        })
    }

    /// Submits a job.
    ///
    /// # Errors
    /// When it is refused, or no node answers.
    pub(super) async fn submit(&self, request: Request) -> Result<Submitted, CliError> {
        let Request { mode, source, target, inventory, filters, mut policy } = request;
        let location = |text: OsString| -> Result<Location, CliError> {
            parse_location(text.as_bytes()).map_err(|error| wrong(&error))
        };
        let (source, target) = (location(source)?, location(target)?);
        if let Some((form, file)) = inventory {
            policy.inventory = Some(InventoryFile { form, location: location(file)? });
        }
        let submission = Submission { mode, source, target, filters, policy };
        let request = SubmitRequest::from(&submission);
        // What a node would refuse in any case is said without asking one.
        Submission::try_from(request.clone()).map_err(|error| wrong(&error))?;
        Ok(self.client.submit(&request).await?)
    }
}

fn wrong(error: &ApiError) -> CliError {
    CliError::usage(error.detail.clone())
}

fn token(token: &Token) -> Result<Secret, CliError> {
    let secret = match token {
        Token::Text(secret) => secret.clone(),
        Token::File(path) => read_token(path)?,
        Token::None => {
            return Err(CliError::usage(
                "no token for the cluster: give --token-file FILE, or set AIRLIFT_TOKEN",
            ));
        }
    };
    let text = secret.reveal();
    match text.is_empty() || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        true => Err(CliError::usage("the token for the cluster is empty or more than one word")),
        false => Ok(secret),
    }
}

/// Reads a secret from a file: its only word.
///
/// # Errors
/// When the file cannot be read, or holds something else.
pub(super) fn read_token(path: &Path) -> Result<Secret, CliError> {
    let failed =
        |reason: &str| CliError::usage(format!("read the token from {}: {reason}", path.display()));
    let file = File::open(path).map_err(|error| failed(&words(&error)))?;
    let mut text = String::new();
    file.take(TOKEN_FILE_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .map_err(|error| failed(&words(&error)))?;
    match text.len() as u64 > TOKEN_FILE_BYTES_MAX {
        true => Err(failed("it is too long to be one")),
        false => Ok(Secret::new(text.trim())),
    }
}

impl From<ClientError> for CliError {
    fn from(error: ClientError) -> Self {
        match error.kind {
            ClientErrorKind::Answered(ApiCode::Invalid | ApiCode::TooLarge) => {
                Self::usage(error.to_string())
            }
            _ => Self::cannot_run(error.to_string()),
        }
    }
}
