//! Paths of this machine: what they are, and the one absolute form that a repeated command finds.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use airlift_protocol::job::LinkPolicy;
use airlift_protocol::key::Key;
use airlift_protocol::location::Location;

use super::Source;
use crate::cli::console::words;
use crate::cli::exit::CliError;
use crate::store::locate::settle;

/// Says what a source path is; `None` when there is nothing.
pub(super) fn source(path: &Path, links: LinkPolicy) -> Result<Option<Source>, CliError> {
    let failed = |error| cannot(&error, "read the source", path);
    let absolute = std::path::absolute(path).map_err(failed)?;
    if links == LinkPolicy::Copy && is_link(&absolute) && !is_directory(&absolute) {
        let (parent, name) = split(&absolute, "source")?;
        let parent = located(fs::canonicalize(parent).map_err(failed)?);
        return Ok(Some(Source::Object { parent, name: name.clone(), key: name }));
    }
    let metadata = match fs::metadata(&absolute) {
        Ok(metadata) => metadata,
        Err(error) if is_absent(&error) => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let real = fs::canonicalize(&absolute).map_err(failed)?;
    if metadata.is_dir() {
        return Ok(Some(Source::Container(located(real))));
    }
    let (_, name) = split(&absolute, "source")?;
    let (parent, key) = split(&real, "source")?;
    Ok(Some(Source::Object { parent: located(parent.to_owned()), key, name }))
}

/// A file of this machine that is read for its content.
pub(super) fn file(path: &Path) -> Result<Location, CliError> {
    let failed = |error| cannot(&error, "read", path);
    let real = fs::canonicalize(path).map_err(failed)?;
    match fs::metadata(&real).map_err(failed)?.is_file() {
        true => Ok(located(real)),
        false => Err(CliError::usage(format!("{} is not a file", shown(path)))),
    }
}

/// The target directory for everything below a source directory. It may not exist yet.
pub(super) fn container_target(path: &Path) -> Result<Location, CliError> {
    let settled = settle(path).map_err(|error| cannot(&error, "use the target", path))?;
    match target_metadata(path)? {
        Some(metadata) if !metadata.is_dir() => Err(CliError::usage(format!(
            "the target {} is a file, but the source is a directory or prefix: name a directory",
            shown(path)
        ))),
        Some(_) | None => Ok(located(settled)),
    }
}

/// The target directory and key of one object: into `path` when that is a directory or is written
/// as one, else as `path`.
pub(super) fn object_target(path: &Path, name: Key) -> Result<(Location, Key), CliError> {
    let failed = |error| cannot(&error, "use the target", path);
    let is_written_as_directory = path.as_os_str().as_bytes().ends_with(b"/");
    match target_metadata(path)? {
        Some(metadata) if metadata.is_dir() => Ok((located(settle(path).map_err(failed)?), name)),
        None if is_written_as_directory => Ok((located(settle(path).map_err(failed)?), name)),
        Some(_) if is_written_as_directory => Err(CliError::usage(format!(
            "the target {} is a file, not a directory: leave the '/' out to replace it",
            shown(path)
        ))),
        Some(_) | None => {
            let absolute = std::path::absolute(path).map_err(failed)?;
            let (parent, name) = split(&absolute, "target")?;
            let parent = settle(parent).map_err(failed)?;
            if parent.exists() && !parent.is_dir() {
                return Err(CliError::usage(format!(
                    "{} is a file, so the target {} cannot be below it",
                    shown(&parent),
                    shown(path)
                )));
            }
            Ok((located(parent), name))
        }
    }
}

/// What the target path points to, if anything.
fn target_metadata(path: &Path) -> Result<Option<Metadata>, CliError> {
    // A file written with a '/' behind it is reported as "not a directory": look without the '/'.
    let plain: PathBuf = path.components().collect();
    match fs::metadata(plain) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(cannot(&error, "use the target", path)),
    }
}

fn is_link(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink())
}

fn is_directory(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.is_dir())
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Parent and name of a path that names a file.
fn split<'a>(path: &'a Path, end: &str) -> Result<(&'a Path, Key), CliError> {
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => Ok((parent, Key::from(name.as_bytes()))),
        _ => Err(CliError::usage(format!("the {end} {} names no file", shown(path)))),
    }
}

fn located(path: PathBuf) -> Location {
    Location::Path(path.into_os_string().into_vec())
}

fn shown(path: &Path) -> Key {
    Key::from(path.as_os_str().as_bytes())
}

fn cannot(error: &io::Error, action: &str, path: &Path) -> CliError {
    CliError::cannot_run(format!("{action} {}: {}", shown(path), words(error)))
}
