//! The membership: who belongs to the cluster, who may join, who may ask.

use std::collections::BTreeMap;

use airlift_protocol::cluster::{Addresses, ClusterId, Member, NodeName, Role, TokenId};
use airlift_protocol::control::Members;
use airlift_protocol::error::{ErrorCode, Failure};
use airlift_protocol::id::{LogIndex, NodeId};
use airlift_protocol::limits::{JOIN_TOKENS_MAX, MEMBERS_MAX};
use airlift_protocol::raft::RaftId;
use airlift_protocol::time::Timestamp;
use airlift_protocol::version::{FormatVersion, Formats};
use serde::{Deserialize, Serialize};

use super::Fact;
use crate::command::{Founding, Joining};

/// A token with which one node may join, once. The log never has its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinToken {
    /// Hash of the secret.
    pub secret_hash: [u8; 32],
    /// What the node becomes.
    pub role: Role,
    /// Wall-clock time from which it admits nobody.
    pub expires_at: Timestamp,
    /// Who has used it.
    pub used_by: Option<NodeId>,
}

/// The membership.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// Which cluster.
    pub id: ClusterId,
    /// Members by id.
    pub members: BTreeMap<NodeId, Member>,
    /// Tokens that were issued.
    pub tokens: BTreeMap<TokenId, JoinToken>,
    /// Hash of the root token.
    pub admin: [u8; 32],
    /// The log entry that changed the members last.
    pub version: LogIndex,
    /// The largest number that a voter was given.
    raft_id_last: RaftId,
}

impl Cluster {
    /// The members as nodes tell each other.
    pub fn members(&self) -> Members {
        Members { version: self.version.0, members: self.members.values().cloned().collect() }
    }

    /// The member of this name.
    pub fn named(&self, name: &str) -> Option<&Member> {
        self.members.values().find(|member| member.name.as_str() == name)
    }

    /// The voter of this number.
    pub fn voter(&self, raft: RaftId) -> Option<NodeId> {
        let voter = self.members.values().find(|member| member.raft == Some(raft))?;
        Some(voter.id)
    }

    pub(super) fn found(index: LogIndex, founding: Founding) -> Self {
        let Founding { cluster, founder, admin } = founding;
        let raft_id_last = founder.raft.unwrap_or(RaftId(1));
        Self {
            id: cluster,
            members: BTreeMap::from([(founder.id, founder)]),
            tokens: BTreeMap::new(),
            admin,
            version: index,
            raft_id_last,
        }
    }

    /// Takes in a token; those that can admit nobody any more make room first.
    pub(super) fn issue(&mut self, id: TokenId, token: JoinToken) -> Option<Failure> {
        if self.tokens.len() >= JOIN_TOKENS_MAX {
            self.tokens.retain(|_, other| other.used_by.is_none());
        }
        if self.tokens.len() >= JOIN_TOKENS_MAX {
            let text = format!("{JOIN_TOKENS_MAX} join tokens are waiting to be used already");
            return Some(Failure::new(ErrorCode::Conflict, text));
        }
        self.tokens.insert(id, token);
        None
    }

    /// Makes a stranger a member, or says why not. A member that asks again, with the same token
    /// and name, is told again, unless it has run: before it did, it knew that it had joined, and
    /// one that has forgotten that has forgotten its votes too.
    pub(super) fn join(
        &mut self,
        index: LogIndex,
        joining: Joining,
        has_run: bool,
    ) -> Result<(), Failure> {
        let Joining { token, node, name, addresses, at, formats } = joining;
        let is_repeated = self.tokens.get(&token).is_some_and(|token| token.used_by == Some(node));
        if is_repeated && self.members.get(&node).is_some_and(|member| member.name == name) {
            if has_run {
                let text = "this node has joined already, and a part of its directory is lost \
                            since: remove it from the cluster, and let it join anew with an empty \
                            directory";
                return Err(Failure::new(ErrorCode::Conflict, text));
            }
            return Ok(());
        }
        self.admit(token, node, &name, at)?;
        let Some(token) = self.tokens.get_mut(&token) else { return Ok(()) };
        token.used_by = Some(node);
        let role = token.role;
        let raft = (role == Role::Voter).then(|| {
            self.raft_id_last = RaftId(self.raft_id_last.0 + 1);
            self.raft_id_last
        });
        let member = Member { id: node, name, role, raft, addresses, joined_at: at, formats };
        self.members.insert(node, member);
        self.version = index;
        Ok(())
    }

