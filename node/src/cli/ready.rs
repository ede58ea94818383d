//! `cluster ready`: whether one node hears a leader, for health checks.

use clap::{Args, ValueHint};
use reqwest::Url;
use serde_json::json;

use super::args::Global;
use super::console::{Console, unless_closed};
use super::exit::{CliError, ExitCode};
use crate::api::client::{parse_urls, readiness};

/// `cluster ready`.
#[derive(Clone, Debug, Args)]
pub struct ReadyArgs {
    /// URL of the node: of its API, or of its address for monitoring
    #[arg(value_name = "URL", value_hint = ValueHint::Url, default_value = "http://127.0.0.1:7400", value_parser = parse_one)]
    pub url: Url,
}

fn parse_one(text: &str) -> Result<Url, String> {
    let mut urls = parse_urls(text)?;
    match (urls.pop(), urls.is_empty()) {
        (Some(url), true) => Ok(url),
        _ => Err("name one node".to_owned()),
    }
}

/// Asks the node, once.
///
/// # Errors
/// When it is not ready, or does not answer.
pub(super) async fn run(
    args: &ReadyArgs,
    global: &Global,
    console: &Console,
) -> Result<ExitCode, CliError> {
    if let Some(reason) = readiness(&args.url).await? {
        return Err(CliError::cannot_run(format!("the node is not ready: {reason}")));
    }
    let text = match global.json {
        true => json!({ "status": "ready" }).to_string(),
        false => "ready".to_owned(),
    };
    if !global.quiet {
        unless_closed(console.print(&text))?;
    }
    Ok(ExitCode::Done)
}
