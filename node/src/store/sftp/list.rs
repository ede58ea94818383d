//! Listing a tree in the byte order of its keys, and looking up keys.
//!
//! The server gives names in any order, so that the names of one directory are in memory until it is
//! listed, and those of the directories above it: some hundred bytes for each name on one path.

use std::collections::BTreeSet;

use airlift_protocol::error::ErrorCode;
use airlift_protocol::key::Key;
use airlift_protocol::limits::KEY_BYTES_MAX;
use airlift_protocol::manifest::{Entry, Kind};
use bytes::Bytes;
use tokio::sync::mpsc;

use super::connection::Connection;
use super::directories::Directories;
use super::folding;
use super::server::Server;
use super::status::{FileType, Status, directory_entry};
use super::wire::{FileAttributes, Reply, Request};
use crate::store::path::{KeyPath, is_staging};
use crate::store::spelling::Spelling;
use crate::store::{ListRequest, Listed, ObjectInfo, StoreError};

/// Entries that go into the channel at a time.
const BATCH_ENTRIES: usize = 1000;
/// Requests for names of one directory that are sent together.
const READS_AT_ONCE: usize = 8;
/// Requests about single files that are sent together.
const ASKED_AT_ONCE: usize = 256;

/// Lists what `request` asks for into `found`.
pub(super) async fn list(
    server: &Server,
    request: ListRequest,
    found: mpsc::Sender<Listed>,
) -> Result<(), StoreError> {
    let mut lent = server.pool.lend().await?;
    let top = scan(server, &mut lent, b"").await?;
    let top = top.ok_or_else(|| {
        let text = format!("{} does not exist", server.show(b""));
        StoreError::new(ErrorCode::LocationMissing, text)
    })?;
    let levels = vec![Level { prefix: Vec::new(), names: top.into_iter() }];
    let mut lister = Lister { server, request, batch: Vec::new(), found, levels };
    while lister.step(&mut lent).await?.is_some() {}
    lister.flush(&mut lent).await?;
    Ok(())
}

/// A name in a directory; that of a directory ends in `/`, which is what puts `a.txt` before `a/b`.
#[derive(Debug)]
struct Name {
    bytes: Vec<u8>,
    status: Status,
}

/// One directory on the way to where the listing stands.
struct Level {
    /// Key of the directory: empty, or ending in `/`.
    prefix: Vec<u8>,
    names: std::vec::IntoIter<Name>,
}

struct Lister<'a> {
    server: &'a Server,
    request: ListRequest,
    batch: Vec<Entry>,
    found: mpsc::Sender<Listed>,
    levels: Vec<Level>,
}

