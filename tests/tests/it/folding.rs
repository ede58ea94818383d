//! Targets that take two names for one: on a real file system that does.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use airlift_tests::airlift::Airlift;
use airlift_tests::exfat::Exfat;
use airlift_tests::tree;

fn names(path: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(path)
        .expect("a directory")
        .map(|entry| entry.expect("a name").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn names_that_are_one_at_the_target_are_named_and_left_out() {
    let Some(exfat) = Exfat::mount() else { return };
    let source = tempfile::tempdir().unwrap();
    for name in ["a.txt", "A.TXT", "Dir/x", "dir/y", "alone", "deep/B/c", "\u{e4}", "\u{c4}"] {
        tree::write(source.path(), name, name.as_bytes());
    }
    let (airlift, target) = (Airlift::new(), exfat.path().join("into"));
    let (from, to) = (source.path().to_str().unwrap(), target.to_str().unwrap());
    let out = airlift.run(["cp", "--json", from, to]).expect(1).json();
    assert_eq!(
        (&out["objects"]["done"], &out["objects"]["skipped"]),
        (&2.into(), &6.into()),
        "{out}"
    );
    let errors = out["errors"].as_array().unwrap();
    let reason = |key: &str| {
        let error = errors.iter().find(|error| error["key"] == key).expect("it is named");
        error["reason"].as_str().unwrap().to_owned()
    };
    assert!(reason("a.txt").contains("'A.TXT'") && reason("A.TXT").contains("'a.txt'"), "{out}");
    assert!(reason("dir/y").contains("has 'Dir'"), "{out}");
    assert!(reason("\u{e4}").contains("capitals and small letters are the same there"), "{out}");
    assert_eq!(names(&target), ["alone", "deep"]);

    // Without writing it is seen by the names that are there.
    let look = airlift.run(["cp", "--preflight", "--json", from, to]).expect(1).json();
    assert_eq!(look["objects"]["skipped"], 6, "{look}");
    let rest = ["cp", "--exclude", "a.txt", "--exclude", "dir/", "--exclude", "\u{e4}", from, to];
    let _ = airlift.run(rest).expect(0);
    assert_eq!(names(&target), ["A.TXT", "Dir", "alone", "deep", "\u{c4}"]);
    assert_eq!(fs::read(target.join("a.txt")).unwrap(), b"A.TXT");
}

#[test]
fn a_name_that_changes_its_case_is_not_lost_by_a_sync() {
    let Some(exfat) = Exfat::mount() else { return };
    let source = tempfile::tempdir().unwrap();
    tree::write(source.path(), "Readme", b"first");
    tree::write(source.path(), "Sub/x", b"x");
    let airlift = Airlift::new();
    let (from, to) = (source.path().to_str().unwrap(), exfat.path().to_str().unwrap());
    let _ = airlift.run(["sync", from, to]).expect(0);
    fs::rename(source.path().join("Readme"), source.path().join("README")).unwrap();
    fs::rename(source.path().join("Sub"), source.path().join("SUB")).unwrap();
    tree::write(source.path(), "SUB/new", b"new");

    // What is spelled otherwise there is neither written over nor deleted.
    let out = airlift.run(["sync", "--json", from, to]).expect(1).json();
    assert_eq!((&out["objects"]["failed"], &out["objects"]["deleted"]), (&5.into(), &0.into()));
    let errors = out["errors"].as_array().unwrap();
    let reason = |key: &str| {
        let error = errors.iter().find(|error| error["key"] == key).expect("it is named");
        error["reason"].as_str().unwrap().to_owned()
    };
    assert!(reason("README").contains("'Readme'") && reason("README").contains("rename"), "{out}");
    assert!(reason("Readme").contains("kept") && reason("Readme").contains("'README'"), "{out}");
    assert!(reason("Sub/x").contains("'SUB'"), "{out}");
    assert_eq!(names(exfat.path()), ["Readme", "Sub"]);
    assert_eq!(fs::read(exfat.path().join("Sub/x")).unwrap(), b"x");

    // Renamed there as well, they are what the source has.
    rename(exfat.path(), "Readme", "README");
    rename(exfat.path(), "Sub", "SUB");
    let deadline = Instant::now() + Duration::from_secs(30);
    // The driver remembers the names of before for a second.
    while airlift.run(["sync", from, to]).code != Some(0) {
        assert!(Instant::now() < deadline, "the new names do not arrive");
    }
    assert_eq!(names(exfat.path()), ["README", "SUB"]);
    assert_eq!(names(&exfat.path().join("SUB")), ["new", "x"]);
    assert_eq!(fs::read(exfat.path().join("README")).unwrap(), b"first");
}

/// By way of another name: to the same one in other case the driver says that it is there already.
fn rename(directory: &Path, from: &str, to: &str) {
    fs::rename(directory.join(from), directory.join("between")).unwrap();
    fs::rename(directory.join("between"), directory.join(to)).unwrap();
}
