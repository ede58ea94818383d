//! What can be written on the command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use airlift_protocol::job::{
    AclPolicy, ClassPolicy, DeleteLimit, KeyPolicy, Priority, RestorePolicy, ServerSide, TagPolicy,
    VerifyLevel,
};
use clap::{ArgAction, Args, Parser, Subcommand, ValueHint};
use clap_complete::Shell;

use super::audit::AuditCommand;
use super::budget::BudgetArgs;
use super::cluster::ClusterCommand;
use super::connect::ClusterArgs;
use super::duration;
use super::job::JobCommand;
use super::node::NodeArgs;
use super::token::TokenCommand;
use super::top::TopArgs;
use super::upgrade::UpgradeArgs;
use super::webhook::WebhookCommand;

use crate::config::SETTINGS;

const SELECTION: &str = "Which objects";
const SAFETY: &str = "Safety";
pub(super) const WORK: &str = "How";
const OUTPUT: &str = "Output";

const EXAMPLES: &str = "\
Examples:
  airlift cp ./photos /mnt/backup/photos     what photos contains goes into the target
  airlift cp ./data s3://bucket/data         to S3; credentials as for the AWS tools
  airlift sync --dry-run s3://bucket/ ./here show what a mirror would copy and delete
  airlift verify ./data s3://bucket/data     compare by content
  airlift cp --cluster http://127.0.0.1:7400 berlin:/data s3://bucket/data
                                             the nodes of a cluster do it
  airlift demo                               see a cluster lose nodes, and the result proven

Locations: a path, s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX, sftp://HOST/PATH,
hdfs://NAMENODE/PATH, another scheme of docs/stores.md, or the name of a configured store as
NAME://BUCKET/PREFIX; in a cluster NODE:/PATH instead of a path.
Exit codes: 0 all done · 1 some objects failed, differ or were skipped · 2 wrong usage or
configuration · 3 the job could not run · 130 interrupted. After 3 and 130 the same command resumes.";

const CP_EXAMPLES: &str = "\
A directory or prefix: what it contains goes into DST. One object: into DST when DST ends in '/' or
is a directory, else as DST. Objects that are equal at the target stay as they are. Nothing is
deleted, and no object becomes visible before it is complete and checked.

Examples:
  airlift cp ./photos s3://bucket/photos
  airlift cp s3://bucket/photos/a.jpg ./a.jpg
  airlift cp --exclude '*.tmp' --bwlimit 50M /data /mnt/copy
  airlift cp --report report.jsonl ./data s3://bucket/data
  airlift cp --cluster http://127.0.0.1:7400 --token-file token berlin:/data paris:/data";

const SYNC_EXAMPLES: &str = "\
As cp, then objects that the source no longer has are deleted from the target. Nothing is deleted
when the source is empty, or its listing is partial or failed.

Examples:
  airlift sync --dry-run ./site s3://bucket/site
  airlift sync --max-delete 5% ./site s3://bucket/site";

const VERIFY_EXAMPLES: &str = "\
Compares by content and changes nothing. Where stores keep sums of whole objects, those are compared,
and an end whose store keeps one is not read; otherwise both ends are read and hashed. Prints 'differs', 'missing' (not at DST) or 'extra'
(only at DST) with the key, one a line; exit code 1 when there is any.

Examples:
  airlift verify ./photos s3://bucket/photos
  airlift verify --verify full ./photos s3://bucket/photos   read every byte of both ends";

const DEMO_HELP: &str = "\
Needs nothing but this program: no account, no root, no fixed port. Five nodes on the loopback form
a cluster, three of them voters; a job goes from one to another. On the way the leader is killed for
good, the worker at the target is killed and started again, and both trees are then compared here.
Takes half a minute and about half a gigabyte below the temporary directory, which is removed unless
something fails. Exit code 0: all of it is proven; 1: something was not as it has to be.

Examples:
  airlift demo
  airlift demo --keep --dir /mnt/scratch
  airlift demo --json";

const SIMULATE_HELP: &str = "\
SCENARIO is a file that says what is copied, which nodes there are, what their networks, the links
between sites and the stores can do, what they cost, and how often something fails. The coordinator and
the agents that nodes run are run on it in virtual time; the time that their work takes is estimated.
docs/simulate.md has every key.

