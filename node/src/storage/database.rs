//! A `redb` database that answers damage with an error.
//!
//! `redb` checks what it reads by checksums in most places and by assertions in others, so that a
//! damaged file may end in a panic inside it, even while it is being closed. Here such a panic is
//! an answer like any other: it is caught, kept off the terminal, and reported as damage.

use std::cell::Cell;
use std::fs::{File, TryLockError};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Once;

use airlift_protocol::error::ErrorCode;
use redb::{Database, Durability, ReadTransaction, ReadableDatabase, WriteTransaction};

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
        let opened = guarded(|| open_or_create(path));
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

    /// As [`write`](Self::write), and does not wait for the disk: what is written is durable with the next
    /// write that is.
    pub(crate) fn write_soon(
        &self,
        write: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<(), StoreError> {
        self.run(|database| {
            let mut transaction = database.begin_write()?;
            transaction.set_durability(Durability::None)?;
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

/// Opens the database at `path`, or makes one that has its name only when it can be opened again:
/// `redb` takes a file whose first writes were cut short for one of another program.
fn open_or_create(path: &Path) -> Result<Database, redb::DatabaseError> {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    if path.try_exists()? {
        return builder.open(path);
    }
    let staged = path.with_extension("new");
    let mut options = File::options();
    let file = options.read(true).write(true).create(true).truncate(false).open(&staged)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(redb::DatabaseError::DatabaseAlreadyOpen),
        // As in `redb`: such a file system keeps nobody out.
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
        Err(TryLockError::Error(error)) => return Err(error.into()),
    }
    // Whoever had the lock before may have finished this very file, and given it its name.
    if path.try_exists()? {
        // It would be in the way of the lock that opening takes.
        drop(file);
        return builder.open(path);
    }
    file.set_len(0)?;
    let database = builder.create_file(file)?;
    std::fs::rename(&staged, path)?;
    File::open(path.parent().unwrap_or(path))?.sync_all()?;
    Ok(database)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_whose_making_was_cut_short_is_made_anew() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log.redb");
        // What a process leaves that is killed while `redb` writes its first page.
        std::fs::write(directory.path().join("log.new"), [0; 8192]).unwrap();
        drop(NodeDatabase::open(&path).unwrap());
        assert!(path.exists());
        assert!(!directory.path().join("log.new").exists());
        drop(NodeDatabase::open(&path).unwrap());
    }

    #[test]
    fn a_database_that_another_process_is_making_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let staged = directory.path().join("log.new");
        let other = File::create_new(&staged).unwrap();
        std::fs::write(&staged, "begun").unwrap();
        other.lock().unwrap();
        let refused = NodeDatabase::open(&directory.path().join("log.redb")).unwrap_err();
        assert_eq!(refused.code, ErrorCode::Conflict);
        assert_eq!(std::fs::read(&staged).unwrap(), b"begun");
    }

    #[test]
    fn a_file_that_is_empty_is_damage_not_a_new_database() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log.redb");
        std::fs::write(&path, "").unwrap();
        let refused = NodeDatabase::open(&path).unwrap_err();
        assert_eq!(refused.code, ErrorCode::CorruptState);
    }
}
