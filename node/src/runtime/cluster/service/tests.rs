//! The service on a leader and on a worker, with drivers made up around a real control plane.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use airlift_coordinator::command::{Command, Founding};
use airlift_coordinator::coordinator::Replay;
use airlift_coordinator::{Effect, Input, RequestId};
use airlift_protocol::assignment::End;
use airlift_protocol::attributes::{AttributeKind, AttributeSet};
use airlift_protocol::cluster::{Address, Addresses, Member, NodeName, Secret as RootSecret};
use airlift_protocol::control::Members;
use airlift_protocol::error::{ErrorCode, Failure};
use airlift_protocol::id::{LogIndex, PageId, Position};
use airlift_protocol::key::Key;
use airlift_protocol::raft::RaftId;
use airlift_protocol::time::Timestamp;
use airlift_protocol::version::{FormatVersion, Formats};
use data_encoding::HEXLOWER;
use futures::TryStreamExt;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::*;
use crate::api::access::{ApiRoleText, RootTokenRequest};
use crate::api::request::{AclText, ComparisonText, KeysText, LinksText, TagsText, submit_key};
use crate::api::service::Permission;
use crate::api::text::ByteText;
use crate::api::view::{JobMode, JobState};
use crate::network::control::{ControlOptions, Incoming, Member as Contact};
use crate::network::identity::Identity;
use crate::runtime::cluster::api_token::draw_root;
use crate::runtime::cluster::ask::Ask;
use crate::store::locate::Probe as Kind;

const CLUSTER: ClusterId = ClusterId([0xc0; 16]);
const ROOT: RootSecret = RootSecret([0xa5; 32]);

/// Lines of the report of every job.
const LINES: usize = 2 * LINES_MAX + 1;

struct FixedRecords;

impl Records for FixedRecords {
    fn lines(&self, _: JobId, from: Start, max: usize) -> Result<Vec<Line>, ApiError> {
        let from = match from {
            Start::Line(line) => usize::try_from(line).unwrap(),
            Start::After(place) => usize::from(place.position.index) + 1,
        };
        let line = |index: usize| {
            let position = Position { page: PageId(0), index: index.try_into().unwrap() };
            Line { place: Place { end: End::Source, position }, text: index.to_string() }
        };
        Ok((0..LINES).skip(from).take(max).map(line).collect())
    }

    fn keys(&self, objects: &[(LogIndex, u16)]) -> Vec<Option<Key>> {
        vec![None; objects.len()]
    }
}

/// Finds a directory wherever it looks.
struct FixedProbe;

#[async_trait]
impl Probe for FixedProbe {
    async fn probe(&self, location: &Location) -> Result<Found, ApiError> {
        Ok(Found { location: location.clone(), kind: Kind::Container })
    }

    fn lost(&self, _spec: &JobSpec) -> AttributeSet {
        [AttributeKind::Tags].into_iter().collect()
    }
}

struct FixedMeters;

impl Meters for FixedMeters {
    fn read(&self) -> NodeFigures {
        crate::api::fake::figures()
    }

    fn measure(&self) -> Measured {
        Measured::default()
    }

    fn describe(&self) -> Description {
        Description {
            version: "1\x1b[2J".to_owned(),
            formats: Formats::BUILD,
            layout: FormatVersion(1),
            uptime_ms: 61_000,
            disk: Some((7, 8)),
        }
    }
}

/// What tests choose and count.
#[derive(Default)]
struct Script {
    /// Requests that the control plane takes in and never answers.
    unknown: AtomicU32,
    requests: AtomicU32,
    /// Whether the leader has lost its majority, and does not know it yet.
    is_cut_off: AtomicBool,
}

/// A node: its service, and the tasks that keep it going.
struct Node {
    service: ClusterService,
    script: Arc<Script>,
    _tasks: JoinSet<()>,
}

struct Network {
    identity: Identity,
    control: Arc<ControlNetwork>,
    incoming: mpsc::Receiver<Incoming>,
}

impl Network {
    async fn start() -> Self {
        let identity = Identity::generate();
        let options = ControlOptions::new(SocketAddr::from(([127, 0, 0, 1], 0)));
        let (control, incoming) = ControlNetwork::start(&identity, options).await.unwrap();
        Self { identity, control: Arc::new(control), incoming }
    }

    fn contact(&self) -> Contact {
        Contact { node: self.identity.node(), addresses: self.control.listen_addresses() }
    }

