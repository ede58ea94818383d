//! In which steps the file system keeps times: tried with a file in the staging directory. Where nothing may
//! be written, what was tried before counts, and without that every nanosecond.

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags, openat, statx, unlinkat, utimensat};
use rustix::io::Errno;

use super::root::Root;
use super::status::{nanoseconds, timestamps};
use crate::store::step::TRIED_NS;
use crate::store::{Access, MtimeStep, StoreError};

/// In which steps the file system below `root` keeps times.
pub(super) fn find_out(root: &Root, access: Access) -> Result<MtimeStep, StoreError> {
    match access {
        Access::Write => root.mtime_step_by(|| probe(root)),
        Access::Read => Ok(root.known_mtime_step().unwrap_or(MtimeStep::EXACT)),
    }
}

/// Gives times to a file and reads them back. Where that cannot be done, each file that is to have a time
/// says so when it is written.
fn probe(root: &Root) -> Result<MtimeStep, StoreError> {
    let staging = root.staging()?;
    let name = format!("time-{}", root.unique());
    let failed = |action: &str, error: Errno| {
        StoreError::io(action, format!("{}/{name}", root.show_staging()), &error.into())
    };
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    let created = openat(&staging, &name, flags, Mode::RUSR | Mode::WUSR);
    drop(created.map_err(|error| failed("create", error))?);
    let seen =
        TRIED_NS.map(|time_ns| kept(&staging, &name, time_ns).map(|kept_ns| (time_ns, kept_ns)));
    unlinkat(&staging, &name, AtFlags::empty()).map_err(|error| failed("remove", error))?;
    let seen: Result<Vec<(i64, i64)>, Errno> = seen.into_iter().collect();
    Ok(seen.ok().and_then(|seen| MtimeStep::derived(&seen)).unwrap_or(MtimeStep::EXACT))
}

/// What is kept of `time_ns`. Where a server keeps it, that is asked: the system may remember it as it was set.
fn kept(staging: &OwnedFd, name: &str, time_ns: i64) -> Result<i64, Errno> {
    utimensat(staging, name, &timestamps(time_ns), AtFlags::SYMLINK_NOFOLLOW)?;
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::STATX_FORCE_SYNC;
    let time = statx(staging, name, flags, StatxFlags::MTIME)?.stx_mtime;
    Ok(nanoseconds(time.tv_sec, i64::from(time.tv_nsec)))
}

#[cfg(test)]
mod tests {
    use airlift_protocol::id::JobId;
    use airlift_protocol::job::LinkPolicy;

    use super::*;
    use crate::store::fence::Fence;

    #[test]
    fn what_was_tried_is_known_and_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let root =
            Root::new(directory.path(), JobId([7; 16]), LinkPolicy::Skip, Fence::default(), 1);
        assert_eq!(find_out(&root, Access::Read).unwrap(), MtimeStep::EXACT);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "nothing is written");
        // Where tests run, nanoseconds are kept.
        assert_eq!(find_out(&root, Access::Write).unwrap(), MtimeStep::EXACT);
        assert_eq!(root.known_mtime_step(), Some(MtimeStep::EXACT));
        let staging = directory.path().join(crate::store::path::staging_name(JobId([7; 16])));
        assert_eq!(std::fs::read_dir(staging).unwrap().count(), 0, "no file stays");
    }

    #[test]
    fn what_was_found_out_counts_where_nothing_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let root =
            Root::new(directory.path(), JobId([7; 16]), LinkPolicy::Skip, Fence::default(), 1);
        let step = MtimeStep::down(2_000_000_000);
        assert_eq!(root.mtime_step_by(|| Ok(step)).unwrap(), step);
        assert_eq!(find_out(&root, Access::Read).unwrap(), step);
        assert_eq!(find_out(&root, Access::Write).unwrap(), step);
    }
}
