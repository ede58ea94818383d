//! `top`: a cluster as it is now, drawn again and again on a terminal.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use airlift_coordinator::scheduler::bottleneck::Bottleneck;
use airlift_protocol::units::{ByteCount, ByteRate};
use clap::Args;
use rustix::termios::tcgetwinsize;
use serde::Serialize;

use super::args::Global;
use super::connect::{Cluster, ClusterArgs};
use super::console::{Console, unless_closed};
use super::exit::{CliError, ExitCode};
use super::format::{clock, count, counted};
use super::job::print;
use super::transfer::Interrupts;
use super::{duration, table};
use crate::api::client::{Client, ClientError, ClientErrorKind};
use crate::api::error::ApiCode;
use crate::api::view::{ClusterView, JobList, JobSummary, JobView, NodeState};
use crate::config::Config;

/// Jobs of which the nodes are asked for: those that run, newest first.
const JOBS_IN_FULL_MAX: usize = 16;

/// Jobs that are drawn: those that run, and then the newest.
const JOBS_DRAWN_MAX: usize = 30;

/// Characters of a location in a table.
const LOCATION_CHARS_MAX: usize = 40;

/// The screen beside the usual one, without a cursor; and back.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
/// To the upper left; the rest of a line, and of the screen, is wiped.
const HOME: &str = "\x1b[H";
const WIPE_LINE: &str = "\x1b[K\r\n";
const WIPE_REST: &str = "\x1b[K\x1b[J";

/// `top`.
#[derive(Clone, Debug, Args)]
pub struct TopArgs {
    /// Print one picture and end
    #[arg(long)]
    pub once: bool,
    /// Time between two pictures
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration::parse)]
    pub interval: Duration,
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// What is drawn.
#[derive(Debug, Serialize)]
struct Picture {
    cluster: ClusterView,
    /// All jobs, newest first.
    jobs: Vec<JobSummary>,
    /// Those that run, in full.
    running: Vec<JobView>,
}

/// Shows the cluster.
///
/// # Errors
/// When no node answers, or the terminal cannot be written.
pub(super) async fn run(
    args: &TopArgs,
    global: &Global,
    config: &Config,
    console: &Console,
) -> Result<ExitCode, CliError> {
    let client = Cluster::require(config)?.client;
    if args.once || global.json || !io::stdout().is_terminal() {
        let picture = Picture::take(&client).await?;
        let text = picture.lines().join("\n");
        return print(&picture, text, global, console);
    }
    let mut interrupts = Interrupts::listen()?;
    tokio::select! {
        ended = draw_for_ever(&client, args.interval) => Err(ended),
        () = interrupts.next() => Ok(ExitCode::Done),
    }
}

/// The screen beside the usual one, until it is dropped.
struct Screen;

impl Screen {
    fn enter() -> io::Result<Self> {
        io::stdout().write_all(ENTER.as_bytes())?;
        Ok(Self)
    }

    /// Draws as much as there is room for.
    fn draw(&self, lines: &[String]) -> io::Result<()> {
        let mut out = io::stdout();
        // A terminal that does not say how large it is has the size that they always had.
        let (rows, columns) =
            tcgetwinsize(&out).map_or((24, 80), |size| (size.ws_row.into(), size.ws_col.into()));
        out.write_all(frame(lines, rows, columns).as_bytes())?;
        out.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let mut out = io::stdout();
        // When the terminal is gone nothing has to be put back.
        let _ = out.write_all(LEAVE.as_bytes()).and_then(|()| out.flush());
    }
}

fn frame(lines: &[String], rows: usize, columns: usize) -> String {
    let cut = |line: &String| line.chars().take(columns).collect::<String>();
    let shown: Vec<String> = lines.iter().take(rows.max(1)).map(cut).collect();
    format!("{HOME}{}{WIPE_REST}", shown.join(WIPE_LINE))
}

