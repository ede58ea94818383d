//! Connections that are lent and come back.
//!
//! One that was dropped in the middle of an exchange does not come back, and a handle that was left
//! open on it ends with it.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

use airlift_protocol::error::ErrorCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::connection::{Connection, Destination};
use crate::store::StoreError;

/// Operations at once that have a connection each. Servers admit ten that are not yet known at a time.
const OPERATIONS_MAX: usize = 4;

/// The connections of one store.
#[derive(Debug)]
pub(super) struct Pool {
    destination: Destination,
    idle: Mutex<Vec<Connection>>,
    turns: Arc<Semaphore>,
}

impl Pool {
    pub(super) fn new(destination: Destination) -> Arc<Self> {
        let turns = Arc::new(Semaphore::new(OPERATIONS_MAX));
        Arc::new(Self { destination, idle: Mutex::default(), turns })
    }

    /// For people: `user@host:port`.
    pub(super) fn name(&self) -> &str {
        &self.destination.name
    }

    /// A connection for one operation, when it is its turn.
    pub(super) async fn lend(self: &Arc<Self>) -> Result<Lent, StoreError> {
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|_| {
            StoreError::new(ErrorCode::Bug, "the connections of a store were closed")
        })?;
        self.lend_on(Some(turn)).await
    }

    /// A connection for as long as a reader wants it. It waits for nobody: readers that wait for each
    /// other while they hold what others wait for would wait for ever.
    pub(super) async fn lend_to_reader(self: &Arc<Self>) -> Result<Lent, StoreError> {
        self.lend_on(None).await
    }

    async fn lend_on(
        self: &Arc<Self>,
        turn: Option<OwnedSemaphorePermit>,
    ) -> Result<Lent, StoreError> {
        let connection = match self.take_idle() {
            Some(connection) => connection,
            None => Connection::open(&self.destination).await?,
        };
        Ok(Lent { connection: Some(connection), pool: Arc::clone(self), _turn: turn })
    }

    fn take_idle(&self) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(mut connection) = idle.pop() {
            if connection.is_sound() {
                return Some(connection);
            }
        }
        None
    }
}

/// A connection on loan.
#[derive(Debug)]
pub(super) struct Lent {
    /// `None` only while it is dropped, or when it is not to come back.
    connection: Option<Connection>,
    pool: Arc<Pool>,
    _turn: Option<OwnedSemaphorePermit>,
}

impl Lent {
    /// Ends the connection instead of giving it back: a handle may be open on it that nobody knows.
    pub(super) fn end(mut self) {
        self.connection = None;
    }
}

impl Deref for Lent {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection.as_ref().expect("invariant: it is there until it is dropped")
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut Connection {
        self.connection.as_mut().expect("invariant: it is there until it is dropped")
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        let mut idle = self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if connection.is_sound() && idle.len() < OPERATIONS_MAX {
            idle.push(connection);
        }
    }
}
