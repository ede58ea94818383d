//! `token`: API tokens, by which people and programs use a cluster. Tokens by which nodes join are made by
//! `cluster token`.

mod root;

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::args::{FlagSetting, Global};
use super::connect::{Cluster, ClusterArgs};
use super::console::Console;
use super::exit::{CliError, ExitCode};
use super::job::print;
use super::{duration, table};
use crate::api::access::{
    ApiRoleText, ApiTokenList, ApiTokenRequest, ApiTokenView, RootTokenRequest,
};
use crate::api::text::ByteText;
use crate::config::Config;

/// Life of a token when nothing else is said.
const LIFE_DEFAULT: &str = "90d";

const CREATE_EXAMPLES: &str = "\
Prints the token on standard output, once: the cluster keeps only a hash of it. Whoever has it uses it as
AIRLIFT_TOKEN, with --token-file, or in the console.

Roles:
  viewer     looks at jobs, nodes, metrics and the audit log
  submitter  submits, pauses, resumes and cancels jobs whose both ends lie within its locations, and sees
             no other jobs
  operator   does that with all jobs
  admin      also changes the cluster: nodes, limits, tokens

Examples:
  airlift token create grafana --role viewer > token
  airlift token create ci --role submitter --location berlin:/data --location s3://bucket/team --expires 30d
  airlift token create ann --role admin --expires never";

const REVOKE_EXAMPLES: &str = "\
What the token asked for and is not decided yet does not come to pass. A token itself may be given in place
of its name: only its id is sent.

Examples:
  airlift token revoke ci";

const REPLACE_ROOT_EXAMPLES: &str = "\
Makes a new root token, keeps it in FILE (for its owner only), and puts it in force. The one before opens
nothing any more, wherever it is. The cluster is told a hash only. When it is not known whether that was
done, one of the two is in force: ask with FILE as the --token-file, or again with --existing.

Needs the root token, or a token of an admin: so one that is lost is replaced too.

Examples:
  airlift token replace-root /safe/root.token
  airlift token replace-root /safe/root.token --existing";

/// `token`.
#[derive(Clone, Debug, Subcommand)]
pub enum TokenCommand {
    /// Make an API token
    #[command(after_help = CREATE_EXAMPLES)]
    Create(CreateArgs),
    /// List the API tokens, without their secrets
    #[command(after_help = "Examples:\n  airlift token list --cluster http://127.0.0.1:7400")]
    List(ClusterArgs),
    /// Revoke an API token, at once and everywhere
    #[command(after_help = REVOKE_EXAMPLES)]
    Revoke(RevokeArgs),
    /// Put another root token in force
    #[command(after_help = REPLACE_ROOT_EXAMPLES)]
    ReplaceRoot(ReplaceRootArgs),
}

/// What a token allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RoleArg {
    /// Look at everything, change nothing
    Viewer,
    /// Submit and control jobs within --location
    Submitter,
    /// Submit and control all jobs
    Operator,
    /// Everything
    Admin,
}

impl From<RoleArg> for ApiRoleText {
    fn from(role: RoleArg) -> Self {
        match role {
            RoleArg::Viewer => Self::Viewer,
            RoleArg::Submitter => Self::Submitter,
            RoleArg::Operator => Self::Operator,
            RoleArg::Admin => Self::Admin,
        }
    }
}

/// How long a token lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// So long.
    For(Duration),
    /// Until it is revoked.
    Unlimited,
}