    /// Starts the service; `coordinator` is that of the leader.
    fn serve(self, leader: NodeId, members: Members, coordinator: Option<Coordinator>) -> Node {
        let Self { identity, control, mut incoming } = self;
        let (asker, asks) = Asker::new();
        let script = Arc::new(Script::default());
        let driver =
            Driver { node: identity.node(), leader, members, coordinator, script: script.clone() };
        let mut tasks = JoinSet::new();
        tasks.spawn(driver.run(asks));
        let (records, probe) = (Arc::new(FixedRecords), Arc::new(FixedProbe));
        let meters = Arc::new(FixedMeters);
        let service = ClusterService::new(CLUSTER, asker, control, records, probe, meters);
        let answering = service.clone();
        tasks.spawn(async move {
            while let Some(Incoming { body, reply, .. }) = incoming.recv().await {
                let answer = match codec::decode(&body, REQUEST_BYTES_MAX) {
                    Ok(ControlMessage::Forward(forwarded)) => answering.answer(forwarded).await,
                    Ok(ControlMessage::Describe) => answering.describe().await,
                    _ => continue,
                };
                reply.send(codec::encode(&answer).into());
            }
        });
        Node { service, script, _tasks: tasks }
    }
}

struct Driver {
    node: NodeId,
    leader: NodeId,
    members: Members,
    coordinator: Option<Coordinator>,
    script: Arc<Script>,
}

impl Driver {
    async fn run(mut self, mut asks: mpsc::Receiver<Ask>) {
        while let Some(ask) = asks.recv().await {
            match ask {
                Ask::Request(request, by, reply) => {
                    let _ = reply.send(self.request(request, by));
                }
                Ask::Look(look) => look(Sight {
                    node: self.node,
                    leader: Some(self.leader),
                    members: &self.members,
                    coordinator: self.coordinator.as_ref(),
                    now: Timestamp(1),
                    heard: None,
                }),
                Ask::Transfer(_, reply) => {
                    let _ = reply.send(Err("there is no other voter".to_owned()));
                }
            }
        }
    }

    fn request(&mut self, request: Request, by: Actor) -> Answer {
        let is_read = request == Request::Read;
        let number = match is_read {
            true => 0,
            false => self.script.requests.fetch_add(1, Ordering::Relaxed),
        };
        let Some(coordinator) = &mut self.coordinator else { return Answer::NotLeader };
        let (id, at) = (RequestId(u64::from(number)), Timestamp(1_000_000));
        coordinator.handle(Timestamp(1), Input::Request { id, request, by, at });
        let mut found = Answer::Unknown;
        while let Some(effect) = coordinator.poll_effect() {
            match effect {
                Effect::Persist { number, .. } => {
                    coordinator.handle(Timestamp(1), Input::Persisted { number });
                }
                Effect::Answer { answer, .. } => found = answer,
                _ => {}
            }
        }
        if is_read {
            return if self.script.is_cut_off.load(Ordering::Relaxed) {
                Answer::NotLeader
            } else {
                found
            };
        }
        let unknown = &self.script.unknown;
        let is_lost = unknown
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
            .is_ok();
        if is_lost { Answer::Unknown } else { found }
    }
}

fn member(id: NodeId, name: &str, role: Role) -> Member {
    let control = vec![Address(format!("{name}.example:7401"))];
    Member {
        id,
        name: NodeName::parse(name).unwrap(),
        role,
        raft: (role == Role::Voter).then_some(RaftId(1)),
        addresses: Addresses { control, ..Addresses::default() },
        joined_at: Timestamp(0),
        formats: Formats::BUILD,
    }
}

/// The control plane of a cluster whose only voter is `founder`.
fn founded(founder: Member) -> Coordinator {
    let mut replay = Replay::default();
    replay.apply(LogIndex(1), Command::Format(FormatVersion::default()));
    let founding = Founding { cluster: CLUSTER, founder, admin: ROOT.hash() };
    replay.apply(LogIndex(2), Command::Found(Box::new(founding)));
    replay.finish()
}

