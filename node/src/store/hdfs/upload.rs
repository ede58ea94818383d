//! Uploads of large files: a directory with a file for each part, which the namenode joins.
//!
//! The token is the name of the directory (`store/staged`), and a part is named by where it begins; so whatever
//! is there says itself which bytes it has, also when the namenode has joined some parts and not yet others. Each
//! part is compared with what its datanode has when it is written. To join them is a matter of the namenode alone:
//! no byte moves.

use std::sync::Arc;

use airlift_protocol::assignment::UploadToken;
use airlift_protocol::chunk::Root as HashRoot;
use airlift_protocol::error::ErrorCode;
use airlift_protocol::key::Key;
use airlift_protocol::shard;
use airlift_protocol::units::ByteRange;
use async_trait::async_trait;

use super::error::store_error;
use super::list::{describe, kept, statuses};
use super::namenode::{Ask, Depth, in_directory, named};
use super::read::FileReader;
use super::root::Root;
use super::status::{Status, milliseconds};
use super::write::{dress, publish, stage};
use crate::pipeline::chunk::VerifiedChunk;
use crate::store::staged::{is_token_of, is_token_of_key, key_prefix, mtime_ns, token_prefix};
use crate::store::{NewObject, OpenedUpload, StoreError, Upload, contiguous};

/// Least bytes of a block of a large file, and so of a part: what a shard has. Hadoop's own blocks have twice as
/// many; smaller ones would cost its namenode memory.
pub const BLOCK_BYTES: u64 = 64 << 20;

/// A part is in memory as a whole.
const BLOCK_BYTES_MAX: u64 = 1 << 30;

/// Largest object: as many parts as an object has shards.
pub(super) const OBJECT_BYTES_MAX: u64 = 10_000 * BLOCK_BYTES_MAX;

/// Bytes of names that one request joins.
const SOURCES_BYTES_MAX: usize = 8 << 10;

/// Bytes of the parts of an object of `size` bytes: a shard, as far as that is in memory, or less where the store
/// was opened so.
pub(super) fn part_bytes(root: &Root, size: u64) -> u64 {
    match root.block_bytes < BLOCK_BYTES {
        true => root.block_bytes,
        false => shard::bytes(size).min(BLOCK_BYTES_MAX),
    }
}

/// A part, or several that were joined.
#[derive(Debug)]
struct Part {
    name: String,
    range: ByteRange,
}

impl Part {
    fn of(status: Status) -> Option<Self> {
        let start = u64::from_str_radix(&status.path_suffix, 16).ok()?;
        let is_part = !status.is_directory() && status.path_suffix == part_name(start);
        let end = start.checked_add(status.size())?;
        is_part.then(|| Self { range: ByteRange::new(start, end), name: status.path_suffix })
    }
}

fn part_name(start: u64) -> String {
    format!("{start:016x}")
}

/// Whether `parts`, which are in order, are all bytes of an object of `size` bytes.
fn is_whole(parts: &[Part], size: u64) -> bool {
    let mut reached = 0;
    for part in parts {
        if part.range.start != reached {
            return false;
        }
        reached = part.range.end;
    }
    reached == size
}

/// Begins the upload of `object`, or takes up `resume`; drops other uploads of the key.
pub(super) async fn open(
    root: &Root,
    object: &NewObject,
    resume: Option<&UploadToken>,
) -> Result<OpenedUpload, StoreError> {
    let key = &object.entry.key;
    let shown = root.show(key.as_bytes());
    kept(key).map_err(|reason| {
        StoreError::new(ErrorCode::KeyUnsupported, format!("{shown}: {reason}"))
    })?;
    root.make(&root.full(&root.staging), &root.show_staging()).await?;
    if let Some(token) = resume
        && find(root, object, token).await?.is_some()
    {
        remove_uploads(root, key, Some(token)).await?;
        return Ok(OpenedUpload { token: token.clone(), is_resumed: true });
    }
    remove_uploads(root, key, None).await?;
    let token = UploadToken(token_prefix(object) + &root.unique());
    root.make(&root.staged(&token.0), &shown).await?;
    Ok(OpenedUpload { token, is_resumed: false })
}

/// The number of the directory of `token`; `None` when it is not there, or not of this object.
async fn find(
    root: &Root,
    object: &NewObject,
    token: &UploadToken,
) -> Result<Option<u64>, StoreError> {
    if !is_token_of(object, token) {
        return Ok(None);
    }
    let shown = root.show_staging();
    let found = root.find(&root.staged(&token.0), &shown).await?;
    found.filter(Status::is_directory).map(|status| status.id(&shown)).transpose()
}

