//! `webhook test`: sends a message that says nothing to the webhooks of the configuration.

use std::fmt::Write;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::args::Global;
use super::console::Console;
use super::exit::{CliError, ExitCode};
use super::job::print;
use crate::config::Config;
use crate::runtime::clock;
use crate::webhook::message::Message;
use crate::webhook::sender::Sender;

const TEST_EXAMPLES: &str = "\
Sends one event of the kind `test` to each webhook of airlift.toml on this machine, or to those that are named,
signed as all are, and says what was answered. Exit code 3 when one did not take it.

Examples:
  airlift webhook test
  airlift webhook test chat";

/// `webhook`.
#[derive(Clone, Debug, Subcommand)]
pub enum WebhookCommand {
    /// Send a test event to webhooks of the configuration
    #[command(after_help = TEST_EXAMPLES)]
    Test(TestArgs),
}

/// `webhook test`.
#[derive(Clone, Debug, Args)]
pub struct TestArgs {
    /// Names of webhooks; all when none are given
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
}

/// What came of one.
#[derive(Debug, Serialize)]
struct Tried {
    name: String,
    url: String,
    status: Option<u16>,
    error: Option<String>,
}

/// Runs one of the commands.
///
/// # Errors
/// When there is no such webhook.
pub(super) async fn run(
    command: &WebhookCommand,
    global: &Global,
    config: &Config,
    console: &Console,
) -> Result<ExitCode, CliError> {
    let WebhookCommand::Test(args) = command;
    let known = || config.webhooks.iter().map(|webhook| webhook.name.as_str()).collect::<Vec<_>>();
    if let Some(name) = args.names.iter().find(|name| !known().contains(&name.as_str())) {
        let text = format!("no webhook is named '{}': known are {}", name, known().join(", "));
        return Err(CliError::usage(text));
    }
    let is_meant = |name: &String| args.names.is_empty() || args.names.contains(name);
    let meant: Vec<_> = config.webhooks.iter().filter(|it| is_meant(&it.name)).collect();
    if meant.is_empty() {
        return Err(CliError::usage(
            "no webhook is configured: write [webhooks.NAME] in airlift.toml",
        ));
    }
    let sender = Sender::new().map_err(CliError::cannot_run)?;
    let mut tried = Vec::new();
    for webhook in meant {
        let now = clock::wall();
        let message = Message::test(format!("test-{}", now.0), now);
        let sent = sender.send(webhook, &message).await;
        tried.push(Tried {
            name: webhook.name.clone(),
            url: webhook.url.to_string(),
            status: sent.as_ref().ok().map(|status| status.as_u16()),
            error: sent.err(),
        });
    }
    let text = lines(&tried);
    print(&tried, text, global, console)?;
    match tried.iter().all(|it| it.error.is_none()) {
        true => Ok(ExitCode::Done),
        false => Ok(ExitCode::CannotRun),
    }
}

fn lines(tried: &[Tried]) -> String {
    let mut text = String::new();
    for Tried { name, url, status, error } in tried {
        let what = match (status, error) {
            (Some(status), _) => format!("took it ({status})"),
            (None, error) => format!("did not: {}", error.as_deref().unwrap_or_default()),
        };
        let end = if text.is_empty() { "" } else { "\n" };
        // Writing into a text cannot fail.
        let _ = write!(text, "{end}{name}  {url}  {what}");
    }
    text
}