/// A leader `berlin`, and a worker `paris` that knows of it.
async fn pair() -> (Node, Node) {
    let (berlin, paris) = (Network::start().await, Network::start().await);
    berlin.control.set_members(vec![paris.contact()]);
    paris.control.set_members(vec![berlin.contact()]);
    let leader = berlin.identity.node();
    let founder = member(leader, "berlin", Role::Voter);
    let worker = member(paris.identity.node(), "paris", Role::Worker);
    let members = Members { version: 2, members: vec![founder.clone(), worker] };
    let berlin = berlin.serve(leader, members.clone(), Some(founded(founder)));
    (berlin, paris.serve(leader, members, None))
}

fn token() -> String {
    HEXLOWER.encode(&ROOT.0)
}

fn submission(target: &str) -> Submission {
    let request = SubmitRequest {
        mode: JobMode::Cp,
        source: ByteText(b"berlin:/source".to_vec()),
        target: ByteText(target.as_bytes().to_vec()),
        include: Vec::new(),
        exclude: Vec::new(),
        comparison: ComparisonText::default(),
        links: LinksText::default(),
        read_back_percent: 0,
        dry_run: false,
        allow_empty_source: false,
        max_delete: None,
        bandwidth_bytes_per_second: None,
        bandwidth_schedule: None,
        budget: None,
        priority: None,
        tags: TagsText::default(),
        storage_class: None,
        acl: AclText::default(),
        restore: None,
        keys: KeysText::default(),
        inventory: None,
        server_side: Default::default(),
    };
    Submission::try_from(request).unwrap()
}

impl Node {
    /// The service as it answers the administrator.
    async fn open(&self) -> Arc<dyn Service> {
        self.open_with(&token()).await.unwrap().service
    }

    async fn open_with(&self, token: &str) -> Result<Admitted, ApiError> {
        self.service.authorize(token).await
    }
}

#[tokio::test]
async fn a_worker_serves_as_the_leader_does() {
    let (berlin, paris) = pair().await;
    for node in [&berlin, &paris] {
        for wrong in ["", "a5", &"a4".repeat(32), &"a5".repeat(33), &"zz".repeat(32)] {
            let refused = node.open_with(wrong).await.err().unwrap();
            assert_eq!(refused.code, ApiCode::Unauthorized, "{wrong}");
        }
        let admitted = node.open_with(&token().to_uppercase()).await.unwrap();
        assert_eq!((admitted.permission, admitted.is_limited), (Permission::Administer, false));
        let service = admitted.service;

        let Submitted { id, run, cannot_hold } =
            service.submit(submission("berlin:/target"), None).await.unwrap();
        assert_eq!((run, cannot_hold.names()), (1, vec!["tags"]));
        assert_eq!(service.jobs().await.unwrap().jobs.len(), 1);
        let view = service.order(id, JobOrder::Pause).await.unwrap();
        assert_eq!((view.job.id, view.job.state), (id, JobState::Paused));
        let view = service.order(id, JobOrder::Resume).await.unwrap();
        assert_eq!(view.job.state, JobState::Listing);
        let again = service.job(id).await.unwrap();
        assert_eq!((again.job.id, again.job.state), (id, view.job.state));

        let cluster = service.cluster().await.unwrap();
        assert_eq!((cluster.id, cluster.leader.as_deref()), (CLUSTER.to_string(), Some("berlin")));
        assert!(cluster.has_quorum);
    }
}

#[tokio::test]
async fn a_submission_with_its_key_is_answered_as_before_wherever_it_is_sent() {
    let (berlin, paris) = pair().await;
    let submit = async |node: &Node, target: &str, key: &str| {
        let submission = submission(target);
        let key = submit_key(key, &submission).unwrap();
        node.open().await.submit(submission, Some(key)).await
    };
    let first = submit(&paris, "berlin:/target", "a").await.unwrap();
    assert_eq!(first.run, 1);
    let stop = Request::Stop(first.id, Failure::new(ErrorCode::NoSpace, "full"));
    berlin.service.request(stop, Actor::Root).await.unwrap();
    for node in [&berlin, &paris] {
        assert_eq!(submit(node, "berlin:/target", "a").await.unwrap(), first);
        let other = submit(node, "berlin:/other", "a").await.unwrap_err();
        assert_eq!(other.code, ApiCode::Conflict, "{other}");
    }
    assert_eq!(submit(&paris, "berlin:/target", "b").await.unwrap().run, 2);
}

