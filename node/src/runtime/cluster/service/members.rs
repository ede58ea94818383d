//! The cluster as the API shows it, and who may leave it.

use std::collections::{BTreeMap, BTreeSet};

use airlift_coordinator::Coordinator;
use airlift_coordinator::consensus::{Role as ConsensusRole, Status};
use airlift_coordinator::state::Retention;
use airlift_protocol::cluster::{ClusterId, Member, Role};
use airlift_protocol::control::Members;
use airlift_protocol::id::NodeId;
use airlift_protocol::limits::{HEARTBEAT_MS, LEASE_MS};
use airlift_protocol::raft::RaftId;
use airlift_protocol::schedule::Bandwidth;

use super::jobs::{limit_now, schedule_text};
use crate::api::error::{ApiCode, ApiError};
use crate::api::retention::RetentionView;
use crate::api::view::{ClusterView, NodeRole, NodeState, NodeView};
use crate::network::identity::peer_id;
use crate::runtime::clock;
use crate::runtime::cluster::ask::Sight;

/// Milliseconds without a sign of life after which a node is shown as silent: one was lost, and its
/// leases have not ended yet.
const SILENT_MS: u64 = LEASE_MS / 2 + HEARTBEAT_MS;

/// A node's last sign of life, as the leader has it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sign {
    ago_ms: u64,
    version: String,
}

/// What one node knows of the cluster.
#[derive(Clone, Debug)]
pub(super) struct Known {
    cluster: ClusterId,
    /// The node that knows it.
    node: NodeId,
    members: Members,
    leader: Option<NodeId>,
    /// At a voter.
    status: Option<Status>,
    /// At the leader; a new one has not heard all of them yet.
    signs: BTreeMap<NodeId, Sign>,
    /// Nodes to which this one has a connection.
    connected: BTreeSet<NodeId>,
    /// What all jobs together may move, as far as a voter knows.
    bandwidth: Option<Bandwidth>,
    /// How long jobs that have ended stay on record, as far as a voter knows.
    retention: Retention,
    /// The format in force, as far as a voter knows.
    format: Option<u16>,
    /// What each node may move of that; at the leader.
    shares: BTreeMap<NodeId, u64>,
}

impl Known {
    /// What the driver of a node knows.
    pub(super) fn of(cluster: ClusterId, sight: &Sight<'_>, connected: BTreeSet<NodeId>) -> Self {
        let inventory = sight.coordinator.map(Coordinator::inventory);
        let heard = inventory.into_iter().flat_map(|inventory| inventory.nodes());
        // Without a boot, it is only expected.
        let heard = heard.filter(|(_, seen)| seen.boot.is_some());
        let signs = heard.map(|(node, seen)| {
            let ago_ms = sight.now.since(seen.heard);
            (node, Sign { ago_ms, version: seen.version.clone() })
        });
        let consensus = sight.coordinator.and_then(Coordinator::consensus);
        let share = |member: &Member| {
            let shares = sight.coordinator?.shares_of(sight.now, member.id)?;
            Some((member.id, shares.total?.0))
        };
        Self {
            cluster,
            node: sight.node,
            members: sight.members.clone(),
            leader: sight.leader,
            status: consensus.map(|consensus| consensus.status()),
            signs: signs.collect(),
            connected,
            bandwidth: sight
                .coordinator
                .and_then(|coordinator| coordinator.state().bandwidth.clone()),
            retention: sight.coordinator.map(|it| it.state().retention).unwrap_or_default(),
            format: sight.coordinator.map(|coordinator| coordinator.state().format.0),
            shares: sight.members.members.iter().filter_map(share).collect(),
        }
    }

    /// The cluster as it is shown.
    pub(super) fn view(&self) -> ClusterView {
        let mut nodes: Vec<NodeView> =
            self.members.members.iter().map(|member| self.node_view(member)).collect();
        nodes.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        let leader = self.members.members.iter().find(|member| Some(member.id) == self.leader);
        ClusterView {
            id: self.cluster.to_string(),
            leader: leader.map(|member| member.name.as_str().to_owned()),
            term: self.status.as_ref().map_or(0, |status| status.term),
            commit_index: self.status.as_ref().map_or(0, |status| status.committed.0),
            has_quorum: self.has_quorum(),
            is_current: true,
            nodes,
            format: self.format,
            bandwidth_bytes_per_second: limit_now(self.bandwidth.as_ref(), clock::wall()),
            bandwidth_schedule: schedule_text(self.bandwidth.as_ref()),
            retention: RetentionView::from(self.retention),
        }
    }

