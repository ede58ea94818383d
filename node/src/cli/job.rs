//! `job`: submit, list, show, watch, pause, resume, cancel, report.

pub(super) mod remote;
mod show;

use std::path::{Path, PathBuf};

use airlift_protocol::attributes::AttributeSet;
use airlift_protocol::id::JobId;
use airlift_protocol::job::Mode;
use clap::{Args, Subcommand, ValueEnum, ValueHint};

use self::remote::{Shown, copy_report, watch};
use super::args::{AttributeArgs, CheckArgs, DeleteArgs, FlagSetting, Global, WatchArgs, WorkArgs};
use super::budget::{self, JobBudgetArgs};
use super::connect::{Cluster, ClusterArgs};
use super::console::{Console, unless_closed};
use super::exit::{CliError, ExitCode};
use super::report::Report;
use super::summary::lost_line;
use super::transfer::{
    Interrupts, Pass, copy_policy, refuse_two_results, request, sync_policy, verify_policy,
};
use crate::api::service::JobOrder;
use crate::api::text::parse_job_id;
use crate::api::view::Submitted;
use crate::config::Config;

const SUBMIT_EXAMPLES: &str = "\
Prints the job's id and does not wait. The same job submitted again is the same job; with other options it is
refused until that has ended.

Examples:
  airlift job submit berlin:/data s3://bucket/data
  airlift job submit --mode sync --max-delete 5% berlin:/site paris:/site";

const WATCH_EXAMPLES: &str = "\
Shows progress until the job ends, then what came of it, with the exit code that cp would have.
Ctrl-C ends the watching and not the job.

Examples:
  airlift job watch 0123456789abcdef0123456789abcdef
  airlift job watch --report report.jsonl 0123456789abcdef0123456789abcdef";

const REPORT_EXAMPLES: &str = "\
One JSON line an object, as --report of cp writes them; of a job that has ended, a last line with
the summary.

Examples:
  airlift job report 0123456789abcdef0123456789abcdef | grep '\"failed\"'";

const BUDGET_EXAMPLES: &str = "\
What is not named stays as it is. So does the whole budget of a job that is submitted again, while it runs or is
paused, without a --budget flag: off takes a bound away.

Examples:
  airlift job budget --bytes 2T 0123456789abcdef0123456789abcdef
  airlift job budget --money 300 --requests off 0123456789abcdef0123456789abcdef";

/// `job`.
#[derive(Clone, Debug, Subcommand)]
pub enum JobCommand {
    /// Begin a job, or a new run of it when it has ended; do not wait
    #[command(after_help = SUBMIT_EXAMPLES)]
    Submit(Box<SubmitArgs>),
    /// List all jobs, newest first
    #[command(after_help = "Examples:\n  airlift job list --cluster http://127.0.0.1:7400")]
    List(ClusterArgs),
    /// Show one job in full
    #[command(after_help = "Examples:\n  airlift job show --json 0123456789abcdef0123456789abcdef")]
    Show(JobArgs),
    /// Watch a job to its end
    #[command(after_help = WATCH_EXAMPLES)]
    Watch(JobWatchArgs),
    /// Give out no more work of a job until it is resumed
    #[command(after_help = "Examples:\n  airlift job pause 0123456789abcdef0123456789abcdef")]
    Pause(JobArgs),
    /// Go on with a paused job
    #[command(after_help = "Examples:\n  airlift job resume 0123456789abcdef0123456789abcdef")]
    Resume(JobArgs),
    /// End a job where it is; submitted again, it goes on from there
    #[command(after_help = "Examples:\n  airlift job cancel 0123456789abcdef0123456789abcdef")]
    Cancel(JobArgs),
    /// Change what a job may use; one whose budget had come to its end goes on
    #[command(after_help = BUDGET_EXAMPLES)]
    Budget(JobBudgetArgs),
    /// Print what became of every object
    #[command(after_help = REPORT_EXAMPLES)]
    Report(JobReportArgs),
}

/// What a submitted job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SubmitMode {
    /// Copy; never deletes
    Cp,
    /// Mirror
    Sync,
    /// Compare
    Verify,
}

