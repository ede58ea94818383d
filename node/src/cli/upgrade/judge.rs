//! The judgement: what was observed of a cluster, and what that means for an upgrade. Asks nobody.

use airlift_protocol::version::FormatVersion;
use serde::Serialize;

use crate::api::survey::{NodeReport, NodeWord};
use crate::api::view::{ClusterView, JobSummary, NodeRole, NodeState, NodeView};
use crate::build::Build;
use crate::cli::exit::ExitCode;

/// Bytes that a node should have free: for a copy of the state, and for what it writes while it
/// catches up.
const FREE_MIN: u64 = 512 << 20;

/// Entries that a voter may be behind: so many are on their way to it while jobs run.
const LAG_MAX: u64 = 64;

/// What was observed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Observed<'a> {
    /// The build that nodes are to get.
    pub(super) build: Build,
    pub(super) cluster: &'a ClusterView,
    pub(super) nodes: &'a [NodeReport],
    pub(super) jobs: &'a [JobSummary],
}

/// What it means.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Verdict {
    /// Why this build cannot take part at all.
    pub(super) impossible: Vec<String>,
    /// Why not now.
    pub(super) wait: Vec<String>,
    /// What to know beforehand.
    pub(super) notes: Vec<String>,
    /// The nodes that do not have this build, in the order in which to replace it.
    pub(super) order: Vec<Step>,
}

/// A node whose program is to be replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Step {
    /// Its name.
    pub(super) node: String,
    /// Its role.
    pub(super) role: NodeRole,
    /// Whether it leads, and should hand over before it is stopped.
    pub(super) leads: bool,
}

impl Verdict {
    /// The exit code.
    pub(super) fn exit(&self) -> ExitCode {
        match (self.impossible.is_empty(), self.wait.is_empty()) {
            (false, _) => ExitCode::CannotRun,
            (true, false) => ExitCode::Trouble,
            (true, true) => ExitCode::Done,
        }
    }

    /// The lines that people read.
    pub(super) fn lines(&self) -> Vec<String> {
        let step = |(index, step): (usize, &Step)| {
            let Step { node, role, leads } = step;
            let first = match leads {
                true => ", leads: airlift cluster transfer-leader first",
                false => "",
            };
            format!("step {}      {node} ({}{first})", index + 1, role.as_str())
        };
        let told = |word: &str, texts: &[String]| -> Vec<String> {
            texts.iter().map(|text| format!("{word:<12}{text}")).collect()
        };
        let mut lines = told("impossible", &self.impossible);
        lines.extend(told("wait", &self.wait));
        lines.extend(told("note", &self.notes));
        if self.impossible.is_empty() {
            lines.extend(self.order.iter().enumerate().map(step));
        }
        let verdict = match self.exit() {
            ExitCode::Done if self.order.is_empty() => "every node has this build",
            ExitCode::Done => {
                "go ahead: one node after the other, each alive with a lag of 0 before the next"
            }
            ExitCode::Trouble => "not now",
            _ => "this build cannot take part in this cluster",
        };
        lines.push(format!("verdict     {verdict}"));
        lines
    }
}

/// Judges what was observed.
pub(super) fn judge(observed: &Observed<'_>) -> Verdict {
    let mut verdict = Verdict::default();
    can_take_part(observed, &mut verdict);
    is_well(observed, &mut verdict);
    has_room(observed, &mut verdict);
    voters_to_spare(observed, &mut verdict);
    jobs_under_way(observed, &mut verdict);
    verdict.order = order(observed);
    after(observed, &mut verdict);
    verdict
}

/// Whether the build reads what is in force, and what is on disk.
fn can_take_part(observed: &Observed<'_>, verdict: &mut Verdict) {
    let Observed { build, cluster, nodes, .. } = observed;
    match cluster.format.map(FormatVersion) {
        Some(format) if !build.formats.has(format) => {
            verdict.impossible.push(build.formats.refusal(format));
        }
        Some(_) => {}
        None => verdict.wait.push(
            "the node that was asked does not know which format is in force: ask a voter"
                .to_owned(),
        ),
    }
    for (node, said) in answers(nodes) {
        if said.layout != build.layout.0 {
            verdict.impossible.push(format!(
                "{}: its files are laid out in form {}, and this build reads form {}",
                node.name, said.layout, build.layout.0
            ));
        }
    }
}

/// Whether somebody leads, and everybody is there and up to date.
fn is_well(observed: &Observed<'_>, verdict: &mut Verdict) {
    let Observed { cluster, nodes, .. } = observed;
    if !cluster.is_current || cluster.leader.is_none() {
        verdict.wait.push("no leader answers: what is shown may be old".to_owned());
    }
    if !cluster.has_quorum {
        verdict.wait.push("too few voters are alive to decide anything".to_owned());
    }
    for node in &cluster.nodes {
        let name = &node.name;
        if node.state == NodeState::Silent {
            verdict.wait.push(format!("{name} is silent: bring it back, or remove it"));
        } else if node.is_voting == Some(false) {
            verdict.wait.push(format!("{name} joins: its vote does not count yet"));
        } else if let Some(lag) = node.lag.filter(|lag| *lag > LAG_MAX) {
            verdict.wait.push(format!("{name} is {lag} entries behind: let it catch up"));
        }
        let is_silent = nodes.iter().any(|report| report.id == node.id && report.said.is_none());
        if is_silent && node.state == NodeState::Alive {
            verdict.notes.push(format!("{name} did not say which build it runs"));
        }
    }
}

