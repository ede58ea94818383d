//! The binary exists and answers; besides, this test is why `cargo test` builds it for the tests of
//! the whole system.

use std::process::Command;

#[test]
fn the_binary_says_its_version() {
    let output = Command::new(env!("CARGO_BIN_EXE_airlift")).arg("--version").output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.trim(), format!("airlift {}", env!("CARGO_PKG_VERSION")));
}
