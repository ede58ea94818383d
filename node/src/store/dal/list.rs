//! Listing one directory at a time, and looking up keys.

use std::sync::Arc;

use airlift_protocol::error::ErrorCode;
use airlift_protocol::key::Key;
use airlift_protocol::limits::KEY_BYTES_MAX;
use airlift_protocol::manifest::{Entry, Kind, Version};
use async_trait::async_trait;
use futures::{StreamExt, stream};
use opendal::{ErrorKind, Metadata};
use tokio::sync::mpsc;

use super::error::store_error;
use super::{ANSWER_TIMEOUT, LISTING_TIMEOUT, REQUESTS_MAX, Source, answer};
use crate::store::path::is_staging;
use crate::store::walk::{Directories, Name, directory_entry, in_order, walk};
use crate::store::{Attributes, ListRequest, Listed, ObjectInfo, StoreError};

/// The entry of a file, from what both a listing and a description say.
pub(super) fn object_entry(key: Key, metadata: &Metadata) -> Entry {
    let nanoseconds = metadata.last_modified().map(|time| time.into_inner().as_nanosecond());
    let version = match metadata.etag() {
        Some(etag) if !etag.is_empty() => Version::ETag(etag.into()),
        _ => Version::None,
    };
    Entry {
        key,
        kind: Kind::Object,
        size: metadata.content_length(),
        mtime_ns: nanoseconds.and_then(|time| i64::try_from(time).ok()),
        version,
        is_archived: false,
    }
}

/// Whether the root is there, and is a directory.
pub(super) async fn find_root(source: &Source) -> Result<(), StoreError> {
    top(source).await.map(drop)
}

/// What is at the root. Where that is a file, a listing of it is nothing that OpenDAL expects.
async fn top(source: &Source) -> Result<Vec<Name>, StoreError> {
    if !source.root.is_empty() && describe(source, &Key::default()).await?.is_none() {
        return Err(missing_root(source, StoreError::new(ErrorCode::NotFound, "")));
    }
    scan(source, "").await.map_err(|error| missing_root(source, error))
}

fn missing_root(source: &Source, error: StoreError) -> StoreError {
    if error.code != ErrorCode::NotFound {
        return error;
    }
    let text = format!("{} does not exist, or is no directory", source.place);
    StoreError::new(ErrorCode::LocationMissing, text)
}

/// Lists what `request` asks for into `found`.
pub(super) async fn list(
    source: &Source,
    request: ListRequest,
    found: mpsc::Sender<Listed>,
) -> Result<(), StoreError> {
    let top = top(source).await?;
    walk(source, top, request, found).await;
    Ok(())
}

#[async_trait]
impl Directories for Source {
    async fn scan(&self, path: &str) -> Result<Vec<Name>, StoreError> {
        scan(self, path).await
    }
}

/// What is in the directory `path`, which is empty for the root or ends in `/`, in byte order of keys.
///
/// A directory is listed with itself. OpenDAL lists one that is missing as empty, so that this is what
/// tells one from the other.
async fn scan(source: &Source, path: &str) -> Result<Vec<Name>, StoreError> {
    let shown = source.show(&Key::from(path));
    let full = format!("{}{path}", source.root);
    let asked = if full.is_empty() { "/" } else { &full };
    let listed = answer(LISTING_TIMEOUT, source.operator.list(asked)).await;
    let listed = listed.map_err(|error| store_error("list", &shown, &error))?;
    let mut is_there = false;
    let mut names = Vec::with_capacity(listed.len());
    for entry in listed {
        if entry.path() == asked {
            is_there = entry.metadata().is_dir();
            continue;
        }
        let own = entry.path().strip_prefix(full.as_str()).unwrap_or_default();
        let name = own.strip_suffix('/').unwrap_or(own);
        if name.is_empty() || name.contains('/') {
            let text = format!(
                "list {shown}: the server names '{}', which is not in it",
                Key::from(entry.path())
            );
            return Err(StoreError::new(ErrorCode::Protocol, text));
        }
        let is_directory = own.len() > name.len();
        if !(is_directory && is_staging(name.as_bytes())) {
            let key = Key::from(format!("{path}{own}").as_str());
            names.push(name_of(source, key, entry.metadata()));
        }
    }
    if !is_there {
        let text = format!("list {shown}: it does not exist");
        return Err(StoreError::new(ErrorCode::NotFound, text));
    }
    in_order(names, &shown)
}

/// What `key`, which ends in `/` when it is a directory, is to a listing.
fn name_of(source: &Source, key: Key, metadata: &Metadata) -> Name {
    let unreadable = |reason: &str| {
        let text = format!("{}: {reason}", source.show(&key));
        Name::Unreadable(key.clone(), StoreError::new(ErrorCode::KeyUnsupported, text))
    };
    match source.path(&key) {
        Err(reason) => unreadable(reason),
        Ok(_) if key.as_bytes().len() > KEY_BYTES_MAX => {
            unreadable(&format!("the path has more than {KEY_BYTES_MAX} bytes"))
        }
        Ok(_) if key.as_bytes().ends_with(b"/") => Name::Directory(key),
        Ok(_) => Name::File(object_entry(key, metadata)),
    }
}

/// What the server says of `key`; `None` when there is no such object.
pub(super) async fn describe(source: &Source, key: &Key) -> Result<Option<Metadata>, StoreError> {
    // No key that cannot be asked for is there.
    let Ok(path) = source.path(key) else { return Ok(None) };
    match answer(ANSWER_TIMEOUT, source.operator.stat(&path)).await {
        Ok(metadata) if metadata.is_dir() == path.ends_with('/') => Ok(Some(metadata)),
        Ok(_) => Ok(None),
        Err(error) => match error.kind() {
            ErrorKind::NotFound | ErrorKind::IsADirectory | ErrorKind::NotADirectory => Ok(None),
            _ => Err(store_error("look at", &source.show(key), &error)),
        },
    }
}

fn entry_of(key: &Key, metadata: &Metadata) -> Entry {
    match metadata.is_dir() {
        true => directory_entry(key.clone()),
        false => object_entry(key.clone(), metadata),
    }
}

pub(super) async fn lookup(
    source: &Arc<Source>,
    keys: Vec<Key>,
) -> Vec<Result<Option<Entry>, StoreError>> {
    let look = |key: Key| {
        let source = Arc::clone(source);
        async move {
            let metadata = describe(&source, &key).await?;
            Ok(metadata.map(|metadata| entry_of(&key, &metadata)))
        }
    };
    stream::iter(keys).map(look).buffered(REQUESTS_MAX).collect().await
}

pub(super) async fn stat(source: &Source, key: &Key) -> Result<Option<ObjectInfo>, StoreError> {
    let metadata = describe(source, key).await?;
    Ok(metadata.map(|metadata| {
        let entry = entry_of(key, &metadata);
        let attributes = attributes(&metadata);
        ObjectInfo { entry, attributes }
    }))
}

/// What an object carries beside its bytes.
pub(super) fn attributes(metadata: &Metadata) -> Attributes {
    let mtime_ns = object_entry(Key::default(), metadata).mtime_ns;
    let content_type = metadata.content_type().map(str::to_owned);
    Attributes { mtime_ns, content_type, ..Attributes::default() }
}