fn has_room(observed: &Observed<'_>, verdict: &mut Verdict) {
    for (node, said) in answers(observed.nodes) {
        if let Some(free) = said.disk_free_bytes.filter(|free| *free < FREE_MIN) {
            let (free, least) = (free >> 20, FREE_MIN >> 20);
            let name = &node.name;
            verdict
                .wait
                .push(format!("{name} has {free} MiB free for its directory: make it {least}"));
        }
    }
}

/// Whether the others decide while one voter is away.
fn voters_to_spare(observed: &Observed<'_>, verdict: &mut Verdict) {
    let is_voter = |node: &&NodeView| node.role == NodeRole::Voter;
    let voters = observed.cluster.nodes.iter().filter(is_voter).count();
    if voters < 3 {
        verdict.notes.push(format!(
            "with {voters} voters nothing is decided while one of them starts again: jobs rest so long"
        ));
    }
}

fn jobs_under_way(observed: &Observed<'_>, verdict: &mut Verdict) {
    let running = || observed.jobs.iter().filter(|job| job.outcome.is_none());
    let count = running().count();
    if count == 0 {
        return;
    }
    verdict.notes.push(format!("{count} jobs are under way, and go on"));
    for node in &observed.cluster.nodes {
        let prefix = format!("{}:", node.name).into_bytes();
        let is_at = |job: &&JobSummary| {
            job.source.0.starts_with(&prefix) || job.target.0.starts_with(&prefix)
        };
        let bound = running().filter(is_at).count();
        if bound > 0 {
            verdict.notes.push(format!("{bound} of them rest while {} starts again", node.name));
        }
    }
}

/// Workers first, then the voters that follow, the leader last: so nobody waits for an election.
fn order(observed: &Observed<'_>) -> Vec<Step> {
    let has_build = |node: &NodeView| {
        let report = observed.nodes.iter().find(|report| report.id == node.id);
        let said = report.and_then(|report| report.said.as_ref());
        said.is_some_and(|said| is_of(said, observed.build))
    };
    let mut nodes: Vec<&NodeView> =
        observed.cluster.nodes.iter().filter(|node| !has_build(node)).collect();
    nodes.sort_by_key(|node| (node.is_leader, node.role == NodeRole::Voter, node.name.clone()));
    let step =
        |node: &NodeView| Step { node: node.name.clone(), role: node.role, leads: node.is_leader };
    nodes.into_iter().map(step).collect()
}

/// What comes of it, and until when there is a way back.
fn after(observed: &Observed<'_>, verdict: &mut Verdict) {
    let Observed { build, cluster, nodes, .. } = observed;
    let newer: Vec<&str> = answers(nodes)
        .filter(|(_, said)| said.format_newest > build.formats.newest.0)
        .map(|(node, _)| node.name.as_str())
        .collect();
    if !newer.is_empty() {
        verdict.notes.push(format!(
            "a way back for {}: open until every node has had the newer build",
            newer.join(" ")
        ));
    } else if let Some(format) = cluster.format.filter(|format| *format < build.formats.newest.0) {
        verdict.notes.push(format!(
            "format {} comes into force when the last node has this build; until then every node can go \
             back, and then none whose build ends at format {format}",
            build.formats.newest.0
        ));
    }
}

fn answers(nodes: &[NodeReport]) -> impl Iterator<Item = (&NodeReport, &NodeWord)> {
    nodes.iter().filter_map(|node| Some((node, node.said.as_ref()?)))
}

fn is_of(said: &NodeWord, build: Build) -> bool {
    (said.version.as_str(), said.format_oldest, said.format_newest)
        == (build.version, build.formats.oldest.0, build.formats.newest.0)
}

#[cfg(test)]
mod tests {
    use airlift_protocol::version::Formats;

    use super::*;
    use crate::api::{fake, text::ByteText};

    const fn build(oldest: u16, newest: u16) -> Build {
        let formats = Formats { oldest: FormatVersion(oldest), newest: FormatVersion(newest) };
        Build { version: "2", formats, layout: FormatVersion(1) }
    }

    /// Three voters, of which the first leads, and a worker, all well and of an older build.
    fn cluster() -> ClusterView {
        let mut view = fake::cluster();
        let node = |name: &str, role, is_leader| NodeView {
            name: name.to_owned(),
            id: name.to_owned(),
            role,
            is_leader,
            state: NodeState::Alive,
            lag: Some(0),
            is_voting: (role == NodeRole::Voter).then_some(true),
            ..view.nodes[0].clone()
        };
        view.nodes = vec![
            node("berlin", NodeRole::Voter, true),
            node("oslo", NodeRole::Voter, false),
            node("paris", NodeRole::Voter, false),
            node("rome", NodeRole::Worker, false),
        ];
        view
    }