    fn node_view(&self, member: &Member) -> NodeView {
        let sign = self.signs.get(&member.id);
        let is_self = member.id == self.node;
        NodeView {
            name: member.name.as_str().to_owned(),
            id: peer_id(member.id).to_string(),
            role: match member.role {
                Role::Voter => NodeRole::Voter,
                Role::Worker => NodeRole::Worker,
            },
            addresses: member.addresses.control.iter().map(ToString::to_string).collect(),
            data_addresses: member.addresses.data.iter().map(ToString::to_string).collect(),
            state: match self.is_alive(member.id) {
                true => NodeState::Alive,
                false => NodeState::Silent,
            },
            last_heard_seconds: match is_self {
                true => Some(0),
                false => sign.map(|sign| sign.ago_ms / 1000),
            },
            version: sign.map(|sign| sign.version.clone()),
            format_newest: member.formats.newest.0,
            is_leader: self.leader == Some(member.id),
            lag: member.raft.and_then(|raft| self.lag(raft)),
            is_voting: member.raft.and_then(|raft| self.is_voting(raft)),
            share_bytes_per_second: self.shares.get(&member.id).copied(),
        }
    }

    /// A node that has not told this one of itself, a new leader say, counts by its connection.
    fn is_alive(&self, node: NodeId) -> bool {
        let is_heard = self.signs.get(&node).map(|sign| sign.ago_ms <= SILENT_MS);
        node == self.node || is_heard.unwrap_or_else(|| self.connected.contains(&node))
    }

    fn lag(&self, raft: RaftId) -> Option<u64> {
        let status = self.status.as_ref().filter(|status| status.role == ConsensusRole::Leader)?;
        let matched = status.matched.get(&raft)?;
        Some(status.last.0.saturating_sub(matched.0))
    }

    /// While voters change, a new one counts only in one of the two majorities.
    fn is_voting(&self, raft: RaftId) -> Option<bool> {
        let configuration = &self.status.as_ref()?.configuration;
        let is_old = !configuration.is_joint() || configuration.voters_outgoing.contains(&raft);
        Some(is_old && configuration.voters.contains(&raft))
    }

    fn has_quorum(&self) -> bool {
        let voter = |raft: &RaftId| {
            let mut members = self.members.members.iter();
            members.find(|member| member.raft == Some(*raft)).map(|member| member.id)
        };
        let is_alive = |raft: &RaftId| voter(raft).is_some_and(|node| self.is_alive(node));
        match &self.status {
            Some(status) => {
                let configuration = &status.configuration;
                let has_majority = |voters: &BTreeSet<RaftId>| {
                    is_majority(voters.iter().filter(|raft| is_alive(raft)).count(), voters.len())
                };
                has_majority(&configuration.voters)
                    && (configuration.voters_outgoing.is_empty()
                        || has_majority(&configuration.voters_outgoing))
            }
            None => self.has_majority(&self.voters()),
        }
    }

    fn has_majority(&self, voters: &[NodeId]) -> bool {
        is_majority(voters.iter().filter(|node| self.is_alive(**node)).count(), voters.len())
    }

    /// The nodes that are voters or are to become some, ascending.
    pub(super) fn voters(&self) -> Vec<NodeId> {
        let members = self.members.members.iter();
        let mut voters: Vec<NodeId> =
            members.filter(|member| member.role == Role::Voter).map(|member| member.id).collect();
        voters.sort_unstable();
        voters
    }

    /// The voters, this node first, and where they are reached: one address of each, then the
    /// others.
    pub(super) fn admitting(&self) -> (Vec<NodeId>, Vec<String>) {
        let mut voters: Vec<&Member> =
            self.members.members.iter().filter(|member| member.role == Role::Voter).collect();
        voters.sort_by_key(|member| (member.id != self.node, member.id));
        let ids = voters.iter().map(|member| member.id).collect();
        let most = voters.iter().map(|member| member.addresses.control.len()).max().unwrap_or(0);
        let nth = |at: usize| voters.iter().filter_map(move |it| it.addresses.control.get(at));
        (ids, (0..most).flat_map(nth).map(ToString::to_string).collect())
    }

    /// The member with this name or id.
    pub(super) fn find(&self, text: &str) -> Result<&Member, ApiError> {
        let is_meant = |member: &&Member| {
            member.name.as_str() == text
                || peer_id(member.id).to_string() == text
                || member.id.to_string() == text
        };
        self.members.members.iter().find(is_meant).ok_or_else(|| {
            let text = text.escape_debug();
            ApiError::not_found(format!("no node of the cluster has the name or id '{text}'"))
        })
    }

