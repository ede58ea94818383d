//! What there is at a location, asked on the node that reaches it.

use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::time::Duration;

use airlift_protocol::control::{ControlAnswer, Place};
use airlift_protocol::error::{ErrorCode, Failure};
use airlift_protocol::location::Location;

use crate::runtime::again::again;
use crate::runtime::blocking::blocking;
use crate::store::StoreError;
use crate::store::locate::{self, Probe};
use crate::store::settings::StoreOptions;

/// Time for another node to look.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);

/// Looks at `location` from the node whose own directory is `data_dir`.
pub(super) async fn here(
    location: &Location,
    stores: &StoreOptions,
    data_dir: &Path,
) -> ControlAnswer {
    match look(location.clone(), stores, data_dir).await {
        Ok((location, place)) => ControlAnswer::Probed(location, place),
        Err(error) => ControlAnswer::Refused(Failure::from(error)),
    }
}

async fn look(
    location: Location,
    stores: &StoreOptions,
    data_dir: &Path,
) -> Result<(Location, Place), StoreError> {
    match location {
        Location::Node { node, path } => {
            let data_dir = data_dir.to_owned();
            let (path, place) = blocking(move || look_at_path(&path, &data_dir)).await?;
            Ok((Location::Node { node, path }, place))
        }
        bucket => {
            let place = match again(|| locate::probe(&bucket, stores)).await? {
                Probe::Object => Place::Object,
                Probe::Container => Place::Container,
                Probe::Missing => Place::Missing,
            };
            Ok((bucket, place))
        }
    }
}

/// The path without links on the way, as far as it exists, and what it is.
fn look_at_path(written: &[u8], data_dir: &Path) -> Result<(Vec<u8>, Place), StoreError> {
    let path = Path::new(OsStr::from_bytes(written));
    let failed = |error: std::io::Error| StoreError::io("look at", path.display(), &error);
    let place = match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Place::Container,
        Ok(_) => Place::Object,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Place::Missing,
        Err(error) => return Err(failed(error)),
    };
    let settled = locate::settle(path).map_err(failed)?;
    keep_out(&settled, data_dir)?;
    let mut settled = settled.into_os_string().into_vec();
    // What the user wrote as a directory stays one.
    if place == Place::Missing && written.ends_with(b"/") && !settled.ends_with(b"/") {
        settled.push(b'/');
    }
    Ok((settled, place))
}

/// Refuses a place that holds the node's own directory or lies in it: a job would copy the node's
/// key, or replace and delete what the node lives by.
fn keep_out(settled: &Path, data_dir: &Path) -> Result<(), StoreError> {
    let own = locate::settle(data_dir)
        .map_err(|error| StoreError::io("look at", data_dir.display(), &error))?;
    let how = match (settled.starts_with(&own), own.starts_with(settled)) {
        (true, _) => "lies in",
        (false, true) => "holds",
        (false, false) => return Ok(()),
    };
    let (settled, own) = (settled.display(), own.display());
    let text = format!(
        "{settled} {how} the node's own directory {own}: choose another place, or move that directory"
    );
    Err(StoreError::new(ErrorCode::Conflict, text))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn places_are_named_without_detours() {
        let root = tempfile::tempdir().unwrap();
        let top = root.path().canonicalize().unwrap();
        fs::create_dir(top.join("data")).unwrap();
        fs::write(top.join("data/file"), "x").unwrap();
        symlink("data", top.join("link")).unwrap();
        let own = top.join("own");
        for (written, settled, place) in [
            ("link", "data", Place::Container),
            ("link/file", "data/file", Place::Object),
            ("link/../data", "data", Place::Container),
            ("link/new/deep/", "data/new/deep/", Place::Missing),
            ("new", "new", Place::Missing),
        ] {
            let path = format!("{}/{written}", top.display());
            let expected = format!("{}/{settled}", top.display()).into_bytes();
            assert_eq!(
                look_at_path(path.as_bytes(), &own).unwrap(),
                (expected, place),
                "{written}"
            );
        }
    }

    #[test]
    fn the_nodes_own_directory_is_no_place_for_a_job() {
        let root = tempfile::tempdir().unwrap();
        let own = root.path().join("node/own");
        fs::create_dir_all(own.join("jobs")).unwrap();
        fs::create_dir(root.path().join("node/own-data")).unwrap();
        symlink("node/own/jobs", root.path().join("link")).unwrap();
        for (written, how) in [
            ("node/own", Some("lies in")),
            ("node/own/jobs/new", Some("lies in")),
            ("link/x", Some("lies in")),
            ("node", Some("holds")),
            ("", Some("holds")),
            ("node/own-data", None),
            ("node/new", None),
        ] {
            let path = root.path().join(written).into_os_string().into_vec();
            match (look_at_path(&path, &own), how) {
                (Ok(_), None) => {}
                (Err(error), Some(how)) => assert!(error.detail().contains(how), "{error:?}"),
                (found, _) => panic!("{written}: {found:?}"),
            }
        }
    }
}
