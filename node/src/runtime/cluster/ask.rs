//! Questions to the driver, which alone owns the state machines.

use airlift_coordinator::origin::Actor;
use airlift_coordinator::{Answer, Coordinator, Request};
use airlift_protocol::control::Members;
use airlift_protocol::id::NodeId;
use tokio::sync::{mpsc, oneshot};

/// What the driver shows of itself for the time of one look.
#[derive(Debug)]
pub(crate) struct Sight<'a> {
    /// This node.
    pub(crate) node: NodeId,
    /// The leader, as far as it is known here.
    pub(crate) leader: Option<NodeId>,
    /// The members, as far as they are known here.
    pub(crate) members: &'a Members,
    /// The control plane, when this node is a voter.
    pub(crate) coordinator: Option<&'a Coordinator>,
    /// Milliseconds since the driver started: the time of the coordinator's inventory.
    pub(crate) now: airlift_protocol::time::Timestamp,
    /// Time since the last sign of life of this node that the leader has answered.
    pub(crate) heard: Option<std::time::Duration>,
}

/// A look at the driver's state.
type Look = Box<dyn FnOnce(Sight<'_>) + Send>;

/// A question to the driver.
pub(crate) enum Ask {
    /// A request to the control plane, and who makes it.
    Request(Request, Actor, oneshot::Sender<Answer>),
    /// A look at its state.
    Look(Look),
    /// Hand the lead to another voter: to this one, or to any.
    Transfer(Option<NodeId>, oneshot::Sender<Result<(), String>>),
}

/// The driver is gone: the node is stopping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gone;

/// Asks the driver.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    asks: mpsc::Sender<Ask>,
}

impl Asker {
    /// Questions that may wait for the driver.
    const ASKS_MAX: usize = 64;

    /// An asker, and where its questions come out.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Ask>) {
        let (asks, receiver) = mpsc::channel(Self::ASKS_MAX);
        (Self { asks }, receiver)
    }

    /// Asks the control plane for something in somebody's name, and waits until it is decided.
    pub(crate) async fn request(&self, request: Request, by: Actor) -> Result<Answer, Gone> {
        let (reply, answer) = oneshot::channel();
        self.asks.send(Ask::Request(request, by, reply)).await.map_err(|_| Gone)?;
        answer.await.map_err(|_| Gone)
    }

    /// Looks at the driver's state.
    pub(crate) async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(Sight<'_>) -> T + Send + 'static,
    ) -> Result<T, Gone> {
        let (reply, answer) = oneshot::channel();
        let look: Look = Box::new(move |sight| {
            // Whoever asked may have stopped waiting.
            let _ = reply.send(look(sight));
        });
        self.asks.send(Ask::Look(look)).await.map_err(|_| Gone)?;
        answer.await.map_err(|_| Gone)
    }

    /// Hands the lead to another voter; the error says why not.
    pub(crate) async fn transfer(&self, to: Option<NodeId>) -> Result<Result<(), String>, Gone> {
        let (reply, answer) = oneshot::channel();
        self.asks.send(Ask::Transfer(to, reply)).await.map_err(|_| Gone)?;
        answer.await.map_err(|_| Gone)
    }
}