/// `job submit`.
#[derive(Clone, Debug, Args)]
pub struct SubmitArgs {
    /// What the job does
    #[arg(long, value_enum, default_value_t = SubmitMode::Cp)]
    pub mode: SubmitMode,
    /// What is moved.
    #[command(flatten)]
    pub work: WorkArgs,
    /// What is checked.
    #[command(flatten)]
    pub check: CheckArgs,
    /// What is taken along.
    #[command(flatten)]
    pub attributes: AttributeArgs,
    /// What may be deleted.
    #[command(flatten)]
    pub delete: DeleteArgs,
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// A command about one job.
#[derive(Clone, Debug, Args)]
pub struct JobArgs {
    /// The job's id, as submit and list print it
    #[arg(value_name = "JOB", value_parser = parse_id)]
    pub job: JobId,
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// `job watch`.
#[derive(Clone, Debug, Args)]
pub struct JobWatchArgs {
    /// Which job.
    #[command(flatten)]
    pub job: JobArgs,
    /// How it is shown.
    #[command(flatten)]
    pub watch: WatchArgs,
}

/// `job report`.
#[derive(Clone, Debug, Args)]
pub struct JobReportArgs {
    /// Which job.
    #[command(flatten)]
    pub job: JobArgs,
    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
}

#[cfg(test)]
impl JobArgs {
    /// Some job of some cluster.
    pub(super) fn for_test() -> Self {
        Self { job: JobId([7; 16]), cluster: ClusterArgs::default() }
    }
}

fn parse_id(text: &str) -> Result<JobId, String> {
    parse_job_id(text).ok_or_else(|| {
        "the id of a job has 32 hexadecimal digits; airlift job list prints them".to_owned()
    })
}

impl JobCommand {
    /// Key, flag and text of each flag that sets something.
    pub(super) fn settings(&self) -> Vec<FlagSetting> {
        let (mut settings, cluster) = match self {
            Self::Submit(args) => (args.work.settings(), &args.cluster),
            Self::Watch(args) => (args.watch.settings(), &args.job.cluster),
            Self::List(cluster) => (Vec::new(), cluster),
            Self::Report(args) => (Vec::new(), &args.job.cluster),
            Self::Budget(args) => (Vec::new(), &args.job.cluster),
            Self::Show(args) | Self::Pause(args) | Self::Resume(args) | Self::Cancel(args) => {
                (Vec::new(), &args.cluster)
            }
        };
        settings.extend(cluster.settings());
        settings
    }
}

/// Runs one of the commands.
///
/// # Errors
/// When no node answers, or the answer is an error.
pub(super) async fn run(
    command: &JobCommand,
    global: &Global,
    config: &Config,
    console: &Console,
) -> Result<ExitCode, CliError> {
    let cluster = Cluster::require(config)?;
    match command {
        JobCommand::Submit(args) => submit(args, &cluster, config, (global, console)).await,
        JobCommand::List(_) => {
            let list = cluster.client.jobs().await?;
            print(&list, show::table(&list), global, console)
        }
        JobCommand::Show(args) => {
            let view = cluster.client.job(args.job).await?;
            print(&view, show::page(&view), global, console)
        }
        JobCommand::Watch(args) => {
            let report = args.watch.report.as_deref();
            refuse_two_results(global, report)?;
            let run = cluster.client.job(args.job.job).await?.job.run;
            let submitted =
                Submitted { id: args.job.job, run, cannot_hold: AttributeSet::default() };
            let shown = Shown::new(global, &args.watch, Pass::Job, console).await?;
            let mut interrupts = Interrupts::listen()?;
            let ended = watch(&cluster, submitted, config, shown, &mut interrupts).await?;
            Ok(ended.exit)
        }
        JobCommand::Pause(args) => order(args, JobOrder::Pause, &cluster, (global, console)).await,
        JobCommand::Resume(args) => {
            order(args, JobOrder::Resume, &cluster, (global, console)).await
        }
        JobCommand::Cancel(args) => {
            order(args, JobOrder::Cancel, &cluster, (global, console)).await
        }
        JobCommand::Budget(args) => {
            let job = args.job.job;
            let before = cluster.client.job(job).await?.job;
            let request = args.request(&before, &config.prices)?;
            let view = cluster.client.set_budget(job, &request).await?;
            let mut text = vec![format!("{}  {}", view.job.id, view.job.state.as_str())];
            text.extend(view.job.budget.iter().flat_map(budget::lines));
            print(&view, text.join("\n"), global, console)
        }
        JobCommand::Report(args) => {
            let path = args.output.as_deref().unwrap_or_else(|| Path::new("-"));
            copy_report(&cluster, args.job.job, Report::open(path)?).await
        }
    }
}

async fn submit(
    args: &SubmitArgs,
    cluster: &Cluster,
    config: &Config,
    (global, console): (&Global, &Console),
) -> Result<ExitCode, CliError> {
    let DeleteArgs { allow_empty_source, max_delete } = args.delete;
    if args.mode != SubmitMode::Sync && (allow_empty_source || max_delete.is_some()) {
        return Err(CliError::usage(
            "--allow-empty-source and --max-delete are about deletes: only --mode sync deletes",
        ));
    }
    let CheckArgs { dry_run, checksum, verify } = args.check;
    if args.mode == SubmitMode::Verify && (dry_run || checksum) {
        return Err(CliError::usage(
            "--dry-run and --checksum are about copies: --mode verify compares all and changes nothing",
        ));
    }
    let AttributeArgs { tags, storage_class, server_side, acl, restore, versions: _ } =
        &args.attributes;
    let is_about_copies = tags.is_some()
        || storage_class.is_some()
        || server_side.is_some()
        || acl.is_some()
        || restore.is_some();
    if args.mode == SubmitMode::Verify && is_about_copies {
        return Err(CliError::usage(
            "--tags, --storage-class, --server-side, --acl and --restore are about copies: --mode verify changes nothing",
        ));
    }
    let (mode, policy) = match args.mode {
        SubmitMode::Cp => (Mode::Copy, copy_policy(args.check, &args.attributes)),
        SubmitMode::Sync => (Mode::Sync, sync_policy(args.check, &args.attributes, args.delete)),
        SubmitMode::Verify => (Mode::Verify, verify_policy(verify)),
    };
    let submitted = cluster.submit(request(mode, &args.work, &policy, config)?).await?;
    if !global.quiet
        && let Some(line) = lost_line(submitted.cannot_hold)
    {
        console.note(&line);
    }
    print(&submitted, submitted.id.to_string(), global, console)
}

async fn order(
    args: &JobArgs,
    order: JobOrder,
    cluster: &Cluster,
    (global, console): (&Global, &Console),
) -> Result<ExitCode, CliError> {
    let view = cluster.client.order(args.job, order).await?;
    let text = format!("{}  {}", view.job.id, view.job.state.as_str());
    print(&view, text, global, console)
}

/// Prints an answer: as the node gave it, or as text.
pub(super) fn print(
    answer: &impl serde::Serialize,
    text: String,
    global: &Global,
    console: &Console,
) -> Result<ExitCode, CliError> {
    let text = match global.json {
        true => serde_json::to_string(answer)
            .map_err(|error| CliError::cannot_run(format!("print the answer: {error}")))?,
        false => text,
    };
    unless_closed(console.print(&text))?;
    Ok(ExitCode::Done)
}