Examples:
  airlift simulate sim/scenarios/10tb-two-nodes-each.toml
  airlift simulate --json --seed 7 mine.toml";

const TOP_HELP: &str = "\
On a terminal the picture is drawn again and again until Ctrl-C; elsewhere, and with --once or --json,
it is printed once. Rates are of the last ten seconds.

Examples:
  airlift top --cluster http://127.0.0.1:7400 --token-file token
  airlift top --once | grep moving";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "airlift",
    version,
    about = "Copies, mirrors and verifies datasets: checked, resumable, never half visible",
    after_help = EXAMPLES,
    arg_required_else_help = true,
    max_term_width = 100
)]
pub struct Cli {
    /// Flags of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Flags that every command has.
#[derive(Clone, Debug, Args)]
pub struct Global {
    /// Say more on standard error; -vv and -vvv say much more
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = OUTPUT)]
    pub verbose: u8,
    /// Say only what went wrong
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = OUTPUT)]
    pub quiet: bool,
    /// Print the result as JSON on standard output
    #[arg(long, global = true, help_heading = OUTPUT)]
    pub json: bool,
    /// Configuration file, instead of ./airlift.toml or ~/.config/airlift/airlift.toml
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
    /// Directory of the state that makes jobs resumable
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub state_dir: Option<OsString>,
    /// Form of log lines on standard error [default: text]
    #[arg(long, global = true, value_name = "FORMAT", value_parser = ["text", "json"], help_heading = OUTPUT)]
    pub log_format: Option<String>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Copy; never deletes
    #[command(after_help = CP_EXAMPLES)]
    Cp(CopyArgs),
    /// Mirror: copy, then delete from DST what SRC no longer has
    #[command(after_help = SYNC_EXAMPLES)]
    Sync(SyncArgs),
    /// Compare by content and name the differences
    #[command(after_help = VERIFY_EXAMPLES)]
    Verify(VerifyArgs),
    /// List keys with size and time
    #[command(
        after_help = "Examples:\n  airlift ls s3://bucket/photos\n  airlift ls --json ./photos"
    )]
    Ls(ListArgs),
    /// Let five nodes on this machine move real files, kill two of them on the way, and prove the
    /// result
    #[command(after_help = DEMO_HELP)]
    Demo(DemoArgs),
    /// Say how long a job would take, what would hold it up and what it would cost, without moving a
    /// byte
    #[command(after_help = SIMULATE_HELP)]
    Simulate(SimulateArgs),
    /// Check this machine and the configured stores; say what to change
    Doctor,
    /// Show the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Work with the jobs of a cluster
    #[command(subcommand)]
    Job(JobCommand),
    /// Look at a cluster, and change it
    #[command(subcommand)]
    Cluster(ClusterCommand),
    /// Make, list and revoke API tokens: who may use a cluster
    #[command(subcommand)]
    Token(TokenCommand),
    /// Show, export and check who changed what in a cluster
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Try the webhooks of the configuration
    #[command(subcommand)]
    Webhook(WebhookCommand),
    /// Watch a cluster: its nodes, its jobs, and how fast they are
    #[command(after_help = TOP_HELP)]
    Top(TopArgs),
    /// Say whether a cluster can be given this build, in which order, and whether now is a good moment
    UpgradeCheck(UpgradeArgs),
    /// Run a node of a cluster
    Node(NodeArgs),
    /// Print a completion script for a shell
    #[command(
        after_help = "Examples:\n  airlift completions bash > ~/.local/share/bash-completion/completions/airlift"
    )]
    Completions {
        /// The shell
        #[arg(value_name = "SHELL")]
        shell: Shell,
    },
    /// Write the manual pages of all commands into a directory
    #[command(after_help = "Examples:\n  airlift man ~/.local/share/man/man1")]
    Man {
        /// The directory; it is made if need be
        #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
        directory: PathBuf,
    },
}

/// The two ends.
#[derive(Clone, Debug, Args)]
pub struct Ends {
    /// Where objects are read: a path or s3://BUCKET/PREFIX; in a cluster NODE:/PATH
    #[arg(value_name = "SRC", value_hint = ValueHint::AnyPath)]
    pub source: OsString,
    /// Where they go
    #[arg(value_name = "DST", value_hint = ValueHint::AnyPath)]
    pub target: OsString,
}

