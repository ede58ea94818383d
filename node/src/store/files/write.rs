//! Writing into staged files, and moving them to where they become visible.

use airlift_protocol::error::ErrorCode;
use airlift_protocol::limits::CHUNK_BYTES;
use airlift_protocol::units::ByteCount;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{
    AtFlags, Dir, FallocateFlags, Mode, OFlags, SeekFrom, fallocate, fchmod, fstat, fstatvfs,
    ftruncate, futimens, openat, renameat, seek, unlinkat,
};
use rustix::io::{Errno, pwrite, retry_on_intr};

use super::directories::Directories;
use super::root::Root;
use super::status::{Status, timestamps};
use crate::store::path::KeyPath;
use crate::store::staged::mtime_ns;
use crate::store::{NewObject, StoreError};

/// How a staged file is made: it must not have been there.
const CREATE_FILE: OFlags = OFlags::RDWR
    .union(OFlags::CREATE)
    .union(OFlags::EXCL)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Bits of a new file when the source says nothing; the system takes the umask away.
const MODE_DEFAULT: u32 = 0o666;

static ZEROS: [u8; CHUNK_BYTES as usize] = [0; CHUNK_BYTES as usize];

/// A file that is being written in the staging directory.
pub(super) struct StagedFile {
    file: OwnedFd,
    /// The final path, for messages.
    shown: String,
}

impl StagedFile {
    /// Makes the file `name` in `staging` for `object`, with at least the bits `mode_min`.
    pub(super) fn create(
        staging: &OwnedFd,
        name: &str,
        object: &NewObject,
        mode_min: u32,
        shown: String,
    ) -> Result<Self, StoreError> {
        let mode = object.attributes.mode.unwrap_or(MODE_DEFAULT) & 0o777 | mode_min;
        match openat(staging, name, CREATE_FILE, Mode::from_raw_mode(mode)) {
            Ok(file) => Ok(Self { file, shown }),
            Err(error) => Err(StoreError::io("create", shown, &error.into())),
        }
    }

    /// Takes over a staged file that is open.
    pub(super) fn of(file: OwnedFd, shown: String) -> Self {
        Self { file, shown }
    }

    /// Gives the file its length; what is not written reads as zeros.
    pub(super) fn set_length(&self, length: u64) -> Result<(), StoreError> {
        ftruncate(&self.file, length).map_err(|error| self.error("set the length of", error))
    }

    /// Writes `bytes` at `offset`, all of them.
    pub(super) fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), StoreError> {
        write_at(self.file.as_fd(), bytes, offset, &self.shown)
    }

    /// Compares the length with the object's, and sets permission bits and time.
    pub(super) fn finish(&self, object: &NewObject) -> Result<(), StoreError> {
        let stat = fstat(&self.file).map_err(|error| self.error("read the status of", error))?;
        let status = Status::from(stat);
        if status.size != object.entry.size {
            return Err(StoreError::new(
                ErrorCode::CorruptTarget,
                format!(
                    "{} has {} bytes after writing {}",
                    self.shown, status.size, object.entry.size
                ),
            ));
        }
        // The umask, which the system applied, must not narrow what the source says.
        if let Some(mode) = object.attributes.mode
            && status.mode != mode & 0o777
        {
            fchmod(&self.file, Mode::from_raw_mode(mode & 0o777))
                .map_err(|error| self.error("set the mode of", error))?;
        }
        if let Some(mtime_ns) = mtime_ns(object) {
            futimens(&self.file, &timestamps(mtime_ns))
                .map_err(|error| self.error("set the time of", error))?;
        }
        Ok(())
    }

    /// Makes bytes, length, mode and time durable.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        rustix::fs::fsync(&self.file).map_err(|error| self.error("sync", error))
    }

    fn error(&self, action: &str, error: Errno) -> StoreError {
        write_error(action, &self.shown, self.file.as_fd(), error)
    }
}

