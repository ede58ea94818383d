//! A node of a cluster: both state machines, the two networks, the API.
//!
//! ```text
//!            clients ──▶ api ──▶ service ──▶ ask ─┐
//!  other nodes ◀──▶ control network ◀──────────▶ driver ◀──▶ coordinator, agent
//!  other nodes ◀──▶ data network ◀──▶ work ◀──────┘  └──▶ consensus file, records
//! ```

pub(crate) mod api_token;
mod archive;
mod ask;
mod certificate;
mod courier;
mod directory;
mod driver;
mod fetch;
mod figures;
mod join;
mod lines;
mod probe;
mod reach;
mod records;
mod service;
mod shares;
mod spans;
mod talk;
mod token;
mod work;

#[cfg(any(test, fuzzing))]
pub(crate) use token::JoinTokenText as TokenText;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use airlift_coordinator::Coordinator;
use airlift_coordinator::consensus::{Compaction, Config, Consensus, Durable};
use airlift_coordinator::state::State;
use airlift_protocol::attributes::AttributeSet;
use airlift_protocol::cluster::{Addresses, Boot, ClusterId, Member, NodeName, Role};
use airlift_protocol::codec;
use airlift_protocol::error::ErrorCode;
use airlift_protocol::id::NodeId;
use airlift_protocol::job::JobSpec;
use airlift_protocol::limits::STATE_BYTES_MAX;
use airlift_protocol::location::Location;
use airlift_protocol::raft::{RaftId, snapshot_digest};
use airlift_protocol::time::Timestamp;
use airlift_protocol::version::Formats;
use async_trait::async_trait;
use tokio::sync::{mpsc, watch};

use self::archive::Archive;
use self::ask::Asker;
use self::certificate::certificate;
use self::courier::{Courier, Deliveries};
use self::directory::{Directory, NodeRecord};
use self::driver::{Driver, Parts, Sources};
use self::figures::{Figures, NodeMeters};
use self::join::Applicant;
use self::lines::{FoundKeys, Lines};
pub use self::reach::Reach;
use self::records::RecordFile;
use self::service::{ClusterService, Probe};
use self::token::{JoinTokenText, random};
use self::work::{Setup, Workshop};
use super::blocking::blocking;
use super::clock;
use super::embedded::RunError;
use super::executor::HandedIn;
use crate::api::error::{ApiCode, ApiError};
use crate::api::request::Found;
use crate::api::server::{ApiServer, Limits, ServerOptions, StartError};
use crate::api::service::Service;
use crate::api::tls::{Certificate, CertificateFiles};
use crate::build::Build;
use crate::network::control::{ControlNetwork, ControlOptions};
use crate::network::data::serve::SourceServer;
use crate::network::data::{DataNetwork, DataOptions, Transport};
use crate::network::identity::Identity;
use crate::storage::consensus::{ConsensusFile, LAYOUT, MemberIdentity};
use crate::store::StoreError;
use crate::store::settings::StoreOptions;
use crate::store::{holds, locate};
use crate::traces::{Collector, Exporter};
use crate::webhook::{Webhook, check_secrets};

/// Outcomes on their way to the agent; each may be a manifest page.
const OUTCOMES_MAX: usize = 4;

/// How a node is run.
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    /// Its directory.
    pub data_dir: PathBuf,
    /// Its name, at its first start.
    pub name: Option<String>,
    /// Where its control plane listens, when that is new.
    pub listen: Option<SocketAddr>,
    /// Where else others reach it, as far as that is new.
    pub reach: Reach,
    /// Where clients reach it, when that is new.
    pub api: Option<SocketAddr>,
    /// Whether the API may be reached from other machines in plain text.
    pub allow_insecure_api: bool,
    /// The operator's certificate for the API.
    pub api_files: Option<CertificateFiles>,
    /// Where monitoring reads metrics without a token, if anywhere.
    pub metrics: Option<SocketAddr>,
    /// Whether it looks for the addresses of the others by multicast.
    pub mdns: bool,
    /// The token by which it joins, at its first start.
    pub join: Option<String>,
    /// How stores are reached.
    pub stores: StoreOptions,
    /// Assignments at once, at most.
    pub slots: usize,
    /// Bytes that the pipeline may hold at once.
    pub memory_bytes: u64,
    /// Entries after which a voter cuts its log.
    pub log_entries: u64,
    /// The build that runs it.
    pub build: Build,
    /// Who is sent traces.
    pub collector: Option<Collector>,
    /// What carries data between nodes.
    pub transport: Transport,
    /// Who is told what happens to jobs, while it leads.
    pub webhooks: Vec<Webhook>,
}