#[tokio::test]
async fn refusals_reach_the_client_wherever_it_asks() {
    let (berlin, paris) = pair().await;
    let nobody = JobId([1; 16]);
    for node in [&berlin, &paris] {
        let service = node.open().await;
        let codes = [
            service.job(nobody).await.unwrap_err().code,
            service.order(nobody, JobOrder::Cancel).await.unwrap_err().code,
            service.report(nobody, 0).await.err().unwrap().code,
            service.submit(submission("nowhere:/x"), None).await.unwrap_err().code,
            service.submit(submission("berlin:/source/in"), None).await.unwrap_err().code,
            service.remove_node("nobody").await.unwrap_err().code,
            service.remove_node("berlin").await.unwrap_err().code,
            service.transfer_leader(LeaderRequest::default()).await.unwrap_err().code,
        ];
        let expected = [
            ApiCode::NotFound,
            ApiCode::NotFound,
            ApiCode::NotFound,
            ApiCode::NotFound,
            ApiCode::Invalid,
            ApiCode::NotFound,
            ApiCode::Conflict,
            ApiCode::Conflict,
        ];
        assert_eq!(codes, expected);
    }
}

#[tokio::test]
async fn the_leader_asks_for_the_token_again() {
    let (berlin, paris) = pair().await;
    let error = paris.service.jobs().await.unwrap_err();
    assert_eq!(error.code, ApiCode::Unauthorized);
    let forwarded = Call::Jobs.forward(&"00".repeat(32)).unwrap();
    let answer = berlin.service.answer(forwarded).await;
    assert_eq!(call::from_answer(answer).unwrap_err().code, ApiCode::Unauthorized);
    // Nobody forwards what was forwarded.
    let forwarded = Call::Jobs.forward(&token()).unwrap();
    assert!(matches!(paris.service.answer(forwarded).await, ControlAnswer::NotLeader(Some(_))));
}

#[tokio::test]
async fn a_report_comes_whole_in_batches() {
    let (berlin, paris) = pair().await;
    for node in [&berlin, &paris] {
        let service = node.open().await;
        let submitted = service.submit(submission("berlin:/target"), None).await.unwrap();
        for from in [0, 3, LINES - 1, LINES, LINES + 1] {
            let lines = service.report(submitted.id, from as u64).await.unwrap();
            let lines: Vec<String> = lines.try_collect().await.unwrap();
            let expected: Vec<String> = (from..LINES).map(|line| line.to_string()).collect();
            assert_eq!(lines, expected);
        }
    }
}

#[tokio::test]
async fn what_may_be_done_already_is_repeated_only_where_that_does_no_harm() {
    let (berlin, _paris) = pair().await;
    let service = berlin.open().await;
    let job = service.submit(submission("berlin:/target"), None).await.unwrap().id;
    let asked = |before: u32| berlin.script.requests.load(Ordering::Relaxed) - before;

    let before = asked(0);
    berlin.script.unknown.store(1, Ordering::Relaxed);
    assert_eq!(service.order(job, JobOrder::Pause).await.unwrap().job.state, JobState::Paused);
    assert_eq!(asked(before), 2);

    let before = asked(0);
    berlin.script.unknown.store(1, Ordering::Relaxed);
    let request = TokenRequest { role: NodeRole::Worker, ttl_seconds: 60 };
    assert_eq!(service.create_token(request).await.unwrap_err().code, ApiCode::Unavailable);
    assert_eq!(asked(before), 1);
}

#[tokio::test]
async fn a_join_token_says_where_the_cluster_is_and_what_it_admits() {
    let (berlin, paris) = pair().await;
    let leader = berlin.service.control.node();
    let opened = paris.open().await;
    let request = TokenRequest { role: NodeRole::Voter, ttl_seconds: 60 };
    let made = opened.create_token(request).await.unwrap();
    let text = JoinTokenText::parse(&made.token).unwrap();
    assert_eq!((text.cluster, made.role), (CLUSTER, NodeRole::Voter));
    assert!(text.names(leader) && !text.names(paris.service.control.node()));
    assert_eq!(text.addresses, ["berlin.example:7401"]);
    let (id, secret) = (text.id, text.secret);
    let issued = berlin.service.look_leading(move |leading| {
        let cluster = leading.state().cluster.as_ref().unwrap();
        cluster.tokens[&id].clone()
    });
    let issued = issued.await.unwrap();
    assert!(secret.has_hash(issued.secret_hash));
    assert_eq!((issued.role, issued.used_by), (Role::Voter, None));

    let request = TokenRequest { role: NodeRole::Voter, ttl_seconds: 0 };
    assert_eq!(opened.create_token(request).await.unwrap_err().code, ApiCode::Invalid);
}

