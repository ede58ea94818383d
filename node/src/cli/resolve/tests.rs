//! Tests of resolution, with real directories and a made-up bucket.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use super::super::exit::ExitCode;
use super::*;

fn request(mode: Mode, source: impl Into<OsString>, target: impl Into<OsString>) -> Request {
    let (filters, policy) = (Filters::default(), Policy::default());
    Request { mode, source: source.into(), target: target.into(), filters, policy }
}

/// A bucket store with the objects `s3://b/dir/x` and `s3://b/dir//y`.
async fn bucket(location: &Location) -> Result<Probe, CliError> {
    Ok(match location.to_string().as_str() {
        "s3://b/dir/x" | "s3://b/dir//y" => Probe::Object,
        "s3://b/dir" | "s3://b/dir/" | "s3://b/dir//" => Probe::Container,
        _ => Probe::Missing,
    })
}

fn run(request: Request) -> Result<JobSpec, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(resolve(request, bucket))
}

fn copy(source: impl Into<OsString>, target: impl Into<OsString>) -> Result<JobSpec, CliError> {
    run(request(Mode::Copy, source, target))
}

fn usage(result: Result<JobSpec, CliError>, part: &str) {
    let error = result.unwrap_err();
    assert!(error.message.contains(part), "{error}");
    assert!(!error.message.contains('\n'), "{error}");
    assert_eq!(error.exit, ExitCode::Usage, "{error}");
}

fn tree() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let root = fs::canonicalize(directory.path()).unwrap();
    fs::create_dir_all(root.join("src/sub")).unwrap();
    fs::create_dir(root.join("dst")).unwrap();
    fs::write(root.join("src/file"), "x").unwrap();
    (directory, root)
}

fn keys(spec: &JobSpec) -> (String, String) {
    let single = spec.single.as_ref().unwrap();
    (single.source_key.to_string(), single.target_key.to_string())
}

#[test]
fn schemes_that_are_not_served_are_wrong_usage() {
    usage(
        copy("tape://x/y", "/b"),
        "unknown scheme 'tape://': this build serves files, s3://, az:// and gs://",
    );
    usage(copy("/a", "oss://x/y"), "'oss://' is not yet supported by this build");
    usage(copy("berlin:/data", "/b"), "needs a cluster");
    usage(copy("", "/b"), "a location is empty");
    usage(copy("s3://", "/b"), "names no bucket");
}

#[test]
fn a_source_that_does_not_exist_cannot_run() {
    let (_guard, root) = tree();
    for source in [root.join("none").into_os_string(), root.join("src/file/").into()] {
        let error = copy(source, root.join("dst")).unwrap_err();
        assert!(error.message.ends_with("does not exist"), "{error}");
        assert_eq!(error.exit, ExitCode::CannotRun);
    }
    let error = copy("s3://b/none", root.join("dst")).unwrap_err();
    assert_eq!(error.message, "the source s3://b/none does not exist");
}

#[test]
fn what_a_directory_contains_goes_into_the_target() {
    let (_guard, root) = tree();
    let spec = copy(root.join("src/sub/.."), root.join("new/deep")).unwrap();
    assert_eq!(spec.source.to_string(), root.join("src").to_str().unwrap());
    assert_eq!(spec.target.to_string(), root.join("new/deep").to_str().unwrap());
    assert_eq!(spec.single, None);
    let spec = copy(root.join("src"), "s3://b/p").unwrap();
    assert_eq!(spec.target.to_string(), "s3://b/p/");
    let spec = copy("s3://b/dir", root.join("dst")).unwrap();
    assert_eq!(spec.source.to_string(), "s3://b/dir/");
    usage(
        copy(root.join("src"), root.join("src/file")),
        "is a file, but the source is a directory",
    );
}

#[test]
fn a_target_has_one_name_before_and_after_it_was_made() {
    let (_guard, root) = tree();
    symlink(root.join("dst"), root.join("link")).unwrap();
    let before = copy(root.join("src"), root.join("link/new/")).unwrap();
    fs::create_dir(root.join("dst/new")).unwrap();
    let after = copy(root.join("src"), root.join("link/./new")).unwrap();
    assert_eq!(before.target, after.target);
    assert_eq!(before.id(), after.id());
}

#[test]
fn one_file_goes_into_a_directory_or_becomes_the_target() {
    let (_guard, root) = tree();
    let file = root.join("src/file");
    for (target, place, key) in [
        ("dst", "dst", "file"),
        ("dst/", "dst", "file"),
        ("dst/other", "dst", "other"),
        ("new/", "new", "file"),
        ("new/deep/name", "new/deep", "name"),
    ] {
        let spec = copy(&file, format!("{}/{target}", root.display())).unwrap();
        assert_eq!(spec.source.to_string(), root.join("src").to_str().unwrap());
        assert_eq!(spec.target.to_string(), root.join(place).to_str().unwrap(), "{target}");
        assert_eq!(keys(&spec), ("file".into(), key.into()), "{target}");
    }
    fs::write(root.join("dst/taken"), "").unwrap();
    usage(copy(&file, root.join("dst/taken/")), "is a file, not a directory");
    assert!(copy(&file, root.join("dst/taken/below")).is_err());
}