/// Draws until something goes wrong that waiting does not mend.
async fn draw_for_ever(client: &Client, interval: Duration) -> CliError {
    let failed = |error: io::Error| match unless_closed(Err(error)) {
        Err(error) => error,
        Ok(()) => CliError::cannot_run("the terminal is gone"),
    };
    let mut lines = Vec::new();
    let screen = match Screen::enter() {
        Ok(screen) => screen,
        Err(error) => return failed(error),
    };
    loop {
        match Picture::take(client).await {
            Ok(picture) => lines = picture.lines(),
            Err(error) if lines.is_empty() => return error.into(),
            // The cluster may be electing: what was seen last stays, with the reason above it.
            Err(error) => match lines.first_mut() {
                Some(first) => *first = format!("NOT CURRENT: {error}"),
                None => return error.into(),
            },
        }
        if let Err(error) = screen.draw(&lines) {
            return failed(error);
        }
        tokio::time::sleep(interval).await;
    }
}

impl Picture {
    async fn take(client: &Client) -> Result<Self, ClientError> {
        let (cluster, list) = tokio::try_join!(client.cluster(), client.jobs())?;
        let JobList { jobs } = list;
        let mut running = Vec::new();
        for job in jobs.iter().filter(|job| job.outcome.is_none()).take(JOBS_IN_FULL_MAX) {
            match client.job(job.id).await {
                Ok(view) => running.push(view),
                // It was forgotten meanwhile.
                Err(error) if error.kind == ClientErrorKind::Answered(ApiCode::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self { cluster, jobs, running })
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = vec![self.head(), String::new()];
        lines.extend(self.nodes().lines().map(str::to_owned));
        lines.push(String::new());
        match self.jobs.is_empty() {
            true => lines.push("no jobs".to_owned()),
            false => lines.extend(self.job_rows().lines().map(str::to_owned)),
        }
        lines
    }

    fn head(&self) -> String {
        let ClusterView { nodes, leader, term, has_quorum, is_current, .. } = &self.cluster;
        let silent = nodes.iter().filter(|node| node.state == NodeState::Silent).count();
        let rate: u64 = self.jobs.iter().map(|job| job.rate_bytes_per_second).sum();
        let mut parts = vec![
            format!("leader {}", leader.as_deref().unwrap_or("none")),
            format!("term {term}"),
            format!("quorum {}", if *has_quorum { "yes" } else { "NO" }),
            match silent {
                0 => counted(nodes.len() as u64, "node"),
                _ => format!("{}, {silent} SILENT", counted(nodes.len() as u64, "node")),
            },
            format!("{} running", self.jobs.iter().filter(|job| job.outcome.is_none()).count()),
            ByteRate(rate).to_string(),
        ];
        if !is_current {
            parts.push("NOT CURRENT".to_owned());
        }
        parts.join("  ")
    }

    fn nodes(&self) -> String {
        // Orders, bytes read and bytes written of all jobs together, by node.
        let mut work: BTreeMap<&str, (u64, u64, u64)> = BTreeMap::new();
        for node in self.running.iter().flat_map(|view| &view.nodes) {
            let sum = work.entry(&node.id).or_default();
            sum.0 += node.assignments;
            sum.1 += node.read_bytes_per_second;
            sum.2 += node.write_bytes_per_second;
        }
        let heads = ["NODE", "ROLE", "STATE", "LAG", "ORDERS", "READS", "WRITES"];
        let rows = self.cluster.nodes.iter().map(|node| {
            let (orders, reads, writes) = work.get(node.id.as_str()).copied().unwrap_or_default();
            let leads = if node.is_leader { ", leads" } else { "" };
            [
                node.name.clone(),
                format!("{}{leads}", node.role.as_str()),
                node.state.as_str().to_owned(),
                node.lag.map_or_else(|| "-".to_owned(), count),
                count(orders),
                ByteRate(reads).to_string(),
                ByteRate(writes).to_string(),
            ]
        });
        table::print(heads.map(str::to_owned), rows)
    }

    fn job_rows(&self) -> String {
        let heads =
            ["JOB", "STATE", "BYTES", "RATE", "ETA", "OBJECTS", "FAILED", "HELD UP BY", "WHAT"];
        let (run, over): (Vec<&JobSummary>, Vec<&JobSummary>) =
            self.jobs.iter().partition(|job| job.outcome.is_none());
        let rows = run.into_iter().chain(over).take(JOBS_DRAWN_MAX).map(|job| self.row(job));
        table::print(heads.map(str::to_owned), rows)
    }

    fn row(&self, job: &JobSummary) -> [String; 9] {
        let dash = || "-".to_owned();
        let more = if job.is_listed { "" } else { "+" };
        let view = self.running.iter().find(|view| view.job.id == job.id);
        let held = view.map(|view| view.job.bottleneck).filter(|held| *held != Bottleneck::None);
        let (objects, bytes) = (&job.objects, &job.bytes);
        let eta = job.eta_seconds.map(|seconds| clock(Duration::from_secs(seconds)));
        let id = job.id.to_string();
        [
            id.chars().take(8).collect(),
            job.state.as_str().to_owned(),
            format!("{} of {}{more}", ByteCount(job.settled_bytes()), ByteCount(bytes.total)),
            match job.outcome {
                None => ByteRate(job.rate_bytes_per_second).to_string(),
                Some(_) => dash(),
            },
            eta.unwrap_or_else(dash),
            format!("{} of {}{more}", count(objects.finished()), count(objects.total)),
            count(objects.troubles()),
            held.map_or_else(dash, |held| held.as_str().to_owned()),
            format!("{} → {}", short(&job.source.to_string()), short(&job.target.to_string())),
        ]
    }
}

/// The end of what is long, since paths differ there; nothing that a terminal would obey.
fn short(text: &str) -> String {
    let plain: Vec<char> = text.chars().filter(|c| !c.is_control()).collect();
    match plain.len() > LOCATION_CHARS_MAX {
        true => {
            std::iter::once(&'…').chain(&plain[plain.len() - LOCATION_CHARS_MAX + 1..]).collect()
        }
        false => plain.iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::fake;

    fn picture() -> Picture {
        let (view, ended) = (fake::begun(), fake::ended_badly());
        let jobs = vec![view.job.clone(), ended.job];
        Picture { cluster: fake::cluster(), jobs, running: vec![view] }
    }

    #[test]
    fn a_picture_has_the_cluster_its_nodes_and_its_jobs() {
        let mut picture = picture();
        picture.running[0].nodes[0].id = "12D3berlin".to_owned();
        let lines = picture.lines();
        assert_eq!(
            lines[0],
            "leader berlin  term 7  quorum yes  2 nodes, 1 SILENT  1 running  1000 B/s"
        );
        assert!(
            lines[3].starts_with("berlin  voter, leads  alive   0    2       1000 B/s"),
            "{lines:?}"
        );
        assert!(
            lines[4].starts_with("paris   worker        silent  -    0       0 B/s"),
            "{lines:?}"
        );
        assert!(lines[7].contains("abababab  moving") && lines[7].contains("link"), "{lines:?}");
        assert!(lines[7].ends_with("berlin:/data → s3://bucket/data/"), "{lines:?}");
        assert!(lines[8].contains("completed"), "{lines:?}");
        picture.jobs.clear();
        assert_eq!(picture.lines().last().unwrap(), "no jobs");
    }

    #[test]
    fn a_frame_fits_the_screen() {
        let lines = ["abcdef", "gh", "ij"].map(str::to_owned);
        assert_eq!(frame(&lines, 2, 3), "\x1b[Habc\x1b[K\r\ngh\x1b[K\x1b[J");
        assert_eq!(frame(&lines, 0, 2), "\x1b[Hab\x1b[K\x1b[J");
    }

    #[test]
    fn long_locations_keep_their_ends_and_no_orders_to_the_terminal() {
        assert_eq!(short("s3://b\x1b[2J/x"), "s3://b[2J/x");
        let long = format!("s3://bucket/{}/end", "é".repeat(60));
        assert_eq!(short(&long).chars().count(), LOCATION_CHARS_MAX);
        assert!(short(&long).starts_with('…') && short(&long).ends_with("/end"));
    }
}
