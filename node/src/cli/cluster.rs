//! `cluster`: look at a cluster, let nodes in, take them out, hand over the lead; and begin one.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use airlift_protocol::schedule::Bandwidth;
use airlift_protocol::units::{ByteCount, ByteRate};
use clap::{Args, Subcommand, ValueEnum, ValueHint};
use serde::Serialize;

use super::args::{FlagSetting, Global};
use super::connect::{Cluster, ClusterArgs};
use super::console::{Console, unless_closed};
use super::exit::{CliError, ExitCode};
use super::explain::throttled;
use super::format::{clock, count};
use super::job::print;
use super::node::{ReachArgs, parse_name, resolve_host};
use super::ready::{self, ReadyArgs};
use super::retention::{self, KEEP_EXAMPLES, KeepArgs};
use super::{duration, table};
use crate::api::client::{Client, ClientErrorKind};
use crate::api::error::ApiCode;
use crate::api::request::{LeaderRequest, LimitRequest, TOKEN_LIFE_MAX, TokenRequest};
use crate::api::view::{ClusterView, NodeFigures, NodeRole, NodeView, Traffic};
use crate::config::Config;
use crate::runtime::cluster::{Beginning, Reach, begin};

/// Life of a token when nothing else is said.
const TOKEN_LIFE_DEFAULT: &str = "1h";

const TOKEN_EXAMPLES: &str = "\
Prints a join token on standard output, and when it expires on standard error. One node can use it, once.
People and programs that use the cluster get theirs with `airlift token create`.
A voter takes part in decisions: have an odd number of them, on machines that you trust.

Examples:
  airlift cluster token --role worker > token
  airlift cluster token --role voter --ttl 10m";

const READY_HELP: &str = "\
Needs no token, and asks neither another node nor twice: for health checks of containers and the like.
Exit code 0: it is ready; 3: it is not, does not answer, or nothing is there.

Examples:
  airlift cluster ready
  airlift cluster ready http://127.0.0.1:7403";

const LIMIT_EXAMPLES: &str = "\
The limit holds for all jobs and nodes together, beside what --bwlimit says of each job. A node that
does not hear the leader for 10 s moves nothing until it does.

Examples:
  airlift cluster limit 200M
  airlift cluster limit 'Mon-Fri 08:00-18:00 200M, Mon-Fri 18:00-08:00 1G; Europe/Berlin'
  airlift cluster limit off";

const INIT_EXAMPLES: &str = "\
Makes the identity of a new cluster and of its first node, a voter, in an empty directory.

Examples:
  airlift cluster init --data-dir /var/lib/airlift --name berlin --listen 192.0.2.1:7401 \\
    --api 127.0.0.1:7400";

/// `cluster`.
#[derive(Clone, Debug, Subcommand)]
pub enum ClusterCommand {
    /// Begin a cluster with this machine as its first node
    Init(InitArgs),
    /// Make a join token, by which one node can join
    #[command(after_help = TOKEN_EXAMPLES)]
    Token(TokenArgs),
    /// Show the cluster and its nodes
    #[command(after_help = "Examples:\n  airlift cluster status --cluster http://127.0.0.1:7400")]
    Status(ClusterArgs),
    /// Ask one node whether it is ready: whether it hears a leader
    #[command(after_help = READY_HELP)]
    Ready(ReadyArgs),
    /// Remove a node for good
    #[command(after_help = "Examples:\n  airlift cluster remove paris")]
    Remove(RemoveArgs),
    /// Let another voter lead
    #[command(
        after_help = "Examples:\n  airlift cluster transfer-leader\n  airlift cluster transfer-leader paris"
    )]
    TransferLeader(TransferLeaderArgs),
    /// Limit what all jobs together move, or lift that limit
    #[command(after_help = LIMIT_EXAMPLES)]
    Limit(LimitArgs),
    /// Say how long finished jobs and their reports are kept
    #[command(after_help = KEEP_EXAMPLES)]
    KeepFinished(KeepArgs),
}

/// Role of the node that is to join.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RoleArg {
    /// It decides with the others, and moves data
    Voter,
    /// It moves data
    Worker,
}