    fn admit(
        &self,
        id: TokenId,
        node: NodeId,
        name: &NodeName,
        at: Timestamp,
    ) -> Result<(), Failure> {
        let refuse = |code, text: String| Err(Failure::new(code, text));
        match self.tokens.get(&id) {
            None => {
                let text = "the join token is not known here: it was used and forgotten, or is of \
                            another cluster (ask for a new one with `airlift cluster token`)";
                refuse(ErrorCode::Unauthorized, text.to_owned())
            }
            Some(token) if token.used_by.is_some() => {
                let text = "the join token was used already; each admits one node (ask for a new \
                            one with `airlift cluster token`)";
                refuse(ErrorCode::Unauthorized, text.to_owned())
            }
            Some(token) if token.expires_at <= at => {
                let text = "the join token has expired (ask for a new one with `airlift cluster \
                            token`)";
                refuse(ErrorCode::Unauthorized, text.to_owned())
            }
            Some(_) if self.members.contains_key(&node) => {
                let text = "this identity is a member already: a copied data directory must not \
                            run twice (use an empty one)";
                refuse(ErrorCode::Conflict, text.to_owned())
            }
            Some(_) if self.named(name.as_str()).is_some() => {
                let text = format!("a node named {name} is a member already: choose another name");
                refuse(ErrorCode::Conflict, text)
            }
            Some(_) if self.members.len() >= MEMBERS_MAX => {
                let text = format!("the cluster has {MEMBERS_MAX} members, as many as it can");
                refuse(ErrorCode::Conflict, text)
            }
            Some(_) => Ok(()),
        }
    }

    /// Whether nobody would be left to decide without this member.
    pub(super) fn is_last_voter(&self, node: NodeId) -> bool {
        let mut voters = self.members.values().filter(|member| member.raft.is_some());
        voters.next().is_some_and(|first| first.id == node) && voters.next().is_none()
    }

    /// Takes a member out; whether it was one.
    pub(super) fn remove(&mut self, index: LogIndex, node: NodeId) -> bool {
        let was_member = self.members.remove(&node).is_some();
        if was_member {
            self.version = index;
        }
        was_member
    }

    /// Records where a member is reached, and what its build reads.
    pub(super) fn started(
        &mut self,
        index: LogIndex,
        node: NodeId,
        addresses: Addresses,
        formats: Formats,
    ) {
        if let Some(member) = self.members.get_mut(&node)
            && (member.addresses != addresses || member.formats != formats)
        {
            (member.addresses, member.formats) = (addresses, formats);
            self.version = index;
        }
    }

    /// The newest format that the builds of all members have.
    pub fn format_common(&self) -> Option<FormatVersion> {
        self.members.values().map(|member| member.formats.newest).min()
    }
}

/// Why a node cannot take part.
pub(super) fn unfit(formats: Formats, format: FormatVersion) -> Failure {
    Failure::new(ErrorCode::Conflict, formats.refusal(format))
}

/// The fact that follows from a change of the members, or its refusal.
pub(super) fn fact(outcome: Result<(), Failure>) -> Vec<Fact> {
    vec![match outcome {
        Ok(()) => Fact::Members,
        Err(failure) => Fact::Refused(failure),
    }]
}

#[cfg(test)]
mod tests {
    use airlift_protocol::cluster::Boot;

    use super::*;
    use crate::command::Command;
    use crate::state::State;

    const FOUNDER: NodeId = NodeId([1; 32]);
    const NODE: NodeId = NodeId([2; 32]);
    const TOKEN: TokenId = TokenId([7; 8]);

    fn name(text: &str) -> NodeName {
        NodeName::parse(text).unwrap()
    }

