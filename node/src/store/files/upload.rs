//! Uploads of large objects: a staged file of the final length, written chunk by chunk.
//!
//! The token is the name of the staged file (`store/staged`).

use std::sync::Arc;

use airlift_protocol::assignment::UploadToken;
use airlift_protocol::chunk::Root as HashRoot;
use airlift_protocol::error::ErrorCode;
use airlift_protocol::key::Key;
use airlift_protocol::limits::CHUNK_BYTES;
use airlift_protocol::units::ByteRange;
use async_trait::async_trait;
use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::fs::{FileType, Mode, OFlags, chmod, fdatasync, fstat, openat};
use rustix::io::Errno;

use super::blocking;
use super::directories::Directories;
use super::read::PinnedFile;
use super::root::Root;
use super::status::Status;
use super::times;
use super::turns::Turn;
use super::write::{
    StagedFile, publish, remove_staged, staged_names, write_at, write_error, zero_at,
};
use crate::pipeline::chunk::{Payload, VerifiedChunk};
use crate::store::path::KeyPath;
use crate::store::staged::{is_token_of, is_token_of_key, key_prefix, mtime_ns, token_prefix};
use crate::store::{Access, NewObject, OpenedUpload, StoreError, Upload};

/// Bits that the staged file of an upload has until it is committed, so that it can be taken up.
const MODE_MIN: u32 = 0o600;

const REOPEN_FILE: OFlags = OFlags::RDWR.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// How a file is held whose bytes may be neither read nor written.
const HOLD_FILE: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Begins the upload of `object`, or takes up `resume`; drops other uploads of the key.
pub(super) fn open(
    root: &Root,
    object: &NewObject,
    resume: Option<&UploadToken>,
) -> Result<OpenedUpload, StoreError> {
    let path = KeyPath::of(&object.entry.key)?;
    let staging = root.staging()?;
    if let Some(token) = resume
        && find(root, &staging, token, object)?.is_some()
    {
        remove_uploads(root, &staging, &object.entry.key, Some(token))?;
        return Ok(OpenedUpload { token: token.clone(), is_resumed: true });
    }
    remove_uploads(root, &staging, &object.entry.key, None)?;
    let name = token_prefix(object) + &root.unique();
    let created = StagedFile::create(&staging, &name, object, MODE_MIN, root.show(path.whole))
        .and_then(|file| file.set_length(object.entry.size));
    if let Err(error) = created {
        remove_staged(root, &staging, name.as_bytes())?;
        return Err(error);
    }
    Ok(OpenedUpload { token: UploadToken(name), is_resumed: false })
}

/// Access to the upload `token` of `object`.
pub(super) fn access(
    root: &Root,
    object: &NewObject,
    token: &UploadToken,
) -> Result<FileUpload, StoreError> {
    let shown = root.show(KeyPath::of(&object.entry.key)?.whole);
    let staging = root.find_staging()?.ok_or_else(|| lost(&shown))?;
    let file = find(root, &staging, token, object)?.ok_or_else(|| lost(&shown))?;
    let staged = Arc::new(Staged { file, size: object.entry.size, shown });
    Ok(FileUpload { staged, turn: root.turns().of(token) })
}

/// Makes the upload `token` visible; if it is not there any more, reads what is.
pub(super) fn commit(
    root: &Root,
    object: &NewObject,
    token: &UploadToken,
    hash: HashRoot,
) -> Result<(), StoreError> {
    let path = KeyPath::of(&object.entry.key)?;
    let shown = root.show(path.whole);
    let mut directories = Directories::for_writing(root)?;
    let staged = match root.find_staging()? {
        Some(staging) => find(root, &staging, token, object)?.map(|file| (staging, file)),
        None => None,
    };
    match staged {
        Some((staging, file)) => {
            let file = StagedFile::of(file, shown);
            file.finish(object)?;
            file.sync()?;
            publish(root, &mut directories, &staging, &token.0, &path)?;
        }
        None if is_committed(root, &mut directories, object, &path, hash)? => {
            directories.mark(path.parent);
        }
        None => return Err(lost(&shown)),
    }
    directories.sync()
}

/// Whether the object stands at its path as a commit leaves it, with every byte as it should be:
/// an older file may have the same length and time.
fn is_committed(
    root: &Root,
    directories: &mut Directories<'_>,
    object: &NewObject,
    path: &KeyPath<'_>,
    hash: HashRoot,
) -> Result<bool, StoreError> {
    let Some(parent) = directories.find(path.parent)? else { return Ok(false) };
    let status = directories.status(&*parent, path.name, path.whole)?;
    let is_whole = |status: &Status| {
        status.file_type == FileType::RegularFile && status.size == object.entry.size
    };
    let Some(status) = status.filter(is_whole) else { return Ok(false) };
    if !has_time(root, object, &status)? {
        return Ok(false);
    }
    let found = status.entry(object.entry.key.clone(), None);
    Ok(PinnedFile::open(root, directories, &found)?.hash()? == hash)
}

