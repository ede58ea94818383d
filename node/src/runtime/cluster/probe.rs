//! What there is at a location, asked on the node that reaches it.

use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use airlift_protocol::control::{ControlAnswer, Place};
use airlift_protocol::error::Failure;
use airlift_protocol::location::Location;

use crate::runtime::blocking::blocking;
use crate::store::StoreError;
use crate::store::locate::{self, Probe, StoreOptions};

/// Time for another node to look.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);

/// Looks at `location` from this node.
pub(super) async fn here(location: &Location, stores: &StoreOptions) -> ControlAnswer {
    match look(location.clone(), stores).await {
        Ok((location, place)) => ControlAnswer::Probed(location, place),
        Err(error) => ControlAnswer::Refused(Failure::from(error)),
    }
}

async fn look(location: Location, stores: &StoreOptions) -> Result<(Location, Place), StoreError> {
    match location {
        Location::Node { node, path } => {
            let (path, place) = blocking(move || look_at_path(&path)).await?;
            Ok((Location::Node { node, path }, place))
        }
        bucket => {
            let place = match locate::probe(&bucket, stores).await? {
                Probe::Object => Place::Object,
                Probe::Container => Place::Container,
                Probe::Missing => Place::Missing,
            };
            Ok((bucket, place))
        }
    }
}

/// The path without links on the way, as far as it exists, and what it is.
fn look_at_path(written: &[u8]) -> Result<(Vec<u8>, Place), StoreError> {
    let path = Path::new(OsStr::from_bytes(written));
    let failed = |error: std::io::Error| StoreError::io("look at", path.display(), &error);
    match std::fs::metadata(path) {
        Ok(metadata) => {
            let settled = path.canonicalize().map_err(failed)?;
            let place = if metadata.is_dir() { Place::Container } else { Place::Object };
            Ok((settled.into_os_string().into_vec(), place))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let mut settled = settle_missing(path).map_err(failed)?.into_os_string().into_vec();
            // What the user wrote as a directory stays one.
            if written.ends_with(b"/") && !settled.ends_with(b"/") {
                settled.push(b'/');
            }
            Ok((settled, Place::Missing))
        }
        Err(error) => Err(failed(error)),
    }
}

/// The part of `path` that exists without links, and the rest as it is written.
fn settle_missing(path: &Path) -> std::io::Result<PathBuf> {
    for ancestor in path.ancestors().skip(1) {
        if let Ok(settled) = ancestor.canonicalize() {
            let rest = path.strip_prefix(ancestor).unwrap_or(path);
            return Ok(settled.join(rest));
        }
    }
    Ok(path.to_owned())
}
