//! Copies on one machine by the tools that everybody has.

use std::path::Path;

use crate::contest::Run;
use crate::peer::alone;
use crate::process::{Task, need, text};

/// `cp -r`.
pub(crate) fn copy_plainly(source: &Path, place: &str) -> Result<Run, String> {
    let from = format!("{}/.", text(source));
    Ok(alone(&Task::new(["cp", "-r", &from, place]).run()?))
}

/// `rsync -a`.
pub(crate) fn copy_with_rsync(source: &Path, place: &str) -> Result<Run, String> {
    let (program, from) = (need("rsync")?, format!("{}/", text(source)));
    Ok(alone(&Task::new([&program, "-a", &from, place]).run()?))
}

/// `rclone copy`.
pub(crate) fn copy_with_rclone(source: &Path, place: &str) -> Result<Run, String> {
    let program = need("rclone")?;
    let words = [&program, "copy", "--config", "", "-q", "--transfers", "16", text(source), place];
    Ok(alone(&Task::new(words).run()?))
}
