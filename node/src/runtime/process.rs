//! What this process takes of the machine, where the system says so.

use std::path::Path;
use std::time::Duration;

use rustix::fs::statvfs;
use rustix::time::{ClockId, clock_gettime};

/// CPU time since it started, of all its threads.
pub(crate) fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// Files and connections that it has open.
pub(crate) fn open_descriptors() -> Option<u64> {
    let count = std::fs::read_dir("/proc/self/fd").ok()?.count();
    // One of them is the directory that is read.
    u64::try_from(count).ok()?.checked_sub(1)
}

/// Bytes that are free to it where `path` is, and bytes of that file system.
pub(crate) fn disk(path: &Path) -> Option<(u64, u64)> {
    let found = statvfs(path).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    Some((bytes(found.f_bavail), bytes(found.f_blocks)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_takes_something_and_a_disk_has_room() {
        let directory = tempfile::tempdir().unwrap();
        let (free, size) = disk(directory.path()).unwrap();
        assert!(free <= size && size > 0, "{free} of {size}");
        assert_eq!(disk(&directory.path().join("none")), None);
        if cfg!(target_os = "linux") {
            assert!(open_descriptors().unwrap() > 2);
        }
        assert!(cpu_time() > Duration::ZERO);
    }
}
