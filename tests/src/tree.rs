//! Trees of files: made from a seed, and compared byte for byte.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What stands under a path.
#[derive(Clone, PartialEq, Eq)]
pub enum Node {
    /// A file: bytes, permission bits, time.
    File {
        /// Its hash.
        hash: blake3::Hash,
        /// Its length.
        bytes: u64,
        /// Its permission bits.
        mode: u32,
        /// Its time in nanoseconds.
        mtime_ns: i128,
    },
    /// A link and its text.
    Link(PathBuf),
    /// A directory without entries.
    EmptyDirectory,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File { hash, bytes, mode, mtime_ns } => {
                let hash = &hash.to_hex()[..8];
                write!(f, "file {hash} of {bytes} bytes, {mode:o}, {mtime_ns}")
            }
            Self::Link(text) => write!(f, "link to {}", text.display()),
            Self::EmptyDirectory => f.write_str("empty directory"),
        }
    }
}

/// Everything below `root`, by path.
///
/// # Panics
/// When something cannot be read.
pub fn read(root: &Path) -> BTreeMap<OsString, Node> {
    let mut tree = BTreeMap::new();
    read_into(root, Path::new(""), &mut tree);
    tree
}

fn read_into(root: &Path, below: &Path, tree: &mut BTreeMap<OsString, Node>) {
    for entry in fs::read_dir(root.join(below)).expect("a directory can be read") {
        let path = below.join(entry.expect("an entry").file_name());
        let full = root.join(&path);
        let metadata = fs::symlink_metadata(&full).expect("an entry has metadata");
        let node = if metadata.is_symlink() {
            Node::Link(fs::read_link(&full).expect("a link has a text"))
        } else if metadata.is_dir() {
            let before = tree.len();
            read_into(root, &path, tree);
            if tree.len() > before {
                continue;
            }
            Node::EmptyDirectory
        } else {
            let mut hasher = blake3::Hasher::new();
            let file = fs::File::open(&full).expect("a file can be read");
            hasher.update_reader(file).expect("a file can be read");
            let mtime_ns =
                i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec());
            let (hash, bytes, mode) = (hasher.finalize(), metadata.len(), metadata.mode() & 0o777);
            Node::File { hash, bytes, mode, mtime_ns }
        };
        tree.insert(path.into_os_string(), node);
    }
}

/// Bytes that follow from a seed and do not compress.
pub fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut noise = vec![0; bytes];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut noise);
    noise
}

/// Writes a file, with the directories above it.
///
/// # Panics
/// When it cannot be written.
pub fn write(root: &Path, name: impl AsRef<[u8]>, bytes: &[u8]) -> PathBuf {
    let path = root.join(std::ffi::OsStr::from_bytes(name.as_ref()));
    fs::create_dir_all(path.parent().expect("a path below the root")).expect("a directory");
    fs::write(&path, bytes).expect("a file can be written");
    path
}
