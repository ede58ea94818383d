//! The user: founds the cluster, lets nodes join, submits jobs and submits them again, replaces what
//! is lost, and asks again where no answer comes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use airlift_coordinator::command::Founding;
use airlift_coordinator::origin::Actor;
use airlift_coordinator::state::{Fact, JoinToken};
use airlift_coordinator::{Answer, Input, Request, RequestId};
use airlift_protocol::access::{ApiRole, ApiToken, ApiTokenId, ApiTokenName};
use airlift_protocol::budget::Budget;
use airlift_protocol::cluster::{Addresses, ClusterId, Member, Role, Secret, TokenId};
use airlift_protocol::control::JoinRequest;
use airlift_protocol::id::JobId;
use airlift_protocol::raft::RaftId;
use airlift_protocol::schedule::Bandwidth;
use airlift_protocol::time::Timestamp;
use airlift_protocol::units::ByteRate;

use super::node::Node;
use super::{Ahead, World};
use crate::check::CANARY;
use crate::trace::Weight;

/// Milliseconds between two looks.
const LOOK_MS: u64 = 200;
/// Milliseconds after which the user asks again.
const PATIENCE_MS: u64 = 6_000;

/// What the user wants.
#[derive(Clone, Debug)]
pub(crate) enum Intent {
    Found,
    Issue(usize),
    Join(usize),
    Submit(JobId),
    Pause(JobId),
    Resume(JobId),
    Cancel(JobId),
    Limit(Option<Bandwidth>),
    Budget(JobId, Budget),
    Remove(usize),
    Transfer,
    /// A token for everything that follows.
    CreateApiToken,
    RevokeApiToken,
    /// From now on things may go wrong.
    LetGo,
}

/// The user.
#[derive(Debug, Default)]
pub(crate) struct Operator {
    wants: VecDeque<Intent>,
    /// What was asked, and when the user stops waiting for the answer.
    asked: Option<(RequestId, u64)>,
    /// What is wanted later, by time.
    later: BTreeMap<(u64, u64), Intent>,
    answers: BTreeMap<RequestId, Answer>,
    requests: u64,
    /// The API token that it works with.
    token: Option<ApiTokenId>,
    /// Tokens that it has wanted so far.
    tokens: u64,
}

impl Operator {
    pub(crate) fn want(&mut self, intent: Intent) {
        self.wants.push_back(intent);
    }

    pub(crate) fn want_at(&mut self, at: u64, intent: Intent) {
        self.requests += 1;
        self.later.insert((at, self.requests), intent);
    }

    pub(crate) fn on_answer(&mut self, id: RequestId, answer: Answer) {
        self.answers.insert(id, answer);
    }

    /// Whether nothing is wanted.
    pub(crate) fn is_idle(&self) -> bool {
        self.wants.is_empty() && self.later.is_empty()
    }

    /// In whose name something is asked: what is asked once in a while, in that of the token.
    fn actor(&self, intent: &Intent) -> Actor {
        match intent {
            Intent::Submit(_) | Intent::Pause(_) | Intent::Cancel(_) | Intent::Limit(_) => {
                self.token.map_or(Actor::Root, Actor::Token)
            }
            _ => Actor::Root,
        }
    }

    /// The token that is made next.
    fn next_token(&self) -> ApiTokenId {
        ApiTokenId((self.tokens + 1).to_be_bytes())
    }

    pub(crate) fn describe(&self) -> String {
        format!("wanted: {:?}", self.wants)
    }
}

impl World {
    /// What the user does from the beginning.
    pub(crate) fn plan_operation(&mut self) {
        if !self.options.is_alone {
            self.operator.want(Intent::Found);
            if self.options.forms_under_faults {
                self.operator.want(Intent::LetGo);
            }
            for place in 1..self.nodes.len() {
                self.operator.want(Intent::Issue(place));
                self.operator.want(Intent::Join(place));
            }
            self.operator.want(Intent::CreateApiToken);
        }
        if self.options.is_alone || !self.options.forms_under_faults {
            self.operator.want(Intent::LetGo);
        }
        let jobs: Vec<JobId> = self.jobs.keys().copied().collect();
        jobs.into_iter().for_each(|job| self.operator.want(Intent::Submit(job)));
    }

    /// The user looks whether there is something to do.
    pub(crate) fn operate(&mut self) {
        self.queue.push(self.now + LOOK_MS, Ahead::Operator);
        let due: Vec<(u64, u64)> =
            self.operator.later.range(..=(self.now, u64::MAX)).map(|(key, _)| *key).collect();
        for key in due {
            if let Some(intent) = self.operator.later.remove(&key) {
                self.operator.want(intent);
            }
        }
        let Some(intent) = self.operator.wants.front().cloned() else { return };
        if let Some((id, until)) = self.operator.asked {
            match self.operator.answers.remove(&id) {
                Some(answer @ (Answer::Done | Answer::Refused(_))) => {
                    self.operator.asked = None;
                    self.operator.wants.pop_front();
                    self.on_answered(&intent, &answer);
                }
                Some(Answer::NotLeader | Answer::Unknown) => self.operator.asked = None,
                None if self.now >= until => self.operator.asked = None,
                None => {}
            }
            return;
        }
        self.try_for(&intent);
    }

