//! Writing small files and links: stage all, make them durable, then rename each.

use airlift_protocol::error::ErrorCode;
use airlift_protocol::manifest::Kind;
use bytes::Bytes;

use super::connection::Connection;
use super::directories::Directories;
use super::pool::Lent;
use super::server::Server;
use super::status::{Status, kept};
use super::wire::{FLAG_NEW, FileAttributes, PIECE_BYTES, Reply, Request};
use crate::pipeline::chunk::{Payload, VerifiedObject};
use crate::store::path::KeyPath;
use crate::store::staged::mtime_ns;
use crate::store::{NewObject, StoreError};

/// Small files that are written together, and their bytes.
const BATCH_FILES: usize = 64;
const BATCH_BYTES: u64 = 8 << 20;

/// Bits of a new file when the source says nothing; the server takes its umask away.
pub(super) const MODE_DEFAULT: u32 = 0o666;

/// Writes `objects`; results in order.
pub(super) async fn put_small(
    server: &Server,
    objects: Vec<(NewObject, VerifiedObject)>,
) -> Vec<Result<(), StoreError>> {
    let mut results = Vec::with_capacity(objects.len());
    while results.len() < objects.len() {
        let rest = &objects[results.len()..];
        let batch = &rest[..batch_of(rest)];
        results.extend(match server.pool.lend().await {
            Ok(lent) => put_batch(server, lent, batch).await,
            Err(error) => batch.iter().map(|_| Err(error.clone())).collect(),
        });
    }
    results
}

/// How many of `objects` are written together: at least one.
fn batch_of(objects: &[(NewObject, VerifiedObject)]) -> usize {
    let mut bytes = 0;
    let fits = |(object, _): &&(NewObject, VerifiedObject)| {
        bytes += object.entry.size;
        bytes <= BATCH_BYTES
    };
    objects.iter().take(BATCH_FILES).take_while(fits).count().max(1)
}

/// An object on its way to being visible.
enum Step {
    /// A directory to be made.
    Directory,
    /// A file or link of this name in the staging directory.
    Staged(String),
}

async fn put_batch(
    server: &Server,
    mut lent: Lent,
    batch: &[(NewObject, VerifiedObject)],
) -> Vec<Result<(), StoreError>> {
    match try_put_batch(server, &mut lent, batch).await {
        Ok(results) => results,
        // A handle may be open that nobody closes any more.
        Err(error) => {
            lent.end();
            batch.iter().map(|_| Err(error.clone())).collect()
        }
    }
}

async fn try_put_batch(
    server: &Server,
    connection: &mut Connection,
    batch: &[(NewObject, VerifiedObject)],
) -> Result<Vec<Result<(), StoreError>>, StoreError> {
    server.make_staging(connection).await?;
    let mut steps: Vec<Result<Step, StoreError>> =
        batch.iter().map(|(object, _)| plan(server, object)).collect();
    stage(server, connection, batch, &mut steps).await?;
    // A directory is visible as soon as it is made.
    server.fence.check()?;
    let mut directories = Directories::default();
    for (step, (object, _)) in steps.iter_mut().zip(batch) {
        let path = KeyPath::of(&object.entry.key);
        let made = match (&*step, path) {
            (Ok(Step::Directory), Ok(path)) => {
                directories.create(server, connection, path.whole).await
            }
            (Ok(Step::Staged(_)), Ok(path)) => {
                directories.create(server, connection, path.parent).await
            }
            (Ok(_), Err(error)) => Err(error),
            (Err(_), _) => continue,
        };
        if let Err(error) = made {
            if !connection.is_sound() {
                return Err(error);
            }
            unstage(server, connection, step).await?;
            *step = Err(error);
        }
    }
    publish(server, connection, batch, steps).await
}

/// What has to be done for an object, or why it cannot be.
fn plan(server: &Server, object: &NewObject) -> Result<Step, StoreError> {
    let path = KeyPath::of(&object.entry.key)?;
    let shown = server.show(path.whole);
    match (&object.entry.kind, path.is_directory) {
        (Kind::Object | Kind::Directory, true) if object.entry.size == 0 => Ok(Step::Directory),
        (Kind::Object | Kind::Symlink(_), false) => {
            Ok(Step::Staged(format!("small-{}", server.unique())))
        }
        (Kind::Special, _) => Err(StoreError::new(
            ErrorCode::KindUnsupported,
            format!("{shown} is a socket, pipe or device and has no bytes to copy"),
        )),
        (Kind::Object | Kind::Symlink(_) | Kind::Directory, _) => Err(StoreError::new(
            ErrorCode::KeyUnsupported,
            format!("{shown}: only a directory, which has no bytes, has a key that ends in `/`"),
        )),
    }
}

