//! `node`: what a node of a cluster is started with.

use std::ffi::OsString;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::pin::pin;

use clap::{Args, ValueHint};
use tokio::sync::watch;

use super::args::{FlagSetting, PaceArgs, given};
use super::connect::read_token;
use super::console::words;
use super::exit::{CliError, ExitCode};
use super::transfer::Interrupts;
use crate::api::client::Secret;
use crate::build::Build;
use crate::config::Config;
use crate::runtime::cluster::{self, ClusterOptions, Reach};

/// Characters of a node's name.
const NAME_CHARS_MAX: usize = 63;

const EXAMPLES: &str = "\
The first start of a node joins a cluster with a token of airlift cluster token; later ones need the
directory only.

Examples:
  airlift node --data-dir /var/lib/airlift --name paris --listen 192.0.2.2:7401 --join-file token
  airlift node --data-dir /var/lib/airlift";

/// `node`.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct NodeArgs {
    /// Directory for what the node keeps
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub data_dir: PathBuf,
    /// Name of the node, as in NAME:/path; kept after the first start
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    pub name: Option<String>,
    /// Address at which other nodes reach this one; kept after the first start
    #[arg(long, value_name = "HOST:PORT", value_hint = ValueHint::Hostname)]
    pub listen: Option<String>,
    /// Where else the node is reached; kept after the first start.
    #[command(flatten)]
    pub reach: ReachArgs,
    /// Address of the API; kept after the first start
    #[arg(long, value_name = "HOST:PORT", value_hint = ValueHint::Hostname)]
    pub api: Option<String>,
    /// Plain text for an API address that other machines reach; it speaks TLS otherwise
    #[arg(long)]
    pub api_insecure: bool,
    /// Certificate that the API shows, as PEM; read again when it has changed (AIRLIFT_API_CERT)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub api_cert: Option<OsString>,
    /// Key of that certificate, as PEM (AIRLIFT_API_KEY)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub api_key: Option<OsString>,
    /// Look for the other nodes by multicast in the local network, in case their addresses change
    #[arg(long)]
    pub mdns: bool,
    /// Address that serves /metrics, /healthz and /readyz without a token, to whoever reaches it
    #[arg(long, value_name = "HOST:PORT", value_hint = ValueHint::Hostname)]
    pub metrics: Option<OsString>,
    /// Send traces to this OpenTelemetry collector, by OTLP over HTTP, such as http://127.0.0.1:4318
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    pub otlp: Option<OsString>,
    /// How hard the node works.
    #[command(flatten)]
    pub pace: PaceArgs,
    /// Token by which the node joins a cluster; other users of this machine may see it
    #[arg(long, value_name = "TOKEN", conflicts_with = "join_file")]
    pub join: Option<String>,
    /// File with that token
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub join_file: Option<PathBuf>,
}

/// Where a node is reached, beside `--listen`.
#[derive(Clone, Debug, Default, Args)]
pub struct ReachArgs {
    /// Address of the data plane, UDP; any free port of --listen's host when it is not given
    #[arg(long, value_name = "HOST:PORT", value_hint = ValueHint::Hostname)]
    pub data_listen: Option<String>,
    /// Address that others are told instead of --listen, as of a router that forwards it; repeatable
    #[arg(long, value_name = "HOST:PORT", value_hint = ValueHint::Hostname)]
    pub external: Vec<String>,
    /// Address that others are told instead of the data plane's own; repeatable
    #[arg(long, value_name = "HOST:PORT", value_hint = ValueHint::Hostname)]
    pub data_external: Vec<String>,
}

impl ReachArgs {
    /// Resolves names of hosts.
    ///
    /// # Errors
    /// When a host is not known.
    pub(super) fn resolve(&self) -> Result<Reach, CliError> {
        let all = |flag: &str, texts: &[String]| {
            texts.iter().map(|text| resolve_host(flag, text)).collect::<Result<Vec<_>, _>>()
        };
        let data_listen = self.data_listen.as_deref();
        Ok(Reach {
            data_listen: data_listen.map(|text| resolve_host("--data-listen", text)).transpose()?,
            external: all("--external", &self.external)?,
            data_external: all("--data-external", &self.data_external)?,
        })
    }
}

/// What a node is started with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeOptions {
    /// Directory for what the node keeps.
    pub data_dir: PathBuf,
    /// Its name, when it is given anew.
    pub name: Option<String>,
    /// Address at which other nodes reach it, when it is given anew.
    pub listen: Option<SocketAddr>,
    /// Where else it is reached, as far as that is given anew.
    pub reach: Reach,
    /// Address of the API, when it is given anew.
    pub api: Option<SocketAddr>,
    /// Whether other machines may reach the API in plain text.
    pub allow_insecure_api: bool,
    /// Whether it looks for the others by multicast.
    pub mdns: bool,
    /// Token by which it joins a cluster.
    pub join: Option<Secret>,
}

impl NodeArgs {
    /// Key, flag and text of each flag that sets something.
    pub fn settings(&self) -> Vec<FlagSetting> {
        let mut settings = self.pace.settings();
        settings.extend(given([
            ("metrics", "--metrics", self.metrics.clone()),
            ("otlp", "--otlp", self.otlp.clone()),
            ("api_cert", "--api-cert", self.api_cert.clone()),
            ("api_key", "--api-key", self.api_key.clone()),
        ]));
        settings
    }

