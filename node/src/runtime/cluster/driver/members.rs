//! Who belongs to the cluster, and who is needed for a while after it was removed.
//!
//! A voter is removed twice: from the members, when the log says so, and then from consensus, by a change
//! that the voters of before agree on, and it is one of them. In between it is *departing*: no member, so
//! it gets no work, but without its vote there may be no majority. It is reached and heard, and its
//! process runs, until it has left the configuration of consensus. Then the leader turns it away.

use std::collections::BTreeSet;

use airlift_coordinator::{Coordinator, Input};
use airlift_protocol::cluster::{Address, Member};
use airlift_protocol::control::Members;
use airlift_protocol::id::NodeId;
use airlift_protocol::raft::RaftId;

use super::Driver;
use super::disk::Write;
use crate::network::control::Member as Peer;

/// Voters that are no members any more, and take part in consensus.
#[derive(Debug, Default)]
pub(super) struct Departing(Vec<Member>);

impl Departing {
    /// That one, if it is among them.
    pub(super) fn find(&self, node: NodeId) -> Option<&Member> {
        self.0.iter().find(|member| member.id == node)
    }

    /// Takes in who of those that were members before is not among `members` any more, as long as
    /// `configured` has it.
    fn follow(&mut self, before: Vec<Member>, members: &[Member], configured: &BTreeSet<RaftId>) {
        self.0.extend(before);
        self.0.retain(|gone| members.iter().all(|member| member.id != gone.id));
        self.keep(configured);
    }

    /// Lets go of those that `configured` does not have; whether there were any.
    fn keep(&mut self, configured: &BTreeSet<RaftId>) -> bool {
        let before = self.0.len();
        self.0.retain(|member| member.raft.is_some_and(|raft| configured.contains(&raft)));
        self.0.len() < before
    }
}

impl Driver {
    pub(super) fn is_member(&self, node: NodeId) -> bool {
        self.members.members.iter().any(|member| member.id == node)
    }

    /// The members, and who is departing.
    pub(super) fn everybody(&self) -> Members {
        let members = self.members.members.iter().chain(&self.departing.0).cloned();
        Members { version: self.members.version, members: members.collect() }
    }

    pub(super) fn node_of(&self, raft: RaftId) -> Option<NodeId> {
        let mut members = self.members.members.iter().chain(&self.departing.0);
        members.find(|member| member.raft == Some(raft)).map(|member| member.id)
    }

    pub(super) fn raft_of(&self, node: NodeId) -> Option<RaftId> {
        let mut members = self.members.members.iter().chain(&self.departing.0);
        members.find(|member| member.id == node)?.raft
    }

    /// Who takes part in consensus, in any role, as far as this node knows.
    fn configured(&self) -> BTreeSet<RaftId> {
        let consensus = self.parts.coordinator.as_ref().and_then(Coordinator::consensus);
        consensus.map(|consensus| consensus.configuration().members()).unwrap_or_default()
    }

    pub(super) fn on_members_changed(&mut self) {
        let Some(coordinator) = &self.parts.coordinator else { return };
        let Some(cluster) = &coordinator.state().cluster else { return };
        let members = cluster.members();
        // After a start those of the record may be more: who is departing stands there as well.
        if members.version >= self.members.version && members != self.members {
            self.learn_members(members);
        }
    }

    /// A voter that is no member any more goes on until the leader turns it away: whether the others can
    /// do without it already, it cannot know.
    pub(super) fn learn_members(&mut self, members: Members) {
        let is_member = members.members.iter().any(|member| member.id == self.parts.node);
        if !is_member && self.parts.coordinator.is_none() {
            self.fail("this node is no member of its cluster any more: it was removed");
            return;
        }
        let before = std::mem::replace(&mut self.members, members).members;
        let configured = self.configured();
        self.departing.follow(before, &self.members.members, &configured);
        self.adopt_members();
    }

    /// Lets go of voters that have left consensus; whether there were any.
    pub(super) fn let_go(&mut self) -> bool {
        if self.departing.0.is_empty() {
            return false;
        }
        let configured = self.configured();
        let is_gone = self.departing.keep(&configured);
        if is_gone {
            self.adopt_members();
        }
        is_gone
    }

    fn adopt_members(&mut self) {
        self.spread_members();
        let Members { version, members } = self.everybody();
        (self.parts.record.members, self.parts.record.members_version) = (members, version);
        self.enqueue(Write::Node(Box::new(self.parts.record.clone())));
    }

    pub(super) fn spread_members(&mut self) {
        let everybody = self.everybody();
        let address = |address: &Address| address.0.parse().ok();
        let peers = everybody.members.iter().map(|member| Peer {
            node: member.id,
            addresses: member.addresses.control.iter().filter_map(address).collect(),
        });
        self.parts.control.set_members(peers.collect());
        let nodes = everybody.members.iter().map(|member| member.id);
        self.parts.data.set_members(nodes.collect());
        self.parts.workshop.set_members(everybody);
        let voters = self.members.members.iter().filter_map(|member| member.raft).collect();
        self.feed(Input::Introduce(voters));
    }
}

#[cfg(test)]
mod tests {
    use airlift_protocol::cluster::{Addresses, NodeName, Role};
    use airlift_protocol::time::Timestamp;
    use airlift_protocol::version::Formats;

    use super::*;

    fn member(number: u8, raft: Option<u64>) -> Member {
        Member {
            id: NodeId([number; 32]),
            name: NodeName::parse(&format!("n{number}")).unwrap(),
            role: if raft.is_some() { Role::Voter } else { Role::Worker },
            raft: raft.map(RaftId),
            addresses: Addresses::default(),
            joined_at: Timestamp(0),
            formats: Formats::BUILD,
        }
    }

    fn ids(departing: &Departing) -> Vec<u8> {
        departing.0.iter().map(|member| member.id.0[0]).collect()
    }

    #[test]
    fn a_removed_voter_is_kept_until_consensus_has_let_it_go() {
        let configured =
            |ids: &[u64]| -> BTreeSet<RaftId> { ids.iter().copied().map(RaftId).collect() };
        let (one, two) = (member(1, Some(1)), member(2, Some(2)));
        let (three, worker) = (member(3, Some(3)), member(4, None));
        let mut departing = Departing::default();
        let all = vec![one.clone(), two.clone(), three.clone(), worker];
        let left = [one.clone(), three];
        departing.follow(all, &left, &configured(&[1, 2, 3]));
        assert_eq!(ids(&departing), [2], "workers have no vote");
        // A second one goes before the first is out.
        departing.follow(left.to_vec(), std::slice::from_ref(&one), &configured(&[1, 2, 3]));
        assert_eq!(ids(&departing), [2, 3]);
        assert!(departing.find(NodeId([3; 32])).is_some_and(|it| it.raft == Some(RaftId(3))));
        assert!(!departing.keep(&configured(&[1, 2, 3])));
        assert!(departing.keep(&configured(&[1, 3])));
        assert_eq!(ids(&departing), [3]);
        // Who is out of consensus already is not waited for, nor who has joined anew meanwhile.
        departing.follow(vec![one.clone(), two], std::slice::from_ref(&one), &configured(&[1, 3]));
        assert_eq!(ids(&departing), [3]);
        departing.follow(vec![one.clone()], &[one, member(3, Some(5))], &configured(&[1, 3]));
        assert_eq!(ids(&departing), [0; 0]);
    }
}
