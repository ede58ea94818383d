//! Uploads of large files: a staged file of the final length, written piece by piece.
//!
//! The token is the name of the staged file (`store/staged`).

use std::sync::Arc;

use airlift_protocol::assignment::UploadToken;
use airlift_protocol::chunk::Root as HashRoot;
use airlift_protocol::error::ErrorCode;
use airlift_protocol::key::Key;
use airlift_protocol::units::ByteRange;
use async_trait::async_trait;
use bytes::Bytes;

use super::connection::Connection;
use super::directories::Directories;
use super::list::{staged_names, statuses};
use super::read::FileReader;
use super::server::Server;
use super::status::{FileType, NANOSECONDS, Status};
use super::wire::{self, FLAG_NEW, FLAG_WRITE, FileAttributes, PIECE_BYTES, Reply, Request};
use super::write::{MODE_DEFAULT, check_filled, finish, published, write_requests};
use crate::pipeline::chunk::{Payload, VerifiedChunk};
use crate::store::path::KeyPath;
use crate::store::staged::{is_token_of, is_token_of_key, key_prefix, mtime_ns, token_prefix};
use crate::store::{NewObject, OpenedUpload, StoreError, Upload};

/// Bytes of one write: a few round trips each, and not so many that much is sent again.
const PART_BYTES: u64 = 4 << 20;

/// Bits that the staged file has until it is committed, so that it can be taken up.
const MODE_MIN: u32 = 0o600;

static ZEROS: [u8; PIECE_BYTES as usize] = [0; PIECE_BYTES as usize];

/// Begins the upload of `object`, or takes up `resume`; drops other uploads of the key.
pub(super) async fn open(
    server: &Server,
    object: &NewObject,
    resume: Option<&UploadToken>,
) -> Result<OpenedUpload, StoreError> {
    let path = KeyPath::of(&object.entry.key)?;
    let shown = server.show(path.whole);
    let mut lent = server.pool.lend().await?;
    server.make_staging(&mut lent).await?;
    if let Some(token) = resume
        && find(server, &mut lent, object, token).await?
    {
        remove_uploads(server, &mut lent, &object.entry.key, Some(token)).await?;
        return Ok(OpenedUpload { token: token.clone(), is_resumed: true });
    }
    remove_uploads(server, &mut lent, &object.entry.key, None).await?;
    let name = token_prefix(object) + &server.unique();
    // Where the source says nothing, a commit leaves the bits alone: they are those of a small file.
    let mode = object.attributes.mode.unwrap_or(MODE_DEFAULT) & 0o777 | MODE_MIN;
    let request = Request::Open { path: server.staged(&name), flags: FLAG_NEW, mode: Some(mode) };
    let handle = server.ask(&mut lent, request).await?.handle("create", &shown)?;
    let size = FileAttributes { size: Some(object.entry.size), ..FileAttributes::default() };
    let requests = [Request::Fsetstat(handle.clone(), size), Request::Close(handle)];
    for reply in lent.exchange(&requests).await? {
        reply.done("set the length of", &shown)?;
    }
    Ok(OpenedUpload { token: UploadToken(name), is_resumed: false })
}

/// Access to the upload `token` of `object`.
pub(super) async fn access(
    server: &Arc<Server>,
    object: &NewObject,
    token: &UploadToken,
) -> Result<SftpUpload, StoreError> {
    let shown = server.show(KeyPath::of(&object.entry.key)?.whole);
    let mut lent = server.pool.lend().await?;
    if !find(server, &mut lent, object, token).await? {
        return Err(lost(&shown));
    }
    let (server, size) = (Arc::clone(server), object.entry.size);
    Ok(SftpUpload { path: server.staged(&token.0), server, size, shown })
}