    /// The node that is to leave, when the others can go on without it.
    pub(super) fn removable(&self, text: &str) -> Result<NodeId, ApiError> {
        let leaving = self.find(text)?;
        let name = &leaving.name;
        let mut left = self.voters();
        left.retain(|node| *node != leaving.id);
        match leaving.role {
            Role::Worker => Ok(leaving.id),
            Role::Voter if left.is_empty() => Err(ApiError::new(
                ApiCode::Conflict,
                format!("{name} is the last voter: without it nobody could decide anything"),
            )),
            Role::Voter if !self.has_majority(&left) => Err(ApiError::new(
                ApiCode::Conflict,
                format!(
                    "without {name} too few of the {} voters left would be alive to decide: bring \
                     them back, or remove those that are gone first",
                    left.len()
                ),
            )),
            Role::Voter => Ok(leaving.id),
        }
    }

    /// The voter that is to lead.
    pub(super) fn successor(&self, text: &str) -> Result<NodeId, ApiError> {
        let member = self.find(text)?;
        match member.role {
            Role::Voter => Ok(member.id),
            Role::Worker => {
                let text = format!("{} is a worker: only a voter can lead", member.name);
                Err(ApiError::new(ApiCode::Conflict, text))
            }
        }
    }
}

fn is_majority(count: usize, of: usize) -> bool {
    2 * count > of
}

#[cfg(test)]
mod tests {
    use airlift_protocol::cluster::{Address, Addresses, NodeName};
    use airlift_protocol::id::LogIndex;
    use airlift_protocol::raft::{Configuration, LogPosition};
    use airlift_protocol::time::Timestamp;
    use airlift_protocol::version::Formats;

    use super::*;

    fn node(number: u8) -> NodeId {
        NodeId([number; 32])
    }

    fn member(number: u8, role: Role) -> Member {
        let control = ["a", "b"].map(|host| Address(format!("{host}{number}:7401"))).to_vec();
        Member {
            id: node(number),
            name: NodeName::parse(&format!("node-{number}")).unwrap(),
            role,
            raft: (role == Role::Voter).then_some(RaftId(u64::from(number))),
            addresses: Addresses { control, ..Addresses::default() },
            joined_at: Timestamp(0),
            formats: Formats::BUILD,
        }
    }

    fn status(voters: u64) -> Status {
        let ids = || (1..=voters).map(RaftId);
        Status {
            role: ConsensusRole::Leader,
            term: 4,
            leader: Some(RaftId(1)),
            committed: LogIndex(90),
            applied: LogPosition { index: LogIndex(90), term: 4 },
            last: LogIndex(100),
            configuration: Configuration { voters: ids().collect(), ..Configuration::default() },
            matched: ids().map(|id| (id, LogIndex(101 - id.0))).collect(),
        }
    }

    /// Node 1 leads `voters` voters, of which those in `alive` were heard; the next is a worker.
    fn known(voters: u8, alive: &[u8]) -> Known {
        let mut members: Vec<Member> = (1..=voters).map(|n| member(n, Role::Voter)).collect();
        members.push(member(voters + 1, Role::Worker));
        let sign = |number: u8| Sign {
            ago_ms: if alive.contains(&number) { SILENT_MS } else { SILENT_MS + 1 },
            version: "0.1.0".to_owned(),
        };
        Known {
            cluster: ClusterId([0xc0; 16]),
            node: node(1),
            members: Members { version: 3, members },
            leader: Some(node(1)),
            status: Some(status(u64::from(voters))),
            signs: (2..=voters).map(|number| (node(number), sign(number))).collect(),
            connected: BTreeSet::new(),
            bandwidth: None,
            retention: Retention::default(),
            format: Some(5),
            shares: BTreeMap::new(),
        }
    }

    #[test]
    fn the_limit_is_shown_with_what_each_node_has_of_it() {
        let mut known = known(2, &[2]);
        known.bandwidth = Some(airlift_protocol::units::ByteRate(900).into());
        known.shares = [(node(1), 600), (node(3), 0)].into();
        let view = known.view();
        assert_eq!(view.bandwidth_bytes_per_second, Some(900));
        let shares: Vec<_> = view.nodes.iter().map(|node| node.share_bytes_per_second).collect();
        assert_eq!(shares, [Some(600), None, Some(0)]);
    }

    #[test]
    fn the_leader_shows_who_lives_and_who_is_behind() {
        let view = known(3, &[2]).view();
        assert_eq!(view.leader.as_deref(), Some("node-1"));
        assert_eq!((view.term, view.commit_index, view.has_quorum), (4, 90, true));
        let found: Vec<_> = view
            .nodes
            .iter()
            .map(|node| (node.state, node.last_heard_seconds, node.lag, node.is_leader))
            .collect();
        let silent_s = (SILENT_MS + 1) / 1000;
        assert_eq!(
            found,
            [
                (NodeState::Alive, Some(0), Some(0), true),
                (NodeState::Alive, Some(SILENT_MS / 1000), Some(1), false),
                (NodeState::Silent, Some(silent_s), Some(2), false),
                (NodeState::Silent, None, None, false),
            ]
        );
        assert_eq!(view.nodes[3].role, NodeRole::Worker);
        assert_eq!(view.nodes[0].addresses, ["a1:7401", "b1:7401"]);
    }