#[test]
fn one_object_of_a_bucket_keeps_its_bytes() {
    let (_guard, root) = tree();
    let spec = copy("s3://b/dir//y", "s3://c/into/").unwrap();
    assert_eq!(spec.source.to_string(), "s3://b/dir//");
    assert_eq!(spec.target.to_string(), "s3://c/into/");
    assert_eq!(keys(&spec), ("y".into(), "y".into()));
    let spec = copy("s3://b/dir/x", "s3://c/into/name").unwrap();
    assert_eq!(
        (spec.target.to_string().as_str(), keys(&spec).1.as_str()),
        ("s3://c/into/", "name")
    );
    let spec = copy("s3://b/dir/x", "s3://c").unwrap();
    assert_eq!((spec.target.to_string().as_str(), keys(&spec).1.as_str()), ("s3://c", "x"));
    let spec = copy("s3://b/dir/x", root.join("dst")).unwrap();
    assert_eq!(keys(&spec).1, "x");
}

#[test]
fn a_link_that_was_named_is_followed_unless_links_are_copied() {
    let (_guard, root) = tree();
    symlink("../src/file", root.join("dst/link")).unwrap();
    let spec = copy(root.join("dst/link"), root.join("new/")).unwrap();
    assert_eq!(spec.source.to_string(), root.join("src").to_str().unwrap());
    assert_eq!(keys(&spec), ("file".into(), "link".into()));
    let mut request = request(Mode::Copy, root.join("dst/link"), root.join("new/"));
    request.policy.links = LinkPolicy::Copy;
    let spec = run(request).unwrap();
    assert_eq!(spec.source.to_string(), root.join("dst").to_str().unwrap());
    assert_eq!(keys(&spec), ("link".into(), "link".into()));
}

#[test]
fn ends_that_overlap_are_refused_through_links_too() {
    let (_guard, root) = tree();
    symlink(root.join("src"), root.join("again")).unwrap();
    let (src, again) = (root.join("src"), root.join("again"));
    usage(copy(&src, &again), "are the same");
    usage(copy(&src, root.join("again/new")), "the copy would feed on itself");
    usage(copy(root.join("src/sub"), &again), "would write over its own source");
    usage(copy(root.join("src/file"), root.join("again/file")), "are the same");
    usage(copy(root.join("src/file"), &src), "are the same");
    usage(copy("s3://b/dir", "s3://b/dir/"), "are the same");
    usage(copy("s3://b/dir", "s3://b/dir/in"), "lies inside the source");
    usage(copy("s3://b/dir", "s3://b"), "lies inside the target");
    usage(copy("s3://b/dir/x", "s3://b/dir/"), "are the same");
    assert!(copy("s3://b/dir", "s3://b/dire").is_ok());
    assert!(copy("s3://b/dir/x", "s3://b/dir/x2").is_ok());
    assert!(run(request(Mode::Verify, &src, root.join("src/sub"))).is_ok());
    usage(run(request(Mode::Verify, &src, &src)), "nothing to compare");
}

#[test]
fn an_empty_prefix_is_a_source_only_when_that_was_allowed() {
    let mut request = request(Mode::Sync, "s3://b/none", "s3://c/");
    assert!(run(request.clone()).is_err());
    request.policy.allow_empty_source = true;
    assert_eq!(run(request).unwrap().source.to_string(), "s3://b/none/");
}

#[test]
fn bad_globs_are_named() {
    let mut request = request(Mode::Copy, "s3://b/dir", "s3://c/");
    request.filters.exclude.push("a[".into());
    usage(run(request), "--exclude 'a[' is not a glob");
}

#[test]
fn the_state_directory_is_left_out_of_both_ends() {
    let (_guard, root) = tree();
    let mut spec = copy(root.join("src"), root.join("dst")).unwrap();
    assert_eq!(keep_out_state(&mut spec, &root.join("elsewhere")), Ok(None));
    assert!(spec.filters.exclude.is_empty());
    let line = keep_out_state(&mut spec, &root.join("src/a[b]/state")).unwrap().unwrap();
    assert!(line.contains("state directory"), "{line}");
    assert_eq!(spec.filters.exclude, ["a[[]b[]]/state/**"]);
    keep_out_state(&mut spec, &root.join("dst/s")).unwrap().unwrap();
    assert_eq!(spec.filters.exclude[1], "s/**");
    assert_eq!(keep_out_state(&mut spec, &root.join("src")).unwrap_err().exit, ExitCode::Usage);
}
