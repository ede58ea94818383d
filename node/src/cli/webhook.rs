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
use crate::webhook::Webhook;
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
    /// Scheme and host: the rest may be what a service knows its users by.
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
    let mut tried = Vec::new();
    for webhook in meant(&args.names, &config.webhooks)? {
        let now = clock::wall();
        let message = Message::test(format!("test-{}", now.0), now);
        let sender = Sender::new(webhook.clone()).map_err(CliError::cannot_run)?;
        let sent = sender.send(&message).await;
        tried.push(Tried {
            name: webhook.name.clone(),
            url: webhook.origin(),
            status: sent.as_ref().ok().map(|status| status.as_u16()),
            error: sent.err().map(|error| error.to_string()),
        });
    }
    let text = lines(&tried);
    print(&tried, text, global, console)?;
    match tried.iter().all(|it| it.error.is_none()) {
        true => Ok(ExitCode::Done),
        false => Ok(ExitCode::CannotRun),
    }
}

/// Those that are named; all when none is.
fn meant<'a>(names: &[String], all: &'a [Webhook]) -> Result<Vec<&'a Webhook>, CliError> {
    if all.is_empty() {
        return Err(CliError::usage(
            "no webhook is configured: write a table [webhooks.NAME] with url and secret into airlift.toml \
             (AIRLIFT_CONFIG names another file)",
        ));
    }
    let known: Vec<&str> = all.iter().map(|webhook| webhook.name.as_str()).collect();
    if let Some(name) = names.iter().find(|name| !known.contains(&name.as_str())) {
        let (name, known) = (name.escape_debug(), known.join(", "));
        return Err(CliError::usage(format!("no webhook is named '{name}': known are {known}")));
    }
    let is_meant = |webhook: &&Webhook| names.is_empty() || names.contains(&webhook.name);
    Ok(all.iter().filter(is_meant).collect())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhook::{Kind, SecretPlace};

    fn webhook(name: &str) -> Webhook {
        Webhook {
            name: name.to_owned(),
            url: "https://a/x".parse().unwrap(),
            secret: SecretPlace::Variable("A".to_owned()),
            kinds: Kind::ALL.into(),
        }
    }

    #[test]
    fn those_that_are_named_are_tried_and_all_when_none_is() {
        let all = [webhook("chat"), webhook("mail")];
        let names = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            let meant = meant(&names, &all).map_err(|error| error.message)?;
            Ok::<_, String>(meant.iter().map(|it| it.name.as_str()).collect::<Vec<_>>().join(" "))
        };
        assert_eq!(names(&[]).as_deref(), Ok("chat mail"));
        assert_eq!(names(&["mail"]).as_deref(), Ok("mail"));
        let refused = names(&["mail", "post"]).unwrap_err();
        assert_eq!(refused, "no webhook is named 'post': known are chat, mail");
        for names in [vec![], vec!["mail".to_owned()]] {
            let refused = meant(&names, &[]).unwrap_err().message;
            assert!(refused.contains("no webhook is configured: write a table"), "{refused}");
        }
    }
}