impl Lister<'_> {
    /// Handles one name; `None` when the listing has ended, or nobody wants more of it.
    async fn step(&mut self, connection: &mut Connection) -> Result<Option<()>, StoreError> {
        let Some(level) = self.levels.last_mut() else { return Ok(None) };
        let Some(name) = level.names.next() else {
            self.levels.pop();
            return Ok(Some(()));
        };
        let key = Key::new([&level.prefix[..], &name.bytes].concat());
        if self.request.until.as_ref().is_some_and(|until| key > *until) {
            return Ok(None);
        }
        let is_directory = name.status.file_type == FileType::Directory;
        if let Some(after) = &self.request.after
            && key <= *after
            && !(is_directory && after.as_bytes().starts_with(key.as_bytes()))
        {
            return Ok(Some(()));
        }
        if key.as_bytes().len() > KEY_BYTES_MAX {
            let place = self.server.show(b"");
            let detail = format!("a path below {place} has more than {KEY_BYTES_MAX} bytes");
            let error = StoreError::new(ErrorCode::KeyUnsupported, detail);
            return self.unreadable(connection, key, error).await;
        }
        if is_directory {
            return self.descend(connection, key).await;
        }
        // The text of a link is asked for when the batch is sent.
        let text = (name.status.file_type == FileType::Link).then(Vec::new);
        self.push(connection, name.status.entry(key, text)).await
    }

    /// Lists what is in the directory `key`, or the directory itself when nothing is.
    async fn descend(
        &mut self,
        connection: &mut Connection,
        key: Key,
    ) -> Result<Option<()>, StoreError> {
        let path = &key.as_bytes()[..key.as_bytes().len() - 1];
        match scan(self.server, connection, path).await {
            // Gone since its name was read.
            Ok(None) => Ok(Some(())),
            Ok(Some(names)) if names.is_empty() => {
                match self.request.after.as_ref().is_none_or(|after| key > *after) {
                    true => self.push(connection, directory_entry(key)).await,
                    false => Ok(Some(())),
                }
            }
            Ok(Some(names)) => {
                let prefix = key.as_bytes().to_vec();
                self.levels.push(Level { prefix, names: names.into_iter() });
                Ok(Some(()))
            }
            Err(error) if connection.is_sound() => self.unreadable(connection, key, error).await,
            Err(error) => Err(error),
        }
    }

    async fn push(
        &mut self,
        connection: &mut Connection,
        entry: Entry,
    ) -> Result<Option<()>, StoreError> {
        self.batch.push(entry);
        if self.batch.len() < BATCH_ENTRIES { Ok(Some(())) } else { self.flush(connection).await }
    }

    async fn unreadable(
        &mut self,
        connection: &mut Connection,
        key: Key,
        error: StoreError,
    ) -> Result<Option<()>, StoreError> {
        if self.flush(connection).await?.is_none() {
            return Ok(None);
        }
        Ok(self.found.send(Listed::Unreadable(key, error)).await.ok())
    }

    async fn flush(&mut self, connection: &mut Connection) -> Result<Option<()>, StoreError> {
        if self.batch.is_empty() {
            return Ok((!self.found.is_closed()).then_some(()));
        }
        let batch = std::mem::take(&mut self.batch);
        for listed in with_texts(self.server, connection, batch).await? {
            if self.found.send(listed).await.is_err() {
                return Ok(None);
            }
        }
        Ok(Some(()))
    }
}

/// Entries with the texts of those that are links; a link that is gone meanwhile is left out, and one
/// whose text the server refuses is named.
async fn with_texts(
    server: &Server,
    connection: &mut Connection,
    entries: Vec<Entry>,
) -> Result<Vec<Listed>, StoreError> {
    let is_link = |entry: &&Entry| matches!(entry.kind, Kind::Symlink(_));
    let requests: Vec<Request> = entries
        .iter()
        .filter(is_link)
        .map(|link| Request::Readlink(server.full(link.key.as_bytes())))
        .collect();
    let mut texts = connection.exchange(&requests).await?.into_iter();
    let mut listed = Vec::new();
    let mut complete = Vec::with_capacity(entries.len());
    for mut entry in entries {
        if is_link(&&entry) {
            let shown = server.show(entry.key.as_bytes());
            match texts.next().map(|reply| reply.link_text(&shown)).transpose() {
                Ok(Some(Some(text))) => entry.kind = Kind::Symlink(text),
                Ok(_) => continue,
                Err(error) => {
                    listed.push(Listed::Entries(std::mem::take(&mut complete)));
                    listed.push(Listed::Unreadable(entry.key, error));
                    continue;
                }
            }
        }
        complete.push(entry);
    }
    listed.push(Listed::Entries(complete));
    listed.retain(|listed| !matches!(listed, Listed::Entries(entries) if entries.is_empty()));
    Ok(listed)
}

/// The names in the directory `path`, in byte order of the keys below them; `None` when there is no
/// such directory.
async fn scan(
    server: &Server,
    connection: &mut Connection,
    path: &[u8],
) -> Result<Option<Vec<Name>>, StoreError> {
    let shown = server.show(path);
    let Some(handle) = open_directory(server, connection, path).await? else { return Ok(None) };
    let read = read_names(connection, &handle, &shown).await;
    // Closed whatever came of it, as long as there is a connection to close it on.
    let closed = match connection.is_sound() {
        true => server.ask(connection, Request::Close(handle)).await?.done("close", &shown),
        false => Ok(()),
    };
    let raw = read?;
    closed?;
    let mut names = Vec::with_capacity(raw.len());
    for (name, attributes) in raw {
        if matches!(&name[..], b"." | b"..") {
            continue;
        }
        if name.is_empty() || name.contains(&b'/') || name.contains(&0) {
            let text = format!("list {shown}: '{}' can be no name of a file", Key::new(&name[..]));
            return Err(StoreError::new(ErrorCode::Protocol, text));
        }
        let Some(status) = Status::of(&attributes) else {
            let text =
                format!("list {shown}: the server does not say what '{}' is", Key::new(&name[..]));
            return Err(StoreError::new(ErrorCode::Protocol, text));
        };
        let mut bytes = name.to_vec();
        if status.file_type == FileType::Directory {
            if is_staging(&bytes) {
                continue;
            }
            bytes.push(b'/');
        }
        names.push(Name { bytes, status });
    }
    names.sort_unstable_by(|one, other| one.bytes.cmp(&other.bytes));
    if let Some(twice) = names.windows(2).find(|pair| pair[0].bytes == pair[1].bytes) {
        let name = Key::new(&twice[0].bytes[..]);
        let text = format!("list {shown}: the server names '{name}' twice");
        return Err(StoreError::new(ErrorCode::Protocol, text));
    }
    Ok(Some(names))
}

