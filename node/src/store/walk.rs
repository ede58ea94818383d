//! Walking a tree in the byte order of its keys, where a server lists one directory at a time, all of it:
//! its entries are in memory until they are listed, and those of the directories above it.

use airlift_protocol::error::ErrorCode;
use airlift_protocol::key::Key;
use airlift_protocol::manifest::{Entry, Kind, Version};
use async_trait::async_trait;
use tokio::sync::mpsc;

use super::{ListRequest, Listed, StoreError};

/// Entries that go into the channel at a time.
const BATCH_ENTRIES: usize = 1000;

/// A finding in a directory.
#[derive(Debug)]
pub(super) enum Name {
    /// What has bytes.
    File(Entry),
    /// Its key ends in `/`.
    Directory(Key),
    /// What cannot be asked for under its own name.
    Unreadable(Key, StoreError),
}

impl Name {
    pub(super) fn key(&self) -> &Key {
        match self {
            Self::File(entry) => &entry.key,
            Self::Directory(key) | Self::Unreadable(key, _) => key,
        }
    }
}

/// A tree whose directories are listed one by one.
#[async_trait]
pub(super) trait Directories: Sync {
    /// What is in the directory `path`, which ends in `/`, in byte order of keys.
    async fn scan(&self, path: &str) -> Result<Vec<Name>, StoreError>;
}

/// The entry of a directory.
pub(super) fn directory_entry(key: Key) -> Entry {
    Entry {
        key,
        kind: Kind::Directory,
        size: 0,
        mtime_ns: None,
        version: Version::None,
        is_archived: false,
    }
}

/// `names` of the directory that is shown as `shown`, in byte order of keys.
///
/// # Errors
/// When there is a key twice.
pub(super) fn in_order(mut names: Vec<Name>, shown: &str) -> Result<Vec<Name>, StoreError> {
    names.sort_by(|one, other| one.key().cmp(other.key()));
    if let Some(twice) = names.windows(2).find(|pair| pair[0].key() == pair[1].key()) {
        let text = format!("list {shown}: the server names '{}' twice", twice[0].key());
        return Err(StoreError::new(ErrorCode::Protocol, text));
    }
    Ok(names)
}

/// Lists what `request` asks for into `found`, from what is at the root on.
pub(super) async fn walk(
    directories: &dyn Directories,
    top: Vec<Name>,
    request: ListRequest,
    found: mpsc::Sender<Listed>,
) {
    let (batch, levels) = (Vec::new(), vec![top.into_iter()]);
    let mut lister = Lister { directories, request, batch, found, levels };
    while lister.step().await.is_some() {}
    // Nobody may want the rest, which is no error.
    let _ = lister.flush().await;
}

struct Lister<'a> {
    directories: &'a dyn Directories,
    request: ListRequest,
    batch: Vec<Entry>,
    found: mpsc::Sender<Listed>,
    levels: Vec<std::vec::IntoIter<Name>>,
}

impl Lister<'_> {
    /// Handles one name; `None` when the listing has ended, or nobody wants more of it.
    async fn step(&mut self) -> Option<()> {
        let Some(name) = self.levels.last_mut()?.next() else {
            self.levels.pop();
            return Some(());
        };
        let key = name.key();
        if self.request.until.as_ref().is_some_and(|until| key > until) {
            return None;
        }
        if let Some(after) = &self.request.after
            && key <= after
            && !(matches!(name, Name::Directory(_)) && after.as_bytes().starts_with(key.as_bytes()))
        {
            return Some(());
        }
        match name {
            Name::File(entry) => self.push(entry).await,
            Name::Unreadable(key, error) => self.unreadable(key, error).await,
            Name::Directory(key) => self.descend(key).await,
        }
    }

    async fn descend(&mut self, key: Key) -> Option<()> {
        // Only what is kept became a directory to descend into.
        match self.directories.scan(key.as_str().unwrap_or_default()).await {
            Ok(names) if names.is_empty() => {
                match self.request.after.as_ref().is_none_or(|after| key > *after) {
                    true => self.push(directory_entry(key)).await,
                    false => Some(()),
                }
            }
            Ok(names) => {
                self.levels.push(names.into_iter());
                Some(())
            }
            // A server that does not know what it has just named may have it all the same.
            Err(error) => self.unreadable(key, error).await,
        }
    }

    async fn push(&mut self, entry: Entry) -> Option<()> {
        self.batch.push(entry);
        if self.batch.len() < BATCH_ENTRIES { Some(()) } else { self.flush().await }
    }

    async fn unreadable(&mut self, key: Key, error: StoreError) -> Option<()> {
        self.flush().await?;
        self.found.send(Listed::Unreadable(key, error)).await.ok()
    }

    async fn flush(&mut self) -> Option<()> {
        if self.batch.is_empty() {
            return (!self.found.is_closed()).then_some(());
        }
        let batch = std::mem::take(&mut self.batch);
        self.found.send(Listed::Entries(batch)).await.ok()
    }
}
