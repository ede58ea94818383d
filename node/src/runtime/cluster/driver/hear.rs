//! What other nodes say to this one.

use std::sync::Arc;
use std::time::Duration;

use airlift_coordinator::origin::Actor;
use airlift_coordinator::{AgentInput, Answer, Coordinator, Input, Request};
use airlift_protocol::assignment::Assignment;
use airlift_protocol::cluster::ClusterId;
use airlift_protocol::codec;
use airlift_protocol::control::{
    Alive, ControlAnswer, ControlMessage, Heartbeat, JoinRequest, Joined, Order,
};
use airlift_protocol::error::{ErrorCode, Failure};
use airlift_protocol::id::{JobId, NodeId};
use airlift_protocol::job::JobSpec;
use bytes::Bytes;
use tokio::sync::oneshot;

use super::super::ask::Asker;
use super::super::work::data_addresses;
use super::super::{probe, talk};
use super::{Driver, MESSAGE_BYTES_MAX};
use crate::network::control::{Incoming, Reply};
use crate::runtime::blocking::blocking;
use crate::runtime::clock;

/// Time for the leader to admit a stranger that asked here; the stranger waits a little longer.
const ADMIT_TIMEOUT: Duration = Duration::from_secs(8);

/// What a process is told, or says, that is not the only one with its identity.
pub(super) const TWIN: &str = "another process runs with this node's identity: a data directory \
                               must not be used twice";

impl Driver {
    pub(super) fn on_incoming(&mut self, incoming: Incoming) {
        let Incoming { from, is_member: _, body, reply } = incoming;
        let is_member = self.is_member(from);
        let Ok(message) = codec::decode::<ControlMessage>(&body, MESSAGE_BYTES_MAX) else {
            tracing::debug!(?from, "a message that cannot be read");
            return;
        };
        let is_departing = self.departing.find(from).is_some();
        let is_heard = is_member || (is_departing && is_of_consensus(&message));
        match message {
            ControlMessage::Identify => answer(reply, &self.identify()),
            ControlMessage::Join(join) => self.on_join(from, join, reply),
            // A voter that is behind may not know a member yet: only the leader turns away, and nobody
            // whose vote is still needed.
            _ if !is_heard && (is_departing || !self.is_leader()) => {
                answer(reply, &ControlAnswer::NotLeader(self.other_leader()));
            }
            _ if !is_heard => {
                let text = "this node is no member of its cluster any more: it was removed";
                let refused = Failure::new(ErrorCode::Unauthorized, text);
                answer(reply, &ControlAnswer::Refused(refused));
            }
            ControlMessage::Raft(message) => {
                if let Some(from) = self.raft_of(from) {
                    self.feed(Input::Message { from, message: Box::new(message) });
                }
            }
            ControlMessage::Heartbeat(heartbeat) => {
                let said = self.on_heartbeat(from, heartbeat);
                answer(reply, &said);
            }
            ControlMessage::Dial => self.on_dial(from),
            ControlMessage::Admit(node, join) => self.on_admit(from, node, join, reply),
            ControlMessage::Report(report) => self.feed(Input::Report { node: from, report }),
            ControlMessage::Orders(orders) => self.on_orders(from, orders),
            ControlMessage::FindJob(job) => {
                answer(reply, &ControlAnswer::Job(self.job(job).map(|(_, spec)| spec)));
            }
            ControlMessage::FindRun(job) => answer(reply, &ControlAnswer::Run(self.job(job))),
            ControlMessage::SnapshotFetched(is_fetched) => {
                if let Some(to) = self.raft_of(from) {
                    self.feed(Input::SnapshotSent { to, is_fetched });
                }
            }
            // What only voters need, only voters get.
            ControlMessage::FindPage(_) if self.raft_of(from).is_none() => {
                tracing::debug!(?from, "a worker asks for a page");
            }
            question => self.on_question(question, reply),
        }
    }

    /// A job with its run. Who does not lead may not have heard yet that another run has begun.
    fn job(&self, job: JobId) -> Option<(u32, Box<JobSpec>)> {
        let coordinator = self.parts.coordinator.as_ref().filter(|it| it.is_deciding())?;
        let job = coordinator.state().jobs.get(&job)?;
        Some((job.run, Box::new(job.spec.clone())))
    }

