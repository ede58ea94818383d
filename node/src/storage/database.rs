//! A `redb` database that answers damage with an error.
//!
//! `redb` checks what it reads by checksums in most places and by assertions in others, so that a
//! damaged file may end in a panic inside it, even while it is being closed. Here such a panic is
//! an answer like any other: it is caught, kept off the terminal, and reported as damage.
//!
//! Once the disk has failed, `redb` refuses whatever follows, and no longer says why. That is no damage:
//! what the disk said is said again, until the file is opened anew.

use std::cell::Cell;
use std::fs::{File, TryLockError};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once, OnceLock, PoisonError, RwLock};

use airlift_protocol::error::ErrorCode;
use redb::{Builder, Database, Durability, ReadTransaction, ReadableDatabase, WriteTransaction};

use crate::store::StoreError;

/// Memory that a database may keep of its file. What is written is seldom read again.
const CACHE_BYTES: usize = 8 << 20;

/// A database of this node, open in this process only.
#[derive(Debug)]
pub(crate) struct NodeDatabase {
    /// Read by whoever works with it.
    handle: RwLock<Handle>,
    path: PathBuf,
}

/// A database from when it was opened on.
#[derive(Debug)]
struct Handle {
    /// `None` after it could not be opened anew, and while it is being closed.
    database: Option<Database>,
    /// What the disk said when it failed first.
    failure: Arc<OnceLock<StoreError>>,
}

impl NodeDatabase {
    /// Opens or creates the database at `path`; a second process at the same file is refused.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let handle = Handle::new(opened(path, open_or_create)?);
        Ok(Self { handle: RwLock::new(handle), path: path.to_owned() })
    }

    /// Opens the database anew if the disk has failed, as a start of the process would: what was written
    /// before that is there. For users to whom the failure is not the end.
    pub(crate) fn renew(&self) -> Result<(), StoreError> {
        let has_failed = |handle: &Handle| handle.failure.get().is_some();
        if !has_failed(&self.handle.read().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(());
        }
        let mut handle = self.handle.write().unwrap_or_else(PoisonError::into_inner);
        if !has_failed(&handle) {
            return Ok(());
        }
        // Its lock on the file would be in the way.
        handle.close(&self.path);
        *handle = Handle::new(opened(&self.path, |path| builder().open(path))?);
        Ok(())
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
        let failure = {
            let handle = self.handle.read().unwrap_or_else(PoisonError::into_inner);
            let done = match &handle.database {
                Some(database) => guarded(|| work(database)),
                None => Ok(Err(redb::Error::PreviousIo)),
            };
            match done {
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(redb::Error::PreviousIo)) => Arc::clone(&handle.failure),
                Ok(Err(error @ redb::Error::Io(_))) => {
                    let error = failed(&self.path, error);
                    return Err(handle.failure.get_or_init(|| error).clone());
                }
                Ok(Err(error)) => return Err(failed(&self.path, error)),
                Err(Panicked) => return Err(self.damaged("its structure is broken")),
            }
        };
        // Who met the failure first may not have said yet what it was: whoever is at work is waited for.
        drop(self.handle.write().unwrap_or_else(PoisonError::into_inner));
        Err(failure.get_or_init(|| refused(&self.path)).clone())
    }
}

impl Handle {
    fn new(database: Database) -> Self {
        Self { database: Some(database), failure: Arc::default() }
    }

    fn close(&mut self, path: &Path) {
        let database = self.database.take();
        if guarded(|| drop(database)) == Err(Panicked) {
            tracing::debug!(path = %path.display(), "a damaged database could not be closed");
        }
    }
}

impl Drop for NodeDatabase {
    fn drop(&mut self) {
        self.handle.get_mut().unwrap_or_else(PoisonError::into_inner).close(&self.path);
    }
}

/// What `open` makes of the file at `path`.
fn opened(
    path: &Path,
    open: impl FnOnce(&Path) -> Result<Database, redb::DatabaseError>,
) -> Result<Database, StoreError> {
    match guarded(|| open(path)) {
        Ok(Ok(database)) => Ok(database),
        Ok(Err(redb::DatabaseError::DatabaseAlreadyOpen)) => Err(in_use(path)),
        Ok(Err(error)) => Err(failed(path, error.into())),
        Err(Panicked) => Err(damaged(path, "its structure is broken")),
    }
}

fn builder() -> Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

/// Opens the database at `path`, or makes one that has its name only when it can be opened again:
/// `redb` takes a file whose first writes were cut short for one of another program.
fn open_or_create(path: &Path) -> Result<Database, redb::DatabaseError> {
    let builder = builder();
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

/// The error where the disk failed and nobody was told how.
fn refused(path: &Path) -> StoreError {
    StoreError::new(ErrorCode::Io, format!("the disk has failed under {}", path.display()))
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
    use std::sync::mpsc::sync_channel;

    use super::*;

    fn full() -> redb::Error {
        io::Error::from(rustix::io::Errno::NOSPC).into()
    }

    #[test]
    fn what_the_disk_said_is_said_until_the_file_is_opened_anew() {
        let directory = tempfile::tempdir().unwrap();
        let database = NodeDatabase::open(&directory.path().join("log.redb")).unwrap();
        let first = database.write(|_| Err(full())).unwrap_err();
        assert_eq!(first.code, ErrorCode::NoSpace);
        let later = database.read(|_| Err::<(), _>(redb::Error::PreviousIo)).unwrap_err();
        assert_eq!((later.code, later.detail()), (first.code, first.detail()));

        database.renew().unwrap();
        database.write(|_| Ok(())).unwrap();
        let unknown = database.write(|_| Err(redb::Error::PreviousIo)).unwrap_err();
        assert_eq!(unknown.code, ErrorCode::Io);
    }

    #[test]
    fn who_is_refused_before_the_first_one_has_said_why_says_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let database = &NodeDatabase::open(&directory.path().join("log.redb")).unwrap();
        let (begin, begun) = sync_channel(1);
        let (refuse, refused) = sync_channel(1);
        std::thread::scope(|scope| {
            let first = scope.spawn(move || {
                database.write(|_| {
                    begin.send(()).unwrap();
                    refused.recv().unwrap();
                    Err(full())
                })
            });
            begun.recv().unwrap();
            let second = database.read(|_| {
                refuse.send(()).unwrap();
                Err::<(), _>(redb::Error::PreviousIo)
            });
            assert_eq!(second.unwrap_err().code, ErrorCode::NoSpace);
            assert_eq!(first.join().unwrap().unwrap_err().code, ErrorCode::NoSpace);
        });
    }

    #[test]
    fn a_file_that_is_gone_is_not_begun_again_where_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log.redb");
        let database = NodeDatabase::open(&path).unwrap();
        let first = database.write(|_| Err(full())).unwrap_err();
        std::fs::remove_file(&path).unwrap();
        database.renew().unwrap_err();
        assert!(!path.exists());
        let later = database.write(|_| Ok(())).unwrap_err();
        assert_eq!((later.code, later.detail()), (first.code, first.detail()));
    }

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
