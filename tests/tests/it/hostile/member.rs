//! Who has a valid identity: the key of a node that was stopped.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use airlift_node::network::control::{ControlNetwork, ControlOptions, Member as Peer};
use airlift_node::network::data::{DataNetwork, DataOptions, FrameWriter, Serve};
use airlift_node::network::identity::Identity;
use airlift_protocol::codec;
use airlift_protocol::control::{ControlAnswer, ControlMessage, Members};
use airlift_protocol::error::{ErrorCode, Failure};
use airlift_protocol::frame::{Order, Request, RequestHeader};
use airlift_protocol::id::{AssignmentId, Epoch, JobId, NodeId};
use airlift_protocol::key::Key;
use airlift_protocol::raft::RaftId;
use airlift_tests::raw::{PATIENCE, Plane, Raw, flood, offer, say};
use bytes::Bytes;
use futures::future::join_all;

use super::{Places, forgery};

const BODY_BYTES_MAX: usize = 9 << 20;

/// Times that all streams of a connection are opened and dropped: some hundred each.
const FLOODS: usize = 10;

async fn network(identity: &Identity, peers: Vec<Peer>) -> ControlNetwork {
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let started = ControlNetwork::start(identity, ControlOptions::new(listen)).await;
    let (network, mut incoming) = started.unwrap();
    // Nobody listens: what is asked of an attacker fails.
    incoming.close();
    network.set_members(peers);
    network
}

/// Asks who belongs to the cluster, as a member may.
pub(super) async fn learn(identity: &Identity, addresses: &[SocketAddr]) -> Members {
    let network = network(identity, Vec::new()).await;
    let beat = ControlMessage::Heartbeat(forgery::heartbeat(1, Vec::new()));
    let body = Bytes::from(codec::encode(&beat));
    let begun = Instant::now();
    // Only the leader says it.
    for address in addresses.iter().cycle() {
        assert!(begun.elapsed() < Duration::from_secs(30), "nobody says who the members are");
        let Ok(node) = network.dial_join(*address).await else { continue };
        let Ok(answer) = network.request(node, body.clone(), PATIENCE).await else { continue };
        if let Ok(ControlAnswer::Alive(alive)) = codec::decode(&answer, BODY_BYTES_MAX)
            && let Some(members) = alive.members
        {
            return members;
        }
    }
    unreachable!("addresses are tried until the time is over")
}

/// The control plane under this identity, with every honest node as a peer.
pub(super) async fn join_in(identity: &Identity, places: &Places) -> ControlNetwork {
    let peers = places.honest().map(|member| Peer {
        node: member.id,
        addresses: member.addresses.control.iter().filter_map(|at| at.0.parse().ok()).collect(),
    });
    network(identity, peers.collect()).await
}

pub(super) async fn attack(identity: &Identity, places: &Places) {
    raw(identity, places).await;
    bodies(identity, places).await;
    data(identity, places).await;
}

/// Bytes that are no messages.
async fn raw(identity: &Identity, places: &Places) {
    let raw = Raw::new(identity);
    let control = places.control().into_iter().map(|address| control_bytes(&raw, address));
    drop(join_all(control).await);
    let data = places.data().into_iter().map(|address| data_bytes(&raw, address));
    drop(join_all(data).await);
}

async fn control_bytes(raw: &Raw, address: SocketAddr) {
    let Some(connection) = raw.connect(Plane::Control, address).await else { return };
    let rests: [&[u8]; 4] = [&[0xff; 4], &[0, 0x80, 0, 0], &[0xff; 300], &[]];
    for protocol in ["/airlift/control/1", "/airlift/notice/1", "/ipfs/id/1.0.0", "/x"] {
        for rest in rests {
            let _ = say(&connection, &[&offer(protocol), rest].concat()).await;
        }
    }
    // Twenty thousand notices in a row, none of which can be read.
    let notices = [[0, 0, 0, 4, 0xff, 0xff, 0xff, 0xff]; 20_000].concat();
    let _ = say(&connection, &[offer("/airlift/notice/1"), notices].concat()).await;
    // Bodies that are announced, as long as they may be, and do not come.
    let announced = [offer("/airlift/control/1"), (8u32 << 20).to_be_bytes().to_vec()].concat();
    drop(flood(&connection, &announced).await);
    for _ in 0..FLOODS {
        drop(flood(&connection, b"").await);
    }
}

