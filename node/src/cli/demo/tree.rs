//! Trees of files, read with nothing but the standard library and BLAKE3.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use airlift_protocol::key::Key;

/// What a name holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// A directory, which others fill.
    Directory,
    /// A link with its text.
    Link(Vec<u8>),
    /// Bytes, by length and hash.
    File { bytes: u64, root: blake3::Hash },
    /// A socket, pipe or device.
    Special,
}

/// One name of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    /// What it holds.
    pub(super) content: Content,
    /// Permission bits and time of last modification, of files.
    attributes: Option<(u32, i64, i64)>,
}

/// Everything below a directory.
#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    /// By path below the root, the bytes of its names with `/` between.
    pub(super) items: BTreeMap<Vec<u8>, Item>,
    /// Bytes of all files.
    pub(super) bytes: u64,
    /// Bytes that the files take on the disk: less than `bytes` where there are holes.
    pub(super) allocated: u64,
}

impl Tree {
    /// Everything but directories.
    pub(super) fn files(&self) -> impl Iterator<Item = (&Vec<u8>, &Item)> {
        self.items.iter().filter(|(_, item)| item.content != Content::Directory)
    }

    /// Files, links and empty directories.
    pub(super) fn objects(&self) -> u64 {
        let is_empty = |name: &[u8]| {
            let inside = [name, b"/"].concat();
            !self
                .items
                .range(inside.clone()..)
                .next()
                .is_some_and(|(next, _)| next.starts_with(&inside))
        };
        let is_object =
            |(name, item): &(&Vec<u8>, &Item)| item.content != Content::Directory || is_empty(name);
        self.items.iter().filter(is_object).count() as u64
    }

    /// The hash of a file, in hex.
    pub(super) fn root_of(&self, name: &[u8]) -> Option<String> {
        match self.items.get(name)?.content {
            Content::File { root, .. } => Some(root.to_hex().to_string()),
            Content::Directory | Content::Link(_) | Content::Special => None,
        }
    }

    /// The first name that is not the same in both trees, and how.
    pub(super) fn first_difference(&self, other: &Self) -> Option<String> {
        let shown = |name: &Vec<u8>| Key::from(name.as_slice());
        let missing = self.items.iter().find_map(|(name, item)| match other.items.get(name) {
            None => Some(format!("{} is missing at the target", shown(name))),
            Some(there) if there.content != item.content => {
                Some(format!("{} has other content at the target", shown(name)))
            }
            Some(there) if there != item => {
                Some(format!("{} has other permissions or another time at the target", shown(name)))
            }
            Some(_) => None,
        });
        let extra = || other.items.keys().find(|name| !self.items.contains_key(*name));
        missing
            .or_else(|| extra().map(|name| format!("{} is left over at the target", shown(name))))
    }
}

/// Reads and hashes everything below `root`; nothing there is an empty tree.
pub(super) fn read(root: &Path) -> io::Result<Tree> {
    let mut tree = Tree::default();
    if root.exists() {
        read_folder(root, &[], &mut tree)?;
    }
    Ok(tree)
}

fn read_folder(folder: &Path, prefix: &[u8], tree: &mut Tree) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = [prefix, entry.file_name().as_bytes()].concat();
        let metadata = entry.metadata()?;
        let item = item(&entry.path(), &metadata)?;
        if let Content::File { bytes, .. } = item.content {
            tree.bytes += bytes;
            tree.allocated += metadata.blocks() * 512;
        }
        if metadata.is_dir() {
            read_folder(&entry.path(), &[name.as_slice(), b"/"].concat(), tree)?;
        }
        tree.items.insert(name, item);
    }
    Ok(())
}

fn item(path: &Path, metadata: &Metadata) -> io::Result<Item> {
    let kind = metadata.file_type();
    let mut attributes = None;
    let content = if kind.is_dir() {
        Content::Directory
    } else if kind.is_symlink() {
        Content::Link(fs::read_link(path)?.into_os_string().into_vec())
    } else if kind.is_file() {
        attributes = Some((metadata.mode() & 0o777, metadata.mtime(), metadata.mtime_nsec()));
        let mut hasher = blake3::Hasher::new();
        let root = hasher.update_reader(File::open(path)?)?.finalize();
        Content::File { bytes: metadata.len(), root }
    } else {
        Content::Special
    };
    Ok(Item { content, attributes })
}

/// Bytes on the disk below `root`, whatever they belong to. Names that go away meanwhile, as those
/// of staged objects do, count as nothing.
pub(super) fn allocated(root: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(root) else { return 0 };
    let bytes = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => allocated(&entry.path()),
        Ok(metadata) => metadata.blocks() * 512,
        Err(_) => 0,
    };
    entries.flatten().map(bytes).sum()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn made() -> (tempfile::TempDir, Tree) {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("full")).unwrap();
        fs::create_dir_all(folder.path().join("full.empty")).unwrap();
        fs::write(folder.path().join("full/file"), "content").unwrap();
        symlink("file", folder.path().join("full/link")).unwrap();
        let tree = read(folder.path()).unwrap();
        (folder, tree)
    }

    #[test]
    fn objects_are_files_links_and_empty_directories() {
        let (_folder, tree) = made();
        assert_eq!(tree.items.len(), 4);
        assert_eq!(tree.objects(), 3);
        assert_eq!(tree.files().count(), 2);
        assert_eq!(tree.bytes, 7);
        assert_eq!(tree.root_of(b"full/file"), Some(blake3::hash(b"content").to_hex().to_string()));
    }

    #[test]
    fn every_difference_is_seen() {
        let (folder, tree) = made();
        assert_eq!(tree.first_difference(&read(folder.path()).unwrap()), None);
        let file = folder.path().join("full/file");
        let check = |part: &str| {
            let difference = tree.first_difference(&read(folder.path()).unwrap()).unwrap();
            assert!(difference.contains(part), "{difference}");
        };
        File::open(&file).unwrap().set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        check("another time");
        fs::write(&file, "c0ntent").unwrap();
        check("other content");
        fs::remove_file(&file).unwrap();
        check("full/file is missing");
        let (folder, tree) = made();
        fs::write(folder.path().join(".staged"), "").unwrap();
        let difference = tree.first_difference(&read(folder.path()).unwrap()).unwrap();
        assert!(difference.contains("left over"), "{difference}");
    }
}