/// What a new cluster begins with.
#[derive(Clone, Debug)]
pub struct Beginning {
    /// Directory of the first node.
    pub data_dir: PathBuf,
    /// Its name.
    pub name: String,
    /// Where its control plane listens.
    pub listen: SocketAddr,
    /// Where else others reach it.
    pub reach: Reach,
    /// Where clients reach it.
    pub api: SocketAddr,
    /// Whether the API may be reached from other machines in plain text.
    pub allow_insecure_api: bool,
    /// The operator's certificate for the API.
    pub api_files: Option<CertificateFiles>,
}

/// What was begun.
#[derive(Clone, Debug)]
pub struct Begun {
    /// The cluster, in hex.
    pub cluster: String,
    /// Its first node, in hex.
    pub node: String,
    /// The file with the administrator's token.
    pub token_file: PathBuf,
    /// Where its API will answer on this machine.
    pub api: String,
}

/// Prepares a new cluster: identity, log, and the administrator's token. Nothing runs yet.
///
/// # Errors
/// When the directory belongs to a node already, or cannot be written.
pub fn begin(beginning: &Beginning) -> Result<Begun, RunError> {
    let directory = Directory::create(&beginning.data_dir)?;
    if directory.read()?.is_some() {
        let path = directory.path().display();
        return Err(RunError::usage(format!("{path} belongs to a node already: choose another")));
    }
    node_name(&beginning.name)?;
    let identity = identity(directory.path())?;
    let cluster = ClusterId(half(random()));
    let state = codec::encode(&State::default());
    let digest = snapshot_digest(&state);
    let durable = Durable::found(RaftId(1), digest, state.len() as u64);
    let (admin, token) = api_token::draw_root();
    directory.write_snapshot(&digest, &state)?;
    directory.write_admin_token(&token)?;
    create_log(&directory, cluster, RaftId(1), &durable)?;
    let record = NodeRecord {
        name: beginning.name.clone(),
        listen: beginning.listen,
        reach: beginning.reach.clone(),
        api: beginning.api,
        allow_insecure_api: beginning.allow_insecure_api,
        cluster: cluster.0,
        raft: Some(1),
        founding: Some(admin.hash()),
        members: Vec::new(),
        members_version: 0,
        starts: 0,
    };
    let shown = certificate(&directory, &record, beginning.api_files.as_ref())?;
    directory.write(&record)?;
    Ok(Begun {
        cluster: cluster.to_string(),
        node: identity.node().to_string(),
        token_file: directory.admin_token(),
        api: certificate::url(beginning.api, shown.as_ref()),
    })
}

fn half(bytes: [u8; 32]) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&bytes[..16]);
    half
}

fn identity(directory: &Path) -> Result<Identity, RunError> {
    Identity::load_or_create(directory).map_err(|error| RunError::cannot_run(error.to_string()))
}

fn node_name(name: &str) -> Result<NodeName, RunError> {
    NodeName::parse(name).map_err(|error| RunError::usage(error.to_string()))
}

fn create_log(
    directory: &Directory,
    cluster: ClusterId,
    id: RaftId,
    durable: &Durable,
) -> Result<(), StoreError> {
    let incarnation = half(random());
    let member = MemberIdentity { layout: LAYOUT, cluster: cluster.0, id, incarnation };
    ConsensusFile::create(&directory.consensus(), &member, durable).map(drop)
}

/// The founder as its cluster knows it.
fn founder(
    record: &NodeRecord,
    node: NodeId,
    addresses: &Addresses,
    formats: Formats,
) -> Result<Member, RunError> {
    Ok(Member {
        id: node,
        name: node_name(&record.name)?,
        role: Role::Voter,
        raft: record.raft.map(RaftId),
        addresses: addresses.clone(),
        joined_at: clock::wall(),
        formats,
    })
}

