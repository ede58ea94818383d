//! `upgrade-check`: whether the nodes of a cluster can be given the build that runs the command, in
//! which order, and whether now is a good moment.

mod judge;

use clap::Args;
use serde::Serialize;

use self::judge::{Observed, Verdict, judge};
use super::args::{FlagSetting, Global};
use super::connect::{Cluster, ClusterArgs};
use super::console::{Console, unless_closed};
use super::exit::{CliError, ExitCode};
use super::format::span;
use super::table;
use crate::api::survey::NodeReport;
use crate::api::view::{ClusterView, JobList};
use crate::build::Build;
use airlift_protocol::units::ByteCount;
use std::time::Duration;

const HELP: &str = "\
Run it with the new program, before any node is given it. Every node is asked for its build, the formats
that it reads, and the space it has. Nothing is changed.
Exit code 0: go ahead, in the order shown · 1: not now, each reason is named · 3: this build cannot take
part in the cluster, or nobody answers.

Examples:
  ./airlift-new upgrade-check --cluster http://127.0.0.1:7400 --token-file token
  ./airlift-new upgrade-check --json";

/// `upgrade-check`.
#[derive(Clone, Debug, Args)]
#[command(after_help = HELP)]
pub struct UpgradeArgs {
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

impl UpgradeArgs {
    /// Key, flag and text of each flag that sets something.
    pub(super) fn settings(&self) -> Vec<FlagSetting> {
        self.cluster.settings()
    }
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Document<'a> {
    version: &'a str,
    format_oldest: u16,
    format_newest: u16,
    format_in_force: Option<u16>,
    #[serde(flatten)]
    verdict: &'a Verdict,
    nodes: &'a [NodeReport],
}

/// Asks, judges, and says so.
///
/// # Errors
/// When no node answers, or the answer is an error.
pub(super) async fn run(
    global: &Global,
    cluster: &Cluster,
    build: Build,
    console: &Console,
) -> Result<ExitCode, CliError> {
    let client = &cluster.client;
    let (view, survey, jobs) =
        (client.cluster().await?, client.nodes().await?, jobs(cluster).await?);
    let verdict =
        judge(&Observed { build, cluster: &view, nodes: &survey.nodes, jobs: &jobs.jobs });
    let text = match global.json {
        true => {
            let document = Document {
                version: build.version,
                format_oldest: build.formats.oldest.0,
                format_newest: build.formats.newest.0,
                format_in_force: view.format,
                verdict: &verdict,
                nodes: &survey.nodes,
            };
            serde_json::to_string(&document)
                .map_err(|error| CliError::cannot_run(format!("print the answer: {error}")))?
        }
        false => page(build, &view, &survey.nodes, &verdict),
    };
    unless_closed(console.print(&text))?;
    Ok(verdict.exit())
}

/// The jobs; without a leader nobody tells, which the verdict says anyway.
async fn jobs(cluster: &Cluster) -> Result<JobList, CliError> {
    use crate::api::client::ClientErrorKind;
    match cluster.client.jobs().await {
        Err(error) if matches!(error.kind, ClientErrorKind::Answered(code) if code.is_passing()) => {
            Ok(JobList { jobs: Vec::new() })
        }
        listed => Ok(listed?),
    }
}

fn page(build: Build, view: &ClusterView, nodes: &[NodeReport], verdict: &Verdict) -> String {
    let formats = |oldest: u16, newest: u16| format!("{oldest} to {newest}");
    let Build { version, formats: known, .. } = build;
    let in_force = view.format.map_or_else(|| "not known".to_owned(), |format| format.to_string());
    let head = format!(
        "this build  {version}, formats {}\ncluster     {}, format {in_force} in force\n",
        formats(known.oldest.0, known.newest.0),
        view.id
    );
    let rows = nodes.iter().map(|node| {
        let dash = || "-".to_owned();
        let said = node.said.as_ref();
        let of =
            |text: &dyn Fn(&crate::api::survey::NodeWord) -> String| said.map_or_else(dash, text);
        [
            node.name.clone(),
            of(&|said| said.version.clone()),
            of(&|said| formats(said.format_oldest, said.format_newest)),
            of(&|said| span(Duration::from_secs(said.uptime_seconds))),
            of(&|said| said.disk_free_bytes.map_or_else(dash, |free| ByteCount(free).to_string())),
        ]
    });
    let heads = ["NODE", "BUILD", "FORMATS", "UP", "FREE"].map(str::to_owned);
    let mut lines = vec![head, table::print(heads, rows), String::new()];
    lines.extend(verdict.lines());
    lines.join("\n")
}
