//! Listing one directory at a time, and looking up keys.

use std::sync::Arc;

use airlift_protocol::error::ErrorCode;
use airlift_protocol::key::Key;
use airlift_protocol::limits::KEY_BYTES_MAX;
use airlift_protocol::manifest::Entry;
use async_trait::async_trait;
use tokio::sync::mpsc;

use super::error::{is_absent, store_error};
use super::namenode::{Ask, named, survives};
use super::root::Root;
use super::status::{FileType, Splitter, Status};
use crate::store::each::for_each;
use crate::store::http::Body;
use crate::store::path::{is_staging, split};
use crate::store::walk::{Directories, Name, in_order, walk};
use crate::store::{ListRequest, Listed, ObjectInfo, StoreError};

/// Keys of one directory from which listing it may be cheaper than a request for each.
const LISTED_KEYS_MIN: usize = 16;

/// `key` as a path below the root, without the `/` that ends the key of a directory.
///
/// # Errors
/// Why there can be no such file.
pub(super) fn kept(key: &Key) -> Result<&str, &'static str> {
    let Some(text) = key.as_str() else {
        return Err("the name is not UTF-8, which HDFS requires of names");
    };
    let path = text.strip_suffix('/').unwrap_or(text);
    match path.split('/').find(|name| matches!(*name, "" | "." | "..") || name.contains(':')) {
        Some("") => Err("a path cannot have an empty name (`//`, or `/` at its begin)"),
        Some("." | "..") => Err("a path cannot have `.` or `..` as a name"),
        Some(_) => Err("HDFS allows no `:` in a name"),
        None => Ok(path),
    }
}

/// Everything in the directory `full`; `None` when there is no such directory.
pub(super) async fn statuses(
    root: &Root,
    full: &str,
    shown: &str,
) -> Result<Option<Vec<Status>>, StoreError> {
    let answer = match root.namenode.stream(&Ask::get("LISTSTATUS", named(full))).await {
        Ok(answer) => answer,
        Err(failed) if is_absent(&failed) => return Ok(None),
        Err(failed) => return Err(store_error("list", shown, &failed)),
    };
    let wrong = |why: String| {
        let text = format!("list {shown}: the server's listing makes no sense: {why}");
        StoreError::new(ErrorCode::Protocol, text)
    };
    let (mut splitter, mut found) = (Splitter::default(), Vec::new());
    let mut body = Body::new(format!("the listing of {shown}"), answer);
    while let Some(piece) = body.next().await? {
        splitter.push(&piece, &mut found).map_err(wrong)?;
    }
    splitter.finish().map_err(wrong)?;
    // Of a file it is the file, without a name.
    match found.iter().any(|status| status.path_suffix.is_empty()) {
        true => Ok(None),
        false => Ok(Some(found)),
    }
}

/// Lists what `request` asks for into `found`.
pub(super) async fn list(
    root: &Root,
    request: ListRequest,
    found: mpsc::Sender<Listed>,
) -> Result<(), StoreError> {
    let top = scan(root, "").await?.ok_or_else(|| {
        let text = format!("{} does not exist, or is no directory", root.show(b""));
        StoreError::new(ErrorCode::LocationMissing, text)
    })?;
    walk(root, top, request, found).await;
    Ok(())
}

#[async_trait]
impl Directories for Root {
    async fn scan(&self, path: &str) -> Result<Vec<Name>, StoreError> {
        scan(self, path).await?.ok_or_else(|| {
            let text = format!("{} was removed since it was listed", self.show(path.as_bytes()));
            StoreError::new(ErrorCode::NotFound, text)
        })
    }
}

/// What is in the directory `path`, which is empty for the root or ends in `/`, in byte order of keys; `None` when
/// there is no such directory.
async fn scan(root: &Root, path: &str) -> Result<Option<Vec<Name>>, StoreError> {
    let shown = root.show(path.as_bytes());
    let full = root.full(path.trim_end_matches('/'));
    let Some(found) = statuses(root, &full, &shown).await? else { return Ok(None) };
    let mut names = Vec::with_capacity(found.len());
    for status in found {
        let name = status.path_suffix.as_str();
        if name.contains('/') || matches!(name, "." | "..") {
            let text = format!("list {shown}: '{}' can be no name of a file", Key::from(name));
            return Err(StoreError::new(ErrorCode::Protocol, text));
        }
        if !(status.is_directory() && is_staging(name.as_bytes())) {
            names.push(name_of(root, path, &status)?);
        }
    }
    in_order(names, &shown).map(Some)
}