    #[test]
    fn a_quorum_is_more_than_half_of_the_voters() {
        for (voters, alive, expected) in [
            (1, &[][..], true),
            (2, &[], false),
            (2, &[2], true),
            (3, &[], false),
            (3, &[3], true),
            (4, &[2], false),
            (5, &[2, 5], true),
        ] {
            assert_eq!(known(voters, alive).has_quorum(), expected, "{voters} {alive:?}");
        }
    }

    #[test]
    fn both_majorities_count_while_voters_change() {
        let mut known = known(3, &[2]);
        let status = known.status.as_mut().unwrap();
        status.configuration.voters_outgoing = [RaftId(3), RaftId(9)].into();
        assert!(!known.has_quorum());
    }

    #[test]
    fn a_voter_votes_once_the_change_that_made_it_one_is_complete() {
        let voting = |known: &Known| -> Vec<Option<bool>> {
            known.view().nodes.iter().map(|node| node.is_voting).collect()
        };
        let mut known = known(3, &[2, 3]);
        assert_eq!(voting(&known), [Some(true), Some(true), Some(true), None]);
        let status = known.status.as_mut().unwrap();
        status.configuration.voters_outgoing = [RaftId(1), RaftId(2)].into();
        assert_eq!(voting(&known), [Some(true), Some(true), Some(false), None]);
        let status = known.status.as_mut().unwrap();
        status.configuration = Configuration {
            voters: [RaftId(1), RaftId(2)].into(),
            learners: [RaftId(3)].into(),
            ..Configuration::default()
        };
        assert_eq!(voting(&known), [Some(true), Some(true), Some(false), None]);
        known.status = None;
        assert_eq!(voting(&known), [None; 4]);
    }

    #[test]
    fn a_node_that_does_not_lead_goes_by_its_connections() {
        let mut known = known(3, &[]);
        known.signs.clear();
        known.status = None;
        known.leader = None;
        assert!(!known.has_quorum());
        known.connected = [node(3), node(4)].into();
        let view = known.view();
        assert!(view.has_quorum);
        assert_eq!((view.leader, view.term), (None, 0));
        assert_eq!(view.nodes[2].state, NodeState::Alive);
        assert_eq!(view.nodes[2].last_heard_seconds, None);
        assert_eq!(view.nodes[1].state, NodeState::Silent);
        assert_eq!(view.nodes[3].state, NodeState::Alive);
    }

    #[test]
    fn nodes_are_found_by_name_and_by_id() {
        let known = known(2, &[2]);
        let peer = peer_id(node(2)).to_string();
        for text in ["node-2", &peer, &node(2).to_string()] {
            assert_eq!(known.find(text).unwrap().id, node(2), "{text}");
        }
        for text in ["", "node", "NODE-2", "node-2 "] {
            assert_eq!(known.find(text).unwrap_err().code, ApiCode::NotFound, "{text}");
        }
    }

    #[test]
    fn nobody_leaves_whom_the_others_need() {
        let code = |known: &Known, text: &str| known.removable(text).map_err(|error| error.code);
        let conflict = || -> Result<NodeId, ApiCode> { Err(ApiCode::Conflict) };
        assert_eq!(code(&known(1, &[]), "node-1"), conflict());
        assert_eq!(code(&known(1, &[]), "node-2"), Ok(node(2)));
        assert_eq!(code(&known(2, &[]), "node-2"), Ok(node(2)));
        assert_eq!(code(&known(2, &[]), "node-1"), conflict());
        assert_eq!(code(&known(3, &[2]), "node-3"), Ok(node(3)));
        assert_eq!(code(&known(3, &[2]), "node-2"), conflict());
        assert_eq!(code(&known(3, &[2, 3]), "node-1"), Ok(node(1)));
        assert_eq!(code(&known(3, &[2, 3]), "nobody"), Err(ApiCode::NotFound));
    }

    #[test]
    fn only_voters_can_lead() {
        let known = known(2, &[2]);
        assert_eq!(known.successor("node-2"), Ok(node(2)));
        assert_eq!(known.successor("node-3").unwrap_err().code, ApiCode::Conflict);
    }

    #[test]
    fn tokens_name_an_address_of_each_voter_before_a_second_one() {
        let mut known = known(2, &[2]);
        known.node = node(2);
        let (voters, addresses) = known.admitting();
        assert_eq!(addresses, ["a2:7401", "a1:7401", "b2:7401", "b1:7401"]);
        assert_eq!(voters, [node(2), node(1)]);
        assert_eq!(known.voters(), [node(1), node(2)]);
    }
}
