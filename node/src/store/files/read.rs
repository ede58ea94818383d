//! Reading files, each pinned to the state in which it was listed.

use std::sync::Arc;

use airlift_protocol::chunk::Root as HashRoot;
use airlift_protocol::error::ErrorCode;
use airlift_protocol::limits::CHUNK_BYTES;
use airlift_protocol::manifest::{Entry, Kind};
use airlift_protocol::shard;
use airlift_protocol::units::ByteRange;
use async_trait::async_trait;
use bytes::Bytes;
use cap_std::fs::{OpenOptions, OpenOptionsExt};
use rustix::buffer::spare_capacity;
use rustix::fd::OwnedFd;
use rustix::fs::{Advice, FileType, Mode, OFlags, SeekFrom, fadvise, fstat, openat, seek};
use rustix::io::{Errno, pread, retry_on_intr};
use tokio::sync::mpsc;

use super::blocking;
use super::directories::{Directories, as_path, follow_error};
use super::list::link_text;
use super::root::Root;
use super::status::{Status, changed};
use crate::pipeline::chunk::Payload;
use crate::store::path::KeyPath;
use crate::store::{Attributes, RangeReader, ReadResult, StoreError};

/// How a file is opened: not through a link, and without waiting for what turns out to be a pipe.
const OPEN_FILE: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

/// Reads `objects` whole into `found` until nobody wants more.
pub(super) fn read_small(root: &Root, objects: &[Entry], found: &mpsc::Sender<ReadResult>) {
    let mut directories = Directories::for_reading(root);
    for (index, object) in objects.iter().enumerate() {
        let result = match &mut directories {
            Ok(directories) => read_whole(root, directories, object),
            Err(error) => Err(error.clone()),
        };
        if found.blocking_send((index, result)).is_err() {
            return;
        }
    }
}

fn read_whole(
    root: &Root,
    directories: &mut Directories<'_>,
    object: &Entry,
) -> Result<(Payload, Attributes), StoreError> {
    if object.kind != Kind::Object {
        return describe(root, directories, object)
            .map(|status| (Payload::Bytes(Bytes::new()), status.attributes()));
    }
    let file = PinnedFile::open(root, directories, object)?;
    let whole = ByteRange::new(0, object.size);
    let payload = match file.data_from(0)? {
        start if start >= object.size && object.size > 0 => Payload::Zero(object.size),
        _ => Payload::Bytes(file.read(whole)?),
    };
    Ok((payload, file.check()?.attributes()))
}

/// The status of a link or directory, which has no bytes, if it still is what was listed.
fn describe(
    root: &Root,
    directories: &mut Directories<'_>,
    listed: &Entry,
) -> Result<Status, StoreError> {
    let path = KeyPath::of(&listed.key)?;
    let shown = || root.show(path.whole);
    let Some(parent) = directories.find(path.parent)? else { return Err(gone(&shown())) };
    let status = directories.status(&*parent, path.name, path.whole)?;
    let status = status.ok_or_else(|| gone(&shown()))?;
    let is_same = match &listed.kind {
        Kind::Special => {
            return Err(StoreError::new(
                ErrorCode::KindUnsupported,
                format!("{} is a socket, pipe or device and has no bytes to copy", shown()),
            ));
        }
        Kind::Symlink(text) => {
            link_text(root, &parent, path.name, path.whole)?.as_ref() == Some(text)
        }
        Kind::Directory | Kind::Object => true,
    };
    if is_same && status.is_as_listed(listed) { Ok(status) } else { Err(changed(&shown())) }
}

/// An open file that is what was listed.
#[derive(Debug)]
pub(super) struct PinnedFile {
    file: OwnedFd,
    listed: Entry,
    shown: String,
    may_have_holes: bool,
}