/// What is moved, and how fast.
#[derive(Clone, Debug, Args)]
pub struct WorkArgs {
    /// The two ends.
    #[command(flatten)]
    pub ends: Ends,
    /// Only keys that match; without a '/' names at any depth; '*' stops at '/', '**' does not (repeatable)
    #[arg(long, value_name = "GLOB", help_heading = SELECTION)]
    pub include: Vec<String>,
    /// Not the keys that match, whatever --include says (repeatable)
    #[arg(long, value_name = "GLOB", help_heading = SELECTION)]
    pub exclude: Vec<String>,
    /// Symbolic links: leave out and name them, copy the link, or copy what it points to [default: skip]
    #[arg(long, value_name = "POLICY", value_parser = ["skip", "copy", "follow"], help_heading = SELECTION)]
    pub links: Option<String>,
    /// Move only the keys below SRC that this file names, one a line or with a NUL after each; cp only
    #[arg(long, value_name = "LOCATION", value_hint = ValueHint::AnyPath, help_heading = SELECTION)]
    pub files_from: Option<OsString>,
    /// Read the manifest.json of an Amazon S3 Inventory instead of listing SRC; cp only
    #[arg(long, value_name = "LOCATION", conflicts_with = "files_from", help_heading = SELECTION)]
    pub inventory: Option<OsString>,
    /// Keys that DST cannot hold: escape them as %XX, or restore those that were escaped before; cp only
    #[arg(long, value_name = "HOW", value_parser = parse_map_keys, help_heading = SELECTION)]
    pub map_keys: Option<KeyPolicy>,
    /// Move at most this many bytes per second, such as 100M, or by the time of the week, such as
    /// "08:00-18:00 200M, 18:00-08:00 off; Europe/Berlin"
    #[arg(long, value_name = "RATE|SCHEDULE", help_heading = WORK)]
    pub bwlimit: Option<OsString>,
    /// Weight beside other jobs of a cluster: low (1), normal (10), high (100), or 1 to 100 [default: normal]
    #[arg(long, value_name = "WEIGHT", help_heading = WORK)]
    pub priority: Option<Priority>,
    /// What it may use.
    #[command(flatten)]
    pub budget: BudgetArgs,
}

/// How hard this process works.
#[derive(Clone, Debug, Args)]
pub struct PaceArgs {
    /// Do at most this many pieces of work at once; fewer where more bring nothing [default: 32]
    #[arg(long, value_name = "N", help_heading = WORK)]
    pub slots: Option<OsString>,
    /// Have at most this many reads, and as many writes, on their way to a bucket; fewer as it answers [default: 256]
    #[arg(long, value_name = "N", help_heading = WORK)]
    pub requests_max: Option<OsString>,
}

/// How a job that runs is shown.
#[derive(Clone, Debug, Args)]
pub struct WatchArgs {
    /// Write one JSON line an object, and a last summary line; '-' is standard output
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = OUTPUT)]
    pub report: Option<PathBuf>,
    /// How to show progress [default: auto]
    #[arg(long, value_name = "STYLE", value_parser = ["auto", "bar", "plain", "none"], help_heading = OUTPUT)]
    pub progress: Option<String>,
    /// Say at the end what the time went into, and what would make it faster
    #[arg(long, help_heading = OUTPUT)]
    pub explain: bool,
}

/// Flags of every transfer.
#[derive(Clone, Debug, Args)]
pub struct TransferArgs {
    /// What is moved.
    #[command(flatten)]
    pub work: WorkArgs,
    /// How hard this process works for it; nodes of a cluster have settings of their own.
    #[command(flatten)]
    pub pace: PaceArgs,
    /// How it is shown.
    #[command(flatten)]
    pub watch: WatchArgs,
    /// The cluster that does it.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// What a copy checks.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct CheckArgs {
    /// Say what would be done, and change nothing
    #[arg(long, help_heading = SAFETY)]
    pub dry_run: bool,
    /// Recognise equal objects by their content (sums that stores keep, else reading), not by size and
    /// time or ETag
    #[arg(long, help_heading = SAFETY)]
    pub checksum: bool,
    /// Read back what was moved and hash it again, and read both ends of what is compared: full, or a
    /// share such as sample:5%
    #[arg(long, value_name = "HOW", value_parser = parse_verify, help_heading = SAFETY)]
    pub verify: Option<VerifyLevel>,
}