/// Writes `bytes` at `offset` of `file`, all of them.
pub(super) fn write_at(
    file: BorrowedFd<'_>,
    mut bytes: &[u8],
    mut offset: u64,
    shown: &str,
) -> Result<(), StoreError> {
    while !bytes.is_empty() {
        let count = retry_on_intr(|| pwrite(file, bytes, offset))
            .map_err(|error| write_error("write", shown, file, error))?;
        bytes = &bytes[count..];
        offset += count as u64;
    }
    Ok(())
}

/// Makes `length` bytes at `offset` zero, with a hole where the file system can have one.
pub(super) fn zero_at(
    file: BorrowedFd<'_>,
    offset: u64,
    length: u64,
    shown: &str,
) -> Result<(), StoreError> {
    let end = offset + length;
    match seek(file, SeekFrom::Data(offset)) {
        Err(Errno::NXIO) => return Ok(()),
        Ok(data) if data >= end => return Ok(()),
        // There is data, or the file system cannot tell.
        Ok(_) | Err(Errno::INVAL | Errno::OPNOTSUPP) => {}
        Err(error) => return Err(write_error("find data in", shown, file, error)),
    }
    let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    match fallocate(file, punch, offset, length) {
        Ok(()) => return Ok(()),
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => {}
        Err(error) => return Err(write_error("write", shown, file, error)),
    }
    let mut start = offset;
    while start < end {
        let step = CHUNK_BYTES.min(end - start);
        write_at(file, &ZEROS[..step as usize], start, shown)?;
        start += step;
    }
    Ok(())
}

/// The error of a write; where space is short, with how much there is.
pub(super) fn write_error(
    action: &str,
    shown: &str,
    file: BorrowedFd<'_>,
    error: Errno,
) -> StoreError {
    let plain = StoreError::io(action, shown, &error.into());
    if plain.code != ErrorCode::NoSpace {
        return plain;
    }
    let left = match fstatvfs(file) {
        Ok(space) => ByteCount(space.f_bavail.saturating_mul(space.f_frsize)).to_string(),
        Err(_) => "an unknown number of bytes".to_owned(),
    };
    StoreError::new(
        ErrorCode::NoSpace,
        format!("{}, {left} free: make room and run the same command again", plain.detail()),
    )
}

/// Moves `name` from `staging` to `path`, replacing a file or link that is there.
pub(super) fn publish(
    root: &Root,
    directories: &mut Directories<'_>,
    staging: &OwnedFd,
    name: &str,
    path: &KeyPath<'_>,
) -> Result<(), StoreError> {
    let parent = directories.create(path.parent)?;
    root.fence().check()?;
    let error = match renameat(staging, name, &*parent, path.name) {
        Ok(()) => {
            directories.mark(path.parent);
            return Ok(());
        }
        Err(error) => error,
    };
    let shown = root.show(path.whole);
    Err(match error {
        Errno::ISDIR | Errno::EXIST | Errno::NOTEMPTY => StoreError::new(
            ErrorCode::Conflict,
            format!(
                "{shown} is a directory where a file should be: remove it or choose another target"
            ),
        ),
        Errno::XDEV => StoreError::new(
            ErrorCode::Conflict,
            format!(
                "{shown} is on another file system than {}: copy to it by a job of its own",
                root.show(b"")
            ),
        ),
        error => write_error("rename to", &shown, parent.as_fd(), error),
    })
}

/// Names of what is in `directory`, which is the staging directory or within it.
pub(super) fn staged_names(root: &Root, directory: &OwnedFd) -> Result<Vec<Vec<u8>>, StoreError> {
    let error = |error: Errno| StoreError::io("list", root.show_staging(), &error.into());
    let mut names = Vec::new();
    for found in Dir::read_from(directory).map_err(error)? {
        let found = found.map_err(error)?;
        let name = found.file_name().to_bytes();
        if !matches!(name, b"." | b"..") {
            names.push(name.to_vec());
        }
    }
    Ok(names)
}

/// Removes `name` from `staging`; whether it was there.
pub(super) fn remove_staged(
    root: &Root,
    staging: &OwnedFd,
    name: &[u8],
) -> Result<bool, StoreError> {
    match unlinkat(staging, name, AtFlags::empty()) {
        Ok(()) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(StoreError::io("remove from", root.show_staging(), &error.into())),
    }
}