    fn on_dial(&mut self, from: NodeId) {
        let addresses = data_addresses(&self.everybody(), from);
        let data = Arc::clone(&self.parts.data);
        self.work.spawn(async move {
            if let Err(failure) = data.reach(from, &addresses).await {
                tracing::debug!(?from, %failure, "a node that asks to be dialled");
            }
        });
    }

    /// Answers what takes a while, beside the loop.
    fn on_question(&mut self, question: ControlMessage, reply: Reply) {
        match question {
            ControlMessage::Forward(forwarded) => {
                let service = Arc::clone(&self.parts.service);
                self.work.spawn(async move { answer(reply, &service.answer(forwarded).await) });
            }
            ControlMessage::FindPage(index) => {
                let Some(file) = self.parts.file.clone() else { return };
                self.work.spawn(async move {
                    let found = blocking(move || file.find_page(index)).await;
                    if let Err(error) = &found {
                        tracing::warn!(%error, "a page that another voter asks for");
                    }
                    answer(reply, &ControlAnswer::Page(found.ok().flatten().map(Box::new)));
                });
            }
            ControlMessage::Describe => {
                let service = Arc::clone(&self.parts.service);
                self.work.spawn(async move { answer(reply, &service.describe().await) });
            }
            ControlMessage::Probe(location) => {
                let stores = self.parts.stores.clone();
                let directory = self.parts.directory.clone();
                self.work.spawn(async move {
                    answer(reply, &probe::here(&location, &stores, directory.path()).await);
                });
            }
            other => tracing::debug!(?other, "is no question"),
        }
    }

    /// The leader, when it is another node: for a voter the one of now, since a node that is told
    /// that it leads itself concludes that another process has its identity.
    fn other_leader(&self) -> Option<NodeId> {
        let consensus = self.parts.coordinator.as_ref().and_then(Coordinator::consensus);
        let leader = match consensus {
            Some(consensus) => consensus.leader().and_then(|raft| self.node_of(raft)),
            None => self.leader,
        };
        leader.filter(|leader| *leader != self.parts.node)
    }

    fn identify(&self) -> ControlAnswer {
        let members = self.members.members.iter();
        let mut voters: Vec<NodeId> =
            members.filter(|member| member.raft.is_some()).map(|member| member.id).collect();
        voters.sort();
        let id = ClusterId(self.parts.record.cluster);
        ControlAnswer::Cluster { id, voters }
    }

    fn on_heartbeat(&mut self, from: NodeId, heartbeat: Heartbeat) -> ControlAnswer {
        if !self.is_leader() {
            return ControlAnswer::NotLeader(self.other_leader());
        }
        let knows = heartbeat.members_version;
        let jobs: Vec<JobId> = heartbeat.written.iter().map(|(job, _)| *job).collect();
        self.refused = None;
        self.feed(Input::Heartbeat { node: from, heartbeat, at: clock::wall() });
        let coordinator = self.parts.coordinator.as_mut();
        let said = coordinator.map(|it| (it.take_shares(from), it.take_gates(from)));
        let (shares, gates) = said.unwrap_or_default();
        self.drain();
        // One that was held up ceases to lead as it hears this, and others may have been given by then what
        // the answer would let the node go on with.
        if !self.is_leader() {
            return ControlAnswer::NotLeader(self.other_leader());
        }
        if let Some(why) = self.refused.take() {
            return ControlAnswer::Refused(Failure::new(ErrorCode::Conflict, why));
        }
        let members = (knows != self.members.version).then(|| self.members.clone());
        ControlAnswer::Alive(Alive { members, over: self.over(jobs), shares, gates })
    }

    fn over(&self, jobs: Vec<JobId>) -> Vec<(JobId, u32)> {
        self.parts.coordinator.as_ref().map_or_else(Vec::new, |coordinator| coordinator.over(jobs))
    }

    /// Lets go of what this node keeps of jobs that are over.
    pub(super) fn forget(&mut self, over: Vec<(JobId, u32)>) {
        if !over.is_empty() {
            let workshop = Arc::clone(&self.parts.workshop);
            self.work.spawn(async move { blocking(move || workshop.forget(&over)).await });
        }
    }