/// `cluster token`.
#[derive(Clone, Debug, Args)]
pub struct TokenArgs {
    /// What the node will be
    #[arg(long, value_enum)]
    pub role: RoleArg,
    /// How long the token can be used, such as 90s, 30m or 1h; at most 1h
    #[arg(long, value_name = "TIME", default_value = TOKEN_LIFE_DEFAULT, value_parser = parse_life)]
    pub ttl: Duration,
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// `cluster remove`.
#[derive(Clone, Debug, Args)]
pub struct RemoveArgs {
    /// Name or id of the node
    #[arg(value_name = "NODE")]
    pub node: String,
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// `cluster transfer-leader`.
#[derive(Clone, Debug, Args)]
pub struct TransferLeaderArgs {
    /// Name or id of the voter that is to lead; the cluster chooses when it is not given
    #[arg(value_name = "NODE")]
    pub node: Option<String>,
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// `cluster limit`.
#[derive(Clone, Debug, Args)]
pub struct LimitArgs {
    /// Bytes per second, such as 100M; a schedule of them; or off
    #[arg(value_name = "RATE|SCHEDULE|off", value_parser = parse_limit)]
    pub limit: Limit,
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// What all jobs together may move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Whatever they can.
    Off,
    /// So many bytes per second, always or by the time of the week.
    At(Bandwidth),
}

fn parse_limit(text: &str) -> Result<Limit, String> {
    match text {
        "off" => Ok(Limit::Off),
        rate => rate.parse().map(Limit::At).map_err(|error| format!("{error}; or write off")),
    }
}

/// `cluster init`.
#[derive(Clone, Debug, Args)]
#[command(after_help = INIT_EXAMPLES)]
pub struct InitArgs {
    /// Directory for what the node keeps; made if need be
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub data_dir: PathBuf,
    /// Name of the first node, as in NAME:/path
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    pub name: String,
    /// Address at which other nodes reach this one
    #[arg(long, value_name = "HOST:PORT", value_hint = ValueHint::Hostname)]
    pub listen: String,
    /// Where else the node is reached.
    #[command(flatten)]
    pub reach: ReachArgs,
    /// Address of the API
    #[arg(long, value_name = "HOST:PORT", value_hint = ValueHint::Hostname, default_value = "127.0.0.1:7400")]
    pub api: String,
    /// Plain text for an API address that other machines reach; it speaks TLS otherwise
    #[arg(long)]
    pub api_insecure: bool,
}

/// What a new cluster begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitOptions {
    /// Directory for what the node keeps.
    pub data_dir: PathBuf,
    /// Name of the first node.
    pub name: String,
    /// Address at which other nodes reach it.
    pub listen: SocketAddr,
    /// Where else it is reached.
    pub reach: Reach,
    /// Address of the API.
    pub api: SocketAddr,
    /// Whether other machines may reach the API in plain text.
    pub allow_insecure_api: bool,
}

impl InitArgs {
    /// Resolves names of hosts, and checks what can be checked.
    ///
    /// # Errors
    /// When a host is not known.
    pub fn options(&self) -> Result<InitOptions, CliError> {
        Ok(InitOptions {
            data_dir: self.data_dir.clone(),
            name: self.name.clone(),
            listen: resolve_host("--listen", &self.listen)?,
            reach: self.reach.resolve()?,
            api: resolve_host("--api", &self.api)?,
            allow_insecure_api: self.api_insecure,
        })
    }
}

fn parse_life(text: &str) -> Result<Duration, String> {
    match duration::parse(text)? {
        life if life > TOKEN_LIFE_MAX => Err("a token lives for at most 1h".to_owned()),
        life => Ok(life),
    }
}

impl ClusterCommand {
    /// Key, flag and text of each flag that sets something.
    pub(super) fn settings(&self) -> Vec<FlagSetting> {
        match self {
            Self::Init(_) | Self::Ready(_) => Vec::new(),
            Self::Status(cluster) => cluster.settings(),
            Self::Token(args) => args.cluster.settings(),
            Self::Remove(args) => args.cluster.settings(),
            Self::TransferLeader(args) => args.cluster.settings(),
            Self::Limit(args) => args.cluster.settings(),
            Self::KeepFinished(args) => args.cluster.settings(),
        }
    }
}

/// Runs one of the commands.
///
/// # Errors
/// When no node answers, or the answer is an error.
pub(super) async fn run(
    command: &ClusterCommand,
    global: &Global,
    config: &Config,
    console: &Console,
) -> Result<ExitCode, CliError> {
    match command {
        ClusterCommand::Init(args) => return init(args, global, config, console),
        ClusterCommand::Ready(args) => return ready::run(args, global, console).await,
        _ => {}
    }
    let client = Cluster::require(config)?.client;
    let view = match command {
        ClusterCommand::Token(args) => {
            let role = match args.role {
                RoleArg::Voter => NodeRole::Voter,
                RoleArg::Worker => NodeRole::Worker,
            };
            let request = TokenRequest { role, ttl_seconds: args.ttl.as_secs() };
            let token = client.create_token(&request).await?;
            if !global.quiet && !global.json {
                let (role, at) = (token.role.as_str(), &token.expires_at);
                console.note(&format!("for one {role}, until {at}: airlift node --join-file FILE"));
            }
            return print(&token, token.token.clone(), global, console);
        }
        ClusterCommand::Init(_) | ClusterCommand::Ready(_) | ClusterCommand::Status(_) => {
            return status(&client, global, console).await;
        }
        ClusterCommand::Remove(args) => client.remove_node(&args.node).await?,
        ClusterCommand::TransferLeader(args) => {
            client.transfer_leader(&LeaderRequest { node: args.node.clone() }).await?
        }
        ClusterCommand::KeepFinished(args) => client.set_retention(&args.keep.request()).await?,
        ClusterCommand::Limit(args) => {
            let bandwidth = match &args.limit {
                Limit::Off => None,
                Limit::At(bandwidth) => Some(bandwidth),
            };
            client.limit(&LimitRequest::from(bandwidth)).await?
        }
    };
    if !global.json {
        unless_closed(console.print(&head(&view)))?;
    }
    print(&view, nodes(&view), global, console)
}

async fn status(client: &Client, global: &Global, console: &Console) -> Result<ExitCode, CliError> {
    let cluster = client.cluster().await?;
    let own = match client.node().await {
        Ok(own) => Some(own),
        // A token for some locations shows who is in the cluster, and not what a node has done.
        Err(error) if error.kind == ClientErrorKind::Answered(ApiCode::Forbidden) => None,
        Err(error) => return Err(error.into()),
    };
    let parts = [Some(head(&cluster)), own.as_ref().map(figures), Some(nodes(&cluster))];
    let text = parts.into_iter().flatten().collect::<Vec<_>>().join("\n");
    print(&StatusView { cluster, own }, text, global, console)
}

fn init(
    args: &InitArgs,
    global: &Global,
    config: &Config,
    console: &Console,
) -> Result<ExitCode, CliError> {
    let options = args.options()?;
    let begun = begin(&Beginning {
        data_dir: options.data_dir.clone(),
        name: options.name,
        listen: options.listen,
        reach: options.reach.clone(),
        api: options.api,
        allow_insecure_api: options.allow_insecure_api,
        api_files: config.api_files.clone(),
    })?;
    let (directory, token) = (options.data_dir.display(), begun.token_file.display());
    let text = format!(
        "cluster  {}\nnode     {}\ntoken    {token}\n\nStart the node:  airlift node --data-dir \
         {directory}\nAsk it:          airlift cluster status --cluster {} --token-file {token}",
        begun.cluster, begun.node, begun.api
    );
    let document = InitView {
        cluster: begun.cluster.clone(),
        node: begun.node.clone(),
        token_file: token.to_string(),
        api: begun.api.clone(),
    };
    print(&document, text, global, console)
}

/// What `cluster init --json` prints.
#[derive(Debug, Serialize)]
struct InitView {
    cluster: String,
    node: String,
    token_file: String,
    api: String,
}

/// What `cluster status --json` prints: the cluster, and the figures of the node that was asked, which are
/// `null` for a token that may not see them.
#[derive(Debug, Serialize)]
struct StatusView {
    #[serde(flatten)]
    cluster: ClusterView,
    #[serde(rename = "self")]
    own: Option<NodeFigures>,
}

fn figures(own: &NodeFigures) -> String {
    let traffic = |traffic: &Traffic| {
        let (sent, received) = (ByteCount(traffic.sent_bytes), ByteCount(traffic.received_bytes));
        format!("{sent} sent, {received} received")
    };
    let up = clock(Duration::from_secs(own.uptime_seconds));
    let memory =
        own.memory_bytes.map_or_else(String::new, |bytes| format!(", {}", ByteCount(bytes)));
    let log = own.log.as_ref().map_or_else(String::new, |log| {
        let (entries, syncs) = (count(log.entries), count(log.syncs));
        format!("; log {entries} entries, {} in {syncs} writes", ByteCount(log.bytes))
    });
    let (name, control, data) = (&own.name, traffic(&own.control), traffic(&own.data));
    let asked = format!("asked    {name}, up {up}{memory}; control {control}; data {data}{log}");
    let stores = throttled(&own.stores).into_iter().map(|store| format!("store    {store}"));
    std::iter::once(asked).chain(stores).collect::<Vec<_>>().join("\n")
}

fn head(view: &ClusterView) -> String {
    let voters = || view.nodes.iter().filter(|node| node.role == NodeRole::Voter);
    let alive = voters().filter(|node| node.state.as_str() == "alive").count();
    let quorum = if view.has_quorum { "yes" } else { "NO: nothing can be decided" };
    let mut lines = vec![
        format!("cluster  {}", view.id),
        format!("leader   {}", view.leader.as_deref().unwrap_or("none")),
        format!("quorum   {quorum} ({alive} of {} voters alive)", voters().count()),
        format!("log      term {}, {} committed", view.term, count(view.commit_index)),
        format!("limit    {}", limit(view)),
        format!("keeps    {}", retention::describe(view.retention)),
        format!("format   {}", format_in_force(view)),
    ];
    if !view.is_current {
        lines.push(
            "NOT CURRENT: no leader answers; this is what the node asked knew last".to_owned(),
        );
    }
    lines.join("\n")
}

fn limit(view: &ClusterView) -> String {
    let now = view.bandwidth_bytes_per_second.map(ByteRate);
    match (now, &view.bandwidth_schedule) {
        (Some(rate), None) => format!("{rate} for all jobs together"),
        (Some(rate), Some(schedule)) => format!("{rate} now for all jobs together, by {schedule}"),
        (None, Some(schedule)) => format!("none now, by {schedule}"),
        (None, None) => "none".to_owned(),
    }
}

/// What all nodes write, and who keeps it from being raised.
fn format_in_force(view: &ClusterView) -> String {
    let Some(format) = view.format else { return "not known to the node asked".to_owned() };
    let behind = view.nodes.iter().filter(|node| node.format_newest <= format);
    let behind: Vec<&str> = behind.map(|node| node.name.as_str()).collect();
    match behind.len() == view.nodes.len() {
        true => format.to_string(),
        false => format!("{format}, until these have a newer build: {}", behind.join(" ")),
    }
}

fn nodes(view: &ClusterView) -> String {
    let heads =
        ["NODE", "ROLE", "STATE", "HEARD", "LAG", "MAY", "VERSION", "ID", "ADDRESSES", "DATA"];
    let rows = view.nodes.iter().map(|node: &NodeView| {
        let dash = || "-".to_owned();
        let role = match (node.is_leader, node.is_voting) {
            (true, _) => format!("{}, leads", node.role.as_str()),
            (false, Some(false)) => format!("{}, joins", node.role.as_str()),
            (false, _) => node.role.as_str().to_owned(),
        };
        [
            node.name.clone(),
            role,
            node.state.as_str().to_owned(),
            node.last_heard_seconds.map_or_else(dash, |seconds| format!("{seconds} s ago")),
            node.lag.map_or_else(dash, count),
            node.share_bytes_per_second.map_or_else(dash, |share| ByteRate(share).to_string()),
            node.version.clone().unwrap_or_else(dash),
            node.id.clone(),
            node.addresses.join(" "),
            node.data_addresses.join(" "),
        ]
    });
    table::print(heads.map(str::to_owned), rows)
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;

    #[derive(Debug, Parser)]
    struct Init {
        #[command(flatten)]
        args: InitArgs,
    }

    fn init(line: &str) -> InitArgs {
        Init::try_parse_from(line.split(' ')).unwrap().args
    }

    #[test]
    fn a_cluster_begins_with_loopback_for_the_api() {
        Init::command().debug_assert();
        let args = init("init --data-dir /d --name berlin --listen 192.0.2.1:7401");
        let options = args.options().unwrap();
        assert_eq!(options.api, "127.0.0.1:7400".parse().unwrap());
        assert_eq!(options.listen, "192.0.2.1:7401".parse().unwrap());
    }

    #[test]
    fn a_voter_that_does_not_count_yet_is_shown_to_join() {
        let mut view = crate::api::fake::cluster();
        assert!(nodes(&view).contains("voter, leads"));
        view.nodes[0].is_leader = false;
        assert!(!nodes(&view).contains("joins"));
        view.nodes[0].is_voting = Some(false);
        assert!(nodes(&view).contains("voter, joins"));
        assert!(!nodes(&view).contains("worker, joins"));
    }

    #[test]
    fn a_limit_is_a_rate_or_off() {
        assert_eq!(parse_limit("off"), Ok(Limit::Off));
        assert_eq!(parse_limit("2M"), Ok(Limit::At(ByteRate(2 << 20).into())));
        for text in ["", "0", "fast", "Off"] {
            assert!(parse_limit(text).is_err_and(|error| error.contains("off")), "{text}");
        }
    }

    #[test]
    fn plain_text_on_the_network_has_to_be_asked_for() {
        let line = "init --data-dir /d --name b --listen 192.0.2.1:7401 --api 192.0.2.1:7400";
        assert!(!init(line).options().unwrap().allow_insecure_api);
        assert!(init(&format!("{line} --api-insecure")).options().unwrap().allow_insecure_api);
    }
}
