//! Listing one directory at a time, and looking up files.

use std::sync::Arc;

use airlift_protocol::error::ErrorCode;
use airlift_protocol::key::Key;
use airlift_protocol::limits::KEY_BYTES_MAX;
use airlift_protocol::manifest::{Entry, Kind, Version};
use async_trait::async_trait;
use futures::{StreamExt, stream};
use tokio::sync::mpsc;

use super::facts::{self, FactKind, Facts};
use super::{CONNECTIONS_MAX, Source};
use crate::store::path::is_staging;
use crate::store::walk::{Directories, Name, directory_entry, in_order, walk};
use crate::store::{Attributes, ListRequest, Listed, ObjectInfo, StoreError};

/// Bytes of the listing of one directory.
const LISTING_BYTES_MAX: usize = 256 << 20;

/// Whether the root is there, and is a directory.
pub(super) async fn find_root(source: &Source) -> Result<(), StoreError> {
    let root = describe(source, &Key::default()).await?;
    if root.is_some_and(|facts| facts.kind == FactKind::Directory) {
        return Ok(());
    }
    let text = format!("{} does not exist, or is no directory", source.place);
    Err(StoreError::new(ErrorCode::LocationMissing, text))
}

/// Lists what `request` asks for into `found`.
pub(super) async fn list(
    source: &Source,
    request: ListRequest,
    found: mpsc::Sender<Listed>,
) -> Result<(), StoreError> {
    find_root(source).await?;
    let top = source.scan("").await?;
    walk(source, top, request, found).await;
    Ok(())
}

#[async_trait]
impl Directories for Source {
    async fn scan(&self, path: &str) -> Result<Vec<Name>, StoreError> {
        let key = Key::from(path);
        let shown = self.show(&key);
        let asked = self.path(&key).map_err(|reason| {
            StoreError::new(ErrorCode::KeyUnsupported, format!("{shown}: {reason}"))
        })?;
        let mut lease = self.connection().await?;
        let mut data = lease.control.open("MLSD", &asked, 0, &shown).await?;
        let mut listing = Vec::new();
        while !data.read(&mut listing).await? {
            if listing.len() > LISTING_BYTES_MAX {
                let text = format!("list {shown}: it has too many names");
                return Err(StoreError::new(ErrorCode::TooLarge, text));
            }
        }
        lease.control.close(data).await?;
        self.give_back(lease);
        let mut names = Vec::new();
        for line in listing.split(|&byte| byte == b'\n') {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if !line.is_empty() {
                names.extend(self.name_of(path, line, &shown)?);
            }
        }
        in_order(names, &shown)
    }
}

impl Source {
    /// What a line of the listing of `path` names, if that is in it.
    fn name_of(&self, path: &str, line: &[u8], shown: &str) -> Result<Option<Name>, StoreError> {
        let wrong = || {
            let line = String::from_utf8_lossy(line).into_owned();
            let text = format!("list {shown}: the server's line '{line}' names nothing in it");
            StoreError::new(ErrorCode::Protocol, text)
        };
        let (facts, name) = facts::parse(line).ok_or_else(wrong)?;
        if facts.kind == FactKind::Around {
            return Ok(None);
        }
        if name.contains(&b'/') {
            return Err(wrong());
        }
        let is_directory = facts.kind == FactKind::Directory;
        if is_directory && is_staging(name) {
            return Ok(None);
        }
        let end: &[u8] = if is_directory { b"/" } else { b"" };
        let key = Key::new([path.as_bytes(), name, end].concat());
        let unreadable = |code, reason: &str| {
            let error = StoreError::new(code, format!("{}: {reason}", self.show(&key)));
            Some(Name::Unreadable(key.clone(), error))
        };
        if let Err(reason) = self.path(&key) {
            return Ok(unreadable(ErrorCode::KeyUnsupported, reason));
        }
        if key.as_bytes().len() > KEY_BYTES_MAX {
            let reason = format!("the path has more than {KEY_BYTES_MAX} bytes");
            return Ok(unreadable(ErrorCode::KeyUnsupported, &reason));
        }
        Ok(match facts.kind {
            FactKind::Directory => Some(Name::Directory(key)),
            FactKind::File => match object_entry(key.clone(), &facts) {
                Some(entry) => Some(Name::File(entry)),
                None => unreadable(ErrorCode::Protocol, "the server says no size or no time of it"),
            },
            FactKind::Around | FactKind::Other => {
                unreadable(ErrorCode::KindUnsupported, "it is neither a file nor a directory")
            }
        })
    }
}

/// The entry of a file of which both are known that pin it.
fn object_entry(key: Key, facts: &Facts) -> Option<Entry> {
    let (size, mtime_ns, version) = (facts.size?, Some(facts.mtime_ns?), Version::None);
    Some(Entry { key, kind: Kind::Object, size, mtime_ns, version, is_archived: false })
}

/// What the server says of `key`, without regard to a slash at its end; `None` when there is nothing.
async fn describe(source: &Source, key: &Key) -> Result<Option<Facts>, StoreError> {
    // No key that cannot be asked for is there.
    let Ok(path) = source.path(key) else { return Ok(None) };
    let shown = source.show(key);
    let mut lease = source.connection().await?;
    let reply = lease.control.ask("MLST", path.as_bytes()).await?;
    source.give_back(lease);
    if reply.code != 250 {
        let error = reply.error("look at", &shown);
        return if error.code == ErrorCode::NotFound { Ok(None) } else { Err(error) };
    }
    let line = reply.lines.get(1).and_then(|line| line.strip_prefix(b" "));
    let Some((facts, name)) = line.and_then(facts::parse) else {
        let text = format!("look at {shown}: the server's answer describes nothing");
        return Err(StoreError::new(ErrorCode::Protocol, text));
    };
    // Some say the whole path, some its last name; a name that the server has changed is another file's.
    let last = |path: &[u8]| path.rsplit(|&byte| byte == b'/').next().map(<[u8]>::to_vec);
    if path != "/" && last(name) != last(path.as_bytes()) {
        let text = format!("{shown}: the server takes it for '{}'", String::from_utf8_lossy(name));
        return Err(StoreError::new(ErrorCode::KeyUnsupported, text));
    }
    Ok(Some(facts))
}

/// The entry of `key`, if there is such an object.
pub(super) async fn find(source: &Source, key: &Key) -> Result<Option<Entry>, StoreError> {
    let is_directory = key.as_bytes().is_empty() || key.as_bytes().ends_with(b"/");
    let Some(facts) = describe(source, key).await? else { return Ok(None) };
    Ok(match facts.kind {
        FactKind::Directory if is_directory => Some(directory_entry(key.clone())),
        FactKind::File if !is_directory => object_entry(key.clone(), &facts),
        _ => None,
    })
}

pub(super) async fn lookup(
    source: &Arc<Source>,
    keys: Vec<Key>,
) -> Vec<Result<Option<Entry>, StoreError>> {
    let look = |key: Key| {
        let source = Arc::clone(source);
        async move { find(&source, &key).await }
    };
    stream::iter(keys).map(look).buffered(CONNECTIONS_MAX).collect().await
}

pub(super) async fn stat(source: &Source, key: &Key) -> Result<Option<ObjectInfo>, StoreError> {
    let entry = find(source, key).await?;
    Ok(entry.map(|entry| ObjectInfo { attributes: attributes(&entry), entry }))
}

/// What an object carries beside its bytes: the protocol has only its time.
pub(super) fn attributes(entry: &Entry) -> Attributes {
    Attributes { mtime_ns: entry.mtime_ns, ..Attributes::default() }
}