/// A handle on the directory `path`; `None` when there is no such directory. A directory that may be read
/// and not searched is refused: OpenSSH leaves out of a listing whatever it cannot look at, so that
/// such a directory would seem to be empty.
pub(super) async fn open_directory(
    server: &Server,
    connection: &mut Connection,
    path: &[u8],
) -> Result<Option<Bytes>, StoreError> {
    let shown = server.show(path);
    let full = server.full(path);
    let inside = Request::Lstat([&full[..], b"/."].concat());
    let replies = connection.exchange(&[Request::Opendir(full), inside]).await?;
    let [opened, searched] = <[Reply; 2]>::try_from(replies)
        .map_err(|_| StoreError::new(ErrorCode::Bug, "two requests without two answers"))?;
    if opened.is_nothing() {
        return Ok(None);
    }
    let handle = opened.handle("list", &shown)?;
    match searched.status(&shown) {
        Ok(Some(_)) => Ok(Some(handle)),
        refused => {
            server.ask(connection, Request::Close(handle)).await?.done("close", &shown)?;
            refused.map(|_| None)
        }
    }
}

/// Names of all that is in the directory `path`; `None` when there is no such directory.
pub(super) async fn names_in(
    server: &Server,
    connection: &mut Connection,
    path: &[u8],
) -> Result<Option<BTreeSet<Vec<u8>>>, StoreError> {
    let names = scan(server, connection, path).await?;
    let plain = |name: Name| name.bytes.strip_suffix(b"/").unwrap_or(&name.bytes).to_vec();
    Ok(names.map(|names| names.into_iter().map(plain).collect()))
}

/// Names of the files and links in the staging directory; `None` when there is none.
pub(super) async fn staged_names(
    server: &Server,
    connection: &mut Connection,
) -> Result<Option<Vec<Vec<u8>>>, StoreError> {
    let names = scan(server, connection, server.staging.as_bytes()).await?;
    Ok(names.map(|names| names.into_iter().map(|name| name.bytes).collect()))
}

/// The names behind an open handle, as the server gives them.
async fn read_names(
    connection: &mut Connection,
    handle: &Bytes,
    shown: &str,
) -> Result<Vec<(Bytes, FileAttributes)>, StoreError> {
    let mut names = Vec::new();
    let requests = vec![Request::Readdir(handle.clone()); READS_AT_ONCE];
    loop {
        for reply in connection.exchange(&requests).await? {
            match reply {
                Reply::Names(more) => names.extend(more),
                end if end.is_end() => return Ok(names),
                refusal => return Err(refusal.error("list", shown)),
            }
        }
    }
}