impl PinnedFile {
    /// Opens the file that `listed` describes.
    pub(super) fn open(
        root: &Root,
        directories: &mut Directories<'_>,
        listed: &Entry,
    ) -> Result<Self, StoreError> {
        let path = KeyPath::of(&listed.key)?;
        let shown = root.show(path.whole);
        let Some(parent) = directories.find(path.parent)? else { return Err(gone(&shown)) };
        let file = match openat(&*parent, path.name, OPEN_FILE, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::LOOP) if directories.follows() => open_followed(root, path.whole)?,
            Err(Errno::LOOP | Errno::NXIO) => return Err(changed(&shown)),
            Err(Errno::NOENT) => return Err(gone(&shown)),
            Err(error) => return Err(StoreError::io("open", shown, &error.into())),
        };
        let mut pinned = Self { file, listed: listed.clone(), shown, may_have_holes: false };
        pinned.may_have_holes = pinned.check()?.is_sparse;
        Ok(pinned)
    }

    /// The status of the file, if it still is what was listed.
    fn check(&self) -> Result<Status, StoreError> {
        let stat = fstat(&self.file).map_err(|error| self.error("read the status of", error))?;
        let status = Status::from(stat);
        let is_same =
            status.file_type == FileType::RegularFile && status.is_as_listed(&self.listed);
        if is_same { Ok(status) } else { Err(changed(&self.shown)) }
    }

    /// The first byte at or after `offset` that may not be zero; past the end when there is none.
    fn data_from(&self, offset: u64) -> Result<u64, StoreError> {
        if !self.may_have_holes {
            return Ok(offset);
        }
        match seek(&self.file, SeekFrom::Data(offset)) {
            Ok(start) => Ok(start),
            Err(Errno::NXIO) => Ok(u64::MAX),
            // A file system that cannot tell has data everywhere.
            Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(offset),
            Err(error) => Err(self.error("find data in", error)),
        }
    }

    /// The bytes of `range`, all of them.
    fn read(&self, range: ByteRange) -> Result<Bytes, StoreError> {
        let length = range.len() as usize;
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            let offset = range.start + bytes.len() as u64;
            let count = retry_on_intr(|| pread(&self.file, spare_capacity(&mut bytes), offset))
                .map_err(|error| self.error("read", error))?;
            if count == 0 {
                return Err(changed(&self.shown));
            }
        }
        // The buffer may be a little larger than what was asked for.
        bytes.truncate(length);
        Ok(bytes.into())
    }

    /// The hash of the whole file.
    pub(super) fn hash(&self) -> Result<HashRoot, StoreError> {
        let mut hasher = blake3::Hasher::new();
        for chunk in shard::chunks(ByteRange::new(0, self.listed.size)) {
            hasher.update(&self.read(chunk)?);
        }
        self.check()?;
        Ok(HashRoot(*hasher.finalize().as_bytes()))
    }

    fn error(&self, action: &str, error: Errno) -> StoreError {
        StoreError::io(action, &self.shown, &error.into())
    }
}

fn open_followed(root: &Root, path: &[u8]) -> Result<OwnedFd, StoreError> {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags((OFlags::NONBLOCK | OFlags::NOCTTY).bits() as i32);
    let file = root
        .directory()?
        .open_with(as_path(path), &options)
        .map_err(|error| follow_error(root, path, &error))?;
    Ok(file.into_std().into())
}

fn gone(shown: &str) -> StoreError {
    StoreError::new(ErrorCode::NotFound, format!("{shown} was removed since it was listed"))
}

/// Opens `range` of `object`.
pub(super) fn open_range(
    root: &Root,
    object: &Entry,
    range: ByteRange,
) -> Result<FileReader, StoreError> {
    let mut directories = Directories::for_reading(root)?;
    let file = PinnedFile::open(root, &mut directories, object)?;
    // Advice only: a file system that takes none is read all the same.
    let length = std::num::NonZeroU64::new(range.len());
    let _ = fadvise(&file.file, range.start, length, Advice::Sequential);
    Ok(FileReader { file: Arc::new(file), rest: range, data: 0 })
}

/// A range of a file, chunk by chunk.
#[derive(Debug)]
pub(super) struct FileReader {
    file: Arc<PinnedFile>,
    /// What has not been read.
    rest: ByteRange,
    /// Where the next data is, when that lies ahead.
    data: u64,
}

#[async_trait]
impl RangeReader for FileReader {
    async fn next(&mut self) -> Result<Option<Payload>, StoreError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let chunk_end = (self.rest.start / CHUNK_BYTES + 1) * CHUNK_BYTES;
        let chunk = ByteRange::new(self.rest.start, self.rest.end.min(chunk_end));
        let is_last = chunk.end == self.rest.end;
        let (file, data) = (Arc::clone(&self.file), self.data);
        let (payload, data) = blocking(move || {
            let chunk = read_chunk(&file, chunk, data)?;
            if is_last {
                file.check()?;
            }
            Ok::<_, StoreError>(chunk)
        })
        .await?;
        self.rest.start = chunk.end;
        self.data = data;
        Ok(Some(payload))
    }
}

/// One chunk, and where the next data is if that is known.
fn read_chunk(
    file: &PinnedFile,
    chunk: ByteRange,
    data: u64,
) -> Result<(Payload, u64), StoreError> {
    let data = if data > chunk.start { data } else { file.data_from(chunk.start)? };
    if data >= chunk.end {
        return Ok((Payload::Zero(chunk.len()), data));
    }
    Ok((Payload::Bytes(file.read(chunk)?), data))
}
