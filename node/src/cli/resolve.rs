//! From what was written to a job: which ends, one object or all below, and whether that is safe.
//!
//! File systems are asked on threads that may block: where one hangs, an interrupt is heard all the same.

mod overlap;
mod path;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use airlift_protocol::job::{
    Filters, InventoryFile, InventoryForm, JobSpec, KeyPolicy, LinkPolicy, Mode, Policy,
    SingleObject,
};
use airlift_protocol::key::Key;
use airlift_protocol::location::Location;
use globset::GlobBuilder;

use super::exit::CliError;
use crate::runtime::blocking::blocking;
use crate::store::locate::{Probe, settle};
use crate::store::settings::StoreOptions;

/// What a transfer can do about a path of a node.
const NEEDS_CLUSTER: &str = "and needs a cluster: name it with --cluster URL";

/// A transfer as it was written.
#[derive(Clone, Debug)]
pub(super) struct Request {
    /// What is to be done.
    pub mode: Mode,
    /// Where objects are read.
    pub source: OsString,
    /// Where they go.
    pub target: OsString,
    /// The file that is read in place of a listing of the source, and its form.
    pub inventory: Option<(InventoryForm, OsString)>,
    /// Which keys take part.
    pub filters: Filters,
    /// How it is to be done.
    pub policy: Policy,
}

/// What a written source turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// Everything below a directory or prefix.
    Container(Location),
    /// One object.
    Object {
        /// The directory or prefix that holds it.
        parent: Location,
        /// Its key below that.
        key: Key,
        /// The name it gets below a target directory.
        name: Key,
    },
}

/// Makes a job of a request. `probe` says what a location of a bucket store is.
///
/// # Errors
/// When a location is not served, the source does not exist, or the ends overlap.
pub(super) async fn resolve<P>(
    request: Request,
    stores: &StoreOptions,
    probe: P,
) -> Result<JobSpec, CliError>
where
    P: AsyncFn(&Location) -> Result<Probe, CliError>,
{
    check_globs(&request.filters)?;
    if request.mode != Mode::Copy && request.inventory.is_some() {
        return Err(CliError::usage(
            "--files-from and --inventory are for cp only: what a file does not name is not missing",
        ));
    }
    if request.mode != Mode::Copy && request.policy.keys != KeyPolicy::Exact {
        return Err(CliError::usage(
            "--map-keys: only cp maps keys: sync and verify need the same keys at both ends",
        ));
    }
    let source = parse(&request.source, stores, NEEDS_CLUSTER)?;
    let target = parse(&request.target, stores, NEEDS_CLUSTER)?;
    let may_be_empty = request.mode == Mode::Sync && request.policy.allow_empty_source;
    let source = match find_source(&source, request.policy.links, probe).await? {
        Some(source) => source,
        None if may_be_empty && matches!(source, Location::Bucket { .. }) => {
            Source::Container(source.into_container())
        }
        None => return Err(CliError::cannot_run(format!("the source {source} does not exist"))),
    };
    let mut request = request;
    if let Some((form, file)) = request.inventory.take() {
        let location = inventory_location(&file, stores).await?;
        request.policy.inventory = Some(InventoryFile { form, location });
    }
    let spec = match source {
        Source::Container(source) => {
            let target = container_target(target).await?;
            spec_of(request, source, target, None)
        }
        Source::Object { .. } if request.policy.inventory.is_some() => {
            return Err(CliError::usage(format!(
                "--files-from and --inventory say what is below a directory or prefix, and {} is one object",
                request.source.display()
            )));
        }
        Source::Object { parent, key, name } => {
            let (target, target_key) = object_target(target, name).await?;
            let single = SingleObject { source_key: key, target_key };
            spec_of(request, parent, target, Some(single))
        }
    };
    let stores = stores.clone();
    blocking(move || overlap::check(&spec, &stores).map(|()| spec)).await
}

/// Where a file that names keys is; one on this machine has to be there.
async fn inventory_location(text: &OsStr, stores: &StoreOptions) -> Result<Location, CliError> {
    match parse(text, stores, NEEDS_CLUSTER)? {
        Location::Path(path) => {
            blocking(move || path::file(Path::new(OsStr::from_bytes(&path)))).await
        }
        location => Ok(location),
    }
}

