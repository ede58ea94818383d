//! `man`: the manual pages, made of what `--help` says.

use std::path::Path;

use clap::CommandFactory;

use super::args::Cli;
use super::console::words;
use super::exit::{CliError, ExitCode};

/// Writes `airlift.1` and a page for each command below it.
///
/// # Errors
/// When the directory cannot be made or written.
pub(super) fn write(directory: &Path) -> Result<ExitCode, CliError> {
    let failed = |error: std::io::Error| {
        let (path, reason) = (directory.display(), words(&error));
        CliError::cannot_run(format!("write manual pages into {path}: {reason}"))
    };
    std::fs::create_dir_all(directory).map_err(failed)?;
    clap_mangen::generate_to(Cli::command(), directory).map_err(failed)?;
    Ok(ExitCode::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_has_a_page() {
        let directory = tempfile::tempdir().unwrap();
        let pages = directory.path().join("man1");
        assert_eq!(write(&pages), Ok(ExitCode::Done));
        let read = |name: &str| std::fs::read_to_string(pages.join(name)).unwrap();
        assert!(read("airlift.1").contains("airlift\\-cp"));
        assert!(read("airlift-cluster-token.1").contains("airlift cluster token"));
        assert!(read("airlift-node.1").contains("metrics"));
        let error = write(&pages.join("airlift.1")).unwrap_err();
        assert!(error.message.contains("airlift.1"), "{error}");
    }
}
