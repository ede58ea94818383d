//! Style as tests: what the project's rules say and the compiler cannot see.
//!
//! Nothing of the product runs here. Each test reads files of the checkout (one of them asks
//! `cargo metadata`), and a failure names file and line.

mod commands;
mod dependencies;
mod documents;
mod finding;
mod purity;
mod source;
mod sources;