/// Runs a node until `stop` turns true.
///
/// # Errors
/// When it cannot begin, or not go on; what it has done so far is kept.
pub async fn run(mut options: ClusterOptions, stop: watch::Receiver<bool>) -> Result<(), RunError> {
    let webhooks = options.webhooks.clone();
    // Found out by the first event, it would wait meanwhile, though another leader could tell it.
    blocking(move || check_secrets(&webhooks)).await.map_err(RunError::usage)?;
    let directory = Directory::create(&options.data_dir)?;
    let identity = identity(directory.path())?;
    let earlier = directory.read()?;
    let name = options.name.clone().or_else(|| earlier.as_ref().map(|record| record.name.clone()));
    let (tracer, exporter) = spans::tracer(&options, name.as_deref(), identity.node())?;
    options.stores.node = name;
    let listen = listen_address(&options, earlier.as_ref())?;
    let network = |error: &dyn std::fmt::Display| RunError::cannot_run(error.to_string());
    let reach = options.reach.clone().or(earlier.as_ref().map(|record| &record.reach));
    let control = ControlOptions { listen, mdns: options.mdns, external: reach.external.clone() };
    let started = ControlNetwork::start(&identity, control).await;
    let (control, incoming) = started.map_err(|error| network(&error))?;
    let control = Arc::new(control);
    let (outcome_sender, outcomes) = mpsc::channel(OUTCOMES_MAX);
    let (asker, asks) = Asker::new();
    let workshop = Arc::new(Workshop::new(Setup {
        node: identity.node(),
        directory: directory.clone(),
        stores: options.stores.clone(),
        control: Arc::clone(&control),
        asker: asker.clone(),
        slots: options.slots,
        memory_bytes: options.memory_bytes,
        outcomes: outcome_sender,
        tracer,
    }));
    let server = SourceServer::new(Arc::clone(&workshop) as _, workshop.serving());
    let data = DataNetwork::start(
        identity.keypair(),
        reach.data_listen(listen),
        Arc::new(server),
        DataOptions { transport: options.transport, ..DataOptions::default() },
    )
    .map_err(|failure| network(&failure))?;
    let api = options.api.or_else(|| earlier.as_ref().map(|record| record.api));
    let addresses = reach.addresses(&control.listen_addresses(), data.listen_address(), api);
    let record = match earlier {
        Some(record) => again(record, &options)?,
        None => first_start(&options, &control, &directory, listen, &addresses).await?,
    };
    let starts = record.starts.saturating_add(1);
    let record = NodeRecord { reach, starts, ..record };
    directory.write(&record)?;
    serve(
        options,
        Networks { identity, control, incoming, data: Arc::new(data) },
        Rest { directory, record, addresses, workshop, outcomes, asker, asks, exporter, stop },
    )
    .await
}

/// The node's ways to others.
struct Networks {
    identity: Identity,
    control: Arc<ControlNetwork>,
    incoming: mpsc::Receiver<crate::network::control::Incoming>,
    data: Arc<DataNetwork>,
}

/// The rest of what a node consists of.
struct Rest {
    directory: Directory,
    record: NodeRecord,
    addresses: Addresses,
    workshop: Arc<Workshop>,
    outcomes: mpsc::Receiver<HandedIn>,
    asker: Asker,
    asks: mpsc::Receiver<ask::Ask>,
    exporter: Option<Exporter>,
    stop: watch::Receiver<bool>,
}

