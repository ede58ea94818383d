//! `audit`: the record of every change that somebody made, shown, taken out of the cluster, and checked.

mod file;

use std::path::PathBuf;

use airlift_protocol::audit::Chain;
use clap::{Args, Subcommand, ValueHint};

use self::file::Exported;
use super::args::{FlagSetting, Global};
use super::connect::{Cluster, ClusterArgs};
use super::console::{Console, unless_closed};
use super::exit::{CliError, ExitCode};
use super::job::print;
use super::table;
use crate::api::access::AuditLine;
use crate::api::client::Client;
use crate::config::Config;

const SHOW_EXAMPLES: &str = "\
Shows who changed what, oldest first: jobs, nodes, limits, tokens, the lead.

Examples:
  airlift audit show
  airlift audit show --last 20
  airlift audit show --json --from 100";

const EXPORT_EXAMPLES: &str = "\
Writes one JSON line an entry. A file that is there is checked and gone on with, so that the same command,
run each day on a machine of its own, keeps all entries for ever: the cluster keeps the last 10,000, and
whoever breaks into it cannot alter what has left it.
Exit code 1: the cluster's entries do not follow those of the file; the file stays as it was.

Examples:
  airlift audit export /var/lib/audit/airlift.jsonl";

const VERIFY_EXAMPLES: &str = "\
Checks that each entry has the hash that it and the entry before it give: of a file of `audit export`, without
asking a cluster, or of what the cluster keeps. Names the first entry that does not, with exit code 1.

Examples:
  airlift audit verify
  airlift audit verify airlift.jsonl";

/// `audit`.
#[derive(Clone, Debug, Subcommand)]
pub enum AuditCommand {
    /// Show the audit log
    #[command(after_help = SHOW_EXAMPLES)]
    Show(ShowArgs),
    /// Write the audit log into a file, or go on with one
    #[command(after_help = EXPORT_EXAMPLES)]
    Export(ExportArgs),
    /// Check that nothing was altered, left out or put in
    #[command(after_help = VERIFY_EXAMPLES)]
    Verify(VerifyArgs),
}

