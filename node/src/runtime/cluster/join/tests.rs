//! Joining a control plane that is real, over a network that is real.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use airlift_coordinator::command::{Command, Founding};
use airlift_coordinator::coordinator::Replay;
use airlift_coordinator::origin::Actor;
use airlift_coordinator::state::JoinToken;
use airlift_coordinator::{Answer, Coordinator, Effect, Input, Request, RequestId};
use airlift_protocol::cluster::{ClusterId, Member, Role};
use airlift_protocol::codec;
use airlift_protocol::control::Members;
use airlift_protocol::id::LogIndex;
use airlift_protocol::raft::RaftId;
use airlift_protocol::version::{FormatVersion, Formats};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::*;
use crate::network::control::{ControlOptions, Incoming};
use crate::network::identity::Identity;

const CLUSTER: ClusterId = ClusterId([0xc0; 16]);
const WALL: Timestamp = Timestamp(1_700_000_000_000);
const HOUR_MS: u64 = 3_600_000;

async fn network() -> (ControlNetwork, mpsc::Receiver<Incoming>) {
    let options = ControlOptions::new(SocketAddr::from(([127, 0, 0, 1], 0)));
    ControlNetwork::start(&Identity::generate(), options).await.unwrap()
}

/// The only voter of a cluster, which knows these tokens.
struct Voter {
    node: NodeId,
    address: String,
    /// How often it was shown a secret.
    shown: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Voter {
    fn start(tokens: &[(&JoinTokenText, Timestamp)], control: Started) -> Self {
        let (network, mut incoming) = control;
        let node = network.node();
        let mut coordinator = founded(node, tokens);
        let shown = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&shown);
        let address = network.listen_addresses()[0].to_string();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let _network = network;
            while let Some(Incoming { from, body, reply, .. }) = incoming.recv().await {
                let said = match codec::decode(&body, 1 << 20) {
                    Ok(ControlMessage::Identify) => {
                        ControlAnswer::Cluster { id: CLUSTER, voters: vec![node] }
                    }
                    Ok(ControlMessage::Join(join)) => {
                        counter.fetch_add(1, Ordering::Relaxed);
                        admit(&mut coordinator, from, join)
                    }
                    other => panic!("{other:?}"),
                };
                let _ = reply.send(codec::encode(&said).into());
            }
        });
        Self { node, address, shown, _tasks: tasks }
    }
}

type Started = (ControlNetwork, mpsc::Receiver<Incoming>);

fn founded(node: NodeId, tokens: &[(&JoinTokenText, Timestamp)]) -> Coordinator {
    let founder = Member {
        id: node,
        name: NodeName::parse("berlin").unwrap(),
        role: Role::Voter,
        raft: Some(RaftId(1)),
        addresses: Addresses::default(),
        joined_at: WALL,
        formats: Formats::BUILD,
    };
    let founding = Founding { cluster: CLUSTER, founder, admin: [0; 32] };
    let mut replay = Replay::default();
    replay.apply(LogIndex(1), Command::Format(FormatVersion::default()));
    replay.apply(LogIndex(2), Command::Found(Box::new(founding)));
    for (index, (token, expires_at)) in (3..).zip(tokens) {
        let issued = JoinToken {
            secret_hash: token.secret.hash(),
            role: Role::Worker,
            expires_at: *expires_at,
            used_by: None,
        };
        replay.apply(LogIndex(index), Command::IssueToken { id: token.id, token: issued });
    }
    replay.finish()
}

fn admit(coordinator: &mut Coordinator, from: NodeId, join: Box<JoinRequest>) -> ControlAnswer {
    let request = Request::Join(from, join);
    coordinator.handle(
        Timestamp(1),
        Input::Request { id: RequestId(1), request, by: Actor::Node(from), at: WALL },
    );
    while let Some(effect) = coordinator.poll_effect() {
        match effect {
            Effect::Persist { number, .. } => {
                coordinator.handle(Timestamp(1), Input::Persisted { number });
            }
            Effect::Answer { answer: Answer::Done, .. } => {
                let members = Members { version: 1, members: Vec::new() };
                return ControlAnswer::Joined(Box::new(Joined { members }));
            }
            Effect::Answer { answer: Answer::Refused(failure), .. } => {
                return ControlAnswer::Refused(failure);
            }
            Effect::Answer { answer, .. } => panic!("{answer:?}"),
            _ => {}
        }
    }
    panic!("no answer")
}

