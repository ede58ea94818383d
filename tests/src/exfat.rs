//! A real file system that takes capitals for small letters: exFAT, mounted from a file by its driver in
//! user space. That takes root, a loop device, and the programs `mkfs.exfat` and `mount.exfat-fuse`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::server::say;

/// Bytes of the file that holds the file system.
const IMAGE_BYTES: u64 = 32 << 20;

/// A mounted exFAT, until it is dropped.
#[derive(Debug)]
pub struct Exfat {
    device: String,
    mount: PathBuf,
    /// Goes last: the image is in it.
    _directory: TempDir,
}

impl Exfat {
    /// Makes and mounts one; `None` where that cannot be done, which it says.
    ///
    /// # Panics
    /// When not even a temporary file can be made.
    pub fn mount() -> Option<Self> {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (image, mount) = (directory.path().join("image"), directory.path().join("mount"));
        let file = File::create(&image).expect("a file for the image");
        file.set_len(IMAGE_BYTES).expect("a long file");
        std::fs::create_dir(&mount).expect("a place to mount it at");
        run("mkfs.exfat", &[&image])?;
        let device = run("losetup", &[Path::new("--find"), Path::new("--show"), &image])?;
        let device = device.trim().to_owned();
        if run("mount.exfat-fuse", &[Path::new(&device), &mount]).is_none() {
            detach(&device);
            return None;
        }
        Some(Self { device, mount, _directory: directory })
    }

    /// Its top.
    pub fn path(&self) -> &Path {
        &self.mount
    }
}

impl Drop for Exfat {
    fn drop(&mut self) {
        if run("umount", &[&self.mount]).is_some() {
            detach(&self.device);
        }
    }
}

fn detach(device: &str) {
    // What stays is a device that points to a file that is gone; the message says so.
    let _ = run("losetup", &[Path::new("--detach"), Path::new(device)]);
}

/// What a program prints; `None` when it is not there, or fails.
fn run(program: &str, arguments: &[&Path]) -> Option<String> {
    match Command::new(program).args(arguments).output() {
        Ok(output) if output.status.success() => {
            Some(String::from_utf8_lossy(&output.stdout).into_owned())
        }
        Ok(output) => {
            say(&format!("skipped: {program}: {}", String::from_utf8_lossy(&output.stderr).trim()));
            None
        }
        Err(error) => {
            say(&format!("skipped: {program}: {error}"));
            None
        }
    }
}
