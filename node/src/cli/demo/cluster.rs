//! The cluster as its user has it: begun, joined and asked by the commands and the API that everyone
//! uses. Every wait has an end, and ends early when a node has ended that is to run.

use std::path::Path;
use std::time::Duration;

use super::node::{self, Node};
use super::{Voice, unproven};
use crate::api::client::{Client, ClientError, Patience, Secret, parse_urls};
use crate::api::request::TokenRequest;
use crate::api::view::{ClusterView, NodeRole, NodeState};
use crate::cli::connect::read_token;
use crate::cli::exit::CliError;
use crate::cli::format::span;
use crate::runtime::clock;

/// Time for a node to come up and join.
const JOIN_MAX: Duration = Duration::from_secs(30);
/// Time for the others to elect a leader.
const ELECTION_MAX: Duration = Duration::from_secs(30);
/// Time between two looks.
const LOOK_PERIOD: Duration = Duration::from_millis(50);
/// Time for one voter to say who leads, before another is asked: it may still wait for the dead.
const VOTER_TIMEOUT: Duration = Duration::from_millis(250);
/// Life of a join token.
const TOKEN_SECONDS: u64 = 600;

/// Nodes that run and know each other.
#[derive(Debug)]
pub(super) struct Cluster {
    nodes: Vec<Node>,
    secret: Secret,
    /// Asks any node.
    client: Client,
}

/// The end of one leader and the beginning of the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Election {
    /// Who was killed.
    pub(super) dead: String,
    /// Who leads now.
    pub(super) leader: String,
    /// Time from the one to the other.
    pub(super) took: Duration,
    /// Bytes that arrived at the target meanwhile.
    pub(super) arrived: u64,
}

impl Cluster {
    /// Begins a cluster below `root` and lets every other node join.
    pub(super) async fn assemble(root: &Path, voice: &Voice) -> Result<Self, CliError> {
        let mut nodes = node::plan(root)?;
        let founder = &mut nodes[0];
        founder.found()?;
        founder.start()?;
        let secret = read_token(&founder.data_dir().join("admin.token"))?;
        let client = client(nodes.iter(), &secret)?;
        let mut cluster = Self { nodes, secret, client };
        for index in 0..cluster.nodes.len() {
            if index > 0 {
                cluster.join(index).await?;
            }
            let name = cluster.nodes[index].name;
            // A token is for the voters that there are: the next one is made when this one is in.
            cluster
                .until(&format!("{name} is a member"), JOIN_MAX, async |client| {
                    let view = client.cluster().await?;
                    Ok((view.leader.is_some() && view.nodes.len() > index).then_some(()))
                })
                .await?;
            let role = cluster.nodes[index].role.as_str();
            voice.say(&match index {
                0 => format!("{name} has begun a cluster, as {role}"),
                _ => format!("{name} has joined it with a token, as {role}"),
            })?;
        }
        let all = cluster.nodes.len();
        cluster
            .until("every node is heard of", JOIN_MAX, async |client| {
                let view = client.cluster().await?;
                Ok(is_complete(&view, all).then_some(()))
            })
            .await?;
        Ok(cluster)
    }

    async fn join(&mut self, index: usize) -> Result<(), CliError> {
        let Node { name, role, .. } = self.nodes[index];
        let what = format!("there is a token for {name}");
        let request = TokenRequest { role, ttl_seconds: TOKEN_SECONDS };
        let token = self
            .until(&what, JOIN_MAX, async |client| client.create_token(&request).await.map(Some))
            .await?;
        self.nodes[index].join(&token.token)
    }

    /// Asks until there is an answer, at most for `limit`.
    ///
    /// # Errors
    /// When there is none in time, or a node has ended that is to run.
    pub(super) async fn until<T>(
        &mut self,
        what: &str,
        limit: Duration,
        mut ask: impl AsyncFnMut(&Client) -> Result<Option<T>, ClientError>,
    ) -> Result<T, CliError> {
        let begun = clock::now();
        loop {
            self.nodes.iter_mut().try_for_each(Node::check)?;
            let problem = match ask(&self.client).await {
                Ok(Some(answer)) => return Ok(answer),
                Ok(None) => String::new(),
                Err(error) => format!(": {error}"),
            };
            if begun.elapsed() >= limit {
                return Err(unproven(format!("not within {}: {what}{problem}", span(limit))));
            }
            tokio::time::sleep(LOOK_PERIOD).await;
        }
    }

