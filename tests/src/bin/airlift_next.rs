//! The program as its next release would be: the same code, with a version and a format more. What is
//! tested with it is the way from one build to the next, not what the next one brings.

use std::process::ExitCode;

use airlift_node::build::Build;
use airlift_protocol::version::{FormatVersion, Formats};

/// The build of tomorrow reads what this one reads, and one format more.
const NEXT: Build = Build {
    version: concat!(env!("CARGO_PKG_VERSION"), "-next"),
    formats: Formats {
        oldest: Formats::BUILD.oldest,
        newest: FormatVersion(Formats::BUILD.newest.0 + 1),
    },
    ..Build::THIS
};

fn main() -> ExitCode {
    airlift_node::cli::main_of(NEXT, std::env::args_os()).into()
}