    fn nodes() -> Vec<NodeReport> {
        let said = NodeWord {
            version: "1".to_owned(),
            format_oldest: 4,
            format_newest: 5,
            layout: 1,
            uptime_seconds: 60,
            disk_free_bytes: Some(FREE_MIN),
            disk_size_bytes: Some(2 * FREE_MIN),
        };
        let report = |name: &str| NodeReport {
            name: name.to_owned(),
            id: name.to_owned(),
            said: Some(said.clone()),
        };
        ["berlin", "oslo", "paris", "rome"].map(report).to_vec()
    }

    fn judged(build: Build, change: impl Fn(&mut ClusterView, &mut Vec<NodeReport>)) -> Verdict {
        let (mut cluster, mut nodes) = (cluster(), nodes());
        change(&mut cluster, &mut nodes);
        judge(&Observed { build, cluster: &cluster, nodes: &nodes, jobs: &[] })
    }

    #[test]
    fn workers_go_first_the_leader_last_and_who_has_the_build_is_left_out() {
        let verdict = judged(build(5, 6), |_, nodes| {
            let said = nodes[1].said.as_mut().unwrap();
            (said.version, said.format_oldest, said.format_newest) = ("2".to_owned(), 5, 6);
        });
        let order: Vec<&str> = verdict.order.iter().map(|step| step.node.as_str()).collect();
        assert_eq!(order, ["rome", "paris", "berlin"]);
        assert!(verdict.order[2].leads && verdict.exit() == ExitCode::Done, "{verdict:?}");
        let text = verdict.lines().join("\n");
        assert!(text.contains("step 3      berlin (voter, leads: airlift cluster transfer-leader"));
        assert!(text.contains("format 6 comes into force when"), "{text}");
    }

    #[test]
    fn a_build_that_does_not_read_what_is_in_force_is_refused_with_the_way_out() {
        for (build, advice) in [
            (build(6, 7), "run an older build first, and upgrade step by step"),
            (build(3, 4), "run a newer build"),
        ] {
            let verdict = judged(build, |_, _| {});
            assert_eq!(verdict.exit(), ExitCode::CannotRun);
            assert!(verdict.impossible[0].ends_with(advice), "{verdict:?}");
            assert!(!verdict.lines().iter().any(|line| line.starts_with("step")));
        }
        let other = Build { layout: FormatVersion(2), ..build(5, 6) };
        assert!(judged(other, |_, _| {}).impossible[0].contains("berlin: its files are laid out"));
    }

    #[test]
    fn each_thing_that_is_not_well_is_a_reason_to_wait() {
        type Change = fn(&mut ClusterView, &mut Vec<NodeReport>);
        let cases: [(&str, Change); 7] = [
            ("no leader", |cluster, _| cluster.is_current = false),
            ("too few voters", |cluster, _| cluster.has_quorum = false),
            ("oslo is silent", |cluster, _| cluster.nodes[1].state = NodeState::Silent),
            ("paris joins", |cluster, _| cluster.nodes[2].is_voting = Some(false)),
            ("paris is 65 entries behind", |cluster, _| cluster.nodes[2].lag = Some(65)),
            ("which format is in force", |cluster, _| cluster.format = None),
            ("rome has 511 MiB free", |_, nodes| {
                nodes[3].said.as_mut().unwrap().disk_free_bytes = Some(FREE_MIN - 1);
            }),
        ];
        for (part, change) in cases {
            let verdict = judged(build(5, 6), change);
            assert_eq!(verdict.exit(), ExitCode::Trouble, "{part}");
            assert!(
                verdict.wait.len() == 1 && verdict.wait[0].contains(part),
                "{part}: {verdict:?}"
            );
        }
        assert_eq!(judged(build(5, 6), |_, _| {}).exit(), ExitCode::Done);
    }

    #[test]
    fn jobs_and_ways_back_are_told_and_hold_nothing_up() {
        let (cluster, nodes) = (cluster(), nodes());
        let mut job = fake::begun().job;
        job.target = ByteText(b"rome:/data".to_vec());
        let ended = fake::ended().job;
        let jobs = [job, ended];
        let old = build(4, 4);
        let back = ClusterView { format: Some(4), ..cluster.clone() };
        let observed = Observed { build: old, cluster: &back, nodes: &nodes, jobs: &jobs };
        let verdict = judge(&observed);
        assert_eq!(verdict.exit(), ExitCode::Done, "{verdict:?}");
        let notes = verdict.notes.join("\n");
        assert!(notes.contains("1 jobs are under way"), "{notes}");
        assert!(notes.contains("1 of them rest while berlin starts again"), "{notes}");
        assert!(notes.contains("1 of them rest while rome starts again"), "{notes}");
        assert!(notes.contains("a way back for berlin oslo paris rome"), "{notes}");
        let few = ClusterView { nodes: cluster.nodes[..2].to_vec(), ..cluster };
        let notes = judge(&Observed { cluster: &few, ..observed }).notes.join("\n");
        assert!(notes.contains("with 2 voters nothing is decided"), "{notes}");
    }
}
