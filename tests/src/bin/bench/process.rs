//! Programs that are run: in a room or outside, timed and accounted, and ended with this one.

mod account;
mod daemon;
mod task;

pub(crate) use self::account::{peak_bytes, reset_peak, usage};
pub(crate) use self::daemon::Daemon;
pub(crate) use self::task::{Ended, Task};

use std::path::{Path, PathBuf};

/// Runs a short command outside of all rooms.
pub(crate) fn run<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<(), String> {
    Task::new(words).run().map(drop)
}

/// Where a program is, if it is installed.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Servers are where a user's path does not always lead.
    let places = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    places.map(|place| place.join(program)).find(|file| file.is_file())
}

/// As [`find`], or what to say when there is none.
pub(crate) fn need(program: &str) -> Result<String, String> {
    let found = find(program).ok_or_else(|| format!("{program} is not installed"))?;
    Ok(text(&found).to_owned())
}

/// A path of ours as text.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("invariant: paths are made from text")
}