/// Reads one location and refuses what this build cannot serve. `advice` says what the command can do about a
/// path of a node.
///
/// # Errors
/// When it cannot be read, or no store of this build serves it.
pub(super) fn parse(
    text: &OsStr,
    stores: &StoreOptions,
    advice: &str,
) -> Result<Location, CliError> {
    let location =
        Location::parse(text.as_bytes()).map_err(|error| CliError::usage(error.to_string()))?;
    match &location {
        Location::Path(_) => Ok(location),
        Location::Node { node, .. } => Err(CliError::usage(format!(
            "'{location}' is a path of the node '{node}' {advice} (a local path with a colon is written ./{location})"
        ))),
        Location::Bucket { scheme, .. } => match stores.settings(scheme) {
            Ok(_) => Ok(location),
            Err(error) => Err(CliError::usage(error.to_string())),
        },
    }
}

/// Says what a source is; `None` when it does not exist.
///
/// # Errors
/// When it cannot be looked at.
pub(super) async fn find_source<P>(
    location: &Location,
    links: LinkPolicy,
    probe: P,
) -> Result<Option<Source>, CliError>
where
    P: AsyncFn(&Location) -> Result<Probe, CliError>,
{
    match location {
        Location::Path(path) => {
            let path = path.clone();
            blocking(move || path::source(Path::new(OsStr::from_bytes(&path)), links)).await
        }
        Location::Bucket { prefix, .. } if prefix.as_bytes().is_empty() => {
            Ok(Some(Source::Container(location.clone())))
        }
        Location::Bucket { .. } | Location::Node { .. } => Ok(match probe(location).await? {
            Probe::Missing => None,
            Probe::Container => Some(Source::Container(location.clone().into_container())),
            Probe::Object => {
                let (parent, key) = location.split();
                Some(Source::Object { parent, name: key.clone(), key })
            }
        }),
    }
}

fn spec_of(
    request: Request,
    source: Location,
    target: Location,
    single: Option<SingleObject>,
) -> JobSpec {
    let Request { mode, filters, policy, .. } = request;
    JobSpec { mode, source, target, single, filters, policy }
}

/// The target for everything below a directory or prefix.
async fn container_target(target: Location) -> Result<Location, CliError> {
    match target {
        Location::Path(path) => {
            blocking(move || path::container_target(Path::new(OsStr::from_bytes(&path)))).await
        }
        bucket => Ok(bucket.into_container()),
    }
}

/// The target directory or prefix of one object, and its key there.
async fn object_target(target: Location, name: Key) -> Result<(Location, Key), CliError> {
    match target {
        Location::Path(path) => {
            blocking(move || path::object_target(Path::new(OsStr::from_bytes(&path)), name)).await
        }
        bucket if bucket.is_written_as_container() => Ok((bucket, name)),
        bucket => Ok(bucket.split()),
    }
}

fn check_globs(filters: &Filters) -> Result<(), CliError> {
    for (flag, globs) in [("--include", &filters.include), ("--exclude", &filters.exclude)] {
        for glob in globs {
            GlobBuilder::new(glob).literal_separator(true).build().map_err(|error| {
                let (glob, reason) = (glob.escape_debug(), error.kind());
                CliError::usage(format!("{flag} '{glob}' is not a glob: {reason}"))
            })?;
        }
    }
    Ok(())
}

/// Leaves the state directory out when it lies in one of the ends: copied, it would change while it
/// is read; mirrored onto, it would be deleted. Says so in the line it returns.
///
/// # Errors
/// When it cannot be left out.
pub(super) fn keep_out_state(
    spec: &mut JobSpec,
    state_dir: &Path,
) -> Result<Option<String>, CliError> {
    let state = settle(state_dir).map_err(|error| {
        let error = super::console::words(&error);
        CliError::cannot_run(format!("use the state directory {}: {error}", state_dir.display()))
    })?;
    if spec.single.is_some() {
        return Ok(None);
    }
    let mut lines = Vec::new();
    for (end, location) in [("source", &spec.source), ("target", &spec.target)] {
        let Location::Path(root) = location else { continue };
        let Ok(inside) = state.strip_prefix(OsStr::from_bytes(root)) else { continue };
        let Some(inside) = inside.to_str().filter(|inside| !inside.is_empty()) else {
            return Err(CliError::usage(format!(
                "the state directory {} cannot be told from the {end} {location}: name another with --state-dir DIR",
                state.display()
            )));
        };
        spec.filters.exclude.push(format!("{}/**", globset::escape(inside)));
        lines.push(format!("leaving out {}, the state directory", state.display()));
    }
    Ok(lines.pop())
}

#[cfg(test)]
mod tests;