/// `audit show`.
#[derive(Clone, Debug, Args)]
pub struct ShowArgs {
    /// The first entry to show
    #[arg(long, value_name = "NUMBER", default_value_t = 0, conflicts_with = "last")]
    pub from: u64,
    /// How many of the last entries to show
    #[arg(long, value_name = "COUNT")]
    pub last: Option<u64>,
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// `audit export`.
#[derive(Clone, Debug, Args)]
pub struct ExportArgs {
    /// The file
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// `audit verify`.
#[derive(Clone, Debug, Args)]
pub struct VerifyArgs {
    /// The file; the cluster is asked when none is given
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: Option<PathBuf>,
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

impl AuditCommand {
    /// Key, flag and text of each flag that sets something.
    pub(super) fn settings(&self) -> Vec<FlagSetting> {
        match self {
            Self::Show(args) => args.cluster.settings(),
            Self::Export(args) => args.cluster.settings(),
            Self::Verify(args) => args.cluster.settings(),
        }
    }
}

/// Runs one of the commands.
///
/// # Errors
/// When no node answers, the answer is an error, or a file cannot be read or written.
pub(super) async fn run(
    command: &AuditCommand,
    global: &Global,
    config: &Config,
    console: &Console,
) -> Result<ExitCode, CliError> {
    match command {
        AuditCommand::Show(args) => show(args, &client(config)?, global, console).await,
        AuditCommand::Export(args) => export(args, &client(config)?, global, console).await,
        AuditCommand::Verify(VerifyArgs { file: Some(path), .. }) => {
            let verdict = match Exported::read(path)? {
                Ok(exported) => Verdict::of(exported.first, exported.end),
                Err(broken) => Verdict::broken(broken),
            };
            verdict.print(global, console)
        }
        AuditCommand::Verify(_) => {
            let verdict = verify_cluster(&client(config)?).await?;
            verdict.print(global, console)
        }
    }
}

fn client(config: &Config) -> Result<Client, CliError> {
    Ok(Cluster::require(config)?.client)
}

async fn show(
    args: &ShowArgs,
    client: &Client,
    global: &Global,
    console: &Console,
) -> Result<ExitCode, CliError> {
    let mut from = args.from;
    if let Some(last) = args.last {
        from = (client.audit(u64::MAX).await?.last + 1).saturating_sub(last);
    }
    let mut lines: Vec<AuditLine> = Vec::new();
    loop {
        let page = client.audit(from).await?;
        let Some(last) = page.entries.last() else { break };
        from = last.number + 1;
        match global.json {
            true => {
                for line in &page.entries {
                    unless_closed(console.print(&file::text(line)))?;
                }
            }
            false => lines.extend(page.entries),
        }
    }
    if !global.json {
        unless_closed(console.print(&rows(&lines)))?;
    }
    Ok(ExitCode::Done)
}

fn rows(lines: &[AuditLine]) -> String {
    let heads = ["NUMBER", "TIME", "WHO", "DID", "TO", ""].map(str::to_owned);
    let row = |line: &AuditLine| {
        [
            line.number.to_string(),
            line.at.clone(),
            line.by.clone(),
            line.action.clone(),
            line.subject.clone(),
            line.detail.clone(),
        ]
    };
    table::print(heads, lines.iter().map(row))
}

async fn export(
    args: &ExportArgs,
    client: &Client,
    global: &Global,
    console: &Console,
) -> Result<ExitCode, CliError> {
    let path = &args.file;
    let mut exported = match Exported::read(path)? {
        Ok(exported) => exported,
        Err(broken) => {
            let text = format!("{}: {broken}: nothing was written to it", path.display());
            return Verdict::broken(text).print(global, console);
        }
    };
    let before = exported.end.map_or(0, |end| end.number);
    loop {
        let from = exported.end.map_or(0, |end| end.number + 1);
        let page = client.audit(from).await?;
        if page.last < before {
            let text = format!(
                "the cluster has {} entries, and {} has {before}: it is of another cluster, or one that \
                 has lost its memory",
                page.last,
                path.display()
            );
            return Verdict::broken(text).print(global, console);
        }
        if page.entries.is_empty() {
            break;
        }
        if let Err(broken) = exported.append(&page.entries)? {
            let text = format!(
                "what the cluster has does not follow {}: {broken} (the cluster keeps entries from {} on)",
                path.display(),
                page.first
            );
            return Verdict::broken(text).print(global, console);
        }
    }
    exported.finish()?;
    let written = exported.end.map_or(0, |end| end.number) - before;
    if !global.quiet && !global.json {
        console.note(&format!("{written} entries more in {}", path.display()));
    }
    Verdict::of(exported.first, exported.end).print(global, console)
}

async fn verify_cluster(client: &Client) -> Result<Verdict, CliError> {
    let (mut first, mut chain): (u64, Option<Chain>) = (0, None);
    loop {
        let page = client.audit(chain.map_or(0, |chain| chain.number + 1)).await?;
        let Some(line) = page.entries.first() else {
            let is_head = chain.is_none_or(|chain| {
                page.last == chain.number
                    && data_encoding::HEXLOWER.encode(&chain.hash) == page.hash
            });
            return Ok(match is_head {
                true => Verdict::of(first, chain),
                false => Verdict::broken("the last entry is not the one that the cluster names"),
            });
        };
        let begun = chain.or_else(|| line.before());
        let Some(mut followed) = begun else {
            return Ok(Verdict::broken("the first entry names no hash before it that can be"));
        };
        if chain.is_none() {
            first = line.number;
        }
        for line in &page.entries {
            if let Err(broken) = line.follow(&mut followed) {
                return Ok(Verdict::broken(broken));
            }
        }
        chain = Some(followed);
    }
}

/// What came of a check.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
struct Verdict {
    is_whole: bool,
    /// Number of the first entry that was checked; 0 when there was none.
    first: u64,
    /// Number of the last one.
    last: u64,
    /// Its hash.
    hash: String,
    /// Where the chain is broken.
    broken: Option<String>,
}

impl Verdict {
    fn of(first: u64, end: Option<Chain>) -> Self {
        let end = end.unwrap_or(Chain::START);
        let hash = data_encoding::HEXLOWER.encode(&end.hash);
        Self { is_whole: true, first, last: end.number, hash, broken: None }
    }

    fn broken(text: impl Into<String>) -> Self {
        let (hash, broken) = (String::new(), Some(text.into()));
        Self { is_whole: false, first: 0, last: 0, hash, broken }
    }

    fn print(&self, global: &Global, console: &Console) -> Result<ExitCode, CliError> {
        let text = match (&self.broken, self.last) {
            (Some(broken), _) => format!("BROKEN: {broken}"),
            (None, 0) => "there are no entries".to_owned(),
            (None, last) => {
                let from = self.first;
                let earlier = match from {
                    0 | 1 => String::new(),
                    _ => format!("; entries before {from} are not here"),
                };
                format!("entries {from} to {last} are whole, the last is {}{earlier}", self.hash)
            }
        };
        print(self, text, global, console)?;
        Ok(if self.is_whole { ExitCode::Done } else { ExitCode::Trouble })
    }
}

#[cfg(test)]
mod tests;