/// What objects carry beside their bytes.
#[derive(Clone, Debug, Default, Args)]
pub struct AttributeArgs {
    /// Tags of objects: take them along, or leave them alone [default: copy]
    #[arg(long, value_name = "POLICY", value_parser = parse_tags, help_heading = WORK)]
    pub tags: Option<TagPolicy>,
    /// Class of storage at DST: default, keep (as at SRC, or the nearest), a name, or FROM=TO with
    /// commas between [default: default]
    #[arg(long, value_name = "CLASS", help_heading = WORK)]
    pub storage_class: Option<ClassPolicy>,
    /// Let the service copy objects itself where both ends are in one: auto (where its stored sums prove the
    /// copy), always (what cannot be copied so fails) or never, which hashes every byte [default: never]
    #[arg(long, value_name = "WHEN", value_parser = parse_server_side, help_heading = WORK)]
    pub server_side: Option<ServerSide>,
    /// Who may do what with objects at DST, beside their owner: none (DST's default),
    /// bucket-owner-full-control, or copy (as at SRC) [default: none]
    #[arg(long, value_name = "POLICY", value_parser = parse_acl, help_heading = WORK)]
    pub acl: Option<AclPolicy>,
    /// Restore what lies in an archive of SRC: bulk, standard or expedited, for so many days, such as bulk:7;
    /// at Azure to hot, cool or cold, for good, such as standard:cool
    #[arg(long, value_name = "TIER:DAYS", help_heading = WORK)]
    pub restore: Option<RestorePolicy>,
    /// Versions of objects that are copied: latest, and no others [default: latest]
    #[arg(long, value_name = "WHICH", value_parser = parse_versions, help_heading = SELECTION)]
    pub versions: Option<Versions>,
}

/// Which versions of objects are copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Versions {
    /// What a listing shows.
    Latest,
}

fn parse_versions(text: &str) -> Result<Versions, String> {
    match text {
        "latest" => Ok(Versions::Latest),
        "all" => Err("old versions are not copied: a job has one entry for each key \
                      (docs/operations.md says how a history can be moved)"
            .to_owned()),
        _ => Err("write latest".to_owned()),
    }
}

fn parse_acl(text: &str) -> Result<AclPolicy, String> {
    match text {
        "none" => Ok(AclPolicy::None),
        "bucket-owner-full-control" => Ok(AclPolicy::BucketOwnerFullControl),
        "copy" => Ok(AclPolicy::Copy),
        _ => Err("write none, bucket-owner-full-control or copy".to_owned()),
    }
}

fn parse_wait(text: &str) -> Result<Duration, String> {
    match text {
        "none" => Ok(Duration::ZERO),
        text => duration::parse(text).map_err(|error| format!("{error}, or none")),
    }
}

fn parse_map_keys(text: &str) -> Result<KeyPolicy, String> {
    match text {
        "escape" => Ok(KeyPolicy::Escape),
        "restore" => Ok(KeyPolicy::Restore),
        _ => Err("write escape or restore".to_owned()),
    }
}

fn parse_server_side(text: &str) -> Result<ServerSide, String> {
    match text {
        "never" => Ok(ServerSide::Never),
        "auto" => Ok(ServerSide::Auto),
        "always" => Ok(ServerSide::Always),
        _ => Err("write auto, always or never".to_owned()),
    }
}

fn parse_tags(text: &str) -> Result<TagPolicy, String> {
    match text {
        "copy" => Ok(TagPolicy::Copy),
        "skip" => Ok(TagPolicy::Skip),
        _ => Err("write copy or skip".to_owned()),
    }
}

/// What a mirror may delete.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct DeleteArgs {
    /// Delete even when the source has no object at all
    #[arg(long, help_heading = SAFETY)]
    pub allow_empty_source: bool,
    /// Delete nothing when more than N objects, or P% of the target's, would be deleted
    #[arg(long, value_name = "N|P%", value_parser = parse_max_delete, help_heading = SAFETY)]
    pub max_delete: Option<DeleteLimit>,
}

