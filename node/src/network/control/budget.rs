//! Memory for bodies that arrive: a share for each connection, and a bound for the node.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::limit::{CONNECTION_BYTES_MAX, NODE_BYTES_MAX, REQUEST_BYTES_MAX, SMALL_BYTES_MAX};

/// Where a connection gets room for large bodies.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    connection: Arc<Semaphore>,
    node: Arc<Semaphore>,
}

/// Room for one body, free again when this is dropped.
#[derive(Debug, Default)]
pub(super) struct Room {
    _permits: Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)>,
}

impl Budget {
    /// The bound for all connections of a node.
    pub(super) fn of_node() -> Arc<Semaphore> {
        Arc::new(Semaphore::new(NODE_BYTES_MAX))
    }

    /// The share of a new connection.
    pub(super) fn of_connection(node: &Arc<Semaphore>) -> Self {
        Self { connection: Arc::new(Semaphore::new(CONNECTION_BYTES_MAX)), node: Arc::clone(node) }
    }

    /// Waits for room for `bytes`, at most [`REQUEST_BYTES_MAX`]. Small bodies need none: their
    /// number is bounded, and they must not wait for large ones.
    pub(super) async fn room(&self, bytes: usize) -> Room {
        if bytes <= SMALL_BYTES_MAX {
            return Room::default();
        }
        let permits = u32::try_from(bytes.min(REQUEST_BYTES_MAX)).unwrap_or(u32::MAX);
        let connection = Arc::clone(&self.connection).acquire_many_owned(permits).await;
        let node = Arc::clone(&self.node).acquire_many_owned(permits).await;
        let room = connection.and_then(|connection| Ok((connection, node?)));
        Room { _permits: Some(room.expect("invariant: these semaphores are never closed")) }
    }
}

#[cfg(test)]
mod tests {
    use futures::poll;

    use super::*;

    #[tokio::test]
    async fn one_connection_gets_its_share_and_small_bodies_pass() {
        let node = Budget::of_node();
        let budget = Budget::of_connection(&node);
        let first = budget.room(REQUEST_BYTES_MAX).await;
        let _second = budget.room(REQUEST_BYTES_MAX).await;
        let mut third = Box::pin(budget.room(SMALL_BYTES_MAX + 1));
        assert!(poll!(&mut third).is_pending());
        budget.room(SMALL_BYTES_MAX).await;
        Budget::of_connection(&node).room(REQUEST_BYTES_MAX).await;
        drop(first);
        assert!(poll!(&mut third).is_ready());
    }

    #[tokio::test]
    async fn the_node_bounds_all_connections() {
        let node = Budget::of_node();
        let mut held = Vec::new();
        for _ in 0..NODE_BYTES_MAX / REQUEST_BYTES_MAX {
            held.push(Budget::of_connection(&node).room(REQUEST_BYTES_MAX).await);
        }
        let budget = Budget::of_connection(&node);
        assert!(poll!(Box::pin(budget.room(REQUEST_BYTES_MAX))).is_pending());
        held.pop();
        budget.room(REQUEST_BYTES_MAX).await;
    }
}