async fn data_bytes(raw: &Raw, address: SocketAddr) {
    let Some(connection) = raw.connect(Plane::Data, address).await else { return };
    let texts: [&[u8]; 4] =
        [&[1, 0, 0xff, 0xff, 0xff, 0xff], &[9, 9, 0, 0, 0, 0], &[0xff; 4096], &[]];
    for text in texts {
        let _ = say(&connection, text).await;
    }
    drop(flood(&connection, &[1, 0, 0, 0, 16, 0]).await);
    for _ in 0..FLOODS {
        drop(flood(&connection, &[1]).await);
    }
}

/// Messages that are none, or are none of this node's.
async fn bodies(identity: &Identity, places: &Places) {
    let network = join_in(identity, places).await;
    let job = JobId(places.job);
    for member in places.honest() {
        let to = member.raft.unwrap_or(RaftId(1));
        let mut all = forgery::raft(to, places.term);
        all.extend(forgery::lies(job));
        all.extend(forgery::bombs(job));
        for body in &all {
            network.send(member.id, Bytes::from(body.clone()));
            // The lanes are bounded at this end: let them drain.
            tokio::task::yield_now().await;
        }
        let asked = all
            .into_iter()
            .map(|body| network.request(member.id, Bytes::from(body), Duration::from_secs(3)));
        // Refusals and silence are both fine.
        drop(join_all(asked).await);
    }
    network.shutdown().await;
}

/// Serves nobody.
#[derive(Debug)]
struct Nothing;

#[async_trait::async_trait]
impl Serve for Nothing {
    async fn serve(&self, _: NodeId, _: RequestHeader, _: &mut FrameWriter) -> Result<(), Failure> {
        Err(Failure::new(ErrorCode::NotFound, "nothing is here"))
    }

    fn beckon(&self, _: NodeId) -> bool {
        false
    }
}

/// Requests for jobs that there are not, and that it has no part in.
async fn data(identity: &Identity, places: &Places) {
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let serve = Arc::new(Nothing);
    let network =
        DataNetwork::start(identity.keypair(), listen, serve, DataOptions::default()).unwrap();
    let members: BTreeSet<NodeId> = places.honest().map(|member| member.id).collect();
    network.set_members(members);
    let header = |job: [u8; 16], request: Request| {
        let order = Order { job: JobId(job), assignment: AssignmentId(77), epoch: Epoch(u64::MAX) };
        RequestHeader { order, request }
    };
    for (member, address) in places.honest().zip(places.data()) {
        let keys = ["../../../etc/passwd", "/etc/passwd", "a\0b", "", "large/../../x"];
        let stats = keys.iter().map(|key| Request::Stat { key: Key::from(*key) });
        let lookup = Request::Lookup { keys: vec![Key::new(vec![b'x'; 4096]); 200] };
        let requests: Vec<Request> = stats.chain([lookup, Request::Describe]).collect();
        for job in [[0xee; 16], places.job] {
            let asked = requests.iter().cycle().take(96).map(|request| {
                let header = header(job, request.clone());
                let network = &network;
                async move {
                    let addresses = [address];
                    let opened = network.open(member.id, &addresses, &header).await.ok()?;
                    let mut opened = opened;
                    tokio::time::timeout(Duration::from_secs(5), opened.next()).await.ok()?.ok()
                }
            });
            let answers = join_all(asked).await;
            assert!(job == places.job || answers.iter().all(Option::is_none), "{answers:?}");
            let leaks = answers
                .iter()
                .flatten()
                .any(|frame| matches!(frame, airlift_protocol::frame::Frame::Info(Some(_))));
            assert!(!leaks, "a key leads out of the source");
        }
    }
}

/// Waits until every honest node that answers has turned this identity away.
pub(super) async fn until_cut(
    network: &ControlNetwork,
    places: &Places,
    limit: Duration,
) -> Vec<Duration> {
    let begun = Instant::now();
    let mut cut = Vec::new();
    for member in places.honest() {
        loop {
            let job = ControlMessage::FindJob(JobId(places.job));
            let body = Bytes::from(codec::encode(&job));
            let answer = network.request(member.id, body, Duration::from_secs(1)).await;
            let answer = answer.ok().and_then(|it| codec::decode(&it, BODY_BYTES_MAX).ok());
            if !matches!(answer, Some(ControlAnswer::Job(_))) {
                cut.push(begun.elapsed());
                break;
            }
            assert!(begun.elapsed() < limit, "{:?} still answers", member.name);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    cut
}