/// What stands under each of `paths`: `None` where nothing does, or only behind a link. What the server
/// refuses to say of one of them says nothing of the others.
pub(super) async fn statuses(
    server: &Server,
    connection: &mut Connection,
    directories: &mut Directories,
    paths: &[KeyPath<'_>],
) -> Result<Vec<Result<Option<Status>, StoreError>>, StoreError> {
    let mut found = Vec::with_capacity(paths.len());
    for paths in paths.chunks(ASKED_AT_ONCE) {
        let mut is_there = Vec::with_capacity(paths.len());
        for path in paths {
            let found = directories.find(server, connection, path.parent).await;
            if let Err(error) = &found
                && !connection.is_sound()
            {
                return Err(error.clone());
            }
            is_there.push(found);
        }
        let requests: Vec<Request> =
            paths.iter().map(|path| Request::Lstat(server.full(path.whole))).collect();
        let replies = connection.exchange(&requests).await?;
        for ((path, is_there), reply) in paths.iter().zip(is_there).zip(replies) {
            found.push(match is_there {
                Ok(true) => reply.status(&server.show(path.whole)),
                Ok(false) => Ok(None),
                Err(error) => Err(error),
            });
        }
    }
    Ok(found)
}

/// Entries of `keys`, as a listing gives them.
pub(super) async fn lookup(
    server: &Server,
    keys: &[Key],
) -> Vec<Result<Option<Entry>, StoreError>> {
    match find(server, keys).await {
        Ok(found) => {
            let entry = |found: Found| Ok(found?.map(|(entry, _)| entry));
            found.into_iter().map(entry).collect()
        }
        Err(error) => keys.iter().map(|_| Err(error.clone())).collect(),
    }
}

pub(super) async fn stat(server: &Server, key: &Key) -> Result<Option<ObjectInfo>, StoreError> {
    let found = find(server, std::slice::from_ref(key)).await?.pop().transpose()?.flatten();
    Ok(found.map(|(entry, status)| ObjectInfo { entry, attributes: status.attributes() }))
}

/// What is under one key.
type Found = Result<Option<(Entry, Status)>, StoreError>;

async fn find(server: &Server, keys: &[Key]) -> Result<Vec<Found>, StoreError> {
    // What cannot be a path is not there.
    let parsed: Vec<Option<KeyPath<'_>>> =
        keys.iter().map(|key| KeyPath::parse(key).ok()).collect();
    let paths: Vec<KeyPath<'_>> = parsed.iter().flatten().copied().collect();
    if paths.is_empty() {
        return Ok(keys.iter().map(|_| Ok(None)).collect());
    }
    let mut lent = server.pool.lend().await?;
    let mut directories = Directories::default();
    let statuses = statuses(server, &mut lent, &mut directories, &paths).await?;
    let mut statuses = statuses.into_iter();
    let mut found = Vec::with_capacity(keys.len());
    for (key, path) in keys.iter().zip(parsed) {
        let status = match &path {
            Some(_) => statuses.next().transpose().map(Option::flatten),
            None => Ok(None),
        };
        let here = status.map(|status| path.zip(status));
        found.push(here.map(|here| {
            let (path, status) = here?;
            let is_directory = status.file_type == FileType::Directory;
            let entry = match (is_directory, path.is_directory) {
                (true, true) => directory_entry(key.clone()),
                (true, false) | (false, true) => return None,
                (false, false) => {
                    let text = (status.file_type == FileType::Link).then(Vec::new);
                    status.entry(key.clone(), text)
                }
            };
            Some((entry, status))
        }));
    }
    add_texts(server, &mut lent, &mut found).await?;
    check_spelling(server, &mut lent, keys, &mut found).await?;
    Ok(found)
}

/// What is there under another name is not what was asked for.
async fn check_spelling(
    server: &Server,
    connection: &mut Connection,
    keys: &[Key],
    found: &mut [Found],
) -> Result<(), StoreError> {
    let known = server.folding.get().copied();
    let Some(mut spelling) = Spelling::new(known) else { return Ok(()) };
    for (key, place) in keys.iter().zip(found) {
        let Ok(path) = KeyPath::parse(key) else { continue };
        let checked = folding::check(server, connection, &mut spelling, path.whole).await;
        match checked {
            Err(error) if !connection.is_sound() => return Err(error),
            Err(error) if place.is_ok() => *place = Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// Fills in the texts of links; a link that is gone meanwhile is not there.
async fn add_texts(
    server: &Server,
    connection: &mut Connection,
    found: &mut [Found],
) -> Result<(), StoreError> {
    for place in found {
        let Ok(Some((entry, _))) = place else { continue };
        if !matches!(entry.kind, Kind::Symlink(_)) {
            continue;
        }
        let path = entry.key.as_bytes();
        let reply = server.ask(connection, Request::Readlink(server.full(path))).await?;
        match reply.link_text(&server.show(path)) {
            Ok(Some(text)) => entry.kind = Kind::Symlink(text),
            Ok(None) => *place = Ok(None),
            Err(error) => *place = Err(error),
        }
    }
    Ok(())
}