/// `token create`.
#[derive(Clone, Debug, Args)]
pub struct CreateArgs {
    /// What people call it: letters, digits, '-', '_' and '.'
    #[arg(value_name = "NAME")]
    pub name: String,
    /// What it allows
    #[arg(long, value_enum)]
    pub role: RoleArg,
    /// Where the jobs of a submitter may read and write: NODE:/PATH or s3://BUCKET/PREFIX, and all below
    /// (repeatable)
    #[arg(long, value_name = "LOCATION")]
    pub location: Vec<OsString>,
    /// How long it lasts, such as 12h or 30d; or never
    #[arg(long, value_name = "TIME|never", default_value = LIFE_DEFAULT, value_parser = parse_life)]
    pub expires: Life,
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// `token revoke`.
#[derive(Clone, Debug, Args)]
pub struct RevokeArgs {
    /// Its name or id, or the token itself
    #[arg(value_name = "TOKEN")]
    pub token: String,
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// `token replace-root`.
#[derive(Clone, Debug, Args)]
pub struct ReplaceRootArgs {
    /// File that is made for the new token
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Put the token in force that FILE has already
    #[arg(long)]
    pub existing: bool,
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

fn parse_life(text: &str) -> Result<Life, String> {
    match text {
        "never" => Ok(Life::Unlimited),
        text => {
            let life = duration::parse(text).map_err(|error| format!("{error}; or never"))?;
            Ok(Life::For(life))
        }
    }
}

impl TokenCommand {
    /// Key, flag and text of each flag that sets something.
    pub(super) fn settings(&self) -> Vec<FlagSetting> {
        match self {
            Self::Create(args) => args.cluster.settings(),
            Self::List(cluster) => cluster.settings(),
            Self::Revoke(args) => args.cluster.settings(),
            Self::ReplaceRoot(args) => args.cluster.settings(),
        }
    }
}

/// Runs one of the commands.
///
/// # Errors
/// When no node answers, or the answer is an error.
pub(super) async fn run(
    command: &TokenCommand,
    global: &Global,
    config: &Config,
    console: &Console,
) -> Result<ExitCode, CliError> {
    let client = Cluster::require(config)?.client;
    match command {
        TokenCommand::Create(args) => {
            let created = client.create_api_token(&request(args)).await?;
            if !global.quiet && !global.json {
                let (name, role) = (&created.view.name, role(created.view.role));
                let end = end(&created.view);
                console.note(&format!("{name}, {role}, {end}: keep it, it is not shown again"));
            }
            print(&created, created.token.clone(), global, console)
        }
        TokenCommand::List(_) => {
            let list = client.api_tokens().await?;
            print(&list, rows(&list), global, console)
        }
        TokenCommand::Revoke(args) => {
            let list = client.revoke_api_token(name_of(&args.token)).await?;
            print(&list, rows(&list), global, console)
        }
        TokenCommand::ReplaceRoot(args) => {
            let secret = root::secret(&args.file, args.existing)?;
            let view = client.replace_root_token(&RootTokenRequest::of(&secret)).await?;
            let text = format!("the root token is the one in {}", args.file.display());
            print(&view, text, global, console)
        }
    }
}

fn request(args: &CreateArgs) -> ApiTokenRequest {
    let locations = args.location.iter().map(|text| ByteText(text.as_bytes().to_vec()));
    ApiTokenRequest {
        name: args.name.clone(),
        role: args.role.into(),
        locations: locations.collect(),
        ttl_seconds: match args.expires {
            Life::For(life) => Some(life.as_secs()),
            Life::Unlimited => None,
        },
    }
}

/// What is sent to name a token: of a token itself its id, so that its secret goes nowhere.
fn name_of(text: &str) -> &str {
    let mut parts = text.split('.');
    match (parts.next(), parts.next(), parts.next()) {
        (Some("airlift-api1"), Some(id), Some(_)) => id,
        _ => text,
    }
}

fn role(role: ApiRoleText) -> &'static str {
    airlift_protocol::access::ApiRole::from(role).as_str()
}

fn end(view: &ApiTokenView) -> String {
    match (&view.expires_at, view.has_expired) {
        (None, _) => "until it is revoked".to_owned(),
        (Some(at), false) => format!("until {at}"),
        (Some(at), true) => format!("expired {at}"),
    }
}

fn rows(list: &ApiTokenList) -> String {
    let heads = ["NAME", "ROLE", "ID", "CREATED", "ENDS", "LOCATIONS"].map(str::to_owned);
    let row = |view: &ApiTokenView| {
        let places: Vec<String> = view.locations.iter().map(ToString::to_string).collect();
        [
            view.name.clone(),
            role(view.role).to_owned(),
            view.id.clone(),
            view.created_at.clone(),
            end(view),
            if places.is_empty() { "all".to_owned() } else { places.join(" ") },
        ]
    };
    table::print(heads, list.tokens.iter().map(row))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lives_are_spans_or_unlimited() {
        assert_eq!(parse_life("30d"), Ok(Life::For(Duration::from_secs(30 * 86_400))));
        assert_eq!(parse_life("never"), Ok(Life::Unlimited));
        assert!(parse_life("forever").unwrap_err().ends_with("; or never"));
    }

    #[test]
    fn the_secret_of_a_token_goes_nowhere_to_revoke_it() {
        for (text, sent) in [
            ("ci", "ci"),
            ("ci.berlin.x", "ci.berlin.x"),
            ("0707070707070707", "0707070707070707"),
            ("airlift-api1.0707070707070707.secret", "0707070707070707"),
        ] {
            assert_eq!(name_of(text), sent);
        }
    }

    #[test]
    fn tokens_are_listed_with_what_limits_them() {
        let view =
            |name: &str, locations: &[&str], expires_at: Option<&str>, has_expired| ApiTokenView {
                id: "0707070707070707".to_owned(),
                name: name.to_owned(),
                role: ApiRoleText::Submitter,
                locations: locations.iter().map(|it| ByteText(it.as_bytes().to_vec())).collect(),
                created_at: "2026-11-29T16:00:00Z".to_owned(),
                expires_at: expires_at.map(str::to_owned),
                has_expired,
            };
        let list = ApiTokenList {
            tokens: vec![
                view("ci", &["s3://b/x", "berlin:/a"], Some("2026-12-29T16:00:00Z"), false),
                view("old", &[], Some("2026-11-29T16:00:01Z"), true),
                view("z", &[], None, false),
            ],
        };
        let lines: Vec<String> = rows(&list).lines().map(str::to_owned).collect();
        assert_eq!(lines.len(), 4);
        assert!(
            lines[1].ends_with("until 2026-12-29T16:00:00Z    s3://b/x berlin:/a"),
            "{lines:?}"
        );
        assert!(lines[2].contains("expired 2026-11-29T16:00:01Z"));
        assert!(lines[3].contains("until it is revoked"));
    }
}