/// `cp`.
#[derive(Clone, Debug, Args)]
pub struct CopyArgs {
    /// Flags of every transfer.
    #[command(flatten)]
    pub transfer: TransferArgs,
    /// What is checked.
    #[command(flatten)]
    pub check: CheckArgs,
    /// What is taken along.
    #[command(flatten)]
    pub attributes: AttributeArgs,
    /// Look at every object first, and move nothing when one could not be moved
    #[arg(long, conflicts_with = "dry_run", help_heading = SAFETY)]
    pub preflight: bool,
    /// With --restore, wait at most so long until objects can be read and are moved: 30m, 12h, 2d, or none
    /// to ask for them and end [default: 2d]
    #[arg(long, value_name = "TIME", requires = "restore", value_parser = parse_wait, help_heading = WORK)]
    pub restore_wait: Option<Duration>,
}

/// `sync`.
#[derive(Clone, Debug, Args)]
pub struct SyncArgs {
    /// Flags of `cp`.
    #[command(flatten)]
    pub copy: CopyArgs,
    /// What may be deleted.
    #[command(flatten)]
    pub delete: DeleteArgs,
}

/// `verify`.
#[derive(Clone, Debug, Args)]
pub struct VerifyArgs {
    /// Flags of every transfer.
    #[command(flatten)]
    pub transfer: TransferArgs,
    /// Read both ends, whatever sums their stores keep: full, or a share such as sample:5%
    #[arg(long, value_name = "HOW", value_parser = parse_verify, help_heading = SAFETY)]
    pub verify: Option<VerifyLevel>,
}

/// `ls`.
#[derive(Clone, Debug, Args)]
pub struct ListArgs {
    /// A path or s3://BUCKET/PREFIX
    #[arg(value_name = "LOCATION", value_hint = ValueHint::AnyPath)]
    pub location: OsString,
}

/// `demo`.
#[derive(Clone, Debug, Args)]
pub struct DemoArgs {
    /// Work below this directory, instead of the system's temporary one
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub dir: Option<PathBuf>,
    /// Leave everything there at the end
    #[arg(long)]
    pub keep: bool,
}

/// `simulate`.
#[derive(Clone, Debug, Args)]
pub struct SimulateArgs {
    /// The scenario, in TOML
    #[arg(value_name = "SCENARIO", value_hint = ValueHint::FilePath)]
    pub scenario: PathBuf,
    /// What chance depends on, instead of the scenario's seed
    #[arg(long, value_name = "NUMBER")]
    pub seed: Option<u64>,
}

/// `config`.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print every setting with its value and where that comes from
    #[command(after_help = settings_help())]
    Show,
}

/// The names of all settings, for `--help`.
fn settings_help() -> String {
    let mut text = "Settings, in airlift.toml and in the environment:\n".to_owned();
    for setting in &SETTINGS {
        text.push_str(&format!("  {:<14} {:<22} {}\n", setting.key, setting.env, setting.meaning));
    }
    text + "A flag wins over the environment, and that over the file."
}

fn parse_verify(text: &str) -> Result<VerifyLevel, String> {
    if text == "full" {
        return Ok(VerifyLevel::ReadBack(100));
    }
    text.strip_prefix("sample:")
        .and_then(|share| parse_percent(share.strip_suffix('%').unwrap_or(share)))
        .filter(|percent| *percent > 0)
        .map(VerifyLevel::ReadBack)
        .ok_or_else(|| "write full, or sample:P% with P from 1 to 100".to_owned())
}

fn parse_max_delete(text: &str) -> Result<DeleteLimit, String> {
    let limit = match text.strip_suffix('%') {
        Some(share) => parse_percent(share).map(DeleteLimit::Percent),
        None => text.parse().ok().map(DeleteLimit::Count),
    };
    limit.ok_or_else(|| "write a number of objects such as 100, or a share such as 5%".to_owned())
}

fn parse_percent(text: &str) -> Option<u8> {
    text.parse().ok().filter(|percent| *percent <= 100)
}