/// What a name in the directory `path` is to a listing.
fn name_of(root: &Root, path: &str, status: &Status) -> Result<Name, StoreError> {
    let end = if status.is_directory() { "/" } else { "" };
    let key = Key::from(format!("{path}{}{end}", status.path_suffix).as_str());
    let shown = root.show(key.as_bytes());
    let unreadable = |code, reason: String| {
        let error = StoreError::new(code, format!("{shown}: {reason}"));
        Ok(Name::Unreadable(key.clone(), error))
    };
    if key.as_bytes().len() > KEY_BYTES_MAX {
        let reason = format!("the path has more than {KEY_BYTES_MAX} bytes");
        return unreadable(ErrorCode::KeyUnsupported, reason);
    }
    match status.file_type {
        FileType::Directory => Ok(Name::Directory(key)),
        FileType::Symlink => {
            unreadable(ErrorCode::KindUnsupported, "symbolic links of HDFS are not read".to_owned())
        }
        FileType::File
            if root.is_snapshot && !survives(&root.full(key.as_str().unwrap_or_default())) =>
        {
            let reason = "of a snapshot bytes are asked for by name, and this one would be rewritten on the way to a \
                          datanode: copy the directory itself";
            unreadable(ErrorCode::KeyUnsupported, reason.to_owned())
        }
        FileType::File => {
            status.id(&shown)?;
            Ok(Name::File(status.entry(key)))
        }
    }
}

/// What stands under `key`; `None` when there is no such object.
pub(super) async fn describe(root: &Root, key: &Key) -> Result<Option<Status>, StoreError> {
    // No key that cannot be asked for is there.
    let Ok(path) = kept(key) else { return Ok(None) };
    let found = root.find(&root.full(path), &root.show(key.as_bytes())).await?;
    Ok(found.filter(|status| is_under(status, key)))
}

/// Whether what has the path of `key` has its key too: that of a directory ends in `/`.
fn is_under(status: &Status, key: &Key) -> bool {
    let is_directory_key = key.as_bytes().ends_with(b"/");
    status.file_type != FileType::Symlink && status.is_directory() == is_directory_key
}

pub(super) async fn stat(root: &Root, key: &Key) -> Result<Option<ObjectInfo>, StoreError> {
    let Some(status) = describe(root, key).await? else { return Ok(None) };
    status.id(&root.show(key.as_bytes()))?;
    Ok(Some(ObjectInfo { entry: status.entry(key.clone()), attributes: status.attributes() }))
}

/// Looks up `keys`, which ascend: those of one directory by a listing of it, where that is cheaper.
pub(super) async fn lookup(
    root: &Arc<Root>,
    keys: Vec<Key>,
) -> Vec<Result<Option<Entry>, StoreError>> {
    let mut results = Vec::with_capacity(keys.len());
    for group in keys.chunk_by(|one, other| parent(one) == parent(other)) {
        match listed(root, group).await {
            Some(found) => results.extend(found),
            None => results.extend(asked(root, group).await),
        }
    }
    results
}

/// The directory that holds `key`.
fn parent(key: &Key) -> &[u8] {
    let bytes = key.as_bytes();
    split(bytes.strip_suffix(b"/").unwrap_or(bytes)).0
}

async fn asked(root: &Arc<Root>, keys: &[Key]) -> Vec<Result<Option<Entry>, StoreError>> {
    let look = |key: Key| async move {
        let found = describe(root, &key).await?;
        Ok(found.map(|status| status.entry(key)))
    };
    for_each(root.requests_max, keys.to_vec(), look).await
}

/// The same by one listing; `None` where that would be dearer, or came to nothing.
async fn listed(root: &Root, keys: &[Key]) -> Option<Vec<Result<Option<Entry>, StoreError>>> {
    if keys.len() < LISTED_KEYS_MIN {
        return None;
    }
    let path = std::str::from_utf8(parent(keys.first()?)).ok()?;
    let (full, shown) = (root.full(path), root.show(path.as_bytes()));
    let directory = root.find(&full, &shown).await.ok()?;
    let children_max = 4 * keys.len() as u64 + 1_000;
    if directory.is_some_and(|status| status.children_num > children_max) {
        return None;
    }
    let Some(mut names) = statuses(root, &full, &shown).await.ok()? else {
        return Some(keys.iter().map(|_| Ok(None)).collect());
    };
    names.sort_by(|one, other| one.path_suffix.cmp(&other.path_suffix));
    let find = |key: &Key| {
        let path = kept(key).ok()?;
        let name = path.rsplit('/').next().unwrap_or(path);
        let place = names.binary_search_by(|status| status.path_suffix.as_str().cmp(name)).ok()?;
        Some(&names[place])
            .filter(|status| is_under(status, key))
            .map(|status| status.entry(key.clone()))
    };
    Some(keys.iter().map(|key| Ok(find(key))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_are_no_paths_are_named() {
        for key in [
            &b""[..],
            b"/",
            b"/a",
            b"a//b",
            b"a//",
            b".",
            b"a/../b",
            b"./a",
            b"\xff",
            b"a:b",
            b"a/:/b",
        ] {
            assert!(kept(&Key::new(key)).is_err(), "{}", Key::new(key));
        }
        for key in ["a", "a b ", "...", "a%2Fb", "cafe\u{301}", "a\nb", ".reserved"] {
            assert_eq!(kept(&Key::from(key)), Ok(key));
        }
        assert_eq!(kept(&Key::from("a/b/")), Ok("a/b"));
    }

    #[test]
    fn keys_of_one_directory_are_together() {
        for (key, expected) in
            [("a", ""), ("a/", ""), ("a/b", "a"), ("a/b/", "a"), ("a/b/c", "a/b")]
        {
            assert_eq!(parent(&Key::from(key)), expected.as_bytes(), "{key}");
        }
    }
}