    fn founded() -> State {
        let founder = Member {
            id: FOUNDER,
            name: name("berlin"),
            role: Role::Voter,
            raft: Some(RaftId(1)),
            addresses: Addresses::default(),
            joined_at: Timestamp(0),
            formats: Formats::BUILD,
        };
        let founding = Founding { cluster: ClusterId([9; 16]), founder, admin: [0; 32] };
        let mut state = State::default();
        state.apply(LogIndex(1), Command::Found(Box::new(founding)));
        let token = JoinToken {
            secret_hash: [0; 32],
            role: Role::Voter,
            expires_at: Timestamp(1000),
            used_by: None,
        };
        state.apply(LogIndex(2), Command::IssueToken { id: TOKEN, token });
        state
    }

    fn join(state: &mut State) -> Vec<Fact> {
        let addresses = Addresses::default();
        let joining = Joining {
            token: TOKEN,
            node: NODE,
            name: name("paris"),
            addresses,
            at: Timestamp(5),
            formats: Formats::BUILD,
        };
        state.apply(LogIndex(3), Command::Join(Box::new(joining)))
    }

    #[test]
    fn who_asks_again_is_told_again_until_it_has_run() {
        let mut state = founded();
        assert!(matches!(&join(&mut state)[..], [Fact::Members]));
        let once = state.clone();
        assert!(matches!(&join(&mut state)[..], [Fact::Members]));
        let (boot, addresses) = (Boot(4), Addresses::default());
        state.apply(
            LogIndex(4),
            Command::NodeStarted { node: NODE, boot, addresses, formats: Formats::BUILD },
        );
        let facts = join(&mut state);
        let [Fact::Refused(failure)] = &facts[..] else { panic!("{facts:?}") };
        assert_eq!(failure.code, ErrorCode::Conflict);
        assert!(failure.detail().contains("empty directory"), "{failure:?}");
        // Nobody got a number for a second time.
        let members = |state: &State| state.cluster.as_ref().unwrap().members.clone();
        assert_eq!(members(&state), members(&once));
    }

    #[test]
    fn a_format_comes_into_force_when_every_build_has_it_and_then_holds() {
        let now = Formats::BUILD.newest;
        let next = FormatVersion(now.0 + 1);
        let newer = Formats { oldest: now, newest: next };
        let start = |state: &mut State, node, formats| {
            let (boot, addresses) = (Boot(1), Addresses::default());
            state.apply(LogIndex(5), Command::NodeStarted { node, boot, addresses, formats });
        };
        let raised = |state: &mut State| {
            state.apply(LogIndex(6), Command::Format(next));
            state.format == next
        };
        let mut state = founded();
        join(&mut state);
        assert!(!raised(&mut state), "no member has it");
        start(&mut state, NODE, newer);
        assert!(!raised(&mut state), "the founder has not");
        start(&mut state, FOUNDER, newer);
        start(&mut state, NODE, Formats::BUILD);
        assert!(!raised(&mut state), "one has gone back");
        start(&mut state, NODE, newer);
        assert!(raised(&mut state));
        // From now on an older build takes no part, and is not on record.
        let before = state.clone();
        start(&mut state, NODE, Formats::BUILD);
        state.apply(LogIndex(7), Command::Format(now));
        assert_eq!(state, before);
        let token =
            JoinToken { used_by: None, ..state.cluster.as_ref().unwrap().tokens[&TOKEN].clone() };
        state.apply(LogIndex(8), Command::IssueToken { id: TokenId([8; 8]), token });
        let joining = Joining {
            token: TokenId([8; 8]),
            node: NodeId([3; 32]),
            name: name("rome"),
            addresses: Addresses::default(),
            at: Timestamp(5),
            formats: Formats::BUILD,
        };
        let facts = state.apply(LogIndex(9), Command::Join(Box::new(joining)));
        let [Fact::Refused(failure)] = &facts[..] else { panic!("{facts:?}") };
        assert!(failure.detail().contains("run a newer build"), "{failure:?}");
    }
}