/// Makes the upload `token` visible; if it is not there any more, reads what is.
pub(super) async fn commit(
    server: &Arc<Server>,
    object: &NewObject,
    token: &UploadToken,
    root: HashRoot,
) -> Result<(), StoreError> {
    let path = KeyPath::of(&object.entry.key)?;
    let shown = server.show(path.whole);
    let mut lent = server.pool.lend().await?;
    if !find(server, &mut lent, object, token).await? {
        drop(lent);
        return match is_committed(server, object, &path, root).await? {
            true => Ok(()),
            false => Err(lost(&shown)),
        };
    }
    let staged = server.staged(&token.0);
    let handle = reopen(server, &mut lent, &staged, &shown).await?;
    let replies = lent.exchange(&finish(&handle, object)).await?;
    check_filled(replies, object.entry.size, &shown)?;
    Directories::default().create(server, &mut lent, path.parent).await?;
    server.fence.check()?;
    let rename = Request::PosixRename { from: staged, to: server.full(path.whole) };
    let reply = server.ask(&mut lent, rename).await?;
    published(server, &mut lent, path.whole, reply).await?
}

/// Opens the staged file for writing, also when a commit that came to nothing has taken the right away.
async fn reopen(
    server: &Server,
    connection: &mut Connection,
    path: &[u8],
    shown: &str,
) -> Result<Bytes, StoreError> {
    let open = || Request::Open { path: path.to_vec(), flags: FLAG_WRITE, mode: None };
    let reply = server.ask(connection, open()).await?;
    if !matches!(reply, Reply::Status { code: wire::PERMISSION_DENIED, .. }) {
        return match reply.is_nothing() {
            true => Err(lost(shown)),
            false => reply.handle("open what is staged for", shown),
        };
    }
    let mode = FileAttributes { mode: Some(MODE_MIN), ..FileAttributes::default() };
    let set = server.ask(connection, Request::Setstat(path.to_vec(), mode)).await?;
    set.done("set the mode of", shown)?;
    server.ask(connection, open()).await?.handle("open what is staged for", shown)
}

/// Whether the object stands at its path as a commit leaves it, with every byte as it should be: an
/// older file may have the same length and time.
async fn is_committed(
    server: &Arc<Server>,
    object: &NewObject,
    path: &KeyPath<'_>,
    root: HashRoot,
) -> Result<bool, StoreError> {
    let mut lent = server.pool.lend().await?;
    let found = statuses(server, &mut lent, &mut Directories::default(), &[*path]).await?;
    drop(lent);
    let found = found.into_iter().collect::<Result<Vec<_>, StoreError>>()?;
    let seconds = |time: i64| time.div_euclid(NANOSECONDS);
    let is_alike = |status: &Status| {
        status.file_type == FileType::Regular
            && status.size == object.entry.size
            && mtime_ns(object).is_none_or(|time| seconds(time) == seconds(status.mtime_ns))
    };
    let Some(status) = found.into_iter().flatten().find(is_alike) else { return Ok(false) };
    let entry = status.entry(object.entry.key.clone(), None);
    let whole = ByteRange::new(0, entry.size);
    Ok(FileReader::open(server, &entry, whole).await?.hash().await? == root)
}

/// Removes the upload `token` of `key`, or all uploads of `key`.
pub(super) async fn discard(
    server: &Server,
    key: &Key,
    token: Option<&UploadToken>,
) -> Result<(), StoreError> {
    server.fence.check()?;
    let mut lent = server.pool.lend().await?;
    match token {
        None => remove_uploads(server, &mut lent, key, None).await,
        // A token of another key, or no token of ours, names nothing that could be removed.
        Some(token) if !is_token_of_key(key, token) => Ok(()),
        Some(token) => remove_staged(server, &mut lent, &[token.0.as_bytes().to_vec()]).await,
    }
}

/// Removes the staged files of uploads of `key` but that of `keep`.
async fn remove_uploads(
    server: &Server,
    connection: &mut Connection,
    key: &Key,
    keep: Option<&UploadToken>,
) -> Result<(), StoreError> {
    let prefix = key_prefix(key);
    let mut names = staged_names(server, connection).await?.unwrap_or_default();
    names.retain(|name| {
        name.starts_with(prefix.as_bytes()) && keep.is_none_or(|keep| keep.0.as_bytes() != name)
    });
    remove_staged(server, connection, &names).await
}

