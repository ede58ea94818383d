//! A node for tests: its network, and what arrived there.

use std::net::SocketAddr;
use std::time::Duration;

use airlift_protocol::id::NodeId;
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::network::control::{
    ControlNetwork, ControlOptions, Incoming, Member, PeerStatus, RequestError,
};
use crate::network::identity::Identity;

/// How long anything may take that is bound to happen.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

pub(super) struct Node {
    pub(super) identity: Identity,
    pub(super) network: ControlNetwork,
    pub(super) incoming: mpsc::Receiver<Incoming>,
}

impl Node {
    pub(super) async fn start() -> Self {
        Self::with(Identity::generate()).await
    }

    pub(super) async fn with(identity: Identity) -> Self {
        let options = ControlOptions::new(SocketAddr::from(([127, 0, 0, 1], 0)));
        let (network, incoming) = ControlNetwork::start(&identity, options).await.unwrap();
        Self { identity, network, incoming }
    }

    pub(super) fn id(&self) -> NodeId {
        self.identity.node()
    }

    pub(super) fn address(&self) -> SocketAddr {
        let addresses = self.network.listen_addresses();
        assert_eq!(addresses.len(), 1, "{addresses:?}");
        addresses[0]
    }

    pub(super) fn member(&self) -> Member {
        Member { node: self.id(), addresses: vec![self.address()] }
    }

    /// A member that cannot be dialled.
    pub(super) fn hidden_member(&self) -> Member {
        Member { node: self.id(), addresses: Vec::new() }
    }

    pub(super) async fn ask(&self, to: NodeId, body: &[u8]) -> Result<Bytes, RequestError> {
        self.network.request(to, Bytes::copy_from_slice(body), PATIENCE).await
    }

    pub(super) async fn next(&mut self) -> Incoming {
        timeout(PATIENCE, self.incoming.recv()).await.expect("something arrives").unwrap()
    }

    pub(super) fn status_of(&self, node: NodeId) -> PeerStatus {
        let found = self.network.status().into_iter().find(|status| status.node == node);
        found.expect("it is a member")
    }

    pub(super) async fn until_connected(&self, node: NodeId) {
        until(|| self.status_of(node).is_connected).await;
    }
}

/// Two nodes that know each other; only the first can dial.
pub(super) async fn pair() -> (Node, Node) {
    let (a, b) = (Node::start().await, Node::start().await);
    b.network.set_members(vec![a.hidden_member()]);
    a.network.set_members(vec![b.member()]);
    (a, b)
}

/// Answers every request with its own body, until the tasks are dropped.
pub(super) fn echo(mut incoming: mpsc::Receiver<Incoming>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        while let Some(Incoming { body, reply, .. }) = incoming.recv().await {
            reply.send(body);
        }
    });
    tasks
}

/// Waits until something holds, looking often.
pub(super) async fn until(mut holds: impl FnMut() -> bool) {
    let waiting = async {
        let mut interval = tokio::time::interval(Duration::from_millis(5));
        while !holds() {
            interval.tick().await;
        }
    };
    timeout(PATIENCE, waiting).await.expect("it comes to hold");
}