    fn try_for(&mut self, intent: &Intent) {
        match intent {
            Intent::LetGo => {
                self.operator.wants.pop_front();
                self.let_go();
            }
            Intent::Transfer => {
                self.operator.wants.pop_front();
                if let Some(leader) = self.leader()
                    && let Some(coordinator) = self.coordinator_mut(leader)
                {
                    // Where nobody could take it, nothing happens.
                    let _ = coordinator.hand_over(&BTreeSet::new());
                    self.feed(leader, Input::Timeout);
                }
            }
            intent => {
                if let Some(request) = self.request(intent)
                    && let Some(asked) = self.whom_to_ask()
                {
                    self.operator.requests += 1;
                    let id = RequestId(self.operator.requests);
                    self.operator.asked = Some((id, self.now + PATIENCE_MS));
                    let (at, by) = (self.wall(asked), self.operator.actor(intent));
                    self.feed(asked, Input::Request { id, request, by, at });
                    if let (Intent::RevokeApiToken, Some(token)) = (intent, self.operator.token) {
                        self.try_stolen(asked, token);
                    }
                }
            }
        }
    }

    /// Somebody else tries a token that is being revoked, at the same instant.
    fn try_stolen(&mut self, asked: usize, token: ApiTokenId) {
        self.operator.requests += 1;
        let id = RequestId(self.operator.requests);
        let request = Request::Limit(Some(Bandwidth::Fixed(ByteRate(99 << 20))));
        let at = self.wall(asked);
        self.feed(asked, Input::Request { id, request, by: Actor::Token(token), at });
    }

    /// Mostly the leader; now and then just anybody.
    fn whom_to_ask(&mut self) -> Option<usize> {
        let up: Vec<usize> = (0..self.nodes.len())
            .filter(|place| {
                self.nodes[*place].is_up(self.now) && self.coordinator(*place).is_some()
            })
            .collect();
        match up.is_empty() || !self.faults.chance(100) {
            true => self.leader(),
            false => up.get(self.faults.below(up.len() as u64) as usize).copied(),
        }
    }

    /// Who decides: of several that believe it, the latest.
    pub(crate) fn leader(&self) -> Option<usize> {
        let deciding = (0..self.nodes.len())
            .filter(|place| self.nodes[*place].is_up(self.now) && self.is_deciding(*place));
        deciding.max_by_key(|place| {
            let consensus = self.coordinator(*place).and_then(|it| it.consensus());
            consensus.map_or(0, |consensus| consensus.term())
        })
    }

    fn request(&self, intent: &Intent) -> Option<Request> {
        Some(match intent {
            Intent::Found => Request::Found(Box::new(Founding {
                cluster: CLUSTER,
                founder: Member {
                    id: self.nodes[0].id,
                    name: self.nodes[0].name.clone(),
                    role: Role::Voter,
                    raft: Some(RaftId(1)),
                    addresses: Addresses::default(),
                    joined_at: self.wall(0),
                    formats: self.nodes[0].formats,
                },
                admin: [0; 32],
            })),
            Intent::Issue(place) => {
                let token = JoinToken {
                    secret_hash: secret(*place).hash(),
                    role: self.nodes[*place].role,
                    expires_at: self.wall(0).plus(48 * 3_600_000),
                    used_by: None,
                };
                Request::IssueToken(token_id(*place), token)
            }
            Intent::Join(place) => {
                let request = JoinRequest {
                    cluster: CLUSTER,
                    token: token_id(*place),
                    secret: secret(*place),
                    name: self.nodes[*place].name.clone(),
                    addresses: Addresses::default(),
                    at: self.wall(self.leader()?),
                    version: String::new(),
                    formats: self.nodes[*place].formats,
                };
                Request::Join(self.nodes[*place].id, Box::new(request))
            }
            Intent::Submit(job) => Request::Submit(Box::new(self.jobs[job].spec.clone())),
            Intent::Pause(job) => Request::Pause(*job),
            Intent::Resume(job) => Request::Resume(*job),
            Intent::Cancel(job) => Request::Cancel(*job),
            Intent::Limit(limit) => Request::Limit(limit.clone()),
            Intent::Budget(job, budget) => Request::SetBudget(*job, *budget),
            Intent::Remove(place) => Request::RemoveMember(self.nodes[*place].id),
            Intent::CreateApiToken => {
                let id = self.operator.next_token();
                Request::CreateApiToken(id, Box::new(api_token(id)))
            }
            // There may be none any more: then it is refused.
            Intent::RevokeApiToken => {
                Request::RevokeApiToken(self.operator.token.unwrap_or(ApiTokenId([0; 8])))
            }
            Intent::Transfer | Intent::LetGo => return None,
        })
    }

