//! Refuses jobs whose ends overlap: they would feed on themselves.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use airlift_protocol::job::{JobSpec, Mode};
use airlift_protocol::location::Location;

use crate::cli::exit::CliError;
use crate::store::settings::StoreOptions;

/// How the places of two ends lie to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Apart,
    Same,
    TargetInside,
    SourceInside,
}

/// Checks that no end lies in the other.
pub(super) fn check(spec: &JobSpec, stores: &StoreOptions) -> Result<(), CliError> {
    let relation = match (&spec.source, &spec.target) {
        (Location::Path(source), Location::Path(target)) => {
            let source = Path::new(OsStr::from_bytes(source));
            let target = Path::new(OsStr::from_bytes(target));
            match &spec.single {
                None => directories(source, target),
                Some(single) => files(
                    &source.join(OsStr::from_bytes(single.source_key.as_bytes())),
                    &target.join(OsStr::from_bytes(single.target_key.as_bytes())),
                ),
            }
        }
        _ => buckets(spec, stores),
    };
    let (source, target) = (&spec.source, &spec.target);
    let moves = spec.mode != Mode::Verify;
    match relation {
        Relation::Same if moves => Err(CliError::usage(format!(
            "source and target are the same, {source}: there is nothing to copy"
        ))),
        Relation::Same => Err(CliError::usage(format!(
            "source and target are the same, {source}: there is nothing to compare"
        ))),
        Relation::TargetInside if moves => Err(CliError::usage(format!(
            "the target {target} lies inside the source {source}: the copy would feed on itself; choose a target outside"
        ))),
        Relation::SourceInside if moves => Err(CliError::usage(format!(
            "the source {source} lies inside the target {target}: the job would write over its own source; choose a target outside"
        ))),
        Relation::Apart | Relation::TargetInside | Relation::SourceInside => Ok(()),
    }
}

/// Compares by path and, because a directory can be mounted twice, by device and inode.
fn directories(source: &Path, target: &Path) -> Relation {
    if source == target || is_same_inode(source, target) {
        Relation::Same
    } else if is_inside(target, source) {
        Relation::TargetInside
    } else if is_inside(source, target) {
        Relation::SourceInside
    } else {
        Relation::Apart
    }
}

fn is_inside(inner: &Path, outer: &Path) -> bool {
    inner.starts_with(outer) || inner.ancestors().any(|above| is_same_inode(above, outer))
}

fn is_same_inode(one: &Path, other: &Path) -> bool {
    let inode = |path: &Path| fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
    inode(one).is_some_and(|found| inode(other) == Some(found))
}

fn files(source: &Path, target: &Path) -> Relation {
    let real = |path: &Path| -> PathBuf { fs::canonicalize(path).unwrap_or_else(|_| path.into()) };
    match source == target || real(source) == real(target) {
        true => Relation::Same,
        false => Relation::Apart,
    }
}

fn buckets(spec: &JobSpec, stores: &StoreOptions) -> Relation {
    let (
        Location::Bucket { scheme, bucket, prefix: source },
        Location::Bucket { scheme: target_scheme, bucket: target_bucket, prefix: target },
    ) = (&spec.source, &spec.target)
    else {
        return Relation::Apart;
    };
    if bucket != target_bucket || !stores.is_same_service(scheme, target_scheme) {
        return Relation::Apart;
    }
    if let Some(single) = &spec.single {
        let source = single.source_key.with_prefix(source.as_bytes());
        let target = single.target_key.with_prefix(target.as_bytes());
        return if source == target { Relation::Same } else { Relation::Apart };
    }
    if source == target {
        Relation::Same
    } else if target.as_bytes().starts_with(source.as_bytes()) {
        Relation::TargetInside
    } else if source.as_bytes().starts_with(target.as_bytes()) {
        Relation::SourceInside
    } else {
        Relation::Apart
    }
}