async fn serve(options: ClusterOptions, networks: Networks, rest: Rest) -> Result<(), RunError> {
    let Networks { identity, control, incoming, data } = networks;
    let Rest { directory, record, addresses, workshop, outcomes, asker, asks, exporter, stop } =
        rest;
    let records = Arc::new(RecordFile::open(&directory.records())?);
    let started = clock::now();
    let boot = begun(&record);
    let (coordinator, file) = replica(&directory, &record, boot, &options)?.unzip();
    lend(&directory, file.as_ref(), &records, &workshop);
    let lines = lines(&asker, &control, file.as_ref(), &records);
    let probe = prober(&asker, &control, &options, &directory);
    let figures = Arc::new(Figures::default());
    let (courier, deliveries) = courier(&record, &asker, options.webhooks)?;
    let meters = NodeMeters {
        name: record.name.clone(),
        is_voter: record.raft.is_some(),
        directory: directory.clone(),
        figures: Arc::clone(&figures),
        control: Arc::clone(&control),
        data: Arc::clone(&data),
        workshop: Arc::clone(&workshop),
        build: options.build,
        started,
        started_at: clock::wall(),
        deliveries,
    };
    let service = Arc::new(ClusterService::new(
        ClusterId(record.cluster),
        asker.clone(),
        Arc::clone(&control),
        Arc::new(lines),
        Arc::new(probe),
        Arc::new(meters),
    ));
    let sending = exporter.map(|exporter| spans::Sending::begin(exporter, &workshop, &asker));
    let shown = certificate(&directory, &record, options.api_files.as_ref())?;
    let servers = Servers::start(&record, shown.clone(), options.metrics, &service).await?;
    let api = certificate::url(servers.api.address(), shown.as_ref());
    directory.write_api_url(&api)?;
    tracing::info!(name = record.name, node = %identity.node(), api, "runs");
    let driver = Driver::new(Parts {
        directory,
        record,
        node: identity.node(),
        boot,
        addresses,
        coordinator,
        file,
        records,
        control: Arc::clone(&control),
        data,
        workshop,
        service,
        asker,
        stores: options.stores,
        figures,
        build: options.build,
        started,
    });
    let driver = driver.run(Sources { incoming, asks, outcomes, stop });
    // The courier ends when there is no driver to be asked any more.
    let ((), ended) = tokio::join!(courier.run(), driver);
    servers.stop().await;
    spans::Sending::end(sending).await;
    control.shutdown().await;
    ended
}

fn prober(
    asker: &Asker,
    control: &Arc<ControlNetwork>,
    options: &ClusterOptions,
    directory: &Directory,
) -> Prober {
    Prober {
        asker: asker.clone(),
        control: Arc::clone(control),
        stores: options.stores.clone(),
        directory: directory.clone(),
    }
}

/// This start of the node, as no other is called.
fn begun(record: &NodeRecord) -> Boot {
    let [a, b, c, d, ..] = random();
    Boot::new(record.starts, u32::from_le_bytes([a, b, c, d]))
}

/// Has a voter hand out what is on its disk.
fn lend(
    directory: &Directory,
    file: Option<&Arc<ConsensusFile>>,
    records: &Arc<RecordFile>,
    workshop: &Workshop,
) {
    let Some(file) = file.map(Arc::clone) else { return };
    let archive = Archive { directory: directory.clone(), file, records: Arc::clone(records) };
    // Set once: a node is served once.
    let _ = workshop.archive.set(archive);
}

/// What reports are read from.
fn lines(
    asker: &Asker,
    control: &Arc<ControlNetwork>,
    file: Option<&Arc<ConsensusFile>>,
    records: &Arc<RecordFile>,
) -> Lines {
    Lines {
        asker: asker.clone(),
        control: Arc::clone(control),
        file: file.map(Arc::clone),
        records: Arc::clone(records),
        runtime: tokio::runtime::Handle::current(),
        found: FoundKeys::default(),
    }
}

/// Who tells webhooks, and what it counts.
fn courier(
    record: &NodeRecord,
    asker: &Asker,
    webhooks: Vec<Webhook>,
) -> Result<(Courier, Deliveries), RunError> {
    let deliveries = Deliveries::new(webhooks).map_err(RunError::cannot_run)?;
    let courier = Courier::new(ClusterId(record.cluster), asker.clone(), deliveries.clone());
    Ok((courier, deliveries))
}

/// Where clients and monitoring ask.
struct Servers {
    api: ApiServer,
    monitoring: Option<ApiServer>,
}

impl Servers {
    async fn start(
        record: &NodeRecord,
        certificate: Option<Certificate>,
        metrics: Option<SocketAddr>,
        service: &Arc<ClusterService>,
    ) -> Result<Self, RunError> {
        let service = || Arc::clone(service) as Arc<dyn Service>;
        let failed = |error: StartError| RunError::cannot_run(error.to_string());
        let options = ServerOptions {
            address: record.api,
            certificate,
            allow_insecure: record.allow_insecure_api,
            limits: Limits::default(),
        };
        let api = ApiServer::start(options, service()).await.map_err(failed)?;
        let monitoring = match metrics {
            Some(at) => Some(api.start_monitoring(at, service()).await.map_err(failed)?),
            None => None,
        };
        Ok(Self { api, monitoring })
    }