    /// A node by its name.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn node(&mut self, name: &str) -> Result<&mut Node, CliError> {
        let found = self.nodes.iter_mut().find(|node| node.name == name);
        found.ok_or_else(|| unproven(format!("the cluster names a node {name}, which is none")))
    }

    /// Kills whoever leads, and waits until another voter does; `arrived` tells how much has arrived
    /// at the target.
    pub(super) async fn kill_leader(
        &mut self,
        voice: &Voice,
        arrived: impl Fn() -> u64,
    ) -> Result<Election, CliError> {
        let before = self
            .until("some node leads", ELECTION_MAX, async |client| {
                let view = client.cluster().await?;
                Ok(view.leader.is_some().then_some(view))
            })
            .await?;
        let dead = before.leader.clone().unwrap_or_default();
        let arrived_before = arrived();
        self.node(&dead)?.kill()?;
        let killed = clock::now();
        voice.say(&format!("kill -9 {dead}, which leads"))?;
        let is_left = |node: &&Node| node.role == NodeRole::Voter && node.is_running();
        let voters = client(self.nodes.iter().filter(is_left), &self.secret)?;
        let leader = self
            .until(&format!("a leader after {dead}"), ELECTION_MAX, async |_| {
                match tokio::time::timeout(VOTER_TIMEOUT, voters.cluster()).await {
                    Ok(view) => Ok(successor(&before, &view?)),
                    Err(_) => Ok(None),
                }
            })
            .await?;
        let took = killed.elapsed();
        Ok(Election { dead, leader, took, arrived: arrived().saturating_sub(arrived_before) })
    }
}

/// A client that asks each of `nodes` once: whoever waits here wants to look after them in between.
fn client<'a>(nodes: impl Iterator<Item = &'a Node>, secret: &Secret) -> Result<Client, CliError> {
    let urls = nodes.map(Node::url).collect::<Vec<_>>().join(",");
    let urls = parse_urls(&urls).map_err(CliError::cannot_run)?;
    let patience =
        Patience { first: Duration::ZERO, electing: Duration::ZERO, later: Duration::ZERO };
    Ok(Client::new(urls, secret.clone(), patience)?)
}

/// Whether the cluster has so many nodes, all of them heard of, and a leader.
fn is_complete(view: &ClusterView, nodes: usize) -> bool {
    view.leader.is_some()
        && view.has_quorum
        && view.nodes.len() == nodes
        && view.nodes.iter().all(|node| node.state == NodeState::Alive)
        // The death of one of three voters is survived once all three vote.
        && view.nodes.iter().all(|node| node.is_voting != Some(false))
}

/// Who leads now, if that was decided after `before`.
fn successor(before: &ClusterView, now: &ClusterView) -> Option<String> {
    let leader = now.leader.as_ref().filter(|name| Some(*name) != before.leader.as_ref());
    leader.filter(|_| now.term > before.term).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::view::NodeView;

    fn view(term: u64, leader: Option<&str>) -> ClusterView {
        let node = |name: &str| NodeView {
            name: name.to_owned(),
            id: String::new(),
            role: NodeRole::Voter,
            addresses: Vec::new(),
            data_addresses: Vec::new(),
            state: NodeState::Alive,
            last_heard_seconds: None,
            version: None,
            format_newest: 5,
            is_leader: leader == Some(name),
            lag: None,
            is_voting: Some(true),
            share_bytes_per_second: None,
        };
        ClusterView {
            id: String::new(),
            leader: leader.map(str::to_owned),
            term,
            commit_index: 1,
            has_quorum: true,
            is_current: true,
            format: Some(5),
            bandwidth_bytes_per_second: None,
            bandwidth_schedule: None,
            retention: Default::default(),
            nodes: ["oslo", "paris-1"].map(node).to_vec(),
        }
    }

    #[test]
    fn only_another_node_in_a_later_term_is_a_successor() {
        let before = view(3, Some("oslo"));
        for (now, leader) in [
            (view(3, Some("oslo")), None),
            (view(4, None), None),
            (view(3, Some("paris-1")), None),
            (view(4, Some("oslo")), None),
            (view(4, Some("paris-1")), Some("paris-1")),
        ] {
            assert_eq!(successor(&before, &now).as_deref(), leader, "{now:?}");
        }
    }

    #[test]
    fn a_cluster_is_complete_when_all_of_it_is_heard_of() {
        assert!(is_complete(&view(1, Some("oslo")), 2));
        assert!(!is_complete(&view(1, Some("oslo")), 3));
        assert!(!is_complete(&view(1, None), 2));
        let mut silent = view(1, Some("oslo"));
        silent.nodes[1].state = NodeState::Silent;
        assert!(!is_complete(&silent, 2));
        let mut halved = view(1, Some("oslo"));
        halved.has_quorum = false;
        assert!(!is_complete(&halved, 2));
    }
}
