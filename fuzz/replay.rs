//! Runs a target's function over every file of its corpus.

#[allow(clippy::disallowed_methods, reason = "a test reads the corpus, as nothing else here does")]
pub(crate) fn corpus(target: &str, body: impl Fn(&[u8])) {
    let folder =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let files = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut count = 0;
    for file in files {
        let path = file.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| body(&bytes)));
        assert!(outcome.is_ok(), "{path:?} breaks the target `{target}`");
        count += 1;
    }
    assert!(count > 0, "{folder:?} is empty");
}