    /// Monitoring sees the node for as long as it answers anybody.
    async fn stop(self) {
        self.api.stop().await;
        if let Some(monitoring) = self.monitoring {
            monitoring.stop().await;
        }
    }
}

/// A voter's part of the control plane, with the file that it is kept in; none on a worker.
fn replica(
    directory: &Directory,
    record: &NodeRecord,
    boot: Boot,
    options: &ClusterOptions,
) -> Result<Option<(Coordinator, Arc<ConsensusFile>)>, RunError> {
    let Some(raft) = record.raft else { return Ok(None) };
    let compaction = compaction(options.log_entries);
    let config = Config { id: RaftId(raft), seed: boot.0, compaction };
    voter(directory, ClusterId(record.cluster), config, options.build.formats).map(Some)
}

/// The control plane that goes on where the disk ends.
fn voter(
    directory: &Directory,
    cluster: ClusterId,
    config: Config,
    formats: Formats,
) -> Result<(Coordinator, Arc<ConsensusFile>), RunError> {
    if !directory.consensus().exists() {
        let path = directory.path().display();
        return Err(RunError::cannot_run(format!(
            "{path}: the log of this voter is gone, and without it it must not vote again: remove \
             this node from its cluster, and let it join anew with an empty directory"
        )));
    }
    let (file, identity) = ConsensusFile::open(&directory.consensus())?;
    if identity.cluster != cluster.0 || identity.id != config.id {
        let path = directory.path().display();
        return Err(RunError::cannot_run(format!(
            "{path}: the log is of another node or cluster: it must not be mixed up"
        )));
    }
    let durable = file.load()?;
    let state = match &durable.snapshot {
        Some(reference) => {
            let bytes = match directory.read_snapshot(&reference.digest) {
                Err(error) if error.code == ErrorCode::NotFound => {
                    return Err(RunError::cannot_run(format!(
                        "{}: the snapshot that the log builds on is gone: remove this node from \
                         its cluster, and let it join anew with an empty directory",
                        directory.path().display()
                    )));
                }
                read => read?,
            };
            let format = State::format_of(&bytes).filter(|_| reference.is_of(&bytes));
            if let Some(format) = format.filter(|format| !formats.has(*format)) {
                let path = directory.path().display();
                let refusal = formats.refusal(format);
                return Err(RunError::cannot_run(format!("{path}: {refusal}")));
            }
            let state = codec::decode(&bytes, STATE_BYTES_MAX).ok();
            state.filter(|_| reference.is_of(&bytes)).ok_or_else(|| {
                RunError::cannot_run(format!(
                    "{}: the snapshot is damaged: remove this node from its cluster, and let it \
                     join anew with an empty directory",
                    directory.path().display()
                ))
            })?
        }
        None => State::default(),
    };
    let consensus = Consensus::restore(config, durable)
        .map_err(|error| RunError::cannot_run(error.to_string()))?;
    Ok((Coordinator::voter_with(formats, Timestamp(0), state, consensus), Arc::new(file)))
}

/// When the log is cut, by its number of entries.
fn compaction(entries_max: u64) -> Compaction {
    Compaction { entries_max, entries_kept: entries_max / 8, ..Compaction::default() }
}

fn listen_address(
    options: &ClusterOptions,
    earlier: Option<&NodeRecord>,
) -> Result<SocketAddr, RunError> {
    let listen = options.listen.or_else(|| earlier.map(|record| record.listen));
    listen
        .ok_or_else(|| RunError::usage("say where other nodes reach this one: --listen HOST:PORT"))
}

/// A later start: what is given anew takes the place of what was.
fn again(record: NodeRecord, options: &ClusterOptions) -> Result<NodeRecord, RunError> {
    if options.join.is_some() {
        return Err(RunError::usage(format!(
            "{} belongs to a node of cluster {} already: leave --join and \
             --join-file out, or choose an empty directory",
            options.data_dir.display(),
            ClusterId(record.cluster)
        )));
    }
    if options.name.as_ref().is_some_and(|name| *name != record.name) {
        return Err(RunError::usage(format!(
            "this node is named {}; a name is for life",
            record.name
        )));
    }
    Ok(NodeRecord {
        listen: options.listen.unwrap_or(record.listen),
        api: options.api.unwrap_or(record.api),
        // Who gives the address anew says anew how it is reached.
        allow_insecure_api: options.allow_insecure_api
            || (record.allow_insecure_api && options.api.is_none()),
        ..record
    })
}

