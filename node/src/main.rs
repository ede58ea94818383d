//! The binary `airlift`: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    airlift_node::cli::main(std::env::args_os()).into()
}
