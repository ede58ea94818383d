//! Small file systems of their own, for tests of what a full or read-only one does.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A small file system in memory, unmounted at the end.
#[derive(Debug)]
pub(crate) struct Mount(PathBuf);

impl Mount {
    /// Mounts at `path`, or says that the test is skipped.
    pub(crate) fn new(path: PathBuf, options: &str) -> Option<Self> {
        fs::create_dir_all(&path).unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "airlift-test"])
            .arg(&path)
            .stderr(Stdio::null())
            .status();
        if mount.is_ok_and(|status| status.success()) {
            return Some(Self(path));
        }
        eprintln!("skipped: this user cannot mount a file system");
        None
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // A mount that stays keeps the temporary directory, which then shows.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