#[tokio::test]
async fn a_leader_without_majority_tells_nothing_that_may_be_old() {
    let (berlin, _paris) = pair().await;
    let service = berlin.open().await;
    let job = service.submit(submission("berlin:/target"), None).await.unwrap().id;
    assert!(service.cluster().await.unwrap().is_current);
    berlin.script.is_cut_off.store(true, Ordering::Relaxed);
    // It is asked again for a while.
    tokio::time::pause();
    let errors = [
        service.jobs().await.unwrap_err(),
        service.job(job).await.unwrap_err(),
        service.report(job, 0).await.err().unwrap(),
    ];
    for error in errors {
        assert_eq!(error.code, ApiCode::Unavailable);
        assert!(error.retry_after.is_some(), "{error:?}");
    }
    let forwarded = Call::Jobs.forward(&token()).unwrap();
    let answer = berlin.service.answer(forwarded).await;
    assert!(matches!(answer, ControlAnswer::NotLeader(_)));
    // What is left of the cluster is shown nevertheless, and says what it is worth.
    assert!(!service.cluster().await.unwrap().is_current);
}

#[tokio::test]
async fn every_node_is_asked_for_its_build_and_what_it_says_moves_no_cursor() {
    let (berlin, paris) = pair().await;
    for service in [&berlin.service, &paris.service] {
        let nodes = service.nodes().await.unwrap().nodes;
        let names: Vec<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
        assert_eq!(names, ["berlin", "paris"]);
        for node in nodes {
            let said = node.said.unwrap();
            assert_eq!((said.version.as_str(), said.uptime_seconds), ("1[2J", 61));
            assert_eq!(said.format_newest, Formats::BUILD.newest.0);
            assert_eq!((said.disk_free_bytes, said.disk_size_bytes), (Some(7), Some(8)));
        }
    }
}

async fn made(service: &dyn Service, name: &str, role: ApiRoleText, locations: &[&str]) -> String {
    let request = ApiTokenRequest {
        name: name.to_owned(),
        role,
        locations: locations.iter().map(|it| ByteText(it.as_bytes().to_vec())).collect(),
        ttl_seconds: Some(600),
    };
    service.create_api_token(request).await.unwrap().token
}

#[tokio::test]
async fn clients_of_one_node_are_told_apart() {
    let (berlin, paris) = pair().await;
    let root = berlin.open().await;
    let viewer = made(&*root, "viewer", ApiRoleText::Viewer, &[]).await;
    let operator = made(&*root, "operator", ApiRoleText::Operator, &[]).await;
    for node in [&berlin, &paris] {
        let viewer = node.open_with(&viewer).await.unwrap();
        let operator = node.open_with(&operator).await.unwrap();
        // Whoever was let in last, each is answered as what it is.
        let root = node.open().await;
        assert_eq!(
            (viewer.permission, operator.permission),
            (Permission::Read, Permission::Operate)
        );
        let refused = viewer.service.submit(submission("berlin:/target"), None).await.unwrap_err();
        assert_eq!(refused.code, ApiCode::Forbidden);
        operator.service.submit(submission("berlin:/target"), None).await.unwrap();
        assert_eq!(viewer.service.jobs().await.unwrap().jobs.len(), 1);
        let refused = operator.service.limit(LimitRequest::default()).await.unwrap_err();
        assert_eq!(refused.code, ApiCode::Forbidden);
        root.limit(LimitRequest::default()).await.unwrap();
        assert_eq!(operator.service.api_tokens().await.unwrap_err().code, ApiCode::Forbidden);
    }
}

