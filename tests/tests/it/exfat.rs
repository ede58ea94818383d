//! Targets on a driver in user space: exFAT.

use std::fs;

use airlift_tests::airlift::{Airlift, can_trace};
use airlift_tests::exfat::Exfat;
use airlift_tests::tree;

/// One sync for all never reaches such a driver.
#[test]
fn each_of_many_small_files_is_synced_at_a_driver_in_user_space() {
    let Some(exfat) = Exfat::mount() else { return };
    if !can_trace() {
        return;
    }
    let (source, record) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for number in 0..24u64 {
        let name = format!("{}/{number}", number % 12);
        tree::write(source.path(), name, &tree::noise(number, 1000));
    }
    let (target, trace) = (exfat.path().join("into"), record.path().join("trace"));
    let words = ["strace", "-f", "-qq", "-y", "-e", "trace=fsync,syncfs", "-o"];
    let words: Vec<String> = words.into_iter().chain(trace.to_str()).map(str::to_owned).collect();
    let ends = [source.path(), &target].map(|path| path.to_str().unwrap().to_owned());
    let arguments = ["cp".to_owned()].into_iter().chain(ends.clone());
    let _ = Airlift::new().run_after(&words, arguments).expect(0);
    let calls = fs::read_to_string(trace).unwrap();
    let of = |what: &str| calls.lines().filter(|line| line.contains(what)).count();
    assert_eq!(of("syncfs("), 0, "{calls}");
    assert_eq!(of("/small-"), 24, "{calls}");
    let is_directory = |line: &&str| (0..12).any(|name| line.contains(&format!("/into/{name}>")));
    assert!(calls.lines().filter(is_directory).count() >= 12, "{calls}");
    assert_eq!(tree::read(&target).len(), 24);
}