fn applicant(name: &str) -> Applicant {
    let name = NodeName::parse(name).unwrap();
    Applicant { name, addresses: Addresses::default(), wall: || WALL, build: Build::THIS }
}

fn text(joined: Result<Joined, RunError>) -> String {
    joined.expect_err("it is refused").message
}

#[tokio::test]
async fn each_reason_for_a_refusal_is_named() {
    let started = network().await;
    let (voter, at) = (started.0.node(), started.0.listen_addresses()[0].to_string());
    let draw = || JoinTokenText::draw(CLUSTER, &[voter], vec![at.clone()]);
    let [good, second, expired] = [draw(), draw(), draw()];
    let later = WALL.plus(HOUR_MS);
    let tokens = [(&good, later), (&second, later), (&expired, WALL)];
    let voter = Voter::start(&tokens, started);
    let (joiner, _incoming) = network().await;
    let (other, _incoming) = network().await;

    let fast = Applicant { wall: || WALL.plus(3 * HOUR_MS), ..applicant("paris") };
    let slow = Applicant { wall: || Timestamp(WALL.0 - 3 * HOUR_MS), ..applicant("paris") };
    for wrong in [fast, slow] {
        let text = text(join(&joiner, &good, &wrong).await);
        assert!(text.contains("clocks") && text.contains("180 minutes"), "{text}");
    }
    let text_of = async |control: &ControlNetwork, token: &JoinTokenText, name: &str| {
        text(join(control, token, &applicant(name)).await)
    };
    let found = text_of(&joiner, &expired, "paris").await;
    assert!(found.contains("has expired"), "{found}");
    let found = text_of(&joiner, &good, "berlin").await;
    assert!(found.contains("named berlin is a member already"), "{found}");
    let forged = JoinTokenText { secret: Secret([7; 32]), ..good.clone() };
    let found = text_of(&joiner, &forged, "paris").await;
    assert!(found.contains("not genuine"), "{found}");
    let found = text_of(&joiner, &draw(), "paris").await;
    assert!(found.contains("not known here"), "{found}");

    assert!(join(&joiner, &good, &applicant("paris")).await.is_ok());
    // Its answer may have been lost.
    assert!(join(&joiner, &good, &applicant("paris")).await.is_ok());
    let found = text_of(&other, &good, "rome").await;
    assert!(found.contains("used already"), "{found}");
    let found = text_of(&joiner, &second, "rome").await;
    assert!(found.contains("this identity is a member already"), "{found}");
    assert!(join(&other, &second, &applicant("rome")).await.is_ok());
    assert!(voter.shown.load(Ordering::Relaxed) > 0);
}

#[tokio::test]
async fn the_secret_is_shown_only_to_a_voter_that_the_token_names() {
    let voter = Voter::start(&[], network().await);
    let (joiner, _incoming) = network().await;
    let addresses = || vec![voter.address.clone()];
    // It says that it is the cluster, and its voter; the token knows better.
    let token = JoinTokenText::draw(CLUSTER, &[NodeId([9; 32])], addresses());
    let found = text(join(&joiner, &token, &applicant("paris")).await);
    assert!(found.contains("none of the voters"), "{found}");
    let token = JoinTokenText::draw(ClusterId([1; 16]), &[voter.node], addresses());
    let found = text(join(&joiner, &token, &applicant("paris")).await);
    assert!(found.contains("belongs to"), "{found}");
    assert_eq!(voter.shown.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn any_of_the_voters_that_the_token_names_will_do() {
    let started = network().await;
    let (id, at) = (started.0.node(), started.0.listen_addresses()[0].to_string());
    let stranger = Voter::start(&[], network().await);
    let voters = [NodeId([9; 32]), id];
    // Somebody else has the address of the first one by now.
    let token = JoinTokenText::draw(CLUSTER, &voters, vec![stranger.address.clone(), at]);
    let voter = Voter::start(&[(&token, WALL.plus(HOUR_MS))], started);
    let (joiner, _incoming) = network().await;
    assert!(join(&joiner, &token, &applicant("paris")).await.is_ok());
    assert_eq!(stranger.shown.load(Ordering::Relaxed), 0);
    assert_eq!(voter.shown.load(Ordering::Relaxed), 1);
}
