//! The binary `airlift`: everything is in the library.

use std::process::ExitCode;

/// The system's allocator keeps a heap for each thread that reads or writes, and memory then grows
/// with the number of files; with this one it hardly does (docs/performance.md).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    airlift_node::cli::main(std::env::args_os()).into()
}
