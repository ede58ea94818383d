//! Writing small files: stage each, compare what the datanode then has, rename it.

use airlift_protocol::error::ErrorCode;
use airlift_protocol::manifest::Kind;
use bytes::{Buf, Bytes};

use super::checksum::FileChecksum;
use super::error::{is_absent, store_error};
use super::list::kept;
use super::namenode::{Ask, in_directory, named};
use super::root::Root;
use super::status::milliseconds;
use crate::pipeline::chunk::VerifiedObject;
use crate::runtime::blocking::blocking;
use crate::store::each::for_each;
use crate::store::http::{Body, Failed};
use crate::store::path::split;
use crate::store::staged::mtime_ns;
use crate::store::{NewObject, StoreError, contiguous};

/// What a datanode says of a file.
#[derive(serde::Deserialize)]
struct Summed {
    #[serde(rename = "FileChecksum")]
    checksum: FileChecksum,
}

/// Writes `objects`; results in order.
pub(super) async fn put_small(
    root: &Root,
    objects: Vec<(NewObject, VerifiedObject)>,
) -> Vec<Result<(), StoreError>> {
    let staging = root.full(&root.staging);
    let directory = match root.directory(&staging, &root.show_staging()).await {
        Ok(directory) => directory,
        Err(error) => return objects.iter().map(|_| Err(error.clone())).collect(),
    };
    let write = |(object, content): (NewObject, VerifiedObject)| async move {
        put(root, directory, &object, &content).await
    };
    for_each(root.requests_max, objects, write).await
}

/// Writes one object, which is staged in the directory of that number.
async fn put(
    root: &Root,
    directory: u64,
    object: &NewObject,
    content: &VerifiedObject,
) -> Result<(), StoreError> {
    let key = &object.entry.key;
    let shown = root.show(key.as_bytes());
    if let Some(reason) = super::check_key(root, &object.entry) {
        let code = match object.entry.kind {
            Kind::Object | Kind::Directory => ErrorCode::KeyUnsupported,
            Kind::Symlink(_) | Kind::Special => ErrorCode::KindUnsupported,
        };
        return Err(StoreError::new(code, format!("{shown}: {reason}")));
    }
    let path = kept(key).map_err(|reason| {
        StoreError::new(ErrorCode::KeyUnsupported, format!("{shown}: {reason}"))
    })?;
    if key.as_bytes().ends_with(b"/") {
        return root.make(&root.full(path), &shown).await;
    }
    let name = format!("small-{}", root.unique());
    let payload = content.payload();
    let pieces = if payload.is_empty() { Vec::new() } else { vec![contiguous(payload)] };
    stage(root, &in_directory(directory, &name), pieces, None, &shown).await?;
    let staged = root.staged(&name);
    dress(root, &staged, object, &shown).await?;
    publish(root, &staged, path, &shown).await
}

/// Writes a file at `path`, which is encoded, and compares what is there then.
pub(super) async fn stage(
    root: &Root,
    path: &str,
    pieces: Vec<Bytes>,
    block_bytes: Option<u64>,
    shown: &str,
) -> Result<(), StoreError> {
    let mut ask = Ask::put("CREATE", path.to_owned()).with("overwrite", "true");
    if let Some(bytes) = block_bytes {
        ask = ask.with("blocksize", bytes.to_string());
    }
    let written = root.namenode.write(&ask, &pieces).await;
    written.map_err(|failed| store_error("write", shown, &failed))?;
    match holds(root, path, pieces, shown).await? {
        true => Ok(()),
        false => {
            let text = format!("{shown}: the datanode holds other bytes than those that were sent");
            Err(StoreError::new(ErrorCode::CorruptTarget, text))
        }
    }
}

/// Whether the file at `path` has exactly these bytes: by its checksum, or where that says nothing by reading it.
async fn holds(
    root: &Root,
    path: &str,
    pieces: Vec<Bytes>,
    shown: &str,
) -> Result<bool, StoreError> {
    let ask = Ask::get("GETFILECHECKSUM", path.to_owned());
    match root.namenode.read_document::<Summed>(&ask).await {
        Ok(summed) if !pieces.is_empty() => {
            let own = pieces.clone();
            if let Some(verdict) = blocking(move || summed.checksum.is_of(&own)).await {
                return Ok(verdict);
            }
        }
        // Of no bytes there is nothing to compare, and some files have no checksum that can be had.
        Ok(_) | Err(Failed::Refused(_)) => {}
        Err(failed) => return Err(store_error("ask for the checksum of", shown, &failed)),
    }
    let answer = root.namenode.read(&Ask::get("OPEN", path.to_owned())).await;
    let answer = answer.map_err(|failed| store_error("read back", shown, &failed))?;
    is_equal(Body::new(shown.to_owned(), answer), pieces).await
}

async fn is_equal(mut body: Body, pieces: Vec<Bytes>) -> Result<bool, StoreError> {
    let mut rest = pieces.into_iter();
    let mut wanted = Bytes::new();
    while let Some(mut found) = body.next().await? {
        while !found.is_empty() {
            if wanted.is_empty() {
                match rest.next() {
                    Some(next) => wanted = next,
                    None => return Ok(false),
                }
            }
            let length = wanted.len().min(found.len());
            if wanted[..length] != found[..length] {
                return Ok(false);
            }
            wanted.advance(length);
            found.advance(length);
        }
    }
    Ok(wanted.is_empty() && rest.next().is_none())
}

/// Gives the staged file `full` its mode and time.
pub(super) async fn dress(
    root: &Root,
    full: &str,
    object: &NewObject,
    shown: &str,
) -> Result<(), StoreError> {
    if let Some(mode) = object.attributes.mode {
        let ask = Ask::put("SETPERMISSION", named(full))
            .with("permission", format!("{:o}", mode & 0o777));
        let done = root.namenode.done(&ask).await;
        done.map_err(|failed| store_error("set the mode of", shown, &failed))?;
    }
    if let Some(time) = mtime_ns(object) {
        let ask = Ask::put("SETTIMES", named(full))
            .with("modificationtime", milliseconds(time).to_string())
            .with("accesstime", "-1");
        let done = root.namenode.done(&ask).await;
        done.map_err(|failed| store_error("set the time of", shown, &failed))?;
    }
    Ok(())
}

/// Renames the staged file `full` to `path` below the root, in place of what is there.
pub(super) async fn publish(
    root: &Root,
    full: &str,
    path: &str,
    shown: &str,
) -> Result<(), StoreError> {
    let renamed = rename(root, full, path).await;
    let renamed = match renamed {
        // Most objects come into a directory that is there.
        Err(failed) if is_absent(&failed) => {
            let (parent, _) = split(path.as_bytes());
            let parent = String::from_utf8_lossy(parent);
            root.make(&root.full(&parent), shown).await?;
            rename(root, full, path).await
        }
        renamed => renamed,
    };
    renamed.map_err(|failed| match is_absent(&failed) {
        true => {
            let text = format!("rename {shown}: what was staged for it is gone: it is sent again");
            StoreError::new(ErrorCode::Unavailable, text)
        }
        false => store_error("rename", shown, &failed),
    })
}

async fn rename(root: &Root, full: &str, path: &str) -> Result<(), Failed> {
    let ask = Ask::put("RENAME", named(full))
        .with("destination", root.full(path))
        .with("renameoptions", "OVERWRITE");
    root.namenode.done(&ask).await
}