    /// What was wanted is done, or cannot be.
    fn on_answered(&mut self, intent: &Intent, answer: &Answer) {
        self.say(Weight::Plot, || format!("the user wanted {intent:?}: {answer:?}"));
        match intent {
            Intent::Submit(job) if *answer != Answer::Done => {
                let after = 1_000 + self.faults.below(5_000);
                self.operator.want_at(self.now + after, Intent::Submit(*job));
            }
            Intent::Join(place) => self.has_joined(*place),
            Intent::Remove(place) => {
                let node = &mut self.nodes[*place];
                node.is_member = false;
                node.is_gone = true;
            }
            Intent::CreateApiToken => {
                self.operator.token = Some(self.operator.next_token());
                self.operator.tokens += 1;
            }
            Intent::RevokeApiToken => {
                self.operator.token = None;
                let after = self.faults.below(20_000);
                self.operator.want_at(self.now + after, Intent::CreateApiToken);
            }
            Intent::Pause(job) => {
                let after = 1_000 + self.faults.below(20_000);
                self.operator.want_at(self.now + after, Intent::Resume(*job));
            }
            Intent::Cancel(job) => {
                let after = 1_000 + self.faults.below(20_000);
                self.operator.want_at(self.now + after, Intent::Submit(*job));
            }
            _ => {}
        }
    }

    fn has_joined(&mut self, place: usize) {
        let id = self.nodes[place].id;
        let Some(member) = self.check.member(id) else {
            // It was removed meanwhile, or was refused: it never starts.
            self.nodes[place].is_gone = true;
            return;
        };
        let raft = member.raft;
        let node = &mut self.nodes[place];
        (node.raft, node.is_member) = (raft, true);
        self.start(place);
        let rafts: BTreeSet<RaftId> = self.nodes.iter().filter_map(|node| node.raft).collect();
        for other in 0..self.nodes.len() {
            self.feed(other, Input::Introduce(rafts.clone()));
        }
    }

    /// A process that works alone submits what it is for, each time that it starts, before anything
    /// else.
    pub(crate) fn on_started(&mut self, place: usize) {
        if self.options.is_alone && self.nodes[place].life > 1 {
            let jobs: Vec<JobId> = self.jobs.keys().copied().collect();
            for job in jobs {
                if self.check.has_ended(job) {
                    continue;
                }
                self.operator.requests += 1;
                let id = RequestId(self.operator.requests);
                let request = Request::Submit(Box::new(self.jobs[&job].spec.clone()));
                let at = self.wall(place);
                self.feed(place, Input::Request { id, request, by: Actor::Root, at });
            }
        }
    }

    /// A job that could not go on, or left something over, is submitted again after a while; one that
    /// rests without having been asked to is resumed, or submitted again, which is the same, or is left
    /// alone.
    pub(crate) fn on_fact(&mut self, fact: &Fact) {
        let intent = match fact {
            Fact::JobEnded(job) => {
                self.say(Weight::Plot, || format!("job {job} comes to an end"));
                self.check.wants_again(*job).then_some(Intent::Submit(*job))
            }
            Fact::Rested(job) => {
                self.say(Weight::Plot, || format!("job {job} rests"));
                match self.faults.below(3) {
                    _ if self.check.is_over_budget(*job) => {
                        Some(Intent::Budget(*job, Budget::default()))
                    }
                    0 => Some(Intent::Resume(*job)),
                    1 => Some(Intent::Submit(*job)),
                    // It is tried again without anybody.
                    _ => None,
                }
            }
            _ => None,
        };
        if let Some(intent) = intent {
            let after = 5_000 + self.faults.below(40_000);
            self.operator.want_at(self.now + after, intent);
        }
    }

    /// A machine that takes the place of one that is lost for good.
    pub(crate) fn replace(&mut self, lost: usize) {
        self.operator.want(Intent::Remove(lost));
        let role = self.nodes[lost].role;
        let place = self.nodes.len();
        let mut prng = self.faults.split("replacement");
        self.nodes.push(Node::new(place, role, &mut prng));
        self.operator.want(Intent::Issue(place));
        self.operator.want(Intent::Join(place));
    }
}

const CLUSTER: ClusterId = ClusterId([3; 16]);

fn token_id(place: usize) -> TokenId {
    TokenId((place as u64 + 1).to_be_bytes())
}

/// What only the joining node and its user know. No log and no state may ever have it.
fn secret(place: usize) -> Secret {
    let mut secret = [0; 32];
    secret[..24].copy_from_slice(CANARY);
    secret[24..].copy_from_slice(&(place as u64).to_be_bytes());
    Secret(secret)
}

/// A token that may do everything. Its secret begins as that of a joining node does.
fn api_token(id: ApiTokenId) -> ApiToken {
    let mut secret = [0; 32];
    secret[..24].copy_from_slice(CANARY);
    secret[24..].copy_from_slice(&id.0);
    ApiToken {
        name: ApiTokenName::parse(&id.to_string()).expect("invariant: digits are a name"),
        secret_hash: Secret(secret).hash(),
        role: ApiRole::Admin,
        locations: Vec::new(),
        created_at: Timestamp(0),
        expires_at: None,
    }
}
