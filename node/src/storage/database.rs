//! A `redb` database that answers damage with an error.
//!
//! `redb` checks what it reads by checksums in most places and by assertions in others, so that a
//! damaged file may end in a panic inside it, even while it is being closed. Here such a panic is
//! an answer like any other: it is caught, kept off the terminal, and reported as damage.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Once;

use airlift_protocol::error::ErrorCode;
use redb::{Database, ReadTransaction, ReadableDatabase, WriteTransaction};

use crate::store::StoreError;

/// Memory that a database may keep of its file. What is written is seldom read again.
const CACHE_BYTES: usize = 8 << 20;

/// A database of this node, open in this process only.
#[derive(Debug)]
pub(crate) struct NodeDatabase {
    /// `None` only while it is being closed.
    database: Option<Database>,
    path: PathBuf,
}

impl NodeDatabase {
    /// Opens or creates the database at `path`; a second process at the same file is refused.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let opened = guarded(|| Database::builder().set_cache_size(CACHE_BYTES).create(path));
        let database = match opened {
            Ok(Ok(database)) => database,
            Ok(Err(redb::DatabaseError::DatabaseAlreadyOpen)) => return Err(in_use(path)),
            Ok(Err(error)) => return Err(failed(path, error.into())),
            Err(Panicked) => return Err(damaged(path, "its structure is broken")),
        };
        Ok(Self { database: Some(database), path: path.to_owned() })
    }

    /// Runs `read` in a read transaction.
    pub(crate) fn read<T>(
        &self,
        read: impl FnOnce(&ReadTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        self.run(|database| read(&database.begin_read()?))
    }

    /// Runs `write` in a write transaction, and returns when it is durable.
    pub(crate) fn write(
        &self,
        write: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<(), StoreError> {
        self.run(|database| {
            let transaction = database.begin_write()?;
            write(&transaction)?;
            transaction.commit()?;
            Ok(())
        })
    }

    /// The error for content that is not what was written.
    pub(crate) fn damaged(&self, what: impl std::fmt::Display) -> StoreError {
        damaged(&self.path, what)
    }

    fn run<T>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let database = self.database.as_ref().expect("invariant: open until dropped");
        match guarded(|| work(database)) {
            Ok(result) => result.map_err(|error| failed(&self.path, error)),
            Err(Panicked) => Err(self.damaged("its structure is broken")),
        }
    }
}

impl Drop for NodeDatabase {
    fn drop(&mut self) {
        let database = self.database.take();
        if guarded(|| drop(database)) == Err(Panicked) {
            tracing::debug!(path = %self.path.display(), "a damaged database could not be closed");
        }
    }
}

fn in_use(path: &Path) -> StoreError {
    let text = format!(
        "another airlift process works on this job ({} is in use): wait for it, or stop it",
        path.display()
    );
    StoreError::new(ErrorCode::Conflict, text)
}

fn damaged(path: &Path, what: impl std::fmt::Display) -> StoreError {
    // The whole directory goes: log and journal describe the same uploads.
    let directory = path.parent().unwrap_or(path).display();
    StoreError::new(
        ErrorCode::CorruptState,
        format!(
            "the state in {directory} is damaged ({what}): delete that directory and run the \
             command again; what is complete at the target is recognised and kept"
        ),
    )
}

fn failed(path: &Path, error: redb::Error) -> StoreError {
    match error {
        redb::Error::Io(error) if error.raw_os_error().is_some() => {
            StoreError::io("write the state in", path.display(), &error)
        }
        other => damaged(path, other),
    }
}

/// The guarded code panicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Panicked;

thread_local! {
    static IS_GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work`, turning a panic into a value without printing it.
pub(crate) fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !IS_GUARDED.get() {
                print(info);
            }
        }));
    });
    let before = IS_GUARDED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    IS_GUARDED.set(before);
    result.map_err(|_| Panicked)
}