/// Access to the upload `token` of `object`.
pub(super) async fn access(
    root: &Arc<Root>,
    object: &NewObject,
    token: &UploadToken,
) -> Result<HdfsUpload, StoreError> {
    let shown = root.show(object.entry.key.as_bytes());
    let directory = find(root, object, token).await?.ok_or_else(|| lost(&shown))?;
    let (size, path) = (object.entry.size, root.staged(&token.0));
    Ok(HdfsUpload { root: Arc::clone(root), directory, path, size, shown })
}

/// The parts in the directory `full`, in order; `None` when it is not there.
async fn parts(root: &Root, full: &str, shown: &str) -> Result<Option<Vec<Part>>, StoreError> {
    let Some(found) = statuses(root, full, shown).await? else { return Ok(None) };
    let mut parts: Vec<Part> = found.into_iter().filter_map(Part::of).collect();
    parts.sort_by_key(|part| part.range.start);
    Ok(Some(parts))
}

/// Makes the upload `token` visible; if it is not there any more, reads what is.
pub(super) async fn commit(
    root: &Arc<Root>,
    object: &NewObject,
    token: &UploadToken,
    hash: HashRoot,
) -> Result<(), StoreError> {
    let key = &object.entry.key;
    let shown = root.show(key.as_bytes());
    let path = kept(key).map_err(|reason| {
        StoreError::new(ErrorCode::KeyUnsupported, format!("{shown}: {reason}"))
    })?;
    let folder = root.staged(&token.0);
    let found = match find(root, object, token).await? {
        Some(_) => parts(root, &folder, &shown).await?,
        None => None,
    };
    let Some(parts) = found.filter(|parts| is_whole(parts, object.entry.size)) else {
        return match is_committed(root, object, hash).await? {
            true => remove_folder(root, &folder, &shown).await,
            false => Err(lost(&shown)),
        };
    };
    let Some(first) = parts.first() else { return Err(lost(&shown)) };
    let whole = format!("{folder}/{}", first.name);
    join(root, &folder, &parts, &shown).await?;
    dress(root, &whole, object, &shown).await?;
    let staged = root.find(&whole, &shown).await?.ok_or_else(|| lost(&shown))?;
    if staged.size() != object.entry.size {
        return Err(lost(&shown));
    }
    publish(root, &whole, path, &shown).await?;
    check(root, key, &staged, &shown).await?;
    remove_folder(root, &folder, &shown).await
}

/// Has the namenode join `parts`, all into the first.
async fn join(root: &Root, folder: &str, parts: &[Part], shown: &str) -> Result<(), StoreError> {
    let Some((first, rest)) = parts.split_first() else { return Ok(()) };
    let path = |part: &Part| format!("{folder}/{}", part.name);
    let at_once = (SOURCES_BYTES_MAX / named(&path(first)).len()).max(1);
    for some in rest.chunks(at_once) {
        let sources: Vec<String> = some.iter().map(path).collect();
        let ask = Ask::post("CONCAT", named(&path(first))).with("sources", sources.join(","));
        let joined = root.namenode.done(&ask).await;
        joined.map_err(|failed| store_error("join the parts of", shown, &failed))?;
    }
    Ok(())
}

/// That the file of the upload is what stands under its key.
async fn check(root: &Root, key: &Key, staged: &Status, shown: &str) -> Result<(), StoreError> {
    let found = describe(root, key).await?;
    let is_it = |found: Status| {
        Ok::<_, StoreError>(found.id(shown)? == staged.id(shown)? && found.size() == staged.size())
    };
    match found.map(is_it).transpose()? {
        Some(true) => Ok(()),
        Some(false) | None => {
            let text = format!("{shown}: another file stands there than the one that was written");
            Err(StoreError::new(ErrorCode::CorruptTarget, text))
        }
    }
}

/// Whether the object stands at its path as a commit leaves it, with every byte as it should be: an older file
/// may have the same length and time.
async fn is_committed(
    root: &Arc<Root>,
    object: &NewObject,
    hash: HashRoot,
) -> Result<bool, StoreError> {
    let Some(status) = describe(root, &object.entry.key).await? else { return Ok(false) };
    let has_time =
        mtime_ns(object).is_none_or(|time| milliseconds(time) == milliseconds(status.mtime_ns()));
    if status.size() != object.entry.size || !has_time {
        return Ok(false);
    }
    let entry = status.entry(object.entry.key.clone());
    let whole = ByteRange::new(0, entry.size);
    Ok(FileReader::open(root, &entry, whole).await?.hash().await? == hash)
}