    /// Resolves names of hosts, reads the token, and checks what can be checked.
    ///
    /// # Errors
    /// When a host is not known, or the token cannot be read.
    pub fn options(&self) -> Result<NodeOptions, CliError> {
        let listen = self.listen.as_deref().map(|text| resolve_host("--listen", text));
        let api = self.api.as_deref().map(|text| resolve_host("--api", text));
        let join = match (&self.join, &self.join_file) {
            (Some(text), _) => Some(Secret::new(text.trim())),
            (None, Some(path)) => Some(read_token(path)?),
            (None, None) => None,
        };
        Ok(NodeOptions {
            data_dir: self.data_dir.clone(),
            name: self.name.clone(),
            listen: listen.transpose()?,
            reach: self.reach.resolve()?,
            api: api.transpose()?,
            allow_insecure_api: self.api_insecure,
            mdns: self.mdns,
            join,
        })
    }
}

/// Runs a node until a signal ends it. A second one does not wait for what the node hands over.
///
/// # Errors
/// When it cannot begin, or not go on.
pub(super) async fn run(
    args: &NodeArgs,
    config: Config,
    build: Build,
) -> Result<ExitCode, CliError> {
    let options = args.options()?;
    let metrics = config.metrics.as_deref().map(|text| resolve_host("--metrics", text));
    let metrics = metrics.transpose()?;
    let (stop, stopped) = watch::channel(false);
    let node = cluster::run(
        ClusterOptions {
            webhooks: config.webhooks,
            data_dir: options.data_dir,
            name: options.name,
            listen: options.listen,
            reach: options.reach,
            api: options.api,
            allow_insecure_api: options.allow_insecure_api,
            api_files: config.api_files,
            metrics,
            mdns: options.mdns,
            join: options.join.map(|secret| secret.reveal().to_owned()),
            stores: config.stores,
            slots: config.slots,
            memory_bytes: config.memory_bytes,
            log_entries: config.log_entries,
            build,
            collector: config.otlp,
            transport: config.transport,
        },
        stopped,
    );
    let mut interrupts = Interrupts::listen()?;
    let mut node = pin!(node);
    tokio::select! {
        ended = &mut node => return Ok(ended.map(|()| ExitCode::Done)?),
        () = interrupts.next() => {
            stop.send_replace(true);
        }
    }
    tokio::select! {
        ended = node => Ok(ended.map(|()| ExitCode::Done)?),
        // What is not on disk yet is as after a sudden death: nothing depends on it.
        () = interrupts.next() => Ok(ExitCode::Interrupted),
    }
}

/// Reads a name that can stand in `NAME:/path`.
///
/// # Errors
/// When it cannot: what to write.
pub(super) fn parse_name(text: &str) -> Result<String, String> {
    let is_word = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c));
    match is_word && text.len() <= NAME_CHARS_MAX {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "write a letter, then letters, digits, '.', '-' or '_', at most {NAME_CHARS_MAX} in all"
        )),
    }
}

/// Reads `HOST:PORT`, asking the system for the address of a name.
///
/// # Errors
/// When it is something else, or the name is not known.
pub(super) fn resolve_host(flag: &str, text: &str) -> Result<SocketAddr, CliError> {
    let shown = text.escape_debug();
    let mut addresses = text.to_socket_addrs().map_err(|error| {
        let reason = words(&error);
        CliError::usage(format!("{flag} {shown}: {reason}; write HOST:PORT"))
    })?;
    addresses
        .next()
        .ok_or_else(|| CliError::usage(format!("{flag} {shown}: the host has no address")))
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;

    #[derive(Debug, Parser)]
    struct Node {
        #[command(flatten)]
        args: NodeArgs,
    }

    #[test]
    fn a_node_can_be_started_again_with_its_directory_only() {
        Node::command().debug_assert();
        let args = Node::try_parse_from(["node", "--data-dir", "/d"]).unwrap().args;
        let options = args.options().unwrap();
        assert_eq!((options.name, options.listen, options.join), (None, None, None));
        assert!(!options.mdns, "nothing is sent into the network unless that is wanted");
    }

    #[test]
    fn what_others_are_told_may_be_several_addresses() {
        let line = "node --data-dir /d --data-listen 192.0.2.1:7402 --external 198.51.100.1:1 \
                    --external 192.0.2.1:1 --data-external 198.51.100.1:2";
        let reach =
            Node::try_parse_from(line.split_whitespace()).unwrap().args.options().unwrap().reach;
        assert_eq!(reach.data_listen, Some("192.0.2.1:7402".parse().unwrap()));
        assert_eq!((reach.external.len(), reach.data_external.len()), (2, 1));
        let wrong = Node::try_parse_from(["node", "--data-dir", "/d", "--data-listen", "7402"]);
        let error = wrong.unwrap().args.options().unwrap_err();
        assert!(error.message.starts_with("--data-listen 7402: "), "{error}");
    }

    #[test]
    fn names_fit_into_locations() {
        for name in ["a", "berlin-1", "rack.3_x"] {
            assert_eq!(parse_name(name).as_deref(), Ok(name));
            let location =
                airlift_protocol::location::Location::parse(format!("{name}:/x").as_bytes());
            assert!(matches!(location, Ok(airlift_protocol::location::Location::Node { .. })));
        }
        for name in ["", "1a", "a b", "a:b", "a/b", "é", &"a".repeat(64)] {
            assert!(parse_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn addresses_need_a_port() {
        assert!(resolve_host("--listen", "127.0.0.1:1").is_ok());
        let error = resolve_host("--listen", "127.0.0.1").unwrap_err();
        assert!(error.message.starts_with("--listen 127.0.0.1: "), "{error}");
    }
}