/// Whether a file has the time that `object` gets, as far as its file system keeps it.
fn has_time(root: &Root, object: &NewObject, status: &Status) -> Result<bool, StoreError> {
    match mtime_ns(object) {
        Some(time_ns) if time_ns != status.mtime_ns => {
            let step = times::find_out(root, Access::Write)?;
            Ok(step.is_same(time_ns, status.mtime_ns))
        }
        Some(_) | None => Ok(true),
    }
}

/// Removes the upload `token` of `key`, or all uploads of `key`.
pub(super) fn discard(
    root: &Root,
    key: &Key,
    token: Option<&UploadToken>,
) -> Result<(), StoreError> {
    root.fence().check()?;
    let Some(staging) = root.find_staging()? else { return Ok(()) };
    match token {
        None => remove_uploads(root, &staging, key, None),
        Some(token) => {
            // A token of another key, or no token of ours, names nothing that could be removed.
            if !is_token_of_key(key, token) {
                return Ok(());
            }
            remove_staged(root, &staging, token.0.as_bytes()).map(drop)
        }
    }
}

/// Removes the staged files of uploads of `key` but that of `keep`.
fn remove_uploads(
    root: &Root,
    staging: &OwnedFd,
    key: &Key,
    keep: Option<&UploadToken>,
) -> Result<(), StoreError> {
    let prefix = key_prefix(key);
    for name in staged_names(root, staging)? {
        let is_kept = keep.is_some_and(|keep| keep.0.as_bytes() == name);
        if name.starts_with(prefix.as_bytes()) && !is_kept {
            remove_staged(root, staging, &name)?;
        }
    }
    Ok(())
}

/// The staged file of `token`, if there is one, of this object and with its length.
fn find(
    root: &Root,
    staging: &OwnedFd,
    token: &UploadToken,
    object: &NewObject,
) -> Result<Option<OwnedFd>, StoreError> {
    if !is_token_of(object, token) {
        return Ok(None);
    }
    let error =
        |action: &str, error: Errno| StoreError::io(action, root.show_staging(), &error.into());
    let file = match reopen(staging, &token.0) {
        Ok(file) => file,
        Err(Errno::NOENT | Errno::LOOP | Errno::ISDIR) => return Ok(None),
        Err(errno) => return Err(error("open a file in", errno)),
    };
    let stat = fstat(&file).map_err(|errno| error("read the status of a file in", errno))?;
    let status = Status::from(stat);
    let is_whole = status.file_type == FileType::RegularFile && status.size == object.entry.size;
    Ok(is_whole.then_some(file))
}

/// Opens the staged file `name` for reading and writing, also when a commit that came to nothing has
/// taken the right away.
fn reopen(staging: &OwnedFd, name: &str) -> Result<OwnedFd, Errno> {
    let open = || openat(staging, name, REOPEN_FILE, Mode::empty());
    match open() {
        Err(Errno::ACCESS) => {}
        opened => return opened,
    }
    let held = openat(staging, name, HOLD_FILE, Mode::empty())?;
    let status = Status::from(fstat(&held)?);
    if status.file_type == FileType::RegularFile {
        // By what is held: the name may lead elsewhere by now. Without `/proc` there is no such way,
        // and the file counts as lost.
        let path = format!("/proc/self/fd/{}", held.as_raw_fd());
        chmod(path, Mode::from_raw_mode(status.mode | MODE_MIN))?;
    }
    open()
}

fn lost(shown: &str) -> StoreError {
    StoreError::new(
        ErrorCode::UploadLost,
        format!("what was staged for {shown} is gone or was replaced: it is sent again"),
    )
}

#[derive(Debug)]
struct Staged {
    file: OwnedFd,
    size: u64,
    shown: String,
}

/// An upload into a staged file.
#[derive(Debug)]
pub(super) struct FileUpload {
    staged: Arc<Staged>,
    turn: Arc<Turn>,
}

#[async_trait]
impl Upload for FileUpload {
    fn part_bytes(&self) -> u64 {
        CHUNK_BYTES
    }

    /// All of it: what was written is known by the journal alone, whose rows of this token are
    /// about this file and no other.
    async fn present(&self) -> Result<Vec<ByteRange>, StoreError> {
        Ok(vec![ByteRange::new(0, self.staged.size)])
    }

    async fn write(&self, chunks: Vec<VerifiedChunk>) -> Result<(), StoreError> {
        let staged = Arc::clone(&self.staged);
        // Goes with the work, which runs on when nobody waits for it any more.
        let turn = Arc::clone(&self.turn).lock_owned().await;
        blocking(move || {
            let _turn = turn;
            chunks.iter().try_for_each(|chunk| staged.write(chunk))
        })
        .await
    }

    async fn sync(&self) -> Result<(), StoreError> {
        let staged = Arc::clone(&self.staged);
        blocking(move || {
            let file = staged.file.as_fd();
            fdatasync(file).map_err(|error| write_error("sync", &staged.shown, file, error))
        })
        .await
    }
}

impl Staged {
    fn write(&self, chunk: &VerifiedChunk) -> Result<(), StoreError> {
        let file = self.file.as_fd();
        match chunk.payload() {
            Payload::Bytes(bytes) => write_at(file, bytes, chunk.offset(), &self.shown),
            Payload::Zero(length) => zero_at(file, chunk.offset(), *length, &self.shown),
        }
    }
}