/// Removes the upload `token` of `key`, or all uploads of `key`.
pub(super) async fn discard(
    root: &Root,
    key: &Key,
    token: Option<&UploadToken>,
) -> Result<(), StoreError> {
    match token {
        None => remove_uploads(root, key, None).await,
        // A token of another key, or no token of ours, names nothing that could be removed.
        Some(token) if !is_token_of_key(key, token) => Ok(()),
        Some(token) => remove_folder(root, &root.staged(&token.0), &root.show_staging()).await,
    }
}

/// Removes the uploads of `key` but `keep`.
async fn remove_uploads(
    root: &Root,
    key: &Key,
    keep: Option<&UploadToken>,
) -> Result<(), StoreError> {
    let (prefix, shown) = (key_prefix(key), root.show_staging());
    let found = statuses(root, &root.full(&root.staging), &shown).await?.unwrap_or_default();
    for status in found {
        let name = &status.path_suffix;
        if name.starts_with(&prefix) && keep.is_none_or(|keep| keep.0 != *name) {
            remove_folder(root, &root.staged(name), &shown).await?;
        }
    }
    Ok(())
}

async fn remove_folder(root: &Root, full: &str, shown: &str) -> Result<(), StoreError> {
    let removed = root.remove(named(full), Depth::All).await;
    removed.map_err(|failed| store_error("remove what was staged for", shown, &failed))
}

fn lost(shown: &str) -> StoreError {
    let text = format!("what was staged for {shown} is gone or was replaced: it is sent again");
    StoreError::new(ErrorCode::UploadLost, text)
}

/// An upload into a directory of parts.
#[derive(Debug)]
pub(super) struct HdfsUpload {
    root: Arc<Root>,
    /// Number of the directory: when it is gone, nobody makes it anew by writing into it.
    directory: u64,
    path: String,
    size: u64,
    shown: String,
}

#[async_trait]
impl Upload for HdfsUpload {
    fn part_bytes(&self) -> u64 {
        part_bytes(&self.root, self.size)
    }

    async fn present(&self) -> Result<Vec<ByteRange>, StoreError> {
        let found = parts(&self.root, &self.path, &self.shown).await?;
        let found = found.ok_or_else(|| lost(&self.shown))?;
        Ok(found.into_iter().map(|part| part.range).collect())
    }

    async fn write(&self, chunks: Vec<VerifiedChunk>) -> Result<(), StoreError> {
        let start = chunks.first().map_or(0, VerifiedChunk::offset);
        let pieces: Vec<_> = chunks.iter().map(|chunk| contiguous(chunk.payload())).collect();
        drop(chunks);
        let path = in_directory(self.directory, &part_name(start));
        let block = Some(self.part_bytes());
        match stage(&self.root, &path, pieces, block, &self.shown).await {
            Ok(()) => Ok(()),
            Err(error) if error.code == ErrorCode::NotFound => Err(lost(&self.shown)),
            Err(error) => {
                // It must not be taken for the part that a journal knows.
                let removed = self.root.remove(path, Depth::Own).await;
                removed.map_err(|failed| store_error("remove a part of", &self.shown, &failed))?;
                Err(error)
            }
        }
    }

    /// A part counts when its datanodes have said that they have it.
    async fn sync(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(start: u64, end: u64) -> Part {
        Part { name: part_name(start), range: ByteRange::new(start, end) }
    }

    #[test]
    fn parts_are_whole_without_gaps_only() {
        let (a, b, c) = (|| part(0, 10), || part(10, 20), || part(20, 25));
        assert!(is_whole(&[a(), b(), c()], 25));
        assert!(is_whole(&[part(0, 20), c()], 25), "two were joined already");
        for wrong in
            [vec![], vec![a(), c()], vec![b(), c()], vec![a(), b()], vec![a(), part(5, 25)]]
        {
            assert!(!is_whole(&wrong, 25), "{wrong:?}");
        }
    }

    #[test]
    fn only_what_is_named_as_a_part_is_one() {
        let named = |name: &str, kind: &str| {
            let status = serde_json::json!({
                "pathSuffix": name, "type": kind, "length": 5, "modificationTime": 0, "fileId": 1
            });
            Part::of(serde_json::from_value(status).unwrap())
        };
        assert_eq!(
            named("0000000004000000", "FILE").unwrap().range,
            ByteRange::new(64 << 20, (64 << 20) + 5)
        );
        for (name, kind) in [
            ("4000000", "FILE"),
            ("x", "FILE"),
            ("0000000000000000", "DIRECTORY"),
            ("ffffffffffffffff", "FILE"),
        ] {
            assert!(named(name, kind).is_none(), "{name}");
        }
    }
}