/// The first start: the node joins.
async fn first_start(
    options: &ClusterOptions,
    control: &ControlNetwork,
    directory: &Directory,
    listen: SocketAddr,
    addresses: &Addresses,
) -> Result<NodeRecord, RunError> {
    let Some(join) = &options.join else {
        let path = directory.path().display();
        return Err(RunError::usage(format!(
            "{path} belongs to no node yet: begin a cluster with `airlift cluster init`, or join \
             one with --join-file FILE"
        )));
    };
    let token = JoinTokenText::parse(join).map_err(RunError::usage)?;
    let name = options.name.as_ref();
    let name = name.ok_or_else(|| RunError::usage("give the node a name: --name NAME"))?;
    let api = options.api.ok_or_else(|| {
        RunError::usage("say where clients reach this node: --api 127.0.0.1:PORT")
    })?;
    let name = node_name(name)?;
    let addresses = addresses.clone();
    let build = options.build;
    let applicant = Applicant { name: name.clone(), addresses, wall: clock::wall, build };
    let joined = join::join(control, &token, &applicant).await?;
    let members = joined.members;
    let own = members.members.iter().find(|member| member.id == control.node());
    let own = own.ok_or_else(|| RunError::cannot_run("the cluster admitted another node"))?;
    if let Some(raft) = own.raft {
        // A first start that was killed may have made it already.
        if !directory.consensus().exists() {
            create_log(directory, token.cluster, raft, &Durable::joining())?;
        }
    }
    Ok(NodeRecord {
        name: name.as_str().to_owned(),
        listen,
        reach: Reach::default(),
        api,
        allow_insecure_api: options.allow_insecure_api,
        cluster: token.cluster.0,
        raft: own.raft.map(|raft| raft.0),
        founding: None,
        members_version: members.version,
        members: members.members.clone(),
        starts: 0,
    })
}

/// Looks at places from wherever they are reached.
#[derive(Debug)]
struct Prober {
    asker: Asker,
    control: Arc<ControlNetwork>,
    stores: StoreOptions,
    directory: Directory,
}

#[async_trait]
impl Probe for Prober {
    async fn probe(&self, location: &Location) -> Result<Found, ApiError> {
        use airlift_protocol::control::{ControlAnswer, ControlMessage, Place};
        let unavailable = |text: String| ApiError::new(ApiCode::Unavailable, text);
        let stopping = |_| unavailable("the node is stopping".to_owned());
        let answer = match location {
            Location::Node { node, .. } => {
                let name = node.clone();
                let found = self.asker.look(move |sight| {
                    let member = sight.members.members.iter().find(|it| it.name.as_str() == name);
                    member.map(|member| (member.id, sight.node == member.id))
                });
                let (id, is_here) = found.await.map_err(stopping)?.ok_or_else(|| {
                    ApiError::invalid(format!("{location}: no node is named {node}"))
                })?;
                if is_here {
                    probe::here(location, &self.stores, self.directory.path()).await
                } else {
                    let message = ControlMessage::Probe(location.clone());
                    let asked = talk::ask(&self.control, id, &message, probe::TIMEOUT).await;
                    asked.map_err(|text| unavailable(format!("{location}: {text}")))?
                }
            }
            _ => probe::here(location, &self.stores, self.directory.path()).await,
        };
        match answer {
            ControlAnswer::Probed(location, place) => {
                let kind = match place {
                    Place::Object => locate::Probe::Object,
                    Place::Container => locate::Probe::Container,
                    Place::Missing => locate::Probe::Missing,
                };
                Ok(Found { location, kind })
            }
            ControlAnswer::Refused(failure) => Err(match failure.code {
                // Nothing is wrong with the request.
                ErrorCode::Unauthorized => ApiError::new(ApiCode::Forbidden, failure.detail()),
                ErrorCode::TimedOut | ErrorCode::Unavailable | ErrorCode::Throttled => {
                    unavailable(failure.detail().to_owned())
                }
                _ => ApiError::invalid(failure.detail()),
            }),
            _ => Err(unavailable(format!("{location}: an answer to another question"))),
        }
    }

    fn lost(&self, spec: &JobSpec) -> AttributeSet {
        holds::lost(spec, &self.stores)
    }
}
