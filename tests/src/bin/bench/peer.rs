//! The programs that Airlift is compared with, as their users run them.

mod iperf;
mod local;
mod objects;
mod rclone;
mod rsync;
mod ssh;

pub(crate) use self::iperf::Iperf;
pub(crate) use self::local::{copy_plainly, copy_with_rclone, copy_with_rsync};
pub(crate) use self::objects::{copy_with_rclone as copy_objects_with_rclone, copy_with_s5cmd};
pub(crate) use self::rclone::RcloneSftp;
pub(crate) use self::rsync::RsyncDaemon;
pub(crate) use self::ssh::Ssh;

use crate::contest::Run;
use crate::process::{Daemon, Ended, Task};

/// Runs a client, and counts what the server used for it.
fn served(task: &Task, server: &Daemon) -> Result<Run, String> {
    let before = server.usage();
    let ended = task.run()?;
    let used = server.usage() - before;
    let mut run = alone(&ended);
    run.cpu_seconds += used.seconds();
    Ok(run)
}

/// A run of a program without a server.
fn alone(ended: &Ended) -> Run {
    let cpu_seconds = ended.usage.seconds();
    let peaks = [("client".to_owned(), ended.peak_bytes)].into();
    Run { seconds: ended.seconds, cpu_seconds, peaks, notes: [].into() }
}