#[tokio::test]
async fn a_submitter_sees_and_touches_what_lies_within_its_locations() {
    let (berlin, paris) = pair().await;
    let root = berlin.open().await;
    let other = root.submit(submission("berlin:/other"), None).await.unwrap().id;
    let places = ["berlin:/source", "berlin:/target"];
    let token = made(&*root, "team", ApiRoleText::Submitter, &places).await;
    for node in [&berlin, &paris] {
        let admitted = node.open_with(&token).await.unwrap();
        assert!(admitted.is_limited && admitted.permission == Permission::Operate);
        let service = admitted.service;
        let refused = service.submit(submission("berlin:/other"), None).await.unwrap_err();
        assert_eq!(refused.code, ApiCode::Forbidden);
        assert!(refused.detail.contains("berlin:/other is not within"), "{refused}");
        let own = service.submit(submission("berlin:/target/x"), None).await.unwrap().id;
        let jobs = service.jobs().await.unwrap().jobs;
        assert_eq!(jobs.iter().map(|job| job.id).collect::<Vec<_>>(), [own]);
        assert_eq!(service.order(own, JobOrder::Pause).await.unwrap().job.id, own);
        let codes = [
            service.job(other).await.unwrap_err().code,
            service.order(other, JobOrder::Cancel).await.unwrap_err().code,
            service.report(other, 0).await.err().unwrap().code,
        ];
        assert_eq!(codes, [ApiCode::NotFound; 3]);
        assert_eq!(service.audit(0).await.unwrap_err().code, ApiCode::Forbidden);
        assert_eq!(service.cluster().await.unwrap().id, CLUSTER.to_string());
    }
}

#[tokio::test]
async fn a_revoked_token_opens_nothing_anywhere_and_who_did_what_is_on_record() {
    let (berlin, paris) = pair().await;
    let root = berlin.open().await;
    let token = made(&*root, "ci", ApiRoleText::Admin, &[]).await;
    let admitted = paris.open_with(&token).await.unwrap().service;
    let id = admitted.submit(submission("berlin:/target"), None).await.unwrap().id;
    let left = paris.open().await.revoke_api_token("ci").await.unwrap();
    assert!(left.tokens.is_empty());
    // Who was let in before is told so with what it asks next.
    assert_eq!(admitted.jobs().await.unwrap_err().code, ApiCode::Unauthorized);
    for node in [&berlin, &paris] {
        let refused = node.open_with(&token).await.err().unwrap();
        assert_eq!(refused.code, ApiCode::Unauthorized);
    }
    assert_eq!(root.revoke_api_token("ci").await.unwrap_err().code, ApiCode::NotFound);
    let page = root.audit(0).await.unwrap();
    let mut chain = page.entries[0].before().unwrap();
    page.entries.iter().for_each(|line| line.follow(&mut chain).unwrap());
    let told: Vec<String> =
        page.entries.iter().map(|line| format!("{} {}", line.action, line.subject)).collect();
    // The founding was before there was a record: this cluster was made up.
    let expected = ["token.create ci", &format!("job.submit {id}"), "token.revoke ci"];
    assert_eq!(told, expected);
    assert!(page.entries[1].by.starts_with("token ci (admin "), "{:?}", page.entries[1]);
    assert_eq!((page.first, page.last), (1, 3));
    assert_eq!(root.audit(3).await.unwrap().entries, page.entries[2..]);
    assert!(root.audit(4).await.unwrap().entries.is_empty());
}

#[tokio::test]
async fn a_root_token_that_was_replaced_opens_nothing_anywhere() {
    let (berlin, paris) = pair().await;
    let before = paris.open().await;
    let (secret, text) = draw_root();
    // Asked for twice, as by somebody whose first answer was lost: what is in force stays in force.
    let admin = made(&*before, "ann", ApiRoleText::Admin, &[]).await;
    for service in [before.clone(), berlin.open_with(&admin).await.unwrap().service] {
        service.replace_root_token(RootTokenRequest::of(&secret)).await.unwrap();
    }
    assert_eq!(before.jobs().await.unwrap_err().code, ApiCode::Unauthorized);
    for node in [&berlin, &paris] {
        assert_eq!(node.open_with(&token()).await.err().unwrap().code, ApiCode::Unauthorized);
        let root = node.open_with(&text).await.unwrap().service;
        let page = root.audit(0).await.unwrap();
        let told: Vec<&str> = page.entries.iter().map(|line| line.action.as_str()).collect();
        assert_eq!(told, ["token.create", "root-token.replace"]);
    }
    let wrong = RootTokenRequest { hash: "AB".repeat(32) };
    let root = paris.open_with(&text).await.unwrap().service;
    assert_eq!(root.replace_root_token(wrong).await.unwrap_err().code, ApiCode::Invalid);
    assert!(root.jobs().await.is_ok());
}

#[tokio::test]
async fn a_join_token_shown_to_the_api_is_named_as_one() {
    let (berlin, _paris) = pair().await;
    let refused = berlin.open_with("airlift1.c.v.i.s.a").await.err().unwrap();
    assert!(refused.detail.contains("join token"), "{refused}");
}
