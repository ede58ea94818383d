//! Writing many small objects at once: stage all, make them durable together, then rename each.

use airlift_protocol::error::ErrorCode;
use airlift_protocol::manifest::Kind;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, symlinkat, utimensat};

use super::directories::Directories;
use super::root::Root;
use super::status::timestamps;
use super::write::{StagedFile, publish, remove_staged};
use crate::pipeline::chunk::{Payload, VerifiedObject};
use crate::store::path::KeyPath;
use crate::store::staged::mtime_ns;
use crate::store::{NewObject, StoreError};

/// Writes `objects`; results in order.
pub(super) fn put(
    root: &Root,
    objects: &[(NewObject, VerifiedObject)],
) -> Vec<Result<(), StoreError>> {
    // Opened before anything is written, so that they see every error of writing back.
    let opened = root.lanes().take(root).and_then(|lane| {
        let directories = Directories::for_writing(root)?;
        Ok((lane, directories))
    });
    match opened {
        Ok((lane, directories)) => {
            let mut batch = Batch { root, lane, directories };
            let results = batch.put(objects);
            root.lanes().give_back(batch.lane);
            results
        }
        Err(error) => objects.iter().map(|_| Err(error.clone())).collect(),
    }
}

/// An object on its way to being visible.
enum Step {
    /// A directory to be made.
    Directory,
    /// A file or link of this name in the lane.
    Staged(String),
}

struct Batch<'a> {
    root: &'a Root,
    /// Where the objects are staged, and nobody else's.
    lane: OwnedFd,
    directories: Directories<'a>,
}

impl Batch<'_> {
    fn put(&mut self, objects: &[(NewObject, VerifiedObject)]) -> Vec<Result<(), StoreError>> {
        let is_together = self.directories.syncs_together(objects.len());
        let mut steps: Vec<Result<Step, StoreError>> = objects
            .iter()
            .map(|(object, verified)| self.stage(object, verified.payload(), !is_together))
            .collect();
        if is_together && let Err(error) = self.directories.sync_all() {
            self.fail_all(&mut steps, &error);
        }
        let mut results: Vec<Result<(), StoreError>> = steps
            .into_iter()
            .zip(objects)
            .map(|(step, (object, _))| self.publish(step?, object))
            .collect();
        if let Err(error) = self.directories.sync() {
            for result in results.iter_mut().filter(|result| result.is_ok()) {
                *result = Err(error.clone());
            }
        }
        results
    }

    /// Writes an object into the lane.
    fn stage(
        &self,
        object: &NewObject,
        payload: &Payload,
        is_synced: bool,
    ) -> Result<Step, StoreError> {
        let path = KeyPath::of(&object.entry.key)?;
        let shown = self.root.show(path.whole);
        let may_be_directory = matches!(object.entry.kind, Kind::Object | Kind::Directory);
        if may_be_directory && path.is_directory && object.entry.size == 0 {
            return Ok(Step::Directory);
        }
        let name = format!("small-{}", self.root.unique());
        let staged = match &object.entry.kind {
            Kind::Object if !path.is_directory => {
                StagedFile::create(&self.lane, &name, object, 0, shown)
                    .and_then(|file| fill(&file, object, payload, is_synced))
            }
            Kind::Symlink(text) if !path.is_directory => self.link(&name, text, object, &shown),
            Kind::Special => Err(StoreError::new(
                ErrorCode::KindUnsupported,
                format!("{shown} is a socket, pipe or device and has no bytes to copy"),
            )),
            Kind::Object | Kind::Symlink(_) | Kind::Directory => Err(StoreError::new(
                ErrorCode::KeyUnsupported,
                format!(
                    "{shown}: only a directory, which has no bytes, has a key that ends in `/`"
                ),
            )),
        };
        match staged {
            Ok(()) => Ok(Step::Staged(name)),
            Err(error) => {
                self.unstage(&name);
                Err(error)
            }
        }
    }

    fn link(
        &self,
        name: &str,
        text: &[u8],
        object: &NewObject,
        shown: &str,
    ) -> Result<(), StoreError> {
        symlinkat(text, &self.lane, name)
            .map_err(|error| StoreError::io("create the link", shown, &error.into()))?;
        let Some(mtime_ns) = mtime_ns(object) else { return Ok(()) };
        utimensat(&self.lane, name, &timestamps(mtime_ns), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|error| StoreError::io("set the time of", shown, &error.into()))
    }

    /// Makes a staged object visible.
    fn publish(&mut self, step: Step, object: &NewObject) -> Result<(), StoreError> {
        let path = KeyPath::of(&object.entry.key)?;
        match step {
            Step::Directory => self.directories.create(path.whole).map(drop),
            Step::Staged(name) => {
                let published = publish(self.root, &mut self.directories, &self.lane, &name, &path);
                if published.is_err() {
                    self.unstage(&name);
                }
                published
            }
        }
    }

    fn fail_all(&self, steps: &mut [Result<Step, StoreError>], error: &StoreError) {
        for step in steps {
            if let Ok(Step::Staged(name)) = step {
                self.unstage(name);
            }
            if step.is_ok() {
                *step = Err(error.clone());
            }
        }
    }

    /// Removes a staged file after an error, which is the one to report: what cannot be removed
    /// now is removed when the job is cleaned up, and that says so when it cannot.
    fn unstage(&self, name: &str) {
        if let Err(error) = remove_staged(self.root, &self.lane, name.as_bytes()) {
            tracing::debug!(%error, "a staged file stays until the job is cleaned up");
        }
    }
}

fn fill(
    file: &StagedFile,
    object: &NewObject,
    payload: &Payload,
    is_synced: bool,
) -> Result<(), StoreError> {
    match payload {
        Payload::Bytes(bytes) => file.write_at(bytes, 0)?,
        Payload::Zero(length) => file.set_length(*length)?,
    }
    file.finish(object)?;
    if is_synced { file.sync() } else { Ok(()) }
}
