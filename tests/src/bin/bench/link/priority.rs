//! The turn of the link's threads before all others: an emulated wire does not wait for a busy
//! processor.

use std::process::{Command, Stdio};

use rustix::process::Pid;

/// How often a real-time thread of this program yields to those of the system: never first.
const FIFO: &str = "10";

/// The scheduler may be late by so many nanoseconds, in favour of fewer wake-ups.
const SLACK_NS: &str = "1000";

/// Lets a thread run before others, as far as this machine allows it.
pub(crate) fn raise(thread: Pid) {
    let id = thread.as_raw_nonzero().to_string();
    // Where this is not allowed the timing is what it is, and the gauge says how exact.
    drop(std::fs::write(format!("/proc/{id}/timerslack_ns"), SLACK_NS));
    let mut real_time = Command::new("chrt");
    real_time.args(["--fifo", "--pid", FIFO, &id]);
    real_time.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if !real_time.status().is_ok_and(|status| status.success()) {
        let _ = rustix::process::setpriority_process(Some(thread), -19);
    }
}