/// Writes what has to be staged, durably.
async fn stage(
    server: &Server,
    connection: &mut Connection,
    batch: &[(NewObject, VerifiedObject)],
    steps: &mut [Result<Step, StoreError>],
) -> Result<(), StoreError> {
    let staged: Vec<usize> =
        (0..steps.len()).filter(|&at| matches!(steps[at], Ok(Step::Staged(_)))).collect();
    let begin = staged.iter().map(|&at| match &steps[at] {
        Ok(Step::Staged(name)) => begin(server.staged(name), &batch[at].0),
        Ok(Step::Directory) | Err(_) => unreachable!("only what is staged was chosen"),
    });
    let replies = connection.exchange(&begin.collect::<Vec<_>>()).await?;
    let (mut files, mut requests) = (Vec::new(), Vec::new());
    for (at, reply) in staged.into_iter().zip(replies) {
        let (object, content) = &batch[at];
        let shown = server.show(object.entry.key.as_bytes());
        if let Kind::Symlink(_) = object.entry.kind {
            if let Err(error) = reply.done("create the link", &shown) {
                steps[at] = Err(error);
            }
            continue;
        }
        match reply.handle("create", &shown) {
            Ok(handle) => {
                let before = requests.len();
                fill(&handle, object, content.payload(), &mut requests);
                files.push((at, requests.len() - before));
            }
            Err(error) => steps[at] = Err(error),
        }
    }
    let mut replies = connection.exchange(&requests).await?.into_iter();
    for (at, count) in files {
        let replies = replies.by_ref().take(count).collect();
        let object = &batch[at].0;
        let shown = server.show(object.entry.key.as_bytes());
        if let Err(error) = check_filled(replies, object.entry.size, &shown) {
            unstage(server, connection, &steps[at]).await?;
            steps[at] = Err(error);
        }
    }
    Ok(())
}

/// The request that makes the staged file or link.
fn begin(path: Vec<u8>, object: &NewObject) -> Request {
    match &object.entry.kind {
        Kind::Symlink(text) => Request::Symlink { text: text.clone(), path },
        Kind::Object | Kind::Directory | Kind::Special => {
            let mode = object.attributes.mode.map_or(MODE_DEFAULT, |mode| mode & 0o777 | 0o200);
            Request::Open { path, flags: FLAG_NEW, mode: Some(mode) }
        }
    }
}

/// The requests that fill an open file, give it mode and time, make it durable, and end with it.
fn fill(handle: &Bytes, object: &NewObject, payload: &Payload, requests: &mut Vec<Request>) {
    match payload {
        Payload::Bytes(bytes) => requests.extend(write_requests(handle, 0, bytes)),
        Payload::Zero(length) => {
            let size = FileAttributes { size: Some(*length), ..FileAttributes::default() };
            requests.push(Request::Fsetstat(handle.clone(), size));
        }
    }
    requests.extend(finish(handle, object));
}

/// The requests that give an open file mode and time, make it durable, ask for its length and close it.
pub(super) fn finish(handle: &Bytes, object: &NewObject) -> [Request; 4] {
    let attributes = kept(object.attributes.mode, mtime_ns(object));
    [
        Request::Fsetstat(handle.clone(), attributes),
        Request::Fsync(handle.clone()),
        Request::Fstat(handle.clone()),
        Request::Close(handle.clone()),
    ]
}

/// Whether all of a file was written, and it has the length that it should have.
pub(super) fn check_filled(
    mut replies: Vec<Reply>,
    size: u64,
    shown: &str,
) -> Result<(), StoreError> {
    let closed = replies.pop();
    let status = replies.pop();
    for reply in replies {
        reply.done("write", shown)?;
    }
    let status: Option<Status> = status.map(|reply| reply.status(shown)).transpose()?.flatten();
    if let Some(closed) = closed {
        closed.done("close", shown)?;
    }
    match status {
        Some(status) if status.size == size => Ok(()),
        Some(status) => {
            let text = format!("{shown} has {} bytes after writing {size}", status.size);
            Err(StoreError::new(ErrorCode::CorruptTarget, text))
        }
        None => {
            let text = format!("{shown} was removed while it was written");
            Err(StoreError::new(ErrorCode::CorruptTarget, text))
        }
    }
}