    /// The leader's own sign of life, given at `said`. It counts when this node still leads once it has
    /// looked at the time: it may have been held up.
    pub(super) fn beat_here(&mut self, heartbeat: Heartbeat, said: Duration) {
        let jobs = heartbeat.written.iter().map(|(job, _)| *job).collect();
        let (node, at, sent) = (self.parts.node, clock::wall(), clock::now());
        let heartbeat = Heartbeat { shares: self.parts.workshop.shares.held(sent), ..heartbeat };
        self.feed(Input::Heartbeat { node, heartbeat, at });
        if !self.is_leader() {
            return;
        }
        self.extend_term(said);
        self.forget(self.over(jobs));
        let Some(coordinator) = &mut self.parts.coordinator else { return };
        if let Some(shares) = coordinator.take_shares(node) {
            self.parts.workshop.shares.hear(shares, sent);
        }
        self.parts.workshop.keep_to(&coordinator.take_gates(node), sent);
    }

    /// Without a share the work would wait for the next sign of life: it is given now.
    pub(super) fn ask_for_share(&mut self, assignment: &Assignment) {
        if self.parts.workshop.shares.is_to_be_asked(clock::now(), assignment.into()) {
            let now = self.now();
            self.agent.handle(now, AgentInput::Beat);
        }
    }

    /// Only a voter leads; an order of one that led before is fenced by its epoch.
    fn on_orders(&mut self, from: NodeId, orders: Vec<Order>) {
        if !self.is_voter(from) {
            return;
        }
        let now = self.now();
        for order in orders {
            self.agent.handle(now, AgentInput::Order(order));
        }
    }

    /// A stranger may ask any voter that its token names; who does not lead hands it on.
    fn on_join(&mut self, from: NodeId, join: Box<JoinRequest>, reply: Reply) {
        if self.is_leader() {
            return self.admit(from, join, reply);
        }
        let Some(leader) = self.other_leader() else {
            return answer(reply, &ControlAnswer::NotLeader(None));
        };
        let control = Arc::clone(&self.parts.control);
        self.work.spawn(async move {
            let message = ControlMessage::Admit(from, join);
            let said = talk::ask(&control, leader, &message, ADMIT_TIMEOUT).await;
            // Whether it was admitted or not: asked again, it is told again.
            answer(reply, &said.unwrap_or(ControlAnswer::NotLeader(Some(leader))));
        });
    }

    /// Only a voter's word is good for who somebody else is.
    fn on_admit(&mut self, from: NodeId, node: NodeId, join: Box<JoinRequest>, reply: Reply) {
        if !self.is_leader() {
            answer(reply, &ControlAnswer::NotLeader(self.other_leader()));
        } else if self.is_voter(from) {
            self.admit(node, join, reply);
        } else {
            let text = "only a voter can hand on that a node wants to join";
            let refused = Failure::new(ErrorCode::Unauthorized, text);
            answer(reply, &ControlAnswer::Refused(refused));
        }
    }

    fn admit(&mut self, node: NodeId, join: Box<JoinRequest>, reply: Reply) {
        let (sender, decided) = oneshot::channel();
        self.ask(Request::Join(node, join), Actor::Node(node), sender);
        let asker = self.parts.asker.clone();
        self.work.spawn(async move {
            let said = match decided.await {
                Ok(Answer::Done) => joined(&asker).await,
                Ok(Answer::Refused(failure)) => ControlAnswer::Refused(failure),
                _ => ControlAnswer::NotLeader(None),
            };
            answer(reply, &said);
        });
    }

    fn is_voter(&self, node: NodeId) -> bool {
        self.members.members.iter().any(|member| member.id == node && member.raft.is_some())
    }
}

/// Whether a message is of those that a voter sends until it has left consensus.
fn is_of_consensus(message: &ControlMessage) -> bool {
    matches!(
        message,
        ControlMessage::Raft(_)
            | ControlMessage::SnapshotFetched(_)
            | ControlMessage::FindPage(_)
            | ControlMessage::Dial
    )
}

fn answer(reply: Reply, said: &ControlAnswer) {
    // The other end may have stopped waiting.
    let _ = reply.send(Bytes::from(codec::encode(said)));
}

/// What a new member learns, once the driver has taken it in.
async fn joined(asker: &Asker) -> ControlAnswer {
    match asker.look(|sight| sight.members.clone()).await {
        Ok(members) => ControlAnswer::Joined(Box::new(Joined { members })),
        Err(_) => ControlAnswer::NotLeader(None),
    }
}