impl Global {
    /// Key, flag and text of each flag that sets something.
    pub fn settings(&self) -> Vec<FlagSetting> {
        given([
            ("state_dir", "--state-dir", self.state_dir.clone()),
            ("log_format", "--log-format", self.log_format.clone().map(OsString::from)),
        ])
    }
}

/// Key, flag and text of a setting that a flag gives.
pub type FlagSetting = (&'static str, &'static str, OsString);

/// The settings among `flags` that are given.
pub fn given<const N: usize>(
    flags: [(&'static str, &'static str, Option<OsString>); N],
) -> Vec<FlagSetting> {
    flags.into_iter().filter_map(|(key, flag, text)| Some((key, flag, text?))).collect()
}

impl WorkArgs {
    /// Key, flag and text of each flag that sets something.
    pub fn settings(&self) -> Vec<FlagSetting> {
        given([
            ("bwlimit", "--bwlimit", self.bwlimit.clone()),
            ("links", "--links", self.links.clone().map(OsString::from)),
        ])
    }
}

impl PaceArgs {
    /// Key, flag and text of each flag that sets something.
    pub fn settings(&self) -> Vec<FlagSetting> {
        given([
            ("slots", "--slots", self.slots.clone()),
            ("requests_max", "--requests-max", self.requests_max.clone()),
        ])
    }
}

impl WatchArgs {
    /// Key, flag and text of each flag that sets something.
    pub fn settings(&self) -> Vec<FlagSetting> {
        given([("progress", "--progress", self.progress.clone().map(OsString::from))])
    }
}

impl TransferArgs {
    /// Key, flag and text of each flag that sets something.
    pub fn settings(&self) -> Vec<FlagSetting> {
        let mut settings = self.work.settings();
        settings.extend(self.pace.settings());
        settings.extend(self.watch.settings());
        settings.extend(self.cluster.settings());
        settings
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definitions_hold_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_are_read_wherever_they_stand() {
        let line = "airlift -q sync a --include x --include y b --max-delete 5% --state-dir s \
                    --priority high";
        let cli = Cli::try_parse_from(line.split(' ')).unwrap();
        assert!(cli.global.quiet);
        assert_eq!(cli.global.settings(), [("state_dir", "--state-dir", "s".into())]);
        let Command::Sync(sync) = cli.command else { panic!("not a sync") };
        assert_eq!(sync.delete.max_delete, Some(DeleteLimit::Percent(5)));
        assert_eq!(sync.copy.transfer.work.include, ["x", "y"]);
        assert_eq!(sync.copy.transfer.work.priority, Some(Priority::HIGH));
        assert_eq!(sync.copy.transfer.work.ends.target, "b");
    }

    #[test]
    fn paths_outside_utf8_are_legal() {
        let odd = OsString::from_vec(b"a\xff".to_vec());
        let words = ["airlift".into(), "cp".into(), odd.clone(), "b".into()];
        let Command::Cp(copy) = Cli::try_parse_from(words).unwrap().command else {
            panic!("not a copy")
        };
        assert_eq!(copy.transfer.work.ends.source, odd);
    }

    #[test]
    fn limits_and_levels_are_read_and_nonsense_is_refused() {
        assert_eq!(parse_verify("full"), Ok(VerifyLevel::ReadBack(100)));
        assert_eq!(parse_verify("sample:5%"), Ok(VerifyLevel::ReadBack(5)));
        for text in ["", "sample", "sample:", "sample:0%", "sample:101%", "some"] {
            assert!(parse_verify(text).is_err(), "{text}");
        }
        assert_eq!(parse_max_delete("100"), Ok(DeleteLimit::Count(100)));
        assert_eq!(parse_max_delete("0%"), Ok(DeleteLimit::Percent(0)));
        for text in ["", "%", "-1", "101%", "many"] {
            assert!(parse_max_delete(text).is_err(), "{text}");
        }
    }

    #[test]
    fn wrong_usage_has_exit_code_2() {
        for line in [
            "airlift",
            "airlift cp a",
            "airlift fly a b",
            "airlift cp a b --links what",
            "airlift cp a b --priority 0",
        ] {
            assert_eq!(Cli::try_parse_from(line.split(' ')).unwrap_err().exit_code(), 2, "{line}");
        }
    }
}