/// The requests that write `bytes` at `offset`.
pub(super) fn write_requests(
    handle: &Bytes,
    offset: u64,
    bytes: &Bytes,
) -> impl Iterator<Item = Request> {
    let step = PIECE_BYTES as usize;
    (0..bytes.len()).step_by(step).map(move |start| Request::Write {
        handle: handle.clone(),
        offset: offset + start as u64,
        bytes: bytes.slice(start..bytes.len().min(start + step)),
    })
}

/// Renames what is staged to where it becomes visible.
async fn publish(
    server: &Server,
    connection: &mut Connection,
    batch: &[(NewObject, VerifiedObject)],
    steps: Vec<Result<Step, StoreError>>,
) -> Result<Vec<Result<(), StoreError>>, StoreError> {
    // The root may lie below a link, nothing below it may: one key of a batch could be the directory
    // of another only if both were in it, and then one of them has failed by now.
    let is_open = server.fence.check();
    let rename = |(step, (object, _)): (&Result<Step, StoreError>, &(NewObject, _))| match step {
        Ok(Step::Staged(name)) => Some(Request::PosixRename {
            from: server.staged(name),
            to: server.full(object.entry.key.as_bytes()),
        }),
        Ok(Step::Directory) | Err(_) => None,
    };
    let requests: Vec<Request> = match is_open {
        Ok(()) => steps.iter().zip(batch).filter_map(rename).collect(),
        Err(_) => Vec::new(),
    };
    let mut replies = connection.exchange(&requests).await?.into_iter();
    let mut results = Vec::with_capacity(steps.len());
    for (step, (object, _)) in steps.into_iter().zip(batch) {
        let result = match (&step, &is_open) {
            (Err(error), _) => Err(error.clone()),
            (Ok(Step::Directory), _) => Ok(()),
            (Ok(Step::Staged(_)), Err(closed)) => Err(closed.clone()),
            (Ok(Step::Staged(_)), Ok(())) => {
                let path = object.entry.key.as_bytes();
                match replies.next() {
                    Some(reply) => published(server, connection, path, reply).await?,
                    None => Err(StoreError::new(ErrorCode::Bug, "a request without an answer")),
                }
            }
        };
        if result.is_err() {
            unstage(server, connection, &step).await?;
        }
        results.push(result);
    }
    Ok(results)
}

/// What came of a rename to `path`: a refusal says what is in the way. An error of the connection is
/// the outer one.
pub(super) async fn published(
    server: &Server,
    connection: &mut Connection,
    path: &[u8],
    reply: Reply,
) -> Result<Result<(), StoreError>, StoreError> {
    let shown = server.show(path);
    let Err(error) = reply.done("rename to", &shown) else { return Ok(Ok(())) };
    let there = server.ask(connection, Request::Lstat(server.full(path))).await?;
    let is_directory = matches!(
        there.status(&shown),
        Ok(Some(Status { file_type: super::status::FileType::Directory, .. }))
    );
    if !is_directory {
        return Ok(Err(error));
    }
    let text = format!(
        "{shown} is a directory where a file should be: remove it or choose another target"
    );
    Ok(Err(StoreError::new(ErrorCode::Conflict, text)))
}

/// Removes a staged file after an error, which is the one to report: what cannot be removed now is
/// removed when the job is cleaned up.
async fn unstage(
    server: &Server,
    connection: &mut Connection,
    step: &Result<Step, StoreError>,
) -> Result<(), StoreError> {
    let Ok(Step::Staged(name)) = step else { return Ok(()) };
    let shown = server.show(server.staging.as_bytes());
    let removed = server.ask(connection, Request::Remove(server.staged(name))).await?;
    if let Err(error) = removed.done("remove from", &shown) {
        tracing::debug!(%error, "a staged file stays until the job is cleaned up");
    }
    Ok(())
}
