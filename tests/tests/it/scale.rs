//! Many files, and large ones: they arrive, and memory stays where it was.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use airlift_tests::airlift::{Airlift, Running, fast_directory};
use airlift_tests::tree;

/// Memory that a run may take, whatever it copies.
const PEAK_BYTES_MAX: u64 = 512 << 20;

/// Follows a run to its end; its peak of resident memory.
fn peak_of(mut running: Running) -> u64 {
    let status = format!("/proc/{}/status", running.id());
    let mut peak = 0;
    while !running.has_ended() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        peak = peak.max(kib.unwrap_or(0) * 1024);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(running.wait().code(), Some(0));
    peak
}

fn copy(airlift: &Airlift, source: &Path, target: &Path) -> u64 {
    peak_of(airlift.start(["cp".as_ref(), source.as_os_str(), target.as_os_str()]))
}

#[test]
fn fifty_thousand_files_arrive_in_bounded_memory_and_are_recognised() {
    let (source, target) = (fast_directory(), fast_directory());
    for i in 0..50_000u64 {
        tree::write(source.path(), format!("{:03}/{i}", i / 500), &i.to_le_bytes());
    }
    let airlift = Airlift::new();
    let peak = copy(&airlift, source.path(), target.path());
    assert!(peak < PEAK_BYTES_MAX, "{peak} bytes");
    assert_eq!(tree::read(source.path()), tree::read(target.path()));
    let ends = [source.path(), target.path()].map(|path| path.to_str().unwrap());
    let again = airlift.run(["cp", ends[0], ends[1], "--json"]).expect(0).json();
    assert_eq!(again["objects"]["unchanged"], 50_000);
}

#[test]
fn a_file_of_two_gib_and_a_sparse_one_of_sixteen_arrive_in_bounded_memory() {
    let (source, target) = (fast_directory(), fast_directory());
    let file = fs::File::create(source.path().join("large")).unwrap();
    let block = tree::noise(1, 1 << 20);
    for i in 0..2049u64 {
        file.write_all_at(&block, i << 20).unwrap();
        file.write_all_at(&i.to_le_bytes(), i << 20).unwrap();
    }
    let sparse = fs::File::create(source.path().join("sparse")).unwrap();
    sparse.set_len(16 << 30).unwrap();
    sparse.write_all_at(b"island", 9 << 30).unwrap();
    let peak = copy(&Airlift::new(), source.path(), target.path());
    assert!(peak < PEAK_BYTES_MAX, "{peak} bytes");
    assert_eq!(tree::read(source.path()), tree::read(target.path()));
}