/// Removes files from the staging directory; what is gone already is no error.
pub(super) async fn remove_staged(
    server: &Server,
    connection: &mut Connection,
    names: &[Vec<u8>],
) -> Result<(), StoreError> {
    let staging = server.full(server.staging.as_bytes());
    let path = |name: &Vec<u8>| [&staging[..], b"/", name].concat();
    let requests: Vec<Request> = names.iter().map(|name| Request::Remove(path(name))).collect();
    let shown = server.show(server.staging.as_bytes());
    for reply in connection.exchange(&requests).await? {
        if !reply.is_nothing() {
            reply.done("remove from", &shown)?;
        }
    }
    Ok(())
}

/// Whether the staged file of `token` is there, of this object and with its length.
async fn find(
    server: &Server,
    connection: &mut Connection,
    object: &NewObject,
    token: &UploadToken,
) -> Result<bool, StoreError> {
    if !is_token_of(object, token) {
        return Ok(false);
    }
    let reply = server.ask(connection, Request::Lstat(server.staged(&token.0))).await?;
    let status = reply.status(&server.show(server.staging.as_bytes()))?;
    let is_whole =
        |status: Status| status.file_type == FileType::Regular && status.size == object.entry.size;
    Ok(status.is_some_and(is_whole))
}

fn lost(shown: &str) -> StoreError {
    let text = format!("what was staged for {shown} is gone or was replaced: it is sent again");
    StoreError::new(ErrorCode::UploadLost, text)
}

/// An upload into a staged file.
#[derive(Debug)]
pub(super) struct SftpUpload {
    server: Arc<Server>,
    path: Vec<u8>,
    size: u64,
    shown: String,
}

impl SftpUpload {
    /// Does what `requests` make of an open handle, and closes it.
    async fn with_open(
        &self,
        action: &str,
        requests: impl FnOnce(&Bytes) -> Vec<Request>,
    ) -> Result<(), StoreError> {
        let mut lent = self.server.pool.lend().await?;
        let handle = reopen(&self.server, &mut lent, &self.path, &self.shown).await?;
        let mut requests = requests(&handle);
        requests.push(Request::Close(handle));
        for reply in lent.exchange(&requests).await? {
            reply.done(action, &self.shown)?;
        }
        Ok(())
    }
}

#[async_trait]
impl Upload for SftpUpload {
    fn part_bytes(&self) -> u64 {
        PART_BYTES
    }

    /// All of it: what was written is known by the journal alone, whose rows of this token are
    /// about this file and no other.
    async fn present(&self) -> Result<Vec<ByteRange>, StoreError> {
        Ok(vec![ByteRange::new(0, self.size)])
    }

    async fn write(&self, chunks: Vec<VerifiedChunk>) -> Result<(), StoreError> {
        let requests = |handle: &Bytes| {
            chunks.iter().flat_map(|chunk| chunk_requests(handle, chunk)).collect()
        };
        self.with_open("write", requests).await
    }

    async fn sync(&self) -> Result<(), StoreError> {
        self.with_open("sync", |handle| vec![Request::Fsync(handle.clone())]).await
    }
}

/// The requests that write one chunk. Zeros are written too: there may be other bytes from before.
fn chunk_requests(handle: &Bytes, chunk: &VerifiedChunk) -> Vec<Request> {
    match chunk.payload() {
        Payload::Bytes(bytes) => write_requests(handle, chunk.offset(), bytes).collect(),
        Payload::Zero(length) => {
            let step = u64::from(PIECE_BYTES);
            let zeros = |start: u64| Request::Write {
                handle: handle.clone(),
                offset: chunk.offset() + start,
                bytes: Bytes::from_static(&ZEROS[..step.min(length - start) as usize]),
            };
            (0..*length).step_by(PIECE_BYTES as usize).map(zeros).collect()
        }
    }
}
